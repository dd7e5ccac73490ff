/* gguf_write.c: the writer. Owns the two growing buffers, metadata and tensor directory, in the file's own encoding,
 * and tables of the names in them; tensor data and copied values stay with the caller until the file is written. It
 * refuses what the reader would refuse. */
#include "convert/gguf_write.h"

#include <stdio.h>
#include <string.h>

#include "base/half.h"
#include "gguf/cursor.h"
#include "quant/quant.h"

#define HEADER_BYTES 24

typedef struct buffer {
    uint8_t *data;
    size_t len, cap;
} buffer;

/* A name that lies in a buffer, and what is not in the buffer: a value that belongs behind `end`, or a tensor's
 * data. */
typedef struct named {
    size_t at, len, end;
    const void *data;
    size_t bytes;
} named;

/* In order, and found by their names. */
typedef struct names {
    buffer text;
    named *v;
    size_t n, cap;
    uint32_t *slots; /* index + 1; 0 is free, and at least half of them are */
    size_t n_slots;
} names;

/* A file, or memory that is large enough. */
typedef struct sink {
    st_outfile *file;
    uint8_t *at;
} sink;

struct st_gguf_writer {
    st_mem *mem;
    names kv, info;
    size_t data_bytes; /* of the tensors so far, padded */
    size_t alignment;
    sink out;
    size_t tensor, written; /* the one at work, and its bytes so far */
};

int st_gguf_writer_open(st_mem *mem, st_gguf_writer **out, strata_error *err)
{
    st_gguf_writer *w = st_calloc(mem, 1, sizeof *w);
    ST_FAIL_IF(!w, err, STRATA_NO_MEMORY, "no memory for a GGUF writer");
    w->mem = mem;
    w->alignment = ST_GGUF_DEFAULT_ALIGNMENT;
    *out = w;
    return STRATA_OK;
}

static void write_free_names(st_gguf_writer *w, names *t)
{
    st_free(w->mem, t->text.data);
    st_free(w->mem, t->v);
    st_free(w->mem, t->slots);
}

void st_gguf_writer_close(st_gguf_writer *w)
{
    if (!w) return;
    write_free_names(w, &w->kv);
    write_free_names(w, &w->info);
    st_free(w->mem, w);
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

static uint8_t *write_encode(uint8_t *p, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)(v >> (8 * i));
    return p + bytes;
}

