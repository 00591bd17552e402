/* The funnel's path neon: a quarter of a line at a time. */
#include "isa.h"

#ifdef AQE_ARM
#include "lanes_neon.h"

INLINE bytes spread(const uint8_t *table) { return vld1q_u8(table); }
INLINE bytes look_up(bytes table, bytes at) { return vqtbl1q_u8(table, at); }
INLINE bytes low_halves(bytes a) { return vandq_u8(a, vdupq_n_u8(15)); }
INLINE bytes high_halves(bytes a) { return vshrq_n_u8(a, 4); }
INLINE bytes add_bytes(bytes a, bytes b) { return vaddq_u8(a, b); }
INLINE bytes add_sums(bytes a, bytes b)
{
    return vreinterpretq_u8_u16(vaddq_u16(vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b)));
}
INLINE bytes even_sums(bytes a) { return vandq_u8(a, vreinterpretq_u8_u16(vdupq_n_u16(255))); }
INLINE bytes odd_sums(bytes a) { return vreinterpretq_u8_u16(vshrq_n_u16(vreinterpretq_u16_u8(a), 8)); }
INLINE bytes no_sums(void) { return vdupq_n_u8(0); }
INLINE void store_sums(uint16_t *at, bytes a) { vst1q_u16(at, vreinterpretq_u16_u8(a)); }
INLINE lanes from_sums(const uint16_t *at) { return vcvtq_f32_u32(vmovl_u16(vld1_u16(at))); }
INLINE unsigned exceeding(lanes a, lanes b)
{
    const uint32_t bits[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgtq_f32(a, b), vld1q_u32(bits)));
}
INLINE lanes turned(lanes a, lanes by) { return vbslq_f32(vcgtq_f32(by, zeros()), a, vnegq_f32(a)); }

#include "body.h"

AQE_FUNNEL_PATH(aqe_funnel_neon, AQE_NEON);
#else
typedef int aqe_no_neon_here;
#endif
