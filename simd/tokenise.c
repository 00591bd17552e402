/* Words, stems and bags of rows. Nothing here knows Python; every loop is bounded by the sizes that it is given. */
#include "tokenise.h"

#include <stdlib.h>
#include <string.h>

enum kind { SEPARATOR, LOWER, UPPER, DIGIT };
enum { GRAM = 4 };

static enum kind kind_of(unsigned char byte)
{
    if ((byte >= 'a' && byte <= 'z') || byte >= 0x80)
        return LOWER;
    if (byte >= 'A' && byte <= 'Z')
        return UPPER;
    return byte >= '0' && byte <= '9' ? DIGIT : SEPARATOR;
}

static size_t run_end(aqe_text text, size_t place, enum kind kind)
{
    while (place < text.size && kind_of(text.start[place]) == kind)
        place++;
    return place;
}

/* Where the word that begins at `start`, which is no separator, ends. */
static size_t word_end(aqe_text text, size_t start)
{
    enum kind kind = kind_of(text.start[start]);
    size_t end = run_end(text, start, kind);
    if (kind != UPPER || end == text.size || kind_of(text.start[end]) != LOWER)
        return end;
    return end - start == 1 ? run_end(text, end, LOWER) : end - 1;
}

static int ends_with(const unsigned char *word, size_t size, const char *ending)
{
    size_t length = strlen(ending);
    return size >= length && memcmp(word + size - length, ending, length) == 0;
}

static int has_vowel(const unsigned char *word, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (word[i] && strchr("aeiouy", word[i]))
            return 1;
    return 0;
}

static size_t singular(unsigned char *word, size_t size)
{
    if (size < 4 || word[size - 1] != 's')
        return size;
    if (size >= 5 && ends_with(word, size, "ies")) {
        word[size - 3] = 'y';
        return size - 2;
    }
    if (ends_with(word, size, "sses"))
        return size - 2;
    return strchr("sui", word[size - 2]) && word[size - 2] ? size : size - 1;
}

static size_t undoubled(const unsigned char *word, size_t size)
{
    int doubled = size >= 4 && word[size - 1] == word[size - 2] && strchr("bcdfghjkmnpqrtvwx", word[size - 1]);
    return doubled ? size - 1 : size;
}

static size_t without_ending(unsigned char *word, size_t size)
{
    if (size >= 5 && ends_with(word, size, "ied")) {
        word[size - 3] = 'y';
        return size - 2;
    }
    if (size >= 6 && ends_with(word, size, "ing") && has_vowel(word, size - 3))
        return undoubled(word, size - 3);
    if (size >= 5 && ends_with(word, size, "ed") && word[size - 3] != 'e' && has_vowel(word, size - 2))
        return undoubled(word, size - 2);
    if (size >= 7 && (ends_with(word, size, "sion") || ends_with(word, size, "tion")))
        return size - 3;
    if (size >= 6 && ends_with(word, size, "ly") && word[size - 3] != 'b' && word[size - 3] != 'p')
        return size - 2;
    return size;
}

static size_t stem_in_place(unsigned char *word, size_t size)
{
    size = without_ending(word, singular(word, size));
    return size >= 4 && word[size - 1] == 'e' && word[size - 2] != 'e' ? size - 1 : size;
}

size_t aqe_next_stem(aqe_text text, size_t *place, unsigned char stem[AQE_LONGEST])
{
    size_t start = run_end(text, *place, SEPARATOR);
    if (start == text.size) {
        *place = start;
        return 0;
    }
    size_t end = *place = word_end(text, start);
    size_t size = end - start < AQE_LONGEST ? end - start : AQE_LONGEST;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = text.start[start + i];
        stem[i] = byte >= 'A' && byte <= 'Z' ? (unsigned char)(byte + ('a' - 'A')) : byte;
    }
    return stem_in_place(stem, size);
}

static uint64_t hash_of(uint64_t seed, const unsigned char *bytes, size_t size)
{
    uint64_t hash = seed ^ size;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t chunk = 0;
        memcpy(&chunk, bytes + at, size - at < 8 ? size - at : 8);
        hash = (hash ^ chunk) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    hash *= 0xBF58476D1CE4E5B9u;
    return hash ^ hash >> 32;
}

typedef struct {
    uint32_t hash; /* low half */
    int32_t row;   /* -1: free */
} slot;

struct aqe_vocabulary {
    size_t words, mask;
    uint32_t buckets;
    uint64_t seed;
    slot *slots;
    size_t *starts; /* words + 1 of them, into bytes */
    unsigned char *bytes;
    uint32_t crc[256];
};

