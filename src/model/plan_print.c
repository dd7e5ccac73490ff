/* plan_print.c: a plan as text, one op a line. */
#include <stdarg.h>
#include <stdio.h>

#include "base/fp.h"
#include "model/plan.h"
#include "quant/quant.h"

typedef struct line {
    char text[512];
    size_t len;
} line;

static void print_put(line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void print_put(line *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(l->text + l->len, sizeof l->text - l->len, fmt, ap);
    va_end(ap);
    if (n > 0) l->len += (size_t)n;
    if (l->len >= sizeof l->text) l->len = sizeof l->text - 1;
}

const char *st_op_name(st_op_kind kind)
{
    static const char *const names[ST_OP_KIND_COUNT] = {"EMBED", "NORM",   "LINEAR", "QK",    "ATTN",  "RESID",
                                                        "MOE",   "GATHER", "POOL",   "HEADS", "LATENT"};
    return (unsigned)kind < ST_OP_KIND_COUNT ? names[kind] : "?";
}

const char *st_slot_name(st_slot slot)
{
    static const char *const names[ST_SLOT_COUNT] = {"X", "N", "N2", "QKV", "A",  "Y", "H",  "R",  "G",
                                                     "E", "L", "Q",  "C",   "KV", "P", "P2", "OUT"};
    return (unsigned)slot < ST_SLOT_COUNT ? names[slot] : "?";
}

static const char *print_norm_name(const st_norm *n)
{
    return n->kind == ST_NORM_RMS ? "rms_norm" : n->kind == ST_NORM_LAYER ? "layer_norm" : "none";
}

static void print_put_mat(line *l, const char *what, st_mat m)
{
    if (m) print_put(l, " %s%.*s %s", what, ST_STR(m->name), st_quant_get(m->type)->name);
}

static void print_put_linear(line *l, const st_op_linear *op)
{
    print_put(l, " [%u -> %u]", op->k, op->n);
    for (uint32_t i = 0; i < op->n_parts; i++) {
        const st_part *p = &op->parts[i];
        print_put(l, "%s %.*s", i ? " |" : "", ST_STR(p->m->name));
        if (p->n != p->m->dims[1]) print_put(l, "[%u..%u]", p->row, p->row + p->n);
        print_put(l, " %s%s%s", st_quant_get(p->m->type)->name, p->bias ? " +bias" : "", p->planes == 2 ? " x2" : "");
    }
    if (op->act != ST_ACT_NONE) print_put(l, " %s%s", st_act_name(op->act), op->glu ? "_glu" : "");
    if (op->exact) print_put(l, " float");
    if (op->accumulate) print_put(l, " accumulate");
    if (op->scale != 1.0f) print_put(l, " x%g", (double)op->scale);
    if (op->softcap > 0) print_put(l, " softcap %g", (double)op->softcap);
}

static void print_put_router(line *l, const st_op_moe *op)
{
    print_put(l, ", %s%s%s", op->sigmoid ? "sigmoid" : "softmax", op->choice_bias ? " +bias" : "",
              op->normalize ? " normalized" : "");
    if (op->n_group > 1) print_put(l, ", %u of %u groups", op->n_group_used, op->n_group);
    if (op->scale != 1.0f) print_put(l, " x%g", (double)op->scale);
}

static void print_put_op(line *l, const st_op *op, const st_config *c)
{
    switch (op->kind) {
    case ST_OP_EMBED:
        print_put_mat(l, "", op->embed.tokens);
        if (op->embed.scale != 1.0f) print_put(l, " x%g", (double)op->embed.scale);
        print_put_mat(l, "+ ", op->embed.types);
        print_put_mat(l, "+ ", op->embed.positions);
        print_put(l, ", norm %s, next %s", print_norm_name(&op->embed.norm), print_norm_name(&op->embed.next));
        break;
    case ST_OP_NORM: print_put(l, " %s", print_norm_name(&op->norm)); break;
    case ST_OP_LINEAR: print_put_linear(l, &op->linear); break;
    case ST_OP_QK:
        print_put(l, " heads %u/%u of %u, norm %s%s", op->qk.n_head, op->qk.n_head_kv, op->qk.d_head,
                  print_norm_name(&op->qk.q_norm), op->qk.norm_last ? " last" : "");
        if (op->qk.rope != ST_ROPE_NONE)
            print_put(l, ", rope %s %u base %g", op->qk.rope == ST_ROPE_NEOX ? "neox" : "norm", op->qk.n_rot,
                      (double)c->rope[op->qk.rope_class].base);
        if (op->qk.temperature != 0)
            print_put(l, ", temperature %g by %u", (double)op->qk.temperature, op->qk.temperature_span);
        break;
    case ST_OP_ATTN:
        print_put(l, " heads %u/%u of %u, scale %g, %s", op->attn.n_head, op->attn.n_head_kv, op->attn.d_head_k,
                  (double)op->attn.scale, op->attn.causal ? "causal" : "bidirectional");
        if (op->attn.window)
            print_put(l, ", window %u %s", op->attn.window,
                      op->attn.window_kind == ST_WINDOW_SYMMETRIC ? "symmetric" : "causal");
        if (op->attn.softcap > 0) print_put(l, ", softcap %g", (double)op->attn.softcap);
        if (op->attn.alibi_max > 0) print_put(l, ", alibi %g", (double)op->attn.alibi_max);
        if (op->attn.sinks) print_put(l, ", sinks");
        if (op->attn.rel_bias)
            print_put(l, ", relative bias of %llu buckets", (unsigned long long)op->attn.rel_bias->dims[1]);
        break;
    case ST_OP_RESID:
        print_put(l, " branch %s%s, sum %s, next %s%s", print_norm_name(&op->resid.branch),
                  op->resid.branch_of_sum ? " of sum" : "", print_norm_name(&op->resid.sum),
                  print_norm_name(&op->resid.next), op->resid.has_next2 ? " twice" : "");
        if (op->resid.scale != 1.0f) print_put(l, ", x%g", (double)op->resid.scale);
        break;
    case ST_OP_MOE:
        print_put(l, " %u of %u experts [%u -> %u]", op->moe.n_used, op->moe.n_expert, op->moe.k, op->moe.n_ff);
        for (int i = 0; i < 3; i++)
            if (op->moe.parts[i].m) {
                print_put_mat(l, i ? "| " : "", op->moe.parts[i].m);
                if (op->moe.parts[i].bias) print_put(l, " +bias");
            }
        if (op->moe.n_ff_shared) print_put(l, ", shared %u", op->moe.n_ff_shared);
        print_put_router(l, &op->moe);
        break;
    case ST_OP_POOL: print_put(l, " %s", strata_pooling_name((int)(op->pool.kind ? op->pool.kind : c->pooling))); break;
    case ST_OP_HEADS:
        print_put(l, " %u of [%u -> %u]", op->heads.n_head, op->heads.k, op->heads.n);
        print_put_mat(l, "", op->heads.part.m);
        print_put(l, "%s%s", op->heads.part.planes == 2 ? " x2" : "", op->heads.exact ? " float" : "");
        break;
    case ST_OP_LATENT:
        print_put(l, " latent %u, heads %u of %u + %u, values %u, rope %s base %g%s", op->latent.d_latent,
                  op->latent.n_head, op->latent.d_nope, op->latent.n_rot, op->latent.d_value,
                  op->latent.rope == ST_ROPE_NEOX ? "neox" : "norm", (double)c->rope[op->latent.rope_class].base,
                  op->latent.absorbed ? ", absorbed" : "");
        break;
    case ST_OP_GATHER:
    case ST_OP_KIND_COUNT: break;
    }
}

void st_plan_print(const st_plan *p, strata_write_fn write, void *user)
{
    for (uint32_t i = 0; i < p->n_ops; i++) {
        const st_op *op = &p->ops[i];
        line l = {.len = 0};
        if (i == p->pool) print_put(&l, "pooled:\n");
        if (i == p->rank && p->rank < p->logits) print_put(&l, "ranked:\n");
        if (i == p->logits) print_put(&l, "logits:\n");
        print_put(&l, "%3u ", i);
        if (op->layer >= 0)
            print_put(&l, "L%-3d", op->layer);
        else
            print_put(&l, "%-4s", "");
        print_put(&l, " %-6s %3s -> %-3s", st_op_name(op->kind), st_slot_name(op->in), st_slot_name(op->out));
        print_put_op(&l, op, p->config);
        print_put(&l, "\n");
        bool inside = st_fp_out();
        write(user, l.text, l.len);
        st_fp_back(inside);
    }
}
