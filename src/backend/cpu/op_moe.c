/* op_moe.c: a mixture of experts.
 *
 * The router's products and its gate are float. Then the experts are taken in the order of their indices: rows that
 * chose an expert are gathered, go through it as through any FFN, and are added to their place times the expert's
 * weight. So a row's sum has the same order whatever else is in the batch. */
#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"

typedef struct moe {
    const st_env *env;
    const st_op *op;
    const st_packed *packed; /* by st_moe_part */
    uint32_t *rows;          /* [n] rows that chose the expert at hand */
    uint32_t n;
} moe;

static float *moe_row_of(const st_env *e, st_slot slot, uint32_t r)
{
    return e->slots->f[slot] + (size_t)r * e->slots->ld[slot];
}

static st_linear_part moe_part_of(const moe *m, st_moe_part i, uint32_t row, uint32_t n)
{
    const st_part *p = &m->op->moe.parts[i];
    return (st_linear_part){.packed = &m->packed[i],
                            .panel0 = row / 16,
                            .n = n,
                            .planes = (int)p->planes,
                            .bias = p->bias ? p->bias + row : NULL};
}

/* Whether a product has weights that are not finite. */
static bool moe_bad(const st_linear *l)
{
    bool bad = false;
    for (uint32_t i = 0; i < l->n_parts; i++)
        bad |= st_packed_bad(l->parts[i].packed, l->parts[i].panel0, l->parts[i].n);
    return bad;
}

/* Logits of the router -> R, whose last column is the shared expert's. */
static void moe_route(const moe *m)
{
    const st_env *e = m->env;
    const st_op_moe *op = &m->op->moe;
    st_linear l = {.in = m->op->in, .out = ST_SLOT_R, .n_parts = 1, .exact = true, .scale = 1.0f};
    l.parts[0] = moe_part_of(m, ST_MOE_ROUTER, 0, op->n_expert);
    if (op->parts[ST_MOE_SHARED_ROUTER].m) {
        l.parts[l.n_parts] = moe_part_of(m, ST_MOE_SHARED_ROUTER, 0, 1);
        l.parts[l.n_parts++].col = op->n_expert;
    }
    st_linear_run(e, &l, e->n_rows);
    if (moe_bad(&l)) st_mark_all_nonfinite(e);
    st_env_sync(e);
}

/* By the softmax of (x, 0), whose exponentials are the same on every ISA. */
static float moe_sigmoid(const st_kernels *k, float x)
{
    float pair[16] = {x, 0.0f};
    float sum = k->softmax(pair, 16, 0, 2, 1.0f, 0.0f, 0.0f, 0);
    return pair[0] / sum;
}

/* Logits of a row -> probabilities, p [n_expert in whole vectors]. */
static void moe_gate(const st_env *e, const st_op_moe *op, const float *row, float *p)
{
    uint32_t width = (uint32_t)st_round_up(op->n_expert, 16);
    if (op->sigmoid) {
        for (uint32_t i = 0; i < op->n_expert; i++) p[i] = moe_sigmoid(e->k, row[i]);
        return;
    }
    memset(p, 0, width * sizeof *p);
    memcpy(p, row, op->n_expert * sizeof *p);
    float sum = e->k->softmax(p, width, 0, op->n_expert, 1.0f, 0.0f, 0.0f, 0);
    for (uint32_t i = 0; i < op->n_expert; i++) p[i] = p[i] / sum;
}

/* The score by which a group of experts is kept or not (HF modeling_deepseek_v3.py; modeling_deepseek_v2.py where there
 * is no bias). */
static float moe_group_score(const st_op_moe *op, const float *score, uint32_t n)
{
    float first = -INFINITY, second = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        if (score[i] > first)
            second = first, first = score[i];
        else if (score[i] > second)
            second = score[i];
    }
    return op->choice_bias && n > 1 ? first + second : first;
}

