/* The candidates of both sides of a search, each row once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuse.h"

enum { FEW_SLOTS = 1024 };

/* Open addressing from rows to the places of their candidates; a place of 0 is free. */
typedef struct {
    const aqe_candidate *candidates;
    uint32_t *slots;
    size_t mask;
} places;

static uint32_t *slot_of(const places *in, int64_t row)
{
    size_t slot = (size_t)((uint64_t)row * 0x9e3779b97f4a7c15u >> 32) & in->mask;
    while (in->slots[slot] && in->candidates[in->slots[slot] - 1].row != row)
        slot = (slot + 1) & in->mask;
    return in->slots + slot;
}

/* A number of this size has no room for a fraction, which is how the sum rounds. */
double aqe_rounded(float cosine)
{
    const double room = 6755399441055744.0; /* 1.5 * 2^52 */
    double millionths = (double)cosine * 1e6;
    return (fabs(millionths) < 1e15 ? (millionths + room) - room : millionths) / 1e6;
}

static aqe_candidate candidate_of(int64_t row, double text, int has_text, float cosine, const aqe_shares *of)
{
    int has_near = !isnan(cosine), is_marked = (uint64_t)row < of->marked_count && of->marked[row];
    return (aqe_candidate){.row = row,
                           .text = has_text ? text : 0.0,
                           .near = has_near ? aqe_rounded(cosine) : 0.0,
                           .share = is_marked ? of->other : of->share,
                           .has_text = has_text,
                           .has_near = has_near};
}

/* Those of the near side that the words found too are told their nearness; the others become candidates of their own:
   first those with a word of the query. */
static ptrdiff_t take_near(const aqe_sides *sides, const places *in, aqe_candidate *candidates)
{
    size_t count = sides->text_count;
    for (int with_word = 1; with_word >= 0; with_word--)
        for (size_t i = 0; i < sides->near_count; i++) {
            if ((sides->words[i] > 0) != with_word)
                continue;
            uint32_t *slot = slot_of(in, sides->near_ids[i]);
            if (*slot > sides->text_count)
                return AQE_TWICE;
            if (*slot) {
                aqe_candidate *one = candidates + *slot - 1;
                one->near = isnan(sides->near[i]) ? 0.0 : aqe_rounded(sides->near[i]);
                one->has_near = !isnan(sides->near[i]);
                continue;
            }
            candidates[count] = candidate_of(sides->near_ids[i], sides->words[i], with_word, sides->near[i],
                                               &sides->shares);
            *slot = (uint32_t)++count;
        }
    return (ptrdiff_t)count;
}

ptrdiff_t aqe_unite(const aqe_sides *sides, aqe_candidate *candidates)
{
    uint32_t few[FEW_SLOTS];
    size_t most = sides->text_count + sides->near_count, room = FEW_SLOTS;
    if (most > UINT32_MAX / 4)
        return AQE_NO_MEMORY;
    while (room < 2 * most)
        room *= 2;
    places in = {candidates, room > FEW_SLOTS ? malloc(room * sizeof *in.slots) : few, room - 1};
    if (!in.slots)
        return AQE_NO_MEMORY;
    memset(in.slots, 0, room * sizeof *in.slots);
    ptrdiff_t count = 0;
    for (size_t i = 0; i < sides->text_count && count >= 0; i++) {
        uint32_t *slot = slot_of(&in, sides->text_ids[i]);
        if (*slot) {
            count = AQE_TWICE;
        } else {
            candidates[i] = candidate_of(sides->text_ids[i], sides->text[i], 1, sides->cosines[i], &sides->shares);
            *slot = (uint32_t)(i + 1);
            count = (ptrdiff_t)i + 1;
        }
    }
    if (count >= 0)
        count = take_near(sides, &in, candidates);
    if (in.slots != few)
        free(in.slots);
    return count;
}
