/* Every idea, compiled for the lanes that were included before, and the table of one path: the end of its file. */
#include <string.h>

typedef float item_f32;
typedef uint16_t item_f16, item_bf16;

/* Ask for the line of each of four rows that starts `at` bytes from their beginning; they may end before. */
INLINE void ask_for(const void *const rows[4], size_t at)
{
#ifdef __GNUC__
    for (int r = 0; at % 64 == 0 && r < 4; r++)
        __builtin_prefetch((const char *)rows[r] + at);
#else
    (void)rows, (void)at;
#endif
}

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

#define SUMS(kind) {dot_##kind, l2_##kind, products_##kind, dots_##kind, distances_##kind, dots_and_squares_##kind}
#define AQE_PATH(name, isa)                                                                                             \
    const aqe_path name = {isa,      {SUMS(f32), SUMS(f16), SUMS(bf16)}, byte_dot, hamming, byte_dots, hammings,        \
                           softmax,  scale,                             add_row}
