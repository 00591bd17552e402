/* Lanes of 128 bits, for NEON on AArch64. A tail is copied into zeros first: nothing past it is read. */
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef float32x4_t lanes;
enum { WIDTH = 4 };

INLINE lanes zeros(void) { return vdupq_n_f32(0); }
INLINE lanes all(float value) { return vdupq_n_f32(value); }
INLINE lanes add(lanes a, lanes b) { return vaddq_f32(a, b); }
INLINE lanes sub(lanes a, lanes b) { return vsubq_f32(a, b); }
INLINE lanes mul(lanes a, lanes b) { return vmulq_f32(a, b); }
INLINE lanes mul_add(lanes a, lanes b, lanes sum) { return vfmaq_f32(sum, a, b); }
INLINE lanes larger(lanes a, lanes b) { return vmaxq_f32(a, b); } /* NaN where either is */
INLINE lanes nearest(lanes a) { return vrndnq_f32(a); }
INLINE lanes zero_below(lanes a, float low, lanes value)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(value), vcltq_f32(a, all(low))));
}
INLINE lanes power_of_two(lanes whole)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(whole), vdupq_n_s32(127)), 23));
}
INLINE float sum(lanes a) { return vaddvq_f32(a); }
INLINE float largest(lanes a) { return vmaxvq_f32(a); }

INLINE lanes load_f32(const char *at) { return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)at)); }
INLINE lanes load_f32_tail(const char *at, size_t left)
{
    float items[WIDTH] = {0};
    memcpy(items, at, left * sizeof *items);
    return vld1q_f32(items);
}
INLINE uint16x4_t load_halves(const char *at, size_t count)
{
    uint16_t items[WIDTH] = {0};
    memcpy(items, at, count * sizeof *items);
    return vld1_u16(items);
}
INLINE lanes from_bf16(uint16x4_t halves) { return vreinterpretq_f32_u32(vshll_n_u16(halves, 16)); }
INLINE lanes load_f16(const char *at) { return vcvt_f32_f16(vreinterpret_f16_u16(load_halves(at, WIDTH))); }
INLINE lanes load_f16_tail(const char *at, size_t left)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(load_halves(at, left)));
}
INLINE lanes load_bf16(const char *at) { return from_bf16(load_halves(at, WIDTH)); }
INLINE lanes load_bf16_tail(const char *at, size_t left) { return from_bf16(load_halves(at, left)); }
INLINE lanes load_i8(const signed char *at)
{
    int8_t items[8] = {0};
    memcpy(items, at, WIDTH);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(items)))));
}
INLINE void store(char *at, lanes a) { vst1q_u8((uint8_t *)at, vreinterpretq_u8_f32(a)); }
INLINE void store_tail(char *at, lanes a, size_t left)
{
    float items[WIDTH];
    vst1q_f32(items, a);
    memcpy(at, items, left * sizeof *items);
}

typedef uint8x16_t bytes;
enum { BYTES = 16 };

INLINE bytes load_bytes(const char *at) { return vld1q_u8((const uint8_t *)at); }
INLINE bytes load_bytes_tail(const char *at, size_t left)
{
    uint8_t items[BYTES] = {0};
    memcpy(items, at, left);
    return vld1q_u8(items);
}
/* The last `left` bytes before `end`, behind zeros; there are BYTES before it. */
INLINE bytes load_bytes_last(const char *end, size_t left)
{
    static const int64_t MASKS[4] = {0, 0, -1, -1};
    return vandq_u8(load_bytes(end - BYTES), load_bytes((const char *)MASKS + left));
}

typedef uint64x2_t bit_counts;
INLINE bit_counts no_bits(void) { return vdupq_n_u64(0); }
INLINE bit_counts add_differing_bits(bit_counts counts, bytes a, bytes b)
{
    return vaddq_u64(counts, vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(vcntq_u8(veorq_u8(a, b))))));
}
INLINE uint64_t sum_bits(bit_counts counts) { return vaddvq_u64(counts); }

typedef int32x4_t byte_products;
INLINE byte_products no_products(void) { return vdupq_n_s32(0); }
INLINE byte_products add_byte_products(byte_products sums, bytes a, bytes b)
{
    int8x16_t x = vreinterpretq_s8_u8(a), y = vreinterpretq_s8_u8(b);
    sums = vpadalq_s16(sums, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
    return vpadalq_s16(sums, vmull_high_s8(x, y));
}
typedef int32x4_t whole_sums;
enum { ROW_SHIFT = 0 };
INLINE whole_sums wholes_of(byte_products sums) { return sums; }
INLINE whole_sums no_wholes(void) { return no_products(); }
INLINE whole_sums add_row_products(whole_sums sums, bytes query, bytes row)
{
    return add_byte_products(sums, query, row);
}
INLINE int64_t sum_wholes(whole_sums sums) { return vaddlvq_s32(sums); }
