/* Sums over bytes: the differing bits of packed codes, and products of int8. Both are exact. */

/* So many bytes can be multiplied before a sum of 32 bits could overflow: 2**16 * 2**14 < 2**31. */
enum { SPAN = 1 << 16 };

/* Bytes between the row that is read and the one that is asked for. */
enum { FURTHER = 6144 };

INLINE uint64_t hamming_of(const char *a, const char *b, size_t n)
{
    bit_counts counts = no_bits();
    size_t i = 0;
    for (; i + BYTES <= n; i += BYTES)
        counts = add_differing_bits(counts, load_bytes(a + i), load_bytes(b + i));
    if (i < n)
        counts = add_differing_bits(counts, load_bytes_tail(a + i, n - i), load_bytes_tail(b + i, n - i));
    return sum_bits(counts);
}

INLINE int64_t span_dot(const char *a, const char *b, size_t n)
{
    byte_products sums = no_products();
    size_t i = 0;
    for (; i + BYTES <= n; i += BYTES)
        sums = add_byte_products(sums, load_bytes(a + i), load_bytes(b + i));
    if (i < n)
        sums = add_byte_products(sums, load_bytes_tail(a + i, n - i), load_bytes_tail(b + i, n - i));
    return sum_byte_products(sums);
}

INLINE int64_t byte_dot_of(const char *a, const char *b, size_t n)
{
    int64_t total = 0;
    for (; n > SPAN; a += SPAN, b += SPAN, n -= SPAN)
        total += span_dot(a, b, SPAN);
    return total + span_dot(a, b, n);
}

static int64_t hamming(const void *a, const void *b, size_t n) { return (int64_t)hamming_of(a, b, n); }
static int64_t byte_dot(const void *a, const void *b, size_t n) { return byte_dot_of(a, b, n); }

static void hammings(const void *query, const void *rows, size_t count, size_t n, int64_t *out)
{
    const size_t further = n ? FURTHER / n + 1 : 1;
    for (size_t row = 0; row < count; row++) {
        ask_for((const char *)rows + (row + further < count ? row + further : count - 1) * n, 0, n);
        out[row] = (int64_t)hamming_of(query, (const char *)rows + row * n, n);
    }
}

static void byte_dots(const void *query, const void *rows, size_t count, size_t n, int64_t *out)
{
    const size_t further = n ? FURTHER / n + 1 : 1;
    for (size_t row = 0; row < count; row++) {
        ask_for((const char *)rows + (row + further < count ? row + further : count - 1) * n, 0, n);
        out[row] = byte_dot_of(query, (const char *)rows + row * n, n);
    }
}
