/* op_linear.c: out = in * W^T, pair of panels by pair of panels.
 *
 * A pair of panels (32 outputs) is taken through all rows, up to 256 at a time, into a tile of [rows, 32] that stays in
 * cache; bias, activation, gate and quantisation happen there. So no float matrix of [tokens, n_ff] is ever written, and
 * weights are read once for each 256 rows. Types that the integer kernels do not take are decoded panel by panel, 256 rows
 * of k at a time: never a whole matrix. */
#include <string.h>

#include "backend/cpu/cpu.h"

/* Rows per thread from which a shared op is split by rows: below, splitting by panels reads the weights once. */
#define ROWS_PER_THREAD 64u

typedef struct linear {
    const st_env *env;
    const st_op *op;
    const st_packed *packed; /* [n_parts] */
    bool floats[ST_MAX_PARTS];
} linear;

static bool part_in_float(const st_state *s, const st_op_linear *op, const st_packed *p)
{
    return op->exact || s->precision == STRATA_PRECISION_F32 || p->kind != ST_PACK_I8;
}

/* k rows from k0 on of a panel, as floats; either where they are or decoded into dst. */
static const float *decode(const st_kernels *k, const st_packed *p, uint32_t panel, uint32_t k0, uint32_t n, float *dst)
{
    const uint8_t *src = p->panels + (size_t)panel * p->panel_bytes;
    switch (p->kind) {
    case ST_PACK_F32: return (const float *)(const void *)(src + (size_t)k0 * 64);
    case ST_PACK_F16: k->f16_to_f32((const uint16_t *)(const void *)(src + (size_t)k0 * 32), dst, (size_t)n * 16); break;
    case ST_PACK_BF16: k->bf16_to_f32((const uint16_t *)(const void *)(src + (size_t)k0 * 32), dst, (size_t)n * 16); break;
    case ST_PACK_I8: k->unpack_f32[p->shape](src + k0 / 32 * st_shape_block_bytes(p->shape), n / 32, dst); break;
    }
    return dst;
}

static void gemm_floats(const linear *l, const st_packed *p, uint32_t panel, uint32_t np, uint32_t r0, uint32_t rows,
                        float *tile)
{
    const st_env *e = l->env;
    const float *x = e->slots->f[l->op->in] + (size_t)r0 * e->slots->ld[l->op->in];
    for (uint32_t k0 = 0; k0 < p->k; k0 += ST_K_CHUNK) {
        uint32_t n = p->k - k0 < ST_K_CHUNK ? p->k - k0 : ST_K_CHUNK;
        size_t panel_ld = ST_K_CHUNK * 16;
        const float *b = decode(e->k, p, panel, k0, n, e->worker->panel);
        if (p->kind == ST_PACK_F32)
            panel_ld = p->panel_bytes / sizeof(float);
        else if (np == 2)
            decode(e->k, p, panel + 1, k0, n, e->worker->panel + panel_ld);
        e->k->gemm_f32(x + k0, e->slots->ld[l->op->in], rows, b, 16, panel_ld, np, n, k0 > 0, tile, 32);
    }
}

/* Rows r0.. times the pair of panels -> tile [rows, 32], with bias. */
static void product(const linear *l, uint32_t part, uint32_t panel, uint32_t np, uint32_t r0, uint32_t rows, float *tile)
{
    const st_env *e = l->env;
    const st_packed *p = &l->packed[part];
    const st_part *src = &l->op->linear.parts[part];
    if (l->floats[part])
        gemm_floats(l, p, panel, np, r0, rows, tile);
    else
        e->k->gemm_i8[p->shape](&e->slots->q[l->op->in], r0, rows, (int)src->planes,
                                p->panels + (size_t)panel * p->panel_bytes, p->panel_bytes, np, p->k / 32, tile, 32);
    if (src->bias) {
        uint32_t left = src->n - panel * 16;
        e->k->bias(tile, 32, rows, left < 32 ? left : 32, src->bias + panel * 16);
    }
}

