/* The funnel's path avx2: half a line at a time. */
#include "isa.h"

#ifdef AQE_X86
#include "lanes_avx2.h"

AQE_FOR_AVX2

INLINE bytes spread(const uint8_t *table)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
}
INLINE bytes look_up(bytes table, bytes at) { return _mm256_shuffle_epi8(table, at); }
INLINE bytes low_halves(bytes a) { return _mm256_and_si256(a, _mm256_set1_epi8(15)); }
INLINE bytes high_halves(bytes a) { return low_halves(_mm256_srli_epi16(a, 4)); }
INLINE bytes add_bytes(bytes a, bytes b) { return _mm256_add_epi8(a, b); }
INLINE bytes add_sums(bytes a, bytes b) { return _mm256_add_epi16(a, b); }
INLINE bytes even_sums(bytes a) { return _mm256_and_si256(a, _mm256_set1_epi16(255)); }
INLINE bytes odd_sums(bytes a) { return _mm256_srli_epi16(a, 8); }
INLINE bytes no_sums(void) { return _mm256_setzero_si256(); }
INLINE void store_sums(uint16_t *at, bytes a) { _mm256_storeu_si256((__m256i *)at, a); }
INLINE lanes from_sums(const uint16_t *at)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)at)));
}
INLINE unsigned exceeding(lanes a, lanes b) { return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)); }
INLINE lanes turned(lanes a, lanes by)
{
    return _mm256_xor_ps(a, _mm256_andnot_ps(_mm256_cmp_ps(by, zeros(), _CMP_GT_OQ), all(-0.0f)));
}

#include "body.h"

AQE_FOR_END

AQE_FUNNEL_PATH(aqe_funnel_avx2, AQE_AVX2);
#else
typedef int aqe_no_avx2_here;
#endif
