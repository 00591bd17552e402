/* The Python binding of odds.c: takes bytes and ASCII texts, and lets other threads run while a long one is read. */
#include "binding.h"

#include <stdlib.h>
#include <string.h>

#include "odds.h"

static const char ODDS[] = "aqe.simd.odds";
enum { MOST_CHARACTERS = 20000 /* as in _odds.py */, SHORT = 4000 };

static void forget(PyObject *capsule)
{
    aqe_odds_free(PyCapsule_GetPointer(capsule, ODDS));
}

/* The bytes of an object that holds exactly `size` of them, NULL with an error set. */
static const char *exactly(PyObject *object, size_t size, const char *name)
{
    char *start;
    Py_ssize_t found;
    if (PyBytes_AsStringAndSize(object, &start, &found) < 0)
        return NULL;
    if ((size_t)found == size)
        return start;
    PyErr_Format(PyExc_ValueError, "%s must have %zu bytes, got %zd", name, size, found);
    return NULL;
}

static aqe_text *words_in(PyObject *tuple, size_t count)
{
    aqe_text *words = calloc(count + 1, sizeof *words);
    if (!words)
        return (aqe_text *)PyErr_NoMemory();
    for (size_t i = 0; i < count; i++) {
        char *start;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(tuple, (Py_ssize_t)i), &start, &size) < 0) {
            free(words);
            return NULL;
        }
        words[i] = (aqe_text){(const unsigned char *)start, (size_t)size};
    }
    return words;
}

/* odds(bias, features, words, weighed, seed): 16 x 5 doubles, a tuple of bytes, and two doubles for each of them. */
PyObject *aqe_odds_model(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *features, *words, *weighed, *capsule;
    unsigned long long seed;
    double bias;
    if (!PyArg_ParseTuple(args, "dSO!SK", &bias, &features, &PyTuple_Type, &words, &weighed, &seed))
        return NULL;
    size_t count = (size_t)PyTuple_Size(words);
    aqe_feature held[AQE_FEATURES];
    const char *given = exactly(features, sizeof held, "features");
    const char *numbers = given ? exactly(weighed, count * sizeof(aqe_word), "weighed") : NULL;
    aqe_word *copied = numbers ? malloc((count + 1) * sizeof *copied) : NULL;
    aqe_text *texts = copied ? words_in(words, count) : NULL;
    if (!texts) {
        free(copied);
        return numbers && !copied ? PyErr_NoMemory() : NULL;
    }
    memcpy(held, given, sizeof held);
    memcpy(copied, numbers, count * sizeof *copied);
    aqe_odds *made = aqe_odds_new(bias, held, texts, copied, count, seed);
    free(texts);
    free(copied);
    if (!made)
        return PyErr_NoMemory();
    capsule = PyCapsule_New(made, ODDS, forget);
    if (!capsule)
        aqe_odds_free(made);
    return capsule;
}

/* log_odds(odds, text): a float; the text is ASCII. */
PyObject *aqe_log_odds(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "log_odds takes 2 arguments, got %zd", count);
    const aqe_odds *odds = PyCapsule_GetPointer(args[0], ODDS);
    Py_ssize_t size, length;
    const char *start = odds ? PyUnicode_AsUTF8AndSize(args[1], &size) : NULL;
    if (!start || (length = PyUnicode_GetLength(args[1])) < 0)
        return NULL;
    if (size != length)
        return PyErr_Format(PyExc_ValueError, "the text must be ASCII");
    aqe_text text = {(const unsigned char *)start, (size_t)(size < MOST_CHARACTERS ? size : MOST_CHARACTERS)};
    double answer = 0;
    PyThreadState *others = text.size > SHORT ? PyEval_SaveThread() : NULL;
    int failed = aqe_odds_of(odds, text, (size_t)length, &answer) < 0;
    if (others)
        PyEval_RestoreThread(others);
    return failed ? PyErr_NoMemory() : PyFloat_FromDouble(answer);
}

/* odds_word(odds, word): its weight and rarity, None where it is none of the words. */
PyObject *aqe_odds_of_word(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "odds_word takes 2 arguments, got %zd", count);
    const aqe_odds *odds = PyCapsule_GetPointer(args[0], ODDS);
    char *start;
    Py_ssize_t size;
    if (!odds || PyBytes_AsStringAndSize(args[1], &start, &size) < 0)
        return NULL;
    const aqe_word *found = aqe_odds_word(odds, (aqe_text){(const unsigned char *)start, (size_t)size});
    if (!found)
        Py_RETURN_NONE;
    return Py_BuildValue("dd", found->weight, found->rarity);
}
