/* The scan for the best k rows of a matrix, four rows at a time, with a heap of what was best so far. */
#include <math.h>
#include <stdlib.h>

#include "dispatch.h"

/* Higher scores come first, then lower rows; NaN comes after everything. */
static int comes_before(aqe_hit x, aqe_hit y)
{
    if (x.score > y.score)
        return 1;
    if (x.score < y.score)
        return 0;
    if (isnan(x.score) != isnan(y.score))
        return isnan(y.score);
    return x.row < y.row;
}

static int by_rank(const void *x, const void *y)
{
    return comes_before(*(const aqe_hit *)x, *(const aqe_hit *)y) ? -1 : 1;
}

/* Put `hit` into the heap of `count` hits from `place` down; the root is the hit that comes last. */
static void sift_down(aqe_hit *heap, size_t count, size_t place, aqe_hit hit)
{
    for (size_t child; (child = 2 * place + 1) < count; place = child) {
        if (child + 1 < count && comes_before(heap[child], heap[child + 1]))
            child++;
        if (!comes_before(hit, heap[child]))
            break;
        heap[place] = heap[child];
    }
    heap[place] = hit;
}

typedef struct {
    aqe_hit *heap;
    size_t held, k;
} best;

static void offer(best *found, aqe_hit hit)
{
    if (found->held < found->k) {
        found->heap[found->held++] = hit;
        if (found->held == found->k)
            for (size_t place = found->k / 2; place-- > 0;)
                sift_down(found->heap, found->k, place, found->heap[place]);
    } else if (comes_before(hit, found->heap[0])) {
        sift_down(found->heap, found->k, 0, hit);
    }
}

/* Four rows that the mask allows; at the end fewer, and the last one fills their places. */
typedef struct {
    size_t count, row[4];
    const void *place[4];
} group;

typedef struct {
    const char *matrix;
    size_t rows, stride, next;
    const unsigned char *mask;
} table;

static group next_group(table *from)
{
    group four = {0};
    for (; four.count < 4 && from->next < from->rows; from->next++)
        if (!from->mask || from->mask[from->next])
            four.row[four.count++] = from->next;
    for (size_t i = four.count; four.count && i < 4; i++)
        four.row[i] = four.row[four.count - 1];
    for (size_t i = 0; i < 4; i++)
        four.place[i] = from->matrix + four.row[i] * from->stride;
    return four;
}

size_t aqe_topk(const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *query, const void *matrix,
                size_t rows, size_t n, const unsigned char *mask, size_t k, aqe_hit *hits)
{
    float sign = metric == AQE_L2 ? -1.0f : 1.0f, scores[4];
    float square = metric == AQE_COSINE ? path->sums[kind].dot(query, query, n) : 0;
    table from = {matrix, rows, n * aqe_item_size(kind), 0, mask};
    best found = {hits, 0, k};
    for (group now = next_group(&from), next; k && now.count; now = next) {
        next = next_group(&from);
        aqe_four(path, kind, metric, query, square, now.place, next.place, n, scores);
        for (size_t i = 0; i < now.count; i++)
            offer(&found, (aqe_hit){sign * scores[i], (int64_t)now.row[i]});
    }
    qsort(hits, found.held, sizeof *hits, by_rank);
    for (size_t i = 0; i < found.held; i++)
        hits[i].score = sign * hits[i].score;
    return found.held;
}
