/* The part that one posting adds to a score. Eight at a time by gathers (AVX2, AVX-512) was no faster than this loop: it
   waits for lengths, not for divisions. */
#include "postings.h"

#include <math.h>

double aqe_weight(const aqe_postings *index, uint32_t documents)
{
    double weight = log(((double)index->live - documents + 0.5) / (documents + 0.5));
    return weight > 0.0 ? weight : 1e-6; /* FTS5's floor: a term of more than half of the documents says next to nothing */
}

static double norm_of(const aqe_postings *index, double length, double mean)
{
    double share = index->b * length / mean; /* parted, so that no compiler fuses what FTS5 rounds twice */
    return index->k1 * (1 - index->b + share);
}

void aqe_fill_norms(aqe_postings *index)
{
    double mean = index->live ? (double)index->tokens / index->live : 1.0;
    mean = mean > 0.0 ? mean : 1.0;
    if (index->norms_for == mean)
        return;
    index->norms_for = mean;
    for (uint32_t length = 0; length < AQE_TABLE; length++)
        index->norms[length] = norm_of(index, length, mean);
}

double aqe_impact(const aqe_postings *index, const aqe_term *term, uint32_t word, double weight)
{
    double frequency = aqe_frequency(term, word);
    uint32_t length = index->lengths[word >> 8];
    double norm = length < AQE_TABLE ? index->norms[length] : norm_of(index, length, index->norms_for);
    return weight * (frequency * (index->k1 + 1.0) / (frequency + norm));
}

void aqe_impacts(const aqe_postings *index, const uint32_t *words, size_t count, double weight, double *out)
{
    const double up = index->k1 + 1.0;
    for (size_t i = 0; i < count; i++) {
        double frequency = words[i] & AQE_ESCAPE;
        out[i] = weight * (frequency * up / (frequency + index->norms[index->lengths[words[i] >> 8]]));
    }
}
