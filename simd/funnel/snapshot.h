/* What a search sees of a store: segments of consecutive rows, each with the forms that are kept of its rows. */
#ifndef AQE_SNAPSHOT_H
#define AQE_SNAPSHOT_H

#include "candidates.h"
#include "guard.h"

/* Items beyond this are refused for dot and l2: sums of their squares would leave float32. */
#define AQE_LARGEST 1e15f

/* One form: item i is at values + i * width; `slots` (NULL: row i is item i) is negative for rows without the form. */
typedef struct {
    const void *values;
    const float *scales;
    const int32_t *slots;
    size_t count;
} aqe_form;

enum { AQE_F32 = 0, AQE_F16 = 1, AQE_INT8 = 2, AQE_FORMS = 3 };

typedef struct {
    int32_t first, rows;
    const int64_t *ids;
    const uint8_t *blocks; /* NULL: not coded */
    aqe_form forms[AQE_FORMS];
} aqe_segment;

typedef struct {
    const aqe_funnel_path *path;
    aqe_shape shape;
    const float *mean; /* NULL: not coded */
    float spread;      /* error of the estimate of a row with an f of unit_f, for a query at distance 1 from the mean */
    float reach;       /* f of nearly every row, in units of unit_f */
    float grain;       /* what half floats take from k */
    int direct;        /* are int8 forms no better than codes? */
    int cut;           /* are there rows so long that their codes say too little? */
    const uint64_t *live;
    aqe_segment *segments;
    size_t count;
    aqe_guard guard; /* of the file that some of it is mapped from */
} aqe_snapshot;

/* A query while it is answered. `query` is prepared; `allow` (or NULL) has a word for each of the live mask. */
typedef struct {
    const aqe_snapshot *of;
    const float *query;
    const uint64_t *allow;
    aqe_question question;
    float base, constant; /* of a linear store; what turns an estimate into minus a squared distance */
    float doubt;          /* how far the estimate of a row with an f of unit_f is trusted to be from the truth */
    float slack;          /* what rounding takes from any estimate */
    float length;         /* of the query, squared */
    size_t k;
} aqe_search;

/* The row's segment; NULL for no row. */
const aqe_segment *aqe_segment_of(const aqe_snapshot *snapshot, int32_t row);

/* Turn the estimates of candidates, in place, into scores (higher is better: for l2 minus the distance) by int8, or by
   the best form that is kept; a row of which only the code is kept has the estimate as its score. */
void aqe_score_int8(const aqe_search *search, aqe_candidate *items, size_t count);
void aqe_score_exact(const aqe_search *search, aqe_candidate *items, size_t count);

/* The step of a row's int8 form, 0 where it has none: products with a query of length one are as far from the truth
   at most, but for one in some thousands. */
float aqe_grain_of(const aqe_snapshot *snapshot, int32_t row);

/* Write the scores of rows as a search gives them, NaN for one that is not there or of which only its code is kept. */
void aqe_measure_rows(const aqe_search *search, const int64_t *rows, size_t count, float *scores);

/* Turn scores by int8 into exact ones where float32 or half floats are kept. */
void aqe_score_again(const aqe_search *search, aqe_candidate *items, size_t count);

/* Is there a row of which less than its int8 form is kept, so that the estimate will be its score? */
int aqe_has_bits(const aqe_snapshot *of);

/* How many of the candidates are looked at exactly for the best k. */
static inline size_t aqe_exact_for(size_t k)
{
    return 2 * k + 12;
}

/* How far from the truth the score by int8 of a row is at most, but for one in some thousands. */
float aqe_blur_of(const aqe_search *search, const aqe_candidate *item);

/* The k-th best score of items, which are scored by int8 and come to the front, less what int8 may be off: no row that is
   worse by its exact score is among the best k. -INFINITY where there are no more than k. */
float aqe_least_score(const aqe_search *search, aqe_candidate *items, size_t count);

/* A score as the estimate that a row of that score should have. */
float aqe_as_estimate(const aqe_search *search, float score);

/* Why a survey has no candidates: there are too many rows, or too many alike, for it; or the codes tell them so badly
   apart that each may as well be scored; or memory is out. */
enum { AQE_TOO_LARGE = 1, AQE_SAYS_LITTLE = 2, AQE_NO_ROOM = 3 };

/* Fill `candidates` from the codes of the store with all rows that may be among the best k, scored by int8; 0, or one of
   the above. */
int aqe_survey(const aqe_search *search, aqe_candidates *candidates);

/* From scores by int8 to the best k, ranked by exact scores. */
void aqe_finish(const aqe_search *search, aqe_candidates *candidates);

/* Write ids and scores of the ranked best; how many. */
size_t aqe_write(const aqe_search *search, const aqe_candidates *candidates, int64_t *ids, float *scores);

/* Prepare what a query needs before it is answered: `room` has aqe_room_for() bytes. 0 where the query is not finite. */
size_t aqe_room_for(const aqe_shape *shape);
int aqe_search_open(aqe_search *search, const aqe_snapshot *of, const float *query, size_t k, const uint64_t *allow,
                    void *room);

/* The best k rows: `wanted` candidates out of the codes, or (0) every row by the best that is kept of it. Returns how
   many were written, or -1 without memory. */
ptrdiff_t aqe_search_run(const aqe_search *search, size_t wanted, int64_t *ids, float *scores);

/* Fill `candidates` from the rows of the store from row `from` (a multiple of 64) on, by their codes. */
void aqe_scan_rows(const aqe_search *search, int32_t from, aqe_candidates *candidates);

/* Fill it with rows and their scores by the best form that is kept; `by_int8`: by int8. */
void aqe_score_rows(const aqe_search *search, int by_int8, aqe_candidates *candidates);

/* How many rows may be found. */
size_t aqe_count_rows(const aqe_search *search);

/* Which rows of 64 from `row` (a multiple of 64) on may be found. */
static inline uint64_t aqe_word(const aqe_search *search, const aqe_segment *segment, int32_t row)
{
    uint64_t word = search->of->live[row / 64];
    int32_t left = segment->first + segment->rows - row;
    if (search->allow)
        word &= search->allow[row / 64];
    return left < 64 ? word & (((uint64_t)1 << left) - 1) : word;
}

#endif
