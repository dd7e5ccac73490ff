/* v16_tail.h: 16 floats, or n <= 16 of them at the end of a row: nothing past it is touched. Included inside the target
 * region of a k_*.c, after its v16_*.h. */
#ifndef ST_BACKEND_CPU_KERNELS_V16_TAIL_H
#define ST_BACKEND_CPU_KERNELS_V16_TAIL_H

V16_FN v16 ld_tail(const float *p, uint32_t n)
{
    return n == 16 ? v16_ld(p) : v16_ld_n(p, n);
}

V16_FN void st_tail(float *p, v16 v, uint32_t n)
{
    if (n == 16)
        v16_st(p, v);
    else
        v16_st_n(p, v, n);
}

#endif
