/* test_fp.c: the caller's floating-point state: under each rounding, with all traps on and denormals flushed, every
 * function gives the bits that it gives in the default state, leaves the state as it found it, and calls back in it.
 *
 * Nothing here may compute with floats itself while the traps are on. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* feenableexcept, mkstemp */
#endif
#include <fenv.h>
#include <stdatomic.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "unit/test_api.h"

/* ---- a host's state ---------------------------------------------------------------------------------------------- */

typedef struct host {
    const char *name;
    int rounding, traps, flush;
} host;

/* What results and hosts depend on, as one number. */
static uint64_t host_state(void)
{
#if defined(__x86_64__)
    uint16_t control;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    return (uint64_t)_mm_getcsr() << 16 | control;
#elif defined(__aarch64__)
    uint64_t control, flags;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("mrs %0, fpsr" : "=r"(flags));
    return control << 32 | flags;
#else
    return (uint64_t)fegetround();
#endif
}

static void host_set(const host *h)
{
    fesetenv(FE_DFL_ENV);
    fesetround(h->rounding);
#if defined(__GLIBC__)
    if (h->traps) feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW | FE_UNDERFLOW | FE_INEXACT);
#endif
#if defined(__x86_64__)
    if (h->flush) _mm_setcsr(_mm_getcsr() | 0x8040u);
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    if (h->flush) __asm__ volatile("msr fpcr, %0" : : "r"(control | 1u << 24));
#endif
}

/* ---- callbacks look at it ---------------------------------------------------------------------------------------- */

typedef struct watch {
    uint64_t state;
    _Atomic int wrong; /* a bit a kind of callback */
    _Atomic int seen;
} watch;

enum { LOG = 1, ALLOC = 2, PROGRESS = 4, TRACE = 8, TEXT = 16, WRITE = 32, REPORT = 64, QUANTIZED = 128, ALL = 255 };

static void look(watch *w, int kind)
{
    atomic_fetch_or(&w->seen, kind);
    if (host_state() != w->state) atomic_fetch_or(&w->wrong, kind);
}

static void on_log(void *user, int level, const char *msg)
{
    (void)level, (void)msg;
    look(user, LOG);
}

static void *on_alloc(void *user, size_t size, size_t align)
{
    void *p = NULL;
    look(user, ALLOC);
    return posix_memalign(&p, align, size) == 0 ? p : NULL;
}

static void on_free(void *user, void *p)
{
    look(user, ALLOC);
    free(p);
}

static void on_progress(void *user, size_t done, size_t n)
{
    (void)done, (void)n;
    look(user, PROGRESS);
}

static void on_trace(void *user, uint32_t op, const char *kind, int layer, double micros)
{
    (void)op, (void)kind, (void)layer, (void)micros;
    look(user, TRACE);
}

/* ---- everything, hashed ------------------------------------------------------------------------------------------ */

typedef struct session {
    watch *w;
    uint64_t hash[64]; /* of each call's results */
    const char *name[64];
    uint64_t left[64]; /* the state after it */
    size_t n;
    const char *dir;
    uint64_t text; /* of what callbacks write */
} session;

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) h = (h ^ ((const uint8_t *)p)[i]) * 0x100000001b3u;
    return h;
}

static int on_text(void *user, const char *text, size_t len, const strata_gen_token *token)
{
    session *s = user;
    look(s->w, TEXT);
    s->text = mix(s->text, text, len);
    if (token) s->text = mix(s->text, &token->logprob, sizeof token->logprob);
    return 0;
}

static void on_write(void *user, const char *text, size_t len)
{
    session *s = user;
    look(s->w, WRITE);
    s->text = mix(s->text, text, len);
}

static void on_report(void *user, const strata_verify_check *check)
{
    session *s = user;
    look(s->w, REPORT);
    s->text = mix(s->text, check->found, strlen(check->found));
}

static void on_quantized(void *user, const strata_quantize_item *item)
{
    session *s = user;
    look(s->w, QUANTIZED);
    s->text = mix(s->text, &item->error, sizeof item->error);
}

static void keep(session *s, const char *name, int rc, uint64_t hash)
{
    assert_true(s->n < 64);
    s->left[s->n] = host_state();
    s->name[s->n] = name;
    s->hash[s->n++] = mix(hash, &rc, sizeof rc);
}

#define KEEP(name, rc, p, size) keep(s, name, rc, mix(s->text, p, size))

