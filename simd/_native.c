/* The Python binding: checks buffers, words the errors, releases the GIL for scans. It computes nothing. */
#include "binding.h"

#include <stdlib.h>
#include <string.h>

static const char CAPSULE[] = "aqe.simd.path";

/* Is this buffer format `wanted`, in native order? '<' and '=' come from unaligned arrays. */
static int is_format(const Py_buffer *view, char wanted)
{
    const char *format = view->format ? view->format : "B";
    const short probe = 1;
    if (*format == '@' || *format == '=' || *format == (*(const char *)&probe ? '<' : '>'))
        format++;
    return format[0] == wanted && format[1] == 0;
}

static const char *kind_name(char format)
{
    return format == 'f' ? "float32" : "int8";
}

static int refuse_kind(PyObject *object, char format, const char *name)
{
    PyObject *kind = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__name__");
    if (kind)
        PyErr_Format(PyExc_TypeError, "%s must be a buffer of %s such as a NumPy array, got %U", name,
                     kind_name(format), kind);
    Py_XDECREF(kind);
    return -1;
}

int aqe_take(PyObject *object, Py_buffer *view, char format, int writable, int dimensions, const char *name)
{
    if (!PyObject_CheckBuffer(object))
        return refuse_kind(object, format, name);
    if (PyObject_GetBuffer(object, view, PyBUF_FULL_RO) < 0) {
        PyErr_Clear();
        return refuse_kind(object, format, name);
    }
    if (!is_format(view, format))
        PyErr_Format(PyExc_TypeError, "%s must hold %s (buffer format '%c'), got '%s'", name, kind_name(format), format,
                     view->format ? view->format : "B");
    else if (view->ndim != dimensions)
        PyErr_Format(PyExc_ValueError, "%s must have %d dimension(s), got %d", name, dimensions, view->ndim);
    else if (!PyBuffer_IsContiguous(view, 'C'))
        PyErr_Format(PyExc_ValueError, "%s must be contiguous: pass numpy.ascontiguousarray(%s)", name, name);
    else if (writable && view->readonly)
        PyErr_Format(PyExc_ValueError, "%s must be writable", name);
    else
        return 0;
    PyBuffer_Release(view);
    return -1;
}

const aqe_path *aqe_path_of(PyObject *self)
{
    return PyCapsule_GetPointer(self, CAPSULE);
}

static int take_pair(PyObject *const *args, Py_ssize_t count, Py_buffer *a, Py_buffer *b)
{
    if (count != 2) {
        PyErr_Format(PyExc_TypeError, "expected 2 arguments a and b, got %zd", count);
        return -1;
    }
    if (aqe_take(args[0], a, 'f', 0, 1, "a") < 0)
        return -1;
    if (aqe_take(args[1], b, 'f', 0, 1, "b") < 0) {
        PyBuffer_Release(a);
        return -1;
    }
    if (a->len == b->len)
        return 0;
    PyErr_Format(PyExc_ValueError, "a has %zd items and b has %zd: they must be equal", a->shape[0], b->shape[0]);
    PyBuffer_Release(a);
    PyBuffer_Release(b);
    return -1;
}

static PyObject *release_pair(Py_buffer *a, Py_buffer *b, double value)
{
    PyBuffer_Release(a);
    PyBuffer_Release(b);
    return PyFloat_FromDouble(value);
}

static PyObject *dot(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer a, b;
    if (take_pair(args, count, &a, &b) < 0)
        return NULL;
    return release_pair(&a, &b, aqe_path_of(self)->dot(a.buf, b.buf, (size_t)a.shape[0]));
}

static PyObject *squared_distance(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer a, b;
    if (take_pair(args, count, &a, &b) < 0)
        return NULL;
    return release_pair(&a, &b, aqe_path_of(self)->squared_distance(a.buf, b.buf, (size_t)a.shape[0]));
}

static PyObject *cosine(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer a, b;
    if (take_pair(args, count, &a, &b) < 0)
        return NULL;
    const aqe_path *path = aqe_path_of(self);
    size_t n = (size_t)a.shape[0];
    return release_pair(&a, &b, aqe_cosine(path, a.buf, b.buf, n, path->dot(a.buf, a.buf, n)));
}

static PyObject *as_lists(const aqe_hit *hits, Py_ssize_t k)
{
    PyObject *rows = PyList_New(k), *scores = PyList_New(k), *answer = NULL;
    for (Py_ssize_t i = 0; rows && scores && i < k; i++) {
        PyObject *row = PyLong_FromSsize_t(hits[i].row), *score = PyFloat_FromDouble(hits[i].score);
        if (!row || !score) {
            Py_XDECREF(row);
            Py_XDECREF(score);
            goto done;
        }
        PyList_SetItem(rows, i, row);
        PyList_SetItem(scores, i, score);
    }
    if (rows && scores)
        answer = PyTuple_Pack(2, rows, scores);
done:
    Py_XDECREF(rows);
    Py_XDECREF(scores);
    return answer;
}

