/* bench.c: test_kernels --bench [level]: the rate of each kernel at each level beside the machine's peaks, one thread,
 * best of many. The machine is shared: compare rates of one run as ratios. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* clock_gettime under -std=c11 */
#endif
#include "check.h"

#include <time.h>

#if defined(__x86_64__)
#include "base/os/cpu_features.h"
#endif

/* This thread's seconds on a core: what others take of it in between does not count. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double time_of(void (*fn)(void))
{
    double best = 1e9, start = now();
    fn();
    int repeat = (int)(5e-5 / (now() - start + 1e-7)) + 1; /* asking for the time costs half a microsecond */
    for (int n = 0; n < 5 || (now() - start < 0.25 && n < 100000); n++) {
        double t = now();
        for (int i = 0; i < repeat; i++) fn();
        t = (now() - t) / repeat;
        if (t < best) best = t;
    }
    return best;
}

/* ---- peaks ---- */

#if defined(__x86_64__)
/* Twelve independent chains in fixed registers, LOOPS times. */
enum { LOOPS = 100000, CHAINS = 12 };
#define TWELVE(x) x("0") x("1") x("2") x("3") x("4") x("5") x("6") x("7") x("8") x("9") x("10") x("11")
#define PEAK(name, op)                                                                                             \
    static void name(void)                                                                                         \
    {                                                                                                              \
        for (int n = 0; n < LOOPS; n++)                                                                            \
            __asm__ volatile("vpxor %%xmm14, %%xmm14, %%xmm14\n\t" TWELVE(op)::                                    \
                                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
                                   "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");                          \
        __asm__ volatile("vzeroupper");                                                                            \
    }
#define FMA512(i) "vfmadd231ps %%zmm14, %%zmm14, %%zmm" i "\n\t"
#define FMA256(i) "vfmadd231ps %%ymm14, %%ymm14, %%ymm" i "\n\t"
#define DOT512(i) "vpdpbusd %%zmm14, %%zmm14, %%zmm" i "\n\t"
#define DOT256(i) "vpdpbusd %%ymm14, %%ymm14, %%ymm" i "\n\t"
#define MADDUBS(i)                             \
    "vpmaddubsw %%ymm14, %%ymm14, %%ymm12\n\t" \
    "vpmaddwd %%ymm15, %%ymm12, %%ymm12\n\t"   \
    "vpaddd %%ymm12, %%ymm" i ", %%ymm" i "\n\t"
PEAK(peak_fma512, FMA512)
PEAK(peak_fma256, FMA256)
PEAK(peak_dot512, DOT512)
PEAK(peak_dot256, DOT256)
PEAK(peak_maddubs, MADDUBS)

static double peak_i8_512, peak_i8_256, peak_i8_avx2, peak_f32_512, peak_f32_256;

static void peaks(void)
{
    const double macs = (double)LOOPS * CHAINS * 1e-9;
    uint32_t have = st_cpu_features();
    printf("peaks, GMAC/s:");
    if (have & ST_CPU_AVX512) {
        printf("  vpdpbusd zmm %.0f", peak_i8_512 = macs * 64 / time_of(peak_dot512));
        printf("  vpdpbusd ymm %.0f", peak_i8_256 = macs * 32 / time_of(peak_dot256));
        printf("  fma zmm %.1f", peak_f32_512 = macs * 16 / time_of(peak_fma512));
    }
    if (have & ST_CPU_AVX2) {
        printf("  maddubs+madd+add %.0f", peak_i8_avx2 = macs * 32 / time_of(peak_maddubs));
        printf("  fma ymm %.1f", peak_f32_256 = macs * 8 / time_of(peak_fma256));
    }
    printf("\n");
}
static double peak_i8(const char *level)
{
    return strcmp(level, "avx512") == 0 ? peak_i8_512 : strcmp(level, "avxvnni") == 0 ? peak_i8_256 : peak_i8_avx2;
}
static double peak_f32(const char *level)
{
    return strcmp(level, "avx512") == 0 ? peak_f32_512 : peak_f32_256;
}
#else
static void peaks(void)
{
}
static double peak_i8(const char *level)
{
    (void)level;
    return 0;
}
static double peak_f32(const char *level)
{
    (void)level;
    return 0;
}
#endif

/* ---- GEMM ---- */

static st_kernels k;
static qact_mem acts;
static uint8_t *weights;
static float *fa, *fb, *fc;
static size_t weights_bytes;
static struct {
    uint32_t m, n, k, shape, planes, copies,
        copy; /* copies: so many different matrices in turn, to stream from memory */
    size_t ldb, panel_ld;
} job;