static void tokens(session *s, const char *file)
{
    static const char text[] = "Some text \xc3\xa9\xef\xac\x81 with 3.14159e-7, <s>[MASK] and  spaces";
    const strata_allocator a = {on_alloc, on_free, s->w};
    strata_model_opts o = {.vocab_only = 1, .allocator = &a, .log = on_log, .log_user = s->w};
    char path[512], back[256] = "";
    int32_t ids[128] = {0};
    size_t n = 0, len = 0;
    strata_model *m = NULL;
    snprintf(path, sizeof path, "%s/tests/data/tok/%s.gguf", STRATA_SOURCE_DIR, file);
    KEEP("open vocabulary", strata_model_open(path, &o, &m, NULL), "", 0);
    int rc = strata_tokenize(m, text, sizeof text - 1, STRATA_TOKENIZE_ADD_SPECIAL, ids, NULL, 128, &n, NULL);
    KEEP("tokenize", rc, ids, sizeof ids);
    const strata_text_part parts[] = {{text, 9, 0}, {text + 9, sizeof text - 10, 1}};
    rc = strata_tokenize_parts(m, parts, 2, 0, ids, NULL, 128, &n, NULL);
    KEEP("tokenize_parts", rc, ids, sizeof ids);
    rc = strata_detokenize(m, ids, n, back, sizeof back, &len, NULL);
    KEEP("detokenize", rc, back, sizeof back);
    strata_model_close(m);
}

static void chat(session *s, const strata_model *m)
{
    static const char source[] =
        "{{ 1e999 }} {{ 1e-320 * 0.7 }} {{ 0.1 + 0.2 }} {{ 1 / 3 }} {{ 2 ** 0.5 }} {{ 7 // 0.3 }} "
        "{{ '1e400'|float }} {{ 2.675|round(2) }} {{ x }} {{ x|tojson }} {{ 1e308 * 10 }}";
    const strata_chat_opts o = {.source = source, .variables = text_of("{\"x\": 0.30000000000000004}")};
    const strata_message msg = {.role = text_of("user"), .content = text_of("hello")};
    char text[512] = "";
    int32_t ids[512] = {0};
    size_t n = 0;
    strata_error err = {0};
    int rc = strata_chat_render(m, &msg, 1, &o, text, sizeof text, &n, &err);
    assert_string_equal(err.msg, "");
    KEEP("chat_render", rc, text, sizeof text);
    rc = strata_chat_encode(m, &msg, 1, &o, ids, 512, &n, NULL);
    KEEP("chat_encode", rc, ids, sizeof ids);
}

static void vectors(session *s, const char *file, uint32_t n_threads)
{
    const strata_allocator a = {on_alloc, on_free, s->w};
    strata_model_opts o = {.allocator = &a, .log = on_log, .log_user = s->w, .log_level = STRATA_LOG_TRACE};
    o.n_threads = n_threads;
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    static float v[40 * 64], tokens[64 * 64];
    strata_text t[40];
    size_t n = 0, cols;
    const int32_t ids[] = {5, 6, 7, 8};
    KEEP("open", strata_model_open(tiny(file), &o, &m, NULL), "", 0);
    blob b = blob_read(tiny(file));
    strata_model *again = NULL;
    KEEP("open_buffer", strata_model_open_buffer(b.data, b.size, NULL, &o, &again, NULL), "", 0);
    strata_model_close(again);
    free(b.data);
    KEEP("ctx_open", strata_ctx_open(m, &(strata_ctx_opts){.n_threads = n_threads}, &c, NULL), "", 0);
    for (int i = 0; i < 40; i++) t[i] = text_of(i % 2 ? "a text of some length, and more of it" : "b");
    strata_embed_opts e = {.progress = on_progress, .progress_user = s->w};
    int rc = strata_embed(c, t, 40, &e, v, 64, NULL, NULL);
    KEEP("embed", rc, v, sizeof v);
    rc = strata_embed_tokens(c, "a text", 6, NULL, tokens, 64, &n, NULL, NULL);
    KEEP("embed_tokens", rc, tokens, sizeof tokens);
    uint32_t dims = strata_embed_dims(m, &e, NULL);
    KEEP("embed_dims", 0, &dims, sizeof dims);
    e.deadline_ms = -1;
    strata_error err = {0};
    dims = strata_embed_dims(m, &e, &err);
    KEEP("embed_dims refused", 0, err.msg, sizeof err.msg);
    rc = strata_eval(c, ids, NULL, 4, STRATA_EVAL_HIDDEN, 0, tokens, 64 * 64, &n, &cols, NULL);
    KEEP("eval", rc, tokens, sizeof tokens);
    rc = strata_rank(c, t[0], t, 4, &(strata_rank_opts){.sigmoid = 1}, v, NULL, NULL);
    KEEP("rank", rc, v, 4 * sizeof *v);
    strata_ctx_close(c);
    c = NULL;
    rc =
        strata_ctx_open(m, &(strata_ctx_opts){.n_threads = n_threads, .trace = on_trace, .trace_user = s->w}, &c, NULL);
    if (!rc) rc = strata_embed(c, t, 1, NULL, v, 64, NULL, NULL);
    KEEP("traced", rc, v, sizeof v);
    KEEP("print_plan", strata_model_print_plan(m, on_write, s, NULL), "", 0);
    int first = 0;
    rc = strata_model_diff(m, NULL, ids, 4, STRATA_PRECISION_I8, on_write, s, &first, NULL);
    KEEP("diff", rc, &first, sizeof first);
    strata_ctx_close(c);
    strata_model_close(m);
}

