/* What the files of the funnel's Python binding share. */
#ifndef AQE_FUNNEL_MODULE_H
#define AQE_FUNNEL_MODULE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "lists.h"
#include "snapshot.h"

/* Neither k nor the candidates of a search are more: sizes made of them do not wrap. */
#define AQE_MOST_WANTED ((Py_ssize_t)(SIZE_MAX > 0xffffffff ? (int64_t)1 << 40 : 1 << 24))

typedef struct {
    PyObject_HEAD
    const aqe_funnel_path *path;
} aqe_kernels_object;

typedef struct {
    PyObject_HEAD
    aqe_snapshot as;
    Py_buffer *views; /* what keeps the arrays alive */
    size_t view_count;
} aqe_snapshot_object;

/* Take a contiguous buffer of at least `bytes` bytes; on failure an error that names it is set and nothing is held. */
int aqe_hold(PyObject *object, Py_buffer *view, size_t bytes, int writable, const char *name);

/* Take a query: one float32 dimension of `dim` items. */
int aqe_hold_query(PyObject *object, Py_buffer *view, size_t dim);

/* The shape of codes; sets an error and returns -1 for what cannot be. */
int aqe_shape_of(aqe_shape *shape, int metric, Py_ssize_t dim, double unit_f, double unit_k);

/* What a search gives in place of a count; -1 is for want of memory. */
enum { AQE_NOT_FINITE = -2, AQE_DAMAGED = -3 };

/* Set the error that one of these means. */
PyObject *aqe_refuse(ptrdiff_t found);

/* Kernels.sums(data, out) and Kernels.look(data, sums, seen, starts, size). */
PyObject *aqe_write_sums(PyObject *kernels, PyObject *args);
PyObject *aqe_look(PyObject *kernels, PyObject *args);

extern PyType_Spec aqe_snapshot_spec;

/* Kernels.snapshot(metric, dim, mean, units, live, segments, guard or None). */
PyObject *aqe_new_snapshot(const aqe_funnel_path *path, PyTypeObject *type, PyObject *args);

extern PyType_Spec aqe_lists_spec;

/* Kernels.lists(centroids, scales, halves, starts, blocks, row_of). */
PyObject *aqe_new_lists(PyTypeObject *type, PyObject *args);

/* Snapshot.probe: args are (query, k, candidates, lists, patience, tail, ids, scores), `type` is that of lists. */
PyObject *aqe_probe(PyObject *snapshot, PyTypeObject *type, PyObject *const *args, Py_ssize_t count);

/* Snapshot.measure: args are (query, wanted, ids, rows, scores). */
PyObject *aqe_measure(PyObject *snapshot, PyObject *const *args, Py_ssize_t count);

/* Kernels.bound(query, values, scales). */
PyObject *aqe_bound(PyObject *kernels, PyObject *const *args, Py_ssize_t count);

/* Snapshot.near(): the capsule of near.h. */
PyObject *aqe_hand_over(PyObject *snapshot, PyObject *unused);

/* The type of Lists of the module that this type is of. */
PyTypeObject *aqe_lists_type(PyTypeObject *of);

#endif
