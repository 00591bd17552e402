/* AVX2 with FMA: 4 x 8 lanes, the tail through a masked load. Compiled without -m flags, by function attributes. */
#include "dispatch.h"

#ifdef AQE_HAS_AVX2
#include <immintrin.h>
#include <stdint.h>

#define AVX2 __attribute__((target("avx2,fma")))
#define INLINE static inline __attribute__((always_inline, target("avx2,fma")))

static const int32_t MASKS[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

INLINE __m256 load(const void *vector, size_t i)
{
    return _mm256_loadu_ps((const float *)((const char *)vector + i * sizeof(float)));
}

/* The last `left` (0 to 7) items from `i` on, zeros after them; nothing past the end is read. */
INLINE __m256 load_tail(const void *vector, size_t i, size_t left)
{
    __m256i mask = _mm256_loadu_si256((const __m256i *)(MASKS + 8 - left));
    return _mm256_maskload_ps((const float *)((const char *)vector + i * sizeof(float)), mask);
}

INLINE float fold(__m256 s0, __m256 s1, __m256 s2, __m256 s3)
{
    __m256 sum = _mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3));
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

AVX2 static float dot(const void *a, const void *b, size_t n)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = _mm256_fmadd_ps(load(a, i), load(b, i), s0);
        s1 = _mm256_fmadd_ps(load(a, i + 8), load(b, i + 8), s1);
        s2 = _mm256_fmadd_ps(load(a, i + 16), load(b, i + 16), s2);
        s3 = _mm256_fmadd_ps(load(a, i + 24), load(b, i + 24), s3);
    }
    for (; i + 8 <= n; i += 8)
        s0 = _mm256_fmadd_ps(load(a, i), load(b, i), s0);
    if (i < n)
        s1 = _mm256_fmadd_ps(load_tail(a, i, n - i), load_tail(b, i, n - i), s1);
    return fold(s0, s1, s2, s3);
}

INLINE __m256 add_square(__m256 a, __m256 b, __m256 sum)
{
    __m256 gap = _mm256_sub_ps(a, b);
    return _mm256_fmadd_ps(gap, gap, sum);
}

AVX2 static float squared_distance(const void *a, const void *b, size_t n)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = add_square(load(a, i), load(b, i), s0);
        s1 = add_square(load(a, i + 8), load(b, i + 8), s1);
        s2 = add_square(load(a, i + 16), load(b, i + 16), s2);
        s3 = add_square(load(a, i + 24), load(b, i + 24), s3);
    }
    for (; i + 8 <= n; i += 8)
        s0 = add_square(load(a, i), load(b, i), s0);
    if (i < n)
        s1 = add_square(load_tail(a, i, n - i), load_tail(b, i, n - i), s1);
    return fold(s0, s1, s2, s3);
}

AVX2 static void dot_and_square(const void *a, const void *b, size_t n, float *product, float *square_of_b)
{
    __m256 d0 = _mm256_setzero_ps(), d1 = d0, q0 = d0, q1 = d0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 b0 = load(b, i), b1 = load(b, i + 8);
        d0 = _mm256_fmadd_ps(load(a, i), b0, d0);
        d1 = _mm256_fmadd_ps(load(a, i + 8), b1, d1);
        q0 = _mm256_fmadd_ps(b0, b0, q0);
        q1 = _mm256_fmadd_ps(b1, b1, q1);
    }
    for (; i < n; i += 8) {
        size_t left = n - i;
        __m256 rest_a = left < 8 ? load_tail(a, i, left) : load(a, i);
        __m256 rest_b = left < 8 ? load_tail(b, i, left) : load(b, i);
        d0 = _mm256_fmadd_ps(rest_a, rest_b, d0);
        q0 = _mm256_fmadd_ps(rest_b, rest_b, q0);
    }
    *product = fold(d0, d1, _mm256_setzero_ps(), _mm256_setzero_ps());
    *square_of_b = fold(q0, q1, _mm256_setzero_ps(), _mm256_setzero_ps());
}

AVX2 static void add_row(float *sum, const signed char *row, float weight, size_t n)
{
    __m256 factor = _mm256_set1_ps(weight);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 items = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(row + i))));
        _mm256_storeu_ps(sum + i, _mm256_fmadd_ps(items, factor, _mm256_loadu_ps(sum + i)));
    }
    for (; i < n; i++)
        sum[i] += weight * (float)row[i];
}

const aqe_path aqe_avx2 = {"avx2", dot, squared_distance, dot_and_square, add_row};
#else
typedef int aqe_no_avx2_here;
#endif