static void run_i8(void)
{
    const uint32_t blocks = job.k / 32;
    const size_t panel = st_shape_block_bytes((st_gemm_shape)job.shape) * blocks;
    const uint8_t *w = weights + panel * (job.n / 16) * (job.copy++ % job.copies);
    for (uint32_t p = 0; p < job.n / 16; p += 4) {
        uint32_t np = job.n / 16 - p < 4 ? job.n / 16 - p : 4;
        k.gemm_i8[job.shape](&acts.q, 0, job.m, (int)job.planes, w + p * panel, panel, np, blocks, false, fc + 16 * p,
                             job.n);
    }
}
static void run_f32(void)
{
    const float *b = fb + (size_t)job.n * job.k * (job.copy++ % job.copies);
    k.gemm_f32(fa, job.k, job.m, b, job.ldb, job.panel_ld, job.n / 16, job.k, false, fc, job.n);
}

static void bench_i8(uint32_t m, uint32_t n, uint32_t kk, uint32_t copies, int shapes)
{
    for (uint32_t shape = 0; shape < (uint32_t)shapes; shape++)
        for (uint32_t planes = 1; planes <= 2; planes++) {
            const size_t bytes = (size_t)n / 16 * st_shape_block_bytes((st_gemm_shape)shape) * (kk / 32);
            if (bytes * copies > weights_bytes) copies = (uint32_t)(weights_bytes / bytes);
            job.m = m, job.n = n, job.k = kk, job.shape = shape, job.planes = planes, job.copies = copies, job.copy = 0;
            double t = time_of(run_i8), g = (double)m * n * kk / t * 1e-9;
            printf("  gemm_i8 %-6s planes %u  M=%-4u N=%-5u K=%-5u %7.1f GMAC/s",
                   (const char *[]){"32", "32min", "16", "16min"}[shape], planes, m, n, kk, g);
            if (peak_i8(k.level) > 0) printf("  %5.1f %% of peak", 100 * g * planes / peak_i8(k.level));
            if (m == 1) printf("  %5.1f GB/s%s", (double)bytes / t * 1e-9, copies > 1 ? " from memory" : "");
            printf("\n");
        }
}

static void bench_f32(const char *what, uint32_t m, uint32_t n, uint32_t kk, size_t ldb, size_t panel_ld,
                      uint32_t copies)
{
    job.m = m, job.n = n, job.k = kk, job.ldb = ldb, job.panel_ld = panel_ld, job.copies = copies, job.copy = 0;
    double t = time_of(run_f32), g = (double)m * n * kk / t * 1e-9;
    printf("  gemm_f32 %-9s        M=%-4u N=%-5u K=%-5u %7.1f GMAC/s", what, m, n, kk, g);
    if (peak_f32(k.level) > 0) printf("  %5.1f %% of peak", 100 * g / peak_f32(k.level));
    if (m == 1) printf("  %5.1f GB/s", (double)n * kk * 4 / t * 1e-9);
    printf("\n");
}

/* ---- rows ---- */

enum { ROW = 768, ROWS = 16 };
static float *rx, *ry;
static uint16_t *rh;
static uint8_t *rq;
static int planes_now;
static int act_now;
static volatile float sum_sink;

static void run_quantize(void)
{
    k.quantize(rx, ROW, ROWS, ROW, planes_now, &acts.q, 0, 0);
}
static void run_rms(void)
{
    for (int r = 0; r < ROWS; r++) k.rms_norm(rx + r * ROW, fa, 1e-6f, ROW, ry + r * ROW);
}
static void run_layer(void)
{
    for (int r = 0; r < ROWS; r++) k.layer_norm(rx + r * ROW, fa, fa, 1e-6f, ROW, ry + r * ROW);
}
static void run_act(void)
{
    memcpy(ry, rx, ROW * ROWS * 4);
    k.act((st_act)act_now, ry, ROW, ROWS, ROW);
}
static void run_softmax(void)
{
    memcpy(ry, rx, ROW * ROWS * 4);
    for (int r = 0; r < ROWS; r++) sum_sink = k.softmax(ry + r * ROW, ROW, 0, ROW, 0.1f, 0, 0, 0);
}
static void run_rope(void)
{
    memcpy(ry, rx, ROW * ROWS * 4);
    for (int r = 0; r < ROWS * 3; r++) k.rope(ry + r * 256, fa, fa + 128, 128, act_now);
}
static void run_transpose(void)
{
    k.transpose16(rx, ROW, ROWS, ROW, ry);
}
static void run_add(void)
{
    k.add_scaled(rx, 1.0f, ry, ROW * ROWS);
}
static void run_f16(void)
{
    k.f16_to_f32(rh, ry, ROW * ROWS);
}
static void run_pack(void)
{
    k.interleave(rq, ROW / 32 * 34, 34, ROW / 32, 128, weights, 576);
}
static void run_unpack(void)
{
    k.unpack_f32[0](weights, ROW / 32, ry);
}

