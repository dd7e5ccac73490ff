/* poison.c: NaN or infinity in one tensor. Precision f32 with a cache of f32 is the reference: where it says NONFINITE,
 * every kind of cache and precision says so too, for the same call (comparable() has the exceptions); and no result
 * that is said to be in order has one. Quantising such a file says NONFINITE whatever it was told. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "mutate/mutate.h"
#include "quant/quant.h"

enum { N_IDS = 8, WIDE = 1 << 16 };
static const int32_t IDS[N_IDS] = {3, 7, 12, 5, 9, 12, 3, 8};

uint64_t mutate_n_tensors(const tiny_model *models, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += models[i].g.n_tensors;
    return sum;
}

/* ---- one value that is none ---- */

/* kind 0: NaN, 1: infinity, 2: its negative. */
static bool poison(uint8_t *data, const st_gguf_tensor *t, uint64_t row, uint64_t at, int kind)
{
    static const uint32_t f32[] = {0x7fc00000, 0x7f800000, 0xff800000};
    static const uint16_t f16[] = {0x7e00, 0x7c00, 0xfc00}, bf16[] = {0x7fc0, 0x7f80, 0xff80};
    const char *name;
    uint32_t block, bytes;
    if (!st_quant_geometry(t->type, &name, &block, &bytes)) return false;
    uint8_t *p = data + (row * t->dims[0] + at) / block * bytes;
    const st_quant *q = st_quant_get(t->type);
    if (t->type == ST_F32)
        memcpy(p, &f32[kind], 4);
    else if (t->type == ST_F16)
        memcpy(p, &f16[kind], 2);
    else if (t->type == ST_BF16)
        memcpy(p, &bf16[kind], 2);
    else if (t->type == ST_MXFP4)
        *p = 0xff; /* E8M0 has NaN alone */
    else if (q && q->scale_at >= 0)
        memcpy(p + q->scale_at, &f16[kind], 2);
    else
        return false;
    return true;
}

/* ---- what each precision and cache says ---- */

typedef struct setting {
    int precision, kv;
    const char *name;
} setting;

static const setting settings[] = {
    {STRATA_PRECISION_F32, STRATA_KV_F32, "f32, kv f32"}, {STRATA_PRECISION_F32, STRATA_KV_F16, "f32, kv f16"},
    {STRATA_PRECISION_F32, STRATA_KV_Q8, "f32, kv q8"},   {STRATA_PRECISION_I8, STRATA_KV_F32, "i8, kv f32"},
    {STRATA_PRECISION_I8, STRATA_KV_F16, "i8, kv f16"},   {STRATA_PRECISION_I8, STRATA_KV_Q8, "i8, kv q8"},
};
enum { N_SETTINGS = sizeof settings / sizeof *settings };

enum { SYNC, STEP, GENERATE, LOGITS, HIDDEN, POOLED, EMBED, RANK, N_CALLS };
static const char *const calls[] = {"sync", "step", "generate", "logits", "hidden", "pooled", "embed", "rank"};
#define NOT_RUN 1

static void finite(worker *w, const setting *s, int what, int rc, const float *v, size_t n)
{
    for (size_t i = 0; rc == STRATA_OK && i < n; i++)
        if (!isfinite(v[i])) {
            mutate_found(w, "%s, %s: OK, but value %zu of %zu is %g", calls[what], s->name, i, n, (double)v[i]);
            return;
        }
}

static void run_cache(worker *w, strata_ctx *c, const setting *s, const strata_model_info *info, int *rc)
{
    const float *logits = NULL;
    uint32_t seq = 0;
    int32_t id = 4;
    rc[SYNC] = strata_ctx_sync(c, 0, IDS, N_IDS, 0, NULL, &logits, NULL);
    finite(w, s, SYNC, rc[SYNC], logits, info->n_vocab);
    if (rc[SYNC] == STRATA_OK) {
        rc[STEP] = strata_ctx_step(c, &seq, &id, 1, NULL, &logits, NULL);
        finite(w, s, STEP, rc[STEP], logits, info->n_vocab);
    }
    strata_gen_opts o = strata_gen_default();
    o.max_tokens = 3;
    o.temperature = 0;
    rc[GENERATE] = strata_generate(c, 1, IDS, N_IDS, &o, NULL, NULL);
}

/* Only the first setting of a precision has what the cache has no part in. */
static void run_setting(worker *w, const strata_model *m, const strata_model_info *info, const setting *s, int *rc)
{
    strata_ctx *c = NULL;
    size_t rows = 0, cols = 0;
    strata_ctx_opts o = {.n_threads = 1, .precision = s->precision, .n_seqs = 2, .n_ctx = 16, .kv = s->kv};
    float *v = malloc(WIDE * sizeof *v);
    for (int i = 0; i < N_CALLS; i++) rc[i] = NOT_RUN;
    if (v && strata_ctx_open(m, &o, &c, NULL) == STRATA_OK) {
        if (info->can_generate) run_cache(w, c, s, info, rc);
        if (s->kv == STRATA_KV_F32) {
            static const int what[] = {STRATA_EVAL_LOGITS, STRATA_EVAL_HIDDEN, STRATA_EVAL_POOLED};
            for (int i = 0; i < 3; i++) {
                if ((i == 0 && !info->has_logits) || (i == 2 && !info->can_embed)) continue;
                rc[LOGITS + i] = strata_eval(c, IDS, NULL, N_IDS, what[i], 0, v, WIDE, &rows, &cols, NULL);
                finite(w, s, LOGITS + i, rc[LOGITS + i], v, rows * cols);
            }
            strata_text t = {"abc", 3};
            if (info->can_embed) rc[EMBED] = strata_embed(c, &t, 1, NULL, v, info->n_embd_out, NULL, NULL);
            finite(w, s, EMBED, rc[EMBED], v, info->n_embd_out);
            if (info->can_rank) rc[RANK] = strata_rank(c, t, &t, 1, NULL, v, NULL, NULL);
            finite(w, s, RANK, rc[RANK], v, 1);
        }
    }
    free(v);
    strata_ctx_close(c);
}

