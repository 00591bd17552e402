/* What the binding knows of the kernels: one table of functions for each path, and the work built on it. */
#ifndef AQE_DISPATCH_H
#define AQE_DISPATCH_H

#include <stddef.h>
#include <stdint.h>

#include "isa.h"

/* What the items of a vector are. bfloat16 is the upper half of a float32; sums of all of these are float32. */
typedef enum { AQE_F32, AQE_F16, AQE_BF16, AQE_I8, AQE_BITS } aqe_kind;
enum { AQE_FLOAT_KINDS = 3 };

/* Vectors are n items at any address: kernels load unaligned. Sums are kept in at least 8 float32 lanes. Of four rows,
   `next` are those that will be asked for after them: a hint, never read. */
typedef void aqe_four_sums(const void *query, const void *const rows[4], const void *const next[4], size_t n,
                           float out[4]);
typedef struct {
    float (*dot)(const void *a, const void *b, size_t n);
    float (*l2)(const void *a, const void *b, size_t n);
    void (*products)(const void *a, const void *b, size_t n, float out[3]); /* a.b, a.a, b.b */
    aqe_four_sums *dots, *distances;
    void (*dots_and_squares)(const void *query, const void *const rows[4], const void *const next[4], size_t n,
                             float dots[4], float squares[4]);
} aqe_sums;

typedef struct {
    aqe_isa isa;
    aqe_sums sums[AQE_FLOAT_KINDS];
    int64_t (*byte_dot)(const void *a, const void *b, size_t n); /* of int8 */
    int64_t (*hamming)(const void *a, const void *b, size_t n);  /* of packed bits, n bytes */
    void (*byte_dots)(const void *query, const void *rows, size_t count, size_t n, int64_t *out);
    void (*hammings)(const void *query, const void *rows, size_t count, size_t n, int64_t *out);
    void (*softmax)(const void *row, void *out, size_t n); /* out may be row */
    void (*scale)(const void *row, float factor, void *out, size_t n);
    void (*add_row)(float *sum, const signed char *row, float weight, size_t n); /* sum[i] += weight * row[i] */
} aqe_path;

/* The path at `position`, best first, among those that this build holds and this CPU runs; NULL past the last. */
const aqe_path *aqe_path_at(size_t position);

typedef enum { AQE_DOT, AQE_COSINE, AQE_L2, AQE_HAMMING } aqe_metric;

/* Bytes of one item. */
size_t aqe_item_size(aqe_kind kind);

/* One pair; of floats. Cosine is right for every finite vector, and 0 where one is zero. */
double aqe_pair(const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *a, const void *b, size_t n);
/* One pair of int8 (dot, l2) or packed bits (hamming): exact. */
int64_t aqe_whole_pair(const aqe_path *path, aqe_metric metric, const void *a, const void *b, size_t n);
double aqe_byte_cosine(const aqe_path *path, const void *a, const void *b, size_t n);

/* A query, of which `square` is the square by the same path where the metric is cosine, with four rows of floats. */
void aqe_four(const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *query, float square,
              const void *const rows[4], const void *const next[4], size_t n, float out[4]);

/* A query with each row of a rows x n matrix: out[row] is float, for the whole kinds int64_t. `out` at any address. */
void aqe_rows(const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *query, const void *matrix,
              size_t rows, size_t n, void *out);

/* Each row of a rows x n float32 matrix divided by its length; a zero row stays zero. out may be the matrix. */
void aqe_normalize(const aqe_path *path, const void *matrix, size_t rows, size_t n, void *out);

typedef struct {
    float score;
    int64_t row;
} aqe_hit;

/* Write the best k rows of the rows x n matrix, of those that `mask` (a byte each; NULL: all) allows, into hits, best
   first; ties by row, NaN last. Returns how many there are: k at most. */
size_t aqe_topk(const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *query, const void *matrix,
                size_t rows, size_t n, const unsigned char *mask, size_t k, aqe_hit *hits);

#endif