/* The put_ functions append to space that reserve has made. */
static int write_reserve(st_gguf_writer *w, names *t, size_t bytes, strata_error *err)
{
    size_t need;
    buffer *b = &t->text;
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

/* ---- names ------------------------------------------------------------------------------------------------------- */

static uint32_t *write_slot(const names *t, st_str name)
{
    size_t i = st_gguf_hash(name, t->slots) & (t->n_slots - 1);
    for (; t->slots[i]; i = (i + 1) & (t->n_slots - 1)) {
        const named *v = &t->v[t->slots[i] - 1];
        if (v->len == name.len && memcmp(t->text.data + v->at, name.ptr, name.len) == 0) break;
    }
    return &t->slots[i];
}

static bool write_is_there(const names *t, st_str name)
{
    return t->n && *write_slot(t, name);
}

/* For one more. */
static int write_grow_names(st_gguf_writer *w, names *t, const char *what, strata_error *err)
{
    ST_FAIL_IF(!st_grow(w->mem, &t->v, &t->cap, t->n + 1, t->n, sizeof *t->v), err, STRATA_NO_MEMORY,
               "no memory for another %s", what);
    if ((t->n + 1) * 2 <= t->n_slots) return STRATA_OK;
    names larger = *t;
    larger.n_slots = t->n_slots ? t->n_slots * 2 : 64;
    larger.slots = st_calloc(w->mem, larger.n_slots, sizeof *larger.slots);
    ST_FAIL_IF(!larger.slots || t->n >= UINT32_MAX, err, STRATA_NO_MEMORY, "no memory for another %s", what);
    for (size_t i = 0; i < t->n; i++) {
        st_str name = {(const char *)t->text.data + t->v[i].at, t->v[i].len};
        *write_slot(&larger, name) = (uint32_t)i + 1;
    }
    st_free(w->mem, t->slots);
    *t = larger;
    return STRATA_OK;
}

/* A length and the name: the begin of either kind of entry. */
static void write_put_name(names *t, st_str name)
{
    uint32_t *slot = write_slot(t, name);
    write_put_int(&t->text, name.len, 8);
    t->v[t->n] = (named){.at = t->text.len, .len = name.len};
    write_put_bytes(&t->text, name.ptr, name.len);
    *slot = (uint32_t)++t->n;
}

/* The last entry ends here, and has this outside of the buffer. */
static void write_refer(names *t, const void *data, size_t bytes)
{
    named *v = &t->v[t->n - 1];
    v->end = t->text.len;
    v->data = data;
    v->bytes = bytes;
}

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

/* Makes room for the whole entry first, so that a failure leaves none of it behind. */
static int write_begin_kv(st_gguf_writer *w, st_str key, uint32_t type, size_t value_bytes, strata_error *err)
{
    char name[ST_STR_PRINT];
    size_t bytes;
    ST_FAIL_IF(key.len == 0 || key.len > ST_GGUF_MAX_KEY, err, STRATA_INVALID_ARG, "a key has %zu bytes, want 1 to %zu",
               key.len, ST_GGUF_MAX_KEY);
    ST_FAIL_IF(type != ST_GGUF_U32 && st_str_eq(key, ST_GGUF_ALIGNMENT), err, STRATA_INVALID_ARG,
               ST_GGUF_ALIGNMENT " is of type %s, want u32", st_gguf_type_name(type));
    ST_FAIL_IF(write_is_there(&w->kv, key), err, STRATA_INVALID_ARG, "key '%s' is there twice",
               st_str_print(key, name));
    ST_TRY(write_grow_names(w, &w->kv, "GGUF key", err));
    ST_FAIL_IF(!st_add(value_bytes, 8 + key.len + 4, &bytes), err, STRATA_INVALID_ARG, "key '%s' is too large",
               st_str_print(key, name));
    ST_TRY(write_reserve(w, &w->kv, bytes, err));
    write_put_name(&w->kv, key);
    write_put_int(&w->kv.text, type, 4);
    return STRATA_OK;
}

static st_str write_str_of(const char *z)
{
    return (st_str){z, strlen(z)};
}

static int write_check_alignment(const st_gguf_writer *w, uint32_t v, strata_error *err)
{
    ST_FAIL_IF(!st_gguf_alignment_ok(v), err, STRATA_INVALID_ARG,
               ST_GGUF_ALIGNMENT " is %u, want a power of two from %u to %u", v, ST_GGUF_MIN_ALIGNMENT,
               ST_GGUF_MAX_ALIGNMENT);
    ST_FAIL_IF(w->info.n, err, STRATA_INVALID_ARG, ST_GGUF_ALIGNMENT " must be set before the first tensor");
    return STRATA_OK;
}

int st_gguf_put_u32(st_gguf_writer *w, const char *key, uint32_t v, strata_error *err)
{
    bool alignment = strcmp(key, ST_GGUF_ALIGNMENT) == 0;
    if (alignment) ST_TRY(write_check_alignment(w, v, err));
    ST_TRY(write_begin_kv(w, write_str_of(key), ST_GGUF_U32, 4, err));
    write_put_int(&w->kv.text, v, 4);
    if (alignment) w->alignment = v;
    return STRATA_OK;
}

int st_gguf_put_f32(st_gguf_writer *w, const char *key, float v, strata_error *err)
{
    ST_TRY(write_begin_kv(w, write_str_of(key), ST_GGUF_F32, 4, err));
    write_put_int(&w->kv.text, st_f32_bits(v), 4);
    return STRATA_OK;
}

int st_gguf_put_bool(st_gguf_writer *w, const char *key, bool v, strata_error *err)
{
    ST_TRY(write_begin_kv(w, write_str_of(key), ST_GGUF_BOOL, 1, err));
    write_put_int(&w->kv.text, v, 1);
    return STRATA_OK;
}

int st_gguf_put_str(st_gguf_writer *w, const char *key, const char *v, size_t len, strata_error *err)
{
    size_t bytes;
    ST_FAIL_IF(!st_add(len, 8, &bytes), err, STRATA_INVALID_ARG, "key '%s' is too large", key);
    ST_TRY(write_begin_kv(w, write_str_of(key), ST_GGUF_STRING, bytes, err));
    write_put_int(&w->kv.text, len, 8);
    write_put_bytes(&w->kv.text, v, len);
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
    write_put_int(&w->kv.text, elem_type, 4);
    write_put_int(&w->kv.text, count, 8);
    write_put_bytes(&w->kv.text, data, bytes);
    return STRATA_OK;
}

int st_gguf_put_strings(st_gguf_writer *w, const char *key, const st_str *v, uint64_t count, strata_error *err)
{
    size_t bytes = 12;
    for (uint64_t i = 0; i < count; i++)
        ST_FAIL_IF(!st_add(bytes, 8, &bytes) || !st_add(bytes, v[i].len, &bytes), err, STRATA_INVALID_ARG,
                   "key '%s' is too large", key);
    ST_TRY(write_begin_kv(w, write_str_of(key), ST_GGUF_ARRAY, bytes, err));
    write_put_int(&w->kv.text, ST_GGUF_STRING, 4);
    write_put_int(&w->kv.text, count, 8);
    for (uint64_t i = 0; i < count; i++) {
        write_put_int(&w->kv.text, v[i].len, 8);
        write_put_bytes(&w->kv.text, v[i].ptr, v[i].len);
    }
    return STRATA_OK;
}

static int write_kv(st_gguf_writer *w, const st_gguf_kv *kv, bool refer, strata_error *err)
{
    bool array = kv->type == ST_GGUF_ARRAY,
         alignment = kv->type == ST_GGUF_U32 && st_str_eq(kv->key, ST_GGUF_ALIGNMENT);
    if (alignment) ST_TRY(write_check_alignment(w, st_le32(kv->data), err));
    size_t bytes = (refer ? 0 : kv->bytes) + (array ? 12 : 0); /* of a file: cannot wrap */
    ST_TRY(write_begin_kv(w, kv->key, kv->type, bytes, err));
    if (array) {
        write_put_int(&w->kv.text, kv->elem_type, 4);
        write_put_int(&w->kv.text, kv->count, 8);
    }
    if (refer)
        write_refer(&w->kv, kv->data, kv->bytes);
    else
        write_put_bytes(&w->kv.text, kv->data, kv->bytes);
    if (alignment) w->alignment = st_le32(kv->data);
    return STRATA_OK;
}

int st_gguf_put_kv(st_gguf_writer *w, const st_gguf_kv *kv, strata_error *err)
{
    return write_kv(w, kv, false, err);
}

int st_gguf_refer_kv(st_gguf_writer *w, const st_gguf_kv *kv, strata_error *err)
{
    return write_kv(w, kv, true, err);
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
    ST_FAIL_IF(name.len == 0 || name.len > ST_GGUF_MAX_TENSOR_NAME, err, STRATA_INVALID_ARG,
               "a tensor name has %zu bytes, want 1 to %zu", name.len, ST_GGUF_MAX_TENSOR_NAME);
    ST_FAIL_IF(write_is_there(&w->info, name), err, STRATA_INVALID_ARG, "tensor '%s' is there twice", nm);
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
    size_t end;
    ST_FAIL_IF(!st_add(w->data_bytes, bytes, &end) || end > SIZE_MAX / 2, err, STRATA_INVALID_ARG,
               "the tensors do not fit a file");
    ST_TRY(write_grow_names(w, &w->info, "tensor", err));
    ST_TRY(write_reserve(w, &w->info, 8 + name.len + 4 + 8 * (size_t)n_dims + 4 + 8, err));
    write_put_name(&w->info, name);
    write_put_int(&w->info.text, n_dims, 4);
    for (uint32_t d = 0; d < n_dims; d++) write_put_int(&w->info.text, dims[d], 8);
    write_put_int(&w->info.text, type, 4);
    write_put_int(&w->info.text, w->data_bytes, 8);
    write_refer(&w->info, data, bytes);
    w->data_bytes = st_round_up(end, w->alignment);
    return STRATA_OK;
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

static void write_emit(st_gguf_writer *w, const void *p, size_t n)
{
    if (n == 0) return;
    if (w->out.file) {
        (void)st_outfile_write(w->out.file, p, n); /* the file remembers what failed */
    } else {
        memcpy(w->out.at, p, n);
        w->out.at += n;
    }
}

static void write_pad(st_gguf_writer *w, size_t bytes)
{
    static const uint8_t zeros[64];
    for (size_t n = st_round_up(bytes, w->alignment) - bytes; n > 0;) {
        size_t part = n < sizeof zeros ? n : sizeof zeros;
        write_emit(w, zeros, part);
        n -= part;
    }
}

/* Of the header, up to the data; of a file, so that it cannot wrap. */
static size_t write_head_bytes(const st_gguf_writer *w)
{
    size_t n = HEADER_BYTES + w->kv.text.len + w->info.text.len;
    for (size_t i = 0; i < w->kv.n; i++) n += w->kv.v[i].bytes;
    return n;
}

static void write_begin(st_gguf_writer *w, sink out)
{
    uint8_t head[HEADER_BYTES] = {'G', 'G', 'U', 'F', 3};
    w->out = out;
    w->tensor = w->written = 0;
    write_encode(write_encode(head + 8, w->info.n, 8), w->kv.n, 8);
    write_emit(w, head, sizeof head);
    size_t from = 0;
    for (size_t i = 0; i < w->kv.n; i++) {
        const named *v = &w->kv.v[i];
        if (!v->bytes) continue;
        write_emit(w, w->kv.text.data + from, v->end - from);
        write_emit(w, v->data, v->bytes);
        from = v->end;
    }
    if (w->kv.n) write_emit(w, w->kv.text.data + from, w->kv.text.len - from);
    write_emit(w, w->info.text.data, w->info.text.len);
    if (w->info.n) write_pad(w, write_head_bytes(w));
}

void st_gguf_writer_begin(st_gguf_writer *w, st_outfile *f)
{
    write_begin(w, (sink){.file = f});
}

int st_gguf_writer_data(st_gguf_writer *w, const void *p, size_t n, strata_error *err)
{
    size_t want = w->tensor < w->info.n ? w->info.v[w->tensor].bytes : 0;
    ST_FAIL_IF(n > want - w->written, err, STRATA_INVALID_ARG,
               "tensor %zu of %zu gets more data than it was said to have", w->tensor, w->info.n);
    write_emit(w, p, n);
    w->written += n;
    if (w->written < want) return STRATA_OK;
    write_pad(w, want);
    w->tensor++;
    w->written = 0;
    return STRATA_OK;
}

static void write_all(st_gguf_writer *w, sink out)
{
    write_begin(w, out);
    for (size_t i = 0; i < w->info.n; i++)
        (void)st_gguf_writer_data(w, w->info.v[i].data, w->info.v[i].bytes, NULL); /* as much as was said */
}

int st_gguf_writer_finish(st_gguf_writer *w, uint8_t **data, size_t *size, strata_error *err)
{
    size_t total = write_head_bytes(w);
    if (w->info.n) total = st_round_up(total, w->alignment);
    ST_FAIL_IF(!st_add(total, w->data_bytes, &total), err, STRATA_INVALID_ARG, "the tensors do not fit a file");
    uint8_t *p = st_alloc(w->mem, total, 1);
    ST_FAIL_IF(!p, err, STRATA_NO_MEMORY, "no memory for a GGUF file of %zu bytes", total);
    write_all(w, (sink){.at = p});
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
    write_all(w, (sink){.file = &f});
    code = st_outfile_commit(&f);
    st_free(w->mem, f.buffer);
    ST_FAIL_IF(code, err, STRATA_IO, "%s: cannot write: %s", path, st_outfile_reason(code, why));
    return STRATA_OK;
}