/* The scores of experts outside the best groups -> -inf. Ties go to the lower index. */
static void moe_keep_groups(const st_op_moe *op, float *score)
{
    uint32_t n = op->n_expert / op->n_group;
    for (uint32_t drop = op->n_group - op->n_group_used; drop > 0; drop--) {
        uint32_t worst = 0;
        float least = INFINITY;
        for (uint32_t g = 0; g < op->n_group; g++) {
            float s = moe_group_score(op, score + (size_t)g * n, n);
            if (s > -INFINITY && s <= least) worst = g, least = s;
        }
        for (uint32_t i = 0; i < n; i++) score[(size_t)worst * n + i] = -INFINITY;
    }
}

static bool moe_all_finite(const float *x, uint32_t n)
{
    bool finite = true;
    for (uint32_t i = 0; i < n; i++) finite &= isfinite(x[i]) != 0;
    return finite;
}

/* Row of logits -> row of weights: 0 for experts that were not chosen. Ties go to the lower index. False, with no
 * weights, where a number that decides is none: every comparison with NaN is false, so that another expert would be
 * chosen without a trace. */
static bool moe_choose(const st_env *e, const st_op_moe *op, float *row)
{
    bool has_shared = op->parts[ST_MOE_SHARED_ROUTER].m;
    float shared = row[op->n_expert], *p = e->worker->row[0], *score = e->worker->row[1], total = 0;
    bool finite = moe_all_finite(row, op->n_expert) && (!has_shared || isfinite(shared));
    if (finite) moe_gate(e, op, row, p);
    for (uint32_t i = 0; finite && i < op->n_expert; i++) score[i] = op->choice_bias ? p[i] + op->choice_bias[i] : p[i];
    if (!finite || !moe_all_finite(p, op->n_expert) || !moe_all_finite(score, op->n_expert)) {
        memset(row, 0, (op->n_expert + 1) * sizeof *row);
        return false;
    }
    moe_keep_groups(op, score);
    memset(row, 0, op->n_expert * sizeof *row);
    for (uint32_t k = 0; k < op->n_used; k++) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < op->n_expert; i++)
            if (score[i] > score[best]) best = i;
        row[best] = p[best];
        total += p[best];
        score[best] = -INFINITY;
    }
    for (uint32_t i = 0; i < op->n_expert; i++) {
        /* Sigmoids may all be 0; the addend is HF's, and nothing to any other sum. */
        if (op->normalize) row[i] = row[i] / (total + 1e-20f);
        row[i] = row[i] * op->scale;
    }
    row[op->n_expert] = has_shared ? moe_sigmoid(e->k, shared) : 1.0f;
    return true;
}

/* Rows of the input that chose expert i -> G, in every form that is wanted. */
static void moe_gather(moe *m, uint32_t expert)
{
    const st_env *e = m->env;
    st_slot in = m->op->in;
    m->n = 0;
    for (uint32_t r = 0; r < e->n_rows; r++)
        if (moe_row_of(e, ST_SLOT_R, r)[expert] != 0) m->rows[m->n++] = r;
    uint32_t lo, hi, k = m->op->moe.k;
    st_env_share(e, m->n, 1, &lo, &hi);
    for (uint32_t i = lo; i < hi; i++) {
        uint32_t r = m->rows[i];
        memcpy(moe_row_of(e, ST_SLOT_G, i), moe_row_of(e, in, r), k * sizeof(float));
        if (e->state->form[ST_SLOT_G] & ST_FORM_BF16) st_bact_copy(&e->slots->b[ST_SLOT_G], i, &e->slots->b[in], r);
        if (!(e->state->form[ST_SLOT_G] & ST_FORM_HI)) continue;
        const st_qact *from = &e->slots->q[in];
        st_qact *to = &e->slots->q[ST_SLOT_G];
        memcpy(to->hi + i * to->ld, from->hi + r * from->ld, k);
        memcpy(to->d + i * (to->ld / 32), from->d + r * (from->ld / 32), k / 32 * sizeof *to->d);
        memcpy(to->sum_hi + i * (to->ld / 16), from->sum_hi + r * (from->ld / 16), k / 16 * sizeof *to->sum_hi);
        if (!to->lo) continue;
        memcpy(to->lo + i * to->ld, from->lo + r * from->ld, k);
        memcpy(to->sum_lo + i * (to->ld / 16), from->sum_lo + r * (from->ld / 16), k / 16 * sizeof *to->sum_lo);
    }
    st_env_sync(e);
}

