/* The Python binding of the postings: checks what comes in, words the errors, releases the GIL for long work. It computes
   nothing. */
#include "module.h"

#include <stdlib.h>
#include <string.h>

typedef aqe_postings_object postings;

int aqe_enter(postings *self)
{
    if (!PyThread_acquire_lock(self->lock, NOWAIT_LOCK)) {
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(self->lock, WAIT_LOCK);
        Py_END_ALLOW_THREADS
    }
    if (!self->is_broken)
        return 0;
    PyThread_release_lock(self->lock);
    PyErr_SetString(PyExc_RuntimeError, self->is_broken == AQE_TORN
                                            ? "this process was forked in the middle of work on these postings: make "
                                              "them anew"
                                            : "memory was out in the middle of a change: make these postings anew");
    return -1;
}

void aqe_leave(postings *self)
{
    PyThread_release_lock(self->lock);
}

static PyObject *out_of_memory(postings *self)
{
    self->is_broken = AQE_OUT_OF_MEMORY;
    aqe_leave(self);
    return PyErr_NoMemory();
}

static int take(PyObject *object, Py_buffer *view, Py_ssize_t size, const char *name)
{
    return aqe_take(object, view, size, size == 8 ? "qln" : size == 4 ? "iIl" : "B?b", name);
}

static PyObject *make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    double k1, b;
    unsigned long long seed;
    if (kwargs || !PyArg_ParseTuple(args, "ddK", &k1, &b, &seed))
        return kwargs ? PyErr_Format(PyExc_TypeError, "no argument has a name") : NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    postings *self = (postings *)allocate(type, 0);
    if (!self)
        return NULL;
    self->lock = PyThread_allocate_lock();
    if (!self->lock || aqe_prepare(&self->index, k1, b, seed) < 0) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void drop(postings *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    if (self->lock)
        PyThread_free_lock(self->lock);
    aqe_discard(&self->index);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static int are_bytes(PyObject *texts, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++)
        if (!PyBytes_Check(PyTuple_GetItem(texts, i))) {
            PyErr_SetString(PyExc_TypeError, "a document must be bytes");
            return 0;
        }
    return 1;
}

static PyObject *add(postings *self, PyObject *args)
{
    PyObject *ids, *groups, *texts, *answer = NULL;
    Py_buffer id, group;
    if (!PyArg_ParseTuple(args, "OOO!", &ids, &groups, &PyTuple_Type, &texts) || take(ids, &id, 8, "ids") < 0)
        return NULL;
    if (take(groups, &group, 4, "groups") < 0) {
        PyBuffer_Release(&id);
        return NULL;
    }
    Py_ssize_t count = PyTuple_Size(texts);
    if (id.shape[0] != count || group.shape[0] != count) {
        PyErr_Format(PyExc_ValueError, "%zd ids and %zd groups for %zd documents: they must be equal", id.shape[0],
                     group.shape[0], count);
    } else if (are_bytes(texts, count) && aqe_enter(self) == 0) {
        if (aqe_squeeze(&self->index, (uint64_t)self->index.count + (uint64_t)count > AQE_DOCUMENTS) < 0) {
            answer = out_of_memory(self);
        } else if ((uint64_t)self->index.count + (uint64_t)count > AQE_DOCUMENTS) {
            aqe_leave(self);
            PyErr_Format(PyExc_ValueError, "postings hold at most %u documents", AQE_DOCUMENTS);
        } else {
            int failed = 0;
            for (Py_ssize_t i = 0; i < count && !failed; i++) {
                PyObject *text = PyTuple_GetItem(texts, i);
                failed = aqe_add_document(&self->index, ((const int64_t *)id.buf)[i], ((const uint32_t *)group.buf)[i],
                                          PyBytes_AsString(text), (size_t)PyBytes_Size(text));
            }
            if (failed) {
                answer = out_of_memory(self);
            } else {
                aqe_leave(self);
                Py_INCREF(Py_None);
                answer = Py_None;
            }
        }
    }
    PyBuffer_Release(&id);
    PyBuffer_Release(&group);
    return answer;
}

