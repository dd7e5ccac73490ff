/* bench_ops.c: what each op of the plan costs, and how long it takes.
 *
 * The costs come from the printed plan, the only form in which the interface shows it:
 *   "  7 L0   LINEAR   H -> Y   [1152 -> 768] blk.0.ffn_down.weight Q8_0" */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_parts.h"

typedef struct op {
    char kind[12], group[80];
    double weights; /* multiplied with each row */
    bool once;      /* one row a text, not a token: after pooling */
    double pairs;   /* of attention: query-key pairs of the run, times width of q and v */
} op;

typedef struct plan {
    buf text;
    op *ops;
    size_t n, cap;
    double weights;     /* of all ops */
    bench_times *times; /* [n] */
} plan;

static void ops_add_text(void *user, const char *text, size_t len)
{
    buf_add(user, text, len);
}

/* Keys that each of n queries sees, summed. */
static double ops_visible(uint32_t n, uint32_t window, bool causal)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t half = window ? (causal ? (int64_t)window - 1 : (int64_t)window / 2) : (int64_t)n;
        int64_t lo = i - half, hi = causal ? i : i + half;
        sum += (double)((hi < n ? hi : (int64_t)n - 1) - (lo > 0 ? lo : 0) + 1);
    }
    return sum;
}

static void ops_read_cost(op *o, const char *line, uint32_t n)
{
    unsigned a = 0, b = 0, c = 0;
    const char *at;
    if (strcmp(o->kind, "LINEAR") == 0 && (at = strchr(line, '[')) && sscanf(at, "[%9u -> %9u]", &a, &b) == 2)
        o->weights = (double)a * b * (strstr(at, "_glu") ? 2 : 1);
    if (strcmp(o->kind, "MOE") == 0) {
        const char *used = strstr(line, " of ");
        while (used && used > line && used[-1] >= '0' && used[-1] <= '9') used--;
        at = strchr(line, '[');
        if (used && at && sscanf(used, "%9u", &c) == 1 && sscanf(at, "[%9u -> %9u]", &a, &b) == 2)
            o->weights = 3.0 * a * b * c;
    }
    if (strcmp(o->kind, "ATTN") == 0 && (at = strstr(line, "heads ")) &&
        sscanf(at, "heads %9u/%9u of %9u", &a, &b, &c) == 3) {
        unsigned window = 0;
        const char *w = strstr(at, "window ");
        if (w && sscanf(w, "window %9u", &window) != 1) return;
        bool causal = strstr(at, ", causal") != NULL;
        o->pairs = ops_visible(n, window, causal) * a * c * 2;
    }
}

/* Kind, slots and shape, without what differs from layer to layer. */
static void ops_read_line(plan *p, const char *line, uint32_t n, bool once)
{
    p->ops = must_grow(p->ops, &p->cap, p->n + 1, sizeof *p->ops);
    op *o = &p->ops[p->n++];
    *o = (op){.once = once};
    char layer[8], from[8], to[8];
    const char *at = line + strspn(line, " 0123456789");
    if (*at == 'L' && at[1] >= '0' && at[1] <= '9') sscanf(at, "%7s", layer), at += strlen(layer);
    int used = 0;
    if (sscanf(at, " %11s %7s -> %7s%n", o->kind, from, to, &used) != 3) return;
    at += used;
    const char *shape = strchr(at, '['), *window = strstr(at, "window ");
    int len = snprintf(o->group, sizeof o->group, "%-6s %3s -> %-3s", o->kind, from, to);
    if (strcmp(o->kind, "LINEAR") == 0 && shape) {
        const char *end = strchr(shape, ']');
        snprintf(o->group + len, sizeof o->group - (size_t)len, " %.*s%s", (int)(end ? end - shape + 1 : 0), shape,
                 strstr(at, "_glu") ? " x2" : "");
    } else if (strcmp(o->kind, "ATTN") == 0) {
        snprintf(o->group + len, sizeof o->group - (size_t)len, " %.*s", window ? (int)strcspn(window, ",") : 4,
                 window ? window : "full");
    }
    ops_read_cost(o, line, n);
    p->weights += o->weights;
}

static int ops_read_plan(const session *s, uint32_t n, plan *p)
{
    strata_error e = {0};
    int rc = strata_model_print_plan(s->model, ops_add_text, &p->text, &e);
    if (rc) return cli_fail_by(rc, &e);
    buf_add(&p->text, "", 1);
    bool once = false;
    for (char *line = p->text.p, *end; *line; line = end + 1) {
        end = line + strcspn(line, "\n");
        if (!*end) break;
        *end = 0;
        if (line[0] >= 'a' && line[0] <= 'z')
            once = strcmp(line, "logits:") != 0;
        else
            ops_read_line(p, line, n, once);
    }
    p->times = must_calloc(p->n + 1, sizeof *p->times);
    return CLI_OK;
}

