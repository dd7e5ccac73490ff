/* test_api_texts.c: what strata_embed does with each text: truncation, bad text, dims, prompts, rows of failed
 * texts. */
#include <math.h>

#include "unit/test_api.h"

enum { DIMS = 64, CTX = 256 };

/* bert-q8_0 and gemma-embedding with BOS and EOS around every text. */
static const edit specials[] = {
    {SET_BOOL, "tokenizer.ggml.add_bos_token", .u = 1}, {SET_BOOL, "tokenizer.ggml.add_eos_token", .u = 1}, {0}};

typedef struct fixture {
    blob file;
    strata_model *m;
    strata_ctx *c;
} fixture;

static fixture open_edited(const char *name, const edit *edits)
{
    fixture f = {.file = rewrite(tiny(name), edits)};
    f.m = open_blob(f.file, NULL);
    f.c = open_ctx(f.m, 2, 0);
    return f;
}

static void close_fixture(fixture *f)
{
    strata_ctx_close(f->c);
    strata_model_close(f->m);
    free(f->file.data);
}

static size_t count(const strata_model *m, const char *text, size_t len)
{
    size_t n;
    OK(strata_tokenize(m, text, len, STRATA_TOKENIZE_ADD_SPECIAL, NULL, NULL, 0, &n, err));
    return n;
}

static void pooled(strata_ctx *c, const int32_t *ids, size_t n, float *v)
{
    size_t rows, cols;
    OK(strata_eval(c, ids, NULL, n, STRATA_EVAL_POOLED, STRATA_POOLING_DEFAULT, v, DIMS, &rows, &cols, err));
}

/* ---- length ---- */

static void test_context(void **state)
{
    (void)state;
    static const char *const names[] = {"bert-q8_0", "gemma-embedding"};
    char text[CTX * 2];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i % 26);
    for (int i = 0; i < 2; i++) {
        fixture f = open_edited(names[i], specials);
        float v[DIMS], want[DIMS];
        int32_t ids[CTX * 2 + 16];
        strata_embed_item item;
        size_t n, full = CTX - 5; /* BOS, EOS and three tokens of the space in front */
        strata_embed_opts raw = {.normalize = STRATA_NORMALIZE_NONE};
        assert_int_equal(count(f.m, text, full), CTX);

        strata_text t = {text, full};
        for (int policy = 0; policy <= STRATA_TRUNCATE_START; policy++) {
            raw.truncate = policy;
            OK(strata_embed(f.c, &t, 1, &raw, v, DIMS, &item, err));
            assert_int_equal(item.status, STRATA_OK);
            assert_int_equal(item.n_tokens, CTX);
            assert_int_equal(item.truncated, 0);
            assert_string_equal(item.msg, "");
            OK(strata_tokenize(f.m, text, full, STRATA_TOKENIZE_ADD_SPECIAL, ids, NULL, CTX, &n, err));
            pooled(f.c, ids, n, want);
            assert_memory_equal(v, want, sizeof v);
        }

        for (size_t over = 1; over < 200; over += 66) {
            t.len = full + over;
            OK(strata_tokenize(f.m, text, t.len, STRATA_TOKENIZE_ADD_SPECIAL, ids, NULL, sizeof ids / sizeof *ids, &n,
                               err));
            assert_int_equal(n, CTX + over);
            raw.truncate = STRATA_TRUNCATE_ERROR;
            OK(strata_embed(f.c, &t, 1, &raw, v, DIMS, &item, err));
            assert_int_equal(item.status, STRATA_TOO_LONG);
            assert_int_equal(item.n_tokens_all, n);
            assert_non_null(strstr(item.msg, "the model's context has 256"));
            assert_true(is_nan_row(v, DIMS));
            FAILS(strata_embed(f.c, &t, 1, &raw, v, DIMS, NULL, err), STRATA_TOO_LONG, "text 0: ");

            int32_t cut[CTX];
            raw.truncate = STRATA_TRUNCATE_END;
            OK(strata_embed(f.c, &t, 1, &raw, v, DIMS, &item, err));
            assert_int_equal(item.status, STRATA_OK);
            assert_int_equal(item.truncated, 1);
            assert_int_equal(item.n_tokens, CTX);
            assert_int_equal(item.n_tokens_all, n);
            memcpy(cut, ids, sizeof cut);
            cut[CTX - 1] = 2;
            pooled(f.c, cut, CTX, want);
            assert_memory_equal(v, want, sizeof v);

            raw.truncate = STRATA_TRUNCATE_START;
            OK(strata_embed(f.c, &t, 1, &raw, v, DIMS, &item, err));
            assert_int_equal(item.truncated, 1);
            cut[0] = 1;
            memcpy(cut + 1, ids + n - (CTX - 1), (CTX - 1) * sizeof *cut);
            pooled(f.c, cut, CTX, want);
            assert_memory_equal(v, want, sizeof v);
        }
        close_fixture(&f);
    }
}

