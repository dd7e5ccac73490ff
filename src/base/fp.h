/* fp.h: the floating-point state of a thread that is inside the library.
 *
 * A call computes with round to nearest, denormals kept and no traps, whatever its caller has set, and gives the
 * caller's state back: rounding, traps, flushing of denormals and the flags that were raised. Around each callback the
 * caller's is in force too, so that it finds its own: an allocator too, which is why the state that stands aside is
 * kept for the thread and not handed from function to function.
 *
 * On x86-64 it is that of SSE and of x87: the C library's printf and strtod round as the latter says. */
#ifndef ST_BASE_FP_H
#define ST_BASE_FP_H

#include <stdbool.h>
#include <stdint.h>

/* Between the two the thread has the library's state. They nest: inside a call they change nothing. */
uint64_t st_fp_enter(void);
void st_fp_leave(uint64_t token);

/* Around a callback. Outside of a call they do nothing. What the callback leaves is the caller's state from then on. */
bool st_fp_out(void);
void st_fp_back(bool was_inside);

/* For threads of a pool, which are inside for all of their life: their callbacks are to find the state of the caller
 * for whom they work. */
uint64_t st_fp_caller(void);
void st_fp_serve(uint64_t caller);

#endif
