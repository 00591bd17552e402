/* Lexicon: the terms of words, as they were learnt, and which terms of a question tell documents apart. A question whose
   words are known becomes the terms to ask for in one call, without an object for any of the others. */
#include <stdlib.h>
#include <string.h>

#include "module.h"

enum { LONGEST_WORD = 64, MOST_TERMS = 64, FIRST_SLOTS = 256 };
#define MOST_WORDS (1u << 20)

typedef struct {
    PyObject *name; /* bytes */
    uint32_t question, place; /* the last one that it stood in, and where among its terms */
    int is_stop;
} term;

typedef struct {
    uint32_t at, size;     /* in the bytes of all words */
    uint32_t first, count; /* in the numbers of their terms */
} word;

/* What is appended to, and how much there is and could be. */
typedef struct {
    void *items;
    uint32_t count, room;
} row;

typedef struct {
    PyObject_HEAD
    row words, bytes, links, terms;
    uint32_t *word_slots, *term_slots; /* open addressing; AQE_NONE is free */
    uint32_t word_mask, term_mask, question;
} lexicon;

/* The distinct terms of a question in order; whether one is part of a name. */
typedef struct {
    uint32_t terms[MOST_TERMS];
    uint8_t is_named[MOST_TERMS];
    size_t count;
} reading;

typedef struct {
    uint32_t fewest, most, few;
    uint64_t budget;
} limits;

static uint32_t hash_of(const char *bytes, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325u ^ size, part;
    for (size_t i = 0; i < size; i += 8) {
        part = 0;
        memcpy(&part, bytes + i, size - i < 8 ? size - i : 8);
        hash = (hash ^ part) * 0xd6e8feb86659fd93u;
        hash ^= hash >> 32;
    }
    return (uint32_t)hash;
}

static const word *word_at(const lexicon *of, uint32_t number)
{
    return (const word *)of->words.items + number;
}

static term *term_at(const lexicon *of, uint32_t number)
{
    return (term *)of->terms.items + number;
}

static uint32_t slot_of_word(const lexicon *of, const char *bytes, size_t size)
{
    uint32_t slot = hash_of(bytes, size) & of->word_mask, number;
    for (; (number = of->word_slots[slot]) != AQE_NONE; slot = (slot + 1) & of->word_mask) {
        const word *known = word_at(of, number);
        if (known->size == size && memcmp((const char *)of->bytes.items + known->at, bytes, size) == 0)
            break;
    }
    return slot;
}

static uint32_t slot_of_term(const lexicon *of, const char *bytes, size_t size)
{
    uint32_t slot = hash_of(bytes, size) & of->term_mask, number;
    for (; (number = of->term_slots[slot]) != AQE_NONE; slot = (slot + 1) & of->term_mask) {
        PyObject *name = term_at(of, number)->name;
        if ((size_t)PyBytes_Size(name) == size && memcmp(PyBytes_AsString(name), bytes, size) == 0)
            break;
    }
    return slot;
}

/* Room for `more` items of `size` bytes behind those that are there. */
static int make_room(row *of, uint32_t more, size_t size)
{
    if (of->room - of->count >= more)
        return 0;
    uint32_t room = 2 * (of->count + more) + 16;
    void *items = realloc(of->items, room * size);
    if (!items)
        return -1;
    of->items = items;
    of->room = room;
    return 0;
}

static uint32_t *free_slots(uint32_t count)
{
    uint32_t *slots = malloc(count * sizeof *slots);
    if (slots)
        memset(slots, 0xff, count * sizeof *slots);
    return slots;
}

/* Twice the slots of words once three quarters would be taken. */
static int widen_words(lexicon *of)
{
    if (of->words.count < of->word_mask / 4 * 3)
        return 0;
    uint32_t *slots = free_slots(2 * (of->word_mask + 1));
    if (!slots)
        return -1;
    free(of->word_slots);
    of->word_slots = slots;
    of->word_mask = 2 * of->word_mask + 1;
    for (uint32_t i = 0; i < of->words.count; i++)
        slots[slot_of_word(of, (const char *)of->bytes.items + word_at(of, i)->at, word_at(of, i)->size)] = i;
    return 0;
}

