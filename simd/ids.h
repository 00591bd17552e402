/* Ids in order with their rows. */
#ifndef AQE_IDS_H
#define AQE_IDS_H

#include <stddef.h>
#include <stdint.h>

/* The row of an id, -1 where it is not there. Ids mostly follow each other, so that the place of one is near where it would
   be if none were missing: the search begins there and doubles its steps. */
static inline int64_t aqe_row_of(const int64_t *ids, const int64_t *rows, size_t count, int64_t id)
{
    if (!count || id < ids[0] || id > ids[count - 1])
        return -1;
    uint64_t gap = (uint64_t)id - (uint64_t)ids[0], span = (uint64_t)ids[count - 1] - (uint64_t)ids[0];
    size_t guess = span ? (size_t)((double)gap / (double)span * (double)(count - 1)) : 0, low = 0, high = count - 1, step = 1;
    guess = guess < count ? guess : count - 1;
    if (ids[guess] <= id) { /* ids[low] <= id <= ids[high] from here on */
        for (low = guess; guess + step < high && ids[guess + step] < id; step *= 2)
            low = guess + step;
        high = guess + step < high ? guess + step : high;
    } else {
        for (high = guess; step < guess && ids[guess - step] > id; step *= 2)
            high = guess - step;
        low = step < guess ? guess - step : 0;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return ids[low] == id ? rows[low] : -1;
}

#endif
