/* test_token_made.h: vocabularies made by a test: a file in memory, opening it, ids and spans of a text as a string. */
#ifndef TEST_TOKEN_MADE_H
#define TEST_TOKEN_MADE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* posix_memalign */
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "convert/gguf_write.h"
#include "token/token.h"

#define SP   "\xe2\x96\x81"
#define FFFD "\xef\xbf\xbd"
#define N(a) (sizeof(a) / sizeof(a)[0])

enum { NORMAL = 1, UNKNOWN, CONTROL, USER, UNUSED, BYTE };

typedef struct tok {
    const char *s;
    float score;
    int type;
} tok;

/* What a file says beyond its tokens; a zero says nothing. */
typedef struct keys {
    const char *pre, *arch, *name;
    const char *const *merges;
    size_t n_merges;
    int no_merges, merges_f32; /* damage */
    const void *map;           /* precompiled_charsmap */
    size_t n_map;
    uint32_t map_type; /* ST_GGUF_U8, 0 */
    const char *key[3];
    uint32_t value[3];
    bool negative; /* the values are int32 */
    const char *flag[4];
    bool set[4];
} keys;

typedef struct model {
    st_mem mem;
    uint8_t *data;
    size_t size;
    st_gguf g;
    st_tokenizer *t;
    strata_error err;
    char log[4096], info[4096]; /* warnings and worse; all */
} model;

static void on_log(void *user, int level, const char *msg)
{
    model *m = user;
    if (level <= STRATA_LOG_WARN) strncat(m->log, msg, sizeof m->log - strlen(m->log) - 1);
    strncat(m->info, msg, sizeof m->info - strlen(m->info) - 1);
}

