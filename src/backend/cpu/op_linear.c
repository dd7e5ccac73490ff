/* op_linear.c: out = in * W^T, pair of panels by pair of panels.
 *
 * A pair of panels (32 outputs) is taken through all rows, up to 256 at a time, into a tile of [rows, 32] that stays in
 * cache; bias, activation, gate and quantisation happen there. So no float matrix of [tokens, n_ff] is ever written,
 * and weights are read once for each 256 rows. Types that the integer kernels do not take are decoded panel by panel,
 * 256 rows of k at a time: never a whole matrix. */
#include <string.h>

#include "backend/cpu/cpu.h"

/* Rows per thread from which a shared op is split by rows: below, splitting by panels reads the weights once. */
#define ROWS_PER_THREAD 64u

static bool in_float(const st_env *e, const st_linear *l, const st_packed *p)
{
    return l->exact || e->state->precision == STRATA_PRECISION_F32 || p->kind != ST_PACK_I8;
}

const uint8_t *st_packed_blocks(const st_kernels *k, const st_packed *p, uint32_t panel, uint32_t b, uint32_t blocks,
                                uint8_t *dst)
{
    const uint8_t *src = p->panels + (size_t)panel * p->panel_bytes + b * st_form_block_bytes(&p->form);
    if (p->form.width == ST_WIDTH_8) return src;
    k->widen[p->form.width](&p->form, src, blocks, dst);
    return dst;
}

/* k rows from k0 on of a panel, as floats; either where they are or decoded into dst. */
static const float *decode(const st_env *e, const st_packed *p, uint32_t panel, uint32_t k0, uint32_t n, float *dst)
{
    const st_kernels *k = e->k;
    const uint8_t *src = p->panels + (size_t)panel * p->panel_bytes;
    switch (p->kind) {
    case ST_PACK_F32: return (const float *)(const void *)(src + (size_t)k0 * 64);
    case ST_PACK_F16:
        k->f16_to_f32((const uint16_t *)(const void *)(src + (size_t)k0 * 32), dst, (size_t)n * 16);
        break;
    case ST_PACK_BF16:
        k->bf16_to_f32((const uint16_t *)(const void *)(src + (size_t)k0 * 32), dst, (size_t)n * 16);
        break;
    case ST_PACK_I8:
        src = st_packed_blocks(k, p, panel, k0 / 32, n / 32, e->worker->wide);
        k->unpack_f32[p->form.shape](src, n / 32, dst);
        break;
    }
    return dst;
}

static void gemm_floats(const st_env *e, const st_linear *l, const st_packed *p, uint32_t panel, uint32_t np,
                        uint32_t r0, uint32_t rows, float *tile)
{
    const float *x = e->slots->f[l->in] + (size_t)r0 * e->slots->ld[l->in];
    for (uint32_t k0 = 0; k0 < p->k; k0 += ST_K_CHUNK) {
        uint32_t n = p->k - k0 < ST_K_CHUNK ? p->k - k0 : ST_K_CHUNK;
        size_t panel_ld = ST_K_CHUNK * 16;
        const float *b = decode(e, p, panel, k0, n, e->worker->panel);
        if (p->kind == ST_PACK_F32)
            panel_ld = p->panel_bytes / sizeof(float);
        else if (np == 2)
            decode(e, p, panel + 1, k0, n, e->worker->panel + panel_ld);
        e->k->gemm_f32(x + k0, e->slots->ld[l->in], rows, b, 16, panel_ld, np, n, k0 > 0, tile, 32);
    }
}

/* The integer product; narrow panels a few blocks at a time, which then serve all rows from L1. */
static void gemm_ints(const st_env *e, const st_linear *l, const st_packed *p, int planes, uint32_t panel, uint32_t np,
                      uint32_t r0, uint32_t rows, float *tile)
{
    st_qact a = e->slots->q[l->in];
    if (p->form.width != ST_WIDTH_8 && rows <= e->k->gemv_rows) {
        for (uint32_t i = 0; i < np; i++)
            e->k->gemv_i8[p->form.width](&p->form, &a, r0, rows, planes,
                                         p->panels + (size_t)(panel + i) * p->panel_bytes, p->k / 32, tile + 16 * i,
                                         32);
        return;
    }
    uint32_t blocks = p->k / 32, step = p->form.width == ST_WIDTH_8 ? blocks : ST_WIDE_BLOCKS;
    size_t bytes = p->form.width == ST_WIDTH_8 ? p->panel_bytes : step * st_shape_block_bytes(p->form.shape);
    for (uint32_t b = 0; b < blocks; b += step) {
        uint32_t n = blocks - b < step ? blocks - b : step;
        const uint8_t *w = st_packed_blocks(e->k, p, panel, b, n, e->worker->wide);
        if (np == 2 && p->form.width != ST_WIDTH_8) st_packed_blocks(e->k, p, panel + 1, b, n, e->worker->wide + bytes);
        e->k->gemm_i8[p->form.shape](&a, r0, rows, planes, w, bytes, np, n, b > 0, tile, 32);
        /* The activations of the next blocks; rows stay where they are. */
        a.hi += (size_t)step * 32, a.d += step, a.sum_hi += (size_t)step * 2;
        if (a.lo) a.lo += (size_t)step * 32, a.sum_lo += (size_t)step * 2;
    }
}

