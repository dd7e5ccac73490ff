/* kv.c: the cache: blocks of panels, rings of windowed layers, the stored types. Owns what may stay of a sequence. */
#include "backend/cpu/kv.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "model/reach.h"

/* Blocks of the 8-bit form: 32 values of one position share a scale. */
#define BLOCK 32u

static size_t kv_blocks(uint32_t d)
{
    return (d + BLOCK - 1) / BLOCK;
}

/* Bytes of 16 positions of a head of d values. The 8-bit form has the values first, then the scales as f32. */
static size_t kv_panel_bytes(int type, uint32_t d)
{
    switch (type) {
    case STRATA_KV_F32: return (size_t)d * 16 * 4;
    case STRATA_KV_F16: return (size_t)d * 16 * 2;
    default: return (size_t)d * 16 + kv_blocks(d) * 16 * 4;
    }
}

static uint32_t kv_panels_of(const st_config *c, const st_kv_opts *o, bool ring)
{
    uint64_t full = st_round_up(o->n_ctx, 16), need = full;
    /* The ring holds the window before a batch, the batch, and the panels that both begin and end inside. */
    if (ring) need = st_round_up((uint64_t)c->window + o->n_batch, 16) + 16;
    return (uint32_t)((need < full ? need : full) / 16);
}

uint64_t st_kv_bytes(const st_plan *plan, const st_kv_opts *o)
{
    const st_config *c = plan->config;
    size_t total = 0, bytes, one = kv_panel_bytes(o->type, c->d_head_k) + kv_panel_bytes(o->type, c->d_head_v);
    if (!st_mul(one, c->n_head_kv, &one)) return 0;
    for (uint32_t il = 0; il < c->n_layer; il++)
        if (!st_mul(one, kv_panels_of(c, o, st_config_windowed(c, il)), &bytes) || !st_add(total, bytes, &total))
            return 0;
    return st_mul(total, o->n_seqs, &total) ? total : 0;
}

