/* cpu.c: what the CPU backend keeps for a model (packed weights, kernels) and for a caller (scratch, threads). */
#include "backend/cpu/cpu.h"

#include <string.h>

#if defined(__FAST_MATH__)
#error "strata needs IEEE arithmetic: build without -ffast-math"
#endif

static void cpu_unload(st_exec *e)
{
    if (!e) return;
    st_free(e->mem, e->blob);
    st_free(e->mem, e->packed);
    st_free(e->mem, e);
}

/* Bindings compile these files with their own flags. A compiler that fuses a*b + c gives other bits than ours, so it is
 * asked once, with values where a fused result differs: (1 + 2^-12)^2 rounds to 1 + 2^-11, so the difference is 0
 * unless it was fused. */
static bool cpu_arithmetic_is_exact(void)
{
    volatile float a = 1.0f + 0x1p-12f, c = -(1.0f + 0x1p-11f);
    float x = a, z = c, r = x * x + z;
    return r == 0.0f;
}

static int cpu_load(const st_plan *plan, const st_file *file, const st_load_opts *opts, st_exec **out,
                    strata_error *err)
{
    ST_FAIL_IF(!cpu_arithmetic_is_exact(), err, STRATA_INTERNAL,
               "this build fuses multiplications with additions; build with -ffp-contract=off");
    st_exec *e = st_calloc(opts->mem, 1, sizeof *e);
    ST_FAIL_IF(!e, err, STRATA_NO_MEMORY, "no memory for the CPU backend");
    *e = (st_exec){.plan = plan, .mem = opts->mem, .log = opts->log, .bf16_allowed = st_bf16_allowed(opts->level)};
    int rc = STRATA_OK;
    if (!st_kernels_init(&e->kern, opts->level))
        rc = st_error_set(err, STRATA_INVALID_ARG, "there is no kernel level '%s'", opts->level);
    if (!rc && !(e->packed = st_calloc(e->mem, plan->n_ops, sizeof *e->packed)))
        rc = st_error_set(err, STRATA_NO_MEMORY, "no memory for the CPU backend");
    if (!rc) rc = st_pack_all(e, file, opts, err);
    if (rc) {
        cpu_unload(e);
        return rc;
    }
    st_log_write(e->log, STRATA_LOG_INFO, "cpu: kernels %s, %.1f MB of weights packed", e->kern.level,
                 (double)e->blob_bytes / 1e6);
    *out = e;
    return STRATA_OK;
}

static const char *cpu_level(const st_exec *e)
{
    return e->kern.level;
}

static const char *cpu_bf16(const st_exec *e)
{
    return st_bf16_listed(e->bf16_allowed);
}

static const char *cpu_unit(const st_state *s)
{
    return s->precision == STRATA_PRECISION_BF16 ? s->bf16.unit : s->exec->kern.level;
}

static uint64_t cpu_packed_bytes(const st_exec *e)
{
    return e->blob_bytes;
}

static void cpu_want(st_state *s, st_slot slot, const st_packed *p, uint32_t planes, bool exact)
{
    if (!exact && s->precision == STRATA_PRECISION_BF16)
        s->form[slot] |= ST_FORM_BF16;
    else if (exact || s->precision == STRATA_PRECISION_F32 || p->kind != ST_PACK_I8)
        s->form[slot] |= ST_FORM_FLOAT;
    else
        s->form[slot] |= planes == 2 ? ST_FORM_HI | ST_FORM_LO : ST_FORM_HI;
}

static void cpu_want_moe(st_state *s, const st_op *op, const st_packed *packed)
{
    for (uint32_t i = 0; i < ST_OP_PARTS; i++) {
        const st_part *part = &op->moe.parts[i];
        bool router = i == ST_MOE_ROUTER || i == ST_MOE_SHARED_ROUTER,
             down = i == ST_MOE_DOWN || i == ST_MOE_SHARED_DOWN;
        if (!part->m) continue;
        cpu_want(s, down ? ST_SLOT_H : op->in, &packed[i], part->planes, router);
    }
    s->form[ST_SLOT_G] |= s->form[op->in]; /* rows are gathered in every form */
}

