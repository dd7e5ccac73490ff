/* lane.c: which tokens the cache holds for each sequence, and what must run to make it hold others. */
#include <string.h>

#include "run/engine.h"
#include "run/grammar.h"

int st_lanes_open(strata_ctx *c, uint32_t n_seqs, uint32_t n_ctx, strata_error *err)
{
    st_mem *mem = &c->model->mem;
    c->n_ctx = n_ctx;
    c->lanes = st_calloc(mem, n_seqs, sizeof *c->lanes);
    ST_FAIL_IF(!c->lanes, err, STRATA_NO_MEMORY, "no memory for %u sequences", n_seqs);
    c->n_lanes = n_seqs;
    st_step *s = &c->step;
    s->starts = st_alloc(mem, (size_t)n_seqs + 1, sizeof *s->starts);
    s->past = st_alloc(mem, n_seqs, sizeof *s->past);
    s->whole = st_alloc(mem, n_seqs, sizeof *s->whole);
    s->out = st_alloc(mem, n_seqs, sizeof *s->out);
    s->status = st_alloc(mem, n_seqs, sizeof *s->status);
    ST_FAIL_IF(!s->starts || !s->past || !s->whole || !s->out || !s->status, err, STRATA_NO_MEMORY,
               "no memory for %u sequences", n_seqs);
    for (uint32_t i = 0; i < n_seqs; i++) {
        c->lanes[i].ids = st_alloc(mem, n_ctx, sizeof *c->lanes[i].ids);
        ST_FAIL_IF(!c->lanes[i].ids, err, STRATA_NO_MEMORY, "no memory for %u tokens", n_ctx);
    }
    return STRATA_OK;
}

void st_lanes_close(strata_ctx *c)
{
    st_mem *mem = &c->model->mem;
    for (uint32_t i = 0; i < c->n_lanes; i++) st_free(mem, c->lanes[i].ids);
    void *step[] = {c->step.starts, c->step.past, c->step.whole, c->step.out, c->step.status};
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) st_free(mem, step[i]);
    st_free(mem, c->lanes);
    st_free(mem, c->logits);
    st_gvocab_close(c->gvocab);
}

static int check_head(strata_ctx *c, strata_error *err)
{
    strata_model *m = c->model;
    ST_FAIL_IF(c->n_lanes == 0, err, STRATA_UNSUPPORTED_OP, "the context was opened without sequences (n_seqs)");
    ST_FAIL_IF(m->plan.logits == m->plan.n_ops, err, STRATA_UNSUPPORTED_OP, "%s: the model has no output head",
               m->path);
    ST_FAIL_IF(!m->config.causal, err, STRATA_UNSUPPORTED_OP, "%s: an encoder does not generate", m->path);
    if (!c->logits) c->logits = st_alloc(&m->mem, c->n_lanes, m->weights.n_vocab * sizeof *c->logits);
    ST_FAIL_IF(!c->logits, err, STRATA_NO_MEMORY, "no memory for %u rows of logits", c->n_lanes);
    return STRATA_OK;
}

static int check_ids(const strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, strata_error *err)
{
    ST_FAIL_IF(seq >= c->n_lanes, err, STRATA_INVALID_ARG, "sequence %u: the context has 0..%u", seq, c->n_lanes - 1);
    for (size_t i = 0; i < n; i++)
        ST_FAIL_IF(ids[i] < 0 || (uint32_t)ids[i] >= c->model->weights.n_vocab, err, STRATA_INVALID_ARG,
                   "id %d at %zu: the vocabulary has 0..%u", ids[i], i, c->model->weights.n_vocab - 1);
    return STRATA_OK;
}

/* LongRoPE: the whole sequence takes the short or the long factors, by its length. */
static bool uses_long_factors(const strata_model *m, size_t n)
{
    return m->weights.rope_factors_long.v && n > m->config.rope_original;
}

/* Tokens of ids that the cache can go on from: the common prefix, short of the last token, whose logits are wanted. */
static uint32_t reusable(const strata_ctx *c, const st_lane *l, const int32_t *ids, size_t n)
{
    const strata_model *m = c->model;
    uint32_t keep = 0;
    while (keep < l->n && keep + 1 < n && l->ids[keep] == ids[keep]) keep++;
    /* The angles of what is kept would be those of the other table: HF empties its cache there too. */
    if (uses_long_factors(m, l->n) != uses_long_factors(m, n)) return 0;
    /* A ring has overwritten what lies more than its size before the newest token. */
    if (keep < l->n && m->config.window) {
        uint32_t newest = l->n, oldest = keep >= m->config.window ? keep - m->config.window + 1 : 0;
        uint32_t room = (uint32_t)st_round_up((size_t)m->config.window + ST_LANE_BATCH, 16);
        if (newest > oldest && newest - (oldest & ~15u) > room) return 0;
    }
    return keep;
}

