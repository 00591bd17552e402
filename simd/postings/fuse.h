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

/* Fill the standard scores and the scores (0 for the worst, 1 for the best) and order the candidates by them, best first,
   equals by row. */
void aqe_fuse(aqe_candidate *candidates, size_t count);

#endif
