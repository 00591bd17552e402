/* The lists and the tables that lead to them: adding, deleting, finding. */
#include "postings.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 64u

static uint64_t mixed(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static uint64_t hash_of(uint64_t seed, const char *name, size_t size)
{
    uint64_t hash = seed ^ size * 0x9e3779b97f4a7c15u, part;
    for (; size > 8; size -= 8, name += 8) {
        memcpy(&part, name, 8);
        hash = mixed(hash ^ part);
    }
    part = 0;
    memcpy(&part, name, size);
    return mixed(hash ^ part);
}

/* Room for one more of `size` bytes behind `count`; the new room is in *room. */
static int grow(void **items, uint32_t count, uint32_t *room, size_t size, uint32_t first)
{
    if (count < *room)
        return 0;
    uint32_t wanted = *room < first ? first : *room + *room / 2 + 1;
    void *grown = realloc(*items, wanted * size);
    if (!grown)
        return -1;
    *items = grown;
    *room = wanted;
    return 0;
}

static uint32_t *empty_slots(uint32_t slots)
{
    uint32_t *made = malloc(slots * sizeof *made);
    if (made)
        memset(made, 0xff, slots * sizeof *made);
    return made;
}

int aqe_prepare(aqe_postings *index, double k1, double b, uint64_t seed)
{
    memset(index, 0, sizeof *index);
    index->k1 = k1;
    index->b = b;
    index->seed = seed;
    index->term_slots = empty_slots(FIRST_SLOTS);
    index->id_slots = empty_slots(FIRST_SLOTS);
    index->term_mask = index->id_mask = FIRST_SLOTS - 1;
    return index->term_slots && index->id_slots ? 0 : -1;
}

void aqe_discard(aqe_postings *index)
{
    for (uint32_t i = 0; i < index->term_count; i++) {
        free(index->terms[i].words);
        free(index->terms[i].often);
    }
    free(index->terms);
    free(index->term_slots);
    free(index->names);
    free(index->ids);
    free(index->lengths);
    free(index->groups);
    free(index->alive);
    free(index->id_slots);
    memset(index, 0, sizeof *index);
}

/* The slot where a term is, or where it belongs. */
static uint32_t term_slot(const aqe_postings *index, const char *name, size_t size)
{
    uint32_t slot = (uint32_t)hash_of(index->seed, name, size) & index->term_mask;
    for (;; slot = (slot + 1) & index->term_mask) {
        uint32_t at = index->term_slots[slot];
        if (at == AQE_NONE)
            return slot;
        const aqe_term *term = &index->terms[at];
        if (term->name_size == size && memcmp(index->names + term->name, name, size) == 0)
            return slot;
    }
}

uint32_t aqe_find_term(const aqe_postings *index, const char *name, size_t size)
{
    return index->term_slots[term_slot(index, name, size)];
}

static uint32_t id_slot(const aqe_postings *index, int64_t id)
{
    uint32_t slot = (uint32_t)mixed((uint64_t)id ^ index->seed) & index->id_mask;
    while (index->id_slots[slot] != AQE_NONE && index->ids[index->id_slots[slot]] != id)
        slot = (slot + 1) & index->id_mask;
    return slot;
}

uint32_t aqe_find_document(const aqe_postings *index, int64_t id)
{
    uint32_t found = index->id_slots[id_slot(index, id)];
    return found != AQE_NONE && index->alive[found] ? found : AQE_NONE;
}

/* The same for many: what the search for one waits for is fetched while others are looked for. */
void aqe_find_documents(const aqe_postings *index, const int64_t *ids, size_t count, uint32_t *documents)
{
    for (size_t i = 0; i < count; i++)
        AQE_FETCH(index->id_slots + ((uint32_t)mixed((uint64_t)ids[i] ^ index->seed) & index->id_mask));
    for (size_t i = 0; i < count; i++)
        documents[i] = aqe_find_document(index, ids[i]);
}

static int slots_of_terms(aqe_postings *index, uint32_t slots)
{
    uint32_t *made = empty_slots(slots);
    if (!made)
        return -1;
    free(index->term_slots);
    index->term_slots = made;
    index->term_mask = slots - 1;
    for (uint32_t i = 0; i < index->term_count; i++) {
        const aqe_term *term = &index->terms[i];
        made[term_slot(index, index->names + term->name, term->name_size)] = i;
    }
    return 0;
}

static int slots_of_ids(aqe_postings *index, uint32_t slots)
{
    uint32_t *made = empty_slots(slots);
    if (!made)
        return -1;
    free(index->id_slots);
    index->id_slots = made;
    index->id_mask = slots - 1;
    for (uint32_t i = 0; i < index->count; i++) /* of documents with one id the last is the live one */
        made[id_slot(index, index->ids[i])] = i;
    return 0;
}

/* The number of a term, made where it is new; AQE_NONE where memory is out. */
static uint32_t term_of(aqe_postings *index, const char *name, size_t size)
{
    uint32_t slot = term_slot(index, name, size);
    if (index->term_slots[slot] != AQE_NONE)
        return index->term_slots[slot];
    if (index->names_size + size > index->names_room) {
        size_t room = index->names_room + index->names_room / 2 + size + 1024;
        char *names = realloc(index->names, room);
        if (!names)
            return AQE_NONE;
        index->names = names;
        index->names_room = room;
    }
    if (grow((void **)&index->terms, index->term_count, &index->term_room, sizeof *index->terms, 64) < 0)
        return AQE_NONE;
    memcpy(index->names + index->names_size, name, size);
    aqe_term made = {.name = index->names_size, .name_size = (uint32_t)size, .epoch = index->epoch, .least = UINT32_MAX};
    index->names_size += size;
    index->terms[index->term_count] = made;
    index->term_slots[slot] = index->term_count++;
    if (index->term_count > index->term_mask / 4 * 3 && slots_of_terms(index, 2 * (index->term_mask + 1)) < 0) {
        index->term_count--;
        index->term_slots[slot] = AQE_NONE;
        return AQE_NONE;
    }
    return index->term_count - 1;
}

static int remember_often(aqe_term *term, uint32_t document, uint32_t frequency)
{
    aqe_oftens *often = term->often;
    if (often && often->count && often->at[often->count - 1].document == document) {
        often->at[often->count - 1].frequency = frequency;
        return 0;
    }
    if (!often || often->count == often->room) {
        uint32_t count = often ? often->count : 0, room = count + count / 2 + 2;
        often = realloc(often, sizeof *often + room * sizeof *often->at);
        if (!often)
            return -1;
        often->count = count;
        often->room = room;
        term->often = often;
    }
    aqe_often made = {document, frequency};
    often->at[often->count++] = made;
    return 0;
}

uint32_t aqe_frequency(const aqe_term *term, uint32_t word)
{
    uint32_t document = word >> 8, frequency = word & AQE_ESCAPE;
    if (frequency != AQE_ESCAPE)
        return frequency;
    uint32_t low = 0, high = term->often->count;
    while (low + 1 < high) {
        uint32_t middle = (low + high) / 2;
        if (term->often->at[middle].document <= document)
            low = middle;
        else
            high = middle;
    }
    return term->often->at[low].frequency;
}

static void note_length(aqe_term *term, uint32_t length)
{
    term->least = length < term->least ? length : term->least;
    term->longest = length > term->longest ? length : term->longest;
}

/* Append a posting, or raise the frequency of the last one where it is of the same document. */
static int append(aqe_postings *index, uint32_t at, uint32_t document, uint32_t more)
{
    aqe_term *term = &index->terms[at];
    int is_last = term->count && term->words[term->count - 1] >> 8 == document;
    uint32_t frequency = more + (is_last ? aqe_frequency(term, term->words[term->count - 1]) : 0);
    if (!is_last) {
        if (grow((void **)&term->words, term->count, &term->room, sizeof *term->words, 2) < 0)
            return -1;
    }
    if (frequency >= AQE_ESCAPE && remember_often(term, document, frequency) < 0)
        return -1;
    term->count += !is_last;
    term->words[term->count - 1] = document << 8 | (frequency < AQE_ESCAPE ? frequency : AQE_ESCAPE);
    term->most = frequency > term->most ? frequency : term->most;
    note_length(term, index->lengths[document]);
    return 0;
}

static int room_for_document(aqe_postings *index)
{
    uint32_t room = index->room;
    if (grow((void **)&index->ids, index->count, &room, sizeof *index->ids, 64) < 0)
        return -1;
    room = index->room;
    if (grow((void **)&index->lengths, index->count, &room, sizeof *index->lengths, 64) < 0)
        return -1;
    room = index->room;
    if (grow((void **)&index->groups, index->count, &room, sizeof *index->groups, 64) < 0)
        return -1;
    room = index->room;
    if (grow((void **)&index->alive, index->count, &room, sizeof *index->alive, 64) < 0)
        return -1;
    index->room = room;
    return index->count < index->id_mask / 4 * 3 ? 0 : slots_of_ids(index, 2 * (index->id_mask + 1));
}

static size_t tokens_in(const char *text, size_t size)
{
    size_t tokens = 0;
    for (size_t i = 0; i < size; i++)
        tokens += text[i] != ' ' && (i == 0 || text[i - 1] == ' ');
    return tokens;
}

int aqe_add_document(aqe_postings *index, int64_t id, uint32_t group, const char *text, size_t size)
{
    aqe_delete_document(index, id);
    if (room_for_document(index) < 0)
        return -1;
    uint32_t document = index->count, length = (uint32_t)tokens_in(text, size);
    index->ids[document] = id;
    index->lengths[document] = length;
    index->groups[document] = group;
    index->alive[document] = 1;
    index->id_slots[id_slot(index, id)] = document;
    index->count++;
    index->live++;
    index->tokens += length;
    for (size_t start = 0, end; start < size; start = end + 1) {
        for (end = start; end < size && text[end] != ' '; end++)
            ;
        if (end == start)
            continue;
        uint32_t term = term_of(index, text + start, end - start);
        if (term == AQE_NONE || append(index, term, document, 1) < 0) {
            aqe_delete_document(index, id);
            return -1;
        }
    }
    return 0;
}

int aqe_extend(aqe_postings *index, const char *name, size_t size, const int64_t *ids, const uint32_t *frequencies,
               size_t count)
{
    uint32_t at = term_of(index, name, size);
    if (at == AQE_NONE)
        return -1;
    const aqe_term *term = &index->terms[at];
    int64_t before = term->count ? (int64_t)(term->words[term->count - 1] >> 8) : -1;
    for (size_t i = 0; i < count; i++) {
        uint32_t document = aqe_find_document(index, ids[i]);
        if (document == AQE_NONE || (int64_t)document <= before)
            return 1;
        if (frequencies[i] > UINT32_MAX - index->lengths[document])
            return 2;
        before = document;
    }
    index->epoch++; /* documents get longer: no list's bounds hold any more */
    for (size_t i = 0; i < count; i++) {
        uint32_t document = aqe_find_document(index, ids[i]);
        index->lengths[document] += frequencies[i];
        index->tokens += frequencies[i];
        if (append(index, at, document, frequencies[i]) < 0)
            return -1;
    }
    return 0;
}

int aqe_delete_document(aqe_postings *index, int64_t id)
{
    uint32_t document = aqe_find_document(index, id);
    if (document == AQE_NONE)
        return 0;
    index->alive[document] = 0;
    index->live--;
    index->tokens -= index->lengths[document];
    index->epoch++;
    return 1;
}

/* Drop the dead documents of a list; with `numbers` the others get those. */
static void cleanse(aqe_postings *index, aqe_term *term, const uint32_t *numbers)
{
    uint32_t kept = 0;
    term->most = term->longest = 0;
    term->least = UINT32_MAX;
    for (uint32_t i = 0; i < term->count; i++) {
        uint32_t word = term->words[i], document = word >> 8;
        if (!index->alive[document])
            continue;
        uint32_t frequency = aqe_frequency(term, word), length = index->lengths[document];
        term->most = frequency > term->most ? frequency : term->most;
        note_length(term, length);
        term->words[kept++] = numbers ? numbers[document] << 8 | (word & AQE_ESCAPE) : word;
    }
    term->count = kept;
    uint32_t often = 0;
    for (uint32_t i = 0; term->often && i < term->often->count; i++) {
        aqe_often one = term->often->at[i];
        if (!index->alive[one.document])
            continue;
        one.document = numbers ? numbers[one.document] : one.document;
        term->often->at[often++] = one;
    }
    if (term->often)
        term->often->count = often;
}

uint32_t aqe_refresh(aqe_postings *index, uint32_t at)
{
    aqe_term *term = &index->terms[at];
    if (term->epoch != index->epoch) {
        cleanse(index, term, NULL);
        term->epoch = index->epoch;
    }
    return term->count;
}

uint32_t aqe_count_in(const aqe_postings *index, uint32_t at, const uint8_t *groups, size_t group_count)
{
    const aqe_term *term = &index->terms[at];
    uint32_t count = 0;
    for (uint32_t i = 0; i < term->count; i++)
        count += (uint32_t)aqe_is_in(index, term->words[i] >> 8, groups, group_count);
    return count;
}

/* The terms that no document has any more go, with their names. */
static int drop_terms(aqe_postings *index)
{
    size_t names = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < index->term_count; i++) {
        aqe_term term = index->terms[i];
        if (!term.count) {
            free(term.words);
            free(term.often);
            continue;
        }
        memmove(index->names + names, index->names + term.name, term.name_size);
        term.name = names;
        names += term.name_size;
        index->terms[kept++] = term;
    }
    index->term_count = kept;
    index->names_size = names;
    return slots_of_terms(index, index->term_mask + 1);
}