static void texts_of_a_model(session *s, const char *file)
{
    const strata_allocator a = {on_alloc, on_free, s->w};
    strata_model_opts o = {.allocator = &a, .log = on_log, .log_user = s->w, .log_level = STRATA_LOG_TRACE};
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    const int32_t ids[] = {5, 6, 7, 8};
    const uint32_t seqs[] = {0, 1};
    const float *logits[2] = {NULL, NULL};
    strata_model_info info;
    OK(strata_model_open(tiny(file), &o, &m, err));
    strata_model_get_info(m, &info);
    OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 2, .n_seqs = 2, .n_ctx = 128}, &c, err));
    for (uint32_t i = 0; i < 2; i++) {
        int rc = strata_ctx_sync(c, i, ids, 3 + i, 2, NULL, logits, NULL);
        KEEP("sync", rc, logits[0], info.n_vocab * sizeof(float));
    }
    int rc = strata_ctx_step(c, seqs, ids, 2, NULL, logits, NULL);
    KEEP("step", rc, logits[1], info.n_vocab * sizeof(float));
    static const char *const schemas[] = {
        NULL, "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\",\"minimum\":0.25,\"maximum\":7.5}}}"};
    for (int i = 0; i < 6; i++) {
        strata_gen_opts g = strata_gen_default();
        strata_gen_result r = {0};
        g.max_tokens = 12;
        g.on_text = on_text;
        g.user = s;
        g.logprobs = i % 2;
        g.n_top = i % 2 ? 3 : 0;
        g.json_schema = schemas[i == 3];
        if (i == 4) g.mirostat = 2;
        if (i == 5) g.mirostat = 1, g.logprobs = 0, g.n_top = 0;
        rc = strata_generate(c, 0, ids, 4, &g, &r, NULL);
        KEEP("generate", rc, &r.n_new, sizeof r.n_new);
    }
    chat(s, m);
    strata_ctx_close(c);
    strata_model_close(m);
}

static void files(session *s)
{
    char out[300];
    int passed = 0;
    const strata_allocator a = {on_alloc, on_free, s->w};
    snprintf(out, sizeof out, "%s/out.gguf", s->dir);
    static const char *const types[] = {"Q4_K_M", "Q8_0", "F16", "Q6_K", "Q5_0"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        strata_quantize_opts q = {.progress = on_quantized, .progress_user = s, .n_threads = 2, .allocator = &a};
        int rc = strata_quantize(tiny("bert"), out, types[i], &q, NULL);
        assert_int_equal(rc, STRATA_OK);
        blob b = blob_read(out);
        KEEP("quantize", rc, b.data, b.size);
        free(b.data);
    }
    unlink(out);
    strata_verify_opts v = {.n_threads = 2, .allocator = &a};
    int rc = strata_verify(tiny("llama-q8_0"), &v, on_report, s, &passed, NULL);
    KEEP("verify", rc, &passed, sizeof passed);
}

static void run(session *s)
{
    static const char *const vocabularies[] = {"spm4k", "ugm8k", "wp3k-cased", "bpe3k"};
    s->text = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof vocabularies / sizeof *vocabularies; i++) tokens(s, vocabularies[i]);
    vectors(s, "bert-cls", 1);
    vectors(s, "gemma-embedding", 3);
    texts_of_a_model(s, "llama-q8_0");
    files(s);
}

