/* Texts as stems, stems as rows of a table, rows as a vector: the rules stand in _tokeniser.py, the twin of this. */
#ifndef AQE_TOKENISE_H
#define AQE_TOKENISE_H

#include <stddef.h>
#include <stdint.h>

#include "dispatch.h"

enum { AQE_LONGEST = 64 }; /* bytes of a word that count */

typedef struct {
    const unsigned char *start;
    size_t size;
} aqe_text;

/* Write the next stem of `text` from *place on and move *place past its word; returns its bytes, 0 at the end. */
size_t aqe_next_stem(aqe_text text, size_t *place, unsigned char stem[AQE_LONGEST]);

/* Stems with their rows: an open-addressing hash over copies of their bytes. Never changes once made, so threads share
   it. `seed` makes the order of its slots a secret, so that nobody can write a text whose stems all collide. */
typedef struct aqe_vocabulary aqe_vocabulary;

/* NULL where memory ends. words[i] (1 to AQE_LONGEST bytes, all distinct) gets row i; count + buckets < 2**31. */
aqe_vocabulary *aqe_vocabulary_new(const aqe_text *words, size_t count, uint32_t buckets, uint64_t seed);
void aqe_vocabulary_free(aqe_vocabulary *vocabulary);
size_t aqe_vocabulary_rows(const aqe_vocabulary *vocabulary);

/* A row that a text stands for, and its weight. */
typedef struct {
    int32_t row;
    double weight;
} aqe_share;

/* Room to work in, used for one text after the other by one thread; after a fill, `shares` holds `count` of them. */
typedef struct aqe_bag aqe_bag;
aqe_bag *aqe_bag_new(const aqe_vocabulary *vocabulary);
void aqe_bag_free(aqe_bag *bag);
const aqe_share *aqe_bag_shares(const aqe_bag *bag, size_t *count);

/* Fill the bag with what `text` stands for; -1 where memory ends. */
int aqe_bag_fill(aqe_bag *bag, aqe_text text, double k);

/* The table behind a vocabulary: int8 rows of `dimension` items, and a float32 for each that its items are times. */
typedef struct {
    const signed char *rows;
    const void *scales;
    size_t dimension;
} aqe_table;

/* Write the unit vector of each text into `out` (count x dimension float32, at any address); zeros for a text of no known
   row. -1 where memory ends. */
int aqe_embed(const aqe_path *path, const aqe_vocabulary *vocabulary, const aqe_table *table, const aqe_text *texts,
              size_t count, double k, void *out);

#endif
