/* BM25 of rows that another index lists for each term, and the best of them in some groups. Scores are FTS5's, operation
   by operation. */
#ifndef AQE_LISTED_H
#define AQE_LISTED_H

#include <stddef.h>
#include <stdint.h>

#define AQE_NO_LIST SIZE_MAX

typedef struct {
    int64_t *rows;
    double *parts; /* how often the term stands in each row, then what that adds to the row's score */
    size_t count, at;
} aqe_list;

typedef struct {
    const int32_t *lengths; /* of each row in terms; 0 where that is not known */
    size_t known;
    double documents, mean, k1, b;
} aqe_measure;

/* Read row numbers with commas between, rising, each as often as the term stands there, into a list with room for
   `size / 2 + 1` rows. AQE_NO_LIST where the text is something else. */
size_t aqe_read_list(aqe_list *list, const char *text, size_t size);

/* Turn how often a term stands in its rows into what it adds. The rows whose length is not known go into `unknown`;
   returns how many. */
size_t aqe_weigh_list(aqe_list *list, const aqe_measure *measure, int64_t *unknown);

/* Each row of the lists once, in order, with the sum of its parts in the order of the lists; returns how many. */
size_t aqe_sum_lists(aqe_list *lists, size_t count, int64_t *rows, double *scores);

typedef struct {
    double score;
    int64_t row;
} aqe_scored;

typedef struct {
    const int64_t *rows; /* rising */
    const double *scores;
    const int32_t *groups; /* of each of the rows */
    const uint8_t *among;  /* by group, whether its rows count; NULL: all do */
    size_t count, among_count;
} aqe_choice;

/* The `k` best rows into `best`, best first, of equals the lowest; returns how many. */
size_t aqe_choose(const aqe_choice *choice, size_t k, aqe_scored *best);

#endif