/* Cut at the start, a text keeps its prompt. */
static void test_truncate_keeps_prompt(void **state)
{
    (void)state;
    fixture f = open_edited("gemma-embedding", specials);
    char text[400];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i % 26);
    char joined[420] = "to: ";
    memcpy(joined + 4, text, sizeof text);
    int32_t ids[512];
    size_t n, prompt;
    OK(strata_tokenize(f.m, joined, 404, STRATA_TOKENIZE_ADD_SPECIAL, ids, NULL, 512, &n, err));
    OK(strata_tokenize(f.m, "to:", 3, STRATA_TOKENIZE_ADD_SPECIAL, NULL, NULL, 0, &prompt, err));
    prompt -= 1; /* EOS */
    float v[DIMS], want[DIMS];
    strata_text t = {text, sizeof text};
    strata_embed_item item;
    strata_embed_opts o = {.prompt = "to: ", .normalize = STRATA_NORMALIZE_NONE, .truncate = STRATA_TRUNCATE_END};
    OK(strata_embed(f.c, &t, 1, &o, v, DIMS, &item, err));
    assert_int_equal(item.n_tokens_all, n);
    int32_t cut[CTX];
    memcpy(cut, ids, sizeof cut);
    cut[CTX - 1] = 2;
    pooled(f.c, cut, CTX, want);
    assert_memory_equal(v, want, sizeof v);
    /* The space that ends the prompt is three byte tokens: they are the prompt's too. */
    o.truncate = STRATA_TRUNCATE_START;
    OK(strata_embed(f.c, &t, 1, &o, v, DIMS, &item, err));
    size_t keep = prompt + 3;
    memcpy(cut, ids, keep * sizeof *cut);
    memcpy(cut + keep, ids + n - (CTX - keep), (CTX - keep) * sizeof *cut);
    pooled(f.c, cut, CTX, want);
    assert_memory_equal(v, want, sizeof v);
    close_fixture(&f);
}

static void test_short_and_huge(void **state)
{
    (void)state;
    strata_model *m = open_model("bert-q8_0", NULL);
    strata_ctx *c = open_ctx(m, 2, 0);
    size_t big = (size_t)1 << 20;
    char *mb = malloc(big);
    memset(mb, 'x', big);
    strata_text t[4] = {{"", 0}, {"</s>", 4}, {mb, big}, {NULL, 0}};
    float v[4 * DIMS];
    strata_embed_item items[4];
    OK(strata_embed(c, t, 4, &(strata_embed_opts){.truncate = STRATA_TRUNCATE_END}, v, DIMS, items, err));
    assert_int_equal(items[0].status, STRATA_EMPTY_PROMPT); /* this vocabulary adds nothing around a text */
    assert_int_equal(items[0].n_tokens, 0);
    assert_true(is_nan_row(v, DIMS));
    assert_int_equal(items[1].status, STRATA_OK);
    assert_int_equal(items[1].n_tokens, 1);
    assert_int_equal(items[2].status, STRATA_OK);
    assert_int_equal(items[2].n_tokens, CTX);
    assert_int_equal(items[2].n_tokens_all, big + 3);
    assert_int_equal(items[3].status, STRATA_EMPTY_PROMPT);
    /* One token: its own hidden state, normalised. */
    float h[DIMS];
    int32_t id = 2;
    pooled(c, &id, 1, h);
    double norm = 0;
    for (int i = 0; i < DIMS; i++) norm += (double)h[i] * (double)h[i];
    for (int i = 0; i < DIMS; i++) assert_true(fabs((double)v[DIMS + i] - (double)h[i] / sqrt(norm)) < 1e-7);
    /* A control token written by a user is plain text when asked for. */
    OK(strata_embed(c, t + 1, 1, &(strata_embed_opts){.plain_special = 1}, v, DIMS, items, err));
    assert_int_equal(items[0].n_tokens, 7);
    free(mb);
    strata_ctx_close(c);
    strata_model_close(m);
}

/* ---- bytes ---- */

