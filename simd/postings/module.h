/* What the files of the postings' Python binding share. */
#ifndef AQE_POSTINGS_MODULE_H
#define AQE_POSTINGS_MODULE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

/* Take a contiguous row of `size`-byte numbers, whose format is one of the letters; on failure an error that names it is
   set and nothing is held. */
int aqe_take(PyObject *object, Py_buffer *view, Py_ssize_t size, const char *letters, const char *name);

/* fuse(text, near, share, prior, k), of dictionaries. */
PyObject *aqe_fuse_maps(PyObject *module, PyObject *args);

/* join(text_ids, text_scores, cosines, near_ids, near_scores, words, share, k), of arrays. */
PyObject *aqe_join_sides(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* rank_lists(lists, lengths, documents, mean, k1, b): rows, their scores, and the rows whose length is not known. */
PyObject *aqe_rank_lists(PyObject *module, PyObject *args);

/* best_listed(rows, scores, groups, among, k): rows and scores. */
PyObject *aqe_best_listed(PyObject *module, PyObject *args);

#endif
