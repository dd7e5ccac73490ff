/* seq.c: which tokens the cache holds for each sequence, and what must run to make it hold others.
 *
 * How much of what a sequence held may stay is the backend's answer: it knows what its runs, also those that failed,
 * have written over. */
#include <string.h>

#include "engine/engine.h"
#include "grammar/grammar.h"

/* Tokens that a sequence makes room for at first. */
#define MIN_IDS 1024u

int st_seqs_open(strata_ctx *c, uint32_t n_seqs, uint32_t n_ctx, uint32_t n_batch, strata_error *err)
{
    st_mem *mem = c->model->mem;
    c->n_ctx = n_ctx;
    c->n_batch = n_batch;
    c->seqs = st_calloc(mem, n_seqs, sizeof *c->seqs);
    ST_FAIL_IF(!c->seqs, err, STRATA_NO_MEMORY, "no memory for %u sequences", n_seqs);
    c->n_seqs = n_seqs;
    st_step *s = &c->step;
    s->starts = st_alloc(mem, (size_t)n_seqs + 1, sizeof *s->starts);
    s->past = st_alloc(mem, n_seqs, sizeof *s->past);
    s->whole = st_alloc(mem, n_seqs, sizeof *s->whole);
    s->out = st_alloc(mem, n_seqs, sizeof *s->out);
    s->status = st_alloc(mem, n_seqs, sizeof *s->status);
    ST_FAIL_IF(!s->starts || !s->past || !s->whole || !s->out || !s->status, err, STRATA_NO_MEMORY,
               "no memory for %u sequences", n_seqs);
    return STRATA_OK;
}

void st_seqs_close(strata_ctx *c)
{
    st_mem *mem = c->model->mem;
    for (uint32_t i = 0; i < c->n_seqs; i++) st_free(mem, c->seqs[i].ids);
    void *step[] = {c->step.starts, c->step.past, c->step.whole, c->step.out, c->step.status};
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) st_free(mem, step[i]);
    st_free(mem, c->seqs);
    st_free(mem, c->logits);
    st_gvocab_close(c->gvocab);
}

static int seq_check(const strata_ctx *c, strata_error *err)
{
    ST_FAIL_IF(c->n_seqs == 0, err, STRATA_UNSUPPORTED_OP, "the context was opened without sequences (n_seqs)");
    return STRATA_OK;
}

/* Rows of logits for n sequences; those of the call before need not be kept. */
static int seq_logits(strata_ctx *c, uint32_t n, strata_error *err)
{
    st_mem *mem = c->model->mem;
    if (n <= c->n_rows) return STRATA_OK;
    st_free(mem, c->logits);
    c->logits = st_alloc(mem, n, c->model->weights.n_vocab * sizeof *c->logits);
    c->n_rows = c->logits ? n : 0;
    ST_FAIL_IF(!c->logits, err, STRATA_NO_MEMORY, "no memory for %u rows of logits", n);
    return STRATA_OK;
}

/* Room for n tokens, at most the context's. */
static int seq_grow(strata_ctx *c, st_seq *l, uint32_t n, strata_error *err)
{
    st_mem *mem = c->model->mem;
    if (n <= l->cap) return STRATA_OK;
    uint32_t cap = l->cap < MIN_IDS / 2 ? MIN_IDS : l->cap > c->n_ctx / 2 ? c->n_ctx : l->cap * 2;
    if (cap < n) cap = n;
    if (cap > c->n_ctx) cap = c->n_ctx;
    int32_t *ids = st_alloc(mem, cap, sizeof *ids);
    ST_FAIL_IF(!ids, err, STRATA_NO_MEMORY, "no memory for %u tokens", cap);
    if (l->n) memcpy(ids, l->ids, l->n * sizeof *ids);
    st_free(mem, l->ids);
    l->ids = ids;
    l->cap = cap;
    return STRATA_OK;
}

static int seq_check_ids(const strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, strata_error *err)
{
    ST_FAIL_IF(seq >= c->n_seqs, err, STRATA_INVALID_ARG, "sequence %u: the context has 0..%u", seq, c->n_seqs - 1);
    for (size_t i = 0; i < n; i++)
        ST_FAIL_IF(ids[i] < 0 || (uint32_t)ids[i] >= c->model->weights.n_vocab, err, STRATA_INVALID_ARG,
                   "id %d at %zu: the vocabulary has 0..%u", ids[i], i, c->model->weights.n_vocab - 1);
    return STRATA_OK;
}

/* Tokens of ids that the cache goes on from: the common prefix, short of the last token, whose logits are wanted, or
 * nothing. What is beyond them is forgotten. */
static uint32_t seq_reuse(strata_ctx *c, uint32_t seq, const int32_t *ids, uint32_t n)
{
    const st_backend *b = c->model->backend;
    st_seq *l = &c->seqs[seq];
    uint32_t same = 0;
    while (same < l->n && same + 1 < n && l->ids[same] == ids[same]) same++;
    l->n = b->kv_keep(c->state, seq, same, n);
    b->kv_trim(c->state, seq, l->n, n);
    return l->n;
}

