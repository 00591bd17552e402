/* What the files of the Python binding share: how a path reaches a function, and how buffers are checked. */
#ifndef AQE_BINDING_H
#define AQE_BINDING_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "dispatch.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define AQE_SWAPPED '<'
#define AQE_NATIVE '>'
#else
#define AQE_SWAPPED '>'
#define AQE_NATIVE '<'
#endif

/* An object of the type `Path`: the functions of one path are its methods. */
typedef struct {
    PyObject_HEAD
    const aqe_path *path;
} aqe_path_object;

static inline const aqe_path *aqe_path_of(PyObject *self)
{
    return ((aqe_path_object *)self)->path;
}

/* Is this buffer of items of `format` ('f', 'e', 'b' or 'B') in native order? */
int aqe_holds(const Py_buffer *view, char format);

/* Take a contiguous buffer of items of `format` ('f' or 'b'), writable where asked; on failure an error is set and
   nothing is held. */
int aqe_take(PyObject *object, Py_buffer *view, char format, int writable, int dimensions, const char *name);

/* Vectors: quick.c has what is called often, forms.c what aqe.simd._forms calls once it has checked everything. */
#define AQE_QUICK(name) PyObject *aqe_quick_##name(PyObject *, PyObject *const *, Py_ssize_t, PyObject *)
AQE_QUICK(dot);
AQE_QUICK(cosine);
AQE_QUICK(l2);
AQE_QUICK(hamming);
AQE_QUICK(normalize);
AQE_QUICK(softmax);
AQE_QUICK(matvec);
PyObject *aqe_form_pair(PyObject *self, PyObject *args);
PyObject *aqe_form_rows(PyObject *self, PyObject *args);
PyObject *aqe_form_scan(PyObject *self, PyObject *args);
PyObject *aqe_form_normalize(PyObject *self, PyObject *args);
PyObject *aqe_form_softmax(PyObject *self, PyObject *args);

/* Words, in words.c. */
PyObject *aqe_tokens(PyObject *self, PyObject *data);
PyObject *aqe_vocabulary_of(PyObject *self, PyObject *args);
PyObject *aqe_bag_of(PyObject *self, PyObject *args);
PyObject *aqe_embed_texts(PyObject *self, PyObject *args);
PyObject *aqe_embedding_of(PyObject *self, PyObject *args);
PyObject *aqe_vector_of(PyObject *self, PyObject *const *args, Py_ssize_t count);

/* How texts lean, in leaning.c. */
PyObject *aqe_odds_model(PyObject *self, PyObject *args);
PyObject *aqe_log_odds(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *aqe_odds_of_word(PyObject *self, PyObject *const *args, Py_ssize_t count);

#endif
