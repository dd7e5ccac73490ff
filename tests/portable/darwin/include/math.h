/* math.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_MATH_H
#define STUB_MATH_H

#define NAN         __builtin_nanf("0x7fc00000")
#define INFINITY    __builtin_inff()
#define HUGE_VAL    __builtin_huge_val()
#define isnan(x)    __builtin_isnan(x)
#define isinf(x)    __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define signbit(x)  __builtin_signbit(x)

double fabs(double x);
float fabsf(float x);
double ceil(double x);
float ceilf(float x);
double floor(double x);
float floorf(float x);
double trunc(double x);
float truncf(float x);
double rint(double x);
float rintf(float x);
double nearbyint(double x);
float nearbyintf(float x);
double round(double x);
float roundf(float x);
long lrint(double x);
long lrintf(float x);
long lround(double x);
long lroundf(float x);
double fma(double a, double b, double c);
float fmaf(float a, float b, float c);
double fmax(double a, double b);
float fmaxf(float a, float b);
double fmin(double a, double b);
float fminf(float a, float b);
double fmod(double a, double b);
double sqrt(double x);
float sqrtf(float x);
double pow(double a, double b);
float powf(float a, float b);
double exp(double x);
float expf(float x);
double log(double x);
double log2(double x);
double log10(double x);
double sin(double x);
double cos(double x);
double frexp(double x, int *e);
double ldexp(double x, int e);
float ldexpf(float x, int e);
double scalbn(double x, int e);
double copysign(double a, double b);
float copysignf(float a, float b);
double modf(double x, double *i);

#endif