/* Runs n tokens of one sequence from `past` on; logits only of the last. */
static int seq_run(strata_ctx *c, uint32_t seq, uint32_t past, const int32_t *ids, uint32_t n, uint32_t whole,
                   const st_wanted *wanted, const volatile int *cancel, double deadline, strata_error *err)
{
    const strata_model *m = c->model;
    uint32_t starts[2] = {0, n};
    int status = STRATA_OK;
    st_batch b = {.n_seqs = 1,
                  .n_tokens = n,
                  .ids = ids,
                  .starts = starts,
                  .past = &past,
                  .seqs = &seq,
                  .whole = &whole,
                  .last_only = 1,
                  .wanted = wanted,
                  .what = STRATA_EVAL_LOGITS,
                  .out = &c->logits,
                  .status = &status,
                  .cancel = cancel,
                  .deadline = deadline};
    ST_TRY(m->backend->run(c->state, &b, err));
    ST_FAIL_IF(status, err, status, "%s: the model gave NaN or infinity in tokens %u to %u of sequence %u", m->path,
               past, past + n, seq);
    return STRATA_OK;
}

int st_seq_sync(strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, uint32_t chunk, const st_wanted *wanted,
                const volatile int *cancel, double deadline, float **logits, uint32_t *reused, strata_error *err)
{
    ST_TRY(seq_check(c, err));
    ST_TRY(seq_check_ids(c, seq, NULL, 0, err));
    ST_FAIL_IF(n > c->n_ctx, err, STRATA_TOO_LONG, "%zu tokens, the context holds %u", n, c->n_ctx);
    ST_TRY(seq_check_ids(c, seq, ids, n, err));
    st_seq *l = &c->seqs[seq];
    if (n == 0) {
        l->n = 0;
        l->ready = false;
        c->model->backend->kv_trim(c->state, seq, 0, 0);
        ST_FAIL(err, STRATA_EMPTY_PROMPT, "no ids to run");
    }
    l->ready = false; /* what a run that fails leaves behind is not what was asked for */
    ST_TRY(seq_logits(c, 1, err));
    ST_TRY(seq_grow(c, l, (uint32_t)n, err));
    if (chunk == 0 || chunk > c->n_batch) chunk = c->n_batch;
    uint32_t at = seq_reuse(c, seq, ids, (uint32_t)n), from = at;
    for (uint32_t k; at < n; at += k) {
        k = n - at < chunk ? (uint32_t)(n - at) : chunk;
        ST_TRY(seq_run(c, seq, at, ids + at, k, (uint32_t)n, wanted, cancel, deadline, err));
        memcpy(l->ids + at, ids + at, k * sizeof *ids);
        l->n = at + k;
    }
    l->ready = true;
    *logits = c->logits;
    *reused = from;
    return STRATA_OK;
}

static int seq_run_step(strata_ctx *c, const uint32_t *seqs, const int32_t *ids, uint32_t n, const volatile int *cancel,
                        strata_error *err)
{
    const strata_model *m = c->model;
    const st_step *s = &c->step;
    s->starts[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        s->starts[i + 1] = i + 1;
        s->past[i] = c->seqs[seqs[i]].n;
        s->whole[i] = s->past[i] + 1;
        s->out[i] = c->logits + (size_t)i * m->weights.n_vocab;
        s->status[i] = STRATA_OK;
    }
    st_batch b = {.n_seqs = n,
                  .n_tokens = n,
                  .ids = ids,
                  .starts = s->starts,
                  .past = s->past,
                  .seqs = seqs,
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

static int seq_check_step(const strata_ctx *c, uint32_t seq, strata_error *err)
{
    const st_seq *l = &c->seqs[seq];
    ST_FAIL_IF(!l->ready, err, STRATA_INVALID_ARG, "sequence %u is %s: synchronise it first", seq,
               l->n ? "what a call that failed left of it" : "empty");
    ST_FAIL_IF(l->n >= c->n_ctx, err, STRATA_TOO_LONG, "sequence %u is full: the context holds %u tokens", seq,
               c->n_ctx);
    /* A ring holds all that the next token of a ready sequence sees, so the reason can only be its length. */
    ST_FAIL_IF(c->model->backend->kv_keep(c->state, seq, l->n, l->n + 1) != l->n, err, STRATA_TOO_LONG,
               "sequence %u crosses %u tokens, where LongRoPE changes its angles: synchronise it as a whole", seq,
               c->model->config.rope_original);
    return STRATA_OK;
}

int st_seq_step(strata_ctx *c, const uint32_t *seqs, const int32_t *ids, size_t n, const volatile int *cancel,
                const float **logits, strata_error *err)
{
    ST_TRY(seq_check(c, err));
    ST_FAIL_IF(n == 0 || n > c->n_seqs, err, STRATA_INVALID_ARG, "%zu sequences to step, the context has %u", n,
               c->n_seqs);
    for (size_t i = 0; i < n; i++) {
        ST_TRY(seq_check_ids(c, seqs[i], ids + i, 1, err));
        ST_TRY(seq_check_step(c, seqs[i], err));
        for (size_t j = 0; j < i; j++)
            ST_FAIL_IF(seqs[j] == seqs[i], err, STRATA_INVALID_ARG, "sequence %u is named twice", seqs[i]);
    }
    ST_TRY(seq_logits(c, (uint32_t)n, err));
    for (size_t i = 0; i < n; i++) ST_TRY(seq_grow(c, &c->seqs[seqs[i]], c->seqs[seqs[i]].n + 1, err));
    ST_TRY(seq_run_step(c, seqs, ids, (uint32_t)n, cancel, err));
    for (size_t i = 0; i < n; i++) {
        st_seq *l = &c->seqs[seqs[i]];
        l->ids[l->n++] = ids[i];
        logits[i] = c->step.out[i];
    }
    return STRATA_OK;
}
