/* more_levels.h: this build's kernel levels and four more, in place of kernels.c: whoever includes it defines what
 * kernels.c does, so that the linker leaves that out and the whole library sees the longer table.
 *
 * The four stand above all others. Two can run; one needs a feature that no CPU has; one is a cap only. */
#ifndef TESTS_LEVELS_MORE_LEVELS_H
#define TESTS_LEVELS_MORE_LEVELS_H

#include "backend/cpu/kernels/levels.h"
#include "base/os/cpu_features.h"

#define MORE_NOWHERE (1u << 31) /* a feature of no CPU */

/* Overwrites something, with what was there. */
static void more_fill(st_kernels *k)
{
    k->gemv_rows = k->gemv_rows;
}

static const st_kernel_level more_levels[] = {
#define ST_KERNEL_LEVEL(name, needs) {#name, needs, st_kernels_##name},
#define ST_KERNEL_CAP(name, units)   {#name, 0, NULL},
#include "backend/cpu/kernels/levels.def"
    {"more1", 0, more_fill},
    {"nowhere", MORE_NOWHERE, more_fill},
    {"morecap", 0, NULL},
    {"more2", 0, more_fill},
};
enum { N_MORE_LEVELS = sizeof more_levels / sizeof *more_levels };

bool st_kernels_init(st_kernels *k, const char *cap)
{
    return st_levels_fill(more_levels, N_MORE_LEVELS, st_cpu_features(), cap, k);
}

const char *st_kernels_level_at(uint32_t i)
{
    return st_levels_at(more_levels, N_MORE_LEVELS, st_cpu_features(), i);
}

#endif
