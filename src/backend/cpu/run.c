/* run.c: a batch -> groups of tokens -> threads, and the walk over the plan. */
#include <string.h>

#include "backend/cpu/cpu.h"

/* Tokens in a group. Larger groups reread the weights less often (a pass over EmbeddingGemma's 119 MB costs 7 ms a core
 * at 17 GB/s, 256 tokens of int8 products ~90 ms); smaller ones keep activations in a 1-2 MiB L2. */
#define GROUP_TOKENS 256u
/* Fewer tokens than this per thread are not worth a group each: all threads share one pass over the weights. */
#define MIN_GROUP_TOKENS 48u

typedef struct group {
    uint32_t seq0, seq1;
} group;

/* Work in phases: sequences that are long for a thread, one after the other, each shared by all threads; then groups of
 * the rest, each on one thread, or all of them shared when there are too few. */
typedef struct schedule {
    st_state *state;
    const st_batch *batch;
    uint32_t next_seq; /* where the phase begins */
    uint32_t target;   /* tokens a group */
    bool shared;       /* the phase is one group for all threads: [next_seq, end_seq) */
    uint32_t end_seq;
    st_lock lock;
} schedule;

static uint32_t run_seq_len(const st_batch *b, uint32_t s)
{
    return b->starts[s + 1] - b->starts[s];
}

/* Tokens that its last one may see. */
static uint32_t run_keys_of(const st_batch *b, uint32_t s)
{
    return run_seq_len(b, s) + (b->past ? b->past[s] : 0);
}

/* The group that begins at seq: sequences up to the target, at least one. */
static uint32_t run_group_end(const st_batch *b, uint32_t seq, uint32_t target)
{
    uint32_t end = seq + 1;
    while (end < b->n_seqs && b->starts[end + 1] - b->starts[seq] <= target) end++;
    return end;
}

static int run_why_stop(const st_batch *b)
{
    if (b->cancel && __atomic_load_n(b->cancel, __ATOMIC_RELAXED)) return STRATA_CANCELLED;
    if (b->deadline > 0 && st_now() > b->deadline) return STRATA_DEADLINE;
    return STRATA_OK;
}

/* Whether to go on with the next op. All threads of a shared group must get the same answer, or one would wait for ever
 * at the next barrier: thread 0 decides before a barrier and the others read after it. Two verdicts take turns, so that
 * the next decision cannot overtake a slow reader of this one. */
static bool run_go_on(st_env *e)
{
    st_state *s = e->state;
    if (e->nth == 1) {
        int why = run_why_stop(e->batch);
        if (why) atomic_store(&s->stop, why);
        return atomic_load(&s->stop) == 0;
    }
    _Atomic int *verdict = &s->verdict[e->step++ & 1];
    if (e->ith == 0) {
        int why = run_why_stop(e->batch);
        if (why) atomic_store(&s->stop, why);
        atomic_store(verdict, why);
    }
    st_env_sync(e);
    return atomic_load(verdict) == 0;
}

static void run_dispatch(st_env *e, uint32_t i)
{
    const st_op *op = &e->exec->plan->ops[i];
    switch (op->kind) {
    case ST_OP_EMBED: st_run_embed(e, &op->embed); break;
    case ST_OP_NORM: st_run_norm(e, op); break;
    case ST_OP_LINEAR: st_run_linear(e, i); break;
    case ST_OP_QK: st_run_qk(e, &op->qk); break;
    case ST_OP_ATTN: st_run_attn(e, &op->attn, (uint32_t)op->layer); break;
    case ST_OP_RESID: st_run_resid(e, &op->resid); break;
    case ST_OP_HEADS: st_run_heads(e, i); break;
    case ST_OP_LATENT: st_run_latent(e, &op->latent); break;
    case ST_OP_GATHER: st_run_gather(e); break;
    case ST_OP_MOE: st_run_moe(e, i); break;
    case ST_OP_POOL: st_run_pool(e, &op->pool); break;
    case ST_OP_KIND_COUNT: break;
    }
}

/* Units of bf16 are set up for one op at a time: callbacks of the host, which come between ops, may use tiles of their
 * own, and setting up takes less than a microsecond. */
