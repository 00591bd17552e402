/* The Python binding of the funnel: PATHS, one Kernels object a path. It checks buffers and computes nothing. */
#include "module.h"

typedef struct {
    PyTypeObject *snapshot, *lists, *kernels;
} types;

static types *types_of(PyObject *kernels)
{
    return PyType_GetModuleState(Py_TYPE(kernels));
}

static const aqe_funnel_path *path_of(PyObject *kernels)
{
    return ((aqe_kernels_object *)kernels)->path;
}

static PyObject *snapshot(PyObject *self, PyObject *args)
{
    return aqe_new_snapshot(path_of(self), types_of(self)->snapshot, args);
}

static PyObject *lists(PyObject *self, PyObject *args)
{
    return aqe_new_lists(types_of(self)->lists, args);
}

PyTypeObject *aqe_lists_type(PyTypeObject *of)
{
    types *held = PyType_GetModuleState(of);
    return held->lists;
}

/* Rows of `dim` float32 items: how many, or -1 with an error set. */
static Py_ssize_t hold_rows(PyObject *object, Py_buffer *view, Py_ssize_t *dim)
{
    if (PyObject_GetBuffer(object, view, PyBUF_ND | PyBUF_FORMAT) < 0)
        return -1;
    if (view->ndim == 2 && view->itemsize == 4) {
        *dim = view->shape[1];
        return view->shape[0];
    }
    PyErr_SetString(PyExc_ValueError, "rows must be float32 in 2 dimensions");
    PyBuffer_Release(view);
    return -1;
}

typedef struct {
    Py_buffer rows, centre, mean, blocks, slots;
    Py_ssize_t count, first;
    const aqe_funnel_path *path;
} coded;

static int fits(const coded *of, const aqe_shape *shape)
{
    Py_ssize_t most = of->blocks.len / (Py_ssize_t)shape->block_bytes * AQE_BLOCK;
    if (!of->slots.buf)
        return of->first >= 0 && of->first <= most && of->count <= most - of->first;
    const int64_t *slots = of->slots.buf;
    for (Py_ssize_t i = 0; i < of->count; i++)
        if (slots[i] < 0 || slots[i] >= most)
            return 0;
    return 1;
}

static Py_ssize_t encode_all(const coded *of, const aqe_shape *shape)
{
    const int64_t *slots = of->slots.buf;
    Py_ssize_t cut = 0;
    for (Py_ssize_t i = 0; i < of->count; i++) {
        size_t slot = (size_t)(slots ? slots[i] : of->first + i);
        cut += aqe_encode(of->path, shape, (const float *)of->rows.buf + (size_t)i * shape->dim, of->centre.buf,
                          of->mean.buf, (uint8_t *)of->blocks.buf + slot / AQE_BLOCK * shape->block_bytes,
                          slot % AQE_BLOCK);
    }
    return cut;
}

static PyObject *encode_held(coded *of, const aqe_shape *shape)
{
    if (!fits(of, shape)) {
        PyErr_SetString(PyExc_ValueError, "a slot lies outside blocks");
        return NULL;
    }
    Py_ssize_t cut;
    Py_BEGIN_ALLOW_THREADS
    cut = encode_all(of, shape);
    Py_END_ALLOW_THREADS
    return PyLong_FromSsize_t(cut);
}

static PyObject *encode_slots(coded *of, const aqe_shape *shape, PyObject *slots)
{
    of->slots.buf = NULL;
    if (PyLong_Check(slots)) {
        of->first = PyLong_AsSsize_t(slots);
        return PyErr_Occurred() ? NULL : encode_held(of, shape);
    }
    if (aqe_hold(slots, &of->slots, (size_t)of->count * sizeof(int64_t), 0, "slots") < 0)
        return NULL;
    PyObject *done = encode_held(of, shape);
    PyBuffer_Release(&of->slots);
    return done;
}

