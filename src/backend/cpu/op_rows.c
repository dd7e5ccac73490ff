/* op_rows.c: the ops that work on one token at a time: EMBED, NORM, QK, RESID. */
#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/math.h"
#include "quant/quant.h"

void st_apply_norm(const st_kernels *k, const st_norm *norm, const float *x, uint32_t n, float *y)
{
    switch (norm->kind) {
    case ST_NORM_RMS: k->rms_norm(x, norm->w.v, norm->eps, n, y); break;
    case ST_NORM_LAYER: k->layer_norm(x, norm->w.v, norm->b.v, norm->eps, n, y); break;
    case ST_NORM_NONE:
        if (x != y) memcpy(y, x, n * sizeof *y);
        break;
    }
}

void st_mark_nonfinite(const st_env *e, uint32_t row)
{
    const st_batch *b = e->batch;
    uint32_t s = e->seq0;
    if (e->n_rows == e->seq1 - e->seq0) /* one row each: a step, or what GATHER left */
        s += row;
    else
        while (b->starts[s + 1] - e->row0 <= row) s++;
    __atomic_store_n(&b->status[s], STRATA_NONFINITE, __ATOMIC_RELAXED);
}

void st_mark_all_nonfinite(const st_env *e)
{
    for (uint32_t s = e->seq0; s < e->seq1; s++)
        __atomic_store_n(&e->batch->status[s], STRATA_NONFINITE, __ATOMIC_RELAXED);
}

void st_env_quantize(const st_env *e, st_slot slot, const float *x, size_t ldx, uint32_t lo, uint32_t hi, uint32_t k,
                     uint32_t k0)
{
    if (e->state->form[slot] & ST_FORM_BF16) {
        const st_bf16 *b = &e->state->bf16;
        const st_bact *a = &e->slots->b[slot];
        if (!b->round(x, ldx, hi - lo, k, a, lo, k0)) return;
        for (uint32_t r = lo; r < hi; r++)
            if (b->round(x + (size_t)(r - lo) * ldx, ldx, 1, k, a, r, k0)) st_mark_nonfinite(e, r);
        return;
    }
    st_qact *q = &e->slots->q[slot];
    int planes = e->state->form[slot] & ST_FORM_LO ? 2 : 1;
    if (!e->k->quantize(x, ldx, hi - lo, k, planes, q, lo, k0)) return;
    for (uint32_t r = lo; r < hi; r++)
        if (e->k->quantize(x + (size_t)(r - lo) * ldx, ldx, 1, k, planes, q, r, k0)) st_mark_nonfinite(e, r);
}

void st_env_write_n(const st_env *e, st_slot slot, uint32_t r, const st_norm *norm, const float *x)
{
    uint32_t n = e->exec->plan->width[slot];
    float *y = e->slots->f[slot] + (size_t)r * e->slots->ld[slot];
    st_apply_norm(e->k, norm, x, n, y);
    if (e->state->form[slot] & ST_FORM_NARROW) st_env_quantize(e, slot, y, 0, r, r + 1, n, 0);
}

static const uint8_t *rows_table_row(st_mat m, uint32_t row)
{
    return m->data + (size_t)row * st_mat_row_bytes(m);
}

static void rows_add_row(const st_env *e, st_mat m, uint32_t row, uint32_t n, float *tmp, float *x)
{
    if (!m) return;
    st_quant_get(m->type)->dequant(rows_table_row(m, row), tmp, n);
    e->k->add_scaled(tmp, 1.0f, x, n);
}

void st_run_embed(const st_env *e, const st_op_embed *op)
{
    const st_batch *b = e->batch;
    uint32_t n = e->exec->plan->width[ST_SLOT_X], lo, hi, s = e->seq0;
    st_env_share(e, e->n_rows, 1, &lo, &hi);
    for (uint32_t r = lo; r < hi; r++) {
        uint32_t token = e->row0 + r;
        while (b->starts[s + 1] <= token) s++;
        float *x = e->slots->f[ST_SLOT_X] + (size_t)r * e->slots->ld[ST_SLOT_X];
        st_quant_get(op->tokens->type)->dequant(rows_table_row(op->tokens, (uint32_t)b->ids[token]), x, n);
        if (op->scale != 1.0f) e->k->scale(x, op->scale, x, n);
        rows_add_row(e, op->types, b->types ? (uint32_t)b->types[token] : 0, n, e->worker->row[0], x);
        rows_add_row(e, op->positions, st_env_position(e, s, token), n, e->worker->row[0], x);
        st_apply_norm(e->k, &op->norm, x, n, x);
        st_env_write_n(e, ST_SLOT_N, r, &op->next, x);
        if (op->has_next2) st_env_write_n(e, ST_SLOT_N2, r, &op->next2, x);
    }
}

