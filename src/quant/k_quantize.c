/* k_quantize.c: float32 -> Q4_K, Q5_K, Q6_K, the same bytes as ggml's quantisers without an importance matrix.
 *
 * A group's scale (and minimum) is searched: round the group to integers with a step a little larger or smaller than
 * its range asks for, fit the line through the rounded values by weighted least squares, keep the best. The weights
 * make large values count more. Then the groups' scales become integers of 6 or 8 bits times one f16 each block, and
 * the values are rounded once more with what the scales have become. Every sum is a float32 chain in the order of the
 * values, since the bytes depend on it. */
#include <math.h>

#include "quant/quant_rows.h"

/* To the nearest integer, ties to even, and into lo..hi; NaN to lo. Adding 1.5 * 2^23 leaves no bits below the unit. */
static int quantize_round_clip(float x, int lo, int hi)
{
    x = x > (float)lo ? x : (float)lo;
    x = x < (float)hi ? x : (float)hi;
    return (int)((x + 0x1.8p23f) - 0x1.8p23f);
}

/* ---- a scale and a minimum: value = scale * q + low, q in 0..top, low <= 0 --------------------------------------- */

typedef struct line {
    float scale, low;
} line;

/* Which steps are tried: ranges of (top + first + 0.1 * k) units, k = 0..steps. */
typedef struct search {
    int top;
    float first;
    int steps;
} search;

static const search search4 = {15, -1.0f, 20}, search5 = {31, -0.5f, 15};

static float quantize_weighted_error(const float *x, const float *w, const uint8_t *q, line l)
{
    float sum = 0;
    for (int i = 0; i < 32; i++) {
        float diff = l.scale * (float)q[i] + l.low - x[i];
        sum += w[i] * (diff * diff);
    }
    return sum;
}

static void quantize_round_all(const float *x, float inv, float low, int top, uint8_t *q)
{
    for (int i = 0; i < 32; i++) q[i] = (uint8_t)quantize_round_clip(inv * (x[i] - low), 0, top);
}

/* The line of least weighted squares through (q, x), its minimum not above 0. False: q is constant. */
static bool quantize_fit_line(const float *x, const float *w, const uint8_t *q, float sum_w, float sum_x, line *out)
{
    float l1 = 0, l2 = 0, xl = 0;
    for (int i = 0; i < 32; i++) {
        float l = (float)q[i], wl = w[i] * l;
        l1 += wl;
        l2 += wl * l;
        xl += wl * x[i];
    }
    float det = sum_w * l2 - l1 * l1;
    if (!(det > 0)) return false;
    out->scale = (sum_w * xl - sum_x * l1) / det;
    out->low = (l2 * sum_x - l1 * xl) / det;
    if (out->low > 0) {
        out->low = 0;
        out->scale = xl / l2;
    }
    return true;
}

/* 32 values; q is what they are rounded to under the line that is returned. */
static line quantize_search_line(const float *x, search s, uint8_t *q)
{
    float w[32], square = 0, sum_w, sum_x, lo = x[0], hi = x[0];
    for (int i = 0; i < 32; i++) square += x[i] * x[i];
    float rms = sqrtf(square / 32);
    for (int i = 0; i < 32; i++) w[i] = rms + fabsf(x[i]);
    sum_w = w[0];
    sum_x = w[0] * x[0];
    for (int i = 1; i < 32; i++) {
        if (x[i] < lo) lo = x[i];
        if (x[i] > hi) hi = x[i];
        sum_w += w[i];
        sum_x += w[i] * x[i];
    }
    if (lo > 0) lo = 0;
    if (hi == lo) {
        memset(q, 0, 32);
        return (line){0, lo};
    }
    float range = hi - lo, inv = (float)s.top / range;
    line best = {1 / inv, lo};
    quantize_round_all(x, inv, lo, s.top, q);
    float best_error = quantize_weighted_error(x, w, q, best);
    /* Rounding starts from the lowest value, or from the minimum of the best line so far. */
    for (int k = 0; k <= s.steps; k++) {
        uint8_t tried[32];
        line l;
        quantize_round_all(x, (s.first + 0.1f * (float)k + (float)s.top) / (hi - best.low), best.low, s.top, tried);
        if (!quantize_fit_line(x, w, tried, sum_w, sum_x, &l)) continue;
        float error = quantize_weighted_error(x, w, tried, l);
        if (!(error < best_error)) continue;
        memcpy(q, tried, 32);
        best_error = error;
        best = l;
    }
    return best;
}

/* Eight scales and minima of 6 bits in 12 bytes: quants_scales_of_6_bits of k_quants.c reads them. */
static void quantize_put_scales(uint8_t *p, const uint8_t *scale, const uint8_t *min)
{
    for (int g = 0; g < 4; g++) {
        p[g] = (uint8_t)(scale[g] | scale[4 + g] >> 4 << 6);
        p[4 + g] = (uint8_t)(min[g] | min[4 + g] >> 4 << 6);
        p[8 + g] = (uint8_t)((scale[4 + g] & 15) | (min[4 + g] & 15) << 4);
    }
}

