/* quant.c: the table of tensor types. Owns which types run and the size of every type that GGUF defines. */
#include "quant/quant.h"

#include <math.h>

#include "quant/quant_rows.h"

/* The quantiser of a target. */
#define QUANTIZE_none(type)   NULL
#define QUANTIZE_plain(type)  st_quantize_##type
#define QUANTIZE_graded(type) st_quantize_##type

/* Types that run have a dequant. */
static const st_quant rows[ST_TYPE_COUNT] = {
#define ST_QUANT_FLOAT(id, type, NAME, n_bytes, target, file_type) \
    [id] = {.name = #NAME,                                         \
            .block = 1,                                            \
            .bytes = (n_bytes),                                    \
            .scale_at = -1,                                        \
            .dequant = st_dequant_##type,                          \
            .quantize = QUANTIZE_##target(type)},
#define ST_QUANT_BLOCKS(id, type, NAME, n, n_bytes, n_group, min, at, width, zero, tails, target, file_type) \
    [id] = {.name = #NAME,                                                                                   \
            .block = (n),                                                                                    \
            .bytes = (n_bytes),                                                                              \
            .group = (n_group),                                                                              \
            .has_min = (min),                                                                                \
            .scale_at = (at),                                                                                \
            .dequant = st_dequant_##type,                                                                    \
            .quantize = QUANTIZE_##target(type),                                                             \
            .unpack = st_unpack_##type},
#define ST_QUANT_SIZED(id, NAME, n, n_bytes) [id] = {.name = #NAME, .block = (n), .bytes = (n_bytes)},
#include "quant/types.def"
};

/* "F32 F16 ..." with a space before each. */
static const char supported[] =
#define ST_QUANT_FLOAT(id, type, NAME, ...)  " " #NAME
#define ST_QUANT_BLOCKS(id, type, NAME, ...) " " #NAME
#include "quant/types.def"
    ;

const st_quant *st_quant_get(uint32_t type)
{
    return type < ST_TYPE_COUNT && rows[type].dequant ? &rows[type] : NULL;
}

bool st_quant_geometry(uint32_t type, const char **name, uint32_t *block, uint32_t *bytes)
{
    if (type >= ST_TYPE_COUNT || !rows[type].name) return false;
    *name = rows[type].name;
    *block = rows[type].block;
    *bytes = rows[type].bytes;
    return true;
}

const char *st_quant_supported(void)
{
    return supported + 1;
}

void st_dequant_unpacked(const st_quant *type, const void *src, float *dst, size_t n)
{
    const uint8_t *block = src;
    int8_t q[ST_QUANT_MAX_BLOCK];
    float scale[ST_QUANT_MAX_GROUPS], min[ST_QUANT_MAX_GROUPS];
    for (size_t at = 0; at < n; at += type->block, block += type->bytes) {
        type->unpack(block, q, scale, min, type->block);
        for (uint32_t i = 0; i < type->block; i++) {
            float v = scale[i / type->group] * (float)q[i];
            dst[at + i] = type->has_min ? v - min[i / type->group] : v;
        }
    }
}

/* quantize_row_q4_0_ref and _q5_0_ref (ggml-quants.c). */
float st_quantize_symmetric(const float *x, int half, uint8_t *q)
{
    float max = 0;
    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > fabsf(max)) max = x[i];
    float d = max / (float)-half, inv = d == 0 ? 0 : 1 / d;
    if (isinf(inv)) inv = 0; /* d is a denormal, 0 as f16 */
    for (int i = 0; i < 32; i++) q[i] = (uint8_t)st_clip_int(x[i] * inv + ((float)half + 0.5f), 0, 2 * half - 1);
    return d;
}

/* quantize_row_q4_1_ref and _q5_1_ref. */
float st_quantize_affine(const float *x, int top, uint8_t *q, float *min)
{
    float lo = x[0], hi = x[0];
    for (int i = 1; i < 32; i++) {
        if (x[i] < lo) lo = x[i];
        if (x[i] > hi) hi = x[i];
    }
    float d = (hi - lo) / (float)top, inv = d == 0 ? 0 : 1 / d;
    if (isinf(inv)) inv = 0;
    for (int i = 0; i < 32; i++) q[i] = (uint8_t)st_clip_int((x[i] - lo) * inv + 0.5f, 0, top);
    *min = lo;
    return d;
}
