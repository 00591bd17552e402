/* Answers requests for kernels on standard input, so that a path can be tried where no Python runs: `answer PATH`, or
   `answer` alone for the names of the paths that run here. A request is seven int64: the form, kind, metric, rows, n, k
   and how far from alignment its data is laid; then the query, the matrix (rows x n) and, for k, a mask of `rows` bytes.
   Each buffer is a block of its own of exactly its size, so that a sanitizer sees any access beyond it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"

enum { PAIR, WHOLE_PAIR, BYTE_COSINE, ROWS, TOPK, NORMALIZE, SOFTMAX };
typedef struct {
    int64_t form, kind, metric, rows, n, k, shift;
} request;

static char *laid(size_t size, size_t shift)
{
    char *block = malloc(size + shift + 1);
    if (!block || fread(block + shift, 1, size, stdin) != size)
        exit(3);
    return block;
}

static void tell(const void *answer, size_t size)
{
    if (fwrite(answer, 1, size, stdout) != size)
        exit(4);
}

static void one(const aqe_path *path, const request *r, const char *query, const char *matrix)
{
    double found;
    int64_t whole;
    if (r->form == WHOLE_PAIR) {
        whole = aqe_whole_pair(path, (aqe_metric)r->metric, query, matrix, (size_t)r->n);
        tell(&whole, sizeof whole);
        return;
    }
    found = r->form == PAIR ? aqe_pair(path, (aqe_kind)r->kind, (aqe_metric)r->metric, query, matrix, (size_t)r->n)
                            : aqe_byte_cosine(path, query, matrix, (size_t)r->n);
    tell(&found, sizeof found);
}

static void best(const aqe_path *path, const request *r, const char *query, const char *matrix, const char *mask)
{
    aqe_hit *hits = calloc((size_t)r->k + 1, sizeof *hits);
    int64_t count = hits ? (int64_t)aqe_topk(path, (aqe_kind)r->kind, (aqe_metric)r->metric, query, matrix,
                                             (size_t)r->rows, (size_t)r->n, (const unsigned char *)mask, (size_t)r->k, hits)
                         : -1;
    tell(&count, sizeof count);
    for (int64_t i = 0; i < count; i++) {
        tell(&hits[i].row, sizeof hits[i].row);
        tell(&hits[i].score, sizeof hits[i].score);
    }
    free(hits);
}

static void many(const aqe_path *path, const request *r, const char *query, const char *matrix)
{
    size_t rows = (size_t)r->rows, n = (size_t)r->n, each = r->kind >= AQE_I8 && r->metric != AQE_COSINE ? 8 : 4;
    size_t size = r->form == ROWS ? rows * each : rows * n * 4;
    char *out = malloc(size + 1);
    if (!out)
        exit(3);
    if (r->form == ROWS)
        aqe_rows(path, (aqe_kind)r->kind, (aqe_metric)r->metric, query, matrix, rows, n, out);
    else if (r->form == NORMALIZE)
        aqe_normalize(path, matrix, rows, n, out);
    else
        for (size_t row = 0; row < rows; row++)
            path->softmax(matrix + row * n * 4, out + row * n * 4, n);
    tell(out, size);
    free(out);
}

static void answer(const aqe_path *path, const request *r)
{
    size_t row = (size_t)r->n * aqe_item_size((aqe_kind)r->kind), shift = (size_t)r->shift;
    char *query = laid(row, shift), *matrix = laid(row * (size_t)r->rows, shift);
    char *mask = r->form == TOPK ? laid((size_t)r->rows, 0) : NULL;
    if (r->form <= BYTE_COSINE)
        one(path, r, query + shift, matrix + shift);
    else if (r->form == TOPK)
        best(path, r, query + shift, matrix + shift, mask);
    else
        many(path, r, query + shift, matrix + shift);
    free(query);
    free(matrix);
    free(mask);
}

int main(int count, char **words)
{
    const aqe_path *path;
    request r;
    for (size_t i = 0; (path = aqe_path_at(i)); i++)
        if (count < 2)
            puts(aqe_isa_name(path->isa));
        else if (!strcmp(words[1], aqe_isa_name(path->isa)))
            break;
    if (count < 2)
        return 0;
    if (!path)
        return 2;
    while (fread(&r, sizeof r, 1, stdin) == 1)
        answer(path, &r);
    return 0;
}
