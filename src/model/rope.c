/* rope.c: cos and sin of every position. */
#include "model/rope.h"

#include <math.h>

#include "base/math.h"

/* The dimension whose wavelength makes `turns` turns over the original context (YaRN paper, eq. 17; HF
 * modeling_rope_utils.py, find_correction_dim). */
static double rope_yarn_dim(double turns, uint32_t n_rot, double base, double original)
{
    return n_rot * st_ln(original / (turns * 2 * 3.14159265358979323846)) / (2 * st_ln(base));
}

typedef struct ramp {
    float low, high;
} ramp;

static ramp rope_yarn_ramp(const st_rope *r, uint32_t n_rot, uint32_t original)
{
    double low = rope_yarn_dim((double)r->beta_fast, n_rot, (double)r->base, original),
           high = rope_yarn_dim((double)r->beta_slow, n_rot, (double)r->base, original);
    if (r->fractional) {
        if (low < 0) low = 0;
        if (high > n_rot - 1) high = n_rot - 1;
        return (ramp){(float)low, (float)(low < high ? high : low + 0.001)};
    }
    /* Cut first, so that the integers hold them: neither changes what floor and ceil give inside. */
    if (low < 0) low = 0;
    if (low > 1e9) low = 1e9;
    if (high > n_rot - 1) high = n_rot - 1;
    if (high < -1e9) high = -1e9;
    long lo = (long)low, hi = (long)high;
    lo -= (double)lo > low;  /* floor */
    hi += (double)hi < high; /* ceil */
    return (ramp){(float)lo, lo == hi ? (float)hi + 0.001f : (float)hi};
}

/* HF computes base^(2i/n_rot), its reciprocal, the angle and its cosine each in float32 (modeling_rope_utils.py); the
 * same roundings here keep long texts within float noise of it. */
static float rope_inv_freq(const st_rope *r, uint32_t n_rot, uint32_t i, float divisor, ramp yarn)
{
    float exponent = (float)(2 * i) / (float)n_rot, power = (float)st_pow((double)r->base, (double)exponent);
    switch (r->scaling) {
    case ST_ROPE_SCALING_NONE: return 1.0f / (power * divisor);
    case ST_ROPE_SCALING_LINEAR: return 1.0f / (power * divisor) / r->factor;
    case ST_ROPE_SCALING_YARN: {
        float t = ((float)i - yarn.low) / (yarn.high - yarn.low), keep;
        keep = 1.0f - (t < 0 ? 0.0f : t > 1 ? 1.0f : t);
        return 1.0f / (r->factor * power) * (1.0f - keep) + 1.0f / power * keep;
    }
    }
    return 0;
}

static void rope_rows(float *table, const st_config *c, const st_rope *r, const float *divisors, uint32_t from,
                      uint32_t to)
{
    uint32_t half = c->n_rot / 2;
    ramp yarn = {0, 1};
    if (r->scaling == ST_ROPE_SCALING_YARN) yarn = rope_yarn_ramp(r, c->n_rot, c->rope_original);
    for (uint32_t i = 0; i < half; i++) {
        float inv = rope_inv_freq(r, c->n_rot, i, divisors ? divisors[i] : 1.0f, yarn);
        if (divisors && isinf(divisors[i])) inv = NAN; /* not a dimension that does not turn */
        for (uint32_t pos = from; pos < to; pos++) {
            double angle = (double)((float)pos * inv);
            table[(size_t)(pos - from) * c->n_rot + i] = (float)st_cos(angle) * r->attn_factor;
            table[(size_t)(pos - from) * c->n_rot + half + i] = (float)st_sin(angle) * r->attn_factor;
        }
    }
}

/* Bits of a table's number: its class of layers, and LongRoPE's long factors. */
#define ROPE_CLASS 1u
#define ROPE_LONG  2u

bool st_rope_has(const st_plan *p, uint32_t table)
{
    return (!(table & ROPE_CLASS) || p->config->window) && (!(table & ROPE_LONG) || p->weights->rope_factors_long.v);
}

void st_rope_fill(const st_plan *p, uint32_t table, uint32_t from, uint32_t to, float *out)
{
    const st_weights *w = p->weights;
    const float *divisors = table & ROPE_LONG         ? w->rope_factors_long.v
                            : w->rope_factors_short.v ? w->rope_factors_short.v
                                                      : w->rope_freqs.v;
    rope_rows(out, p->config, &p->config->rope[table & ROPE_CLASS], divisors, from, to);
}

bool st_rope_is_long(const st_plan *p, uint32_t len)
{
    return p->weights->rope_factors_long.v && len > p->config->rope_original;
}

uint32_t st_rope_table(const st_plan *p, uint32_t rope_class, uint32_t len)
{
    return rope_class | (st_rope_is_long(p, len) ? ROPE_LONG : 0);
}
