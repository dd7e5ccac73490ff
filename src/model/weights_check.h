/* weights_check.h: what weights.c, which finds tensors, and weights_check.c, which says whether they make a model,
 * share. */
#ifndef ST_MODEL_WEIGHTS_CHECK_H
#define ST_MODEL_WEIGHTS_CHECK_H

#include "model/weights.h"

typedef struct st_binder {
    const st_gguf *g;
    const st_config *c;
    const st_log *log;
    st_weights *w;
    uint8_t *used; /* [n_tensors] */
    strata_error *err;
} st_binder;

/* ModernBERT's first layer has no attn_norm: the embedding norm stands for it. */
static inline bool st_first_normed(const st_binder *b, uint32_t il)
{
    return il == 0 && b->w->token_embd_norm_w.v;
}

/* Each layer is whole. Errors: CORRUPT_MODEL, UNSUPPORTED_OP. */
int st_check_layers(const st_binder *b);

/* What is outside the layers is there, what spans tensors fits, and every tensor was used. Errors: the same. */
int st_check_whole(const st_binder *b);

#endif
