/* Hybrid: postings and vectors of the same ids, asked together in one call. Everything between the query and the few that
   are found stays in C: neither side's candidates become objects. */
#include "near.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ids.h"
#include "module.h"

#define LONG_ROWS 50000 /* rows of vectors; a search of more lets other threads run */
#define MOST_WIDE 1000000
#define FEW_NEAR 256
#define NEAR_SLOTS (4 * FEW_NEAR)

typedef struct {
    PyObject_HEAD
    aqe_postings_object *index;
    PyObject *capsule;
    const aqe_near *near;
    size_t count;                /* vectors */
    Py_buffer groups, ids, rows; /* groups.buf is NULL where all may be found */
} hybrid;

/* What is asked for, and room for what each side answers. */
typedef struct {
    const hybrid *of;
    const float *query;
    const uint32_t *terms;
    size_t term_count, wide, candidates;
    size_t reach; /* how many of the near side are looked for: more than `wide` where those may be estimated too low */
    double floor;
    PyObject *rescore; /* NULL: estimates count as they are */
    void *room; /* one allocation, which everything below lies in */
    void *query_room;
    aqe_found *text;
    int64_t *near_ids, *text_ids, *text_rows;
    double *words, *scores;
    float *near, *cosines, *measured;
    uint32_t *documents;
    ptrdiff_t near_count, text_count;
} task;

/* Why a search has no answer: of the near side, or of this. */
enum { NO_MEMORY = AQE_NEAR_NO_MEMORY, TOO_FAR = -10 };

static size_t padded(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static int open_room(task *of)
{
    const size_t wide = of->reach, query = padded(of->of->near->room);
    const size_t each = sizeof *of->text + 3 * sizeof(int64_t) + 2 * sizeof(double) + 3 * sizeof(float) + sizeof(uint32_t);
    char *at = of->room = malloc(query + wide * each + 64);
    if (!at)
        return -1;
    of->query_room = at;
    of->text = (aqe_found *)(void *)(at += query);
    of->near_ids = (int64_t *)(void *)(of->text + wide);
    of->text_ids = of->near_ids + wide;
    of->text_rows = of->text_ids + wide;
    of->words = (double *)(void *)(of->text_rows + wide);
    of->scores = of->words + wide;
    of->near = (float *)(void *)(of->scores + wide);
    of->cosines = of->near + wide;
    of->measured = of->cosines + wide;
    of->documents = (uint32_t *)(void *)(of->measured + wide);
    return 0;
}

static int is_too_far(const task *of)
{
    double best = of->near_count ? rint((double)of->near[0] * 1e6) / 1e6 : -1;
    return of->floor > 0 && best < of->floor;
}

static ptrdiff_t rank_words(task *of)
{
    const hybrid *self = of->of;
    aqe_postings *index = &self->index->index;
    const aqe_allow allow = {self->groups.buf, NULL, self->groups.buf ? (size_t)self->groups.len : 0};
    size_t near = (size_t)of->near_count, k = of->wide < index->live ? of->wide : index->live;
    if (k && aqe_are_few(index, of->terms, of->term_count)) {
        aqe_find_documents(index, of->near_ids, near, of->documents);
        return aqe_rank_few(index, of->terms, of->term_count, k, &allow, &(aqe_named){of->documents, of->words, near},
                            of->text);
    }
    aqe_score(index, of->terms, of->term_count, of->near_ids, near, of->words);
    return k ? aqe_rank(index, of->terms, of->term_count, k, &allow, of->text) : 0;
}

/* Where each id of some that are near stands among them. */
typedef struct {
    const int64_t *ids;
    uint16_t slots[NEAR_SLOTS]; /* open addressing; 0 is free, else a place and one */
} near_places;

static size_t slot_of(const near_places *of, int64_t id)
{
    size_t slot = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 32) % NEAR_SLOTS;
    while (of->slots[slot] && of->ids[of->slots[slot] - 1] != id)
        slot = (slot + 1) % NEAR_SLOTS;
    return slot;
}

