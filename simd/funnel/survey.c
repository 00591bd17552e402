/* A linear store that is not large: the estimates of all its rows are kept for the length of a search, so that the codes
   are read once, however often the rows that may be worth more are picked out of them. */
#include "snapshot.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_BLOCKS = 2048 }; /* 131,072 rows, half a megabyte of estimates */

/* A threshold is the RANK-th best of a sample so thin that the wanted candidates are some EIGHTH of them: it is above all
   but twice the wanted number of rows, and above fewer than those once in fifty; then the lowest of the sample's best is. */
enum { EIGHTH = 8, RANK = 14, LOWEST = 24 };

/* A repeated look takes at most so many times as many candidates. */
enum { MORE = 64, SPARE = 8 };

typedef struct {
    const aqe_search *search;
    float *estimates; /* 64 for each block; of a row that may not be found it says nothing */
    size_t blocks;
    aqe_candidate *items;
    size_t count, room, most; /* room for `most` is made when it is needed */
} survey;

static size_t blocks_of(const aqe_segment *segment)
{
    return segment->blocks ? (size_t)(segment->rows + AQE_BLOCK - 1) / AQE_BLOCK : 0;
}

static int open_survey(survey *of, const aqe_search *search, size_t wanted)
{
    *of = (survey){.search = search};
    for (size_t s = 0; s < search->of->count && of->blocks <= MOST_BLOCKS; s++)
        of->blocks += blocks_of(search->of->segments + s);
    if (of->blocks > MOST_BLOCKS)
        return AQE_TOO_LARGE;
    of->most = of->blocks * AQE_BLOCK;
    if (wanted < of->most / (MORE + SPARE))
        of->most = wanted * (MORE + SPARE);
    of->room = of->most / SPARE + AQE_BLOCK;
    of->estimates = malloc((of->blocks * AQE_BLOCK + 1) * sizeof *of->estimates);
    of->items = malloc(of->room * sizeof *of->items);
    return of->estimates && of->items ? 0 : AQE_NO_ROOM;
}

static void estimate_segment(const aqe_search *search, const aqe_segment *segment, float *out)
{
    const aqe_snapshot *of = search->of;
    size_t bytes = of->shape.block_bytes, count = blocks_of(segment);
    const uint8_t *block = segment->blocks;
    if (!search->allow)
        aqe_trust(&of->guard, block, count * bytes);
    for (size_t b = 0; b < count; b++, block += bytes, out += AQE_BLOCK) {
        if (!aqe_word(search, segment, segment->first + (int32_t)b * AQE_BLOCK))
            continue;
        if (search->allow)
            aqe_trust(&of->guard, block, bytes);
        of->path->estimate(block, b + 1 < count ? block + bytes : block, &search->question, search->base, -INFINITY,
                           out);
    }
}

static void estimate_all(const survey *of)
{
    float *out = of->estimates;
    for (size_t s = 0; s < of->search->of->count; s++) {
        const aqe_segment *segment = of->search->of->segments + s;
        estimate_segment(of->search, segment, out);
        out += blocks_of(segment) * AQE_BLOCK;
    }
}

/* Room for the rows of one more block: 0, or why there is none. */
static int make_room(survey *of)
{
    if (of->room - of->count >= AQE_BLOCK)
        return 0;
    if (of->count > of->most)
        return AQE_TOO_LARGE;
    aqe_candidate *items = realloc(of->items, 2 * of->room * sizeof *items);
    if (!items)
        return AQE_NO_ROOM;
    of->items = items;
    of->room *= 2;
    return 0;
}

/* Take the rows whose estimates, each raised by its own f times `doubt`, exceed `above`, but not those that exceed `taken`
   as they are; 0, or why not all are taken. */
static int take(survey *of, float doubt, float above, float taken)
{
    const aqe_funnel_path *path = of->search->of->path;
    const float *estimates = of->estimates;
    for (size_t s = 0; s < of->search->of->count; s++) {
        const aqe_segment *segment = of->search->of->segments + s;
        const uint8_t *block = segment->blocks;
        for (size_t b = 0; b < blocks_of(segment); b++, block += of->search->of->shape.block_bytes, estimates += AQE_BLOCK) {
            uint64_t word = aqe_word(of->search, segment, segment->first + (int32_t)b * AQE_BLOCK);
            if (word)
                word &= path->raised(doubt > 0 ? block : NULL, estimates, doubt, above);
            if (word && taken < INFINITY)
                word &= ~path->raised(NULL, estimates, 0, taken);
            int failed = word ? make_room(of) : 0;
            if (failed)
                return failed;
            for (; word; word &= word - 1) {
                unsigned slot = aqe_lowest_bit(word);
                of->items[of->count++] =
                    (aqe_candidate){estimates[slot], segment->first + (int32_t)b * AQE_BLOCK + (int32_t)slot};
            }
        }
    }
    return 0;
}