static PyObject *encode_rows(coded *of, const aqe_shape *shape, PyObject *const vectors[2], PyObject *slots,
                             PyObject *blocks)
{
    PyObject *done = NULL;
    size_t bytes = shape->dim * sizeof(float);
    if (aqe_hold(vectors[0], &of->centre, bytes, 0, "centre") < 0)
        return NULL;
    if (aqe_hold(vectors[1], &of->mean, bytes, 0, "mean") == 0) {
        if (aqe_hold(blocks, &of->blocks, 0, 1, "blocks") == 0) {
            done = encode_slots(of, shape, slots);
            PyBuffer_Release(&of->blocks);
        }
        PyBuffer_Release(&of->mean);
    }
    PyBuffer_Release(&of->centre);
    return done;
}

/* encode(metric, units, rows, centre, mean, slots, blocks) */
static PyObject *encode(PyObject *self, PyObject *args)
{
    int metric;
    double unit_f, unit_k;
    PyObject *rows, *vectors[2], *slots, *blocks, *done = NULL;
    Py_ssize_t dim;
    aqe_shape shape;
    coded of = {.path = path_of(self)};
    if (!PyArg_ParseTuple(args, "i(dd)OOOOO", &metric, &unit_f, &unit_k, &rows, vectors, vectors + 1, &slots, &blocks))
        return NULL;
    if ((of.count = hold_rows(rows, &of.rows, &dim)) < 0)
        return NULL;
    if (aqe_shape_of(&shape, metric, dim, unit_f, unit_k) == 0)
        done = encode_rows(&of, &shape, vectors, slots, blocks);
    PyBuffer_Release(&of.rows);
    return done;
}

static void quantise_all(const Py_buffer *rows, Py_ssize_t count, Py_ssize_t dim, int8_t *values, float *scales)
{
    for (Py_ssize_t i = 0; i < count; i++)
        scales[i] = aqe_quantise((const float *)rows->buf + i * dim, (size_t)dim, values + i * dim);
}

/* int8(rows, values, scales) */
static PyObject *int8(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *from, *to, *factors, *done = NULL;
    Py_buffer rows, values, scales;
    Py_ssize_t count, dim;
    if (!PyArg_ParseTuple(args, "OOO", &from, &to, &factors) || (count = hold_rows(from, &rows, &dim)) < 0)
        return NULL;
    if (aqe_hold(to, &values, (size_t)(count * dim), 1, "values") == 0) {
        if (aqe_hold(factors, &scales, (size_t)count * sizeof(float), 1, "scales") == 0) {
            Py_BEGIN_ALLOW_THREADS
            quantise_all(&rows, count, dim, values.buf, scales.buf);
            Py_END_ALLOW_THREADS
            done = Py_NewRef(Py_None);
            PyBuffer_Release(&scales);
        }
        PyBuffer_Release(&values);
    }
    PyBuffer_Release(&rows);
    return done;
}

static int unit_all(const Py_buffer *rows, Py_ssize_t count, Py_ssize_t dim, float *out)
{
    int finite = 1;
    for (Py_ssize_t i = 0; i < count; i++)
        finite &= aqe_unit((const float *)rows->buf + i * dim, (size_t)dim, out + i * dim);
    return finite;
}

