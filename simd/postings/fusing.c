/* The Python binding of the sum of both sides of a search, which come as dictionaries or as arrays. */
#include "module.h"

#include <stdlib.h>
#include <string.h>


int aqe_take(PyObject *object, Py_buffer *view, Py_ssize_t size, const char *letters, const char *name)
{
    if (PyObject_GetBuffer(object, view, PyBUF_FULL_RO) < 0)
        return -1;
    const char *format = view->format ? view->format : "B";
    format += *format == '@' || *format == '=' || *format == '<';
    int fits = view->itemsize == size && format[0] && !format[1] && strchr(letters, *format);
    if (fits && view->ndim == 1 && PyBuffer_IsContiguous(view, 'C'))
        return 0;
    PyErr_Format(PyExc_TypeError, "%s must be a contiguous row of %zd-byte numbers", name, size);
    PyBuffer_Release(view);
    return -1;
}

/* The value of a key as a number; 0 with *has 0 where it is not there. -1 with an error set where it is no number. */
static double number_at(PyObject *map, PyObject *key, int *has)
{
    PyObject *found = PyDict_GetItemWithError(map, key);
    *has = found != NULL;
    if (!found)
        return PyErr_Occurred() ? -1.0 : 0.0;
    Py_INCREF(found); /* its __float__ may take it out of the dictionary */
    double value = PyFloat_AsDouble(found);
    Py_DECREF(found);
    return value;
}

static int read_candidate(aqe_candidate *one, PyObject *key, PyObject *text, PyObject *near, PyObject *share,
                          PyObject *prior)
{
    int has = 0;
    one->row = PyLong_AsLongLong(key);
    one->text = number_at(text, key, &one->has_text);
    one->near = number_at(near, key, &one->has_near);
    one->share = PyDict_Check(share) ? number_at(share, key, &has) : PyFloat_AsDouble(share);
    if (PyDict_Check(share) && !has && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "share must have every row");
    one->prior = prior == Py_None ? 0.0 : number_at(prior, key, &has);
    return PyErr_Occurred() ? -1 : 0;
}

/* One candidate as (row, score, text, near, prior, text_standard, near_standard, share). */
static PyObject *as_tuple(const aqe_candidate *one)
{
    PyObject *text = one->has_text ? PyFloat_FromDouble(one->text) : Py_NewRef(Py_None);
    PyObject *near = one->has_near ? PyFloat_FromDouble(one->near) : Py_NewRef(Py_None);
    return Py_BuildValue("(LdNNdddd)", (long long)one->row, one->score, text, near, one->prior, one->text_standard,
                         one->near_standard, one->share);
}

/* The candidates of two lists of keys, each once; returns how many, -1 with an error set. What converts a number may
   change the dictionaries, so that neither is walked. */
static Py_ssize_t read_candidates(aqe_candidate *candidates, PyObject *const keys[2], PyObject *text, PyObject *near,
                                  PyObject *share, PyObject *prior)
{
    Py_ssize_t count = 0, first = PyList_Size(keys[0]), second = PyList_Size(keys[1]);
    for (Py_ssize_t i = 0; i < first; i++)
        if (read_candidate(&candidates[count++], PyList_GetItem(keys[0], i), text, near, share, prior) < 0)
            return -1;
    for (Py_ssize_t i = 0; i < second; i++) {
        PyObject *key = PyList_GetItem(keys[1], i);
        int is_known = PyDict_Contains(text, key);
        if (is_known < 0 || (!is_known && read_candidate(&candidates[count++], key, text, near, share, prior) < 0))
            return -1;
    }
    return count;
}

PyObject *aqe_fuse_maps(PyObject *module, PyObject *args)
{
    PyObject *text, *near, *share, *prior, *answer = NULL;
    Py_ssize_t k, count = -1;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!OOn", &PyDict_Type, &text, &PyDict_Type, &near, &share, &prior, &k))
        return NULL;
    if (prior != Py_None && !PyDict_Check(prior))
        return PyErr_Format(PyExc_TypeError, "prior must be a dictionary");
    PyObject *const keys[2] = {PyDict_Keys(text), PyDict_Keys(near)};
    aqe_candidate *candidates = NULL;
    if (keys[0] && keys[1]) {
        candidates = malloc((size_t)(PyList_Size(keys[0]) + PyList_Size(keys[1]) + 1) * sizeof *candidates);
        if (candidates)
            count = read_candidates(candidates, keys, text, near, share, prior);
        else
            PyErr_NoMemory();
    }
    if (count >= 0) {
        Py_ssize_t made = k < count ? k : count;
        aqe_fuse(candidates, (size_t)count, made < 0 ? 0 : (size_t)made);
        answer = PyList_New(made);
        for (Py_ssize_t i = 0; answer && i < made; i++) {
            PyObject *one = as_tuple(&candidates[i]);
            if (!one || PyList_SetItem(answer, i, one) < 0) {
                Py_DECREF(answer);
                answer = NULL;
            }
        }
    }
    free(candidates);
    Py_XDECREF(keys[0]);
    Py_XDECREF(keys[1]);
    return answer;
}

