/* amx.c: asks Linux for AMX tiles, once in a process, after a trial in a child. Owns the answer. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* syscall */
#endif
#include "base/os/amx.h"

#if defined(__linux__) && defined(__x86_64__)
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/os/trial.h"

/* From the kernel's asm/prctl.h and asm/fpu/types.h, spelt out since old headers lack them. */
enum { GET_XCOMP_PERM = 0x1022, REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };

static bool amx_granted(void)
{
    uint64_t mask = 0;
    return syscall(SYS_arch_prctl, (long)GET_XCOMP_PERM, &mask) == 0 && (mask >> TILE_DATA & 1);
}

static bool amx_ask(void)
{
    return syscall(SYS_arch_prctl, (long)REQ_XCOMP_PERM, (long)TILE_DATA) == 0 && amx_granted();
}

/* One product of ones by every instruction that the kernels use: a host that saves no tile state gives other sums. */
static bool amx_works(void)
{
    if (!amx_ask()) return false;
    struct {
        _Alignas(64) uint8_t config[64];
        uint16_t ones[16 * 32];
        float sums[16 * 16];
    } m;
    memset(&m, 0, sizeof m);
    m.config[0] = 1; /* palette */
    for (int i = 0; i < 3; i++) m.config[16 + 2 * i] = 64, m.config[48 + i] = 16;
    for (int i = 0; i < 16 * 32; i++) m.ones[i] = 0x3f80;
    __asm__ volatile("ldtilecfg %0" ::"m"(m.config));
    __asm__ volatile("tilezero %%tmm0\n\t"
                     "tileloadd (%0,%2,1), %%tmm1\n\t"
                     "tileloadd (%0,%2,1), %%tmm2\n\t"
                     "tdpbf16ps %%tmm2, %%tmm1, %%tmm0\n\t"
                     "tilestored %%tmm0, (%1,%2,1)\n\t"
                     "sttilecfg %3\n\t"
                     "tilerelease" ::"r"(m.ones),
                     "r"(m.sums), "r"((size_t)64), "m"(m.config)
                     : "memory");
    for (int i = 0; i < 16 * 16; i++)
        if (m.sums[i] != 32.0f) return false;
    return true;
}

enum { UNASKED, YES, NO };

/* Of the process, as the permission is: amx.h says why it is no field of a model. */
static atomic_int answer = UNASKED;

bool st_amx_claim(void)
{
    int known = atomic_load(&answer);
    if (known == UNASKED) {
        int mine = amx_granted() || (st_trial(amx_works) && amx_ask()) ? YES : NO;
        if (atomic_compare_exchange_strong(&answer, &known, mine)) known = mine;
    }
    return known == YES;
}

#else

bool st_amx_claim(void)
{
    return false;
}

#endif
