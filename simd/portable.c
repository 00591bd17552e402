/* Plain C in sixteen independent lanes, a shape that compilers turn into whatever vectors the target has. */
#include <string.h>

#include "dispatch.h"

enum { LANES = 16 };

static inline float item(const void *vector, size_t i)
{
    float value;
    memcpy(&value, (const char *)vector + i * sizeof value, sizeof value);
    return value;
}

static float fold(const float *lanes)
{
    float sum[4];
    for (int j = 0; j < 4; j++)
        sum[j] = (lanes[j] + lanes[j + 4]) + (lanes[j + 8] + lanes[j + 12]);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static float dot(const void *a, const void *b, size_t n)
{
    float lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lanes[j] += item(a, i + j) * item(b, i + j);
    for (size_t j = 0; i + j < n; j++)
        lanes[j] += item(a, i + j) * item(b, i + j);
    return fold(lanes);
}

static float squared_distance(const void *a, const void *b, size_t n)
{
    float lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            float gap = item(a, i + j) - item(b, i + j);
            lanes[j] += gap * gap;
        }
    for (size_t j = 0; i + j < n; j++) {
        float gap = item(a, i + j) - item(b, i + j);
        lanes[j] += gap * gap;
    }
    return fold(lanes);
}

static void dot_and_square(const void *a, const void *b, size_t n, float *product, float *square_of_b)
{
    *product = dot(a, b, n);
    *square_of_b = dot(b, b, n);
}

static void add_row(float *restrict sum, const signed char *restrict row, float weight, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += weight * (float)row[i];
}

const aqe_path aqe_portable = {"portable", dot, squared_distance, dot_and_square, add_row};
