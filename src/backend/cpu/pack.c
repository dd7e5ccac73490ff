/* pack.c: weights of the file -> panels of 16 columns, once, in parallel. */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "quant/quant.h"

#define CHUNK 256u /* values of a row unpacked at a time; a multiple of every block */

typedef struct job {
    const st_packed *dst;
    const st_part *part;
    uint32_t first; /* number of panels in earlier jobs */
} job;

typedef struct packer {
    const st_exec *exec;
    const st_file *file;
    job *jobs;
    uint32_t n_jobs, n_panels;
    _Atomic uint32_t next;
} packer;

static st_pack_kind kind_of(uint32_t type)
{
    switch (type) {
    case ST_F32: return ST_PACK_F32;
    case ST_F16: return ST_PACK_F16;
    case ST_BF16: return ST_PACK_BF16;
    default: return ST_PACK_I8;
    }
}

static st_gemm_shape shape_of(const st_quant *q)
{
    return (st_gemm_shape)((q->group == 16 ? ST_SHAPE_16 : ST_SHAPE_32) + (q->has_min ? 1 : 0));
}

static size_t panel_bytes(const st_packed *p)
{
    if (p->kind == ST_PACK_I8) return (size_t)p->k / 32 * st_shape_block_bytes(p->shape);
    return (size_t)p->k * 16 * (p->kind == ST_PACK_F32 ? 4 : 2);
}

/* Row i of the panel, or NULL past the part's last row. */
static const uint8_t *source_row(const job *j, uint32_t panel, uint32_t i)
{
    uint32_t r = panel * 16 + i;
    if (r >= j->part->n) return NULL;
    const st_gguf_tensor *m = j->part->m;
    return m->data + (size_t)(j->part->row + r) * st_mat_row_bytes(m);
}

static void pack_floats(const job *j, uint32_t panel, uint8_t *dst)
{
    size_t size = j->dst->kind == ST_PACK_F32 ? 4 : 2, k = j->dst->k;
    for (uint32_t i = 0; i < 16; i++) {
        const uint8_t *src = source_row(j, panel, i);
        uint8_t *d = dst + i * size;
        if (!src)
            for (size_t x = 0; x < k; x++) memset(d + x * 16 * size, 0, size);
        else if (size == 4)
            for (size_t x = 0; x < k; x++) memcpy(d + x * 64, src + x * 4, 4);
        else
            for (size_t x = 0; x < k; x++) memcpy(d + x * 32, src + x * 2, 2);
    }
}

/* Any quantised type, by its exact unpacking. */
static void pack_ints(const job *j, uint32_t panel, uint8_t *dst)
{
    const st_quant *quant = st_quant_get(j->part->m->type);
    uint32_t k = j->dst->k, group = quant->group, per_block = 32 / group;
    size_t block_bytes = st_shape_block_bytes(j->dst->shape);
    for (uint32_t i = 0; i < 16; i++) {
        const uint8_t *src = source_row(j, panel, i);
        for (uint32_t k0 = 0; k0 < k; k0 += CHUNK) {
            uint32_t n = k - k0 < CHUNK ? k - k0 : CHUNK;
            int8_t q[CHUNK] = {0};
            float scale[CHUNK / 16] = {0}, min[CHUNK / 16] = {0};
            if (src) quant->unpack(src + (size_t)k0 / quant->block * quant->bytes, q, scale, min, n);
            for (uint32_t b = 0; b < n / 32; b++) {
                uint8_t *d = dst + (size_t)(k0 / 32 + b) * block_bytes;
                for (uint32_t x = 0; x < 32; x++) d[x / 4 * 64 + i * 4 + x % 4] = (uint8_t)(q[b * 32 + x] + 128);
                for (uint32_t g = 0; g < per_block; g++) {
                    memcpy(d + 512 + 64 * g + 4 * i, &scale[b * per_block + g], 4);
                    if (quant->has_min) memcpy(d + 512 + 64 * (per_block + g) + 4 * i, &min[b * per_block + g], 4);
                }
            }
        }
    }
}

