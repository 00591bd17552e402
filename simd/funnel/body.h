/* The funnel on the lanes of one path: included behind lanes_*.h and the look-ups of tables, which each path has of its
   own: `bytes`, BYTES, spread(), look_up(), low_halves(), high_halves(), add_bytes(), add_sums(), even_sums(),
   odd_sums(), store_sums(), no_sums(), from_sums(), exceeding(), turned(). */
#include <string.h>

#include "funnel.h"

#define LINES(block) ((block) + AQE_HALVES)

/* Four tables for two lines: sums of four signs each, at most 252. */
INLINE bytes two_lines(bytes one, bytes other, const uint8_t *tables)
{
    bytes first = add_bytes(look_up(spread(tables), low_halves(one)), look_up(spread(tables + 16), high_halves(one)));
    bytes second =
        add_bytes(look_up(spread(tables + 32), low_halves(other)), look_up(spread(tables + 48), high_halves(other)));
    return add_bytes(first, second);
}

INLINE bytes one_line(bytes one, const uint8_t *tables)
{
    return add_bytes(look_up(spread(tables), low_halves(one)), look_up(spread(tables + 16), high_halves(one)));
}

/* The sums of a block in order of slot: those of even bytes are the first half, those of odd bytes the second. */
INLINE void sum_block(const uint8_t *block, const uint8_t *next, const aqe_question *question, uint16_t *sums)
{
    const uint8_t *lines = LINES(block);
    for (size_t part = 0; part < AQE_BLOCK; part += BYTES) {
        const uint8_t *tables = question->tables;
        bytes even = no_sums(), odd = no_sums();
        size_t line = 0;
        for (; line + 2 <= question->bytes; line += 2, tables += 64) {
            const uint8_t *at = lines + line * AQE_BLOCK + part;
            if (part == 0) {
                AQE_FETCH(LINES(next) + line * AQE_BLOCK);
                AQE_FETCH(LINES(next) + line * AQE_BLOCK + AQE_BLOCK);
            }
            bytes both = two_lines(load_bytes((const char *)at), load_bytes((const char *)at + AQE_BLOCK), tables);
            even = add_sums(even, even_sums(both));
            odd = add_sums(odd, odd_sums(both));
        }
        if (line < question->bytes) {
            bytes last = one_line(load_bytes((const char *)lines + line * AQE_BLOCK + part), tables);
            even = add_sums(even, even_sums(last));
            odd = add_sums(odd, odd_sums(last));
        }
        store_sums(sums + part / 2, even);
        store_sums(sums + AQE_BLOCK / 2 + part / 2, odd);
    }
}

static uint64_t estimate(const uint8_t *block, const uint8_t *next, const aqe_question *question, float base,
                         float threshold, float *out)
{
    uint16_t sums[AQE_BLOCK];
    uint64_t above = 0;
    sum_block(block, next, question, sums);
    for (size_t line = 0; line < AQE_HALVES; line += AQE_BLOCK)
        AQE_FETCH(next + line);
    lanes step = all(question->step), floor = all(question->floor), unit = all(question->unit_k), from = all(base);
    for (size_t slot = 0; slot < AQE_BLOCK; slot += WIDTH) {
        lanes f = load_f16((const char *)block + 2 * slot);
        lanes k = load_f16((const char *)block + 2 * AQE_BLOCK + 2 * slot);
        lanes found = mul_add(f, mul_add(from_sums(sums + slot), step, floor), mul_add(k, unit, from));
        above |= (uint64_t)exceeding(found, all(threshold)) << slot;
        store((char *)(out + slot), found);
    }
    return above;
}

static uint64_t raised(const uint8_t *block, const float *estimates, float doubt, float threshold)
{
    uint64_t above = 0;
    const lanes least = all(threshold), far = all(doubt);
    if (!block) {
        for (size_t slot = 0; slot < AQE_BLOCK; slot += WIDTH)
            above |= (uint64_t)exceeding(load_f32((const char *)(estimates + slot)), least) << slot;
        return above;
    }
    for (size_t slot = 0; slot < AQE_BLOCK; slot += WIDTH) {
        lanes f = load_f16((const char *)block + 2 * slot);
        above |= (uint64_t)exceeding(mul_add(f, far, load_f32((const char *)(estimates + slot))), least) << slot;
    }
    return above;
}

static float dot(const float *a, const float *b, size_t n)
{
    const char *x = (const char *)a, *y = (const char *)b;
    lanes s0 = zeros(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 4 * WIDTH <= n; i += 4 * WIDTH, x += 16 * WIDTH, y += 16 * WIDTH) {
        s0 = mul_add(load_f32(x), load_f32(y), s0);
        s1 = mul_add(load_f32(x + 4 * WIDTH), load_f32(y + 4 * WIDTH), s1);
        s2 = mul_add(load_f32(x + 8 * WIDTH), load_f32(y + 8 * WIDTH), s2);
        s3 = mul_add(load_f32(x + 12 * WIDTH), load_f32(y + 12 * WIDTH), s3);
    }
    for (; i + WIDTH <= n; i += WIDTH, x += 4 * WIDTH, y += 4 * WIDTH)
        s0 = mul_add(load_f32(x), load_f32(y), s0);
    if (i < n)
        s1 = mul_add(load_f32_tail(x, n - i), load_f32_tail(y, n - i), s1);
    return sum(add(add(s0, s1), add(s2, s3)));
}