/* One FFN: `rows` rows of `in` -> E. False: its weights are not all finite. */
static bool moe_run_expert(const moe *m, st_slot in, uint32_t rows, st_moe_part gate, uint32_t expert, uint32_t n_ff)
{
    const st_env *e = m->env;
    const st_op_moe *op = &m->op->moe;
    bool glu = op->parts[gate].m != NULL;
    st_linear up = {.in = in, .out = ST_SLOT_H, .n_parts = glu ? 2 : 1, .act = op->act, .glu = glu, .scale = 1.0f};
    if (glu) up.parts[0] = moe_part_of(m, gate, expert * n_ff, n_ff);
    up.parts[glu] = moe_part_of(m, (st_moe_part)(gate + 1), expert * n_ff, n_ff);
    st_linear_run(e, &up, rows);
    st_env_sync(e);
    st_linear down = {.in = ST_SLOT_H, .out = ST_SLOT_E, .n_parts = 1, .scale = 1.0f};
    down.parts[0] = moe_part_of(m, (st_moe_part)(gate + 2), expert * op->k, op->k);
    st_linear_run(e, &down, rows);
    st_env_sync(e);
    return !moe_bad(&up) && !moe_bad(&down);
}

void st_run_moe(const st_env *e, uint32_t index)
{
    const st_op *op = &e->exec->plan->ops[index];
    const st_op_moe *src = &op->moe;
    moe m = {.env = e, .op = op, .packed = e->exec->packed[index], .rows = e->worker->rows};
    moe_route(&m);
    uint32_t lo, hi;
    st_env_share(e, e->n_rows, 1, &lo, &hi);
    for (uint32_t r = lo; r < hi; r++) {
        if (!moe_choose(e, src, moe_row_of(e, ST_SLOT_R, r))) st_mark_nonfinite(e, r);
        memset(moe_row_of(e, ST_SLOT_Y, r), 0, src->k * sizeof(float));
    }
    st_env_sync(e);
    for (uint32_t i = 0; i < src->n_expert; i++) {
        moe_gather(&m, i);
        if (m.n == 0) continue;
        bool finite = moe_run_expert(&m, ST_SLOT_G, m.n, ST_MOE_GATE, i, src->n_ff);
        st_env_share(e, m.n, 1, &lo, &hi);
        for (uint32_t j = lo; j < hi; j++) {
            uint32_t r = m.rows[j];
            if (!finite) st_mark_nonfinite(e, r);
            e->k->add_scaled(moe_row_of(e, ST_SLOT_E, j), moe_row_of(e, ST_SLOT_R, r)[i], moe_row_of(e, ST_SLOT_Y, r),
                             src->k);
        }
        st_env_sync(e);
    }
    if (src->n_ff_shared == 0) return;
    if (!moe_run_expert(&m, op->in, e->n_rows, ST_MOE_SHARED_GATE, 0, src->n_ff_shared)) st_mark_all_nonfinite(e);
    st_env_share(e, e->n_rows, 1, &lo, &hi);
    for (uint32_t r = lo; r < hi; r++)
        e->k->add_scaled(moe_row_of(e, ST_SLOT_E, r), moe_row_of(e, ST_SLOT_R, r)[src->n_expert],
                         moe_row_of(e, ST_SLOT_Y, r), src->k);
}
