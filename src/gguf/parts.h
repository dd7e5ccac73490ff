/* parts.h: the file of a model, or all the files of one that was split, as one st_gguf.
 *
 * Split models are what llama.cpp's gguf-split and its converters write: NAME-00001-of-00003.gguf has the metadata, any
 * part may have tensors, and each says by split.no (from 0), split.count and split.tensors.count which part it is. The
 * other parts are found by the name that the first was opened by, also where it is a link, as in HuggingFace's
 * cache. */
#ifndef ST_GGUF_PARTS_H
#define ST_GGUF_PARTS_H

#include "base/os/file.h"
#include "gguf/gguf.h"

/* The files stay open: the st_gguf points into all of them. All are mapped, or all are copied. */
typedef struct st_parts {
    st_file *files; /* [n] */
    size_t n, cap;
    uint64_t bytes; /* of all */
    st_mem *mem;
} st_parts;

typedef struct st_parts_opts {
    bool copy;          /* read the files into memory */
    bool vocab_only;    /* the first part alone, without its tensors: it has all metadata */
    const void *buffer; /* NULL, or a whole file in memory; `path` then stands for it in messages */
    size_t size;
    const st_log *log;
} st_parts_opts;

/* Opens what `path` names, which is borrowed for messages, and reads it into *g. st_parts_close releases *p, after
 * st_gguf_free(g). Errors: those of st_file_open and st_gguf_parse, which name the part; UNSUPPORTED_OP (the path is
 * that of a later part, or does not tell where the others are), CORRUPT_MODEL (parts that are not of one model). */
int st_parts_open(st_parts *p, st_gguf *g, const char *path, const st_parts_opts *opts, st_mem *mem, strata_error *err);
void st_parts_close(st_parts *p);

/* Is the key about how a model was split? What is written as one file has none of them. */
bool st_parts_is_key(st_str key);

#endif
