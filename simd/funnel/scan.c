/* The scan of codes: over the blocks of a store, or over runs of blocks of an inverted file. */
#include "snapshot.h"

#include <math.h>

#ifdef __GNUC__
#define COUNT(word) ((size_t)__builtin_popcountll(word))
#else
static size_t COUNT(uint64_t word)
{
    size_t bits = 0;
    for (; word; word &= word - 1)
        bits++;
    return bits;
}
#endif

/* One block whose slots are consecutive rows: those of `word` that exceed the threshold become candidates. */
static inline void scan_block(const aqe_funnel_path *path, const aqe_question *question, const uint8_t *block,
                              const uint8_t *next, float base, uint64_t word, int32_t row, aqe_candidates *candidates)
{
    float estimates[AQE_BLOCK];
    word &= path->estimate(block, next, question, base, candidates->threshold, estimates);
    for (; word; word &= word - 1) {
        unsigned slot = aqe_lowest_bit(word);
        aqe_candidates_offer(candidates, estimates[slot], row + (int32_t)slot);
    }
}

/* The same where slots are any rows, and `mask` has a bit for each row below `end`. */
static inline void scan_listed(const aqe_funnel_path *path, const aqe_question *question, const uint8_t *block,
                               const uint8_t *next, float base, const int32_t *rows, int32_t end,
                               const uint64_t *mask, aqe_candidates *candidates)
{
    float estimates[AQE_BLOCK];
    uint64_t word = path->estimate(block, next, question, base, candidates->threshold, estimates);
    for (; word; word &= word - 1) {
        unsigned slot = aqe_lowest_bit(word);
        int32_t row = rows[slot];
        if (row >= 0 && row < end && (mask[row / 64] >> (row % 64) & 1))
            aqe_candidates_offer(candidates, estimates[slot], row);
    }
}

/* Where the scan of some ranges will be: at a block, or behind the last one. */
typedef struct {
    const aqe_range *range, *end;
    size_t block;
} place;

static inline void step(place *at)
{
    if (at->range < at->end && ++at->block == at->range->first + at->range->count)
        for (at->range++; at->range < at->end; at->range++)
            if (at->range->count) {
                at->block = at->range->first;
                return;
            }
}

static place start(const aqe_range *ranges, size_t count)
{
    place at = {ranges, ranges + count, 0};
    while (at.range < at.end && !at.range->count)
        at.range++;
    at.block = at.range < at.end ? at.range->first : 0;
    return at;
}

enum { BLOCKS_AHEAD = 3 }; /* fetched before they are scanned: a list is too short for the CPU to see where it goes */

void aqe_scan(const aqe_funnel_path *path, const aqe_question *question, const uint8_t *blocks, size_t block_bytes,
              const aqe_range *ranges, size_t range_count, const int32_t *row_of, int32_t end,
              const uint64_t *mask, aqe_candidates *candidates)
{
    place at = start(ranges, range_count), ahead = at;
    for (int i = 0; i < BLOCKS_AHEAD; i++)
        step(&ahead);
    for (; at.range < at.end; step(&at), step(&ahead)) {
        size_t b = at.block;
        const uint8_t *block = blocks + b * block_bytes;
        const uint8_t *next = blocks + (ahead.range < ahead.end ? ahead.block : b) * block_bytes;
        scan_listed(path, question, block, next, at.range->base, row_of + AQE_BLOCK * b, end, mask, candidates);
    }
}

static void scan_segment(const aqe_search *search, const aqe_segment *segment, int32_t from, aqe_candidates *candidates)
{
    const aqe_snapshot *of = search->of;
    size_t bytes = of->shape.block_bytes;
    int32_t row = from > segment->first ? from : segment->first, end = segment->first + segment->rows;
    const uint8_t *block = segment->blocks + (size_t)(row - segment->first) / AQE_BLOCK * bytes;
    if (!search->allow && row < end)
        aqe_trust(&of->guard, block, (size_t)(end - row + AQE_BLOCK - 1) / AQE_BLOCK * bytes);
    for (; row < end; row += AQE_BLOCK, block += bytes) {
        uint64_t word = aqe_word(search, segment, row);
        if (!word)
            continue;
        if (search->allow)
            aqe_trust(&of->guard, block, bytes);
        scan_block(of->path, &search->question, block, row + AQE_BLOCK < end ? block + bytes : block, search->base,
                   word, row, candidates);
    }
}

void aqe_scan_rows(const aqe_search *search, int32_t from, aqe_candidates *candidates)
{
    for (size_t s = 0; s < search->of->count; s++)
        if (search->of->segments[s].blocks)
            scan_segment(search, search->of->segments + s, from, candidates);
}

size_t aqe_count_rows(const aqe_search *search)
{
    size_t rows = 0;
    for (size_t s = 0; s < search->of->count; s++) {
        const aqe_segment *segment = search->of->segments + s;
        for (int32_t row = segment->first; row < segment->first + segment->rows; row += AQE_BLOCK)
            rows += COUNT(aqe_word(search, segment, row));
    }
    return rows;
}

enum { AT_ONCE = 64 };

/* Estimates of these rows alone, of which nothing but codes is kept. */
static void estimate_rows(const aqe_search *search, const aqe_segment *segment, int32_t row, aqe_candidate *items,
                          size_t count)
{
    float estimates[AQE_BLOCK];
    const aqe_snapshot *of = search->of;
    int has_bits = 0;
    for (size_t i = 0; i < count; i++)
        has_bits |= isnan(items[i].estimate);
    if (!has_bits || !segment->blocks)
        return;
    const uint8_t *block = segment->blocks + (size_t)(row - segment->first) / AQE_BLOCK * of->shape.block_bytes;
    aqe_trust(&of->guard, block, of->shape.block_bytes);
    of->path->estimate(block, block, &search->question, search->base, -INFINITY, estimates);
    for (size_t i = 0; i < count; i++)
        if (isnan(items[i].estimate))
            items[i].estimate = estimates[items[i].row - row];
}

void aqe_score_rows(const aqe_search *search, int by_int8, aqe_candidates *candidates)
{
    for (size_t s = 0; s < search->of->count; s++) {
        const aqe_segment *segment = search->of->segments + s;
        for (int32_t row = segment->first; row < segment->first + segment->rows; row += AT_ONCE) {
            aqe_candidate items[AT_ONCE];
            size_t count = 0;
            for (uint64_t word = aqe_word(search, segment, row); word; word &= word - 1)
                items[count++] = (aqe_candidate){NAN, row + (int32_t)aqe_lowest_bit(word)};
            if (segment->forms[AQE_INT8].slots)
                estimate_rows(search, segment, row, items, count);
            (by_int8 ? aqe_score_int8 : aqe_score_exact)(search, items, count);
            for (size_t i = 0; i < count; i++)
                aqe_candidates_offer(candidates, items[i].estimate, items[i].row);
        }
    }
}
