/* cpu_features.h: which instruction sets this CPU has and this operating system lets a program use. */
#ifndef ST_BASE_OS_CPU_FEATURES_H
#define ST_BASE_OS_CPU_FEATURES_H

#include <stdint.h>

enum {
    ST_CPU_AVX2 = 1 << 0,    /* AVX2, FMA and F16C; YMM state saved by the system */
    ST_CPU_AVXVNNI = 1 << 1, /* 256-bit vpdpbusd in VEX encoding */
    ST_CPU_AVX512 = 1 << 2,  /* F, BW, VL, DQ and VNNI; ZMM and mask state saved */
    ST_CPU_AVX512BF16 = 1 << 3,
    ST_CPU_SLOW_BF16 = 1 << 4, /* vdpbf16ps has half the rate of the float fma: Intel (Granite Rapids, November 2026) */
    ST_CPU_AMX = 1 << 5, /* tiles and tdpbf16ps are listed, XCR0 has their state; amx.h says if they may be used */
    ST_CPU_NEON = 1 << 8,
    ST_CPU_DOTPROD = 1 << 9, /* sdot */
    ST_CPU_I8MM = 1 << 10    /* smmla */
};

uint32_t st_cpu_features(void);

#endif