static void fill_crc(uint32_t table[256])
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0xEDB88320u : 0);
        table[byte] = value;
    }
}

static uint32_t crc_of(const uint32_t table[256], const unsigned char *bytes, size_t size)
{
    uint32_t value = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++)
        value = value >> 8 ^ table[(value ^ bytes[i]) & 0xFF];
    return ~value;
}

void aqe_vocabulary_free(aqe_vocabulary *vocabulary)
{
    if (!vocabulary)
        return;
    free(vocabulary->slots);
    free(vocabulary->starts);
    free(vocabulary->bytes);
    free(vocabulary);
}

size_t aqe_vocabulary_rows(const aqe_vocabulary *vocabulary)
{
    return vocabulary->words + vocabulary->buckets;
}

static void place_word(aqe_vocabulary *vocabulary, size_t row)
{
    size_t start = vocabulary->starts[row];
    uint64_t hash = hash_of(vocabulary->seed, vocabulary->bytes + start, vocabulary->starts[row + 1] - start);
    size_t at = hash & vocabulary->mask;
    while (vocabulary->slots[at].row >= 0)
        at = (at + 1) & vocabulary->mask;
    vocabulary->slots[at] = (slot){(uint32_t)hash, (int32_t)row};
}

aqe_vocabulary *aqe_vocabulary_new(const aqe_text *words, size_t count, uint32_t buckets, uint64_t seed)
{
    aqe_vocabulary *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    size_t room = 16, bytes = 0;
    while (room < 2 * count)
        room *= 2;
    for (size_t i = 0; i < count; i++)
        bytes += words[i].size;
    made->words = count;
    made->mask = room - 1;
    made->buckets = buckets;
    made->seed = seed;
    made->slots = malloc(room * sizeof *made->slots);
    made->starts = malloc((count + 1) * sizeof *made->starts);
    made->bytes = malloc(bytes + 1);
    if (!made->slots || !made->starts || !made->bytes) {
        aqe_vocabulary_free(made);
        return NULL;
    }
    fill_crc(made->crc);
    for (size_t at = 0; at < room; at++)
        made->slots[at] = (slot){0, -1};
    made->starts[0] = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(made->bytes + made->starts[i], words[i].start, words[i].size);
        made->starts[i + 1] = made->starts[i] + words[i].size;
        place_word(made, i);
    }
    return made;
}

/* The row of a stem, -1 where it is none of the words. */
static int32_t find_row(const aqe_vocabulary *vocabulary, const unsigned char *stem, size_t size, uint64_t hash)
{
    for (size_t at = hash & vocabulary->mask; vocabulary->slots[at].row >= 0; at = (at + 1) & vocabulary->mask) {
        slot found = vocabulary->slots[at];
        size_t start = vocabulary->starts[found.row];
        if (found.hash == (uint32_t)hash && vocabulary->starts[found.row + 1] - start == size
            && memcmp(vocabulary->bytes + start, stem, size) == 0)
            return found.row;
    }
    return -1;
}

/* A distinct stem of the text: its row, or where it has none its bytes in the pool. */
typedef struct {
    uint64_t hash;
    size_t times, slot, start;
    int32_t row;
    unsigned char size;
} entry;

struct aqe_bag {
    const aqe_vocabulary *vocabulary;
    uint32_t *slots; /* number of an entry + 1; 0: free */
    entry *entries;
    aqe_share *shares;
    unsigned char *pool;
    size_t mask, used, entry_room, pooled, pool_room, count, share_room;
};

aqe_bag *aqe_bag_new(const aqe_vocabulary *vocabulary)
{
    enum { ROOM = 128 };
    aqe_bag *bag = calloc(1, sizeof *bag);
    if (!bag)
        return NULL;
    bag->vocabulary = vocabulary;
    bag->slots = calloc(ROOM, sizeof *bag->slots);
    bag->mask = ROOM - 1;
    if (bag->slots)
        return bag;
    free(bag);
    return NULL;
}

void aqe_bag_free(aqe_bag *bag)
{
    if (!bag)
        return;
    free(bag->slots);
    free(bag->entries);
    free(bag->shares);
    free(bag->pool);
    free(bag);
}

const aqe_share *aqe_bag_shares(const aqe_bag *bag, size_t *count)
{
    *count = bag->count;
    return bag->shares;
}

/* `block` with room for `wanted` items of `size` bytes, moved where needed; NULL where memory ends: then it stands. */
static void *with_room(void *block, size_t *room, size_t wanted, size_t size)
{
    if (wanted <= *room)
        return block;
    size_t more = *room < 64 ? 64 : *room;
    while (more < wanted)
        more *= 2;
    void *moved = realloc(block, more * size);
    if (moved)
        *room = more;
    return moved;
}