static int widen_terms(lexicon *of)
{
    if (of->terms.count < of->term_mask / 4 * 3)
        return 0;
    uint32_t *slots = free_slots(2 * (of->term_mask + 1));
    if (!slots)
        return -1;
    free(of->term_slots);
    of->term_slots = slots;
    of->term_mask = 2 * of->term_mask + 1;
    for (uint32_t i = 0; i < of->terms.count; i++) {
        PyObject *name = term_at(of, i)->name;
        slots[slot_of_term(of, PyBytes_AsString(name), (size_t)PyBytes_Size(name))] = i;
    }
    return 0;
}

/* The number of a term, which is made where it is new; AQE_NONE with an error set. */
static uint32_t term_of(lexicon *of, PyObject *name, int is_stop)
{
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(name, &bytes, &size) < 0)
        return AQE_NONE;
    if (size > AQE_LONGEST_TERM) {
        PyErr_Format(PyExc_ValueError, "a term must have at most %d bytes, got %zd", AQE_LONGEST_TERM, size);
        return AQE_NONE;
    }
    if (widen_terms(of) < 0 || make_room(&of->terms, 1, sizeof(term)) < 0) {
        PyErr_NoMemory();
        return AQE_NONE;
    }
    uint32_t slot = slot_of_term(of, bytes, (size_t)size);
    if (of->term_slots[slot] == AQE_NONE) {
        *term_at(of, of->terms.count) = (term){Py_NewRef(name), 0, 0, is_stop};
        of->term_slots[slot] = of->terms.count++;
    }
    return of->term_slots[slot];
}

static int append_links(lexicon *of, PyObject *terms, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        uint32_t number = term_of(of, PyTuple_GetItem(terms, i), 0);
        if (number == AQE_NONE)
            return -1;
        ((uint32_t *)of->links.items)[of->links.count++] = number;
    }
    return 0;
}

/* learn(word, terms) */
static PyObject *learn(PyObject *object, PyObject *args)
{
    lexicon *of = (lexicon *)object;
    const char *bytes;
    Py_ssize_t size;
    PyObject *terms;
    if (!PyArg_ParseTuple(args, "y#O!", &bytes, &size, &PyTuple_Type, &terms))
        return NULL;
    Py_ssize_t count = PyTuple_Size(terms);
    if (size < 1 || size > LONGEST_WORD || count > LONGEST_WORD || of->words.count >= MOST_WORDS)
        return PyErr_Format(PyExc_ValueError, "a word must have 1 to %d bytes and no more terms", LONGEST_WORD);
    if (widen_words(of) < 0 || make_room(&of->words, 1, sizeof(word)) < 0 || make_room(&of->bytes, (uint32_t)size, 1) < 0
        || make_room(&of->links, (uint32_t)count, sizeof(uint32_t)) < 0)
        return PyErr_NoMemory();
    uint32_t slot = slot_of_word(of, bytes, (size_t)size), first = of->links.count;
    if (of->word_slots[slot] == AQE_NONE) {
        if (append_links(of, terms, count) < 0) {
            of->links.count = first;
            return NULL;
        }
        memcpy((char *)of->bytes.items + of->bytes.count, bytes, (size_t)size);
        ((word *)of->words.items)[of->words.count] = (word){of->bytes.count, (uint32_t)size, first, (uint32_t)count};
        of->bytes.count += (uint32_t)size;
        of->word_slots[slot] = of->words.count++;
    }
    return Py_NewRef(Py_None);
}

static int is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static int is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static int is_plain(char c)
{
    return is_lower(c) || is_upper(c) || (c >= '0' && c <= '9');
}

/* Is a run of letters, digits and underscores a name, as to_dict and assertIn are? */
static int is_name(const char *run, size_t size)
{
    for (size_t i = 1; i < size; i++) {
        if (is_lower(run[i - 1]) && is_upper(run[i]))
            return 1;
        if (run[i] == '_' && is_plain(run[i - 1]) && i + 1 < size && is_plain(run[i + 1]))
            return 1;
    }
    return 0;
}

enum { KNOWN, UNKNOWN, TOO_MANY };

static int add_word(lexicon *of, reading *found, const char *bytes, size_t size, int is_named)
{
    uint32_t number = size <= LONGEST_WORD ? of->word_slots[slot_of_word(of, bytes, size)] : AQE_NONE;
    if (number == AQE_NONE)
        return size <= LONGEST_WORD ? UNKNOWN : TOO_MANY;
    const word *known = word_at(of, number);
    for (uint32_t i = 0; i < known->count; i++) {
        uint32_t at = ((const uint32_t *)of->links.items)[known->first + i];
        term *one = term_at(of, at);
        if (one->question != of->question) {
            if (found->count == MOST_TERMS)
                return TOO_MANY;
            one->question = of->question;
            one->place = (uint32_t)found->count;
            found->is_named[found->count] = 0;
            found->terms[found->count++] = at;
        }
        found->is_named[one->place] |= (uint8_t)is_named;
    }
    return KNOWN;
}

