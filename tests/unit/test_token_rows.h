/* test_token_rows.h: what the tests of reference ids share: vocabularies, binary rows, comparing one encode. */
#ifndef TEST_TOKEN_ROWS_H
#define TEST_TOKEN_ROWS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* popen */
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/os/file.h"
#include "convert/gguf_write.h"
#include "token/token.h"

typedef enum kind { OTHER, SPM, BPE } kind;

typedef struct bytes {
    uint8_t *p;
    size_t n, cap;
} bytes;

typedef struct list {
    int32_t *p;
    size_t n;
} list;

typedef struct cursor {
    const uint8_t *p, *end;
} cursor;

static bytes read_all(FILE *f)
{
    bytes b = {0};
    for (;;) {
        if (b.n == b.cap) b.p = realloc(b.p, b.cap = b.cap ? b.cap * 2 : 1 << 20);
        assert_non_null(b.p);
        size_t got = fread(b.p + b.n, 1, b.cap - b.n, f);
        if (!got) return b;
        b.n += got;
    }
}

static size_t varint(cursor *c)
{
    size_t v = 0;
    for (int shift = 0; c->p < c->end; shift += 7) {
        uint8_t b = *c->p++;
        v |= (size_t)(b & 127) << shift;
        if (b < 128) return v;
    }
    fail_msg("the rows are cut short");
    return 0;
}

static st_str blob(cursor *c)
{
    size_t n = varint(c);
    assert_true(n <= (size_t)(c->end - c->p));
    st_str s = {(const char *)c->p, n};
    c->p += n;
    return s;
}

/* Byte-level BPE spells what a span holds in its alphabet. Letters and digits stand for themselves there: these
 * agree. */
static bool bytes_fit(st_str piece, const char *p, size_t n)
{
    for (size_t i = 0; i < piece.len; i++)
        if ((uint8_t)piece.ptr[i] >= 0x80) return true; /* not so simple: encode's tests have these */
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)p[i] >= 0x80) return true; /* may be composed to ASCII: U+212A */
    return piece.len == n && memcmp(piece.ptr, p, n) == 0;
}

/* Spans lie in the text, in order, and where they are not empty their bytes and the piece agree (SentencePiece;
 * WordPiece changes letters). */
static bool spans_fit(const st_tokenizer *t, st_str text, const st_tokens *got, kind kind)
{
    size_t last = 0;
    for (size_t i = 0; i < got->n; i++) {
        strata_span s = got->spans[i];
        if (s.begin > s.end || s.end > text.len || s.begin < last) return false;
        last = s.begin;
        if (kind == BPE && s.begin < s.end &&
            !bytes_fit(st_tokenizer_piece(t, got->ids[i]), text.ptr + s.begin, s.end - s.begin))
            return false;
        int type = st_tokenizer_type(t, got->ids[i]);
        if (kind != SPM || type == ST_TOKEN_BYTE || type == ST_TOKEN_UNKNOWN || type == ST_TOKEN_CONTROL) continue;
        st_str piece = st_tokenizer_piece(t, got->ids[i]);
        size_t k = piece.len, e = s.end; /* backwards, since a space may stand before the first piece of a fragment */
        while (k && e > s.begin) {
            bool wide = k >= 3 && memcmp(piece.ptr + k - 3, "\xe2\x96\x81", 3) == 0;
            if (wide && text.ptr[e - 1] == ' ')
                k -= 3, e--;
            else if (piece.ptr[k - 1] == ' ' && (uint8_t)text.ptr[e - 1] == 0x81)
                k--, e -= 3;
            else if (piece.ptr[k - 1] == text.ptr[e - 1])
                k--, e--;
            else
                return false;
        }
        if (e != s.begin || (k && !(k == 3 && memcmp(piece.ptr, "\xe2\x96\x81", 3) == 0))) return false;
    }
    return true;
}