static void test_utf8(void **state)
{
    (void)state;
    strata_model *m = open_model("gemma-embedding", NULL);
    strata_ctx *c = open_ctx(m, 1, 0);
    strata_text t[4] = {text_of("fine"),
                        {"ab\xff"
                         "cd",
                         5},
                        {"a\0b", 3},
                        text_of("ab\xef\xbf\xbd"
                                "cd")};
    float v[4 * DIMS], lossy[DIMS];
    strata_embed_item items[4];
    OK(strata_embed(c, t, 4, NULL, v, DIMS, items, err));
    assert_int_equal(items[0].status, STRATA_OK);
    assert_int_equal(items[1].status, STRATA_INVALID_ARG);
    assert_non_null(strstr(items[1].msg, "offset 2"));
    assert_true(is_nan_row(v + DIMS, DIMS));
    OK(strata_embed(c, t, 4, &(strata_embed_opts){.role = STRATA_ROLE_QUERY}, v, DIMS, items, err));
    assert_non_null(strstr(items[1].msg, "offset 2")); /* in the text, not in prompt + text */
    OK(strata_embed(c, t, 4, &(strata_embed_opts){.prompt = "\xfe:"}, v, DIMS, items, err));
    assert_non_null(strstr(items[0].msg, "offset 0"));
    OK(strata_embed(c, t, 4, NULL, v, DIMS, items, err));
    assert_int_equal(items[2].status, STRATA_OK); /* NUL is a character */
    assert_int_equal(items[2].n_tokens, 6);
    float shorter[DIMS];
    embed_one(c, text_of("a"), NULL, shorter, DIMS);
    assert_memory_not_equal(v + 2 * DIMS, shorter, sizeof shorter);
    OK(strata_embed(c, t + 1, 1, &(strata_embed_opts){.lossy = 1}, lossy, DIMS, NULL, err));
    assert_memory_equal(lossy, v + 3 * DIMS, sizeof lossy);
    FAILS(strata_embed(c, t, 4, NULL, v, DIMS, NULL, err), STRATA_INVALID_ARG, "text 1: ");
    size_t n;
    FAILS(strata_tokenize(m, "ab\xff", 3, 0, NULL, NULL, 0, &n, err), STRATA_INVALID_ARG, "offset 2");
    strata_text null = {NULL, 3};
    OK(strata_embed(c, &null, 1, NULL, v, DIMS, items, err));
    assert_int_equal(items[0].status, STRATA_INVALID_ARG);
    assert_true(is_nan_row(v, DIMS));
    strata_ctx_close(c);
    strata_model_close(m);
}

/* A failed text leaves NaN in its row, the others are as ever, and nothing between rows is touched. */
static void test_rows_of_failures(void **state)
{
    (void)state;
    enum { STRIDE = DIMS + 9, N = 6 };
    strata_model *m = open_model("bert-q8_0", NULL);
    strata_ctx *c = open_ctx(m, 2, 0);
    strata_text t[N] = {text_of("one"), text_of(""), text_of("three"), {"\x80", 1}, text_of("five"), text_of("six")};
    float v[N * STRIDE], want[DIMS];
    strata_embed_item items[N];
    for (uint32_t dims = DIMS; dims >= 20; dims = dims == DIMS ? 20 : 0) { /* straight to the caller, and cut first */
        strata_embed_opts o = {.dims = dims, .force_dims = 1};
        for (int i = 0; i < N * STRIDE; i++) v[i] = 123.0f;
        OK(strata_embed(c, t, N, &o, v, STRIDE, items, err));
        for (int i = 0; i < N; i++) {
            bool bad = i == 1 || i == 3;
            assert_int_equal(items[i].status != 0, bad);
            assert_int_equal(items[i].msg[0] != 0, bad);
            if (bad) {
                assert_true(is_nan_row(v + i * STRIDE, dims));
            } else {
                embed_one(c, t[i], &o, want, DIMS);
                assert_memory_equal(v + i * STRIDE, want, dims * sizeof *v);
            }
            for (uint32_t j = dims; j < STRIDE; j++) assert_true(v[i * STRIDE + (int)j] == 123.0f);
        }
        /* Without items the call fails with the first of them, after doing the others. */
        for (int i = 0; i < N * STRIDE; i++) v[i] = 123.0f;
        FAILS(strata_embed(c, t, N, &o, v, STRIDE, NULL, err), STRATA_EMPTY_PROMPT, "text 1: ");
        assert_memory_equal(v + 5 * STRIDE, want, dims * sizeof *v);
    }
    strata_ctx_close(c);
    strata_model_close(m);
}

/* ---- dims ---- */

static double length(const float *v, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) s += (double)v[i] * (double)v[i];
    return sqrt(s);
}

