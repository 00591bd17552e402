/* What one extension may ask of another's vectors, and how it is handed over: a capsule of this name, which holds what the
   pointers lead to. Nothing here takes the GIL. */
#ifndef AQE_NEAR_H
#define AQE_NEAR_H

#include <stddef.h>
#include <stdint.h>

#define AQE_NEAR "aqe.simd._funnel.near"

enum { AQE_NEAR_NO_MEMORY = -1, AQE_NEAR_NOT_FINITE = -2, AQE_NEAR_DAMAGED = -3 };

typedef struct {
    const void *of;
    size_t dim, rows; /* items of a query; rows that are held, deleted ones included */
    size_t room;      /* bytes, at an address for any type, that one query takes from its search to its last measure */
    int has_bits;     /* may only the codes of some rows be kept? */
    /* Write the best k ids and scores, best first, out of `candidates` of the codes (0: every row is scored): how many, or
       one of the above. */
    ptrdiff_t (*search)(const void *of, const float *query, size_t k, size_t candidates, void *room, int64_t *ids,
                        float *scores);
    /* Write the scores of rows for the query of the last search: NaN for one that is not there, an estimate for one of
       which only its code is kept. 0 or one of the above. */
    int (*measure)(void *room, const int64_t *rows, size_t count, float *scores);
    /* Write how far each of those estimates may be off, but for one in a hundred: 0 for all other rows. */
    void (*doubt)(const void *room, const int64_t *rows, size_t count, float *doubts);
} aqe_near;

#endif
