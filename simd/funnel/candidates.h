/* What candidates.c offers beside the stream of funnel.h. Estimates are never NaN here. */
#ifndef AQE_CANDIDATES_H
#define AQE_CANDIDATES_H

#include "funnel.h"

/* Bring the best `wanted` of `count` to the front, in no order. */
void aqe_keep_best(aqe_candidate *items, size_t count, size_t wanted);

/* Take `count` items of different rows beside those that are there, which are of different rows too: of one row the
   better. There is room for all of them; `items` is sorted by row. */
void aqe_candidates_join(aqe_candidates *candidates, aqe_candidate *items, size_t count);

/* Best first; of equals the lower row. */
void aqe_rank(aqe_candidate *items, size_t count);

#endif