/* The cosines of what the words found: those of the near ones are known. */
static int measure_text(task *of)
{
    const hybrid *self = of->of;
    size_t known = (size_t)self->ids.len / sizeof(int64_t), missing = 0;
    uint32_t *places = of->documents;
    float *measured = of->measured;
    near_places near = {.ids = of->near_ids};
    for (ptrdiff_t i = 0; i < of->near_count && i < FEW_NEAR; i++)
        near.slots[slot_of(&near, of->near_ids[i])] = (uint16_t)(i + 1);
    for (size_t i = 0; i < (size_t)of->text_count; i++) {
        size_t place = near.slots[slot_of(&near, of->text_ids[i])];
        if (place) {
            of->cosines[i] = of->near[place - 1];
            continue;
        }
        places[missing] = (uint32_t)i;
        of->text_rows[missing++] = aqe_row_of(self->ids.buf, self->rows.buf, known, of->text_ids[i]);
    }
    int failed = self->near->measure(of->query_room, of->text_rows, missing, measured);
    for (size_t i = 0; i < missing; i++)
        of->cosines[places[i]] = measured[i];
    return failed;
}

/* Both sides, without Python; 0 or why not. */
static int find(task *of)
{
    const hybrid *self = of->of;
    const aqe_near *near = self->near;
    of->near_count = near->search(near->of, of->query, of->reach < self->count ? of->reach : self->count, of->candidates,
                                  of->query_room, of->near_ids, of->near);
    if (of->near_count < 0)
        return (int)of->near_count;
    if (!of->rescore && is_too_far(of))
        return TOO_FAR;
    of->text_count = rank_words(of);
    if (of->text_count < 0)
        return NO_MEMORY;
    for (ptrdiff_t i = 0; i < of->text_count; i++) {
        of->text_ids[i] = of->text[i].id;
        of->scores[i] = of->text[i].score;
    }
    return measure_text(of);
}

/* The same with the lock of the postings held; a long search without the GIL. */
static int find_held(task *of)
{
    int failed;
    if (of->of->near->rows < LONG_ROWS && !aqe_is_long(&of->of->index->index, of->terms, of->term_count))
        return find(of);
    Py_BEGIN_ALLOW_THREADS
    failed = find(of);
    Py_END_ALLOW_THREADS
    return failed;
}

static PyObject *refuse(int failed)
{
    switch (failed) {
    case TOO_FAR:
        return PyList_New(0);
    case AQE_NEAR_NOT_FINITE:
        return PyErr_Format(PyExc_ValueError, "query holds NaN, infinity or, but for cosine, an item beyond 1e15");
    case AQE_NEAR_DAMAGED:
        return PyErr_Format(PyExc_ValueError, "the file of these vectors is damaged: what was read is not what was saved");
    default:
        return PyErr_NoMemory();
    }
}

/* How far the cosines of rows may be off. */
static void doubts_of(const void *given, const int64_t *ids, size_t count, float *doubts)
{
    const task *of = given;
    const hybrid *self = of->of;
    size_t known = (size_t)self->ids.len / sizeof(int64_t);
    for (size_t i = 0; i < count; i++) {
        int64_t row = aqe_row_of(self->ids.buf, self->rows.buf, known, ids[i]);
        self->near->doubt(of->query_room, &row, 1, doubts + i);
    }
}

static PyObject *answer(const task *of, int failed, const aqe_shares *shares, Py_ssize_t k)
{
    if (failed)
        return refuse(failed);
    aqe_sides sides = {.text_ids = of->text_ids, .near_ids = of->near_ids, .text = of->scores, .words = of->words,
                       .cosines = of->cosines, .near = of->near, .text_count = (size_t)of->text_count,
                       .near_count = (size_t)of->near_count, .shares = *shares};
    if (!of->rescore)
        return aqe_joined(&sides, k);
    const aqe_cold cold = {.doubts = doubts_of, .of = of, .rescore = of->rescore, .floor = of->floor};
    return aqe_settled(&sides, of->wide, &cold, k);
}

enum { FEW_TERMS = 64 };

static PyObject *answer_terms(task *of, PyObject *terms, const aqe_shares *shares, Py_ssize_t k)
{
    Py_ssize_t count = PyTuple_Size(terms);
    uint32_t few[FEW_TERMS], *numbers = count <= FEW_TERMS ? few : malloc((size_t)count * sizeof *numbers);
    PyObject *made = NULL;
    if (!numbers)
        return PyErr_NoMemory();
    if (aqe_enter(of->of->index) == 0) {
        int failed = 0, known = aqe_number_terms(of->of->index, terms, count, numbers) == 0;
        if (known) {
            of->terms = numbers;
            of->term_count = (size_t)count;
            failed = open_room(of) < 0 ? NO_MEMORY : find_held(of);
        }
        aqe_leave(of->of->index);
        made = known ? answer(of, failed, shares, k) : NULL;
    }
    free(of->room);
    if (numbers != few)
        free(numbers);
    return made;
}

