/* test_walk_real.c: test_walk.c's question to a real model with its real rings: Gemma 3 270M, windows of 512, 2,000
 * tokens. Prompts that shrink twice, a call that is cancelled after it wrote over old keys, and a walk of those; all
 * logits are those of a fresh context. STRATA_WALK=N calls of the walk. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <unistd.h>

#include "support/sanitized.h"
#include "unit/test_api.h"

#if SANITIZED || !defined(__OPTIMIZE__) || !defined(__x86_64__)
enum { CALLS = 0, SLOW = 1 };
#else
enum { CALLS = 8, SLOW = 0 };
#endif

enum { N_CTX = 2048 };

static const char *find_model(void)
{
    static char path[1024];
    static const char name[] = "gemma-3-270m-q4_k_m.gguf";
    const char *models = getenv("STRATA_TEST_MODELS"), *home = getenv("HOME"), *ci = getenv("CI");
    if (models)
        snprintf(path, sizeof path, "%s/%s", models, name);
    else
        snprintf(path, sizeof path, "%s/.cache/strata-test-models/%s", home ? home : "", name);
    if (access(path, R_OK) == 0) return path;
    fprintf(stderr, "\nNOT TESTED: real rings of a cache: %s is not here\n", path);
    if (ci && strcmp(ci, "true") == 0) fail_msg("%s is missing", path);
    return NULL;
}

typedef struct subject {
    strata_model *m;
    strata_ctx *c;
    uint32_t n_vocab, at, ops;
    volatile int cancel;
    int32_t ids[N_CTX];
    float *want;
} subject;

static void on_op(void *user, uint32_t op, const char *kind, int layer, double micros)
{
    subject *s = user;
    (void)op, (void)kind, (void)layer, (void)micros;
    if (++s->ops == s->at) s->cancel = 1;
}

static strata_ctx *open_cache(subject *s, bool traced)
{
    strata_ctx *c = NULL;
    strata_ctx_opts o = {.n_threads = traced ? 1 : 0, .n_seqs = 1, .n_ctx = N_CTX};
    if (traced) o.trace = on_op, o.trace_user = s;
    OK(strata_ctx_open(s->m, &o, &c, err));
    return c;
}

/* The first `keep` ids stay, the others change. */
static void change(subject *s, uint32_t keep, uint32_t salt)
{
    for (uint32_t i = keep; i < N_CTX; i++) s->ids[i] = 1000 + (int32_t)((i * 7919u + salt * 104729u) % 100000u);
}

static void sync_to(subject *s, uint32_t n, const char *what)
{
    const float *l;
    strata_ctx *fresh = open_cache(s, false);
    OK(strata_ctx_sync(fresh, 0, s->ids, n, 0, NULL, &l, err));
    memcpy(s->want, l, s->n_vocab * sizeof *l);
    strata_ctx_close(fresh);
    OK(strata_ctx_sync(s->c, 0, s->ids, n, 0, NULL, &l, err));
    if (memcmp(l, s->want, s->n_vocab * sizeof *l) != 0) fail_msg("%s: %u tokens: other bits", what, n);
}

static void shrinks_twice(subject *s)
{
    const float *l;
    change(s, 0, 1);
    OK(strata_ctx_sync(s->c, 0, s->ids, 1700, 0, NULL, &l, err));
    change(s, 1300, 2);
    OK(strata_ctx_sync(s->c, 0, s->ids, 1310, 0, NULL, &l, err));
    change(s, 1000, 3);
    sync_to(s, 1010, "1700, 1310, 1010");
}

/* Stopped in the second chunk of 512 of its new part. */
static void cancelled(subject *s)
{
    const float *l;
    change(s, 0, 4);
    s->ops = 0;
    s->at = 0;
    OK(strata_ctx_sync(s->c, 0, s->ids, 1200, 0, NULL, &l, err));
    uint32_t a_run = s->ops / 3;
    s->ops = 0;
    s->at = a_run + a_run / 2;
    if (strata_ctx_sync(s->c, 0, s->ids, 2040, 0, &s->cancel, &l, NULL) != STRATA_CANCELLED) fail_msg("not cancelled");
    s->cancel = 0;
    s->at = 0;
    change(s, 1000, 5);
    sync_to(s, 1010, "1200, 2040 cancelled, 1010");
}

static void walks(subject *s)
{
    const char *calls = getenv("STRATA_WALK");
    uint64_t rng = 7;
    uint32_t held = 0;
    for (uint32_t i = 0, n = calls ? (uint32_t)atoi(calls) : CALLS; i < n; i++) {
        uint32_t keep = rng_next(&rng) % 3 ? held - (held ? rng_next(&rng) % held : 0) : held / 2;
        uint32_t to = keep + 1 + rng_next(&rng) % (i % 2 ? 60 : 900);
        const float *l;
        change(s, keep, 10 + i);
        if (to > N_CTX) to = N_CTX;
        if (rng_next(&rng) % 3 == 0) { /* stopped: what it did is unknown */
            s->ops = 0;
            s->at = 1 + rng_next(&rng) % 600;
            (void)strata_ctx_sync(s->c, 0, s->ids, to, 0, &s->cancel, &l, NULL);
            s->cancel = 0;
            s->at = 0;
        } else {
            sync_to(s, to, "walk");
        }
        held = to;
    }
}

static void test_real_rings(void **state)
{
    (void)state;
    const char *path = find_model();
    if (!path) skip();
    subject s = {0};
    strata_model_info info;
    OK(strata_model_open(path, NULL, &s.m, err));
    strata_model_get_info(s.m, &info);
    assert_int_equal(info.window, 512);
    s.n_vocab = info.n_vocab;
    s.want = malloc(s.n_vocab * sizeof *s.want);
    s.c = open_cache(&s, true);
    shrinks_twice(&s);
    if (!SLOW) cancelled(&s);
    walks(&s);
    strata_ctx_close(s.c);
    strata_model_close(s.m);
    free(s.want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_real_rings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
