/* Sums over bytes: the differing bits of packed codes, and products of int8. Both are exact. Of rows that are scanned, what
   lies further on is asked for meanwhile, and the lanes of so many rows are added up together (AQE_TOGETHER): of short
   rows that takes longer than the rows themselves. */

/* So many bytes can be multiplied before a sum of 32 bits could overflow: 2**16 * 2**14 < 2**31; of rows that are shifted
   half as many. */
enum { SPAN = 1 << 16, ROW_SPAN = SPAN / 2 };

/* Bytes between the row that is read and the one that is asked for. */
enum { FURTHER = 6144 };

#ifdef SUMS_TOGETHER
#define READ_BYTES_ONCE(value) READ_ONCE(value)
#else
#define READ_BYTES_ONCE(value) ((void)(value))
INLINE void sum_bits_together(const bit_counts *counts, int64_t *out)
{
    for (size_t i = 0; i < AQE_TOGETHER; i++)
        out[i] = (int64_t)sum_bits(counts[i]);
}
INLINE void sum_products_together(const whole_sums *sums, int64_t *out)
{
    for (size_t i = 0; i < AQE_TOGETHER; i++)
        out[i] = sum_wholes(sums[i]);
}
#endif

/* The bytes from i on, fewer than BYTES, and zeros: one load where there are bytes before them. */
INLINE bytes rest_of_bytes(const char *from, size_t i, size_t n)
{
    return n < BYTES ? load_bytes_tail(from + i, n - i) : load_bytes_last(from + n, n - i);
}

INLINE bit_counts differing(const char *a, const char *b, size_t n)
{
    bit_counts counts = no_bits();
    size_t i = 0;
    for (; i + BYTES <= n; i += BYTES)
        counts = add_differing_bits(counts, load_bytes(a + i), load_bytes(b + i));
    return i < n ? add_differing_bits(counts, rest_of_bytes(a, i, n), rest_of_bytes(b, i, n)) : counts;
}

INLINE int64_t span_dot(const char *a, const char *b, size_t n)
{
    byte_products sums[2] = {no_products(), no_products()};
    size_t i = 0;
    for (; i + 2 * BYTES <= n; i += 2 * BYTES)
        for (size_t j = 0; j < 2; j++)
            sums[j] = add_byte_products(sums[j], load_bytes(a + i + j * BYTES), load_bytes(b + i + j * BYTES));
    for (; i + BYTES <= n; i += BYTES)
        sums[0] = add_byte_products(sums[0], load_bytes(a + i), load_bytes(b + i));
    if (i < n)
        sums[1] = add_byte_products(sums[1], rest_of_bytes(a, i, n), rest_of_bytes(b, i, n));
    return sum_wholes(wholes_of(sums[0])) + sum_wholes(wholes_of(sums[1]));
}

INLINE int64_t byte_dot_of(const char *a, const char *b, size_t n)
{
    int64_t total = 0;
    for (; n > SPAN; a += SPAN, b += SPAN, n -= SPAN)
        total += span_dot(a, b, SPAN);
    return total + span_dot(a, b, n);
}

static int64_t hamming(const void *a, const void *b, size_t n) { return (int64_t)sum_bits(differing(a, b, n)); }
static int64_t byte_dot(const void *a, const void *b, size_t n) { return byte_dot_of(a, b, n); }

/* A hint, which may lie behind the end. */
INLINE void ask_further(const char *row, size_t n) { ask_for((const char *)((uintptr_t)row + FURTHER), 0, n); }

static void hammings(const void *query, const void *rows, size_t count, size_t n, int64_t *out)
{
    const char *row = rows;
#ifdef SHORT_CODES
    if (n && n % 8 == 0 && n / 8 <= WORDS_OF_CODES) {
        size_t done = short_hammings(query, row, count, n / 8, FURTHER, out);
        row += done * n;
        out += done;
        count -= done;
    }
#endif
    for (; count >= AQE_TOGETHER; count -= AQE_TOGETHER, out += AQE_TOGETHER) {
        bit_counts counts[AQE_TOGETHER];
        for (size_t i = 0; i < AQE_TOGETHER; i++, row += n) {
            ask_further(row, n);
            counts[i] = differing(query, row, n);
        }
        sum_bits_together(counts, out);
    }
    for (; count--; row += n)
        *out++ = hamming(query, row, n);
}

