/* scratch.c: the memory of a run, grown before it starts and kept for the next. */
#include <string.h>

#include "backend/cpu/cpu.h"

/* Hands out pieces of one block. First with base NULL to measure, then for real. */
typedef struct carver {
    uint8_t *base;
    size_t at;
    bool ok;
} carver;

static void *scratch_carve(carver *c, size_t n, size_t size)
{
    size_t bytes, end;
    c->ok = c->ok && st_mul(n, size, &bytes) && st_add(c->at, bytes, &end) && end < SIZE_MAX - 64;
    if (!c->ok) return NULL;
    void *p = c->base ? c->base + c->at : NULL;
    c->at = st_round_up(end, 64);
    return p;
}

static void scratch_carve_qact(carver *c, st_qact *q, size_t rows, size_t width, unsigned form)
{
    /* Rows of 4 KiB would all fall into the same cache sets: 64 bytes more spread them. */
    q->ld = st_round_up(width, 32) + 64;
    bool lo = form & ST_FORM_LO;
    q->hi = scratch_carve(c, rows, q->ld);
    q->d = scratch_carve(c, rows, q->ld / 32 * sizeof(float));
    q->sum_hi = scratch_carve(c, rows, q->ld / 16 * sizeof(int32_t));
    q->lo = lo ? scratch_carve(c, rows, q->ld) : NULL;
    q->sum_lo = lo ? scratch_carve(c, rows, q->ld / 16 * sizeof(int32_t)) : NULL;
}

static void scratch_carve_bact(carver *c, st_bact *b, size_t rows, size_t width)
{
    b->ld = st_round_up(width, 32);
    b->p = scratch_carve(c, st_round_up(rows, 16), b->ld * sizeof *b->p);
}

static void scratch_carve_slots(carver *c, const st_state *s, st_slots *sl)
{
    const st_plan *p = s->exec->plan;
    for (int i = 0; i < ST_SLOT_COUNT; i++) {
        /* Pooled slots have a row a sequence; logits go straight to the caller. */
        size_t rows = i == ST_SLOT_P || i == ST_SLOT_P2 ? sl->cap_seqs : sl->cap_rows;
        if (p->width[i] == 0 || i == ST_SLOT_OUT) continue;
        sl->ld[i] = st_round_up(p->width[i], 16);
        if (s->form[i] & ST_FORM_FLOAT) sl->f[i] = scratch_carve(c, rows, sl->ld[i] * sizeof(float));
        if (s->form[i] & ST_FORM_HI) scratch_carve_qact(c, &sl->q[i], rows, p->width[i], s->form[i]);
        if (s->form[i] & ST_FORM_BF16) scratch_carve_bact(c, &sl->b[i], rows, p->width[i]);
    }
    size_t len = st_round_up(sl->cap_len, 16);
    for (int i = 0; i < 2; i++) {
        sl->kt[i] = scratch_carve(c, len, p->config->d_head_k * sizeof(float));
        sl->v[i] = scratch_carve(c, len, st_round_up(p->config->d_head_v, 16) * sizeof(float));
        if (s->precision != STRATA_PRECISION_BF16) continue;
        sl->kt16[i] = scratch_carve(c, st_round_up(len, 32), st_round_up(p->config->d_head_k, 32) * sizeof(uint16_t));
        sl->v16[i] = scratch_carve(c, st_round_up(len, 32), st_round_up(p->config->d_head_v, 16) * sizeof(uint16_t));
    }
}

