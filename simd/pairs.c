/* Pairs of vectors, a query with the rows of a matrix, and normalised rows: the same for every path, which only sums. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"

/* Between these the float32 sums of squares neither lost items to underflow nor overflowed. */
static const float SMALLEST_SAFE = 1e-25f, LARGEST_SAFE = 1e37f;

/* Bytes of a line of the cache, and between what is read of a matrix and what is asked for. */
enum { LINE = 64, AHEAD = 6144 };

size_t aqe_item_size(aqe_kind kind)
{
    static const size_t SIZES[] = {4, 2, 2, 1, 1};
    return SIZES[kind];
}

/* Item i in double, by the path's own reading: an item times one. */
static double item(const aqe_sums *sums, aqe_kind kind, const void *vector, size_t i)
{
    if (kind == AQE_F32) {
        float read;
        memcpy(&read, (const char *)vector + i * sizeof read, sizeof read);
        return read;
    }
    static const float ONE = 1;
    static const uint16_t HALF_ONE = 0x3c00, BRAIN_ONE = 0x3f80;
    const void *const ones[AQE_FLOAT_KINDS] = {&ONE, &HALF_ONE, &BRAIN_ONE};
    return sums->dot((const char *)vector + i * aqe_item_size(kind), ones[kind], 1);
}

/* A dot product of which a part left float32, or met NaN or infinity: in what order a path sums must not show. Products
   of float32 are exact in double; what their sum loses to rounding is kept beside it (Neumaier, Rundungsfehleranalyse
   einiger Verfahren zur Summation endlicher Summen, 1974). The twin does the same, operation by operation. */
static float dot_in_double(const aqe_sums *sums, aqe_kind kind, const void *a, const void *b, size_t n)
{
    double total = 0, lost = 0;
    for (size_t i = 0; i < n; i++) {
        double product = item(sums, kind, a, i) * item(sums, kind, b, i), next = total + product;
        lost += fabs(total) >= fabs(product) ? (total - next) + product : (product - next) + total;
        total = next;
    }
    total += isfinite(total) ? lost : 0;
    return isnan(total) || fabs(total) <= FLT_MAX ? (float)total : total > 0 ? INFINITY : -INFINITY;
}

static double cosine_in_double(const aqe_sums *sums, aqe_kind kind, const void *a, const void *b, size_t n)
{
    double product = 0, square_a = 0, square_b = 0;
    for (size_t i = 0; i < n; i++) {
        double x = item(sums, kind, a, i), y = item(sums, kind, b, i);
        product += x * y;
        square_a += x * x;
        square_b += y * y;
    }
    if (isnan(product))
        return product;
    if (square_a == 0 || square_b == 0)
        return 0;
    return aqe_within_one(product / (sqrt(square_a) * sqrt(square_b)));
}

static int is_safe(float square)
{
    return square >= SMALLEST_SAFE && square <= LARGEST_SAFE;
}

static double cosine(const aqe_sums *sums, aqe_kind kind, const void *a, const void *b, size_t n, const float made[3])
{
    if (is_safe(made[1]) && is_safe(made[2]))
        return aqe_within_one(made[0] / sqrt((double)made[1] * made[2]));
    return cosine_in_double(sums, kind, a, b, n);
}

double aqe_pair(const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *a, const void *b, size_t n)
{
    const aqe_sums *sums = &path->sums[kind];
    float made[3];
    switch (metric) {
    case AQE_COSINE:
        sums->products(a, b, n, made);
        return cosine(sums, kind, a, b, n, made);
    case AQE_L2:
        return sums->l2(a, b, n);
    default:
        made[0] = sums->dot(a, b, n);
        return isfinite(made[0]) ? made[0] : dot_in_double(sums, kind, a, b, n);
    }
}

/* Turn the products of a query with rows of these squares into cosines. */
static void cosines(const aqe_query *query, const aqe_run *rows, const float *squares, float *products)
{
    int safe = is_safe(query->square);
    for (size_t i = 0; i < rows->count; i++)
        safe &= is_safe(squares[i]);
    if (safe) {
        float length = sqrtf(query->square);
        for (size_t i = 0; i < rows->count; i++)
            products[i] = (float)aqe_within_one(products[i] / (length * sqrtf(squares[i])));
        return;
    }
    const aqe_sums *sums = &query->path->sums[query->kind];
    for (size_t i = 0; i < rows->count; i++) {
        const float made[3] = {products[i], query->square, squares[i]};
        products[i] = (float)cosine(sums, query->kind, query->given, rows->place[i], query->n, made);
    }
}

