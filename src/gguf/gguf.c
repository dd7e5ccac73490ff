/* gguf.c: the parser. Owns the walk over the file, and every check of its structure. Names are found by
 * gguf_names.c, values read by gguf_get.c.
 *
 * The order of the checks is the design: a count is compared with the bytes that remain before anything is allocated
 * for it, a length before it is added, a product before it is used. Hence no memory is proportional to a number in the
 * file, only to its bytes (CVE-2024-21836, -23605, -21825, -23496; GHSA-vgg9-87g3-85w8, GHSA-96jg). */
#include "gguf/gguf.h"

#include <string.h>

#include "gguf/cursor.h"
#include "gguf/foreign.h"
#include "quant/quant.h"

/* The format allows 65,535 bytes to a key and 64 to a tensor name; forks of ggml write names up to 127. */
#define MAX_KEY         ((size_t)65535)
#define MAX_TENSOR_NAME ((size_t)255)

/* The smallest records, with a one-byte name. A key: length + name + type + a u8. A tensor: length + name + n_dims + 1
 * dim + type + offset. */
#define MIN_KV_BYTES     (8 + 1 + 4 + 1)
#define MIN_TENSOR_BYTES (8 + 1 + 4 + 8 + 4 + 8)

#define DEFAULT_ALIGNMENT 32u
#define MIN_ALIGNMENT     8u
#define MAX_ALIGNMENT     4096u

typedef struct parser {
    st_gguf *g;
    st_cursor in;
    const uint8_t *start;
    size_t size;
    const char *file; /* g->name */
    strata_error *err;
} parser;

/* At most half of the slots are used, so a free one ends every probe. */
static int gguf_new_index(const st_gguf *g, size_t n, uint32_t **table, size_t *slots, strata_error *err)
{
    size_t want = 8;
    while (want < n * 2) want *= 2; /* n is at most size / MIN_KV_BYTES: no wrap */
    *table = st_calloc(g->mem, want, sizeof **table);
    ST_FAIL_IF(!*table, err, STRATA_NO_MEMORY, "%s: no memory for an index of %zu names", g->name, n);
    *slots = want;
    return STRATA_OK;
}

static int gguf_index_tensor(st_gguf *g, size_t i, strata_error *err)
{
    char name[ST_STR_PRINT];
    const st_gguf_tensor *t = &g->tensors[i];
    uint32_t *slot = st_gguf_probe(g->tensor_index, g->tensor_slots, g->tensors, sizeof *t, t->name);
    ST_FAIL_IF(*slot, err, STRATA_CORRUPT_MODEL, "%s: tensor '%s' is there twice", g->name,
               st_str_print(t->name, name));
    *slot = (uint32_t)i + 1;
    return STRATA_OK;
}

int st_gguf_index_tensors(st_gguf *g, strata_error *err)
{
    st_free(g->mem, g->tensor_index);
    g->tensor_index = NULL;
    g->tensor_slots = 0;
    ST_FAIL_IF(g->n_tensors >= UINT32_MAX, err, STRATA_CORRUPT_MODEL, "%s: has %zu tensors", g->name, g->n_tensors);
    ST_TRY(gguf_new_index(g, g->n_tensors, &g->tensor_index, &g->tensor_slots, err));
    for (size_t i = 0; i < g->n_tensors; i++) ST_TRY(gguf_index_tensor(g, i, err));
    return STRATA_OK;
}

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

static int gguf_check_bools(parser *p, const st_gguf_kv *kv)
{
    char key[ST_STR_PRINT];
    for (size_t i = 0; i < kv->bytes; i++)
        ST_FAIL_IF(kv->data[i] > 1, p->err, STRATA_CORRUPT_MODEL, "%s: key '%s': bool %zu has the byte %u, want 0 or 1",
                   p->file, st_str_print(kv->key, key), i, kv->data[i]);
    return STRATA_OK;
}

