/* op_latent.c: the ops of latent attention besides products and ATTN: HEADS and LATENT (model/plan.h). */
#include <string.h>

#include "backend/cpu/cpu.h"

/* Heads are shared by the threads, whole: their matrices are small. */
void st_run_heads(const st_env *e, uint32_t index)
{
    const st_op *op = &e->exec->plan->ops[index];
    const st_op_heads *src = &op->heads;
    if (!src->exact) st_linear_prepare(e, op->in, e->n_rows, (src->n_head - 1) * src->in_stride + src->k);
    st_env alone = *e;
    alone.ith = 0;
    alone.nth = 1;
    st_linear l = {.in = op->in, .out = op->out, .ready = true, .n_parts = 1, .exact = src->exact, .scale = 1.0f};
    uint32_t lo, hi;
    st_env_share(e, src->n_head, 1, &lo, &hi);
    for (uint32_t h = lo; h < hi; h++) {
        l.in_col = h * src->in_stride;
        l.parts[0] = (st_linear_part){.packed = &e->exec->packed[index][0],
                                      .panel0 = h * src->n / 16,
                                      .n = src->n,
                                      .col = h * src->out_stride,
                                      .planes = (int)src->part.planes};
        st_linear_run(&alone, &l, e->n_rows);
        if (st_packed_bad(l.parts[0].packed, l.parts[0].panel0, src->n)) st_mark_all_nonfinite(e);
    }
}

static void latent_copy(float *to, const float *from, uint32_t n)
{
    memcpy(to, from, n * sizeof *to);
}

/* One row: QKV of all heads. */
static void latent_complete(const st_env *e, const st_op_latent *op, uint32_t r, const float *angles)
{
    const st_slots *s = e->slots;
    const uint32_t half = op->n_rot / 2, d_q = op->d_nope + op->n_rot,
                   d_k = op->absorbed ? op->d_latent + op->n_rot : d_q;
    const bool neox = op->rope == ST_ROPE_NEOX;
    float *c = s->f[ST_SLOT_C] + (size_t)r * s->ld[ST_SLOT_C],
          *out = s->f[ST_SLOT_QKV] + (size_t)r * s->ld[ST_SLOT_QKV], *key = out + (size_t)op->n_head * d_k,
          *rotated = c + op->d_latent;
    e->k->rope(rotated, angles, angles + half, half, neox);
    if (op->absorbed) {
        float *q = s->f[ST_SLOT_Q] + (size_t)r * s->ld[ST_SLOT_Q] + op->d_nope;
        for (uint32_t h = 0; h < op->n_head; h++, q += d_q, out += d_k) {
            e->k->rope(q, angles, angles + half, half, neox);
            latent_copy(out + op->d_latent, q, op->n_rot);
        }
        latent_copy(key, c, d_k);
        latent_copy(key + d_k, c, op->d_latent);
        return;
    }
    const float *kv = s->f[ST_SLOT_KV] + (size_t)r * s->ld[ST_SLOT_KV];
    float *value = key + (size_t)op->n_head * d_k;
    for (uint32_t h = 0; h < op->n_head; h++, kv += op->d_nope + op->d_value) {
        e->k->rope(out + (size_t)h * d_q + op->d_nope, angles, angles + half, half, neox);
        latent_copy(key + (size_t)h * d_k, kv, op->d_nope);
        latent_copy(key + (size_t)h * d_k + op->d_nope, rotated, op->n_rot);
        latent_copy(value + (size_t)h * op->d_value, kv + op->d_nope, op->d_value);
    }
}

void st_run_latent(const st_env *e, const st_op_latent *op)
{
    const st_batch *b = e->batch;
    uint32_t lo, hi, s = e->seq0;
    st_env_share(e, e->n_rows, 1, &lo, &hi);
    for (uint32_t r = lo; r < hi; r++) {
        while (b->starts[s + 1] <= e->row0 + r) s++;
        uint32_t len = b->past ? b->whole[s] : b->starts[s + 1] - b->starts[s];
        latent_complete(e, op, r, st_state_angles(e->state, op->rope_class, len, st_env_position(e, s, e->row0 + r)));
    }
}
