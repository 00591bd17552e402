#include "lists.h"

#include <math.h>
#include <string.h>

enum { FIRST = 32, AT_ONCE = 16 }; /* lists before the first look at the best k, and between two looks */

/* A row that is known by its code alone has another score wherever it is met: in two lists, and behind them. */
enum { STANDS = 3 };

/* How many of the best must stay the same: not fewer than ten, which one alone does too easily; not all of many, of which
   some change until the end. */
static size_t watched_for(size_t k)
{
    return k < 20 ? 10 : k / 2;
}

/* Take a row in where it is better than the last of the best or there is room; the position that it came to, or `room`
   where it did not come in: too far, or there already (a row has the same score whichever list it came from, unless
   only its code is kept). */
static size_t offer(aqe_candidates *best, float score, int32_t row)
{
    size_t low = 0, high = best->count;
    if (high == best->wanted && !(score > best->items[high - 1].estimate))
        return best->wanted;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (best->items[middle].estimate > score)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low; i < best->count && best->items[i].estimate == score; i++)
        if (best->items[i].row == row)
            return best->wanted;
    if (best->count < best->wanted)
        best->count++;
    memmove(best->items + low + 1, best->items + low, (best->count - 1 - low) * sizeof *best->items);
    best->items[low] = (aqe_candidate){score, row};
    return low;
}

/* Add the best of a group to all candidates, and by int8 to the best; whether one of the first `watched` changed. What the
   group has to do without is no better than `border`. */
static int take_in(const aqe_search *search, size_t watched, aqe_candidates *group, aqe_candidates *candidates,
                   aqe_candidates *best, float *border)
{
    int changed = 0;
    aqe_candidates_select(group);
    *border = group->threshold > *border ? group->threshold : *border;
    for (size_t i = 0; i < group->count; i++)
        aqe_candidates_offer(candidates, group->items[i].estimate, group->items[i].row);
    aqe_candidates_select(candidates);
    aqe_score_int8(search, group->items, group->count);
    for (size_t i = 0; i < group->count; i++)
        changed |= offer(best, group->items[i].estimate, group->items[i].row) < watched;
    group->count = 0;
    group->threshold = candidates->threshold;
    return changed;
}

/* The lists that hold anything, nearest first, with q.c - |c|^2 / 2 (for dot q.c) as their estimates. */
static void order_lists(const aqe_search *search, const aqe_lists *lists, aqe_candidates *order)
{
    const aqe_funnel_path *path = search->of->path;
    int dot = search->of->shape.metric == AQE_DOT;
    for (size_t i = 0; i < lists->count; i++) {
        if (lists->starts[i + 1] == lists->starts[i])
            continue;
        float near = lists->scales[i] * path->dot_int8(search->query, lists->centroids + i * lists->dim, lists->dim);
        order->items[order->count++] = (aqe_candidate){dot ? near : near - lists->halves[i], (int32_t)i};
    }
}

/* Put the next `count` lists behind those before `at`, in order. */
static void order_next(aqe_candidates *order, size_t at, size_t count)
{
    aqe_keep_best(order->items + at, order->count - at, count);
    aqe_rank(order->items + at, count < order->count - at ? count : order->count - at);
}

/* What the estimates of a list begin with (see funnel.h). */
static float base_of(const aqe_search *search, const aqe_lists *lists, const aqe_candidate *list, float shift)
{
    switch (search->of->shape.metric) {
    case AQE_DOT:
        return list->estimate;
    case AQE_COSINE:
        return list->estimate + lists->halves[list->row];
    default:
        return list->estimate + shift;
    }
}

/* For l2: what turns q.c - |c|^2 / 2 into (q - m).(c - m) - |c - m|^2 / 2. */
static float shift_of(const aqe_search *search)
{
    const aqe_snapshot *of = search->of;
    if (of->shape.metric != AQE_L2)
        return 0;
    return of->path->dot(of->mean, of->mean, of->shape.dim) / 2 - of->path->dot(search->query, of->mean, of->shape.dim);
}

/* Scan some lists into `group`; how many codes that were. */
static size_t scan_lists(const aqe_search *search, const aqe_lists *lists, const aqe_candidate *order, size_t count,
                         float shift, aqe_candidates *group)
{
    const aqe_snapshot *of = search->of;
    aqe_range ranges[FIRST];
    size_t blocks = 0;
    for (size_t i = 0; i < count; i++) {
        size_t first = (size_t)lists->starts[order[i].row], end = (size_t)lists->starts[order[i].row + 1];
        ranges[i] = (aqe_range){first, end - first, base_of(search, lists, order + i, shift)};
        blocks += end - first;
        aqe_trust(&of->guard, lists->blocks + first * of->shape.block_bytes, (end - first) * of->shape.block_bytes);
    }
    aqe_scan(of->path, &search->question, lists->blocks, of->shape.block_bytes, ranges, count, lists->row_of, lists->rows,
             of->live, group);
    return blocks * AQE_BLOCK;
}

