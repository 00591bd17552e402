/* Scores of candidates by what is kept of their rows: int8 for all, float32 (or half floats) for the best. */
#include "snapshot.h"

#include <math.h>

const aqe_segment *aqe_segment_of(const aqe_snapshot *snapshot, int32_t row)
{
    size_t low = 0, high = snapshot->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (snapshot->segments[middle].first <= row)
            low = middle + 1;
        else
            high = middle;
    }
    const aqe_segment *found = low ? snapshot->segments + low - 1 : NULL;
    return found && row - found->first < found->rows ? found : NULL;
}

/* The item of a row in a form, or -1. */
static ptrdiff_t item_of(const aqe_form *form, int32_t row)
{
    if (!form->values)
        return -1;
    ptrdiff_t item = form->slots ? form->slots[row] : row;
    return (size_t)item < form->count ? item : -1;
}

float aqe_grain_of(const aqe_snapshot *snapshot, int32_t row)
{
    const aqe_segment *segment = aqe_segment_of(snapshot, row);
    ptrdiff_t item = segment ? item_of(segment->forms + AQE_INT8, row - segment->first) : -1;
    const float *scales = segment ? segment->forms[AQE_INT8].scales : NULL;
    if (item < 0 || !scales)
        return 0;
    aqe_trust(&snapshot->guard, scales + item, sizeof *scales);
    return scales[item];
}

static const size_t WIDTHS[AQE_FORMS] = {4, 2, 1};

static void fetch(const aqe_search *search, int32_t row, int form_number)
{
    const aqe_segment *segment = aqe_segment_of(search->of, row);
    if (!segment)
        return;
    const aqe_form *form = segment->forms + form_number;
    ptrdiff_t item = item_of(form, row - segment->first);
    if (item < 0)
        return;
    size_t size = search->of->shape.dim * WIDTHS[form_number];
    const char *at = (const char *)form->values + (size_t)item * size;
    for (size_t i = 0; i < size; i += 64)
        AQE_FETCH(at + i);
}

/* The score by one form: a product, or minus a squared distance. */
static float score_by(const aqe_search *search, const aqe_form *form, int number, ptrdiff_t item)
{
    const aqe_funnel_path *path = search->of->path;
    size_t dim = search->of->shape.dim;
    const char *at = (const char *)form->values + (size_t)item * dim * WIDTHS[number];
    aqe_trust(&search->of->guard, at, dim * WIDTHS[number]);
    if (form->scales)
        aqe_trust(&search->of->guard, form->scales + item, sizeof *form->scales);
    float scale = form->scales ? form->scales[item] : 1;
    int l2 = search->of->shape.metric == AQE_L2;
    switch (number) {
    case AQE_F32:
        return l2 ? -path->l2(search->query, (const float *)at, dim) : path->dot(search->query, (const float *)at, dim);
    case AQE_F16:
        return l2 ? -path->l2_half(search->query, (const uint16_t *)at, scale, dim)
                  : scale * path->dot_half(search->query, (const uint16_t *)at, dim);
    default:
        return l2 ? -path->l2_int8(search->query, (const int8_t *)at, scale, dim)
                  : scale * path->dot_int8(search->query, (const int8_t *)at, dim);
    }
}

/* An estimate as a score: for l2 it ranks q.x - |x|^2 / 2 about the mean. */
static float as_score(const aqe_search *search, float estimate)
{
    return search->of->shape.metric == AQE_L2 ? 2 * estimate - search->constant : estimate;
}

/* Score by the first form from `form` to `end` that is kept; without one the estimate counts, which is `fresh` when it
   is still the scan's. */
static void score(const aqe_search *search, aqe_candidate *item, int form, int end, int fresh)
{
    const aqe_segment *segment = aqe_segment_of(search->of, item->row);
    for (; segment && form < end; form++) {
        ptrdiff_t at = item_of(segment->forms + form, item->row - segment->first);
        if (at >= 0) {
            item->estimate = score_by(search, segment->forms + form, form, at);
            break;
        }
    }
    if (form == end && fresh)
        item->estimate = as_score(search, item->estimate);
    if (isnan(item->estimate))
        item->estimate = -INFINITY;
}

/* Rows fetched before they are scored: a short form is scored sooner than memory answers. */
static size_t ahead_of(int form)
{
    return form == AQE_F32 ? 4 : 16;
}

static void score_all(const aqe_search *search, aqe_candidate *items, size_t count, int form, int end, int fresh)
{
    const size_t ahead = ahead_of(form);
    for (size_t i = 0; i < count && i < ahead; i++)
        fetch(search, items[i].row, form);
    for (size_t i = 0; i < count; i++) {
        if (i + ahead < count)
            fetch(search, items[i + ahead].row, form);
        score(search, items + i, form, end, fresh);
    }
}

void aqe_score_int8(const aqe_search *search, aqe_candidate *items, size_t count)
{
    score_all(search, items, count, search->of->direct ? AQE_F32 : AQE_INT8, AQE_FORMS, 1);
}

void aqe_score_exact(const aqe_search *search, aqe_candidate *items, size_t count)
{
    score_all(search, items, count, AQE_F32, AQE_FORMS, 1);
}

void aqe_score_again(const aqe_search *search, aqe_candidate *items, size_t count)
{
    score_all(search, items, count, AQE_F32, AQE_INT8, 0);
}
