/* gguf_get.c: typed reading of metadata. Owns the conversions and their messages; the bounds were checked by the
 * parser. */
#include "gguf/gguf.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "gguf/cursor.h"

/* "u32" or "array of u32" of an entry, for messages. */
static const char *get_kind_prefix(const st_gguf_kv *kv)
{
    return kv->type == ST_GGUF_ARRAY ? "an array of " : "";
}

static int get_wrong_kind(const st_gguf *g, const st_gguf_kv *kv, const char *key, const char *want, strata_error *err)
{
    ST_FAIL(err, STRATA_CORRUPT_MODEL, "%s: key '%s' is %s%s, want %s", g->name, key, get_kind_prefix(kv),
            st_gguf_type_name(kv->elem_type), want);
}

static int get_absent(const st_gguf *g, const char *key, strata_error *err)
{
    ST_FAIL(err, STRATA_CORRUPT_MODEL, "%s: key '%s' is missing", g->name, key);
}

/* An integer of any type as sign and 64 bits; false for other types. */
static bool get_read_int(uint32_t type, const uint8_t *p, bool *negative, uint64_t *v)
{
    int64_t s;
    *negative = false;
    switch (type) {
    case ST_GGUF_U8: *v = p[0]; return true;
    case ST_GGUF_U16: *v = st_le16(p); return true;
    case ST_GGUF_U32: *v = st_le32(p); return true;
    case ST_GGUF_U64: *v = st_le64(p); return true;
    case ST_GGUF_I8: s = (int8_t)p[0]; break;
    case ST_GGUF_I16: s = (int16_t)st_le16(p); break;
    case ST_GGUF_I32: s = (int32_t)st_le32(p); break;
    case ST_GGUF_I64: s = (int64_t)st_le64(p); break;
    default: return false;
    }
    *negative = s < 0;
    *v = (uint64_t)s;
    return true;
}

static int get_u32(const st_gguf *g, const st_gguf_kv *kv, const char *key, uint64_t i, uint32_t *out,
                   strata_error *err)
{
    bool negative;
    uint64_t v;
    if (!get_read_int(kv->elem_type, kv->data + i * st_gguf_type_size(kv->elem_type), &negative, &v))
        return get_wrong_kind(g, kv, key, "an integer", err);
    ST_FAIL_IF(negative, err, STRATA_CORRUPT_MODEL, "%s: key '%s' is %lld, want 0 to %u", g->name, key, (long long)v,
               UINT32_MAX);
    ST_FAIL_IF(v > UINT32_MAX, err, STRATA_CORRUPT_MODEL, "%s: key '%s' is %llu, want 0 to %u", g->name, key,
               (unsigned long long)v, UINT32_MAX);
    *out = (uint32_t)v;
    return STRATA_OK;
}

int st_gguf_u32(const st_gguf *g, const char *key, uint32_t *out, strata_error *err)
{
    const st_gguf_kv *kv = st_gguf_find(g, key);
    if (!kv) return get_absent(g, key, err);
    if (kv->type == ST_GGUF_ARRAY) return get_wrong_kind(g, kv, key, "an integer", err);
    return get_u32(g, kv, key, 0, out, err);
}

int st_gguf_u32_or(const st_gguf *g, const char *key, uint32_t def, uint32_t *out, strata_error *err)
{
    if (st_gguf_find(g, key)) return st_gguf_u32(g, key, out, err);
    *out = def;
    return STRATA_OK;
}

int st_gguf_u32_at(const st_gguf *g, const char *key, uint64_t i, uint32_t *out, strata_error *err)
{
    const st_gguf_kv *kv = st_gguf_find(g, key);
    if (!kv) return get_absent(g, key, err);
    if (kv->type != ST_GGUF_ARRAY) return get_u32(g, kv, key, 0, out, err);
    ST_FAIL_IF(i >= kv->count, err, STRATA_CORRUPT_MODEL, "%s: key '%s' has %llu values, want at least %llu", g->name,
               key, (unsigned long long)kv->count, (unsigned long long)i + 1);
    return get_u32(g, kv, key, i, out, err);
}

int st_gguf_f32(const st_gguf *g, const char *key, float *out, strata_error *err)
{
    const st_gguf_kv *kv = st_gguf_find(g, key);
    if (!kv) return get_absent(g, key, err);
    if (kv->type == ST_GGUF_F32) {
        *out = st_bits_f32(st_le32(kv->data));
        return STRATA_OK;
    }
    if (kv->type != ST_GGUF_F64) return get_wrong_kind(g, kv, key, "a float", err);
    uint64_t bits = st_le64(kv->data);
    double v;
    memcpy(&v, &bits, sizeof v);
    ST_FAIL_IF(isfinite(v) && fabs(v) > (double)FLT_MAX, err, STRATA_CORRUPT_MODEL,
               "%s: key '%s' is %g, which does not fit a 32-bit float", g->name, key, v);
    *out = (float)v;
    return STRATA_OK;
}

int st_gguf_f32_or(const st_gguf *g, const char *key, float def, float *out, strata_error *err)
{
    if (st_gguf_find(g, key)) return st_gguf_f32(g, key, out, err);
    *out = def;
    return STRATA_OK;
}

int st_gguf_bool_or(const st_gguf *g, const char *key, bool def, bool *out, strata_error *err)
{
    const st_gguf_kv *kv = st_gguf_find(g, key);
    if (kv && kv->type != ST_GGUF_BOOL) return get_wrong_kind(g, kv, key, "a bool", err);
    *out = kv ? kv->data[0] != 0 : def;
    return STRATA_OK;
}

int st_gguf_str(const st_gguf *g, const char *key, st_str *out, strata_error *err)
{
    const st_gguf_kv *kv = st_gguf_find(g, key);
    if (!kv) return get_absent(g, key, err);
    if (kv->type != ST_GGUF_STRING) return get_wrong_kind(g, kv, key, "a string", err);
    size_t at = 0;
    (void)st_gguf_next_string(kv, &at, out);
    return STRATA_OK;
}

int st_gguf_str_or(const st_gguf *g, const char *key, const char *def, st_str *out, strata_error *err)
{
    if (st_gguf_find(g, key)) return st_gguf_str(g, key, out, err);
    *out = (st_str){def, def ? strlen(def) : 0};
    return STRATA_OK;
}

int st_gguf_array(const st_gguf *g, const char *key, uint32_t elem_type, const uint8_t **data, uint64_t *count,
                  strata_error *err)
{
    const st_gguf_kv *kv = st_gguf_find(g, key);
    if (!kv) return get_absent(g, key, err);
    ST_FAIL_IF(kv->type != ST_GGUF_ARRAY || kv->elem_type != elem_type, err, STRATA_CORRUPT_MODEL,
               "%s: key '%s' is %s%s, want an array of %s", g->name, key, get_kind_prefix(kv),
               st_gguf_type_name(kv->elem_type), st_gguf_type_name(elem_type));
    *data = kv->data;
    *count = kv->count;
    return STRATA_OK;
}

bool st_gguf_next_string(const st_gguf_kv *kv, size_t *at, st_str *out)
{
    if (kv->elem_type != ST_GGUF_STRING || *at >= kv->bytes) return false;
    st_cursor c = {kv->data + *at, kv->bytes - *at};
    if (!st_take_str(&c, out)) return false;
    *at = kv->bytes - c.left;
    return true;
}