static size_t rows_from(const aqe_snapshot *of, int32_t tail)
{
    size_t rows = 0;
    for (size_t s = 0; s < of->count; s++) {
        int32_t first = of->segments[s].first > tail ? of->segments[s].first : tail;
        int32_t end = of->segments[s].first + of->segments[s].rows;
        rows += end > first ? (size_t)(end - first) : 0;
    }
    return rows;
}

/* Estimates of rows in lists may be as wrong as this share of the doubt about rows of a linear store before a row that
   was no candidate belongs to the best: measured on queries like the rows, on other text and on noise. */
static const float SURE = 0.3f;

/* Do the best stand so far above the last candidate that no other row may be among them? A query that is unlike all rows
   has all of them at nearly one distance, and the codes cannot tell which are the nearest. */
static int are_sure(const aqe_search *search, const aqe_candidates *best, float border)
{
    if (best->count < search->k)
        return 0;
    float last = search->k ? best->items[search->k - 1].estimate : INFINITY;
    if (search->of->shape.metric == AQE_L2)
        last = (last + search->constant) / 2;
    return last >= border + SURE * search->doubt + search->slack;
}

/* A query with no more than this of its items to speak of (by its participation ratio, (sum q^2)^2 / sum q^4) is nearer
   to no list than to another, though the best of some lists stand apart. Embeddings have a hundred and more. */
static const double FEW_ITEMS = 8;

static int is_of_few_items(const aqe_search *search)
{
    double squares = 0, fourths = 0;
    for (size_t i = 0; i < search->of->shape.dim; i++) {
        double square = (double)search->query[i] * search->query[i];
        squares += square;
        fourths += square * square;
    }
    return squares * squares < FEW_ITEMS * fourths;
}

ptrdiff_t aqe_lists_search(const aqe_search *search, const aqe_lists *lists, size_t wanted, size_t patience, int32_t tail,
                           int64_t *ids, float *scores, size_t *looked)
{
    aqe_candidates order = {0}, candidates = {0}, group = {0}, best = {0};
    ptrdiff_t found = -1;
    int sure = 1;
    if (is_of_few_items(search)) {
        *looked = rows_from(search->of, 0);
        return aqe_search_run(search, wanted, ids, scores);
    }
    *looked = rows_from(search->of, tail);
    size_t room = aqe_exact_for(search->k) * (aqe_has_bits(search->of) ? STANDS : 1);
    if (aqe_candidates_open(&order, lists->count) < 0 || aqe_candidates_open(&candidates, wanted) < 0 ||
        aqe_candidates_open(&group, wanted) < 0 || aqe_candidates_open(&best, room) < 0)
        goto out;
    float shift = shift_of(search), border = -INFINITY;
    size_t watched = watched_for(search->k);
    order_lists(search, lists, &order);
    aqe_scan_rows(search, tail, &group);
    for (size_t at = 0, ordered = 0, changed = 0; at < order.count && at < changed + patience;) {
        if (at == ordered) {
            order_next(&order, at, patience);
            ordered = at + patience < order.count ? at + patience : order.count;
        }
        size_t most = at ? AT_ONCE : FIRST, count = ordered - at < most ? ordered - at : most;
        *looked += scan_lists(search, lists, order.items + at, count, shift, &group);
        at += count;
        if (take_in(search, watched, &group, &candidates, &best, &border))
            changed = at > FIRST ? at : FIRST / 2; /* what came with the first look came half-way through it */
    }
    if (!order.count)
        take_in(search, watched, &group, &candidates, &best, &border);
    aqe_candidates_unique(&best);
    aqe_finish(search, &best);
    sure = are_sure(search, &best, border > candidates.threshold ? border : candidates.threshold);
    found = (ptrdiff_t)aqe_write(search, &best, ids, scores);
out:
    aqe_candidates_close(&best);
    aqe_candidates_close(&group);
    aqe_candidates_close(&candidates);
    aqe_candidates_close(&order);
    if (sure || found < 0)
        return found;
    *looked += rows_from(search->of, 0);
    return aqe_search_run(search, wanted, ids, scores);
}
