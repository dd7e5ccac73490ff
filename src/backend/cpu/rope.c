/* rope.c: cos and sin of every position, made once and kept by the context. */
#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/math.h"

/* The dimension whose wavelength makes `turns` turns over the original context (YaRN paper, eq. 17; HF
 * modeling_rope_utils.py, find_correction_dim). */
static double yarn_dim(double turns, uint32_t n_rot, double base, double original)
{
    return n_rot * st_ln(original / (turns * 2 * 3.14159265358979323846)) / (2 * st_ln(base));
}

typedef struct ramp {
    float low, high;
} ramp;

static ramp yarn_ramp(const st_rope *r, uint32_t n_rot, uint32_t original)
{
    double low = yarn_dim((double)r->beta_fast, n_rot, (double)r->base, original),
           high = yarn_dim((double)r->beta_slow, n_rot, (double)r->base, original);
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
static float inv_freq(const st_rope *r, uint32_t n_rot, uint32_t i, float divisor, ramp yarn)
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

static void fill(float *table, const st_config *c, const st_rope *r, const float *divisors, uint32_t from, uint32_t to)
{
    uint32_t half = c->n_rot / 2;
    ramp yarn = {0, 1};
    if (r->scaling == ST_ROPE_SCALING_YARN) yarn = yarn_ramp(r, c->n_rot, c->rope_original);
    for (uint32_t i = 0; i < half; i++) {
        float inv = inv_freq(r, c->n_rot, i, divisors ? divisors[i] : 1.0f, yarn);
        if (divisors && isinf(divisors[i])) inv = NAN; /* not a dimension that does not turn */
        for (uint32_t pos = from; pos < to; pos++) {
            double angle = (double)((float)pos * inv);
            table[(size_t)pos * c->n_rot + i] = (float)st_cos(angle) * r->attn_factor;
            table[(size_t)pos * c->n_rot + half + i] = (float)st_sin(angle) * r->attn_factor;
        }
    }
}

static bool has_table(const st_exec *e, uint32_t i)
{
    const st_config *c = e->plan->config;
    bool windowed = i & 1, long_factors = i & 2;
    return (!windowed || c->window) && (!long_factors || e->plan->weights->rope_factors_long.v);
}

int st_state_rope(st_state *s, uint32_t len, strata_error *err)
{
    const st_config *c = s->exec->plan->config;
    const st_weights *w = s->exec->plan->weights;
    if (c->arch->rope == ST_ROPE_NONE || len <= s->rope_len) return STRATA_OK;
    uint32_t cap = len < 64 ? 64 : len;
    float *next[ST_ROPE_TABLES] = {NULL};
    for (uint32_t i = 0; i < ST_ROPE_TABLES; i++) {
        if (!has_table(s->exec, i)) continue;
        next[i] = st_alloc(s->exec->mem, (size_t)cap * c->n_rot, sizeof *next[i]);
        if (next[i]) continue;
        for (uint32_t j = 0; j < i; j++) st_free(s->exec->mem, next[j]);
        ST_FAIL(err, STRATA_NO_MEMORY, "no memory for the angles of %u positions", cap);
    }
    for (uint32_t i = 0; i < ST_ROPE_TABLES; i++) {
        if (!next[i]) continue;
        const float *divisors = i & 2                     ? w->rope_factors_long.v
                                : w->rope_factors_short.v ? w->rope_factors_short.v
                                                          : w->rope_freqs.v;
        if (s->rope_len) memcpy(next[i], s->rope[i], (size_t)s->rope_len * c->n_rot * sizeof *next[i]);
        fill(next[i], c, &c->rope[i & 1], divisors, s->rope_len, cap);
        st_free(s->exec->mem, s->rope[i]);
        s->rope[i] = next[i];
    }
    s->rope_len = cap;
    return STRATA_OK;
}

bool st_rope_is_long(const st_plan *p, uint32_t len)
{
    return p->weights->rope_factors_long.v && len > p->config->rope_original;
}

const float *st_rope_at(const st_state *s, uint32_t rope_class, uint32_t len, uint32_t pos)
{
    const st_config *c = s->exec->plan->config;
    uint32_t long_factors = st_rope_is_long(s->exec->plan, len) ? 2 : 0;
    return s->rope[rope_class | long_factors] + (size_t)pos * c->n_rot;
}
