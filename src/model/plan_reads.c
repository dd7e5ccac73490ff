/* plan_reads.c: what a plan reads of the weights. A tensor that was found under a known name and that no op reads would
 * be dropped without a word: a bias without its matrix, a norm that a parallel residual has no place for, a second set
 * of keys and values. */
#include <string.h>

#include "model/plan.h"

static bool norm_reads(const st_norm *n, const void *data)
{
    return n->w.v == data || n->b.v == data;
}

/* A part of a fused matrix begins at a later row of it, but one of them at the first. */
static bool reads_parts_read(const st_op *op, const void *data)
{
    const st_part *part;
    uint32_t k;
    for (uint32_t i = 0; (part = st_op_part(op, i, &k)); i++)
        if (part->m == data || part->bias == data) return true;
    return false;
}

static bool op_reads(const st_op *op, const void *data)
{
    switch (op->kind) {
    case ST_OP_EMBED:
        return op->embed.tokens == data || op->embed.types == data || op->embed.positions == data ||
               norm_reads(&op->embed.norm, data) || norm_reads(&op->embed.next, data) ||
               norm_reads(&op->embed.next2, data);
    case ST_OP_NORM: return norm_reads(&op->norm, data);
    case ST_OP_QK: return norm_reads(&op->qk.q_norm, data) || norm_reads(&op->qk.k_norm, data);
    case ST_OP_ATTN: return op->attn.rel_bias == data || op->attn.sinks == data;
    case ST_OP_RESID:
        return norm_reads(&op->resid.branch, data) || norm_reads(&op->resid.sum, data) ||
               norm_reads(&op->resid.next, data) || norm_reads(&op->resid.next2, data);
    case ST_OP_MOE: return op->moe.choice_bias == data || reads_parts_read(op, data);
    default: return reads_parts_read(op, data);
    }
}

static bool plan_reads(const st_plan *p, int layer, const void *data)
{
    for (uint32_t i = 0; i < p->n_ops; i++) {
        const st_op *op = &p->ops[i];
        /* A layer's first norms are read where the layer before it ends. */
        bool near = layer < 0 || op->layer < 0 || op->layer == layer || op->layer == layer - 1;
        if (near && op_reads(op, data)) return true;
    }
    return false;
}

/* What backends read of the weights themselves. */
static bool rope_reads(const st_plan *p, const void *data)
{
    const st_weights *w = p->weights;
    if (p->config->arch->rope == ST_ROPE_NONE) return false;
    if (w->rope_factors_short.v) return w->rope_factors_short.v == data || w->rope_factors_long.v == data;
    return w->rope_freqs.v == data;
}

/* Without outputs, or with a head that is not whole, nothing of the head is read: the model embeds as if it had none,
 * and head_lacks of the plan says why it does not rank. */
static bool reads_is_idle_head(const st_plan *p, const char *name)
{
    return p->n_labels == 0 && strncmp(name, "cls", 3) == 0;
}

typedef struct reads_check {
    const st_plan *p;
    const char *file;
    strata_error *err;
} reads_check;

static int reads_check_one(void *user, const char *name, int layer, const void *data)
{
    const reads_check *c = user;
    if (reads_is_idle_head(c->p, name) || plan_reads(c->p, layer, data) || rope_reads(c->p, data)) return STRATA_OK;
    ST_FAIL(c->err, STRATA_UNSUPPORTED_OP, "%s: tensor '%s' has no place in the model beside its other tensors",
            c->file, name);
}

int st_plan_check_reads(const st_plan *p, const char *file, strata_error *err)
{
    reads_check c = {.p = p, .file = file, .err = err};
    return st_weights_each(p->weights, p->config, reads_check_one, &c);
}
