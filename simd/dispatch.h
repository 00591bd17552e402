/* What the binding knows of the kernels: one table of functions for each path, and the work built on it. */
#ifndef AQE_DISPATCH_H
#define AQE_DISPATCH_H

#include <stddef.h>
#include <stdint.h>

#include "isa.h"

/* Ask for a line of the cache: a hint, which may be wrong. */
#ifdef __GNUC__
#define AQE_ASK_FOR(address) __builtin_prefetch(address)
#else
#define AQE_ASK_FOR(address) ((void)(address))
#endif

/* What the items of a vector are. bfloat16 is the upper half of a float32; sums of all of these are float32. */
typedef enum { AQE_F32, AQE_F16, AQE_BF16, AQE_I8, AQE_BITS } aqe_kind;
enum { AQE_FLOAT_KINDS = 3 };

/* Rows that are read one after the other, `count` of them. Meanwhile the lines of the row `ahead` places further on are
   asked for: a hint, and there must be a place for it. */
typedef struct {
    const void *const *place;
    size_t count, ahead;
} aqe_run;

/* So many rows are in a run at most: more would leave the memory idle while their sums are looked at. */
enum { AQE_RUN = 4, AQE_MOST_AHEAD = 16 };

/* So many rows of bytes are added up together. */
enum { AQE_TOGETHER = 8 };

/* Vectors are n items at any address: kernels load unaligned. Sums are kept in at least 8 float32 lanes. A query that goes
   with many rows is float32, whatever they are. */
typedef void aqe_run_sums(const float *query, const aqe_run *rows, size_t n, float *out);
typedef struct {
    float (*dot)(const void *a, const void *b, size_t n);
    float (*l2)(const void *a, const void *b, size_t n);
    void (*products)(const void *a, const void *b, size_t n, float out[3]); /* a.b, a.a, b.b */
    void (*widen)(const void *from, float *out, size_t n);
    aqe_run_sums *dots, *distances;
    void (*dots_and_squares)(const float *query, const aqe_run *rows, size_t n, float *dots, float *squares);
} aqe_sums;

typedef struct {
    aqe_isa isa;
    aqe_sums sums[AQE_FLOAT_KINDS];
    int64_t (*byte_dot)(const void *a, const void *b, size_t n); /* of int8 */
    int64_t (*hamming)(const void *a, const void *b, size_t n);  /* of packed bits, n bytes */
    void (*byte_dots)(const void *query, const void *rows, size_t count, size_t n, int64_t *out);
    void (*hammings)(const void *query, const void *rows, size_t count, size_t n, int64_t *out);
    void (*byte_dots_and_squares)(const void *query, const void *rows, size_t count, size_t n, int64_t *dots,
                                  int64_t *squares);
    int (*any_beyond)(const int64_t *numbers, size_t count, int64_t low, int64_t high); /* < low or > high */
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

static inline double aqe_within_one(double cosine)
{
    return cosine > 1.0 ? 1.0 : cosine < -1.0 ? -1.0 : cosine;
}

/* A query that many rows of floats will be compared with: as it was given, as float32 that begins with a line of the
   cache, and its square by the same path where the metric is cosine. */
typedef struct {
    const aqe_path *path;
    aqe_kind kind;
    aqe_metric metric;
    size_t n;
    const void *given;
    float *wide, square;
    void *room;
} aqe_query;

/* Prepare a query; -1 without memory. */
int aqe_query_open(aqe_query *query, const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *given, size_t n);
void aqe_query_close(aqe_query *query);

/* How many rows of so many bytes are asked for before they are read. */
size_t aqe_ahead(size_t stride);

/* A query with each row of a run. */
void aqe_each(const aqe_query *query, const aqe_run *rows, float *out);

/* A query with each row of a rows x n matrix: out[row] is float, for the whole kinds int64_t. `out` at any address. -1
   without memory. */
int aqe_rows(const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *query, const void *matrix, size_t rows,
             size_t n, void *out);

/* The same of the whole kinds: packed bits where the metric is hamming, else int8. */
void aqe_whole_rows(const aqe_path *path, aqe_metric metric, const void *query, const void *matrix, size_t rows, size_t n,
                    void *out);

/* Each row of a rows x n float32 matrix divided by its length; a zero row stays zero. out may be the matrix. */
void aqe_normalize(const aqe_path *path, const void *matrix, size_t rows, size_t n, void *out);

typedef struct {
    double score; /* a float, or a whole number */
    int64_t row;
} aqe_hit;

/* Write the best k rows of the rows x n matrix, of those that `mask` (a byte each; NULL: all) allows, into hits, best
   first; ties by row, NaN last. Returns how many there are, k at most, or -1 without memory. Kinds and metrics go
   together as for aqe_rows. */
ptrdiff_t aqe_topk(const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *query, const void *matrix,
                   size_t rows, size_t n, const unsigned char *mask, size_t k, aqe_hit *hits);
/* The same of the whole kinds. */
size_t aqe_whole_topk(const aqe_path *path, aqe_metric metric, const void *query, const void *matrix, size_t rows, size_t n,
                      const unsigned char *mask, size_t k, aqe_hit *hits);

#endif
