/* hash.h: FNV-1a, of bytes after what h has seen, in both its widths. For tables, not against an adversary. */
#ifndef ST_BASE_HASH_H
#define ST_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define ST_FNV32 2166136261u
#define ST_FNV64 0xcbf29ce484222325u

static inline uint32_t st_fnv32(uint32_t h, const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 16777619u;
    return h;
}

static inline uint64_t st_fnv64(uint64_t h, const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

#endif
