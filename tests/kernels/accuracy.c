/* accuracy.c: exp, tanh, erf and what is made of them, in ulp against libm's double. The bounds are what v16_math.h
 * states. */
#include "check.h"

static st_kernels k;

static double ulps(float got, double want)
{
    if (isnan(got) && isnan(want)) return 0;
    if (got == (float)want) return 0; /* infinities too */
    int e;
    (void)frexp(want, &e);
    if (e < -125) e = -125;
    return fabs((double)got - want) / ldexp(1, e - 24);
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}
static double gelu_tanh(double x)
{
    double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
    return x / (1 + exp(-2 * u));
}
static double gelu_erf(double x)
{
    return x / 2 * erfc(-x * 0.70710678118654752440);
}

static double swiglu_oss(double x)
{
    double low = x < 7 ? x : 7;
    return low / (1 + exp(-(double)1.702f * low));
}

/* Every 2^-20 of the mantissa of each exponent, and both signs, of |x| in [2^e0, 2^e1). */
static double worst_act(st_act act, double (*want)(double), float lo, float hi, bool absolute, float *at)
{
    double worst = 0;
    enum { N = 4096 };
    float *x = exact(N * 4), *y = exact(N * 4);
    for (uint32_t bits = st_f32_bits(lo); bits < st_f32_bits(hi); bits += 37 * N) {
        for (int sign = 0; sign < 2; sign++) {
            for (uint32_t i = 0; i < N; i++) y[i] = x[i] = (sign ? -1.0f : 1.0f) * st_bits_f32(bits + 37 * i);
            k.act(act, y, N, 1, N);
            for (uint32_t i = 0; i < N; i++) {
                if (fabsf(x[i]) >= hi) continue;
                double w = want(x[i]), u = absolute ? fabs(y[i] - w) / (fabs(x[i]) * 0x1p-24) : ulps(y[i], w);
                if (!(u <= worst)) worst = u, *at = x[i];
            }
        }
    }
    free(x), free(y);
    return worst;
}

static void report(const char *what, double worst, double bound, const char *unit, const float *at)
{
    printf("  %-34s %6.3f %s (stated: %g) at %g\n", what, worst, unit, bound, (double)*at);
    assert_true(worst <= bound);
}

static void exp_accuracy(void)
{
    double worst = 0;
    float at = 0;
    enum { N = 4096 };
    float *s = exact(N * 4);
    for (int round = 0; round < 400; round++) {
        float x[N];
        for (int i = 0; i < N; i++) s[i] = x[i] = round & 1 ? rng_f32(-86.4f, 0) : rng_f32(-1, 0);
        s[0] = x[0] = 0; /* the maximum: softmax gives exp(x) */
        k.softmax(s, N, 0, N, 1, 0, 0, 0);
        for (int i = 0; i < N; i++) {
            double u = ulps(s[i], exp(x[i]));
            if (u > worst) worst = u, at = x[i];
        }
    }
    float edge[16] = {0, -86.5f, -86.51f, -87, -104, -1e30f, -INFINITY, -86.49f};
    k.softmax(edge, 16, 0, 8, 1, 0, 0, 0);
    assert_true(edge[0] == 1 && edge[1] > 2.6e-38f && edge[7] > 2.6e-38f);
    for (int i = 2; i < 7; i++) assert_true(edge[i] == 0 && !signbit(edge[i]));
    free(s);
    report("exp, -86.5 <= x <= 0", worst, 1.0, "ulp", &at);
}

/* Relative error of a row's norm in double. */
static double norm_error(bool layer, uint32_t n)
{
    double worst = 0;
    for (int round = 0; round < 50; round++) {
        float *x = random_floats(n, PLAIN), *y = exact(n * 4);
        double mean = 0, var = 0, scale = 0;
        for (uint32_t i = 0; i < n && layer; i++) mean += x[i] / (double)n;
        for (uint32_t i = 0; i < n; i++) var += (x[i] - mean) * (x[i] - mean) / n;
        if (layer)
            k.layer_norm(x, NULL, NULL, 1e-5f, n, y);
        else
            k.rms_norm(x, NULL, 1e-5f, n, y);
        for (uint32_t i = 0; i < n; i++) scale = fmax(scale, fabs((x[i] - mean) / sqrt(var + 1e-5)));
        for (uint32_t i = 0; i < n; i++)
            worst = fmax(worst, fabs(y[i] - (x[i] - mean) / sqrt(var + 1e-5)) / (scale * 0x1p-24));
        free(x), free(y);
    }
    return worst;
}

