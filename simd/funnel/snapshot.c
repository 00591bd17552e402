/* Snapshot, the object that a search asks: it holds the arrays and caches where they lie. */
#include <stdlib.h>

#include "module.h"

enum { PARTS = 4 + 3 * AQE_FORMS, GUARD = 3 };

/* Take the next buffer of `self`; NULL with an error set, or without one where the object is None. */
static const void *take(aqe_snapshot_object *self, PyObject *object, size_t bytes, size_t *held, const char *name)
{
    if (object == Py_None)
        return NULL;
    Py_buffer *view = self->views + self->view_count;
    if (aqe_hold(object, view, bytes, 0, name) < 0)
        return NULL;
    self->view_count++;
    if (held)
        *held = (size_t)view->len;
    return view->buf;
}

static int take_form(aqe_snapshot_object *self, aqe_segment *segment, int number, PyObject *parts)
{
    static const size_t SIZES[AQE_FORMS] = {4, 2, 1};
    aqe_form *form = segment->forms + number;
    size_t rows = (size_t)segment->rows, item = SIZES[number] * self->as.shape.dim, bytes = 0, scaled = 0;
    PyObject *values = PyTuple_GetItem(parts, 4 + 3 * number), *scales = PyTuple_GetItem(parts, 5 + 3 * number),
             *slots = PyTuple_GetItem(parts, 6 + 3 * number);
    if (values == Py_None)
        return 0;
    form->values = take(self, values, slots == Py_None ? rows * item : 0, &bytes, "values of a segment");
    form->count = bytes / item;
    form->scales = take(self, scales, slots == Py_None ? rows * sizeof(float) : 0, &scaled, "scales of a segment");
    if (scales != Py_None && scaled / sizeof(float) < form->count)
        form->count = scaled / sizeof(float);
    form->slots = take(self, slots, rows * sizeof(int32_t), NULL, "slots of a segment");
    return PyErr_Occurred() ? -1 : 0;
}

static int take_segment(aqe_snapshot_object *self, aqe_segment *segment, PyObject *parts, size_t words)
{
    if (!PyTuple_Check(parts) || PyTuple_Size(parts) != PARTS) {
        PyErr_Format(PyExc_TypeError, "a segment must be a tuple of %d", PARTS);
        return -1;
    }
    long first = PyLong_AsLong(PyTuple_GetItem(parts, 0)), rows = PyLong_AsLong(PyTuple_GetItem(parts, 1));
    if (PyErr_Occurred())
        return -1;
    if (first < 0 || first % AQE_BLOCK || rows < 0 || first > INT32_MAX - rows - AQE_BLOCK
        || words < (size_t)(first + rows + AQE_BLOCK - 1) / AQE_BLOCK) {
        PyErr_Format(PyExc_ValueError, "a segment of %ld rows cannot begin at row %ld", rows, first);
        return -1;
    }
    segment->first = (int32_t)first;
    segment->rows = (int32_t)rows;
    segment->ids = take(self, PyTuple_GetItem(parts, 2), (size_t)rows * sizeof(int64_t), NULL, "ids of a segment");
    size_t blocks = (size_t)(rows + AQE_BLOCK - 1) / AQE_BLOCK * self->as.shape.block_bytes;
    segment->blocks = take(self, PyTuple_GetItem(parts, 3), blocks, NULL, "codes of a segment");
    if (PyErr_Occurred())
        return -1;
    for (int form = 0; form < AQE_FORMS; form++)
        if (take_form(self, segment, form, parts) < 0)
            return -1;
    return 0;
}

