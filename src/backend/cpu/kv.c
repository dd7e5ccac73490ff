#include "backend/cpu/kv.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

/* Blocks of the 8-bit form: 32 values of one position share a scale. */
#define BLOCK 32u

static size_t blocks(uint32_t d)
{
    return (d + BLOCK - 1) / BLOCK;
}

/* Bytes of 16 positions of a head of d values. The 8-bit form has the values first, then the scales as f32. */
static size_t panel_bytes(int type, uint32_t d)
{
    switch (type) {
    case STRATA_KV_F32: return (size_t)d * 16 * 4;
    case STRATA_KV_F16: return (size_t)d * 16 * 2;
    default: return (size_t)d * 16 + blocks(d) * 16 * 4;
    }
}

static uint32_t capacity(const st_config *c, const st_kv_opts *o, uint32_t layer)
{
    uint64_t full = st_round_up(o->n_ctx, 16), need = full;
    /* The ring holds the window before a batch, the batch, and the panels that both begin and end inside. */
    if (st_config_windowed(c, layer) && c->window) need = st_round_up((uint64_t)c->window + o->n_batch, 16) + 16;
    return (uint32_t)(need < full ? need : full);
}

static bool head_bytes(const st_plan *plan, const st_kv_opts *o, uint32_t layer, size_t *k, size_t *v)
{
    const st_config *c = plan->config;
    uint32_t panels = capacity(c, o, layer) / 16;
    return st_mul(panels, panel_bytes(o->type, c->d_head_k), k) && st_mul(panels, panel_bytes(o->type, c->d_head_v), v);
}

uint64_t st_kv_bytes(const st_plan *plan, const st_kv_opts *o)
{
    size_t total = 0, k, v, heads;
    if (!st_mul(o->n_lanes, plan->config->n_head_kv, &heads)) return 0;
    for (uint32_t il = 0; il < plan->config->n_layer; il++) {
        if (!head_bytes(plan, o, il, &k, &v) || !st_add(k, v, &k) || !st_mul(k, heads, &k) || !st_add(total, k, &total))
            return 0;
    }
    return total;
}

int st_kv_open(st_kv *kv, const st_plan *plan, const st_kv_opts *o, st_mem *mem, strata_error *err)
{
    const st_config *c = plan->config;
    *kv = (st_kv){.type = o->type,
                  .n_layer = c->n_layer,
                  .n_lanes = o->n_lanes,
                  .n_ctx = o->n_ctx,
                  .n_head_kv = c->n_head_kv,
                  .d_k = c->d_head_k,
                  .d_v = c->d_head_v,
                  .mem = mem};
    if (o->n_lanes == 0) return STRATA_OK;
    kv->layers = st_calloc(mem, c->n_layer, sizeof *kv->layers);
    bool ok = kv->layers != NULL;
    for (uint32_t il = 0; ok && il < c->n_layer; il++) {
        st_kv_layer *l = &kv->layers[il];
        size_t heads = (size_t)o->n_lanes * c->n_head_kv;
        l->cap = capacity(c, o, il);
        ok = head_bytes(plan, o, il, &l->head_bytes_k, &l->head_bytes_v);
        if (ok) l->k = st_calloc(mem, heads, l->head_bytes_k);
        if (ok) l->v = st_calloc(mem, heads, l->head_bytes_v);
        ok = ok && l->k && l->v;
    }
    if (ok) return STRATA_OK;
    st_kv_close(kv);
    ST_FAIL(err, STRATA_NO_MEMORY, "no memory for a cache of %u x %u tokens (%llu bytes)", o->n_lanes, o->n_ctx,
            (unsigned long long)st_kv_bytes(plan, o));
}

void st_kv_close(st_kv *kv)
{
    if (!kv->mem) return;
    for (uint32_t il = 0; kv->layers && il < kv->n_layer; il++) {
        st_free(kv->mem, kv->layers[il].k);
        st_free(kv->mem, kv->layers[il].v);
    }
    st_free(kv->mem, kv->layers);
    kv->layers = NULL;
}

/* ---- one value at a time: writing -------------------------------------------------------------------------------- */

/* Where value i of a position stands inside a panel: keys are [d][16], values [16][d]. */
static size_t place(bool key, uint32_t d, uint32_t i, uint32_t slot)
{
    return key ? (size_t)i * 16 + slot : (size_t)slot * d + i;
}

static void store_q8(uint8_t *panel, bool key, uint32_t d, uint32_t slot, const float *x)
{
    int8_t *q = (int8_t *)panel;
    float *scales = (float *)(void *)(panel + (size_t)d * 16);
    for (uint32_t b = 0; b < blocks(d); b++) {
        uint32_t from = b * BLOCK, to = from + BLOCK < d ? from + BLOCK : d;
        float amax = 0;
        for (uint32_t i = from; i < to; i++) amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
        float inv = amax > 0 ? 127.0f / amax : 0.0f;
        bool usable = inv > 0 && inv <= 3.4028234e38f; /* an amax so small that its inverse overflows is zero */
        scales[key ? b * 16 + slot : slot * blocks(d) + b] = usable ? amax / 127.0f : 0.0f;
        for (uint32_t i = from; i < to; i++) q[place(key, d, i, slot)] = (int8_t)(usable ? rintf(x[i] * inv) : 0.0f);
    }
}