static int gguf_parse_value(parser *p, st_gguf_kv *kv)
{
    char key[ST_STR_PRINT];
    bool string = kv->type == ST_GGUF_STRING;
    if (kv->type == ST_GGUF_ARRAY) {
        ST_FAIL_IF(!st_take_u32(&p->in, &kv->elem_type) || !st_take_u64(&p->in, &kv->count), p->err,
                   STRATA_CORRUPT_MODEL, "%s: key '%s': the file ends inside its array", p->file,
                   st_str_print(kv->key, key));
        ST_FAIL_IF(kv->elem_type == ST_GGUF_ARRAY, p->err, STRATA_CORRUPT_MODEL,
                   "%s: key '%s' is an array of arrays, which models do not use", p->file, st_str_print(kv->key, key));
        string = kv->elem_type == ST_GGUF_STRING;
    } else {
        kv->elem_type = kv->type;
        kv->count = 1;
    }
    uint32_t size = string ? 8 : st_gguf_type_size(kv->elem_type); /* a string takes at least its length */
    ST_FAIL_IF(!size, p->err, STRATA_CORRUPT_MODEL, "%s: key '%s' has the unknown type %u", p->file,
               st_str_print(kv->key, key), kv->elem_type);
    ST_FAIL_IF(kv->count > p->in.left / size, p->err, STRATA_CORRUPT_MODEL,
               "%s: key '%s' has %llu values of type %s, but only %zu bytes follow", p->file,
               st_str_print(kv->key, key), (unsigned long long)kv->count, st_gguf_type_name(kv->elem_type), p->in.left);
    kv->data = p->in.at;
    if (string) {
        st_str s;
        for (uint64_t i = 0; i < kv->count; i++)
            ST_FAIL_IF(!st_take_str(&p->in, &s), p->err, STRATA_CORRUPT_MODEL,
                       "%s: key '%s': string %llu runs past the end of the file", p->file, st_str_print(kv->key, key),
                       (unsigned long long)i);
    } else {
        const uint8_t *data;
        (void)st_take(&p->in, kv->count * size, &data); /* fits: checked above */
    }
    kv->bytes = (size_t)(p->in.at - kv->data);
    return kv->elem_type == ST_GGUF_BOOL ? gguf_check_bools(p, kv) : STRATA_OK;
}

static int gguf_parse_kv(parser *p, size_t i)
{
    st_gguf *g = p->g;
    st_gguf_kv *kv = &g->kv[i];
    char key[ST_STR_PRINT];
    ST_FAIL_IF(!st_take_str(&p->in, &kv->key), p->err, STRATA_CORRUPT_MODEL,
               "%s: metadata key %zu of %zu runs past the end of the file", p->file, i, g->n_kv);
    ST_FAIL_IF(kv->key.len == 0, p->err, STRATA_CORRUPT_MODEL, "%s: metadata key %zu is empty", p->file, i);
    ST_FAIL_IF(kv->key.len > MAX_KEY, p->err, STRATA_CORRUPT_MODEL,
               "%s: metadata key %zu has %zu bytes, want at most %zu", p->file, i, kv->key.len, MAX_KEY);
    ST_FAIL_IF(!st_take_u32(&p->in, &kv->type), p->err, STRATA_CORRUPT_MODEL,
               "%s: key '%s': the file ends before its type", p->file, st_str_print(kv->key, key));
    ST_TRY(gguf_parse_value(p, kv));
    uint32_t *slot = st_gguf_probe(g->kv_index, g->kv_slots, g->kv, sizeof *kv, kv->key);
    ST_FAIL_IF(*slot, p->err, STRATA_CORRUPT_MODEL, "%s: key '%s' is there twice", p->file, st_str_print(kv->key, key));
    *slot = (uint32_t)i + 1;
    return STRATA_OK;
}

/* The type is checked too: as a u8 or an i64 the key has been used to make the padding wrap (llama.cpp#24759 and
 * #26318). */
static int gguf_parse_alignment(parser *p)
{
    const st_gguf_kv *kv = st_gguf_find(p->g, "general.alignment");
    p->g->alignment = DEFAULT_ALIGNMENT;
    if (!kv) return STRATA_OK;
    ST_FAIL_IF(kv->type != ST_GGUF_U32, p->err, STRATA_CORRUPT_MODEL,
               "%s: key 'general.alignment' is of type %s, want u32", p->file, st_gguf_type_name(kv->type));
    uint32_t a = st_le32(kv->data);
    ST_FAIL_IF(a < MIN_ALIGNMENT || a > MAX_ALIGNMENT || (a & (a - 1)), p->err, STRATA_CORRUPT_MODEL,
               "%s: key 'general.alignment' is %u, want a power of two from %u to %u", p->file, a, MIN_ALIGNMENT,
               MAX_ALIGNMENT);
    p->g->alignment = a;
    return STRATA_OK;
}

/* ---- tensor directory -------------------------------------------------------------------------------------------- */

