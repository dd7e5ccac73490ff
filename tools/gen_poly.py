#!/usr/bin/env python3
"""Fits the polynomials of src/backend/cpu/kernels/v16_math.h (float) and src/base/math.c (double) and prints them as C.

Needs mpmath. Each polynomial is the weighted minimax fit by Remez' exchange; coefficients are then rounded to the
target type from the lowest degree up, the others being fitted again after each rounding, so that the rounding of the
large coefficients is repaired by the small ones. The error printed is that of the rounded polynomial, exactly evaluated,
relative to the function.

    python3 tools/gen_poly.py
"""
import struct
from mpmath import mp, mpf, matrix, lu_solve, exp, tanh, erfc, log, sin, cos, sqrt

mp.dps = 50


def to_f32(x):
    """Round to nearest float (doubles are close enough to break no tie here)."""
    return mpf(struct.unpack("<f", struct.pack("<f", float(x)))[0])


def to_f64(x):
    return mpf(float(x))


def remez(g, w, degrees, lo, hi, rounds=40):
    """Minimises max |w(x) (sum c_i x^degrees[i] - g(x))| on [lo, hi]; returns the coefficients."""
    n = len(degrees)
    if n == 0:
        return []
    xs = [(lo + hi) / 2 + (hi - lo) / 2 * mp.cos(mp.pi * (n - i) / n) for i in range(n + 1)]
    grid = [lo + (hi - lo) * mpf(i) / 2000 for i in range(2001)]
    table = [(x, w(x), g(x), [x**d for d in degrees]) for x in grid]
    for _ in range(rounds):
        a, b = matrix(n + 1, n + 1), matrix(n + 1, 1)
        for i, x in enumerate(xs):
            for j, d in enumerate(degrees):
                a[i, j] = x**d
            a[i, n] = (-1) ** i / w(x)
            b[i] = g(x)
        s = lu_solve(a, b)
        c, level = [s[i] for i in range(n)], abs(s[n])
        errs = [w_ * (sum(ci * p for ci, p in zip(c, ps)) - g_) for _, w_, g_, ps in table]
        runs, worst = [], 0  # the extreme of each run of one sign
        for x, e in zip(grid, errs):
            if runs and (runs[-1][1] > 0) == (e > 0):
                if abs(e) > abs(runs[-1][1]):
                    runs[-1] = (x, e)
            else:
                runs.append((x, e))
            worst = max(worst, abs(e))
        while len(runs) > n + 1:
            runs.pop(0 if abs(runs[0][1]) < abs(runs[-1][1]) else -1)
        if len(runs) < n + 1 or worst <= level * mpf("1.001"):
            break
        xs = [x for x, _ in runs]
    return c


def fit(name, f, base, factor, var, n, lo, hi, rnd, comment, rel=None):
    """f(x) ~ base(x) + factor(x) * P(var(x)), P of n coefficients in the type of rnd; lo <= x <= hi."""
    # In the variable v = var(x), monotonic on [lo, hi]: work on x and powers of var.
    rel = rel or f
    lo, hi = mpf(lo), mpf(hi)
    fixed = []
    for i in range(n):
        known = list(fixed)

        def g(x):
            v = var(x)
            r = (f(x) - base(x)) / factor(x)
            for k, c in enumerate(known):
                r -= c * v**k
            return r

        # Powers i.. of var(x): Remez over x with basis var^j, j = i..n-1.
        c = remez_var(g, lambda x: factor(x) / rel(x), var, range(i, n), lo, hi)
        fixed.append(rnd(c[0]))
    err = max(
        abs((base(x) + factor(x) * sum(c * var(x) ** k for k, c in enumerate(fixed)) - f(x)) / rel(x))
        for x in (lo + (hi - lo) * mpf(k) / 3000 for k in range(3001))
    )
    print(f"/* {comment}; relative error 2^{float(mp.log(err, 2)):.1f}, {float(lo):.6g} <= x <= {float(hi):.6g} */")
    print(f"{name}, degree 0 first:")
    for c in fixed:
        print(f"    {float(c).hex()}{'f' if rnd is to_f32 else ''},")
    return fixed


