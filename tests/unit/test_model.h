/* test_model.h: GGUF files of tests/data changed in one place, in memory. */
#ifndef TESTS_TEST_MODEL_H
#define TESTS_TEST_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/gguf_write.h"
#include "quant/quant.h"
#include "strata.h"

typedef struct blob {
    uint8_t *data;
    size_t size;
} blob;

static inline blob blob_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    blob b = {.size = (size_t)ftell(f)};
    rewind(f);
    b.data = malloc(b.size ? b.size : 1);
    assert_non_null(b.data);
    assert_int_equal(fread(b.data, 1, b.size, f), b.size);
    fclose(f);
    return b;
}

/* Path of a committed tiny model. Static buffers, a few at a time. */
static inline const char *tiny(const char *name)
{
    static char path[4][512];
    static unsigned at;
    char *p = path[at++ % 4];
    snprintf(p, sizeof path[0], "%s/tests/data/tiny/%s.gguf", STRATA_SOURCE_DIR, name);
    return p;
}

typedef enum edit_kind {
    EDIT_END,
    DROP,    /* key or tensor `name` */
    SET_U32, /* key `name`, in its place or at the end */
    SET_F32,
    SET_BOOL,
    SET_STRS, /* an array, of the words of str */
    SET_STR,
    RENAME,      /* tensor -> str */
    RESHAPE,     /* tensor -> [n, k], or [n] with k = 0: zeros, or `data` in the tensor's type */
    EXPERTS,     /* tensor -> u experts of [n, k], F16 zeros */
    RETYPE,      /* tensor -> type, zeros */
    POKE,        /* float `at` of an F32 tensor */
    ADD,         /* F32 tensor [n, k] of zeros */
    DROP_PREFIX, /* all tensors whose name begins so */
} edit_kind;

typedef struct edit {
    edit_kind kind;
    const char *name;
    uint32_t u;
    float f;
    const char *str;
    uint64_t n, k;
    size_t at;
    const void *data;
} edit;

static inline const edit *edit_of(const edit *edits, st_str name, bool tensor)
{
    for (; edits->kind != EDIT_END; edits++) {
        bool key_edit = edits->kind >= SET_U32 && edits->kind <= SET_STR;
        if (edits->kind == ADD || (edits->kind != DROP && key_edit == tensor)) continue;
        size_t n = strlen(edits->name);
        bool prefix = edits->kind == DROP_PREFIX && tensor && name.len > n && memcmp(name.ptr, edits->name, n) == 0;
        if (prefix || st_str_eq(name, edits->name)) return edits;
    }
    return NULL;
}

static inline int put_words(st_gguf_writer *w, const char *key, const char *words)
{
    st_str list[8];
    uint64_t n = 0;
    for (const char *p = words; *p; p += *p == ' ') {
        assert_true(n < 8);
        list[n] = (st_str){p, strcspn(p, " ")};
        p += list[n++].len;
    }
    return st_gguf_put_strings(w, key, list, n, NULL);
}

static inline void edit_key(st_gguf_writer *w, const edit *e)
{
    int rc = 0;
    if (e->kind == SET_STRS) rc = put_words(w, e->name, e->str);
    if (e->kind == SET_U32) rc = st_gguf_put_u32(w, e->name, e->u, NULL);
    if (e->kind == SET_F32) rc = st_gguf_put_f32(w, e->name, e->f, NULL);
    if (e->kind == SET_BOOL) rc = st_gguf_put_bool(w, e->name, e->u != 0, NULL);
    if (e->kind == SET_STR) rc = st_gguf_put_str(w, e->name, e->str, strlen(e->str), NULL);
    assert_int_equal(rc, 0);
}