static int gguf_parse_dims(parser *p, st_gguf_tensor *t, uint64_t *n)
{
    char name[ST_STR_PRINT];
    *n = 1;
    for (uint32_t d = 0; d < ST_GGUF_MAX_DIMS; d++) {
        t->dims[d] = 1;
        if (d >= t->n_dims) continue;
        ST_FAIL_IF(!st_take_u64(&p->in, &t->dims[d]), p->err, STRATA_CORRUPT_MODEL,
                   "%s: tensor '%s': the file ends inside its dimensions", p->file, st_str_print(t->name, name));
        /* Kernels count rows in 32 bits; larger ones have been truncated elsewhere (CVE-2026-53923). */
        ST_FAIL_IF(t->dims[d] == 0 || t->dims[d] > INT32_MAX, p->err, STRATA_CORRUPT_MODEL,
                   "%s: tensor '%s': dimension %u is %llu, want 1 to %d", p->file, st_str_print(t->name, name), d,
                   (unsigned long long)t->dims[d], INT32_MAX);
        ST_FAIL_IF(__builtin_mul_overflow(*n, t->dims[d], n), p->err, STRATA_CORRUPT_MODEL,
                   "%s: tensor '%s': its number of values does not fit 64 bits", p->file, st_str_print(t->name, name));
    }
    return STRATA_OK;
}

/* Fills bytes from the type's geometry. */
static int gguf_measure(parser *p, st_gguf_tensor *t, uint64_t n)
{
    char name[ST_STR_PRINT];
    const char *type;
    uint32_t block, block_bytes;
    ST_FAIL_IF(!st_quant_geometry(t->type, &type, &block, &block_bytes), p->err, STRATA_UNSUPPORTED_TYPE,
               "%s: tensor '%s' has type %u, which is not known; types that run: %s", p->file,
               st_str_print(t->name, name), t->type, st_quant_supported());
    ST_FAIL_IF(t->dims[0] % block, p->err, STRATA_CORRUPT_MODEL,
               "%s: tensor '%s': rows of %llu values are not whole blocks of %u, as %s needs", p->file,
               st_str_print(t->name, name), (unsigned long long)t->dims[0], block, type);
    ST_FAIL_IF(__builtin_mul_overflow(n / block, (uint64_t)block_bytes, &n) || n > SIZE_MAX, p->err,
               STRATA_CORRUPT_MODEL, "%s: tensor '%s': its size in bytes does not fit 64 bits", p->file,
               st_str_print(t->name, name));
    t->bytes = (size_t)n;
    return STRATA_OK;
}

/* Walks one record. Without `keep` only its bounds matter. The offset is returned: data pointers wait for the start of
 * the data section, which is known when the directory ends. */
static int gguf_parse_tensor(parser *p, size_t i, st_gguf_tensor *t, bool keep, uint64_t *offset)
{
    char name[ST_STR_PRINT];
    uint64_t n = 0;
    ST_FAIL_IF(!st_take_str(&p->in, &t->name), p->err, STRATA_CORRUPT_MODEL,
               "%s: the name of tensor %zu runs past the end of the file", p->file, i);
    ST_FAIL_IF(t->name.len == 0 || t->name.len > MAX_TENSOR_NAME, p->err, STRATA_CORRUPT_MODEL,
               "%s: the name of tensor %zu has %zu bytes, want 1 to %zu", p->file, i, t->name.len, MAX_TENSOR_NAME);
    ST_FAIL_IF(!st_take_u32(&p->in, &t->n_dims), p->err, STRATA_CORRUPT_MODEL,
               "%s: tensor '%s': the file ends inside its record", p->file, st_str_print(t->name, name));
    ST_FAIL_IF(t->n_dims == 0 || t->n_dims > ST_GGUF_MAX_DIMS, p->err, STRATA_CORRUPT_MODEL,
               "%s: tensor '%s' has %u dimensions, want 1 to %d", p->file, st_str_print(t->name, name), t->n_dims,
               ST_GGUF_MAX_DIMS);
    ST_TRY(gguf_parse_dims(p, t, &n));
    ST_FAIL_IF(!st_take_u32(&p->in, &t->type) || !st_take_u64(&p->in, offset), p->err, STRATA_CORRUPT_MODEL,
               "%s: tensor '%s': the file ends inside its record", p->file, st_str_print(t->name, name));
    return keep ? gguf_measure(p, t, n) : STRATA_OK;
}

static int gguf_beyond(parser *p, const st_gguf_tensor *t, uint64_t offset)
{
    char name[ST_STR_PRINT];
    ST_FAIL(
        p->err, STRATA_CORRUPT_MODEL,
        "%s: tensor '%s' has %zu bytes at offset %llu of the data, beyond the end of the file at %zu: is it cut short?",
        p->file, st_str_print(t->name, name), t->bytes, (unsigned long long)offset, p->size);
}

