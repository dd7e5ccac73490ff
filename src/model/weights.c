#include "model/weights.h"

#include <stdio.h>
#include <string.h>

#include "quant/quant.h"

/* What a dimension must be. */
typedef enum dim {
    ANY, /* free; other tensors may be checked against it */
    EMBD,
    QW,   /* n_head * d_head_k */
    KW,   /* n_head_kv * d_head_k */
    VW,   /* n_head_kv * d_head_v */
    QKVW, /* the three above each other */
    OW,   /* n_head * d_head_v */
    HEAD, /* d_head_k */
    FF,
    FF_GLU, /* n_ff, or 2*n_ff when gate and up are one matrix */
    VOCAB,
    CTX,   /* at least n_ctx rows */
    DENSE, /* rows of dense_2 */
} dim;

typedef struct entry {
    const char *name; /* of layers with %u */
    size_t offset;
    bool vector; /* [n] as float32, else a matrix [n, k] */
    dim n, k;
} entry;

#define MAT(field, name, n, k)      {name, offsetof(OF, field), false, n, k}
#define VEC(field, name, n)         {name, offsetof(OF, field), true, n, ANY}
#define VEC_WB(field, name, n)      VEC(field##_w, name ".weight", n), VEC(field##_b, name ".bias", n)
#define MAT_WB(field, name, n, k)   MAT(field, name ".weight", n, k), VEC(field##_b, name ".bias", n)

#define OF st_weights
static const entry globals[] = {
    MAT(token_embd, "token_embd.weight", VOCAB, EMBD),
    MAT(position_embd, "position_embd.weight", CTX, EMBD),
    MAT(token_types, "token_types.weight", ANY, EMBD),
    VEC_WB(token_embd_norm, "token_embd_norm", EMBD),
    VEC_WB(output_norm, "output_norm", EMBD),
    MAT_WB(output, "output", VOCAB, EMBD),
    MAT(dense_2, "dense_2.weight", ANY, EMBD),
    MAT(dense_3, "dense_3.weight", ANY, DENSE),
    MAT_WB(cls, "cls", EMBD, EMBD),
    MAT_WB(cls_output, "cls.output", ANY, EMBD),
};
#undef OF

#define OF st_layer
static const entry per_layer[] = {
    VEC_WB(attn_norm, "blk.%u.attn_norm", EMBD),
    MAT_WB(attn_q, "blk.%u.attn_q", QW, EMBD),
    MAT_WB(attn_k, "blk.%u.attn_k", KW, EMBD),
    MAT_WB(attn_v, "blk.%u.attn_v", VW, EMBD),
    MAT_WB(attn_qkv, "blk.%u.attn_qkv", QKVW, EMBD),
    VEC(attn_q_norm, "blk.%u.attn_q_norm.weight", HEAD),
    VEC(attn_k_norm, "blk.%u.attn_k_norm.weight", HEAD),
    MAT_WB(attn_output, "blk.%u.attn_output", EMBD, OW),
    VEC_WB(attn_output_norm, "blk.%u.attn_output_norm", EMBD),
    VEC(post_attention_norm, "blk.%u.post_attention_norm.weight", EMBD),
    VEC_WB(ffn_norm, "blk.%u.ffn_norm", EMBD),
    MAT_WB(ffn_gate, "blk.%u.ffn_gate", FF, EMBD),
    MAT_WB(ffn_up, "blk.%u.ffn_up", FF_GLU, EMBD),
    MAT_WB(ffn_down, "blk.%u.ffn_down", EMBD, FF),
    VEC_WB(layer_output_norm, "blk.%u.layer_output_norm", EMBD),
    VEC(post_ffw_norm, "blk.%u.post_ffw_norm.weight", EMBD),
};
#undef OF

#define COUNT(a) (sizeof(a) / sizeof *(a))

typedef struct binder {
    const st_gguf *g;
    const st_config *c;
    const st_log *log;
    st_weights *w;
    uint8_t *used; /* [n_tensors] */
    strata_error *err;
} binder;

