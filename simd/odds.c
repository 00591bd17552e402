/* The log-odds of an ASCII text by a linear model: characters, words and lines are counted in one pass each. */
#include "odds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SPACE = 1, LETTER = 2, DIGIT = 4, CAPITAL = 8, SYMBOL = 16, JOINER = 32, NAME = LETTER | DIGIT | JOINER };
enum { LITTLE = 128, MOST_OPTIONS = 10, MOST_QUESTIONS = 5, MOST_QUOTES = 10 };

struct aqe_odds {
    double bias;
    aqe_feature features[AQE_FEATURES];
    unsigned char kinds[256];
    size_t count, mask;
    uint64_t seed;
    uint32_t *slots; /* number of a word + 1; 0: free */
    size_t *starts;  /* count + 1 of them, into bytes */
    unsigned char *bytes;
    aqe_word *weighed;
};

/* A distinct word of the text, which begins at `start`. */
typedef struct {
    uint64_t hash;
    size_t start, size, times;
} word;

/* The distinct words of a text in their order, by an open-addressing hash; few of them need no room of their own. */
typedef struct {
    word *words;
    uint32_t *slots;
    size_t used, mask, total, letters;
    word few[LITTLE];
    uint32_t few_slots[2 * LITTLE];
} bag;

static void fill_kinds(unsigned char kinds[256])
{
    memset(kinds, 0, 256);
    for (int byte = 'a'; byte <= 'z'; byte++)
        kinds[byte] = LETTER;
    for (int byte = 'A'; byte <= 'Z'; byte++)
        kinds[byte] = LETTER | CAPITAL;
    for (int byte = '0'; byte <= '9'; byte++)
        kinds[byte] = DIGIT;
    for (int byte = 9; byte <= 13; byte++)
        kinds[byte] = SPACE;
    for (int byte = 28; byte <= 32; byte++)
        kinds[byte] = SPACE;
    for (const char *symbol = "=+*/^<>|\\{}[]_~%$"; *symbol; symbol++)
        kinds[(unsigned char)*symbol] = SYMBOL;
    kinds['_'] |= JOINER;
}

static unsigned char lower(unsigned char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (unsigned char)(byte + ('a' - 'A')) : byte;
}

/* A hash of the word in small letters. */
static uint64_t hash_of(uint64_t seed, const unsigned char *bytes, size_t size)
{
    uint64_t hash = seed ^ size;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ lower(bytes[i])) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
    hash *= 0xBF58476D1CE4E5B9u;
    return hash ^ hash >> 32;
}

static int is_same(const unsigned char *a, const unsigned char *b, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (lower(a[i]) != lower(b[i]))
            return 0;
    return 1;
}

void aqe_odds_free(aqe_odds *odds)
{
    if (!odds)
        return;
    free(odds->slots);
    free(odds->starts);
    free(odds->bytes);
    free(odds->weighed);
    free(odds);
}

static void place_word(aqe_odds *odds, size_t number)
{
    size_t start = odds->starts[number];
    size_t at = hash_of(odds->seed, odds->bytes + start, odds->starts[number + 1] - start) & odds->mask;
    while (odds->slots[at])
        at = (at + 1) & odds->mask;
    odds->slots[at] = (uint32_t)number + 1;
}

aqe_odds *aqe_odds_new(double bias, const aqe_feature features[AQE_FEATURES], const aqe_text *words,
                       const aqe_word *weighed, size_t count, uint64_t seed)
{
    aqe_odds *made = calloc(1, sizeof *made);
    size_t room = 16, bytes = 0;
    if (!made)
        return NULL;
    while (room < 2 * count)
        room *= 2;
    for (size_t i = 0; i < count; i++)
        bytes += words[i].size;
    *made = (aqe_odds){.bias = bias, .count = count, .mask = room - 1, .seed = seed};
    memcpy(made->features, features, sizeof made->features);
    fill_kinds(made->kinds);
    made->slots = calloc(room, sizeof *made->slots);
    made->starts = malloc((count + 1) * sizeof *made->starts);
    made->bytes = malloc(bytes + 1);
    made->weighed = malloc((count + 1) * sizeof *made->weighed);
    if (!made->slots || !made->starts || !made->bytes || !made->weighed) {
        aqe_odds_free(made);
        return NULL;
    }
    memcpy(made->weighed, weighed, count * sizeof *weighed);
    made->starts[0] = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(made->bytes + made->starts[i], words[i].start, words[i].size);
        made->starts[i + 1] = made->starts[i] + words[i].size;
        place_word(made, i);
    }
    return made;
}

