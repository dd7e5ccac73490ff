/* peaks.c: the most that this machine can do with the instructions of a kernel level; a benchmark compares what the
 * kernels reach. Nothing here is used to run a model. */
#include <string.h>

#include "backend/cpu/cpu.h"

/* Reads that no cache holds: the largest L3 of one socket's slice in common servers is well below. */
#define READ_BYTES ((size_t)256 << 20)
/* Twelve independent chains hide the latency of every unit met so far (4-5 cycles, two a cycle). */
#define CHAINS 12u
#define LOOPS  20000u
#define ROUNDS 24u

typedef void (*spin_fn)(void);

#if defined(__x86_64__)
#define TWELVE(x) x("0") x("1") x("2") x("3") x("4") x("5") x("6") x("7") x("8") x("9") x("10") x("11")
#define SPIN(name, op)                                                                                             \
    static void name(void)                                                                                         \
    {                                                                                                              \
        __asm__ volatile("vpxor %%xmm14, %%xmm14, %%xmm14\n\tvpxor %%xmm15, %%xmm15, %%xmm15\n\t" ::               \
                             : "xmm14", "xmm15");                                                                  \
        for (uint32_t i = 0; i < LOOPS; i++)                                                                       \
            __asm__ volatile(TWELVE(op)::                                                                          \
                                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
                                   "xmm10", "xmm11", "xmm12", "xmm14", "xmm15");                                   \
        __asm__ volatile("vzeroupper");                                                                            \
    }
#define FMA512(i) "vfmadd231ps %%zmm14, %%zmm14, %%zmm" i "\n\t"
#define FMA256(i) "vfmadd231ps %%ymm14, %%ymm14, %%ymm" i "\n\t"
#define DOT512(i) "vpdpbusd %%zmm14, %%zmm14, %%zmm" i "\n\t"
#define BF512(i)  "vdpbf16ps %%zmm14, %%zmm14, %%zmm" i "\n\t"
#define DOT256(i) "%{vex%} vpdpbusd %%ymm14, %%ymm14, %%ymm" i "\n\t"
#define MADDUBS(i)                             \
    "vpmaddubsw %%ymm14, %%ymm14, %%ymm12\n\t" \
    "vpmaddwd %%ymm15, %%ymm12, %%ymm12\n\t"   \
    "vpaddd %%ymm12, %%ymm" i ", %%ymm" i "\n\t"
