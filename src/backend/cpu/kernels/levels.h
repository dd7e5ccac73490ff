/* levels.h: the cascade of kernel levels, over whatever table of them: which a machine has, and the kernels up to one.
 * The table of this build is kernels.c's. Stateless. */
#ifndef ST_BACKEND_CPU_KERNELS_LEVELS_H
#define ST_BACKEND_CPU_KERNELS_LEVELS_H

#include "backend/cpu/kernels/kernels.h"

typedef struct st_kernel_level {
    const char *name;
    uint32_t needs;              /* features, all of them */
    void (*fill)(st_kernels *k); /* overwrites what the level has; NULL: a cap only */
} st_kernel_level;

/* All levels of [n] that features `have` grant, one over the other, up to the one named `cap` (NULL or "": all). False
 * if none is named so; k is untouched then. */
bool st_levels_fill(const st_kernel_level *levels, size_t n, uint32_t have, const char *cap, st_kernels *k);

/* The name of the i-th that `have` grants, caps left out; NULL past the last. */
const char *st_levels_at(const st_kernel_level *levels, size_t n, uint32_t have, uint32_t i);

#endif