int aqe_squeeze(aqe_postings *index, int always)
{
    uint32_t dead = index->count - index->live;
    if (!dead || (!always && dead <= index->live + 1024))
        return 0;
    uint32_t *numbers = malloc(index->count * sizeof *numbers), kept = 0;
    if (!numbers)
        return -1;
    for (uint32_t i = 0; i < index->count; i++)
        numbers[i] = index->alive[i] ? kept++ : AQE_NONE;
    for (uint32_t i = 0; i < index->term_count; i++) {
        cleanse(index, &index->terms[i], numbers);
        index->terms[i].epoch = index->epoch;
    }
    for (uint32_t i = 0; i < index->count; i++) {
        if (!index->alive[i])
            continue;
        index->ids[numbers[i]] = index->ids[i];
        index->lengths[numbers[i]] = index->lengths[i];
        index->groups[numbers[i]] = index->groups[i];
    }
    memset(index->alive, 1, kept);
    index->count = kept;
    free(numbers);
    return slots_of_ids(index, index->id_mask + 1) < 0 || drop_terms(index) < 0 ? -1 : 0;
}

size_t aqe_bytes(const aqe_postings *index)
{
    size_t bytes = sizeof *index + index->names_room + index->term_room * sizeof *index->terms;
    bytes += (index->term_mask + 1 + index->id_mask + 1) * sizeof *index->term_slots;
    bytes += index->room * (sizeof *index->ids + sizeof *index->lengths + sizeof *index->groups + sizeof *index->alive);
    for (uint32_t i = 0; i < index->term_count; i++) {
        const aqe_term *term = &index->terms[i];
        bytes += term->room * sizeof *term->words;
        bytes += term->often ? sizeof *term->often + term->often->room * sizeof *term->often->at : 0;
    }
    return bytes;
}
