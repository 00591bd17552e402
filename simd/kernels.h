/* Every idea, compiled for the lanes that were included before, and the table of one path: the end of its file. */
#include <string.h>

typedef float item_f32;
typedef uint16_t item_f16, item_bf16;

/* Ask for `size` bytes of a row from `at` on; no row: nothing is asked for. */
INLINE void ask_for(const char *row, size_t at, size_t size)
{
    for (size_t line = 0; row && line < size; line += 64)
        AQE_ASK_FOR(row + at + line);
}

/* Keep what was read in a register: a compiler would rather read it again, which costs as much as the sums where a row
   does not begin with a line of the cache. */
#if defined(__GNUC__) && defined(__x86_64__)
#define READ_ONCE(value) __asm__("" : "+v"(value))
#else
#define READ_ONCE(value) ((void)(value))
#endif

#define KIND f32
#include "sums.h"
#undef KIND
#define KIND f16
#include "sums.h"
#undef KIND
#define KIND bf16
#include "sums.h"
#undef KIND
#include "bytes.h"
#include "softmax.h"

static void add_row(float *total, const signed char *row, float weight, size_t n)
{
    lanes factor = all(weight);
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        store((char *)(total + i), mul_add(load_i8(row + i), factor, load_f32((const char *)(total + i))));
    for (; i < n; i++)
        total[i] += weight * (float)row[i];
}

#define SUMS(kind)                                                                                                     \
    {dot_##kind, l2_##kind, products_##kind, widen_##kind, dots_##kind, distances_##kind, dots_and_squares_##kind}
#define AQE_PATH(name, isa)                                                                                            \
    const aqe_path name = {isa,      {SUMS(f32), SUMS(f16), SUMS(bf16)}, byte_dot, hamming, byte_dots, hammings,       \
                           byte_dots_and_squares, any_beyond, softmax, scale, add_row}
