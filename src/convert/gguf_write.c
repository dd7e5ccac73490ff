/* gguf_write.c: the writer. Owns the two growing buffers, metadata and tensor directory, in the file's own encoding;
 * tensor data stays with the caller until the file is written. It refuses what the reader would refuse. */
#include "convert/gguf_write.h"

#include <stdio.h>
#include <string.h>

#include "base/half.h"
#include "base/os/outfile.h"
#include "gguf/cursor.h"
#include "quant/quant.h"

#define HEADER_BYTES  24
#define ALIGNMENT_KEY "general.alignment"

typedef struct buffer {
    uint8_t *data;
    size_t len, cap;
} buffer;

/* Where a name lies in a buffer. */
typedef struct place {
    size_t at, len;
} place;

typedef struct payload {
    const void *data;
    size_t bytes;
} payload;

struct st_gguf_writer {
    st_mem *mem;
    buffer kv, info;
    place *keys, *names;
    payload *tensors;
    size_t n_kv, n_tensors, keys_cap, names_cap, tensors_cap;
    size_t data_bytes; /* of the tensors so far, padded */
    size_t alignment;
};

int st_gguf_writer_open(st_mem *mem, st_gguf_writer **out, strata_error *err)
{
    st_gguf_writer *w = st_calloc(mem, 1, sizeof *w);
    ST_FAIL_IF(!w, err, STRATA_NO_MEMORY, "no memory for a GGUF writer");
    w->mem = mem;
    w->alignment = 32;
    *out = w;
    return STRATA_OK;
}

void st_gguf_writer_close(st_gguf_writer *w)
{
    if (!w) return;
    st_free(w->mem, w->kv.data);
    st_free(w->mem, w->info.data);
    st_free(w->mem, w->keys);
    st_free(w->mem, w->names);
    st_free(w->mem, w->tensors);
    st_free(w->mem, w);
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

static uint8_t *write_encode(uint8_t *p, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)(v >> (8 * i));
    return p + bytes;
}

/* The put_ functions append to space that reserve has made. */
static int write_reserve(st_gguf_writer *w, buffer *b, size_t bytes, strata_error *err)
{
    size_t need;
    ST_FAIL_IF(!st_add(b->len, bytes, &need) || !st_grow(w->mem, &b->data, &b->cap, need, b->len, 1), err,
               STRATA_NO_MEMORY, "no memory for %zu bytes of GGUF metadata", bytes);
    return STRATA_OK;
}

static void write_put_int(buffer *b, uint64_t v, size_t bytes)
{
    write_encode(b->data + b->len, v, bytes);
    b->len += bytes;
}

static void write_put_bytes(buffer *b, const void *p, size_t n)
{
    if (n) memcpy(b->data + b->len, p, n);
    b->len += n;
}

static bool write_is_there(const buffer *b, const place *p, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (p[i].len == len && memcmp(b->data + p[i].at, name, len) == 0) return true;
    return false;
}

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

/* Makes room for the whole entry first, so that a failure leaves none of it behind. */
static int write_begin_kv(st_gguf_writer *w, st_str key, uint32_t type, size_t value_bytes, strata_error *err)
{
    char name[ST_STR_PRINT];
    size_t bytes;
    ST_FAIL_IF(key.len == 0 || key.len > 65535, err, STRATA_INVALID_ARG, "a key has %zu bytes, want 1 to 65535",
               key.len);
    ST_FAIL_IF(type != ST_GGUF_U32 && st_str_eq(key, ALIGNMENT_KEY), err, STRATA_INVALID_ARG,
               ALIGNMENT_KEY " is of type %s, want u32", st_gguf_type_name(type));
    ST_FAIL_IF(write_is_there(&w->kv, w->keys, w->n_kv, key.ptr, key.len), err, STRATA_INVALID_ARG,
               "key '%s' is there twice", st_str_print(key, name));
    ST_FAIL_IF(!st_grow(w->mem, &w->keys, &w->keys_cap, w->n_kv + 1, w->n_kv, sizeof *w->keys), err, STRATA_NO_MEMORY,
               "no memory for another GGUF key");
    ST_FAIL_IF(!st_add(value_bytes, 8 + key.len + 4, &bytes), err, STRATA_INVALID_ARG, "key '%s' is too large",
               st_str_print(key, name));
    ST_TRY(write_reserve(w, &w->kv, bytes, err));
    write_put_int(&w->kv, key.len, 8);
    w->keys[w->n_kv++] = (place){w->kv.len, key.len};
    write_put_bytes(&w->kv, key.ptr, key.len);
    write_put_int(&w->kv, type, 4);
    return STRATA_OK;
}

