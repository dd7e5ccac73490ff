/* test_math.c: our sin, cos, exp, log and pow against libm's long double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"

#define ULP_BOUND 1.0
/* A long double of more than double's bits is the judge. Where there is none (MSVC, Apple on Arm), double is, at 2
 * ulp. */
#define BOUND (LDBL_MANT_DIG > DBL_MANT_DIG ? ULP_BOUND : 2.0)

static uint64_t state = 88172645463325252u;

static double uniform(double lo, double hi)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return lo + (hi - lo) * ((double)(state >> 11) * 0x1p-53);
}

/* |got - want| in units of the last place of want. */
static double ulps(double got, long double want)
{
    if (isinf(got) || want == 0) return got == (double)want ? 0 : INFINITY;
    int e;
    (void)frexpl(want, &e);
    if (e < -1021) e = -1021;
    return (double)(fabsl((long double)got - want) / ldexpl(1, e - 53));
}

#define WORST(worst, at, x, got, want)          \
    do {                                        \
        double u_ = ulps(got, want);            \
        if (!(u_ <= worst)) worst = u_, at = x; \
    } while (0)

static void check(const char *name, double worst, double at)
{
    printf("  %-22s %.3f ulp at %a\n", name, worst, at);
    assert_true(worst <= BOUND);
}

static void test_sin_cos(void **unused)
{
    (void)unused;
    static const double ranges[] = {1e-3, 0.8, 10, 1e3, 1e5, 1e7};
    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
        double ws = 0, wc = 0, as = 0, ac = 0;
        for (int i = 0; i < 300000; i++) {
            double x = uniform(-ranges[r], ranges[r]);
            if (i & 1) x = (float)x; /* what rope has: a position times a float frequency */
            if (i % 8 == 0) x = nearbyint(x);
            WORST(ws, as, x, st_sin(x), sinl(x));
            WORST(wc, ac, x, st_cos(x), cosl(x));
        }
        char name[32];
        snprintf(name, sizeof name, "sin |x| <= %g", ranges[r]);
        check(name, ws, as);
        snprintf(name, sizeof name, "cos |x| <= %g", ranges[r]);
        check(name, wc, ac);
    }
    double w = 0, at = 0;
    for (int n = 0; n < 6000000; n += n < 20000 ? 1 : 997) { /* next to the multiples of pi/2, where bits cancel */
        double x = n * 1.5707963267948966;
        WORST(w, at, x, st_sin(x), sinl(x));
        WORST(w, at, x, st_cos(x), cosl(x));
    }
    check("at n pi/2", w, at);
    assert_true(st_sin(0.0) == 0 && !signbit(st_sin(0.0)) && signbit(st_sin(-0.0)) && st_cos(0.0) == 1);
    assert_true(isnan(st_sin(INFINITY)) && isnan(st_cos(-INFINITY)) && isnan(st_sin(NAN)) && isnan(st_cos(NAN)));
    assert_true(st_sin(1e-300) == 1e-300);
    assert_true(st_sin(-2.5) == -st_sin(2.5) && st_cos(-2.5) == st_cos(2.5));
}

static void test_exp(void **unused)
{
    (void)unused;
    double w = 0, at = 0;
    for (int i = 0; i < 500000; i++) {
        double x = i & 1 ? uniform(-745, 709.7) : uniform(-2, 2);
        WORST(w, at, x, st_exp(x), expl(x));
    }
    check("exp", w, at);
    assert_true(st_exp(0) == 1 && st_exp(-0.0) == 1);
    assert_true(st_exp(709.79) == INFINITY && st_exp(INFINITY) == INFINITY);
    assert_true(st_exp(-746) == 0 && st_exp(-INFINITY) == 0 && isnan(st_exp(NAN)));
    assert_true(st_exp(709.782712893) < INFINITY && st_exp(-745.13) == 0x1p-1074);
}

static void test_log(void **unused)
{
    (void)unused;
    double w = 0, at = 0;
    for (int i = 0; i < 500000; i++) {
        double x = i % 3 == 0 ? uniform(0.5, 2) : i % 3 == 1 ? 1 + uniform(-1, 1) * 1e-6 : exp(uniform(-740, 709));
        if (x == 0) continue;
        WORST(w, at, x, st_ln(x), logl(x));
    }
    check("log", w, at);
    assert_true(st_ln(1) == 0 && st_ln(0) == -INFINITY && st_ln(INFINITY) == INFINITY);
    assert_true(isnan(st_ln(-1)) && isnan(st_ln(NAN)));
}

static void test_pow(void **unused)
{
    (void)unused;
    double w = 0, at = 0;
    static const double bases[] = {10000, 1e6, 5e5, 160000, 8e6, 500};
    for (size_t b = 0; b < sizeof bases / sizeof *bases; b++) /* the exponents of rope */
        for (int d = 2; d <= 256; d += 2)
            for (int i = 0; i < d; i += 2) {
                double y = -(double)i / d;
                WORST(w, at, y, st_pow(bases[b], y), powl(bases[b], y));
            }
    check("pow, rope", w, at);
    w = 0;
    for (int i = 0; i < 500000; i++) {
        double x = exp(uniform(-300, 300)), y = uniform(-2, 2);
        if (i & 1) x = uniform(0.9, 1.1), y = uniform(-5000, 5000);
        WORST(w, at, x, st_pow(x, y), powl(x, y));
    }
    check("pow", w, at);
    assert_true(st_pow(7, 0) == 1 && st_pow(NAN, 0) == 1 && st_pow(1, NAN) == 1);
    assert_true(st_pow(0, 2) == 0 && st_pow(0, -2) == INFINITY && isnan(st_pow(-2, 2)));
    assert_true(st_pow(2, 10) == 1024 && st_pow(10, 3) == 1000 && st_pow(4, 0.5) == 2);
    assert_true(st_pow(2, 1e300) == INFINITY && st_pow(0.5, 1e300) == 0 && st_pow(2, INFINITY) == INFINITY);
    assert_true(st_pow(2, 2000) == INFINITY && st_pow(2, -2000) == 0 && st_pow(INFINITY, -1) == 0);
    assert_true(isnan(st_pow(NAN, 2)) && isnan(st_pow(2, NAN)));
}

#define BITS 0xe42e995b84de8b0u
/* Bits recorded once: the same on every machine, compiler and libc. */
static void test_bits(void **unused)
{
    (void)unused;
    uint64_t h = 1469598103934665603u;
    state = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        double x = uniform(-1e5, 1e5), y = uniform(0.01, 100), z = uniform(-3, 3);
        double v[] = {st_sin(x), st_cos(x), st_exp(z * 50), st_ln(y), st_pow(y, z)};
        for (size_t j = 0; j < sizeof v / sizeof *v; j++) {
            uint64_t u;
            memcpy(&u, v + j, 8);
            h = (h ^ u) * 1099511628211u;
        }
    }
    if (h != BITS) printf("  hash %#llx\n", (unsigned long long)h);
    assert_true(h == BITS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sin_cos), cmocka_unit_test(test_exp),  cmocka_unit_test(test_log),
        cmocka_unit_test(test_pow),     cmocka_unit_test(test_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
