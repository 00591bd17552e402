/* The log-odds of a text by a linear model over what it is made of and over its words: the rules stand in _odds.py. */
#ifndef AQE_ODDS_H
#define AQE_ODDS_H

#include "tokenise.h"

enum { AQE_FEATURES = 16 };

/* What a feature adds: weight * (its value, held between least and most, - mean) / deviation. */
typedef struct {
    double weight, mean, deviation, least, most;
} aqe_feature;

/* What a word adds: weight * rarity * (1 + log(its count)), before all words are divided by their norm. */
typedef struct {
    double weight, rarity;
} aqe_word;

/* Never changes once made, so threads share it. `seed` as in aqe_vocabulary_new. */
typedef struct aqe_odds aqe_odds;

/* NULL where memory ends. words[i] (at least 1 byte, all distinct) weighs weighed[i]; both are copied. */
aqe_odds *aqe_odds_new(double bias, const aqe_feature features[AQE_FEATURES], const aqe_text *words,
                       const aqe_word *weighed, size_t count, uint64_t seed);
void aqe_odds_free(aqe_odds *odds);

/* What is known of a word, NULL where it is none of the words. */
const aqe_word *aqe_odds_word(const aqe_odds *odds, aqe_text word);

/* The log-odds of `text`, the beginning of one of `length` characters, all of it ASCII; -1 where memory ends. */
int aqe_odds_of(const aqe_odds *odds, aqe_text text, size_t length, double *answer);

#endif
