/* The best of a stream: a buffer that is cut back to the wanted number whenever it is twice as long. */
#include "candidates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int aqe_candidates_open(aqe_candidates *candidates, size_t wanted)
{
    int fits = wanted <= (PTRDIFF_MAX / sizeof *candidates->items - AQE_BLOCK) / 2;
    candidates->items = fits ? malloc((2 * wanted + AQE_BLOCK) * sizeof *candidates->items) : NULL;
    candidates->count = 0;
    candidates->wanted = wanted;
    candidates->threshold = -INFINITY;
    return candidates->items ? 0 : -1;
}

void aqe_candidates_close(aqe_candidates *candidates)
{
    free(candidates->items);
    candidates->items = NULL;
}

static void swap(aqe_candidate *a, aqe_candidate *b)
{
    aqe_candidate held = *a;
    *a = *b;
    *b = held;
}

/* Of equals the lower row is better: which rows are kept does not depend on how they are looked at. */
static inline int is_better(const aqe_candidate *a, const aqe_candidate *b)
{
    return a->estimate > b->estimate || (a->estimate == b->estimate && a->row < b->row);
}

/* Put the middle one of three items first. */
static void choose_pivot(aqe_candidate *items, size_t count)
{
    aqe_candidate *low = items, *middle = items + count / 2, *high = items + count - 1;
    if (is_better(middle, high))
        swap(middle, high);
    if (is_better(low, high))
        swap(low, high);
    if (is_better(middle, low))
        swap(middle, low);
}

void aqe_keep_best(aqe_candidate *items, size_t count, size_t wanted)
{
    while (count > wanted && wanted > 0) {
        choose_pivot(items, count);
        aqe_candidate pivot = items[0];
        size_t i = 0, j = count;
        for (;;) {
            do
                i++;
            while (i < count && is_better(items + i, &pivot));
            do
                j--;
            while (is_better(&pivot, items + j));
            if (i >= j)
                break;
            swap(items + i, items + j);
        }
        swap(items, items + j); /* items[0..j) are better than items(j..count) */
        if (j == wanted || j + 1 == wanted)
            return;
        if (j > wanted) {
            count = j;
        } else {
            items += j + 1;
            count -= j + 1;
            wanted -= j + 1;
        }
    }
}

void aqe_candidates_select(aqe_candidates *candidates)
{
    if (candidates->count <= candidates->wanted)
        return;
    aqe_keep_best(candidates->items, candidates->count, candidates->wanted);
    candidates->count = candidates->wanted;
    float least = INFINITY;
    for (size_t i = 0; i < candidates->count; i++)
        least = candidates->items[i].estimate < least ? candidates->items[i].estimate : least;
    candidates->threshold = least;
}

static int by_row(const void *a, const void *b)
{
    const aqe_candidate *x = a, *y = b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return (x->estimate < y->estimate) - (x->estimate > y->estimate);
}

void aqe_candidates_unique(aqe_candidates *candidates)
{
    size_t kept = 0;
    qsort(candidates->items, candidates->count, sizeof *candidates->items, by_row);
    for (size_t i = 0; i < candidates->count; i++)
        if (!kept || candidates->items[i].row != candidates->items[kept - 1].row)
            candidates->items[kept++] = candidates->items[i];
    candidates->count = kept;
}

/* The place of a row among items in the order of rows, or `count`. */
static size_t place_of(const aqe_candidate *items, size_t count, int32_t row)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (items[middle].row < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && items[low].row == row ? low : count;
}

void aqe_candidates_join(aqe_candidates *candidates, aqe_candidate *items, size_t count)
{
    size_t kept = 0;
    qsort(items, count, sizeof *items, by_row);
    for (size_t i = 0; i < candidates->count; i++) {
        aqe_candidate item = candidates->items[i];
        size_t at = place_of(items, count, item.row);
        if (at == count)
            candidates->items[kept++] = item;
        else if (item.estimate > items[at].estimate)
            items[at].estimate = item.estimate;
    }
    for (size_t i = 0; i < count; i++)
        candidates->items[kept + i] = items[i];
    candidates->count = kept + count;
}

static int by_rank(const void *a, const void *b)
{
    const aqe_candidate *x = a, *y = b;
    if (x->estimate != y->estimate)
        return x->estimate > y->estimate ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* A candidate as a whole number, the lower the better. */
static uint64_t key_of(const aqe_candidate *item)
{
    float estimate = item->estimate + 0.0f; /* of both zeros the same */
    uint32_t bits;
    memcpy(&bits, &estimate, sizeof bits);
    bits = bits >> 31 ? bits : ~bits & INT32_MAX;
    return (uint64_t)bits << 32 | (uint32_t)item->row;
}

static aqe_candidate item_of(uint64_t key)
{
    aqe_candidate item = {.row = (int32_t)(uint32_t)key};
    uint32_t bits = (uint32_t)(key >> 32);
    bits = bits >> 31 ? bits : ~bits & INT32_MAX;
    memcpy(&item.estimate, &bits, sizeof bits);
    return item;
}

/* Two runs in order made one, without a branch that depends on what is compared. */
static void merge(const uint64_t *one, size_t ones, const uint64_t *other, size_t others, uint64_t *out)
{
    size_t i = 0, j = 0;
    while (i < ones && j < others) {
        uint64_t a = one[i], b = other[j];
        size_t first = a <= b;
        *out++ = first ? a : b;
        i += first;
        j += !first;
    }
    memcpy(out, one + i, (ones - i) * sizeof *out);
    memcpy(out + (ones - i), other + j, (others - j) * sizeof *out);
}

static void put_in_order(uint64_t *a, uint64_t *b)
{
    const uint64_t first = *a, second = *b;
    *a = first < second ? first : second;
    *b = first < second ? second : first;
}

enum { RUN = 4 };

static void order_runs(uint64_t *keys, size_t count)
{
    size_t whole = count / RUN * RUN;
    for (uint64_t *at = keys; at < keys + whole; at += RUN) {
        put_in_order(at, at + 1);
        put_in_order(at + 2, at + 3);
        put_in_order(at, at + 2);
        put_in_order(at + 1, at + 3);
        put_in_order(at + 1, at + 2);
    }
    for (size_t i = whole + 1; i < count; i++)
        for (size_t at = i; at > whole; at--)
            put_in_order(keys + at - 1, keys + at);
}

enum { ON_STACK = 512 };

void aqe_rank(aqe_candidate *items, size_t count)
{
    uint64_t few[2 * ON_STACK], *keys = count <= ON_STACK ? few : NULL;
    if (!keys && count <= SIZE_MAX / (2 * sizeof *keys))
        keys = malloc(2 * count * sizeof *keys);
    if (!keys) {
        qsort(items, count, sizeof *items, by_rank);
        return;
    }
    uint64_t *from = keys, *to = keys + count;
    for (size_t i = 0; i < count; i++)
        from[i] = key_of(items + i);
    order_runs(keys, count);
    for (size_t run = RUN; run < count; run *= 2) {
        for (size_t at = 0; at < count; at += 2 * run) {
            size_t ones = count - at < run ? count - at : run, both = count - at < 2 * run ? count - at : 2 * run;
            merge(from + at, ones, from + at + ones, both - ones, to + at);
        }
        uint64_t *held = from;
        from = to;
        to = held;
    }
    for (size_t i = 0; i < count; i++)
        items[i] = item_of(from[i]);
    if (keys != few)
        free(keys);
}
