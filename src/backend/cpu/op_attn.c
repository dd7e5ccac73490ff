/* op_attn.c: softmax(scale * Q K^T) V, a block of queries at a time.
 *
 * Attention is defined as two passes: all scores of a query and their true maximum first, then the exponentials and the
 * sum over the keys in ascending order. So the size of a block, a window or the place of a text in the batch cannot
 * change a bit. Scores exist for one block of queries only, never for a whole text. Query heads that share a key head
 * are worked together; K^T and V are packed once for each key head.
 *
 * In precision bf16, sequences without a cache take queries, keys, probabilities and values as bf16; keys are added in
 * blocks of 32 by their index in the text, which again depends on nothing else. With a cache the products are float in
 * every precision: steps of one query would spend their time on packing keys once more. */
#include <string.h>

#include "backend/cpu/attn.h"
#include "quant/quant.h"

static void attn_pack_keys(const st_attn *a, float *kt, float *v)
{
    const st_env *e = a->env;
    const st_op_attn *op = a->op;
    uint32_t lo, hi, k_col = op->n_head * op->d_head_k + a->kv * op->d_head_k,
                     v_col = (op->n_head + op->n_head_kv) * op->d_head_k + a->kv * op->d_head_v;
    st_env_share(e, a->n, 16, &lo, &hi);
    if (lo >= hi) return;
    e->k->transpose16(st_attn_qkv(a, lo, k_col), e->slots->ld[ST_SLOT_QKV], hi - lo, op->d_head_k,
                      kt + (size_t)lo * op->d_head_k);
    for (uint32_t t = lo; t < hi; t++) {
        float *dst = v + (size_t)t * a->ldv;
        memcpy(dst, st_attn_qkv(a, t, v_col), op->d_head_v * sizeof *dst);
        if (a->ldv > op->d_head_v) memset(dst + op->d_head_v, 0, (a->ldv - op->d_head_v) * sizeof *dst);
    }
}

static void attn_pack_keys_bf16(const st_attn *a, uint16_t *kt, uint16_t *v)
{
    const st_env *e = a->env;
    const st_op_attn *op = a->op;
    const st_bf16 *b = &e->state->bf16;
    const size_t ld = e->slots->ld[ST_SLOT_QKV], ldv = st_round_up(a->len, 32) * 16;
    uint32_t lo, hi, k_col = op->n_head * op->d_head_k + a->kv * op->d_head_k,
                     v_col = (op->n_head + op->n_head_kv) * op->d_head_k + a->kv * op->d_head_v;
    st_env_share(e, a->n, 32, &lo, &hi);
    if (lo >= hi) return;
    for (uint32_t t = lo; t < st_round_up(hi, 32); t += 16) {
        uint32_t n = t < hi ? hi - t < 16 ? hi - t : 16 : 0;
        b->pair_rows(n ? st_attn_qkv(a, t, k_col) : NULL, ld, n, op->d_head_k, kt + (size_t)t * a->ldk);
    }
    for (uint32_t c = 0; c < op->d_head_v; c += 16)
        b->pair(st_attn_qkv(a, lo, v_col + c), ld, hi - lo, v + c / 16 * ldv + (size_t)lo * 16);
}

/* Queries, keys and values that are not finite are found here: a softmax can hide them, by a score of minus infinity,
 * which it masks, or by a cap on scores. */
static void attn_check_rows(const st_attn *a, uint32_t s)
{
    const st_env *e = a->env;
    const st_op_attn *op = a->op;
    uint32_t lo, hi, bad = 0, width = (op->n_head + op->n_head_kv) * op->d_head_k + op->n_head_kv * op->d_head_v;
    st_env_share(e, a->n, 1, &lo, &hi);
    for (uint32_t t = lo; t < hi; t++) {
        const float *x = st_attn_qkv(a, t, 0);
        for (uint32_t i = 0; i < width; i++) {
            uint32_t u;
            memcpy(&u, x + i, sizeof u);
            bad |= (u & 0x7f800000u) == 0x7f800000u;
        }
    }
    if (bad) __atomic_store_n(&e->batch->status[s], STRATA_NONFINITE, __ATOMIC_RELAXED);
}