static st_str write_str_of(const char *z)
{
    return (st_str){z, strlen(z)};
}

static int write_check_alignment(const st_gguf_writer *w, uint32_t v, strata_error *err)
{
    ST_FAIL_IF(v < 8 || v > 4096 || (v & (v - 1)), err, STRATA_INVALID_ARG,
               ALIGNMENT_KEY " is %u, want a power of two from 8 to 4096", v);
    ST_FAIL_IF(w->n_tensors, err, STRATA_INVALID_ARG, ALIGNMENT_KEY " must be set before the first tensor");
    return STRATA_OK;
}

int st_gguf_put_u32(st_gguf_writer *w, const char *key, uint32_t v, strata_error *err)
{
    bool alignment = strcmp(key, ALIGNMENT_KEY) == 0;
    if (alignment) ST_TRY(write_check_alignment(w, v, err));
    ST_TRY(write_begin_kv(w, write_str_of(key), ST_GGUF_U32, 4, err));
    write_put_int(&w->kv, v, 4);
    if (alignment) w->alignment = v;
    return STRATA_OK;
}

int st_gguf_put_f32(st_gguf_writer *w, const char *key, float v, strata_error *err)
{
    ST_TRY(write_begin_kv(w, write_str_of(key), ST_GGUF_F32, 4, err));
    write_put_int(&w->kv, st_f32_bits(v), 4);
    return STRATA_OK;
}

int st_gguf_put_bool(st_gguf_writer *w, const char *key, bool v, strata_error *err)
{
    ST_TRY(write_begin_kv(w, write_str_of(key), ST_GGUF_BOOL, 1, err));
    write_put_int(&w->kv, v, 1);
    return STRATA_OK;
}

int st_gguf_put_str(st_gguf_writer *w, const char *key, const char *v, size_t len, strata_error *err)
{
    size_t bytes;
    ST_FAIL_IF(!st_add(len, 8, &bytes), err, STRATA_INVALID_ARG, "key '%s' is too large", key);
    ST_TRY(write_begin_kv(w, write_str_of(key), ST_GGUF_STRING, bytes, err));
    write_put_int(&w->kv, len, 8);
    write_put_bytes(&w->kv, v, len);
    return STRATA_OK;
}

int st_gguf_put_array(st_gguf_writer *w, const char *key, uint32_t elem_type, const void *data, uint64_t count,
                      strata_error *err)
{
    size_t size = st_gguf_type_size(elem_type), bytes;
    ST_FAIL_IF(!size, err, STRATA_INVALID_ARG, "key '%s': elements of type %s are not of fixed size", key,
               st_gguf_type_name(elem_type));
    ST_FAIL_IF(count > SIZE_MAX || !st_mul((size_t)count, size, &bytes) || bytes > SIZE_MAX - 12, err,
               STRATA_INVALID_ARG, "key '%s' is too large", key);
    const uint8_t *p = data;
    for (size_t i = 0; elem_type == ST_GGUF_BOOL && i < bytes; i++)
        ST_FAIL_IF(p[i] > 1, err, STRATA_INVALID_ARG, "key '%s': bool %zu has the byte %u, want 0 or 1", key, i, p[i]);
    ST_TRY(write_begin_kv(w, write_str_of(key), ST_GGUF_ARRAY, 12 + bytes, err));
    write_put_int(&w->kv, elem_type, 4);
    write_put_int(&w->kv, count, 8);
    write_put_bytes(&w->kv, data, bytes);
    return STRATA_OK;
}

