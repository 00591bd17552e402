/* The Python binding of the tokeniser: takes bytes and buffers, holds them, and lets other threads run meanwhile. */
#include "binding.h"

#include <stdlib.h>
#include <string.h>

#include "tokenise.h"

static const char VOCABULARY[] = "aqe.simd.vocabulary", EMBEDDING[] = "aqe.simd.embedding";
enum { SHORT = 4000 }; /* bytes of a text that is done sooner than other threads would have begun */

static int take_bytes(PyObject *object, aqe_text *text, const char *name)
{
    char *start;
    Py_ssize_t size;
    if (!PyBytes_Check(object)) {
        PyObject *kind = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__name__");
        if (kind)
            PyErr_Format(PyExc_TypeError, "%s must be bytes, got %U", name, kind);
        Py_XDECREF(kind);
        return -1;
    }
    if (PyBytes_AsStringAndSize(object, &start, &size) < 0)
        return -1;
    *text = (aqe_text){(const unsigned char *)start, (size_t)size};
    return 0;
}

/* The items of a tuple as texts, to be freed; NULL with an error set. The tuple keeps their bytes alive. */
static aqe_text *take_texts(PyObject *tuple, size_t count, const char *name)
{
    aqe_text *texts = calloc(count + 1, sizeof *texts);
    if (!texts)
        return (aqe_text *)PyErr_NoMemory();
    for (size_t i = 0; i < count; i++)
        if (take_bytes(PyTuple_GetItem(tuple, (Py_ssize_t)i), texts + i, name) < 0) {
            free(texts);
            return NULL;
        }
    return texts;
}

PyObject *aqe_tokens(PyObject *self, PyObject *data)
{
    (void)self;
    unsigned char stem[AQE_LONGEST];
    size_t place = 0, size;
    aqe_text text;
    if (take_bytes(data, &text, "data") < 0)
        return NULL;
    PyObject *stems = PyList_New(0);
    while (stems && (size = aqe_next_stem(text, &place, stem))) {
        PyObject *item = PyBytes_FromStringAndSize((const char *)stem, (Py_ssize_t)size);
        if (!item || PyList_Append(stems, item) < 0)
            Py_CLEAR(stems);
        Py_XDECREF(item);
    }
    return stems;
}

static void forget(PyObject *capsule)
{
    aqe_vocabulary_free(PyCapsule_GetPointer(capsule, VOCABULARY));
}

/* vocabulary(words, buckets, seed): the package has checked that words are distinct and of a fit size. */
PyObject *aqe_vocabulary_of(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *words, *capsule = NULL;
    unsigned int buckets;
    unsigned long long seed;
    if (!PyArg_ParseTuple(args, "O!IK", &PyTuple_Type, &words, &buckets, &seed))
        return NULL;
    size_t count = (size_t)PyTuple_Size(words);
    aqe_text *texts = take_texts(words, count, "a word");
    if (!texts)
        return NULL;
    aqe_vocabulary *made = aqe_vocabulary_new(texts, count, buckets, seed);
    free(texts);
    if (!made)
        return PyErr_NoMemory();
    capsule = PyCapsule_New(made, VOCABULARY, forget);
    if (!capsule)
        aqe_vocabulary_free(made);
    return capsule;
}

static PyObject *as_lists(const aqe_share *shares, size_t count)
{
    PyObject *rows = PyList_New((Py_ssize_t)count), *weights = PyList_New((Py_ssize_t)count), *answer = NULL;
    for (size_t i = 0; rows && weights && i < count; i++) {
        PyObject *row = PyLong_FromLong(shares[i].row), *weight = PyFloat_FromDouble(shares[i].weight);
        if (!row || !weight) {
            Py_XDECREF(row);
            Py_XDECREF(weight);
            goto done;
        }
        PyList_SetItem(rows, (Py_ssize_t)i, row);
        PyList_SetItem(weights, (Py_ssize_t)i, weight);
    }
    if (rows && weights)
        answer = PyTuple_Pack(2, rows, weights);
done:
    Py_XDECREF(rows);
    Py_XDECREF(weights);
    return answer;
}

PyObject *aqe_bag_of(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *capsule, *data, *answer = NULL;
    aqe_text text;
    size_t count;
    double k;
    int failed = 1;
    if (!PyArg_ParseTuple(args, "OOd", &capsule, &data, &k) || take_bytes(data, &text, "data") < 0)
        return NULL;
    const aqe_vocabulary *vocabulary = PyCapsule_GetPointer(capsule, VOCABULARY);
    if (!vocabulary)
        return NULL;
    aqe_bag *bag = aqe_bag_new(vocabulary);
    if (bag) {
        Py_BEGIN_ALLOW_THREADS
        failed = aqe_bag_fill(bag, text, k) < 0;
        Py_END_ALLOW_THREADS
    }
    if (failed)
        PyErr_NoMemory();
    else {
        const aqe_share *shares = aqe_bag_shares(bag, &count);
        answer = as_lists(shares, count);
    }
    aqe_bag_free(bag);
    return answer;
}

static int fits(const aqe_vocabulary *vocabulary, const Py_buffer *rows, const Py_buffer *scales, const Py_buffer *out,
                size_t texts)
{
    Py_ssize_t needed = (Py_ssize_t)aqe_vocabulary_rows(vocabulary);
    if (rows->shape[0] != needed)
        PyErr_Format(PyExc_ValueError, "rows has %zd rows and the vocabulary %zd: they must be equal", rows->shape[0],
                     needed);
    else if (scales->shape[0] != needed)
        PyErr_Format(PyExc_ValueError, "scales has %zd items and the vocabulary %zd rows: they must be equal",
                     scales->shape[0], needed);
    else if (out->shape[0] != (Py_ssize_t)texts || out->shape[1] != rows->shape[1])
        PyErr_Format(PyExc_ValueError, "out must be %zd x %zd, got %zd x %zd", (Py_ssize_t)texts, rows->shape[1],
                     out->shape[0], out->shape[1]);
    else
        return 1;
    return 0;
}

