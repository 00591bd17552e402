/* Kernels.bound: how near the nearest of some rows can be, by their int8 forms. */
#include <math.h>

#include "module.h"

static float best_of(const aqe_funnel_path *path, const float *query, size_t dim, const int8_t *values,
                     const float *scales, size_t count)
{
    float best = -INFINITY, square = path->dot(query, query, dim);
    for (size_t i = 0; i < count; i++) {
        float product = scales[i] * path->dot_int8(query, values + i * dim, dim);
        best = product > best ? product : best;
    }
    if (isnan(square))
        return NAN;
    return square > 1e-20f && square < 1e20f ? best / sqrtf(square) : 1; /* beyond, items may have got lost in squares */
}

/* bound(query, values, scales): the highest of scale * query.values / |query|; 1 where that is not to be had. */
PyObject *aqe_bound(PyObject *kernels, PyObject *const *args, Py_ssize_t count)
{
    const aqe_funnel_path *path = ((aqe_kernels_object *)kernels)->path;
    Py_buffer query, values, scales;
    PyObject *made = NULL;
    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "bound takes 3 arguments, got %zd", count);
    if (aqe_hold(args[2], &scales, sizeof(float), 0, "scales") < 0)
        return NULL;
    size_t rows = (size_t)scales.len / sizeof(float);
    if (aqe_hold(args[1], &values, rows, 0, "values") == 0) {
        size_t dim = (size_t)values.len / rows;
        if (aqe_hold_query(args[0], &query, dim) == 0) {
            made = PyFloat_FromDouble(best_of(path, query.buf, dim, values.buf, scales.buf, rows));
            PyBuffer_Release(&query);
        }
        PyBuffer_Release(&values);
    }
    PyBuffer_Release(&scales);
    return made;
}
