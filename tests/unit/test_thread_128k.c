/* test_thread_128k.c: every kind of call on a thread of 128 KiB, which is what musl gives one that asks for nothing, as
 * it does there. test_stack measures the same calls in bytes. Sanitizers need more than all of it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkdtemp */
#endif
#include <pthread.h>
#include <unistd.h>

#include "support/sanitized.h"
#include "unit/test_api.h"

static char dir[] = "/tmp/strata-128k-XXXXXX";

static void on_text(void *user, const char *text, size_t len)
{
    (void)text;
    *(size_t *)user += len;
}

static void on_check(void *user, const strata_verify_check *check)
{
    *(int *)user += check->passed == 1;
}

static const char *encode(strata_error *e)
{
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    static float v[2 * 64];
    const strata_text t[2] = {text_of("the quick brown fox"), text_of("jumps over the lazy dog")};
    int32_t ids[64];
    size_t n = 0, printed = 0;
    if (strata_model_open(tiny("bert"), NULL, &m, e) || strata_ctx_open(m, NULL, &c, e)) return "open an encoder";
    if (strata_embed(c, t, 2, NULL, v, 64, NULL, e)) return "embed";
    if (strata_tokenize(m, t[0].ptr, t[0].len, STRATA_TOKENIZE_ADD_SPECIAL, ids, NULL, 64, &n, e)) return "tokenize";
    if (strata_model_print_plan(m, on_text, &printed, e) || !printed) return "print the plan";
    strata_ctx_close(c);
    strata_model_close(m);
    return NULL;
}

static const char *decode(strata_error *e)
{
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    const strata_ctx_opts co = {.n_seqs = 2, .n_ctx = 128};
    if (strata_model_open(tiny("llama-q8_0"), NULL, &m, e) || strata_ctx_open(m, &co, &c, e)) return "open a decoder";
    strata_gen_opts g = strata_gen_default();
    strata_gen_result r;
    const int32_t ids[] = {3, 4, 5};
    const float *logits;
    g.max_tokens = 16;
    g.logprobs = 1, g.n_top = 20;
    g.json_schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"^(x|y){2,9}$\"},"
                    "\"b\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/n\"}}},\"required\":[\"a\",\"b\"],"
                    "\"$defs\":{\"n\":{\"type\":\"number\",\"minimum\":0.5,\"maximum\":7e3}}}";
    if (strata_generate(c, 0, ids, 3, &g, &r, e) || r.n_new == 0) return "generate by a schema";
    g.json_schema = NULL;
    g.grammar = "root ::= \"(\" root \")\" | [a-z]+ | root \" \" root";
    if (strata_generate(c, 1, ids, 3, &g, &r, e) && e->code != STRATA_BAD_GRAMMAR) return "generate by a grammar";
    if (strata_ctx_sync(c, 0, ids, 3, 0, NULL, &logits, e)) return "sync";
    if (strata_ctx_step(c, (const uint32_t[]){0}, ids, 1, NULL, &logits, e)) return "step";
    size_t n = 0;
    const strata_message message = {.role = text_of("user"), .content = text_of("hello")};
    const strata_chat_opts o = {
        .source = "{% macro f(n) %}{{ n }}{{ f(n - 1) if n else '' }}{% endmacro %}{{ f(20) }}"
                  "{% for m in messages %}{{ m | tojson }}{{ '%s' % m.content | upper }}{% endfor %}{{ 2 ** 500 }}"};
    if (strata_chat_render(m, &message, 1, &o, NULL, 0, &n, e) || n < 100) return "render a template";
    const strata_chat_opts deep = {.source = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"};
    if (strata_chat_render(m, &message, 1, &deep, NULL, 0, &n, e) != STRATA_BAD_TEMPLATE)
        return "refuse a macro without end";
    strata_ctx_close(c);
    strata_model_close(m);
    return NULL;
}

static const char *tools(strata_error *e)
{
    char out[64];
    int checks = 0, passed = 0;
    snprintf(out, sizeof out, "%s/out.gguf", dir);
    const strata_quantize_opts q = {.n_threads = 2};
    if (strata_quantize(tiny("bert"), out, "Q5_K_S", &q, e)) return "quantize";
    unlink(out);
    if (strata_verify(tiny("bert"), NULL, on_check, &checks, &passed, e) || checks == 0) return "verify";
    return NULL;
}

/* What failed, or NULL. */
static void *all(void *arg)
{
    strata_error *e = arg;
    const char *failed = encode(e);
    if (!failed) failed = decode(e);
    if (!failed) failed = tools(e);
    return (void *)(uintptr_t)failed;
}

static void test_calls(void **state)
{
    (void)state;
    strata_error e = {0};
    pthread_t t;
    pthread_attr_t attr;
    void *failed;
    size_t size;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(pthread_attr_init(&attr), 0);
#if defined(__GLIBC__) || !defined(__linux__)
    if (!SANITIZED) assert_int_equal(pthread_attr_setstacksize(&attr, 128 << 10), 0);
#endif
    assert_int_equal(pthread_attr_getstacksize(&attr, &size), 0);
    if (!SANITIZED) assert_int_equal(size, 128 << 10);
    assert_int_equal(pthread_create(&t, &attr, all, &e), 0);
    assert_int_equal(pthread_join(t, &failed), 0);
    if (failed) fail_msg("%s: %s", (const char *)failed, e.msg);
    pthread_attr_destroy(&attr);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_calls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