/* Read the terms of a text; where a word is not known, which one is it? */
static int read_text(lexicon *of, const char *text, size_t size, reading *found, const char **unknown, size_t *unknown_size)
{
    of->question++;
    found->count = 0;
    for (size_t at = 0; at < size;) {
        size_t start = at;
        while (at < size && (is_plain(text[at]) || text[at] == '_'))
            at++;
        int named = is_name(text + start, at - start);
        for (size_t from = start; from < at;) {
            size_t end = from;
            while (end < at && text[end] != '_')
                end++;
            int said = end > from ? add_word(of, found, text + from, end - from, named) : KNOWN;
            if (said == UNKNOWN) {
                *unknown = text + from;
                *unknown_size = end - from;
            }
            if (said != KNOWN)
                return said;
            from = end + 1;
        }
        at += at == start;
    }
    return KNOWN;
}

typedef struct {
    uint32_t counts[MOST_TERMS];
    uint8_t is_nowhere[MOST_TERMS];
    uint8_t chosen[MOST_TERMS]; /* places of terms */
    size_t chosen_count;
} verdict;

static int stands_in(aqe_postings *index, uint32_t number, const Py_buffer *groups)
{
    const aqe_term *one = &index->terms[number];
    for (uint32_t i = 0; i < one->count; i++)
        if (aqe_is_in(index, one->words[i] >> 8, groups->buf, (size_t)groups->len))
            return 1;
    return 0;
}

/* In how many documents each term stands, and whether it stands in none of the groups that count; of a term that many
   documents have that is not asked. */
static void count_terms(const lexicon *of, aqe_postings *index, const Py_buffer *groups, const reading *found, uint32_t few,
                        verdict *made)
{
    for (size_t i = 0; i < found->count; i++) {
        PyObject *name = term_at(of, found->terms[i])->name;
        uint32_t number = aqe_find_term(index, PyBytes_AsString(name), (size_t)PyBytes_Size(name));
        uint32_t count = number == AQE_NONE ? 0 : aqe_refresh(index, number);
        made->counts[i] = count;
        made->is_nowhere[i] = !count || (groups->buf && count <= few && !stands_in(index, number, groups));
    }
}

/* The places of the terms that are no stop words, or of all where those are none, or stand in no document. */
static size_t telling(const lexicon *of, const reading *found, const verdict *made, uint8_t *places)
{
    size_t count = 0;
    int any = 0;
    for (size_t i = 0; i < found->count; i++)
        if (!term_at(of, found->terms[i])->is_stop || found->is_named[i]) {
            places[count++] = (uint8_t)i;
            any |= made->counts[i] != 0;
        }
    if (any || count == found->count)
        return count;
    for (size_t i = 0; i < found->count; i++)
        places[i] = (uint8_t)i;
    return found->count;
}

/* The rarest of the places whose terms stand anywhere, as long as their documents are within the budget. */
static void choose_terms(const verdict *counted, uint32_t documents, const limits *most, const uint8_t *places,
                         size_t count, verdict *made)
{
    uint8_t *chosen = made->chosen;
    size_t some = 0, kept = 0;
    uint64_t postings = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t here = counted->counts[places[i]];
        if (!here && count > 1)
            continue;
        size_t at = some++;
        for (; at && counted->counts[chosen[at - 1]] > here; at--)
            chosen[at] = chosen[at - 1];
        chosen[at] = places[i];
    }
    for (; kept < some && kept < most->most; kept++) {
        uint64_t here = counted->counts[chosen[kept]];
        if (2 * here > documents || (kept >= most->fewest && postings + here > most->budget))
            break;
        postings += here;
    }
    made->chosen_count = kept ? kept : some;
}

static PyObject *names_of(const lexicon *of, const reading *found, const uint8_t *places, size_t count)
{
    PyObject *made = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; made && i < count; i++)
        PyTuple_SetItem(made, (Py_ssize_t)i, Py_NewRef(term_at(of, found->terms[places[i]])->name));
    return made;
}

