/* math.c: elementary functions in double from + - * / and fma alone. */
#include "base/math.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "math.c needs IEEE arithmetic: no -ffast-math"
#endif

/* Coefficients: tools/gen_poly.py. */
#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HI 0x1.62e42feep-1 /* 32 bits: times an exponent it is exact */
#define LN2_LO 0x1.a39ef35793c76p-33

static double math_make_double(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static uint64_t math_double_bits(double d)
{
    uint64_t u;
    memcpy(&u, &d, sizeof u);
    return u;
}

/* Round to nearest even, |x| < 2^51. */
static double math_nearest(double x)
{
    return (x + 0x1.8p52) - 0x1.8p52;
}

/* A number as an unevaluated sum, |lo| <= ulp(hi). */
typedef struct pair {
    double hi, lo;
} pair;

static pair math_two_sum(double a, double b)
{
    double s = a + b, t = s - a;
    return (pair){s, (a - (s - t)) + (b - t)};
}

static pair math_two_mul(double a, double b)
{
    double p = a * b;
    return (pair){p, fma(a, b, -p)};
}

static pair math_pair_mul(pair a, pair b)
{
    pair p = math_two_mul(a.hi, b.hi);
    p.lo += a.hi * b.lo + a.lo * b.hi;
    return p;
}

/* ---- sin and cos ---- */

/* x = n pi/2 + r, |r| <= pi/4 (and a little). pi/2 in parts of 30, 30, 30 and 53 bits: n < 2^23 times each of the first
 * three is exact, so that r keeps its bits even where x is next to a multiple of pi/2. */
static pair math_reduce(double x, int *quadrant)
{
    double n = math_nearest(x * 0x1.45f306dc9c883p-1);
    *quadrant = (int)((int64_t)n & 3);
    double a = x - n * 0x1.921fb54p+0; /* exact: both are multiples of the smaller's last place, and cancel */
    pair r = math_two_sum(a, -(n * 0x1.10b46118p-30));
    pair s = math_two_sum(r.hi, -(n * 0x1.313198ap-61));
    pair t = math_two_sum(s.hi, r.lo);
    t.lo += s.lo - n * 0x1.701b839a25205p-92;
    return math_two_sum(t.hi, t.lo);
}

static double math_sin_reduced(pair r)
{
    double x = r.hi, s = x * x, p = 0x1.5d8b5575ec65cp-33;
    p = p * s + -0x1.ae5e4b839e65ap-26;
    p = p * s + 0x1.71de35552b23bp-19;
    p = p * s + -0x1.a01a019be9216p-13;
    p = p * s + 0x1.111111110f730p-7;
    p = p * s + -0x1.5555555555548p-3;
    return x + (x * s * p + r.lo * (1 - 0.5 * s));
}

static double math_cos_reduced(pair r)
{
    double x = r.hi, s = x * x, p = -0x1.8fa65f2ab3536p-37;
    p = p * s + 0x1.1ee9db8f1386ep-29;
    p = p * s + -0x1.27e4f7f141ed8p-22;
    p = p * s + 0x1.a01a019c8ed10p-16;
    p = p * s + -0x1.6c16c16c15013p-10;
    p = p * s + 0x1.555555555554bp-5;
    double half = 0.5 * s, w = 1 - half;
    return w + (((1 - w) - half) + (s * s * p - x * r.lo));
}

/* quadrant 0: sin, 1: cos, 2: -sin, 3: -cos of the reduced argument. */
static double math_quadrant_value(pair r, int quadrant)
{
    double v = quadrant & 1 ? math_cos_reduced(r) : math_sin_reduced(r);
    return quadrant & 2 ? -v : v;
}

/* Infinities, NaN, and what does not fit the integer conversion. */
static int math_out_of_range(double x)
{
    return !(fabs(x) < 0x1p50);
}

double st_sin(double x)
{
    if (math_out_of_range(x)) return NAN;
    if (fabs(x) < 0x1p-27) return x;
    int q;
    pair r = math_reduce(x, &q);
    return math_quadrant_value(r, q);
}

double st_cos(double x)
{
    if (math_out_of_range(x)) return NAN;
    int q;
    pair r = math_reduce(x, &q);
    return math_quadrant_value(r, q + 1);
}

/* ---- exp, log, pow ---- */

/* exp(x.hi + x.lo) */
static double math_exp_pair(pair x)
{
    if (x.hi > 709.782712893384) return INFINITY;
    if (x.hi < -745.14) return 0;
    double n = math_nearest(x.hi * LOG2_E), a = x.hi - n * LN2_HI, b = n * LN2_LO;
    double r = a - b, rest = ((a - r) - b) + x.lo;
    double p = 0x1.201f1b114f13cp-29;
    p = p * r + 0x1.af7375e07d712p-26;
    p = p * r + 0x1.27e4680cdb207p-22;
    p = p * r + 0x1.71ddeb496b376p-19;
    p = p * r + 0x1.a01a01deacc54p-16;
    p = p * r + 0x1.a01a01b5c286bp-13;
    p = p * r + 0x1.6c16c16c0b66bp-10;
    p = p * r + 0x1.111111110e58fp-7;
    p = p * r + 0x1.555555555556bp-5;
    p = p * r + 0x1.555555555555dp-3;
    p = p * r + 0x1p-1;
    p = r * r * p; /* exp(r) - 1 - r */
    double v = 1 + (r + (p + rest * (1 + (r + p))));
    /* In two steps, since 2^n alone may overflow or be subnormal where the result is not. */
    int e = (int)n, half = e / 2;
    return v * math_make_double((uint64_t)(1023 + half) << 52) * math_make_double((uint64_t)(1023 + e - half) << 52);
}

/* log(x), x finite and > 0, to about 2^-63 relative: log(2^k m) = k ln2 + 2 atanh(s), s = (m-1)/(m+1), |s| < 0.172. */
static pair math_log_pair(double x)
{
    int k = 0;
    if (x < 0x1p-1022) x *= 0x1p54, k = -54;
    uint64_t bits = math_double_bits(x);
    k += (int)(bits >> 52) - 1023;
    double m = math_make_double((bits & 0xfffffffffffffu) | (uint64_t)1023 << 52);
    if (m > 0x1.6a09e667f3bcdp0) m *= 0.5, k++;
    pair den = math_two_sum(m, 1.0), s;
    s.hi = (m - 1) / den.hi;
    s.lo = (fma(-s.hi, den.hi, m - 1) - s.hi * den.lo) / den.hi;
    pair s2 = math_two_mul(s.hi, s.hi);
    s2.lo += 2 * s.hi * s.lo;
    double t = 0; /* 1/5 + s2/7 + ... + s2^10/25 */
    for (int i = 25; i >= 5; i -= 2) t = t * s2.hi + 1.0 / i;
    pair u = math_two_sum(0x1.5555555555555p-2, s2.hi * t); /* 1/3 in two parts */
    u.lo += 0x1.5555555555555p-56;
    pair q = math_pair_mul(s2, u), w = math_two_sum(1.0, q.hi);
    w.lo += q.lo;
    pair l = math_pair_mul((pair){2 * s.hi, 2 * s.lo}, w), r = math_two_sum(k * LN2_HI, l.hi);
    r.lo += l.lo + k * LN2_LO;
    return math_two_sum(r.hi, r.lo);
}

double st_exp(double x)
{
    if (x != x) return x;
    return math_exp_pair((pair){x, 0});
}

double st_ln(double x)
{
    if (x != x || x == INFINITY) return x;
    if (x <= 0) return x == 0 ? -INFINITY : NAN;
    return math_log_pair(x).hi;
}

double st_pow(double x, double y)
{
    if (y == 0 || x == 1) return 1;
    if (x != x || y != y || x < 0) return NAN;
    if (x == 0 || x == INFINITY) return (x == 0) == (y > 0) ? 0 : INFINITY;
    if (fabs(y) > 0x1p64) return (x > 1) == (y > 0) ? INFINITY : 0; /* |log x| >= 2^-53 */
    pair l = math_log_pair(x), p = math_two_mul(y, l.hi);
    p.lo += y * l.lo;
    return math_exp_pair(p);
}

void st_l2_normalize(float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    if (!(sum > 0)) return;
    double norm = sqrt(sum);
    for (size_t i = 0; i < n; i++) x[i] = (float)((double)x[i] / norm);
}
