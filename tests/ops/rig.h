/* rig.h: the CPU backend around one op: a plan made by hand, packed weights, slots and an environment of one thread.
 *
 *     rig r = rig_new(level, precision);
 *     ... r.config, r.plan.width[], rig_op(&r, op) ...
 *     rig_open(&r, starts, n_seqs);      loads, opens, reserves
 *     ... fill rig_slot(&r, slot), call st_run_*(&r.env, ...), read ...
 *     rig_close(&r); */
#ifndef TESTS_OPS_RIG_H
#define TESTS_OPS_RIG_H

#include "ops/vectors.h"

#include "backend/cpu/cpu.h"
#include "quant/quant.h"

typedef struct rig {
    st_mem mem;
    st_arch arch;
    st_config config;
    st_layer layer;
    st_weights weights;
    st_op ops[4];
    st_plan plan;
    st_file file;
    const char *level;
    int precision;
    st_exec *exec;
    st_state *state;
    int status[8];
    st_batch batch;
    st_env env;
} rig;

static inline rig *rig_new(const char *level, int precision)
{
    rig *r = calloc(1, sizeof *r);
    st_mem_init(&r->mem, NULL, 0);
    r->level = level;
    r->precision = precision;
    r->config =
        (st_config){.arch = &r->arch, .n_layer = 1, .n_head = 1, .n_head_kv = 1, .d_head_k = 16, .d_head_v = 16};
    r->weights.layers = &r->layer;
    r->plan = (st_plan){.config = &r->config, .weights = &r->weights, .ops = r->ops, .mem = &r->mem};
    return r;
}

static inline uint32_t rig_op(rig *r, st_op op)
{
    assert_true(r->plan.n_ops < 4);
    r->ops[r->plan.n_ops] = op;
    return r->plan.n_ops++;
}

static inline void rig_open(rig *r, const uint32_t *starts, uint32_t n_seqs)
{
    strata_error e = {0};
    uint32_t rows = starts[n_seqs], longest = 0;
    for (uint32_t i = 0; i < n_seqs; i++)
        if (starts[i + 1] - starts[i] > longest) longest = starts[i + 1] - starts[i];
    st_load_opts load = {.n_threads = 1, .level = r->level, .mem = &r->mem};
    st_state_opts open = {.n_threads = 1, .precision = r->precision};
    if (st_backend_cpu.load(&r->plan, &r->file, &load, &r->exec, &e)) fail_msg("%s", e.msg);
    if (st_backend_cpu.open(r->exec, &open, &r->state, &e)) fail_msg("%s", e.msg);
    for (int i = 0; i < ST_SLOT_COUNT; i++) r->state->form[i] |= ST_FORM_FLOAT;
    if (st_state_reserve(r->state, 1, rows, n_seqs, longest, &e)) fail_msg("%s", e.msg);
    if (st_state_rope(r->state, longest, &e)) fail_msg("%s", e.msg);
    r->batch = (st_batch){.n_seqs = n_seqs, .n_tokens = rows, .starts = starts, .status = r->status};
    r->env = (st_env){.state = r->state,
                      .exec = r->exec,
                      .k = &r->exec->kern,
                      .batch = &r->batch,
                      .slots = &r->state->slots[0],
                      .worker = &r->state->workers[0],
                      .seq1 = n_seqs,
                      .n_rows = rows,
                      .nth = 1};
}

static inline void rig_close(rig *r)
{
    st_backend_cpu.close(r->state);
    st_backend_cpu.unload(r->exec);
    assert_int_equal(r->mem.used, 0);
    free(r);
}

/* Rows of `cols` values into a slot's float form. */
static inline void rig_put(rig *r, st_slot slot, const float *x, uint32_t rows, uint32_t cols)
{
    for (uint32_t i = 0; i < rows; i++)
        memcpy(r->env.slots->f[slot] + i * r->env.slots->ld[slot], x + (size_t)i * cols, cols * sizeof *x);
}

static inline void rig_close_to(rig *r, st_slot slot, const char *what, const array *want, double rel)
{
    close_rows(what, r->env.slots->f[slot], r->env.slots->ld[slot], want->f, want->dims[0], want->dims[1], rel);
}

/* A matrix [n, k] over bytes of the type. */
static inline st_gguf_tensor rig_matrix(uint32_t type, const void *data, uint64_t n, uint64_t k)
{
    const char *name;
    uint32_t block, bytes;
    assert_true(st_quant_geometry(type, &name, &block, &bytes));
    return (st_gguf_tensor){.name = {"m", 1},
                            .type = type,
                            .n_dims = 2,
                            .dims = {k, n, 1, 1},
                            .data = data,
                            .bytes = (size_t)(n * k / block * bytes)};
}

/* Runs body once a level. */
#define EACH_LEVEL(level)                                                     \
    for (uint32_t level##_i = 0; st_kernels_level_at(level##_i); level##_i++) \
        for (const char *level = st_kernels_level_at(level##_i); level; level = NULL)

#endif
