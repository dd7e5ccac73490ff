/* api.c: the public functions: check the arguments, call run/. */
#include <stdlib.h>
#include <string.h>

#include "api/opts.h"
#include "base/os/cpus.h"
#include "base/os/thread.h"
#include "engine/engine.h"
#include "engine/prompt.h"

#define NEED(arg) ST_FAIL_IF(!(arg), err, STRATA_INVALID_ARG, "%s: " #arg " is NULL", __func__)

const char *strata_version(void)
{
    return STRATA_VERSION;
}

const char *strata_status_name(int code)
{
    switch (code) {
    case STRATA_OK: return "OK";
    case STRATA_INVALID_ARG: return "INVALID_ARG";
    case STRATA_IO: return "IO";
    case STRATA_NOT_GGUF: return "NOT_GGUF";
    case STRATA_CORRUPT_MODEL: return "CORRUPT_MODEL";
    case STRATA_UNSUPPORTED_ARCH: return "UNSUPPORTED_ARCH";
    case STRATA_UNSUPPORTED_TYPE: return "UNSUPPORTED_TYPE";
    case STRATA_UNSUPPORTED_TOKENIZER: return "UNSUPPORTED_TOKENIZER";
    case STRATA_UNSUPPORTED_OP: return "UNSUPPORTED_OP";
    case STRATA_TOO_LONG: return "TOO_LONG";
    case STRATA_EMPTY_PROMPT: return "EMPTY_PROMPT";
    case STRATA_BAD_GRAMMAR: return "BAD_GRAMMAR";
    case STRATA_BAD_TEMPLATE: return "BAD_TEMPLATE";
    case STRATA_NO_MEMORY: return "NO_MEMORY";
    case STRATA_DEVICE_UNAVAILABLE: return "DEVICE_UNAVAILABLE";
    case STRATA_DEVICE_LOST: return "DEVICE_LOST";
    case STRATA_NONFINITE: return "NONFINITE";
    case STRATA_CANCELLED: return "CANCELLED";
    case STRATA_DEADLINE: return "DEADLINE";
    case STRATA_BUSY: return "BUSY";
    case STRATA_INTERNAL: return "INTERNAL";
    default: return "UNKNOWN";
    }
}

const char *strata_pooling_name(int pooling)
{
    static const char *const names[] = {"default", "none", "mean", "cls", "last", "rank"};
    return pooling >= 0 && pooling <= STRATA_POOLING_RANK ? names[pooling] : "unknown";
}

const char *strata_cpu_level(uint32_t i)
{
    const char *const *levels = st_backend_default()->levels();
    for (uint32_t j = 0; levels[j]; j++)
        if (j == i) return levels[j];
    return NULL;
}

/* ---- model ------------------------------------------------------------------------------------------------------- */

/* A model lives in memory of the caller's allocator like everything else; its st_mem is set up on the stack to get it,
 * and moves in. Nothing points to the stack copy. */
static int new_model(const strata_model_opts *opts, strata_model **out, strata_error *err)
{
    const strata_allocator *a = opts->allocator;
    ST_FAIL_IF(a && (!a->alloc || !a->free), err, STRATA_INVALID_ARG, "the allocator lacks alloc or free");
    st_mem mem;
    st_mem_init(&mem, a, opts->memory_cap);
    strata_model *m = st_calloc(&mem, 1, sizeof *m);
    ST_FAIL_IF(!m, err, STRATA_NO_MEMORY, "no memory for a model");
    st_mem_init(&m->mem, a, opts->memory_cap);
    atomic_store(&m->mem.used, atomic_load(&mem.used));
    m->log = (st_log){opts->log, opts->log_user, opts->log_level ? opts->log_level : STRATA_LOG_INFO};
    *out = m;
    return STRATA_OK;
}

int strata_model_open(const char *path, const strata_model_opts *opts, strata_model **out, strata_error *err)
{
    NEED(path);
    NEED(out);
    ST_TRY(st_opts_check_model(opts, err));
    strata_model_opts o = opts ? *opts : (strata_model_opts){0};
    strata_model *m = NULL;
    ST_TRY(new_model(&o, &m, err));
    int rc = st_engine_load(m, path, NULL, 0, &o, err);
    if (rc)
        strata_model_close(m);
    else
        *out = m;
    return rc;
}