static PyObject *extend(postings *self, PyObject *args)
{
    const char *term;
    Py_ssize_t size;
    PyObject *ids, *frequencies, *answer = NULL;
    Py_buffer id, frequency;
    if (!PyArg_ParseTuple(args, "y#OO", &term, &size, &ids, &frequencies) || take(ids, &id, 8, "ids") < 0)
        return NULL;
    if (take(frequencies, &frequency, 4, "frequencies") < 0) {
        PyBuffer_Release(&id);
        return NULL;
    }
    if (id.shape[0] != frequency.shape[0])
        PyErr_Format(PyExc_ValueError, "%zd ids and %zd frequencies: they must be equal", id.shape[0],
                     frequency.shape[0]);
    else if (aqe_enter(self) == 0) {
        int failed = aqe_extend(&self->index, term, (size_t)size, id.buf, frequency.buf, (size_t)id.shape[0]);
        if (failed < 0) {
            answer = out_of_memory(self);
        } else {
            aqe_leave(self);
            if (failed)
                PyErr_SetString(PyExc_ValueError, failed == 1
                                                      ? "the documents of a term must be there and come in their order"
                                                      : "a document must have less than 2**32 terms");
            else {
                Py_INCREF(Py_None);
                answer = Py_None;
            }
        }
    }
    PyBuffer_Release(&id);
    PyBuffer_Release(&frequency);
    return answer;
}

static PyObject *delete_ids(postings *self, PyObject *ids)
{
    Py_buffer id;
    if (take(ids, &id, 8, "ids") < 0)
        return NULL;
    PyObject *answer = NULL;
    if (aqe_enter(self) == 0) {
        Py_ssize_t gone = 0;
        for (Py_ssize_t i = 0; i < id.shape[0]; i++)
            gone += aqe_delete_document(&self->index, ((const int64_t *)id.buf)[i]);
        aqe_leave(self);
        answer = PyLong_FromSsize_t(gone);
    }
    PyBuffer_Release(&id);
    return answer;
}

int aqe_number_terms(const postings *self, PyObject *terms, Py_ssize_t count, uint32_t *numbers)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        char *name;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(terms, i), &name, &size) < 0)
            return -1;
        if (size > AQE_LONGEST_TERM) {
            PyErr_Format(PyExc_ValueError, "a term must have at most %d bytes, got %zd", AQE_LONGEST_TERM, size);
            return -1;
        }
        numbers[i] = aqe_find_term(&self->index, name, (size_t)size);
    }
    return 0;
}

/* The numbers of some terms; the lock is held. NULL with an error set where one is no bytes. */
static uint32_t *numbers_of(postings *self, PyObject *terms, Py_ssize_t count)
{
    uint32_t *numbers = malloc((size_t)(count ? count : 1) * sizeof *numbers);
    if (numbers && aqe_number_terms(self, terms, count, numbers) == 0)
        return numbers;
    if (!numbers)
        PyErr_NoMemory();
    free(numbers);
    return NULL;
}

/* A byte for each document: may it be found? NULL where memory is out. */
static uint8_t *allowed_documents(const aqe_postings *index, const int64_t *ids, size_t count)
{
    uint8_t *allowed = calloc(index->count ? index->count : 1, 1);
    for (size_t i = 0; allowed && i < count; i++) {
        uint32_t document = aqe_find_document(index, ids[i]);
        if (document != AQE_NONE)
            allowed[document] = 1;
    }
    return allowed;
}

static PyObject *pair_of(const aqe_found *found, Py_ssize_t count)
{
    PyObject *ids = PyByteArray_FromStringAndSize(NULL, count * 8);
    PyObject *scores = PyByteArray_FromStringAndSize(NULL, count * 8);
    PyObject *answer = ids && scores ? PyTuple_Pack(2, ids, scores) : NULL;
    for (Py_ssize_t i = 0; answer && i < count; i++) {
        memcpy(PyByteArray_AsString(ids) + 8 * i, &found[i].id, 8);
        memcpy(PyByteArray_AsString(scores) + 8 * i, &found[i].score, 8);
    }
    Py_XDECREF(ids);
    Py_XDECREF(scores);
    return answer;
}

int aqe_is_long(const aqe_postings *index, const uint32_t *numbers, size_t terms)
{
    uint64_t work = 0;
    for (size_t i = 0; i < terms; i++)
        work += numbers[i] == AQE_NONE ? 0 : index->terms[numbers[i]].count;
    return work >= AQE_LONG_WORK;
}

/* Rank with the lock held; a long search without the GIL. */
static ptrdiff_t rank(postings *self, const uint32_t *numbers, size_t terms, size_t k, const aqe_allow *allow,
                      aqe_found *found)
{
    if (!aqe_is_long(&self->index, numbers, terms))
        return aqe_rank(&self->index, numbers, terms, k, allow, found);
    ptrdiff_t count;
    Py_BEGIN_ALLOW_THREADS
    count = aqe_rank(&self->index, numbers, terms, k, allow, found);
    Py_END_ALLOW_THREADS
    return count;
}