static const aqe_word *find(const aqe_odds *odds, const unsigned char *bytes, size_t size, uint64_t hash)
{
    for (size_t at = hash & odds->mask; odds->slots[at]; at = (at + 1) & odds->mask) {
        size_t number = odds->slots[at] - 1, start = odds->starts[number];
        if (odds->starts[number + 1] - start == size && is_same(odds->bytes + start, bytes, size))
            return odds->weighed + number;
    }
    return NULL;
}

const aqe_word *aqe_odds_word(const aqe_odds *odds, aqe_text text)
{
    return find(odds, text.start, text.size, hash_of(odds->seed, text.start, text.size));
}

static int widen(bag *held)
{
    size_t room = 2 * (held->mask + 1);
    word *words = malloc(room / 2 * sizeof *words);
    uint32_t *slots = calloc(room, sizeof *slots);
    if (!words || !slots) {
        free(words);
        free(slots);
        return -1;
    }
    memcpy(words, held->words, held->used * sizeof *words);
    for (size_t i = 0; i < held->used; i++) {
        size_t at = words[i].hash & (room - 1);
        while (slots[at])
            at = (at + 1) & (room - 1);
        slots[at] = (uint32_t)i + 1;
    }
    if (held->words != held->few) {
        free(held->words);
        free(held->slots);
    }
    held->words = words;
    held->slots = slots;
    held->mask = room - 1;
    return 0;
}

static int add_word(bag *held, const aqe_odds *odds, aqe_text text, size_t start, size_t size)
{
    uint64_t hash = hash_of(odds->seed, text.start + start, size);
    size_t at = hash & held->mask;
    held->total++;
    held->letters += size;
    for (; held->slots[at]; at = (at + 1) & held->mask) {
        word *known = held->words + held->slots[at] - 1;
        if (known->hash == hash && known->size == size && is_same(text.start + known->start, text.start + start, size)) {
            known->times++;
            return 0;
        }
    }
    held->words[held->used++] = (word){hash, start, size, 1};
    held->slots[at] = (uint32_t)held->used;
    return 2 * held->used > held->mask ? widen(held) : 0;
}

static size_t run(const aqe_odds *odds, aqe_text text, size_t at, int kind)
{
    while (at < text.size && odds->kinds[text.start[at]] & kind)
        at++;
    return at;
}

/* Letters, and where an apostrophe and a letter follow, the letters behind it too. */
static int fill_bag(bag *held, const aqe_odds *odds, aqe_text text)
{
    for (size_t at = 0; at < text.size;) {
        if (!(odds->kinds[text.start[at]] & LETTER)) {
            at++;
            continue;
        }
        size_t end = run(odds, text, at, LETTER);
        if (end + 1 < text.size && text.start[end] == '\'' && odds->kinds[text.start[end + 1]] & LETTER)
            end = run(odds, text, end + 1, LETTER);
        if (add_word(held, odds, text, at, end - at) < 0)
            return -1;
        at = end;
    }
    return 0;
}

static int begins(aqe_text line, const char *start)
{
    size_t size = strlen(start);
    return line.size >= size && memcmp(line.start, start, size) == 0;
}

static int has(aqe_text line, size_t from, char a, char b)
{
    for (size_t at = from; at < line.size; at++)
        if (line.start[at] == a || line.start[at] == b)
            return 1;
    return 0;
}

/* Whether a word of a line ends here: what follows belongs to no name. */
static int ends(const aqe_odds *odds, aqe_text line, size_t size)
{
    return line.size == size || !(odds->kinds[line.start[size]] & NAME);
}