static int embed(const aqe_path *path, const aqe_vocabulary *vocabulary, PyObject *texts, const Py_buffer views[3],
                 double k)
{
    size_t count = (size_t)PyTuple_Size(texts);
    int failed = 1;
    if (!fits(vocabulary, views, views + 1, views + 2, count))
        return -1;
    aqe_text *taken = take_texts(texts, count, "a text");
    if (!taken)
        return -1;
    aqe_table table = {views[0].buf, views[1].buf, (size_t)views[0].shape[1]};
    Py_BEGIN_ALLOW_THREADS
    failed = aqe_embed(path, vocabulary, &table, taken, count, k, views[2].buf);
    Py_END_ALLOW_THREADS
    free(taken);
    if (failed)
        PyErr_NoMemory();
    return failed;
}

/* embed(vocabulary, texts, rows, scales, k, out): fills out, a float32 matrix with a row for each text. */
PyObject *aqe_embed_texts(PyObject *self, PyObject *args)
{
    static const char *const NAMES[3] = {"rows", "scales", "out"};
    static const char FORMATS[3] = {'b', 'f', 'f'};
    static const int DIMENSIONS[3] = {2, 1, 2};
    PyObject *capsule, *texts, *objects[3];
    Py_buffer views[3];
    int held = 0, failed = 1;
    double k;
    if (!PyArg_ParseTuple(args, "OO!OOdO", &capsule, &PyTuple_Type, &texts, objects, objects + 1, &k, objects + 2))
        return NULL;
    const aqe_vocabulary *vocabulary = PyCapsule_GetPointer(capsule, VOCABULARY);
    if (!vocabulary)
        return NULL;
    while (held < 3 && aqe_take(objects[held], views + held, FORMATS[held], held == 2, DIMENSIONS[held], NAMES[held]) == 0)
        held++;
    if (held == 3)
        failed = embed(aqe_path_of(self), vocabulary, texts, views, k);
    while (held-- > 0)
        PyBuffer_Release(views + held);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

/* A vocabulary with the table behind it, held for as long as anybody asks for vectors. */
typedef struct {
    PyObject *capsule;
    const aqe_vocabulary *vocabulary;
    Py_buffer rows, scales;
    double k;
} embedding;

static void let_go(PyObject *capsule)
{
    embedding *held = PyCapsule_GetPointer(capsule, EMBEDDING);
    PyBuffer_Release(&held->rows);
    PyBuffer_Release(&held->scales);
    Py_DECREF(held->capsule);
    free(held);
}

static int takes(embedding *held, PyObject *rows, PyObject *scales)
{
    Py_ssize_t needed = (Py_ssize_t)aqe_vocabulary_rows(held->vocabulary);
    if (aqe_take(rows, &held->rows, 'b', 0, 2, "rows") < 0)
        return 0;
    if (aqe_take(scales, &held->scales, 'f', 0, 1, "scales") == 0) {
        if (held->rows.shape[0] == needed && held->scales.shape[0] == needed)
            return 1;
        PyErr_Format(PyExc_ValueError, "rows and scales have %zd and %zd rows and the vocabulary %zd: they must be equal",
                     held->rows.shape[0], held->scales.shape[0], needed);
        PyBuffer_Release(&held->scales);
    }
    PyBuffer_Release(&held->rows);
    return 0;
}

/* embedding(vocabulary, rows, scales, k): a handle for `vector`. */
PyObject *aqe_embedding_of(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *vocabulary, *rows, *scales, *capsule;
    double k;
    if (!PyArg_ParseTuple(args, "OOOd", &vocabulary, &rows, &scales, &k))
        return NULL;
    const aqe_vocabulary *words = PyCapsule_GetPointer(vocabulary, VOCABULARY);
    embedding *held = words ? calloc(1, sizeof *held) : NULL;
    if (!held)
        return words ? PyErr_NoMemory() : NULL;
    held->vocabulary = words;
    held->k = k;
    if (!takes(held, rows, scales)) {
        free(held);
        return NULL;
    }
    Py_INCREF(vocabulary);
    held->capsule = vocabulary;
    capsule = PyCapsule_New(held, EMBEDDING, let_go);
    if (!capsule) {
        PyBuffer_Release(&held->rows);
        PyBuffer_Release(&held->scales);
        Py_DECREF(vocabulary);
        free(held);
    }
    return capsule;
}

/* vector(embedding, data): the unit vector of one text as float32 bytes. */
PyObject *aqe_vector_of(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    aqe_text text;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "vector takes 2 arguments, got %zd", count);
    const embedding *held = PyCapsule_GetPointer(args[0], EMBEDDING);
    if (!held || take_bytes(args[1], &text, "data") < 0)
        return NULL;
    aqe_table table = {held->rows.buf, held->scales.buf, (size_t)held->rows.shape[1]};
    PyObject *answer = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(table.dimension * sizeof(float)));
    if (!answer)
        return NULL;
    char *out = PyByteArray_AsString(answer);
    PyThreadState *others = text.size > SHORT ? PyEval_SaveThread() : NULL;
    int failed = aqe_embed(aqe_path_of(self), held->vocabulary, &table, &text, 1, held->k, out) < 0;
    if (others)
        PyEval_RestoreThread(others);
    if (!failed)
        return answer;
    Py_DECREF(answer);
    return PyErr_NoMemory();
}