def remez_var(g, w, var, degrees, lo, hi):
    """Remez over v = var(x); x is found back by bisection-free tabulation since var is x or x^2 here."""
    if var(mpf(2)) == 2:
        back = lambda v: v
    else:
        back = lambda v: sqrt(v)
    a, b = var(lo), var(hi)
    return remez(lambda v: g(back(v)), lambda v: w(back(v)), list(degrees), a, b)


ident = lambda x: x
square = lambda x: x * x
eps = mpf("1e-4")  # keeps 0/0 away: every factor vanishes at 0

print("---- float: v16_math.h ----")
ln2 = log(mpf(2))
hi = mpf(int(ln2 * 2**16)) / 2**16  # 16 bits: n * hi is exact for |n| < 256
print(f"log2(e) {float(to_f32(1 / ln2)).hex()}f  ln2 = {float(hi).hex()}f + {float(to_f32(ln2 - hi)).hex()}f")


def fit_exp(n, rnd):
    """exp(r) = 1 + r + r^2 P(r) on |r| <= 0.347, P of n coefficients. Both signs of r matter, so the variable is r."""
    bound = mpf("0.3470")
    fixed = []
    for i in range(n):
        known = list(fixed)

        def g(r):
            r = r if abs(r) > mpf("1e-12") else mpf("1e-12")
            return (exp(r) - 1 - r) / r**2 - sum(c * r**k for k, c in enumerate(known))

        w = lambda r: (r**2 + mpf("1e-30")) / exp(r)
        fixed.append(rnd(remez(g, w, list(range(i, n)), -bound, bound)[0]))
    err = max(abs((1 + r + r * r * sum(c * r**k for k, c in enumerate(fixed))) / exp(r) - 1)
              for r in (bound * mpf(k) / 1500 for k in range(-1500, 1501)))
    print(f"/* exp(r) = 1 + r + r^2 P(r); relative error 2^{float(mp.log(err, 2)):.1f} on |r| <= 0.347 */")
    print("P, degree 0 first:")
    for c in fixed:
        print(f"    {float(c).hex()}{'f' if rnd is to_f32 else ''},")


fit_exp(5, to_f32)
fit("tanh", tanh, ident, lambda x: x**3, square, 5, eps, "0.56", to_f32, "tanh(x) = x + x^3 T(x^2)")
# -log(erfc(x)) = x + x B(x); the error that counts is the absolute one of erfc: gelu has it beside 1.
fit("erfc", lambda x: -log(erfc(x)), ident, ident, ident, 8, eps, "4.6", to_f32,
    "erfc(x) = exp(-(x + x B(x))), absolute error", rel=lambda x: 1 / erfc(x))

print("---- double: math.c ----")
p = lambda bits, x: mpf(int(x * mpf(2) ** bits)) / mpf(2) ** bits
pio2 = mp.pi / 2
p1 = p(29, pio2)
p2 = p(59, pio2 - p1)
p3 = p(89, pio2 - p1 - p2)
p4 = to_f64(pio2 - p1 - p2 - p3)
print("pi/2 =", " + ".join(float(v).hex() for v in (p1, p2, p3, p4)), " 2/pi", float(2 / mp.pi).hex())
fit("sin", sin, ident, lambda x: x**3, square, 6, eps, "0.7855", to_f64, "sin(x) = x + x^3 S(x^2)")
fit("cos", cos, lambda x: 1 - x * x / 2, lambda x: x**4, square, 6, "0.001", "0.7855", to_f64,
    "cos(x) = 1 - x^2/2 + x^4 C(x^2)")
l1 = p(32, ln2)
print("ln2 =", float(l1).hex(), "+", float(to_f64(ln2 - l1)).hex(), " log2(e)", float(1 / ln2).hex())
fit_exp(11, to_f64)