static void check_cut(strata_ctx *c, const strata_embed_opts *o, size_t all)
{
    float full[256], cut[256];
    strata_embed_opts raw = {.normalize = STRATA_NORMALIZE_NONE};
    embed_one(c, text_of("some text"), &raw, full, all);
    embed_one(c, text_of("some text"), o, cut, o->dims);
    double norm = length(full, o->dims);
    assert_true(fabs(length(cut, o->dims) - 1) < 1e-6);
    for (uint32_t i = 0; i < o->dims; i++) assert_true(fabs((double)cut[i] - (double)full[i] / norm) < 1e-7);
    raw.dims = o->dims;
    raw.force_dims = 1;
    embed_one(c, text_of("some text"), &raw, cut, o->dims);
    assert_memory_equal(cut, full, o->dims * sizeof *cut);
}

static void test_dims(void **state)
{
    (void)state;
    strata_model *m = open_model("bert-q8_0", NULL);
    strata_ctx *c = open_ctx(m, 1, 0);
    strata_error e = {0};
    assert_int_equal(strata_embed_dims(m, NULL, &e), DIMS);
    assert_int_equal(strata_embed_dims(m, &(strata_embed_opts){.dims = DIMS}, &e), DIMS);
    assert_int_equal(strata_embed_dims(m, &(strata_embed_opts){.dims = 32}, &e), 0);
    assert_int_equal(e.code, STRATA_UNSUPPORTED_OP);
    assert_non_null(strstr(e.msg, "Matryoshka"));
    assert_int_equal(strata_embed_dims(m, &(strata_embed_opts){.dims = 32, .force_dims = 1}, &e), 32);
    assert_int_equal(strata_embed_dims(m, &(strata_embed_opts){.dims = 65, .force_dims = 1}, &e), 0);
    assert_int_equal(e.code, STRATA_INVALID_ARG);
    check_cut(c, &(strata_embed_opts){.dims = 32, .force_dims = 1}, DIMS);
    check_cut(c, &(strata_embed_opts){.dims = 1, .force_dims = 1}, DIMS);
    strata_ctx_close(c);
    strata_model_close(m);

    /* EmbeddingGemma may be cut to 128; here with dense_3 made wide enough. */
    float *w = malloc(256 * 128 * sizeof *w);
    uint64_t seed = 9;
    for (size_t i = 0; i < 256 * 128; i++) w[i] = (float)(rng_next(&seed) % 2000) / 10000.0f - 0.1f;
    const edit wide[] = {{RESHAPE, "dense_3.weight", .n = 256, .k = 128, .data = w}, {0}};
    fixture f = open_edited("gemma-embedding", wide);
    strata_model_info info;
    strata_model_get_info(f.m, &info);
    assert_int_equal(info.n_embd_out, 256);
    assert_int_equal(info.min_dims, 128);
    check_cut(f.c, &(strata_embed_opts){.dims = 128}, 256);
    check_cut(f.c, &(strata_embed_opts){.dims = 200}, 256);
    check_cut(f.c, &(strata_embed_opts){.dims = 127, .force_dims = 1}, 256);
    assert_int_equal(strata_embed_dims(f.m, &(strata_embed_opts){.dims = 127}, &e), 0);
    assert_int_equal(e.code, STRATA_UNSUPPORTED_OP);
    assert_non_null(strstr(e.msg, "127 is below the 128"));
    close_fixture(&f);
    free(w);
}

/* ---- prompts ---- */

