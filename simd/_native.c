/* The Python module: a `Path` for each path that runs here, whose methods are its functions. It computes nothing. */
#include "binding.h"

int aqe_holds(const Py_buffer *view, char wanted)
{
    const char *format = view->format ? view->format : "B";
    if (*format == '@' || *format == '=' || *format == AQE_NATIVE)
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
    if (!aqe_holds(view, format))
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

#define QUICK(name, signature, text)                                                                                   \
    {#name, (PyCFunction)(void (*)(void))aqe_quick_##name, METH_FASTCALL | METH_KEYWORDS,                              \
     #name "($self, " signature ")\n--\n\n" text}
#define FAST(name, function, signature, text)                                                                          \
    {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL, name "($self, " signature ", /)\n--\n\n" text}
#define FORM(name, signature) {"_" #name, aqe_form_##name, METH_VARARGS, "_" #name "($self, " signature ", /)\n--\n\n"}

#define PAIRED                                                                                                         \
    "\n\nVectors (n,) or matrices (rows, n): two vectors give a number, a vector and a matrix (rows,), two matrices\n"
#define KINDS "(rows, rows). Both hold float32, float16, int8, or bfloat16 as uint16 with dtype=\"bfloat16\".\n"
#define SUMS "Gives float32, of int8 exact int64.\n"
#define REFUSED "Raises TypeError for what holds anything else, ValueError for shapes that do not fit."
#define IN_ROWS                                                                                                        \
    "\n\nOf a vector (n,) or a matrix (rows, n) of float32; what comes of it has the same shape, and lies in `out`\n"  \
    "where that is given, which may be `rows` itself.\n" REFUSED

static PyMethodDef METHODS[] = {
    QUICK(dot, "a, b, /, *, dtype=None", "Sum of a[i] * b[i]." PAIRED KINDS SUMS REFUSED),
    QUICK(cosine, "a, b, /, *, dtype=None",
          "Cosine of the angle between a and b, -1 to 1; 0 where one is zero." PAIRED KINDS "Gives float32.\n" REFUSED),
    QUICK(l2, "a, b, /, *, dtype=None",
          "Sum of (a[i] - b[i]) ** 2: the squared distance." PAIRED KINDS SUMS REFUSED),
    QUICK(hamming, "a, b, /",
          "Bits in which the packed bits of a and b differ." PAIRED "(rows, rows). Both hold uint8.\n"
          "Gives exact int64.\n" REFUSED),
    QUICK(normalize, "rows, /, *, out=None", "Each row divided by its length; a zero row stays zero." IN_ROWS),
    QUICK(softmax, "rows, /, *, out=None", "exp(row - max(row)), divided by its sum, of each row." IN_ROWS),
    QUICK(matvec, "matrix, vector, /, *, dtype=None",
          "The dot product of each row of matrix (rows, n) with vector (n,): (rows,), of the kinds of `dot`."
          "\n\n" REFUSED),
    FORM(pair, "kind, metric, a, b"),
    FORM(rows, "kind, metric, query, matrix, out, rows, n"),
    FORM(scan, "kind, metric, query, matrix, mask, rows, n, k"),
    FORM(normalize, "matrix, out, rows, n"),
    FORM(softmax, "matrix, out, rows, n"),
    {"tokens", aqe_tokens, METH_O,
     "tokens($self, data, /)\n--\n\nThe stems of a text (UTF-8 bytes), in order, with repetitions."},
    {"vocabulary", aqe_vocabulary_of, METH_VARARGS, "vocabulary($self, words, buckets, seed, /)\n--\n\nA handle."},
    {"bag", aqe_bag_of, METH_VARARGS, "bag($self, vocabulary, data, k, /)\n--\n\nRows and their weights."},
    {"embed", aqe_embed_texts, METH_VARARGS,
     "embed($self, vocabulary, texts, rows, scales, k, out, /)\n--\n\nUnit vectors of texts."},
    {"embedding", aqe_embedding_of, METH_VARARGS,
     "embedding($self, vocabulary, rows, scales, k, /)\n--\n\nA handle."},
    FAST("vector", aqe_vector_of, "embedding, data", "The unit vector of one text as float32 bytes."),
    {"odds", aqe_odds_model, METH_VARARGS, "odds($self, bias, features, words, weighed, seed, /)\n--\n\nA handle."},
    FAST("log_odds", aqe_log_odds, "odds, text", "The log-odds of an ASCII text."),
    FAST("odds_word", aqe_odds_of_word, "odds, word", "The weight and rarity of a word, None where it has none."),
    {NULL, NULL, 0, NULL},
};

static void forget(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyType_Slot PATH_SLOTS[] = {
    {Py_tp_dealloc, forget}, {Py_tp_methods, METHODS}, {Py_tp_doc, (void *)"The kernels of one path."}, {0, NULL}};
static PyType_Spec PATH = {"aqe.simd._native.Path", sizeof(aqe_path_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE, PATH_SLOTS};

static int add_path(PyObject *paths, PyTypeObject *type, const aqe_path *path)
{
    aqe_path_object *made = PyObject_New(aqe_path_object, type);
    if (!made)
        return -1;
    made->path = path;
    int failed = PyDict_SetItemString(paths, aqe_isa_name(path->isa), (PyObject *)made);
    Py_DECREF(made);
    return failed;
}

/* PATHS = {name: Path}, best first. */
static int fill(PyObject *module)
{
    PyObject *paths = PyDict_New(), *type = PyType_FromModuleAndSpec(module, &PATH, NULL);
    const aqe_path *path;
    int failed = !paths || !type;
    for (size_t i = 0; !failed && (path = aqe_path_at(i)); i++)
        failed = add_path(paths, (PyTypeObject *)type, path) < 0;
    failed = failed || PyModule_AddObjectRef(module, "PATHS", paths) < 0;
    Py_XDECREF(paths);
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, fill}, {0, NULL}};
static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, .m_name = "_native", .m_doc = "C kernels, a Path for each path.", .m_slots = SLOTS};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&MODULE);
}
