/* weights.c: the table of tensor names and shapes, and what binds a file's tensors to it. */
#include "model/weights.h"

#include <stdio.h>
#include <string.h>

#include "model/weights_check.h"
#include "quant/quant.h"

/* What a dimension must be. */
typedef enum dim {
    ANY, /* free; other tensors may be checked against it */
    EMBD,
    QW,   /* n_head * d_head_k, or what makes latent queries */
    KW,   /* n_head_kv * d_head_k */
    VW,   /* n_head_kv * d_head_v */
    QKVW, /* the three above each other */
    OW,   /* n_head * d_head_v or d_value */
    LATENT,
    LATENT_Q,
    LATENT_ROT, /* n_latent + n_rot */
    KV_UP,      /* n_head * (d_nope + d_value) */
    NOPE,
    VALUE,
    QNORM, /* d_head_k, or that for each query head */
    KNORM, /* the same for key heads */
    ROT,   /* n_rot / 2 */
    HEADS, /* n_head */
    EXPERTS,
    EXPERTS_FF,   /* n_ff_expert for each expert */
    EXPERTS_EMBD, /* n_embd for each expert */
    FF_EXPERT,
    FF_SHARED,
    ONE,
    FF,
    FF_GLU, /* n_ff, or 2*n_ff when gate and up are one matrix */
    VOCAB,
    CTX,   /* at least n_ctx rows */
    DENSE, /* rows of dense_2 */
} dim;

typedef enum form {
    MATRIX, /* [n, k] */
    VECTOR, /* [n] as float32 */
    EXPERT, /* [n_expert][n, k] */
    HEAD,   /* [n_head][n, k] */
} form;

typedef struct entry {
    const char *name; /* of layers with %u */
    size_t offset;
    form form;
    dim n, k;
} entry;

#define MAT(field, name, n, k)                  \
    {                                           \
        name, offsetof(OF, field), MATRIX, n, k \
    }
#define EXP(field, name, n, k)                  \
    {                                           \
        name, offsetof(OF, field), EXPERT, n, k \
    }
#define HED(field, name, n, k)                \
    {                                         \
        name, offsetof(OF, field), HEAD, n, k \
    }
#define VEC(field, name, n)                       \
    {                                             \
        name, offsetof(OF, field), VECTOR, n, ANY \
    }
#define VEC_WB(field, name, n)    VEC(field##_w, name ".weight", n), VEC(field##_b, name ".bias", n)
#define MAT_WB(field, name, n, k) MAT(field, name ".weight", n, k), VEC(field##_b, name ".bias", n)

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
    VEC(cls_norm, "cls.norm.weight", EMBD),
    MAT_WB(cls_output, "cls.output", ANY, EMBD),
    VEC(rope_freqs, "rope_freqs.weight", ROT),
    VEC(rope_factors_short, "rope_factors_short.weight", ROT),
    VEC(rope_factors_long, "rope_factors_long.weight", ROT),
};
#undef OF

