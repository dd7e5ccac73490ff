/* split.h: a model file in memory -> files NAME-00001-of-0000N.gguf, as llama.cpp's gguf-split writes them: all keys in
 * the first, and in each which part it is. */
#ifndef TESTS_SPLIT_H
#define TESTS_SPLIT_H

#include <stdio.h>
#include <string.h>

#include "convert/gguf_write.h"

/* One number of a split.* key, in any integer type; SPLIT_LEAVE_OUT: no such key. */
typedef struct split_key {
    uint32_t type;
    uint64_t v;
} split_key;

#define SPLIT_LEAVE_OUT UINT32_MAX

/* What a part is to say, for tests that make it say something wrong; the right thing by split_labels. */
typedef struct split_label {
    split_key no, count, n_tensors;
} split_label;

static inline split_label split_labels(uint32_t no, uint32_t count, uint64_t n_tensors)
{
    return (split_label){{ST_GGUF_U16, no}, {ST_GGUF_U16, count}, {ST_GGUF_I32, n_tensors}};
}

static inline int split_put(st_gguf_writer *w, const char *key, split_key k)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    uint8_t bytes[8];
    if (k.type == SPLIT_LEAVE_OUT) return 0;
    if (k.type == ST_GGUF_STRING) return st_gguf_put_str(w, key, "3", 1, NULL);
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(k.v >> (8 * i));
    st_gguf_kv kv = {.key = {key, strlen(key)},
                     .type = k.type,
                     .elem_type = k.type,
                     .count = 1,
                     .data = bytes,
                     .bytes = sizes[k.type]};
    return st_gguf_put_kv(w, &kv, NULL);
}

/* Tensors [from, to) of g, with all of its keys or none. */
static inline int split_write(const st_gguf *g, size_t from, size_t to, bool keys, const split_label *l, st_mem *mem,
                              const char *path)
{
    st_gguf_writer *w = NULL;
    int rc = st_gguf_writer_open(mem, &w, NULL);
    for (size_t i = 0; !rc && keys && i < g->n_kv; i++) rc = st_gguf_put_kv(w, &g->kv[i], NULL);
    if (!rc) rc = split_put(w, "split.no", l->no);
    if (!rc) rc = split_put(w, "split.count", l->count);
    if (!rc) rc = split_put(w, "split.tensors.count", l->n_tensors);
    for (size_t i = from; !rc && i < to; i++) {
        const st_gguf_tensor *t = &g->tensors[i];
        rc = st_gguf_put_tensor(w, t->name, t->type, t->n_dims, t->dims, t->data, t->bytes, NULL);
    }
    if (!rc) rc = st_gguf_writer_save(w, path, NULL);
    st_gguf_writer_close(w);
    return rc;
}

static inline const char *split_path(char *buf, size_t cap, const char *prefix, uint32_t no, uint32_t count)
{
    snprintf(buf, cap, "%s-%05u-of-%05u.gguf", prefix, no + 1, count);
    return buf;
}

/* cuts[0] = 0 <= cuts[1] <= ... <= cuts[count] = n_tensors: which tensors each part has. */
static inline int split_model(const st_gguf *g, const size_t *cuts, uint32_t count, st_mem *mem, const char *prefix)
{
    char path[600];
    int rc = 0;
    for (uint32_t no = 0; !rc && no < count; no++) {
        split_label l = split_labels(no, count, g->n_tensors);
        rc = split_write(g, cuts[no], cuts[no + 1], no == 0, &l, mem, split_path(path, sizeof path, prefix, no, count));
    }
    return rc;
}

#endif
