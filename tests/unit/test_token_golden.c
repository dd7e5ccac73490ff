/* test_token_golden.c: token ids and texts against the references of goldens/tok, row by row, without one difference.
 *
 * Three vocabularies are ours and committed with a part of their rows (tests/data/tok). All rows of all vocabularies
 * run where the shared material and python3 exist: STRATA_SHARED (default ../shared) and STRATA_TEST_MODELS (default
 * ~/.cache/strata-test-models). What is missing is skipped aloud, unless CI=true: then it fails. */
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

#include "base/file.h"
#include "gguf/gguf.h"
#include "token/token.h"

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

/* See make_rows.py. */
static list read_list(cursor *c, const list *base)
{
    list l;
    if (varint(c)) {
        size_t front = varint(c), back = varint(c), k = 0;
        l.n = base->n + (front > 0) + (back > 0);
        l.p = malloc((l.n + 1) * sizeof *l.p);
        if (front) l.p[k++] = (int32_t)front - 1;
        if (base->n) memcpy(l.p + k, base->p, base->n * sizeof *l.p);
        if (back) l.p[l.n - 1] = (int32_t)back - 1;
        return l;
    }
    l.n = varint(c);
    l.p = malloc((l.n + 1) * sizeof *l.p);
    for (size_t i = 0; i < l.n; i++) l.p[i] = (int32_t)varint(c);
    return l;
}

/* Spans lie in the text, in order, and where they are not empty their bytes and the piece agree (SentencePiece;
 * WordPiece changes letters). */
static bool spans_fit(const st_tokenizer *t, st_str text, const st_tokens *got, bool spm)
{
    size_t last = 0;
    for (size_t i = 0; i < got->n; i++) {
        strata_span s = got->spans[i];
        if (s.begin > s.end || s.end > text.len || s.begin < last) return false;
        last = s.begin;
        int type = st_tokenizer_type(t, got->ids[i]);
        if (!spm || type == ST_TOKEN_BYTE || type == ST_TOKEN_UNKNOWN || type == ST_TOKEN_CONTROL) continue;
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
                     bool valid, bool spm, st_mem *mem)
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
    else if (valid && !spans_fit(t, text, &got, spm))
        print_error("%.*s %s: wrong spans\n", ST_STR(id), what);
    else
        bad = 0;
    st_tokens_free(&got);
    st_tokens_free(&plain);
    return bad;
}

static int check_decoded(const st_tokenizer *t, st_str id, const list *ids, st_str want)
{
    strata_error err = {0};
    size_t len = 0, cap = want.len + 16;
    char *buf = malloc(cap);
    assert_int_equal(st_tokenizer_decode(t, ids->p, ids->n, buf, cap, &len, &err), 0);
    int bad = len != want.len || memcmp(buf, want.ptr, len) != 0;
    if (bad)
        print_error("%.*s decoded: '%.*s', want '%.*s'\n", ST_STR(id), (int)(len < 60 ? len : 60), buf, ST_STR(want));
    free(buf);
    return bad;
}

static void run_rows(const char *name, const char *gguf_path, bytes rows)
{
    strata_error err = {0};
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_file file;
    st_gguf g;
    st_tokenizer *t;
    assert_int_equal(st_file_open(&file, gguf_path, false, &mem, &err), 0);
    assert_int_equal(st_gguf_parse(&g, file.data, file.size, gguf_path, true, &mem, &err), 0);
    if (st_tokenizer_open(&g, NULL, &mem, &t, &err)) fail_msg("%s", err.msg);
    st_str model;
    assert_int_equal(st_gguf_str(&g, "tokenizer.ggml.model", &model, &err), 0);
    bool spm = st_str_eq(model, "llama");
    assert_true(rows.n >= 8 && memcmp(rows.p, "STROWS1\n", 8) == 0);
    cursor c = {rows.p + 8, rows.p + rows.n};
    size_t n = 0, differ = 0;
    while (c.p < c.end) {
        static const unsigned FLAGS[4] = {0, STRATA_TOKENIZE_ADD_SPECIAL, STRATA_TOKENIZE_PARSE_SPECIAL,
                                          STRATA_TOKENIZE_ADD_SPECIAL | STRATA_TOKENIZE_PARSE_SPECIAL};
        static const char *const WHAT[4] = {"ids", "ids_special", "ids_parse", "ids_special_parse"};
        st_str id = blob(&c), text = blob(&c);
        size_t flags = varint(&c);
        st_str decoded = flags & 2 ? text : blob(&c);
        list l[4];
        l[0] = read_list(&c, NULL);
        l[1] = read_list(&c, &l[0]);
        l[2] = read_list(&c, &l[0]);
        l[3] = read_list(&c, &l[2]);
        int bad = 0;
        unsigned lossy = flags & 1 ? STRATA_TOKENIZE_LOSSY : 0;
        for (int i = 0; i < 4; i++) {
            bad |= check_ids(t, WHAT[i], id, text, FLAGS[i] | lossy, &l[i], !lossy, spm, &mem);
        }
        if (lossy) { /* and without LOSSY it is refused */
            st_tokens none = {.mem = &mem};
            assert_int_equal(st_tokenizer_encode(t, text.ptr, text.len, 0, &none, &err), STRATA_INVALID_ARG);
        }
        bad |= check_decoded(t, id, &l[0], decoded);
        for (int i = 0; i < 4; i++) free(l[i].p);
        n++;
        differ += (size_t)bad;
    }
    print_message("%-16s %5zu rows checked, %zu differ\n", name, n, differ);
    st_tokenizer_close(t);
    st_gguf_free(&g);
    st_file_close(&file);
    assert_int_equal(mem.used, 0);
    free(rows.p);
    assert_true(n > 0);
    assert_int_equal(differ, 0);
}