static void pack_panel(const st_exec *e, const job *j, uint32_t panel)
{
    uint8_t *dst = j->dst->panels + (size_t)panel * j->dst->panel_bytes;
    if (j->dst->kind != ST_PACK_I8)
        pack_floats(j, panel, dst);
    else if (j->part->m->type == ST_Q8_0 && source_row(j, panel, 15))
        e->kern.pack_q8_0(source_row(j, panel, 0), (size_t)j->dst->k / 32 * 34, j->dst->k / 32, dst);
    else
        pack_ints(j, panel, dst);
}

static void work(void *arg, uint32_t ith, uint32_t nth)
{
    (void)ith, (void)nth;
    packer *p = arg;
    enum { BATCH = 8 };
    uint32_t at;
    while ((at = atomic_fetch_add(&p->next, BATCH)) < p->n_panels) {
        uint32_t end = at + BATCH < p->n_panels ? at + BATCH : p->n_panels, i = p->n_jobs - 1;
        while (p->jobs[i].first > at) i--;
        for (; at < end; at++) {
            while (i + 1 < p->n_jobs && p->jobs[i + 1].first <= at) i++;
            const job *j = &p->jobs[i];
            uint32_t panel = at - j->first;
            pack_panel(p->exec, j, panel);
            /* The source pages of this panel are not needed again. */
            const st_gguf_tensor *m = j->part->m;
            size_t row = st_mat_row_bytes(m);
            st_file_release(p->file, m->data + (size_t)(j->part->row + panel * 16) * row, 16 * row);
        }
    }
}

static int collect(packer *p, st_exec *e, strata_error *err)
{
    size_t at = 0;
    for (uint32_t i = 0; i < e->plan->n_ops; i++) {
        const st_part *part;
        uint32_t k;
        for (uint32_t j = 0; (part = st_op_part(&e->plan->ops[i], j, &k)); j++) {
            if (!part->m) continue;
            st_packed *d = &e->packed[i][j];
            d->kind = kind_of(part->m->type);
            if (d->kind == ST_PACK_I8) d->shape = shape_of(st_quant_get(part->m->type));
            d->k = k;
            d->n_panels = (part->n + 15) / 16;
            d->panel_bytes = panel_bytes(d);
            size_t bytes;
            ST_FAIL_IF(!st_mul(d->panel_bytes, d->n_panels, &bytes) || !st_add(at, bytes, &bytes), err,
                       STRATA_NO_MEMORY, "the packed weights are larger than the address space");
            /* Offsets for now: the blob comes when its size is known. */
            d->panels = NULL;
            p->jobs[p->n_jobs++] = (job){.dst = d, .part = part, .first = p->n_panels};
            p->n_panels += d->n_panels;
            at = st_round_up(bytes, 64);
        }
    }
    e->blob_bytes = at;
    e->blob = st_alloc_huge(e->mem, at + 64, 1); /* +64: a kernel may prefetch past the last panel */
    ST_FAIL_IF(!e->blob, err, STRATA_NO_MEMORY, "no memory for %zu bytes of packed weights", at);
    at = 0;
    for (uint32_t i = 0; i < p->n_jobs; i++) {
        st_packed *d = (st_packed *)(uintptr_t)p->jobs[i].dst;
        d->panels = e->blob + at;
        at = st_round_up(at + d->panel_bytes * d->n_panels, 64);
    }
    return STRATA_OK;
}

int st_pack_all(st_exec *e, const st_file *file, uint32_t n_threads, strata_error *err)
{
    packer p = {.exec = e, .file = file};
    st_pool *pool = NULL;
    p.jobs = st_alloc(e->mem, (size_t)e->plan->n_ops * ST_OP_PARTS, sizeof *p.jobs);
    int rc = p.jobs ? collect(&p, e, err) : st_error_set(err, STRATA_NO_MEMORY, "no memory to pack the weights");
    if (!rc) rc = st_pool_open(n_threads, e->mem, &pool, err);
    if (!rc && p.n_jobs) st_pool_run(pool, n_threads, work, &p);
    st_pool_close(pool);
    st_free(e->mem, p.jobs);
    return rc;
}
