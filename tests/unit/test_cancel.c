/* test_cancel.c: cancelling and deadlines take effect before the next op, wherever in a call they come.
 *
 * The trace callback comes after each op on the thread of the call: it raises the flag, or waits for the deadline to
 * pass, after the k-th op, and no other may follow. */
#include "base/os/thread.h"
#include "unit/test_api.h"

enum { N_PROMPT = 9, MAX_NEW = 5 };

typedef struct stopper {
    uint32_t at, seen; /* ops after which to stop, ops until now */
    volatile int cancel;
    double wait; /* seconds to let pass instead, 0: cancel */
    int32_t ids[MAX_NEW];
    uint32_t n_ids;
} stopper;

static void on_trace(void *user, uint32_t op, const char *kind, int layer, double micros)
{
    stopper *s = user;
    (void)op, (void)kind, (void)layer, (void)micros;
    if (++s->seen != s->at) return;
    if (s->wait == 0) __atomic_store_n(&s->cancel, 1, __ATOMIC_RELAXED);
    for (double from = st_now(); s->wait > 0 && st_now() <= from + s->wait;) continue;
}

static int on_text(void *user, const char *text, size_t len, const strata_gen_token *t)
{
    stopper *s = user;
    (void)text, (void)len;
    if (t) s->ids[s->n_ids++] = t->id;
    return 0;
}

static strata_ctx *open_traced(const strata_model *m, uint32_t threads, uint32_t n_seqs, stopper *s)
{
    strata_ctx *c = NULL;
    OK(strata_ctx_open(
        m, &(strata_ctx_opts){.n_threads = threads, .trace = on_trace, .trace_user = s, .n_seqs = n_seqs}, &c, err));
    return c;
}

/* ---- the calls: each runs ops until *s stops it ------------------------------------------------------------------ */

static const int32_t prompt[N_PROMPT] = {1, 79, 178, 269, 170, 163, 12, 200, 5};

static int call_generate(strata_ctx *c, stopper *s, double deadline_ms)
{
    strata_gen_opts g = strata_gen_default();
    strata_gen_result r;
    g.temperature = 0;
    g.max_tokens = MAX_NEW;
    g.ignore_end = 1;
    g.chunk = 4;
    g.cancel = &s->cancel;
    g.deadline_ms = deadline_ms;
    g.on_text = on_text;
    g.user = s;
    s->n_ids = 0;
    return strata_generate(c, 0, prompt, N_PROMPT, &g, &r, NULL);
}

static int call_sync(strata_ctx *c, stopper *s, double deadline_ms)
{
    const float *logits;
    (void)deadline_ms;
    return strata_ctx_sync(c, 1, prompt, N_PROMPT, 3, &s->cancel, &logits, NULL);
}

static int call_embed(strata_ctx *c, stopper *s, double deadline_ms)
{
    static const char *const texts[] = {"one text", "another, longer text", "x"};
    float v[3 * 256];
    strata_text t[3];
    for (int i = 0; i < 3; i++) t[i] = text_of(texts[i]);
    strata_embed_opts o = {.pooling = STRATA_POOLING_MEAN, .cancel = &s->cancel, .deadline_ms = deadline_ms};
    return strata_embed(c, t, 3, &o, v, 256, NULL, NULL);
}

typedef int (*call)(strata_ctx *c, stopper *s, double deadline_ms);
static const struct {
    const char *name;
    call run;
    bool deadline; /* the call has one */
} calls[] = {{"generate", call_generate, true}, {"sync", call_sync, false}, {"embed", call_embed, true}};
enum { N_CALLS = sizeof calls / sizeof *calls };

/* Ops of the call when nothing stops it, in a fresh context. */
static uint32_t ops_of(const strata_model *m, int which)
{
    stopper s = {0};
    strata_ctx *c = open_traced(m, 1, 2, &s);
    assert_int_equal(calls[which].run(c, &s, 0), STRATA_OK);
    strata_ctx_close(c);
    return s.seen;
}

static void test_cancel(void **state)
{
    (void)state;
    strata_model *m = open_level("llama-q8_0", NULL);
    for (int which = 0; which < N_CALLS; which++) {
        uint32_t n = ops_of(m, which);
        assert_true(n > 20);
        for (uint32_t threads = 1; threads <= 3; threads++) {
            for (uint32_t at = 1; at < n; at++) {
                stopper s = {.at = at};
                strata_ctx *c = open_traced(m, threads, 2, &s);
                int rc = calls[which].run(c, &s, 0);
                if (rc != STRATA_CANCELLED || s.seen != at)
                    fail_msg("%s on %u threads, cancelled after op %u of %u: %s after %u", calls[which].name, threads,
                             at, n, strata_status_name(rc), s.seen);
                strata_ctx_close(c);
            }
        }
    }
    strata_model_close(m);
}

/* The callback lets the whole of it pass. On a loaded machine it may have passed earlier; an op after it is never
 * right.
 */
static void test_deadline(void **state)
{
    (void)state;
    static const double ms = 60;
    strata_model *m = open_level("llama-q8_0", NULL);
    for (int which = 0; which < N_CALLS; which++) {
        if (!calls[which].deadline) continue;
        uint32_t n = ops_of(m, which), at[] = {1, n / 2, n - 1};
        for (uint32_t threads = 1; threads <= 2; threads++) {
            for (int i = 0; i < 3; i++) {
                stopper s = {.at = at[i], .wait = ms * 1e-3};
                strata_ctx *c = open_traced(m, threads, 2, &s);
                int rc = calls[which].run(c, &s, ms);
                if (rc != STRATA_DEADLINE || s.seen > at[i])
                    fail_msg("%s on %u threads, deadline after op %u of %u: %s after %u", calls[which].name, threads,
                             at[i], n, strata_status_name(rc), s.seen);
                strata_ctx_close(c);
            }
        }
    }
    strata_model_close(m);
}

/* What a stopped call leaves in the cache is not trusted: the next one gives what a fresh context gives. Here another
 * text, which begins as the prompt does, is stopped over the cache of the prompt. */
static void test_after(void **state)
{
    (void)state;
    strata_model *m = open_level("llama-q8_0", NULL);
    stopper fresh = {0}, s = {0};
    int32_t other[N_PROMPT + MAX_NEW];
    const float *logits;
    for (int32_t i = 0; i < N_PROMPT + MAX_NEW; i++) other[i] = i < 4 ? prompt[i] : 20 + 7 * i;
    strata_ctx *c = open_traced(m, 2, 2, &fresh);
    assert_int_equal(call_generate(c, &fresh, 0), STRATA_OK);
    strata_ctx_close(c);
    c = open_traced(m, 2, 2, &s);
    for (uint32_t at = 0;; at++) {
        s = (stopper){0};
        assert_int_equal(call_generate(c, &s, 0), STRATA_OK);
        assert_int_equal(s.n_ids, fresh.n_ids);
        assert_memory_equal(s.ids, fresh.ids, sizeof s.ids);
        s = (stopper){.at = at + 1};
        int rc = strata_ctx_sync(c, 0, other, N_PROMPT + MAX_NEW, 3, &s.cancel, &logits, NULL);
        if (rc == STRATA_OK) break; /* it had no more ops than that */
        assert_int_equal(rc, STRATA_CANCELLED);
    }
    assert_true(s.at > 20);
    strata_ctx_close(c);
    strata_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cancel), cmocka_unit_test(test_deadline),
                                       cmocka_unit_test(test_after)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