static void run_op(st_env *e, uint32_t i)
{
    const st_bf16 *b = &e->state->bf16;
    st_op_kind kind = e->exec->plan->ops[i].kind;
    bool products = kind == ST_OP_LINEAR || kind == ST_OP_ATTN || kind == ST_OP_MOE || kind == ST_OP_HEADS;
    if (e->state->precision != STRATA_PRECISION_BF16 || !products) {
        run_dispatch(e, i);
        return;
    }
    st_bf16_saved saved;
    b->begin(&saved);
    run_dispatch(e, i);
    b->end(&saved);
}

static void run_watch(const st_env *e, uint32_t i, double seconds)
{
    const st_op *op = &e->exec->plan->ops[i];
    st_slot out = op->out;
    const st_slots *sl = e->slots;
    st_peek p = {.rows = out == ST_SLOT_P || out == ST_SLOT_P2 ? e->seq1 - e->seq0 : e->n_rows,
                 .cols = e->exec->plan->width[out]};
    if (op->kind == ST_OP_LINEAR) p.cols = op->linear.n;
    p.f = sl->f[out];
    p.ld = sl->ld[out];
    if (e->state->form[out] & ST_FORM_HI && !st_slot_late(out)) {
        p.hi = sl->q[out].hi;
        p.lo = sl->q[out].lo;
        p.d = sl->q[out].d;
        p.ld_q = sl->q[out].ld;
    }
    e->state->watch(e->state->watch_user, i, &p, seconds * 1e6);
}

/* Ops [from, to). False if the run was stopped. */
static bool run_walk(st_env *e, uint32_t from, uint32_t to)
{
    const st_plan *p = e->exec->plan;
    bool timed = e->ith == 0 && (e->state->watch || st_log_on(e->exec->log, STRATA_LOG_TRACE));
    for (uint32_t i = from; i < to; i++) {
        if (!run_go_on(e)) return false;
        double t = timed ? st_now() : 0;
        run_op(e, i);
        if (!timed) continue;
        t = st_now() - t;
        int layer = p->ops[i].layer;
        e->worker->layer_seconds[layer < 0 ? p->config->n_layer : (uint32_t)layer] += t;
        if (e->state->watch && e->nth == 1) run_watch(e, i, t);
    }
    return true;
}

