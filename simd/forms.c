/* What aqe.simd._forms calls with buffers that it has checked: pairs, rows and scans of any size, without the GIL. Sizes
   are looked at once more, so that nothing is read past a buffer's end whatever the caller did. */
#include <stdlib.h>
#include <string.h>

#include "binding.h"

static int refuse_sizes(void)
{
    PyErr_SetString(PyExc_ValueError, "the buffers of a form do not fit each other");
    return -1;
}

static void release(Py_buffer *views, int count)
{
    while (count-- > 0)
        PyBuffer_Release(views + count);
}

/* Whether so many bytes are `count` things of `each` bytes. */
static int holds(Py_ssize_t bytes, Py_ssize_t count, Py_ssize_t each)
{
    return each ? bytes % each == 0 && bytes / each == count : bytes == 0;
}

/* Sums of whole numbers are exact, all else is float. */
static int is_whole(int kind, int metric) { return kind == AQE_BITS || (kind == AQE_I8 && metric != AQE_COSINE); }

/* pair(kind, metric, a, b): a number. */
PyObject *aqe_form_pair(PyObject *self, PyObject *args)
{
    const aqe_path *path = aqe_path_of(self);
    int kind, metric;
    Py_buffer views[2];
    int64_t whole = 0;
    double found = 0;
    if (!PyArg_ParseTuple(args, "iiy*y*", &kind, &metric, views, views + 1))
        return NULL;
    if (kind < 0 || kind > AQE_BITS || views[0].len != views[1].len) {
        release(views, 2);
        refuse_sizes();
        return NULL;
    }
    const void *a = views[0].buf, *b = views[1].buf;
    size_t n = (size_t)views[0].len / aqe_item_size((aqe_kind)kind);
    int whole_answer = is_whole(kind, metric);
    Py_BEGIN_ALLOW_THREADS
    if (whole_answer)
        whole = aqe_whole_pair(path, (aqe_metric)metric, a, b, n);
    else if (kind == AQE_I8)
        found = aqe_byte_cosine(path, a, b, n);
    else
        found = aqe_pair(path, (aqe_kind)kind, (aqe_metric)metric, a, b, n);
    Py_END_ALLOW_THREADS
    release(views, 2);
    return whole_answer ? PyLong_FromLongLong(whole) : PyFloat_FromDouble(found);
}

static int fits_rows(const Py_buffer *views, int kind, int metric, Py_ssize_t rows, Py_ssize_t n)
{
    Py_ssize_t result = is_whole(kind, metric) ? sizeof(int64_t) : sizeof(float);
    if (kind < 0 || kind > AQE_BITS || rows < 0 || n < 0)
        return 0;
    return holds(views[0].len, n, (Py_ssize_t)aqe_item_size((aqe_kind)kind)) && holds(views[1].len, rows, views[0].len)
           && holds(views[2].len, rows, result);
}

/* rows(kind, metric, query, matrix, out, rows, n): fills out. */
PyObject *aqe_form_rows(PyObject *self, PyObject *args)
{
    const aqe_path *path = aqe_path_of(self);
    int kind, metric, done = 0;
    Py_ssize_t rows, n;
    Py_buffer views[3];
    if (!PyArg_ParseTuple(args, "iiy*y*w*nn", &kind, &metric, views, views + 1, views + 2, &rows, &n))
        return NULL;
    int fits = fits_rows(views, kind, metric, rows, n);
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        done = aqe_rows(path, (aqe_kind)kind, (aqe_metric)metric, views[0].buf, views[1].buf, (size_t)rows, (size_t)n,
                        views[2].buf);
        Py_END_ALLOW_THREADS
    }
    release(views, 3);
    if (done < 0)
        return PyErr_NoMemory();
    if (!fits && refuse_sizes())
        return NULL;
    Py_RETURN_NONE;
}

