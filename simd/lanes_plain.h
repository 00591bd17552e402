/* Lanes in plain C, for compilers and processors that no other header is for. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* Four floats that GCC and Clang put into what the target has; one by one elsewhere. */
#ifdef __GNUC__
enum { WIDTH = 4 };
typedef float lanes __attribute__((vector_size(16)));
#define AT(lane) [lane]
#else
enum { WIDTH = 1 };
typedef float lanes;
#define AT(lane)
#endif

#define EACH(result, expression)                                                                                       \
    lanes result;                                                                                                      \
    for (int j = 0; j < WIDTH; j++)                                                                                    \
        result AT(j) = (expression);                                                                                   \
    return result

INLINE lanes all(float value) { EACH(r, value); }
INLINE lanes zeros(void) { return all(0); }
INLINE lanes add(lanes a, lanes b) { return a + b; }
INLINE lanes sub(lanes a, lanes b) { return a - b; }
INLINE lanes mul(lanes a, lanes b) { return a * b; }
INLINE lanes mul_add(lanes a, lanes b, lanes sum) { return a * b + sum; }
INLINE lanes larger(lanes a, lanes b) { EACH(r, a AT(j) > b AT(j) ? a AT(j) : b AT(j)); } /* b where either is NaN */
INLINE lanes nearest(lanes a) { return (a + 12582912.0f) - 12582912.0f; } /* for sizes below 2**22 */
INLINE lanes zero_below(lanes a, float low, lanes value) { EACH(r, a AT(j) < low ? 0 : value AT(j)); }
INLINE lanes power_of_two(lanes whole)
{
    lanes r;
    for (int j = 0; j < WIDTH; j++) {
        int32_t bits = (whole AT(j) <= 0 ? (int32_t)whole AT(j) + 127 : 0) << 23; /* 0 for NaN and what is beside it */
        float power;
        memcpy(&power, &bits, sizeof bits);
        r AT(j) = power;
    }
    return r;
}
INLINE float sum(lanes a)
{
    float total = 0;
    for (int j = 0; j < WIDTH; j++)
        total += a AT(j);
    return total;
}
INLINE float largest(lanes a)
{
    float most = a AT(0);
    for (int j = 1; j < WIDTH; j++)
        most = most > a AT(j) ? most : a AT(j);
    return most;
}

INLINE lanes load_f32_tail(const char *at, size_t left)
{
    lanes r = zeros();
    memcpy(&r, at, left * sizeof(float));
    return r;
}
INLINE lanes load_f32(const char *at) { return load_f32_tail(at, WIDTH); }
INLINE float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
/* The exponent moves from bias 15 to 127 by a product, which also makes denormal halves right; infinity and NaN get
   the exponent of all ones. */
INLINE float from_f16(uint16_t half)
{
    uint32_t size = half & 0x7fffu, value;
    float moved = from_bits(size << 13) * from_bits(0x77800000u);
    memcpy(&value, &moved, sizeof value);
    return from_bits(value | (uint32_t)(half & 0x8000u) << 16 | (size > 0x7bff ? 0x7f800000u : 0));
}
INLINE lanes load_f16_tail(const char *at, size_t left)
{
    uint16_t items[WIDTH] = {0};
    memcpy(items, at, left * sizeof *items);
    EACH(r, from_f16(items[j]));
}
INLINE lanes load_f16(const char *at) { return load_f16_tail(at, WIDTH); }
INLINE lanes load_bf16_tail(const char *at, size_t left)
{
    uint16_t items[WIDTH] = {0};
    memcpy(items, at, left * sizeof *items);
    EACH(r, from_bits((uint32_t)items[j] << 16));
}
INLINE lanes load_bf16(const char *at) { return load_bf16_tail(at, WIDTH); }
INLINE lanes load_i8(const signed char *at) { EACH(r, (float)at[j]); }
INLINE void store_tail(char *at, lanes a, size_t left) { memcpy(at, &a, left * sizeof(float)); }
INLINE void store(char *at, lanes a) { store_tail(at, a, WIDTH); }

typedef uint64_t bytes;
enum { BYTES = 8 };

INLINE bytes load_bytes_tail(const char *at, size_t left)
{
    bytes r = 0;
    memcpy(&r, at, left);
    return r;
}
INLINE bytes load_bytes(const char *at) { return load_bytes_tail(at, BYTES); }
INLINE bytes load_bytes_last(const char *end, size_t left) { return load_bytes_tail(end - left, left); }

typedef uint64_t bit_counts; /* bits counted by halves: of 2, of 4, of 8, then all bytes by a product */
INLINE bit_counts no_bits(void) { return 0; }
INLINE bit_counts add_differing_bits(bit_counts counts, bytes a, bytes b)
{
    uint64_t x = a ^ b;
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return counts + (x * 0x0101010101010101u >> 56);
}
INLINE uint64_t sum_bits(bit_counts counts) { return counts; }

typedef int64_t byte_products;
INLINE byte_products no_products(void) { return 0; }
INLINE byte_products add_byte_products(byte_products sums, bytes a, bytes b)
{
    signed char x[BYTES], y[BYTES];
    int32_t total = 0;
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    for (int j = 0; j < BYTES; j++)
        total += x[j] * y[j];
    return sums + total;
}
typedef int64_t whole_sums;
enum { ROW_SHIFT = 0 };
INLINE whole_sums wholes_of(byte_products sums) { return sums; }
INLINE whole_sums no_wholes(void) { return no_products(); }
INLINE whole_sums add_row_products(whole_sums sums, bytes query, bytes row)
{
    return add_byte_products(sums, query, row);
}
INLINE int64_t sum_wholes(whole_sums sums) { return sums; }