static void row(const char *what, void (*fn)(void), size_t values)
{
    printf("  %-22s %6.3f ns a value\n", what, time_of(fn) / (double)values * 1e9);
}

/* As the library allocates: at a multiple of 64 bytes. */
static void *aligned(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    assert_non_null(p);
    return p;
}
static float *aligned_floats(size_t n)
{
    float *p = aligned(n * 4);
    for (size_t i = 0; i < n; i++) p[i] = random_float(PLAIN);
    return p;
}

int bench(const char *only)
{
    weights_bytes = (size_t)192 << 20;
    acts = random_qact(256, 3072, false, PLAIN);
    weights = aligned(weights_bytes);
    for (size_t i = 0; i < weights_bytes; i += 8) {
        uint64_t v = (rng() & 0x00ffffff00ffffffu) | 0x3c0000003c000000u; /* as scales: 0.008 to 0.03, not denormals */
        memcpy(weights + i, &v, 8);
    }
    fa = aligned_floats(256 * 3072), fb = aligned_floats((size_t)48 << 20), fc = aligned(256 * 32768 * 4);
    rx = aligned_floats(ROW * ROWS), ry = aligned(ROW * ROWS * 4);
    rh = aligned(ROW * ROWS * 2), rq = aligned(ROW * 34);
    memset(rh, 0x3c, ROW * ROWS * 2), memset(rq, 0x11, ROW * 34), memset(fc, 0, 256 * 32768 * 4);
    peaks();
    for (size_t level = 0; level_name(level); level++) {
        level_init(&k, level);
        if (only && strcmp(only, k.level) != 0) continue;
        printf("%s\n", level_name(level));
        bench_i8(256, 1152, 768, 1, ST_SHAPE_COUNT);
        bench_i8(16, 1152, 768, 1, 1);
        bench_i8(5, 1152, 768, 1, 1);
        bench_i8(256, 384, 1536, 1, 1);
        bench_i8(1, 1152, 768, 1, ST_SHAPE_COUNT);
        bench_i8(1, 32768, 768, 100, 1);
        bench_f32("weights", 256, 768, 768, 16, 16 * 768, 1);
        bench_f32("Q K^T", 32, 512, 256, 16, 16 * 256, 1);
        bench_f32("P V", 32, 256, 512, 256, 16, 1);
        bench_f32("Q K^T", 32, 512, 64, 16, 16 * 64, 1);
        bench_f32("P V", 32, 64, 512, 64, 16, 1);
        bench_f32("Q K^T", 32, 128, 32, 16, 16 * 32, 1);
        bench_f32("P V", 32, 32, 128, 32, 16, 1);
        bench_f32("weights", 1, 768, 768, 16, 16 * 768, 1);
        bench_f32("weights", 1, 16384, 768, 16, 16 * 768, 3);
        planes_now = 1, row("quantize, 1 plane", run_quantize, ROW * ROWS);
        planes_now = 2, row("quantize, 2 planes", run_quantize, ROW * ROWS);
        row("rms_norm", run_rms, ROW * ROWS);
        row("layer_norm", run_layer, ROW * ROWS);
        act_now = ST_ACT_SILU, row("silu", run_act, ROW * ROWS);
        act_now = ST_ACT_GELU_TANH, row("gelu_tanh", run_act, ROW * ROWS);
        act_now = ST_ACT_GELU_ERF, row("gelu_erf", run_act, ROW * ROWS);
        act_now = ST_ACT_TANH, row("tanh", run_act, ROW * ROWS);
        row("softmax", run_softmax, ROW * ROWS);
        act_now = 1, row("rope neox", run_rope, ROW * ROWS);
        act_now = 0, row("rope norm", run_rope, ROW * ROWS);
        row("transpose16", run_transpose, ROW * ROWS);
        row("add_scaled", run_add, ROW * ROWS);
        row("f16_to_f32", run_f16, ROW * ROWS);
        row("interleave", run_pack, ROW * 16);
        row("unpack_f32", run_unpack, ROW * 16);
    }
    return 0;
}