static void test_states(void **state)
{
    (void)state;
    static const host hosts[] = {{"default", FE_TONEAREST, 0, 0},  {"upward", FE_UPWARD, 0, 0},
                                 {"downward", FE_DOWNWARD, 0, 1},  {"toward zero", FE_TOWARDZERO, 0, 0},
                                 {"trapping", FE_TONEAREST, 1, 0}, {"flushing", FE_TONEAREST, 0, 1},
                                 {"all of it", FE_UPWARD, 1, 1}};
    static session want, got;
    char dir[] = "/tmp/strata-fp-XXXXXX";
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        session *s = i ? &got : &want;
        watch w = {0};
        memset(s, 0, sizeof *s);
        s->w = &w;
        s->dir = dir;
        host_set(&hosts[i]);
        w.state = host_state();
        run(s);
        fesetenv(FE_DFL_ENV);
        if (w.seen != ALL || w.wrong)
            fail_msg("%s: callbacks 0x%x saw, 0x%x in another state", hosts[i].name, w.seen, w.wrong);
        for (size_t k = 0; k < s->n; k++) {
            if (s->left[k] != w.state) fail_msg("%s: %s left another state", hosts[i].name, s->name[k]);
            if (s->hash[k] != want.hash[k]) fail_msg("%s: call %zu, %s, gave other bits", hosts[i].name, k, s->name[k]);
        }
        assert_int_equal(s->n, want.n);
    }
    rmdir(dir);
}

/* Takes seconds, and its numbers are of the machine: once, in the worst state. */
static void test_peaks(void **state)
{
    (void)state;
    const host h = {"", FE_UPWARD, 1, 1};
    strata_model *m = open_model("llama-q8_0", NULL);
    strata_peaks p;
    host_set(&h);
    uint64_t before = host_state();
    int rc = strata_measure_peaks(m, 2, &p, NULL);
    uint64_t after = host_state();
    fesetenv(FE_DFL_ENV);
    assert_int_equal(rc, STRATA_OK);
    assert_true(before == after);
    assert_true(p.read_gbs[0] > 0);
    strata_model_close(m);
}

/* A callback that sets another state keeps it: it is the caller's. */
static void sets_rounding(void *user, size_t done, size_t n)
{
    (void)user, (void)done, (void)n;
    fesetround(FE_DOWNWARD);
}

static void test_callback_changes_it(void **state)
{
    (void)state;
    strata_model *m = open_model("bert", NULL);
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    float want[64], got[64];
    embed_one(c, text_of("a text"), NULL, want, 64);
    const strata_text t = text_of("a text");
    int rc = strata_embed(c, &t, 1, &(strata_embed_opts){.progress = sets_rounding}, got, 64, NULL, NULL);
    int rounding = fegetround();
    fesetenv(FE_DFL_ENV);
    assert_int_equal(rc, STRATA_OK);
    assert_int_equal(rounding, FE_DOWNWARD);
    assert_memory_equal(got, want, sizeof want);
    strata_ctx_close(c);
    strata_model_close(m);
}

/* A call inside a callback of another has the host's state around it too. */
static void embeds(void *user, size_t done, size_t n)
{
    (void)done, (void)n;
    strata_ctx *c = ((void **)user)[0];
    watch *w = ((void **)user)[1];
    float v[64];
    strata_text t = {"b", 1};
    look(w, PROGRESS);
    if (strata_embed(c, &t, 1, &(strata_embed_opts){.progress = on_progress, .progress_user = w}, v, 64, NULL, NULL))
        atomic_store(&w->wrong, ALL);
    look(w, PROGRESS);
}

static void test_call_inside_callback(void **state)
{
    (void)state;
    const host h = {"", FE_UPWARD, 1, 0};
    strata_model *m = open_model("bert", NULL);
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8), *other = open_ctx(m, 2, STRATA_PRECISION_I8);
    float want[64], got[64];
    watch w = {0};
    void *user[] = {other, &w};
    const strata_text t = text_of("a text");
    embed_one(c, t, NULL, want, 64);
    host_set(&h);
    w.state = host_state();
    int rc =
        strata_embed(c, &t, 1, &(strata_embed_opts){.progress = embeds, .progress_user = user}, got, 64, NULL, NULL);
    uint64_t after = host_state();
    fesetenv(FE_DFL_ENV);
    assert_int_equal(rc, STRATA_OK);
    assert_int_equal(w.wrong, 0);
    assert_true(after == w.state);
    assert_memory_equal(got, want, sizeof want);
    strata_ctx_close(c);
    strata_ctx_close(other);
    strata_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_states), cmocka_unit_test(test_peaks),
                                       cmocka_unit_test(test_callback_changes_it),
                                       cmocka_unit_test(test_call_inside_callback)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
