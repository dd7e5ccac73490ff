/* reach.h: which keys a query sees, and what their distance does to a score: windows, ALiBi, T5's buckets. What every
 * backend's attention is to compute. */
#ifndef ST_MODEL_REACH_H
#define ST_MODEL_REACH_H

#include "model/plan.h"

/* The oldest position that a token at `pos` sees through a window of `window` keys, itself among them. */
static inline uint32_t st_reach_oldest(uint32_t window, uint32_t pos)
{
    return pos >= window ? pos - window + 1 : 0;
}

/* Keys [*lo, *hi) that the query at position i of a sequence of `len` sees. */
void st_reach_visible(const st_op_attn *op, uint32_t len, uint32_t i, uint32_t *lo, uint32_t *hi);

/* ALiBi's slope of a head, 0 without: a score gets -slope * distance. */
float st_reach_slope(const st_op_attn *op, uint32_t head);

/* T5's bucket of a key at `distance` from the query, below n_buckets >= 2. */
uint32_t st_reach_bucket(int64_t distance, uint32_t n_buckets);

#endif
