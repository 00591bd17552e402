/* Differing bits of short codes, for AVX2: of whole words of 64 bits, which one instruction counts. A table of halves of bytes
   takes longer for so few, most of all where a code is no whole vector. */

#define SHORT_CODES
enum { WORDS_OF_CODES = 8 };

AQE_FOR_AVX2

INLINE uint64_t word_of(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Returns how many codes were looked at: all. */
INLINE size_t short_hammings_of(const char *query, const char *rows, size_t count, size_t words, size_t further,
                                int64_t *out)
{
    for (size_t code = 0; code < count; code++, rows += 8 * words) {
        int64_t bits[2] = {0, 0};
        for (size_t line = 0; line < 8 * words; line += 64)
            AQE_ASK_FOR((const char *)((uintptr_t)rows + further + line));
        for (size_t i = 0; i < words; i++)
            bits[i % 2] += _mm_popcnt_u64(word_of(rows + 8 * i) ^ word_of(query + 8 * i));
        out[code] = bits[0] + bits[1];
    }
    return count;
}

/* Common lengths are compiled for themselves. */
INLINE size_t short_hammings(const char *query, const char *rows, size_t count, size_t words, size_t further, int64_t *out)
{
    switch (words) {
    case 2:
        return short_hammings_of(query, rows, count, 2, further, out);
    case 4:
        return short_hammings_of(query, rows, count, 4, further, out);
    case 6:
        return short_hammings_of(query, rows, count, 6, further, out);
    case 8:
        return short_hammings_of(query, rows, count, 8, further, out);
    default:
        return short_hammings_of(query, rows, count, words, further, out);
    }
}

AQE_FOR_END