static PyObject *scan(const aqe_path *path, const Py_buffer *matrix, const Py_buffer *query, Py_ssize_t k, int metric)
{
    Py_ssize_t rows = matrix->shape[0], dim = matrix->shape[1];
    if (query->shape[0] != dim)
        return PyErr_Format(PyExc_ValueError, "query has %zd items and the rows of matrix have %zd: they must be equal",
                            query->shape[0], dim);
    if (k > rows)
        k = rows;
    if (k < 0)
        k = 0;
    aqe_hit *hits = calloc((size_t)k + 1, sizeof *hits);
    if (!hits)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    aqe_top_k(path, matrix->buf, (size_t)rows, (size_t)dim, query->buf, metric, (size_t)k, hits);
    Py_END_ALLOW_THREADS
    PyObject *answer = as_lists(hits, k);
    free(hits);
    return answer;
}

/* top_k(matrix, query, k, metric): the package's __init__ has checked k >= 1 and the metric's number. */
static PyObject *top_k(PyObject *self, PyObject *args)
{
    PyObject *matrix_object, *query_object, *answer = NULL;
    Py_buffer matrix, query;
    Py_ssize_t k;
    int metric;
    if (!PyArg_ParseTuple(args, "OOni", &matrix_object, &query_object, &k, &metric))
        return NULL;
    if (aqe_take(matrix_object, &matrix, 'f', 0, 2, "matrix") < 0)
        return NULL;
    if (aqe_take(query_object, &query, 'f', 0, 1, "query") == 0) {
        answer = scan(aqe_path_of(self), &matrix, &query, k, metric);
        PyBuffer_Release(&query);
    }
    PyBuffer_Release(&matrix);
    return answer;
}

static PyMethodDef KERNELS[] = {
    {"dot", (PyCFunction)(void (*)(void))dot, METH_FASTCALL,
     "dot($self, a, b, /)\n--\n\nSum of a[i] * b[i] over two float32 buffers of equal length."},
    {"cosine", (PyCFunction)(void (*)(void))cosine, METH_FASTCALL,
     "cosine($self, a, b, /)\n--\n\nCosine of the angle between two float32 buffers, -1 to 1; 0 where one is zero."},
    {"squared_distance", (PyCFunction)(void (*)(void))squared_distance, METH_FASTCALL,
     "squared_distance($self, a, b, /)\n--\n\nSum of (a[i] - b[i]) ** 2 over two float32 buffers of equal length."},
    {"top_k", top_k, METH_VARARGS, "top_k($self, matrix, query, k, metric, /)\n--\n\nRows and scores, best first."},
    {"tokens", aqe_tokens, METH_O, "tokens($self, data, /)\n--\n\nThe stems of a text, in order, with repetitions."},
    {"vocabulary", aqe_vocabulary_of, METH_VARARGS, "vocabulary($self, words, buckets, seed, /)\n--\n\nA handle."},
    {"bag", aqe_bag_of, METH_VARARGS, "bag($self, vocabulary, data, k, /)\n--\n\nRows and their weights."},
    {"embed", aqe_embed_texts, METH_VARARGS,
     "embed($self, vocabulary, texts, rows, scales, k, out, /)\n--\n\nUnit vectors of texts."},
};

enum { KERNEL_COUNT = sizeof KERNELS / sizeof *KERNELS };

static PyObject *functions_of(const aqe_path *path)
{
    PyObject *capsule = PyCapsule_New((void *)path, CAPSULE, NULL), *functions = PyTuple_New(KERNEL_COUNT);
    for (Py_ssize_t i = 0; capsule && functions && i < KERNEL_COUNT; i++) {
        PyObject *function = PyCFunction_New(&KERNELS[i], capsule);
        if (!function || PyTuple_SetItem(functions, i, function) < 0)
            Py_CLEAR(functions);
    }
    if (!capsule)
        Py_CLEAR(functions);
    Py_XDECREF(capsule);
    return functions;
}

/* PATHS = {name: (dot, cosine, squared_distance, top_k, tokens, vocabulary, bag, embed)}, best first. */
static int fill(PyObject *module)
{
    PyObject *paths = PyDict_New();
    const aqe_path *path;
    for (size_t i = 0; paths && (path = aqe_path_at(i)); i++) {
        PyObject *functions = functions_of(path);
        if (!functions || PyDict_SetItemString(paths, path->name, functions) < 0)
            Py_CLEAR(paths);
        Py_XDECREF(functions);
    }
    int failed = !paths || PyModule_AddObjectRef(module, "PATHS", paths) < 0;
    Py_XDECREF(paths);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, fill}, {0, NULL}};
static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, .m_name = "_native", .m_doc = "C kernels, one set of functions a path.", .m_slots = SLOTS};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&MODULE);
}
