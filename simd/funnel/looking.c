/* The Python binding of guard.c: sums of a file that is written, and looks at one that was opened. */
#include <string.h>

#include "module.h"

static void sum_all(const uint8_t *data, size_t pieces, char *out)
{
    for (size_t i = 0; i < pieces; i++) {
        uint64_t sum = aqe_sum(data + i * AQE_PIECE);
        memcpy(out + i * sizeof sum, &sum, sizeof sum);
    }
}

/* sums(data, out) */
PyObject *aqe_write_sums(PyObject *kernels, PyObject *args)
{
    (void)kernels;
    PyObject *from, *to;
    Py_buffer data, out;
    if (!PyArg_ParseTuple(args, "OO", &from, &to) || aqe_hold(from, &data, 0, 0, "data") < 0)
        return NULL;
    size_t pieces = (size_t)data.len / AQE_PIECE;
    if (aqe_hold(to, &out, pieces * sizeof(uint64_t), 1, "out") < 0) {
        PyBuffer_Release(&data);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    sum_all(data.buf, pieces, out.buf);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&out);
    PyBuffer_Release(&data);
    return Py_NewRef(Py_None);
}

enum { DATA, SUMS, SEEN, STARTS, ALL };

static void look_at_each(const aqe_guard *guard, const int64_t *starts, size_t count, size_t size)
{
    const uint64_t end = guard->pieces * AQE_PIECE;
    for (size_t i = 0; i < count; i++)
        if (starts[i] >= 0 && (uint64_t)starts[i] < end)
            aqe_look_at(guard, guard->data + starts[i], size < end - (uint64_t)starts[i] ? size : end - (uint64_t)starts[i]);
}

/* look(data, sums, seen, starts, size): at `size` bytes from each of `starts` (int64, of bytes of data) on. */
PyObject *aqe_look(PyObject *kernels, PyObject *args)
{
    (void)kernels;
    static const char *const NAMES[ALL] = {"data", "sums", "seen", "starts"};
    PyObject *parts[ALL];
    Py_buffer held[ALL];
    Py_ssize_t size;
    int taken = 0;
    if (!PyArg_ParseTuple(args, "OOOOn", parts, parts + 1, parts + 2, parts + 3, &size))
        return NULL;
    for (; taken < ALL; taken++) {
        size_t pieces = taken ? (size_t)held[DATA].len / AQE_PIECE : 0;
        size_t least = taken == SUMS ? pieces * sizeof(uint64_t) : taken == SEEN ? pieces + 1 : 0;
        if (aqe_hold(parts[taken], held + taken, least, taken == SEEN, NAMES[taken]) < 0)
            break;
    }
    if (taken == ALL && size >= 0) {
        aqe_guard guard = {held[DATA].buf, (size_t)held[DATA].len / AQE_PIECE, held[SUMS].buf, held[SEEN].buf};
        Py_BEGIN_ALLOW_THREADS
        look_at_each(&guard, held[STARTS].buf, (size_t)held[STARTS].len / sizeof(int64_t), (size_t)size);
        Py_END_ALLOW_THREADS
    }
    for (int i = 0; i < taken; i++)
        PyBuffer_Release(held + i);
    return taken < ALL ? NULL : Py_NewRef(Py_None);
}