static void make_file(model *m, const char *kind, const tok *v, size_t n, const keys *k)
{
    st_gguf_writer *w;
    st_str *s = malloc((n + k->n_merges + 1) * sizeof *s);
    float *scores = malloc((n + 1) * sizeof *scores);
    int32_t *types = malloc((n + 1) * sizeof *types);
    *m = (model){0};
    st_mem_init(&m->mem, NULL, 0);
    assert_int_equal(st_gguf_writer_open(&m->mem, &w, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        s[i] = (st_str){v[i].s, strlen(v[i].s)};
        scores[i] = v[i].score;
        types[i] = v[i].type;
    }
    const char *arch = k->arch ? k->arch : "test";
    int rc = st_gguf_put_str(w, "general.architecture", arch, strlen(arch), NULL) |
             st_gguf_put_str(w, "tokenizer.ggml.model", kind, strlen(kind), NULL) |
             st_gguf_put_strings(w, "tokenizer.ggml.tokens", s, n, NULL) |
             st_gguf_put_array(w, "tokenizer.ggml.scores", ST_GGUF_F32, scores, n, NULL) |
             st_gguf_put_array(w, "tokenizer.ggml.token_type", ST_GGUF_I32, types, n, NULL);
    for (size_t i = 0; i < k->n_merges; i++) s[i] = (st_str){k->merges[i], strlen(k->merges[i])};
    if (k->merges_f32)
        rc |= st_gguf_put_array(w, "tokenizer.ggml.merges", ST_GGUF_F32, scores, n, NULL);
    else if (!k->no_merges)
        rc |= st_gguf_put_strings(w, "tokenizer.ggml.merges", s, k->n_merges, NULL);
    if (k->map)
        rc |= st_gguf_put_array(w, "tokenizer.ggml.precompiled_charsmap", k->map_type, k->map,
                                k->map_type == ST_GGUF_F32 ? k->n_map / 4 : k->n_map, NULL);
    if (k->name) rc |= st_gguf_put_str(w, "general.name", k->name, strlen(k->name), NULL);
    if (k->pre) rc |= st_gguf_put_str(w, "tokenizer.ggml.pre", k->pre, strlen(k->pre), NULL);
    for (int i = 0; i < 3 && k->key[i]; i++) {
        st_gguf_kv kv = {.key = {k->key[i], strlen(k->key[i])},
                         .type = k->negative ? ST_GGUF_I32 : ST_GGUF_U32,
                         .elem_type = k->negative ? ST_GGUF_I32 : ST_GGUF_U32,
                         .data = (const uint8_t *)&k->value[i],
                         .count = 1,
                         .bytes = 4};
        rc |= st_gguf_put_kv(w, &kv, NULL);
    }
    for (int i = 0; i < 4 && k->flag[i]; i++) rc |= st_gguf_put_bool(w, k->flag[i], k->set[i], NULL);
    assert_int_equal(rc, 0);
    assert_int_equal(st_gguf_writer_finish(w, &m->data, &m->size, NULL), 0);
    st_gguf_writer_close(w);
    free(s);
    free(scores);
    free(types);
    if (st_gguf_parse(&m->g, m->data, m->size, "test.gguf", true, &m->mem, &m->err)) fail_msg("%s", m->err.msg);
}

static int open_model(model *m, const char *kind, const tok *v, size_t n, const keys *k)
{
    make_file(m, kind, v, n, k);
    st_log log = {on_log, m, STRATA_LOG_INFO};
    return st_tokenizer_open(&m->g, NULL, &log, &m->mem, &m->t, &m->err);
}

static void close_model(model *m)
{
    st_tokenizer_close(m->t);
    st_gguf_free(&m->g);
    st_free(&m->mem, m->data);
    assert_int_equal(m->mem.used, 0);
}

static void opened(model *m, const char *kind, const tok *v, size_t n, const keys *k)
{
    if (open_model(m, kind, v, n, k)) fail_msg("%s", m->err.msg);
}

static void refused(int status, const char *part, const char *kind, const tok *v, size_t n, const keys *k)
{
    model m;
    assert_int_equal(open_model(&m, kind, v, n, k), status);
    if (!strstr(m.err.msg, part)) fail_msg("'%s' lacks '%s'", m.err.msg, part);
    close_model(&m);
}

static const char *ids_n(model *m, const char *text, size_t len, unsigned flags)
{
    static char buf[4096];
    st_tokens out = {.mem = &m->mem};
    if (st_tokenizer_encode(m->t, text, len, flags, &out, &m->err)) fail_msg("%s", m->err.msg);
    size_t n = 0;
    buf[0] = 0;
    for (size_t i = 0; i < out.n && n < sizeof buf - 16; i++)
        n += (size_t)snprintf(buf + n, sizeof buf - n, "%s%d", i ? " " : "", out.ids[i]);
    st_tokens_free(&out);
    return buf;
}

static const char *ids(model *m, const char *text, unsigned flags)
{
    return ids_n(m, text, strlen(text), flags);
}

static const char *spans(model *m, const char *text)
{
    static char buf[4096];
    st_tokens out = {.mem = &m->mem, .want_spans = true};
    if (st_tokenizer_encode(m->t, text, strlen(text), 0, &out, &m->err)) fail_msg("%s", m->err.msg);
    size_t n = 0;
    buf[0] = 0;
    for (size_t i = 0; i < out.n; i++)
        n += (size_t)snprintf(buf + n, sizeof buf - n, "%s%zu-%zu", i ? " " : "", out.spans[i].begin, out.spans[i].end);
    st_tokens_free(&out);
    return buf;
}

static const char *text_of(model *m, const int32_t *id, size_t n)
{
    static char buf[1024];
    size_t len = 0;
    if (st_tokenizer_decode(m->t, id, n, buf, sizeof buf - 1, &len, &m->err)) fail_msg("%s", m->err.msg);
    assert_true(len < sizeof buf);
    buf[len] = 0;
    return buf;
}
#define TEXT(m, ...) text_of(m, (const int32_t[]){__VA_ARGS__}, N(((const int32_t[]){__VA_ARGS__})))

#define NEXT (seed = seed * 6364136223846793005u + 1442695040888963407u, (size_t)(seed >> 33)) /* a random number */

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static size_t allocs_left;
static void *failing_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    if (!allocs_left) return NULL;
    allocs_left--;
    void *p = NULL;
    return posix_memalign(&p, align, size) ? NULL : p;
}
static void failing_free(void *user, void *p)
{
    (void)user;
    free(p);
}

/* Opens the file, encodes and decodes with the n-th allocation failing, for every n. */
static void fail_every_allocation(model *m)
{
    char text[600] = " \xff ab<s>e\xcc\x81 <x>A";
    memset(text + strlen(text), 'a', 500);
    static const int32_t some[] = {0, 4, 5};
    strata_allocator a = {failing_alloc, failing_free, NULL};
    bool done = false;
    for (size_t n = 0; n < 1000 && !done; n++) {
        st_mem mem;
        st_mem_init(&mem, &a, 0);
        st_tokenizer *t = NULL;
        st_tokens out = {.mem = &mem, .want_spans = true};
        char buf[64];
        size_t len;
        strata_error err = {0};
        allocs_left = n;
        int rc = st_tokenizer_open(&m->g, NULL, NULL, &mem, &t, &err);
        if (!rc) rc = st_tokenizer_encode(t, text, strlen(text), 7, &out, &err);
        if (!rc) rc = st_tokenizer_decode(t, some, N(some), buf, sizeof buf, &len, &err);
        if (rc) {
            assert_int_equal(rc, STRATA_NO_MEMORY);
            assert_true(err.msg[0]);
            assert_int_equal(out.n, 0);
        }
        st_tokens_free(&out);
        st_tokenizer_close(t);
        assert_int_equal(mem.used, 0);
        done = !rc;
    }
    assert_true(done);
}

#endif
