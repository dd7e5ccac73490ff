/* test_stack.c: how deep each call goes on the caller's stack. strata.h promises 64 KiB, whatever the input.
 *
 * A call runs on a thread whose stack was painted before; what is no longer painted after it was used. Sanitizers and
 * builds without optimisation have larger frames: there the calls run, and no limit holds. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkdtemp, pthread_attr_setstack */
#endif
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/sanitized.h"
#include "unit/test_api.h"

#if SANITIZED || !defined(__OPTIMIZE__)
#define LIMITED 0
#else
#define LIMITED 1
#endif

enum { STACK = 8 << 20, LIMIT = 64 << 10, PAINT = 0xa5 };

typedef void (*job_fn)(void *arg);

typedef struct job {
    job_fn fn;
    void *arg;
} job;

static void *run_job(void *p)
{
    job *j = p;
    j->fn(j->arg);
    return NULL;
}

static void nothing(void *arg)
{
    (void)arg;
}

/* Bytes of stack that fn took, the thread's own included. */
static size_t used_by(job_fn fn, void *arg)
{
    job j = {fn, arg};
    pthread_t t;
    pthread_attr_t attr;
    uint8_t *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(stack != MAP_FAILED);
    memset(stack, PAINT, STACK);
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstack(&attr, stack, STACK), 0);
    assert_int_equal(pthread_create(&t, &attr, run_job, &j), 0);
    pthread_join(t, NULL);
    pthread_attr_destroy(&attr);
    size_t at = 0;
    while (at < STACK && stack[at] == PAINT) at++;
    munmap(stack, STACK);
    return STACK - at;
}

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

static strata_model *bert, *llama, *moe;
static strata_ctx *bert_ctx, *llama_ctx, *moe_ctx;
static char dir[] = "/tmp/strata-stack-XXXXXX";

/* n times `a`, then `mid`, then n times `b`. Static. */
static const char *nested(size_t n, const char *a, const char *mid, const char *b)
{
    static char *text;
    size_t la = strlen(a), lb = strlen(b), lm = strlen(mid);
    free(text);
    text = malloc(n * (la + lb) + lm + 1);
    assert_non_null(text);
    char *p = text;
    for (size_t i = 0; i < n; i++, p += la) memcpy(p, a, la);
    memcpy(p, mid, lm), p += lm;
    for (size_t i = 0; i < n; i++, p += lb) memcpy(p, b, lb);
    *p = 0;
    return text;
}

static void on_write(void *user, const char *text, size_t len)
{
    (void)user, (void)text, (void)len;
}

static void on_check(void *user, const strata_verify_check *check)
{
    (void)user, (void)check;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static void open_all(void *arg)
{
    strata_model *m = NULL;
    strata_error err;
    strata_model_opts o = {.n_threads = 2};
    if (strata_model_open(tiny(arg), &o, &m, &err) == STRATA_OK) {
        strata_model_print_plan(m, on_write, NULL, &err);
        strata_ctx *c = NULL;
        (void)strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 2, .n_seqs = 2, .n_ctx = 64}, &c, &err);
        strata_ctx_close(c);
    }
    strata_model_close(m);
}

static void open_vocab(void *arg)
{
    char path[512], back[64];
    strata_model *m = NULL;
    size_t n;
    snprintf(path, sizeof path, "%s/tests/data/tok/%s.gguf", STRATA_SOURCE_DIR, (const char *)arg);
    (void)strata_model_open(path, &(strata_model_opts){.vocab_only = 1}, &m, NULL);
    const char *text = nested(100000, "word \xc3\xa9 123 <s> ", "x", "aaaaaaaa");
    (void)strata_tokenize(m, text, strlen(text), 3, NULL, NULL, 0, &n, NULL);
    text = nested(20000, "ab", "", "");
    (void)strata_tokenize(m, text, strlen(text), 3, NULL, NULL, 0, &n, NULL);
    (void)strata_tokenize(m, "\xff\xff", 2, STRATA_TOKENIZE_LOSSY, NULL, NULL, 0, &n, NULL);
    const strata_text_part parts[] = {{"a <s>", 5, 1}, {"b <s>", 5, 0}};
    (void)strata_tokenize_parts(m, parts, 2, 0, NULL, NULL, 0, &n, NULL);
    const int32_t ids[] = {5, 6, 7};
    (void)strata_detokenize(m, ids, 3, back, sizeof back, &n, NULL);
    strata_model_close(m);
}

