/* Two scores of the same things, made one: each as standard scores, weighted, summed. */
#ifndef AQE_FUSE_H
#define AQE_FUSE_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t row;
    double text, near, prior, share; /* share: the weight of `near`, from 0 to 1 */
    double text_standard, near_standard, score;
    int has_text, has_near;
} aqe_candidate;

/* The weight of nearness: of rows that are marked (a byte for each row from 0 on, not 0) it is `other`. */
typedef struct {
    double share, other;
    const uint8_t *marked; /* NULL where none is */
    size_t marked_count;
} aqe_shares;

/* What each side of a search found, and what it says of the rows that the other found: cosines are NaN and BM25 scores 0
   where it has none. */
typedef struct {
    const int64_t *text_ids, *near_ids;
    const double *text, *words;   /* BM25 of text_ids, and of near_ids */
    const float *cosines, *near;  /* the cosines of text_ids, and of near_ids */
    size_t text_count, near_count;
    aqe_shares shares;
} aqe_sides;

enum { AQE_NO_MEMORY = -1, AQE_TWICE = -2 };

/* Make the candidates of both sides, each once, its cosine rounded to six digits so that equal vectors are equally near;
   there is room for all. Returns how many, or one of the above (AQE_TWICE: a row stands twice on one side). */
ptrdiff_t aqe_unite(const aqe_sides *sides, aqe_candidate *candidates);

/* To six digits, halves to even. */
double aqe_rounded(float cosine);

/* Fill the standard scores of `all` candidates over the first `count` of them, and their sums by share as scores. Returns
   the deviation of nearness, 0 where all are as near. */
double aqe_weigh(aqe_candidate *candidates, size_t count, size_t all);

/* Fill the standard scores and the scores (0 for the worst, 1 for the best) and bring the best k candidates to the front,
   best first, equals by row; where there are more, the others may be lost. */
void aqe_fuse(aqe_candidate *candidates, size_t count, size_t k);

#endif
