/* Both sides fused where some cosines are estimates: of rows of which only a code is kept. An estimate does where its row
   is among the best, or not, however far it is off; the others are asked for, which costs far more than all the rest. What
   scores are measured by, the mean and the deviation of the candidates, takes the estimates that are left. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "module.h"

typedef struct {
    aqe_candidate *items; /* first those that count, then the spare ones */
    float *doubts;        /* of each item; 0 where its cosine is as good as can be */
    int64_t *asked;
    double *least;
    size_t count, all, room;
    double border; /* cosine of the last of the near side that counts */
    const aqe_cold *cold;
} bench;

static int open_bench(bench *of, size_t room)
{
    of->items = malloc(room * sizeof *of->items);
    of->doubts = malloc(room * sizeof *of->doubts);
    of->asked = malloc(room * sizeof *of->asked);
    of->least = malloc(room * sizeof *of->least);
    of->room = room;
    return of->items && of->doubts && of->asked && of->least ? 0 : -1;
}

static void close_bench(bench *of)
{
    free(of->items);
    free(of->doubts);
    free(of->asked);
    free(of->least);
}

static int is_of_text(const aqe_sides *sides, int64_t id)
{
    for (size_t i = 0; i < sides->text_count; i++)
        if (sides->text_ids[i] == id)
            return 1;
    return 0;
}

/* The candidates, and as spare ones those of the near side beyond `wide` that may be nearer than they seem. */
static int fill(bench *of, const aqe_sides *sides, size_t wide)
{
    aqe_sides counted = *sides;
    if (counted.near_count > wide)
        counted.near_count = wide;
    of->border = counted.near_count < wide ? -INFINITY : aqe_rounded(sides->near[wide - 1]);
    ptrdiff_t count = aqe_unite(&counted, of->items);
    if (count < 0)
        return (int)count;
    of->count = of->all = (size_t)count;
    for (size_t i = counted.near_count; i < sides->near_count; i++) {
        float doubt;
        of->cold->doubts(of->cold->of, sides->near_ids + i, 1, &doubt);
        if (!(doubt > 0) || sides->near[i] + doubt < of->border || is_of_text(sides, sides->near_ids[i]))
            continue;
        aqe_sides one = {.near_ids = sides->near_ids + i, .near = sides->near + i, .words = sides->words + i,
                         .near_count = 1, .shares = sides->shares};
        of->all += (size_t)aqe_unite(&one, of->items + of->all);
    }
    for (size_t i = 0; i < of->all; i++)
        of->asked[i] = of->items[i].row;
    of->cold->doubts(of->cold->of, of->asked, of->all, of->doubts);
    return 0;
}

static void swap(bench *of, size_t a, size_t b)
{
    aqe_candidate item = of->items[a];
    float doubt = of->doubts[a];
    of->items[a] = of->items[b];
    of->doubts[a] = of->doubts[b];
    of->items[b] = item;
    of->doubts[b] = doubt;
}

/* Spare ones whose cosines are known by now count, or are none any more. */
static void sort_out(bench *of)
{
    for (size_t i = of->count; i < of->all;) {
        if (of->doubts[i] > 0)
            i++;
        else if (of->items[i].has_near && of->items[i].near >= of->border)
            swap(of, i++, of->count++);
        else
            swap(of, i, --of->all);
    }
}

/* Have the cosines of these places made exact; -1 with an error set. */
static int rescore(bench *of, const size_t *places, size_t count)
{
    Py_buffer exact;
    for (size_t i = 0; i < count; i++)
        of->asked[i] = of->items[places[i]].row;
    PyObject *ids = PyBytes_FromStringAndSize((const char *)of->asked, (Py_ssize_t)(count * sizeof *of->asked));
    PyObject *made = ids ? PyObject_CallFunctionObjArgs(of->cold->rescore, ids, NULL) : NULL;
    Py_XDECREF(ids);
    int failed = !made || aqe_take(made, &exact, sizeof(float), "f", "rescored cosines") < 0;
    Py_XDECREF(made);
    if (failed)
        return -1;
    if ((size_t)exact.shape[0] != count) {
        PyErr_Format(PyExc_ValueError, "there must be %zu rescored cosines, got %zd", count, exact.shape[0]);
        PyBuffer_Release(&exact);
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        float cosine = ((const float *)exact.buf)[i];
        aqe_candidate *one = of->items + places[i];
        one->has_near = !isnan(cosine);
        one->near = one->has_near ? aqe_rounded(cosine) : 0.0;
        of->doubts[places[i]] = 0;
    }
    PyBuffer_Release(&exact);
    sort_out(of);
    return 0;
}

static int falling(const void *a, const void *b)
{
    double one = *(const double *)a, other = *(const double *)b;
    return one < other ? 1 : one > other ? -1 : 0;
}

/* The places whose estimates leave it open who is among the best k; how many. */
static size_t open_places(bench *of, size_t k, size_t *places)
{
    double deviation = aqe_weigh(of->items, of->count, of->all), border = -INFINITY;
    double each = deviation > 0 ? 1 / deviation : 0;
    if (k < of->count) {
        for (size_t i = 0; i < of->count; i++)
            of->least[i] = of->items[i].score - of->items[i].share * of->doubts[i] * each;
        qsort(of->least, of->count, sizeof *of->least, falling);
        border = of->least[k - 1];
    }
    size_t found = 0;
    for (size_t i = 0; i < of->all; i++)
        if (of->doubts[i] > 0 && of->items[i].score + of->items[i].share * of->doubts[i] * each >= border)
            places[found++] = i;
    return found;
}

/* Whether a cosine reaches the floor: 1, 0, or -1 with an error set. */
static int reaches(bench *of, size_t *places)
{
    double best = -1;
    size_t found = 0;
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < of->all; i++)
            if (of->items[i].has_near && !(of->doubts[i] > 0) && of->items[i].near > best)
                best = of->items[i].near;
        if (best >= of->cold->floor || again)
            break;
        for (size_t i = 0; i < of->all; i++)
            if (of->doubts[i] > 0 && of->items[i].near + of->doubts[i] >= of->cold->floor)
                places[found++] = i;
        if (found && rescore(of, places, found) < 0)
            return -1;
    }
    return best >= of->cold->floor;
}

static PyObject *settle(bench *of, Py_ssize_t k)
{
    size_t *places = malloc(of->room * sizeof *places), found;
    int is_near = !places ? -1 : of->cold->floor > 0 ? reaches(of, places) : 1, failed = is_near < 0;
    while (is_near > 0 && !failed && (found = open_places(of, (size_t)k, places)) > 0)
        failed = rescore(of, places, found) < 0;
    if (!places)
        PyErr_NoMemory();
    free(places);
    if (failed)
        return NULL;
    Py_ssize_t made = !is_near ? 0 : (size_t)k < of->count ? k : (Py_ssize_t)of->count;
    aqe_fuse(of->items, of->count, (size_t)made);
    return aqe_best_of(of->items, made);
}

PyObject *aqe_settled(const aqe_sides *sides, size_t wide, const aqe_cold *cold, Py_ssize_t k)
{
    bench of = {.cold = cold};
    PyObject *answer = NULL;
    int failed = open_bench(&of, sides->text_count + sides->near_count + 1);
    if (!failed)
        failed = fill(&of, sides, wide);
    if (failed == AQE_TWICE)
        PyErr_SetString(PyExc_ValueError, "a row stands twice on one side");
    else if (failed)
        PyErr_NoMemory();
    else
        answer = settle(&of, k);
    close_bench(&of);
    return answer;
}
