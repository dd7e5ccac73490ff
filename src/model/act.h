/* act.h: activation functions by name, shared by rows of architectures, plans and kernels. */
#ifndef ST_MODEL_ACT_H
#define ST_MODEL_ACT_H

typedef enum st_act {
    ST_ACT_NONE = 0,
    ST_ACT_GELU_ERF = 1,  /* x/2 * (1 + erf(x / sqrt 2)) */
    ST_ACT_GELU_TANH = 2, /* x/2 * (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    ST_ACT_SILU = 3,      /* x / (1 + exp(-x)) */
    ST_ACT_RELU = 4,
    ST_ACT_TANH = 5,
    ST_ACT_RELU2 = 6, /* relu(x)^2 */
    /* x / (1 + exp(-1.702 x)) of x up to 7; as a gate its partner is u + 1, u within -7..7 (HF modeling_gpt_oss.py) */
    ST_ACT_SWIGLU_OSS = 7,
    ST_ACT_COUNT = 8
} st_act;

const char *st_act_name(st_act a);

#endif