static void committed(void **state)
{
    const char *name = *state;
    char path[1024], gguf[1024];
    snprintf(path, sizeof path, "%s/tests/data/tok/%s.rows", STRATA_SOURCE_DIR, name);
    snprintf(gguf, sizeof gguf, "%s/tests/data/tok/%s.gguf", STRATA_SOURCE_DIR, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    bytes rows = read_all(f);
    fclose(f);
    run_rows(name, gguf, rows);
}

static void missing(const char *what)
{
    const char *ci = getenv("CI");
    if (ci && strcmp(ci, "true") == 0) fail_msg("%s is missing", what);
    print_message("SKIPPED: %s is missing\n", what);
    skip();
}

static void shared(void **state)
{
    const char *name = ((const char **)*state)[0], *model = ((const char **)*state)[1];
    const char *dir = getenv("STRATA_SHARED"), *models = getenv("STRATA_TEST_MODELS"), *home = getenv("HOME");
    char base[900], golden[1024], gguf[1024], command[3000];
    snprintf(base, sizeof base, "%s", dir ? dir : STRATA_SOURCE_DIR "/../shared");
    snprintf(golden, sizeof golden, "%s/goldens/tok/%s.jsonl.gz", base, name);
    if (!model)
        snprintf(gguf, sizeof gguf, "%s/goldens/tok/%s.gguf", base, name);
    else if (models)
        snprintf(gguf, sizeof gguf, "%s/%s", models, model);
    else
        snprintf(gguf, sizeof gguf, "%s/.cache/strata-test-models/%s", home ? home : "", model);
    if (access(golden, R_OK) != 0) missing(golden);
    if (access(gguf, R_OK) != 0) missing(gguf);
    if (system("python3 -c '' 2>/dev/null") != 0) missing("python3");
    snprintf(command, sizeof command, "python3 '%s/tests/data/tok/make_rows.py' '%s' -", STRATA_SOURCE_DIR, golden);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    bytes rows = read_all(f);
    assert_int_equal(pclose(f), 0);
    run_rows(name, gguf, rows);
}

#define COMMITTED(n)                             \
    {                                            \
        "committed " n, committed, NULL, NULL, n \
    }
#define SHARED(n, m)                                              \
    {                                                             \
        "shared " n, shared, NULL, NULL, (void *)(const char *[]) \
        {                                                         \
            n, m                                                  \
        }                                                         \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        COMMITTED("spm4k"),
        COMMITTED("spm2k-ud"),
        COMMITTED("wp3k-cased"),
        SHARED("spm4k", NULL),
        SHARED("spm2k-ud", NULL),
        SHARED("wp3k-cased", NULL),
        SHARED("llama-spm", NULL),
        SHARED("phi-3", NULL),
        SHARED("bert-bge", NULL),
        SHARED("minilm", "all-minilm-l6-v2-q8_0.gguf"),
        SHARED("embeddinggemma", "embeddinggemma-300m-q8_0.gguf"),
        SHARED("gemma3-270m", "gemma-3-270m-q4_k_m.gguf"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
