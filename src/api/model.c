/* model.c: the public functions of models: open, close, what is in them. */
#include "api/api.h"
#include "engine/prompt.h"

static int model_load(const char *name, const void *data, size_t size, const strata_model_opts *opts,
                      strata_model **out, strata_error *err)
{
    ST_TRY(st_opts_check_model(opts, err));
    strata_model_opts o = opts ? *opts : (strata_model_opts){0};
    const strata_allocator *a = o.allocator;
    ST_FAIL_IF(a && (!a->alloc || !a->free), err, STRATA_INVALID_ARG, "the allocator lacks alloc or free");
    return st_model_open(name, data, size, &o, out, err);
}

int strata_model_open(const char *path, const strata_model_opts *opts, strata_model **out, strata_error *err)
{
    ST_NEED(path);
    ST_NEED(out);
    return model_load(path, NULL, 0, opts, out, err);
}

int strata_model_open_buffer(const void *data, size_t size, const char *name, const strata_model_opts *opts,
                             strata_model **out, strata_error *err)
{
    ST_NEED(data);
    ST_NEED(out);
    return model_load(name ? name : "(memory)", data, size, opts, out, err);
}

void strata_model_close(strata_model *m)
{
    st_model_close(m);
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

int strata_model_print_plan(const strata_model *m, strata_write_fn write, void *user, strata_error *err)
{
    ST_NEED(m);
    ST_NEED(write);
    ST_NEED_WEIGHTS(m);
    uint64_t fp = st_fp_enter();
    st_plan_print(&m->plan, write, user);
    st_fp_leave(fp);
    return STRATA_OK;
}
