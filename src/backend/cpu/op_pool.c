/* op_pool.c: what the rows of a text come to: POOL, and the last rows alone where only these are asked for. */
#include <string.h>

#include "backend/cpu/cpu.h"

void st_run_pool(const st_env *e, const st_op_pool *op)
{
    const st_batch *b = e->batch;
    int kind = op->kind != STRATA_POOLING_DEFAULT ? (int)op->kind : b->pooling;
    uint32_t n = e->exec->plan->width[ST_SLOT_N], lo, hi;
    size_t ld = e->slots->ld[ST_SLOT_N];
    st_env_share(e, e->seq1 - e->seq0, 1, &lo, &hi);
    for (uint32_t i = lo; i < hi; i++) {
        uint32_t first = b->starts[e->seq0 + i] - e->row0, end = b->starts[e->seq0 + i + 1] - e->row0;
        const float *x = e->slots->f[ST_SLOT_N];
        float *p = e->slots->f[ST_SLOT_P] + (size_t)i * e->slots->ld[ST_SLOT_P];
        uint32_t at = kind == STRATA_POOLING_LAST ? end - 1 : first;
        memcpy(p, x + (size_t)at * ld, n * sizeof *p);
        if (kind != STRATA_POOLING_MEAN) continue;
        for (uint32_t r = first + 1; r < end; r++) e->k->add_scaled(x + (size_t)r * ld, 1.0f, p, n);
        e->k->scale(p, 1.0f / (float)(end - first), p, n);
    }
}

/* Copies row `from` of N over row `to`, in every form. */
static void pool_move_row(const st_env *e, uint32_t to, uint32_t from)
{
    uint32_t n = e->exec->plan->width[ST_SLOT_N];
    size_t ld = e->slots->ld[ST_SLOT_N];
    memmove(e->slots->f[ST_SLOT_N] + to * ld, e->slots->f[ST_SLOT_N] + from * ld, n * sizeof(float));
    if (e->state->form[ST_SLOT_N] & ST_FORM_BF16)
        st_bact_copy(&e->slots->b[ST_SLOT_N], to, &e->slots->b[ST_SLOT_N], from);
    if (!(e->state->form[ST_SLOT_N] & ST_FORM_HI)) return;
    const st_qact *q = &e->slots->q[ST_SLOT_N];
    memmove(q->hi + to * q->ld, q->hi + from * q->ld, n);
    memmove(q->d + to * (q->ld / 32), q->d + from * (q->ld / 32), n / 32 * sizeof *q->d);
    memmove(q->sum_hi + to * (q->ld / 16), q->sum_hi + from * (q->ld / 16), n / 16 * sizeof *q->sum_hi);
    if (!q->lo) return;
    memmove(q->lo + to * q->ld, q->lo + from * q->ld, n);
    memmove(q->sum_lo + to * (q->ld / 16), q->sum_lo + from * (q->ld / 16), n / 16 * sizeof *q->sum_lo);
}

/* The last row of each sequence moves to the front of N: what follows works on those alone. Rows move towards the front
 * in ascending order, so none is overwritten before it has moved. */
void st_run_gather(st_env *e)
{
    const st_batch *b = e->batch;
    if (!b->last_only) return;
    for (uint32_t s = e->seq0; e->ith == 0 && s < e->seq1; s++)
        pool_move_row(e, s - e->seq0, b->starts[s + 1] - 1 - e->row0);
    e->n_rows = e->seq1 - e->seq0;
}
