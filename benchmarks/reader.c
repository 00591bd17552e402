/* Reads of memory that do nothing else, for benchmarks/simd.py: what they reach at best is the ceiling of a scan. One way
   of reading is the fastest on each machine: so many streams side by side, asking for the lines so far ahead. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 256 };

typedef uint64_t lanes __attribute__((vector_size(64)));

static inline lanes loaded(const char *from)
{
    lanes made;
    memcpy(&made, from, sizeof made);
    return made;
}

/* An OR of all whole blocks, so that none can be left out. `streams` is 1 or more; `ahead` 0 asks for nothing. */
uint64_t aqe_read(const char *from, size_t size, size_t streams, size_t ahead)
{
    lanes seen[4] = {{0}};
    const size_t part = size / streams / BLOCK * BLOCK;
    for (size_t at = 0; at < part; at += BLOCK)
        for (size_t stream = 0; stream < streams; stream++) {
            const char *place = from + stream * part + at;
            if (ahead)
                for (size_t line = 0; line < BLOCK; line += 64)
                    __builtin_prefetch(place + ahead + line); /* a hint, which may lie behind the end */
            for (size_t i = 0; i < 4; i++)
                seen[i] |= loaded(place + 64 * i);
        }
    lanes all = seen[0] | seen[1] | seen[2] | seen[3];
    uint64_t answer = 0;
    for (size_t i = 0; i < 8; i++)
        answer |= all[i];
    return answer;
}