static int gguf_place(parser *p, st_gguf_tensor *t, uint64_t offset, size_t data_at)
{
    char name[ST_STR_PRINT];
    size_t room = p->size - data_at;
    ST_FAIL_IF(offset % p->g->alignment, p->err, STRATA_CORRUPT_MODEL,
               "%s: tensor '%s' has offset %llu, want a multiple of %u", p->file, st_str_print(t->name, name),
               (unsigned long long)offset, (unsigned)p->g->alignment);
    if (offset > room || t->bytes > room - offset) return gguf_beyond(p, t, offset);
    t->data = p->start + data_at + offset;
    return STRATA_OK;
}

static void gguf_sift(uint32_t *order, size_t root, size_t n, const st_gguf_tensor *t)
{
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && t[order[child]].data < t[order[child + 1]].data) child++;
        if (t[order[root]].data >= t[order[child]].data) return;
        uint32_t x = order[root];
        order[root] = order[child];
        order[child] = x;
    }
}

/* Heapsort of the tensors by position: no worst case, and no allocation of its own as qsort has. */
static void gguf_sort_by_data(uint32_t *order, size_t n, const st_gguf_tensor *t)
{
    for (size_t i = n / 2; i-- > 0;) gguf_sift(order, i, n, t);
    for (size_t end = n; end-- > 1;) {
        uint32_t x = order[0];
        order[0] = order[end];
        order[end] = x;
        gguf_sift(order, 0, end, t);
    }
}

static int gguf_check_overlap(parser *p)
{
    const st_gguf_tensor *t = p->g->tensors;
    size_t n = p->g->n_tensors, i = 1;
    while (i < n && t[i - 1].data + t[i - 1].bytes <= t[i].data) i++;
    if (i >= n) return STRATA_OK; /* in order already, as nearly every writer leaves them */
    uint32_t *order = st_alloc(p->g->mem, n, sizeof *order);
    ST_FAIL_IF(!order, p->err, STRATA_NO_MEMORY, "%s: no memory to sort %zu tensors", p->file, n);
    for (i = 0; i < n; i++) order[i] = (uint32_t)i;
    gguf_sort_by_data(order, n, t);
    int rc = STRATA_OK;
    for (i = 1; i < n && !rc; i++) {
        const st_gguf_tensor *a = &t[order[i - 1]], *b = &t[order[i]];
        char an[ST_STR_PRINT], bn[ST_STR_PRINT];
        if (a->data + a->bytes > b->data)
            rc = st_error_set(p->err, STRATA_CORRUPT_MODEL, "%s: tensors '%s' and '%s' overlap", p->file,
                              st_str_print(a->name, an), st_str_print(b->name, bn));
    }
    st_free(p->g->mem, order);
    return rc;
}

static int gguf_parse_tensors(parser *p)
{
    st_gguf *g = p->g;
    for (size_t i = 0; i < g->n_tensors; i++) {
        st_gguf_tensor *t = &g->tensors[i];
        uint64_t offset = 0;
        ST_TRY(gguf_parse_tensor(p, i, t, true, &offset));
        if (offset > p->size) return gguf_beyond(p, t, offset);
        t->data = (const uint8_t *)(uintptr_t)offset; /* until the data section is known, below */
        ST_TRY(gguf_index_tensor(g, i, p->err));
    }
    if (g->n_tensors == 0) return STRATA_OK;
    size_t data_at = p->size - p->in.left;
    ST_FAIL_IF(!st_add(data_at, (size_t)g->alignment - 1, &data_at), p->err, STRATA_CORRUPT_MODEL,
               "%s: the file ends before its tensor data", p->file);
    data_at &= ~((size_t)g->alignment - 1);
    ST_FAIL_IF(data_at > p->size, p->err, STRATA_CORRUPT_MODEL, "%s: the file ends before its tensor data", p->file);
    for (size_t i = 0; i < g->n_tensors; i++)
        ST_TRY(gguf_place(p, &g->tensors[i], (uint64_t)(uintptr_t)g->tensors[i].data, data_at));
    return gguf_check_overlap(p);
}

/* ---- header ------------------------------------------------------------------------------------------------------ */

