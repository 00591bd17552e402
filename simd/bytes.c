/* Pairs, rows and the best rows of int8 and of packed bits: whole numbers, exact, but for cosines. */
#include <math.h>
#include <string.h>

#include "heap.h"

/* So many rows are looked at together. */
enum { BLOCK = 256 };

/* So many bytes of a row are asked for at most. */
enum { MOST_ASKED = 4096 };

int64_t aqe_whole_pair(const aqe_path *path, aqe_metric metric, const void *a, const void *b, size_t n)
{
    switch (metric) {
    case AQE_HAMMING:
        return path->hamming(a, b, n);
    case AQE_L2:
        return path->byte_dot(a, a, n) - 2 * path->byte_dot(a, b, n) + path->byte_dot(b, b, n);
    default:
        return path->byte_dot(a, b, n);
    }
}

static double cosine_of_sums(int64_t product, int64_t square_a, int64_t square_b)
{
    if (square_a == 0 || square_b == 0)
        return 0;
    return aqe_within_one((double)product / (sqrt((double)square_a) * sqrt((double)square_b)));
}

double aqe_byte_cosine(const aqe_path *path, const void *a, const void *b, size_t n)
{
    return cosine_of_sums(path->byte_dot(a, b, n), path->byte_dot(a, a, n), path->byte_dot(b, b, n));
}

/* What rows are compared with, and of int8 its square where the metric needs it. */
typedef struct {
    const aqe_path *path;
    aqe_metric metric;
    const void *query;
    size_t n;
    int64_t square;
} asked;

static asked ask(const aqe_path *path, aqe_metric metric, const void *query, size_t n)
{
    int needs_square = metric == AQE_COSINE || metric == AQE_L2;
    return (asked){path, metric, query, n, needs_square ? path->byte_dot(query, query, n) : 0};
}

/* What the sums of rows are, BLOCK at most: differing bits or products, and their squares where the metric needs them. */
typedef struct {
    int64_t numbers[BLOCK], squares[BLOCK];
} sums;

/* Of `count` rows, one after the other. */
static void sum_block(const asked *by, const char *rows, size_t count, sums *made)
{
    if (by->metric == AQE_HAMMING)
        by->path->hammings(by->query, rows, count, by->n, made->numbers);
    else if (by->metric == AQE_DOT)
        by->path->byte_dots(by->query, rows, count, by->n, made->numbers);
    else
        by->path->byte_dots_and_squares(by->query, rows, count, by->n, made->numbers, made->squares);
}

/* Of rows here and there. Each is asked for some rows before it is read. */
static void sum_scattered(const asked *by, const char *matrix, const size_t *rows, size_t count, sums *made)
{
    const aqe_path *path = by->path;
    const size_t ahead = aqe_ahead(by->n), asked_for = by->n < MOST_ASKED ? by->n : MOST_ASKED;
    for (size_t i = 0; i < count; i++) {
        const char *row = matrix + rows[i] * by->n;
        const char *later = matrix + rows[i + ahead < count ? i + ahead : count - 1] * by->n;
        for (size_t line = 0; line < asked_for; line += 64)
            AQE_ASK_FOR(later + line);
        made->numbers[i] = (by->metric == AQE_HAMMING ? path->hamming : path->byte_dot)(by->query, row, by->n);
        if (by->metric == AQE_L2 || by->metric == AQE_COSINE)
            made->squares[i] = path->byte_dot(row, row, by->n);
    }
}

/* Products and squares become squared distances. */
static void to_distances(const asked *by, size_t count, sums *made)
{
    for (size_t i = 0; i < count; i++)
        made->numbers[i] = by->square - 2 * made->numbers[i] + made->squares[i];
}

void aqe_whole_rows(const aqe_path *path, aqe_metric metric, const void *query, const void *matrix, size_t rows, size_t n,
                    void *out)
{
    const asked by = ask(path, metric, query, n);
    sums made;
    for (size_t row = 0, count; row < rows; row += count) {
        count = rows - row < BLOCK ? rows - row : BLOCK;
        sum_block(&by, (const char *)matrix + row * n, count, &made);
        if (metric == AQE_COSINE)
            for (size_t i = 0; i < count; i++) {
                float cosine = (float)cosine_of_sums(made.numbers[i], by.square, made.squares[i]);
                memcpy((char *)out + (row + i) * sizeof cosine, &cosine, sizeof cosine);
            }
        else {
            if (metric == AQE_L2)
                to_distances(&by, count, &made);
            memcpy((char *)out + row * sizeof *made.numbers, made.numbers, count * sizeof *made.numbers);
        }
    }
}

/* Rows that were summed up: which ones, and the mask of those that follow one another. */
typedef struct {
    const size_t *rows; /* NULL: from `first` on, of which `mask` (NULL: all) allows some */
    size_t first, count;
    const unsigned char *mask;
} looked_at;