static void ops_trace(void *user, uint32_t i, const char *kind, int layer, double micros)
{
    (void)kind, (void)layer;
    plan *p = user;
    if (i < p->n) bench_time(&p->times[i], micros * 1e-6);
}

/* Adds op i to the row of its name, a new one for a new name. */
static void ops_sum_up(bench_rows *rows, size_t first, const char *what, const char *name, const bench_row *of)
{
    size_t i = first;
    while (i < rows->n && (strcmp(rows->p[i].what, what) != 0 || strcmp(rows->p[i].name, name) != 0)) i++;
    bench_row *r = i < rows->n ? &rows->p[i] : bench_add(rows, what);
    if (i == rows->n - 1 && !r->name[0]) snprintf(r->name, sizeof r->name, "%s", name);
    r->tokens = of->tokens;
    r->texts++;
    r->best += of->best, r->median += of->median;
    r->macs += of->macs, r->bytes += of->bytes;
}

static int ops_by_time(const void *a, const void *b)
{
    const bench_row *x = a, *y = b;
    return (x->best < y->best) - (x->best > y->best);
}

static void ops_collect(const session *s, plan *p, uint32_t n, bench_rows *rows)
{
    const double weight_bytes = p->weights > 0 ? (double)s->info.packed_bytes / p->weights : 0;
    bench_rows ops = {0};
    size_t first = rows->n;
    for (size_t i = 0; i < p->n; i++) {
        op *o = &p->ops[i];
        if (!p->times[i].n) continue;
        bench_row *r = bench_add(&ops, "op");
        snprintf(r->name, sizeof r->name, "%zu %s", i, o->group);
        bench_times_take(&p->times[i], &r->best, &r->median);
        r->tokens = n;
        r->texts = 1;
        r->macs = o->weights * (o->once ? 1 : n) + o->pairs;
        r->bytes = o->weights * weight_bytes;
        ops_sum_up(rows, first, "kind", o->kind, r);
    }
    qsort(rows->p + first, rows->n - first, sizeof *rows->p, ops_by_time);
    size_t second = rows->n, k = 0;
    for (size_t i = 0; i < p->n && k < ops.n; i++) {
        char at[24];
        snprintf(at, sizeof at, "%zu ", i);
        if (strncmp(ops.p[k].name, at, strlen(at)) == 0)
            ops_sum_up(rows, second, "group", p->ops[i].group, &ops.p[k++]);
    }
    qsort(rows->p + second, rows->n - second, sizeof *rows->p, ops_by_time);
    for (size_t i = 0; i < ops.n; i++) {
        bench_row *r = bench_add(rows, "op");
        *r = ops.p[i];
    }
    free(ops.p);
}

int bench_ops(const session *s, uint32_t n, uint32_t runs, bench_rows *rows)
{
    plan p = {0};
    ints ids = {0};
    strata_error e = {0};
    strata_ctx *c = NULL;
    uint32_t len = bench_ids(s->model, n, &ids);
    int rc = len ? ops_read_plan(s, len, &p) : CLI_FAILED;
    bool pooled = !s->info.causal && s->info.pooling != STRATA_POOLING_RANK;
    int what = pooled ? STRATA_EVAL_POOLED : STRATA_EVAL_HIDDEN;
    size_t rows_out, cols_out,
        cap = (size_t)len * (s->info.n_embd > s->info.n_embd_out ? s->info.n_embd : s->info.n_embd_out);
    float *out = must_calloc(cap + 1, sizeof *out);
    if (!rc) {
        strata_ctx_opts o = {.n_threads = 1, .precision = s->precision, .trace = ops_trace, .trace_user = &p};
        int got = strata_ctx_open(s->model, &o, &c, &e);
        /* The first run grows the scratch and touches the weights. */
        for (uint32_t i = 0; !got && i <= runs && !cli_cancel; i++) {
            for (size_t j = 0; i == 1 && j < p.n; j++) p.times[j].n = 0;
            got =
                strata_eval(c, ids.p, NULL, ids.n, what, s->info.pooling ? STRATA_POOLING_DEFAULT : STRATA_POOLING_MEAN,
                            out, cap, &rows_out, &cols_out, &e);
        }
        if (got) rc = cli_fail_by(got, &e);
    }
    if (!rc) ops_collect(s, &p, len, rows);
    strata_ctx_close(c);
    for (size_t i = 0; p.times && i < p.n; i++) free(p.times[i].p);
    free(p.times), free(p.ops), free(out);
    buf_free(&p.text);
    ints_free(&ids);
    return rc;
}
