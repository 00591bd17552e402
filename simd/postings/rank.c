/* Exact top k by MaxScore (Turtle and Flood, Query evaluation: strategies and optimizations, 1995), window by window.

   Each term has a bound: what its best posting can add. Terms whose bounds together do not reach the k-th best score so
   far are optional: no document can be among the k by them alone, so their lists are not read, but looked into for
   documents that the other terms found. The lists of the essential terms are added up in windows of 2,048 documents,
   whose sums stay in the first-level cache. Every score is summed in the order of the query, whatever was optional. */
#include "postings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 2048u
#define AT_ONCE 256u /* documents that are scored by name */
#define CAUTION (1.0 + 1e-9) /* bounds are sums in another order than scores */

typedef struct {
    const aqe_term *term;
    double weight, bound;
    uint32_t at;    /* the first posting that no window has added yet */
    uint32_t probe; /* where the last look into the list ended */
    int is_essential, is_plain; /* plain: no escape in the list, no document beyond the table of norms */
} cursor;

typedef struct {
    aqe_found *heap; /* the worst on top */
    size_t count, k;
} best;

static int is_worse(const aqe_found *a, const aqe_found *b)
{
    return a->score < b->score || (a->score == b->score && a->id > b->id);
}

static void sink(aqe_found *heap, size_t count, size_t at)
{
    aqe_found moved = heap[at];
    for (size_t below; (below = 2 * at + 1) < count; at = below) {
        below += below + 1 < count && is_worse(&heap[below + 1], &heap[below]);
        if (!is_worse(&heap[below], &moved))
            break;
        heap[at] = heap[below];
    }
    heap[at] = moved;
}

static void offer(best *found, aqe_found one)
{
    if (found->count < found->k) {
        size_t at = found->count++;
        for (size_t above; at && is_worse(&one, &found->heap[above = (at - 1) / 2]); at = above)
            found->heap[at] = found->heap[above];
        found->heap[at] = one;
    } else if (is_worse(&found->heap[0], &one)) {
        found->heap[0] = one;
        sink(found->heap, found->count, 0);
    }
}

