/* Snapshot.measure: the scores of rows that are named, each by the best form that is kept of it. */
#include <math.h>
#include <stdlib.h>

#include "ids.h"
#include "module.h"

enum { AT_ONCE = 128, LONG_WORK = 1024 /* rows; more let other threads run */ };

typedef struct {
    const int64_t *wanted, *ids, *rows;
    size_t count, known;
    int by_id;
    float *scores;
} task;

/* The row of an id among those in order, -1 where it is not there; without them it is the row itself. */
static int64_t row_of(const task *of, int64_t id)
{
    return of->by_id ? aqe_row_of(of->ids, of->rows, of->known, id) : id;
}

static float as_written(int metric, float score)
{
    if (score == -INFINITY) /* no row, or one of which only its code is kept */
        return NAN;
    if (metric == AQE_L2)
        return score < 0 ? -score : 0;
    return metric == AQE_COSINE && score > 1 ? 1 : metric == AQE_COSINE && score < -1 ? -1 : score;
}

void aqe_measure_rows(const aqe_search *search, const int64_t *rows, size_t count, float *scores)
{
    aqe_candidate items[AT_ONCE];
    for (size_t start = 0; start < count; start += AT_ONCE) {
        size_t some = count - start < AT_ONCE ? count - start : AT_ONCE;
        for (size_t i = 0; i < some; i++) {
            int64_t row = rows[start + i];
            items[i] = (aqe_candidate){.row = row < 0 || row > INT32_MAX ? -1 : (int32_t)row, .estimate = NAN};
        }
        aqe_score_exact(search, items, some);
        for (size_t i = 0; i < some; i++)
            scores[start + i] = as_written(search->of->shape.metric, items[i].estimate);
    }
}

static void measure_all(const aqe_search *search, const task *of)
{
    int64_t rows[AT_ONCE];
    for (size_t start = 0; start < of->count; start += AT_ONCE) {
        size_t count = of->count - start < AT_ONCE ? of->count - start : AT_ONCE;
        for (size_t i = 0; i < count; i++)
            rows[i] = row_of(of, of->wanted[start + i]);
        aqe_measure_rows(search, rows, count, of->scores + start);
    }
}

/* 1, or 0 where the query is not finite, or -1 without memory. */
static int answer(const aqe_snapshot *of, const float *query, const task *asked)
{
    aqe_snapshot uncoded = *of; /* its codes are not asked */
    aqe_search search;
    uncoded.mean = NULL;
    void *room = malloc(aqe_room_for(&of->shape));
    int is_finite = room ? aqe_search_open(&search, &uncoded, query, 1, NULL, room) : -1;
    if (is_finite > 0)
        measure_all(&search, asked);
    free(room);
    return is_finite;
}

static PyObject *measured(const aqe_snapshot *of, const float *query, const task *asked)
{
    int done;
    if (asked->count < LONG_WORK) {
        done = answer(of, query, asked);
    } else {
        Py_BEGIN_ALLOW_THREADS
        done = answer(of, query, asked);
        Py_END_ALLOW_THREADS
    }
    if (done == 0)
        return PyErr_Format(PyExc_ValueError, "query holds NaN, infinity or, but for cosine, an item beyond 1e15");
    if (done > 0 && aqe_is_damaged(&of->guard))
        return aqe_refuse(AQE_DAMAGED);
    return done < 0 ? PyErr_NoMemory() : Py_NewRef(Py_None);
}

enum { QUERY, WANTED, SCORES, IDS, ROWS, ALL };

/* Take the buffers one after the other; how many are held, which is all of them unless an error is set. */
static int hold_all(const aqe_snapshot *of, PyObject *const *args, Py_buffer *held, int wanted)
{
    if (aqe_hold_query(args[0], held + QUERY, of->shape.dim) < 0)
        return 0;
    if (aqe_hold(args[1], held + WANTED, 0, 0, "wanted") < 0)
        return 1;
    if (aqe_hold(args[4], held + SCORES, (size_t)held[WANTED].len / 8 * sizeof(float), 1, "scores") < 0)
        return 2;
    if (wanted < ALL)
        return 3;
    if (aqe_hold(args[2], held + IDS, 0, 0, "ids") < 0)
        return 3;
    return aqe_hold(args[3], held + ROWS, (size_t)held[IDS].len, 0, "rows") < 0 ? 4 : 5;
}

PyObject *aqe_measure(PyObject *snapshot, PyObject *const *args, Py_ssize_t count)
{
    const aqe_snapshot *of = &((aqe_snapshot_object *)snapshot)->as;
    Py_buffer held[ALL] = {{0}};
    PyObject *done = NULL;
    if (count != 5)
        return PyErr_Format(PyExc_TypeError, "measure takes 5 arguments, got %zd", count);
    int wanted = args[2] == Py_None ? IDS : ALL, taken = hold_all(of, args, held, wanted);
    if (taken == wanted) {
        task asked = {.wanted = held[WANTED].buf,
                      .ids = held[IDS].buf,
                      .rows = held[ROWS].buf,
                      .count = (size_t)held[WANTED].len / 8,
                      .known = (size_t)held[IDS].len / 8,
                      .by_id = wanted == ALL,
                      .scores = held[SCORES].buf};
        done = measured(of, held[QUERY].buf, &asked);
    }
    while (taken)
        PyBuffer_Release(held + --taken);
    return done;
}
