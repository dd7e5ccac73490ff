/* quant.h: what is known of a tensor type: a row of types.def, and the functions of a file beside it.
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

/* GGUF's own numbers, ST_Q8_0 and so on. */
typedef enum st_type {
#define ST_QUANT_FLOAT(id, type, NAME, ...)  ST_##NAME = (id),
#define ST_QUANT_BLOCKS(id, type, NAME, ...) ST_##NAME = (id),
#include "quant/types.def"
    ST_TYPE_COUNT = 64 /* ids at and above are unknown */
} st_type;

typedef struct st_quant {
    const char *name; /* "Q8_0" */
    uint32_t block;   /* values in a block */
    uint32_t bytes;   /* bytes of a block */
    uint32_t group;   /* values that share a scale once unpacked: 16 or 32; 0: a float type */
    bool has_min;     /* unpack fills min */
    int scale_at;     /* byte of a block's f16 scale, a minimum or its factor behind it; -1: it has none such */
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
