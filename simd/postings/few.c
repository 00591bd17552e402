/* A search whose lists are short. All of them are added up, so that the scores of documents that are asked for by name are
   read in passing; every document that was met is kept, and the best are picked by a threshold out of a sample of them. */
#include "postings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 2048u
enum { MOST_POSTINGS = 8192, MOST_WINDOWS = 64 };

/* The threshold is the RANK-th best of a sample in which some EIGHTH of the wanted documents are; where too few reach it,
   the lowest of the sample's best. */
enum { EIGHTH = 8, RANK = 14, LOWEST = 24 };

typedef struct {
    const aqe_term *term;
    double weight;
    uint32_t at;
    int is_plain; /* no escape in the list, no document beyond the table of norms */
} list;

typedef struct {
    const aqe_postings *index;
    const aqe_allow *allow;
    const aqe_named *named;
    list *lists;
    size_t count;
    aqe_found *met; /* with the numbers of documents as ids */
    size_t met_count;
    double sums[WINDOW];
    uint16_t places[WINDOW + 1]; /* of the sums that are not 0 */
    size_t place_count;
} pass;

int aqe_are_few(aqe_postings *index, const uint32_t *terms, size_t count)
{
    uint64_t postings = 0;
    for (size_t i = 0; i < count; i++)
        postings += terms[i] == AQE_NONE ? 0 : aqe_refresh(index, terms[i]);
    return postings <= MOST_POSTINGS && count <= MOST_POSTINGS && index->count <= MOST_WINDOWS * WINDOW;
}

static void add_lists(pass *of, uint32_t base)
{
    const aqe_postings *index = of->index;
    const double up = index->k1 + 1.0;
    for (size_t i = 0; i < of->count; i++) {
        list *one = of->lists + i;
        const uint32_t *words = one->term->words;
        uint32_t at = one->at, end = one->term->count;
        for (; at < end && (words[at] >> 8) - base < WINDOW; at++) {
            uint32_t place = (words[at] >> 8) - base;
            of->places[of->place_count] = (uint16_t)place;
            of->place_count += of->sums[place] == 0.0 && of->place_count < WINDOW; /* what is added is above 0 */
            if (one->is_plain) { /* as aqe_impacts() */
                double frequency = words[at] & AQE_ESCAPE;
                of->sums[place] += one->weight * (frequency * up / (frequency + index->norms[index->lengths[words[at] >> 8]]));
            } else {
                of->sums[place] += aqe_impact(index, one->term, words[at], one->weight);
            }
        }
        one->at = at;
    }
}

static int may_be_found(const pass *of, uint32_t document)
{
    const aqe_allow *allow = of->allow;
    if (allow->allowed && !allow->allowed[document])
        return 0;
    return !allow->groups || aqe_is_in(of->index, document, allow->groups, allow->group_count);
}

/* Lists that were refreshed name live documents alone. */
static void keep_window(pass *of, uint32_t base)
{
    for (size_t i = 0; i < of->named->count; i++) {
        uint32_t place = of->named->documents[i] - base;
        if (place < WINDOW)
            of->named->scores[i] = of->sums[place];
    }
    for (size_t i = 0; i < of->place_count; i++) {
        uint32_t place = of->places[i];
        of->met[of->met_count++] = (aqe_found){of->sums[place], base + place};
        of->sums[place] = 0.0;
    }
    of->place_count = 0;
}

static uint32_t next_base(const pass *of)
{
    uint32_t lowest = AQE_NONE;
    for (size_t i = 0; i < of->count; i++) {
        const list *one = of->lists + i;
        if (one->at < one->term->count && one->term->words[one->at] >> 8 < lowest)
            lowest = one->term->words[one->at] >> 8;
    }
    return lowest == AQE_NONE ? AQE_NONE : lowest / WINDOW * WINDOW;
}

/* The best of a sample of those that may be found, best first; how many. */
static size_t sampled(const pass *of, size_t k, double *best)
{
    size_t step = k / EIGHTH + 1, count = 0;
    for (size_t i = 0; i < of->met_count; i += step) {
        double score = of->met[i].score;
        if ((count == LOWEST && !(score > best[LOWEST - 1])) || !may_be_found(of, (uint32_t)of->met[i].id))
            continue;
        size_t at = count < LOWEST ? count++ : LOWEST - 1;
        for (; at && best[at - 1] < score; at--)
            best[at] = best[at - 1];
        best[at] = score;
    }
    return count;
}

