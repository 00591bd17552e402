/* Softmax of a row, and the scaling that normalising is made of. */

/* Below this exp() is smaller than the smallest normal float32, and counts as 0. */
static const float LOWEST = -87.0f;

/* exp(x) for x <= 0, NaN for NaN: x = r ln 2 + f with |f| <= ln 2 / 2, ln 2 in two parts (Cody and Waite), and the
   Taylor series of exp(f) to the 7th power, of which the rest is below 2**-27 of the sum. */
INLINE lanes exp_of(lanes x)
{
    lanes kept = larger(all(LOWEST), x);
    lanes r = nearest(mul(kept, all(1.44269504f)));
    lanes f = mul_add(r, all(2.12194440e-4f), mul_add(r, all(-0.693359375f), kept));
    lanes p = mul_add(all(1.0f / 5040), f, all(1.0f / 720));
    p = mul_add(p, f, all(1.0f / 120));
    p = mul_add(p, f, all(1.0f / 24));
    p = mul_add(p, f, all(1.0f / 6));
    p = mul_add(p, f, all(0.5f));
    p = mul_add(p, f, all(1.0f));
    p = mul_add(p, f, all(1.0f));
    return zero_below(x, LOWEST, mul(p, power_of_two(r)));
}

INLINE lanes load_rest(const char *from, size_t i, size_t n)
{
    return n - i < WIDTH ? load_f32_tail(from + 4 * i, n - i) : load_f32(from + 4 * i);
}

INLINE void store_rest(char *to, size_t i, size_t n, lanes value)
{
    if (n - i < WIDTH)
        store_tail(to + 4 * i, value, n - i);
    else
        store(to + 4 * i, value);
}

/* The largest of n > 0 items; with NaN among them anything, which makes every item of the answer NaN all the same. */
INLINE float largest_of(const char *row, size_t n)
{
    float first;
    memcpy(&first, row, sizeof first);
    lanes m0 = all(first), m1 = m0;
    size_t i = 0;
    for (; i + 2 * WIDTH <= n; i += 2 * WIDTH) {
        m0 = larger(m0, load_f32(row + 4 * i));
        m1 = larger(m1, load_f32(row + 4 * (i + WIDTH)));
    }
    float most = largest(larger(m0, m1));
    for (; i < n; i++) {
        float item;
        memcpy(&item, row + 4 * i, sizeof item);
        most = item > most ? item : most;
    }
    return most;
}

static void scale(const void *row, float factor, void *out, size_t n)
{
    lanes by = all(factor);
    for (size_t i = 0; i < n; i += WIDTH)
        store_rest(out, i, n, mul(load_rest(row, i, n), by));
}

static void softmax(const void *row, void *out, size_t n)
{
    if (n == 0)
        return;
    const char *from = row;
    char *to = out;
    lanes top = all(largest_of(from, n)), s0 = zeros(), s1 = s0;
    float total = 0;
    size_t i = 0;
    for (; i + 2 * WIDTH <= n; i += 2 * WIDTH) {
        lanes e0 = exp_of(sub(load_f32(from + 4 * i), top)), e1 = exp_of(sub(load_f32(from + 4 * (i + WIDTH)), top));
        store(to + 4 * i, e0);
        store(to + 4 * (i + WIDTH), e1);
        s0 = add(s0, e0);
        s1 = add(s1, e1);
    }
    for (; i < n; i += WIDTH) {
        lanes e = exp_of(sub(load_rest(from, i, n), top));
        float items[WIDTH];
        store((char *)items, e);
        for (size_t j = 0; j < WIDTH && i + j < n; j++)
            total += items[j];
        store_rest(to, i, n, e);
    }
    scale(out, 1.0f / (total + sum(add(s0, s1))), out, n);
}