static int is_statement(const aqe_odds *odds, aqe_text line)
{
    static const char *const STARTS[] = {"def ",   "class ",   "import ", "try:",   "async ", "await ",
                                         "#include", "public ", "private ", "func ", "var ",  "let ",
                                         "const ", "SELECT ",  "assert ", "raise ", "print("};
    for (size_t i = 0; i < sizeof STARTS / sizeof *STARTS; i++)
        if (begins(line, STARTS[i]))
            return 1;
    if (begins(line, "from ")) {
        size_t end = run(odds, line, 5, NAME);
        aqe_text rest = {line.start + end, line.size - end};
        if (end > 5 && begins(rest, " import"))
            return 1;
    }
    return (begins(line, "return") && ends(odds, line, 6)) || (begins(line, "else") && ends(odds, line, 4))
           || (begins(line, "except") && ends(odds, line, 6)) || (begins(line, "for ") && has(line, 4, ':', ':'))
           || (begins(line, "while ") && has(line, 6, ':', ':')) || (begins(line, "with ") && has(line, 5, ':', ':'))
           || (begins(line, "if ") && has(line, 3, ':', '{'))
           || (line.size > 1 && line.start[0] == '@' && odds->kinds[line.start[1]] & NAME);
}

static int is_assignment_or_call(const aqe_odds *odds, aqe_text line)
{
    size_t name = 0, target, end = line.size;
    while (name < line.size && (odds->kinds[line.start[name]] & NAME || line.start[name] == '.'))
        name++;
    target = name;
    while (target < line.size
           && (odds->kinds[line.start[target]] & NAME || line.start[target] == '.' || line.start[target] == '['
               || line.start[target] == ']'))
        target++;
    aqe_text rest = {line.start + target, line.size - target};
    if (target && begins(rest, " = "))
        return 1;
    end -= end && line.start[end - 1] == ';';
    return name && name < line.size && line.start[name] == '(' && end > name + 1 && line.start[end - 1] == ')';
}

static int is_braces(aqe_text line)
{
    size_t at = 0;
    while (at < line.size && (line.start[at] == '{' || line.start[at] == '}'))
        at++;
    return at && (at == line.size || (at + 1 == line.size && line.start[at] == ';'));
}

/* The lines, the longest of them, and the share of those with something on them that look like code. */
static void count_lines(const aqe_odds *odds, aqe_text text, size_t *lines, size_t *longest, double *share)
{
    size_t full = 0, code = 0;
    *lines = *longest = 0;
    for (size_t start = 0; start <= text.size;) {
        const unsigned char *found = start < text.size ? memchr(text.start + start, '\n', text.size - start) : NULL;
        size_t end = found ? (size_t)(found - text.start) : text.size;
        aqe_text line = {text.start, end};
        size_t first = run(odds, line, start, SPACE);
        ++*lines;
        *longest = end - start > *longest ? end - start : *longest;
        if (first < end) {
            line = (aqe_text){text.start + first, end - first};
            full++;
            code += is_statement(odds, line) || is_assignment_or_call(odds, line) || is_braces(line);
        }
        start = end + 1;
    }
    *share = full ? (double)code / (double)full : 0.0;
}

/* Lines that begin like "A) " or "(B. "; before the letter may stand empty lines. */
static size_t count_options(const aqe_odds *odds, aqe_text text)
{
    size_t options = 0;
    for (size_t start = 0; start < text.size;) {
        size_t at = run(odds, text, start, SPACE);
        size_t letter = at + (at < text.size && text.start[at] == '(');
        if (letter + 2 < text.size && text.start[letter] >= 'A' && text.start[letter] <= 'J'
            && (text.start[letter + 1] == '.' || text.start[letter + 1] == ')')
            && odds->kinds[text.start[letter + 2]] & SPACE) {
            options++;
            at = letter + 3;
            if (text.start[letter + 2] == '\n') {
                start = at;
                continue;
            }
        }
        const unsigned char *found = at < text.size ? memchr(text.start + at, '\n', text.size - at) : NULL;
        start = found ? (size_t)(found - text.start) + 1 : text.size;
    }
    return options;
}