int st_gguf_put_strings(st_gguf_writer *w, const char *key, const st_str *v, uint64_t count, strata_error *err)
{
    size_t bytes = 12;
    for (uint64_t i = 0; i < count; i++)
        ST_FAIL_IF(!st_add(bytes, 8, &bytes) || !st_add(bytes, v[i].len, &bytes), err, STRATA_INVALID_ARG,
                   "key '%s' is too large", key);
    ST_TRY(write_begin_kv(w, write_str_of(key), ST_GGUF_ARRAY, bytes, err));
    write_put_int(&w->kv, ST_GGUF_STRING, 4);
    write_put_int(&w->kv, count, 8);
    for (uint64_t i = 0; i < count; i++) {
        write_put_int(&w->kv, v[i].len, 8);
        write_put_bytes(&w->kv, v[i].ptr, v[i].len);
    }
    return STRATA_OK;
}

int st_gguf_put_kv(st_gguf_writer *w, const st_gguf_kv *kv, strata_error *err)
{
    bool array = kv->type == ST_GGUF_ARRAY, alignment = kv->type == ST_GGUF_U32 && st_str_eq(kv->key, ALIGNMENT_KEY);
    if (alignment) ST_TRY(write_check_alignment(w, st_le32(kv->data), err));
    ST_TRY(write_begin_kv(w, kv->key, kv->type, kv->bytes + (array ? 12 : 0), err)); /* bytes of a file: cannot wrap */
    if (array) {
        write_put_int(&w->kv, kv->elem_type, 4);
        write_put_int(&w->kv, kv->count, 8);
    }
    write_put_bytes(&w->kv, kv->data, kv->bytes);
    if (alignment) w->alignment = st_le32(kv->data);
    return STRATA_OK;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static int write_check_tensor(const st_gguf_writer *w, st_str name, uint32_t type, uint32_t n_dims,
                              const uint64_t *dims, size_t bytes, strata_error *err)
{
    char nm[ST_STR_PRINT];
    const char *type_name;
    uint32_t block, block_bytes;
    uint64_t n = 1;
    st_str_print(name, nm);
    ST_FAIL_IF(name.len == 0 || name.len > 255, err, STRATA_INVALID_ARG, "a tensor name has %zu bytes, want 1 to 255",
               name.len);
    ST_FAIL_IF(write_is_there(&w->info, w->names, w->n_tensors, name.ptr, name.len), err, STRATA_INVALID_ARG,
               "tensor '%s' is there twice", nm);
    ST_FAIL_IF(!st_quant_geometry(type, &type_name, &block, &block_bytes), err, STRATA_INVALID_ARG,
               "tensor '%s' has the unknown type %u", nm, type);
    ST_FAIL_IF(n_dims == 0 || n_dims > ST_GGUF_MAX_DIMS, err, STRATA_INVALID_ARG,
               "tensor '%s' has %u dimensions, want 1 to %d", nm, n_dims, ST_GGUF_MAX_DIMS);
    for (uint32_t d = 0; d < n_dims; d++)
        ST_FAIL_IF(dims[d] == 0 || dims[d] > INT32_MAX || __builtin_mul_overflow(n, dims[d], &n), err,
                   STRATA_INVALID_ARG, "tensor '%s': dimension %u is %llu, want 1 to %d", nm, d,
                   (unsigned long long)dims[d], INT32_MAX);
    ST_FAIL_IF(dims[0] % block, err, STRATA_INVALID_ARG,
               "tensor '%s': rows of %llu values are not whole blocks of %u, as %s needs", nm,
               (unsigned long long)dims[0], block, type_name);
    ST_FAIL_IF(__builtin_mul_overflow(n / block, (uint64_t)block_bytes, &n) || n != bytes, err, STRATA_INVALID_ARG,
               "tensor '%s' has %zu bytes, want %llu", nm, bytes, (unsigned long long)n);
    return STRATA_OK;
}

int st_gguf_put_tensor(st_gguf_writer *w, st_str name, uint32_t type, uint32_t n_dims, const uint64_t *dims,
                       const void *data, size_t bytes, strata_error *err)
{
    ST_TRY(write_check_tensor(w, name, type, n_dims, dims, bytes, err));
    size_t n = w->n_tensors, end;
    ST_FAIL_IF(!st_add(w->data_bytes, bytes, &end) || end > SIZE_MAX / 2, err, STRATA_INVALID_ARG,
               "the tensors do not fit a file");
    ST_FAIL_IF(!st_grow(w->mem, &w->names, &w->names_cap, n + 1, n, sizeof *w->names) ||
                   !st_grow(w->mem, &w->tensors, &w->tensors_cap, n + 1, n, sizeof *w->tensors),
               err, STRATA_NO_MEMORY, "no memory for another tensor");
    ST_TRY(write_reserve(w, &w->info, 8 + name.len + 4 + 8 * (size_t)n_dims + 4 + 8, err));
    write_put_int(&w->info, name.len, 8);
    w->names[n] = (place){w->info.len, name.len};
    write_put_bytes(&w->info, name.ptr, name.len);
    write_put_int(&w->info, n_dims, 4);
    for (uint32_t d = 0; d < n_dims; d++) write_put_int(&w->info, dims[d], 8);
    write_put_int(&w->info, type, 4);
    write_put_int(&w->info, w->data_bytes, 8);
    w->tensors[n] = (payload){data, bytes};
    w->data_bytes = st_round_up(end, w->alignment);
    w->n_tensors = n + 1;
    return STRATA_OK;
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

/* A file, or memory that is large enough. */
typedef struct sink {
    st_outfile *file;
    uint8_t *at;
} sink;

static void write_emit(sink *s, const void *p, size_t n)
{
    if (n == 0) return;
    if (s->file) {
        (void)st_outfile_write(s->file, p, n); /* the file remembers what failed */
    } else {
        memcpy(s->at, p, n);
        s->at += n;
    }
}

static void write_pad(sink *s, size_t bytes, size_t alignment)
{
    static const uint8_t zeros[64];
    for (size_t n = st_round_up(bytes, alignment) - bytes; n > 0;) {
        size_t part = n < sizeof zeros ? n : sizeof zeros;
        write_emit(s, zeros, part);
        n -= part;
    }
}

static size_t write_head_bytes(const st_gguf_writer *w)
{
    return HEADER_BYTES + w->kv.len + w->info.len;
}

static void write_emit_all(const st_gguf_writer *w, sink *s)
{
    uint8_t head[HEADER_BYTES] = {'G', 'G', 'U', 'F', 3};
    write_encode(write_encode(head + 8, w->n_tensors, 8), w->n_kv, 8);
    write_emit(s, head, sizeof head);
    write_emit(s, w->kv.data, w->kv.len);
    write_emit(s, w->info.data, w->info.len);
    if (w->n_tensors) write_pad(s, write_head_bytes(w), w->alignment);
    for (size_t i = 0; i < w->n_tensors; i++) {
        write_emit(s, w->tensors[i].data, w->tensors[i].bytes);
        write_pad(s, w->tensors[i].bytes, w->alignment);
    }
}

int st_gguf_writer_finish(st_gguf_writer *w, uint8_t **data, size_t *size, strata_error *err)
{
    size_t total = write_head_bytes(w);
    if (w->n_tensors) total = st_round_up(total, w->alignment);
    ST_FAIL_IF(!st_add(total, w->data_bytes, &total), err, STRATA_INVALID_ARG, "the tensors do not fit a file");
    uint8_t *p = st_alloc(w->mem, total, 1);
    ST_FAIL_IF(!p, err, STRATA_NO_MEMORY, "no memory for a GGUF file of %zu bytes", total);
    write_emit_all(w, &(sink){.at = p});
    *data = p;
    *size = total;
    return STRATA_OK;
}

int st_gguf_writer_save(st_gguf_writer *w, const char *path, strata_error *err)
{
    char why[ST_OUTFILE_REASON];
    st_outfile f;
    int code = st_outfile_open(&f, path, 0, NULL);
    ST_FAIL_IF(code, err, STRATA_IO, "%s: cannot %s: %s", path, f.replaces ? "write" : "create",
               st_outfile_reason(code, why));
    f.buffer = st_alloc(w->mem, ST_OUTFILE_BUFFER, 1);
    if (!f.buffer) {
        st_outfile_abort(&f);
        ST_FAIL(err, STRATA_NO_MEMORY, "%s: no memory to write it", path);
    }
    f.cap = ST_OUTFILE_BUFFER;
    write_emit_all(w, &(sink){.file = &f});
    code = st_outfile_commit(&f);
    st_free(w->mem, f.buffer);
    ST_FAIL_IF(code, err, STRATA_IO, "%s: cannot write: %s", path, st_outfile_reason(code, why));
    return STRATA_OK;
}
