/* v16_generic.h: the virtual vector of 16 floats in plain C. This file is the definition of every primitive; the other
 * v16_*.h give the same bits.
 *
 * v16 is 16 floats, v16i 16 int32, v16m 16 truths. A _n suffix means the first n lanes, 0 <= n <= 16: loads fill the
 * rest with zero and touch no memory past n. Shift counts must be constants. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/half.h"

/* Not forced inline: 16-lane loops inside loops took gcc 90 s to unroll, and this level is for being right. */
#define V16_FN   static inline __attribute__((unused))
#define V16_EACH for (int i = 0; i < 16; i++)

typedef struct v16 {
    float f[16];
} v16;
typedef struct v16i {
    int32_t i[16];
} v16i;
typedef struct v16m {
    uint8_t m[16];
} v16m;

/* ---- memory ---- */

V16_FN v16 v16_ld(const float *p)
{
    v16 r;
    memcpy(r.f, p, sizeof r.f);
    return r;
}
V16_FN void v16_st(float *p, v16 v)
{
    memcpy(p, v.f, sizeof v.f);
}
V16_FN v16 v16_ld_n(const float *p, uint32_t n)
{
    v16 r = {{0}};
    memcpy(r.f, p, n * sizeof(float));
    return r;
}
V16_FN void v16_st_n(float *p, v16 v, uint32_t n)
{
    memcpy(p, v.f, n * sizeof(float));
}
V16_FN v16i v16i_ld(const void *p)
{
    v16i r;
    memcpy(r.i, p, sizeof r.i);
    return r;
}
V16_FN v16 v16_ld_f16(const uint16_t *p)
{
    v16 r;
    V16_EACH
    {
        uint16_t h;
        memcpy(&h, p + i, 2);
        r.f[i] = st_f16_to_f32(h);
    }
    return r;
}
V16_FN v16 v16_ld_i8(const int8_t *p)
{
    v16 r;
    V16_EACH r.f[i] = (float)p[i];
    return r;
}
V16_FN v16 v16_ld_bf16(const uint16_t *p)
{
    v16 r;
    V16_EACH
    {
        uint16_t h;
        memcpy(&h, p + i, 2);
        r.f[i] = st_bf16_to_f32(h);
    }
    return r;
}

/* ---- floats ---- */

V16_FN v16 v16_set1(float x)
{
    v16 r;
    V16_EACH r.f[i] = x;
    return r;
}

#define V16_OP2(name, expr)               \
    V16_FN v16 name(v16 a, v16 b)         \
    {                                     \
        v16 r;                            \
        V16_EACH                          \
        {                                 \
            float x = a.f[i], y = b.f[i]; \
            r.f[i] = expr;                \
        }                                 \
        return r;                         \
    }
V16_OP2(v16_add, x + y)
V16_OP2(v16_sub, x - y)
V16_OP2(v16_mul, x *y)
V16_OP2(v16_div, x / y)
V16_OP2(v16_max, x > y ? x : y) /* y if either is NaN, as maxps */
V16_OP2(v16_min, x < y ? x : y)

V16_FN v16 v16_fma(v16 a, v16 b, v16 c) /* a*b + c, rounded once */
{
    v16 r;
    V16_EACH r.f[i] = fmaf(a.f[i], b.f[i], c.f[i]);
    return r;
}
V16_FN v16 v16_rint(v16 a) /* to nearest even */
{
    v16 r;
    V16_EACH r.f[i] = rintf(a.f[i]);
    return r;
}
V16_FN v16 v16_abs(v16 a)
{
    v16 r;
    V16_EACH r.f[i] = st_bits_f32(st_f32_bits(a.f[i]) & 0x7fffffffu);
    return r;
}
V16_FN v16 v16_copysign(v16 a, v16 s)
{
    v16 r;
    V16_EACH r.f[i] = st_bits_f32((st_f32_bits(a.f[i]) & 0x7fffffffu) | (st_f32_bits(s.f[i]) & 0x80000000u));
    return r;
}

/* The tree (i, i+8), (i, i+4), (i, i+2), (i, i+1). */
V16_FN float v16_sum(v16 a)
{
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++) a.f[i] += a.f[i + h];
    return a.f[0];
}
V16_FN float v16_hmax(v16 a)
{
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++) a.f[i] = a.f[i] > a.f[i + h] ? a.f[i] : a.f[i + h];
    return a.f[0];
}

/* ---- masks ---- */

