/* kernels.c: the kernel levels of this build, and the kernels of this machine. */
#include "backend/cpu/kernels/kernels.h"

#include "backend/cpu/kernels/levels.h"
#include "base/os/cpu_features.h"

static const st_kernel_level levels[] = {
#define ST_KERNEL_LEVEL(name, needs) {#name, needs, st_kernels_##name},
#define ST_KERNEL_CAP(name, units)   {#name, 0, NULL},
#include "backend/cpu/kernels/levels.def"
};
enum { N_LEVELS = sizeof levels / sizeof *levels };

bool st_kernels_init(st_kernels *k, const char *cap)
{
    return st_levels_fill(levels, N_LEVELS, st_cpu_features(), cap, k);
}

const char *st_kernels_level_at(uint32_t i)
{
    return st_levels_at(levels, N_LEVELS, st_cpu_features(), i);
}
