/* op_linear.c: out = in * W^T, strip of columns by strip of columns.
 *
 * A strip (2 or 4 panels: 32 or 64 outputs) is taken through all rows, up to 256 at a time, into a tile that stays in
 * cache; bias, activation, gate and quantisation happen there. So no float matrix of [tokens, n_ff] is ever written,
 * and weights are read once for each 256 rows. Types that the integer kernels do not take are decoded panel by panel,
 * 256 rows of k at a time: never a whole matrix. */
#include <string.h>

#include "backend/cpu/cpu.h"

/* Rows per thread from which a shared op is split by rows: below, splitting by panels reads the weights once. */
#define ROWS_PER_THREAD 64u

static bool linear_in_bf16(const st_env *e, const st_linear *l)
{
    return !l->exact && e->state->precision == STRATA_PRECISION_BF16;
}

static bool linear_in_float(const st_env *e, const st_linear *l, const st_packed *p)
{
    return l->exact || e->state->precision == STRATA_PRECISION_F32 || p->kind != ST_PACK_I8;
}

/* Outputs taken at a time. What the integer kernels prepare for a few rows serves 64 outputs: 4 % faster than for 32
 * (Zen 4), where there are rows enough to share the work by; weights that are decoded come two panels at a time. */
static uint32_t linear_strip_of(const st_env *e, const st_linear *l, uint32_t rows)
{
    bool two = linear_in_bf16(e, l);
    for (uint32_t i = 0; i < l->n_parts; i++) two |= linear_in_float(e, l, l->parts[i].packed);
    return two || rows < ROWS_PER_THREAD * e->nth ? ST_DECODED_COLS : ST_TILE_COLS;
}

const uint8_t *st_packed_blocks(const st_kernels *k, const st_packed *p, uint32_t panel, uint32_t b, uint32_t blocks,
                                uint8_t *dst)
{
    const uint8_t *src = p->panels + (size_t)panel * p->panel_bytes + b * st_form_block_bytes(&p->form);
    if (p->form.width == ST_WIDTH_8) return src;
    /* A super-block that is entered in the middle is taken for itself. */
    uint32_t n = b % ST_SUPER_BLOCKS ? ST_SUPER_BLOCKS - b % ST_SUPER_BLOCKS : blocks;
    if (p->form.tails != ST_TAILS_I8 || n > blocks) n = blocks;
    k->widen[p->form.width](&p->form, src, st_packed_apart(p, panel, b), n, dst);
    if (n < blocks)
        k->widen[p->form.width](&p->form, src + n * st_form_block_bytes(&p->form), st_packed_apart(p, panel, b + n),
                                blocks - n, dst + n * st_shape_block_bytes(p->form.shape));
    return dst;
}

/* k rows from k0 on of a panel, as floats; either where they are or decoded into dst. */
static const float *linear_decode(const st_env *e, const st_packed *p, uint32_t panel, uint32_t k0, uint32_t n,
                                  float *dst)
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

static void linear_gemm_floats(const st_env *e, const st_linear *l, const st_packed *p, uint32_t panel, uint32_t np,
                               uint32_t r0, uint32_t rows, float *tile)
{
    const float *x = e->slots->f[l->in] + (size_t)r0 * e->slots->ld[l->in] + l->in_col;
    for (uint32_t k0 = 0; k0 < p->k; k0 += ST_K_CHUNK) {
        uint32_t n = p->k - k0 < ST_K_CHUNK ? p->k - k0 : ST_K_CHUNK;
        size_t panel_ld = p->kind == ST_PACK_F32 ? p->panel_bytes / sizeof(float) : ST_K_CHUNK * 16;
        const float *b = linear_decode(e, p, panel, k0, n, e->worker->panel);
        for (uint32_t i = 1; i < np && p->kind != ST_PACK_F32; i++)
            linear_decode(e, p, panel + i, k0, n, e->worker->panel + i * panel_ld);
        e->k->gemm_f32(x + k0, e->slots->ld[l->in], rows, b, 16, panel_ld, np, n, k0 > 0, tile, ST_TILE_COLS);
    }
}

/* k rows from k0 on of a panel, as pairs. Whatever linear_decode() reads is taken, by way of floats. */
static void linear_decode_bf16(const st_env *e, const st_packed *p, uint32_t panel, uint32_t k0, uint32_t n,
                               uint16_t *dst)
{
    enum { PIECE = 64 }; /* 4 KB of floats, which stay in L1 */
    const st_bf16 *b = &e->state->bf16;
    if (p->kind == ST_PACK_I8 && p->form.width == ST_WIDTH_8 && b->unpack[p->form.shape]) {
        b->unpack[p->form.shape](st_packed_blocks(e->k, p, panel, k0 / 32, n / 32, NULL), n / 32, dst);
        return;
    }
    for (uint32_t i = 0; i < n; i += PIECE) {
        _Alignas(64) float piece[PIECE * 16];
        uint32_t m = n - i < PIECE ? n - i : PIECE;
        b->pair(linear_decode(e, p, panel, k0 + i, m, piece), 16, m, dst + (size_t)i * 16);
    }
}

