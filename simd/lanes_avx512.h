/* Lanes of 512 bits: what the kernels are written in, for AVX-512. A tail is a masked load: nothing past it is read. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

AQE_FOR_AVX512

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

typedef __m512i bit_counts; /* VPOPCNTDQ */
INLINE bit_counts no_bits(void) { return _mm512_setzero_si512(); }
INLINE bit_counts add_differing_bits(bit_counts counts, bytes a, bytes b)
{
    return _mm512_add_epi64(counts, _mm512_popcnt_epi64(_mm512_xor_si512(a, b)));
}
INLINE uint64_t sum_bits(bit_counts counts) { return (uint64_t)_mm512_reduce_add_epi64(counts); }

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
INLINE int64_t sum_byte_products(byte_products sums)
{
    return _mm512_reduce_add_epi32(_mm512_sub_epi32(sums.shifted, _mm512_slli_epi32(sums.excess, 7)));
}

AQE_FOR_END