/* What this run adds to the cache, all key heads. The stored type has to make integers or halves of them, and must be
 * able to. */
static void attn_store_keys(const st_attn *a, uint32_t s)
{
    const st_env *e = a->env;
    const st_op_attn *op = a->op;
    uint32_t lo, hi;
    bool finite = true;
    st_env_share(e, a->n, 1, &lo, &hi);
    for (uint32_t t = lo; t < hi; t++)
        for (uint32_t h = 0; h < op->n_head_kv; h++)
            finite &= st_kv_store(&e->state->kv, a->layer, a->seq, h, a->past + t,
                                  st_attn_qkv(a, t, op->n_head * op->d_head_k + h * op->d_head_k),
                                  st_attn_qkv(a, t, (op->n_head + op->n_head_kv) * op->d_head_k + h * op->d_head_v));
    if (!finite) __atomic_store_n(&e->batch->status[s], STRATA_NONFINITE, __ATOMIC_RELAXED);
}

static void attn_load_keys(const st_attn *a, float *kt, float *v)
{
    const st_env *e = a->env;
    uint32_t lo, hi;
    st_env_share(e, a->len - a->base, 16, &lo, &hi);
    if (lo >= hi) return;
    st_kv_load(&e->state->kv, e->k, a->layer, a->seq, a->kv, (a->base + lo) / 16, (a->base + hi + 15) / 16,
               kt + (size_t)lo * a->op->d_head_k, v + (size_t)lo * a->ldv, a->ldv);
}

/* The bias of one head for every distance, at worker->bias + distance + len - 1. */
static void attn_fill_bias(const st_attn *a, uint32_t head)
{
    st_mat m = a->op->rel_bias;
    const st_quant *q = st_quant_get(m->type);
    st_worker *w = a->env->worker;
    int64_t len = a->len;
    uint32_t have = UINT32_MAX;
    for (int64_t d = 1 - len; d < len; d++) {
        uint32_t bucket = st_reach_bucket(d, (uint32_t)m->dims[1]);
        if (bucket != have) q->dequant(m->data + (size_t)bucket * st_mat_row_bytes(m), w->row[0], (size_t)m->dims[0]);
        have = bucket;
        w->bias[d + len - 1] = w->row[0][head];
    }
}

float st_attn_numerators(const st_attn *a, uint32_t head, uint32_t q, uint32_t lo, uint32_t n, float slope, float *row)
{
    const st_op_attn *op = a->op;
    const st_env *e = a->env;
    uint32_t from, to;
    st_reach_visible(a->op, a->len, q, &from, &to);
    /* Models with a relative bias have a scale of 1, so it may be added before the softmax scales. */
    if (op->rel_bias) e->k->add_scaled(e->worker->bias + (a->len - 1 - q + from), 1.0f, row + (from - lo), to - from);
    if (op->sinks) row[to - lo] = op->sinks[head] / op->scale;
    float sum =
        e->k->softmax(row, n, from - lo, to - lo + (op->sinks != NULL), op->scale, op->softcap, slope, (int64_t)q - lo);
    if (op->sinks) row[to - lo] = 0.0f;
    return sum;
}