/* Write those that score at least so much and may be found; how many. There is room for all. */
static size_t take(const pass *of, double least, aqe_found *out)
{
    size_t some = 0, kept = 0;
    for (size_t i = 0; i < of->met_count; i++) {
        out[some] = of->met[i];
        some += of->met[i].score >= least;
    }
    for (size_t i = 0; i < some; i++) {
        uint32_t document = (uint32_t)out[i].id;
        out[kept] = (aqe_found){out[i].score, of->index->ids[document]};
        kept += (size_t)may_be_found(of, document);
    }
    return kept;
}

static size_t candidates(const pass *of, size_t k, aqe_found *out)
{
    double best[LOWEST];
    size_t count = of->met_count > 2 * k ? sampled(of, k, best) : 0;
    size_t kept = count >= RANK ? take(of, best[RANK - 1], out) : 0;
    if (kept < k && count >= LOWEST)
        kept = take(of, best[LOWEST - 1], out);
    return kept < k ? take(of, 0, out) : kept;
}

static int goes_before(const aqe_found *a, const aqe_found *b)
{
    return (a->score > b->score) | ((a->score == b->score) & (a->id < b->id));
}

/* Two runs in order made one, without a branch that depends on what is compared. */
static void merge(const aqe_found *one, const aqe_found *end, const aqe_found *other, const aqe_found *last, aqe_found *out)
{
    while (one < end && other < last) {
        int later = goes_before(other, one);
        *out++ = *(later ? other : one);
        other += later;
        one += !later;
    }
    memcpy(out, one, (size_t)(end - one) * sizeof *out);
    memcpy(out + (end - one), other, (size_t)(last - other) * sizeof *out);
}

static void put_in_order(aqe_found *a, aqe_found *b)
{
    const aqe_found first = *a, second = *b;
    int later = goes_before(&second, &first);
    *a = later ? second : first;
    *b = later ? first : second;
}

enum { RUN = 4 };

/* Best first: the items, or `spare`, which has room for as many. */
static aqe_found *in_order(aqe_found *items, aqe_found *spare, size_t count)
{
    size_t whole = count / RUN * RUN;
    for (aqe_found *at = items; at < items + whole; at += RUN) {
        put_in_order(at, at + 1);
        put_in_order(at + 2, at + 3);
        put_in_order(at, at + 2);
        put_in_order(at + 1, at + 3);
        put_in_order(at + 1, at + 2);
    }
    for (size_t i = whole + 1; i < count; i++)
        for (size_t at = i; at > whole; at--)
            put_in_order(items + at - 1, items + at);
    for (size_t run = RUN; run < count; run *= 2) {
        for (size_t at = 0; at < count; at += 2 * run) {
            size_t middle = at + run < count ? at + run : count, end = middle + run < count ? middle + run : count;
            merge(items + at, items + middle, items + middle, items + end, spare + at);
        }
        aqe_found *held = items;
        items = spare;
        spare = held;
    }
    return items;
}

static ptrdiff_t best_of(pass *of, size_t k, aqe_found *found)
{
    aqe_found *items = malloc((of->met_count + 1) * sizeof *items);
    if (!items)
        return -1;
    size_t count = candidates(of, k, items), most = k < count ? k : count;
    memcpy(found, in_order(items, of->met, count), most * sizeof *found);
    free(items);
    return (ptrdiff_t)most;
}

/* Open the lists that are not empty; how many postings they have. */
static size_t open_lists(pass *of, aqe_postings *index, const uint32_t *terms, size_t count)
{
    size_t postings = 0;
    aqe_fill_norms(index);
    for (size_t i = 0; i < count; i++) {
        uint32_t documents = terms[i] == AQE_NONE ? 0 : aqe_refresh(index, terms[i]);
        if (!documents)
            continue;
        const aqe_term *term = &index->terms[terms[i]];
        int is_plain = term->most < AQE_ESCAPE && term->longest < AQE_TABLE;
        of->lists[of->count++] = (list){term, aqe_weight(index, documents), 0, is_plain};
        postings += documents;
    }
    return postings;
}

ptrdiff_t aqe_rank_few(aqe_postings *index, const uint32_t *terms, size_t term_count, size_t k, const aqe_allow *allow,
                       const aqe_named *named, aqe_found *found)
{
    pass of = {.index = index, .allow = allow, .named = named};
    ptrdiff_t count = -1;
    for (size_t i = 0; i < named->count; i++)
        named->scores[i] = 0.0;
    of.lists = malloc((term_count + 1) * sizeof *of.lists);
    size_t postings = of.lists ? open_lists(&of, index, terms, term_count) : 0;
    of.met = malloc((postings + 1) * sizeof *of.met);
    if (of.lists && of.met) {
        for (uint32_t base; (base = next_base(&of)) != AQE_NONE;) {
            add_lists(&of, base);
            keep_window(&of, base);
        }
        count = best_of(&of, k, found);
    }
    free(of.met);
    free(of.lists);
    return count;
}
