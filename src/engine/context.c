/* context.c: opening what one caller needs to run a model, and closing it. */
#include "base/fp.h"
#include "base/os/cpus.h"
#include "base/os/memory_left.h"
#include "base/os/thread.h"
#include "engine/engine.h"

static void context_watch(void *user, uint32_t op, const st_peek *peek, double micros)
{
    (void)peek;
    strata_ctx *c = user;
    const st_op *o = &c->model->plan.ops[op];
    bool inside = st_fp_out();
    c->trace(c->trace_user, op, st_op_name(o->kind), o->layer, micros);
    st_fp_back(inside);
}

static int context_check(const strata_model *m, const strata_ctx_opts *o, strata_error *err)
{
    uint32_t most = m->config.n_ctx;
    ST_FAIL_IF(o->n_ctx > most, err, STRATA_INVALID_ARG, "n_ctx: %u, but the model's context is %u", o->n_ctx, most);
    ST_FAIL_IF(o->n_threads > ST_MAX_THREADS, err, STRATA_INVALID_ARG, "n_threads: %u, want at most %u", o->n_threads,
               ST_MAX_THREADS);
    if (!o->n_seqs) return STRATA_OK;
    ST_FAIL_IF(!m->config.causal, err, STRATA_UNSUPPORTED_OP, "%s: an encoder does not generate: want n_seqs 0",
               m->path);
    ST_FAIL_IF(m->plan.logits == m->plan.n_ops, err, STRATA_UNSUPPORTED_OP,
               "%s: the model has no output head, so it does not generate: want n_seqs 0", m->path);
    return STRATA_OK;
}

/* What the cache comes to must be there, since the system ends processes that touch more than it has. */
static int context_check_cache(const strata_model *m, const strata_ctx_opts *o, const st_kv_opts *kv, strata_error *err)
{
    uint64_t want = m->backend->kv_bytes(&m->plan, kv), have = o->memory_cap ? o->memory_cap : st_memory_left();
    ST_FAIL_IF(
        want == 0 || want > have, err, STRATA_NO_MEMORY,
        "a cache of %u x %u tokens comes to %.1f MB, %s %.1f MB: want fewer sequences (n_seqs), a shorter context "
        "(n_ctx) or a smaller type (kv)%s",
        kv->n_seqs, kv->n_ctx, want ? (double)want / 1e6 : 1.8446744e13,
        o->memory_cap ? "but memory_cap is" : "but what is left here are", (double)have / 1e6,
        o->memory_cap ? "" : "; memory_cap overrides");
    st_log_write(&m->log, STRATA_LOG_INFO, "%s: a cache of %u x %u tokens takes %.1f MB when it is full", m->path,
                 kv->n_seqs, kv->n_ctx, (double)want / 1e6);
    return STRATA_OK;
}

int st_ctx_open(const strata_model *m, const strata_ctx_opts *o, uint32_t n_batch, strata_ctx **out, strata_error *err)
{
    ST_TRY(context_check(m, o, err));
    uint32_t n_ctx = o->n_ctx, most = m->config.n_ctx;
    if (!n_ctx) n_ctx = most < STRATA_DEFAULT_CTX ? most : STRATA_DEFAULT_CTX;
    const st_kv_opts kv = {.type = o->kv, .n_seqs = o->n_seqs, .n_ctx = n_ctx, .n_batch = n_batch};
    if (o->n_seqs) ST_TRY(context_check_cache(m, o, &kv, err));
    strata_ctx *c = st_calloc(m->mem, 1, sizeof *c);
    ST_FAIL_IF(!c, err, STRATA_NO_MEMORY, "no memory for a context");
    st_fork_open(&c->mark);
    c->model = m;
    c->n_threads = o->n_threads ? o->n_threads : st_cpu_count();
    if (c->n_threads > st_thread_limit()) c->n_threads = st_thread_limit();
    c->trace = o->trace;
    c->trace_user = o->trace_user;
    st_state_opts s = {.n_threads = c->n_threads,
                       .kv = kv,
                       .precision = o->precision,
                       .watch = o->trace ? context_watch : NULL,
                       .watch_user = c};
    int rc = m->backend->open(m->exec, &s, &c->state, err);
    if (!rc && o->n_seqs) rc = st_seqs_open(c, o->n_seqs, n_ctx, n_batch, err);
    if (rc)
        strata_ctx_close(c);
    else
        *out = c;
    return rc;
}

void strata_ctx_close(strata_ctx *c)
{
    if (!c) return;
    c->model->backend->close(c->state);
    st_seqs_close(c);
    st_fork_close(&c->mark);
    st_free(c->model->mem, c);
}

int st_ctx_enter(strata_ctx *c, strata_error *err)
{
    uint32_t inside = 0, me = st_fork_number(&c->mark);
    if (!atomic_compare_exchange_strong(&c->busy, &inside, me)) {
        ST_FAIL_IF(inside != me, err, STRATA_INVALID_ARG,
                   "a call was inside this context when the process was forked: open another one in the child");
        ST_FAIL(err, STRATA_BUSY,
                "this context is in a call already: another thread's, or the one that a callback came from");
    }
    c->fp = st_fp_enter();
    return STRATA_OK;
}

void st_ctx_leave(strata_ctx *c)
{
    st_fp_leave(c->fp);
    atomic_store(&c->busy, 0);
}
