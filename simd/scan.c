/* Cosine and the top-k scan, the same for every path: a path only sums. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"

/* Between these the float32 sums of squares neither lost items to underflow nor overflowed. */
static const float SMALLEST_SAFE = 1e-25f, LARGEST_SAFE = 1e37f;

static double within_one(double cosine)
{
    return cosine > 1.0 ? 1.0 : cosine < -1.0 ? -1.0 : cosine;
}

static double cosine_in_double(const void *a, const void *b, size_t n)
{
    double product = 0, square_a = 0, square_b = 0;
    for (size_t i = 0; i < n; i++) {
        float x, y;
        memcpy(&x, (const char *)a + i * sizeof x, sizeof x);
        memcpy(&y, (const char *)b + i * sizeof y, sizeof y);
        product += (double)x * y;
        square_a += (double)x * x;
        square_b += (double)y * y;
    }
    if (isnan(product))
        return product;
    if (square_a == 0 || square_b == 0)
        return 0;
    return within_one(product / (sqrt(square_a) * sqrt(square_b)));
}

double aqe_cosine(const aqe_path *path, const void *a, const void *b, size_t n, float square_of_a)
{
    float product, square_of_b;
    path->dot_and_square(a, b, n, &product, &square_of_b);
    if (square_of_a >= SMALLEST_SAFE && square_of_a <= LARGEST_SAFE && square_of_b >= SMALLEST_SAFE
        && square_of_b <= LARGEST_SAFE)
        return within_one(product / (sqrt(square_of_a) * sqrt(square_of_b)));
    return cosine_in_double(a, b, n);
}

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

static float score_of(const aqe_path *path, const void *query, const void *row, size_t dim, int metric, float square)
{
    switch (metric) {
    case AQE_COSINE:
        return (float)aqe_cosine(path, query, row, dim, square);
    case AQE_SQUARED_DISTANCE:
        return -path->squared_distance(query, row, dim);
    default:
        return path->dot(query, row, dim);
    }
}

void aqe_top_k(const aqe_path *path, const void *matrix, size_t rows, size_t dim, const void *query, int metric,
               size_t k, aqe_hit *hits)
{
    float square = metric == AQE_COSINE ? path->dot(query, query, dim) : 0;
    for (size_t row = 0; row < rows; row++) {
        const char *start = (const char *)matrix + row * dim * sizeof(float);
        aqe_hit hit = {score_of(path, query, start, dim, metric, square), (ptrdiff_t)row};
        if (row < k) {
            hits[row] = hit;
            if (row + 1 == k)
                for (size_t place = k / 2; place-- > 0;)
                    sift_down(hits, k, place, hits[place]);
        } else if (comes_before(hit, hits[0])) {
            sift_down(hits, k, 0, hit);
        }
    }
    qsort(hits, k, sizeof *hits, by_rank);
    if (metric == AQE_SQUARED_DISTANCE)
        for (size_t i = 0; i < k; i++)
            hits[i].score = -hits[i].score;
}