static uint32_t scratch_max2(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static int scratch_reserve_slots(st_state *s, st_slots *sl, uint32_t rows, uint32_t seqs, uint32_t len,
                                 strata_error *err)
{
    if (rows <= sl->cap_rows && seqs <= sl->cap_seqs && len <= sl->cap_len) return STRATA_OK;
    st_slots next = {.cap_rows = scratch_max2(rows, sl->cap_rows),
                     .cap_seqs = scratch_max2(seqs, sl->cap_seqs),
                     .cap_len = scratch_max2(len, sl->cap_len)};
    carver c = {.ok = true};
    scratch_carve_slots(&c, s, &next);
    size_t bytes = c.at;
    c = (carver){.base = c.ok ? st_alloc_huge(s->exec->mem, bytes, 1) : NULL, .ok = true};
    ST_FAIL_IF(!c.base, err, STRATA_NO_MEMORY, "no memory for %u tokens at a time (%zu bytes)", rows, bytes);
    st_free(s->exec->mem, sl->block);
    next.block = c.base;
    scratch_carve_slots(&c, s, &next);
    *sl = next;
    return STRATA_OK;
}

/* Scores of a block of queries: 256 KB stay in L2 beside the keys, or a single query when the text is longer than
 * that. */
static size_t scratch_score_floats(const st_state *s, uint32_t len)
{
    const st_plan *p = s->exec->plan;
    const st_config *c = p->config;
    uint32_t sinks = 0; /* one more score */
    for (uint32_t i = 0; i < p->n_ops; i++) sinks |= p->ops[i].kind == ST_OP_ATTN && p->ops[i].attn.sinks;
    size_t one = (size_t)(c->n_head / c->n_head_kv) * st_round_up((size_t)len + sinks, 16);
    if (s->precision == STRATA_PRECISION_BF16) { /* one head at a time, whole tiles of queries */
        size_t tiles = st_attn_bf16_scores(len, sinks);
        if (tiles > one) one = tiles;
    }
    return one > 65536 ? one : 65536;
}

static void scratch_carve_worker(carver *c, const st_state *s, st_worker *w)
{
    const st_plan *p = s->exec->plan;
    uint32_t widest = 0;
    for (int i = 0; i < ST_SLOT_COUNT; i++)
        if (i != ST_SLOT_OUT && p->width[i] > widest) widest = p->width[i];
    for (int i = 0; i < 2; i++) {
        w->tile[i] = scratch_carve(c, ST_ROW_CHUNK, ST_TILE_COLS * sizeof(float));
        w->row[i] = scratch_carve(c, st_round_up(widest, 16), sizeof(float));
    }
    w->panel = scratch_carve(c, ST_DECODED_COLS * ST_K_CHUNK, sizeof(float));
    w->wide = scratch_carve(c, ST_TILE_COLS / 16 * ST_WIDE_BLOCKS, st_shape_block_bytes(ST_SHAPE_16_MIN));
    w->scores = scratch_carve(c, w->n_scores, sizeof(float));
    if (s->precision == STRATA_PRECISION_BF16) {
        w->q16 = scratch_carve(c, ST_BF16_QUERIES, st_round_up(p->config->d_head_k, 32) * sizeof(uint16_t));
        w->p16 = scratch_carve(c, w->n_scores, sizeof(uint16_t));
    }
    w->bias = scratch_carve(c, p->weights->layers[0].attn_rel_b ? 2 * (size_t)w->cap_len : 0, sizeof(float));
    w->rows = scratch_carve(c, p->config->n_expert ? w->cap_rows : 0, sizeof(uint32_t));
    w->layer_seconds = scratch_carve(c, (size_t)p->config->n_layer + 1, sizeof(double));
}

static int scratch_reserve_worker(st_state *s, st_worker *w, uint32_t rows, uint32_t len, strata_error *err)
{
    size_t n = scratch_score_floats(s, len);
    if (n <= w->n_scores && len <= w->cap_len && rows <= w->cap_rows) return STRATA_OK;
    st_worker next = {.n_scores = n > w->n_scores ? n : w->n_scores,
                      .cap_len = scratch_max2(len, w->cap_len),
                      .cap_rows = scratch_max2(rows, w->cap_rows)};
    carver c = {.ok = true};
    scratch_carve_worker(&c, s, &next);
    size_t bytes = c.at;
    c = (carver){.base = c.ok ? st_alloc_huge(s->exec->mem, bytes, 1) : NULL, .ok = true};
    ST_FAIL_IF(!c.base, err, STRATA_NO_MEMORY, "no memory for the scratch of a thread (%zu bytes)", bytes);
    st_free(s->exec->mem, w->block);
    next.block = c.base;
    scratch_carve_worker(&c, s, &next);
    memset(next.layer_seconds, 0, ((size_t)s->exec->plan->config->n_layer + 1) * sizeof(double));
    *w = next;
    return STRATA_OK;
}

int st_state_reserve(st_state *s, uint32_t n_slots, uint32_t rows, uint32_t seqs, uint32_t len, strata_error *err)
{
    for (uint32_t i = 0; i < n_slots; i++) ST_TRY(scratch_reserve_slots(s, &s->slots[i], rows, seqs, len, err));
    for (uint32_t i = 0; i < s->n_threads; i++) ST_TRY(scratch_reserve_worker(s, &s->workers[i], rows, len, err));
    return STRATA_OK;
}

int st_state_rope(st_state *s, uint32_t len, strata_error *err)
{
    const st_plan *p = s->exec->plan;
    const uint32_t n_rot = p->config->n_rot;
    st_mem *mem = s->exec->mem;
    if (p->config->arch->rope == ST_ROPE_NONE || len <= s->rope_len) return STRATA_OK;
    uint32_t cap = len < 64 ? 64 : len;
    float *next[ST_ROPE_TABLES] = {NULL};
    for (uint32_t i = 0; i < ST_ROPE_TABLES; i++) {
        if (!st_rope_has(p, i)) continue;
        next[i] = st_alloc(mem, (size_t)cap * n_rot, sizeof *next[i]);
        if (next[i]) continue;
        for (uint32_t j = 0; j < i; j++) st_free(mem, next[j]);
        ST_FAIL(err, STRATA_NO_MEMORY, "no memory for the angles of %u positions", cap);
    }
    for (uint32_t i = 0; i < ST_ROPE_TABLES; i++) {
        if (!next[i]) continue;
        const size_t kept = (size_t)s->rope_len * n_rot;
        if (kept) memcpy(next[i], s->rope[i], kept * sizeof *next[i]);
        st_rope_fill(p, i, s->rope_len, cap, next[i] + kept);
        st_free(mem, s->rope[i]);
        s->rope[i] = next[i];
    }
    s->rope_len = cap;
    return STRATA_OK;
}

const float *st_state_angles(const st_state *s, uint32_t rope_class, uint32_t len, uint32_t pos)
{
    return s->rope[st_rope_table(s->exec->plan, rope_class, len)] + (size_t)pos * s->exec->plan->config->n_rot;
}