/* Which forms the consumers of each slot want, in this precision. */
static void cpu_choose_forms(st_state *s)
{
    const st_plan *p = s->exec->plan;
    /* H alone is left out: as floats it would be the widest matrix of all, and its consumer rarely wants them. */
    for (int i = 0; i < ST_SLOT_COUNT; i++) s->form[i] = i == ST_SLOT_H ? 0 : ST_FORM_FLOAT;
    for (uint32_t i = 0; i < p->n_ops; i++) {
        const st_op *op = &p->ops[i];
        const st_packed *packed = s->exec->packed[i];
        if (op->kind == ST_OP_MOE) cpu_want_moe(s, op, packed);
        if (op->kind == ST_OP_HEADS) cpu_want(s, op->in, packed, op->heads.part.planes, op->heads.exact);
        if (op->kind != ST_OP_LINEAR) continue;
        for (uint32_t j = 0; j < op->linear.n_parts; j++)
            cpu_want(s, op->in, &packed[j], op->linear.parts[j].planes, op->linear.exact);
    }
    if (s->watch && !(s->form[ST_SLOT_H] & ST_FORM_HI)) s->form[ST_SLOT_H] |= ST_FORM_FLOAT;
}

static void cpu_close_state(st_state *s)
{
    if (!s) return;
    st_mem *mem = s->exec->mem;
    st_pool_close(s->pool);
    for (uint32_t i = 0; s->slots && i < s->n_threads; i++) st_free(mem, s->slots[i].block);
    for (uint32_t i = 0; s->workers && i < s->n_threads; i++) st_free(mem, s->workers[i].block);
    for (int i = 0; i < ST_ROPE_TABLES; i++) st_free(mem, s->rope[i]);
    st_kv_close(&s->kv);
    st_free(mem, s->slots);
    st_free(mem, s->workers);
    st_free(mem, s);
}

static uint32_t cpu_kv_keep(const st_state *s, uint32_t seq, uint32_t keep, uint32_t n)
{
    return st_kv_keep(&s->kv, seq, keep, st_rope_is_long(s->exec->plan, n));
}

static void cpu_kv_trim(st_state *s, uint32_t seq, uint32_t keep, uint32_t n)
{
    st_kv_trim(&s->kv, seq, keep, n);
}

static int cpu_find_bf16(const st_exec *e, st_bf16 *units, strata_error *err)
{
    const char *listed = cpu_bf16(e);
    ST_FAIL_IF(!st_bf16_init(units, e->bf16_allowed), err, STRATA_UNSUPPORTED_OP,
               "precision bf16 needs a CPU with AMX (amx_tile, amx_bf16) or AVX-512 BF16 (avx512_bf16)%s; the model is "
               "open at kernel level '%s': use precision i8",
               listed ? ", and the system does not grant AMX" : "", e->kern.level);
    if (listed && strcmp(listed, units->unit) != 0)
        st_log_write(e->log, STRATA_LOG_WARN, "cpu: lists %s, but the system does not grant it: precision bf16 on %s",
                     listed, units->unit);
    else
        st_log_write(e->log, STRATA_LOG_INFO, "cpu: precision bf16 on %s", units->unit);
    return STRATA_OK;
}

static int cpu_open_state(const st_exec *e, const st_state_opts *opts, st_state **out, strata_error *err)
{
    st_bf16 units = {0};
    if (opts->precision == STRATA_PRECISION_BF16) ST_TRY(cpu_find_bf16(e, &units, err));
    st_state *s = st_calloc(e->mem, 1, sizeof *s);
    ST_FAIL_IF(!s, err, STRATA_NO_MEMORY, "no memory for a context");
    s->exec = e;
    s->n_threads = opts->n_threads;
    s->precision = opts->precision;
    s->bf16 = units;
    s->watch = opts->watch;
    s->watch_user = opts->watch_user;
    cpu_choose_forms(s);
    s->slots = st_calloc(e->mem, s->n_threads, sizeof *s->slots);
    s->workers = st_calloc(e->mem, s->n_threads, sizeof *s->workers);
    int rc = s->slots && s->workers ? STRATA_OK : st_error_set(err, STRATA_NO_MEMORY, "no memory for a context");
    if (!rc) rc = st_kv_open(&s->kv, e->plan, &opts->kv, e->mem, err);
    if (!rc) rc = st_pool_open(s->n_threads, e->mem, &s->pool, err);
    if (rc) {
        cpu_close_state(s);
        return rc;
    }
    *out = s;
    return STRATA_OK;
}

const st_backend st_backend_cpu = {
    .name = "cpu",
    .load = cpu_load,
    .unload = cpu_unload,
    .level_at = st_kernels_level_at,
    .level = cpu_level,
    .packed_bytes = cpu_packed_bytes,
    .bf16 = cpu_bf16,
    .unit = cpu_unit,
    .open = cpu_open_state,
    .close = cpu_close_state,
    .run = st_cpu_run,
    .kv_keep = cpu_kv_keep,
    .kv_trim = cpu_kv_trim,
    .kv_bytes = st_kv_bytes,
    .peaks = st_cpu_peaks,
};