static void refuse_files(void *arg)
{
    (void)arg;
    strata_model *m = NULL;
    strata_error err;
    char name[4097];
    memset(name, 'n', 4096), name[4096] = 0;
    (void)strata_model_open(name, NULL, &m, &err);
    (void)strata_model_open_buffer("GGUF\3\0\0\0", 8, name, NULL, &m, &err);
}

static void embed(void *arg)
{
    (void)arg;
    static float v[64 * 300];
    strata_text t[3] = {text_of("a"), text_of("some words"), text_of(nested(120, "w ", "", ""))};
    strata_embed_item items[3];
    size_t n;
    (void)strata_embed(bert_ctx, t, 3, &(strata_embed_opts){.truncate = STRATA_TRUNCATE_END}, v, 64, items, NULL);
    (void)strata_embed(bert_ctx, t, 3, &(strata_embed_opts){.prompt = "p: ", .truncate = STRATA_TRUNCATE_START}, v, 64,
                       items, NULL);
    (void)strata_embed_tokens(bert_ctx, t[1].ptr, t[1].len, NULL, v, 300, &n, NULL, NULL);
    (void)strata_embed_dims(bert, NULL, NULL);
    (void)strata_rank(bert_ctx, t[0], t, 3, NULL, v, items, NULL);
}

static void evaluate(void *arg)
{
    strata_ctx *c = arg;
    static float v[256 * 320];
    int32_t ids[40];
    size_t rows, cols;
    for (int i = 0; i < 40; i++) ids[i] = 3 + i;
    for (int what = 0; what < 3; what++)
        (void)strata_eval(c, ids, NULL, 40, what, STRATA_POOLING_LAST, v, 256 * 320, &rows, &cols, NULL);
    const float *logits[2];
    const uint32_t seqs[] = {0, 1};
    for (uint32_t i = 0; i < 2; i++) (void)strata_ctx_sync(c, i, ids, 20, 7, NULL, logits, NULL);
    (void)strata_ctx_step(c, seqs, ids, 2, NULL, logits, NULL);
}

static void diff(void *arg)
{
    const int32_t ids[] = {3, 4, 5, 6};
    int first;
    (void)strata_model_diff(arg, NULL, ids, 4, STRATA_PRECISION_I8, on_write, NULL, &first, NULL);
}

static void peaks(void *arg)
{
    strata_peaks p;
    (void)strata_measure_peaks(arg, 1, &p, NULL);
}

static void quantize(void *arg)
{
    char out[300];
    strata_error err;
    snprintf(out, sizeof out, "%s/out.gguf", dir);
    (void)strata_quantize(tiny("bert"), out, arg, &(strata_quantize_opts){.n_threads = 2}, &err);
    unlink(out);
}

static void verify(void *arg)
{
    int passed;
    (void)strata_verify(tiny(arg), NULL, on_check, NULL, &passed, NULL);
}

/* How a generation is asked for. */
typedef struct asked {
    const char *grammar, *schema;
    float temperature;
    int mirostat;
    uint32_t top_k;
} asked;

static void generate(void *arg)
{
    const asked *a = arg;
    const int32_t ids[] = {3, 4, 5};
    strata_gen_opts g = strata_gen_default();
    strata_gen_result r;
    strata_error err;
    static const char *const stops[] = {"zzzz", "yyyy"};
    g.max_tokens = 8;
    g.grammar = a->grammar;
    g.json_schema = a->schema;
    g.temperature = a->temperature;
    g.mirostat = a->mirostat;
    g.top_k = a->top_k;
    g.logprobs = 1;
    g.n_top = 20;
    g.stop = stops;
    g.n_stop = 2;
    (void)strata_generate(llama_ctx, 0, ids, 3, &g, &r, &err);
}

/* A template, and the JSON that it is given. */
typedef struct talk {
    const char *source, *messages, *variables;
} talk;

static void chat(void *arg)
{
    const talk *t = arg;
    size_t n;
    strata_error err;
    strata_chat_opts o = {.source = t->source};
    if (t->messages) o.messages = text_of(t->messages);
    if (t->variables) o.variables = text_of(t->variables);
    (void)strata_chat_render(llama, NULL, 0, &o, NULL, 0, &n, &err);
    (void)strata_chat_encode(llama, NULL, 0, &o, NULL, 0, &n, &err);
}

/* ---- the limit --------------------------------------------------------------------------------------------------- */

static size_t own; /* of a thread that does nothing */
static int too_deep;

static void measure(const char *name, job_fn fn, void *arg)
{
    size_t n = used_by(fn, arg) - own;
    printf("%-34s %7zu bytes%s\n", name, n, LIMITED && n > LIMIT ? "  TOO DEEP" : "");
    too_deep += LIMITED && n > LIMIT;
}

