/* infer.c: the public functions that run texts or ids: vectors, scores, text. */
#include "api/api.h"
#include "sample/knobs.def"

int strata_embed(strata_ctx *c, const strata_text *texts, size_t n, const strata_embed_opts *opts, float *out,
                 size_t stride, strata_embed_item *items, strata_error *err)
{
    ST_NEED(c);
    ST_FAIL_IF(n && (!texts || !out), err, STRATA_INVALID_ARG, "strata_embed: texts or out is NULL");
    ST_TRY(st_opts_check_embed(opts, err));
    ST_TRY(st_ctx_enter(c, err));
    int rc = st_embed(c, texts, n, opts, out, stride, items, err);
    st_ctx_leave(c);
    return rc;
}

int strata_embed_tokens(strata_ctx *c, const char *text, size_t len, const strata_embed_opts *opts, float *out,
                        size_t cap, size_t *n_rows, strata_embed_item *item, strata_error *err)
{
    ST_NEED(c);
    ST_NEED(n_rows);
    ST_FAIL_IF((len && !text) || (cap && !out), err, STRATA_INVALID_ARG, "strata_embed_tokens: text or out is NULL");
    ST_TRY(st_opts_check_embed(opts, err));
    strata_text t = {text ? text : "", len};
    ST_TRY(st_ctx_enter(c, err));
    int rc = st_embed_tokens(c, &t, opts, out, cap, n_rows, item, err);
    st_ctx_leave(c);
    return rc;
}

uint32_t strata_embed_dims(const strata_model *m, const strata_embed_opts *opts, strata_error *err)
{
    uint32_t dims = 0;
    strata_embed_opts o = opts ? *opts : (strata_embed_opts){0};
    if (!m) {
        st_error_set(err, STRATA_INVALID_ARG, "strata_embed_dims: the model is NULL");
        return 0;
    }
    if (st_opts_check_embed(opts, err)) return 0;
    uint64_t fp = st_fp_enter(); /* messages have numbers */
    int rc = st_embed_check(m, &o, &dims, err);
    st_fp_leave(fp);
    return rc ? 0 : dims;
}

int strata_rank(strata_ctx *c, strata_text query, const strata_text *passages, size_t n, const strata_rank_opts *opts,
                float *scores, strata_embed_item *items, strata_error *err)
{
    ST_NEED(c);
    ST_FAIL_IF(query.len && !query.ptr, err, STRATA_INVALID_ARG, "strata_rank: the query is NULL but has %zu bytes",
               query.len);
    ST_FAIL_IF(n && (!passages || !scores), err, STRATA_INVALID_ARG, "strata_rank: passages or scores is NULL");
    ST_TRY(st_opts_check_rank(opts, err));
    ST_TRY(st_ctx_enter(c, err));
    int rc = st_rank(c, query, passages, n, opts, scores, items, err);
    st_ctx_leave(c);
    return rc;
}

strata_gen_opts strata_gen_default(void)
{
    return (strata_gen_opts){ST_KNOBS(ST_KNOB_DEFAULT, )};
}

int strata_generate(strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, const strata_gen_opts *opts,
                    strata_gen_result *result, strata_error *err)
{
    strata_gen_result r;
    const strata_gen_opts o = opts ? *opts : strata_gen_default();
    ST_NEED(c);
    ST_FAIL_IF(n && !ids, err, STRATA_INVALID_ARG, "strata_generate: ids is NULL");
    ST_TRY(st_opts_check_gen(&o, err));
    ST_TRY(st_ctx_enter(c, err));
    int rc = st_generate(c, seq, ids, n, &o, &r, err);
    if (!rc && result) *result = r;
    st_ctx_leave(c);
    return rc;
}

int strata_eval(strata_ctx *c, const int32_t *ids, const int32_t *types, size_t n, int what, int pooling, float *out,
                size_t cap, size_t *rows, size_t *cols, strata_error *err)
{
    ST_NEED(c);
    ST_NEED(rows);
    ST_NEED(cols);
    ST_FAIL_IF((n && !ids) || (cap && !out), err, STRATA_INVALID_ARG, "strata_eval: ids or out is NULL");
    ST_TRY(st_opts_check_value("what", what, STRATA_EVAL_POOLED, err));
    ST_TRY(st_opts_check_value("pooling", pooling, STRATA_POOLING_RANK, err));
    ST_TRY(st_ctx_enter(c, err));
    int rc = st_eval(c, ids, types, n, what, pooling, out, cap, rows, cols, err);
    st_ctx_leave(c);
    return rc;
}
