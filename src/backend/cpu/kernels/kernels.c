/* kernels.c: the cascade. Each level overwrites what it does faster; the order here is the order of preference. */
#include "backend/cpu/kernels/kernels.h"

#include <string.h>

#include "base/os/cpu_features.h"

typedef struct level {
    const char *name;
    uint32_t needs; /* features, all of them */
    void (*fill)(st_kernels *k);
} level;

static const level levels[] = {
    {"generic", 0, st_kernels_generic},
#if defined(__x86_64__)
    {"avx2", ST_CPU_AVX2, st_kernels_avx2},
    {"avxvnni", ST_CPU_AVX2 | ST_CPU_AVXVNNI, st_kernels_avxvnni},
    {"avx512", ST_CPU_AVX2 | ST_CPU_AVX512, st_kernels_avx512},
    /* Caps only: the units of precision bf16 (bf16_unit.c) stand above the levels. */
    {"avx512bf16", 0, NULL},
    {"amx", 0, NULL},
#elif defined(__aarch64__)
    {"neon", ST_CPU_NEON, st_kernels_neon},
    {"dotprod", ST_CPU_NEON | ST_CPU_DOTPROD, st_kernels_dotprod},
    {"i8mm", ST_CPU_NEON | ST_CPU_DOTPROD | ST_CPU_I8MM, st_kernels_i8mm},
#endif
};
enum { N_LEVELS = sizeof levels / sizeof levels[0] };

bool st_kernels_init(st_kernels *k, const char *cap)
{
    size_t last = N_LEVELS - 1;
    if (cap && *cap) {
        for (last = 0; last < N_LEVELS && strcmp(levels[last].name, cap) != 0; last++) {
        }
        if (last == N_LEVELS) return false;
    }
    uint32_t have = st_cpu_features();
    memset(k, 0, sizeof *k);
    for (size_t i = 0; i <= last; i++)
        if (levels[i].fill && (levels[i].needs & ~have) == 0) levels[i].fill(k);
    return true;
}

/* The list for each set of levels beyond generic that a machine can have; constants, since callers share them. */
const char *const *st_kernels_levels(void)
{
    uint32_t have = st_cpu_features(), set = 0;
    for (uint32_t i = 1; i < N_LEVELS; i++)
        if (levels[i].fill && (levels[i].needs & ~have) == 0) set |= 1u << (i - 1);
#if defined(__x86_64__)
    static const char *const lists[8][N_LEVELS + 1] = {
        {"generic"},
        {"generic", "avx2"},
        {"generic"}, /* avxvnni needs avx2 */
        {"generic", "avx2", "avxvnni"},
        {"generic"},
        {"generic", "avx2", "avx512"},
        {"generic"},
        {"generic", "avx2", "avxvnni", "avx512"},
    };
#elif defined(__aarch64__)
    static const char *const lists[8][N_LEVELS + 1] = {
        {"generic"},
        {"generic", "neon"},
        {"generic"}, /* each needs those before it */
        {"generic", "neon", "dotprod"},
        {"generic"},
        {"generic", "neon"},
        {"generic"},
        {"generic", "neon", "dotprod", "i8mm"},
    };
#else
    static const char *const lists[1][N_LEVELS + 1] = {{"generic"}};
#endif
    return lists[set];
}