/* One candidate as (row, score, text, near). */
static PyObject *as_found(const aqe_candidate *one)
{
    PyObject *parts[4] = {PyLong_FromLongLong(one->row), PyFloat_FromDouble(one->score),
                          one->has_text ? PyFloat_FromDouble(one->text) : Py_NewRef(Py_None),
                          one->has_near ? PyFloat_FromDouble(one->near) : Py_NewRef(Py_None)};
    PyObject *made = parts[0] && parts[1] && parts[2] && parts[3] ? PyTuple_New(4) : NULL;
    for (int i = 0; i < 4; i++)
        if (made)
            PyTuple_SetItem(made, i, parts[i]); /* takes the part over */
        else
            Py_XDECREF(parts[i]);
    return made;
}

PyObject *aqe_best_of(const aqe_candidate *candidates, Py_ssize_t count)
{
    PyObject *answer = PyList_New(count);
    for (Py_ssize_t i = 0; answer && i < count; i++) {
        PyObject *one = as_found(candidates + i);
        if (!one || PyList_SetItem(answer, i, one) < 0)
            Py_CLEAR(answer);
    }
    return answer;
}

int aqe_take_shares(PyObject *given, aqe_shares *shares, Py_buffer *view)
{
    *shares = (aqe_shares){0};
    view->obj = NULL;
    if (!PyTuple_Check(given)) {
        shares->share = PyFloat_AsDouble(given);
        return PyErr_Occurred() ? -1 : 0;
    }
    if (PyTuple_Size(given) != 3) {
        PyErr_SetString(PyExc_TypeError, "share must be a number, or (share, other, marked)");
        return -1;
    }
    shares->share = PyFloat_AsDouble(PyTuple_GetItem(given, 0));
    shares->other = PyFloat_AsDouble(PyTuple_GetItem(given, 1));
    if (PyErr_Occurred() || aqe_take(PyTuple_GetItem(given, 2), view, 1, "B?b", "marked") < 0)
        return -1;
    shares->marked = view->buf;
    shares->marked_count = (size_t)view->len;
    return 0;
}

PyObject *aqe_joined(const aqe_sides *sides, Py_ssize_t k)
{
    aqe_candidate *candidates = malloc((sides->text_count + sides->near_count + 1) * sizeof *candidates);
    ptrdiff_t count = candidates ? aqe_unite(sides, candidates) : AQE_NO_MEMORY;
    PyObject *answer = NULL;
    if (count == AQE_NO_MEMORY) {
        PyErr_NoMemory();
    } else if (count == AQE_TWICE) {
        PyErr_SetString(PyExc_ValueError, "a row stands twice on one side");
    } else {
        Py_ssize_t made = k < count ? k : count;
        aqe_fuse(candidates, (size_t)count, (size_t)made);
        answer = aqe_best_of(candidates, made);
    }
    free(candidates);
    return answer;
}

enum { TEXT_IDS, TEXT, COSINES, NEAR_IDS, NEAR, WORDS, ARRAYS };

static int are_aligned(const Py_buffer *held)
{
    for (int i = 0; i < ARRAYS; i++)
        if (held[i].shape[0] != held[i < NEAR_IDS ? TEXT_IDS : NEAR_IDS].shape[0]) {
            PyErr_SetString(PyExc_ValueError, "the arrays of a side must be equally long");
            return 0;
        }
    return 1;
}

PyObject *aqe_join_sides(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    static const char *const NAMES[ARRAYS] = {"text_ids", "text_scores", "cosines", "near_ids", "near_scores", "words"};
    static const char *const LETTERS[ARRAYS] = {"qln", "d", "f", "qln", "f", "d"};
    static const Py_ssize_t SIZES[ARRAYS] = {8, 8, 4, 8, 4, 8};
    Py_buffer held[ARRAYS];
    PyObject *answer = NULL;
    int taken = 0;
    (void)module;
    if (count != ARRAYS + 2)
        return PyErr_Format(PyExc_TypeError, "join takes %d arguments, got %zd", ARRAYS + 2, count);
    Py_ssize_t k = PyLong_AsSsize_t(args[ARRAYS + 1]);
    if (PyErr_Occurred())
        return NULL;
    if (k < 0)
        return PyErr_Format(PyExc_ValueError, "k must be 0 or more, got %zd", k);
    aqe_shares shares;
    Py_buffer marked;
    if (aqe_take_shares(args[ARRAYS], &shares, &marked) < 0)
        return NULL;
    while (taken < ARRAYS && aqe_take(args[taken], held + taken, SIZES[taken], LETTERS[taken], NAMES[taken]) == 0)
        taken++;
    if (taken == ARRAYS && are_aligned(held)) {
        aqe_sides sides = {.text_ids = held[TEXT_IDS].buf, .near_ids = held[NEAR_IDS].buf,
                           .text = held[TEXT].buf, .words = held[WORDS].buf,
                           .cosines = held[COSINES].buf, .near = held[NEAR].buf,
                           .text_count = (size_t)held[TEXT_IDS].shape[0],
                           .near_count = (size_t)held[NEAR_IDS].shape[0], .shares = shares};
        answer = aqe_joined(&sides, k);
    }
    while (taken)
        PyBuffer_Release(held + --taken);
    PyBuffer_Release(&marked);
    return answer;
}