/* unit(rows, out) */
static PyObject *unit(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *from, *to;
    Py_buffer rows, out;
    Py_ssize_t count, dim;
    int finite = 0;
    if (!PyArg_ParseTuple(args, "OO", &from, &to) || (count = hold_rows(from, &rows, &dim)) < 0)
        return NULL;
    if (aqe_hold(to, &out, (size_t)(count * dim) * sizeof(float), 1, "out") == 0) {
        Py_BEGIN_ALLOW_THREADS
        finite = unit_all(&rows, count, dim, out.buf);
        Py_END_ALLOW_THREADS
        PyBuffer_Release(&out);
        if (!finite)
            PyErr_SetString(PyExc_ValueError, "rows hold NaN or infinity");
    }
    PyBuffer_Release(&rows);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *name(PyObject *self, void *closure)
{
    (void)closure;
    return PyUnicode_FromString(aqe_isa_name(path_of(self)->isa));
}

static void drop(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef METHODS[] = {
    {"snapshot", snapshot, METH_VARARGS,
     "snapshot($self, metric, dim, mean, units, live, segments, guard=None, /)\n--\n\nWhat a search sees."},
    {"lists", lists, METH_VARARGS,
     "lists($self, centroids, scales, halves, starts, blocks, row_of, /)\n--\n\nWhat Snapshot.probe takes."},
    {"encode", encode, METH_VARARGS,
     "encode($self, metric, units, rows, centre, mean, slots, blocks, /)\n--\n\nWrite the codes of rows; how many were cut."},
    {"int8", int8, METH_VARARGS, "int8($self, rows, values, scales, /)\n--\n\nWrite int8 items and scales of rows."},
    {"sums", aqe_write_sums, METH_VARARGS, "sums($self, data, out, /)\n--\n\nWrite the sum of each piece."},
    {"look", aqe_look, METH_VARARGS,
     "look($self, data, sums, seen, starts, size, /)\n--\n\nLook at pieces that were not seen."},
    {"bound", (PyCFunction)(void (*)(void))aqe_bound, METH_FASTCALL,
     "bound($self, query, values, scales, /)\n--\n\nThe highest product with rows of int8."},
    {"unit", unit, METH_VARARGS, "unit($self, rows, out, /)\n--\n\nWrite rows, brought to length one."},
    {NULL, NULL, 0, NULL},
};
static PyGetSetDef FIELDS[] = {{"name", name, NULL, "The path.", NULL}, {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot SLOTS[] = {{Py_tp_dealloc, drop}, {Py_tp_methods, METHODS}, {Py_tp_getset, FIELDS}, {0, NULL}};
static PyType_Spec SPEC = {.name = "aqe.simd._funnel.Kernels",
                           .basicsize = sizeof(aqe_kernels_object),
                           .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                           .slots = SLOTS};

static PyObject *kernels_of(const aqe_funnel_path *path, PyTypeObject *type)
{
    PyObject *made = ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (made)
        ((aqe_kernels_object *)made)->path = path;
    return made;
}

static int fill(PyObject *module)
{
    types *held = PyModule_GetState(module);
    const aqe_funnel_path *path;
    held->snapshot = (PyTypeObject *)PyType_FromModuleAndSpec(module, &aqe_snapshot_spec, NULL);
    held->lists = (PyTypeObject *)PyType_FromModuleAndSpec(module, &aqe_lists_spec, NULL);
    held->kernels = (PyTypeObject *)PyType_FromModuleAndSpec(module, &SPEC, NULL);
    PyObject *paths = held->snapshot && held->lists && held->kernels ? PyDict_New() : NULL;
    for (size_t i = 0; paths && (path = aqe_funnel_path_at(i)); i++) {
        PyObject *made = kernels_of(path, held->kernels);
        if (!made || PyDict_SetItemString(paths, aqe_isa_name(path->isa), made) < 0)
            Py_CLEAR(paths);
        Py_XDECREF(made);
    }
    int failed = !paths || PyModule_AddObjectRef(module, "PATHS", paths) < 0
                 || PyModule_AddType(module, held->snapshot) < 0 || PyModule_AddType(module, held->lists) < 0
                 || PyModule_AddType(module, held->kernels) < 0;
    Py_XDECREF(paths);
    return failed ? -1 : 0;
}

static int visit_types(PyObject *module, visitproc visit, void *arg)
{
    types *held = PyModule_GetState(module);
    Py_VISIT(held->snapshot);
    Py_VISIT(held->lists);
    Py_VISIT(held->kernels);
    return 0;
}

static int clear_types(PyObject *module)
{
    types *held = PyModule_GetState(module);
    Py_CLEAR(held->snapshot);
    Py_CLEAR(held->lists);
    Py_CLEAR(held->kernels);
    return 0;
}

static PyModuleDef_Slot MODULE_SLOTS[] = {{Py_mod_exec, fill}, {0, NULL}};
static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT,
                                    .m_name = "_funnel",
                                    .m_doc = "The funnel of a nearest-neighbour search, one Kernels a path.",
                                    .m_size = sizeof(types),
                                    .m_slots = MODULE_SLOTS,
                                    .m_traverse = visit_types,
                                    .m_clear = clear_types};

PyMODINIT_FUNC PyInit__funnel(void)
{
    return PyModuleDef_Init(&MODULE);
}
