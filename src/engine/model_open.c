/* model_open.c: opening a model, piece by piece. */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/fp.h"
#include "base/os/cpus.h"
#include "base/os/thread.h"
#include "base/utf8.h"
#include "gguf/foreign.h"
#include "quant/quant.h"

/* A NUL-terminated copy; bytes that would end it early are cut there. */
static int model_copy_str(strata_model *m, st_str s, char **out, strata_error *err)
{
    *out = st_alloc(m->mem, s.len + 1, 1);
    ST_FAIL_IF(!*out, err, STRATA_NO_MEMORY, "no memory for a string of %zu bytes", s.len);
    memcpy(*out, s.ptr, s.len);
    (*out)[s.len] = 0;
    return STRATA_OK;
}

static int model_copy_key(strata_model *m, const char *key, char **out, strata_error *err)
{
    const st_gguf_kv *kv = st_gguf_find(&m->gguf, key);
    if (!kv || kv->type != ST_GGUF_STRING) return STRATA_OK;
    st_str s;
    ST_TRY(st_gguf_str(&m->gguf, key, &s, err));
    return model_copy_str(m, s, out, err);
}

/* Goes before every text of its role, so it must be whole, and text. */
static int model_load_prompt(strata_model *m, const char *key, char **out, strata_error *err)
{
    st_str s;
    if (!st_gguf_find(&m->gguf, key)) return STRATA_OK;
    ST_TRY(st_gguf_str(&m->gguf, key, &s, err));
    ST_FAIL_IF(s.len && (memchr(s.ptr, 0, s.len) || st_utf8_check(s.ptr, s.len) < s.len), err, STRATA_CORRUPT_MODEL,
               "%s: key '%s' holds NUL or what is not UTF-8", m->path, key);
    return model_copy_str(m, s, out, err);
}

static int model_load_prompts(strata_model *m, strata_error *err)
{
    const st_arch *a = m->config.arch;
    ST_TRY(model_load_prompt(m, "strata.prompt.query", &m->prompt_query, err));
    ST_TRY(model_load_prompt(m, "strata.prompt.document", &m->prompt_document, err));
    if (!m->prompt_query && a->prompt_query)
        ST_TRY(model_copy_str(m, (st_str){a->prompt_query, strlen(a->prompt_query)}, &m->prompt_query, err));
    if (!m->prompt_document && a->prompt_document)
        ST_TRY(model_copy_str(m, (st_str){a->prompt_document, strlen(a->prompt_document)}, &m->prompt_document, err));
    return STRATA_OK;
}

static int model_by_bytes(const void *a, const void *b)
{
    const st_type_total *x = a, *y = b;
    return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : strcmp(x->name, y->name);
}

static void model_count_types(strata_model *m)
{
    for (size_t i = 0; i < m->gguf.n_tensors; i++) {
        const st_gguf_tensor *t = &m->gguf.tensors[i];
        const char *name = "unknown";
        uint32_t block, bytes, j = 0;
        st_quant_geometry(t->type, &name, &block, &bytes);
        while (j < m->n_types && strcmp(m->types[j].name, name) != 0) j++;
        if (j == ST_MAX_TYPE_TOTALS) continue;
        if (j == m->n_types) m->types[m->n_types++] = (st_type_total){.name = name};
        m->types[j].n_tensors++;
        m->types[j].bytes += t->bytes;
        uint64_t n = 1;
        for (uint32_t d = 0; d < t->n_dims; d++) n *= t->dims[d];
        m->n_params += n;
    }
    qsort(m->types, m->n_types, sizeof *m->types, model_by_bytes);
}

static int model_check_vocab(const strata_model *m, strata_error *err)
{
    uint32_t n = st_tokenizer_info(m->tokenizer)->n_vocab;
    ST_FAIL_IF(n > m->weights.n_vocab, err, STRATA_CORRUPT_MODEL, "%s: %u tokens but only %u rows in token_embd",
               m->path, n, m->weights.n_vocab);
    return STRATA_OK;
}

static void model_warn(const strata_model *m)
{
    if (m->config.arch->dense_heads && !m->weights.dense_2)
        st_log_write(&m->log, STRATA_LOG_WARN,
                     "%s: no dense_2/dense_3 tensors: vectors of this file live in another space than those of the "
                     "complete model",
                     m->path);
    if (m->plan.head_lacks)
        st_log_write(&m->log, STRATA_LOG_WARN, "%s: does not rank: its classification head has no %s", m->path,
                     m->plan.head_lacks);
    else if (m->weights.cls && !m->weights.cls_output)
        st_log_write(&m->log, STRATA_LOG_WARN, "%s: tensor 'cls.weight' is not used: there is no 'cls.output.weight'",
                     m->path);
}

/* The tokenizer, which is opened while the weights are packed. */
typedef struct vocabulary {
    strata_model *m;
    const char *pre;
    bool begun;
    int rc;
    strata_error err;
} vocabulary;

static void open_vocabulary(void *user)
{
    vocabulary *v = user;
    strata_model *m = v->m;
    if (v->begun) return;
    v->begun = true;
    v->rc = st_tokenizer_open(&m->gguf, v->pre, &m->log, m->mem, &m->tokenizer, &v->err);
    if (v->rc) return;
    st_log_write(&m->log, STRATA_LOG_INFO, "%s: tokenizer %s, %u tokens", m->path, m->tokenizer_name,
                 st_tokenizer_info(m->tokenizer)->n_vocab);
}

