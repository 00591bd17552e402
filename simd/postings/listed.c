#include "listed.h"

#include <math.h>
#include <stdlib.h>

enum { DIGITS = 18 }; /* so many fit into 64 bits whatever they are */

size_t aqe_read_list(aqe_list *list, const char *text, size_t size)
{
    size_t count = 0;
    int64_t row = 0;
    int digits = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';
        int ends = i + 1 == size;
        if (digit < 10 && digits < DIGITS) {
            row = 10 * row + (int64_t)digit;
            digits++;
        } else if (text[i] != ',' || ends) {
            return AQE_NO_LIST;
        }
        if (digit < 10 && !ends)
            continue;
        if (!digits || (count && row < list->rows[count - 1]))
            return AQE_NO_LIST;
        if (count && row == list->rows[count - 1]) {
            list->parts[count - 1] += 1.0;
        } else {
            list->rows[count] = row;
            list->parts[count++] = 1.0;
        }
        row = 0;
        digits = 0;
    }
    list->count = count;
    list->at = 0;
    return count;
}

size_t aqe_weigh_list(aqe_list *list, const aqe_measure *measure, int64_t *unknown)
{
    const double up = measure->k1 + 1.0;
    double weight = log((measure->documents - (double)list->count + 0.5) / ((double)list->count + 0.5));
    size_t missing = 0;
    if (!(weight > 0.0))
        weight = 1e-6; /* FTS5's floor */
    for (size_t i = 0; i < list->count; i++) {
        uint64_t row = (uint64_t)list->rows[i];
        int32_t length = row < measure->known ? measure->lengths[row] : 0;
        if (length <= 0) {
            unknown[missing++] = list->rows[i];
            continue;
        }
        double share = measure->b * length / measure->mean; /* parted, so that no compiler fuses what is rounded twice */
        double norm = measure->k1 * (1 - measure->b + share);
        list->parts[i] = weight * (list->parts[i] * up / (list->parts[i] + norm));
    }
    return missing;
}

size_t aqe_sum_lists(aqe_list *lists, size_t count, int64_t *rows, double *scores)
{
    size_t made = 0;
    for (;; made++) {
        int64_t row = INT64_MAX;
        double sum = 0.0;
        for (size_t i = 0; i < count; i++)
            if (lists[i].at < lists[i].count && lists[i].rows[lists[i].at] < row)
                row = lists[i].rows[lists[i].at];
        if (row == INT64_MAX)
            return made;
        for (size_t i = 0; i < count; i++)
            if (lists[i].at < lists[i].count && lists[i].rows[lists[i].at] == row)
                sum += lists[i].parts[lists[i].at++];
        rows[made] = row;
        scores[made] = sum;
    }
}

static int is_better(aqe_scored a, aqe_scored b)
{
    return a.score > b.score || (a.score == b.score && a.row < b.row);
}

/* Put one where the worst of a heap stood. */
static void sink(aqe_scored *heap, size_t count, aqe_scored one)
{
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_better(heap[child], heap[child + 1]))
            child++;
        if (is_better(heap[child], one))
            break;
        heap[at] = heap[child];
    }
    heap[at] = one;
}

static int by_place(const void *a, const void *b)
{
    return is_better(*(const aqe_scored *)b, *(const aqe_scored *)a) ? 1 : -1;
}

static int counts(const aqe_choice *choice, size_t i)
{
    uint32_t group = choice->among ? (uint32_t)choice->groups[i] : 0;
    return !choice->among || (group < choice->among_count && choice->among[group]);
}

size_t aqe_choose(const aqe_choice *choice, size_t k, aqe_scored *best)
{
    size_t made = 0;
    for (size_t i = 0; i < choice->count; i++) {
        if ((made == k && !(choice->scores[i] > best[0].score)) || !counts(choice, i))
            continue;
        aqe_scored one = {choice->scores[i], choice->rows[i]};
        if (made == k) {
            sink(best, k, one);
            continue;
        }
        size_t at = made++;
        for (; at && is_better(best[(at - 1) / 2], one); at = (at - 1) / 2)
            best[at] = best[(at - 1) / 2];
        best[at] = one;
    }
    qsort(best, made, sizeof *best, by_place);
    return made;
}
