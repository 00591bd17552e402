/* What the binding knows of the kernels: one table of functions for each path, and the work built on it. */
#ifndef AQE_DISPATCH_H
#define AQE_DISPATCH_H

#include <stddef.h>

/* Vectors are n float32 items at any address: kernels load unaligned. Sums are kept in float32 lanes. */
typedef struct {
    const char *name;
    float (*dot)(const void *a, const void *b, size_t n);
    float (*squared_distance)(const void *a, const void *b, size_t n);
    void (*dot_and_square)(const void *a, const void *b, size_t n, float *dot, float *square_of_b);
    void (*add_row)(float *sum, const signed char *row, float weight, size_t n); /* sum[i] += weight * row[i] */
} aqe_path;

extern const aqe_path aqe_portable;
#if defined(__x86_64__) && defined(__GNUC__)
#define AQE_HAS_AVX2 1
extern const aqe_path aqe_avx2;
#endif

/* The path at `position`, best first, among those that this build holds and this CPU runs; NULL past the last. */
const aqe_path *aqe_path_at(size_t position);

enum { AQE_DOT = 0, AQE_COSINE = 1, AQE_SQUARED_DISTANCE = 2 };

/* Cosine of a and b given the square of a by the same path; right for every finite vector, 0 where one is zero. */
double aqe_cosine(const aqe_path *path, const void *a, const void *b, size_t n, float square_of_a);

typedef struct {
    float score;
    ptrdiff_t row;
} aqe_hit;

/* Write the best k (<= rows) rows of the rows x dim matrix into hits, best first; ties by row, NaN last. */
void aqe_top_k(const aqe_path *path, const void *matrix, size_t rows, size_t dim, const void *query, int metric,
               size_t k, aqe_hit *hits);

#endif
