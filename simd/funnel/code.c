/* Rows and queries as the scan takes them: signs and factors, tables, int8 and half floats. The same for every path. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "funnel.h"

enum { LANES = 16 }; /* sums are kept in so many places, which compilers turn into vectors */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t aqe_to_half(float value)
{
    uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > bits_of(AQE_LARGEST_HALF))
        return (uint16_t)(sign | 0x7bff);
    if (size < bits_of(6.103515625e-05f)) /* denormal: counts of 2^-24 */
        return (uint16_t)(sign | (uint32_t)lrintf(of_bits(size) * 16777216.0f));
    size += 0xfff + (size >> 13 & 1); /* to nearest, ties to even */
    size = (size >> 13) - ((127 - 15) << 10);
    return (uint16_t)(sign | (size > 0x7bff ? 0x7bff : size));
}

float aqe_from_half(uint16_t half)
{
    float size = of_bits((uint32_t)(half & 0x7fff) << 13) * of_bits(0x77800000u);
    return half & 0x8000 ? -size : size;
}

int aqe_encode(const aqe_funnel_path *path, const aqe_shape *shape, const float *row, const float *centre,
                const float *mean, uint8_t *block, unsigned slot)
{
    uint8_t code[AQE_MOST_BYTES];
    aqe_rest rest = path->take_apart(row, centre, mean, shape->dim, code);
    float f = rest.size > 0 ? rest.square / rest.size : 0;
    float k = -f * rest.away + (shape->metric == AQE_L2 ? -rest.square / 2 : rest.along);
    float scaled[2] = {f / shape->unit_f, k / shape->unit_k};
    uint16_t halves[2] = {aqe_to_half(scaled[0]), aqe_to_half(scaled[1])};
    memcpy(block + 2 * slot, &halves[0], 2);
    memcpy(block + 2 * AQE_BLOCK + 2 * slot, &halves[1], 2);
    uint8_t *at = block + AQE_HALVES + aqe_place(slot);
    for (size_t line = 0; line < shape->bytes; line++)
        at[line * AQE_BLOCK] = code[line];
    return scaled[0] > AQE_LARGEST_HALF || scaled[1] > AQE_LARGEST_HALF;
}

/* The sums of four signed items for all 16 ways to sign them; bit i set: item i counts positive. */
static void signed_sums(const float items[4], float sums[16])
{
    for (unsigned m = 0; m < 16; m++)
        sums[m] = ((m & 1 ? items[0] : -items[0]) + (m & 2 ? items[1] : -items[1]))
                  + ((m & 4 ? items[2] : -items[2]) + (m & 8 ? items[3] : -items[3]));
}

void aqe_ask(const aqe_shape *shape, const float *query, const float *mean, uint8_t *room, aqe_question *question)
{
    size_t groups = 2 * (size_t)shape->bytes;
    float widest = 0, offset = 0, top = 65535.0f / (float)groups;
    top = top < 63 ? floorf(top) : 63;
    float gap[8 * AQE_MOST_BYTES];
    memset(gap + 8 * (shape->bytes - 1), 0, 8 * sizeof *gap);
    for (size_t i = 0; i < shape->dim; i++)
        gap[i] = query[i] - mean[i];
    for (size_t group = 0; group < groups; group++) {
        const float *q = gap + 4 * group;
        float width = (fabsf(q[0]) + fabsf(q[1])) + (fabsf(q[2]) + fabsf(q[3]));
        offset += width;
        widest = width > widest ? width : widest;
    }
    float scale = widest > 0 ? top / (2 * widest) : 0;
    for (size_t group = 0; group < groups; group++) {
        const float *q = gap + 4 * group;
        float sums[16], width = (fabsf(q[0]) + fabsf(q[1])) + (fabsf(q[2]) + fabsf(q[3]));
        signed_sums(q, sums);
        for (size_t m = 0; m < 16; m++)
            room[16 * group + m] = (uint8_t)(int)((sums[m] + width) * scale + 0.5f);
    }
    question->tables = room;
    question->bytes = shape->bytes;
    question->step = scale > 0 ? shape->unit_f / scale : 0;
    question->floor = -offset * shape->unit_f;
    question->unit_k = shape->unit_k;
}

float aqe_quantise(const float *row, size_t dim, int8_t *out)
{
    float largest = 0;
    for (size_t i = 0; i < dim; i++)
        largest = fabsf(row[i]) > largest ? fabsf(row[i]) : largest;
    float factor = largest > 1e-30f ? 127.0f / largest : 0;
    for (size_t i = 0; i < dim; i++)
        out[i] = (int8_t)(((row[i] * factor) + 12582912.0f) - 12582912.0f);
    return largest / 127.0f;
}

int aqe_unit(const float *row, size_t dim, float *out)
{
    float largest = 0, nothing = 0;
    for (size_t i = 0; i < dim; i++) {
        largest = fabsf(row[i]) > largest ? fabsf(row[i]) : largest;
        nothing += row[i] * 0.0f; /* NaN where an item is not finite */
    }
    if (nothing != 0)
        return 0;
    double sums[LANES] = {0}, square = 0;
    for (size_t i = 0; i < dim; i++)
        sums[i % LANES] += (double)row[i] * row[i];
    for (size_t j = 0; j < LANES; j++)
        square += sums[j];
    double factor = largest > 0 ? 1 / sqrt(square) : 0;
    for (size_t i = 0; i < dim; i++)
        out[i] = (float)(row[i] * factor);
    return 1;
}
