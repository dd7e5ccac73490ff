/* embed.c: texts -> tokens -> ragged batch -> vectors, in the caller's order. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/format.h"
#include "base/math.h"
#include "engine/batcher.h"

typedef struct job {
    strata_ctx *ctx;
    const strata_model *m;
    strata_embed_opts opts;
    const char *prompt;
    size_t prompt_len;
    int pooling, what;
    uint32_t width, dims; /* of the backend's vectors; of the caller's */
    double deadline;
    const strata_text *texts;
    size_t n;
    strata_embed_item *items; /* [n] */
    float *out;
    size_t stride;
    st_tokens tokens; /* of all texts */
    st_stop stop;
    st_item *todo; /* texts that are run */
    size_t n_todo;
    char *joined; /* prompt + text */
    size_t cap_joined;
    size_t room, n_rows; /* of rows a token: the caller's, and how many there are */
    size_t failed;       /* texts that are not run */
} job;

static void embed_fail_item(strata_embed_item *item, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void embed_fail_item(strata_embed_item *item, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)st_vformat(item->msg, sizeof item->msg, fmt, ap);
    va_end(ap);
    item->status = status;
}

static void embed_on_progress(void *user, size_t done)
{
    job *j = user;
    bool inside = st_fp_out();
    j->opts.progress(j->opts.progress_user, j->failed + done, j->n);
    st_fp_back(inside);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static const char *embed_prompt_of(const strata_model *m, const strata_embed_opts *o)
{
    if (o->prompt) return o->prompt;
    const char *p = o->role == STRATA_ROLE_QUERY      ? m->prompt_query
                    : o->role == STRATA_ROLE_DOCUMENT ? m->prompt_document
                                                      : NULL;
    return p ? p : "";
}

int st_embed_pooling(const strata_model *m, int asked, int *pooling, strata_error *err)
{
    *pooling = asked == STRATA_POOLING_DEFAULT ? (int)m->config.pooling : asked;
    switch (*pooling) {
    case STRATA_POOLING_MEAN:
    case STRATA_POOLING_CLS:
    case STRATA_POOLING_LAST: return STRATA_OK;
    case STRATA_POOLING_NONE:
        ST_FAIL(err, STRATA_UNSUPPORTED_OP, "%s: the model has no pooling of its own; ask for mean, cls or last",
                m->path);
    case STRATA_POOLING_RANK:
        ST_FAIL_IF(m->plan.head_lacks, err, STRATA_UNSUPPORTED_OP, "%s: its classification head has no %s", m->path,
                   m->plan.head_lacks);
        ST_FAIL_IF(m->plan.n_labels == 0, err, STRATA_UNSUPPORTED_OP, "%s: the model has no classification head",
                   m->path);
        return STRATA_OK;
    default: ST_FAIL(err, STRATA_INVALID_ARG, "pooling: no such value as %d", asked);
    }
}

int st_embed_check(const strata_model *m, const strata_embed_opts *o, uint32_t *dims, strata_error *err)
{
    ST_FAIL_IF(m->vocab_only, err, STRATA_UNSUPPORTED_OP, "%s: opened for its vocabulary only", m->path);
    ST_FAIL_IF(o->deadline_ms < 0 || !isfinite(o->deadline_ms), err, STRATA_INVALID_ARG, "deadline_ms: %g, want >= 0",
               o->deadline_ms);
    bool tokens = o->pooling == STRATA_POOLING_NONE;
    int pooling;
    if (!tokens) {
        ST_TRY(st_embed_pooling(m, o->pooling, &pooling, err));
        ST_FAIL_IF(pooling == STRATA_POOLING_RANK, err, STRATA_UNSUPPORTED_OP,
                   "%s: a ranking model: use strata_rank, or ask for mean, cls or last", m->path);
    }
    uint32_t width = tokens ? m->config.n_embd : m->plan.n_embd_out;
    ST_FAIL_IF(o->dims > width, err, STRATA_INVALID_ARG, "dims: %u, but the model has %u", o->dims, width);
    *dims = o->dims ? o->dims : width;
    if (*dims == width || o->force_dims) return STRATA_OK;
    uint32_t min = m->config.arch->min_dims;
    ST_FAIL_IF(min == 0, err, STRATA_UNSUPPORTED_OP,
               "dims: %s is not known to be trained for shorter vectors (Matryoshka); force it to cut all the same",
               m->path);
    ST_FAIL_IF(*dims < min, err, STRATA_UNSUPPORTED_OP,
               "dims: %u is below the %u that the model is trained for; force it", *dims, min);
    return STRATA_OK;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

static int embed_join_prompt(job *j, strata_text *text, strata_error *err)
{
    if (j->prompt_len == 0) return STRATA_OK;
    size_t len;
    ST_FAIL_IF(!st_add(j->prompt_len, text->len, &len) ||
                   !st_grow(j->tokens.mem, &j->joined, &j->cap_joined, len + 1, 0, 1),
               err, STRATA_NO_MEMORY, "no memory for a text of %zu bytes", text->len);
    memcpy(j->joined, j->prompt, j->prompt_len);
    if (text->len) memcpy(j->joined + j->prompt_len, text->ptr, text->len);
    *text = (strata_text){j->joined, len};
    return STRATA_OK;
}

/* Tokens at the start of a text that are its prompt alone. */
static int embed_prompt_tokens(const job *j, strata_text text, unsigned flags, size_t front, size_t back, size_t *n,
                               strata_error *err)
{
    st_tokens t = {.mem = j->tokens.mem, .want_spans = true, .stop = &j->stop};
    int rc = st_tokenizer_encode(j->m->tokenizer, text.ptr, text.len, flags, &t, err);
    *n = 0;
    if (!rc)
        while (front + *n + back < t.n && t.spans[front + *n].end <= j->prompt_len) ++*n;
    st_tokens_free(&t);
    return rc;
}

/* Cuts the tokens at [at, n) of job.tokens to the context. Added special tokens and the prompt stay. */
static int embed_truncate_tokens(job *j, strata_text text, unsigned flags, size_t at, strata_error *err)
{
    const st_token_info *info = st_tokenizer_info(j->m->tokenizer);
    size_t n = j->tokens.n - at, ctx = j->m->config.n_ctx, drop = n - ctx, front = info->add_bos, back = info->add_eos;
    int32_t *ids = j->tokens.ids + at;
    if (j->opts.truncate == STRATA_TRUNCATE_END) {
        if (back && ctx) ids[ctx - 1] = ids[n - 1];
    } else {
        size_t keep = 0;
        if (j->prompt_len) ST_TRY(embed_prompt_tokens(j, text, flags, front, back, &keep, err));
        keep += front;
        if (keep > ctx) keep = ctx;
        memmove(ids + keep, ids + keep + drop, (ctx - keep) * sizeof *ids);
    }
    j->tokens.n = at + ctx;
    return STRATA_OK;
}

/* The offset of invalid UTF-8 counts from the start of the text itself, not of prompt + text. */
static void embed_blame_text(const job *j, strata_text text, unsigned flags, strata_error *e)
{
    strata_error own = {0};
    st_tokens t = {.mem = j->tokens.mem};
    if (st_tokenizer_encode(j->m->tokenizer, text.ptr, text.len, flags, &t, &own) == STRATA_INVALID_ARG) *e = own;
    st_tokens_free(&t);
}

/* A failure of the text goes to its item; one that ends the whole call is returned. */
static int embed_tokenize_one(job *j, size_t i, strata_error *err)
{
    strata_embed_item *item = &j->items[i];
    strata_text text = j->texts[i];
    if (text.len && !text.ptr) {
        embed_fail_item(item, STRATA_INVALID_ARG, "the text is NULL but has %zu bytes", text.len);
        return STRATA_OK;
    }
    ST_TRY(embed_join_prompt(j, &text, err));
    size_t at = j->tokens.n;
    unsigned flags = STRATA_TOKENIZE_ADD_SPECIAL;
    if (!j->opts.plain_special) flags |= STRATA_TOKENIZE_PARSE_SPECIAL;
    if (j->opts.lossy) flags |= STRATA_TOKENIZE_LOSSY;
    strata_error e = {0};
    int rc = st_tokenizer_encode(j->m->tokenizer, text.ptr, text.len, flags, &j->tokens, &e);
    if (rc && rc != STRATA_INVALID_ARG) ST_FAIL(err, rc, "%s", e.msg); /* no fault of the text */
    if (rc == STRATA_INVALID_ARG && j->prompt_len) embed_blame_text(j, j->texts[i], flags, &e);
    if (rc) {
        embed_fail_item(item, rc, "%s", e.msg);
        return STRATA_OK;
    }
    size_t n = j->tokens.n - at, ctx = j->m->config.n_ctx;
    item->n_tokens = item->n_tokens_all = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    if (n == 0) {
        embed_fail_item(item, STRATA_EMPTY_PROMPT, "the text has no tokens");
        return STRATA_OK;
    }
    if (n > ctx) {
        if (j->opts.truncate == STRATA_TRUNCATE_ERROR) {
            j->tokens.n = at;
            embed_fail_item(item, STRATA_TOO_LONG, "%zu tokens, the model's context has %zu", n, ctx);
            return STRATA_OK;
        }
        ST_TRY(embed_truncate_tokens(j, text, flags, at, err));
        item->truncated = 1;
        item->n_tokens = (uint32_t)ctx;
    }
    j->n_rows = j->tokens.n - at;
    if (j->what == STRATA_EVAL_HIDDEN && j->room < j->n_rows) {
        embed_fail_item(item, STRATA_TOO_LONG, "room for %zu rows, the text has %zu tokens", j->room, j->n_rows);
        return STRATA_OK;
    }
    j->todo[j->n_todo++] = (st_item){.n_tokens = (uint32_t)(j->tokens.n - at), .index = i, .at = at};
    return STRATA_OK;
}

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

static float *embed_target(void *user, const st_item *s)
{
    job *j = user;
    return j->out + s->index * j->stride;
}

/* What the backend made of one text -> the caller's rows. */
static void embed_deliver(void *user, const st_item *s, int status, const float *v)
{
    job *j = user;
    float *row = j->out + s->index * j->stride;
    size_t n_rows = j->what == STRATA_EVAL_HIDDEN ? s->n_tokens : 1;
    j->items[s->index].status = STRATA_OK;
    if (status) embed_fail_item(&j->items[s->index], status, "the model gave NaN or infinity for this text");
    for (size_t r = 0; r < n_rows; r++, row += j->dims, v += j->width) {
        if (status) {
            st_nan_row(row, j->dims);
            continue;
        }
        if (row != v) memcpy(row, v, j->dims * sizeof *row);
        if (j->opts.normalize == STRATA_NORMALIZE_L2) st_l2_normalize(row, j->dims);
    }
}

static int embed_run_all(job *j, strata_error *err)
{
    for (size_t i = 0; i < j->n; i++) {
        if (i % 64 == 0) ST_TRY(st_stopped(j->opts.cancel, j->deadline, err));
        ST_TRY(embed_tokenize_one(j, i, err));
    }
    j->failed = j->n - j->n_todo;
    if (j->opts.progress && j->failed) embed_on_progress(j, 0);
    st_batcher b = {.ctx = j->ctx,
                    .ids = j->tokens.ids,
                    .items = j->todo,
                    .n = j->n_todo,
                    .what = j->what,
                    .pooling = j->pooling,
                    .width = j->width,
                    .cancel = j->opts.cancel,
                    .deadline = j->deadline,
                    .target = j->dims == j->width ? embed_target : NULL,
                    .deliver = embed_deliver,
                    .progress = j->opts.progress ? embed_on_progress : NULL,
                    .user = j};
    return st_batcher_run(&b, err);
}

static int embed_prepare(job *j, strata_ctx *c, const strata_embed_opts *opts, strata_error *err)
{
    const strata_model *m = c->model;
    double now = st_now();
    *j = (job){.ctx = c, .m = m, .opts = opts ? *opts : (strata_embed_opts){0}, .tokens = {.mem = m->mem}};
    ST_TRY(st_embed_check(m, &j->opts, &j->dims, err));
    j->prompt = embed_prompt_of(m, &j->opts);
    j->prompt_len = strlen(j->prompt);
    if (j->opts.deadline_ms > 0) j->deadline = now + j->opts.deadline_ms * 1e-3;
    j->stop = (st_stop){j->opts.cancel, j->deadline};
    j->tokens.stop = &j->stop;
    return STRATA_OK;
}

static void embed_release(job *j)
{
    st_free(j->tokens.mem, j->todo);
    st_free(j->tokens.mem, j->joined);
    st_tokens_free(&j->tokens);
}

static int embed_all(job *j, strata_error *err)
{
    for (size_t i = 0; i < j->n; i++) j->items[i] = (strata_embed_item){.status = ST_ITEM_PENDING};
    j->todo = st_alloc(j->tokens.mem, j->n, sizeof *j->todo);
    ST_FAIL_IF(!j->todo, err, STRATA_NO_MEMORY, "no memory for %zu texts", j->n);
    return embed_run_all(j, err);
}

/* Rows that are not whole vectors become NaN, whether or not something was written there: those of texts that failed,
 * and, if the whole call failed, of those that were not done. */
static void embed_abandon(const job *j, size_t n_rows, int status, const strata_error *why)
{
    for (size_t i = 0; i < j->n; i++)
        if (!j->items || st_item_abandon(&j->items[i], status, why->msg))
            for (size_t r = 0; r < n_rows; r++) st_nan_row(j->out + i * j->stride + r * j->dims, j->dims);
}

static int embed_first_failure(const job *j, strata_error *err)
{
    for (size_t i = 0; i < j->n; i++)
        if (j->items[i].status) ST_FAIL(err, j->items[i].status, "text %zu: %s", i, j->items[i].msg);
    return STRATA_OK;
}

int st_embed(strata_ctx *c, const strata_text *texts, size_t n, const strata_embed_opts *opts, float *out,
             size_t stride, strata_embed_item *items, strata_error *err)
{
    job j;
    ST_TRY(embed_prepare(&j, c, opts, err));
    ST_FAIL_IF(j.opts.pooling == STRATA_POOLING_NONE, err, STRATA_INVALID_ARG,
               "pooling none gives a vector a token: use strata_embed_tokens");
    ST_FAIL_IF(stride < j.dims, err, STRATA_INVALID_ARG, "stride: %zu, want at least the %u dims", stride, j.dims);
    size_t floats, bytes;
    ST_FAIL_IF(!st_mul(n, stride, &floats) || !st_mul(floats, sizeof *out, &bytes), err, STRATA_INVALID_ARG,
               "stride: %zu values for each of %zu texts are more than memory has", stride, n);
    ST_TRY(st_embed_pooling(j.m, j.opts.pooling, &j.pooling, err));
    j.what = STRATA_EVAL_POOLED;
    j.width = j.m->plan.n_embd_out;
    j.texts = texts;
    j.n = n;
    j.out = out;
    j.stride = stride;
    j.items = items;
    strata_embed_item *own = items ? NULL : st_alloc(j.tokens.mem, n, sizeof *own);
    if (!items) j.items = own;
    strata_error why = {0};
    int rc = j.items ? embed_all(&j, &why) : st_error_set(&why, STRATA_NO_MEMORY, "no memory for %zu texts", n);
    embed_abandon(&j, 1, rc, &why);
    if (rc && err) *err = why;
    if (!rc && !items) rc = embed_first_failure(&j, err);
    st_free(j.tokens.mem, own);
    embed_release(&j);
    return rc;
}

int st_embed_tokens(strata_ctx *c, const strata_text *text, const strata_embed_opts *opts, float *out, size_t cap,
                    size_t *n_rows, strata_embed_item *item, strata_error *err)
{
    strata_embed_opts o = opts ? *opts : (strata_embed_opts){0};
    o.pooling = STRATA_POOLING_NONE;
    job j;
    ST_TRY(embed_prepare(&j, c, &o, err));
    strata_embed_item own;
    strata_error why = {0};
    j.what = STRATA_EVAL_HIDDEN;
    j.width = j.m->config.n_embd;
    j.texts = text;
    j.n = 1;
    j.items = item ? item : &own;
    j.out = out;
    j.room = cap;
    int rc = embed_all(&j, &why);
    if (rc && err) *err = why;
    if (!rc && j.items->status) rc = st_error_set(err, j.items->status, "%s", j.items->msg);
    if (rc && rc != STRATA_TOO_LONG && j.n_rows <= cap) embed_abandon(&j, j.n_rows, rc, &why);
    *n_rows = rc && rc != STRATA_TOO_LONG ? 0 : j.n_rows;
    embed_release(&j);
    return rc;
}
