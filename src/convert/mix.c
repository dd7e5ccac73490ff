/* mix.c: the rules of the mixes. */
#include "convert/mix.h"

#include <string.h>

/* The targets of a type: none, itself, or the two mixes that begin from it. */
#define TARGETS_none(NAME, file)
#define TARGETS_plain(NAME, file)  {#NAME, (file), ST_##NAME, 0},
#define TARGETS_graded(NAME, file) {#NAME "_S", (file), ST_##NAME, 'S'}, {#NAME "_M", (file) + 1, ST_##NAME, 'M'},

static const st_mix mixes[] = {
#define ST_QUANT_BLOCKS(id, type, NAME, block, bytes, group, min, scale_at, width, zero, tails, target, file_type) \
    TARGETS_##target(NAME, file_type)
#include "quant/types.def"
#define ST_QUANT_FLOAT(id, type, NAME, bytes, target, file_type) TARGETS_##target(NAME, file_type)
#include "quant/types.def"
};
enum { N_MIXES = sizeof mixes / sizeof *mixes };

static char mix_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool mix_same_name(const char *a, const char *b)
{
    while (*a && mix_upper(*a) == *b) a++, b++;
    return !*a && !*b;
}

const st_mix *st_mix_find(const char *name)
{
    for (int i = 0; i < N_MIXES; i++) {
        const st_mix *m = &mixes[i];
        if (mix_same_name(name, m->name)) return m;
        if (m->grade == 'M' && mix_same_name(name, st_quant_get(m->base)->name)) return m;
    }
    return NULL;
}

const st_mix *st_mix_at(uint32_t i)
{
    return i < N_MIXES ? &mixes[i] : NULL;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static bool mix_is(const char *name, size_t len, const char *z)
{
    return len == strlen(z) && memcmp(name, z, len) == 0;
}

static bool mix_has(const char *name, size_t len, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= len; i++)
        if (memcmp(name + i, part, n) == 0) return true;
    return false;
}

st_role st_mix_role(const char *name, size_t len)
{
    static const struct {
        const char *part;
        st_role role;
    } parts[] = {{"attn_qkv.weight", ST_ROLE_VALUE},       {"attn_kv_b.weight", ST_ROLE_VALUE},
                 {"attn_v.weight", ST_ROLE_VALUE},         {"attn_k.weight", ST_ROLE_KEY},
                 {"attn_output.weight", ST_ROLE_ATTN_OUT}, {"ffn_down", ST_ROLE_DOWN}};
    if (mix_is(name, len, "output.weight")) return ST_ROLE_OUTPUT;
    if (mix_is(name, len, "token_embd.weight") || mix_is(name, len, "per_layer_token_embd.weight"))
        return ST_ROLE_EMBED;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (mix_has(name, len, parts[i].part)) return parts[i].role;
    return ST_ROLE_OTHER;
}

int32_t st_mix_layer(const char *name, size_t len)
{
    int32_t n = 0;
    size_t i = 4;
    if (len < 4 || memcmp(name, "blk.", 4) != 0) return -1;
    for (; i < len && i < 12 && name[i] >= '0' && name[i] <= '9'; i++) n = 10 * n + (name[i] - '0');
    return i > 4 && i < len && name[i] == '.' ? n : -1;
}

bool st_mix_applies(const char *name, size_t len, bool matrix)
{
    static const char *const kept[] = {
        "_norm.weight",
        "ffn_gate_inp.weight",
        "attn_rel_b.weight",
        "ssm_conv1d",
        "shortconv.conv.weight",
        "time_mix_",
        "altup",
        "laurel",
        "per_layer_model_proj",
        ".position_embd",
        ".rel_pos",
        ".patch_embd",
    };
    if (!matrix || len < 6 || memcmp(name + len - 6, "weight", 6) != 0) return false;
    if (mix_is(name, len, "position_embd.weight") || mix_is(name, len, "token_types.weight")) return false;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (mix_has(name, len, kept[i])) return false;
    return true;
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

/* The first and the last eighth of the layers, and every third between, which quantising hurts most. */
static bool mix_in_chosen_layers(uint32_t at, uint32_t n)
{
    return at < n / 8 || at >= 7 * (uint64_t)n / 8 || (at - n / 8) % 3 == 2;
}

static uint32_t mix_of_values(const st_mix *mix, const st_mix_model *m, uint32_t at)
{
    uint32_t type = mix->base;
    if (m->n_expert == 8) return ST_Q8_0; /* attention is a small part of such a model */
    if (mix->grade == 'M' && mix_in_chosen_layers(at, m->n_values)) type = ST_Q6_K;
    if (mix->grade == 'S' && type == ST_Q4_K && at < 4) type = ST_Q5_K;
    return m->huge && type == ST_Q4_K ? ST_Q5_K : type;
}

static uint32_t mix_of_down(const st_mix *mix, const st_mix_model *m, uint32_t at)
{
    uint32_t n = m->n_layer;
    bool chosen = mix_in_chosen_layers(at, n);
    if (mix->grade == 'M' && mix->base == ST_Q4_K && m->falcon)
        return at < n / 16 ? ST_Q6_K : chosen ? ST_Q5_K : ST_Q4_K;
    if (mix->grade == 'M' && chosen) return ST_Q6_K;
    if (mix->grade == 'S' && mix->base == ST_Q4_K && !m->falcon && at < n / 8) return ST_Q5_K;
    return mix->base;
}

static bool mix_whole_blocks(uint32_t type, uint64_t cols)
{
    const st_quant *q = st_quant_get(type);
    return q && cols % q->block == 0;
}

static uint32_t mix_by_rules(const st_mix *mix, const st_mix_model *m, const st_mix_tensor *t)
{
    switch (t->role) {
    case ST_ROLE_EMBED:
        if (!m->tied) return mix->base;
        /* fall through */
    case ST_ROLE_OUTPUT:
        if (mix->base == ST_Q8_0 || m->falcon || !mix_whole_blocks(mix->base, t->cols)) return ST_Q8_0;
        return ST_Q6_K;
    case ST_ROLE_VALUE: return mix_of_values(mix, m, t->at);
    case ST_ROLE_KEY: return m->n_expert == 8 ? ST_Q8_0 : mix->base;
    case ST_ROLE_DOWN: return mix_of_down(mix, m, t->at);
    case ST_ROLE_ATTN_OUT: return m->n_expert == 8 && mix->base == ST_Q4_K && !m->falcon ? ST_Q5_K : mix->base;
    default: return mix->base;
    }
}

uint32_t st_mix_type(const st_mix *mix, const st_mix_model *m, const st_mix_tensor *t, bool pure)
{
    if (st_quant_get(mix->base)->group == 0) return mix->base; /* a float type, for all */
    uint32_t type = pure ? mix->base : mix_by_rules(mix, m, t);
    if (mix_whole_blocks(type, t->cols)) return type;
    type = type == ST_Q4_K ? ST_Q5_0 : type == ST_Q5_K ? ST_Q5_1 : type == ST_Q6_K ? ST_Q8_0 : type;
    return mix_whole_blocks(type, t->cols) ? type : ST_F16;
}