static int gguf_parse_header(parser *p, uint64_t *n_tensors, uint64_t *n_kv)
{
    const uint8_t *magic;
    ST_FAIL_IF(p->size == 0, p->err, STRATA_NOT_GGUF, "%s: is empty", p->file);
    if (!st_take(&p->in, 4, &magic) || memcmp(magic, "GGUF", 4) != 0) {
        const char *what = st_foreign_bytes(p->start, p->size);
        ST_FAIL_IF(*what, p->err, STRATA_NOT_GGUF, "%s: is %s", p->file, what);
        ST_FAIL(p->err, STRATA_NOT_GGUF, "%s: is not a GGUF file: it does not begin with GGUF", p->file);
    }
    ST_FAIL_IF(!st_take_u32(&p->in, &p->g->version), p->err, STRATA_CORRUPT_MODEL,
               "%s: the file ends inside its header", p->file);
    uint32_t v = p->g->version;
    ST_FAIL_IF(v && (v & 0xffffu) == 0, p->err, STRATA_NOT_GGUF,
               "%s: is a big-endian GGUF file; convert it with gguf-py's gguf_convert_endian", p->file);
    ST_FAIL_IF(v != 2 && v != 3, p->err, STRATA_NOT_GGUF, "%s: is GGUF version %u, want 2 or 3", p->file, v);
    ST_FAIL_IF(!st_take_u64(&p->in, n_tensors) || !st_take_u64(&p->in, n_kv), p->err, STRATA_CORRUPT_MODEL,
               "%s: the file ends inside its header", p->file);
    size_t left = p->in.left;
    ST_FAIL_IF(*n_kv > left / MIN_KV_BYTES || *n_kv >= UINT32_MAX, p->err, STRATA_CORRUPT_MODEL,
               "%s: says it has %llu metadata keys, but only %zu bytes follow", p->file, (unsigned long long)*n_kv,
               left);
    ST_FAIL_IF(*n_tensors > left / MIN_TENSOR_BYTES || *n_tensors >= UINT32_MAX, p->err, STRATA_CORRUPT_MODEL,
               "%s: says it has %llu tensors, but only %zu bytes follow", p->file, (unsigned long long)*n_tensors,
               left);
    return STRATA_OK;
}

static int gguf_parse(parser *p, bool skip_tensors)
{
    st_gguf *g = p->g;
    uint64_t n_tensors = 0, n_kv = 0;
    ST_TRY(gguf_parse_header(p, &n_tensors, &n_kv));
    g->kv = st_calloc(g->mem, (size_t)n_kv, sizeof *g->kv);
    ST_FAIL_IF(!g->kv, p->err, STRATA_NO_MEMORY, "%s: no memory for %llu metadata keys", p->file,
               (unsigned long long)n_kv);
    g->n_kv = (size_t)n_kv;
    ST_TRY(gguf_new_index(g, g->n_kv, &g->kv_index, &g->kv_slots, p->err));
    for (size_t i = 0; i < g->n_kv; i++) ST_TRY(gguf_parse_kv(p, i));
    ST_TRY(gguf_parse_alignment(p));
    ST_FAIL_IF(n_tensors > p->in.left / MIN_TENSOR_BYTES, p->err, STRATA_CORRUPT_MODEL,
               "%s: says it has %llu tensors, but only %zu bytes follow the metadata", p->file,
               (unsigned long long)n_tensors, p->in.left);
    if (skip_tensors) {
        for (uint64_t i = 0, offset = 0; i < n_tensors; i++)
            ST_TRY(gguf_parse_tensor(p, (size_t)i, &(st_gguf_tensor){0}, false, &offset));
        return STRATA_OK;
    }
    g->tensors = st_calloc(g->mem, (size_t)n_tensors, sizeof *g->tensors);
    ST_FAIL_IF(!g->tensors, p->err, STRATA_NO_MEMORY, "%s: no memory for %llu tensors", p->file,
               (unsigned long long)n_tensors);
    g->n_tensors = (size_t)n_tensors;
    ST_TRY(gguf_new_index(g, g->n_tensors, &g->tensor_index, &g->tensor_slots, p->err));
    return gguf_parse_tensors(p);
}

int st_gguf_parse(st_gguf *g, const void *data, size_t size, const char *name, bool skip_tensors, st_mem *mem,
                  strata_error *err)
{
    *g = (st_gguf){.name = name ? name : "model", .mem = mem};
    parser p = {.g = g, .in = {data, size}, .start = data, .size = size, .file = g->name, .err = err};
    int rc = gguf_parse(&p, skip_tensors);
    if (rc) st_gguf_free(g);
    return rc;
}

void st_gguf_free(st_gguf *g)
{
    if (!g || !g->mem) return;
    st_free(g->mem, g->kv);
    st_free(g->mem, g->kv_index);
    st_free(g->mem, g->tensors);
    st_free(g->mem, g->tensor_index);
    *g = (st_gguf){0};
}
