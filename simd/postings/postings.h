/* BM25 postings in memory: for each term the documents that it stands in, in the order in which they were added.

   A posting is one word, document << 8 | frequency; a frequency of 255 or more stands in a list of the term's own.
   Documents are numbered as they come, so adding appends to lists and nothing else; a deleted one is dropped from a list
   when that list is next looked at. No function takes a lock or knows of Python: the caller sees to it that one works
   on an index at a time. */
#ifndef AQE_POSTINGS_H
#define AQE_POSTINGS_H

#include <stddef.h>
#include <stdint.h>

#define AQE_DOCUMENTS (1u << 24) /* so many numbers fit into a posting */
#define AQE_NONE UINT32_MAX
#define AQE_ESCAPE 255u
#define AQE_TABLE 4096u /* lengths whose share in the formula is looked up instead of computed */

#ifdef __GNUC__
#define AQE_FETCH(address) __builtin_prefetch(address)
#else
#define AQE_FETCH(address) ((void)(address))
#endif

/* The place of the lowest bit of a word that has one. */
static inline unsigned aqe_lowest_bit(uint64_t bits)
{
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzll(bits);
#else
    unsigned place = 0;
    while (!(bits >> place & 1))
        place++;
    return place;
#endif
}

typedef struct {
    uint32_t document, frequency;
} aqe_often;

typedef struct {
    uint32_t count, room;
    aqe_often at[];
} aqe_oftens;

typedef struct {
    uint32_t *words;
    aqe_oftens *often;
    size_t name;           /* where its bytes begin in `names` */
    uint32_t name_size;
    uint32_t count, room;  /* postings, those of deleted documents included until the list is fresh */
    uint32_t epoch;        /* of the index when the list was last fresh */
    uint32_t most;         /* the highest frequency of a fresh list */
    uint32_t least, longest; /* its shortest and its longest document */
} aqe_term;

typedef struct {
    double k1, b;
    uint64_t seed;

    aqe_term *terms;
    uint32_t *term_slots; /* open addressing; AQE_NONE is free */
    char *names;
    size_t names_size, names_room;
    uint32_t term_count, term_room, term_mask;

    int64_t *ids;
    uint32_t *lengths;
    uint32_t *groups;
    uint8_t *alive;
    uint32_t *id_slots;
    uint32_t count, room, id_mask; /* documents, deleted ones included until they are squeezed out */

    uint32_t live, epoch;
    uint64_t tokens; /* of the live documents */
    double norms[AQE_TABLE];
    double norms_for; /* the mean length that `norms` holds for */
} aqe_postings;

typedef struct {
    double score;
    int64_t id;
} aqe_found;

/* What may be found: `groups[g]` for each group below `group_count`, others not (NULL: all); `allowed[d]` for each
   document (NULL: all). */
typedef struct {
    const uint8_t *groups, *allowed;
    size_t group_count;
} aqe_allow;

static inline int aqe_is_in(const aqe_postings *index, uint32_t document, const uint8_t *groups, size_t group_count)
{
    uint32_t group = index->groups[document];
    return group < group_count && groups[group];
}

/* Each returns 0, or -1 where memory is out (aqe_extend: 1 where a document is unknown or out of order, 2 where
   one would have more than UINT32_MAX terms; then nothing changed). */
int aqe_prepare(aqe_postings *index, double k1, double b, uint64_t seed);
void aqe_discard(aqe_postings *index);
int aqe_add_document(aqe_postings *index, int64_t id, uint32_t group, const char *text, size_t size);
int aqe_extend(aqe_postings *index, const char *name, size_t size, const int64_t *ids, const uint32_t *frequencies,
               size_t count);
int aqe_delete_document(aqe_postings *index, int64_t id); /* 1 where it was there */
int aqe_squeeze(aqe_postings *index, int always);          /* drops what is deleted once it is more than half */

uint32_t aqe_find_document(const aqe_postings *index, int64_t id);
void aqe_find_documents(const aqe_postings *index, const int64_t *ids, size_t count, uint32_t *documents);
uint32_t aqe_find_term(const aqe_postings *index, const char *name, size_t size);
uint32_t aqe_refresh(aqe_postings *index, uint32_t term); /* the live documents of a term */
uint32_t aqe_count_in(const aqe_postings *index, uint32_t term, const uint8_t *groups, size_t group_count); /* fresh */
uint32_t aqe_frequency(const aqe_term *term, uint32_t word);
size_t aqe_bytes(const aqe_postings *index);

/* The formula of SQLite's FTS5, operation by operation, so that both give the same bits. */
double aqe_weight(const aqe_postings *index, uint32_t documents);
double aqe_impact(const aqe_postings *index, const aqe_term *term, uint32_t word, double weight);
void aqe_fill_norms(aqe_postings *index);
/* The same for `count` postings without an escape whose documents are shorter than AQE_TABLE. */
void aqe_impacts(const aqe_postings *index, const uint32_t *words, size_t count, double weight, double *out);

/* The best k live documents for `terms` (in the order in which their parts are added), best first, equals by id; returns
   how many, -1 where memory is out. */
ptrdiff_t aqe_rank(aqe_postings *index, const uint32_t *terms, size_t term_count, size_t k, const aqe_allow *allow,
                   aqe_found *found);
/* The same where aqe_are_few() says so; `found` has room for k. Writes the scores of the documents that are named too. */
typedef struct {
    const uint32_t *documents; /* AQE_NONE: one that is not there */
    double *scores;
    size_t count;
} aqe_named;
int aqe_are_few(aqe_postings *index, const uint32_t *terms, size_t term_count);
ptrdiff_t aqe_rank_few(aqe_postings *index, const uint32_t *terms, size_t term_count, size_t k, const aqe_allow *allow,
                       const aqe_named *named, aqe_found *found);
/* The score of each of some documents, 0 where no term stands in it. */
void aqe_score(aqe_postings *index, const uint32_t *terms, size_t term_count, const int64_t *ids, size_t count,
               double *scores);

#endif
