/* kv.h: keys and values of earlier tokens, by layer and sequence.
 *
 * For each key head, keys are stored as panels of 16 positions, [d_head_k][16], the operand of Q K^T, and values as
 * rows [16][d_head_v]. Layers that see everything have room for n_ctx positions; layers with a window keep a ring of
 * panels, enough for the window and one batch of new tokens. Values are rounded to the stored type when they are
 * written and read back from it at once, so that it does not matter which chunk wrote them.
 *
 * Memory comes in blocks of ST_KV_BLOCK panels of all layers of a kind, as positions are first written, and goes back
 * when a sequence is trimmed: an open cache costs nothing until tokens come. In a block the panels of one head follow
 * each other. */
#ifndef ST_BACKEND_CPU_KV_H
#define ST_BACKEND_CPU_KV_H

#include "backend/backend.h"
#include "backend/cpu/kernels/kernels.h"

/* 128 positions: for SmolLM2 2.9 MB, for a Llama of 8 B 16.8 MB. Smaller ones would cut the streams of a head into
 * pieces of few pages, larger ones cost a short sequence memory where pages are huge. */
#define ST_KV_BLOCK 8u

/* Layers of a kind have the same capacity: those that see everything, those with a window. */
enum { ST_KV_FULL, ST_KV_RING, ST_KV_CLASSES };

typedef struct st_kv_class {
    uint32_t panels, n_blocks; /* of a sequence; a ring if there are fewer panels than in the context */
    size_t bytes;              /* of one panel of all its layers and heads, keys and values */
} st_kv_class;

typedef struct st_kv_layer {
    uint32_t kind;
    size_t k, v; /* bytes of a panel of its kind that come before its first head's */
} st_kv_layer;

/* What every run since the sequence began anew, including those that failed, has made of it. */
typedef struct st_kv_seq {
    uint8_t **blocks[ST_KV_CLASSES]; /* [n_blocks]; NULL: not yet */
    uint32_t top;                    /* positions [0, top) were written, so a ring holds the last of these */
    bool long_keys;                  /* its keys were rotated with LongRoPE's long factors */
} st_kv_seq;

typedef struct st_kv {
    int type; /* strata_kv */
    uint32_t n_layer, n_seqs, n_ctx, n_head_kv, d_k, d_v, window;
    size_t panel_k, panel_v; /* bytes of 16 positions of one head */
    st_kv_class classes[ST_KV_CLASSES];
    st_kv_layer *layers; /* [n_layer] */
    st_kv_seq *seqs;     /* [n_seqs] */
    st_mem *mem;
} st_kv;

/* n_seqs 0 gives an empty cache. Errors: NO_MEMORY. */
int st_kv_open(st_kv *kv, const st_plan *plan, const st_kv_opts *opts, st_mem *mem, strata_error *err);
void st_kv_close(st_kv *kv);
uint64_t st_kv_bytes(const st_plan *plan, const st_kv_opts *opts);

/* A run is about to write positions [from, to) of a sequence: makes room and remembers. from = 0 begins anew. Errors:
 * NO_MEMORY; the sequence then holds what it held. */
int st_kv_begin(st_kv *kv, uint32_t seq, uint32_t from, uint32_t to, bool long_keys, strata_error *err);
/* st_backend.kv_keep and kv_trim. */
uint32_t st_kv_keep(const st_kv *kv, uint32_t seq, uint32_t keep, bool long_keys);
void st_kv_trim(st_kv *kv, uint32_t seq, uint32_t keep, uint32_t n);

/* Writes one position of one head: key [d_k], value [d_v]. False: a value is not finite, or is not once it is
 * stored. */
bool st_kv_store(const st_kv *kv, uint32_t layer, uint32_t seq, uint32_t head, uint32_t pos, const float *key,
                 const float *value);

/* Reads one panel of 16 positions as floats: keys [d_k][16], values [16][d_v]. The panel `ahead` further is fetched
 * into the cache meanwhile: the hardware's own streams end with each 4 KB page. */
void st_kv_keys(const st_kv *kv, const st_kernels *k, uint32_t layer, uint32_t seq, uint32_t head, uint32_t panel,
                uint32_t ahead, float *kt);
void st_kv_values(const st_kv *kv, const st_kernels *k, uint32_t layer, uint32_t seq, uint32_t head, uint32_t panel,
                  uint32_t ahead, float *v);

/* Reads panels [p0, p1) of 16 positions as floats: kt [p1-p0][d_k][16] and v [16*(p1-p0)][ldv], ldv >= d_v with zeros
 * beyond. */
void st_kv_load(const st_kv *kv, const st_kernels *k, uint32_t layer, uint32_t seq, uint32_t head, uint32_t p0,
                uint32_t p1, float *kt, float *v, uint32_t ldv);

#endif