int aqe_query_open(aqe_query *query, const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *given, size_t n)
{
    const aqe_sums *sums = &path->sums[kind];
    *query = (aqe_query){.path = path, .kind = kind, .metric = metric, .n = n, .given = given};
    query->room = malloc(n * sizeof(float) + LINE);
    if (!query->room)
        return -1;
    query->wide = (float *)(((uintptr_t)query->room + LINE - 1) / LINE * LINE);
    sums->widen(given, query->wide, n);
    query->square = metric == AQE_COSINE ? sums->dot(given, given, n) : 0;
    return 0;
}

void aqe_query_close(aqe_query *query) { free(query->room); }

size_t aqe_ahead(size_t stride)
{
    size_t rows = stride ? (AHEAD + stride - 1) / stride : 1;
    return rows < AQE_MOST_AHEAD ? rows : AQE_MOST_AHEAD;
}

void aqe_each(const aqe_query *query, const aqe_run *rows, float *out)
{
    const aqe_sums *sums = &query->path->sums[query->kind];
    float squares[AQE_RUN];
    if (query->metric == AQE_DOT) {
        sums->dots(query->wide, rows, query->n, out);
        for (size_t i = 0; i < rows->count; i++)
            if (!isfinite(out[i]))
                out[i] = dot_in_double(sums, query->kind, query->given, rows->place[i], query->n);
    } else if (query->metric == AQE_L2)
        sums->distances(query->wide, rows, query->n, out);
    else {
        sums->dots_and_squares(query->wide, rows, query->n, out, squares);
        cosines(query, rows, squares, out);
    }
}

static int float_rows(const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *given, const char *matrix,
                      size_t rows, size_t n, char *out)
{
    size_t stride = n * aqe_item_size(kind);
    float found[AQE_RUN];
    const void *place[AQE_RUN + AQE_MOST_AHEAD];
    aqe_run run = {.place = place, .ahead = aqe_ahead(stride)};
    aqe_query query;
    if (aqe_query_open(&query, path, kind, metric, given, n) < 0)
        return -1;
    for (size_t row = 0; row < rows; row += run.count) {
        run.count = rows - row < AQE_RUN ? rows - row : AQE_RUN;
        for (size_t i = 0; i < run.count + run.ahead; i++) /* past the end the last row counts again */
            place[i] = matrix + (row + i < rows ? row + i : rows - 1) * stride;
        aqe_each(&query, &run, found);
        memcpy(out + row * sizeof *found, found, run.count * sizeof *found);
    }
    aqe_query_close(&query);
    return 0;
}

int aqe_rows(const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *query, const void *matrix, size_t rows,
             size_t n, void *out)
{
    if ((int)kind < AQE_FLOAT_KINDS)
        return float_rows(path, kind, metric, query, matrix, rows, n, out);
    aqe_whole_rows(path, metric, query, matrix, rows, n, out);
    return 0;
}

static void normalize_in_double(const char *row, char *out, size_t n)
{
    double square = 0;
    for (size_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, row + i * sizeof x, sizeof x);
        square += (double)x * x;
    }
    for (size_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, row + i * sizeof x, sizeof x);
        x = square == 0 ? 0 : (float)(x / sqrt(square));
        memcpy(out + i * sizeof x, &x, sizeof x);
    }
}

void aqe_normalize(const aqe_path *path, const void *matrix, size_t rows, size_t n, void *out)
{
    size_t stride = n * sizeof(float);
    for (size_t row = 0; row < rows; row++) {
        const char *from = (const char *)matrix + row * stride;
        char *to = (char *)out + row * stride;
        float square = path->sums[AQE_F32].dot(from, from, n);
        if (is_safe(square))
            path->scale(from, (float)(1 / sqrt(square)), to, n);
        else
            normalize_in_double(from, to, n);
    }
}