/* Runs n tokens of one sequence from `past` on; logits only of the last. */
static int run(strata_ctx *c, uint32_t seq, uint32_t past, const int32_t *ids, uint32_t n, uint32_t whole,
               const st_wanted *wanted, const volatile int *cancel, double deadline, strata_error *err)
{
    const strata_model *m = c->model;
    uint32_t starts[2] = {0, n};
    int status = STRATA_OK;
    float *out = c->logits + (size_t)seq * m->weights.n_vocab;
    st_batch b = {.n_seqs = 1,
                  .n_tokens = n,
                  .ids = ids,
                  .starts = starts,
                  .past = &past,
                  .lanes = &seq,
                  .whole = &whole,
                  .last_only = 1,
                  .wanted = wanted,
                  .what = STRATA_EVAL_LOGITS,
                  .out = &out,
                  .status = &status,
                  .cancel = cancel,
                  .deadline = deadline};
    ST_TRY(m->backend->run(c->state, &b, err));
    ST_FAIL_IF(status, err, status, "%s: the model gave NaN or infinity", m->path);
    return STRATA_OK;
}

int st_lane_sync(strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, uint32_t chunk, const st_wanted *wanted,
                 const volatile int *cancel, double deadline, float **logits, strata_error *err)
{
    ST_TRY(check_head(c, err));
    ST_FAIL_IF(n == 0, err, STRATA_EMPTY_PROMPT, "no ids to run");
    ST_FAIL_IF(n > c->n_ctx, err, STRATA_TOO_LONG, "%zu tokens, the context holds %u", n, c->n_ctx);
    ST_TRY(check_ids(c, seq, ids, n, err));
    if (chunk == 0 || chunk > ST_LANE_BATCH) chunk = ST_LANE_BATCH;
    st_lane *l = &c->lanes[seq];
    uint32_t at = reusable(c, l, ids, n);
    l->n = at; /* what a failed run leaves behind is not to be trusted */
    for (uint32_t k; at < n; at += k) {
        k = n - at < chunk ? (uint32_t)(n - at) : chunk;
        ST_TRY(run(c, seq, at, ids + at, k, (uint32_t)n, wanted, cancel, deadline, err));
        memcpy(l->ids + at, ids + at, k * sizeof *ids);
        l->n = at + k;
    }
    *logits = c->logits + (size_t)seq * c->model->weights.n_vocab;
    return STRATA_OK;
}

static int run_step(strata_ctx *c, const uint32_t *seqs, const int32_t *ids, uint32_t n, const volatile int *cancel,
                    strata_error *err)
{
    const strata_model *m = c->model;
    const st_step *s = &c->step;
    s->starts[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        s->starts[i + 1] = i + 1;
        s->past[i] = c->lanes[seqs[i]].n;
        s->whole[i] = s->past[i] + 1;
        s->out[i] = c->logits + (size_t)i * m->weights.n_vocab;
        s->status[i] = STRATA_OK;
    }
    st_batch b = {.n_seqs = n,
                  .n_tokens = n,
                  .ids = ids,
                  .starts = s->starts,
                  .past = s->past,
                  .lanes = seqs,
                  .whole = s->whole,
                  .last_only = 1,
                  .what = STRATA_EVAL_LOGITS,
                  .out = s->out,
                  .status = s->status,
                  .cancel = cancel};
    ST_TRY(m->backend->run(c->state, &b, err));
    for (uint32_t i = 0; i < n; i++)
        ST_FAIL_IF(s->status[i], err, s->status[i], "%s: the model gave NaN or infinity in sequence %u", m->path,
                   seqs[i]);
    return STRATA_OK;
}

int st_lane_step(strata_ctx *c, const uint32_t *seqs, const int32_t *ids, size_t n, const volatile int *cancel,
                 const float **logits, strata_error *err)
{
    strata_model *m = c->model;
    ST_TRY(check_head(c, err));
    ST_FAIL_IF(n == 0 || n > c->n_lanes, err, STRATA_INVALID_ARG, "%zu sequences to step, the context has %u", n,
               c->n_lanes);
    for (size_t i = 0; i < n; i++) {
        ST_TRY(check_ids(c, seqs[i], ids + i, 1, err));
        const st_lane *l = &c->lanes[seqs[i]];
        ST_FAIL_IF(l->n == 0, err, STRATA_INVALID_ARG, "sequence %u is empty: synchronise it first", seqs[i]);
        ST_FAIL_IF(l->n >= c->n_ctx, err, STRATA_TOO_LONG, "sequence %u is full: the context holds %u tokens", seqs[i],
                   c->n_ctx);
        ST_FAIL_IF(uses_long_factors(m, l->n) != uses_long_factors(m, l->n + 1), err, STRATA_TOO_LONG,
                   "sequence %u crosses %u tokens, where LongRoPE changes its angles: synchronise it as a whole",
                   seqs[i], m->config.rope_original);
        for (size_t j = 0; j < i; j++)
            ST_FAIL_IF(seqs[j] == seqs[i], err, STRATA_INVALID_ARG, "sequence %u is named twice", seqs[i]);
    }
    ST_TRY(run_step(c, seqs, ids, (uint32_t)n, cancel, err));
    for (size_t i = 0; i < n; i++) {
        st_lane *l = &c->lanes[seqs[i]];
        l->ids[l->n++] = ids[i];
        logits[i] = c->step.out[i];
    }
    return STRATA_OK;
}