/* The 16 bytes {f16 d, dmin; u8 scales[12]} that begin a block of Q4_K and Q5_K, and its 256 integers. */
static void quantize_lines(const float *x, search s, uint8_t *p, uint8_t *q)
{
    line l[8];
    float max_scale = 0, max_min = 0;
    for (int g = 0; g < 8; g++) {
        l[g] = quantize_search_line(x + 32 * g, s, q + 32 * g);
        if (l[g].scale > max_scale) max_scale = l[g].scale;
        if (-l[g].low > max_min) max_min = -l[g].low;
    }
    float inv_scale = max_scale > 0 ? 63 / max_scale : 0, inv_min = max_min > 0 ? 63 / max_min : 0;
    uint8_t scale[8], min[8];
    for (int g = 0; g < 8; g++) {
        scale[g] = (uint8_t)quantize_round_clip(inv_scale * l[g].scale, 0, 63);
        min[g] = (uint8_t)quantize_round_clip(inv_min * -l[g].low, 0, 63);
    }
    st_put_f16(p, max_scale / 63);
    st_put_f16(p + 2, max_min / 63);
    quantize_put_scales(p + 4, scale, min);
    for (int g = 0; g < 8; g++) {
        float d = st_get_f16(p) * (float)scale[g], m = st_get_f16(p + 2) * (float)min[g];
        if (d == 0) continue; /* q is as the search left it, and counts for nothing */
        for (int i = 32 * g; i < 32 * g + 32; i++) q[i] = (uint8_t)quantize_round_clip((x[i] + m) / d, 0, s.top);
    }
}

static void quantize_put_low_nibbles(uint8_t *p, const uint8_t *q)
{
    for (int i = 0; i < 128; i++) {
        const uint8_t *low = q + i / 32 * 64 + i % 32;
        p[i] = (uint8_t)((low[0] & 15) | (low[32] & 15) << 4);
    }
}

void st_quantize_q4_k(const float *src, void *dst, size_t n)
{
    uint8_t *p = dst, q[256];
    for (size_t at = 0; at < n; at += 256, p += 144) {
        quantize_lines(src + at, search4, p, q);
        quantize_put_low_nibbles(p + 16, q);
    }
}

void st_quantize_q5_k(const float *src, void *dst, size_t n)
{
    uint8_t *p = dst, q[256];
    for (size_t at = 0; at < n; at += 256, p += 176) {
        quantize_lines(src + at, search5, p, q);
        memset(p + 16, 0, 32);
        for (int i = 0; i < 256; i++) p[16 + i % 32] |= (uint8_t)(q[i] >> 4 << i / 32);
        quantize_put_low_nibbles(p + 48, q);
    }
}

/* ---- a scale alone: value = scale * (q - 32) --------------------------------------------------------------------- */

/* ggml takes a group or block below this for zeros. */
#define NOTHING 1e-15f

typedef struct moments {
    float xl, l2; /* sums of x*l and l*l, weighted by x*x */
} moments;

static moments quantize_round_symmetric(const float *x, float inv, int8_t *q)
{
    moments m = {0, 0};
    for (int i = 0; i < 16; i++) {
        int l = quantize_round_clip(inv * x[i], -32, 31);
        float w = x[i] * x[i];
        m.xl += w * x[i] * (float)l;
        m.l2 += w * (float)l * (float)l;
        q[i] = (int8_t)l;
    }
    return m;
}

/* 16 values; returns the scale. q is in 0..63. */
static float quantize_search_scale(const float *x, uint8_t *q)
{
    float max = 0;
    for (int i = 0; i < 16; i++)
        if (fabsf(x[i]) > fabsf(max)) max = x[i];
    if (fabsf(max) < NOTHING) {
        memset(q, 0, 16);
        return 0;
    }
    int8_t best_q[16], tried[16];
    moments m = quantize_round_symmetric(x, -32 / max, best_q);
    float scale = m.l2 != 0 ? m.xl / m.l2 : 0, best = scale * m.xl;
    for (int k = -9; k <= 9; k++) {
        if (k == 0) continue;
        m = quantize_round_symmetric(x, -(32 + 0.1f * (float)k) / max, tried);
        if (!(m.l2 > 0 && m.xl * m.xl > best * m.l2)) continue;
        memcpy(best_q, tried, 16);
        scale = m.xl / m.l2;
        best = scale * m.xl;
    }
    for (int i = 0; i < 16; i++) q[i] = (uint8_t)(best_q[i] + 32);
    return scale;
}

/* The layout is that of block_q6_k in k_quants.c. */
static void quantize_put_q6(uint8_t *p, const uint8_t *q)
{
    for (int i = 0; i < 128; i++) {
        const uint8_t *low = q + i / 64 * 128 + i % 64;
        p[i] = (uint8_t)((low[0] & 15) | (low[64] & 15) << 4);
    }
    memset(p + 128, 0, 64);
    for (int i = 0; i < 256; i++) p[128 + i / 128 * 32 + i % 32] |= (uint8_t)(q[i] >> 4 << i / 32 % 4 * 2);
}

static void quantize_q6_block(const float *x, uint8_t *p)
{
    float scale[16], max = 0;
    uint8_t q[256];
    for (int g = 0; g < 16; g++) {
        scale[g] = quantize_search_scale(x + 16 * g, q + 16 * g);
        if (fabsf(scale[g]) > fabsf(max)) max = scale[g];
    }
    if (fabsf(max) < NOTHING) {
        memset(p, 0, 210);
        return;
    }
    float inv = -128 / max;
    st_put_f16(p + 208, 1 / inv);
    for (int g = 0; g < 16; g++) {
        int s = quantize_round_clip(inv * scale[g], -128, 127);
        p[192 + g] = (uint8_t)s;
        float d = st_get_f16(p + 208) * (float)s;
        for (int i = 16 * g; d != 0 && i < 16 * g + 16; i++)
            q[i] = (uint8_t)(quantize_round_clip(x[i] / d, -32, 31) + 32);
    }
    quantize_put_q6(p, q);
}

void st_quantize_q6_k(const float *src, void *dst, size_t n)
{
    uint8_t *p = dst;
    for (size_t at = 0; at < n; at += 256, p += 210) quantize_q6_block(src + at, p);
}