static int take_guard(aqe_snapshot_object *self, PyObject *parts)
{
    aqe_guard *guard = &self->as.guard;
    size_t bytes = 0;
    if (parts == Py_None)
        return 0;
    if (!PyTuple_Check(parts) || PyTuple_Size(parts) != GUARD) {
        PyErr_Format(PyExc_TypeError, "a guard must be a tuple of %d", GUARD);
        return -1;
    }
    guard->data = take(self, PyTuple_GetItem(parts, 0), 0, &bytes, "data of a guard");
    guard->pieces = bytes / AQE_PIECE;
    if (PyErr_Occurred() || !guard->data)
        return PyErr_Occurred() ? -1 : 0;
    guard->sums = take(self, PyTuple_GetItem(parts, 1), guard->pieces * sizeof(uint64_t), NULL, "sums of a guard");
    Py_buffer *seen = self->views + self->view_count;
    if (PyErr_Occurred() || aqe_hold(PyTuple_GetItem(parts, 2), seen, guard->pieces + 1, 1, "seen of a guard") < 0)
        return -1;
    self->view_count++;
    guard->seen = guard->sums ? seen->buf : NULL;
    return 0;
}

static int fill(aqe_snapshot_object *self, PyObject *mean, PyObject *live, PyObject *segments, PyObject *guard)
{
    size_t count = (size_t)PyTuple_Size(segments), bytes = 0;
    self->views = calloc(count * PARTS + 2 + GUARD, sizeof *self->views);
    self->as.segments = calloc(count + 1, sizeof *self->as.segments);
    if (!self->views || !self->as.segments) {
        PyErr_NoMemory();
        return -1;
    }
    self->as.count = count;
    self->as.mean = take(self, mean, self->as.shape.dim * sizeof(float), NULL, "mean");
    if (PyErr_Occurred())
        return -1;
    self->as.live = take(self, live, 0, &bytes, "live");
    if (PyErr_Occurred())
        return -1;
    for (size_t i = 0; i < count; i++) {
        PyObject *parts = PyTuple_GetItem(segments, (Py_ssize_t)i);
        if (take_segment(self, self->as.segments + i, parts, bytes / sizeof(uint64_t)) < 0)
            return -1;
    }
    return take_guard(self, guard);
}

PyObject *aqe_refuse(ptrdiff_t found)
{
    if (found == AQE_NOT_FINITE)
        return PyErr_Format(PyExc_ValueError, "query holds NaN, infinity or, but for cosine, an item beyond 1e15");
    if (found == AQE_DAMAGED)
        return PyErr_Format(PyExc_ValueError, "the file of these vectors is damaged: what was read is not what was saved");
    return PyErr_NoMemory();
}