/* Is one of the numbers less than `low` or more than `high`? */
static int any_beyond(const int64_t *numbers, size_t count, int64_t low, int64_t high)
{
    int64_t beyond = 0;
    for (size_t i = 0; i < count; i++)
        beyond |= -(int64_t)(numbers[i] < low) | -(int64_t)(numbers[i] > high);
    return beyond != 0;
}

/* What the products of a row with the query come to beyond what they are. */
INLINE int64_t excess_of(const char *query, size_t n)
{
    int64_t total = 0;
    for (size_t i = 0; ROW_SHIFT != 0 && i < n; i++)
        total += (signed char)query[i];
    return ROW_SHIFT * total;
}

INLINE whole_sums row_products(const char *query, const char *row, size_t n)
{
    whole_sums sums = no_wholes();
    size_t i = 0;
    for (; i + BYTES <= n; i += BYTES)
        sums = add_row_products(sums, load_bytes(query + i), load_bytes(row + i));
    return i < n ? add_row_products(sums, rest_of_bytes(query, i, n), rest_of_bytes(row, i, n)) : sums;
}

static void byte_dots(const void *query, const void *rows, size_t count, size_t n, int64_t *out)
{
    const int64_t excess = excess_of(query, n);
    const char *row = rows;
    for (; n <= ROW_SPAN && count >= AQE_TOGETHER; count -= AQE_TOGETHER, out += AQE_TOGETHER) {
        whole_sums sums[AQE_TOGETHER];
        for (size_t i = 0; i < AQE_TOGETHER; i++, row += n) {
            ask_further(row, n);
            sums[i] = row_products(query, row, n);
        }
        sum_products_together(sums, out);
        for (size_t i = 0; i < AQE_TOGETHER; i++)
            out[i] -= excess;
    }
    for (; count--; row += n)
        *out++ = byte_dot_of(query, row, n);
}

INLINE void products_and_squares(const char *query, const char *row, size_t n, whole_sums *products, whole_sums *squares)
{
    whole_sums with_query = no_wholes();
    byte_products with_itself = no_products();
    size_t i = 0;
    for (; i + BYTES <= n; i += BYTES) {
        bytes items = load_bytes(row + i);
        READ_BYTES_ONCE(items);
        with_query = add_row_products(with_query, load_bytes(query + i), items);
        with_itself = add_byte_products(with_itself, items, items);
    }
    if (i < n) {
        bytes items = rest_of_bytes(row, i, n);
        with_query = add_row_products(with_query, rest_of_bytes(query, i, n), items);
        with_itself = add_byte_products(with_itself, items, items);
    }
    *products = with_query;
    *squares = wholes_of(with_itself);
}

static void byte_dots_and_squares(const void *query, const void *rows, size_t count, size_t n, int64_t *dots,
                                  int64_t *squares)
{
    const int64_t excess = excess_of(query, n);
    const char *row = rows;
    for (; n <= ROW_SPAN && count >= AQE_TOGETHER; count -= AQE_TOGETHER) {
        whole_sums with_query[AQE_TOGETHER], with_itself[AQE_TOGETHER];
        for (size_t i = 0; i < AQE_TOGETHER; i++, row += n) {
            ask_further(row, n);
            products_and_squares(query, row, n, with_query + i, with_itself + i);
        }
        sum_products_together(with_query, dots);
        sum_products_together(with_itself, squares);
        for (size_t i = 0; i < AQE_TOGETHER; i++)
            dots[i] -= excess;
        dots += AQE_TOGETHER;
        squares += AQE_TOGETHER;
    }
    for (; count--; row += n) {
        *dots++ = byte_dot_of(query, row, n);
        *squares++ = byte_dot_of(row, row, n);
    }
}
