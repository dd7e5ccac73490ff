/* quant.c: the table of tensor types. Owns which types run and the size of every type that GGUF defines. */
#include "quant/quant.h"

#include <math.h>

#include "quant/quant_rows.h"

static const st_quant *const rows[] = {
    [ST_F32] = &st_quant_f32,         [ST_F16] = &st_quant_f16,       [ST_BF16] = &st_quant_bf16,
    [ST_Q8_0] = &st_quant_q8_0,       [ST_Q4_0] = &st_quant_q4_0,     [ST_Q4_1] = &st_quant_q4_1,
    [ST_Q5_0] = &st_quant_q5_0,       [ST_Q5_1] = &st_quant_q5_1,     [ST_Q2_K] = &st_quant_q2_k,
    [ST_Q3_K] = &st_quant_q3_k,       [ST_Q4_K] = &st_quant_q4_k,     [ST_Q5_K] = &st_quant_q5_k,
    [ST_Q6_K] = &st_quant_q6_k,       [ST_IQ1_S] = &st_quant_iq1_s,   [ST_IQ1_M] = &st_quant_iq1_m,
    [ST_IQ2_XXS] = &st_quant_iq2_xxs, [ST_IQ2_XS] = &st_quant_iq2_xs, [ST_IQ2_S] = &st_quant_iq2_s,
    [ST_IQ3_XXS] = &st_quant_iq3_xxs, [ST_IQ3_S] = &st_quant_iq3_s,   [ST_IQ4_NL] = &st_quant_iq4_nl,
    [ST_IQ4_XS] = &st_quant_iq4_xs,   [ST_TQ1_0] = &st_quant_tq1_0,   [ST_TQ2_0] = &st_quant_tq2_0,
    [ST_MXFP4] = &st_quant_mxfp4,     [ST_NVFP4] = &st_quant_nvfp4,
};

/* Sizes are those of ggml's block structs (ggml-common.h) and of gguf-py 0.19's GGML_QUANT_SIZES, which agree but for
 * Q8_1: two halfs in ggml, two floats in gguf-py. Q8_1 and Q8_K hold activations and do not occur in files. The ids
 * that are left out (4, 5, 31..33, 36..38) were withdrawn from GGUF. */
static const struct {
    const char *name;
    uint16_t block, bytes;
} geometry[] = {
    [0] = {"F32", 1, 4},         [1] = {"F16", 1, 2},         [2] = {"Q4_0", 32, 18},      [3] = {"Q4_1", 32, 20},
    [6] = {"Q5_0", 32, 22},      [7] = {"Q5_1", 32, 24},      [8] = {"Q8_0", 32, 34},      [9] = {"Q8_1", 32, 36},
    [10] = {"Q2_K", 256, 84},    [11] = {"Q3_K", 256, 110},   [12] = {"Q4_K", 256, 144},   [13] = {"Q5_K", 256, 176},
    [14] = {"Q6_K", 256, 210},   [15] = {"Q8_K", 256, 292},   [16] = {"IQ2_XXS", 256, 66}, [17] = {"IQ2_XS", 256, 74},
    [18] = {"IQ3_XXS", 256, 98}, [19] = {"IQ1_S", 256, 50},   [20] = {"IQ4_NL", 32, 18},   [21] = {"IQ3_S", 256, 110},
    [22] = {"IQ2_S", 256, 82},   [23] = {"IQ4_XS", 256, 136}, [24] = {"I8", 1, 1},         [25] = {"I16", 1, 2},
    [26] = {"I32", 1, 4},        [27] = {"I64", 1, 8},        [28] = {"F64", 1, 8},        [29] = {"IQ1_M", 256, 56},
    [30] = {"BF16", 1, 2},       [34] = {"TQ1_0", 256, 54},   [35] = {"TQ2_0", 256, 66},   [39] = {"MXFP4", 32, 17},
    [40] = {"NVFP4", 64, 36},    [41] = {"Q1_0", 128, 18},
};

const st_quant *st_quant_get(uint32_t type)
{
    return type < sizeof rows / sizeof(st_quant *) ? rows[type] : NULL;
}

bool st_quant_geometry(uint32_t type, const char **name, uint32_t *block, uint32_t *bytes)
{
    if (type >= sizeof geometry / sizeof *geometry || !geometry[type].name) return false;
    *name = geometry[type].name;
    *block = geometry[type].block;
    *bytes = geometry[type].bytes;
    return true;
}

const char *st_quant_supported(void)
{
    return "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS "
           "IQ3_S IQ4_NL IQ4_XS TQ1_0 TQ2_0 MXFP4 NVFP4";
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
