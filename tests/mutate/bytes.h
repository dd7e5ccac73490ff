/* bytes.h: bytes changed at random, and the numbers that do it: the same from the same state on every machine. */
#ifndef TESTS_MUTATE_BYTES_H
#define TESTS_MUTATE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t mutate_rng(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Values at which arithmetic turns over, and the bits of NaN and infinity. */
static inline uint64_t mutate_odd(uint64_t *r)
{
    static const uint64_t odd[] = {0,
                                   1,
                                   2,
                                   7,
                                   31,
                                   32,
                                   63,
                                   64,
                                   255,
                                   256,
                                   0x7f,
                                   0xffff,
                                   0x7fffffff,
                                   0x80000000,
                                   0xffffffff,
                                   0x100000000,
                                   0x7fffffffffffffff,
                                   0x8000000000000000,
                                   0xffffffffffffffff,
                                   0x7fc00000,
                                   0x7f800000};
    return odd[mutate_rng(r) % (sizeof odd / sizeof *odd)];
}

/* Up to four changes: most of what can go wrong is in the first `head` bytes, the metadata. */
static inline void mutate_bytes(uint8_t *p, size_t size, size_t head, uint64_t *r)
{
    unsigned n = 1 + mutate_rng(r) % 4;
    while (n--) {
        size_t room = mutate_rng(r) % 5 ? head : size, at = mutate_rng(r) % room, to = mutate_rng(r) % room, k;
        uint64_t v = mutate_odd(r);
        switch (mutate_rng(r) % 6) {
        case 0: p[at] ^= (uint8_t)(1u << mutate_rng(r) % 8); break;
        case 1: p[at] = (uint8_t)mutate_rng(r); break;
        case 2: p[at] = (uint8_t)(p[at] + 1 + mutate_rng(r) % 3 - 2); break;
        case 3: memcpy(p + at, &v, room - at < 4 ? room - at : 4); break;
        case 4: memcpy(p + at, &v, room - at < 8 ? room - at : 8); break;
        default:
            k = 1 + mutate_rng(r) % 64;
            if (k > room - at) k = room - at;
            if (k > room - to) k = room - to;
            memmove(p + to, p + at, k);
        }
    }
}

#endif
