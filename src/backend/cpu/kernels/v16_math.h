/* v16_math.h: exp, tanh and the activations over v16. Included inside the target region of each k_*.c, after its
 * v16_*.h. Coefficients: tools/gen_poly.py. Errors, measured by tests/kernels, in ulp: exp 1, tanh 2. */

/* exp(x) for x <= 0 or NaN. +0 below -86.5 (there exp is 2.7e-38, still normal), NaN for NaN.
 * x = n ln2 + r, |r| <= 0.347; n comes out of the low bits of x log2(e) + 1.5 * 2^23, so nothing is converted. */
V16_FN v16 v16_exp(v16 x)
{
    const v16 magic = v16_set1(0x1.8p23f);
    v16 t = v16_fma(x, v16_set1(0x1.715476p+0f), magic);
    v16 n = v16_sub(t, magic);
    v16 r = v16_fma(n, v16_set1(-0x1.62e4p-1f), x); /* exact: 16 bits of ln2 times 8 bits of n */
    r = v16_fma(n, v16_set1(-0x1.7f7d1cp-20f), r);
    v16 p = v16_set1(0x1.6ad156p-10f);
    p = v16_fma(p, r, v16_set1(0x1.123f30p-7f));
    p = v16_fma(p, r, v16_set1(0x1.55584ep-5f));
    p = v16_fma(p, r, v16_set1(0x1.55548ap-3f));
    p = v16_fma(p, r, v16_set1(0x1.fffffcp-2f));
    p = v16_fma(p, r, v16_set1(1.0f));
    p = v16_fma(p, r, v16_set1(1.0f));
    v16 two_n = v16_from_bits(v16i_add(v16i_shl(v16_bits(t), 23), v16i_set1(0x3f800000)));
    return v16_sel(v16_lt(x, v16_set1(-86.5f)), v16_set1(0.0f), v16_mul(p, two_n));
}

/* +-1 at +-inf; NaN for NaN. */
V16_FN v16 v16_tanh(v16 x)
{
    v16 s = v16_mul(x, x), a = v16_abs(x);
    v16 p = v16_set1(-0x1.9460c0p-8f);
    p = v16_fma(p, s, v16_set1(0x1.5812a0p-6f));
    p = v16_fma(p, s, v16_set1(-0x1.b905c4p-5f));
    p = v16_fma(p, s, v16_set1(0x1.110c5ep-3f));
    p = v16_fma(p, s, v16_set1(-0x1.555548p-2f));
    v16 small = v16_fma(v16_mul(p, s), x, x);
    v16 e = v16_exp(v16_mul(a, v16_set1(-2.0f))); /* 1 - 2e/(1+e) */
    v16 big = v16_sub(v16_set1(1.0f), v16_div(v16_add(e, e), v16_add(e, v16_set1(1.0f))));
    return v16_copysign(v16_sel(v16_lt(a, v16_set1(0.555f)), small, big), x);
}

/* x / (1 + exp(-z)) where z has x's sign: with e = exp(-|z|), x/(1+e) or, below 0, x e/(1+e), so that nothing
 * overflows. x = -inf counts as -1e30, which gives -0. */
V16_FN v16 v16_sigmoid_times(v16 z, v16 x)
{
    v16 e = v16_exp(v16_copysign(z, v16_set1(-1.0f)));
    v16 finite = v16_max(v16_set1(-1e30f), x); /* NaN stays */
    v16 num = v16_sel(v16_lt(x, v16_set1(0.0f)), v16_mul(finite, e), x);
    return v16_div(num, v16_add(e, v16_set1(1.0f)));
}

V16_FN v16 v16_silu(v16 x)
{
    return v16_sigmoid_times(x, x);
}

/* (1 + tanh(u))/2 = 1/(1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3). */
V16_FN v16 v16_gelu_tanh(v16 x)
{
    v16 u = v16_fma(v16_mul(x, x), v16_set1(2 * 0.0356774081363f), v16_set1(2 * 0.797884560803f));
    return v16_sigmoid_times(v16_mul(x, u), x);
}

/* x/2 * erfc(-x / sqrt 2), and erfc of the magnitude is exp(-(t + t B(t))): no sum with 1 cancels below 0, and one
 * polynomial serves all x. It grows beyond the range of its fit, so that erfc is +0 from 7.1 on. -0 at -inf, which
 * counts as -1e30. */
V16_FN v16 v16_gelu_erf(v16 x)
{
    v16 t = v16_min(v16_set1(16.0f), v16_abs(v16_mul(x, v16_set1(0.707106781187f)))); /* NaN stays */
    v16 b = v16_set1(0x1.07d362p-15f);
    b = v16_fma(b, t, v16_set1(-0x1.43dbd0p-12f));
    b = v16_fma(b, t, v16_set1(0x1.0ea700p-10f));
    b = v16_fma(b, t, v16_set1(0x1.199278p-11f));
    b = v16_fma(b, t, v16_set1(-0x1.40de50p-6f));
    b = v16_fma(b, t, v16_set1(0x1.a58f3ep-4f));
    b = v16_fma(b, t, v16_set1(0x1.45f022p-1f));
    b = v16_fma(b, t, v16_set1(0x1.06ec3ap-3f));
    b = v16_fma(b, t, t);
    v16 e = v16_exp(v16_sub(v16_set1(0.0f), b));
    v16 half = v16_mul(v16_max(v16_set1(-1e30f), x), v16_set1(0.5f));
    return v16_mul(half, v16_sel(v16_lt(x, v16_set1(0.0f)), e, v16_sub(v16_set1(2.0f), e)));
}

V16_FN v16 v16_relu(v16 x)
{
    /* NaN stays. -0 becomes 0: clang 14 for aarch64 does that by itself to 0 > x ? 0 : x, which it makes fmax. */
    return v16_add(v16_max(v16_set1(0.0f), x), v16_set1(0.0f));
}

V16_FN v16 v16_relu2(v16 x)
{
    v16 r = v16_relu(x);
    return v16_mul(r, r);
}

V16_FN v16 v16_swiglu_oss(v16 x)
{
    v16 low = v16_min(v16_set1(7.0f), x); /* NaN stays */
    return v16_sigmoid_times(v16_mul(low, v16_set1(1.702f)), low);
}

V16_FN v16 v16_act(st_act kind, v16 x)
{
    switch (kind) {
    case ST_ACT_GELU_ERF: return v16_gelu_erf(x);
    case ST_ACT_GELU_TANH: return v16_gelu_tanh(x);
    case ST_ACT_SILU: return v16_silu(x);
    case ST_ACT_RELU: return v16_relu(x);
    case ST_ACT_TANH: return v16_tanh(x);
    case ST_ACT_RELU2: return v16_relu2(x);
    case ST_ACT_SWIGLU_OSS: return v16_swiglu_oss(x);
    case ST_ACT_NONE:
    case ST_ACT_COUNT: break;
    }
    return x;
}

/* act(x) * u. */
V16_FN v16 v16_gate(st_act kind, v16 x, v16 u)
{
    if (kind == ST_ACT_SWIGLU_OSS) u = v16_add(v16_max(v16_set1(-7.0f), v16_min(v16_set1(7.0f), u)), v16_set1(1.0f));
    return v16_mul(v16_act(kind, x), u);
}
