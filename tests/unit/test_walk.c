/* test_walk.c: a random walk over the calls that change the state of a context, each state against a fresh one.
 *
 * Sequences are synchronised, stepped alone and together and generated into, from texts that begin as others did; calls
 * are cancelled before a random op, run into deadlines, get no memory, or meet a token whose embedding is no number.
 * Whatever came before, a call that succeeds gives the bits that a fresh context gives for the same tokens, and
 * n_cached is what did not run again. Every committed decoder, each type of cache; rings are small, so that they come
 * round many times within a context of 256.
 *
 * STRATA_WALK=N calls for each model and type, STRATA_WALK_SEED another walk. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* posix_memalign, readdir */
#endif
#include <dirent.h>

#include "base/os/thread.h"
#include "engine/engine.h"
#include "support/sanitized.h"
#include "unit/test_api.h"

#if SANITIZED || !defined(__OPTIMIZE__) || !defined(__x86_64__)
enum { CALLS = SANITIZED_THREAD ? 4 : 12 };
#else
enum { CALLS = 100 };
#endif

enum { MAX_CTX = 256, MAX_VOCAB = 1024, MAX_NEW = 6, SEQS = 2 };

/* ---- what a walk holds ------------------------------------------------------------------------------------------- */

/* Memory that fails at allocation number fail_at, 0: never. */
typedef struct heap {
    _Atomic size_t n;
    size_t fail_at;
} heap;

static void *take(void *user, size_t size, size_t align)
{
    heap *h = user;
    size_t n = atomic_fetch_add(&h->n, 1) + 1;
    void *p = NULL;
    if (h->fail_at && n == h->fail_at) return NULL;
    return posix_memalign(&p, align, size) == 0 ? p : NULL;
}

static void give(void *user, void *p)
{
    (void)user;
    free(p);
}

typedef struct text {
    int32_t ids[MAX_CTX];
    uint32_t n;
} text;

typedef enum fault { NONE, CANCEL, DEADLINE, MEMORY } fault;

typedef struct walk {
    const char *name;
    strata_model *m;
    heap heap;
    int kv;
    uint32_t n_ctx, n_vocab, n_batch, n_threads;
    int32_t poison; /* a token that makes NaN, -1: none */
    uint64_t rng;
    uint32_t call;
    strata_ctx *c;
    text held[SEQS];  /* what a sequence holds, if known */
    bool known[SEQS]; /* the last call that changed it succeeded */
    text asked[SEQS]; /* and what it was last asked to hold: the next text begins so */

    /* the call that is made */
    fault fault;
    volatile int cancel;
    uint32_t at, ops, runs; /* the op after which it is stopped, 0: never; ops and runs of the backend so far */
    double until;           /* the deadline, for DEADLINE */
} walk;

static uint32_t draw(walk *w, uint32_t n)
{
    return rng_next(&w->rng) % n;
}

static void on_op(void *user, uint32_t op, const char *kind, int layer, double micros)
{
    walk *w = user;
    (void)kind, (void)layer, (void)micros;
    w->runs += op == 0;
    if (++w->ops != w->at) return;
    w->cancel = w->fault == CANCEL;
    while (w->fault == DEADLINE && st_now() <= w->until) continue;
}

#define WRONG(w, ...)                                                                                                \
    do {                                                                                                             \
        char what_[256];                                                                                             \
        snprintf(what_, sizeof what_, __VA_ARGS__);                                                                  \
        fail_msg("%s, kv %d, ring of window + %u, call %u: %s", (w)->name, (w)->kv, (w)->n_batch, (w)->call, what_); \
    } while (0)

/* ---- the fresh context ------------------------------------------------------------------------------------------- */

static strata_ctx *fresh_context(const walk *w)
{
    strata_ctx *c = NULL;
    OK(strata_ctx_open(w->m, &(strata_ctx_opts){.n_threads = 1, .n_seqs = 1, .n_ctx = w->n_ctx, .kv = w->kv}, &c, err));
    return c;
}

static void same_as_fresh(const walk *w, const text *t, const float *logits, const char *what)
{
    float got[MAX_VOCAB];
    const float *want;
    memcpy(got, logits, w->n_vocab * sizeof *got);
    strata_ctx *c = fresh_context(w);
    OK(strata_ctx_sync(c, 0, t->ids, t->n, 0, NULL, &want, err));
    if (memcmp(got, want, w->n_vocab * sizeof *got) != 0)
        WRONG(w, "%s of %u tokens: other bits than a fresh context", what, t->n);
    strata_ctx_close(c);
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

static bool has_poison(const walk *w, const text *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->ids[i] == w->poison) return true;
    return false;
}

