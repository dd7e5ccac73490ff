/* test_api_info.c: what a model tells about itself: information, log lines, the plan, and the comparison of kernel
 * levels. */
#include <math.h>
#include <pthread.h>

#include "unit/test_api.h"

/* ---- captured lines ---- */

typedef struct capture {
    pthread_mutex_t lock;
    char *text; /* lines "LEVEL message\n" */
    size_t len, count[8];
    uint32_t n_tokens; /* of the session */
} capture;

static void keep(capture *c, const char *s, size_t n)
{
    c->text = realloc(c->text, c->len + n + 1);
    assert_non_null(c->text);
    memcpy(c->text + c->len, s, n);
    c->len += n;
    c->text[c->len] = 0;
}

static void on_log(void *user, int level, const char *msg)
{
    capture *c = user;
    char line[600];
    assert_true(level >= STRATA_LOG_ERROR && level <= STRATA_LOG_TRACE);
    assert_null(strchr(msg, '\n'));
    pthread_mutex_lock(&c->lock);
    keep(c, line, (size_t)snprintf(line, sizeof line, "%d %s\n", level, msg));
    c->count[level]++;
    pthread_mutex_unlock(&c->lock);
}

static void on_write(void *user, const char *text, size_t len)
{
    keep(user, text, len);
}

/* One session at a level; what was logged. */
static capture session(const char *name, int level)
{
    capture c = {.lock = PTHREAD_MUTEX_INITIALIZER};
    strata_model *m = open_model(name, &(strata_model_opts){.log = on_log, .log_user = &c, .log_level = level});
    strata_ctx *x = open_ctx(m, 2, 0);
    float v[2 * 256];
    strata_text t[2] = {text_of("some text"), text_of("and more")};
    strata_embed_item items[2];
    OK(strata_embed(x, t, 2, &(strata_embed_opts){.pooling = STRATA_POOLING_MEAN}, v, dims_of(m), items, err));
    c.n_tokens = items[0].n_tokens + items[1].n_tokens;
    strata_ctx_close(x);
    strata_model_close(m);
    if (!c.text) keep(&c, "", 0);
    return c;
}

static void has(const capture *c, const char *needle)
{
    if (!strstr(c->text, needle)) fail_msg("no '%s' in\n%s", needle, c->text);
}

static void test_log_info(void **state)
{
    (void)state;
    capture c = session("gemma-embedding", 0); /* 0: INFO */
    has(&c, "3 ");
    has(&c, "gemma-embedding.gguf: GGUF v3, ");
    has(&c, "95 tensors");
    has(&c, "tokenizer llama, 320 tokens");
    has(&c, "gemma-embedding, 7 layers, width 64, 4/2 heads of 32, context 256");
    has(&c, "cpu: kernels ");
    has(&c, "open in ");
    assert_true(c.count[STRATA_LOG_INFO] >= 5);
    assert_int_equal(c.count[STRATA_LOG_DEBUG] + c.count[STRATA_LOG_TRACE], 0);
    assert_int_equal(c.count[STRATA_LOG_WARN] + c.count[STRATA_LOG_ERROR], 0);
    free(c.text);
    /* A quieter listener hears nothing of a good model, and no listener is no trouble. */
    c = session("gemma-embedding", STRATA_LOG_WARN);
    assert_int_equal(c.len, 0);
    free(c.text);
    strata_model *m = open_model("bert", &(strata_model_opts){.log_level = STRATA_LOG_TRACE});
    strata_model_close(m);
}

static void test_log_debug(void **state)
{
    (void)state;
    static const char *const names[] = {"bert-q8_0", "gemma-embedding"};
    for (int i = 0; i < 2; i++) {
        capture c = session(names[i], STRATA_LOG_DEBUG);
        blob file = blob_read(tiny(names[i]));
        st_mem mem;
        st_gguf g;
        st_mem_init(&mem, NULL, 0);
        assert_int_equal(st_gguf_parse(&g, file.data, file.size, "x", false, &mem, NULL), 0);
        for (size_t t = 0; t < g.n_tensors; t++) {
            char line[160];
            int n = snprintf(line, sizeof line, "4 tensor %.*s %s [", (int)g.tensors[t].name.len, g.tensors[t].name.ptr,
                             st_quant_get(g.tensors[t].type)->name);
            const uint64_t *d = g.tensors[t].dims;
            if (g.tensors[t].n_dims == 2)
                snprintf(line + n, sizeof line - (size_t)n, "%llu, %llu]\n", (unsigned long long)d[1],
                         (unsigned long long)d[0]);
            else
                snprintf(line + n, sizeof line - (size_t)n, "%llu]\n", (unsigned long long)d[0]);
            has(&c, line);
        }
        assert_true(c.count[STRATA_LOG_DEBUG] >= g.n_tensors);
        assert_int_equal(c.count[STRATA_LOG_TRACE], 0);
        st_gguf_free(&g);
        free(file.data);
        free(c.text);
    }
}

