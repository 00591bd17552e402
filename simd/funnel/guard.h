/* What stands between a mapped file and an answer that is made of it. */
#ifndef AQE_GUARD_H
#define AQE_GUARD_H

#include <stddef.h>
#include <stdint.h>

enum { AQE_PIECE = 4096 };

/* The pieces of a file from `data` on and what their sums must be; `seen` has a byte for each that was found right, and
   one more that says whether any was not. No guard: `seen` is NULL. */
typedef struct {
    const uint8_t *data;
    size_t pieces;
    const uint64_t *sums;
    uint8_t *seen;
} aqe_guard;

/* The sum of AQE_PIECE bytes at any address. */
uint64_t aqe_sum(const uint8_t *piece);

/* Look at the pieces that these bytes lie in, unless they were seen; bytes elsewhere are nobody's. */
void aqe_look_at(const aqe_guard *guard, const void *from, size_t size);

/* The same before bytes are read by a search. */
static inline void aqe_trust(const aqe_guard *guard, const void *from, size_t size)
{
    if (guard->seen)
        aqe_look_at(guard, from, size);
}

static inline int aqe_is_damaged(const aqe_guard *guard)
{
    return guard->seen && guard->seen[guard->pieces];
}

#endif