static float act1(st_act a, float x)
{
    k.act(a, &x, 1, 1, 1);
    return x;
}

void test_accuracy(void **state)
{
    (void)state;
    float at = 0;
    assert_true(st_kernels_init(&k, NULL)); /* all levels give the same bits: the fastest will do */
    exp_accuracy();
    report("tanh", worst_act(ST_ACT_TANH, tanh, 0x1p-30f, 20, false, &at), 2.0, "ulp", &at);
    report("silu, x > -86", worst_act(ST_ACT_SILU, silu, 0x1p-30f, 86, false, &at), 4.0, "ulp", &at);
    report("gelu_tanh, |x| < 6", worst_act(ST_ACT_GELU_TANH, gelu_tanh, 0x1p-30f, 6, true, &at), 2.0, "|x| 2^-24", &at);
    report("gelu_erf", worst_act(ST_ACT_GELU_ERF, gelu_erf, 0x1p-30f, 20, true, &at), 2.0, "|x| 2^-24", &at);
    report("swiglu_oss, x > -50", worst_act(ST_ACT_SWIGLU_OSS, swiglu_oss, 0x1p-30f, 50, true, &at), 4.0, "|x| 2^-24",
           &at);
    report("rms_norm 768", norm_error(false, 768), 4.0, "max 2^-24", &at);
    report("layer_norm 384", norm_error(true, 384), 4.0, "max 2^-24", &at);

    static const st_act gates[] = {ST_ACT_SILU, ST_ACT_GELU_TANH, ST_ACT_GELU_ERF};
    for (int i = 0; i < 3; i++) {
        st_act a = gates[i];
        assert_true(act1(a, INFINITY) == INFINITY && act1(a, -INFINITY) == 0 && isnan(act1(a, NAN)));
        assert_true(act1(a, 3e38f) == 3e38f && act1(a, -3e38f) == 0 && act1(a, 100) == 100);
        assert_true(fabsf(act1(a, -100)) < 1e-35f && act1(a, 0.0f) == 0);
    }
    assert_true(act1(ST_ACT_TANH, INFINITY) == 1 && act1(ST_ACT_TANH, -INFINITY) == -1 &&
                isnan(act1(ST_ACT_TANH, NAN)));
    assert_true(act1(ST_ACT_RELU, -5) == 0 && act1(ST_ACT_RELU, 5) == 5 && isnan(act1(ST_ACT_RELU, NAN)));
    assert_true(act1(ST_ACT_RELU, -INFINITY) == 0 && act1(ST_ACT_RELU, INFINITY) == INFINITY);
    float top = act1(ST_ACT_SWIGLU_OSS, 7);
    assert_true(act1(ST_ACT_SWIGLU_OSS, 8) == top && act1(ST_ACT_SWIGLU_OSS, INFINITY) == top);
    assert_true(act1(ST_ACT_SWIGLU_OSS, -INFINITY) == 0 && isnan(act1(ST_ACT_SWIGLU_OSS, NAN)));
    static const float partner[][2] = {{2.5f, 3.5f}, {7.5f, 8}, {-7.5f, -6}, {INFINITY, 8}};
    for (int i = 0; i < 4; i++) {
        float x = 1.25f, want = act1(ST_ACT_SWIGLU_OSS, x) * partner[i][1];
        k.glu(ST_ACT_SWIGLU_OSS, &x, 1, partner[i], 1, 1, 1);
        assert_true(x == want);
    }
    assert_true(act1(ST_ACT_RELU2, -5) == 0 && act1(ST_ACT_RELU2, 5) == 25 && isnan(act1(ST_ACT_RELU2, NAN)));
}