static inline void offer(aqe_best *found, const looked_at *at, size_t i, double score)
{
    if (!at->mask || at->mask[i])
        aqe_offer(found, (aqe_hit){score, (int64_t)(at->rows ? at->rows[i] : at->first + i)});
}

/* Rows come in their order, so one that is as good as the last one held is not better. */
static void offer_numbers(const asked *by, const looked_at *at, const int64_t *numbers, aqe_best *found)
{
    const int lower_is_better = by->metric != AQE_DOT, full = found->held == found->k;
    const int64_t worst = full ? (int64_t)found->heap[0].score : 0;
    if (full && !by->path->any_beyond(numbers, at->count, lower_is_better ? -worst : INT64_MIN,
                                      lower_is_better ? INT64_MAX : worst))
        return;
    for (size_t i = 0; i < at->count; i++) {
        double score = lower_is_better ? -(double)numbers[i] : (double)numbers[i];
        if (found->held < found->k || score > found->heap[0].score)
            offer(found, at, i, score);
    }
}

/* A root and a quotient are left out where the squares show that the cosine is below the last one held by more than
   rounding could make up for. */
static void offer_cosines(const asked *by, const looked_at *at, const sums *made, aqe_best *found)
{
    const double sure = found->held == found->k ? found->heap[0].score - 1e-6 : -1;
    const double least = sure > 0 ? sure * sure * (double)by->square : -1e300;
    for (size_t i = 0; i < at->count; i++) {
        const double product = (double)made->numbers[i];
        if (product * fabs(product) >= least * (double)made->squares[i])
            offer(found, at, i, (float)cosine_of_sums(made->numbers[i], by->square, made->squares[i]));
    }
}

static void look(const asked *by, const char *matrix, looked_at at, aqe_best *found)
{
    sums made;
    if (at.rows)
        sum_scattered(by, matrix, at.rows, at.count, &made);
    else
        sum_block(by, matrix + at.first * by->n, at.count, &made);
    if (by->metric == AQE_COSINE) {
        offer_cosines(by, &at, &made, found);
        return;
    }
    if (by->metric == AQE_L2)
        to_distances(by, at.count, &made);
    offer_numbers(by, &at, made.numbers, found);
}

/* Rows that a mask allows here and there, until there are enough of them. */
typedef struct {
    size_t rows[BLOCK], count;
} waiting;

/* Add the rows from `row` to `end` that the mask allows, as far as there is room: another thread may have set more of the
   mask since it was counted. Where eight are not allowed, they are passed over at once. */
static void gather(const unsigned char *mask, size_t row, size_t end, waiting *few)
{
    for (uint64_t eight = 0; row < end; row += eight ? 1 : sizeof eight) {
        if (row + sizeof eight <= end)
            memcpy(&eight, mask + row, sizeof eight);
        else
            eight = 1;
        if (mask[row] && few->count < BLOCK)
            few->rows[few->count++] = row;
    }
}

static void look_at_waiting(const asked *by, const char *matrix, waiting *few, aqe_best *found)
{
    if (few->count)
        look(by, matrix, (looked_at){.rows = few->rows, .count = few->count}, found);
    few->count = 0;
}

/* Would it take longer to read the allowed rows alone than all of them? What is read in order is read faster, and none of
   it must be waited for (measured with rows of 48 and 384 bytes; less than half are never many). */
static int are_many(const unsigned char *mask, size_t count, size_t n)
{
    uint16_t allowed = 0; /* as narrow as will do: the compiler adds up as many at once as fit */
    for (size_t i = 0; i < count; i++)
        allowed += mask[i] != 0;
    return allowed * (1200 + 2 * n) >= count * n;
}

size_t aqe_whole_topk(const aqe_path *path, aqe_metric metric, const void *query, const void *matrix, size_t rows, size_t n,
                      const unsigned char *mask, size_t k, aqe_hit *hits)
{
    const asked by = ask(path, metric, query, n);
    aqe_best found = {hits, 0, k};
    waiting few = {.count = 0};
    for (size_t row = 0, count; k && row < rows; row += count) {
        count = rows - row < BLOCK ? rows - row : BLOCK;
        if (!mask || are_many(mask + row, count, n)) {
            look_at_waiting(&by, matrix, &few, &found);
            look(&by, matrix, (looked_at){.first = row, .count = count, .mask = mask ? mask + row : NULL}, &found);
            continue;
        }
        gather(mask, row, row + count, &few);
        if (few.count > BLOCK / 2)
            look_at_waiting(&by, matrix, &few, &found);
    }
    look_at_waiting(&by, matrix, &few, &found);
    aqe_rank(&found);
    for (size_t i = 0; i < found.held; i++)
        hits[i].score = metric == AQE_L2 || metric == AQE_HAMMING ? -hits[i].score : hits[i].score;
    return found.held;
}