static bool run_all_finite(const float *x, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        bad |= (u & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

static void run_copy_out(const st_env *e, st_slot slot, uint32_t width)
{
    const st_batch *b = e->batch;
    bool pooled = b->what == STRATA_EVAL_POOLED;
    const float *x = e->slots->f[slot];
    size_t ld = e->slots->ld[slot];
    for (uint32_t s = e->seq0 + e->ith; s < e->seq1; s += e->nth) {
        uint32_t rows = pooled ? 1 : run_seq_len(b, s), first = pooled ? s - e->seq0 : b->starts[s] - e->row0;
        for (uint32_t r = 0; r < rows; r++) {
            const float *src = x + (size_t)(first + r) * ld;
            memcpy(b->out[s] + (size_t)r * width, src, width * sizeof *src);
            if (!run_all_finite(src, width)) __atomic_store_n(&b->status[s], STRATA_NONFINITE, __ATOMIC_RELAXED);
        }
    }
}

static void run_group(st_env *e)
{
    const st_plan *p = e->exec->plan;
    const st_batch *b = e->batch;
    if (!run_walk(e, 0, p->n_body)) return;
    if (b->what == STRATA_EVAL_HIDDEN) {
        st_env_sync(e);
        run_copy_out(e, ST_SLOT_N, p->width[ST_SLOT_N]);
    } else if (b->what == STRATA_EVAL_POOLED && b->pooling == STRATA_POOLING_RANK) {
        if (!run_walk(e, p->rank, p->logits)) return;
        st_env_sync(e);
        run_copy_out(e, p->ranked, p->n_labels);
    } else if (b->what == STRATA_EVAL_POOLED) {
        if (!run_walk(e, p->pool, p->rank)) return;
        st_env_sync(e);
        run_copy_out(e, p->pooled, p->n_embd_out);
    } else {
        /* Logits are too wide for a slot: they go straight to the caller, one sequence at a time or, of last tokens,
         * side by side. */
        if (e->ith == 0) {
            e->slots->f[ST_SLOT_OUT] = b->out[e->seq0];
            e->slots->ld[ST_SLOT_OUT] = p->width[ST_SLOT_OUT];
        }
        if (!run_walk(e, p->logits, p->n_ops)) return;
        st_env_sync(e);
        uint32_t rows = b->last_only ? 1 : e->n_rows;
        if (e->state->selected) rows = 0; /* what is left out is -infinity; the others were looked at */
        for (uint32_t s = e->seq0 + e->ith; s < e->seq1; s += e->nth)
            if (!run_all_finite(b->out[s], (size_t)rows * p->width[ST_SLOT_OUT]))
                __atomic_store_n(&b->status[s], STRATA_NONFINITE, __ATOMIC_RELAXED);
    }
    if (e->ith != 0 || !b->progress) return;
    b->progress(b->progress_user, e->seq1 - e->seq0);
    /* In a child that the callback made, the other threads and what they hold are not there. */
    if (st_pool_lost(e->state->pool)) atomic_store(&e->state->stop, STRATA_INVALID_ARG);
}

static st_env run_env_of(const schedule *sc, uint32_t seq0, uint32_t seq1, uint32_t slot, uint32_t ith, uint32_t nth)
{
    const st_batch *b = sc->batch;
    return (st_env){.state = sc->state,
                    .exec = sc->state->exec,
                    .k = &sc->state->exec->kern,
                    .batch = b,
                    .slots = &sc->state->slots[slot],
                    .worker = &sc->state->workers[ith],
                    .seq0 = seq0,
                    .seq1 = seq1,
                    .row0 = b->starts[seq0],
                    .n_rows = b->starts[seq1] - b->starts[seq0],
                    .ith = nth > 1 ? ith : 0,
                    .nth = nth};
}

static void run_work(void *arg, uint32_t ith, uint32_t nth)
{
    schedule *sc = arg;
    if (sc->shared) {
        st_env e = run_env_of(sc, sc->next_seq, sc->end_seq, 0, ith, nth);
        run_group(&e);
        return;
    }
    while (atomic_load(&sc->state->stop) == 0) {
        st_lock_take(&sc->lock);
        uint32_t seq0 = sc->next_seq, seq1 = seq0 < sc->end_seq ? run_group_end(sc->batch, seq0, sc->target) : seq0;
        sc->next_seq = seq1;
        st_lock_give(&sc->lock);
        if (seq0 == seq1) return;
        st_env e = run_env_of(sc, seq0, seq1, ith, ith, 1);
        run_group(&e);
    }
}

/* Tokens to have room for: a text that is written grows by one a run, what is kept for it by many. */
static uint32_t run_room_for(const st_state *s, const st_batch *b, uint32_t len)
{
    enum { STEP = 256 };
    if (!b->past) return len;
    return s->kv.n_ctx - len < STEP ? s->kv.n_ctx : (len + STEP - 1) / STEP * STEP;
}

/* Shared by all threads, or by the caller alone when it watches. */
static int run_shared(schedule *sc, uint32_t seq0, uint32_t seq1, strata_error *err)
{
    st_state *s = sc->state;
    const st_batch *b = sc->batch;
    uint32_t longest = 0;
    for (uint32_t i = seq0; i < seq1; i++)
        if (run_keys_of(b, i) > longest) longest = run_keys_of(b, i);
    ST_TRY(st_state_reserve(s, 1, b->starts[seq1] - b->starts[seq0], seq1 - seq0, run_room_for(s, b, longest), err));
    sc->shared = true;
    sc->next_seq = seq0;
    sc->end_seq = seq1;
    return st_pool_run(s->pool, s->watch ? 1 : s->n_threads, run_work, sc, err);
}

static int run_groups(schedule *sc, uint32_t seq0, uint32_t n_groups, strata_error *err)
{
    st_state *s = sc->state;
    const st_batch *b = sc->batch;
    uint32_t tokens = b->starts[b->n_seqs] - b->starts[seq0], rows = 0, seqs = 0, longest = 0;
    sc->target = (tokens + n_groups - 1) / n_groups;
    for (uint32_t i = seq0, end; i < b->n_seqs; i = end) {
        end = run_group_end(b, i, sc->target);
        if (b->starts[end] - b->starts[i] > rows) rows = b->starts[end] - b->starts[i];
        if (end - i > seqs) seqs = end - i;
    }
    for (uint32_t i = seq0; i < b->n_seqs; i++)
        if (run_seq_len(b, i) > longest) longest = run_seq_len(b, i);
    ST_TRY(st_state_reserve(s, s->n_threads, rows, seqs, longest, err));
    sc->shared = false;
    sc->next_seq = seq0;
    sc->end_seq = b->n_seqs;
    return st_pool_run(s->pool, s->n_threads, run_work, sc, err);
}

static int run_phases(schedule *sc, strata_error *err)
{
    st_state *s = sc->state;
    const st_batch *b = sc->batch;
    uint32_t seq = 0, nth = s->n_threads;
    bool one_by_one = (b->what == STRATA_EVAL_LOGITS && !b->last_only) || s->watch;
    if (b->last_only) return run_shared(sc, 0, b->n_seqs, err);
    while (seq < b->n_seqs && atomic_load(&s->stop) == 0) {
        uint32_t left = b->starts[b->n_seqs] - b->starts[seq], len = run_seq_len(b, seq);
        /* A text that is more than a thread's share of what is left would keep one thread busy and the others idle. */
        bool alone = nth > 1 && len > MIN_GROUP_TOKENS && (uint64_t)len * nth > (uint64_t)left + left / 8;
        if (one_by_one || alone) {
            ST_TRY(run_shared(sc, seq, seq + 1, err));
            seq++;
        } else if (nth == 1 || left >= MIN_GROUP_TOKENS * nth) {
            uint32_t n_groups = (left + GROUP_TOKENS - 1) / GROUP_TOKENS;
            n_groups = (n_groups + nth - 1) / nth * nth;
            return run_groups(sc, seq, n_groups, err);
        } else {
            return run_shared(sc, seq, b->n_seqs, err);
        }
    }
    return STRATA_OK;
}

static void run_log_layers(const st_state *s, const st_batch *b)
{
    if (!st_log_on(s->exec->log, STRATA_LOG_TRACE)) return;
    uint32_t n = s->exec->plan->config->n_layer;
    for (uint32_t il = 0; il <= n; il++) {
        double t = 0;
        for (uint32_t i = 0; i < s->n_threads; i++) {
            if (!s->workers[i].layer_seconds) continue;
            t += s->workers[i].layer_seconds[il];
            s->workers[i].layer_seconds[il] = 0;
        }
        if (il < n)
            st_log_write(s->exec->log, STRATA_LOG_TRACE, "layer %u: %.3f ms for %u tokens", il, t * 1e3, b->n_tokens);
        else
            st_log_write(s->exec->log, STRATA_LOG_TRACE, "other: %.3f ms for %u tokens", t * 1e3, b->n_tokens);
    }
}

/* The cached sequences that this run adds to. */
static int run_begin_seqs(st_state *s, const st_batch *b, strata_error *err)
{
    for (uint32_t i = 0; i < b->n_seqs; i++)
        ST_TRY(st_kv_begin(&s->kv, b->seqs[i], b->past[i], run_keys_of(b, i),
                           st_rope_is_long(s->exec->plan, b->whole[i]), err));
    return STRATA_OK;
}

int st_cpu_run(st_state *s, const st_batch *batch, strata_error *err)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < batch->n_seqs; i++) {
        if (run_keys_of(batch, i) > longest) longest = run_keys_of(batch, i);
        batch->status[i] = STRATA_OK;
    }
    ST_TRY(st_state_rope(s, run_room_for(s, batch, longest), err));
    if (batch->past) ST_TRY(run_begin_seqs(s, batch, err));
    atomic_store(&s->stop, STRATA_OK);
    s->selected = 0;
    atomic_store(&s->n_exact, 0);
    schedule sc = {.state = s, .batch = batch};
    ST_TRY(st_lock_open(&sc.lock, err));
    int rc = run_phases(&sc, err);
    st_lock_close(&sc.lock);
    ST_TRY(rc);
    int why = atomic_load(&s->stop);
    ST_FAIL_IF(why == STRATA_CANCELLED, err, why, "cancelled");
    if (why == STRATA_INVALID_ARG) return st_forked_error(err);
    ST_FAIL_IF(why == STRATA_DEADLINE, err, why, "the deadline passed before the run was done");
    if (batch->wanted) st_select_learn(s);
    run_log_layers(s, batch);
    return STRATA_OK;
}