static void test_calls(void **state)
{
    (void)state;
    own = used_by(nothing, NULL);
    measure("refused files", refuse_files, NULL);
    static const char *const files[] = {"bert", "gemma-embedding", "llama-q8_0", "gpt-oss", "deepseek2", "phi3-edge"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) measure(files[i], open_all, (void *)(uintptr_t)files[i]);
    static const char *const vocabularies[] = {"spm4k", "ugm8k", "wp3k-cased", "bpe3k"};
    for (size_t i = 0; i < 4; i++) measure(vocabularies[i], open_vocab, (void *)(uintptr_t)vocabularies[i]);
    measure("embed, rank", embed, NULL);
    measure("eval, sync, step", evaluate, llama_ctx);
    measure("experts", evaluate, moe_ctx);
    measure("diff", diff, llama);
    measure("peaks", peaks, llama);
    static const char *const types[] = {"F16", "BF16", "Q8_0", "Q4_0", "Q5_1", "Q6_K", "Q4_K_M", "Q5_K_S"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) measure(types[i], quantize, (void *)(uintptr_t)types[i]);
    measure("verify a known model", verify, (void *)(uintptr_t) "bert");
    measure("verify a decoder", verify, (void *)(uintptr_t) "llama-q8_0");
    measure("verify an unknown one", verify, (void *)(uintptr_t) "gpt-oss");
    asked plain[] = {{.temperature = 0},
                     {.temperature = 1, .top_k = 40},
                     {.temperature = 1, .top_k = 700},
                     {.temperature = 1, .mirostat = 1},
                     {.temperature = 1, .mirostat = 2}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) measure("generate", generate, &plain[i]);
    assert_int_equal(too_deep, 0);
}

static void test_moderate_programs(void **state)
{
    (void)state;
    own = used_by(nothing, NULL);
    talk talks[] = {{"{{ messages[0].content }}", "[{\"role\":\"user\",\"content\":\"x\"}]", "{\"a\":[1,[2,[3]]]}"},
                    {"{% for m in messages %}{% if m.role == 'user' %}{{ m.content | trim }}{% endif %}{% endfor %}",
                     "[{\"role\":\"user\",\"content\":\"x\"}]", NULL},
                    {"{{ raise_exception('no') }}", NULL, NULL}};
    for (size_t i = 0; i < sizeof talks / sizeof *talks; i++) measure("template", chat, &talks[i]);
    asked texts[] = {{.grammar = "root ::= [a-z]+ (\" \" [a-z]+)*"},
                     {.schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},"
                                "\"b\":{\"type\":\"array\",\"items\":{\"type\":\"number\",\"minimum\":0.5}}}}"}};
    for (size_t i = 0; i < 2; i++) measure("grammar", generate, &texts[i]);
    assert_int_equal(too_deep, 0);
}