static void count_characters(const aqe_odds *odds, aqe_text text, double *values)
{
    size_t sentences = 0, numbers = 0, digits = 0, symbols = 0, capitals = 0, questions = 0, quotes = 0, blanks = 0;
    for (size_t at = 0; at < text.size; at++) {
        unsigned char byte = text.start[at], kind = odds->kinds[byte];
        int is_last = at + 1 == text.size;
        capitals += (kind & CAPITAL) != 0;
        symbols += (kind & SYMBOL) != 0;
        questions += byte == '?';
        quotes += byte == '"';
        blanks |= byte == '_' && !is_last && text.start[at + 1] == '_';
        sentences += (byte == '.' || byte == '!' || byte == '?') && (is_last || odds->kinds[text.start[at + 1]] & SPACE);
    }
    for (size_t at = 0; at < text.size; numbers++) {
        while (at < text.size && !(odds->kinds[text.start[at]] & DIGIT))
            at++;
        if (at == text.size)
            break;
        size_t end = run(odds, text, at, DIGIT);
        while (end + 1 < text.size && (text.start[end] == '.' || text.start[end] == ',')
               && odds->kinds[text.start[end + 1]] & DIGIT)
            end = run(odds, text, end + 1, DIGIT);
        digits += end - at;
        at = end;
    }
    double size = text.size ? (double)text.size : 1.0;
    values[4] = log1p((double)sentences);
    values[7] = log1p((double)numbers);
    values[8] = (double)digits / size;
    values[9] = (double)symbols / size;
    values[10] = (double)capitals / size;
    values[13] = (double)(questions < MOST_QUESTIONS ? questions : MOST_QUESTIONS);
    values[14] = (double)blanks;
    values[15] = (double)(quotes < MOST_QUOTES ? quotes : MOST_QUOTES);
}

static void measure(const aqe_odds *odds, aqe_text text, size_t length, const bag *held, double *values)
{
    size_t lines, longest, options = count_options(odds, text);
    count_lines(odds, text, &lines, &longest, values + 11);
    count_characters(odds, text, values);
    values[0] = log1p((double)length);
    values[1] = log1p((double)held->total);
    values[2] = log1p((double)lines);
    values[3] = log1p((double)longest);
    values[5] = held->total ? (double)held->letters / (double)held->total : 0.0;
    values[6] = held->total ? (double)held->used / (double)held->total : 0.0;
    values[12] = (double)(options < MOST_OPTIONS ? options : MOST_OPTIONS);
}

static double sum_of_words(const aqe_odds *odds, aqe_text text, const bag *held)
{
    double dot = 0, square = 0;
    for (size_t i = 0; i < held->used; i++) {
        const word *one = held->words + i;
        const aqe_word *known = find(odds, text.start + one->start, one->size, one->hash);
        if (!known)
            continue;
        double part = one->times == 1 ? known->rarity : known->rarity * (1.0 + log((double)one->times));
        square += part * part;
        dot += known->weight * part;
    }
    double norm = sqrt(square);
    return dot / (norm > 0 ? norm : 1.0);
}

int aqe_odds_of(const aqe_odds *odds, aqe_text text, size_t length, double *answer)
{
    bag held;
    double values[AQE_FEATURES], total = odds->bias;
    held.words = held.few;
    held.slots = held.few_slots;
    held.mask = 2 * LITTLE - 1;
    held.used = held.total = held.letters = 0;
    memset(held.few_slots, 0, sizeof held.few_slots);
    int failed = fill_bag(&held, odds, text) < 0;
    if (!failed) {
        measure(odds, text, length, &held, values);
        for (size_t i = 0; i < AQE_FEATURES; i++) {
            const aqe_feature *one = odds->features + i;
            double value = values[i] < one->least ? one->least : values[i] > one->most ? one->most : values[i];
            total += one->weight * (value - one->mean) / one->deviation;
        }
        *answer = total + sum_of_words(odds, text, &held);
    }
    if (held.words != held.few) {
        free(held.words);
        free(held.slots);
    }
    return failed ? -1 : 0;
}
