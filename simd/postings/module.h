/* What the files of the postings' Python binding share. */
#ifndef AQE_POSTINGS_MODULE_H
#define AQE_POSTINGS_MODULE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "fuse.h"
#include "postings.h"

enum { AQE_LONGEST_TERM = 65535 }; /* bytes */
#define AQE_LONG_WORK 100000 /* postings; a search of more lets other threads run */

/* Why an index cannot be used any more: memory was out in the middle of a change, or the process was forked in it. */
enum { AQE_OUT_OF_MEMORY = 1, AQE_TORN = 2 };

typedef struct {
    PyObject_HEAD
    aqe_postings index;
    PyThread_type_lock lock; /* one works on the index at a time */
    int is_broken;
} aqe_postings_object;

/* Take the lock of an index, or -1 with an error set; and give it back. Objects of Python's are made of an answer
   afterwards: they may have the garbage collector run whatever finalizers there are. */
int aqe_enter(aqe_postings_object *self);
void aqe_leave(aqe_postings_object *self);

/* Index.hold(patience_s), Index.let_go() and Index.begin_anew(is_held). */
PyObject *aqe_hold_index(PyObject *index, PyObject *patience_s);
PyObject *aqe_let_index_go(PyObject *index, PyObject *unused);
PyObject *aqe_begin_index_anew(PyObject *index, PyObject *is_held);

/* With the lock held: the numbers of terms, those unknown AQE_NONE; -1 with an error set where one is no bytes. */
int aqe_number_terms(const aqe_postings_object *self, PyObject *terms, Py_ssize_t count, uint32_t *numbers);

int aqe_is_long(const aqe_postings *index, const uint32_t *numbers, size_t terms);

/* The type of Index of the module that this type is of. */
PyTypeObject *aqe_index_type(PyTypeObject *of);

extern PyType_Spec aqe_hybrid_spec, aqe_lexicon_spec;

/* Take a contiguous row of `size`-byte numbers, whose format is one of the letters; on failure an error that names it is
   set and nothing is held. */
int aqe_take(PyObject *object, Py_buffer *view, Py_ssize_t size, const char *letters, const char *name);

/* fuse(text, near, share, prior, k), of dictionaries. */
PyObject *aqe_fuse_maps(PyObject *module, PyObject *args);

/* Take a weight of nearness: a number, or (share, other, marked) with a row of bytes; on failure an error is set and
   nothing is held. `view->obj` is NULL where nothing is. */
int aqe_take_shares(PyObject *given, aqe_shares *shares, Py_buffer *view);

/* Both sides fused: the best k as a list of (row, score, text, near); NULL with an error set. */
PyObject *aqe_joined(const aqe_sides *sides, Py_ssize_t k);

/* Candidates as a list of (row, score, text, near). */
PyObject *aqe_best_of(const aqe_candidate *candidates, Py_ssize_t count);

/* Rows whose cosines are estimates: `doubts` says how far those of some rows may be off, and `rescore` is called with the
   ids (int64, as bytes) of those whose exact ones (float32) are needed. */
typedef struct {
    void (*doubts)(const void *of, const int64_t *ids, size_t count, float *doubts);
    const void *of;
    PyObject *rescore;
    double floor; /* without a cosine that reaches it nothing is found; 0: it has none */
} aqe_cold;

/* The same where some cosines are estimates: those that leave it open who is among the best k are made exact. The near
   side has more than the `wide` that count: the others are candidates where they turn out to be nearer than the last of
   these. */
PyObject *aqe_settled(const aqe_sides *sides, size_t wide, const aqe_cold *cold, Py_ssize_t k);

/* join(text_ids, text_scores, cosines, near_ids, near_scores, words, share, k), of arrays. */
PyObject *aqe_join_sides(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* rank_lists(lists, lengths, documents, mean, k1, b): rows, their scores, and the rows whose length is not known. */
PyObject *aqe_rank_lists(PyObject *module, PyObject *args);

/* best_listed(rows, scores, groups, among, k): rows and scores. */
PyObject *aqe_best_listed(PyObject *module, PyObject *args);

#endif
