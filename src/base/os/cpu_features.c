/* cpu_features.c: CPUID and XCR0 on x86-64, the kernel's hardware capabilities on aarch64. */
#include "base/os/cpu_features.h"

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#define GENERIC_ONLY /* MemorySanitizer does not know what most intrinsics write */
#endif
#endif

#if defined(GENERIC_ONLY)

uint32_t st_cpu_features(void)
{
    return 0;
}

#elif defined(__x86_64__)

#include <cpuid.h>

static uint32_t features_bit(uint32_t reg, unsigned n)
{
    return reg >> n & 1u;
}

/* What the system saves on a task switch (XCR0). Only where CPUID says OSXSAVE. */
static uint32_t features_xcr0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo;
}

uint32_t st_cpu_features(void)
{
    uint32_t a, b, c, d, found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    if (!features_bit(c, 27) || (features_xcr0() & 0x6) != 0x6) return 0; /* OSXSAVE; XMM and YMM state */
    uint32_t fma_f16c = features_bit(c, 12) & features_bit(c, 29);
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    uint32_t leaves = a, b7 = b, c7 = c, d7 = d, a71 = 0;
    if (leaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) a71 = a;
    if (features_bit(b7, 5) & fma_f16c) found |= ST_CPU_AVX2;
    if (features_bit(a71, 4)) found |= ST_CPU_AVXVNNI;
    /* F DQ BW VL in EBX, VNNI in ECX; mask, ZMM0-15 and ZMM16-31 state. */
    if ((features_bit(b7, 16) & features_bit(b7, 17) & features_bit(b7, 30) & features_bit(b7, 31) &
         features_bit(c7, 11)) &&
        (features_xcr0() & 0xe6) == 0xe6)
        found |= ST_CPU_AVX512;
    if ((found & ST_CPU_AVX512) && features_bit(a71, 5)) found |= ST_CPU_AVX512BF16;
    if (__get_cpuid(0, &a, &b, &c, &d) && b == 0x756e6547) found |= ST_CPU_SLOW_BF16; /* "Genu"ineIntel */
    if ((found & ST_CPU_AVX512BF16) && (features_bit(d7, 22) & features_bit(d7, 24)) &&
        (features_xcr0() & 0x60000) == 0x60000)
        found |= ST_CPU_AMX;
    return found;
}

#elif defined(__aarch64__)

#if defined(__linux__)
#include <sys/auxv.h>

/* Bit numbers from the kernel's asm/hwcap.h, spelt out since old headers lack them. */
uint32_t st_cpu_features(void)
{
    uint32_t found = ST_CPU_NEON;
    if (getauxval(AT_HWCAP) >> 20 & 1) found |= ST_CPU_DOTPROD;
    if (getauxval(AT_HWCAP2) >> 13 & 1) found |= ST_CPU_I8MM;
    return found;
}
#elif defined(__APPLE__)
#include <stddef.h>
#include <sys/sysctl.h>

static uint32_t has(const char *name)
{
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 && value;
}

uint32_t st_cpu_features(void)
{
    uint32_t found = ST_CPU_NEON;
    if (has("hw.optional.arm.FEAT_DotProd")) found |= ST_CPU_DOTPROD;
    if (has("hw.optional.arm.FEAT_I8MM")) found |= ST_CPU_I8MM;
    return found;
}
#else
uint32_t st_cpu_features(void)
{
    return ST_CPU_NEON;
}
#endif

#else

uint32_t st_cpu_features(void)
{
    return 0;
}

#endif