int strata_model_open_buffer(const void *data, size_t size, const char *name, const strata_model_opts *opts,
                             strata_model **out, strata_error *err)
{
    NEED(data);
    NEED(out);
    ST_TRY(st_opts_check_model(opts, err));
    strata_model_opts o = opts ? *opts : (strata_model_opts){0};
    strata_model *m = NULL;
    ST_TRY(new_model(&o, &m, err));
    int rc = st_engine_load(m, name ? name : "(memory)", data, size, &o, err);
    if (rc)
        strata_model_close(m);
    else
        *out = m;
    return rc;
}

void strata_model_close(strata_model *m)
{
    if (!m) return;
    st_engine_free(m);
    st_mem mem;
    st_mem_init(&mem, &m->mem.allocator, 0);
    st_free(&mem, m);
}

void strata_model_get_info(const strata_model *m, strata_model_info *info)
{
    if (!info) return;
    *info = (strata_model_info){.bos = -1, .eos = -1};
    if (!m) return;
    const st_token_info *t = st_tokenizer_info(m->tokenizer);
    info->path = m->path;
    info->arch = m->arch;
    info->name = m->name;
    info->tokenizer = m->tokenizer_name;
    info->file_bytes = m->parts.bytes;
    info->n_parts = (uint32_t)m->parts.n;
    info->n_vocab = t->n_vocab;
    info->bos = t->bos;
    info->eos = t->eos;
    info->vocab_only = m->vocab_only;
    st_str template;
    info->has_chat_template = st_chat_source(m, NULL, &template, NULL) == STRATA_OK && template.len > 0;
    if (m->vocab_only) return;
    const st_config *c = &m->config;
    info->cpu = m->backend->level(m->exec);
    info->bf16 = m->backend->bf16(m->exec);
    info->packed_bytes = m->backend->packed_bytes(m->exec);
    info->prompt_query = m->prompt_query;
    info->prompt_document = m->prompt_document;
    info->n_params = m->n_params;
    info->n_tensors = (uint32_t)m->gguf.n_tensors;
    info->n_layer = c->n_layer;
    info->n_head = c->n_head;
    info->n_head_kv = c->n_head_kv;
    info->n_embd = c->n_embd;
    info->n_ff = c->n_ff;
    info->n_vocab = m->weights.n_vocab;
    info->n_ctx = c->n_ctx;
    info->n_embd_out = m->plan.n_embd_out;
    info->window = c->window;
    info->causal = c->causal;
    info->pooling = (int)c->pooling;
    info->dense = m->weights.dense_2     ? STRATA_DENSE_PRESENT
                  : c->arch->dense_heads ? STRATA_DENSE_MISSING
                                         : STRATA_DENSE_NONE;
    info->has_logits = m->plan.logits < m->plan.n_ops;
    info->n_labels = m->plan.n_labels;
    uint32_t dims;
    info->can_embed = st_embed_check(m, &(strata_embed_opts){0}, &dims, NULL) == STRATA_OK;
    info->can_rank = st_rank_works(m);
    info->can_generate = info->causal && info->has_logits;
    info->min_dims = c->arch->min_dims;
}

int strata_model_get_type(const strata_model *m, uint32_t i, const char **name, uint32_t *n_tensors, uint64_t *bytes)
{
    if (!m || i >= m->n_types) return 0;
    if (name) *name = m->types[i].name;
    if (n_tensors) *n_tensors = m->types[i].n_tensors;
    if (bytes) *bytes = m->types[i].bytes;
    return 1;
}

int strata_model_get_label(const strata_model *m, uint32_t i, const char **name, size_t *len)
{
    st_str s;
    if (!m || m->vocab_only || i >= m->plan.n_labels || !st_rank_label(m, i, &s)) return 0;
    if (name) *name = s.ptr;
    if (len) *len = s.len;
    return 1;
}

