/* gguf.h: bytes of a GGUF file -> header, typed metadata, tensor directory.
 *
 * The reader trusts nothing: every count, length, offset and size is checked against the bytes that remain before it is
 * used, in 64-bit checked arithmetic. It copies no strings: keys, strings, arrays and tensor data are views into the
 * caller's bytes, which must outlive the st_gguf. Versions 2 and 3, little-endian.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
#ifndef ST_GGUF_GGUF_H
#define ST_GGUF_GGUF_H

#include <stdbool.h>

#include "base/error.h"
#include "base/log.h"
#include "base/os/mem.h"
#include "base/str.h"

/* Weights, scores and lengths are read where they lie in a file, which is little-endian, and a tensor's 64-bit offset
 * is kept in a pointer until the data section is known. */
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "strata reads model files in place: it needs a little-endian machine"
#endif
_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8, "strata maps files of any size: it needs 64 bits");

typedef enum st_gguf_type {
    ST_GGUF_U8 = 0,
    ST_GGUF_I8 = 1,
    ST_GGUF_U16 = 2,
    ST_GGUF_I16 = 3,
    ST_GGUF_U32 = 4,
    ST_GGUF_I32 = 5,
    ST_GGUF_F32 = 6,
    ST_GGUF_BOOL = 7,
    ST_GGUF_STRING = 8,
    ST_GGUF_ARRAY = 9,
    ST_GGUF_U64 = 10,
    ST_GGUF_I64 = 11,
    ST_GGUF_F64 = 12
} st_gguf_type;

/* One metadata entry. Scalars and arrays stay in the file's encoding behind `data`. */
typedef struct st_gguf_kv {
    st_str key;
    uint32_t type;      /* st_gguf_type */
    uint32_t elem_type; /* of arrays */
    uint64_t count;     /* items of arrays, else 1 */
    const uint8_t *data;
    size_t bytes; /* of data, up to the next key */
} st_gguf_kv;

#define ST_GGUF_MAX_DIMS 4

typedef struct st_gguf_tensor {
    st_str name;
    uint32_t type; /* st_type or one that is not known */
    uint32_t n_dims;
    uint64_t dims[ST_GGUF_MAX_DIMS]; /* fastest first, 1 beyond n_dims */
    const uint8_t *data;
    size_t bytes; /* 0 if the type's size is not known */
} st_gguf_tensor;

typedef struct st_gguf {
    uint32_t version;
    uint64_t alignment;
    size_t n_kv, n_tensors;
    st_gguf_kv *kv;
    st_gguf_tensor *tensors;           /* in the file's order */
    uint32_t *kv_index, *tensor_index; /* hash tables over the names */
    size_t kv_slots, tensor_slots;
    const char *name; /* for messages; borrowed */
    st_mem *mem;
} st_gguf;

/* Parses [data, data+size). `name` stands for the file in messages and is borrowed. Errors: NOT_GGUF, CORRUPT_MODEL,
 * UNSUPPORTED_TYPE (an unknown tensor type, unless skip_tensors), NO_MEMORY. With skip_tensors the tensor directory is
 * walked for its bounds but nothing about types or data is checked or kept. */
int st_gguf_parse(st_gguf *g, const void *data, size_t size, const char *name, bool skip_tensors, st_mem *mem,
                  strata_error *err);
void st_gguf_free(st_gguf *g);

/* Makes the names of g->tensors, which the caller has added to, findable. Errors: CORRUPT_MODEL (a name that is there
 * twice), NO_MEMORY. */
int st_gguf_index_tensors(st_gguf *g, strata_error *err);

/* NULL if absent. */
const st_gguf_kv *st_gguf_find(const st_gguf *g, const char *key);
const st_gguf_tensor *st_gguf_tensor_find(const st_gguf *g, const char *name);

/* Typed getters. The plain form requires the key (CORRUPT_MODEL names it); the _or form takes `def` when it is absent.
 * Both refuse a key of another kind: integers accept every integer type whose value fits, floats f32 and f64, bool only
 * bool. */
int st_gguf_u32(const st_gguf *g, const char *key, uint32_t *out, strata_error *err);
int st_gguf_u32_or(const st_gguf *g, const char *key, uint32_t def, uint32_t *out, strata_error *err);
int st_gguf_f32(const st_gguf *g, const char *key, float *out, strata_error *err);
int st_gguf_f32_or(const st_gguf *g, const char *key, float def, float *out, strata_error *err);
int st_gguf_bool_or(const st_gguf *g, const char *key, bool def, bool *out, strata_error *err);
int st_gguf_str(const st_gguf *g, const char *key, st_str *out, strata_error *err);
int st_gguf_str_or(const st_gguf *g, const char *key, const char *def, st_str *out, strata_error *err);

/* An array of fixed-size elements of exactly elem_type; *data is unaligned. Absent: CORRUPT_MODEL. */
int st_gguf_array(const st_gguf *g, const char *key, uint32_t elem_type, const uint8_t **data, uint64_t *count,
                  strata_error *err);

/* Element i of an integer array or of a scalar integer that stands for all (GGUF's per-layer keys have both forms). */
int st_gguf_u32_at(const st_gguf *g, const char *key, uint64_t i, uint32_t *out, strata_error *err);

/* Walks an array of strings in order: *at starts at 0 and is the byte position inside the array. False at its end. The
 * parser has checked every length. */
bool st_gguf_next_string(const st_gguf_kv *kv, size_t *at, st_str *out);

#endif
