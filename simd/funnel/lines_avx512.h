/* What the funnel looks up in tables, for lanes of 512 bits: a line of a block is one register. */
AQE_FOR_512

INLINE bytes spread(const uint8_t *table)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table));
}
INLINE bytes look_up(bytes table, bytes at) { return _mm512_shuffle_epi8(table, at); }
INLINE bytes low_halves(bytes a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }
INLINE bytes high_halves(bytes a) { return low_halves(_mm512_srli_epi16(a, 4)); }
INLINE bytes add_bytes(bytes a, bytes b) { return _mm512_add_epi8(a, b); }
INLINE bytes add_sums(bytes a, bytes b) { return _mm512_add_epi16(a, b); }
INLINE bytes even_sums(bytes a) { return _mm512_and_si512(a, _mm512_set1_epi16(255)); }
INLINE bytes odd_sums(bytes a) { return _mm512_srli_epi16(a, 8); }
INLINE bytes no_sums(void) { return _mm512_setzero_si512(); }
INLINE void store_sums(uint16_t *at, bytes a) { _mm512_storeu_si512(at, a); }
INLINE lanes from_sums(const uint16_t *at)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)at)));
}
INLINE unsigned exceeding(lanes a, lanes b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
INLINE lanes turned(lanes a, lanes by)
{
    return _mm512_mask_sub_ps(a, _mm512_cmp_ps_mask(by, zeros(), _CMP_LE_OQ), zeros(), a);
}

AQE_FOR_END