/* True if `have` is right; *want is what to print otherwise. */
static bool dim_ok(const binder *b, dim d, uint64_t have, uint64_t *want)
{
    const st_config *c = b->c;
    uint64_t q = (uint64_t)c->n_head * c->d_head_k, k = (uint64_t)c->n_head_kv * c->d_head_k,
             v = (uint64_t)c->n_head_kv * c->d_head_v;
    switch (d) {
    case ANY: *want = have; break;
    case EMBD: *want = c->n_embd; break;
    case QW: *want = q; break;
    case KW: *want = k; break;
    case VW: *want = v; break;
    case QKVW: *want = q + k + v; break;
    case OW: *want = (uint64_t)c->n_head * c->d_head_v; break;
    case HEAD: *want = c->d_head_k; break;
    case FF: *want = c->n_ff; break;
    case FF_GLU: *want = have == 2 * (uint64_t)c->n_ff ? have : c->n_ff; break;
    case VOCAB: *want = b->w->n_vocab ? b->w->n_vocab : have; break;
    case CTX: *want = have > c->n_ctx ? have : c->n_ctx; break;
    case DENSE: *want = b->w->dense_2 ? b->w->dense_2->dims[1] : have; break;
    }
    return have == *want;
}

static int check_shape(const binder *b, const st_gguf_tensor *t, const entry *e)
{
    uint32_t dims = e->vector ? 1 : 2;
    /* Trailing dims of 1 are often dropped or added: a vector may be stored as [n, 1], a matrix of one row as [k]. */
    bool flat = true;
    for (uint32_t i = dims; i < ST_GGUF_MAX_DIMS; i++) flat = flat && t->dims[i] == 1;
    ST_FAIL_IF(!flat, b->err, STRATA_CORRUPT_MODEL, "%s: tensor '%.*s' has %u dims, want %u", b->g->name, ST_STR(t->name),
               t->n_dims, dims);
    uint64_t have_n = e->vector ? t->dims[0] : t->dims[1], want_n = 0, have_k = e->vector ? 0 : t->dims[0], want_k = 0;
    bool ok = dim_ok(b, e->n, have_n, &want_n);
    if (!e->vector) ok = dim_ok(b, e->k, have_k, &want_k) && ok;
    if (ok) return STRATA_OK;
    if (e->vector)
        ST_FAIL(b->err, STRATA_CORRUPT_MODEL, "%s: tensor '%.*s' is [%llu], want [%llu]", b->g->name, ST_STR(t->name),
                (unsigned long long)have_n, (unsigned long long)want_n);
    ST_FAIL(b->err, STRATA_CORRUPT_MODEL, "%s: tensor '%.*s' is [%llu, %llu], want [%llu, %llu]", b->g->name,
            ST_STR(t->name), (unsigned long long)have_n, (unsigned long long)have_k, (unsigned long long)want_n,
            (unsigned long long)want_k);
}

static int check_type(const binder *b, const st_gguf_tensor *t)
{
    if (st_quant_get(t->type)) return STRATA_OK;
    const char *name = "unknown";
    uint32_t block, bytes;
    st_quant_geometry(t->type, &name, &block, &bytes);
    ST_FAIL(b->err, STRATA_UNSUPPORTED_TYPE, "%s: tensor '%.*s' has type %s (%u), which is not supported; supported: %s",
            b->g->name, ST_STR(t->name), name, t->type, st_quant_supported());
}

static int bind_vector(binder *b, const st_gguf_tensor *t, st_vec *out)
{
    st_weights *w = b->w;
    const st_quant *q = st_quant_get(t->type);
    ST_FAIL_IF(q->group, b->err, STRATA_UNSUPPORTED_TYPE, "%s: vector '%.*s' has type %s, want F32, F16 or BF16",
               b->g->name, ST_STR(t->name), q->name);
    out->n = (uint32_t)t->dims[0];
    if (t->type == ST_F32 && (uintptr_t)t->data % sizeof(float) == 0) {
        out->v = (const float *)(const void *)t->data;
        return STRATA_OK;
    }
    bool room = st_grow(w->mem, &w->copies, &w->cap_copies, w->n_copies + 1, w->n_copies, sizeof *w->copies);
    float *v = room ? st_alloc(w->mem, out->n, sizeof *v) : NULL;
    ST_FAIL_IF(!v, b->err, STRATA_NO_MEMORY, "%s: no memory for tensor '%.*s'", b->g->name, ST_STR(t->name));
    w->copies[w->n_copies++] = v;
    q->dequant(t->data, v, out->n);
    out->v = v;
    return STRATA_OK;
}

