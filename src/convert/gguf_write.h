/* gguf_write.h: the one place that knows how a GGUF file is laid out when it is written: order, encoding, alignment.
 *
 * Metadata goes in order into a growing buffer; tensors are declared with their data, or without and then handed over
 * in pieces. What is only referred to (data of tensors, values of st_gguf_refer_kv) must stay until the file is
 * written. The result is a version-3 file with alignment 32, or what the key general.alignment was set to before the
 * first tensor. A failed put leaves the writer as it was. Errors: INVALID_ARG, NO_MEMORY, IO. */
#ifndef ST_CONVERT_GGUF_WRITE_H
#define ST_CONVERT_GGUF_WRITE_H

#include "base/os/outfile.h"
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
/* An entry of another file; what refer takes, a vocabulary, stays where it is. */
int st_gguf_put_kv(st_gguf_writer *w, const st_gguf_kv *kv, strata_error *err);
int st_gguf_refer_kv(st_gguf_writer *w, const st_gguf_kv *kv, strata_error *err);

/* dims fastest first; bytes must match the type's geometry. data NULL: st_gguf_writer_data brings it. */
int st_gguf_put_tensor(st_gguf_writer *w, st_str name, uint32_t type, uint32_t n_dims, const uint64_t *dims,
                       const void *data, size_t bytes, strata_error *err);

/* All of a file but the data: header, metadata, directory, padding. The file remembers what fails (f->error). */
void st_gguf_writer_begin(st_gguf_writer *w, st_outfile *f);
/* Then the data of the tensors, in order and in pieces of any size within one tensor. What stands between tensors is
 * written with the last piece of each. INVALID_ARG: more than was declared. */
int st_gguf_writer_data(st_gguf_writer *w, const void *p, size_t n, strata_error *err);

/* The whole file, appearing at once (base/os/outfile.h). All tensors have their data. */
int st_gguf_writer_save(st_gguf_writer *w, const char *path, strata_error *err);

/* The same in memory, owned by the caller (st_free with the writer's mem). */
int st_gguf_writer_finish(st_gguf_writer *w, uint8_t **data, size_t *size, strata_error *err);

#endif