static bool has(st_str name, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= name.len; i++)
        if (memcmp(name.ptr + i, part, n) == 0) return true;
    return false;
}

/* Whether every setting has to say the same. Which experts a token takes, and which tokens follow, is for each to
 * say. */
static bool comparable(const st_gguf_tensor *t, int what)
{
    if (has(t->name, "_exps")) return false;
    return what != GENERATE || !st_str_eq(t->name, "token_embd.weight");
}

static void compare(worker *w, const st_gguf_tensor *t, int rc[N_SETTINGS][N_CALLS])
{
    for (int i = 1; i < N_SETTINGS; i++)
        for (int k = 0; k < N_CALLS; k++) {
            if (!comparable(t, k)) continue;
            if (rc[0][k] != STRATA_NONFINITE || rc[i][k] == STRATA_NONFINITE || rc[i][k] == NOT_RUN) continue;
            mutate_found(w, "%s: NONFINITE with f32, kv f32, but %s with %s", calls[k], strata_status_name(rc[i][k]),
                         settings[i].name);
        }
    for (int k = 0; k < N_CALLS; k++) w->p->nonfinite += rc[0][k] == STRATA_NONFINITE;
}

static void run_model(worker *w, const st_gguf_tensor *t, const char *path)
{
    strata_allocator a = mutate_allocator(w);
    strata_model *m = NULL;
    strata_model_info info;
    strata_error e = {0};
    int rc[N_SETTINGS][N_CALLS];
    if (strata_model_open(path, &(strata_model_opts){.n_threads = 1, .allocator = &a}, &m, &e)) {
        w->p->refused++;
        return;
    }
    w->p->opened++;
    strata_model_get_info(m, &info);
    for (int i = 0; i < N_SETTINGS; i++) {
        bool alike = !info.can_generate && settings[i].kv != STRATA_KV_F32; /* no cache: the same thing again */
        for (int k = 0; k < N_CALLS; k++) rc[i][k] = NOT_RUN;
        if (!alike) run_setting(w, m, &info, &settings[i], rc[i]);
    }
    compare(w, t, rc);
    strata_model_close(m);
}

static void run_quantize(worker *w, const char *path, uint64_t *r)
{
    char out[MUTATE_PATH];
    strata_error e = {0};
    strata_allocator a = mutate_allocator(w);
    const char *type = mutate_rng(r) % 2 ? "Q4_0" : "Q4_K_M";
    snprintf(out, sizeof out, "%s/q.gguf", w->dir);
    int rc = strata_quantize(path, out, type, &(strata_quantize_opts){.n_threads = 1, .allocator = &a}, &e);
    (void)remove(out);
    if (rc != STRATA_NONFINITE) mutate_found(w, "quantize to %s: %s, want NONFINITE", type, strata_status_name(rc));
}

void mutate_poison(worker *w)
{
    uint64_t n = mutate_n_tensors(w->models, w->n_models), r = (w->seed * 1000003 + w->item) * 2 + 1, stride = 7919,
             which = w->item * stride % n;
    size_t k = 0;
    for (; which >= w->models[k].g.n_tensors; k++) which -= w->models[k].g.n_tensors;
    const tiny_model *m = &w->models[k];
    const st_gguf_tensor *t = &m->g.tensors[which];
    uint8_t *copy = malloc(m->size);
    if (!copy) return;
    memcpy(copy, m->data, m->size);
    uint64_t rows = 1, row, at;
    for (uint32_t d = 1; d < t->n_dims; d++) rows *= t->dims[d];
    (void)mutate_rng(&r);
    int kind = (int)((mutate_rng(&r) + w->item / n) % 3);
    row = mutate_rng(&r) % rows;
    at = mutate_rng(&r) % t->dims[0];
    /* Rows that the ids read, more often than not. */
    if (st_str_eq(t->name, "token_embd.weight") && mutate_rng(&r) % 4) row = (uint64_t)IDS[mutate_rng(&r) % N_IDS];
    snprintf(w->what, sizeof w->what, "%s, tensor %.*s[%llu, %llu] %s", m->name, ST_STR(t->name),
             (unsigned long long)row, (unsigned long long)at,
             kind == 0   ? "NaN"
             : kind == 1 ? "inf"
                         : "-inf");
    char path[MUTATE_PATH];
    snprintf(path, sizeof path, "%s/m.gguf", w->dir);
    bool made = poison(copy + (t->data - m->data), t, row, at, kind) && mutate_write(path, copy, m->size);
    free(copy);
    if (!made) return;
    run_model(w, t, path);
    run_quantize(w, path, &r);
}