static PyObject *judged(lexicon *of, aqe_postings_object *index, const Py_buffer *groups, const limits *most,
                        const reading *found)
{
    verdict made;
    uint8_t places[MOST_TERMS], nowhere[MOST_TERMS];
    size_t absent = 0;
    if (aqe_enter(index) < 0)
        return NULL;
    count_terms(of, &index->index, groups, found, most->few, &made);
    uint32_t documents = index->index.live;
    aqe_leave(index);
    choose_terms(&made, documents, most, places, telling(of, found, &made, places), &made);
    for (size_t i = 0; i < found->count; i++)
        if (made.is_nowhere[i])
            nowhere[absent++] = (uint8_t)i;
    PyObject *chosen = names_of(of, found, made.chosen, made.chosen_count);
    PyObject *none = chosen ? names_of(of, found, nowhere, absent) : NULL;
    PyObject *pair = none ? PyTuple_Pack(2, chosen, none) : NULL;
    Py_XDECREF(chosen);
    Py_XDECREF(none);
    return pair;
}

/* choose(index, text, groups, few, fewest, most, budget): the terms to ask for and those that are nowhere; bytes: a word
   that is to be learnt first; None: more than is read here. */
static PyObject *choose(PyObject *object, PyObject *args)
{
    lexicon *of = (lexicon *)object;
    PyObject *index, *text, *masks;
    limits most;
    unsigned long long budget;
    Py_buffer groups = {0};
    if (!PyArg_ParseTuple(args, "O!UOIIIK", aqe_index_type(Py_TYPE(object)), &index, &text, &masks, &most.few, &most.fewest,
                          &most.most, &budget))
        return NULL;
    most.budget = budget;
    Py_ssize_t size;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &size), *unknown = NULL;
    size_t unknown_size = 0;
    if (!bytes)
        PyErr_Clear(); /* half a surrogate pair */
    if (!bytes || size != PyUnicode_GetLength(text))
        return Py_NewRef(Py_None);
    reading found;
    int said = read_text(of, bytes, (size_t)size, &found, &unknown, &unknown_size);
    if (said == UNKNOWN)
        return PyBytes_FromStringAndSize(unknown, (Py_ssize_t)unknown_size);
    if (said == TOO_MANY)
        return Py_NewRef(Py_None);
    if (masks != Py_None && aqe_take(masks, &groups, 1, "B?b", "groups") < 0)
        return NULL;
    PyObject *made = judged(of, (aqe_postings_object *)index, &groups, &most, &found);
    if (groups.obj)
        PyBuffer_Release(&groups);
    return made;
}

static Py_ssize_t length(PyObject *object)
{
    return ((const lexicon *)object)->words.count;
}

/* Lexicon(stop_words) */
static PyObject *make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *stop_words;
    if (kwargs || !PyArg_ParseTuple(args, "O!", &PyTuple_Type, &stop_words))
        return kwargs ? PyErr_Format(PyExc_TypeError, "no argument has a name") : NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    lexicon *self = (lexicon *)allocate(type, 0);
    if (!self)
        return NULL;
    self->word_slots = free_slots(FIRST_SLOTS);
    self->term_slots = free_slots(FIRST_SLOTS);
    self->word_mask = self->term_mask = FIRST_SLOTS - 1;
    int failed = !self->word_slots || !self->term_slots;
    if (failed)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; !failed && i < PyTuple_Size(stop_words); i++)
        failed = term_of(self, PyTuple_GetItem(stop_words, i), 1) == AQE_NONE;
    if (failed)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void drop(PyObject *object)
{
    lexicon *self = (lexicon *)object;
    PyTypeObject *type = Py_TYPE(object);
    for (uint32_t i = 0; i < self->terms.count; i++)
        Py_DECREF(term_at(self, i)->name);
    void *parts[] = {self->words.items, self->bytes.items, self->links.items, self->terms.items, self->word_slots,
                     self->term_slots};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        free(parts[i]);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef METHODS[] = {
    {"learn", learn, METH_VARARGS, NULL}, {"choose", choose, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyType_Slot SLOTS[] = {
    {Py_tp_new, make}, {Py_tp_dealloc, drop}, {Py_tp_methods, METHODS}, {Py_sq_length, length}, {0, NULL}};
PyType_Spec aqe_lexicon_spec = {.name = "aqe.simd._postings.Lexicon",
                              .basicsize = sizeof(lexicon),
                              .flags = Py_TPFLAGS_DEFAULT,
                              .slots = SLOTS};