#define OF st_layer
static const entry per_layer[] = {
    VEC_WB(attn_norm, "blk.%u.attn_norm", EMBD),
    VEC_WB(attn_norm_2, "blk.%u.attn_norm_2", EMBD),
    MAT_WB(attn_q, "blk.%u.attn_q", QW, EMBD),
    MAT_WB(attn_k, "blk.%u.attn_k", KW, EMBD),
    MAT_WB(attn_v, "blk.%u.attn_v", VW, EMBD),
    MAT_WB(attn_qkv, "blk.%u.attn_qkv", QKVW, EMBD),
    VEC_WB(attn_q_norm, "blk.%u.attn_q_norm", QNORM),
    VEC_WB(attn_k_norm, "blk.%u.attn_k_norm", KNORM),
    MAT(q_down, "blk.%u.attn_q_a.weight", LATENT_Q, EMBD),
    VEC(q_down_norm, "blk.%u.attn_q_a_norm.weight", LATENT_Q),
    MAT(q_up, "blk.%u.attn_q_b.weight", QW, LATENT_Q),
    MAT(kv_down, "blk.%u.attn_kv_a_mqa.weight", LATENT_ROT, EMBD),
    VEC(kv_down_norm, "blk.%u.attn_kv_a_norm.weight", LATENT),
    MAT(kv_up, "blk.%u.attn_kv_b.weight", KV_UP, LATENT),
    HED(k_up, "blk.%u.attn_k_b.weight", LATENT, NOPE),
    HED(v_up, "blk.%u.attn_v_b.weight", VALUE, LATENT),
    MAT(attn_rel_b, "blk.%u.attn_rel_b.weight", ANY, HEADS),
    VEC(attn_sinks, "blk.%u.attn_sinks.weight", HEADS),
    MAT_WB(attn_output, "blk.%u.attn_output", EMBD, OW),
    MAT(attn_output, "blk.%u.attn_o.weight", EMBD, OW), /* T5's name for it */
    VEC_WB(attn_output_norm, "blk.%u.attn_output_norm", EMBD),
    VEC(post_attention_norm, "blk.%u.post_attention_norm.weight", EMBD),
    VEC_WB(ffn_norm, "blk.%u.ffn_norm", EMBD),
    MAT_WB(ffn_gate, "blk.%u.ffn_gate", FF, EMBD),
    MAT_WB(ffn_up, "blk.%u.ffn_up", FF_GLU, EMBD),
    MAT_WB(ffn_down, "blk.%u.ffn_down", EMBD, FF),
    VEC_WB(layer_output_norm, "blk.%u.layer_output_norm", EMBD),
    VEC(post_ffw_norm, "blk.%u.post_ffw_norm.weight", EMBD),
    MAT_WB(ffn_gate_inp, "blk.%u.ffn_gate_inp", EXPERTS, EMBD),
    EXP(ffn_gate_exps, "blk.%u.ffn_gate_exps.weight", FF_EXPERT, EMBD),
    EXP(ffn_up_exps, "blk.%u.ffn_up_exps.weight", FF_EXPERT, EMBD),
    EXP(ffn_down_exps, "blk.%u.ffn_down_exps.weight", EMBD, FF_EXPERT),
    VEC(ffn_gate_exps_b, "blk.%u.ffn_gate_exps.bias", EXPERTS_FF),
    VEC(ffn_up_exps_b, "blk.%u.ffn_up_exps.bias", EXPERTS_FF),
    VEC(ffn_down_exps_b, "blk.%u.ffn_down_exps.bias", EXPERTS_EMBD),
    VEC(exp_probs_b, "blk.%u.exp_probs_b.bias", EXPERTS),
    MAT(ffn_gate_inp_shexp, "blk.%u.ffn_gate_inp_shexp.weight", ONE, EMBD),
    MAT(ffn_gate_shexp, "blk.%u.ffn_gate_shexp.weight", FF_SHARED, EMBD),
    MAT(ffn_up_shexp, "blk.%u.ffn_up_shexp.weight", FF_SHARED, EMBD),
    MAT(ffn_down_shexp, "blk.%u.ffn_down_shexp.weight", EMBD, FF_SHARED),
};
#undef OF

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define NAME_LEN 96

