/* bf16_unit.c: which unit computes precision `bf16`. */
#include "backend/cpu/kernels/bf16_unit.h"

#include <string.h>

#include "base/os/amx.h"
#include "base/os/cpu_features.h"

unsigned st_bf16_allowed(const char *cap)
{
    if (!cap || !*cap) return ST_BF16_AVX512 | ST_BF16_AMX;
#define ST_KERNEL_CAP(name, units) \
    if (strcmp(cap, #name) == 0) return units;
#include "backend/cpu/kernels/levels.def"
    return 0;
}

#if defined(__x86_64__)

/* Where vdpbf16ps has half the rate of the float fma it is slower than precision f32, and used only when asked for. */
static bool unit_has_avx512(unsigned allowed)
{
    uint32_t have = st_cpu_features();
    return (allowed & ST_BF16_AVX512) && (have & ST_CPU_AVX512BF16) &&
           (!(have & ST_CPU_SLOW_BF16) || (allowed & ST_BF16_FORCED));
}

static bool unit_lists_amx(unsigned allowed)
{
    return (allowed & ST_BF16_AMX) && (st_cpu_features() & ST_CPU_AMX);
}

const char *st_bf16_listed(unsigned allowed)
{
    return unit_lists_amx(allowed) ? "amx" : unit_has_avx512(allowed) ? "avx512bf16" : NULL;
}

bool st_bf16_init(st_bf16 *k, unsigned allowed)
{
    memset(k, 0, sizeof *k);
    bool amx = unit_lists_amx(allowed) && st_amx_claim();
    if (!amx && !unit_has_avx512(allowed)) return false;
    st_bf16_avx512(k);
    if (amx) st_bf16_amx(k);
    return true;
}

#else

const char *st_bf16_listed(unsigned allowed)
{
    (void)allowed;
    return NULL;
}

bool st_bf16_init(st_bf16 *k, unsigned allowed)
{
    (void)allowed;
    memset(k, 0, sizeof *k);
    return false;
}

#endif