PyObject *aqe_new_snapshot(const aqe_funnel_path *path, PyTypeObject *type, PyObject *args)
{
    int metric, direct, cut;
    Py_ssize_t dim;
    double unit_f, unit_k, spread, reach, grain;
    PyObject *mean, *live, *segments, *guard = Py_None;
    aqe_shape shape;
    if (!PyArg_ParseTuple(args, "inO(dddddii)OO!|O", &metric, &dim, &mean, &unit_f, &unit_k, &spread, &reach, &grain,
                          &direct, &cut, &live, &PyTuple_Type, &segments, &guard))
        return NULL;
    if (aqe_shape_of(&shape, metric, dim, unit_f, unit_k) < 0)
        return NULL;
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    aqe_snapshot_object *self = (aqe_snapshot_object *)make(type, 0);
    if (!self)
        return NULL;
    self->as.path = path;
    self->as.shape = shape;
    self->as.spread = (float)spread;
    self->as.reach = (float)reach;
    self->as.grain = (float)grain;
    self->as.direct = direct;
    self->as.cut = cut;
    if (fill(self, mean, live, segments, guard) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void drop(PyObject *object)
{
    aqe_snapshot_object *self = (aqe_snapshot_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    for (size_t i = 0; i < self->view_count; i++)
        PyBuffer_Release(self->views + i);
    free(self->views);
    free(self->as.segments);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* What a search takes and where it writes. */
typedef struct {
    Py_buffer query, allow, ids, scores;
    size_t held;
} holds;

static int hold_all(const aqe_snapshot *of, PyObject *const *args, size_t k, holds *held)
{
    size_t words = 0;
    if (of->count) {
        const aqe_segment *last = of->segments + of->count - 1;
        words = (size_t)(last->first + last->rows + AQE_BLOCK - 1) / AQE_BLOCK;
    }
    held->allow.buf = NULL;
    if (aqe_hold_query(args[0], &held->query, of->shape.dim) < 0)
        return -1;
    if (args[3] != Py_None && aqe_hold(args[3], &held->allow, words * sizeof(uint64_t), 0, "allow") < 0)
        goto without_allow;
    if (aqe_hold(args[4], &held->ids, k * sizeof(int64_t), 1, "ids") < 0)
        goto without_ids;
    if (aqe_hold(args[5], &held->scores, k * sizeof(float), 1, "scores") == 0)
        return 0;
    PyBuffer_Release(&held->ids);
without_ids:
    if (held->allow.buf)
        PyBuffer_Release(&held->allow);
without_allow:
    PyBuffer_Release(&held->query);
    return -1;
}

static void let_go(holds *held)
{
    PyBuffer_Release(&held->query);
    if (held->allow.buf)
        PyBuffer_Release(&held->allow);
    PyBuffer_Release(&held->ids);
    PyBuffer_Release(&held->scores);
}

static ptrdiff_t answer(const aqe_snapshot *of, holds *held, size_t k, size_t wanted)
{
    aqe_search search;
    void *room = malloc(aqe_room_for(&of->shape));
    ptrdiff_t found = -1;
    if (room && !aqe_search_open(&search, of, held->query.buf, k, held->allow.buf, room))
        found = AQE_NOT_FINITE;
    else if (room)
        found = aqe_search_run(&search, wanted, held->ids.buf, held->scores.buf);
    free(room);
    return found >= 0 && aqe_is_damaged(&of->guard) ? AQE_DAMAGED : found;
}

/* search(query, k, candidates, allow, ids, scores) */
static PyObject *search(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    const aqe_snapshot *of = &((aqe_snapshot_object *)object)->as;
    holds held;
    if (count != 6)
        return PyErr_Format(PyExc_TypeError, "search takes 6 arguments, got %zd", count);
    Py_ssize_t k = PyLong_AsSsize_t(args[1]), wanted = PyLong_AsSsize_t(args[2]);
    if (PyErr_Occurred())
        return NULL;
    if (k < 0 || wanted < 0 || k > AQE_MOST_WANTED || wanted > AQE_MOST_WANTED)
        return PyErr_Format(PyExc_ValueError, "k and candidates must be from 0 to 2^40, got %zd and %zd", k, wanted);
    if (hold_all(of, args, (size_t)k, &held) < 0)
        return NULL;
    ptrdiff_t found;
    Py_BEGIN_ALLOW_THREADS
    found = answer(of, &held, (size_t)k, (size_t)wanted);
    Py_END_ALLOW_THREADS
    let_go(&held);
    return found < 0 ? aqe_refuse(found) : PyLong_FromSsize_t(found);
}

static PyObject *probe(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return aqe_probe(object, aqe_lists_type(Py_TYPE(object)), args, count);
}

static PyMethodDef METHODS[] = {
    {"search", (PyCFunction)(void (*)(void))search, METH_FASTCALL,
     "search($self, query, k, candidates, allow, ids, scores, /)\n--\n\nWrite the best k; how many."},
    {"probe", (PyCFunction)(void (*)(void))probe, METH_FASTCALL,
     "probe($self, query, k, candidates, lists, patience, tail, ids, scores, /)\n--\n\nThe same over lists."},
    {"measure", (PyCFunction)(void (*)(void))aqe_measure, METH_FASTCALL,
     "measure($self, query, wanted, ids, rows, scores, /)\n--\n\nWrite the score of each row that is wanted."},
    {"near", aqe_hand_over, METH_NOARGS, "near($self, /)\n--\n\nWhat other extensions may ask of this."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot SLOTS[] = {{Py_tp_dealloc, drop}, {Py_tp_methods, METHODS}, {0, NULL}};
PyType_Spec aqe_snapshot_spec = {.name = "aqe.simd._funnel.Snapshot",
                                 .basicsize = sizeof(aqe_snapshot_object),
                                 .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                 .slots = SLOTS};
