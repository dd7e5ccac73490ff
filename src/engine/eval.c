/* eval.c: raw ids -> logits, hidden states or a pooled vector. */
#include "engine/batcher.h"
#include "engine/engine.h"

static int eval_check_ids(const strata_model *m, const int32_t *ids, const int32_t *types, size_t n, strata_error *err)
{
    ST_FAIL_IF(n == 0, err, STRATA_EMPTY_PROMPT, "no ids to run");
    ST_FAIL_IF(n > m->config.n_ctx, err, STRATA_TOO_LONG, "%zu ids, the model's context has %u", n, m->config.n_ctx);
    uint32_t n_types = m->weights.n_types ? m->weights.n_types : 1;
    for (size_t i = 0; i < n; i++) {
        ST_FAIL_IF(ids[i] < 0 || (uint32_t)ids[i] >= m->weights.n_vocab, err, STRATA_INVALID_ARG,
                   "id %d at %zu: the vocabulary has 0..%u", ids[i], i, m->weights.n_vocab - 1);
        ST_FAIL_IF(types && (types[i] < 0 || (uint32_t)types[i] >= n_types), err, STRATA_INVALID_ARG,
                   "token type %d at %zu: the model has 0..%u", types[i], i, n_types - 1);
    }
    return STRATA_OK;
}

int st_eval(strata_ctx *c, const int32_t *ids, const int32_t *types, size_t n, int what, int pooling, float *out,
            size_t cap, size_t *rows, size_t *cols, strata_error *err)
{
    const strata_model *m = c->model;
    *rows = *cols = 0;
    ST_TRY(eval_check_ids(m, ids, types, n, err));
    int pool = 0;
    switch (what) {
    case STRATA_EVAL_LOGITS:
        ST_FAIL_IF(m->plan.logits == m->plan.n_ops, err, STRATA_UNSUPPORTED_OP, "%s: the model has no output head",
                   m->path);
        *rows = n;
        *cols = m->weights.n_vocab;
        break;
    case STRATA_EVAL_HIDDEN:
        *rows = n;
        *cols = m->config.n_embd;
        break;
    case STRATA_EVAL_POOLED:
        ST_TRY(st_embed_pooling(m, pooling, &pool, err));
        *rows = 1;
        *cols = pool == STRATA_POOLING_RANK ? m->plan.n_labels : m->plan.n_embd_out;
        break;
    default: ST_FAIL(err, STRATA_INVALID_ARG, "what: no such value as %d", what);
    }
    ST_FAIL_IF(cap / *cols < *rows, err, STRATA_TOO_LONG, "room for %zu floats, want %zu x %zu", cap, *rows, *cols);
    uint32_t starts[2] = {0, (uint32_t)n};
    int status = STRATA_OK;
    st_batch b = {.n_seqs = 1,
                  .n_tokens = (uint32_t)n,
                  .ids = ids,
                  .types = types,
                  .starts = starts,
                  .what = what,
                  .pooling = pool,
                  .out = &out,
                  .status = &status};
    ST_TRY(m->backend->run(c->state, &b, err));
    if (status) st_nan_row(out, *rows * *cols);
    ST_FAIL_IF(status, err, status, "%s: the model gave NaN or infinity for these ids", m->path);
    return STRATA_OK;
}
