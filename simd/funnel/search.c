/* A search from the query to the ids: codes, int8, exact; or fewer stages where there are few rows to look at. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "snapshot.h"

/* A row is read by int8 in the time in which so many codes are scanned. */
enum { CODES_A_ROW = 20 };

/* A repeated scan takes at most so many times as many candidates. */
enum { MORE = 64 };

/* Rows that are estimated this many times the usual error too low are still found. */
static const float DOUBT = 2.6f;

size_t aqe_room_for(const aqe_shape *shape)
{
    return shape->dim * sizeof(float) + 32 * (size_t)shape->bytes;
}

static int is_within(const float *row, size_t dim)
{
    int within = 1;
    for (size_t i = 0; i < dim; i++)
        within &= fabsf(row[i]) <= AQE_LARGEST;
    return within;
}

int aqe_search_open(aqe_search *search, const aqe_snapshot *of, const float *query, size_t k, const uint64_t *allow,
                    void *room)
{
    size_t dim = of->shape.dim;
    float *prepared = room;
    *search = (aqe_search){.of = of, .query = prepared, .allow = allow, .k = k};
    memcpy(prepared, query, dim * sizeof *prepared);
    if (of->shape.metric == AQE_COSINE ? !aqe_unit(prepared, dim, prepared) : !is_within(prepared, dim))
        return 0;
    search->length = of->shape.metric == AQE_DOT ? of->path->dot(prepared, prepared, dim) : 1;
    if (!of->mean)
        return 1;
    aqe_ask(&of->shape, prepared, of->mean, (uint8_t *)room + dim * sizeof(float), &search->question);
    float square = of->path->l2(prepared, of->mean, dim);
    search->doubt = DOUBT * of->spread * sqrtf(square);
    search->slack = of->grain;
    if (of->shape.metric == AQE_L2)
        search->constant = square;
    else
        search->base = of->path->dot(prepared, of->mean, dim);
    search->slack += fabsf(search->base) * 2 * FLT_EPSILON;
    return 1;
}

float aqe_blur_of(const aqe_search *search, const aqe_candidate *item)
{
    if (search->of->direct)
        return 0;
    float far = search->of->shape.metric == AQE_L2 ? -4 * item->estimate : search->length;
    return sqrtf(far > 0 ? far : 0) * aqe_grain_of(search->of, item->row);
}

/* How far from the truth scores by int8 are at most, of rows like these. */
static float most_blur(const aqe_search *search, const aqe_candidate *items, size_t count)
{
    float most = 0;
    for (size_t i = 0; i < count; i++) {
        float blur = aqe_blur_of(search, items + i);
        most = blur > most ? blur : most;
    }
    return most;
}

/* How many candidates, which come to the front, may be among the best k by exact scores; `some` at least. */
static size_t doubtful(const aqe_search *search, const aqe_candidates *candidates, size_t some)
{
    aqe_candidate *items = candidates->items;
    float least = INFINITY;
    aqe_keep_best(items, candidates->count, search->k);
    for (size_t i = 0; i < search->k; i++)
        least = items[i].estimate < least ? items[i].estimate : least;
    least -= most_blur(search, items, search->k);
    size_t near = search->k;
    for (size_t i = near; i < candidates->count; i++)
        if (items[i].estimate >= least) {
            aqe_candidate held = items[near];
            items[near++] = items[i];
            items[i] = held;
        }
    if (near >= some)
        return near;
    aqe_keep_best(items, candidates->count, some);
    return some;
}

void aqe_finish(const aqe_search *search, aqe_candidates *candidates)
{
    size_t some = aqe_exact_for(search->k);
    if (candidates->count > some)
        candidates->count = doubtful(search, candidates, some);
    aqe_score_again(search, candidates->items, candidates->count);
    aqe_rank(candidates->items, candidates->count);
}

size_t aqe_write(const aqe_search *search, const aqe_candidates *candidates, int64_t *ids, float *scores)
{
    size_t count = candidates->count < search->k ? candidates->count : search->k;
    int metric = search->of->shape.metric;
    for (size_t i = 0; i < count; i++) {
        float score = candidates->items[i].estimate;
        const aqe_segment *segment = aqe_segment_of(search->of, candidates->items[i].row);
        ids[i] = segment->ids[candidates->items[i].row - segment->first];
        if (metric == AQE_L2)
            score = score < 0 ? -score : 0;
        else if (metric == AQE_COSINE)
            score = score > 1 ? 1 : score < -1 ? -1 : score;
        scores[i] = score;
    }
    return count;
}

