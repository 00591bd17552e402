/* The funnel's path sse4: a quarter of a line at a time. */
#include "isa.h"

#ifdef AQE_X86
#include "lanes_sse4.h"

AQE_FOR_SSE4

INLINE bytes spread(const uint8_t *table) { return _mm_loadu_si128((const __m128i *)table); }
INLINE bytes look_up(bytes table, bytes at) { return _mm_shuffle_epi8(table, at); }
INLINE bytes low_halves(bytes a) { return _mm_and_si128(a, _mm_set1_epi8(15)); }
INLINE bytes high_halves(bytes a) { return low_halves(_mm_srli_epi16(a, 4)); }
INLINE bytes add_bytes(bytes a, bytes b) { return _mm_add_epi8(a, b); }
INLINE bytes add_sums(bytes a, bytes b) { return _mm_add_epi16(a, b); }
INLINE bytes even_sums(bytes a) { return _mm_and_si128(a, _mm_set1_epi16(255)); }
INLINE bytes odd_sums(bytes a) { return _mm_srli_epi16(a, 8); }
INLINE bytes no_sums(void) { return _mm_setzero_si128(); }
INLINE void store_sums(uint16_t *at, bytes a) { _mm_storeu_si128((__m128i *)at, a); }
INLINE lanes from_sums(const uint16_t *at)
{
    return _mm_cvtepi32_ps(_mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i *)at)));
}
INLINE unsigned exceeding(lanes a, lanes b) { return (unsigned)_mm_movemask_ps(_mm_cmpgt_ps(a, b)); }
INLINE lanes turned(lanes a, lanes by) { return _mm_xor_ps(a, _mm_andnot_ps(_mm_cmpgt_ps(by, zeros()), all(-0.0f))); }

#include "body.h"

AQE_FOR_END

AQE_FUNNEL_PATH(aqe_funnel_sse4, AQE_SSE4);
#else
typedef int aqe_no_sse4_here;
#endif
