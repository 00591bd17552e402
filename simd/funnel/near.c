/* Snapshot.near: a snapshot as other extensions may ask it. */
#include "near.h"

#include <stdlib.h>

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

static int measure(void *room, const int64_t *rows, size_t count, float *scores)
{
    const query_room *at = room;
    aqe_measure_rows(&at->search, rows, count, scores);
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
    given->as = (aqe_near){of, of->shape.dim, rows, sizeof(query_room) + aqe_room_for(&of->shape), search, measure};
    given->snapshot = snapshot;
    PyObject *capsule = PyCapsule_New(&given->as, AQE_NEAR, drop);
    if (capsule)
        Py_INCREF(snapshot);
    else
        free(given);
    return capsule;
}
