/* The calls that must cost nothing: pairs and rows of plain arrays. What is not such a call (two matrices, long vectors,
   a dtype= that says more, anything wrong) goes on to the function of the same name in aqe.simd._forms, which checks,
   words the errors and has all other forms. */
#include "arrays.h"

/* Longer vectors are computed without the GIL, so they must be held as buffers. */
enum { LONGEST_QUICK = 1 << 15 };

/* Call aqe.simd._forms.<name>(self, *args, **names). */
static PyObject *go_on(const char *name, PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t named = names ? PyTuple_Size(names) : 0;
    PyObject *forms = PyImport_ImportModule("aqe.simd._forms"), *answer = NULL;
    PyObject *function = forms ? PyObject_GetAttrString(forms, name) : NULL;
    PyObject *listed = PyTuple_New(count + 1), *given = PyDict_New();
    if (count)
        aqe_meet_arrays(args[0]);
    if (!function || !listed || !given)
        goto done;
    Py_INCREF(self);
    PyTuple_SetItem(listed, 0, self);
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_INCREF(args[i]);
        PyTuple_SetItem(listed, i + 1, args[i]);
    }
    for (Py_ssize_t i = 0; i < named; i++)
        if (PyDict_SetItem(given, PyTuple_GetItem(names, i), args[count + i]) < 0)
            goto done;
    answer = PyObject_Call(function, listed, given);
done:
    Py_XDECREF(forms);
    Py_XDECREF(function);
    Py_XDECREF(listed);
    Py_XDECREF(given);
    return answer;
}

/* The kind that arrays of this type number have here, -1 for none. */
static inline int kind_of(int number)
{
    return number == AQE_FLOAT32 ? AQE_F32 : number == AQE_INT8 ? AQE_I8 : number == AQE_FLOAT16 ? AQE_F16
                                         : number == AQE_UINT8  ? AQE_BITS
                                                                : -1;
}

typedef struct {
    const void *a, *b;
    size_t n;
    int kind;
    Py_buffer held[2];
    int holds;
} pair;

static inline void let_go(pair *taken)
{
    if (taken->holds) {
        PyBuffer_Release(taken->held);
        PyBuffer_Release(taken->held + 1);
    }
}

static int kind_of_buffer(const Py_buffer *view)
{
    return aqe_holds(view, 'f')   ? AQE_F32
           : aqe_holds(view, 'b') ? AQE_I8
           : aqe_holds(view, 'e') ? AQE_F16
           : aqe_holds(view, 'B') ? AQE_BITS
                                  : -1;
}

/* An array of a class of its own, such as one with a mask, is judged in Python. */
static inline int is_derived(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (!aqe_ndarray) /* none was met yet: only those with a mask are told */
        return PyObject_HasAttrString((PyObject *)type, "_defaultmask");
    return type != aqe_ndarray && PyType_IsSubtype(type, aqe_ndarray);
}

/* A pair by the buffer protocol; 0 where it is not two vectors of one kind and length, and then nothing is held. */
static int take_buffers(PyObject *const *args, pair *taken)
{
    Py_buffer *a = taken->held, *b = taken->held + 1;
    aqe_meet_arrays(args[0]);
    if (!PyObject_CheckBuffer(args[0]) || !PyObject_CheckBuffer(args[1]) || is_derived(args[0]) || is_derived(args[1]))
        return 0;
    if (PyObject_GetBuffer(args[0], a, PyBUF_FULL_RO) < 0) {
        PyErr_Clear();
        return 0;
    }
    if (PyObject_GetBuffer(args[1], b, PyBUF_FULL_RO) < 0) {
        PyErr_Clear();
        PyBuffer_Release(a);
        return 0;
    }
    int kind = kind_of_buffer(a);
    taken->holds = 1;
    if (kind >= 0 && kind == kind_of_buffer(b) && a->ndim == 1 && b->ndim == 1 && a->shape[0] == b->shape[0]
        && a->shape[0] <= LONGEST_QUICK && PyBuffer_IsContiguous(a, 'C') && PyBuffer_IsContiguous(b, 'C')) {
        taken->a = a->buf;
        taken->b = b->buf;
        taken->n = (size_t)a->shape[0];
        taken->kind = kind;
        return 1;
    }
    let_go(taken);
    return 0;
}

/* Two vectors of one kind and length; 0 where that is not what was given. */
static inline int take_pair(PyObject *const *args, Py_ssize_t count, PyObject *names, pair *taken)
{
    taken->holds = 0;
    if (count != 2 || names)
        return 0;
    const aqe_array *a = aqe_as_array(args[0], 1), *b = aqe_as_array(args[1], 1);
    if (!a || !b)
        return take_buffers(args, taken); /* which also refuses the arrays of two dimensions */
    taken->a = a->data;
    taken->b = b->data;
    taken->n = (size_t)a->shape[0];
    taken->kind = kind_of(a->dtype->number);
    return taken->kind >= 0 && a->dtype->number == b->dtype->number && a->shape[0] == b->shape[0]
           && a->shape[0] <= LONGEST_QUICK;
}

/* A float32 vector with each row of a matrix, both plain arrays; NULL without an error where they are not that. Like a
   buffer, the caller's reference keeps an array's items in their place while other threads run. */