V16_FN v16m v16_lt(v16 a, v16 b) /* false for NaN */
{
    v16m r;
    V16_EACH r.m[i] = a.f[i] < b.f[i];
    return r;
}
V16_FN v16m v16_lanes(int lo, int hi) /* lo <= i < hi; any ints */
{
    v16m r;
    V16_EACH r.m[i] = lo <= i && i < hi;
    return r;
}
V16_FN v16 v16_sel(v16m m, v16 a, v16 b) /* m ? a : b */
{
    v16 r;
    V16_EACH r.f[i] = m.m[i] ? a.f[i] : b.f[i];
    return r;
}

/* ---- int32, wrapping ---- */

V16_FN v16i v16i_set1(int32_t x)
{
    v16i r;
    V16_EACH r.i[i] = x;
    return r;
}
V16_FN v16i v16i_iota(void)
{
    v16i r;
    V16_EACH r.i[i] = i;
    return r;
}

#define V16I_OP2(name, expr)                                     \
    V16_FN v16i name(v16i a, v16i b)                             \
    {                                                            \
        v16i r;                                                  \
        V16_EACH                                                 \
        {                                                        \
            uint32_t x = (uint32_t)a.i[i], y = (uint32_t)b.i[i]; \
            r.i[i] = (int32_t)(expr);                            \
        }                                                        \
        return r;                                                \
    }
V16I_OP2(v16i_add, x + y)
V16I_OP2(v16i_sub, x - y)
V16I_OP2(v16i_and, x &y)
V16I_OP2(v16i_max, (int32_t)x > (int32_t)y ? x : y)

V16_FN v16i v16i_shl(v16i a, int n)
{
    v16i r;
    V16_EACH r.i[i] = (int32_t)((uint32_t)a.i[i] << n);
    return r;
}
V16_FN v16i v16i_shr(v16i a, int n) /* zeros come in */
{
    v16i r;
    V16_EACH r.i[i] = (int32_t)((uint32_t)a.i[i] >> n);
    return r;
}
V16_FN int32_t v16i_sum(v16i a)
{
    uint32_t s = 0;
    V16_EACH s += (uint32_t)a.i[i];
    return (int32_t)s;
}
V16_FN int32_t v16i_hmax(v16i a)
{
    int32_t m = a.i[0];
    V16_EACH m = a.i[i] > m ? a.i[i] : m;
    return m;
}

/* ---- between the two ---- */

V16_FN v16i v16_bits(v16 a)
{
    v16i r;
    memcpy(r.i, a.f, sizeof r.i);
    return r;
}
V16_FN v16 v16_from_bits(v16i a)
{
    v16 r;
    memcpy(r.f, a.i, sizeof r.f);
    return r;
}
V16_FN v16 v16_from_i(v16i a)
{
    v16 r;
    V16_EACH r.f[i] = (float)a.i[i];
    return r;
}
V16_FN v16i v16_to_i(v16 a) /* to nearest even; what fits */
{
    v16i r;
    V16_EACH r.i[i] = (int32_t)rintf(a.f[i]);
    return r;
}

/* 32 values that fit int8 -> bytes, and the sum of each 16. */
V16_FN void v16i_st8_sums(int8_t *p, v16i a, v16i b, int32_t *sums)
{
    V16_EACH p[i] = (int8_t)a.i[i], p[i + 16] = (int8_t)b.i[i];
    sums[0] = v16i_sum(a);
    sums[1] = v16i_sum(b);
}

/* ---- across lanes ---- */

V16_FN void v16_unzip(v16 a, v16 b, v16 *even, v16 *odd) /* of the 32 floats a, b */
{
    for (int i = 0; i < 8; i++) {
        even->f[i] = a.f[2 * i], even->f[i + 8] = b.f[2 * i];
        odd->f[i] = a.f[2 * i + 1], odd->f[i + 8] = b.f[2 * i + 1];
    }
}
V16_FN void v16_zip(v16 even, v16 odd, v16 *a, v16 *b)
{
    for (int i = 0; i < 8; i++) {
        a->f[2 * i] = even.f[i], b->f[2 * i] = even.f[i + 8];
        a->f[2 * i + 1] = odd.f[i], b->f[2 * i + 1] = odd.f[i + 8];
    }
}
V16_FN void v16_transpose(v16 r[16])
{
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < i; j++) {
            float t = r[i].f[j];
            r[i].f[j] = r[j].f[i];
            r[j].f[i] = t;
        }
}