/* Put an estimate in its place among the best, of which there are `count`; how many there are then. */
static inline size_t put_in(float *best, size_t count, float estimate)
{
    if (!(estimate > (count == LOWEST ? best[LOWEST - 1] : -INFINITY)))
        return count;
    size_t at = count < LOWEST ? count++ : LOWEST - 1;
    for (; at && best[at - 1] < estimate; at--)
        best[at] = best[at - 1];
    best[at] = estimate;
    return count;
}

/* The best of a sample of the rows that may be found, best first; how many. */
static size_t sampled(const survey *of, size_t wanted, float *best)
{
    size_t step = wanted / EIGHTH | 1, count = 0, at = 0; /* odd: every slot of a block has its turn */
    const float *estimates = of->estimates;
    for (size_t s = 0; s < of->search->of->count; s++) {
        const aqe_segment *segment = of->search->of->segments + s;
        size_t slots = blocks_of(segment) * AQE_BLOCK;
        for (; at < slots; at += step) {
            uint64_t word = aqe_word(of->search, segment, segment->first + (int32_t)(at / AQE_BLOCK * AQE_BLOCK));
            if (word >> at % AQE_BLOCK & 1)
                count = put_in(best, count, estimates[at]);
        }
        at -= slots;
        estimates += slots;
    }
    return count;
}

/* Take the rows above a threshold that at least `wanted` rows exceed, which is written. */
static int take_best(survey *of, size_t wanted, float *border)
{
    int failed = 0;
    float best[LOWEST], taken = INFINITY;
    size_t sample = sampled(of, wanted, best);
    const size_t ranks[] = {RANK, LOWEST, SIZE_MAX};
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks && !failed && of->count < wanted && taken > -INFINITY; i++) {
        *border = ranks[i] <= sample ? best[ranks[i] - 1] : -INFINITY;
        failed = take(of, 0, *border, taken);
        taken = *border;
    }
    return failed;
}

/* No item of a row of length one is above 1, so that the step of its int8 form is no larger. */
static const float LARGEST_STEP = 1.001f / 127;

/* Drop what cannot be as good as `least` by its exact score: what its own int8 form may be off does not make up for it. */
static void drop_worse(survey *of, float least)
{
    size_t kept = 0;
    float hopeless = of->search->of->shape.metric == AQE_COSINE ? least - LARGEST_STEP : -INFINITY;
    for (size_t i = 0; i < of->count; i++) {
        const aqe_candidate one = of->items[i];
        if (one.estimate < hopeless)
            continue;
        of->items[kept] = one;
        kept += one.estimate >= least || one.estimate + aqe_blur_of(of->search, &one) >= least;
    }
    of->count = kept;
}

/* The candidates with their scores by int8; 0, or why not. */
static int choose(survey *of, size_t wanted)
{
    const aqe_search *search = of->search;
    float border = -INFINITY;
    estimate_all(of);
    int failed = take_best(of, wanted, &border), has_bits = aqe_has_bits(search->of);
    if (failed)
        return failed;
    size_t first = of->count;
    aqe_score_int8(search, of->items, first);
    float score = aqe_least_score(search, of->items, first), least = aqe_as_estimate(search, score) - search->slack;
    int is_enough = least >= border + search->of->reach * search->doubt;
    failed = is_enough ? 0 : take(of, has_bits ? 0 : search->doubt, has_bits ? least - search->doubt : least, border);
    if (failed)
        return failed == AQE_TOO_LARGE ? AQE_SAYS_LITTLE : failed;
    aqe_score_int8(search, of->items + first, of->count - first);
    if (!has_bits)
        drop_worse(of, score);
    return 0;
}

int aqe_survey(const aqe_search *search, aqe_candidates *candidates)
{
    survey of;
    int failed = open_survey(&of, search, candidates->wanted);
    if (!failed)
        failed = choose(&of, candidates->wanted);
    free(of.estimates);
    if (failed) {
        free(of.items);
        return failed;
    }
    aqe_candidates_close(candidates);
    candidates->items = of.items;
    candidates->count = of.count;
    return 0;
}