static void test_log_trace(void **state)
{
    (void)state;
    capture c = session("gemma-embedding", STRATA_LOG_TRACE);
    for (int i = 0; i < 7; i++) {
        char needle[32];
        snprintf(needle, sizeof needle, "5 layer %d: ", i);
        has(&c, needle);
        double ms = -1;
        unsigned tokens = 0;
        assert_int_equal(sscanf(strstr(c.text, needle) + strlen(needle), "%lf ms for %u tokens", &ms, &tokens), 2);
        assert_true(ms >= 0);
        assert_int_equal(tokens, c.n_tokens);
    }
    assert_null(strstr(c.text, "layer 7:"));
    free(c.text);
}

static void test_log_missing_heads(void **state)
{
    (void)state;
    const edit edits[] = {{DROP, .name = "dense_2.weight"}, {DROP, .name = "dense_3.weight"}, {0}};
    blob b = rewrite(tiny("gemma-embedding"), edits);
    capture c = {.lock = PTHREAD_MUTEX_INITIALIZER};
    strata_model *m = open_blob(b, &(strata_model_opts){.log = on_log, .log_user = &c, .log_level = STRATA_LOG_WARN});
    has(&c, "2 blob: no dense_2/dense_3");
    strata_model_info info;
    strata_model_get_info(m, &info);
    assert_int_equal(info.dense, STRATA_DENSE_MISSING);
    assert_int_equal(info.n_embd_out, 64);
    strata_model_close(m);
    free(b.data);
    free(c.text);
}

/* ---- information ---- */

static void test_info(void **state)
{
    (void)state;
    strata_model_info i;
    strata_model *m = open_model("gemma-embedding", &(strata_model_opts){.cpu = "generic"});
    strata_model_get_info(m, &i);
    assert_string_equal(i.path, tiny("gemma-embedding"));
    assert_string_equal(i.arch, "gemma-embedding");
    assert_string_equal(i.name, "tiny");
    assert_string_equal(i.tokenizer, "llama");
    assert_string_equal(i.cpu, "generic");
    assert_int_equal(i.file_bytes, 1375072);
    assert_int_equal(i.n_params, 340224);
    assert_true(i.packed_bytes > 1000000 && i.packed_bytes < 1500000);
    assert_int_equal(i.n_tensors, 95);
    assert_int_equal(i.n_layer, 7);
    assert_int_equal(i.n_head, 4);
    assert_int_equal(i.n_head_kv, 2);
    assert_int_equal(i.n_embd, 64);
    assert_int_equal(i.n_ff, 96);
    assert_int_equal(i.n_vocab, 320);
    assert_int_equal(i.n_ctx, 256);
    assert_int_equal(i.n_embd_out, 64);
    assert_int_equal(i.window, 8);
    assert_int_equal(i.bos, 1);
    assert_int_equal(i.eos, 2);
    assert_int_equal(i.causal, 0);
    assert_int_equal(i.pooling, STRATA_POOLING_MEAN);
    assert_int_equal(i.dense, STRATA_DENSE_PRESENT);
    assert_int_equal(i.has_logits, 0);
    assert_int_equal(i.min_dims, 128);
    strata_model_close(m);

    m = open_model("bert-cls", NULL);
    strata_model_get_info(m, &i);
    assert_int_equal(i.pooling, STRATA_POOLING_CLS);
    assert_int_equal(i.dense, STRATA_DENSE_NONE);
    strata_model_close(m);

    m = open_model("gemma3", NULL);
    strata_model_get_info(m, &i);
    assert_int_equal(i.causal, 1);
    assert_int_equal(i.pooling, STRATA_POOLING_NONE);
    assert_int_equal(i.has_logits, 1);
    strata_model_close(m);

    strata_model_get_info(NULL, &i);
    assert_null(i.arch);
    assert_int_equal(i.bos, -1);
}

static uint32_t tokens_of(const strata_model *m, uint32_t n_seqs, uint32_t n_ctx)
{
    strata_ctx *c = NULL;
    OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 1, .n_seqs = n_seqs, .n_ctx = n_ctx}, &c, err));
    uint32_t n = strata_ctx_tokens(c);
    strata_ctx_close(c);
    return n;
}

