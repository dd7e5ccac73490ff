/* mix.h: which tensor of a model gets which type when a file is quantised to Q4_K_M and the like.
 *
 * The rules are llama.cpp's, without an importance matrix, so that a file made here has the types that its name
 * promises everywhere. They speak of roles (values, the down projection, the output), which the tensor's name tells. */
#ifndef ST_CONVERT_MIX_H
#define ST_CONVERT_MIX_H

#include "quant/quant.h"

typedef struct st_mix {
    const char *name;   /* "Q4_K_M" */
    uint32_t file_type; /* general.file_type */
    uint32_t base;      /* st_type of what no rule speaks of */
    char grade;         /* 'M' or 'S' of a mix, else 0 */
} st_mix;

/* By name, upper or lower case; NULL if there is none. Q4_K and Q5_K mean Q4_K_M and Q5_K_M. */
const st_mix *st_mix_find(const char *name);

/* The i-th, NULL past the end. */
const st_mix *st_mix_at(uint32_t i);

typedef enum st_role {
    ST_ROLE_OTHER,
    ST_ROLE_EMBED,
    ST_ROLE_OUTPUT,
    ST_ROLE_VALUE, /* attn_v, attn_qkv, attn_kv_b */
    ST_ROLE_KEY,
    ST_ROLE_ATTN_OUT,
    ST_ROLE_DOWN
} st_role;

/* By the name of the tensor; names are not NUL-terminated. */
st_role st_mix_role(const char *name, size_t len);

/* N of "blk.N.", else -1. */
int32_t st_mix_layer(const char *name, size_t len);

/* False: norms, biases, position tables, routers and what else keeps its type. `matrix`: more than one dimension
 * counts. */
bool st_mix_applies(const char *name, size_t len, bool matrix);

typedef struct st_mix_model {
    bool tied;                            /* no output matrix: the token embedding serves for it */
    bool falcon;                          /* whose rules are its own */
    bool huge;                            /* a 70B with grouped queries, where values are small and worth more bits */
    uint32_t n_layer, n_expert, n_values; /* n_values: tensors of the role VALUE */
} st_mix_model;

typedef struct st_mix_tensor {
    st_role role;
    uint32_t at;   /* which of its role, by layer */
    uint64_t cols; /* values in a row */
} st_mix_tensor;

/* The type that the tensor gets. Where its rows are not whole blocks: the nearest type of blocks of 32, and F16 where
 * these do not fit either. `pure`: the base type without the rules. */
uint32_t st_mix_type(const st_mix *mix, const st_mix_model *m, const st_mix_tensor *t, bool pure);

#endif
