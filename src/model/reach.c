/* reach.c: who sees whom, and from how far. */
#include "model/reach.h"

#include "base/math.h"

void st_reach_visible(const st_op_attn *op, uint32_t len, uint32_t i, uint32_t *lo, uint32_t *hi)
{
    *lo = 0;
    *hi = op->causal ? i + 1 : len;
    if (!op->window) return;
    if (op->window_kind == ST_WINDOW_SYMMETRIC) {
        uint32_t w = op->window / 2;
        if (i > w) *lo = i - w;
        if (*hi - i > w + 1) *hi = i + w + 1;
    } else {
        *lo = st_reach_oldest(op->window, i);
    }
}

/* A geometric series down from 2^(-max/n), and for n that is no power of two a second, finer one (ALiBi paper, section
 * 3; HF build_alibi_tensor). */
float st_reach_slope(const st_op_attn *op, uint32_t head)
{
    if (!(op->alibi_max > 0)) return 0.0f;
    uint32_t n = 1;
    while (n * 2 <= op->n_head) n *= 2;
    double step = head < n ? -(double)op->alibi_max / n : -(double)op->alibi_max / 2 / n;
    return (float)st_pow(2.0, step * (head < n ? head + 1 : 2 * (head - n) + 1));
}

/* Exact up close, logarithmic up to 128 (HF modeling_t5.py, _relative_position_bucket, with its float32 roundings).
 * Keys after the query have the upper half of the buckets. */
uint32_t st_reach_bucket(int64_t distance, uint32_t n_buckets)
{
    enum { MAX_DISTANCE = 128 };
    uint32_t half = n_buckets / 2, exact = half / 2, base = distance > 0 ? half : 0;
    uint64_t n = (uint64_t)(distance < 0 ? -distance : distance);
    if (n < exact) return base + (uint32_t)n;
    if (n >= MAX_DISTANCE || exact == 0) return base + half - 1;
    float at = (float)st_ln((double)n / exact) / (float)st_ln((double)MAX_DISTANCE / exact) * (float)(half - exact);
    uint32_t bucket = exact + (uint32_t)at;
    return base + (bucket < half ? bucket : half - 1);
}