static PyObject *search(postings *self, PyObject *args)
{
    PyObject *terms, *groups, *ids, *answer = NULL;
    Py_ssize_t k;
    Py_buffer group = {0}, id = {0};
    if (!PyArg_ParseTuple(args, "O!nOO", &PyTuple_Type, &terms, &k, &groups, &ids))
        return NULL;
    if (groups != Py_None && take(groups, &group, 1, "groups") < 0)
        return NULL;
    if (ids != Py_None && take(ids, &id, 8, "allow") < 0) {
        PyBuffer_Release(&group);
        return NULL;
    }
    if (aqe_enter(self) == 0) {
        Py_ssize_t count = PyTuple_Size(terms);
        uint32_t *numbers = numbers_of(self, terms, count);
        aqe_allow allow = {group.buf, NULL, group.buf ? (size_t)group.len : 0};
        size_t most = self->index.live < (size_t)k ? self->index.live : (size_t)k;
        uint8_t *allowed = numbers && ids != Py_None ? allowed_documents(&self->index, id.buf, (size_t)id.shape[0]) : NULL;
        aqe_found *found = numbers ? malloc((most ? most : 1) * sizeof *found) : NULL;
        ptrdiff_t made = -1;
        if (found && (ids == Py_None || allowed)) {
            allow.allowed = allowed;
            made = most ? rank(self, numbers, (size_t)count, most, &allow, found) : 0;
        }
        aqe_leave(self);
        if (numbers)
            answer = made < 0 ? PyErr_NoMemory() : pair_of(found, made);
        free(found);
        free(allowed);
        free(numbers);
    }
    PyBuffer_Release(&group);
    PyBuffer_Release(&id);
    return answer;
}

static PyObject *scores(postings *self, PyObject *args)
{
    PyObject *terms, *ids, *answer = NULL;
    Py_buffer id;
    if (!PyArg_ParseTuple(args, "O!O", &PyTuple_Type, &terms, &ids) || take(ids, &id, 8, "ids") < 0)
        return NULL;
    if (aqe_enter(self) == 0) {
        Py_ssize_t count = PyTuple_Size(terms);
        uint32_t *numbers = numbers_of(self, terms, count);
        answer = numbers ? PyByteArray_FromStringAndSize(NULL, id.len) : NULL;
        if (answer)
            aqe_score(&self->index, numbers, (size_t)count, id.buf, (size_t)id.shape[0],
                      (double *)(void *)PyByteArray_AsString(answer));
        aqe_leave(self);
        free(numbers);
    }
    PyBuffer_Release(&id);
    return answer;
}

static PyObject *counts(postings *self, PyObject *args)
{
    PyObject *terms, *groups, *answer = NULL;
    unsigned int most;
    Py_buffer group = {0};
    if (!PyArg_ParseTuple(args, "O!OI", &PyTuple_Type, &terms, &groups, &most))
        return NULL;
    if (groups != Py_None && take(groups, &group, 1, "groups") < 0)
        return NULL;
    if (aqe_enter(self) == 0) {
        Py_ssize_t count = PyTuple_Size(terms);
        uint32_t *numbers = numbers_of(self, terms, count);
        for (Py_ssize_t i = 0; numbers && i < count; i++) {
            uint32_t documents = numbers[i] == AQE_NONE ? 0 : aqe_refresh(&self->index, numbers[i]);
            if (documents && documents <= most && group.buf)
                documents = aqe_count_in(&self->index, numbers[i], group.buf, (size_t)group.len);
            numbers[i] = documents;
        }
        aqe_leave(self);
        answer = numbers ? PyList_New(count) : NULL;
        for (Py_ssize_t i = 0; answer && i < count; i++) {
            PyObject *number = PyLong_FromUnsignedLong(numbers[i]);
            if (!number || PyList_SetItem(answer, i, number) < 0)
                Py_CLEAR(answer);
        }
        free(numbers);
    }
    PyBuffer_Release(&group);
    return answer;
}

static PyObject *size_of(postings *self, PyObject *groups)
{
    Py_buffer group;
    if (take(groups, &group, 1, "groups") < 0)
        return NULL;
    PyObject *answer = NULL;
    if (aqe_enter(self) == 0) {
        uint32_t size = 0;
        const aqe_postings *index = &self->index;
        for (uint32_t i = 0; i < index->count; i++)
            size += index->alive[i] && aqe_is_in(index, i, group.buf, (size_t)group.len);
        aqe_leave(self);
        answer = PyLong_FromUnsignedLong(size);
    }
    PyBuffer_Release(&group);
    return answer;
}

static PyObject *documents(postings *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(self->index.live);
}

