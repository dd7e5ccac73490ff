/* fenv.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_FENV_H
#define STUB_FENV_H

#if defined(__x86_64__)
typedef struct {
    unsigned short control, status;
    unsigned mxcsr;
    char reserved[8];
} fenv_t;
#define FE_DOWNWARD   0x0400
#define FE_UPWARD     0x0800
#define FE_TOWARDZERO 0x0c00
#else
typedef struct {
    unsigned long long fpsr, fpcr;
} fenv_t;
#define FE_UPWARD     0x00400000
#define FE_DOWNWARD   0x00800000
#define FE_TOWARDZERO 0x00c00000
#endif
#define FE_TONEAREST 0

extern const fenv_t stub_dfl_env;
#define FE_DFL_ENV (&stub_dfl_env)

int fegetenv(fenv_t *env);
int fesetenv(const fenv_t *env);
int feholdexcept(fenv_t *env);
int fegetround(void);
int fesetround(int mode);
int feclearexcept(int what);

#endif
