/* diff.c: two kernel levels in step over one plan; the first op whose slot differs in a bit. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/os/thread.h"
#include "engine/engine.h"

/* What the reference left after each op, and the verdict. */
typedef struct record {
    float *f; /* [rows, cols], or NULL where the op leaves only int8 */
    int8_t *hi;
    uint32_t rows, cols;
} record;

typedef struct diff {
    const strata_model *m;
    record *records; /* [n_ops] */
    bool compare;    /* second pass */
    bool no_memory;
    strata_write_fn write;
    void *user;
    int first;
} diff;

static void diff_print(const diff *d, uint32_t i, const char *verdict, double worst, size_t n_bad, size_t n)
{
    const st_op *op = &d->m->plan.ops[i];
    char line[256];
    int len = n_bad
                  ? snprintf(line, sizeof line, "%3u L%-3d %-6s -> %-3s %s: %zu of %zu values differ, by %g at most\n",
                             i, op->layer, st_op_name(op->kind), st_slot_name(op->out), verdict, n_bad, n, worst)
                  : snprintf(line, sizeof line, "%3u L%-3d %-6s -> %-3s %s\n", i, op->layer, st_op_name(op->kind),
                             st_slot_name(op->out), verdict);
    bool inside = st_fp_out();
    d->write(d->user, line, (size_t)len);
    st_fp_back(inside);
}

static void diff_store(diff *d, record *r, const st_peek *p)
{
    st_mem *mem = d->m->mem;
    r->rows = p->rows;
    r->cols = p->cols;
    if (p->f) r->f = st_alloc(mem, (size_t)p->rows * p->cols, sizeof *r->f);
    if (p->hi) r->hi = st_alloc(mem, p->rows, p->cols);
    d->no_memory |= (p->f && !r->f) || (p->hi && !r->hi);
    for (uint32_t i = 0; i < p->rows; i++) {
        if (r->f) memcpy(r->f + (size_t)i * p->cols, p->f + i * p->ld, p->cols * sizeof *r->f);
        if (r->hi) memcpy(r->hi + (size_t)i * p->cols, p->hi + i * p->ld_q, p->cols);
    }
}

static void diff_check(diff *d, uint32_t op, const record *r, const st_peek *p)
{
    size_t bad = 0, n = (size_t)r->rows * r->cols;
    double worst = 0;
    for (uint32_t i = 0; i < r->rows; i++) {
        for (uint32_t j = 0; j < r->cols; j++) {
            size_t at = (size_t)i * r->cols + j;
            if (r->f && memcmp(r->f + at, p->f + i * p->ld + j, sizeof *r->f) != 0) {
                double e = fabs((double)r->f[at] - (double)p->f[i * p->ld + j]);
                bad++;
                if (e > worst) worst = e;
            } else if (r->hi && r->hi[at] != p->hi[i * p->ld_q + j]) {
                bad++;
            }
        }
    }
    diff_print(d, op, bad ? "DIFFERS" : "same bits", worst, bad, n);
    if (bad && d->first < 0) d->first = (int)op;
}

static void diff_on_op(void *user, uint32_t op, const st_peek *peek, double micros)
{
    (void)micros;
    diff *d = user;
    if (d->no_memory) return;
    if (d->compare)
        diff_check(d, op, &d->records[op], peek);
    else
        diff_store(d, &d->records[op], peek);
}

static int diff_run_level(diff *d, const char *level, const int32_t *ids, size_t n, int precision, strata_error *err)
{
    const strata_model *m = d->m;
    st_exec *exec = NULL;
    st_state *state = NULL;
    st_load_opts load = {.n_threads = 1, .level = level, .log = &m->log, .mem = m->mem};
    st_state_opts opts = {.n_threads = 1, .precision = precision, .watch = diff_on_op, .watch_user = d};
    float *out = st_alloc(m->mem, n, m->config.n_embd * sizeof *out);
    uint32_t starts[2] = {0, (uint32_t)n};
    int status = STRATA_OK;
    st_batch b = {.n_seqs = 1,
                  .n_tokens = (uint32_t)n,
                  .ids = ids,
                  .starts = starts,
                  .what = STRATA_EVAL_HIDDEN,
                  .out = &out,
                  .status = &status};
    int rc = out ? STRATA_OK : st_error_set(err, STRATA_NO_MEMORY, "no memory for %zu rows", n);
    if (!rc) rc = m->backend->load(&m->plan, m->parts.files, &load, &exec, err);
    if (!rc) rc = m->backend->open(exec, &opts, &state, err);
    if (!rc) rc = m->backend->run(state, &b, err);
    if (!rc && d->no_memory) rc = st_error_set(err, STRATA_NO_MEMORY, "no memory for the reference's slots");
    m->backend->close(state);
    m->backend->unload(exec);
    st_free(m->mem, out);
    return rc;
}

int st_diff(const strata_model *m, const char *against, const int32_t *ids, size_t n, int precision,
            strata_write_fn write, void *user, int *first, strata_error *err)
{
    diff d = {.m = m, .write = write, .user = user, .first = -1};
    ST_FAIL_IF(n == 0, err, STRATA_EMPTY_PROMPT, "no ids to run");
    ST_FAIL_IF(n > m->config.n_ctx, err, STRATA_TOO_LONG, "%zu ids, the model's context has %u", n, m->config.n_ctx);
    for (size_t i = 0; i < n; i++)
        ST_FAIL_IF(ids[i] < 0 || (uint32_t)ids[i] >= m->weights.n_vocab, err, STRATA_INVALID_ARG,
                   "id %d at %zu: the vocabulary has 0..%u", ids[i], i, m->weights.n_vocab - 1);
    d.records = st_calloc(m->mem, m->plan.n_ops, sizeof *d.records);
    ST_FAIL_IF(!d.records, err, STRATA_NO_MEMORY, "no memory for %u ops", m->plan.n_ops);
    int rc = diff_run_level(&d, "generic", ids, n, precision, err);
    d.compare = true;
    if (!rc) rc = diff_run_level(&d, against ? against : m->backend->level(m->exec), ids, n, precision, err);
    if (!rc) *first = d.first;
    for (uint32_t i = 0; i < m->plan.n_ops; i++) {
        st_free(m->mem, d.records[i].f);
        st_free(m->mem, d.records[i].hi);
    }
    st_free(m->mem, d.records);
    return rc;
}