static int32_t draw_id(walk *w)
{
    if (w->poison >= 0 && draw(w, 600) == 0) return w->poison;
    int32_t id = (int32_t)draw(w, w->n_vocab);
    return id == w->poison ? 0 : id;
}

/* A text that begins as one of the sequences held or was asked to hold, and goes on otherwise. */
static text draw_text(walk *w, uint32_t most)
{
    uint32_t s = draw(w, SEQS);
    text t = draw(w, 3) ? w->asked[s] : w->held[s];
    uint32_t keep = draw(w, t.n + 1), more = 1 + draw(w, draw(w, 3) ? 24 : MAX_CTX);
    if (draw(w, 3) == 0) keep = t.n; /* goes on */
    if (draw(w, 8) == 0) more = 0;   /* the same or its beginning */
    if (keep + more == 0) more = 1;
    if (keep >= most) keep = most - 1;
    t.n = keep + more < most ? keep + more : most;
    if (t.n == 0) t.n = 1;
    for (uint32_t i = keep; i < t.n; i++) t.ids[i] = draw_id(w);
    return t;
}

static uint32_t common(const text *a, const text *b)
{
    uint32_t n = 0;
    while (n < a->n && n < b->n && a->ids[n] == b->ids[n]) n++;
    return n;
}

static bool uses_long(const walk *w, uint32_t n)
{
    return w->m->weights.rope_factors_long.v && n > w->m->config.rope_original;
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static void begin(walk *w, bool may_deadline)
{
    uint32_t kind = draw(w, 10);
    w->fault = kind == 0 || kind == 1 ? CANCEL : kind == 2 ? MEMORY : kind == 3 && may_deadline ? DEADLINE : NONE;
    w->cancel = 0;
    w->ops = w->runs = 0;
    w->at = 1 + draw(w, w->m->plan.n_ops * (1 + draw(w, 6)));
    if (w->fault == NONE || w->fault == MEMORY) w->at = 0;
    if (w->fault == MEMORY) w->heap.fail_at = w->heap.n + 1 + draw(w, 5);
}

/* Whether the call failed for the reason that it was given. */
static bool ended(walk *w, int rc, bool poisoned, const char *what)
{
    w->heap.fail_at = 0;
    if (rc == STRATA_OK) return false;
    if ((rc == STRATA_CANCELLED && w->fault == CANCEL) || (rc == STRATA_DEADLINE && w->fault == DEADLINE) ||
        (rc == STRATA_NO_MEMORY && w->fault == MEMORY) || (rc == STRATA_NONFINITE && poisoned))
        return true;
    WRONG(w, "%s: %s", what, strata_status_name(rc));
    return true;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static uint32_t draw_chunk(walk *w)
{
    static const uint32_t chunks[] = {0, 0, 1, 3, 16, 50};
    return chunks[draw(w, 6)];
}

static uint32_t runs_of(const walk *w, uint32_t n, uint32_t chunk)
{
    if (chunk == 0 || chunk > w->n_batch) chunk = w->n_batch;
    return (n + chunk - 1) / chunk;
}

/* What a call that goes over `t` may leave out, and what it must: a sequence that merely goes on. */
static void check_reuse(const walk *w, uint32_t s, const text *t, uint32_t cached)
{
    uint32_t same = common(&w->held[s], t), most = same < t->n ? same : t->n - 1;
    bool whole = uses_long(w, w->held[s].n) == uses_long(w, t->n);
    if (!w->known[s]) return;
    if (cached > most) WRONG(w, "%u tokens reused, %u were the same", cached, most);
    if (whole && cached < most && (!w->m->config.window || same == w->held[s].n))
        WRONG(w, "%u tokens reused, %u could be", cached, most);
}

static void call_sync(walk *w)
{
    uint32_t s = draw(w, SEQS), chunk = draw_chunk(w);
    text t = draw_text(w, w->n_ctx);
    const float *logits = NULL;
    bool poisoned = has_poison(w, &t);
    begin(w, false);
    int rc = strata_ctx_sync(w->c, s, t.ids, t.n, chunk, &w->cancel, &logits, NULL);
    w->asked[s] = t;
    if (ended(w, rc, poisoned, "sync")) {
        assert_null(logits);
        w->known[s] = false;
        return;
    }
    if (poisoned) WRONG(w, "sync: NaN passed");
    uint32_t same = w->known[s] ? common(&w->held[s], &t) : t.n;
    if (w->n_threads == 1 && w->runs < runs_of(w, t.n - (same < t.n ? same : t.n - 1), chunk))
        WRONG(w, "sync: more tokens reused than the %u that were the same", same);
    w->held[s] = t;
    w->known[s] = true;
    same_as_fresh(w, &t, logits, "sync");
}

/* What became of a step, by the rules of strata.h. */
static int step_status(const walk *w, const uint32_t *seqs, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!w->known[seqs[i]]) return STRATA_INVALID_ARG;
        uint32_t len = w->held[seqs[i]].n;
        if (len >= w->n_ctx || uses_long(w, len) != uses_long(w, len + 1)) return STRATA_TOO_LONG;
    }
    return STRATA_OK;
}

