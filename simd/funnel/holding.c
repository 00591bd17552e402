/* Buffers of Python objects, checked. */
#include "module.h"

int aqe_hold(PyObject *object, Py_buffer *view, size_t bytes, int writable, const char *name)
{
    if (PyObject_GetBuffer(object, view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0)
        return -1;
    if ((size_t)view->len >= bytes)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s has %zd bytes and needs %zu", name, view->len, bytes);
    PyBuffer_Release(view);
    return -1;
}

int aqe_hold_query(PyObject *object, Py_buffer *view, size_t dim)
{
    if (PyObject_GetBuffer(object, view, PyBUF_ND | PyBUF_FORMAT) < 0)
        return -1;
    const char *format = view->format ? view->format : "B";
    if (format[0] != 'f' || format[1] != 0)
        PyErr_Format(PyExc_TypeError, "query must hold float32 (buffer format 'f'), got '%s'", format);
    else if (view->ndim != 1 || (size_t)view->shape[0] != dim)
        PyErr_Format(PyExc_ValueError, "query must have %zu items in 1 dimension", dim);
    else
        return 0;
    PyBuffer_Release(view);
    return -1;
}

int aqe_shape_of(aqe_shape *shape, int metric, Py_ssize_t dim, double unit_f, double unit_k)
{
    if (metric < AQE_DOT || metric > AQE_L2) {
        PyErr_Format(PyExc_ValueError, "metric must be 0, 1 or 2, got %d", metric);
        return -1;
    }
    if (dim < 1 || dim > 8 * AQE_MOST_BYTES) {
        PyErr_Format(PyExc_ValueError, "dim must be from 1 to %d, got %zd", 8 * AQE_MOST_BYTES, dim);
        return -1;
    }
    if (!(unit_f > 0) || !(unit_k > 0)) {
        PyErr_SetString(PyExc_ValueError, "units must be above 0");
        return -1;
    }
    *shape = (aqe_shape){.dim = (uint32_t)dim,
                         .bytes = (uint32_t)((dim + 7) / 8),
                         .metric = metric,
                         .unit_f = (float)unit_f,
                         .unit_k = (float)unit_k};
    shape->block_bytes = AQE_HALVES + (size_t)AQE_BLOCK * shape->bytes;
    return 0;
}