static void linear_gemm_bf16(const st_env *e, const st_linear *l, const st_packed *p, uint32_t panel, uint32_t np,
                             uint32_t r0, uint32_t rows, float *tile)
{
    const st_bact *a = &e->slots->b[l->in];
    uint16_t *w = (uint16_t *)(void *)e->worker->panel;
    const size_t panel_ld = ST_BF16_K * 16;
    _Static_assert(ST_BF16_K * sizeof *w <= ST_K_CHUNK * sizeof(float), "pairs share the room of decoded floats");
    for (uint32_t k0 = 0; k0 < p->k; k0 += ST_BF16_K) {
        uint32_t n = p->k - k0 < ST_BF16_K ? p->k - k0 : ST_BF16_K;
        for (uint32_t i = 0; i < np; i++) linear_decode_bf16(e, p, panel + i, k0, n, w + i * panel_ld);
        e->state->bf16.gemm(st_bact_at(a, r0, l->in_col + k0), 16 * a->ld, rows, w, panel_ld, np,
                            (uint32_t)st_round_up(n, 32), k0 > 0, tile, ST_TILE_COLS);
    }
}

/* The integer product; narrow panels a piece of k at a time, which then serves all rows. */
static void linear_gemm_ints(const st_env *e, const st_linear *l, const st_packed *p, int planes, uint32_t panel,
                             uint32_t np, uint32_t r0, uint32_t rows, float *tile)
{
    bool narrow = p->form.width != ST_WIDTH_8;
    st_qact a = e->slots->q[l->in];
    a.hi += l->in_col, a.d += l->in_col / 32, a.sum_hi += l->in_col / 16;
    if (a.lo) a.lo += l->in_col, a.sum_lo += l->in_col / 16;
    if (narrow && rows <= e->k->gemv_rows) {
        for (uint32_t i = 0; i < np; i++)
            e->k->gemv_i8[p->form.width](&p->form, &a, r0, rows, planes,
                                         p->panels + (size_t)(panel + i) * p->panel_bytes,
                                         st_packed_apart(p, panel + i, 0), p->k / 32, tile + 16 * i, ST_TILE_COLS);
        return;
    }
    uint32_t blocks = p->k / 32, pieces = narrow ? (blocks + ST_WIDE_BLOCKS - 1) / ST_WIDE_BLOCKS : 1;
    uint32_t step = (blocks + pieces - 1) / pieces;
    size_t bytes = narrow ? step * st_shape_block_bytes(p->form.shape) : p->panel_bytes;
    for (uint32_t b = 0; b < blocks; b += step) {
        uint32_t n = blocks - b < step ? blocks - b : step;
        const uint8_t *w = st_packed_blocks(e->k, p, panel, b, n, e->worker->wide);
        for (uint32_t i = 1; i < np && narrow; i++)
            st_packed_blocks(e->k, p, panel + i, b, n, e->worker->wide + i * bytes);
        e->k->gemm_i8[p->form.shape](&a, r0, rows, planes, w, bytes, np, n, b > 0, tile, ST_TILE_COLS);
        /* The activations of the next blocks; rows stay where they are. */
        a.hi += (size_t)step * 32, a.d += step, a.sum_hi += (size_t)step * 2;
        if (a.lo) a.lo += (size_t)step * 32, a.sum_lo += (size_t)step * 2;
    }
}

/* Columns col..col+n of a part, at most a strip, for rows r0.. -> tile [rows, ST_TILE_COLS], with bias. */
static void linear_product(const st_env *e, const st_linear *l, const st_linear_part *part, uint32_t col, uint32_t n,
                           uint32_t r0, uint32_t rows, float *tile)
{
    const st_packed *p = part->packed;
    uint32_t panel = part->panel0 + col / 16, np = (n + 15) / 16;
    if (linear_in_bf16(e, l))
        linear_gemm_bf16(e, l, p, panel, np, r0, rows, tile);
    else if (linear_in_float(e, l, p))
        linear_gemm_floats(e, l, p, panel, np, r0, rows, tile);
    else
        linear_gemm_ints(e, l, p, part->planes, panel, np, r0, rows, tile);
    if (part->bias) e->k->bias(tile, ST_TILE_COLS, rows, n, part->bias + col);
}

