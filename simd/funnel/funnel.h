/* The funnel of a nearest-neighbour search: centred 1-bit codes -> int8 -> float32, in one call without the GIL.

   A code is the signs b of x - c, with two factors of its own (the estimator of RaBitQ, arXiv 2405.12497): with r = x - c,
   q.x ~ base + f <q - m, b> + k, where f = |r|^2 / sum|r|, m is the mean that the tables of the query are made against and
   c the centre of the row (the mean itself in a linear store, the centroid of the list in an inverted file).

       metric      k                                    base of a row's list
       dot, cosine  r.c - f <c - m, b>                   q.c
       l2           -f <c - m, b> - |r|^2 / 2            (q - m).(c - m) - |c - m|^2 / 2     (ranks q.x - |x|^2 / 2)

   Rows stand in blocks of 64: 64 f and 64 k as half floats (f / unit_f, k / unit_k), then one line of 64 bytes for each
   byte of the code; slot s stands in such a line at aqe_place(s), so that sums of even and odd bytes come out in order. */
#ifndef AQE_FUNNEL_H
#define AQE_FUNNEL_H

#include <stddef.h>
#include <stdint.h>

#include "isa.h"

#ifdef __GNUC__
#define AQE_FETCH(address) __builtin_prefetch(address)
#else
#define AQE_FETCH(address) ((void)(address))
#endif

/* The place of the lowest bit of a word that has one. */
static inline unsigned aqe_lowest_bit(uint64_t word)
{
#ifdef __GNUC__
    return (unsigned)__builtin_ctzll(word);
#else
    unsigned at = 0;
    for (; !(word & 1); word >>= 1)
        at++;
    return at;
#endif
}

enum { AQE_BLOCK = 64, AQE_HALVES = 4 * AQE_BLOCK }; /* bytes of f and k at the head of a block */
enum { AQE_MOST_BYTES = 2048 }; /* of a code: dimensions up to 16,384 */
enum { AQE_DOT = 0, AQE_COSINE = 1, AQE_L2 = 2 };

typedef struct {
    uint32_t dim, bytes; /* bytes = (dim + 7) / 8 */
    size_t block_bytes;  /* AQE_HALVES + 64 * bytes */
    int metric;
    float unit_f, unit_k;
} aqe_shape;

static inline unsigned aqe_place(unsigned slot)
{
    return slot < 32 ? 2 * slot : 2 * (slot - 32) + 1;
}

/* A query, encoded once: 2 * bytes tables of 16 sums of four signs; estimate = f * (sum * step + floor) + k * unit_k + base,
   where unit_f is within step and floor. */
typedef struct {
    const uint8_t *tables;
    size_t bytes;
    float step, floor, unit_k;
} aqe_question;

/* Of r = row - centre, with b its signs: |r|^2, sum|r|, r.centre and <centre - mean, b>. */
typedef struct {
    float square, size, along, away;
} aqe_rest;

/* What one instruction set computes. Vectors stand at any address. */
typedef struct {
    aqe_isa isa;
    /* Estimates of the 64 rows of a block into `out`, and which exceed `threshold` as bits; `out` is written only where a
       bit is set. `next` (any readable address) is fetched into the cache line by line meanwhile. */
    uint64_t (*estimate)(const uint8_t *block, const uint8_t *next, const aqe_question *question, float base,
                         float threshold, float *out);
    /* Which of the 64 estimates of a block exceed `threshold` as bits, each raised by its row's f times `doubt`; no block:
       as they are. */
    uint64_t (*raised)(const uint8_t *block, const float *estimates, float doubt, float threshold);
    float (*dot)(const float *a, const float *b, size_t n);
    float (*l2)(const float *a, const float *b, size_t n);
    float (*dot_int8)(const float *a, const int8_t *b, size_t n); /* sum of a[i] * b[i] */
    float (*l2_int8)(const float *a, const int8_t *b, float scale, size_t n); /* of (a[i] - scale * b[i])^2 */
    float (*dot_half)(const float *a, const uint16_t *b, size_t n);
    float (*l2_half)(const float *a, const uint16_t *b, float scale, size_t n);
    /* Write the signs of row - centre (bit i: above 0) and return its sums. */
    aqe_rest (*take_apart)(const float *row, const float *centre, const float *mean, size_t n, uint8_t *code);
} aqe_funnel_path;

/* The path at `position`, best first, among those that this build holds and this CPU runs; NULL past the last. */
const aqe_funnel_path *aqe_funnel_path_at(size_t position);

typedef struct {
    float estimate;
    int32_t row;
} aqe_candidate;

/* The best `wanted` candidates of a stream: `items` has room for 2 * wanted + 64; what is not above `threshold` need not be
   offered. */
typedef struct {
    aqe_candidate *items;
    size_t count, wanted;
    float threshold;
} aqe_candidates;

int aqe_candidates_open(aqe_candidates *candidates, size_t wanted); /* 0, or -1 without memory */
void aqe_candidates_close(aqe_candidates *candidates);
void aqe_candidates_select(aqe_candidates *candidates);             /* keep the best `wanted`, raise the threshold */

static inline void aqe_candidates_offer(aqe_candidates *candidates, float estimate, int32_t row)
{
    if (estimate > candidates->threshold) {
        candidates->items[candidates->count++] = (aqe_candidate){estimate, row};
        if (candidates->count >= 2 * candidates->wanted)
            aqe_candidates_select(candidates);
    }
}

/* A run of blocks whose rows share a base. */
typedef struct {
    size_t first, count;
    float base;
} aqe_range;

/* Offer the rows of these blocks. Slot s of block b is row row_of[64 b + s]: nobody where that is negative, or not below
   `end`, as where a mapped file was changed. `mask` has bit `row` set for each row that may be found. */
void aqe_scan(const aqe_funnel_path *path, const aqe_question *question, const uint8_t *blocks, size_t block_bytes,
              const aqe_range *ranges, size_t range_count, const int32_t *row_of, int32_t end,
              const uint64_t *mask, aqe_candidates *candidates);

/* Keep one candidate of each row (the first in order of row): a row may stand in two lists. */
void aqe_candidates_unique(aqe_candidates *candidates);

/* Write the tables of a query (`room` of at least 32 * bytes bytes): `query` is prepared (of length one for cosine). */
void aqe_ask(const aqe_shape *shape, const float *query, const float *mean, uint8_t *room, aqe_question *question);

/* Encode one row into a slot of a block; `mean` is m and `centre` is c (the same pointer in a linear store). 1 where the
   row is so long that the code had to be cut: its estimate may be far too low. */
int aqe_encode(const aqe_funnel_path *path, const aqe_shape *shape, const float *row, const float *centre,
                const float *mean, uint8_t *block, unsigned slot);

/* int8 items of a row, and the scale that brings them back. */
float aqe_quantise(const float *row, size_t dim, int8_t *out);

/* A copy of a row of length one, whatever its scale; of zeros for a row of zeros. 0 where it holds NaN or infinity. */
int aqe_unit(const float *row, size_t dim, float *out);

#define AQE_LARGEST_HALF 65504.0f

/* To the nearest half float, ties to even; beyond their range the largest finite one. */
uint16_t aqe_to_half(float value);
float aqe_from_half(uint16_t half);

#endif
