/* Lanes of 512 bits: what the kernels are written in, for AVX-512. A tail is a masked load: nothing past it is read.
   With AQE_512_VNNI they are those of CPUs that have VNNI and cannot count bits yet. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

#ifdef AQE_512_VNNI
#define AQE_FOR_512 AQE_FOR_AVX512VNNI
#else
#define AQE_FOR_512 AQE_FOR_AVX512
#endif

AQE_FOR_512

typedef __m512 lanes;
enum { WIDTH = 16 };

INLINE lanes zeros(void) { return _mm512_setzero_ps(); }
INLINE lanes all(float value) { return _mm512_set1_ps(value); }
INLINE lanes add(lanes a, lanes b) { return _mm512_add_ps(a, b); }
INLINE lanes sub(lanes a, lanes b) { return _mm512_sub_ps(a, b); }
INLINE lanes mul(lanes a, lanes b) { return _mm512_mul_ps(a, b); }
INLINE lanes mul_add(lanes a, lanes b, lanes sum) { return _mm512_fmadd_ps(a, b, sum); }
INLINE lanes larger(lanes a, lanes b) { return _mm512_max_ps(a, b); } /* b where either is NaN */
INLINE lanes nearest(lanes a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE lanes zero_below(lanes a, float low, lanes value)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, all(low), _CMP_NLT_UQ), value);
}
INLINE lanes power_of_two(lanes whole)
{
    __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(whole), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}
INLINE float sum(lanes a) { return _mm512_reduce_add_ps(a); }
INLINE float largest(lanes a) { return _mm512_reduce_max_ps(a); }

INLINE __mmask16 first(size_t left) { return (__mmask16)((1u << left) - 1); }
INLINE lanes load_f32(const char *at) { return _mm512_loadu_ps(at); }
INLINE lanes load_f32_tail(const char *at, size_t left) { return _mm512_maskz_loadu_ps(first(left), at); }
INLINE lanes load_f16(const char *at) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)at)); }
INLINE lanes load_f16_tail(const char *at, size_t left)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(left), at));
}
INLINE lanes from_bf16(__m256i halves)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
INLINE lanes load_bf16(const char *at) { return from_bf16(_mm256_loadu_si256((const __m256i *)at)); }
INLINE lanes load_bf16_tail(const char *at, size_t left)
{
    return from_bf16(_mm256_maskz_loadu_epi16(first(left), at));
}
INLINE lanes load_i8(const signed char *at)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)at)));
}
INLINE void store(char *at, lanes a) { _mm512_storeu_ps(at, a); }
INLINE void store_tail(char *at, lanes a, size_t left) { _mm512_mask_storeu_ps(at, first(left), a); }

typedef __m512i bytes;
enum { BYTES = 64 };

INLINE bytes load_bytes(const char *at) { return _mm512_loadu_si512(at); }
INLINE bytes load_bytes_tail(const char *at, size_t left)
{
    return _mm512_maskz_loadu_epi8((__mmask64)((1ull << left) - 1), at);
}
INLINE bytes load_bytes_last(const char *end, size_t left) { return load_bytes_tail(end - left, left); }

typedef __m512i bit_counts;
INLINE bit_counts no_bits(void) { return _mm512_setzero_si512(); }
#ifdef AQE_512_VNNI /* bits of each half of a byte, looked up by VPSHUFB */
INLINE bit_counts add_differing_bits(bit_counts counts, bytes a, bytes b)
{
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    __m512i differing = _mm512_xor_si512(a, b), upper = _mm512_srli_epi16(differing, 4);
    __m512i each = _mm512_add_epi8(_mm512_shuffle_epi8(table, _mm512_and_si512(differing, low)),
                                   _mm512_shuffle_epi8(table, _mm512_and_si512(upper, low)));
    return _mm512_add_epi64(counts, _mm512_sad_epu8(each, _mm512_setzero_si512()));
}
#else /* VPOPCNTDQ */
INLINE bit_counts add_differing_bits(bit_counts counts, bytes a, bytes b)
{
    return _mm512_add_epi64(counts, _mm512_popcnt_epi64(_mm512_xor_si512(a, b)));
}
#endif
INLINE uint64_t sum_bits(bit_counts counts) { return (uint64_t)_mm512_reduce_add_epi64(counts); }