static void linear_scale_tile(const st_env *e, const st_linear *l, uint32_t rows, uint32_t n, float *tile)
{
    for (uint32_t r = 0; r < rows && l->scale != 1.0f; r++)
        e->k->scale(tile + r * ST_TILE_COLS, l->scale, tile + r * ST_TILE_COLS, n);
    if (!(l->softcap > 0)) return;
    for (uint32_t r = 0; r < rows; r++) {
        float *t = tile + r * ST_TILE_COLS;
        e->k->scale(t, 1.0f / l->softcap, t, n);
        e->k->act(ST_ACT_TANH, t, ST_TILE_COLS, 1, n);
        e->k->scale(t, l->softcap, t, n);
    }
}

static void linear_store(const st_env *e, const st_linear *l, uint32_t col, uint32_t n, uint32_t r0, uint32_t rows,
                         const float *tile)
{
    uint8_t form = e->state->form[l->out];
    if (form & ST_FORM_FLOAT) {
        size_t ld = e->slots->ld[l->out];
        float *y = e->slots->f[l->out] + (size_t)r0 * ld + col;
        for (uint32_t r = 0; r < rows; r++) {
            if (l->accumulate)
                e->k->add_scaled(tile + r * ST_TILE_COLS, 1.0f, y + r * ld, n);
            else
                memcpy(y + r * ld, tile + r * ST_TILE_COLS, n * sizeof *y);
        }
    }
    /* H is quantised here, hot; a quantised consumer has k = n in whole blocks of 32. */
    if (l->out == ST_SLOT_H && (form & ST_FORM_NARROW))
        st_env_quantize(e, l->out, tile, ST_TILE_COLS, r0, r0 + rows, n, col);
}

/* Columns col..col+n of one part (or of gate and up), all rows [lo, hi). */
static void linear_run_strip(const st_env *e, const st_linear *l, uint32_t i, uint32_t col, uint32_t n, uint32_t lo,
                             uint32_t hi)
{
    const st_linear_part *part = &l->parts[i];
    float *tile = e->worker->tile[0], *up = e->worker->tile[1];
    for (uint32_t r = lo; r < hi; r += ST_ROW_CHUNK) {
        uint32_t rows = hi - r < ST_ROW_CHUNK ? hi - r : ST_ROW_CHUNK;
        linear_product(e, l, part, col, n, r, rows, tile);
        if (l->glu) {
            linear_product(e, l, &l->parts[1], col, n, r, rows, up);
            e->k->glu(l->act, tile, ST_TILE_COLS, up, ST_TILE_COLS, rows, n);
        } else if (l->act != ST_ACT_NONE) {
            e->k->act(l->act, tile, ST_TILE_COLS, rows, n);
        }
        linear_scale_tile(e, l, rows, n, tile);
        linear_store(e, l, part->col + col, n, r, rows, tile);
    }
}

void st_linear_prepare(const st_env *e, st_slot slot, uint32_t rows, uint32_t k)
{
    if (!st_slot_late(slot) || !(e->state->form[slot] & ST_FORM_NARROW)) return;
    uint32_t lo, hi;
    st_env_share(e, rows, 1, &lo, &hi);
    size_t ld = e->slots->ld[slot];
    if (lo < hi) st_env_quantize(e, slot, e->slots->f[slot] + lo * ld, ld, lo, hi, k, 0);
    st_env_sync(e);
}

void st_linear_run(const st_env *e, const st_linear *l, uint32_t rows)
{
    uint32_t n_parts = l->glu ? 1 : l->n_parts, total = 0, strip = linear_strip_of(e, l, rows);
    for (uint32_t i = 0; i < n_parts; i++) total += (l->parts[i].n + strip - 1) / strip;
    if (!l->ready) st_linear_prepare(e, l->in, rows, l->parts[0].packed->k);

    uint32_t lo = 0, hi = rows, first = 0, last = total;
    if (e->nth > 1 && rows >= ROWS_PER_THREAD * e->nth)
        st_env_share(e, rows, linear_in_bf16(e, l) ? 16 : 8, &lo, &hi); /* a tile of bf16 has 16 rows */
    else
        st_env_share(e, total, 1, &first, &last);
    for (uint32_t i = 0, base = 0; i < n_parts && lo < hi; i++) {
        uint32_t all = l->parts[i].n, n = (all + strip - 1) / strip;
        for (uint32_t p = first > base ? first - base : 0; p < n && base + p < last; p++)
            linear_run_strip(e, l, i, p * strip, all - p * strip < strip ? all - p * strip : strip, lo, hi);
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
    bool bad = false;
    for (uint32_t i = 0; i < l.n_parts; i++) bad |= st_packed_bad(l.parts[i].packed, 0, l.parts[i].n);
    if (bad) st_mark_all_nonfinite(e);
    if (st_select_can(e, &l)) {
        st_select_run(e, &l);
        return;
    }
    bool pooled = op->in == ST_SLOT_P || op->in == ST_SLOT_P2;
    st_linear_run(e, &l, pooled ? e->seq1 - e->seq0 : e->n_rows);
}
