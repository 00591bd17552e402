/* The best hits so far, as a heap whose root comes last. */
#ifndef AQE_HEAP_H
#define AQE_HEAP_H

#include <math.h>
#include <stdlib.h>

#include "dispatch.h"

/* Higher scores come first, then lower rows; NaN comes after everything. */
static inline int aqe_comes_before(aqe_hit x, aqe_hit y)
{
    if (x.score > y.score)
        return 1;
    if (x.score < y.score)
        return 0;
    if (isnan(x.score) != isnan(y.score))
        return isnan(y.score);
    return x.row < y.row;
}

static inline int aqe_by_rank(const void *x, const void *y)
{
    return aqe_comes_before(*(const aqe_hit *)x, *(const aqe_hit *)y) ? -1 : 1;
}

/* Put `hit` into the heap of `count` hits from `place` down; the root is the hit that comes last. */
static inline void aqe_sift_down(aqe_hit *heap, size_t count, size_t place, aqe_hit hit)
{
    for (size_t child; (child = 2 * place + 1) < count; place = child) {
        if (child + 1 < count && aqe_comes_before(heap[child], heap[child + 1]))
            child++;
        if (!aqe_comes_before(hit, heap[child]))
            break;
        heap[place] = heap[child];
    }
    heap[place] = hit;
}

typedef struct {
    aqe_hit *heap;
    size_t held, k;
} aqe_best;

static inline void aqe_offer(aqe_best *found, aqe_hit hit)
{
    if (found->held < found->k) {
        found->heap[found->held++] = hit;
        if (found->held == found->k)
            for (size_t place = found->k / 2; place-- > 0;)
                aqe_sift_down(found->heap, found->k, place, found->heap[place]);
    } else if (aqe_comes_before(hit, found->heap[0])) {
        aqe_sift_down(found->heap, found->k, 0, hit);
    }
}

/* Bring the hits into their order. */
static inline void aqe_rank(aqe_best *found) { qsort(found->heap, found->held, sizeof *found->heap, aqe_by_rank); }

#endif