/* The sums of eight vectors as one: halves of two vectors side by side, so that each step adds up both. */
#define SUMS_TOGETHER
INLINE __m512i folded_64(__m512i a, __m512i b)
{
    return _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}
INLINE void sum_bits_together(const bit_counts *c, int64_t *out)
{
    __m512i ab = folded_64(c[0], c[1]), cd = folded_64(c[2], c[3]);
    __m512i ef = folded_64(c[4], c[5]), gh = folded_64(c[6], c[7]);
    __m512i abcd = _mm512_add_epi64(_mm512_shuffle_i64x2(ab, cd, 0x88), _mm512_shuffle_i64x2(ab, cd, 0xdd));
    __m512i efgh = _mm512_add_epi64(_mm512_shuffle_i64x2(ef, gh, 0x88), _mm512_shuffle_i64x2(ef, gh, 0xdd));
    _mm512_storeu_si512(out, _mm512_add_epi64(_mm512_shuffle_i64x2(abcd, efgh, 0x88),
                                              _mm512_shuffle_i64x2(abcd, efgh, 0xdd)));
}

/* VNNI multiplies unsigned by signed bytes: (a + 128) * b, less 128 * b. */
typedef struct {
    __m512i shifted, excess;
} byte_products;
INLINE byte_products no_products(void) { return (byte_products){_mm512_setzero_si512(), _mm512_setzero_si512()}; }
INLINE byte_products add_byte_products(byte_products sums, bytes a, bytes b)
{
    __m512i unsigned_a = _mm512_xor_si512(a, _mm512_set1_epi8(-128));
    return (byte_products){_mm512_dpbusd_epi32(sums.shifted, unsigned_a, b),
                           _mm512_dpbusd_epi32(sums.excess, _mm512_set1_epi8(1), b)};
}
typedef __m512i whole_sums;
INLINE whole_sums no_wholes(void) { return _mm512_setzero_si512(); }
INLINE whole_sums wholes_of(byte_products sums)
{
    return _mm512_sub_epi32(sums.shifted, _mm512_slli_epi32(sums.excess, 7));
}

/* Of many rows the excess is the same: ROW_SHIFT times the sum of the query. */
enum { ROW_SHIFT = 128 };
INLINE whole_sums add_row_products(whole_sums sums, bytes query, bytes row)
{
    return _mm512_dpbusd_epi32(sums, _mm512_xor_si512(row, _mm512_set1_epi8(-128)), query);
}
INLINE int64_t sum_wholes(whole_sums sums) { return _mm512_reduce_add_epi32(sums); }

INLINE __m512i folded_32(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}
INLINE void sum_products_together(const whole_sums *s, int64_t *out)
{
    __m512i ab = folded_32(s[0], s[1]), cd = folded_32(s[2], s[3]);
    __m512i ef = folded_32(s[4], s[5]), gh = folded_32(s[6], s[7]);
    __m512i abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m512i efgh = _mm512_add_epi32(_mm512_unpacklo_epi64(ef, gh), _mm512_unpackhi_epi64(ef, gh));
    __m512i all = _mm512_add_epi32(_mm512_shuffle_i32x4(abcd, efgh, 0x88), _mm512_shuffle_i32x4(abcd, efgh, 0xdd));
    all = _mm512_add_epi32(_mm512_shuffle_i32x4(all, all, 0x88), _mm512_shuffle_i32x4(all, all, 0xdd));
    _mm512_storeu_si512(out, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(all)));
}

AQE_FOR_END
