/* op_attn_step.c: attention of one new token after a cache, as a text is written.
 *
 * One query has no blocks to share, so all threads share its keys: first their scores, by panels of 16 keys over all
 * key heads; then, behind a barrier, the values, by key heads or, where there are more threads than those, by columns.
 * The cache is read once and never written out as floats: a few panels are converted at a time, in L1. Chains of sums
 * are those of op_attn.c, in the same order. */
#include <string.h>

#include "backend/cpu/attn.h"

/* Floats of the scratch for decoded weights, which is free here. */
#define ROOM (ST_DECODED_COLS * ST_K_CHUNK)

/* Scores of all heads stand in the shared scratch for keys, [n_head, n]: it has room for d_head_k rows. */
bool st_attn_can_step(const st_attn *a)
{
    const st_op_attn *op = a->op;
    return a->n == 1 && a->env->batch->past && a->group <= ST_ROW_CHUNK && !op->rel_bias && op->d_head_v % 16 == 0 &&
           op->n_head <= op->d_head_k && op->d_head_k * 16 <= ROOM && op->d_head_v * 16 <= ROOM;
}

/* Panels of keys [first, last) of all key heads, counted through: scores [n_head, n]. */
static void attn_step_score(const st_attn *a, uint32_t n_panels, uint32_t first, uint32_t last, float *scores)
{
    const st_env *e = a->env;
    const uint32_t d = a->op->d_head_k, n = n_panels * 16, most = ROOM / (d * 16);
    float *kt = e->worker->panel;
    for (uint32_t i = first, m; i < last; i += m) {
        const uint32_t kv = i / n_panels, p = i % n_panels, left = n_panels - p;
        m = left < last - i ? left : last - i;
        if (m > most) m = most;
        for (uint32_t j = 0; j < m; j++)
            st_kv_keys(&e->state->kv, e->k, a->layer, a->seq, kv, a->base / 16 + p + j, most, kt + (size_t)j * d * 16);
        e->k->gemm_f32(st_attn_qkv(a, 0, kv * a->group * d), d, a->group, kt, 16, (size_t)d * 16, m, d, false,
                       scores + (size_t)kv * a->group * n + p * 16, n);
    }
}

/* Columns [c0, c1) of the values of a key head, for the heads that share it. Every piece of columns makes the
 * numerators of these heads for itself: that is little beside their values, and saves a barrier. */
static void attn_step_weigh(const st_attn *a, uint32_t n_panels, uint32_t kv, uint32_t c0, uint32_t c1,
                            const float *scores)
{
    const st_env *e = a->env;
    const st_op_attn *op = a->op;
    const uint32_t d = op->d_head_v, most = ROOM / (d * 16), keys = a->len - a->base, n_keys = n_panels * 16;
    const uint32_t n = st_attn_row(op, keys, 16);
    float *s = e->worker->scores, *v = e->worker->panel, *out = e->slots->f[ST_SLOT_A];
    out += (size_t)a->row * e->slots->ld[ST_SLOT_A] + kv * a->group * d + c0;
    float sums[ST_ROW_CHUNK];
    for (uint32_t g = 0, head = kv * a->group; g < a->group; g++, head++) {
        memcpy(s + (size_t)g * n, scores + (size_t)head * n_keys, n_keys * sizeof *s);
        sums[g] = st_attn_numerators(a, head, a->past, a->base, n, st_reach_slope(op, head), s + (size_t)g * n);
    }
    for (uint32_t p = 0, m; p < n_panels; p += m) {
        m = n_panels - p < most ? n_panels - p : most;
        for (uint32_t j = 0; j < m; j++)
            st_kv_values(&e->state->kv, e->k, a->layer, a->seq, kv, a->base / 16 + p + j, most, v + (size_t)j * d * 16);
        const uint32_t k = keys - p * 16 < m * 16 ? keys - p * 16 : m * 16;
        e->k->gemm_f32(s + p * 16, n, a->group, v + c0, d, 16, (c1 - c0) / 16, k, p > 0, out, d);
    }
    for (uint32_t g = 0; g < a->group; g++)
        e->k->scale(out + (size_t)g * d, 1.0f / sums[g], out + (size_t)g * d, c1 - c0);
}

void st_attn_step(st_attn *a)
{
    const st_env *e = a->env;
    const st_op_attn *op = a->op;
    const uint32_t n_panels = (a->len - a->base + 15) / 16, n_kv = op->n_head_kv;
    float *scores = e->slots->kt[0];
    uint32_t first, last;
    st_env_share(e, n_panels * n_kv, 1, &first, &last);
    attn_step_score(a, n_panels, first, last, scores);
    st_env_sync(e);
    /* Each key head in as many pieces of columns as there are threads for it. */
    const uint32_t columns = op->d_head_v / 16, share = (e->nth + n_kv - 1) / n_kv;
    const uint32_t pieces = share < columns ? share : columns;
    st_env_share(e, n_kv * pieces, 1, &first, &last);
    for (uint32_t i = first; i < last; i++) {
        const uint32_t j = i % pieces;
        attn_step_weigh(a, n_panels, i / pieces, columns * j / pieces * 16, columns * (j + 1) / pieces * 16, scores);
    }
}