/* Queries [q0, q1) of this run against their keys -> A. */
static void attn_run_block(const st_attn *a, uint32_t q0, uint32_t q1)
{
    const st_env *e = a->env;
    const st_op_attn *op = a->op;
    uint32_t lo, hi, unused, n_q = q1 - q0;
    st_reach_visible(a->op, a->len, a->past + q0, &lo, &unused);
    st_reach_visible(a->op, a->len, a->past + q1 - 1, &unused, &hi);
    lo &= ~15u; /* whole panels of keys; the lanes of a sum go by key index mod 16 */
    uint32_t n_keys = (uint32_t)st_round_up(hi - lo, 16), n = st_attn_row(op, hi - lo, 16);
    const float *kt = a->kt + (size_t)(lo - a->base) * op->d_head_k, *v = a->v + (size_t)(lo - a->base) * a->ldv;
    float *s = e->worker->scores;
    for (uint32_t g = a->g0; g < a->g1; g++)
        e->k->gemm_f32(st_attn_qkv(a, q0, (a->kv * a->group + g) * op->d_head_k), e->slots->ld[ST_SLOT_QKV], n_q, kt,
                       16, (size_t)op->d_head_k * 16, n_keys / 16, op->d_head_k, false,
                       s + (size_t)(g - a->g0) * n_q * n, n);
    for (uint32_t g = a->g0; g < a->g1; g++) {
        float *sg = s + (size_t)(g - a->g0) * n_q * n;
        float *out = e->slots->f[ST_SLOT_A] + (size_t)(a->row + q0) * e->slots->ld[ST_SLOT_A] +
                     (a->kv * a->group + g) * op->d_head_v;
        float sums[ST_ROW_CHUNK], slope = st_reach_slope(op, a->kv * a->group + g);
        if (op->rel_bias) attn_fill_bias(a, a->kv * a->group + g);
        for (uint32_t i = 0; i < n_q; i++) {
            sums[i] = st_attn_numerators(a, a->kv * a->group + g, a->past + q0 + i, lo, n, slope, sg + (size_t)i * n);
        }
        size_t ld = e->slots->ld[ST_SLOT_A];
        bool direct = a->ldv == op->d_head_v; /* whole panels of values: no column past the head is written */
        if (direct) e->k->gemm_f32(sg, n, n_q, v, a->ldv, 16, a->ldv / 16, hi - lo, false, out, ld);
        for (uint32_t i = 0; i < n_q; i++) {
            float *y = out + (size_t)i * ld;
            if (!direct) {
                for (uint32_t c = 0; c < op->d_head_v; c += 16) {
                    float *t = e->worker->tile[0];
                    e->k->gemm_f32(sg + (size_t)i * n, n, 1, v + c, a->ldv, 16, 1, hi - lo, false, t, 16);
                    uint32_t w = op->d_head_v - c < 16 ? op->d_head_v - c : 16;
                    memcpy(y + c, t, w * sizeof *y);
                }
            }
            e->k->scale(y, 1.0f / sums[i], y, op->d_head_v);
        }
    }
}

/* The same in bf16, a head at a time: its scores, in whole tiles, fill the scratch. */
static void attn_run_block_bf16(const st_attn *a, uint32_t q0, uint32_t q1)
{
    const st_env *e = a->env;
    const st_op_attn *op = a->op;
    const st_bf16 *b = &e->state->bf16;
    uint32_t lo, hi, unused, n_q = q1 - q0;
    st_reach_visible(a->op, a->len, q0, &lo, &unused);
    st_reach_visible(a->op, a->len, q1 - 1, &unused, &hi);
    lo &= ~31u;
    uint32_t n_keys = (uint32_t)st_round_up(hi - lo, 32), n = st_attn_row(op, hi - lo, 32);
    st_bact q = {e->worker->q16, a->ldk}, p = {e->worker->p16, n_keys};
    const size_t v_panel = st_round_up(a->len, 32) * 16, ld = e->slots->ld[ST_SLOT_A];
    float *s = e->worker->scores, *tile = e->worker->tile[0];
    for (uint32_t g = a->g0; g < a->g1; g++) {
        uint32_t head = a->kv * a->group + g;
        float sums[ST_BF16_QUERIES], slope = st_reach_slope(op, head),
                                     *out = e->slots->f[ST_SLOT_A] + (size_t)(a->row + q0) * ld + head * op->d_head_v;
        b->round(st_attn_qkv(a, q0, head * op->d_head_k), e->slots->ld[ST_SLOT_QKV], n_q, op->d_head_k, &q, 0, 0);
        b->gemm(q.p, 16 * q.ld, n_q, a->kt16 + (size_t)lo * a->ldk, (size_t)a->ldk * 16, n_keys / 16, a->ldk, false, s,
                n);
        if (op->rel_bias) attn_fill_bias(a, head);
        for (uint32_t i = 0; i < n_q; i++)
            sums[i] = st_attn_numerators(a, head, q0 + i, lo, n, slope, s + (size_t)i * n);
        b->round(s, n, n_q, n_keys, &p, 0, 0);
        for (uint32_t c = 0, w; c < op->d_head_v; c += w) {
            w = op->d_head_v - c < 256 ? op->d_head_v - c : 256; /* what a tile of 32 queries has room for */
            b->gemm(p.p, 16 * p.ld, n_q, a->v16 + c / 16 * v_panel + (size_t)lo * 16, v_panel, w / 16, n_keys, false,
                    tile, w);
            for (uint32_t i = 0; i < n_q; i++) e->k->scale(tile + i * w, 1.0f / sums[i], out + i * ld + c, w);
        }
    }
}