SPIN(peaks_fma512, FMA512)
SPIN(peaks_fma256, FMA256)
SPIN(peaks_dot512, DOT512)
SPIN(peaks_bf512, BF512)
SPIN(peaks_dot256, DOT256)
SPIN(peaks_maddubs, MADDUBS)
#elif defined(__aarch64__)
#define TWELVE(x) x("0") x("1") x("2") x("3") x("4") x("5") x("6") x("7") x("16") x("17") x("18") x("19")
#ifdef __clang__
#define WITH_I8MM __attribute__((target("dotprod,i8mm")))
#else
#define WITH_I8MM __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))
#endif
#define SPIN(name, op)                                                                                                 \
    static void name(void)                                                                                             \
    {                                                                                                                  \
        __asm__ volatile("movi v20.16b, #0" ::: "v20");                                                                \
        for (uint32_t i = 0; i < LOOPS; i++)                                                                           \
            __asm__ volatile(TWELVE(op)::                                                                              \
                                 : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20"); \
    }
#define FMLA(i) "fmla v" i ".4s, v20.4s, v20.4s\n\t"
#define SDOT(i) "sdot v" i ".4s, v20.16b, v20.16b\n\t"
#define MMLA(i) "usmmla v" i ".4s, v20.16b, v20.16b\n\t"
SPIN(peaks_fmla, FMLA)
WITH_I8MM SPIN(peaks_sdot, SDOT)
WITH_I8MM SPIN(peaks_mmla, MMLA)
#endif

/* The widest instructions that a level's kernels use. A level without a row is measured as the one below it. */
static const struct unit {
    const char *level;
    spin_fn i8, f32;
    double i8_macs, f32_macs; /* of one chain's step */
} units[] = {
#if defined(__x86_64__)
    {"avx2", peaks_maddubs, peaks_fma256, 32, 8},
    {"avxvnni", peaks_dot256, peaks_fma256, 32, 8},
    {"avx512", peaks_dot512, peaks_fma512, 64, 16},
#elif defined(__aarch64__)
    {"neon", NULL, peaks_fmla, 0, 4},
    {"dotprod", peaks_sdot, peaks_fmla, 16, 4},
    {"i8mm", peaks_mmla, peaks_fmla, 32, 4},
#endif
    {"generic", NULL, NULL, 0, 0},
};

#if defined(__x86_64__)
/* Four tiles of sums, each of them waited for by its next product only. Between begin and end of a st_bf16. */
static void peaks_tiles(void)
{
    for (uint32_t i = 0; i < LOOPS; i++)
        __asm__ volatile("tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\ttdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
                         "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\ttdpbf16ps %%tmm7, %%tmm5, %%tmm3" ::
                             : "memory");
}

/* By unit of precision bf16: multiplications of one call. */
static spin_fn peaks_bf16_spin(const st_bf16 *b, double *macs)
{
    const bool amx = strcmp(b->unit, "amx") == 0;
    *macs = (double)LOOPS * (amx ? 4.0 * 16 * 16 * 32 : CHAINS * 32.0);
    return amx ? peaks_tiles : peaks_bf512;
}
#else
static spin_fn peaks_bf16_spin(const st_bf16 *b, double *macs)
{
    (void)b;
    *macs = 0;
    return NULL;
}
#endif

typedef struct job {
    strata_error *err;
    int rc; /* of the first run that failed */
    st_pool *pool;
    spin_fn spin;        /* NULL: read memory */
    const st_bf16 *bf16; /* set up for it, or NULL */
    const uint64_t *memory;
    double best; /* seconds of the fastest round, start to end of all threads */
    _Atomic uint64_t sink;
} job;

static uint64_t peaks_read_all(const uint64_t *p, size_t n)
{
    uint64_t s[8] = {0};
    for (size_t i = 0; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++) s[j] += p[i + j];
    return s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
}

static void peaks_work(void *arg, uint32_t ith, uint32_t nth)
{
    job *j = arg;
    const size_t n = READ_BYTES / sizeof *j->memory / nth;
    st_bf16_saved saved;
    if (j->bf16) j->bf16->begin(&saved);
    for (uint32_t round = 0; round < (j->spin ? ROUNDS : ROUNDS / 4); round++) {
        if (nth > 1) st_pool_barrier(j->pool);
        double t = st_now();
        if (j->spin)
            j->spin();
        else
            atomic_fetch_add(&j->sink, peaks_read_all(j->memory + ith * n, n));
        if (nth > 1) st_pool_barrier(j->pool);
        t = st_now() - t;
        if (ith == 0 && (j->best == 0 || t < j->best)) j->best = t;
    }
    if (j->bf16) j->bf16->end(&saved);
}

static const struct unit *peaks_unit_of(const char *level)
{
    enum { N_UNITS = sizeof units / sizeof *units };
    const struct unit *u = &units[N_UNITS - 1];
    const char *name;
    for (uint32_t i = 0; (name = st_kernels_level_at(i)); i++) {
        for (size_t j = 0; j < N_UNITS; j++)
            if (strcmp(units[j].level, name) == 0) u = &units[j];
        if (strcmp(name, level) == 0) break;
    }
    return u;
}

static double peaks_seconds(job *j, spin_fn spin, uint32_t nth)
{
    j->spin = spin;
    j->best = 0;
    if (!j->rc) j->rc = st_pool_run(j->pool, nth, peaks_work, j, j->err);
    return j->best;
}

int st_cpu_peaks(const st_exec *exec, uint32_t n_threads, st_mem *mem, strata_peaks *out, strata_error *err)
{
    const struct unit *u = peaks_unit_of(exec->kern.level);
    st_bf16 bf16;
    double bf16_macs = 0;
    spin_fn bf16_fn = st_bf16_init(&bf16, exec->bf16_allowed) ? peaks_bf16_spin(&bf16, &bf16_macs) : NULL;
    job j = {.err = err};
    uint64_t *memory = st_alloc_huge(mem, READ_BYTES, 1);
    ST_FAIL_IF(!memory, err, STRATA_NO_MEMORY, "no memory to measure its bandwidth: %zu bytes", READ_BYTES);
    memset(memory, 1, READ_BYTES); /* the same zero page for all would stay in the cache */
    j.memory = memory;
    int rc = st_pool_open(n_threads, mem, &j.pool, err);
    if (!rc) {
        const double steps = (double)LOOPS * CHAINS * 1e-9;
        *out = (strata_peaks){.n_threads = n_threads};
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t nth = i ? n_threads : 1;
            if (u->i8) out->i8_gmacs[i] = steps * u->i8_macs * nth / peaks_seconds(&j, u->i8, nth);
            if (u->f32) out->f32_gmacs[i] = steps * u->f32_macs * nth / peaks_seconds(&j, u->f32, nth);
            j.bf16 = &bf16;
            if (bf16_fn) out->bf16_gmacs[i] = bf16_macs * 1e-9 * nth / peaks_seconds(&j, bf16_fn, nth);
            j.bf16 = NULL;
            out->read_gbs[i] = (double)READ_BYTES * 1e-9 / peaks_seconds(&j, NULL, nth);
        }
        rc = j.rc;
    }
    st_pool_close(j.pool);
    st_free(mem, memory);
    return rc;
}
