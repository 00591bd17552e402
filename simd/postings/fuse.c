/* Sum of standard scores: (score - mean) / standard deviation over the candidates of the query. */
#include "fuse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    double mean, deviation; /* deviation 0: all are the same */
} spread;

/* Over all candidates by text (0 for one without a word of the query), or over those with a vector by nearness. */
static spread spread_of(const aqe_candidate *candidates, size_t count, int of_near)
{
    double sum = 0.0, squares = 0.0, most = 0.0;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (of_near && !candidates[i].has_near)
            continue;
        double value = of_near ? candidates[i].near : candidates[i].text;
        sum += value;
        most = fabs(value) > most ? fabs(value) : most;
        n++;
    }
    spread found = {n ? sum / (double)n : 0.0, 0.0};
    for (size_t i = 0; i < count; i++) {
        if (of_near && !candidates[i].has_near)
            continue;
        double gap = (of_near ? candidates[i].near : candidates[i].text) - found.mean;
        squares += gap * gap;
    }
    double deviation = n ? sqrt(squares / (double)n) : 0.0;
    found.deviation = deviation <= 1e-9 * most ? 0.0 : deviation;
    return found;
}

static int by_score(const void *a, const void *b)
{
    const aqe_candidate *one = a, *other = b;
    if (one->score != other->score)
        return one->score > other->score ? -1 : 1;
    return one->row < other->row ? -1 : one->row > other->row;
}

static void swap(aqe_candidate *a, aqe_candidate *b)
{
    aqe_candidate held = *a;
    *a = *b;
    *b = held;
}

/* Bring the best k of more to the front, in no order (quickselect; Hoare, Algorithm 65: Find, 1961). */
static void select_best(aqe_candidate *items, size_t count, size_t k)
{
    size_t low = 0, high = count; /* the border lies within */
    while (high - low > 1) {
        size_t border = low;
        swap(items + low + (high - low) / 2, items + high - 1);
        for (size_t i = low; i + 1 < high; i++)
            if (by_score(items + i, items + high - 1) < 0)
                swap(items + i, items + border++);
        swap(items + border, items + high - 1);
        if (border == k || border + 1 == k)
            return;
        if (border < k)
            low = border + 1;
        else
            high = border;
    }
}

enum { FEW = 64 };

/* Bring the best few of more to the front, best first; the others are lost. */
static void order_few(aqe_candidate *items, size_t count, size_t k)
{
    const aqe_candidate *best[FEW];
    aqe_candidate held[FEW];
    size_t kept = 0;
    for (size_t i = 0; i < count && k; i++) {
        if (kept == k && by_score(items + i, best[k - 1]) > 0)
            continue;
        size_t at = kept < k ? kept++ : k - 1;
        for (; at && by_score(items + i, best[at - 1]) < 0; at--)
            best[at] = best[at - 1];
        best[at] = items + i;
    }
    for (size_t i = 0; i < kept; i++)
        held[i] = *best[i];
    memcpy(items, held, kept * sizeof *items);
}

double aqe_weigh(aqe_candidate *candidates, size_t count, size_t all)
{
    const spread text = spread_of(candidates, count, 0), near = spread_of(candidates, count, 1);
    for (size_t i = 0; i < all; i++) {
        aqe_candidate *one = &candidates[i];
        one->text_standard = text.deviation > 0 ? (one->text - text.mean) / text.deviation : 0.0;
        one->near_standard = one->has_near && near.deviation > 0 ? (one->near - near.mean) / near.deviation : 0.0;
        one->score = one->share * one->near_standard + (1 - one->share) * one->text_standard + one->prior;
    }
    return near.deviation;
}

void aqe_fuse(aqe_candidate *candidates, size_t count, size_t k)
{
    double worst = INFINITY, best = -INFINITY;
    aqe_weigh(candidates, count, count);
    for (size_t i = 0; i < count; i++) {
        worst = candidates[i].score < worst ? candidates[i].score : worst;
        best = candidates[i].score > best ? candidates[i].score : best;
    }
    for (size_t i = 0; i < count; i++)
        candidates[i].score = best > worst ? (candidates[i].score - worst) / (best - worst) : 1.0;
    if (k < count && k <= FEW) {
        order_few(candidates, count, k);
        return;
    }
    if (k < count)
        select_best(candidates, count, k);
    qsort(candidates, k < count ? k : count, sizeof *candidates, by_score);
}
