/* The lists of an inverted file: which are probed for a query, in what order, and when enough of them were.

   Each list has a centroid, kept as int8 and a scale (the rows of the list are encoded against that very vector, so that
   q.c is exact), and a run of blocks. A row may stand in two lists. */
#ifndef AQE_LISTS_H
#define AQE_LISTS_H

#include "snapshot.h"

typedef struct {
    size_t dim, count;
    const int8_t *centroids; /* count * dim */
    const float *scales;     /* count */
    const float *halves;     /* count: |c|^2 / 2 */
    const int64_t *starts;   /* count + 1: the first block of each list, and the end of the last */
    const uint8_t *blocks;
    const int32_t *row_of;   /* negative: nobody */
    int32_t rows;            /* above every row that is named */
} aqe_lists;

/* The best k rows of the lists and of the rows from `tail` (a multiple of 64) on, which are scanned one by one. Lists are
   probed, nearest first, until the best k by int8 stayed the same for `patience` of them; `wanted` candidates at most are
   above the threshold of the codes at any time. Where the best hardly stand above the others, as those of a query that is
   unlike all rows, every row is looked at as without lists. Returns how many were written and in `looked` how many codes
   were looked at, or -1 without memory. */
ptrdiff_t aqe_lists_search(const aqe_search *search, const aqe_lists *lists, size_t wanted, size_t patience, int32_t tail,
                           int64_t *ids, float *scores, size_t *looked);

#endif
