/* pack.c: weights of the file -> panels of 16 columns, once, in parallel.
 *
 * The blob of all panels is cut into units of 2 MiB, a huge page each. A thread takes a unit at a time, so each page is
 * cleared by the system when its one writer begins with it and is still in that core's cache while it is filled; two
 * threads in one page would clear it twice. The pages of the file that a unit was made of are let go of behind it: in
 * steps of 2 MiB, since giving pages back interrupts the other cores (panel by panel, as this was done at first, that
 * took most of the time). */
#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "quant/quant.h"

#define UNIT ((size_t)2 << 20)

typedef struct job {
    st_packed *dst;
    const st_part *part;
    size_t at;       /* in the blob */
    size_t apart_at; /* of what the form keeps apart, 0: nothing */
} job;

typedef struct packer {
    const st_exec *exec;
    const st_file *file;
    const st_load_opts *opts;
    job *jobs; /* by ascending place */
    uint32_t n_jobs;
    uint32_t n_units;
    _Atomic uint32_t next;
} packer;

#define SHAPE(group, min) \
    ((group) == 16 ? ((min) ? ST_SHAPE_16_MIN : ST_SHAPE_16) : (min) ? ST_SHAPE_32_MIN : ST_SHAPE_32)

/* How each type is kept: floats in panels of their own, quantised types in their own bits where there is a width for
 * them. */
