/* kv.h: keys and values of earlier tokens, by layer and lane.
 *
 * A lane holds one sequence. For each key head, keys are stored as panels of 16 positions, [cap/16][d_head_k][16], the
 * operand of Q K^T, and values as rows [cap][d_head_v]. Layers that see everything have room for n_ctx positions;
 * layers with a window keep a ring of panels, enough for the window and one batch of new tokens. Values are rounded to
 * the stored type when they are written and read back from it at once, so that it does not matter which chunk wrote
 * them. */
#ifndef ST_BACKEND_CPU_KV_H
#define ST_BACKEND_CPU_KV_H

#include "backend/backend.h"
#include "backend/cpu/kernels.h"

typedef struct st_kv_layer {
    uint32_t cap;                      /* positions, a multiple of 16; a ring if less than the context */
    size_t head_bytes_k, head_bytes_v; /* of one key head of one lane */
    uint8_t *k, *v;                    /* [n_lanes][n_head_kv] heads */
} st_kv_layer;

typedef struct st_kv {
    int type; /* strata_kv */
    uint32_t n_layer, n_lanes, n_ctx, n_head_kv, d_k, d_v;
    st_kv_layer *layers; /* [n_layer] */
    st_mem *mem;
} st_kv;

/* n_lanes 0 gives an empty cache. Errors: NO_MEMORY. */
int st_kv_open(st_kv *kv, const st_plan *plan, const st_kv_opts *opts, st_mem *mem, strata_error *err);
void st_kv_close(st_kv *kv);
uint64_t st_kv_bytes(const st_plan *plan, const st_kv_opts *opts);

/* Writes one position of one head: key [d_k], value [d_v]. */
void st_kv_store(const st_kv *kv, uint32_t layer, uint32_t lane, uint32_t head, uint32_t pos, const float *key,
                 const float *value);

/* Reads one panel of 16 positions as floats: keys [d_k][16], values [16][d_v]. The panel `ahead` further is fetched
 * into the cache meanwhile: the hardware's own streams end with each 4 KB page. */
void st_kv_keys(const st_kv *kv, const st_kernels *k, uint32_t layer, uint32_t lane, uint32_t head, uint32_t panel,
                uint32_t ahead, float *kt);
void st_kv_values(const st_kv *kv, const st_kernels *k, uint32_t layer, uint32_t lane, uint32_t head, uint32_t panel,
                  uint32_t ahead, float *v);

/* Reads panels [p0, p1) of 16 positions as floats: kt [p1-p0][d_k][16] and v [16*(p1-p0)][ldv], ldv >= d_v with zeros
 * beyond. */
void st_kv_load(const st_kv *kv, const st_kernels *k, uint32_t layer, uint32_t lane, uint32_t head, uint32_t p0,
                uint32_t p1, float *kt, float *v, uint32_t ldv);

#endif