static void test_prompts(void **state)
{
    (void)state;
    strata_model *m = open_model("gemma-embedding", NULL);
    strata_ctx *c = open_ctx(m, 1, 0);
    strata_model_info info;
    strata_model_get_info(m, &info);
    assert_string_equal(info.prompt_query, "task: search result | query: ");
    assert_string_equal(info.prompt_document, "title: none | text: ");
    float v[DIMS], want[DIMS];
    strata_embed_item item;
    strata_text t = text_of("cats");
    embed_one(c, text_of("task: search result | query: cats"), NULL, want, DIMS);
    OK(strata_embed(c, &t, 1, &(strata_embed_opts){.role = STRATA_ROLE_QUERY}, v, DIMS, &item, err));
    assert_memory_equal(v, want, sizeof v);
    size_t n;
    OK(strata_tokenize(m, "task: search result | query: cats", 33, 1, NULL, NULL, 0, &n, err));
    assert_int_equal(item.n_tokens, n);
    embed_one(c, text_of("title: none | text: cats"), NULL, want, DIMS);
    embed_one(c, t, &(strata_embed_opts){.role = STRATA_ROLE_DOCUMENT}, v, DIMS);
    assert_memory_equal(v, want, sizeof v);
    embed_one(c, text_of("all cats"), NULL, want, DIMS);
    embed_one(c, t, &(strata_embed_opts){.role = STRATA_ROLE_QUERY, .prompt = "all "}, v, DIMS);
    assert_memory_equal(v, want, sizeof v);
    embed_one(c, t, NULL, want, DIMS);
    embed_one(c, t, &(strata_embed_opts){.role = STRATA_ROLE_QUERY, .prompt = ""}, v, DIMS);
    assert_memory_equal(v, want, sizeof v);
    strata_ctx_close(c);
    strata_model_close(m);

    /* A model without prompts; then one whose file has its own. */
    m = open_model("bert-q8_0", NULL);
    c = open_ctx(m, 1, 0);
    strata_model_get_info(m, &info);
    assert_null(info.prompt_query);
    embed_one(c, t, NULL, want, DIMS);
    embed_one(c, t, &(strata_embed_opts){.role = STRATA_ROLE_QUERY}, v, DIMS);
    assert_memory_equal(v, want, sizeof v);
    embed_one(c, text_of("Q: cats"), NULL, want, DIMS);
    strata_ctx_close(c);
    strata_model_close(m);
    const edit prompt[] = {{SET_STR, "strata.prompt.query", .str = "Q: "}, {0}};
    fixture f = open_edited("bert-q8_0", prompt);
    embed_one(f.c, t, &(strata_embed_opts){.role = STRATA_ROLE_QUERY}, v, DIMS);
    assert_memory_equal(v, want, sizeof v);
    close_fixture(&f);
}

/* ---- a vector a token ---- */

static void test_tokens(void **state)
{
    (void)state;
    strata_model *m = open_model("gemma-embedding", NULL);
    strata_ctx *c = open_ctx(m, 2, 0);
    int32_t ids[64];
    size_t n, rows, cols;
    OK(strata_tokenize(m, "some text", 9, 1, ids, NULL, 64, &n, err));
    float v[64 * DIMS], hidden[64 * DIMS];
    strata_embed_item item;
    OK(strata_eval(c, ids, NULL, n, STRATA_EVAL_HIDDEN, 0, hidden, 64 * DIMS, &rows, &cols, err));
    strata_embed_opts raw = {.normalize = STRATA_NORMALIZE_NONE};
    OK(strata_embed_tokens(c, "some text", 9, &raw, v, 64, &rows, &item, err));
    assert_int_equal(rows, n);
    assert_int_equal(item.n_tokens, n);
    assert_memory_equal(v, hidden, n * DIMS * sizeof *v);
    OK(strata_embed_tokens(c, "some text", 9, NULL, v, n, &rows, NULL, err));
    for (size_t i = 0; i < n; i++) {
        double norm = length(hidden + i * DIMS, DIMS);
        for (int j = 0; j < DIMS; j++)
            assert_true(fabs((double)v[i * DIMS + (size_t)j] - (double)hidden[i * DIMS + (size_t)j] / norm) < 1e-7);
    }
    /* Cut rows stand without gaps. */
    strata_embed_opts cut = {.normalize = STRATA_NORMALIZE_NONE, .dims = 10, .force_dims = 1};
    OK(strata_embed_tokens(c, "some text", 9, &cut, v, n, &rows, NULL, err));
    for (size_t i = 0; i < n; i++) assert_memory_equal(v + i * 10, hidden + i * DIMS, 10 * sizeof *v);
    FAILS(strata_embed_tokens(c, "some text", 9, NULL, v, n - 1, &rows, NULL, err), STRATA_TOO_LONG, "the text has");
    assert_int_equal(rows, n);
    FAILS(strata_embed_tokens(c, "some text", 9, NULL, NULL, 0, &rows, NULL, err), STRATA_TOO_LONG, "room for 0 rows");
    assert_int_equal(rows, n);
    FAILS(strata_embed_tokens(c, "", 0, NULL, v, 64, &rows, &item, err), STRATA_EMPTY_PROMPT, "no tokens");
    assert_int_equal(item.status, STRATA_EMPTY_PROMPT);
    FAILS(strata_embed_tokens(c, "\xff", 1, NULL, v, 64, &rows, NULL, err), STRATA_INVALID_ARG, "offset 0");
    strata_ctx_close(c);
    strata_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_context),          cmocka_unit_test(test_truncate_keeps_prompt),
        cmocka_unit_test(test_short_and_huge),   cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_rows_of_failures), cmocka_unit_test(test_dims),
        cmocka_unit_test(test_prompts),          cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