static void call_steps(walk *w)
{
    uint32_t n = 1 + draw(w, SEQS), first = draw(w, SEQS), times = 1 + draw(w, 20);
    const uint32_t seqs[SEQS] = {first, SEQS - 1 - first};
    const float *logits[SEQS] = {NULL, NULL};
    bool done = false;
    for (uint32_t k = 0; k < times; k++) {
        int32_t ids[SEQS] = {draw_id(w), draw_id(w)};
        bool poisoned = ids[0] == w->poison || (n > 1 && ids[1] == w->poison);
        int want = step_status(w, seqs, n);
        const float *got[SEQS] = {NULL, NULL};
        begin(w, false);
        int rc = strata_ctx_step(w->c, seqs, ids, n, &w->cancel, got, NULL);
        if (want) {
            w->heap.fail_at = 0;
            if (rc != want) WRONG(w, "step: %s, want %s", strata_status_name(rc), strata_status_name(want));
            break;
        }
        if (ended(w, rc, poisoned, "step")) { /* each sequence holds what it held: on with the next */
            assert_true(!got[0] && !got[1]);
            done = false; /* the logits were those of the call before */
            continue;
        }
        if (poisoned) WRONG(w, "step: NaN passed");
        for (uint32_t i = 0; i < n; i++) {
            text *t = &w->held[seqs[i]];
            t->ids[t->n++] = ids[i];
            w->asked[seqs[i]] = *t;
            logits[i] = got[i];
        }
        done = true;
    }
    if (!done) return;
    float rows[SEQS][MAX_VOCAB];
    for (uint32_t i = 0; i < n; i++) memcpy(rows[i], logits[i], w->n_vocab * sizeof *rows[i]);
    for (uint32_t i = 0; i < n; i++) same_as_fresh(w, &w->held[seqs[i]], rows[i], "step");
}

static int on_text(void *user, const char *p, size_t len, const strata_gen_token *token)
{
    text *t = user;
    (void)p, (void)len;
    if (token) t->ids[t->n++] = token->id;
    return 0;
}

static void call_generate(walk *w)
{
    uint32_t s = draw(w, SEQS), chunk = draw_chunk(w), before;
    text t = draw_text(w, w->n_ctx - MAX_NEW), got = t, want = t;
    strata_gen_opts g = strata_gen_default();
    strata_gen_result r;
    memset(&r, 0x5a, sizeof r);
    strata_gen_result untouched = r;
    before = t.n;
    g.temperature = 0;
    g.max_tokens = 1 + draw(w, MAX_NEW);
    g.ignore_end = 1;
    g.chunk = chunk;
    g.on_text = on_text;
    g.user = &got;
    g.cancel = &w->cancel;
    begin(w, true);
    if (w->fault == DEADLINE) g.deadline_ms = 1;
    w->until = st_now() + 1e-3;
    int rc = strata_generate(w->c, s, t.ids, t.n, &g, &r, NULL);
    w->asked[s] = got;
    if (ended(w, rc, has_poison(w, &got), "generate")) {
        assert_memory_equal(&r, &untouched, sizeof r);
        w->known[s] = false;
        return;
    }
    if (r.n_prompt != before || r.n_new != got.n - before) WRONG(w, "generate: counts %u and %u", r.n_prompt, r.n_new);
    check_reuse(w, s, &t, r.n_cached);
    bool crosses = uses_long(w, before) != uses_long(w, got.n - 1); /* and then runs as a whole once more */
    if (w->n_threads == 1 && !crosses && w->runs != runs_of(w, before - r.n_cached, chunk) + r.n_new - 1)
        WRONG(w, "generate: n_cached %u of %u, but %u runs", r.n_cached, before, w->runs);
    strata_ctx *c = fresh_context(w);
    g.user = &want;
    g.cancel = NULL;
    g.deadline_ms = 0;
    OK(strata_generate(c, 0, t.ids, t.n, &g, NULL, err));
    strata_ctx_close(c);
    if (want.n != got.n || memcmp(want.ids, got.ids, want.n * sizeof *want.ids) != 0)
        WRONG(w, "generate: other tokens than a fresh context");
    got.n--; /* the last one was not run */
    w->held[s] = got;
    w->known[s] = true;
}