/* True if `have` is right; *want is what to print otherwise. */
static bool weights_dim_ok(const st_binder *b, dim d, uint64_t have, uint64_t *want)
{
    const st_config *c = b->c;
    uint64_t q = (uint64_t)c->n_head * (c->n_latent ? c->d_nope + c->n_rot : c->d_head_k),
             k = (uint64_t)c->n_head_kv * c->d_head_k, v = (uint64_t)c->n_head_kv * c->d_head_v;
    switch (d) {
    case ANY: *want = have; break;
    case EMBD: *want = c->n_embd; break;
    case QW: *want = q; break;
    case KW: *want = k; break;
    case VW: *want = v; break;
    case QKVW: *want = q + k + v; break;
    case OW: *want = (uint64_t)c->n_head * (c->n_latent ? c->d_value : c->d_head_v); break;
    case LATENT: *want = c->n_latent; break;
    case LATENT_Q: *want = c->n_latent_q; break;
    case LATENT_ROT: *want = (uint64_t)c->n_latent + c->n_rot; break;
    case KV_UP: *want = (uint64_t)c->n_head * (c->d_nope + c->d_value); break;
    case NOPE: *want = c->d_nope; break;
    case VALUE: *want = c->d_value; break;
    case QNORM: *want = have == q ? q : c->d_head_k; break;
    case KNORM: *want = have == k ? k : c->d_head_k; break;
    case ROT: *want = c->n_rot / 2; break;
    case HEADS: *want = c->n_head; break;
    case EXPERTS: *want = c->n_expert; break;
    case EXPERTS_FF: *want = (uint64_t)c->n_expert * c->n_ff_expert; break;
    case EXPERTS_EMBD: *want = (uint64_t)c->n_expert * c->n_embd; break;
    case FF_EXPERT: *want = c->n_ff_expert; break;
    case FF_SHARED: *want = c->n_ff_shared; break;
    case ONE: *want = 1; break;
    case FF: *want = c->n_ff; break;
    case FF_GLU: *want = have == 2 * (uint64_t)c->n_ff ? have : c->n_ff; break;
    case VOCAB: *want = b->w->n_vocab ? b->w->n_vocab : have; break;
    case CTX: *want = have > c->n_ctx ? have : c->n_ctx; break;
    case DENSE: *want = b->w->dense_2 ? b->w->dense_2->dims[1] : have; break;
    }
    return have == *want;
}

/* "[n, k]" of what is there and what is wanted; the file's order is the other way round. */
static int weights_bad_shape(const st_binder *b, const st_gguf_tensor *t, uint32_t n_dims, const uint64_t *want)
{
    char name[ST_STR_PRINT], have[100] = "", need[100] = "";
    size_t h = 0, w = 0;
    for (uint32_t i = t->n_dims; i-- > 0 && h < sizeof have - 24;)
        h += (size_t)snprintf(have + h, sizeof have - h, "%llu%s", (unsigned long long)t->dims[i], i ? ", " : "");
    for (uint32_t i = n_dims; i-- > 0 && w < sizeof need - 24;)
        w += (size_t)snprintf(need + w, sizeof need - w, "%llu%s", (unsigned long long)want[i], i ? ", " : "");
    ST_FAIL(b->err, STRATA_CORRUPT_MODEL, "%s: tensor '%s' is [%s], want [%s]", b->g->name, st_str_print(t->name, name),
            have, need);
}

/* A vector of each head or expert may have them as its second dimension: what the first is then. Any other second
 * dimension is a mistake. */
static uint64_t weights_part_width(const st_binder *b, dim n)
{
    if (n == QNORM || n == KNORM) return b->c->d_head_k;
    return n == EXPERTS_FF ? b->c->n_ff_expert : n == EXPERTS_EMBD ? b->c->n_embd : 0;
}

static int weights_check_shape(const st_binder *b, const st_gguf_tensor *t, const entry *e)
{
    uint64_t want[3] = {0, 0, 0};
    if (e->form == VECTOR) {
        uint64_t n = 1;
        for (uint32_t i = 0; i < t->n_dims; i++) n *= t->dims[i];
        bool ok = weights_dim_ok(b, e->n, n, &want[0]) && n <= UINT32_MAX;
        return ok && (t->dims[0] == n || t->dims[0] == weights_part_width(b, e->n)) ? STRATA_OK
                                                                                    : weights_bad_shape(b, t, 1, want);
    }
    uint32_t n_dims = e->form == MATRIX ? 2 : 3;
    bool ok = weights_dim_ok(b, e->n, t->dims[1], &want[1]);
    ok = weights_dim_ok(b, e->k, t->dims[0], &want[0]) && ok;
    want[2] = e->form == EXPERT ? b->c->n_expert : e->form == HEAD ? b->c->n_head : 1;
    ok = ok && t->dims[2] == want[2] && t->dims[3] == 1;
    return ok ? STRATA_OK : weights_bad_shape(b, t, n_dims, want);
}

static int weights_check_type(const st_binder *b, const st_gguf_tensor *t)
{
    if (st_quant_get(t->type)) return STRATA_OK;
    const char *name = "unknown";
    uint32_t block, bytes;
    st_quant_geometry(t->type, &name, &block, &bytes);
    char seen[ST_STR_PRINT];
    ST_FAIL(b->err, STRATA_UNSUPPORTED_TYPE, "%s: tensor '%s' has type %s (%u), not supported; supported: %s",
            b->g->name, st_str_print(t->name, seen), name, t->type, st_quant_supported());
}

