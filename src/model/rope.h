/* rope.h: the angles that rotary position embedding turns queries and keys by. Every backend takes them from here: they
 * are facts of the model, not of the hardware. */
#ifndef ST_MODEL_ROPE_H
#define ST_MODEL_ROPE_H

#include "model/plan.h"

/* Tables by class of layer (st_config.rope), and for each of these by LongRoPE's short or long factors. */
#define ST_ROPE_TABLES 4

/* Whether the model uses a table. */
bool st_rope_has(const st_plan *p, uint32_t table);

/* Rows of positions [from, to) of a table -> out [to - from][n_rot]: cos, then sin, of n_rot/2 angles. */
void st_rope_fill(const st_plan *p, uint32_t table, uint32_t from, uint32_t to, float *out);

/* Whether a sequence of `len` tokens takes LongRoPE's long factors. */
bool st_rope_is_long(const st_plan *p, uint32_t len);

/* The table for layers of a class in a sequence of `len` tokens. */
uint32_t st_rope_table(const st_plan *p, uint32_t rope_class, uint32_t len);

#endif