static void store(int type, uint8_t *panel, bool key, uint32_t d, uint32_t slot, const float *x)
{
    if (type == STRATA_KV_Q8) {
        store_q8(panel, key, d, slot, x);
        return;
    }
    for (uint32_t i = 0; i < d; i++) {
        size_t at = place(key, d, i, slot);
        if (type == STRATA_KV_F32)
            ((float *)(void *)panel)[at] = x[i];
        else
            ((uint16_t *)(void *)panel)[at] = st_f32_to_f16(x[i]);
    }
}

void st_kv_store(const st_kv *kv, uint32_t layer, uint32_t lane, uint32_t head, uint32_t pos, const float *key,
                 const float *value)
{
    const st_kv_layer *l = &kv->layers[layer];
    size_t h = (size_t)lane * kv->n_head_kv + head, panel = pos / 16 % (l->cap / 16);
    store(kv->type, l->k + h * l->head_bytes_k + panel * panel_bytes(kv->type, kv->d_k), true, kv->d_k, pos % 16, key);
    store(kv->type, l->v + h * l->head_bytes_v + panel * panel_bytes(kv->type, kv->d_v), false, kv->d_v, pos % 16,
          value);
}

/* ---- panels: reading --------------------------------------------------------------------------------------------- */

static void load_q8(const uint8_t *panel, bool key, uint32_t d, float *y)
{
    const int8_t *q = (const int8_t *)panel;
    const float *scales = (const float *)(const void *)(panel + (size_t)d * 16);
    for (uint32_t i = 0; i < (key ? d : 16); i++)
        for (uint32_t j = 0; j < (key ? 16 : d); j++) {
            float s = key ? scales[i / BLOCK * 16 + j] : scales[i * blocks(d) + j / BLOCK];
            y[(size_t)i * (key ? 16 : d) + j] = s * (float)q[(size_t)i * (key ? 16 : d) + j];
        }
}

static void load(const st_kernels *k, int type, const uint8_t *panel, bool key, uint32_t d, float *y)
{
    switch (type) {
    case STRATA_KV_F32: memcpy(y, panel, (size_t)d * 16 * sizeof *y); break;
    case STRATA_KV_F16: k->f16_to_f32((const uint16_t *)(const void *)panel, y, (size_t)d * 16); break;
    default: load_q8(panel, key, d, y); break;
    }
}

/* Panel p of one head's keys or values, and the one `ahead` of it on its way. */
static const uint8_t *panel_at(const uint8_t *head, size_t bytes, uint32_t cap, uint32_t p, uint32_t ahead)
{
    if (ahead) {
        const uint8_t *next = head + (p + ahead) % (cap / 16) * bytes;
        for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(next + i, 0, 2);
    }
    return head + p % (cap / 16) * bytes;
}

void st_kv_keys(const st_kv *kv, const st_kernels *k, uint32_t layer, uint32_t lane, uint32_t head, uint32_t panel,
                uint32_t ahead, float *kt)
{
    const st_kv_layer *l = &kv->layers[layer];
    const uint8_t *at = l->k + ((size_t)lane * kv->n_head_kv + head) * l->head_bytes_k;
    load(k, kv->type, panel_at(at, panel_bytes(kv->type, kv->d_k), l->cap, panel, ahead), true, kv->d_k, kt);
}

void st_kv_values(const st_kv *kv, const st_kernels *k, uint32_t layer, uint32_t lane, uint32_t head, uint32_t panel,
                  uint32_t ahead, float *v)
{
    const st_kv_layer *l = &kv->layers[layer];
    const uint8_t *at = l->v + ((size_t)lane * kv->n_head_kv + head) * l->head_bytes_v;
    load(k, kv->type, panel_at(at, panel_bytes(kv->type, kv->d_v), l->cap, panel, ahead), false, kv->d_v, v);
}

void st_kv_load(const st_kv *kv, const st_kernels *k, uint32_t layer, uint32_t lane, uint32_t head, uint32_t p0,
                uint32_t p1, float *kt, float *v, uint32_t ldv)
{
    for (uint32_t p = p0; p < p1; p++, kt += kv->d_k * 16, v += ldv * 16) {
        st_kv_keys(kv, k, layer, lane, head, p, 0, kt);
        st_kv_values(kv, k, layer, lane, head, p, 0, v);
        if (ldv == kv->d_v) continue;
        /* Rows were read without gaps: spread them from the last one on. */
        for (uint32_t r = 16; r-- > 0;) {
            memmove(v + (size_t)r * ldv, v + (size_t)r * kv->d_v, kv->d_v * sizeof *v);
            memset(v + (size_t)r * ldv + kv->d_v, 0, (ldv - kv->d_v) * sizeof *v);
        }
    }
}