INLINE lanes square(lanes a, lanes b, lanes sums)
{
    lanes gap = sub(a, b);
    return mul_add(gap, gap, sums);
}

static float l2(const float *a, const float *b, size_t n)
{
    const char *x = (const char *)a, *y = (const char *)b;
    lanes s0 = zeros(), s1 = s0;
    size_t i = 0;
    for (; i + 2 * WIDTH <= n; i += 2 * WIDTH, x += 8 * WIDTH, y += 8 * WIDTH) {
        s0 = square(load_f32(x), load_f32(y), s0);
        s1 = square(load_f32(x + 4 * WIDTH), load_f32(y + 4 * WIDTH), s1);
    }
    for (; i + WIDTH <= n; i += WIDTH, x += 4 * WIDTH, y += 4 * WIDTH)
        s0 = square(load_f32(x), load_f32(y), s0);
    if (i < n)
        s1 = square(load_f32_tail(x, n - i), load_f32_tail(y, n - i), s1);
    return sum(add(s0, s1));
}

static float dot_int8(const float *a, const int8_t *b, size_t n)
{
    const char *x = (const char *)a;
    lanes s0 = zeros(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    float rest = 0;
    for (; i + 4 * WIDTH <= n; i += 4 * WIDTH, x += 16 * WIDTH) {
        s0 = mul_add(load_f32(x), load_i8(b + i), s0);
        s1 = mul_add(load_f32(x + 4 * WIDTH), load_i8(b + i + WIDTH), s1);
        s2 = mul_add(load_f32(x + 8 * WIDTH), load_i8(b + i + 2 * WIDTH), s2);
        s3 = mul_add(load_f32(x + 12 * WIDTH), load_i8(b + i + 3 * WIDTH), s3);
    }
    for (; i + WIDTH <= n; i += WIDTH, x += 4 * WIDTH)
        s0 = mul_add(load_f32(x), load_i8(b + i), s0);
    for (; i < n; i++)
        rest += a[i] * (float)b[i];
    return sum(add(add(s0, s1), add(s2, s3))) + rest;
}

static float l2_int8(const float *a, const int8_t *b, float scale, size_t n)
{
    lanes s0 = zeros(), minus = all(-scale);
    size_t i = 0;
    float rest = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        lanes gap = mul_add(load_i8(b + i), minus, load_f32((const char *)(a + i)));
        s0 = mul_add(gap, gap, s0);
    }
    for (; i < n; i++) {
        float gap = a[i] - scale * (float)b[i];
        rest += gap * gap;
    }
    return sum(s0) + rest;
}

static float dot_half(const float *a, const uint16_t *b, size_t n)
{
    const char *x = (const char *)a, *y = (const char *)b;
    lanes s0 = zeros();
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH, x += 4 * WIDTH, y += 2 * WIDTH)
        s0 = mul_add(load_f32(x), load_f16(y), s0);
    if (i < n)
        s0 = mul_add(load_f32_tail(x, n - i), load_f16_tail(y, n - i), s0);
    return sum(s0);
}

static float l2_half(const float *a, const uint16_t *b, float scale, size_t n)
{
    const char *x = (const char *)a, *y = (const char *)b;
    lanes s0 = zeros(), factor = all(scale);
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH, x += 4 * WIDTH, y += 2 * WIDTH)
        s0 = square(load_f32(x), mul(load_f16(y), factor), s0);
    if (i < n)
        s0 = square(load_f32_tail(x, n - i), mul(load_f16_tail(y, n - i), factor), s0);
    return sum(s0);
}

INLINE lanes some(const float *from, size_t left)
{
    return left < WIDTH ? load_f32_tail((const char *)from, left) : load_f32((const char *)from);
}

static aqe_rest take_apart(const float *row, const float *centre, const float *mean, size_t n, uint8_t *code)
{
    lanes square = zeros(), size = square, along = square, away = square;
    memset(code, 0, (n + 7) / 8);
    for (size_t i = 0; i < n; i += WIDTH) {
        lanes c = some(centre + i, n - i), r = sub(some(row + i, n - i), c);
        unsigned signs = exceeding(r, zeros());
        square = mul_add(r, r, square);
        size = add(size, larger(r, sub(zeros(), r)));
        along = mul_add(r, c, along);
        away = add(away, turned(sub(c, some(mean + i, n - i)), r));
        for (size_t bit = 0; bit < WIDTH && i + bit < n; bit += 8)
            code[(i + bit) / 8] |= (uint8_t)(signs >> bit << i % 8);
    }
    return (aqe_rest){sum(square), sum(size), sum(along), sum(away)};
}

#define AQE_FUNNEL_PATH(name, isa)                                                                                     \
    const aqe_funnel_path name = {isa,     estimate, raised,   dot,     l2,                                             \
                                  dot_int8, l2_int8,  dot_half, l2_half, take_apart}