/* search(query, terms, wide, candidates, k, share, floor, rescore or None) */
static PyObject *search(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    const hybrid *self = (hybrid *)object;
    task asked = {.of = self};
    Py_buffer query;
    if (count != 8)
        return PyErr_Format(PyExc_TypeError, "search takes 8 arguments, got %zd", count);
    Py_ssize_t wide = PyLong_AsSsize_t(args[2]), candidates = PyLong_AsSsize_t(args[3]), k = PyLong_AsSsize_t(args[4]);
    asked.floor = PyFloat_AsDouble(args[6]);
    if (PyErr_Occurred())
        return NULL;
    if (wide < 0 || wide > MOST_WIDE || candidates < 0 || candidates > MOST_WIDE * 16 || k < 0)
        return PyErr_Format(PyExc_ValueError, "wide must be from 0 to %d, got %zd", MOST_WIDE, wide);
    if (!PyTuple_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "terms must be a tuple");
    if (aqe_take(args[0], &query, sizeof(float), "f", "query") < 0)
        return NULL;
    aqe_shares shares;
    Py_buffer marked;
    if (aqe_take_shares(args[5], &shares, &marked) < 0) {
        PyBuffer_Release(&query);
        return NULL;
    }
    PyObject *made = NULL;
    if ((size_t)query.shape[0] != self->near->dim) {
        PyErr_Format(PyExc_ValueError, "query must have %zu items in 1 dimension", self->near->dim);
    } else {
        asked.query = query.buf;
        asked.wide = asked.reach = (size_t)wide;
        if (args[7] != Py_None && self->near->has_bits) {
            asked.rescore = args[7];
            asked.reach *= 2;
        }
        asked.candidates = (size_t)candidates;
        made = answer_terms(&asked, args[1], &shares, k);
    }
    PyBuffer_Release(&marked);
    PyBuffer_Release(&query);
    return made;
}

static int hold(hybrid *self, PyObject *groups, PyObject *ids, PyObject *rows)
{
    if (groups != Py_None && aqe_take(groups, &self->groups, 1, "B?b", "groups") < 0)
        return -1;
    if (aqe_take(ids, &self->ids, 8, "qln", "ids") < 0 || aqe_take(rows, &self->rows, 8, "qln", "rows") < 0)
        return -1;
    if (self->ids.len == self->rows.len)
        return 0;
    PyErr_SetString(PyExc_ValueError, "there must be as many rows as ids");
    return -1;
}

/* Hybrid(index, near, count, groups or None, ids, rows): how many vectors there are; their ids in order with their rows. */
static PyObject *make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *index, *capsule, *groups, *ids, *rows;
    Py_ssize_t count;
    if (kwargs
        || !PyArg_ParseTuple(args, "O!OnOOO", aqe_index_type(type), &index, &capsule, &count, &groups, &ids, &rows))
        return kwargs ? PyErr_Format(PyExc_TypeError, "no argument has a name") : NULL;
    if (count < 0)
        return PyErr_Format(PyExc_ValueError, "count must be 0 or more, got %zd", count);
    const aqe_near *near = PyCapsule_GetPointer(capsule, AQE_NEAR);
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    hybrid *self = near ? (hybrid *)allocate(type, 0) : NULL;
    if (!self)
        return NULL;
    self->near = near;
    self->count = (size_t)count < near->rows ? (size_t)count : near->rows;
    self->capsule = Py_NewRef(capsule);
    self->index = (aqe_postings_object *)Py_NewRef(index);
    if (hold(self, groups, ids, rows) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void drop(PyObject *object)
{
    hybrid *self = (hybrid *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyBuffer_Release(&self->groups);
    PyBuffer_Release(&self->ids);
    PyBuffer_Release(&self->rows);
    Py_XDECREF((PyObject *)self->index);
    Py_XDECREF(self->capsule);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef METHODS[] = {
    {"search", (PyCFunction)(void (*)(void))search, METH_FASTCALL,
     "search($self, query, terms, wide, candidates, k, share, floor, rescore, /)\n--\n\nThe best k of both sides."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot SLOTS[] = {{Py_tp_new, make}, {Py_tp_dealloc, drop}, {Py_tp_methods, METHODS}, {0, NULL}};
PyType_Spec aqe_hybrid_spec = {.name = "aqe.simd._postings.Hybrid",
                             .basicsize = sizeof(hybrid),
                             .flags = Py_TPFLAGS_DEFAULT,
                             .slots = SLOTS};
