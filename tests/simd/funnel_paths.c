/* Every path of the funnel that runs here against the portable one: prints a line for each difference, and how many
   comparisons there were. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "funnel.h"

static unsigned state = 1;
static float noise(void)
{
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

static int differ(const char *path, const char *what, size_t dim, double a, double b, double room)
{
    if (fabs(a - b) <= room)
        return 0;
    printf("%s %s dim %zu: %.9g, portable %.9g\n", path, what, dim, a, b);
    return 1;
}

int main(void)
{
    static float rows[64][700], query[700], mean[700];
    static uint8_t block[AQE_HALVES + 64 * 88], other[AQE_HALVES + 64 * 88], room[32 * 88];
    int failed = 0, compared = 0;
    size_t last = 0;
    while (aqe_funnel_path_at(last))
        last++;
    const aqe_funnel_path *plain = aqe_funnel_path_at(last - 1);
    for (size_t dim = 1; dim < 700; dim += dim < 70 ? 1 : 61)
        for (size_t p = 0; p < last; p++) {
            const aqe_funnel_path *path = aqe_funnel_path_at(p);
            const char *name = aqe_isa_name(path->isa);
            size_t bytes = (dim + 7) / 8;
            aqe_shape shape = {(uint32_t)dim, (uint32_t)bytes, AQE_HALVES + 64 * bytes, (int)(dim % 3), .05f, .1f};
            aqe_question question;
            int8_t small[700];
            uint16_t halves[700];
            float out[64], wanted[64];
            for (size_t i = 0; i < dim; i++) {
                query[i] = noise();
                mean[i] = noise() / 4;
                for (size_t s = 0; s < 64; s++)
                    rows[s][i] = noise();
            }
            for (unsigned s = 0; s < 64; s++) {
                aqe_encode(path, &shape, rows[s], mean, mean, block, s);
                aqe_encode(plain, &shape, rows[s], mean, mean, other, s);
            }
            failed += memcmp(block + AQE_HALVES, other + AQE_HALVES, 64 * shape.bytes) != 0;
            aqe_ask(&shape, query, mean, room, &question);
            uint64_t a = path->estimate(block, block, &question, .5f, 0, out);
            uint64_t b = plain->estimate(block, block, &question, .5f, 0, wanted);
            for (int s = 0; s < 64; s++) {
                failed += differ(name, "estimate", dim, out[s], wanted[s], 1e-4 * (1 + fabs(wanted[s])));
                failed += (a >> s & 1) != (out[s] > 0) || ((b >> s & 1) != (wanted[s] > 0));
            }
            for (int how = 0; how < 3; how++) { /* as they are, raised by f, and what is no number */
                wanted[7] = how < 2 ? wanted[7] : NAN;
                uint64_t one = path->raised(how ? block : NULL, wanted, .3f, .4f);
                failed += one != plain->raised(how ? block : NULL, wanted, .3f, .4f) || (how == 2 && one >> 7 & 1);
                for (int s = 0; s < 64 && !how; s++)
                    failed += (one >> s & 1) != (wanted[s] > .4f);
            }
            float scale = aqe_quantise(rows[0], dim, small);
            for (size_t i = 0; i < dim; i++)
                halves[i] = aqe_to_half(rows[1][i]);
            double slack = 1e-5 * (double)(dim + 8);
            failed += differ(name, "dot", dim, path->dot(query, rows[0], dim), plain->dot(query, rows[0], dim), slack);
            failed += differ(name, "l2", dim, path->l2(query, rows[0], dim), plain->l2(query, rows[0], dim), slack);
            failed += differ(name, "dot_int8", dim, path->dot_int8(query, small, dim),
                             plain->dot_int8(query, small, dim), 127 * slack);
            failed += differ(name, "l2_int8", dim, path->l2_int8(query, small, scale, dim),
                             plain->l2_int8(query, small, scale, dim), slack);
            failed += differ(name, "dot_half", dim, path->dot_half(query, halves, dim),
                             plain->dot_half(query, halves, dim), slack);
            failed += differ(name, "l2_half", dim, path->l2_half(query, halves, .5f, dim),
                             plain->l2_half(query, halves, .5f, dim), slack);
            compared++;
        }
    printf("%d comparisons on %zu paths, %d failed; the first path is %s\n", compared, last, failed,
           aqe_isa_name(aqe_funnel_path_at(0)->isa));
    return failed != 0;
}
