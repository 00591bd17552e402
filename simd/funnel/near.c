/* Snapshot.near: a snapshot as other extensions may ask it. */
#include "near.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "module.h"

typedef struct {
    aqe_near as;
    PyObject *snapshot; /* which `of` is within */
} handed;

/* At the head of the room of a query; the prepared query and its tables stand behind. */
typedef struct {
    aqe_search search;
    double tables[];
} query_room;

static ptrdiff_t search(const void *of, const float *query, size_t k, size_t candidates, void *room, int64_t *ids,
                        float *scores)
{
    const aqe_snapshot *snapshot = of;
    query_room *at = room;
    if (!aqe_search_open(&at->search, snapshot, query, k, NULL, at->tables))
        return AQE_NEAR_NOT_FINITE;
    ptrdiff_t found = aqe_search_run(&at->search, candidates, ids, scores);
    return found >= 0 && aqe_is_damaged(&snapshot->guard) ? AQE_NEAR_DAMAGED : found;
}

static float from_half_at(const uint8_t *at)
{
    uint16_t half;
    memcpy(&half, at, sizeof half);
    return aqe_from_half(half);
}

/* The block of a row of which only its code is kept, with the slot that it stands in; NULL for other rows. */
static const uint8_t *code_of(const aqe_search *search, int64_t row, unsigned *slot)
{
    const aqe_segment *segment = row < 0 || row > INT32_MAX ? NULL : aqe_segment_of(search->of, (int32_t)row);
    if (!segment || !segment->blocks || !search->of->mean)
        return NULL;
    size_t own = (size_t)(row - segment->first);
    for (int form = 0; form < AQE_FORMS; form++)
        if (segment->forms[form].values && (!segment->forms[form].slots || segment->forms[form].slots[own] >= 0))
            return NULL;
    const uint8_t *block = segment->blocks + own / AQE_BLOCK * search->of->shape.block_bytes;
    aqe_trust(&search->of->guard, block, search->of->shape.block_bytes);
    *slot = own % AQE_BLOCK;
    return block;
}

static void estimate(const aqe_search *search, int64_t row, float *score)
{
    float estimates[AQE_BLOCK];
    unsigned slot;
    const uint8_t *block = code_of(search, row, &slot);
    if (!block)
        return;
    search->of->path->estimate(block, block, &search->question, search->base, -INFINITY, estimates);
    float found = estimates[slot];
    *score = found > 1 ? 1 : found < -1 ? -1 : found;
}

static void doubt(const void *room, const int64_t *rows, size_t count, float *doubts)
{
    const aqe_search *search = &((const query_room *)room)->search;
    for (size_t i = 0; i < count; i++) {
        unsigned slot;
        const uint8_t *block = code_of(search, rows[i], &slot);
        doubts[i] = block ? search->doubt * from_half_at(block + sizeof(uint16_t) * slot) + search->slack : 0;
    }
}

static int measure(void *room, const int64_t *rows, size_t count, float *scores)
{
    const query_room *at = room;
    aqe_measure_rows(&at->search, rows, count, scores);
    if (aqe_has_bits(at->search.of))
        for (size_t i = 0; i < count; i++)
            if (isnan(scores[i]))
                estimate(&at->search, rows[i], scores + i);
    return aqe_is_damaged(&at->search.of->guard) ? AQE_NEAR_DAMAGED : 0;
}

static void drop(PyObject *capsule)
{
    handed *given = PyCapsule_GetPointer(capsule, AQE_NEAR);
    if (given) {
        Py_DECREF(given->snapshot);
        free(given);
    }
}

PyObject *aqe_hand_over(PyObject *snapshot, PyObject *unused)
{
    (void)unused;
    const aqe_snapshot *of = &((aqe_snapshot_object *)snapshot)->as;
    handed *given = malloc(sizeof *given);
    if (!given)
        return PyErr_NoMemory();
    size_t rows = 0;
    for (size_t s = 0; s < of->count; s++)
        rows += (size_t)of->segments[s].rows;
    given->as = (aqe_near){.of = of,
                           .dim = of->shape.dim,
                           .rows = rows,
                           .room = sizeof(query_room) + aqe_room_for(&of->shape),
                           .has_bits = aqe_has_bits(of),
                           .search = search,
                           .measure = measure,
                           .doubt = doubt};
    given->snapshot = snapshot;
    PyObject *capsule = PyCapsule_New(&given->as, AQE_NEAR, drop);
    if (capsule)
        Py_INCREF(snapshot);
    else
        free(given);
    return capsule;
}