static PyObject *rows_of_arrays(PyObject *self, aqe_metric metric, PyObject *query, PyObject *rows)
{
    const aqe_path *path = aqe_path_of(self);
    const aqe_array *vector = aqe_as_array(query, 1), *matrix = aqe_as_array(rows, 2);
    if (!vector || !matrix || vector->dtype->number != AQE_FLOAT32 || matrix->dtype->number != AQE_FLOAT32
        || vector->shape[0] != matrix->shape[1])
        return NULL;
    PyObject *made = aqe_new_array(1, matrix->shape, AQE_FLOAT32);
    if (!made)
        return NULL;
    size_t count = (size_t)matrix->shape[0], n = (size_t)matrix->shape[1];
    const void *from = matrix->data, *with = vector->data;
    void *out = ((aqe_array *)made)->data;
    int done;
    if (count * n <= LONGEST_QUICK)
        done = aqe_rows(path, AQE_F32, metric, with, from, count, n, out);
    else {
        Py_BEGIN_ALLOW_THREADS
        done = aqe_rows(path, AQE_F32, metric, with, from, count, n, out);
        Py_END_ALLOW_THREADS
    }
    if (done < 0) {
        Py_DECREF(made);
        return PyErr_NoMemory();
    }
    return made;
}

/* What is no pair: a vector and a matrix in either order, or what goes on to Python. */
static PyObject *not_a_pair(const char *name, aqe_metric metric, PyObject *self, PyObject *const *args, Py_ssize_t count,
                            PyObject *names)
{
    PyObject *made = NULL;
    if (count == 2 && !names) {
        made = rows_of_arrays(self, metric, args[0], args[1]);
        if (!made && !PyErr_Occurred())
            made = rows_of_arrays(self, metric, args[1], args[0]);
    }
    return made || PyErr_Occurred() ? made : go_on(name, self, args, count, names);
}

PyObject *aqe_quick_dot(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const aqe_path *path = aqe_path_of(self);
    PyObject *answer = NULL;
    pair two;
    if (!take_pair(args, count, names, &two))
        return not_a_pair("dot", AQE_DOT, self, args, count, names);
    if (two.kind < AQE_FLOAT_KINDS)
        answer = PyFloat_FromDouble(aqe_pair(path, (aqe_kind)two.kind, AQE_DOT, two.a, two.b, two.n));
    else if (two.kind == AQE_I8)
        answer = PyLong_FromLongLong(path->byte_dot(two.a, two.b, two.n));
    let_go(&two);
    return two.kind == AQE_BITS ? go_on("dot", self, args, count, names) : answer;
}

PyObject *aqe_quick_l2(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const aqe_path *path = aqe_path_of(self);
    PyObject *answer = NULL;
    pair two;
    if (!take_pair(args, count, names, &two))
        return not_a_pair("l2", AQE_L2, self, args, count, names);
    if (two.kind < AQE_FLOAT_KINDS)
        answer = PyFloat_FromDouble(path->sums[two.kind].l2(two.a, two.b, two.n));
    else if (two.kind == AQE_I8)
        answer = PyLong_FromLongLong(aqe_whole_pair(path, AQE_L2, two.a, two.b, two.n));
    let_go(&two);
    return two.kind == AQE_BITS ? go_on("l2", self, args, count, names) : answer;
}

PyObject *aqe_quick_cosine(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const aqe_path *path = aqe_path_of(self);
    PyObject *answer = NULL;
    pair two;
    if (!take_pair(args, count, names, &two))
        return not_a_pair("cosine", AQE_COSINE, self, args, count, names);
    if (two.kind < AQE_FLOAT_KINDS)
        answer = PyFloat_FromDouble(aqe_pair(path, (aqe_kind)two.kind, AQE_COSINE, two.a, two.b, two.n));
    else if (two.kind == AQE_I8)
        answer = PyFloat_FromDouble(aqe_byte_cosine(path, two.a, two.b, two.n));
    let_go(&two);
    return two.kind == AQE_BITS ? go_on("cosine", self, args, count, names) : answer;
}

PyObject *aqe_quick_hamming(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *answer = NULL;
    pair two;
    if (!take_pair(args, count, names, &two))
        return go_on("hamming", self, args, count, names);
    if (two.kind == AQE_BITS)
        answer = PyLong_FromLongLong(aqe_path_of(self)->hamming(two.a, two.b, two.n));
    let_go(&two);
    return two.kind == AQE_BITS ? answer : go_on("hamming", self, args, count, names);
}

/* One float32 array of one dimension, short enough for here. */
static inline const aqe_array *take_row(PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const aqe_array *row = count == 1 && !names ? aqe_as_array(args[0], 1) : NULL;
    return row && row->dtype->number == AQE_FLOAT32 && row->shape[0] <= LONGEST_QUICK ? row : NULL;
}

PyObject *aqe_quick_normalize(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const aqe_array *row = take_row(args, count, names);
    if (!row)
        return go_on("normalize", self, args, count, names);
    PyObject *made = aqe_new_array(1, row->shape, AQE_FLOAT32);
    if (made)
        aqe_normalize(aqe_path_of(self), row->data, 1, (size_t)row->shape[0], ((aqe_array *)made)->data);
    return made;
}

PyObject *aqe_quick_softmax(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const aqe_array *row = take_row(args, count, names);
    if (!row)
        return go_on("softmax", self, args, count, names);
    PyObject *made = aqe_new_array(1, row->shape, AQE_FLOAT32);
    if (made)
        aqe_path_of(self)->softmax(row->data, ((aqe_array *)made)->data, (size_t)row->shape[0]);
    return made;
}

PyObject *aqe_quick_matvec(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *made = count == 2 && !names ? rows_of_arrays(self, AQE_DOT, args[1], args[0]) : NULL;
    return made || PyErr_Occurred() ? made : go_on("matvec", self, args, count, names);
}
