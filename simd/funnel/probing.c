/* Lists, the object that holds an inverted file's arrays, and the search that probes them. */
#include <stdlib.h>

#include "module.h"

enum { ARRAYS = 6 };

typedef struct {
    PyObject_HEAD
    aqe_lists as;
    Py_buffer views[ARRAYS];
    size_t view_count;
} lists_object;

/* Do the arrays fit each other? Also finds the number above every row that is named. */
static int fits(lists_object *self)
{
    aqe_lists *of = &self->as;
    size_t block = AQE_HALVES + (size_t)AQE_BLOCK * ((of->dim + 7) / 8);
    size_t blocks = (size_t)self->views[4].len / block, slots = (size_t)self->views[5].len / sizeof(int32_t);
    if (!of->count || !of->dim || (size_t)self->views[0].len != of->count * of->dim || of->starts[0] != 0)
        return 0;
    for (size_t i = 0; i < of->count; i++)
        if (of->starts[i + 1] < of->starts[i])
            return 0;
    size_t end = (size_t)of->starts[of->count];
    if (end > blocks || end > slots / AQE_BLOCK)
        return 0;
    int32_t last = -1;
    for (size_t i = 0; i < end * AQE_BLOCK; i++)
        last = of->row_of[i] > last ? of->row_of[i] : last;
    of->rows = last < INT32_MAX ? last + 1 : last;
    return last < INT32_MAX;
}

static int fill(lists_object *self, PyObject *const *args)
{
    static const char *const NAMES[ARRAYS] = {"centroids", "scales", "halves", "starts", "blocks", "row_of"};
    size_t count = 0;
    for (size_t i = 0; i < ARRAYS; i++) {
        size_t least = i == 2 ? count * sizeof(float) : i == 3 ? (count + 1) * sizeof(int64_t) : 0;
        if (aqe_hold(args[i], self->views + i, least, 0, NAMES[i]) < 0)
            return -1;
        self->view_count++;
        if (i == 1)
            count = (size_t)self->views[i].len / sizeof(float);
    }
    Py_buffer *views = self->views;
    self->as = (aqe_lists){.dim = count ? (size_t)views[0].len / count : 0,
                           .count = count,
                           .centroids = views[0].buf,
                           .scales = views[1].buf,
                           .halves = views[2].buf,
                           .starts = views[3].buf,
                           .blocks = views[4].buf,
                           .row_of = views[5].buf};
    if (fits(self))
        return 0;
    PyErr_SetString(PyExc_ValueError, "the lists do not fit each other");
    return -1;
}

PyObject *aqe_new_lists(PyTypeObject *type, PyObject *args)
{
    PyObject *parts[ARRAYS];
    if (!PyArg_ParseTuple(args, "OOOOOO", parts, parts + 1, parts + 2, parts + 3, parts + 4, parts + 5))
        return NULL;
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    lists_object *self = (lists_object *)make(type, 0);
    if (self && fill(self, parts) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void drop(PyObject *object)
{
    lists_object *self = (lists_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    for (size_t i = 0; i < self->view_count; i++)
        PyBuffer_Release(self->views + i);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyType_Slot SLOTS[] = {{Py_tp_dealloc, drop}, {0, NULL}};
PyType_Spec aqe_lists_spec = {.name = "aqe.simd._funnel.Lists",
                              .basicsize = sizeof(lists_object),
                              .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                              .slots = SLOTS};

typedef struct {
    size_t k, wanted, patience;
    int32_t tail;
    size_t looked;
} asked;

static ptrdiff_t answer(const aqe_snapshot *of, const aqe_lists *lists, asked *what, const float *query, int64_t *ids,
                        float *scores)
{
    aqe_search search;
    void *room = malloc(aqe_room_for(&of->shape));
    ptrdiff_t found = -1;
    if (room && !aqe_search_open(&search, of, query, what->k, NULL, room))
        found = AQE_NOT_FINITE;
    else if (room)
        found = aqe_lists_search(&search, lists, what->wanted, what->patience, what->tail, ids, scores, &what->looked);
    free(room);
    return found >= 0 && aqe_is_damaged(&of->guard) ? AQE_DAMAGED : found;
}

static ptrdiff_t hold_and_answer(const aqe_snapshot *of, const aqe_lists *lists, asked *what, PyObject *const *args)
{
    Py_buffer query, ids, scores;
    ptrdiff_t found = -1;
    if (aqe_hold_query(args[0], &query, of->shape.dim) < 0)
        return -1;
    if (aqe_hold(args[6], &ids, what->k * sizeof(int64_t), 1, "ids") == 0) {
        if (aqe_hold(args[7], &scores, what->k * sizeof(float), 1, "scores") == 0) {
            Py_BEGIN_ALLOW_THREADS
            found = answer(of, lists, what, query.buf, ids.buf, scores.buf);
            Py_END_ALLOW_THREADS
            PyBuffer_Release(&scores);
        }
        PyBuffer_Release(&ids);
    }
    PyBuffer_Release(&query);
    return found;
}

/* Can these lists be of rows of this snapshot? */
static int belong(const aqe_snapshot *of, const aqe_lists *lists)
{
    const aqe_segment *last = of->segments + of->count - 1;
    return of->mean && of->count && lists->dim == of->shape.dim && lists->rows <= last->first + last->rows;
}

PyObject *aqe_probe(PyObject *object, PyTypeObject *type, PyObject *const *args, Py_ssize_t count)
{
    const aqe_snapshot *of = &((aqe_snapshot_object *)object)->as;
    if (count != 8)
        return PyErr_Format(PyExc_TypeError, "probe takes 8 arguments, got %zd", count);
    if (!PyObject_TypeCheck(args[3], type))
        return PyErr_Format(PyExc_TypeError, "lists must be what Kernels.lists made");
    const aqe_lists *lists = &((lists_object *)args[3])->as;
    Py_ssize_t k = PyLong_AsSsize_t(args[1]), wanted = PyLong_AsSsize_t(args[2]), patience = PyLong_AsSsize_t(args[4]);
    long tail = PyLong_AsLong(args[5]);
    if (PyErr_Occurred())
        return NULL;
    if (k < 0 || wanted < 1 || k > AQE_MOST_WANTED || wanted > AQE_MOST_WANTED || patience > AQE_MOST_WANTED || patience < 1 || tail < 0 || tail % AQE_BLOCK || tail > INT32_MAX || !belong(of, lists))
        return PyErr_Format(PyExc_ValueError, "these lists cannot be searched so");
    asked what = {.k = (size_t)k, .wanted = (size_t)wanted, .patience = (size_t)patience, .tail = (int32_t)tail};
    ptrdiff_t found = hold_and_answer(of, lists, &what, args);
    if (found < 0)
        return PyErr_Occurred() ? NULL : aqe_refuse(found);
    return Py_BuildValue("(nn)", (Py_ssize_t)found, (Py_ssize_t)what.looked);
}