int st_kv_open(st_kv *kv, const st_plan *plan, const st_kv_opts *o, st_mem *mem, strata_error *err)
{
    const st_config *c = plan->config;
    *kv = (st_kv){.type = o->type,
                  .n_layer = c->n_layer,
                  .n_seqs = o->n_seqs,
                  .n_ctx = o->n_ctx,
                  .n_head_kv = c->n_head_kv,
                  .d_k = c->d_head_k,
                  .d_v = c->d_head_v,
                  .window = c->window,
                  .panel_k = kv_panel_bytes(o->type, c->d_head_k),
                  .panel_v = kv_panel_bytes(o->type, c->d_head_v),
                  .mem = mem};
    if (o->n_seqs == 0) return STRATA_OK;
    kv->layers = st_calloc(mem, c->n_layer, sizeof *kv->layers);
    kv->seqs = st_calloc(mem, o->n_seqs, sizeof *kv->seqs);
    /* That all bytes can be counted makes every sum below safe. */
    if (!kv->layers || !kv->seqs || st_kv_bytes(plan, o) == 0) {
        st_kv_close(kv);
        ST_FAIL(err, STRATA_NO_MEMORY, "no memory for a cache of %u x %u tokens", o->n_seqs, o->n_ctx);
    }
    for (uint32_t i = 0; i < ST_KV_CLASSES; i++) {
        st_kv_class *s = &kv->classes[i];
        s->panels = kv_panels_of(c, o, i == ST_KV_RING);
        s->n_blocks = (s->panels + ST_KV_BLOCK - 1) / ST_KV_BLOCK;
    }
    for (uint32_t il = 0; il < c->n_layer; il++) {
        st_kv_layer *l = &kv->layers[il];
        l->kind = st_config_windowed(c, il) ? ST_KV_RING : ST_KV_FULL;
        size_t *bytes = &kv->classes[l->kind].bytes;
        l->k = *bytes;
        l->v = l->k + kv->panel_k * c->n_head_kv;
        *bytes = l->v + kv->panel_v * c->n_head_kv;
    }
    return STRATA_OK;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

static uint32_t kv_panels_in(const st_kv_class *c, uint32_t block)
{
    uint32_t left = c->panels - block * ST_KV_BLOCK;
    return left < ST_KV_BLOCK ? left : ST_KV_BLOCK;
}

/* Gives back a sequence's blocks from `from` on. */
static void kv_drop(const st_kv *kv, st_kv_seq *seq, uint32_t kind, uint32_t from)
{
    const st_kv_class *c = &kv->classes[kind];
    for (uint32_t b = from; seq->blocks[kind] && b < c->n_blocks; b++) {
        st_free_pages(kv->mem, seq->blocks[kind][b], c->bytes * kv_panels_in(c, b));
        seq->blocks[kind][b] = NULL;
    }
}

void st_kv_close(st_kv *kv)
{
    if (!kv->mem) return;
    for (uint32_t i = 0; kv->seqs && i < kv->n_seqs; i++)
        for (uint32_t kind = 0; kind < ST_KV_CLASSES; kind++) {
            kv_drop(kv, &kv->seqs[i], kind, 0);
            st_free(kv->mem, kv->seqs[i].blocks[kind]);
        }
    st_free(kv->mem, kv->seqs);
    st_free(kv->mem, kv->layers);
    kv->seqs = NULL;
    kv->layers = NULL;
}

static int kv_take(st_kv *kv, st_kv_seq *seq, uint32_t kind, uint32_t from, uint32_t to, strata_error *err)
{
    const st_kv_class *c = &kv->classes[kind];
    uint8_t ***table = &seq->blocks[kind];
    if (c->bytes == 0) return STRATA_OK;
    if (!*table) *table = st_calloc(kv->mem, c->n_blocks, sizeof **table);
    ST_FAIL_IF(!*table, err, STRATA_NO_MEMORY, "no memory for the cache of a sequence");
    for (uint32_t p = from / 16; p <= (to - 1) / 16; p++) {
        uint32_t b = p % c->panels / ST_KV_BLOCK;
        if ((*table)[b]) continue;
        size_t bytes = c->bytes * kv_panels_in(c, b);
        (*table)[b] = st_alloc_pages(kv->mem, bytes);
        ST_FAIL_IF(!(*table)[b], err, STRATA_NO_MEMORY, "no memory for the cache of tokens %u to %u (%zu bytes)", from,
                   to, bytes);
    }
    return STRATA_OK;
}

int st_kv_begin(st_kv *kv, uint32_t seq, uint32_t from, uint32_t to, bool long_keys, strata_error *err)
{
    st_kv_seq *l = &kv->seqs[seq];
    for (uint32_t kind = 0; kind < ST_KV_CLASSES; kind++) ST_TRY(kv_take(kv, l, kind, from, to, err));
    l->top = from == 0 || to > l->top ? to : l->top;
    l->long_keys = long_keys;
    return STRATA_OK;
}

uint32_t st_kv_keep(const st_kv *kv, uint32_t seq, uint32_t keep, bool long_keys)
{
    const st_kv_seq *l = &kv->seqs[seq];
    const st_kv_class *ring = &kv->classes[ST_KV_RING];
    if (keep == 0 || keep > l->top) return 0;
    /* What is kept was rotated by the other table: HF empties its cache there too. */
    if (l->long_keys != long_keys) return 0;
    if (ring->bytes == 0) return keep;
    /* The first panel that the token at `keep` sees: gone once the ring has come round to its place. */
    uint32_t oldest = st_reach_oldest(kv->window, keep) / 16, newest = (l->top - 1) / 16;
    return newest - oldest < ring->panels ? keep : 0;
}

void st_kv_trim(st_kv *kv, uint32_t seq, uint32_t keep, uint32_t n)
{
    st_kv_seq *l = &kv->seqs[seq];
    if (keep == 0) l->top = 0;
    for (uint32_t kind = 0; kind < ST_KV_CLASSES; kind++) {
        const st_kv_class *c = &kv->classes[kind];
        if (n <= c->panels * 16) /* a ring's places are then those of the tokens, also of one that came round before */
            kv_drop(kv, l, kind, (n + 16 * ST_KV_BLOCK - 1) / (16 * ST_KV_BLOCK));
    }
}

/* Panel of one head's keys or values: `before` bytes of a panel of its kind come before it. */
static uint8_t *kv_panel_at(const st_kv *kv, uint32_t kind, uint32_t seq, uint32_t panel, size_t before, size_t bytes)
{
    const st_kv_class *c = &kv->classes[kind];
    const uint32_t p = panel % c->panels, b = p / ST_KV_BLOCK;
    uint8_t *block = kv->seqs[seq].blocks[kind][b];
    return block ? block + before * kv_panels_in(c, b) + p % ST_KV_BLOCK * bytes : NULL;
}

static uint8_t *kv_keys_at(const st_kv *kv, uint32_t layer, uint32_t seq, uint32_t head, uint32_t panel)
{
    const st_kv_layer *l = &kv->layers[layer];
    return kv_panel_at(kv, l->kind, seq, panel, l->k + head * kv->panel_k, kv->panel_k);
}

static uint8_t *kv_values_at(const st_kv *kv, uint32_t layer, uint32_t seq, uint32_t head, uint32_t panel)
{
    const st_kv_layer *l = &kv->layers[layer];
    return kv_panel_at(kv, l->kind, seq, panel, l->v + head * kv->panel_v, kv->panel_v);
}

/* ---- one value at a time: writing -------------------------------------------------------------------------------- */

/* Where value i of a position stands inside a panel: keys are [d][16], values [16][d]. */
static size_t kv_place(bool key, uint32_t d, uint32_t i, uint32_t slot)
{
    return key ? (size_t)i * 16 + slot : (size_t)slot * d + i;
}

/* All exponent bits set: infinity or NaN. */
static bool kv_is_finite(float x)
{
    return (st_f32_bits(x) & 0x7f800000u) != 0x7f800000u;
}

static bool kv_store_q8(uint8_t *panel, bool key, uint32_t d, uint32_t slot, const float *x)
{
    int8_t *q = (int8_t *)panel;
    float *scales = (float *)(void *)(panel + (size_t)d * 16);
    bool finite = true;
    for (uint32_t b = 0; b < kv_blocks(d); b++) {
        uint32_t from = b * BLOCK, to = from + BLOCK < d ? from + BLOCK : d;
        float amax = 0;
        bool good = true; /* before any of them becomes an integer */
        for (uint32_t i = from; i < to; i++) {
            good &= kv_is_finite(x[i]);
            amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
        }
        float inv = amax > 0 ? 127.0f / amax : 0.0f;
        bool usable = good && inv > 0 && inv <= 3.4028234e38f; /* an amax so small that its inverse overflows is zero */
        float scale = usable ? amax / 127.0f : 0.0f;
        scales[key ? b * 16 + slot : slot * kv_blocks(d) + b] = good ? scale : NAN;
        for (uint32_t i = from; i < to; i++) q[kv_place(key, d, i, slot)] = (int8_t)(usable ? rintf(x[i] * inv) : 0.0f);
        finite &= good;
    }
    return finite;
}

static bool kv_store(int type, uint8_t *panel, bool key, uint32_t d, uint32_t slot, const float *x)
{
    if (type == STRATA_KV_Q8) return kv_store_q8(panel, key, d, slot, x);
    bool finite = true;
    for (uint32_t i = 0; i < d; i++) {
        size_t at = kv_place(key, d, i, slot);
        if (type == STRATA_KV_F32) {
            ((float *)(void *)panel)[at] = x[i];
            finite &= kv_is_finite(x[i]);
        } else {
            uint16_t h = st_f32_to_f16(x[i]);
            ((uint16_t *)(void *)panel)[at] = h;
            finite &= (h & 0x7c00u) != 0x7c00u; /* from 65520 on it is infinity */
        }
    }
    return finite;
}

bool st_kv_store(const st_kv *kv, uint32_t layer, uint32_t seq, uint32_t head, uint32_t pos, const float *key,
                 const float *value)
{
    bool k = kv_store(kv->type, kv_keys_at(kv, layer, seq, head, pos / 16), true, kv->d_k, pos % 16, key);
    bool v = kv_store(kv->type, kv_values_at(kv, layer, seq, head, pos / 16), false, kv->d_v, pos % 16, value);
    return k && v;
}

/* ---- panels: reading --------------------------------------------------------------------------------------------- */

static void kv_load_q8(const uint8_t *panel, bool key, uint32_t d, float *y)
{
    const int8_t *q = (const int8_t *)panel;
    const float *scales = (const float *)(const void *)(panel + (size_t)d * 16);
    for (uint32_t i = 0; i < (key ? d : 16); i++)
        for (uint32_t j = 0; j < (key ? 16 : d); j++) {
            float s = key ? scales[i / BLOCK * 16 + j] : scales[i * kv_blocks(d) + j / BLOCK];
            y[(size_t)i * (key ? 16 : d) + j] = s * (float)q[(size_t)i * (key ? 16 : d) + j];
        }
}

static void kv_load(const st_kernels *k, int type, const uint8_t *panel, bool key, uint32_t d, float *y)
{
    switch (type) {
    case STRATA_KV_F32: memcpy(y, panel, (size_t)d * 16 * sizeof *y); break;
    case STRATA_KV_F16: k->f16_to_f32((const uint16_t *)(const void *)panel, y, (size_t)d * 16); break;
    default: kv_load_q8(panel, key, d, y); break;
    }
}

/* A panel that is needed soon, if there is one. */
static void kv_fetch(const uint8_t *panel, size_t bytes)
{
    for (size_t i = 0; panel && i < bytes; i += 64) __builtin_prefetch(panel + i, 0, 2);
}

void st_kv_keys(const st_kv *kv, const st_kernels *k, uint32_t layer, uint32_t seq, uint32_t head, uint32_t panel,
                uint32_t ahead, float *kt)
{
    if (ahead) kv_fetch(kv_keys_at(kv, layer, seq, head, panel + ahead), kv->panel_k);
    kv_load(k, kv->type, kv_keys_at(kv, layer, seq, head, panel), true, kv->d_k, kt);
}

void st_kv_values(const st_kv *kv, const st_kernels *k, uint32_t layer, uint32_t seq, uint32_t head, uint32_t panel,
                  uint32_t ahead, float *v)
{
    if (ahead) kv_fetch(kv_values_at(kv, layer, seq, head, panel + ahead), kv->panel_v);
    kv_load(k, kv->type, kv_values_at(kv, layer, seq, head, panel), false, kv->d_v, v);
}

void st_kv_load(const st_kv *kv, const st_kernels *k, uint32_t layer, uint32_t seq, uint32_t head, uint32_t p0,
                uint32_t p1, float *kt, float *v, uint32_t ldv)
{
    for (uint32_t p = p0; p < p1; p++, kt += kv->d_k * 16, v += ldv * 16) {
        st_kv_keys(kv, k, layer, seq, head, p, 0, kt);
        st_kv_values(kv, k, layer, seq, head, p, 0, v);
        if (ldv == kv->d_v) continue;
        /* Rows were read without gaps: spread them from the last one on. */
        for (uint32_t r = 16; r-- > 0;) {
            memmove(v + (size_t)r * ldv, v + (size_t)r * kv->d_v, kv->d_v * sizeof *v);
            memset(v + (size_t)r * ldv + kv->d_v, 0, (ldv - kv->d_v) * sizeof *v);
        }
    }
}
