/* ctx.c: the public functions of contexts: open, sequences. */
#include "api/api.h"

int strata_ctx_open(const strata_model *m, const strata_ctx_opts *opts, strata_ctx **out, strata_error *err)
{
    ST_NEED(m);
    ST_NEED(out);
    ST_TRY(st_opts_check_ctx(opts, err));
    ST_NEED_WEIGHTS(m);
    strata_ctx_opts o = opts ? *opts : (strata_ctx_opts){0};
    uint64_t fp = st_fp_enter();
    int rc = st_ctx_open(m, &o, ST_SEQ_BATCH, out, err);
    st_fp_leave(fp);
    return rc;
}

uint32_t strata_ctx_threads(const strata_ctx *c)
{
    return c ? c->n_threads : 0;
}

uint32_t strata_ctx_tokens(const strata_ctx *c)
{
    return c ? c->n_ctx : 0;
}

const char *strata_ctx_kernels(const strata_ctx *c)
{
    return c ? c->model->backend->unit(c->state) : NULL;
}

int strata_ctx_sync(strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, uint32_t chunk,
                    const volatile int *cancel, const float **logits, strata_error *err)
{
    ST_NEED(c);
    ST_NEED(logits);
    ST_FAIL_IF(n && !ids, err, STRATA_INVALID_ARG, "strata_ctx_sync: ids is NULL");
    ST_TRY(st_ctx_enter(c, err));
    float *row = NULL;
    uint32_t reused;
    int rc = st_seq_sync(c, seq, ids, n, chunk, NULL, cancel, 0, &row, &reused, err);
    if (!rc) *logits = row;
    st_ctx_leave(c);
    return rc;
}

int strata_ctx_step(strata_ctx *c, const uint32_t *seqs, const int32_t *ids, size_t n, const volatile int *cancel,
                    const float **logits, strata_error *err)
{
    ST_NEED(c);
    ST_FAIL_IF(n && (!seqs || !ids || !logits), err, STRATA_INVALID_ARG,
               "strata_ctx_step: seqs, ids or logits is NULL");
    ST_TRY(st_ctx_enter(c, err));
    int rc = st_seq_step(c, seqs, ids, n, cancel, logits, err);
    st_ctx_leave(c);
    return rc;
}
