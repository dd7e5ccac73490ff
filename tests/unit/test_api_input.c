/* test_api_input.c: every bad argument, text and id is refused with a message that says what is wrong. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkfifo, mkdtemp */
#endif
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/test_api.h"

enum { DIMS = 64, CTX = 256 };

typedef struct fixture {
    strata_model *m;
    strata_ctx *c;
    float v[8 * DIMS];
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->m = open_model("bert-q8_0", NULL);
    f->c = open_ctx(f->m, 1, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    strata_ctx_close(f->c);
    strata_model_close(f->m);
    free(f);
    return 0;
}

static void ignore(void *user, const char *text, size_t len)
{
    (void)user, (void)text, (void)len;
}

static void test_null(void **state)
{
    fixture *f = *state;
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    strata_text t = text_of("x");
    int32_t id = 1;
    size_t n, k;
    int first;
    const char *piece;
    char buf[8];
    FAILS(strata_model_open(NULL, NULL, &m, err), STRATA_INVALID_ARG, "path is NULL");
    FAILS(strata_model_open(tiny("bert"), NULL, NULL, err), STRATA_INVALID_ARG, "out is NULL");
    FAILS(strata_model_open_buffer(NULL, 5, "x", NULL, &m, err), STRATA_INVALID_ARG, "data is NULL");
    FAILS(strata_model_open_buffer("x", 1, "x", NULL, NULL, err), STRATA_INVALID_ARG, "out is NULL");
    FAILS(strata_ctx_open(NULL, NULL, &c, err), STRATA_INVALID_ARG, "m is NULL");
    FAILS(strata_ctx_open(f->m, NULL, NULL, err), STRATA_INVALID_ARG, "out is NULL");
    FAILS(strata_model_print_plan(NULL, ignore, NULL, err), STRATA_INVALID_ARG, "m is NULL");
    FAILS(strata_model_print_plan(f->m, NULL, NULL, err), STRATA_INVALID_ARG, "write is NULL");
    FAILS(strata_tokenize(NULL, "x", 1, 0, &id, NULL, 1, &n, err), STRATA_INVALID_ARG, "m is NULL");
    FAILS(strata_tokenize(f->m, NULL, 1, 0, &id, NULL, 1, &n, err), STRATA_INVALID_ARG, "text is NULL");
    FAILS(strata_tokenize(f->m, "x", 1, 0, NULL, NULL, 1, &n, err), STRATA_INVALID_ARG, "ids is NULL");
    FAILS(strata_tokenize(f->m, "x", 1, 0, &id, NULL, 1, NULL, err), STRATA_INVALID_ARG, "n is NULL");
    FAILS(strata_detokenize(NULL, &id, 1, buf, 8, &n, err), STRATA_INVALID_ARG, "m is NULL");
    FAILS(strata_detokenize(f->m, NULL, 1, buf, 8, &n, err), STRATA_INVALID_ARG, "ids is NULL");
    FAILS(strata_detokenize(f->m, &id, 1, NULL, 8, &n, err), STRATA_INVALID_ARG, "text is NULL");
    FAILS(strata_detokenize(f->m, &id, 1, buf, 8, NULL, err), STRATA_INVALID_ARG, "len is NULL");
    FAILS(strata_token_piece(NULL, 1, &piece, &n, err), STRATA_INVALID_ARG, "m is NULL");
    FAILS(strata_token_piece(f->m, 1, NULL, &n, err), STRATA_INVALID_ARG, "piece is NULL");
    FAILS(strata_token_piece(f->m, 1, &piece, NULL, err), STRATA_INVALID_ARG, "len is NULL");
    FAILS(strata_embed(NULL, &t, 1, NULL, f->v, DIMS, NULL, err), STRATA_INVALID_ARG, "c is NULL");
    FAILS(strata_embed(f->c, NULL, 1, NULL, f->v, DIMS, NULL, err), STRATA_INVALID_ARG, "NULL");
    FAILS(strata_embed(f->c, &t, 1, NULL, NULL, DIMS, NULL, err), STRATA_INVALID_ARG, "NULL");
    FAILS(strata_embed_tokens(NULL, "x", 1, NULL, f->v, 8, &n, NULL, err), STRATA_INVALID_ARG, "c is NULL");
    FAILS(strata_embed_tokens(f->c, NULL, 1, NULL, f->v, 8, &n, NULL, err), STRATA_INVALID_ARG, "NULL");
    FAILS(strata_embed_tokens(f->c, "x", 1, NULL, NULL, 8, &n, NULL, err), STRATA_INVALID_ARG, "NULL");
    FAILS(strata_embed_tokens(f->c, "x", 1, NULL, f->v, 8, NULL, NULL, err), STRATA_INVALID_ARG, "n_rows is NULL");
    FAILS(strata_eval(NULL, &id, NULL, 1, 1, 0, f->v, DIMS, &n, &k, err), STRATA_INVALID_ARG, "c is NULL");
    FAILS(strata_eval(f->c, NULL, NULL, 1, 1, 0, f->v, DIMS, &n, &k, err), STRATA_INVALID_ARG, "NULL");
    FAILS(strata_eval(f->c, &id, NULL, 1, 1, 0, NULL, DIMS, &n, &k, err), STRATA_INVALID_ARG, "NULL");
    FAILS(strata_eval(f->c, &id, NULL, 1, 1, 0, f->v, DIMS, NULL, &k, err), STRATA_INVALID_ARG, "rows is NULL");
    FAILS(strata_eval(f->c, &id, NULL, 1, 1, 0, f->v, DIMS, &n, NULL, err), STRATA_INVALID_ARG, "cols is NULL");
    FAILS(strata_model_diff(NULL, NULL, &id, 1, 0, ignore, NULL, &first, err), STRATA_INVALID_ARG, "m is NULL");
    FAILS(strata_model_diff(f->m, NULL, NULL, 1, 0, ignore, NULL, &first, err), STRATA_INVALID_ARG, "ids is NULL");
    FAILS(strata_model_diff(f->m, NULL, &id, 1, 0, NULL, NULL, &first, err), STRATA_INVALID_ARG, "write is NULL");
    FAILS(strata_model_diff(f->m, NULL, &id, 1, 0, ignore, NULL, NULL, err), STRATA_INVALID_ARG, "first is NULL");
    strata_allocator none = {0};
    FAILS(strata_model_open(tiny("bert"), &(strata_model_opts){.allocator = &none}, &m, err), STRATA_INVALID_ARG,
          "allocator");
    assert_int_equal(strata_embed_dims(NULL, NULL, NULL), 0);
    assert_null(m);
    assert_null(c);
    /* These take NULL. */
    strata_model_close(NULL);
    strata_ctx_close(NULL);
    assert_int_equal(strata_ctx_threads(NULL), 0);
    assert_int_equal(strata_model_get_type(NULL, 0, &piece, NULL, NULL), 0);
    assert_int_equal(strata_embed(f->c, NULL, 0, NULL, NULL, DIMS, NULL, NULL), STRATA_OK);
    assert_int_equal(strata_tokenize(f->m, NULL, 0, 0, NULL, NULL, 0, &n, NULL), STRATA_OK);
    /* An error that nobody wants is still a status. */
    assert_int_equal(strata_model_open("/nowhere", NULL, &m, NULL), STRATA_IO);
}

static void test_options(void **state)
{
    fixture *f = *state;
    strata_text t = text_of("x");
#define REFUSED(status, needle, ...) \
    FAILS(strata_embed(f->c, &t, 1, &(strata_embed_opts){__VA_ARGS__}, f->v, DIMS, NULL, err), status, needle)
    REFUSED(STRATA_INVALID_ARG, "role: no such value as 3", .role = 3);
    REFUSED(STRATA_INVALID_ARG, "role", .role = -1);
    REFUSED(STRATA_INVALID_ARG, "normalize: no such value as 2", .normalize = 2);
    REFUSED(STRATA_INVALID_ARG, "truncate: no such value as 3", .truncate = 3);
    REFUSED(STRATA_INVALID_ARG, "truncate", .truncate = -1);
    REFUSED(STRATA_INVALID_ARG, "pooling: no such value as 6", .pooling = 6);
    REFUSED(STRATA_INVALID_ARG, "pooling: no such value as -1", .pooling = -1);
    REFUSED(STRATA_INVALID_ARG, "strata_embed_tokens", .pooling = STRATA_POOLING_NONE);
    REFUSED(STRATA_UNSUPPORTED_OP, "no classification head", .pooling = STRATA_POOLING_RANK);
    REFUSED(STRATA_INVALID_ARG, "deadline_ms", .deadline_ms = -1);
    REFUSED(STRATA_INVALID_ARG, "deadline_ms", .deadline_ms = (double)NAN);
    REFUSED(STRATA_INVALID_ARG, "dims: 65, but the model has 64", .dims = 65);
    REFUSED(STRATA_UNSUPPORTED_OP, "Matryoshka", .dims = 32);
#undef REFUSED
    FAILS(strata_embed(f->c, &t, 1, NULL, f->v, DIMS - 1, NULL, err), STRATA_INVALID_ARG,
          "stride: 63, want at least the 64");
    strata_ctx *c = NULL;
    FAILS(strata_ctx_open(f->m, &(strata_ctx_opts){.precision = 7}, &c, err), STRATA_INVALID_ARG,
          "precision: no such value as 7");
    FAILS(strata_ctx_open(f->m, &(strata_ctx_opts){.precision = -1}, &c, err), STRATA_INVALID_ARG, "precision");
    FAILS(strata_ctx_open(f->m, &(strata_ctx_opts){.n_threads = 100000}, &c, err), STRATA_INVALID_ARG,
          "threads: 100000");
    assert_null(c);
    strata_model *m = NULL;
    FAILS(strata_model_open(tiny("bert"), &(strata_model_opts){.cpu = "pentium"}, &m, err), STRATA_INVALID_ARG,
          "pentium");
    assert_null(m);
    /* A decoder has no pooling of its own. */
    m = open_model("llama-q8_0", NULL);
    c = open_ctx(m, 1, 0);
    float v[256];
    FAILS(strata_embed(c, &t, 1, NULL, v, 256, NULL, err), STRATA_UNSUPPORTED_OP, "ask for mean, cls or last");
    OK(strata_embed(c, &t, 1, &(strata_embed_opts){.pooling = STRATA_POOLING_MEAN}, v, 256, NULL, err));
    strata_ctx_close(c);
    strata_model_close(m);
}

static void test_eval_input(void **state)
{
    fixture *f = *state;
    int32_t ids[CTX + 1] = {1, 2, 3};
    int32_t types[3] = {0, 1, 1};
    size_t rows = 0, cols = 0, cap = sizeof f->v / sizeof *f->v;
#define EVAL(ids, types, n, what, pooling, cap) \
    strata_eval(f->c, ids, types, n, what, pooling, f->v, cap, &rows, &cols, err)
    OK(EVAL(ids, types, 3, STRATA_EVAL_HIDDEN, 0, cap));
    assert_int_equal(rows, 3);
    assert_int_equal(cols, DIMS);
    FAILS(EVAL(ids, NULL, 0, STRATA_EVAL_HIDDEN, 0, cap), STRATA_EMPTY_PROMPT, "no ids");
    FAILS(EVAL(ids, NULL, CTX + 1, STRATA_EVAL_HIDDEN, 0, cap), STRATA_TOO_LONG,
          "257 ids, the model's context has 256");
    FAILS(EVAL(ids, NULL, 3, STRATA_EVAL_LOGITS, 0, cap), STRATA_UNSUPPORTED_OP, "no output head");
    FAILS(EVAL(ids, NULL, 3, 3, 0, cap), STRATA_INVALID_ARG, "what: no such value as 3");
    FAILS(EVAL(ids, NULL, 3, -1, 0, cap), STRATA_INVALID_ARG, "what");
    FAILS(EVAL(ids, NULL, 3, STRATA_EVAL_POOLED, 9, cap), STRATA_INVALID_ARG, "pooling: no such value as 9");
    FAILS(EVAL(ids, NULL, 3, STRATA_EVAL_POOLED, STRATA_POOLING_RANK, cap), STRATA_UNSUPPORTED_OP,
          "no classification head");
    FAILS(EVAL(ids, NULL, 3, STRATA_EVAL_HIDDEN, 0, 3 * DIMS - 1), STRATA_TOO_LONG, "want 3 x 64");
    assert_int_equal(rows, 3);
    assert_int_equal(cols, DIMS);
    ids[1] = 320;
    FAILS(EVAL(ids, NULL, 3, STRATA_EVAL_HIDDEN, 0, cap), STRATA_INVALID_ARG, "id 320 at 1: the vocabulary has 0..319");
    ids[1] = -1;
    FAILS(EVAL(ids, NULL, 3, STRATA_EVAL_HIDDEN, 0, cap), STRATA_INVALID_ARG, "id -1 at 1");
    int first;
    FAILS(strata_model_diff(f->m, NULL, ids, 3, 0, ignore, NULL, &first, err), STRATA_INVALID_ARG, "id -1 at 1");
    ids[1] = 5;
    types[2] = 2;
    FAILS(EVAL(ids, types, 3, STRATA_EVAL_HIDDEN, 0, cap), STRATA_INVALID_ARG, "token type 2 at 2: the model has 0..1");
    types[2] = -1;
    FAILS(EVAL(ids, types, 3, STRATA_EVAL_HIDDEN, 0, cap), STRATA_INVALID_ARG, "token type -1 at 2");
    FAILS(strata_model_diff(f->m, NULL, ids, 0, 0, ignore, NULL, &first, err), STRATA_EMPTY_PROMPT, "no ids");
    FAILS(strata_model_diff(f->m, NULL, ids, CTX + 1, 0, ignore, NULL, &first, err), STRATA_TOO_LONG, "257 ids");
    FAILS(strata_model_diff(f->m, "nope", ids, 3, 0, ignore, NULL, &first, err), STRATA_INVALID_ARG, "nope");
#undef EVAL
    /* A full context, and one id. */
    float *v = malloc(CTX * DIMS * sizeof *v), one[DIMS];
    for (int i = 0; i < CTX; i++) ids[i] = i;
    OK(strata_eval(f->c, ids, NULL, CTX, STRATA_EVAL_HIDDEN, 0, v, CTX * DIMS, &rows, &cols, err));
    OK(strata_eval(f->c, ids, NULL, 1, STRATA_EVAL_HIDDEN, 0, one, DIMS, &rows, &cols, err));
    free(v);
}

static void test_vocabulary_input(void **state)
{
    fixture *f = *state;
    const char *piece;
    size_t n;
    int32_t ids[16] = {2, 400};
    char text[16];
    FAILS(strata_token_piece(f->m, 320, &piece, &n, err), STRATA_INVALID_ARG, "id 320");
    FAILS(strata_token_piece(f->m, -1, &piece, &n, err), STRATA_INVALID_ARG, "id -1");
    OK(strata_token_piece(f->m, 2, &piece, &n, err));
    assert_memory_equal(piece, "</s>", n);
    FAILS(strata_detokenize(f->m, ids, 2, text, 16, &n, err), STRATA_INVALID_ARG, "400");
    FAILS(strata_tokenize(f->m, "hello", 5, 0, ids, NULL, 4, &n, err), STRATA_TOO_LONG,
          "room for 4 ids, the text has 8");
    assert_int_equal(n, 8);
    /* Too much text is no matter of room: another error, before a byte is read, and n is left alone. */
    size_t limit = (size_t)1 << 30;
    strata_text_part parts[2] = {{"hello", 5, 1}, {"hello", limit - 4, 0}};
    FAILS(strata_tokenize(f->m, "hello", limit + 1, 0, ids, NULL, 16, &n, err), STRATA_INVALID_ARG, "1073741825 bytes");
    FAILS(strata_tokenize_parts(f->m, parts, 2, 0, ids, NULL, 16, &n, err), STRATA_INVALID_ARG, "1073741824 bytes");
    assert_int_equal(n, 8);
    OK(strata_tokenize(f->m, "hello", 5, 0, NULL, NULL, 0, &n, err));
    assert_int_equal(n, 8);
    OK(strata_tokenize(f->m, "hello", 5, 0, ids, NULL, 16, &n, err));
    FAILS(strata_detokenize(f->m, ids, 8, text, 4, &n, err), STRATA_TOO_LONG, "room for 4 bytes");
    OK(strata_detokenize(f->m, ids, 8, text, 16, &n, err));
    assert_int_equal(n, 8); /* byte tokens spell the space mark, which then stays as it is */
    assert_memory_equal(text, "\xe2\x96\x81hello", 8);
}

/* ---- files ---- */

static void test_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/strata-test-XXXXXX", path[64];
    strata_model *m = NULL;
    assert_non_null(mkdtemp(dir));
    for (int no_mmap = 0; no_mmap < 2; no_mmap++) {
        strata_model_opts o = {.no_mmap = no_mmap};
        snprintf(path, sizeof path, "%s/absent.gguf", dir);
        FAILS(strata_model_open(path, &o, &m, err), STRATA_IO, "absent.gguf: cannot open");
        FAILS(strata_model_open(dir, &o, &m, err), STRATA_IO, "is a directory");
        FAILS(strata_model_open("", &o, &m, err), STRATA_IO, "cannot open");
        snprintf(path, sizeof path, "%s/fifo", dir);
        assert_int_equal(mkfifo(path, 0600), 0);
        FAILS(strata_model_open(path, &o, &m, err), STRATA_IO, "fifo: is not a regular file");
        unlink(path);
        snprintf(path, sizeof path, "%s/empty.gguf", dir);
        FILE *f = fopen(path, "wb");
        fclose(f);
        FAILS(strata_model_open(path, &o, &m, err), STRATA_NOT_GGUF, "empty.gguf");
        f = fopen(path, "wb");
        fputs("this is no model, but some text", f);
        fclose(f);
        FAILS(strata_model_open(path, &o, &m, err), STRATA_NOT_GGUF, "empty.gguf");
        unlink(path);
    }
    rmdir(dir);
    FAILS(strata_model_open_buffer("", 0, "nothing", NULL, &m, err), STRATA_NOT_GGUF, "nothing");
    FAILS(strata_model_open_buffer("GGU", 3, NULL, NULL, &m, err), STRATA_NOT_GGUF, "(memory)");
    assert_null(m);
}