/* Queries whose scores fit the scratch of a thread, and whose outputs keep the keys in cache. */
static uint32_t attn_block_of(const st_attn *a)
{
    if (a->bf16) return (uint32_t)st_attn_bf16_block(a->len);
    size_t keys = st_attn_row(a->op, a->len, 16), fit = a->env->worker->n_scores / (keys * a->group);
    return fit < 1 ? 1 : fit > 32 ? 32 : (uint32_t)fit;
}

void st_run_attn(const st_env *e, const st_op_attn *op, uint32_t layer)
{
    const st_batch *batch = e->batch;
    st_attn a = {.env = e,
                 .op = op,
                 .layer = layer,
                 .group = op->n_head / op->n_head_kv,
                 .ldv = (uint32_t)st_round_up(op->d_head_v, 16),
                 .ldk = (uint32_t)st_round_up(op->d_head_k, 32),
                 .bf16 = e->state->precision == STRATA_PRECISION_BF16 && !batch->past && op->d_head_v % 16 == 0};
    uint32_t turn = 0;
    for (uint32_t s = e->seq0; s < e->seq1; s++) {
        a.row = batch->starts[s] - e->row0;
        a.n = batch->starts[s + 1] - batch->starts[s];
        a.past = batch->past ? batch->past[s] : 0;
        a.len = a.past + a.n;
        a.base = 0;
        attn_check_rows(&a, s);
        if (batch->past) {
            uint32_t unused;
            a.seq = batch->seqs[s];
            st_reach_visible(a.op, a.len, a.past, &a.base, &unused);
            a.base &= ~15u;
            attn_store_keys(&a, s);
            st_env_sync(e);
            if (st_attn_can_step(&a)) {
                st_attn_step(&a);
                continue;
            }
        }
        uint32_t block = attn_block_of(&a), n_blocks = (a.n + block - 1) / block, split = 1;
        /* A step of one query, above all of latent attention, has nothing else to share than the heads of a key. */
        if (n_blocks < e->nth) split = (e->nth + n_blocks - 1) / n_blocks;
        if (split > a.group) split = a.group;
        for (a.kv = 0; a.kv < op->n_head_kv; a.kv++, turn ^= 1) {
            float *kt = e->slots->kt[turn], *v = e->slots->v[turn];
            if (a.bf16)
                attn_pack_keys_bf16(&a, e->slots->kt16[turn], e->slots->v16[turn]);
            else if (batch->past)
                attn_load_keys(&a, kt, v);
            else
                attn_pack_keys(&a, kt, v);
            st_env_sync(e);
            a.kt = kt;
            a.v = v;
            a.kt16 = e->slots->kt16[turn];
            a.v16 = e->slots->v16[turn];
            for (uint32_t i = e->ith; i < n_blocks * split; i += e->nth) {
                uint32_t b = i / split, part = i % split;
                a.g0 = a.group * part / split;
                a.g1 = a.group * (part + 1) / split;
                uint32_t q0 = b * block, q1 = q0 + block < a.n ? q0 + block : a.n;
                if (a.bf16)
                    attn_run_block_bf16(&a, q0, q1);
                else
                    attn_run_block(&a, q0, q1);
            }
        }
    }
}
