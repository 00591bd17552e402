/* Lanes of 256 bits, for AVX2 with FMA and F16C. A tail is a masked load or a copy: nothing past it is read. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

AQE_FOR_AVX2

typedef __m256 lanes;
enum { WIDTH = 8 };

INLINE lanes zeros(void) { return _mm256_setzero_ps(); }
INLINE lanes all(float value) { return _mm256_set1_ps(value); }
INLINE lanes add(lanes a, lanes b) { return _mm256_add_ps(a, b); }
INLINE lanes sub(lanes a, lanes b) { return _mm256_sub_ps(a, b); }
INLINE lanes mul(lanes a, lanes b) { return _mm256_mul_ps(a, b); }
INLINE lanes mul_add(lanes a, lanes b, lanes sum) { return _mm256_fmadd_ps(a, b, sum); }
INLINE lanes larger(lanes a, lanes b) { return _mm256_max_ps(a, b); } /* b where either is NaN */
INLINE lanes nearest(lanes a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE lanes zero_below(lanes a, float low, lanes value)
{
    return _mm256_andnot_ps(_mm256_cmp_ps(a, all(low), _CMP_LT_OQ), value);
}
INLINE lanes power_of_two(lanes whole)
{
    __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}
INLINE float sum(lanes a)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
INLINE float largest(lanes a)
{
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

INLINE __m256i first(size_t left)
{
    static const int32_t MASKS[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(MASKS + 8 - left));
}
INLINE lanes load_f32(const char *at) { return _mm256_loadu_ps((const float *)at); }
INLINE lanes load_f32_tail(const char *at, size_t left) { return _mm256_maskload_ps((const float *)at, first(left)); }
INLINE __m128i load_halves_tail(const char *at, size_t left)
{
    uint16_t items[8] = {0};
    memcpy(items, at, left * sizeof *items);
    return _mm_loadu_si128((const __m128i *)items);
}
INLINE lanes load_f16(const char *at) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)at)); }
INLINE lanes load_f16_tail(const char *at, size_t left) { return _mm256_cvtph_ps(load_halves_tail(at, left)); }
INLINE lanes from_bf16(__m128i halves)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
INLINE lanes load_bf16(const char *at) { return from_bf16(_mm_loadu_si128((const __m128i *)at)); }
INLINE lanes load_bf16_tail(const char *at, size_t left) { return from_bf16(load_halves_tail(at, left)); }
INLINE lanes load_i8(const signed char *at)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)at)));
}
INLINE void store(char *at, lanes a) { _mm256_storeu_ps((float *)at, a); }
INLINE void store_tail(char *at, lanes a, size_t left) { _mm256_maskstore_ps((float *)at, first(left), a); }

typedef __m256i bytes;
enum { BYTES = 32 };

INLINE bytes load_bytes(const char *at) { return _mm256_loadu_si256((const __m256i *)at); }
INLINE bytes load_bytes_tail(const char *at, size_t left)
{
    char items[BYTES] = {0};
    memcpy(items, at, left);
    return load_bytes(items);
}
/* The last `left` bytes before `end`, behind zeros; there are BYTES before it. */
INLINE bytes load_bytes_last(const char *end, size_t left)
{
    static const int64_t MASKS[8] = {0, 0, 0, 0, -1, -1, -1, -1};
    return _mm256_and_si256(load_bytes(end - BYTES), load_bytes((const char *)MASKS + left));
}

typedef __m256i bit_counts; /* bits of each half of a byte, looked up by VPSHUFB */
INLINE bit_counts no_bits(void) { return _mm256_setzero_si256(); }
INLINE bit_counts add_differing_bits(bit_counts counts, bytes a, bytes b)
{
    const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i low = _mm256_set1_epi8(15);
    __m256i differing = _mm256_xor_si256(a, b);
    __m256i each = _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(differing, low)),
                                   _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(differing, 4), low)));
    return _mm256_add_epi64(counts, _mm256_sad_epu8(each, _mm256_setzero_si256()));
}
INLINE uint64_t sum_bits(bit_counts counts)
{
    __m128i half = _mm_add_epi64(_mm256_castsi256_si128(counts), _mm256_extracti128_si256(counts, 1));
    return (uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(half, _mm_unpackhi_epi64(half, half)));
}

typedef __m256i byte_products;
INLINE byte_products no_products(void) { return _mm256_setzero_si256(); }
INLINE byte_products add_byte_products(byte_products sums, bytes a, bytes b)
{
    __m256i lower = _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm256_castsi256_si128(a)),
                                      _mm256_cvtepi8_epi16(_mm256_castsi256_si128(b)));
    __m256i upper = _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm256_extracti128_si256(a, 1)),
                                      _mm256_cvtepi8_epi16(_mm256_extracti128_si256(b, 1)));
    return _mm256_add_epi32(sums, _mm256_add_epi32(lower, upper));
}
typedef __m256i whole_sums;
enum { ROW_SHIFT = 0 };
INLINE whole_sums wholes_of(byte_products sums) { return sums; }
INLINE whole_sums no_wholes(void) { return no_products(); }
INLINE whole_sums add_row_products(whole_sums sums, bytes query, bytes row)
{
    return add_byte_products(sums, query, row);
}
INLINE int64_t sum_wholes(whole_sums sums)
{
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    half = _mm_add_epi32(half, _mm_unpackhi_epi64(half, half));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 1)));
}

/* The sums of four vectors as one, twice. */
#define SUMS_TOGETHER
INLINE void sum_bits_of_four(const bit_counts *c, int64_t *out)
{
    __m256i ab = _mm256_add_epi64(_mm256_unpacklo_epi64(c[0], c[1]), _mm256_unpackhi_epi64(c[0], c[1]));
    __m256i cd = _mm256_add_epi64(_mm256_unpacklo_epi64(c[2], c[3]), _mm256_unpackhi_epi64(c[2], c[3]));
    __m256i all = _mm256_add_epi64(_mm256_permute2x128_si256(ab, cd, 0x20), _mm256_permute2x128_si256(ab, cd, 0x31));
    _mm256_storeu_si256((__m256i *)out, all);
}
INLINE void sum_bits_together(const bit_counts *counts, int64_t *out)
{
    sum_bits_of_four(counts, out);
    sum_bits_of_four(counts + 4, out + 4);
}
INLINE void sum_products_of_four(const whole_sums *s, int64_t *out)
{
    __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]), _mm256_hadd_epi32(s[2], s[3]));
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    _mm256_storeu_si256((__m256i *)out, _mm256_cvtepi32_epi64(four));
}
INLINE void sum_products_together(const whole_sums *sums, int64_t *out)
{
    sum_products_of_four(sums, out);
    sum_products_of_four(sums + 4, out + 4);
}

AQE_FOR_END
