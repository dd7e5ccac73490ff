/* v16_neon.h: the primitives of v16_generic.h as four 128-bit vectors of Advanced SIMD (aarch64). */
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define V16_FN static inline __attribute__((always_inline, unused))

typedef struct v16 {
    float32x4_t a, b, c, d; /* lanes 0-3, 4-7, 8-11, 12-15 */
} v16;
typedef struct v16i {
    int32x4_t a, b, c, d;
} v16i;
typedef struct v16m {
    uint32x4_t a, b, c, d;
} v16m;

#define V16_FOUR_1(T, op, x)    ((T){op((x).a), op((x).b), op((x).c), op((x).d)})
#define V16_FOUR_2(T, op, x, y) ((T){op((x).a, (y).a), op((x).b, (y).b), op((x).c, (y).c), op((x).d, (y).d)})
#define V16_FOUR_3(T, op, x, y, z) \
    ((T){op((x).a, (y).a, (z).a), op((x).b, (y).b, (z).b), op((x).c, (y).c, (z).c), op((x).d, (y).d, (z).d)})

/* ---- memory ---- */

V16_FN v16 v16_ld(const float *p)
{
    return (v16){vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}
V16_FN void v16_st(float *p, v16 v)
{
    vst1q_f32(p, v.a), vst1q_f32(p + 4, v.b), vst1q_f32(p + 8, v.c), vst1q_f32(p + 12, v.d);
}
V16_FN v16 v16_ld_n(const float *p, uint32_t n)
{
    float t[16] = {0};
    memcpy(t, p, n * sizeof(float));
    return v16_ld(t);
}
V16_FN void v16_st_n(float *p, v16 v, uint32_t n)
{
    float t[16];
    v16_st(t, v);
    memcpy(p, t, n * sizeof(float));
}
V16_FN v16i v16i_ld(const void *p)
{
    const int32_t *q = p;
    return (v16i){vld1q_s32(q), vld1q_s32(q + 4), vld1q_s32(q + 8), vld1q_s32(q + 12)};
}
V16_FN v16 v16_ld_f16(const uint16_t *p)
{
#define WIDEN(i) vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * (i))))
    return (v16){WIDEN(0), WIDEN(1), WIDEN(2), WIDEN(3)};
#undef WIDEN
}
V16_FN v16 v16_ld_bf16(const uint16_t *p)
{
#define WIDEN(i) vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * (i)), 16))
    return (v16){WIDEN(0), WIDEN(1), WIDEN(2), WIDEN(3)};
#undef WIDEN
}

/* ---- floats ---- */

V16_FN v16 v16_set1(float x)
{
    float32x4_t v = vdupq_n_f32(x);
    return (v16){v, v, v, v};
}
V16_FN v16 v16_add(v16 x, v16 y)
{
    return V16_FOUR_2(v16, vaddq_f32, x, y);
}
V16_FN v16 v16_sub(v16 x, v16 y)
{
    return V16_FOUR_2(v16, vsubq_f32, x, y);
}
V16_FN v16 v16_mul(v16 x, v16 y)
{
    return V16_FOUR_2(v16, vmulq_f32, x, y);
}
V16_FN v16 v16_div(v16 x, v16 y)
{
    return V16_FOUR_2(v16, vdivq_f32, x, y);
}
/* x > y ? x : y, so y if either is NaN: not vmaxq, which gives NaN then and orders zeros. */
V16_FN float32x4_t v16_max4(float32x4_t x, float32x4_t y)
{
    return vbslq_f32(vcgtq_f32(x, y), x, y);
}
V16_FN float32x4_t v16_min4(float32x4_t x, float32x4_t y)
{
    return vbslq_f32(vcltq_f32(x, y), x, y);
}
V16_FN v16 v16_max(v16 x, v16 y)
{
    return V16_FOUR_2(v16, v16_max4, x, y);
}
V16_FN v16 v16_min(v16 x, v16 y)
{
    return V16_FOUR_2(v16, v16_min4, x, y);
}
V16_FN v16 v16_fma(v16 x, v16 y, v16 z)
{
    return V16_FOUR_3(v16, vfmaq_f32, z, x, y);
}
V16_FN v16 v16_rint(v16 x)
{
    return V16_FOUR_1(v16, vrndnq_f32, x);
}
V16_FN v16 v16_abs(v16 x)
{
    return V16_FOUR_1(v16, vabsq_f32, x);
}
V16_FN v16 v16_copysign(v16 x, v16 s)
{
    const uint32x4_t sign = vdupq_n_u32(0x80000000u);
    return (v16){vbslq_f32(sign, s.a, x.a), vbslq_f32(sign, s.b, x.b), vbslq_f32(sign, s.c, x.c),
                 vbslq_f32(sign, s.d, x.d)};
}
V16_FN float v16_sum(v16 x)
{
    float32x4_t s = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
    float32x2_t t = vadd_f32(vget_low_f32(s), vget_high_f32(s));
    return vget_lane_f32(vpadd_f32(t, t), 0);
}
V16_FN float v16_hmax(v16 x)
{
    float32x4_t s = v16_max4(v16_max4(x.a, x.c), v16_max4(x.b, x.d));
    s = v16_max4(s, vextq_f32(s, s, 2));
    s = v16_max4(s, vextq_f32(s, s, 1));
    return vgetq_lane_f32(s, 0);
}

/* ---- masks ---- */

V16_FN v16m v16_lt(v16 x, v16 y)
{
    return V16_FOUR_2(v16m, vcltq_f32, x, y);
}
V16_FN v16i v16i_iota(void)
{
    static const int32_t i[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return v16i_ld(i);
}
V16_FN v16m v16_lanes(int lo, int hi)
{
    const int32x4_t l = vdupq_n_s32(lo), h = vdupq_n_s32(hi);
    const v16i i = v16i_iota();
#define BETWEEN(x) vandq_u32(vcgeq_s32(x, l), vcltq_s32(x, h))
    return V16_FOUR_1(v16m, BETWEEN, i);
#undef BETWEEN
}
V16_FN v16 v16_sel(v16m m, v16 x, v16 y)
{
    return V16_FOUR_3(v16, vbslq_f32, m, x, y);
}

/* ---- int32 ---- */

V16_FN v16i v16i_set1(int32_t x)
{
    int32x4_t v = vdupq_n_s32(x);
    return (v16i){v, v, v, v};
}
V16_FN v16i v16i_add(v16i x, v16i y)
{
    return V16_FOUR_2(v16i, vaddq_s32, x, y);
}
V16_FN v16i v16i_sub(v16i x, v16i y)
{
    return V16_FOUR_2(v16i, vsubq_s32, x, y);
}
V16_FN v16i v16i_and(v16i x, v16i y)
{
    return V16_FOUR_2(v16i, vandq_s32, x, y);
}
V16_FN v16i v16i_max(v16i x, v16i y)
{
    return V16_FOUR_2(v16i, vmaxq_s32, x, y);
}
V16_FN v16i v16i_shl(v16i x, int n)
{
    const int32x4_t by = vdupq_n_s32(n);
#define SHIFT(v) vshlq_s32(v, by)
    return V16_FOUR_1(v16i, SHIFT, x);
#undef SHIFT
}
V16_FN v16i v16i_shr(v16i x, int n)
{
    const int32x4_t by = vdupq_n_s32(-n);
#define SHIFT(v) vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(v), by))
    return V16_FOUR_1(v16i, SHIFT, x);
#undef SHIFT
}
V16_FN int32_t v16i_hmax(v16i x)
{
    return vmaxvq_s32(vmaxq_s32(vmaxq_s32(x.a, x.b), vmaxq_s32(x.c, x.d)));
}

/* ---- between the two ---- */

V16_FN v16i v16_bits(v16 x)
{
    return V16_FOUR_1(v16i, vreinterpretq_s32_f32, x);
}
V16_FN v16 v16_from_bits(v16i x)
{
    return V16_FOUR_1(v16, vreinterpretq_f32_s32, x);
}
V16_FN v16 v16_from_i(v16i x)
{
    return V16_FOUR_1(v16, vcvtq_f32_s32, x);
}
V16_FN v16i v16_to_i(v16 x)
{
    return V16_FOUR_1(v16i, vcvtnq_s32_f32, x);
}

V16_FN int8x16_t v16i_narrow(v16i v)
{
    int16x8_t lo = vcombine_s16(vmovn_s32(v.a), vmovn_s32(v.b)), hi = vcombine_s16(vmovn_s32(v.c), vmovn_s32(v.d));
    return vcombine_s8(vmovn_s16(lo), vmovn_s16(hi));
}
V16_FN void v16i_st8_sums(int8_t *p, v16i x, v16i y, int32_t *sums)
{
    int8x16_t a = v16i_narrow(x), b = v16i_narrow(y);
    vst1q_s8(p, a), vst1q_s8(p + 16, b);
    sums[0] = vaddlvq_s8(a), sums[1] = vaddlvq_s8(b);
}

/* ---- across lanes ---- */

V16_FN void v16_unzip(v16 x, v16 y, v16 *even, v16 *odd)
{
    *even = (v16){vuzp1q_f32(x.a, x.b), vuzp1q_f32(x.c, x.d), vuzp1q_f32(y.a, y.b), vuzp1q_f32(y.c, y.d)};
    *odd = (v16){vuzp2q_f32(x.a, x.b), vuzp2q_f32(x.c, x.d), vuzp2q_f32(y.a, y.b), vuzp2q_f32(y.c, y.d)};
}
V16_FN void v16_zip(v16 even, v16 odd, v16 *x, v16 *y)
{
    *x = (v16){vzip1q_f32(even.a, odd.a), vzip2q_f32(even.a, odd.a), vzip1q_f32(even.b, odd.b),
               vzip2q_f32(even.b, odd.b)};
    *y = (v16){vzip1q_f32(even.c, odd.c), vzip2q_f32(even.c, odd.c), vzip1q_f32(even.d, odd.d),
               vzip2q_f32(even.d, odd.d)};
}
V16_FN void v16_transpose4(float32x4_t *r0, float32x4_t *r1, float32x4_t *r2, float32x4_t *r3)
{
    float32x4_t a = vzip1q_f32(*r0, *r2), b = vzip2q_f32(*r0, *r2), c = vzip1q_f32(*r1, *r3), d = vzip2q_f32(*r1, *r3);
    *r0 = vzip1q_f32(a, c), *r1 = vzip2q_f32(a, c), *r2 = vzip1q_f32(b, d), *r3 = vzip2q_f32(b, d);
}
V16_FN void v16_transpose(v16 r[16])
{
    float32x4_t q[4][16]; /* q[j][i]: quarter j of row i */
    for (int i = 0; i < 16; i++) q[0][i] = r[i].a, q[1][i] = r[i].b, q[2][i] = r[i].c, q[3][i] = r[i].d;
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 16; i += 4) v16_transpose4(&q[j][i], &q[j][i + 1], &q[j][i + 2], &q[j][i + 3]);
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 4; i++) r[4 * j + i] = (v16){q[j][i], q[j][i + 4], q[j][i + 8], q[j][i + 12]};
}
