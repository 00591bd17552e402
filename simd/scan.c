/* The scan for the best k rows of a matrix, some rows at a time, with a heap of what was best so far. */
#include "heap.h"

/* The rows that the mask allows, some at a time, in order: their numbers and places, `filled` of them, and which of them
   come next. */
enum { WINDOW = 64 };
typedef struct {
    const char *matrix;
    size_t rows, stride, next;
    const unsigned char *mask;
    const void *place[WINDOW + AQE_MOST_AHEAD];
    size_t row[WINDOW + AQE_MOST_AHEAD], filled, at;
} table;

/* Fill the places behind the rows that are left; past the end the last row fills those that will be asked for. */
static void fill(table *from)
{
    size_t left = from->filled - from->at;
    for (size_t i = 0; i < left; i++) {
        from->row[i] = from->row[from->at + i];
        from->place[i] = from->place[from->at + i];
    }
    for (; left < WINDOW && from->next < from->rows; from->next++)
        if (!from->mask || from->mask[from->next]) {
            from->row[left] = from->next;
            from->place[left++] = from->matrix + from->next * from->stride;
        }
    from->filled = left;
    from->at = 0;
    for (size_t i = left; left && i < left + AQE_MOST_AHEAD; i++)
        from->place[i] = from->place[left - 1];
}

/* The next rows, none at the end. The rows that will be asked for are known, but at the end. */
static aqe_run next_run(table *from, size_t ahead)
{
    if (from->filled - from->at < AQE_RUN + ahead && from->next < from->rows)
        fill(from);
    size_t left = from->filled - from->at;
    return (aqe_run){from->place + from->at, left < AQE_RUN ? left : AQE_RUN, ahead};
}

static size_t scan(const aqe_query *query, table *from, size_t k, aqe_hit *hits)
{
    float sign = query->metric == AQE_L2 ? -1.0f : 1.0f, scores[AQE_RUN];
    size_t ahead = aqe_ahead(from->stride);
    aqe_best found = {hits, 0, k};
    for (aqe_run now = next_run(from, ahead); k && now.count; now = next_run(from, ahead)) {
        aqe_each(query, &now, scores);
        for (size_t i = 0; i < now.count; i++, from->at++)
            aqe_offer(&found, (aqe_hit){sign * scores[i], (int64_t)from->row[from->at]});
    }
    aqe_rank(&found);
    for (size_t i = 0; i < found.held; i++)
        hits[i].score = sign * hits[i].score;
    return found.held;
}

ptrdiff_t aqe_topk(const aqe_path *path, aqe_kind kind, aqe_metric metric, const void *query, const void *matrix,
                   size_t rows, size_t n, const unsigned char *mask, size_t k, aqe_hit *hits)
{
    if ((int)kind >= AQE_FLOAT_KINDS)
        return (ptrdiff_t)aqe_whole_topk(path, metric, query, matrix, rows, n, mask, k, hits);
    table from = {.matrix = matrix, .rows = rows, .stride = n * aqe_item_size(kind), .mask = mask};
    aqe_query asked;
    if (aqe_query_open(&asked, path, kind, metric, query, n) < 0)
        return -1;
    ptrdiff_t found = (ptrdiff_t)scan(&asked, &from, k, hits);
    aqe_query_close(&asked);
    return found;
}