static size_t free_slot(const aqe_bag *bag, uint64_t hash)
{
    size_t at = hash & bag->mask;
    while (bag->slots[at])
        at = (at + 1) & bag->mask;
    return at;
}

static int widen(aqe_bag *bag)
{
    uint32_t *wider = calloc(2 * (bag->mask + 1), sizeof *wider);
    if (!wider)
        return -1;
    free(bag->slots);
    bag->slots = wider;
    bag->mask = 2 * bag->mask + 1;
    for (size_t i = 0; i < bag->used; i++) {
        bag->entries[i].slot = free_slot(bag, bag->entries[i].hash);
        bag->slots[bag->entries[i].slot] = (uint32_t)i + 1;
    }
    return 0;
}

static void empty(aqe_bag *bag)
{
    for (size_t i = 0; i < bag->used; i++)
        bag->slots[bag->entries[i].slot] = 0;
    bag->used = bag->pooled = bag->count = 0;
}

static int is_same(const aqe_bag *bag, const entry *known, int32_t row, const unsigned char *stem, size_t size,
                   uint64_t hash)
{
    if (known->hash != hash || known->row != row)
        return 0;
    return row >= 0 || (known->size == size && memcmp(bag->pool + known->start, stem, size) == 0);
}

static int add_stem(aqe_bag *bag, const unsigned char *stem, size_t size)
{
    uint64_t hash = hash_of(bag->vocabulary->seed, stem, size);
    int32_t row = find_row(bag->vocabulary, stem, size, hash);
    if (row < 0 && !bag->vocabulary->buckets)
        return 0;
    for (size_t at = hash & bag->mask; bag->slots[at]; at = (at + 1) & bag->mask) {
        entry *known = bag->entries + bag->slots[at] - 1;
        if (is_same(bag, known, row, stem, size, hash)) {
            known->times++;
            return 0;
        }
    }
    if (bag->used >= UINT32_MAX - 1 || (2 * (bag->used + 1) > bag->mask && widen(bag) < 0))
        return -1;
    entry *entries = with_room(bag->entries, &bag->entry_room, bag->used + 1, sizeof *entries);
    if (!entries)
        return -1;
    bag->entries = entries;
    entry fresh = {hash, 1, free_slot(bag, hash), bag->pooled, row, (unsigned char)size};
    if (row < 0) {
        unsigned char *pool = with_room(bag->pool, &bag->pool_room, bag->pooled + size, 1);
        if (!pool)
            return -1;
        bag->pool = pool;
        memcpy(bag->pool + bag->pooled, stem, size);
        bag->pooled += size;
    }
    bag->entries[bag->used++] = fresh;
    bag->slots[fresh.slot] = (uint32_t)bag->used;
    return 0;
}

static int add_shares(aqe_bag *bag, const entry *stem, double weight)
{
    const aqe_vocabulary *vocabulary = bag->vocabulary;
    unsigned char padded[AQE_LONGEST + 2];
    size_t grams = stem->row >= 0 || stem->size + 2 <= GRAM ? 1 : (size_t)stem->size + 2 - GRAM + 1;
    aqe_share *shares = with_room(bag->shares, &bag->share_room, bag->count + grams, sizeof *shares);
    if (!shares)
        return -1;
    bag->shares = shares;
    if (stem->row >= 0) {
        bag->shares[bag->count++] = (aqe_share){stem->row, weight};
        return 0;
    }
    padded[0] = '<';
    memcpy(padded + 1, bag->pool + stem->start, stem->size);
    padded[stem->size + 1] = '>';
    size_t size = stem->size + 2 < GRAM ? (size_t)stem->size + 2 : GRAM;
    for (size_t i = 0; i < grams; i++) {
        uint32_t bucket = crc_of(vocabulary->crc, padded + i, size) % vocabulary->buckets;
        bag->shares[bag->count++] = (aqe_share){(int32_t)(vocabulary->words + bucket), weight / (double)grams};
    }
    return 0;
}

int aqe_bag_fill(aqe_bag *bag, aqe_text text, double k)
{
    unsigned char stem[AQE_LONGEST];
    size_t place = 0, size;
    empty(bag);
    while ((size = aqe_next_stem(text, &place, stem)))
        if (add_stem(bag, stem, size) < 0)
            return -1;
    for (size_t i = 0; i < bag->used; i++) {
        double times = (double)bag->entries[i].times;
        if (add_shares(bag, bag->entries + i, times * (k + 1) / (times + k)) < 0)
            return -1;
    }
    return 0;
}
