/* The funnel's path portable, in plain C: eight bytes at a time in one whole number. */
#include "isa.h"
#include "lanes_plain.h"

#define EVERY(byte) ((uint64_t)(byte) * 0x0101010101010101u)
#define EVERY_OTHER(byte) ((uint64_t)(byte) * 0x0001000100010001u)

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
enum { EVEN = 8, ODD = 0 }; /* where the byte of the lower address stands in a pair */
#else
enum { EVEN = 0, ODD = 8 };
#endif

INLINE const uint8_t *spread(const uint8_t *table) { return table; }
INLINE bytes look_up(const uint8_t *table, bytes at)
{
    bytes found = 0;
    for (int shift = 0; shift < 64; shift += 8)
        found |= (bytes)table[at >> shift & 15] << shift;
    return found;
}
INLINE bytes low_halves(bytes a) { return a & EVERY(15); }
INLINE bytes high_halves(bytes a) { return a >> 4 & EVERY(15); }
INLINE bytes add_bytes(bytes a, bytes b) { return a + b; } /* at most 252 in each: nothing is carried */
INLINE bytes add_sums(bytes a, bytes b) { return a + b; }
INLINE bytes even_sums(bytes a) { return a >> EVEN & EVERY_OTHER(255); }
INLINE bytes odd_sums(bytes a) { return a >> ODD & EVERY_OTHER(255); }
INLINE bytes no_sums(void) { return 0; }
INLINE void store_sums(uint16_t *at, bytes a) { memcpy(at, &a, sizeof a); }
INLINE lanes from_sums(const uint16_t *at) { EACH(r, (float)at[j]); }
INLINE unsigned exceeding(lanes a, lanes b)
{
    float x[WIDTH], y[WIDTH];
    unsigned above = 0;
    store((char *)x, a);
    store((char *)y, b);
    for (int j = 0; j < WIDTH; j++)
        above |= (unsigned)(x[j] > y[j]) << j;
    return above;
}
INLINE lanes turned(lanes a, lanes by)
{
    float items[WIDTH], signs[WIDTH];
    store((char *)items, a);
    store((char *)signs, by);
    for (int j = 0; j < WIDTH; j++)
        items[j] = signs[j] > 0 ? items[j] : -items[j];
    return load_f32((const char *)items);
}

#include "body.h"

AQE_FUNNEL_PATH(aqe_funnel_portable, AQE_PORTABLE);
