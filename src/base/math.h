/* math.h: sin, cos, pow, exp and log in double, the same bits on every machine and libc.
 *
 * Made of + - * / and fma in a fixed order, so nothing here depends on libm's quality. Within 1 ulp
 * (tests/unit/test_math.c). They serve the rope tables and other constants computed at load. Thread-safe. */
#ifndef ST_BASE_MATH_H
#define ST_BASE_MATH_H

#include <stddef.h>

/* |x| <= 1e7: beyond that the argument's reduction loses bits (deterministically). NaN for NaN and infinities. */
double st_sin(double x);
double st_cos(double x);

/* Infinity above 709.78, 0 below -745.13. */
double st_exp(double x);

/* -infinity at 0, NaN below. */
double st_ln(double x);

/* For x >= 0; NaN for x < 0, whatever y. pow(x, 0) and pow(1, y) are 1. */
double st_pow(double x, double y);

/* y = x / |x|, in place; a zero vector stays. Sums in double, where the square of a float is exact, so that every
 * machine gets the same bits without an fma. */
void st_l2_normalize(float *x, size_t n);

#endif