/* Tensor data must live until the file is finished: `keep` gets what was made here. */
static inline void edit_tensor(st_gguf_writer *w, const edit *e, const st_gguf_tensor *t, uint8_t **keep)
{
    st_gguf_tensor out = *t;
    if (e->kind == RENAME) out.name = (st_str){e->str, strlen(e->str)};
    if (e->kind == RETYPE) out.type = e->u;
    if (e->kind == RESHAPE || e->kind == ADD) {
        out.n_dims = e->k ? 2 : 1;
        out.dims[0] = e->k ? e->k : e->n;
        out.dims[1] = e->k ? e->n : 1;
    }
    if (e->kind == EXPERTS) {
        out.type = ST_F16;
        out.n_dims = 3;
        out.dims[0] = e->k, out.dims[1] = e->n, out.dims[2] = e->u;
    }
    if (e->kind != RENAME) {
        const char *name;
        uint32_t block, bytes;
        assert_true(st_quant_geometry(out.type, &name, &block, &bytes));
        out.bytes = (size_t)(out.dims[0] * out.dims[1] * (out.n_dims > 2 ? out.dims[2] : 1) / block * bytes);
        *keep = calloc(out.bytes + 1, 1);
        if (e->data) memcpy(*keep, e->data, out.bytes);
        if (e->kind == POKE) {
            memcpy(*keep, t->data, t->bytes);
            assert_true(t->type == ST_F32 && (e->at + 1) * 4 <= t->bytes);
            memcpy(*keep + e->at * 4, &e->f, 4);
        }
        out.data = *keep;
    }
    strata_error err = {0};
    if (st_gguf_put_tensor(w, out.name, out.type, out.n_dims, out.dims, out.data, out.bytes, &err))
        fail_msg("%s", err.msg);
}

/* A file with `edits` (ended by {0}) made; path is for messages. Free with free(). Every edit must find its key or
 * tensor. */
static inline blob rewrite_blob(blob in, const char *path, const edit *edits)
{
    enum { MAX = 256 };
    blob out = {0};
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_gguf g;
    st_gguf_writer *w = NULL;
    uint8_t *keep[MAX] = {0}, *data = NULL;
    bool used[MAX] = {0};
    size_t n_keep = 0;
    strata_error err = {0};
    if (st_gguf_parse(&g, in.data, in.size, path, false, &mem, &err)) fail_msg("%s", err.msg);
    assert_int_equal(st_gguf_writer_open(&mem, &w, NULL), 0);
    for (size_t i = 0; i < g.n_kv; i++) {
        const edit *e = edit_of(edits, g.kv[i].key, false);
        if (e) used[e - edits] = true;
        if (!e)
            assert_int_equal(st_gguf_put_kv(w, &g.kv[i], NULL), 0);
        else
            edit_key(w, e);
    }
    for (const edit *e = edits; e->kind != EDIT_END; e++)
        if (!used[e - edits] && e->kind >= SET_U32 && e->kind <= SET_STR) edit_key(w, e), used[e - edits] = true;
    for (size_t i = 0; i < g.n_tensors; i++) {
        const st_gguf_tensor *t = &g.tensors[i];
        const edit *e = edit_of(edits, t->name, true);
        if (e) used[e - edits] = true;
        if (e && (e->kind == DROP || e->kind == DROP_PREFIX)) continue;
        assert_true(n_keep < MAX);
        if (e)
            edit_tensor(w, e, t, &keep[n_keep++]);
        else
            assert_int_equal(st_gguf_put_tensor(w, t->name, t->type, t->n_dims, t->dims, t->data, t->bytes, NULL), 0);
    }
    for (const edit *e = edits; e->kind != EDIT_END; e++) {
        if (e->kind == ADD) {
            st_gguf_tensor t = {.name = {e->name, strlen(e->name)}, .type = ST_F32, .dims = {1, 1, 1, 1}};
            edit_tensor(w, e, &t, &keep[n_keep++]);
        } else if (!used[e - edits]) {
            fail_msg("%s has no '%s'", path, e->name);
        }
    }
    size_t size = 0;
    assert_int_equal(st_gguf_writer_finish(w, &data, &size, NULL), 0);
    out = (blob){malloc(size), size};
    assert_non_null(out.data);
    memcpy(out.data, data, size);
    st_free(&mem, data);
    st_gguf_writer_close(w);
    st_gguf_free(&g);
    for (size_t i = 0; i < n_keep; i++) free(keep[i]);
    assert_int_equal(mem.used, 0);
    return out;
}

static inline blob rewrite(const char *path, const edit *edits)
{
    blob in = blob_read(path), out = rewrite_blob(in, path, edits);
    free(in.data);
    return out;
}

#endif
