/* gguf_write.h: the writer beside the reader, for tests and for tools that rewrite models.
 *
 * Metadata is added in order into a growing buffer; tensors are declared with their data, which must stay valid until
 * st_gguf_writer_save. The result is a version-3 file with alignment 32, or what the key general.alignment was set to
 * before the first tensor. A failed put leaves the writer as it was. Errors: INVALID_ARG, NO_MEMORY, IO. */
#ifndef ST_CONVERT_GGUF_WRITE_H
#define ST_CONVERT_GGUF_WRITE_H

#include "gguf/gguf.h"

typedef struct st_gguf_writer st_gguf_writer;

int st_gguf_writer_open(st_mem *mem, st_gguf_writer **out, strata_error *err);
void st_gguf_writer_close(st_gguf_writer *w);

int st_gguf_put_u32(st_gguf_writer *w, const char *key, uint32_t v, strata_error *err);
int st_gguf_put_f32(st_gguf_writer *w, const char *key, float v, strata_error *err);
int st_gguf_put_bool(st_gguf_writer *w, const char *key, bool v, strata_error *err);
int st_gguf_put_str(st_gguf_writer *w, const char *key, const char *v, size_t len, strata_error *err);
int st_gguf_put_array(st_gguf_writer *w, const char *key, uint32_t elem_type, const void *data, uint64_t count,
                      strata_error *err); /* fixed-size elements, little-endian */
int st_gguf_put_strings(st_gguf_writer *w, const char *key, const st_str *v, uint64_t count, strata_error *err);
int st_gguf_put_kv(st_gguf_writer *w, const st_gguf_kv *kv, strata_error *err); /* a copy from another file */

/* dims fastest first; bytes must match the type's geometry. */
int st_gguf_put_tensor(st_gguf_writer *w, st_str name, uint32_t type, uint32_t n_dims, const uint64_t *dims,
                       const void *data, size_t bytes, strata_error *err);

/* Writes `path`, which appears whole or not at all (base/os/outfile.h). */
int st_gguf_writer_save(st_gguf_writer *w, const char *path, strata_error *err);

/* The whole file in memory, owned by the caller (st_free with the writer's mem). */
int st_gguf_writer_finish(st_gguf_writer *w, uint8_t **data, size_t *size, strata_error *err);

#endif