static int weights_bind_vector(st_binder *b, const st_gguf_tensor *t, st_vec *out)
{
    st_weights *w = b->w;
    const st_quant *q = st_quant_get(t->type);
    char name[ST_STR_PRINT];
    ST_FAIL_IF(q->group, b->err, STRATA_UNSUPPORTED_TYPE, "%s: vector '%s' has type %s, want F32, F16 or BF16",
               b->g->name, st_str_print(t->name, name), q->name);
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) n *= t->dims[i];
    out->n = (uint32_t)n;
    if (t->type == ST_F32 && (uintptr_t)t->data % sizeof(float) == 0) {
        out->v = (const float *)(const void *)t->data;
        return STRATA_OK;
    }
    bool room = st_grow(w->mem, &w->copies, &w->cap_copies, w->n_copies + 1, w->n_copies, sizeof *w->copies);
    float *v = room ? st_alloc(w->mem, out->n, sizeof *v) : NULL;
    ST_FAIL_IF(!v, b->err, STRATA_NO_MEMORY, "%s: no memory for tensor '%s'", b->g->name, st_str_print(t->name, name));
    w->copies[w->n_copies++] = v;
    q->dequant(t->data, v, out->n);
    out->v = v;
    return STRATA_OK;
}

/* The file's name of an entry, in out [NAME_LEN]. */
static const char *weights_spell(const st_config *c, const entry *e, uint32_t layer, char *out)
{
    const char *mark = strchr(e->name, '%'), *prefix = c->arch->tensor_prefix;
    bool prefixed = prefix && (mark || strncmp(e->name, "output_norm", 11) == 0);
    if (mark)
        snprintf(out, NAME_LEN, "%s%.*s%u%s", prefixed ? prefix : "", (int)(mark - e->name), e->name, layer, mark + 2);
    else
        snprintf(out, NAME_LEN, "%s%s", prefixed ? prefix : "", e->name);
    return out;
}

static void weights_log_tensor(const st_log *log, const char *name, const st_gguf_tensor *t, bool vector)
{
    const char *type = st_quant_get(t->type)->name;
    unsigned long long k = t->dims[0], n = t->dims[1];
    if (vector)
        st_log_write(log, STRATA_LOG_DEBUG, "tensor %s %s [%llu]", name, type, k);
    else
        st_log_write(log, STRATA_LOG_DEBUG, "tensor %s %s [%llu, %llu]", name, type, n, k);
}

static bool weights_present(const void *base, const entry *e)
{
    const uint8_t *p = (const uint8_t *)base + e->offset;
    return e->form == VECTOR ? ((const st_vec *)(const void *)p)->v != NULL : *(const st_mat *)(const void *)p != NULL;
}

static int weights_bind(st_binder *b, const entry *table, size_t n, uint32_t layer, void *base)
{
    for (size_t i = 0; i < n; i++) {
        const entry *e = &table[i];
        char name[NAME_LEN];
        const st_gguf_tensor *t = st_gguf_tensor_find(b->g, weights_spell(b->c, e, layer, name));
        if (!t) continue;
        b->used[t - b->g->tensors] = 1;
        ST_FAIL_IF(weights_present(base, e), b->err, STRATA_CORRUPT_MODEL,
                   "%s: tensor '%s' is there by another name too", b->g->name, name);
        ST_TRY(weights_check_shape(b, t, e));
        ST_TRY(weights_check_type(b, t));
        if (e->form == VECTOR)
            ST_TRY(weights_bind_vector(b, t, (st_vec *)(void *)((uint8_t *)base + e->offset)));
        else
            *(st_mat *)(void *)((uint8_t *)base + e->offset) = t;
        weights_log_tensor(b->log, name, t, e->form == VECTOR);
    }
    return STRATA_OK;
}

/* The last layer with, or without, experts like layer il: some models have them in every second layer, or not in the
 * first. */