static int load_model(strata_model *m, const strata_model_opts *opts, vocabulary *vocab, strata_error *err)
{
    ST_TRY(st_config_read(&m->gguf, &m->config, err));
    st_log_write(&m->log, STRATA_LOG_INFO, "%s: %s, %u layers, width %u, %u/%u heads of %u, context %u", m->path,
                 m->config.arch->name, m->config.n_layer, m->config.n_embd, m->config.n_head, m->config.n_head_kv,
                 m->config.d_head_k, m->config.n_ctx);
    ST_TRY(st_weights_bind(&m->gguf, &m->config, &m->log, m->mem, &m->weights, err));
    ST_TRY(st_plan_build(&m->config, &m->weights, m->mem, &m->plan, err));
    ST_TRY(st_plan_check_reads(&m->plan, m->gguf.name, err));
    ST_TRY(model_load_prompts(m, err));
    model_warn(m);
    m->backend = st_backend_default();
    const char *level = opts->cpu ? opts->cpu : getenv("STRATA_CPU");
    st_load_opts load = {.n_threads = opts->n_threads ? opts->n_threads : st_cpu_count(),
                         .level = level,
                         .log = &m->log,
                         .mem = m->mem,
                         .other_work = open_vocabulary,
                         .other_user = vocab};
    return m->backend->load(&m->plan, m->parts.files, &load, &m->exec, err);
}

/* A vocabulary may come from a file of any kind; what is to run is a text model. */
static int model_check_kind(const strata_model *m, strata_error *err)
{
    if (m->vocab_only) return m->tokenizer_name ? STRATA_OK : st_foreign_check(&m->gguf, err);
    ST_TRY(st_foreign_check(&m->gguf, err));
    ST_FAIL_IF(m->gguf.n_tensors == 0, err, STRATA_UNSUPPORTED_OP, "%s: has no tensors%s", m->path,
               m->tokenizer_name ? ", only a vocabulary: good for tokenizing (vocab_only), not to run" : "");
    return STRATA_OK;
}

static int model_load_all(strata_model *m, const char *name, const void *buffer, size_t size,
                          const strata_model_opts *opts, strata_error *err)
{
    double start = st_now();
    m->vocab_only = opts->vocab_only != 0;
    ST_TRY(model_copy_str(m, (st_str){name, strlen(name)}, &m->path, err));
    st_parts_opts parts = {
        .copy = opts->no_mmap != 0, .vocab_only = m->vocab_only, .buffer = buffer, .size = size, .log = &m->log};
    ST_TRY(st_parts_open(&m->parts, &m->gguf, m->path, &parts, m->mem, err));
    st_log_write(&m->log, STRATA_LOG_INFO, "%s: GGUF v%u, %zu keys, %zu tensors, %.1f MB, parts: %zu", m->path,
                 m->gguf.version, m->gguf.n_kv, m->gguf.n_tensors, (double)m->parts.bytes / 1e6, m->parts.n);
    ST_TRY(model_copy_key(m, "general.architecture", &m->arch, err));
    ST_TRY(model_copy_key(m, "general.name", &m->name, err));
    ST_TRY(model_copy_key(m, "tokenizer.ggml.model", &m->tokenizer_name, err));
    ST_TRY(model_check_kind(m, err));
    vocabulary vocab = {.m = m, .pre = opts->pre_tokenizer};
    int rc = STRATA_OK;
    if (!m->vocab_only) {
        model_count_types(m);
        rc = load_model(m, opts, &vocab, err);
    }
    open_vocabulary(&vocab); /* unless it was */
    if (vocab.rc && err) *err = vocab.err;
    if (vocab.rc) return vocab.rc;
    ST_TRY(rc);
    if (!m->vocab_only) ST_TRY(model_check_vocab(m, err));
    st_log_write(&m->log, STRATA_LOG_INFO, "%s: open in %.1f ms", m->path, (st_now() - start) * 1e3);
    return STRATA_OK;
}

/* A model and what it counts its memory in stand in one block of the caller's allocator. */
typedef struct model_block {
    strata_model model;
    st_mem mem;
} model_block;

/* The counter is set up on the stack to get the block, and moves in. Nothing points to the copy. */
static int model_new(const strata_model_opts *opts, strata_model **out, strata_error *err)
{
    st_mem mem;
    st_mem_init(&mem, opts->allocator, opts->memory_cap);
    model_block *b = st_calloc(&mem, 1, sizeof *b);
    ST_FAIL_IF(!b, err, STRATA_NO_MEMORY, "no memory for a model");
    st_mem_init(&b->mem, opts->allocator, opts->memory_cap);
    atomic_store(&b->mem.used, atomic_load(&mem.used));
    b->model.mem = &b->mem;
    b->model.log = (st_log){opts->log, opts->log_user, opts->log_level ? opts->log_level : STRATA_LOG_INFO};
    *out = &b->model;
    return STRATA_OK;
}

int st_model_open(const char *name, const void *buffer, size_t size, const strata_model_opts *opts, strata_model **out,
                  strata_error *err)
{
    strata_model *m = NULL;
    uint64_t fp = st_fp_enter(); /* scales, angles and packed weights must not depend on the caller's rounding */
    int rc = model_new(opts, &m, err);
    if (!rc) rc = model_load_all(m, name, buffer, size, opts, err);
    st_fp_leave(fp);
    if (rc)
        st_model_close(m);
    else
        *out = m;
    return rc;
}

void st_model_close(strata_model *m)
{
    if (!m) return;
    if (m->backend) m->backend->unload(m->exec);
    st_plan_free(&m->plan);
    st_weights_free(&m->weights);
    st_tokenizer_close(m->tokenizer);
    st_gguf_free(&m->gguf);
    st_parts_close(&m->parts);
    char *strings[] = {m->path, m->arch, m->name, m->tokenizer_name, m->prompt_query, m->prompt_document};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) st_free(m->mem, strings[i]);
    st_mem mem; /* what counts stands in the block that goes */
    st_mem_init(&mem, &m->mem->allocator, 0);
    st_free(&mem, (model_block *)m);
}
