/* test_args.c: every public function with arguments that are NULL, garbage or as large as they can be: an error that
 * names the argument, never a crash. The sanitizers of the other builds look on. */
#include <math.h>

#include "unit/test_api.h"

static void on_write(void *user, const char *text, size_t len)
{
    (void)user, (void)text, (void)len;
}

static void on_check(void *user, const strata_verify_check *check)
{
    (void)user, (void)check;
}

static int on_text(void *user, const char *text, size_t len, const strata_gen_token *token)
{
    (void)token;
    assert_non_null(text);
    *(size_t *)user += len;
    return 0;
}

#define REFUSED(call)                                                                            \
    do {                                                                                         \
        strata_error err_ = {0}, *err = &err_;                                                   \
        int rc_ = (call);                                                                        \
        if (rc_ != STRATA_INVALID_ARG || err_.code != rc_ || !err_.msg[0])                       \
            fail_msg("%s: %s '%s', want INVALID_ARG", #call, strata_status_name(rc_), err_.msg); \
        err = NULL;                                                                              \
        assert_int_equal((call), STRATA_INVALID_ARG);                                            \
    } while (0)

static strata_model *model;
static strata_ctx *ctx;

static int setup(void **state)
{
    (void)state;
    model = open_model("llama-q8_0", NULL);
    OK(strata_ctx_open(model, &(strata_ctx_opts){.n_threads = 2, .n_seqs = 2, .n_ctx = 64}, &ctx, err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    strata_ctx_close(ctx);
    strata_model_close(model);
    return 0;
}

static void test_null(void **state)
{
    (void)state;
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    const char *p = NULL;
    size_t n = 0, k = 0;
    int32_t id = 3;
    uint32_t seq = 0;
    float v[256];
    const float *logits = NULL;
    int out = 0;
    strata_text t = {NULL, 3};
    strata_text_part part = {NULL, 3, 0};
    strata_message msg = {.role = {NULL, 2}};
    strata_peaks peaks;
    strata_model_close(NULL);
    strata_ctx_close(NULL);
    REFUSED(strata_model_open(NULL, NULL, &m, err));
    REFUSED(strata_model_open("x", NULL, NULL, err));
    REFUSED(strata_model_open_buffer(NULL, 10, "x", NULL, &m, err));
    REFUSED(strata_model_open_buffer("x", 1, "x", NULL, NULL, err));
    assert_int_equal(strata_model_open_buffer("x", 0, NULL, NULL, &m, NULL), STRATA_NOT_GGUF);
    strata_model_get_info(model, NULL);
    strata_model_get_info(NULL, NULL);
    strata_model_info info;
    strata_model_get_info(NULL, &info);
    assert_int_equal(strata_model_get_type(NULL, 0, &p, NULL, NULL), 0);
    assert_int_equal(strata_model_get_type(model, 0, NULL, NULL, NULL), 1);
    assert_int_equal(strata_model_get_type(model, UINT32_MAX, NULL, NULL, NULL), 0);
    assert_int_equal(strata_model_get_label(NULL, 0, NULL, NULL), 0);
    assert_int_equal(strata_model_get_label(model, UINT32_MAX, NULL, NULL), 0);
    REFUSED(strata_model_print_plan(NULL, on_write, NULL, err));
    REFUSED(strata_model_print_plan(model, NULL, NULL, err));
    REFUSED(strata_tokenize(NULL, "a", 1, 0, NULL, NULL, 0, &n, err));
    REFUSED(strata_tokenize(model, NULL, 1, 0, NULL, NULL, 0, &n, err));
    REFUSED(strata_tokenize(model, "a", 1, 0, NULL, NULL, 5, &n, err));
    REFUSED(strata_tokenize(model, "a", 1, 0, NULL, NULL, 0, NULL, err));
    OK(strata_tokenize(model, NULL, 0, 0, NULL, NULL, 0, &n, err));
    REFUSED(strata_tokenize_parts(NULL, &part, 1, 0, NULL, NULL, 0, &n, err));
    REFUSED(strata_tokenize_parts(model, NULL, 1, 0, NULL, NULL, 0, &n, err));
    REFUSED(strata_tokenize_parts(model, &part, 1, 0, NULL, NULL, 0, &n, err));
    REFUSED(strata_tokenize_parts(model, NULL, 0, 0, NULL, NULL, 4, &n, err));
    REFUSED(strata_tokenize_parts(model, NULL, 0, 0, NULL, NULL, 0, NULL, err));
    OK(strata_tokenize_parts(model, NULL, 0, 0, NULL, NULL, 0, &n, err));
    REFUSED(strata_detokenize(NULL, &id, 1, NULL, 0, &n, err));
    REFUSED(strata_detokenize(model, NULL, 1, NULL, 0, &n, err));
    REFUSED(strata_detokenize(model, &id, 1, NULL, 4, &n, err));
    REFUSED(strata_detokenize(model, &id, 1, NULL, 0, NULL, err));
    OK(strata_detokenize(model, NULL, 0, NULL, 0, &n, err));
    REFUSED(strata_token_piece(NULL, 0, &p, &n, err));
    REFUSED(strata_token_piece(model, 0, NULL, &n, err));
    REFUSED(strata_token_piece(model, 0, &p, NULL, err));
    REFUSED(strata_ctx_open(NULL, NULL, &c, err));
    REFUSED(strata_ctx_open(model, NULL, NULL, err));
    assert_int_equal(strata_ctx_threads(NULL), 0);
    assert_int_equal(strata_ctx_tokens(NULL), 0);
    assert_null(strata_ctx_kernels(NULL));
    const strata_embed_opts last = {.pooling = STRATA_POOLING_LAST};
    REFUSED(strata_embed(NULL, &t, 1, &last, v, 256, NULL, err));
    REFUSED(strata_embed(ctx, NULL, 1, &last, v, 256, NULL, err));
    REFUSED(strata_embed(ctx, &t, 1, &last, NULL, 256, NULL, err));
    REFUSED(strata_embed(ctx, &t, 1, &last, v, 256, NULL, err));
    OK(strata_embed(ctx, NULL, 0, &last, NULL, 256, NULL, err));
    REFUSED(strata_embed_tokens(NULL, "a", 1, NULL, v, 2, &n, NULL, err));
    REFUSED(strata_embed_tokens(ctx, NULL, 1, NULL, v, 2, &n, NULL, err));
    REFUSED(strata_embed_tokens(ctx, "a", 1, NULL, NULL, 2, &n, NULL, err));
    REFUSED(strata_embed_tokens(ctx, "a", 1, NULL, v, 2, NULL, NULL, err));
    strata_error e = {0};
    assert_int_equal(strata_embed_dims(NULL, NULL, &e), 0);
    assert_int_equal(e.code, STRATA_INVALID_ARG);
    assert_int_equal(strata_embed_dims(NULL, NULL, NULL), 0);
    REFUSED(strata_rank(NULL, t, &t, 1, NULL, v, NULL, err));
    REFUSED(strata_rank(ctx, t, &t, 1, NULL, v, NULL, err));
    REFUSED(strata_rank(ctx, text_of("a"), NULL, 1, NULL, v, NULL, err));
    REFUSED(strata_rank(ctx, text_of("a"), &t, 1, NULL, NULL, NULL, err));
    REFUSED(strata_ctx_sync(NULL, 0, &id, 1, 0, NULL, &logits, err));
    REFUSED(strata_ctx_sync(ctx, 0, NULL, 1, 0, NULL, &logits, err));
    REFUSED(strata_ctx_sync(ctx, 0, &id, 1, 0, NULL, NULL, err));
    REFUSED(strata_ctx_step(NULL, &seq, &id, 1, NULL, &logits, err));
    REFUSED(strata_ctx_step(ctx, NULL, &id, 1, NULL, &logits, err));
    REFUSED(strata_ctx_step(ctx, &seq, NULL, 1, NULL, &logits, err));
    REFUSED(strata_ctx_step(ctx, &seq, &id, 1, NULL, NULL, err));
    REFUSED(strata_ctx_step(ctx, NULL, NULL, 0, NULL, NULL, err));
    REFUSED(strata_generate(NULL, 0, &id, 1, NULL, NULL, err));
    REFUSED(strata_generate(ctx, 0, NULL, 1, NULL, NULL, err));
    REFUSED(strata_chat_render(NULL, NULL, 0, NULL, NULL, 0, &n, err));
    REFUSED(strata_chat_render(model, NULL, 1, NULL, NULL, 0, &n, err));
    REFUSED(strata_chat_render(model, &msg, 1, NULL, NULL, 0, &n, err));
    REFUSED(strata_chat_render(model, NULL, 0, NULL, NULL, 3, &n, err));
    REFUSED(strata_chat_render(model, NULL, 0, NULL, NULL, 0, NULL, err));
    REFUSED(strata_chat_encode(NULL, NULL, 0, NULL, NULL, 0, &n, err));
    REFUSED(strata_chat_encode(model, NULL, 1, NULL, NULL, 0, &n, err));
    REFUSED(strata_chat_encode(model, &msg, 1, NULL, NULL, 0, &n, err));
    REFUSED(strata_chat_encode(model, NULL, 0, NULL, NULL, 3, &n, err));
    REFUSED(strata_chat_encode(model, NULL, 0, NULL, NULL, 0, NULL, err));
    strata_text *of_chat[4];
    for (size_t i = 0; i < 4; i++) {
        strata_chat_opts o = {0};
        of_chat[0] = &o.messages, of_chat[1] = &o.tools, of_chat[2] = &o.documents, of_chat[3] = &o.variables;
        of_chat[i]->len = 7;
        REFUSED(strata_chat_render(model, NULL, 0, &o, NULL, 0, &n, err));
    }
    REFUSED(strata_chat_template(NULL, NULL, &p, &n, err));
    REFUSED(strata_chat_template(model, NULL, NULL, &n, err));
    REFUSED(strata_chat_template(model, NULL, &p, NULL, err));
    REFUSED(strata_eval(NULL, &id, NULL, 1, 0, 0, v, 10, &n, &k, err));
    REFUSED(strata_eval(ctx, NULL, NULL, 1, 0, 0, v, 10, &n, &k, err));
    REFUSED(strata_eval(ctx, &id, NULL, 1, 0, 0, NULL, 10, &n, &k, err));
    REFUSED(strata_eval(ctx, &id, NULL, 1, 0, 0, v, 10, NULL, &k, err));
    REFUSED(strata_eval(ctx, &id, NULL, 1, 0, 0, v, 10, &n, NULL, err));
    REFUSED(strata_model_diff(NULL, NULL, &id, 1, 0, on_write, NULL, &out, err));
    REFUSED(strata_model_diff(model, NULL, NULL, 1, 0, on_write, NULL, &out, err));
    REFUSED(strata_model_diff(model, NULL, &id, 1, 0, NULL, NULL, &out, err));
    REFUSED(strata_model_diff(model, NULL, &id, 1, 0, on_write, NULL, NULL, err));
    REFUSED(strata_model_diff(model, "no such level", &id, 1, 0, on_write, NULL, &out, err));
    REFUSED(strata_measure_peaks(NULL, 1, &peaks, err));
    REFUSED(strata_measure_peaks(model, 1, NULL, err));
    REFUSED(strata_measure_peaks(model, UINT32_MAX, &peaks, err));
    REFUSED(strata_quantize(NULL, "b", "Q8_0", NULL, err));
    REFUSED(strata_quantize("a", NULL, "Q8_0", NULL, err));
    REFUSED(strata_quantize("a", "b", NULL, NULL, err));
    REFUSED(strata_verify(NULL, NULL, on_check, NULL, &out, err));
    REFUSED(strata_verify("a", NULL, NULL, NULL, &out, err));
    REFUSED(strata_verify("a", NULL, on_check, NULL, NULL, err));
    const strata_allocator half = {NULL, NULL, NULL};
    REFUSED(strata_model_open("x", &(strata_model_opts){.allocator = &half}, &m, err));
    REFUSED(strata_quantize("a", "b", "Q8_0", &(strata_quantize_opts){.allocator = &half}, err));
    REFUSED(strata_verify("a", &(strata_verify_opts){.allocator = &half}, on_check, NULL, &out, err));
    assert_null(strata_cpu_level(UINT32_MAX));
    assert_null(strata_quantize_type(UINT32_MAX));
    static const int numbers[] = {INT32_MIN, -1, 1000, INT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(strata_status_name(numbers[i]), "UNKNOWN");
        assert_string_equal(strata_pooling_name(numbers[i]), "unknown");
        assert_string_equal(strata_finish_name(numbers[i]), "unknown");
    }
}

/* A vocabulary alone. */
static void test_vocab_only(void **state)
{
    (void)state;
    strata_model *m = open_model("llama-q8_0", &(strata_model_opts){.vocab_only = 1});
    strata_ctx *c = NULL;
    strata_peaks peaks;
    const int32_t id = 3;
    int first;
    FAILS(strata_ctx_open(m, NULL, &c, err), STRATA_UNSUPPORTED_OP, "vocabulary");
    FAILS(strata_model_print_plan(m, on_write, NULL, err), STRATA_UNSUPPORTED_OP, "vocabulary");
    FAILS(strata_model_diff(m, NULL, &id, 1, 0, on_write, NULL, &first, err), STRATA_UNSUPPORTED_OP, "vocabulary");
    FAILS(strata_measure_peaks(m, 1, &peaks, err), STRATA_UNSUPPORTED_OP, "vocabulary");
    strata_error e = {0};
    assert_int_equal(strata_embed_dims(m, NULL, &e), 0);
    assert_int_equal(e.code, STRATA_UNSUPPORTED_OP);
    assert_int_equal(strata_model_get_label(m, 0, NULL, NULL), 0);
    strata_model_close(m);
}

static void test_extremes(void **state)
{
    (void)state;
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    size_t n = 0, k = 0;
    float v[256];
    int32_t ids[70];
    const float *logits = NULL;
    for (int i = 0; i < 70; i++) ids[i] = 3;
    /* Whose ids begin after the first is read from no memory: the length is looked at before the ids. */
    int32_t *one = malloc(sizeof *one);
    assert_non_null(one);
    *one = INT32_MIN;
    FAILS(strata_ctx_sync(ctx, 0, one, SIZE_MAX, 0, NULL, &logits, err), STRATA_TOO_LONG, "");
    FAILS(strata_ctx_sync(ctx, 0, one, 65, 0, NULL, &logits, err), STRATA_TOO_LONG, "");
    FAILS(strata_generate(ctx, 0, one, SIZE_MAX, NULL, NULL, err), STRATA_TOO_LONG, "");
    FAILS(strata_generate(ctx, 0, one, 65, NULL, NULL, err), STRATA_TOO_LONG, "");
    FAILS(strata_eval(ctx, one, NULL, SIZE_MAX, 0, 0, v, 256, &n, &k, err), STRATA_TOO_LONG, "");
    int first;
    FAILS(strata_model_diff(model, NULL, one, SIZE_MAX, 0, on_write, NULL, &first, err), STRATA_TOO_LONG, "");
    FAILS(strata_ctx_step(ctx, (const uint32_t *)one, one, SIZE_MAX, NULL, &logits, err), STRATA_INVALID_ARG, "");
    FAILS(strata_ctx_sync(ctx, 0, one, 1, 0, NULL, &logits, err), STRATA_INVALID_ARG, "id -2147483648");
    FAILS(strata_generate(ctx, 0, one, 1, NULL, NULL, err), STRATA_INVALID_ARG, "id -2147483648");
    FAILS(strata_eval(ctx, one, NULL, 1, 0, 0, v, 256, &n, &k, err), STRATA_INVALID_ARG, "id -2147483648");
    FAILS(strata_detokenize(model, one, 1, NULL, 0, &n, err), STRATA_INVALID_ARG, "token 0");
    const char *p;
    FAILS(strata_token_piece(model, *one, &p, &n, err), STRATA_INVALID_ARG, "id");
    FAILS(strata_token_piece(model, INT32_MAX, &p, &n, err), STRATA_INVALID_ARG, "id");
    free(one);
    FAILS(strata_ctx_sync(ctx, UINT32_MAX, ids, 1, 0, NULL, &logits, err), STRATA_INVALID_ARG, "sequence");
    FAILS(strata_generate(ctx, UINT32_MAX, ids, 1, NULL, NULL, err), STRATA_INVALID_ARG, "sequence");
    OK(strata_ctx_sync(ctx, 0, ids, 64, UINT32_MAX, NULL, &logits, err));

    /* Strides whose product with the row wraps. */
    const strata_embed_opts last = {.pooling = STRATA_POOLING_LAST};
    strata_text two[2] = {text_of("a"), text_of("b")};
    static const size_t strides[] = {SIZE_MAX, SIZE_MAX / 2 + 1, SIZE_MAX / 4 + 1, SIZE_MAX / 8 + 1};
    for (size_t i = 0; i < 4; i++)
        FAILS(strata_embed(ctx, two, 2, &last, v, strides[i], NULL, err), STRATA_INVALID_ARG, "stride");
    FAILS(strata_embed(ctx, two, 2, &last, v, 1, NULL, err), STRATA_INVALID_ARG, "stride");
    FAILS(strata_embed(ctx, two, 2, &(strata_embed_opts){.pooling = STRATA_POOLING_LAST, .dims = UINT32_MAX}, v, 256,
                       NULL, err),
          STRATA_INVALID_ARG, "dims");

    static const strata_ctx_opts many[] = {
        {.n_seqs = UINT32_MAX}, {.n_seqs = UINT32_MAX, .n_ctx = 1, .kv = 2}, {.n_seqs = 1u << 31, .kv = 1}};
    strata_model *capped = open_model("llama-q8_0", &(strata_model_opts){.memory_cap = 1u << 30});
    for (size_t i = 0; i < 3; i++) {
        int rc = strata_ctx_open(capped, &many[i], &c, NULL);
        assert_int_equal(rc, STRATA_NO_MEMORY);
    }
    strata_model_close(capped);
    FAILS(strata_ctx_open(model, &(strata_ctx_opts){.n_ctx = UINT32_MAX}, &c, err), STRATA_INVALID_ARG, "n_ctx");
    FAILS(strata_ctx_open(model, &(strata_ctx_opts){.n_threads = UINT32_MAX}, &c, err), STRATA_INVALID_ARG, "threads");
    FAILS(strata_model_open(tiny("bert"), &(strata_model_opts){.n_threads = UINT32_MAX}, &m, err), STRATA_INVALID_ARG,
          "threads");
    FAILS(
        strata_quantize(tiny("bert"), "/nonexistent/x", "Q8_0", &(strata_quantize_opts){.n_threads = UINT32_MAX}, err),
        STRATA_INVALID_ARG, "threads");
    FAILS(strata_verify(tiny("bert"), &(strata_verify_opts){.n_threads = UINT32_MAX}, on_check, NULL, &first, err),
          STRATA_INVALID_ARG, "threads");
    FAILS(strata_model_open(tiny("bert"), &(strata_model_opts){.memory_cap = 1}, &m, err), STRATA_NO_MEMORY, "");
    FAILS(strata_model_open(tiny("bert"), &(strata_model_opts){.cpu = "\x1b"}, &m, err), STRATA_INVALID_ARG, "?");

    static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, INT64_MAX, -1, -86400, -86401, 253402300800};
    static const char *const formats = "%Y-%m-%d %H:%M:%S %y %j %a %A %b %B %p %I %e %-d %F %T";
    char source[200], text[400];
    snprintf(source, sizeof source, "{{ strftime_now('%s') }}", formats);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        const strata_chat_opts o = {.source = source, .now = times[i]};
        OK(strata_chat_render(model, NULL, 0, &o, text, sizeof text, &n, err));
        text[n] = 0;
        if (times[i] == -1 && !strstr(text, "1969-12-31 23:59:59")) fail_msg("%s", text);
    }
    const strata_chat_opts few = {.source = "{% for i in range(99) %}{{ i }}{% endfor %}", .max_steps = 1};
    FAILS(strata_chat_render(model, NULL, 0, &few, text, sizeof text, &n, err), STRATA_BAD_TEMPLATE, "");
    const strata_chat_opts all = {.source = "{% for i in range(99) %}{{ i }}{% endfor %}", .max_steps = UINT64_MAX};
    OK(strata_chat_render(model, NULL, 0, &all, text, sizeof text, &n, err));
}

/* Generations that end with the first token, in every way. */
static void test_ends_at_once(void **state)
{
    (void)state;
    const int32_t ids[] = {3, 4};
    size_t len = 0;
    strata_gen_result r;
    strata_gen_opts g = strata_gen_default();
    const float *logits;
    int32_t best = 0;
    strata_model_info info;
    strata_model_get_info(model, &info);
    OK(strata_ctx_sync(ctx, 0, ids, 2, 0, NULL, &logits, err));
    for (uint32_t i = 1; i < info.n_vocab; i++)
        if (logits[i] > logits[best]) best = (int32_t)i;
    g.temperature = 0;
    g.on_text = on_text;
    g.user = &len;
    g.max_tokens = UINT32_MAX;
    g.stop_tokens = &best;
    g.n_stop_tokens = 1;
    OK(strata_generate(ctx, 0, ids, 2, &g, &r, err));
    assert_int_equal(r.n_new, 0);
    g.n_stop_tokens = 0;
    g.max_tokens = 1;
    static const char *const stops[] = {"zzz"};
    g.stop = stops;
    g.n_stop = 1;
    OK(strata_generate(ctx, 0, ids, 2, &g, &r, err));
    const strata_logit_bias only = {info.eos, 1e6f};
    g.logit_bias = &only;
    g.n_logit_bias = info.eos >= 0;
    OK(strata_generate(ctx, 0, ids, 2, &g, &r, err));
    g.on_text = NULL;
    OK(strata_generate(ctx, 0, ids, 2, &g, NULL, err));
    g.n_logit_bias = 0;
    g.grammar = "root ::= \"\"";
    int rc = strata_generate(ctx, 0, ids, 2, &g, &r, NULL);
    assert_true(rc == STRATA_OK || rc == STRATA_BAD_GRAMMAR);
    int over = 1;
    g.grammar = NULL;
    g.cancel = &over;
    FAILS(strata_generate(ctx, 0, ids, 2, &g, &r, err), STRATA_CANCELLED, "");
}

/* ---- what this version does not know ----------------------------------------------------------------------------- */

typedef enum which { MODEL, CTX, EMBED, RANK, GEN, CHAT, QUANTIZE, VERIFY } which;

static int call(which w, const void *opts, strata_error *err)
{
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    float v[256];
    size_t n;
    int passed;
    const int32_t id = 3;
    strata_text t = text_of("a");
    switch (w) {
    case MODEL: return strata_model_open(tiny("bert"), opts, &m, err);
    case CTX: return strata_ctx_open(model, opts, &c, err);
    case EMBED: return strata_embed(ctx, &t, 1, opts, v, 256, NULL, err);
    case RANK: return strata_rank(ctx, t, &t, 1, opts, v, NULL, err);
    case GEN: return strata_generate(ctx, 0, &id, 1, opts, NULL, err);
    case CHAT: return strata_chat_render(model, NULL, 0, opts, NULL, 0, &n, err);
    case QUANTIZE: return strata_quantize(tiny("bert"), "/nonexistent/x", "Q8_0", opts, err);
    default: return strata_verify("/nonexistent/x", opts, on_check, NULL, &passed, err);
    }
}

/* The same options through the other functions that take them. */
static int call_other(which w, const void *opts, strata_error *err)
{
    strata_model *m = NULL;
    float v[256];
    size_t n;
    switch (w) {
    case MODEL: return strata_model_open_buffer("x", 1, NULL, opts, &m, err);
    case EMBED: {
        strata_error e = {0};
        int rc = strata_embed_tokens(ctx, "a", 1, opts, v, 2, &n, NULL, err);
        assert_int_equal(strata_embed_dims(model, opts, &e), 0);
        assert_int_equal(e.code, STRATA_INVALID_ARG);
        return rc;
    }
    case CHAT: return strata_chat_encode(model, NULL, 0, opts, NULL, 0, &n, err);
    default: return call(w, opts, err);
    }
}

#define WORDS(type, kind, field)                                        \
    {                                                                   \
        kind, #field, offsetof(type, field), sizeof(((type *)0)->field) \
    }

static void test_reserved(void **state)
{
    (void)state;
    static const struct {
        which w;
        const char *name;
        size_t at, bytes;
    } fields[] = {WORDS(strata_model_opts, MODEL, reserved),       WORDS(strata_ctx_opts, CTX, reserved),
                  WORDS(strata_embed_opts, EMBED, reserved),       WORDS(strata_rank_opts, RANK, reserved),
                  WORDS(strata_rank_opts, RANK, reserved_int),     WORDS(strata_gen_opts, GEN, reserved),
                  WORDS(strata_gen_opts, GEN, reserved_int),       WORDS(strata_chat_opts, CHAT, reserved),
                  WORDS(strata_quantize_opts, QUANTIZE, reserved), WORDS(strata_verify_opts, VERIFY, reserved)};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        for (size_t b = 0; b < fields[i].bytes; b++) {
            union {
                strata_gen_opts gen;
                strata_embed_opts embed;
                char bytes[512];
            } o;
            memset(&o, 0, sizeof o);
            if (fields[i].w == GEN) o.gen = strata_gen_default();
            if (fields[i].w == EMBED) o.embed.pooling = STRATA_POOLING_LAST;
            o.bytes[fields[i].at + b] = (char)(b % 2 ? 0x80 : 1);
            char want[40];
            snprintf(want, sizeof want, fields[i].bytes > 4 ? "%s[%zu]" : "%s", fields[i].name, b / 8);
            FAILS(call(fields[i].w, &o, err), STRATA_INVALID_ARG, want);
            FAILS(call_other(fields[i].w, &o, err), STRATA_INVALID_ARG, want);
        }
}

#define ENUM(type, kind, field, last)             \
    {                                             \
        kind, #field, offsetof(type, field), last \
    }

static void test_enums(void **state)
{
    (void)state;
    static const struct {
        which w;
        const char *name;
        size_t at;
        int last;
    } fields[] = {ENUM(strata_model_opts, MODEL, log_level, 5),
                  ENUM(strata_ctx_opts, CTX, precision, 2),
                  ENUM(strata_ctx_opts, CTX, kv, 2),
                  ENUM(strata_embed_opts, EMBED, role, 2),
                  ENUM(strata_embed_opts, EMBED, pooling, 5),
                  ENUM(strata_embed_opts, EMBED, normalize, 1),
                  ENUM(strata_embed_opts, EMBED, truncate, 2),
                  ENUM(strata_rank_opts, RANK, truncate, 2),
                  ENUM(strata_rank_opts, RANK, truncate_query, 2),
                  ENUM(strata_gen_opts, GEN, mirostat, 2),
                  ENUM(strata_gen_opts, GEN, think, 2)};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const int values[] = {INT32_MIN, -1, fields[i].last + 1, 256, INT32_MAX};
        for (size_t k = 0; k < 5; k++) {
            union {
                strata_gen_opts gen;
                strata_embed_opts embed;
                char bytes[512];
            } o;
            memset(&o, 0, sizeof o);
            if (fields[i].w == GEN) o.gen = strata_gen_default();
            if (fields[i].w == EMBED) o.embed.pooling = STRATA_POOLING_LAST;
            memcpy(o.bytes + fields[i].at, &values[k], sizeof(int));
            FAILS(call(fields[i].w, &o, err), STRATA_INVALID_ARG, fields[i].name);
        }
    }
    const int32_t id = 3;
    float v[256];
    size_t n, k;
    int first;
    strata_text_part part = {"a", 1, 0};
    for (unsigned flag = 8; flag; flag <<= 1) {
        FAILS(strata_tokenize(model, "a", 1, flag | 1, NULL, NULL, 0, &n, err), STRATA_INVALID_ARG, "flags");
        FAILS(strata_tokenize_parts(model, &part, 1, flag, NULL, NULL, 0, &n, err), STRATA_INVALID_ARG, "flags");
    }
    static const int values[] = {INT32_MIN, -1, 3, INT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        FAILS(strata_eval(ctx, &id, NULL, 1, values[i], 0, v, 256, &n, &k, err), STRATA_INVALID_ARG, "what");
        FAILS(strata_eval(ctx, &id, NULL, 1, STRATA_EVAL_HIDDEN, values[i] == 3 ? 6 : values[i], v, 256, &n, &k, err),
              STRATA_INVALID_ARG, "pooling");
        FAILS(strata_model_diff(model, NULL, &id, 1, values[i], on_write, NULL, &first, err), STRATA_INVALID_ARG,
              "precision");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_null),     cmocka_unit_test(test_vocab_only),
                                       cmocka_unit_test(test_extremes), cmocka_unit_test(test_ends_at_once),
                                       cmocka_unit_test(test_reserved), cmocka_unit_test(test_enums)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
