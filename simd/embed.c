/* Vectors of texts: the rows that a text stands for, summed by their weights and brought to length one. */
#include "tokenise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AHEAD = 4 }; /* rows that are asked for before they are added up */

static void make_unit(float *vector, size_t n)
{
    double square = 0;
    for (size_t i = 0; i < n; i++)
        square += (double)vector[i] * vector[i];
    if (!(square > 0))
        return;
    double length = sqrt(square);
    for (size_t i = 0; i < n; i++)
        vector[i] = (float)(vector[i] / length);
}

/* Ask for the row of a share and its scale before they are added up: rows lie all over the table. */
static void ask_for(const aqe_table *table, const aqe_share *share)
{
#ifdef __GNUC__
    const char *row = (const char *)table->rows + (size_t)share->row * table->dimension;
    __builtin_prefetch((const char *)table->scales + (size_t)share->row * sizeof(float));
    for (size_t line = 0; line < table->dimension; line += 64)
        __builtin_prefetch(row + line);
#else
    (void)table, (void)share;
#endif
}

int aqe_embed(const aqe_path *path, const aqe_vocabulary *vocabulary, const aqe_table *table, const aqe_text *texts,
              size_t count, double k, void *out)
{
    size_t n = table->dimension, shares;
    aqe_bag *bag = aqe_bag_new(vocabulary);
    float *sum = malloc((n + 1) * sizeof *sum);
    int failed = !bag || !sum;
    for (size_t i = 0; i < count && !failed; i++) {
        memset(sum, 0, n * sizeof *sum);
        failed = aqe_bag_fill(bag, texts[i], k) < 0;
        const aqe_share *share = aqe_bag_shares(bag, &shares);
        for (size_t j = 0; j < shares && j < AHEAD; j++)
            ask_for(table, share + j);
        for (size_t j = 0; j < shares && !failed; j++) {
            float scale;
            if (j + AHEAD < shares)
                ask_for(table, share + j + AHEAD);
            memcpy(&scale, (const char *)table->scales + (size_t)share[j].row * sizeof scale, sizeof scale);
            path->add_row(sum, table->rows + (size_t)share[j].row * n, (float)share[j].weight * scale, n);
        }
        make_unit(sum, n);
        memcpy((char *)out + i * n * sizeof *sum, sum, n * sizeof *sum);
    }
    aqe_bag_free(bag);
    free(sum);
    return failed ? -1 : 0;
}
