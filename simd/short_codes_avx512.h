/* Differing bits of short codes, for AVX-512: of whole words of 64 bits, WORDS_OF_CODES at most. Eight codes of w words are
   w vectors, whatever w is, and the count of a word fits a byte: the counts of eight vectors lie side by side in one, a
   permutation brings those of a code together, and the bytes of all eight codes are added up at once. */
#define SHORT_CODES
enum { WORDS_OF_CODES = 16 };

AQE_FOR_AVX512

/* Which of the bytes of two vectors of counts are those of words `from` to `from` + 8 of each code: word q stands in vector
   q / 8, at q % 8, so its count in byte q / 8 of word q % 8; of the second vector where q is 64 or more. */
INLINE __m512i places_of_counts(size_t words, size_t from)
{
    const __m512i code = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), ones = _mm512_set1_epi8(7);
    const __m512i in_code = _mm512_set1_epi64((int64_t)(0x0706050403020100u + 0x0101010101010101u * from));
    __m512i q = _mm512_mullo_epi64(code, _mm512_set1_epi64((int64_t)(0x0101010101010101u * words)));
    q = _mm512_add_epi8(q, in_code);
    __m512i vector = _mm512_and_si512(_mm512_srli_epi64(q, 3), ones), second = _mm512_and_si512(q, _mm512_set1_epi8(64));
    return _mm512_or_si512(_mm512_or_si512(_mm512_slli_epi64(_mm512_and_si512(q, ones), 3), vector), second);
}
INLINE __mmask64 words_there(size_t words, size_t from)
{
    size_t there = words <= from ? 0 : words - from < 8 ? words - from : 8;
    return (__mmask64)(((1ull << there) - 1) * 0x0101010101010101u);
}

/* The counts of the vectors from `first` on, of eight at most, side by side. */
INLINE __m512i side_by_side(const char *queries, const char *rows, size_t first, size_t end)
{
    __m512i found = _mm512_setzero_si512();
    for (size_t i = first; i < end && i < first + 8; i++) {
        __m512i differing = _mm512_xor_si512(_mm512_loadu_si512(rows + 64 * i), _mm512_loadu_si512(queries + 64 * i));
        found = _mm512_or_si512(found, _mm512_slli_epi64(_mm512_popcnt_epi64(differing), (unsigned)(8 * (i - first))));
    }
    return found;
}

/* Returns how many codes were looked at: all groups of eight. */
INLINE size_t short_hammings_of(const char *query, const char *rows, size_t count, size_t words, size_t further,
                                int64_t *out)
{
    const __m512i lower = places_of_counts(words, 0), upper = places_of_counts(words, 8);
    const __mmask64 in_lower = words_there(words, 0), in_upper = words_there(words, 8);
    char queries[8 * WORDS_OF_CODES * 8];
    size_t done = 0;
    for (size_t i = 0; i < 8; i++)
        memcpy(queries + i * 8 * words, query, 8 * words);
    for (; done + 8 <= count; done += 8, rows += 64 * words) {
        for (size_t line = 0; line < words; line++)
            AQE_ASK_FOR((const char *)((uintptr_t)rows + further + 64 * line));
        __m512i first = side_by_side(queries, rows, 0, words), each;
        if (words <= 8)
            each = _mm512_maskz_permutexvar_epi8(in_lower, lower, first);
        else {
            __m512i second = side_by_side(queries, rows, 8, words);
            each = _mm512_add_epi8(_mm512_maskz_permutex2var_epi8(in_lower, first, lower, second),
                                   _mm512_maskz_permutex2var_epi8(in_upper, first, upper, second));
        }
        _mm512_storeu_si512(out + done, _mm512_sad_epu8(each, _mm512_setzero_si512()));
    }
    return done;
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
    case 12:
        return short_hammings_of(query, rows, count, 12, further, out);
    case 16:
        return short_hammings_of(query, rows, count, 16, further, out);
    default:
        return short_hammings_of(query, rows, count, words, further, out);
    }
}

AQE_FOR_END