#define NAME_LEN 96
static const char *name_of(const entry *e, uint32_t layer, char *buf)
{
    const char *mark = strchr(e->name, '%');
    if (mark)
        snprintf(buf, NAME_LEN, "%.*s%u%s", (int)(mark - e->name), e->name, layer, mark + 2);
    else
        snprintf(buf, NAME_LEN, "%s", e->name);
    return buf;
}

static void log_tensor(const st_log *log, const char *name, const st_gguf_tensor *t, bool vector)
{
    const char *type = st_quant_get(t->type)->name;
    unsigned long long k = t->dims[0], n = t->dims[1];
    if (vector)
        st_log_write(log, STRATA_LOG_DEBUG, "tensor %s %s [%llu]", name, type, k);
    else
        st_log_write(log, STRATA_LOG_DEBUG, "tensor %s %s [%llu, %llu]", name, type, n, k);
}

static int bind(binder *b, const entry *table, size_t n, uint32_t layer, void *base)
{
    for (size_t i = 0; i < n; i++) {
        const entry *e = &table[i];
        char name[NAME_LEN];
        const st_gguf_tensor *t = st_gguf_tensor_find(b->g, name_of(e, layer, name));
        if (!t) continue;
        b->used[t - b->g->tensors] = 1;
        ST_TRY(check_shape(b, t, e));
        ST_TRY(check_type(b, t));
        if (e->vector)
            ST_TRY(bind_vector(b, t, (st_vec *)(void *)((uint8_t *)base + e->offset)));
        else
            *(st_mat *)(void *)((uint8_t *)base + e->offset) = t;
        log_tensor(b->log, name, t, e->vector);
    }
    return STRATA_OK;
}

static bool present(const void *base, const entry *e)
{
    const uint8_t *p = (const uint8_t *)base + e->offset;
    return e->vector ? ((const st_vec *)(const void *)p)->v != NULL : *(const st_mat *)(const void *)p != NULL;
}

static int need(const binder *b, bool have, const char *what, uint32_t layer)
{
    ST_FAIL_IF(!have, b->err, STRATA_CORRUPT_MODEL, "%s: layer %u has no %s", b->g->name, layer, what);
    return STRATA_OK;
}

/* ModernBERT's first layer has no attn_norm: the embedding norm stands for it. */
static bool first_normed(const binder *b, uint32_t il)
{
    return il == 0 && b->w->token_embd_norm_w.v;
}

/* A layer must be whole. */
static int check_layer(const binder *b, uint32_t il)
{
    const st_layer *l = &b->w->layers[il];
    bool split = l->attn_q && l->attn_k && l->attn_v;
    ST_TRY(need(b, split || l->attn_qkv, "attn_q, attn_k and attn_v, nor attn_qkv", il));
    ST_TRY(need(b, l->attn_output, "attn_output", il));
    ST_TRY(need(b, l->ffn_up, "ffn_up", il));
    ST_TRY(need(b, l->ffn_down, "ffn_down", il));
    ST_TRY(need(b, l->attn_norm_w.v || l->attn_output_norm_w.v || l->post_attention_norm.v || first_normed(b, il),
                "norm around attention", il));
    return need(b, l->ffn_norm_w.v || l->layer_output_norm_w.v || l->post_ffw_norm.v, "norm around its FFN", il);
}

/* And like the other layers: a file that lost one norm would run, and give other vectors. */
static int check_alike(const binder *b, uint32_t il)
{
    uint32_t last = b->c->n_layer - 1;
    for (size_t i = 0; i < COUNT(per_layer); i++) {
        const entry *e = &per_layer[i];
        if (first_normed(b, il) && e->offset == offsetof(st_layer, attn_norm_w)) continue;
        bool here = present(&b->w->layers[il], e), there = present(&b->w->layers[last], e);
        char name[NAME_LEN];
        ST_FAIL_IF(here != there, b->err, STRATA_CORRUPT_MODEL, "%s: no tensor '%s', which layer %u has", b->g->name,
                   name_of(e, here ? last : il, name), here ? il : last);
    }
    return STRATA_OK;
}