static uint32_t weights_last_alike(const st_binder *b, uint32_t il)
{
    uint32_t last = b->c->n_layer - 1;
    while (last > il && (b->w->layers[last].ffn_gate_inp == NULL) != (b->w->layers[il].ffn_gate_inp == NULL)) last--;
    return last;
}

/* And like the other layers: a file that lost one norm would run, and give other vectors. */
static int weights_check_alike(const st_binder *b, uint32_t il)
{
    uint32_t last = weights_last_alike(b, il);
    for (size_t i = 0; i < COUNT(per_layer); i++) {
        const entry *e = &per_layer[i];
        if (st_first_normed(b, il) && e->offset == offsetof(st_layer, attn_norm_w)) continue;
        if (il == 0 && e->offset == offsetof(st_layer, attn_rel_b)) continue; /* T5's stands in the first layer only */
        bool here = weights_present(&b->w->layers[il], e), there = weights_present(&b->w->layers[last], e);
        char name[NAME_LEN];
        ST_FAIL_IF(here != there, b->err, STRATA_CORRUPT_MODEL, "%s: no tensor '%s', which layer %u has", b->g->name,
                   weights_spell(b->c, e, here ? last : il, name), here ? il : last);
    }
    return STRATA_OK;
}

static int weights_bind_all(st_binder *b)
{
    st_weights *w = b->w;
    const st_gguf_tensor *embd = st_gguf_tensor_find(b->g, "token_embd.weight");
    ST_FAIL_IF(!embd, b->err, STRATA_CORRUPT_MODEL, "%s: no tensor 'token_embd.weight'", b->g->name);
    w->n_vocab = (uint32_t)embd->dims[1];
    ST_TRY(weights_bind(b, globals, COUNT(globals), 0, w));
    w->n_types = w->token_types ? (uint32_t)w->token_types->dims[1] : 0;
    ST_FAIL_IF((w->dense_2 == NULL) != (w->dense_3 == NULL), b->err, STRATA_CORRUPT_MODEL,
               "%s: only one of dense_2 and dense_3 is there", b->g->name);
    for (uint32_t il = 0; il < b->c->n_layer; il++)
        ST_TRY(weights_bind(b, per_layer, COUNT(per_layer), il, &w->layers[il]));
    ST_TRY(st_check_layers(b));
    for (uint32_t il = 0; il < b->c->n_layer; il++) ST_TRY(weights_check_alike(b, il));
    return st_check_whole(b);
}

int st_weights_bind(const st_gguf *g, const st_config *c, const st_log *log, st_mem *mem, st_weights *w,
                    strata_error *err)
{
    *w = (st_weights){.mem = mem};
    st_binder b = {.g = g, .c = c, .log = log, .w = w, .err = err};
    w->layers = st_calloc(mem, c->n_layer, sizeof *w->layers);
    b.used = st_calloc(mem, g->n_tensors, 1);
    int rc = w->layers && b.used ? weights_bind_all(&b)
                                 : st_error_set(err, STRATA_NO_MEMORY, "%s: no memory for the weight table", g->name);
    st_free(mem, b.used);
    if (rc) st_weights_free(w);
    return rc;
}

static int weights_each(const st_config *c, const entry *table, size_t n, int layer, const void *base, st_weights_fn fn,
                        void *user)
{
    for (size_t i = 0; i < n; i++) {
        const entry *e = &table[i];
        const uint8_t *p = (const uint8_t *)base + e->offset;
        char name[NAME_LEN];
        if (!weights_present(base, e)) continue;
        const void *data = e->form == VECTOR ? (const void *)((const st_vec *)(const void *)p)->v
                                             : (const void *)*(const st_mat *)(const void *)p;
        ST_TRY(fn(user, weights_spell(c, e, layer < 0 ? 0 : (uint32_t)layer, name), layer, data));
    }
    return STRATA_OK;
}

int st_weights_each(const st_weights *w, const st_config *c, st_weights_fn fn, void *user)
{
    ST_TRY(weights_each(c, globals, COUNT(globals), -1, w, fn, user));
    for (uint32_t il = 0; il < c->n_layer; il++)
        ST_TRY(weights_each(c, per_layer, COUNT(per_layer), (int)il, &w->layers[il], fn, user));
    return STRATA_OK;
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