static int need_weights(const strata_model *m, strata_error *err)
{
    ST_FAIL_IF(m->vocab_only, err, STRATA_UNSUPPORTED_OP, "%s: opened for its vocabulary only", m->path);
    return STRATA_OK;
}

int strata_model_print_plan(const strata_model *m, strata_write_fn write, void *user, strata_error *err)
{
    NEED(m);
    NEED(write);
    ST_TRY(need_weights(m, err));
    uint64_t fp = st_fp_enter();
    st_plan_print(&m->plan, write, user);
    st_fp_leave(fp);
    return STRATA_OK;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

#define ALL_FLAGS (STRATA_TOKENIZE_ADD_SPECIAL | STRATA_TOKENIZE_PARSE_SPECIAL | STRATA_TOKENIZE_LOSSY)

/* Hands tokens over to the caller's memory and frees them. */
static int take_tokens(st_tokens *t, int32_t *ids, strata_span *spans, size_t cap, size_t *n, strata_error *err)
{
    size_t k = t->n < cap ? t->n : cap, all = t->n;
    if (k) memcpy(ids, t->ids, k * sizeof *ids);
    if (k && spans) memcpy(spans, t->spans, k * sizeof *spans);
    *n = all;
    st_tokens_free(t);
    ST_FAIL_IF(cap && cap < all, err, STRATA_TOO_LONG, "room for %zu ids, the text has %zu tokens", cap, all);
    return STRATA_OK;
}

int strata_tokenize(const strata_model *m, const char *text, size_t len, unsigned flags, int32_t *ids,
                    strata_span *spans, size_t cap, size_t *n, strata_error *err)
{
    NEED(m);
    NEED(n);
    ST_FAIL_IF(len && !text, err, STRATA_INVALID_ARG, "strata_tokenize: text is NULL but has %zu bytes", len);
    ST_FAIL_IF(cap && !ids, err, STRATA_INVALID_ARG, "strata_tokenize: ids is NULL but holds %zu", cap);
    ST_TRY(st_opts_check_flags(flags, ALL_FLAGS, err));
    st_tokens t = {.mem = (st_mem *)(uintptr_t)&m->mem, .want_spans = spans && cap, .count = !cap};
    uint64_t fp = st_fp_enter(); /* scores of a vocabulary are floats */
    int rc = st_tokenizer_encode(m->tokenizer, text ? text : "", len, flags, &t, err);
    st_fp_leave(fp);
    if (!rc) return take_tokens(&t, ids, spans, cap, n, err);
    st_tokens_free(&t);
    return rc;
}

int strata_tokenize_parts(const strata_model *m, const strata_text_part *parts, size_t n_parts, unsigned flags,
                          int32_t *ids, strata_span *spans, size_t cap, size_t *n, strata_error *err)
{
    NEED(m);
    NEED(n);
    ST_FAIL_IF(n_parts && !parts, err, STRATA_INVALID_ARG, "strata_tokenize_parts: parts is NULL but has %zu", n_parts);
    for (size_t i = 0; i < n_parts; i++)
        ST_FAIL_IF(parts[i].len && !parts[i].ptr, err, STRATA_INVALID_ARG,
                   "strata_tokenize_parts: part %zu is NULL but has %zu bytes", i, parts[i].len);
    ST_FAIL_IF(cap && !ids, err, STRATA_INVALID_ARG, "strata_tokenize_parts: ids is NULL but holds %zu", cap);
    ST_TRY(st_opts_check_flags(flags, ALL_FLAGS, err));
    st_tokens t = {.mem = (st_mem *)(uintptr_t)&m->mem, .want_spans = spans && cap, .count = !cap};
    uint64_t fp = st_fp_enter();
    int rc = st_tokenizer_encode_parts(m->tokenizer, parts, n_parts, flags, &t, err);
    st_fp_leave(fp);
    if (!rc) return take_tokens(&t, ids, spans, cap, n, err);
    st_tokens_free(&t);
    return rc;
}

int strata_detokenize_flags(const strata_model *m, const int32_t *ids, size_t n, unsigned flags, char *text, size_t cap,
                            size_t *len, strata_error *err)
{
    NEED(m);
    NEED(len);
    ST_FAIL_IF(flags & ~(unsigned)STRATA_DETOKENIZE_SKIP_SPECIAL, err, STRATA_INVALID_ARG,
               "flags: 0x%x, want 0 or STRATA_DETOKENIZE_SKIP_SPECIAL", flags);
    ST_FAIL_IF(n && !ids, err, STRATA_INVALID_ARG, "strata_detokenize: ids is NULL but has %zu", n);
    ST_FAIL_IF(cap && !text, err, STRATA_INVALID_ARG, "strata_detokenize: text is NULL but holds %zu", cap);
    uint64_t fp = st_fp_enter();
    int rc = flags & STRATA_DETOKENIZE_SKIP_SPECIAL
                 ? st_tokenizer_decode_text(m->tokenizer, ids, n, text, cap, len, err)
                 : st_tokenizer_decode(m->tokenizer, ids, n, text, cap, len, err);
    st_fp_leave(fp);
    ST_TRY(rc);
    ST_FAIL_IF(cap && cap < *len, err, STRATA_TOO_LONG, "room for %zu bytes, the text has %zu", cap, *len);
    return STRATA_OK;
}

int strata_detokenize(const strata_model *m, const int32_t *ids, size_t n, char *text, size_t cap, size_t *len,
                      strata_error *err)
{
    return strata_detokenize_flags(m, ids, n, 0, text, cap, len, err);
}

static int check_id(const strata_model *m, int32_t id, strata_error *err)
{
    uint32_t n = st_tokenizer_info(m->tokenizer)->n_vocab;
    ST_FAIL_IF(id < 0 || (uint32_t)id >= n, err, STRATA_INVALID_ARG, "id %d: the vocabulary has 0..%u", id, n - 1);
    return STRATA_OK;
}

int strata_token_piece(const strata_model *m, int32_t id, const char **piece, size_t *len, strata_error *err)
{
    NEED(m);
    NEED(piece);
    NEED(len);
    ST_TRY(check_id(m, id, err));
    st_str s = st_tokenizer_piece(m->tokenizer, id);
    *piece = s.ptr;
    *len = s.len;
    return STRATA_OK;
}

int strata_token_get(const strata_model *m, int32_t id, strata_token *token, char *bytes, size_t cap, strata_error *err)
{
    NEED(m);
    NEED(token);
    ST_FAIL_IF(cap && !bytes, err, STRATA_INVALID_ARG, "strata_token_get: bytes is NULL but holds %zu", cap);
    ST_TRY(check_id(m, id, err));
    *token = (strata_token){.kind = st_tokenizer_type(m->tokenizer, id),
                            .ends = st_tokenizer_is_end(m->tokenizer, id),
                            .n_bytes = st_tokenizer_raw(m->tokenizer, id, bytes, cap)};
    ST_FAIL_IF(cap && cap < token->n_bytes, err, STRATA_TOO_LONG, "room for %zu bytes, token %d has %zu", cap, id,
               token->n_bytes);
    return STRATA_OK;
}

/* ---- context ----------------------------------------------------------------------------------------------------- */

int strata_ctx_open(const strata_model *m, const strata_ctx_opts *opts, strata_ctx **out, strata_error *err)
{
    NEED(m);
    NEED(out);
    ST_TRY(st_opts_check_ctx(opts, err));
    ST_TRY(need_weights(m, err));
    strata_ctx_opts o = opts ? *opts : (strata_ctx_opts){0};
    uint64_t fp = st_fp_enter();
    int rc = st_ctx_open((strata_model *)(uintptr_t)m, &o, ST_SEQ_BATCH, out, err);
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

/* ---- running ----------------------------------------------------------------------------------------------------- */

int strata_embed(strata_ctx *c, const strata_text *texts, size_t n, const strata_embed_opts *opts, float *out,
                 size_t stride, strata_embed_item *items, strata_error *err)
{
    NEED(c);
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
    NEED(c);
    NEED(n_rows);
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
    NEED(c);
    ST_FAIL_IF(query.len && !query.ptr, err, STRATA_INVALID_ARG, "strata_rank: the query is NULL but has %zu bytes",
               query.len);
    ST_FAIL_IF(n && (!passages || !scores), err, STRATA_INVALID_ARG, "strata_rank: passages or scores is NULL");
    ST_TRY(st_opts_check_rank(opts, err));
    ST_TRY(st_ctx_enter(c, err));
    int rc = st_rank(c, query, passages, n, opts, scores, items, err);
    st_ctx_leave(c);
    return rc;
}

int strata_ctx_sync(strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, uint32_t chunk,
                    const volatile int *cancel, const float **logits, strata_error *err)
{
    NEED(c);
    NEED(logits);
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
    NEED(c);
    ST_FAIL_IF(n && (!seqs || !ids || !logits), err, STRATA_INVALID_ARG,
               "strata_ctx_step: seqs, ids or logits is NULL");
    ST_TRY(st_ctx_enter(c, err));
    int rc = st_seq_step(c, seqs, ids, n, cancel, logits, err);
    st_ctx_leave(c);
    return rc;
}

const char *strata_finish_name(int finish)
{
    static const char *const names[] = {"unfinished", "end", "length", "stop", "grammar", "context", "caller"};
    return finish >= 0 && finish <= STRATA_FINISH_CALLER ? names[finish] : "unknown";
}

int strata_generate(strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, const strata_gen_opts *opts,
                    strata_gen_result *result, strata_error *err)
{
    strata_gen_result r;
    NEED(c);
    ST_FAIL_IF(n && !ids, err, STRATA_INVALID_ARG, "strata_generate: ids is NULL");
    ST_TRY(st_opts_check_gen(opts, err));
    ST_TRY(st_ctx_enter(c, err));
    int rc = st_generate(c, seq, ids, n, opts, &r, err);
    if (!rc && result) *result = r;
    st_ctx_leave(c);
    return rc;
}

int strata_eval(strata_ctx *c, const int32_t *ids, const int32_t *types, size_t n, int what, int pooling, float *out,
                size_t cap, size_t *rows, size_t *cols, strata_error *err)
{
    NEED(c);
    NEED(rows);
    NEED(cols);
    ST_FAIL_IF((n && !ids) || (cap && !out), err, STRATA_INVALID_ARG, "strata_eval: ids or out is NULL");
    ST_TRY(st_opts_check_value("what", what, STRATA_EVAL_POOLED, err));
    ST_TRY(st_opts_check_value("pooling", pooling, STRATA_POOLING_RANK, err));
    ST_TRY(st_ctx_enter(c, err));
    int rc = st_eval(c, ids, types, n, what, pooling, out, cap, rows, cols, err);
    st_ctx_leave(c);
    return rc;
}

int strata_measure_peaks(const strata_model *m, uint32_t n_threads, strata_peaks *out, strata_error *err)
{
    NEED(m);
    NEED(out);
    ST_TRY(need_weights(m, err));
    strata_model *model = (strata_model *)(uintptr_t)m;
    uint64_t fp = st_fp_enter();
    int rc = m->backend->peaks(m->exec, n_threads ? n_threads : st_cpu_count(), &model->mem, out, err);
    st_fp_leave(fp);
    return rc;
}

int strata_model_diff(const strata_model *m, const char *against, const int32_t *ids, size_t n, int precision,
                      strata_write_fn write, void *user, int *first, strata_error *err)
{
    NEED(m);
    NEED(write);
    NEED(first);
    ST_FAIL_IF(n && !ids, err, STRATA_INVALID_ARG, "strata_model_diff: ids is NULL");
    ST_TRY(st_opts_check_value("precision", precision, STRATA_PRECISION_BF16, err));
    ST_TRY(need_weights(m, err));
    uint64_t fp = st_fp_enter();
    int rc = st_diff((strata_model *)(uintptr_t)m, against, ids, n, precision, write, user, first, err);
    st_fp_leave(fp);
    return rc;
}
