/* What candidates.c offers beside the stream of funnel.h. Estimates are never NaN here. */
#ifndef AQE_CANDIDATES_H
#define AQE_CANDIDATES_H

#include "funnel.h"

/* Bring the best `wanted` of `count` to the front, in no order. */
void aqe_keep_best(aqe_candidate *items, size_t count, size_t wanted);

/* Best first; of equals the lower row. */
void aqe_rank(aqe_candidate *items, size_t count);

#endif
