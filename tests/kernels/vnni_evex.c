/* vnni_evex.c: the kernels of level "avxvnni" with vpdpbusd in the encoding of AVX-512 VL, so that a machine without
 * AVX-VNNI tests all of them but the encoding. */
#define ST_VNNI_EVEX
#define st_kernels_avxvnni st_kernels_avxvnni_evex
#include "backend/cpu/kernels/k_avxvnni.c"
