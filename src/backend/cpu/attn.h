/* attn.h: what the files of attention share: op_attn.c takes blocks of queries, op_attn_step.c one query after a
 * cache. */
#ifndef ST_BACKEND_CPU_ATTN_H
#define ST_BACKEND_CPU_ATTN_H

#include "backend/cpu/cpu.h"
#include "model/reach.h"

/* One sequence, and one key head of it at a time. */
typedef struct st_attn {
    const st_env *env;
    const st_op_attn *op;
    uint32_t layer;
    uint32_t seq;    /* of the cache's sequences */
    uint32_t row;    /* first row of the sequence in the group */
    uint32_t past;   /* tokens before it, in the cache */
    uint32_t n;      /* its tokens in this run: queries past..past+n */
    uint32_t len;    /* past + n: keys */
    uint32_t base;   /* first key in kt and v, a multiple of 16 */
    uint32_t kv;     /* key head */
    uint32_t group;  /* query heads that share it */
    uint32_t g0, g1; /* those of them that are worked now */
    uint32_t ldv;
    const float *kt; /* [(len - base)/16][d_head_k][16] */
    const float *v;  /* [len - base, ldv] */
    bool bf16;
    uint32_t ldk;         /* d_head_k in whole blocks of 32 */
    const uint16_t *kt16; /* [round_up(len, 32)/16][ldk/2][16][2] */
    const uint16_t *v16;  /* [ldv/16][round_up(len, 32)/2][16][2] */
} st_attn;

/* The columns of a token of this run, counted from the run's first. */
static inline const float *st_attn_qkv(const st_attn *a, uint32_t token, uint32_t col)
{
    const st_slots *s = a->env->slots;
    return s->f[ST_SLOT_QKV] + (size_t)(a->row + token) * s->ld[ST_SLOT_QKV] + col;
}

/* Row of n scores (st_attn_row) of a head's query at position q against keys from `lo` on -> numerators; returns their
 * sum. A sink is one more key after the last, whose numerator is in the sum and nowhere else. */
float st_attn_numerators(const st_attn *a, uint32_t head, uint32_t q, uint32_t lo, uint32_t n, float slope, float *row);

/* Whether a sequence's query can go the way of one step: it is alone, has a cache, and its head fits the scratch. */
bool st_attn_can_step(const st_attn *a);

/* The query of a sequence of one new token, all its heads -> A. The caller has synchronised what it stored. */
void st_attn_step(st_attn *a);

#endif
