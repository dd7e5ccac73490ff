/* i8_neon.h: what the integer GEMMs of the aarch64 levels have in common: types and operations on 4 columns, under the
 * names that gemm_i8.inc asks for. */
#define I8_LANES          4
#define I8_PANELS         1
#define I8_F_IN_REGISTERS 0
typedef int32x4_t i8_int;
typedef float32x4_t i8_float;
#define i8_set1(x)       vdupq_n_s32(x)
#define i8_to_float(q)   vcvtq_f32_s32(q)
#define i8_fset1(x)      vdupq_n_f32(x)
#define i8_fld(p)        vld1q_f32(p)
#define i8_fst(p, v)     vst1q_f32(p, v)
#define i8_fmul(x, y)    vmulq_f32(x, y)
#define i8_ffma(x, y, z) vfmaq_f32(z, x, y)

/* Assembly where compilers would otherwise spread it over the loop, and spill. */
V16_FN int32x4_t i8_times128(int32x4_t q)
{
    __asm__ volatile("shl %0.4s, %0.4s, #7" : "+w"(q));
    return q;
}

/* Made anew where it is wanted: gcc keeps a constant zero in a register of the loop. */
V16_FN int32x4_t zero(void)
{
    int32x4_t v;
    __asm__ volatile("movi %0.4s, #0" : "=w"(v));
    return v;
}
#define i8_zero() zero()
