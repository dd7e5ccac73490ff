/* fp.c: the control registers of each architecture, and the one value that is kept for a thread. */
#include "base/fp.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#include <fenv.h>
#endif

/* States fit 63 bits; the top one marks a token of a call inside a call. */
#define INNER (UINT64_C(1) << 63)

static _Thread_local struct {
    uint64_t caller; /* its state, while the thread is inside */
    bool inside;
} fp;

#if defined(__x86_64__)
/* MXCSR below, then x87's control and status words. fnstenv waits for no exception that is pending, and masks all: so
 * neither it nor what follows can trap. */
typedef struct x87_env {
    uint16_t control, unused0, status, unused1, rest[10];
} x87_env;

#define X87_DEFAULT   0x37fu /* all exceptions masked, nearest, 64-bit mantissa */
#define X87_FLAGS     0x7fu  /* exceptions and stack fault; the rest of the status word is the stack's and compares' */
#define X87_PENDING   0x8080u
#define MXCSR_DEFAULT 0x1f80u

/* The state; x87's exceptions are masked from here on. */
static uint64_t fp_read_state(void)
{
    x87_env env;
    __asm__ volatile("fnstenv %0" : "=m"(env));
    return (uint64_t)_mm_getcsr() | (uint64_t)env.control << 32 | (uint64_t)(env.status & X87_FLAGS) << 48;
}

static void fp_set_state(uint64_t state)
{
    const uint16_t control = (uint16_t)(state >> 32), flags = (uint16_t)(state >> 48 & X87_FLAGS);
    x87_env env;
    __asm__ volatile("fnstenv %0" : "=m"(env));
    env.control = control;
    env.status = (uint16_t)((env.status & ~(X87_FLAGS | X87_PENDING)) | flags);
    __asm__ volatile("fldenv %0" : : "m"(env));
    _mm_setcsr((uint32_t)state & 0xffffu);
}

static void fp_set_ours(void)
{
    const uint16_t control = X87_DEFAULT;
    __asm__ volatile("fnclex\n\tfldcw %0" : : "m"(control));
    _mm_setcsr(MXCSR_DEFAULT);
}
#elif defined(__aarch64__)
/* FPSR below FPCR. */
static uint64_t fp_read_state(void)
{
    uint64_t control, flags;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("mrs %0, fpsr" : "=r"(flags));
    return (control & 0x7fffffffu) << 32 | (flags & 0xffffffffu);
}

static void fp_set_state(uint64_t state)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(state >> 32 & 0x7fffffffu));
    __asm__ volatile("msr fpsr, %0" : : "r"(state & 0xffffffffu));
}

static void fp_set_ours(void)
{
    fp_set_state(0);
}
#else
static uint64_t fp_read_state(void)
{
    return (uint64_t)(uint32_t)fegetround() << 31 | (uint32_t)fetestexcept(FE_ALL_EXCEPT);
}

static void fp_set_state(uint64_t state)
{
    fesetround((int)(state >> 31));
    feclearexcept(FE_ALL_EXCEPT);
    feraiseexcept((int)(state & 0x7fffffffu));
}

static void fp_set_ours(void)
{
    fesetround(FE_TONEAREST);
}
#endif

uint64_t st_fp_enter(void)
{
    if (fp.inside) return INNER;
    const uint64_t outer = fp.caller; /* of the call whose callback this one comes from, if any */
    fp.caller = fp_read_state();
    fp.inside = true;
    fp_set_ours();
    return outer;
}

void st_fp_leave(uint64_t token)
{
    if (token & INNER) return;
    fp_set_state(fp.caller);
    fp.caller = token;
    fp.inside = false;
}

bool st_fp_out(void)
{
    if (!fp.inside) return false;
    fp_set_state(fp.caller);
    fp.inside = false;
    return true;
}

void st_fp_back(bool was_inside)
{
    if (!was_inside) return;
    fp.caller = fp_read_state();
    fp.inside = true;
    fp_set_ours();
}

uint64_t st_fp_caller(void)
{
    return fp.caller;
}

void st_fp_serve(uint64_t caller)
{
    fp.caller = caller;
}