/* The first posting from `at` on whose document is not below `document`. */
static uint32_t seek(const aqe_term *term, uint32_t at, uint32_t document)
{
    const uint32_t *words = term->words;
    const uint64_t wanted = (uint64_t)document << 8; /* the end of the last window is beyond any posting */
    uint32_t step = 1, low = at, high;
    if (at >= term->count || words[at] >= wanted)
        return at;
    while (low + step < term->count && words[low + step] < wanted) {
        low += step;
        step *= 2;
    }
    high = low + step < term->count ? low + step : term->count;
    while (low + 1 < high) {
        uint32_t middle = low + (high - low) / 2;
        if (words[middle] < wanted)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static double bound_of(const aqe_postings *index, const aqe_term *term, double weight)
{
    double most = term->most, share = index->b * (double)term->least / index->norms_for;
    return weight * (most * (index->k1 + 1.0) / (most + index->k1 * (1 - index->b + share)));
}

static size_t open_cursors(aqe_postings *index, const uint32_t *terms, size_t count, cursor *cursors)
{
    size_t opened = 0;
    aqe_fill_norms(index);
    for (size_t i = 0; i < count; i++) {
        uint32_t documents = terms[i] == AQE_NONE ? 0 : aqe_refresh(index, terms[i]);
        if (!documents)
            continue;
        const aqe_term *term = &index->terms[terms[i]];
        cursor *one = &cursors[opened++];
        one->term = term;
        one->weight = aqe_weight(index, documents);
        one->bound = bound_of(index, term, one->weight);
        one->at = one->probe = 0;
        one->is_essential = 1;
        one->is_plain = term->most < AQE_ESCAPE && term->longest < AQE_TABLE;
    }
    return opened;
}

/* Make optional what cannot reach `least` together, the lowest bounds first; `optional` has those, the highest first.
   Returns how many. */
static size_t part_cursors(cursor *cursors, size_t count, cursor **optional, size_t optionals, double least)
{
    double rest = 0.0;
    for (size_t i = 0; i < optionals; i++)
        rest += optional[i]->bound;
    for (;;) {
        cursor *lowest = NULL;
        for (size_t i = 0; i < count; i++)
            if (cursors[i].is_essential && (!lowest || cursors[i].bound < lowest->bound))
                lowest = &cursors[i];
        if (!lowest || (rest + lowest->bound) * CAUTION >= least)
            return optionals;
        lowest->is_essential = 0;
        rest += lowest->bound;
        memmove(optional + 1, optional, optionals++ * sizeof *optional);
        optional[0] = lowest;
    }
}

/* Add the postings of a list in the window that begins at `base`. */
static void add_list(const aqe_postings *index, cursor *one, uint32_t base, double *sums, uint64_t *touched)
{
    double parts[256];
    const uint32_t *words = one->term->words;
    uint32_t at = seek(one->term, one->at, base), end = seek(one->term, at, base + WINDOW);
    one->at = end;
    while (at < end) {
        uint32_t count = end - at < 256 ? end - at : 256;
        if (one->is_plain)
            aqe_impacts(index, words + at, count, one->weight, parts);
        else
            for (uint32_t i = 0; i < count; i++)
                parts[i] = aqe_impact(index, one->term, words[at + i], one->weight);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t place = (words[at + i] >> 8) - base;
            sums[place] += parts[i];
            touched[place / 64] |= (uint64_t)1 << place % 64;
        }
        at += count;
    }
}

/* Whether a document can still be among the best: the bounds of the optional terms give way to what they really add, the
   highest first. */
static int can_reach(const aqe_postings *index, cursor *const *optional, size_t count, double score, double rest,
                     double least, uint32_t document)
{
    for (size_t i = 0; i < count; i++) {
        if ((score + rest) * CAUTION < least)
            return 0;
        cursor *one = optional[i];
        rest -= one->bound;
        one->probe = seek(one->term, one->probe, document);
        if (one->probe < one->term->count && one->term->words[one->probe] >> 8 == document)
            score += aqe_impact(index, one->term, one->term->words[one->probe], one->weight);
    }
    return score * CAUTION >= least;
}

static double whole_score(const aqe_postings *index, cursor *cursors, size_t count, uint32_t document)
{
    double score = 0.0;
    for (size_t i = 0; i < count; i++) {
        cursor *one = &cursors[i];
        one->probe = seek(one->term, one->probe, document);
        if (one->probe < one->term->count && one->term->words[one->probe] >> 8 == document)
            score += aqe_impact(index, one->term, one->term->words[one->probe], one->weight);
    }
    return score;
}

static int may_be_found(const aqe_postings *index, const aqe_allow *allow, uint32_t document)
{
    if (!index->alive[document] || (allow->allowed && !allow->allowed[document]))
        return 0;
    return !allow->groups || aqe_is_in(index, document, allow->groups, allow->group_count);
}

static uint32_t next_base(const cursor *cursors, size_t count)
{
    uint32_t lowest = AQE_NONE;
    for (size_t i = 0; i < count; i++) {
        const cursor *one = &cursors[i];
        if (one->is_essential && one->at < one->term->count && one->term->words[one->at] >> 8 < lowest)
            lowest = one->term->words[one->at] >> 8;
    }
    return lowest == AQE_NONE ? AQE_NONE : lowest / WINDOW * WINDOW;
}

static int by_rank(const void *a, const void *b)
{
    return is_worse(a, b) ? 1 : -1;
}

static void offer_window(const aqe_postings *index, cursor *cursors, size_t count, cursor *const *optional,
                         size_t optionals, const aqe_allow *allow, uint32_t base, double *sums, uint64_t *touched,
                         best *found)
{
    double rest = 0.0;
    for (size_t i = 0; i < optionals; i++)
        rest += optional[i]->bound;
    for (uint32_t part = 0; part < WINDOW / 64; part++)
        for (uint64_t bits = touched[part]; bits; bits &= bits - 1) {
            uint32_t place = part * 64 + aqe_lowest_bit(bits), document = base + place;
            double score = sums[place];
            sums[place] = 0.0;
            if (found->count == found->k && (score + rest) * CAUTION < found->heap[0].score)
                continue;
            if (!may_be_found(index, allow, document))
                continue;
            if (optionals && !can_reach(index, optional, optionals, score, rest, found->heap[0].score, document))
                continue;
            aqe_found one = {optionals ? whole_score(index, cursors, count, document) : score, index->ids[document]};
            offer(found, one);
        }
    memset(touched, 0, WINDOW / 8);
}

static ptrdiff_t rank_many(aqe_postings *index, const uint32_t *terms, size_t term_count, size_t k,
                           const aqe_allow *allow, aqe_found *heap)
{
    double sums[WINDOW] = {0};
    uint64_t touched[WINDOW / 64] = {0};
    best found = {heap, 0, k};
    cursor *cursors = malloc((term_count + 1) * sizeof *cursors);
    cursor **optional = malloc((term_count + 1) * sizeof *optional);
    if (!cursors || !optional) {
        free(cursors);
        free(optional);
        return -1;
    }
    size_t optionals = 0;
    size_t count = open_cursors(index, terms, term_count, cursors);
    for (uint32_t base; (base = next_base(cursors, count)) != AQE_NONE;) {
        for (size_t i = 0; i < count; i++)
            if (cursors[i].is_essential)
                add_list(index, &cursors[i], base, sums, touched);
        offer_window(index, cursors, count, optional, optionals, allow, base, sums, touched, &found);
        if (found.count == k)
            optionals = part_cursors(cursors, count, optional, optionals, heap[0].score);
    }
    free(cursors);
    free(optional);
    qsort(heap, found.count, sizeof *heap, by_rank);
    return (ptrdiff_t)found.count;
}

ptrdiff_t aqe_rank(aqe_postings *index, const uint32_t *terms, size_t term_count, size_t k, const aqe_allow *allow,
                   aqe_found *found)
{
    if (aqe_are_few(index, terms, term_count))
        return aqe_rank_few(index, terms, term_count, k, allow, &(aqe_named){NULL, NULL, 0}, found);
    return rank_many(index, terms, term_count, k, allow, found);
}

/* The posting of a document in a list, or the end of it. */
static uint32_t place_in(const aqe_term *term, uint32_t document)
{
    const uint32_t *words = term->words;
    uint32_t low = 0, size = term->count;
    while (size > 1) { /* without a branch that depends on what is found */
        uint32_t half = size / 2;
        low = words[low + half] >> 8 <= document ? low + half : low;
        size -= half;
    }
    return size && words[low] >> 8 == document ? low : term->count;
}

void aqe_score(aqe_postings *index, const uint32_t *terms, size_t term_count, const int64_t *ids, size_t count,
               double *scores)
{
    uint32_t documents[AT_ONCE];
    aqe_fill_norms(index);
    for (size_t start = 0; start < count; start += AT_ONCE) {
        size_t some = count - start < AT_ONCE ? count - start : AT_ONCE;
        for (size_t i = 0; i < some; i++) {
            documents[i] = aqe_find_document(index, ids[start + i]);
            scores[start + i] = 0.0;
        }
        for (size_t i = 0; i < term_count; i++) {
            uint32_t live = terms[i] == AQE_NONE ? 0 : aqe_refresh(index, terms[i]);
            if (!live)
                continue;
            const aqe_term *term = &index->terms[terms[i]];
            double weight = aqe_weight(index, live);
            for (size_t j = 0; j < some; j++) {
                uint32_t at = documents[j] == AQE_NONE ? term->count : place_in(term, documents[j]);
                if (at < term->count)
                    scores[start + j] += aqe_impact(index, term, term->words[at], weight);
            }
        }
    }
}