/* In place on the first columns of a slot, as many as the norm has. */
void st_run_norm(const st_env *e, const st_op *op)
{
    uint32_t lo, hi;
    bool pooled = op->in == ST_SLOT_P || op->in == ST_SLOT_P2;
    st_env_share(e, pooled ? e->seq1 - e->seq0 : e->n_rows, 1, &lo, &hi);
    for (uint32_t r = lo; r < hi; r++) {
        float *x = e->slots->f[op->in] + (size_t)r * e->slots->ld[op->in];
        st_apply_norm(e->k, &op->norm, x, op->norm.w.n, x);
    }
}

/* The norm of head h, or of the row when h is its first head. */
static void rows_norm_head(const st_env *e, const st_op_qk *op, const st_norm *norm, uint32_t h, uint32_t n_head,
                           float *x)
{
    st_norm n = *norm;
    if (n.kind == ST_NORM_NONE) return;
    switch (op->span) {
    case ST_QK_NORM_HEAD: break;
    case ST_QK_NORM_OWN_HEAD:
        n.w.v += (size_t)h * op->d_head;
        if (n.b.v) n.b.v += (size_t)h * op->d_head;
        break;
    case ST_QK_NORM_ROW:
        if (h == 0) st_apply_norm(e->k, &n, x, n_head * op->d_head, x);
        return;
    }
    st_apply_norm(e->k, &n, x, op->d_head, x);
}

/* A row's queries and keys. */
static void rows_norm_heads(const st_env *e, const st_op_qk *op, float *x)
{
    for (uint32_t h = 0; h < op->n_head; h++, x += op->d_head) rows_norm_head(e, op, &op->q_norm, h, op->n_head, x);
    for (uint32_t h = 0; h < op->n_head_kv; h++, x += op->d_head)
        rows_norm_head(e, op, &op->k_norm, h, op->n_head_kv, x);
}

void st_run_qk(const st_env *e, const st_op_qk *op)
{
    const st_batch *b = e->batch;
    uint32_t lo, hi, s = e->seq0, half = op->n_rot / 2;
    st_env_share(e, e->n_rows, 1, &lo, &hi);
    for (uint32_t r = lo; r < hi; r++) {
        while (b->starts[s + 1] <= e->row0 + r) s++;
        uint32_t pos = st_env_position(e, s, e->row0 + r);
        uint32_t len = b->past ? b->whole[s] : b->starts[s + 1] - b->starts[s];
        float *x = e->slots->f[ST_SLOT_QKV] + (size_t)r * e->slots->ld[ST_SLOT_QKV];
        if (!op->norm_last) rows_norm_heads(e, op, x);
        if (op->rope != ST_ROPE_NONE) {
            const float *angles = st_state_angles(e->state, op->rope_class, len, pos);
            for (uint32_t h = 0; h < op->n_head + op->n_head_kv; h++)
                e->k->rope(x + (size_t)h * op->d_head, angles, angles + half, half, op->rope == ST_ROPE_NEOX);
        }
        if (op->norm_last) rows_norm_heads(e, op, x);
        if (op->temperature == 0 || pos < op->temperature_span) continue;
        const uint32_t spans = pos / op->temperature_span;
        float t = 1.0f + op->temperature * (float)st_ln(1.0 + (double)spans);
        e->k->scale(x, t, x, (size_t)op->n_head * op->d_head);
    }
}

void st_run_resid(const st_env *e, const st_op_resid *op)
{
    uint32_t n = e->exec->plan->width[ST_SLOT_X], lo, hi;
    st_env_share(e, e->n_rows, 1, &lo, &hi);
    for (uint32_t r = lo; r < hi; r++) {
        float *x = e->slots->f[ST_SLOT_X] + (size_t)r * e->slots->ld[ST_SLOT_X];
        float *y = e->slots->f[ST_SLOT_Y] + (size_t)r * e->slots->ld[ST_SLOT_Y];
        if (op->branch_of_sum) e->k->add_scaled(x, 1.0f, y, n);
        if (op->branch.kind != ST_NORM_NONE) st_apply_norm(e->k, &op->branch, y, n, y);
        e->k->add_scaled(y, op->scale, x, n);
        if (op->sum.kind != ST_NORM_NONE) st_apply_norm(e->k, &op->sum, x, n, x);
        st_env_write_n(e, ST_SLOT_N, r, &op->next, x);
        if (op->has_next2) st_env_write_n(e, ST_SLOT_N2, r, &op->next2, x);
    }
}