static void test_vocab_only(void **state)
{
    fixture *f = *state;
    strata_model *m = open_model("bert-q8_0", &(strata_model_opts){.vocab_only = 1});
    strata_model_info info;
    strata_model_get_info(m, &info);
    assert_int_equal(info.vocab_only, 1);
    assert_int_equal(info.n_vocab, 320);
    assert_int_equal(info.n_layer, 0);
    assert_string_equal(info.arch, "bert");
    assert_string_equal(info.tokenizer, "llama");
    int32_t a[64], b[64], id = 1;
    size_t n, k;
    OK(strata_tokenize(m, "some words", 10, STRATA_TOKENIZE_ADD_SPECIAL, a, NULL, 64, &n, err));
    OK(strata_tokenize(f->m, "some words", 10, STRATA_TOKENIZE_ADD_SPECIAL, b, NULL, 64, &k, err));
    assert_int_equal(n, k);
    assert_memory_equal(a, b, n * sizeof *a);
    strata_ctx *c = NULL;
    int first;
    FAILS(strata_ctx_open(m, NULL, &c, err), STRATA_UNSUPPORTED_OP, "vocabulary only");
    FAILS(strata_model_print_plan(m, ignore, NULL, err), STRATA_UNSUPPORTED_OP, "vocabulary only");
    FAILS(strata_model_diff(m, NULL, &id, 1, 0, ignore, NULL, &first, err), STRATA_UNSUPPORTED_OP, "vocabulary only");
    strata_error e = {0};
    assert_int_equal(strata_embed_dims(m, NULL, &e), 0);
    assert_int_equal(e.code, STRATA_UNSUPPORTED_OP);
    strata_model_close(m);
    /* The committed vocabularies have nothing but a vocabulary. */
    static const char *const names[] = {"spm4k", "spm2k-ud", "wp3k-cased"};
    for (int i = 0; i < 3; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/tests/data/tok/%s.gguf", STRATA_SOURCE_DIR, names[i]);
        m = NULL;
        OK(strata_model_open(path, &(strata_model_opts){.vocab_only = 1}, &m, err));
        OK(strata_tokenize(m, "some words", 10, STRATA_TOKENIZE_ADD_SPECIAL, a, NULL, 64, &n, err));
        assert_true(n > 1);
        strata_model_close(m);
        m = NULL;
        assert_int_not_equal(strata_model_open(path, NULL, &m, NULL), STRATA_OK);
        assert_null(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null),       cmocka_unit_test(test_options),
        cmocka_unit_test(test_eval_input), cmocka_unit_test(test_vocabulary_input),
        cmocka_unit_test(test_files),      cmocka_unit_test(test_vocab_only),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