static int check_ids(const st_tokenizer *t, const char *what, st_str id, st_str text, unsigned flags, const list *want,
                     bool valid, kind kind, st_mem *mem)
{
    strata_error err = {0};
    st_tokens got = {.mem = mem, .want_spans = true}, plain = {.mem = mem};
    int rc = st_tokenizer_encode(t, text.ptr, text.len, flags, &got, &err), bad = 1;
    assert_int_equal(rc, 0);
    assert_int_equal(st_tokenizer_encode(t, text.ptr, text.len, flags, &plain, &err), 0);
    if (plain.n != got.n || (got.n && memcmp(plain.ids, got.ids, got.n * sizeof *got.ids) != 0))
        print_error("%.*s %s: other ids with spans\n", ST_STR(id), what);
    else if (got.n != want->n || (got.n && memcmp(got.ids, want->p, got.n * sizeof *got.ids) != 0))
        print_error("%.*s %s: %zu ids, want %zu\n", ST_STR(id), what, got.n, want->n);
    else if (valid && !spans_fit(t, text, &got, kind))
        print_error("%.*s %s: wrong spans\n", ST_STR(id), what);
    else
        bad = 0;
    st_tokens_free(&got);
    st_tokens_free(&plain);
    return bad;
}

/* A vocabulary in memory. */
typedef struct vocab {
    st_mem mem;
    st_file file;
    uint8_t *copy;
    st_gguf g;
    st_tokenizer *t;
    kind kind;
} vocab;

/* pre: replaces tokenizer.ggml.pre, and with add_bos the key add_bos_token; NULL: the file as it is. */
static void open_vocab(vocab *v, const char *path, const char *pre, bool add_bos)
{
    strata_error err = {0};
    *v = (vocab){0};
    st_mem_init(&v->mem, NULL, 0);
    assert_int_equal(st_file_open(&v->file, path, false, &v->mem, &err), 0);
    if (st_gguf_parse(&v->g, v->file.data, v->file.size, path, true, &v->mem, &err)) fail_msg("%s", err.msg);
    if (pre) {
        st_gguf_writer *w;
        size_t n;
        assert_int_equal(st_gguf_writer_open(&v->mem, &w, NULL), 0);
        for (size_t i = 0; i < v->g.n_kv; i++) {
            const st_gguf_kv *kv = &v->g.kv[i];
            int rc = st_str_eq(kv->key, "tokenizer.ggml.pre")
                         ? st_gguf_put_str(w, "tokenizer.ggml.pre", pre, strlen(pre), NULL)
                     : st_str_eq(kv->key, "tokenizer.ggml.add_bos_token")
                         ? st_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", add_bos, NULL)
                         : st_gguf_put_kv(w, kv, NULL);
            assert_int_equal(rc, 0);
        }
        assert_int_equal(st_gguf_writer_finish(w, &v->copy, &n, NULL), 0);
        st_gguf_writer_close(w);
        st_gguf_free(&v->g);
        assert_int_equal(st_gguf_parse(&v->g, v->copy, n, path, true, &v->mem, &err), 0);
    }
    if (st_tokenizer_open(&v->g, NULL, NULL, &v->mem, &v->t, &err)) fail_msg("%s", err.msg);
    st_str model;
    assert_int_equal(st_gguf_str(&v->g, "tokenizer.ggml.model", &model, &err), 0);
    v->kind = st_str_eq(model, "llama") ? SPM : st_str_eq(model, "gpt2") ? BPE : OTHER;
}

static void close_vocab(vocab *v)
{
    st_tokenizer_close(v->t);
    st_gguf_free(&v->g);
    st_free(&v->mem, v->copy);
    st_file_close(&v->file);
    assert_int_equal(v->mem.used, 0);
}

static const unsigned FLAGS[4] = {0, STRATA_TOKENIZE_ADD_SPECIAL, STRATA_TOKENIZE_PARSE_SPECIAL,
                                  STRATA_TOKENIZE_ADD_SPECIAL | STRATA_TOKENIZE_PARSE_SPECIAL};
static const char *const WHAT[4] = {"ids", "ids_special", "ids_parse", "ids_special_parse"};

static void missing(const char *what)
{
    const char *ci = getenv("CI");
    if (ci && strcmp(ci, "true") == 0) fail_msg("%s is missing", what);
    print_message("SKIPPED: %s is missing\n", what);
    skip();
}

#endif
