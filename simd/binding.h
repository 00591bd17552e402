/* What the two files of the Python binding share: how a path reaches a function, and how buffers are checked. */
#ifndef AQE_BINDING_H
#define AQE_BINDING_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "dispatch.h"

/* The path that a function was made for: its `self` is a capsule around it. */
const aqe_path *aqe_path_of(PyObject *self);

/* Take a contiguous buffer of items of `format` ('f' or 'b'), writable where asked; on failure an error is set and nothing
   is held. */
int aqe_take(PyObject *object, Py_buffer *view, char format, int writable, int dimensions, const char *name);

/* Functions over words, in words.c; each is one of KERNELS in _native.c. */
PyObject *aqe_tokens(PyObject *self, PyObject *data);
PyObject *aqe_vocabulary_of(PyObject *self, PyObject *args);
PyObject *aqe_bag_of(PyObject *self, PyObject *args);
PyObject *aqe_embed_texts(PyObject *self, PyObject *args);

#endif