/* What was asked for; the model's context; STRATA_DEFAULT_CTX where the model could take more. */
static void test_tokens(void **state)
{
    (void)state;
    const uint32_t more = STRATA_DEFAULT_CTX + 1000;
    blob b = rewrite(tiny("llama-q8_0"), (edit[]){{.kind = SET_U32, .name = "llama.context_length", .u = more}, {0}});
    strata_model *small = open_model("llama-q8_0", NULL), *large = open_blob(b, NULL);
    assert_int_equal(tokens_of(small, 1, 0), 256);
    assert_int_equal(tokens_of(small, 2, 24), 24);
    assert_int_equal(tokens_of(small, 0, 0), 0);
    assert_int_equal(tokens_of(large, 1, 0), STRATA_DEFAULT_CTX);
    assert_int_equal(tokens_of(large, 1, more), more);
    assert_int_equal(strata_ctx_tokens(NULL), 0);
    strata_model_close(small);
    strata_model_close(large);
    free(b.data);
}

static void test_types(void **state)
{
    (void)state;
    strata_model *m = open_model("bert-q8_0", NULL);
    strata_model_info i;
    strata_model_get_info(m, &i);
    const char *name;
    uint32_t n, total = 0;
    uint64_t bytes, last = UINT64_MAX;
    uint32_t k = 0;
    for (; strata_model_get_type(m, k, &name, &n, &bytes); k++) {
        assert_true(bytes <= last);
        assert_string_equal(name, k ? "F32" : "Q8_0");
        last = bytes;
        total += n;
    }
    assert_int_equal(k, 2);
    assert_int_equal(total, i.n_tensors);
    strata_model_close(m);
}

static void test_names(void **state)
{
    (void)state;
    static const int codes[] = {0,   -10, -20, -21, -22, -30, -31, -32, -33, -40, -41,
                                -42, -43, -50, -60, -61, -70, -80, -81, -82, -90};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        assert_string_not_equal(strata_status_name(codes[i]), "UNKNOWN");
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(strata_status_name(codes[i]), strata_status_name(codes[j]));
    }
    assert_string_equal(strata_status_name(-1), "UNKNOWN");
    assert_string_equal(strata_status_name(1), "UNKNOWN");
    assert_string_equal(strata_status_name(STRATA_NO_MEMORY), "NO_MEMORY");
    assert_string_equal(strata_pooling_name(STRATA_POOLING_CLS), "cls");
    assert_string_equal(strata_pooling_name(-1), "unknown");
    assert_string_equal(strata_pooling_name(6), "unknown");
    assert_string_equal(strata_version(), STRATA_VERSION);
    assert_string_equal(strata_cpu_level(0), "generic");
    assert_null(strata_cpu_level(1000));
}

/* ---- plan and diff ---- */

static size_t lines_of(const char *s)
{
    size_t n = 0;
    for (; *s; s++) n += *s == '\n';
    return n;
}

static void test_plan(void **state)
{
    (void)state;
    strata_model *m = open_model("gemma-embedding", NULL);
    capture c = {0};
    OK(strata_model_print_plan(m, on_write, &c, err));
    has(&c, "EMBED    X -> N   token_embd.weight");
    has(&c, "window 8 symmetric");
    has(&c, "POOL");
    has(&c, "dense_3.weight");
    assert_true(lines_of(c.text) >= 1 + 7 * 7 + 3);
    free(c.text);
    strata_model_close(m);
}

static void test_diff(void **state)
{
    (void)state;
    static const char *const names[] = {"bert-q8_0", "gemma-embedding-q8_0", "llama-q4_0", "bert"};
    int32_t ids[37];
    for (int i = 0; i < 37; i++) ids[i] = (i * 29 + 5) % 320;
    for (int i = 0; i < 4; i++) {
        strata_model *m = open_model(names[i], NULL);
        for (int precision = 0; precision < 2; precision++) {
            for (uint32_t l = 0; strata_cpu_level(l); l++) {
                capture c = {0};
                int first = 99;
                OK(strata_model_diff(m, strata_cpu_level(l), ids, 37, precision, on_write, &c, &first, err));
                if (first != -1) fail_msg("%s, %s, op %d:\n%s", names[i], strata_cpu_level(l), first, c.text);
                assert_null(strstr(c.text, "DIFFERS"));
                assert_true(lines_of(c.text) > 10);
                free(c.text);
            }
        }
        int first = 99;
        capture c = {0};
        OK(strata_model_diff(m, NULL, ids, 1, 0, on_write, &c, &first, err));
        assert_int_equal(first, -1);
        free(c.text);
        strata_model_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_info),  cmocka_unit_test(test_log_debug),
        cmocka_unit_test(test_log_trace), cmocka_unit_test(test_log_missing_heads),
        cmocka_unit_test(test_info),      cmocka_unit_test(test_types),
        cmocka_unit_test(test_tokens),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_plan),      cmocka_unit_test(test_diff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