/* The same outside the layers: what a layer of this kind cannot do without. */
static int check_globals(const binder *b)
{
    const st_weights *w = b->w;
    const st_layer *last = &w->layers[b->c->n_layer - 1];
    bool pre = last->attn_norm_w.v != NULL, biased = last->attn_norm_b.v || last->attn_output_norm_b.v;
    const struct {
        bool missing;
        const char *name;
    } rules[] = {
        {b->c->arch->rope == ST_ROPE_NONE && !w->position_embd, "position_embd.weight"},
        {pre && !w->output_norm_w.v, "output_norm.weight"},
        {!pre && !w->token_embd_norm_w.v, "token_embd_norm.weight"},
        {biased && w->output_norm_w.v && !w->output_norm_b.v, "output_norm.bias"},
        {biased && w->token_embd_norm_w.v && !w->token_embd_norm_b.v, "token_embd_norm.bias"},
    };
    for (size_t i = 0; i < COUNT(rules); i++)
        ST_FAIL_IF(rules[i].missing, b->err, STRATA_CORRUPT_MODEL, "%s: no tensor '%s'", b->g->name, rules[i].name);
    return STRATA_OK;
}

static int check_used(const binder *b)
{
    for (size_t i = 0; i < b->g->n_tensors; i++)
        ST_FAIL_IF(!b->used[i], b->err, STRATA_UNSUPPORTED_OP,
                   "%s: tensor '%.*s' is not known for architecture '%s': the model needs more than this version does",
                   b->g->name, ST_STR(b->g->tensors[i].name), b->c->arch->name);
    return STRATA_OK;
}

static int bind_all(binder *b)
{
    st_weights *w = b->w;
    const st_gguf_tensor *embd = st_gguf_tensor_find(b->g, "token_embd.weight");
    ST_FAIL_IF(!embd, b->err, STRATA_CORRUPT_MODEL, "%s: no tensor 'token_embd.weight'", b->g->name);
    w->n_vocab = (uint32_t)embd->dims[1];
    ST_TRY(bind(b, globals, COUNT(globals), 0, w));
    w->n_types = w->token_types ? (uint32_t)w->token_types->dims[1] : 0;
    ST_FAIL_IF((w->dense_2 == NULL) != (w->dense_3 == NULL), b->err, STRATA_CORRUPT_MODEL,
               "%s: only one of dense_2 and dense_3 is there", b->g->name);
    for (uint32_t il = 0; il < b->c->n_layer; il++)
        ST_TRY(bind(b, per_layer, COUNT(per_layer), il, &w->layers[il]));
    for (uint32_t il = 0; il < b->c->n_layer; il++) ST_TRY(check_layer(b, il));
    for (uint32_t il = 0; il < b->c->n_layer; il++) ST_TRY(check_alike(b, il));
    ST_TRY(check_globals(b));
    return check_used(b);
}

int st_weights_bind(const st_gguf *g, const st_config *c, const st_log *log, st_mem *mem, st_weights *w,
                    strata_error *err)
{
    *w = (st_weights){.mem = mem};
    binder b = {.g = g, .c = c, .log = log, .w = w, .err = err};
    w->layers = st_calloc(mem, c->n_layer, sizeof *w->layers);
    b.used = st_calloc(mem, g->n_tensors, 1);
    int rc = w->layers && b.used ? bind_all(&b)
                                 : st_error_set(err, STRATA_NO_MEMORY, "%s: no memory for the weight table", g->name);
    st_free(mem, b.used);
    if (rc) st_weights_free(w);
    return rc;
}

void st_weights_free(st_weights *w)
{
    for (size_t i = 0; i < w->n_copies; i++) st_free(w->mem, w->copies[i]);
    if (w->mem) {
        st_free(w->mem, w->copies);
        st_free(w->mem, w->layers);
    }
    *w = (st_weights){0};
}
