/* Lanes of 128 bits, for SSE4.1. A tail is copied into zeros first: nothing past it is read. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

AQE_FOR_SSE4

typedef __m128 lanes;
enum { WIDTH = 4 };

INLINE lanes zeros(void) { return _mm_setzero_ps(); }
INLINE lanes all(float value) { return _mm_set1_ps(value); }
INLINE lanes add(lanes a, lanes b) { return _mm_add_ps(a, b); }
INLINE lanes sub(lanes a, lanes b) { return _mm_sub_ps(a, b); }
INLINE lanes mul(lanes a, lanes b) { return _mm_mul_ps(a, b); }
INLINE lanes mul_add(lanes a, lanes b, lanes sum) { return _mm_add_ps(_mm_mul_ps(a, b), sum); }
INLINE lanes larger(lanes a, lanes b) { return _mm_max_ps(a, b); } /* b where either is NaN */
INLINE lanes nearest(lanes a) { return _mm_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE lanes zero_below(lanes a, float low, lanes value) { return _mm_andnot_ps(_mm_cmplt_ps(a, all(low)), value); }
INLINE lanes power_of_two(lanes whole)
{
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(_mm_cvtps_epi32(whole), _mm_set1_epi32(127)), 23));
}
INLINE float sum(lanes a)
{
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)));
}
INLINE float largest(lanes a)
{
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)));
}

INLINE lanes load_f32(const char *at) { return _mm_loadu_ps((const float *)at); }
INLINE lanes load_f32_tail(const char *at, size_t left)
{
    float items[WIDTH] = {0};
    memcpy(items, at, left * sizeof *items);
    return _mm_loadu_ps(items);
}
INLINE __m128i load_halves(const char *at, size_t count)
{
    uint16_t items[WIDTH] = {0};
    memcpy(items, at, count * sizeof *items);
    return _mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i *)items));
}
/* The exponent moves from bias 15 to 127 by a product, which also makes denormal halves right; infinity and NaN get
   the exponent of all ones. */
INLINE lanes from_f16(__m128i halves)
{
    __m128i size = _mm_and_si128(halves, _mm_set1_epi32(0x7fff));
    __m128i sign = _mm_slli_epi32(_mm_xor_si128(halves, size), 16);
    __m128 value = _mm_mul_ps(_mm_castsi128_ps(_mm_slli_epi32(size, 13)), _mm_castsi128_ps(_mm_set1_epi32(0x77800000)));
    __m128i beyond = _mm_and_si128(_mm_cmpgt_epi32(size, _mm_set1_epi32(0x7bff)), _mm_set1_epi32(0x7f800000));
    return _mm_or_ps(value, _mm_castsi128_ps(_mm_or_si128(sign, beyond)));
}
INLINE lanes load_f16(const char *at) { return from_f16(load_halves(at, WIDTH)); }
INLINE lanes load_f16_tail(const char *at, size_t left) { return from_f16(load_halves(at, left)); }
INLINE lanes load_bf16(const char *at) { return _mm_castsi128_ps(_mm_slli_epi32(load_halves(at, WIDTH), 16)); }
INLINE lanes load_bf16_tail(const char *at, size_t left)
{
    return _mm_castsi128_ps(_mm_slli_epi32(load_halves(at, left), 16));
}
INLINE lanes load_i8(const signed char *at)
{
    int32_t items;
    memcpy(&items, at, sizeof items);
    return _mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(items)));
}
INLINE void store(char *at, lanes a) { _mm_storeu_ps((float *)at, a); }
INLINE void store_tail(char *at, lanes a, size_t left)
{
    float items[WIDTH];
    _mm_storeu_ps(items, a);
    memcpy(at, items, left * sizeof *items);
}

typedef __m128i bytes;
enum { BYTES = 16 };

INLINE bytes load_bytes(const char *at) { return _mm_loadu_si128((const __m128i *)at); }
INLINE bytes load_bytes_tail(const char *at, size_t left)
{
    char items[BYTES] = {0};
    memcpy(items, at, left);
    return load_bytes(items);
}
/* The last `left` bytes before `end`, behind zeros; there are BYTES before it. */
INLINE bytes load_bytes_last(const char *end, size_t left)
{
    static const int64_t MASKS[4] = {0, 0, -1, -1};
    return _mm_and_si128(load_bytes(end - BYTES), load_bytes((const char *)MASKS + left));
}

typedef __m128i bit_counts; /* bits of each half of a byte, looked up by PSHUFB */
INLINE bit_counts no_bits(void) { return _mm_setzero_si128(); }
INLINE bit_counts add_differing_bits(bit_counts counts, bytes a, bytes b)
{
    const __m128i table = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4), low = _mm_set1_epi8(15);
    __m128i differing = _mm_xor_si128(a, b);
    __m128i each = _mm_add_epi8(_mm_shuffle_epi8(table, _mm_and_si128(differing, low)),
                                _mm_shuffle_epi8(table, _mm_and_si128(_mm_srli_epi16(differing, 4), low)));
    return _mm_add_epi64(counts, _mm_sad_epu8(each, _mm_setzero_si128()));
}
INLINE uint64_t sum_bits(bit_counts counts)
{
    return (uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(counts, _mm_unpackhi_epi64(counts, counts)));
}

typedef __m128i byte_products;
INLINE byte_products no_products(void) { return _mm_setzero_si128(); }
INLINE byte_products add_byte_products(byte_products sums, bytes a, bytes b)
{
    __m128i lower = _mm_madd_epi16(_mm_cvtepi8_epi16(a), _mm_cvtepi8_epi16(b));
    __m128i upper = _mm_madd_epi16(_mm_cvtepi8_epi16(_mm_unpackhi_epi64(a, a)),
                                   _mm_cvtepi8_epi16(_mm_unpackhi_epi64(b, b)));
    return _mm_add_epi32(sums, _mm_add_epi32(lower, upper));
}
typedef __m128i whole_sums;
enum { ROW_SHIFT = 0 };
INLINE whole_sums wholes_of(byte_products sums) { return sums; }
INLINE whole_sums no_wholes(void) { return no_products(); }
INLINE whole_sums add_row_products(whole_sums sums, bytes query, bytes row)
{
    return add_byte_products(sums, query, row);
}
INLINE int64_t sum_wholes(whole_sums sums)
{
    sums = _mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums));
    return _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_shuffle_epi32(sums, 1)));
}

AQE_FOR_END