/* Nothing to hold: the sequence is empty, and its memory free. */
static void call_empty(walk *w)
{
    uint32_t s = draw(w, SEQS);
    const float *logits = NULL;
    if (strata_ctx_sync(w->c, s, NULL, 0, 0, NULL, &logits, NULL) != STRATA_EMPTY_PROMPT) WRONG(w, "no ids: not empty");
    w->known[s] = false;
    w->held[s].n = 0;
}

/* ---- walks ------------------------------------------------------------------------------------------------------- */

static uint32_t number(const char *name, uint32_t otherwise)
{
    const char *v = getenv(name);
    return v ? (uint32_t)strtoul(v, NULL, 10) : otherwise;
}

static void go(walk *w)
{
    uint32_t n = number("STRATA_WALK", CALLS);
    strata_ctx_opts o = {.n_threads = w->n_threads, .n_seqs = SEQS, .n_ctx = w->n_ctx, .kv = w->kv};
    if (w->n_threads == 1) o.trace = on_op, o.trace_user = w;
    OK(st_ctx_open(w->m, &o, w->n_batch, &w->c, err));
    for (uint32_t s = 0; s < SEQS; s++) w->known[s] = false, w->held[s].n = w->asked[s].n = 0;
    for (w->call = 1; w->call <= n; w->call++) {
        uint32_t kind = draw(w, 20);
        if (kind < 10)
            call_sync(w);
        else if (kind < 15)
            call_steps(w);
        else if (kind < 19)
            call_generate(w);
        else
            call_empty(w);
    }
    strata_ctx_close(w->c);
}

/* Makes the embedding of the last token NaN, where the output matrix is another one. */
static int32_t poison_blob(blob b)
{
    st_mem mem;
    st_gguf g;
    st_mem_init(&mem, NULL, 0);
    assert_int_equal(st_gguf_parse(&g, b.data, b.size, "blob", false, &mem, NULL), 0);
    const st_gguf_tensor *embd = NULL;
    bool apart = false;
    int32_t id = -1;
    for (size_t i = 0; i < g.n_tensors; i++) {
        apart |= st_str_eq(g.tensors[i].name, "output.weight");
        if (st_str_eq(g.tensors[i].name, "token_embd.weight")) embd = &g.tensors[i];
    }
    if (apart && embd) {
        id = (int32_t)embd->dims[1] - 1;
        size_t row = embd->bytes / (size_t)embd->dims[1];
        memset(b.data + (embd->data - b.data) + row * (size_t)id, 0xff, row); /* NaN as a float, a half or a scale */
    }
    st_gguf_free(&g);
    return id;
}

static bool is_decoder(const strata_model *m)
{
    return m->config.causal && m->plan.logits < m->plan.n_ops;
}

/* One file: every type of cache, rings of several sizes, with an op's trace and with threads. */
static bool walk_file(const char *path, const char *name)
{
    static const uint32_t batches[] = {16, 5, 40, 150};
    blob b = blob_read(path);
    walk *w = calloc(1, sizeof *w);
    strata_allocator a = {take, give, &w->heap};
    w->name = name;
    w->poison = poison_blob(b);
    w->m = open_blob(b, &(strata_model_opts){.allocator = &a, .n_threads = 1});
    bool decoder = is_decoder(w->m);
    w->n_vocab = w->m->weights.n_vocab;
    w->n_ctx = w->m->config.n_ctx < MAX_CTX ? w->m->config.n_ctx : MAX_CTX;
    if (decoder && w->n_vocab <= MAX_VOCAB) {
        w->rng = number("STRATA_WALK_SEED", 1) + b.size;
        for (w->kv = STRATA_KV_F16; w->kv <= STRATA_KV_Q8; w->kv++) {
            w->n_batch = batches[draw(w, 4)];
            w->n_threads = draw(w, 6) ? 1 : 2;
            go(w);
        }
    }
    strata_model_close(w->m);
    free(w);
    free(b.data);
    return decoder;
}

static void test_walk(void **state)
{
    (void)state;
    char folder[512], path[1024];
    uint32_t n = 0;
    snprintf(folder, sizeof folder, "%s/tests/data/tiny", STRATA_SOURCE_DIR);
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".gguf") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        n += walk_file(path, e->d_name);
    }
    closedir(d);
    assert_true(n > 30);
    printf("%u decoders\n", n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_walk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
