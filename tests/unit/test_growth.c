/* test_growth.c: the resident memory of a process does not grow with the texts that a real model generates in it.
 *
 * 300 generations in the suite, STRATA_GENERATIONS=10000 for more. test_generate counts what the allocator holds, on a
 * tiny model; here the C library's own allocator is in use, and fragments count as well. */
#include <unistd.h>

#include "support/sanitized.h"
#include "unit/test_api.h"

#if SANITIZED
enum { GENERATIONS = SANITIZED_THREAD ? 2 : 20 }; /* its own memory would be measured */
#else
enum { GENERATIONS = 300 };
#endif

enum { WARM_UP = 60, BOUND = 512 << 10 };

static const char *find_model(void)
{
    static char path[1024];
    static const char name[] = "smollm2-135m-instruct-q4_1.gguf";
    const char *models = getenv("STRATA_TEST_MODELS"), *home = getenv("HOME"), *ci = getenv("CI");
    if (models)
        snprintf(path, sizeof path, "%s/%s", models, name);
    else
        snprintf(path, sizeof path, "%s/.cache/strata-test-models/%s", home ? home : "", name);
    if (access(path, R_OK) == 0) return path;
    fprintf(stderr, "\nNOT TESTED: memory over many generations: %s is not here\n", path);
    if (ci && strcmp(ci, "true") == 0) fail_msg("%s is missing", path);
    return NULL;
}

/* Bytes of this process in memory; 0 where the system does not say. */
static size_t resident(void)
{
    char line[256];
    size_t kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "r");
    if (!f) return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %zu kB", &kilobytes) == 1) break;
    fclose(f);
    return kilobytes << 10;
}

static int on_text(void *user, const char *text, size_t len, const strata_gen_token *t)
{
    (void)text, (void)t;
    *(size_t *)user += len;
    return 0;
}

/* A few tokens, drawn; every other text by a grammar, every fourth by a schema. */
static size_t generate(strata_ctx *c, uint32_t i)
{
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"integer\",\"minimum\":1}},"
                                 "\"required\":[\"id\"],\"additionalProperties\":false}";
    static const char *const stop[] = {"\n\n"};
    const int32_t prompt[] = {1, 504 + (int32_t)(i % 97), 28, 253, 314 + (int32_t)(i % 13)};
    size_t bytes = 0;
    strata_gen_opts g = strata_gen_default();
    strata_gen_result r;
    g.max_tokens = 2 + i % 3;
    g.temperature = 1.0f;
    g.seed = i;
    g.on_text = on_text;
    g.user = &bytes;
    if (i % 2) g.grammar = "root ::= \"[\" [0-9]+ (\", \" [a-z ]*)* \"]\"";
    if (i % 4 == 3) g.grammar = NULL, g.json_schema = schema;
    if (i % 6 == 0) g.stop = stop, g.n_stop = 1;
    OK(strata_generate(c, i % 2, prompt, sizeof prompt / sizeof *prompt, &g, &r, err));
    return bytes;
}

static void test_growth(void **state)
{
    (void)state;
    const char *path = find_model(), *more = getenv("STRATA_GENERATIONS");
    if (!path) skip();
    uint32_t n = more ? (uint32_t)strtoul(more, NULL, 10) : GENERATIONS;
    size_t before = 0, bytes = 0;
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    /* In memory: pages of a mapped file become resident when a token first needs them. */
    OK(strata_model_open(path, &(strata_model_opts){.no_mmap = 1}, &m, err));
    OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 1, .n_seqs = 2, .n_ctx = 64}, &c, err));
    for (uint32_t i = 0; i < n; i++) {
        if (i == WARM_UP) before = resident();
        bytes += generate(c, i);
    }
    size_t after = resident();
    strata_ctx_close(c);
    strata_model_close(m);
    assert_true(bytes > n);
    if (SANITIZED || !before) return;
    print_message("%u generations, %zu bytes of text: %.3f MB resident after %d, %.3f MB at the end\n", n, bytes,
                  (double)before / 1e6, WARM_UP, (double)after / 1e6);
    if (after > before + BOUND)
        fail_msg("memory grew by %zu bytes in %u generations, want at most %d", after - before, n - WARM_UP, BOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_growth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