static PyObject *has(postings *self, PyObject *id)
{
    long long wanted = PyLong_AsLongLong(id);
    if ((wanted == -1 && PyErr_Occurred()) || aqe_enter(self) < 0)
        return NULL;
    int found = aqe_find_document(&self->index, wanted) != AQE_NONE;
    aqe_leave(self);
    return PyBool_FromLong(found);
}

static PyObject *figures(postings *self, PyObject *unused)
{
    (void)unused;
    if (aqe_enter(self) < 0)
        return NULL;
    const aqe_postings *index = &self->index;
    unsigned long long listed = 0;
    for (uint32_t i = 0; i < index->term_count; i++)
        listed += index->terms[i].count;
    uint32_t live = index->live, terms = index->term_count;
    unsigned long long tokens = index->tokens;
    Py_ssize_t bytes = (Py_ssize_t)aqe_bytes(index);
    aqe_leave(self);
    return Py_BuildValue("{sIsKsIsKsn}", "documents", live, "tokens", tokens, "terms", terms, "postings", listed, "bytes",
                         bytes);
}

static PyMethodDef METHODS[] = {
    {"add", (PyCFunction)add, METH_VARARGS, NULL},
    {"extend", (PyCFunction)extend, METH_VARARGS, NULL},
    {"delete", (PyCFunction)delete_ids, METH_O, NULL},
    {"search", (PyCFunction)search, METH_VARARGS, NULL},
    {"scores", (PyCFunction)scores, METH_VARARGS, NULL},
    {"counts", (PyCFunction)counts, METH_VARARGS, NULL},
    {"size", (PyCFunction)size_of, METH_O, NULL},
    {"documents", (PyCFunction)documents, METH_NOARGS, NULL},
    {"has", (PyCFunction)has, METH_O, NULL},
    {"figures", (PyCFunction)figures, METH_NOARGS, NULL},
    {"hold", aqe_hold_index, METH_O, NULL},
    {"let_go", aqe_let_index_go, METH_NOARGS, NULL},
    {"begin_anew", aqe_begin_index_anew, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot SLOTS[] = {{Py_tp_new, make}, {Py_tp_dealloc, drop}, {Py_tp_methods, METHODS}, {0, NULL}};
static PyType_Spec SPEC = {"aqe.simd._postings.Index", sizeof(postings), 0, Py_TPFLAGS_DEFAULT, SLOTS};

static PyMethodDef FUNCTIONS[] = {{"fuse", aqe_fuse_maps, METH_VARARGS, NULL},
                                  {"join", (PyCFunction)(void (*)(void))aqe_join_sides, METH_FASTCALL, NULL},
                                  {"rank_lists", aqe_rank_lists, METH_VARARGS, NULL},
                                  {"best_listed", aqe_best_listed, METH_VARARGS, NULL},
                                  {NULL, NULL, 0, NULL}};

typedef struct {
    PyTypeObject *index, *hybrid, *lexicon;
} types;

PyTypeObject *aqe_index_type(PyTypeObject *of)
{
    types *held = PyType_GetModuleState(of);
    return held->index;
}

static int fill(PyObject *module)
{
    types *held = PyModule_GetState(module);
    held->index = (PyTypeObject *)PyType_FromModuleAndSpec(module, &SPEC, NULL);
    held->hybrid = (PyTypeObject *)PyType_FromModuleAndSpec(module, &aqe_hybrid_spec, NULL);
    held->lexicon = (PyTypeObject *)PyType_FromModuleAndSpec(module, &aqe_lexicon_spec, NULL);
    PyTypeObject *const made[] = {held->index, held->hybrid, held->lexicon};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (!made[i] || PyModule_AddType(module, made[i]) < 0)
            return -1;
    return 0;
}

static PyModuleDef_Slot MODULE_SLOTS[] = {{Py_mod_exec, fill}, {0, NULL}};
static int visit_types(PyObject *module, visitproc visit, void *arg)
{
    types *held = PyModule_GetState(module);
    Py_VISIT(held->index);
    Py_VISIT(held->hybrid);
    Py_VISIT(held->lexicon);
    return 0;
}

static int clear_types(PyObject *module)
{
    types *held = PyModule_GetState(module);
    Py_CLEAR(held->index);
    Py_CLEAR(held->hybrid);
    Py_CLEAR(held->lexicon);
    return 0;
}

static PyModuleDef MODULE = {.m_base = PyModuleDef_HEAD_INIT,
                             .m_name = "_postings",
                             .m_size = sizeof(types),
                             .m_methods = FUNCTIONS,
                             .m_slots = MODULE_SLOTS,
                             .m_traverse = visit_types,
                             .m_clear = clear_types};

PyMODINIT_FUNC PyInit__postings(void)
{
    return PyModuleDef_Init(&MODULE);
}