/* The hits as the bytes of int64 rows and of their scores, int64 or float32. */
static PyObject *as_bytes(const aqe_hit *hits, size_t count, int whole)
{
    PyObject *rows = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * sizeof(int64_t)));
    PyObject *scores = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * (whole ? sizeof(int64_t) : sizeof(float))));
    PyObject *answer = NULL;
    if (rows && scores) {
        char *row = PyBytes_AsString(rows), *score = PyBytes_AsString(scores);
        for (size_t i = 0; i < count; i++) {
            memcpy(row + i * sizeof(int64_t), &hits[i].row, sizeof(int64_t));
            const int64_t number = whole ? (int64_t)hits[i].score : 0;
            const float real = (float)hits[i].score;
            if (whole)
                memcpy(score + i * sizeof number, &number, sizeof number);
            else
                memcpy(score + i * sizeof real, &real, sizeof real);
        }
        answer = PyTuple_Pack(2, rows, scores);
    }
    Py_XDECREF(rows);
    Py_XDECREF(scores);
    return answer;
}

static PyObject *scan(const aqe_path *path, int kind, int metric, Py_buffer *views, const unsigned char *mask,
                      Py_ssize_t rows, Py_ssize_t n, Py_ssize_t k)
{
    ptrdiff_t count;
    size_t most = (size_t)(k < rows ? k : rows);
    aqe_hit *hits = calloc(most + 1, sizeof *hits);
    if (!hits)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    count = aqe_topk(path, (aqe_kind)kind, (aqe_metric)metric, views[0].buf, views[1].buf, (size_t)rows, (size_t)n, mask,
                     most, hits);
    Py_END_ALLOW_THREADS
    PyObject *answer = count < 0 ? PyErr_NoMemory() : as_bytes(hits, (size_t)count, is_whole(kind, metric));
    free(hits);
    return answer;
}

/* scan(kind, metric, query, matrix, mask, rows, n, k): rows and scores; a mask of no bytes allows every row. Packed bits go
   with hamming and with nothing else. */
PyObject *aqe_form_scan(PyObject *self, PyObject *args)
{
    int kind, metric;
    Py_ssize_t rows, n, k;
    Py_buffer views[3];
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "iiy*y*y*nnn", &kind, &metric, views, views + 1, views + 2, &rows, &n, &k))
        return NULL;
    const Py_buffer *mask = views + 2;
    int goes_together = kind >= 0 && kind <= AQE_BITS && (kind == AQE_BITS) == (metric == AQE_HAMMING);
    if (!goes_together || n < 0 || rows < 0 || k < 0
        || !holds(views[0].len, n, (Py_ssize_t)aqe_item_size((aqe_kind)kind)) || !holds(views[1].len, rows, views[0].len)
        || (mask->len && mask->len != rows))
        refuse_sizes();
    else
        answer = scan(aqe_path_of(self), kind, metric, views, mask->len ? mask->buf : NULL, rows, n, k);
    release(views, 3);
    return answer;
}

/* normalize(matrix, out, rows, n) and softmax(matrix, out, rows, n) of float32: fill out. */
static PyObject *each_row(PyObject *self, PyObject *args, int is_softmax)
{
    const aqe_path *path = aqe_path_of(self);
    Py_ssize_t rows, n;
    Py_buffer views[2];
    if (!PyArg_ParseTuple(args, "y*w*nn", views, views + 1, &rows, &n))
        return NULL;
    const Py_ssize_t item = sizeof(float);
    int fits = rows >= 0 && n >= 0 && n <= PY_SSIZE_T_MAX / item && holds(views[0].len, rows, n * item)
               && views[1].len == views[0].len;
    if (fits) {
        const char *from = views[0].buf;
        char *to = views[1].buf;
        size_t stride = (size_t)n * sizeof(float);
        Py_BEGIN_ALLOW_THREADS
        if (is_softmax)
            for (size_t row = 0; row < (size_t)rows; row++)
                path->softmax(from + row * stride, to + row * stride, (size_t)n);
        else
            aqe_normalize(path, from, (size_t)rows, (size_t)n, to);
        Py_END_ALLOW_THREADS
    }
    release(views, 2);
    if (!fits && refuse_sizes())
        return NULL;
    Py_RETURN_NONE;
}

PyObject *aqe_form_normalize(PyObject *self, PyObject *args) { return each_row(self, args, 0); }
PyObject *aqe_form_softmax(PyObject *self, PyObject *args) { return each_row(self, args, 1); }
