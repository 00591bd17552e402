/* Sums over pieces of a mapped file, looked at when a piece is first read: a bit that changed on the disk is found before
   an answer is made of it. A sum is made of eight runs of words side by side, each step of which can be undone, so that
   two pieces that differ in one word never have the same sum; others do once in 2^64. */
#include <string.h>

#include "guard.h"

enum { RUNS = 8 };

static const uint64_t FACTOR = 0x9e3779b97f4a7c15u; /* odd: the golden ratio of 2^64 (Knuth, TAOCP 3, 6.4) */

static inline uint64_t mixed(uint64_t sum, uint64_t word)
{
    uint64_t product = (sum ^ word) * FACTOR;
    return product << 31 | product >> 33;
}

uint64_t aqe_sum(const uint8_t *piece)
{
    uint64_t sums[RUNS], words[RUNS], found = 0;
    for (unsigned i = 0; i < RUNS; i++)
        sums[i] = i + 1;
    for (size_t at = 0; at < AQE_PIECE; at += sizeof words) {
        memcpy(words, piece + at, sizeof words);
        for (unsigned i = 0; i < RUNS; i++)
            sums[i] = mixed(sums[i], words[i]);
    }
    for (unsigned i = 0; i < RUNS; i++)
        found = mixed(found, sums[i]);
    return found;
}

/* Several threads may look at one piece: each writes the same. */
void aqe_look_at(const aqe_guard *guard, const void *from, size_t size)
{
    uintptr_t start = (uintptr_t)guard->data, at = (uintptr_t)from;
    if (!size || at < start || at - start >= guard->pieces * AQE_PIECE)
        return;
    size_t piece = (at - start) / AQE_PIECE, last = (at - start + size - 1) / AQE_PIECE;
    for (; piece <= last && piece < guard->pieces; piece++)
        if (!guard->seen[piece]) {
            if (aqe_sum(guard->data + piece * AQE_PIECE) == guard->sums[piece])
                guard->seen[piece] = 1;
            else
                guard->seen[guard->pieces] = 1;
        }
}