float aqe_least_score(const aqe_search *search, aqe_candidate *items, size_t count)
{
    if (count <= search->k)
        return -INFINITY;
    aqe_keep_best(items, count, search->k);
    float score = INFINITY;
    for (size_t i = 0; i < search->k; i++)
        score = items[i].estimate < score ? items[i].estimate : score;
    return score - most_blur(search, items, search->k);
}

float aqe_as_estimate(const aqe_search *search, float score)
{
    return search->of->shape.metric == AQE_L2 ? (score + search->constant) / 2 : score;
}

int aqe_has_bits(const aqe_snapshot *of)
{
    for (size_t s = 0; s < of->count; s++)
        if (of->segments[s].forms[AQE_INT8].slots)
            return 1;
    return 0;
}

static void by_rows(const aqe_search *search, int by_int8, aqe_candidates *candidates)
{
    candidates->count = 0;
    candidates->threshold = -INFINITY;
    aqe_score_rows(search, by_int8, candidates);
    aqe_candidates_select(candidates);
    if (by_int8)
        aqe_finish(search, candidates);
    else
        aqe_rank(candidates->items, candidates->count);
}

/* Take all rows into `candidates`, beside the k best that stand first in it, that may be worth as much, were they
   estimated too low by their own usual error. 1 where they are too many, so that the codes say too little; else 0, or -1
   without memory. */
static int scan_again(const aqe_search *search, float wanted, aqe_candidates *candidates)
{
    aqe_candidates more;
    aqe_search bold = *search;
    if (candidates->wanted > SIZE_MAX / MORE || aqe_candidates_open(&more, candidates->wanted * MORE) < 0)
        return -1;
    more.threshold = wanted - search->slack;
    if (aqe_has_bits(search->of))
        more.threshold -= search->doubt;
    else
        bold.question.floor += search->doubt;
    float least = more.threshold;
    aqe_scan_rows(&bold, 0, &more);
    aqe_candidates_select(&more);
    if (more.threshold > least) {
        aqe_candidates_close(&more);
        return 1;
    }
    aqe_score_int8(search, more.items, more.count);
    aqe_candidates_join(&more, candidates->items, candidates->count < search->k ? candidates->count : search->k);
    aqe_candidates_close(candidates);
    *candidates = more;
    return 0;
}

/* Where rows that were no candidates may be as good as those found, the scan is repeated; where they are very many, every
   row is scored. */
static int by_stream(const aqe_search *search, aqe_candidates *candidates)
{
    aqe_scan_rows(search, 0, candidates);
    aqe_candidates_select(candidates);
    float border = candidates->threshold;
    aqe_score_int8(search, candidates->items, candidates->count);
    float wanted = aqe_as_estimate(search, aqe_least_score(search, candidates->items, candidates->count));
    int left = 0;
    if (!(wanted >= border + search->of->reach * search->doubt + search->slack))
        left = scan_again(search, wanted, candidates);
    if (left > 0)
        by_rows(search, 0, candidates);
    else if (left == 0)
        aqe_finish(search, candidates);
    return left < 0 ? -1 : 0;
}

static int by_codes(const aqe_search *search, aqe_candidates *candidates)
{
    switch (aqe_survey(search, candidates)) {
    case 0:
        aqe_finish(search, candidates);
        return 0;
    case AQE_SAYS_LITTLE:
        by_rows(search, 0, candidates);
        return 0;
    case AQE_TOO_LARGE:
        return by_stream(search, candidates);
    default:
        return -1;
    }
}

/* Are so few rows allowed that each may as well be read? */
static int are_few(const aqe_search *search, size_t wanted)
{
    size_t rows = 0, allowed;
    if (!search->allow)
        return 0;
    for (size_t s = 0; s < search->of->count; s++)
        rows += (size_t)search->of->segments[s].rows;
    allowed = aqe_count_rows(search);
    return allowed <= wanted || allowed * CODES_A_ROW <= rows;
}

ptrdiff_t aqe_search_run(const aqe_search *search, size_t wanted, int64_t *ids, float *scores)
{
    aqe_candidates candidates;
    int few = wanted && (search->of->cut || are_few(search, wanted));
    size_t room = few ? aqe_exact_for(search->k) : wanted ? wanted : search->k;
    if (aqe_candidates_open(&candidates, room) < 0)
        return -1;
    ptrdiff_t count = 0;
    if (wanted && !few && search->of->mean)
        count = by_codes(search, &candidates);
    else
        by_rows(search, wanted > 0 && !search->of->cut, &candidates);
    if (count == 0)
        count = (ptrdiff_t)aqe_write(search, &candidates, ids, scores);
    aqe_candidates_close(&candidates);
    return count;
}
