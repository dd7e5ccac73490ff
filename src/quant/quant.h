/* quant.h: one row per tensor type.
 *
 * A type is a block of `block` values stored in `bytes` bytes. Its file (q8_0.c, k_quants.c, ...) is its scalar
 * definition: `dequant` is bit-equal to gguf-py's. For integer kernels a block is also unpacked exactly, never
 * requantised, to int8 values with a scale per group of `group` values and, for types that have one, a minimum:
 * value = scale * q - min.
 * Rows are ordered as in GGUF: the fastest dimension first, n a multiple of block. Stateless and thread-safe. */
#ifndef ST_QUANT_QUANT_H
#define ST_QUANT_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* GGUF's own numbers. The ids that are left out were withdrawn from the format. */
typedef enum st_type {
    ST_F32 = 0,
    ST_F16 = 1,
    ST_Q4_0 = 2,
    ST_Q4_1 = 3,
    ST_Q5_0 = 6,
    ST_Q5_1 = 7,
    ST_Q8_0 = 8,
    ST_Q2_K = 10,
    ST_Q3_K = 11,
    ST_Q4_K = 12,
    ST_Q5_K = 13,
    ST_Q6_K = 14,
    ST_IQ2_XXS = 16,
    ST_IQ2_XS = 17,
    ST_IQ3_XXS = 18,
    ST_IQ1_S = 19,
    ST_IQ4_NL = 20,
    ST_IQ3_S = 21,
    ST_IQ2_S = 22,
    ST_IQ4_XS = 23,
    ST_IQ1_M = 29,
    ST_BF16 = 30,
    ST_TQ1_0 = 34,
    ST_TQ2_0 = 35,
    ST_MXFP4 = 39,
    ST_NVFP4 = 40,
    ST_TYPE_COUNT = 64 /* ids at and above are unknown */
} st_type;

typedef struct st_quant {
    const char *name; /* "Q8_0" */
    uint32_t block;   /* values in a block */
    uint32_t bytes;   /* bytes of a block */
    uint32_t group;   /* values that share a scale once unpacked: 16 or 32; 0: a float type */
    bool has_min;     /* unpack fills min */
    /* K-quants: a block's scales are int8 times the f16 at this byte, its minima int8 times the f16 after that. -1: the
     * type's scales are made otherwise. Of float types not looked at. */
    int factors_at;
    /* n values at src -> float32. */
    void (*dequant)(const void *src, float *dst, size_t n);
    /* n float32 -> the type's bytes, as the reference quantiser; NULL where there is none yet. */
    void (*quantize)(const float *src, void *dst, size_t n);
    /* n values -> q [n], scale [n/group], min [n/group] (min may be NULL unless has_min); NULL for float types. */
    void (*unpack)(const void *src, int8_t *q, float *scale, float *min, size_t n);
} st_quant;

/* The row of a type, or NULL when this version only knows its size or nothing at all. */
const st_quant *st_quant_get(uint32_t type);

/* Name and block geometry of every type that GGUF defines, runnable or not; false for an unknown id. */
bool st_quant_geometry(uint32_t type, const char **name, uint32_t *block, uint32_t *bytes);

/* Runnable types as "F32 F16 ..." for messages. Static string. */
const char *st_quant_supported(void);

#endif
