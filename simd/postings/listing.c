/* The Python binding of lists that another index gives. */
#include "module.h"

#include <stdlib.h>
#include <string.h>

#include "listed.h"

static PyObject *bytes_of(const void *items, size_t count)
{
    return PyByteArray_FromStringAndSize(items, (Py_ssize_t)(8 * count));
}

/* The texts of the lists, and in *room how many rows they may hold; NULL with an error set. */
static const char **take_lists(PyObject *texts, size_t count, size_t *sizes, size_t *room)
{
    const char **starts = malloc((count + 1) * sizeof *starts);
    if (!starts)
        return (const char **)PyErr_NoMemory();
    *room = 0;
    for (size_t i = 0; i < count; i++) {
        PyObject *text = PyTuple_GetItem(texts, (Py_ssize_t)i);
        Py_ssize_t size = 0;
        starts[i] = PyUnicode_Check(text) ? PyUnicode_AsUTF8AndSize(text, &size) : NULL;
        if (!starts[i]) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "a list must be a string");
            free(starts);
            return NULL;
        }
        sizes[i] = (size_t)size;
        *room += (size_t)size / 2 + 1;
    }
    return starts;
}

/* What is found in `lists`, whose rows and parts are in `rows` and `parts`, with as much room again behind each. */
static PyObject *ranked(aqe_list *lists, size_t count, const aqe_measure *measure, int64_t *rows, double *parts,
                        size_t room)
{
    size_t unknown = 0, made = 0;
    for (size_t i = 0; i < count; i++)
        unknown += aqe_weigh_list(lists + i, measure, rows + room + unknown);
    if (!unknown)
        made = aqe_sum_lists(lists, count, rows + room, parts + room);
    return Py_BuildValue("(NNN)", bytes_of(rows + room, made), bytes_of(parts + room, made),
                         bytes_of(rows + room, unknown));
}

PyObject *aqe_rank_lists(PyObject *module, PyObject *args)
{
    PyObject *texts, *lengths, *answer = NULL;
    aqe_measure measure;
    Py_buffer length;
    size_t room = 0, used = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!Odddd", &PyTuple_Type, &texts, &lengths, &measure.documents, &measure.mean,
                          &measure.k1, &measure.b) ||
        aqe_take(lengths, &length, 4, "iIl", "lengths") < 0)
        return NULL;
    measure.lengths = length.buf;
    measure.known = (size_t)length.shape[0];
    size_t count = (size_t)PyTuple_Size(texts);
    size_t *sizes = calloc(count + 1, sizeof *sizes);
    aqe_list *lists = calloc(count + 1, sizeof *lists);
    const char **starts = sizes && lists ? take_lists(texts, count, sizes, &room) : NULL;
    int64_t *rows = starts ? malloc(2 * (room + 1) * sizeof *rows) : NULL;
    double *parts = rows ? malloc(2 * (room + 1) * sizeof *parts) : NULL;
    for (size_t i = 0; parts && i < count; i++) {
        lists[i].rows = rows + used;
        lists[i].parts = parts + used;
        if (aqe_read_list(lists + i, starts[i], sizes[i]) == AQE_NO_LIST) {
            PyErr_SetString(PyExc_ValueError, "a list must be of row numbers, rising, with commas between");
            break;
        }
        used += lists[i].count;
    }
    if (parts && !PyErr_Occurred())
        answer = ranked(lists, count, &measure, rows, parts, room);
    else if (!PyErr_Occurred())
        PyErr_NoMemory();
    free(parts);
    free(rows);
    free(starts);
    free(lists);
    free(sizes);
    PyBuffer_Release(&length);
    return answer;
}

static PyObject *chosen(const aqe_choice *choice, size_t k)
{
    size_t room = k < choice->count ? k : choice->count;
    aqe_scored *best = malloc((room + 1) * sizeof *best);
    if (!best)
        return PyErr_NoMemory();
    size_t made = room ? aqe_choose(choice, room, best) : 0;
    PyObject *rows = bytes_of(NULL, made), *scores = bytes_of(NULL, made);
    if (rows && scores) {
        char *row = PyByteArray_AsString(rows), *score = PyByteArray_AsString(scores);
        for (size_t i = 0; i < made; i++) {
            memcpy(row + 8 * i, &best[i].row, 8);
            memcpy(score + 8 * i, &best[i].score, 8);
        }
    }
    free(best);
    return Py_BuildValue("(NN)", rows, scores);
}

enum { ROWS, SCORES, GROUPS, AMONG, ARRAYS };

PyObject *aqe_best_listed(PyObject *module, PyObject *args)
{
    static const char *const NAMES[ARRAYS] = {"rows", "scores", "groups", "among"};
    static const char *const LETTERS[ARRAYS] = {"qln", "d", "iIl", "B?b"};
    static const Py_ssize_t SIZES[ARRAYS] = {8, 8, 4, 1};
    PyObject *given[ARRAYS], *answer = NULL;
    Py_buffer held[ARRAYS];
    Py_ssize_t k;
    int taken = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOOn", &given[ROWS], &given[SCORES], &given[GROUPS], &given[AMONG], &k))
        return NULL;
    int arrays = given[AMONG] == Py_None ? GROUPS : ARRAYS;
    while (taken < arrays && aqe_take(given[taken], held + taken, SIZES[taken], LETTERS[taken], NAMES[taken]) == 0)
        taken++;
    if (taken == arrays) {
        Py_ssize_t count = held[ROWS].shape[0];
        if (held[SCORES].shape[0] != count || (arrays == ARRAYS && held[GROUPS].shape[0] != count) || k < 0) {
            PyErr_SetString(PyExc_ValueError, "rows, scores and groups must be equally many, and k 0 or more");
        } else {
            aqe_choice choice = {.rows = held[ROWS].buf, .scores = held[SCORES].buf, .count = (size_t)count};
            if (arrays == ARRAYS) {
                choice.groups = held[GROUPS].buf;
                choice.among = held[AMONG].buf;
                choice.among_count = (size_t)held[AMONG].shape[0];
            }
            answer = chosen(&choice, (size_t)k);
        }
    }
    while (taken)
        PyBuffer_Release(held + --taken);
    return answer;
}