/* What nests as deep as it can be written: template, grammar, schema, pattern and JSON. */
static void test_deep_programs(void **state)
{
    (void)state;
    static const size_t depths[] = {30, 250, 100, 1000, 20000};
    own = used_by(nothing, NULL);
    for (size_t i = 0; i < (SANITIZED_THREAD ? 2 : sizeof depths / sizeof *depths); i++) {
        size_t n = depths[i];
        printf("depth %zu\n", n);
        static const char *const sources[][3] = {{"(", "1", ")"},    {"[", "1", "]"},  {"{'a':", "1", "}"},
                                                 {"not ", "1", ""},  {"-", "1", ""},   {"1 if ", "1", " else 2"},
                                                 {"f(", "1", ")"},   {"x[", "1", "]"}, {"1 ~ ", "1", ""},
                                                 {"1 ** ", "1", ""}, {"1 + ", "1", ""}};
        for (size_t k = 0; k < sizeof sources / sizeof *sources; k++) {
            const char *e = nested(n, sources[k][0], sources[k][1], sources[k][2]);
            char *source = malloc(strlen(e) + 10);
            assert_non_null(source);
            sprintf(source, "{{ %s }}", e);
            measure(sources[k][0], chat, &(talk){.source = source});
            free(source);
        }
        measure("if", chat, &(talk){.source = nested(n, "{% if 1 %}", "x", "{% endif %}")});
        measure("for", chat, &(talk){.source = nested(n, "{% for i in [1] %}", "x", "{% endfor %}")});
        measure("filter", chat, &(talk){.source = nested(n, "{% filter trim %}", "x", "{% endfilter %}")});
        measure("set block", chat, &(talk){.source = nested(n, "{% set a %}", "x", "{% endset %}")});
        measure("elif", chat, &(talk){.source = nested(n, "{% if 0 %}{% elif 1 %}", "x", "{% endif %}")});
        char macro[200];
        snprintf(macro, sizeof macro, "{%% macro f(n) %%}{{ f(n-1) if n else '' }}{%% endmacro %%}{{ f(%zu) }}", n);
        measure("macro", chat, &(talk){.source = macro});
        snprintf(
            macro, sizeof macro,
            "{%% macro f(n) %%}{%% if n %%}{%% for i in [1] %%}{%% set x = [f(n-1)|trim] %%}{%% endfor %%}{%% endif "
            "%%}{%% endmacro %%}{{ f(%zu) }}",
            n);
        measure("macro in blocks", chat, &(talk){.source = macro});
        snprintf(macro, sizeof macro,
                 "{%% set ns = namespace(a=[]) %%}{%% for i in range(%zu) %%}{%% set ns.a = [ns.a] "
                 "%%}{%% endfor %%}{{ ns.a }}{{ ns.a|tojson }}{{ ns.a == ns.a }}",
                 n);
        measure("nested value", chat, &(talk){.source = macro});
        char *json = strdup(nested(n, "[", "1", "]"));
        char *variables = malloc(strlen(json) + 20);
        sprintf(variables, "{\"a\":%s}", json);
        measure(
            "JSON in a template", chat,
            &(talk){.source = "{{ a }}{{ a|tojson }}{{ a|length }}{{ a == a }}{{ a|string }}", .variables = variables});
        measure("schema: JSON", generate, &(asked){.schema = json});
        free(json), free(variables);
        static const char *const schemas[][3] = {
            {"{\"items\":", "{}", "}"},
            {"{\"type\":\"array\",\"items\":", "{\"type\":\"string\"}", "}"},
            {"{\"properties\":{\"a\":", "{}", "},\"required\":[\"a\"],\"type\":\"object\"}"},
            {"{\"anyOf\":[", "{}", "]}"},
            {"{\"allOf\":[", "{}", "]}"},
            {"{\"additionalProperties\":", "{}", ",\"type\":\"object\"}"},
            {"{\"not\":", "{}", "}"}};
        for (size_t k = 0; k < sizeof schemas / sizeof *schemas; k++)
            measure(schemas[k][0], generate,
                    &(asked){.schema = nested(n, schemas[k][0], schemas[k][1], schemas[k][2])});
        static const char *const patterns[][3] = {{"(", "a", ")"}, {"(a|", "b", ")"}, {"(", "a", ")*"}};
        for (size_t k = 0; k < 3; k++) {
            const char *e = nested(n, patterns[k][0], patterns[k][1], patterns[k][2]);
            char *schema = malloc(strlen(e) + 60);
            sprintf(schema, "{\"type\":\"string\",\"pattern\":\"^%s$\"}", e);
            measure("pattern", generate, &(asked){.schema = schema});
            char *grammar = malloc(strlen(e) + 60);
            sprintf(grammar, "root ::= %s", nested(n, patterns[k][0], k == 1 ? "\"b\"" : "\"a\"", patterns[k][2]));
            measure("grammar", generate, &(asked){.grammar = grammar});
            free(schema), free(grammar);
        }
        /* Rules that call each other in a chain, to the left and to the right. */
        char *chain = malloc(n * 40 + 60), *p = chain;
        p += sprintf(p, "root ::= r0\n");
        for (size_t k = 0; k < n; k++) p += sprintf(p, "r%zu ::= r%zu \"x\" | \"a\"\n", k, k + 1);
        sprintf(p, "r%zu ::= \"z\"\n", n);
        measure("chain of rules", generate, &(asked){.grammar = chain});
        free(chain);
        measure("recursive rule", generate, &(asked){.grammar = "root ::= \"(\" root \")\" | \"a\""});
    }
    assert_int_equal(too_deep, 0);
}

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    bert = open_model("bert", NULL);
    llama = open_model("llama-q8_0", NULL);
    moe = open_model("deepseek2", NULL);
    bert_ctx = open_ctx(bert, 2, STRATA_PRECISION_I8);
    const strata_ctx_opts o = {.n_threads = 1, .n_seqs = 2, .n_ctx = 64};
    OK(strata_ctx_open(llama, &o, &llama_ctx, err));
    OK(strata_ctx_open(moe, &o, &moe_ctx, err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    strata_ctx_close(bert_ctx), strata_ctx_close(llama_ctx), strata_ctx_close(moe_ctx);
    strata_model_close(bert), strata_model_close(llama), strata_model_close(moe);
    rmdir(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_moderate_programs),
        cmocka_unit_test(test_deep_programs),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