/* Columns col..col+n of a part, n <= 32, for rows r0.. -> tile [rows, 32], with bias. */
static void product(const st_env *e, const st_linear *l, const st_linear_part *part, uint32_t col, uint32_t n,
                    uint32_t r0, uint32_t rows, float *tile)
{
    const st_packed *p = part->packed;
    uint32_t panel = part->panel0 + col / 16, np = n > 16 ? 2 : 1;
    if (in_float(e, l, p))
        gemm_floats(e, l, p, panel, np, r0, rows, tile);
    else
        gemm_ints(e, l, p, part->planes, panel, np, r0, rows, tile);
    if (part->bias) e->k->bias(tile, 32, rows, n, part->bias + col);
}

static void scale_tile(const st_env *e, const st_linear *l, uint32_t rows, uint32_t n, float *tile)
{
    for (uint32_t r = 0; r < rows && l->scale != 1.0f; r++) e->k->scale(tile + r * 32, l->scale, tile + r * 32, n);
    if (!(l->softcap > 0)) return;
    for (uint32_t r = 0; r < rows; r++) {
        float *t = tile + r * 32;
        e->k->scale(t, 1.0f / l->softcap, t, n);
        e->k->act(ST_ACT_TANH, t, 32, 1, n);
        e->k->scale(t, l->softcap, t, n);
    }
}

static void store(const st_env *e, const st_linear *l, uint32_t col, uint32_t n, uint32_t r0, uint32_t rows,
                  const float *tile)
{
    uint8_t form = e->state->form[l->out];
    if (form & ST_FORM_FLOAT) {
        size_t ld = e->slots->ld[l->out];
        float *y = e->slots->f[l->out] + (size_t)r0 * ld + col;
        for (uint32_t r = 0; r < rows; r++) {
            if (l->accumulate)
                e->k->add_scaled(tile + r * 32, 1.0f, y + r * ld, n);
            else
                memcpy(y + r * ld, tile + r * 32, n * sizeof *y);
        }
    }
    /* H is quantised here, hot; a quantised consumer has k = n in whole blocks of 32. */
    if (l->out == ST_SLOT_H && (form & ST_FORM_HI)) st_env_quantize(e, l->out, tile, 32, r0, r0 + rows, n, col);
}

/* Pair of panels `pair` of one part (or of gate and up), all rows [lo, hi). */
static void run_pair(const st_env *e, const st_linear *l, uint32_t i, uint32_t pair, uint32_t lo, uint32_t hi)
{
    const st_linear_part *part = &l->parts[i];
    uint32_t col = pair * 32, n = part->n - col < 32 ? part->n - col : 32;
    float *tile = e->worker->tile[0], *up = e->worker->tile[1];
    for (uint32_t r = lo; r < hi; r += ST_ROW_CHUNK) {
        uint32_t rows = hi - r < ST_ROW_CHUNK ? hi - r : ST_ROW_CHUNK;
        product(e, l, part, col, n, r, rows, tile);
        if (l->glu) {
            product(e, l, &l->parts[1], col, n, r, rows, up);
            e->k->glu(l->act, tile, 32, up, 32, rows, n);
        } else if (l->act != ST_ACT_NONE) {
            e->k->act(l->act, tile, 32, rows, n);
        }
        scale_tile(e, l, rows, n, tile);
        store(e, l, part->col + col, n, r, rows, tile);
    }
}

/* Attention's output is quantised by whoever consumes it, since a block of 32 may span heads of several threads. */
static void prepare_input(const st_env *e, const st_linear *l, uint32_t rows)
{
    if (l->in != ST_SLOT_A || !(e->state->form[ST_SLOT_A] & ST_FORM_HI)) return;
    uint32_t lo, hi;
    st_env_share(e, rows, 1, &lo, &hi);
    size_t ld = e->slots->ld[ST_SLOT_A];
    if (lo < hi)
        st_env_quantize(e, ST_SLOT_A, e->slots->f[ST_SLOT_A] + lo * ld, ld, lo, hi, e->exec->plan->width[ST_SLOT_A], 0);
    st_env_sync(e);
}

void st_linear_run(const st_env *e, const st_linear *l, uint32_t rows)
{
    uint32_t n_parts = l->glu ? 1 : l->n_parts, total = 0;
    for (uint32_t i = 0; i < n_parts; i++) total += (l->parts[i].n + 31) / 32;
    prepare_input(e, l, rows);

    uint32_t lo = 0, hi = rows, first = 0, last = total;
    if (e->nth > 1 && rows >= ROWS_PER_THREAD * e->nth)
        st_env_share(e, rows, 8, &lo, &hi);
    else
        st_env_share(e, total, 1, &first, &last);
    for (uint32_t i = 0, base = 0; i < n_parts && lo < hi; i++) {
        uint32_t n = (l->parts[i].n + 31) / 32;
        for (uint32_t p = first > base ? first - base : 0; p < n && base + p < last; p++) run_pair(e, l, i, p, lo, hi);
        base += n;
    }
}

void st_run_linear(const st_env *e, uint32_t index)
{
    const st_op *op = &e->exec->plan->ops[index];
    const st_op_linear *src = &op->linear;
    st_linear l = {.in = op->in,
                   .out = op->out,
                   .n_parts = src->n_parts,
                   .act = src->act,
                   .glu = src->glu,
                   .exact = src->exact,
                   .accumulate = src->accumulate,
                   .scale = src->scale,
                   .softcap = src->softcap};
    for (uint32_t i = 0; i < src->n_parts; i++) {
        const st_part *p = &src->parts[i];
        l.parts[i] = (st_linear_part){
            .packed = &e->exec->packed[index][i], .n = p->n, .col = p->col, .planes = (int)p->planes, .bias = p->bias};
    }
    bool pooled = op->in == ST_SLOT_P || op->in == ST_SLOT_P2;
    st_linear_run(e, &l, pooled ? e->seq1 - e->seq0 : e->n_rows);
}