static void store(const linear *l, uint32_t col, uint32_t n, uint32_t r0, uint32_t rows, const float *tile)
{
    const st_env *e = l->env;
    st_slot out = l->op->out;
    uint8_t form = e->state->form[out];
    if (form & ST_FORM_FLOAT) {
        size_t ld = e->slots->ld[out];
        float *y = e->slots->f[out] + (size_t)r0 * ld + col;
        for (uint32_t r = 0; r < rows; r++, y += ld, tile += 32) memcpy(y, tile, n * sizeof *y);
        tile -= (size_t)rows * 32;
    }
    /* H is quantised here, hot; a quantised consumer has k = n in whole blocks of 32. */
    if (out == ST_SLOT_H && (form & ST_FORM_HI)) st_env_quantize(e, out, tile, 32, r0, r0 + rows, n, col);
}

/* One pair of panels of one part (or of gate and up), all rows [lo, hi). */
static void run_pair(const linear *l, uint32_t part, uint32_t pair, uint32_t lo, uint32_t hi)
{
    const st_env *e = l->env;
    const st_op_linear *op = &l->op->linear;
    const st_part *p = &op->parts[part];
    uint32_t panel = pair * 2, left = l->packed[part].n_panels - panel, np = left < 2 ? left : 2;
    uint32_t n = p->n - panel * 16 < 32 ? p->n - panel * 16 : 32;
    float *tile = e->worker->tile[0], *up = e->worker->tile[1];
    for (uint32_t r = lo; r < hi; r += ST_ROW_CHUNK) {
        uint32_t rows = hi - r < ST_ROW_CHUNK ? hi - r : ST_ROW_CHUNK;
        product(l, part, panel, np, r, rows, tile);
        if (op->glu) {
            product(l, 1, panel, np, r, rows, up);
            e->k->glu(op->act, tile, 32, up, 32, rows, n);
        } else if (op->act != ST_ACT_NONE) {
            e->k->act(op->act, tile, 32, rows, n);
        }
        store(l, p->col + panel * 16, n, r, rows, tile);
    }
}

static uint32_t pairs_of(const st_packed *p)
{
    return (p->n_panels + 1) / 2;
}

/* Attention's output is quantised by whoever consumes it, since a block of 32 may span heads of several threads. */
static void prepare_input(const linear *l, uint32_t rows)
{
    const st_env *e = l->env;
    if (l->op->in != ST_SLOT_A || !(e->state->form[ST_SLOT_A] & ST_FORM_HI)) return;
    uint32_t lo, hi;
    st_env_share(e, rows, 1, &lo, &hi);
    size_t ld = e->slots->ld[ST_SLOT_A];
    if (lo < hi) st_env_quantize(e, ST_SLOT_A, e->slots->f[ST_SLOT_A] + lo * ld, ld, lo, hi, l->op->linear.k, 0);
    st_env_sync(e);
}

void st_run_linear(const st_env *e, uint32_t index)
{
    const st_op *op = &e->exec->plan->ops[index];
    linear l = {.env = e, .op = op, .packed = e->exec->packed[index]};
    bool pooled = op->in == ST_SLOT_P || op->in == ST_SLOT_P2;
    uint32_t rows = pooled ? e->seq1 - e->seq0 : e->n_rows;
    uint32_t n_parts = op->linear.glu ? 1 : op->linear.n_parts, total = 0;
    for (uint32_t i = 0; i < op->linear.n_parts; i++) l.floats[i] = part_in_float(e->state, &op->linear, &l.packed[i]);
    for (uint32_t i = 0; i < n_parts; i++) total += pairs_of(&l.packed[i]);
    prepare_input(&l, rows);

    uint32_t lo = 0, hi = rows, first = 0, last = total;
    if (e->nth > 1 && rows >= ROWS_PER_THREAD * e->nth)
        st_env_share(e, rows, 8, &lo, &hi);
    else
        st_env_share(e, total, 1, &first, &last);
    for (uint32_t i = 0, base = 0; i < n_parts && lo < hi; i++) {
        uint32_t n = pairs_of(&l.packed[i]);
        for (uint32_t p = first > base ? first - base : 0; p < n && base + p < last; p++) run_pair(&l, i, p, lo, hi);
        base += n;
    }
}