static const struct {
    st_pack_kind kind;
    st_panel_form form;
} kept[ST_TYPE_COUNT] = {
#define ST_QUANT_FLOAT(id, type, NAME, ...) [id] = {.kind = ST_PACK_##NAME},
#define ST_QUANT_BLOCKS(id, type, NAME, block, bytes, group, min, scale_at, bits, offset, tail, ...) \
    [id] = {ST_PACK_I8, {SHAPE(group, min), ST_WIDTH_##bits, offset, ST_TAILS_##tail}},
#include "quant/types.def"
};

st_panel_form st_pack_form(uint32_t type)
{
    return kept[type].form;
}

/* The output head of a decoder is read whole for each token, unless the sampler wants only the largest logits: then its
 * upper bits tell which those can be (op_select.c). Only where products of few rows have kernels of their own. */
static st_panel_form pack_form_of(const st_exec *e, const st_op *op, uint32_t type)
{
    if (op->out == ST_SLOT_OUT && type == ST_Q8_0 && e->kern.gemv_rows)
        return (st_panel_form){.shape = ST_SHAPE_32, .width = ST_WIDTH_5_3, .zero = 128, .tails = ST_TAILS_F16};
    return st_pack_form(type);
}

static size_t pack_panel_bytes(const st_packed *p)
{
    if (p->kind == ST_PACK_I8) return (size_t)p->k / 32 * st_form_block_bytes(&p->form);
    return (size_t)p->k * 16 * (p->kind == ST_PACK_F32 ? 4 : 2);
}

/* The pages of n rows of a part, from row r. Neighbours on the same pages are read again from the file. */
static void pack_release_rows(const packer *p, const st_part *part, uint32_t r, uint32_t n)
{
    size_t row = st_mat_row_bytes(part->m);
    if (r + n > part->n) n = part->n - r;
    st_file_release(p->file, part->m->data + (size_t)(part->row + r) * row, (size_t)n * row);
}

static void pack_raise_to(_Atomic uint32_t *most, uint32_t x)
{
    uint32_t have = atomic_load(most);
    while (have < x && !atomic_compare_exchange_weak(most, &have, x)) continue;
}

static void pack_note_bad(st_packed *p, uint32_t panel)
{
    pack_raise_to(&p->bad_end, panel + 1);
    pack_raise_to(&p->bad_below, p->n_panels - panel);
}

/* A bias that is not finite is as bad as a weight. */
static void pack_check_bias(st_packed *p, const st_part *part)
{
    for (uint32_t i = 0; part->bias && i < part->n; i++)
        if (!isfinite(part->bias[i])) pack_note_bad(p, i / 16);
}

/* Panels of a job that begin in [from, from + UNIT). */
static void pack_some(const packer *p, const job *j, size_t from)
{
    size_t bytes = j->dst->panel_bytes, skip = from > j->at ? from - j->at : 0, end = from + UNIT - j->at;
    uint32_t first = (uint32_t)((skip + bytes - 1) / bytes), last = j->dst->n_panels;
    if ((end + bytes - 1) / bytes < last) last = (uint32_t)((end + bytes - 1) / bytes);
    if (first >= last) return;
    for (uint32_t i = first; i < last; i++) {
        if (!st_pack_panel(&p->exec->kern, j->dst, j->part, i)) pack_note_bad(j->dst, i);
    }
    pack_release_rows(p, j->part, first * 16, (last - first) * 16);
}

static void pack_work(void *arg, uint32_t ith, uint32_t nth)
{
    (void)nth;
    packer *p = arg;
    if (ith == 0 && p->opts->other_work) p->opts->other_work(p->opts->other_user);
    uint32_t unit;
    while ((unit = atomic_fetch_add(&p->next, 1)) < p->n_units) {
        size_t from = unit * UNIT;
        uint32_t lo = 0, hi = p->n_jobs; /* the last job that begins at or before the unit */
        while (hi - lo > 1) {
            uint32_t mid = lo + (hi - lo) / 2;
            if (p->jobs[mid].at <= from)
                lo = mid;
            else
                hi = mid;
        }
        for (; lo < p->n_jobs && p->jobs[lo].at < from + UNIT; lo++) pack_some(p, &p->jobs[lo], from);
    }
}

/* Room for n times `bytes` from *at on. */
static int pack_place(size_t *at, size_t bytes, size_t n, size_t *start, strata_error *err)
{
    size_t end;
    ST_FAIL_IF(!st_mul(bytes, n, &end) || !st_add(*at, end, &end) || end > SIZE_MAX - UNIT, err, STRATA_NO_MEMORY,
               "the packed weights are larger than the address space");
    *start = *at;
    *at = st_round_up(end, 64);
    return STRATA_OK;
}

static int pack_collect(packer *p, st_exec *e, strata_error *err)
{
    size_t at = 0;
    for (uint32_t i = 0; i < e->plan->n_ops; i++) {
        const st_part *part;
        uint32_t k;
        for (uint32_t j = 0; (part = st_op_part(&e->plan->ops[i], j, &k)); j++) {
            if (!part->m) continue;
            st_packed *d = &e->packed[i][j];
            d->kind = kept[part->m->type].kind;
            if (d->kind == ST_PACK_I8) d->form = pack_form_of(e, &e->plan->ops[i], part->m->type);
            d->k = k;
            d->n_panels = (part->n + 15) / 16;
            d->panel_bytes = pack_panel_bytes(d);
            pack_check_bias(d, part);
            job *new = &p->jobs[p->n_jobs++];
            *new = (job){.dst = d, .part = part};
            ST_TRY(pack_place(&at, d->panel_bytes, d->n_panels, &new->at, err));
            size_t apart = d->kind == ST_PACK_I8 ? st_form_apart(&d->form, k / 32) : 0;
            if (apart) ST_TRY(pack_place(&at, apart, d->n_panels, &new->apart_at, err));
        }
    }
    e->blob_bytes = at;
    e->blob = st_alloc_huge(e->mem, at + 64, 1); /* +64: a kernel may prefetch past the last panel */
    ST_FAIL_IF(!e->blob, err, STRATA_NO_MEMORY, "no memory for %zu bytes of packed weights", at);
    for (uint32_t i = 0; i < p->n_jobs; i++) {
        p->jobs[i].dst->panels = e->blob + p->jobs[i].at;
        if (p->jobs[i].apart_at) p->jobs[i].dst->apart = e->blob + p->jobs[i].apart_at;
    }
    p->n_units = (uint32_t)((at + UNIT - 1) / UNIT);
    return STRATA_OK;
}

int st_pack_all(st_exec *e, const st_file *file, const st_load_opts *opts, strata_error *err)
{
    packer p = {.exec = e, .file = file, .opts = opts};
    st_pool *pool = NULL;
    p.jobs = st_alloc(e->mem, (size_t)e->plan->n_ops * ST_OP_PARTS, sizeof *p.jobs);
    int rc = p.jobs ? pack_collect(&p, e, err) : st_error_set(err, STRATA_NO_MEMORY, "no memory to pack the weights");
    if (!rc) rc = st_pool_open(opts->n_threads, e->mem, &pool, err);
    if (!rc) rc = st_pool_run(pool, opts->n_threads, pack_work, &p, err);
    st_pool_close(pool);
    /* A fault maps the pages around it too, which can be some that were let go of before. */
    for (uint32_t i = 0; !rc && i < p.n_jobs; i++) pack_release_rows(&p, p.jobs[i].part, 0, p.jobs[i].part->n);
    st_free(e->mem, p.jobs);
    return rc;
}
