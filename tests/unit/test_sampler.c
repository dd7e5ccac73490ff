/* test_sampler.c: the sampler against a plain reference, exact distributions and values computed by hand. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* posix_memalign */
#endif
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sample/sampler.h"

#define N(a) (sizeof(a) / sizeof(a)[0])

static uint32_t rnd(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*s >> 33);
}

static double unit(uint64_t *s)
{
    return (double)rnd(s) / 2147483648.0;
}

/* Everything off: draws from the softmax. */
static st_sampler_params plain(void)
{
    st_sampler_params q = st_sampler_default();
    q.temperature = 1;
    q.top_k = 0;
    q.top_p = 1;
    q.min_p = 0;
    return q;
}

static st_sampler *open_sampler(const st_sampler_params *q, uint32_t n, st_mem *mem)
{
    st_sampler *s = NULL;
    strata_error err;
    if (st_sampler_open(q, n, mem, &s, &err)) fail_msg("%s", err.msg);
    return s;
}

static int32_t draw(st_sampler *s, float *logits, const uint32_t *mask)
{
    st_sampled out;
    strata_error err;
    if (st_sampler_sample(s, logits, mask, &out, &err)) fail_msg("%s", err.msg);
    return out.id;
}

/* ---- the reference: sorts everything, in double ------------------------------------------------------------------ */

typedef struct candidate {
    uint32_t id;
    double logit, p, score;
} candidate;

static int by_logit(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int by_score(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int by_id(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    return x->id < y->id ? -1 : 1;
}

static void ref_softmax(candidate *c, size_t n)
{
    double sum = 0;
    qsort(c, n, sizeof *c, by_logit);
    for (size_t i = 0; i < n; i++) sum += c[i].p = exp(c[i].logit - c[0].logit);
    for (size_t i = 0; i < n; i++) c[i].p /= sum;
}

static size_t ref_chain(const st_sampler_params *q, candidate *c, size_t n, uint32_t n_vocab, double mu)
{
    size_t keep = q->min_keep ? q->min_keep : 1;
    if (q->mirostat) {
        for (size_t i = 0; i < n; i++) c[i].logit = (double)((float)c[i].logit / q->temperature);
        ref_softmax(c, n);
        if (q->mirostat == 2) {
            size_t k = 0;
            while (k < n && -log2(c[k].p) <= mu) k++;
            n = k ? k : 1;
        } else {
            double tb = 0, tt = 0;
            for (size_t i = 0; i < 99 && i + 1 < n; i++) {
                double t = log((double)(i + 2) / (double)(i + 1)), b = log(c[i].p / c[i + 1].p);
                tb += t * b;
                tt += t * t;
            }
            double s = tb / tt, e = s - 1, k = pow(e * pow(2, mu) / (1 - pow((double)n_vocab, -e)), 1 / s);
            size_t kept = k < 1 || isnan(k) ? 1 : k < (double)n ? (size_t)k : n;
            n = kept;
        }
        ref_softmax(c, n);
        return n;
    }
    qsort(c, n, sizeof *c, by_logit);
    if (q->top_k && q->top_k < n) n = q->top_k;
    if (q->typical_p < 1) {
        double h = 0, sum = 0;
        ref_softmax(c, n);
        for (size_t i = 0; i < n; i++) h -= c[i].p > 0 ? c[i].p * log(c[i].p) : 0;
        for (size_t i = 0; i < n; i++) c[i].score = (double)(float)fabs(-log(c[i].p) - h);
        qsort(c, n, sizeof *c, by_score);
        for (size_t i = 0; i < n; i++) {
            sum += c[i].p;
            if (sum > (double)q->typical_p && i + 1 >= keep) n = i + 1;
        }
    }
    if (q->top_p < 1) {
        double sum = 0;
        ref_softmax(c, n);
        for (size_t i = 0; i < n; i++) {
            sum += c[i].p;
            if (sum >= (double)q->top_p && i + 1 >= keep) n = i + 1;
        }
    }
    if (q->min_p > 0) {
        qsort(c, n, sizeof *c, by_logit);
        size_t k = 1;
        while (k < n && (c[k].logit >= c[0].logit + log((double)q->min_p) || k < keep)) k++;
        n = k;
    }
    for (size_t i = 0; i < n; i++) c[i].logit /= (double)q->temperature;
    ref_softmax(c, n);
    return n;
}

static void against_reference(void **state)
{
    (void)state;
    enum { MOST = 3000 };
    static float logits[MOST], given[MOST];
    static candidate c[MOST];
    static uint32_t mask[MOST / 32 + 1];
    uint64_t r = 42;
    int close = 0, calls = 0;
    for (int i = 0; i < 1500; i++) {
        static const uint32_t sizes[] = {1, 2, 7, 33, 500, 1100, MOST};
        uint32_t n = sizes[rnd(&r) % N(sizes)];
        st_sampler_params q = plain();
        q.seed = rnd(&r);
        q.temperature = (float)(0.2 + 2 * unit(&r));
        if (rnd(&r) % 2) q.top_k = 1 + rnd(&r) % (rnd(&r) % 4 ? 50 : 900);
        if (rnd(&r) % 2) q.top_p = (float)unit(&r);
        if (rnd(&r) % 3 == 0) q.min_p = (float)(unit(&r) * 0.5);
        if (rnd(&r) % 3 == 0) q.typical_p = (float)unit(&r);
        if (rnd(&r) % 4 == 0) q.min_keep = rnd(&r) % 20;
        if (rnd(&r) % 5 == 0) q.mirostat = 1 + (int)(rnd(&r) % 2);
        q.mirostat_tau = (float)(1 + 5 * unit(&r));
        bool masked = rnd(&r) % 3 == 0, ties = rnd(&r) % 4 == 0 && q.typical_p == 1 && !q.mirostat;
        double width = 0.5 + 6 * unit(&r);
        st_mem mem;
        st_mem_init(&mem, NULL, 0);
        st_sampler *s = open_sampler(&q, n, &mem), *u = open_sampler(&q, n, &mem);
        for (int round = 0; round < 3; round++) {
            uint32_t m = 0;
            for (uint32_t k = 0; k < n; k++) {
                double x = (unit(&r) + unit(&r) + unit(&r) - 1.5) * 2 * width;
                logits[k] = ties ? (float)floor(x) : (float)x;
                if (rnd(&r) % 50 == 0) logits[k] = -INFINITY;
            }
            logits[n / 2] = 1;
            memset(mask, masked ? 0 : 0xff, sizeof mask);
            for (uint32_t k = 0; masked && k < n; k++)
                if (rnd(&r) % 3 == 0 || k == n / 2) mask[k >> 5] |= 1u << (k & 31);
            for (uint32_t k = 0; k < n; k++)
                if (mask[k >> 5] >> (k & 31) & 1 && logits[k] > -INFINITY)
                    c[m++] = (candidate){k, (double)logits[k], 0, 0};
            memcpy(given, logits, n * sizeof *logits);
            double uniform = st_sampler_uniform(u), run = 0, mu = st_sampler_mu(s);
            size_t left = ref_chain(&q, c, m, n, mu), k = 0;
            qsort(c, left, sizeof *c, by_id);
            bool near = false;
            uint32_t want = c[left - 1].id;
            for (; k < left; k++) {
                near |= fabs(run - uniform) < 1e-5;
                run += c[k].p;
                if (run > uniform && want == c[left - 1].id) want = c[k].id;
            }
            int32_t got = draw(s, logits, masked ? mask : NULL);
            assert_memory_equal(given, logits, n * sizeof *logits);
            calls++;
            close += near;
            if (!near && (uint32_t)got != want)
                fail_msg("%d: token %d, want %u (n %u, k %u, p %g, min %g, typ %g, keep %u, t %g, miro %d, kept %zu)",
                         i, got, want, n, q.top_k, (double)q.top_p, (double)q.min_p, (double)q.typical_p, q.min_keep,
                         (double)q.temperature, q.mirostat, left);
            if (q.mirostat && !near) {
                double p = 0;
                for (k = 0; k < left; k++)
                    if (c[k].id == (uint32_t)got) p = c[k].p;
                double next = mu - (double)q.mirostat_eta * (-log2(p) - (double)q.mirostat_tau);
                if (fabs(next - st_sampler_mu(s)) > 1e-4) fail_msg("mu %g, want %g", st_sampler_mu(s), next);
            }
            if (near) break; /* mu may differ from here on */
        }
        st_sampler_close(s);
        st_sampler_close(u);
        assert_true(mem.used == 0);
    }
    assert_true(close < calls / 20);
}

/* ---- distributions ----------------------------------------------------------------------------------------------- */

/* Chi-square of the counts against probabilities; fails beyond the 0.1 % point. The seed is fixed: no flakes. */
static void check_counts(const uint32_t *count, const double *p, uint32_t n, uint32_t draws, const char *what)
{
    double chi = 0;
    int freedom = -1;
    for (uint32_t i = 0; i < n; i++) {
        double e = p[i] * draws;
        if (p[i] == 0) {
            if (count[i]) fail_msg("%s: token %u was drawn %u times, want never", what, i, count[i]);
            continue;
        }
        chi += (count[i] - e) * (count[i] - e) / e;
        freedom++;
    }
    double limit = freedom * pow(1 - 2.0 / (9 * freedom) + 3.09 * sqrt(2.0 / (9 * freedom)), 3); /* Wilson-Hilferty */
    if (freedom > 0 && chi > limit) fail_msg("%s: chi-square %.1f of %d, limit %.1f", what, chi, freedom, limit);
}

static void distributions(void **state)
{
    (void)state;
    enum { VOCAB = 8, DRAWS = 40000 };
    static const struct {
        const char *what;
        float temperature, top_p, min_p, typical_p;
        uint32_t top_k;
        double keep[VOCAB]; /* 1: stays */
    } c[] = {
        /* p: .5517 .2030 .1231 .0747 .0275 .0101 .0061 .0037 */
        {"plain", 1, 1, 0, 1, 0, {1, 1, 1, 1, 1, 1, 1, 1}},
        {"hot", 2, 1, 0, 1, 0, {1, 1, 1, 1, 1, 1, 1, 1}},
        {"cold", 0.5f, 1, 0, 1, 0, {1, 1, 1, 1, 1, 1, 1, 1}},
        {"top-k", 1, 1, 0, 1, 3, {1, 1, 1, 0, 0, 0, 0, 0}},
        {"top-p", 1, 0.8f, 0, 1, 0, {1, 1, 1, 0, 0, 0, 0, 0}},
        {"min-p", 1, 1, 0.1f, 1, 0, {1, 1, 1, 1, 0, 0, 0, 0}},
        /* min-p and top-p look at the softmax before the temperature */
        {"hot min-p", 5, 1, 0.1f, 1, 0, {1, 1, 1, 1, 0, 0, 0, 0}},
        {"hot top-p", 5, 0.8f, 0, 1, 0, {1, 1, 1, 0, 0, 0, 0, 0}},
        /* top-p sees what top-k left: of the first two 0.731 and 0.269 */
        {"top-k, then top-p", 1, 0.7f, 0, 1, 2, {1, 0, 0, 0, 0, 0, 0, 0}},
        /* entropy 1.32 nats; |-ln p - H|: .73 .27 .77 1.27 2.27 ...: ids 1, 0 pass 0.7 */
        {"typical", 1, 1, 0, 0.7f, 0, {1, 1, 0, 0, 0, 0, 0, 0}},
    };
    static const float logits[VOCAB] = {2, 1, 0.5f, 0, -1, -2, -2.5f, -3};
    for (size_t i = 0; i < N(c); i++) {
        st_mem mem;
        st_mem_init(&mem, NULL, 0);
        st_sampler_params q = plain();
        q.temperature = c[i].temperature;
        q.top_p = c[i].top_p;
        q.min_p = c[i].min_p;
        q.typical_p = c[i].typical_p;
        q.top_k = c[i].top_k;
        q.seed = i;
        st_sampler *s = open_sampler(&q, VOCAB, &mem);
        float l[VOCAB];
        uint32_t count[VOCAB] = {0};
        double p[VOCAB], sum = 0;
        memcpy(l, logits, sizeof l);
        for (int k = 0; k < VOCAB; k++) sum += p[k] = c[i].keep[k] * exp((double)(logits[k] / c[i].temperature));
        for (int k = 0; k < VOCAB; k++) p[k] /= sum;
        for (int k = 0; k < DRAWS; k++) count[draw(s, l, NULL)]++;
        check_counts(count, p, VOCAB, DRAWS, c[i].what);
        st_sampler_close(s);
    }
    /* The generator itself: 64 equal cells. */
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_sampler_params q = plain();
    st_sampler *s = open_sampler(&q, 4, &mem);
    uint32_t cells[64] = {0};
    double p[64];
    for (int k = 0; k < 64; k++) p[k] = 1.0 / 64;
    for (int k = 0; k < 200000; k++) {
        double u = st_sampler_uniform(s);
        assert_true(u >= 0 && u < 1);
        cells[(int)(u * 64)]++;
    }
    check_counts(cells, p, 64, 200000, "uniform");
    st_sampler_close(s);
}

static void reproducible(void **state)
{
    (void)state;
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_sampler_params q = st_sampler_default();
    q.seed = 0;
    st_sampler *s = open_sampler(&q, 100, &mem), *t;
    /* splitmix64 from 0 gives e220a8397b1dcdaf, 6e789e6aa1b965f4, 06c45d188009454f. */
    assert_true(st_sampler_uniform(s) == (double)(0xe220a8397b1dcdafu >> 11) * 0x1p-53);
    assert_true(st_sampler_uniform(s) == (double)(0x6e789e6aa1b965f4u >> 11) * 0x1p-53);
    assert_true(st_sampler_uniform(s) == (double)(0x06c45d188009454fu >> 11) * 0x1p-53);
    st_sampler_close(s);
    float l[100];
    int32_t first[64];
    /* The same tokens on every machine: these were drawn once. */
    static const int32_t pinned[16] = {64, 42, 18, 37, 72, 67, 48, 15, 41, 68, 7, 21, 87, 60, 96, 97};
    q.seed = 1234;
    q.repeat_penalty = 1.1f;
    s = open_sampler(&q, 100, &mem);
    t = open_sampler(&q, 100, &mem);
    for (int round = 0; round < 2; round++) {
        uint64_t r = 9;
        for (int i = 0; i < 64; i++) {
            for (int k = 0; k < 100; k++) l[k] = (float)(rnd(&r) % 4096) / 512.0f;
            int32_t a = draw(s, l, NULL);
            st_sampler_accept(s, a);
            if (round == 0) {
                assert_int_equal(a, draw(t, l, NULL));
                st_sampler_accept(t, a);
                first[i] = a;
            }
            assert_int_equal(a, first[i]);
            if (i < 16 && a != pinned[i]) fail_msg("draw %d is %d, want %d", i, a, pinned[i]);
        }
        st_sampler_reset(s, 1234);
    }
    int same = 0;
    uint64_t r = 9;
    st_sampler_reset(s, 1235);
    for (int i = 0; i < 64; i++) {
        for (int k = 0; k < 100; k++) l[k] = (float)(rnd(&r) % 4096) / 512.0f;
        int32_t a = draw(s, l, NULL);
        st_sampler_accept(s, a);
        same += a == first[i];
    }
    assert_true(same < 32);
    st_sampler_close(s);
    st_sampler_close(t);
    assert_true(mem.used == 0);
}

/* ---- greedy, penalties, bias ------------------------------------------------------------------------------------- */

static void greedy(void **state)
{
    (void)state;
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_sampler_params q = st_sampler_default();
    q.temperature = 0;
    enum { VOCAB = 700 };
    st_sampler *s = open_sampler(&q, VOCAB, &mem);
    float l[VOCAB];
    uint32_t mask[VOCAB / 32 + 1] = {0};
    for (int i = 0; i < VOCAB; i++) l[i] = (float)(i % 7) - 10;
    assert_int_equal(draw(s, l, NULL), 6); /* the first of equals */
    l[699] = l[301] = 5;
    assert_int_equal(draw(s, l, NULL), 301);
    mask[699 / 32] = 1u << 699 % 32;
    mask[3] = 8;
    assert_int_equal(draw(s, l, mask), 699);
    l[699] = -INFINITY;
    assert_int_equal(draw(s, l, mask), 99);
    st_sampled out;
    strata_error err;
    mask[3] = 0;
    assert_int_equal(st_sampler_sample(s, l, mask, &out, &err), STRATA_NONFINITE);
    assert_non_null(strstr(err.msg, "every allowed token"));
    memset(mask, 0, sizeof mask);
    assert_int_equal(st_sampler_sample(s, l, mask, &out, &err), STRATA_BAD_GRAMMAR);
    static const float bad[] = {NAN, -NAN, INFINITY};
    for (size_t i = 0; i < N(bad); i++) {
        l[640] = bad[i];
        assert_int_equal(st_sampler_sample(s, l, NULL, &out, &err), STRATA_NONFINITE);
        assert_non_null(strstr(err.msg, i < 2 ? "token 640 is NaN" : "token 640 is infinity"));
        assert_int_equal(st_sampler_sample(s, l, NULL, &out, NULL), STRATA_NONFINITE);
    }
    for (int i = 0; i < VOCAB; i++) l[i] = -INFINITY;
    assert_int_equal(st_sampler_sample(s, l, NULL, &out, &err), STRATA_NONFINITE);
    st_sampler_close(s);
    /* The same errors of the drawing chain, with and without top-k. */
    for (uint32_t k = 0; k < 3; k++) {
        q = plain();
        q.top_k = k == 2 ? 600 : k * 5;
        s = open_sampler(&q, VOCAB, &mem);
        assert_int_equal(st_sampler_sample(s, l, NULL, &out, &err), STRATA_NONFINITE);
        assert_int_equal(st_sampler_sample(s, l, mask, &out, &err), STRATA_BAD_GRAMMAR);
        l[5] = 3e38f;
        l[6] = -3e38f;
        assert_int_equal(draw(s, l, NULL), 5);
        l[5] = l[6] = -INFINITY;
        st_sampler_close(s);
    }
    assert_true(mem.used == 0);
}

static void penalties(void **state)
{
    (void)state;
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    strata_logit_bias bias[] = {{2, 5.0f}, {3, -INFINITY}, {2, -1.0f}, {4, -1.0f}};
    st_sampler_params q = plain();
    q.repeat_penalty = 2;
    q.frequency_penalty = 0.25f;
    q.presence_penalty = 0.5f;
    q.repeat_last_n = 4;
    q.logit_bias = bias;
    q.n_logit_bias = N(bias);
    q.seed = 3;
    enum { VOCAB = 6, DRAWS = 30000 };
    st_sampler *s = open_sampler(&q, VOCAB, &mem);
    float l[VOCAB] = {1, -1, -2, 9, 0, 2}, given[VOCAB];
    memcpy(given, l, sizeof l);
    static const int32_t history[] = {5, 5, 1, 0, 1, 2}; /* the last 4: 1 0 1 2 */
    for (size_t i = 0; i < N(history); i++) st_sampler_accept(s, history[i]);
    st_sampler_accept(s, -1);
    st_sampler_accept(s, VOCAB);
    /* 0: 1/2 - .25 - .5; 1: -1*2 - 2*.25 - .5; 2: (-2+5-1)/2 - .25 - .5; 3: never; 4: 0-1; 5: 2, out of the window */
    static const double want[VOCAB] = {-0.25, -3, 0.25, -INFINITY, -1, 2};
    double p[VOCAB], sum = 0;
    uint32_t count[VOCAB] = {0};
    for (int i = 0; i < VOCAB; i++) sum += p[i] = exp(want[i]);
    for (int i = 0; i < VOCAB; i++) p[i] /= sum;
    for (int i = 0; i < DRAWS; i++) count[draw(s, l, NULL)]++;
    check_counts(count, p, VOCAB, DRAWS, "penalties");
    assert_memory_equal(l, given, sizeof l);
    st_sampler_reset(s, 4); /* the history is gone, the bias is not */
    static const double again[VOCAB] = {1, -1, 2, -INFINITY, -1, 2};
    sum = 0;
    memset(count, 0, sizeof count);
    for (int i = 0; i < VOCAB; i++) sum += p[i] = exp(again[i]);
    for (int i = 0; i < VOCAB; i++) p[i] /= sum;
    for (int i = 0; i < DRAWS; i++) count[draw(s, l, NULL)]++;
    check_counts(count, p, VOCAB, DRAWS, "bias");
    st_sampler_close(s);
    /* Greedy sees bias and penalties too. */
    q.temperature = 0;
    s = open_sampler(&q, VOCAB, &mem);
    assert_int_equal(draw(s, l, NULL), 2); /* 2 and 5 tie at 2 */
    st_sampler_accept(s, 2);
    assert_int_equal(draw(s, l, NULL), 5);
    st_sampler_accept(s, 5); /* 2/2 - .75 = .25; 0 still has 1 */
    assert_int_equal(draw(s, l, NULL), 0);
    st_sampler_close(s);
    /* Overflow stays finite. */
    q.repeat_penalty = 1e-6f;
    s = open_sampler(&q, VOCAB, &mem);
    l[5] = 3e38f;
    st_sampler_accept(s, 5);
    assert_int_equal(draw(s, l, NULL), 5);
    st_sampler_close(s);
    q.repeat_last_n = 0;
    s = open_sampler(&q, VOCAB, &mem);
    st_sampler_accept(s, 5);
    assert_int_equal(draw(s, l, NULL), 5);
    st_sampler_close(s);
    assert_true(mem.used == 0);
}

static void mirostat(void **state)
{
    (void)state;
    enum { VOCAB = 4000, STEPS = 6000 };
    static float l[VOCAB];
    for (int version = 1; version <= 2; version++)
        for (int tau = 2; tau <= 5; tau += 3) {
            st_mem mem;
            st_mem_init(&mem, NULL, 0);
            st_sampler_params q = plain();
            q.mirostat = version;
            q.mirostat_tau = (float)tau;
            q.mirostat_eta = 0.1f;
            st_sampler *s = open_sampler(&q, VOCAB, &mem);
            assert_true(st_sampler_mu(s) == 2.0 * tau);
            double surprise = 0;
            for (int i = 0; i < STEPS; i++) {
                for (int k = 0; k < VOCAB; k++) l[k] = -1.1f * logf((float)((k * 7 + i) % VOCAB + 1)); /* Zipf */
                double before = st_sampler_mu(s);
                draw(s, l, NULL);
                /* mu' = mu - eta (surprise - tau) */
                if (i >= 500) surprise += (before - st_sampler_mu(s)) / (double)q.mirostat_eta + tau;
            }
            surprise /= STEPS - 500;
            if (fabs(surprise - tau) > 0.02 * tau)
                fail_msg("mirostat %d: surprise %.3f bits, want %d", version, surprise, tau);
            st_sampler_reset(s, 1);
            assert_true(st_sampler_mu(s) == 2.0 * tau);
            for (int k = 0; k < VOCAB; k++) l[k] = 1; /* flat, and one token */
            draw(s, l, NULL);
            uint32_t mask[VOCAB / 32] = {0, 4};
            assert_int_equal(draw(s, l, mask), 34);
            st_sampler_close(s);
            assert_true(mem.used == 0);
        }
}

/* ---- log-probabilities ------------------------------------------------------------------------------------------- */

static void logprobs(void **state)
{
    (void)state;
    enum { VOCAB = 1001 };
    static float l[VOCAB];
    uint64_t r = 8;
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    strata_logit_bias bias = {7, 100};
    st_sampler_params q = st_sampler_default();
    q.logprobs = true;
    q.n_top = 20;
    q.logit_bias = &bias;
    q.n_logit_bias = 1;
    st_sampler *s = open_sampler(&q, VOCAB, &mem);
    for (int round = 0; round < 20; round++) {
        double sum = 0, max = -INFINITY;
        for (int k = 0; k < VOCAB; k++) {
            l[k] = (float)(unit(&r) * 40 - 20);
            if (k % 100 == 3) l[k] = -INFINITY;
            if (k % 100 == 4) l[k] = l[k - 2];
            if (k % 100 == 5) l[k] = -3e38f;
            if ((double)l[k] > max) max = (double)l[k];
        }
        for (int k = 0; k < VOCAB; k++) sum += exp((double)l[k] - max);
        double lse = max + log(sum);
        st_sampled out;
        strata_error err;
        assert_int_equal(st_sampler_sample(s, l, NULL, &out, &err), STRATA_OK);
        assert_int_equal(out.id, 7); /* by its bias, which its log-probability does not see */
        assert_true(fabs(out.logprob - ((double)l[7] - lse)) < 1e-12 * fabs(lse) + 1e-12);
        assert_int_equal(out.n_top, 20);
        for (uint32_t k = 0; k < out.n_top; k++) {
            uint32_t larger = 0;
            for (int j = 0; j < VOCAB; j++)
                larger += l[j] > l[out.top[k].id] || (l[j] == l[out.top[k].id] && j < out.top[k].id);
            assert_int_equal(larger, k);
            assert_true(fabs(out.top[k].logprob - ((double)l[out.top[k].id] - lse)) < 1e-12 * fabs(lse) + 1e-12);
        }
    }
    st_sampler_close(s);
    q.n_top = 1024; /* more than there are */
    q.n_logit_bias = 0;
    s = open_sampler(&q, 3, &mem);
    st_sampled out;
    float few[3] = {0, 1, -INFINITY};
    assert_int_equal(st_sampler_sample(s, few, NULL, &out, NULL), STRATA_OK);
    assert_int_equal(out.n_top, 2);
    assert_int_equal(out.top[0].id, 1);
    st_sampler_close(s);
    assert_true(mem.used == 0);
}

/* ---- parameters and memory --------------------------------------------------------------------------------------- */

static void parameters(void **state)
{
    (void)state;
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    strata_logit_bias ok = {1, -INFINITY}, wrong_id = {4, 0}, negative = {-1, 0}, nan_bias = {1, NAN},
                      inf_bias = {1, INFINITY};
    for (int i = 0; i < 25; i++) {
        st_sampler_params q = st_sampler_default();
        uint32_t n = 4;
        const char *want = NULL;
        q.logit_bias = &ok;
        q.n_logit_bias = 1;
        switch (i) {
        case 0: break;
        case 1: q.temperature = NAN, want = "temperature"; break;
        case 2: q.temperature = INFINITY, want = "temperature"; break;
        case 3: q.temperature = 1e-7f, want = "temperature is 1e-07"; break;
        case 4: q.top_p = 1.1f, want = "top_p is 1.1, want 0 to 1"; break;
        case 5: q.top_p = -0.1f, want = "top_p"; break;
        case 6: q.min_p = 2, want = "min_p"; break;
        case 7: q.typical_p = NAN, want = "typical_p"; break;
        case 8: q.repeat_penalty = 0, want = "repeat_penalty"; break;
        case 9: q.frequency_penalty = NAN, want = "frequency_penalty"; break;
        case 10: q.presence_penalty = INFINITY, want = "presence_penalty"; break;
        case 11: q.repeat_last_n = 1u << 21, want = "repeat_last_n"; break;
        case 12: q.mirostat = 3, want = "mirostat is 3"; break;
        case 13: q.mirostat = -1, want = "mirostat"; break;
        case 14: q.mirostat_tau = -1, want = "mirostat_tau"; break;
        case 15: q.mirostat_eta = NAN, want = "mirostat_eta"; break;
        case 16: q.n_top = 2000, want = "n_top"; break;
        case 17: q.logit_bias = NULL, want = "logit_bias is NULL"; break;
        case 18: q.logit_bias = &wrong_id, want = "logit_bias[0] is for token 4, want 0 to 3"; break;
        case 19: q.logit_bias = &negative, want = "token -1"; break;
        case 20: q.logit_bias = &nan_bias, want = "logit_bias[0] is"; break;
        case 21: q.logit_bias = &inf_bias, want = "logit_bias[0] is inf"; break;
        case 22: n = 0, want = "n_vocab"; break;
        case 23: q.temperature = -1; break; /* greedy */
        case 24: q.top_p = 0, q.min_p = 1, q.typical_p = 0; break;
        default: break;
        }
        st_sampler *s = NULL;
        strata_error err = {0};
        int rc = st_sampler_open(&q, n, &mem, &s, &err);
        if (want && (rc != STRATA_INVALID_ARG || !strstr(err.msg, want)))
            fail_msg("%d: %d '%s', want '%s'", i, rc, err.msg, want);
        if (!want) {
            float l[4] = {1, 8, 3, 2};
            assert_int_equal(rc, STRATA_OK);
            if (i) assert_int_equal(draw(s, l, NULL), 2); /* 1 is banned */
        }
        st_sampler_close(s);
    }
    st_sampler_close(NULL);
    assert_true(mem.used == 0);
}

typedef struct counting {
    int left, live, calls;
} counting;

static void *counting_alloc(void *user, size_t size, size_t align)
{
    counting *c = user;
    void *p = NULL;
    c->calls++;
    if (c->left-- <= 0 || posix_memalign(&p, align, size)) return NULL;
    c->live++;
    return p;
}

static void counting_free(void *user, void *p)
{
    ((counting *)user)->live--;
    free(p);
}

static void memory(void **state)
{
    (void)state;
    st_sampler_params q = st_sampler_default();
    q.repeat_penalty = 1.2f;
    q.logprobs = true;
    q.n_top = 3;
    for (int n = 0;; n++) {
        counting c = {n, 0, 0};
        st_mem mem;
        strata_error err = {0};
        st_sampler *s = NULL;
        st_mem_init(&mem, &(strata_allocator){counting_alloc, counting_free, &c}, 0);
        int rc = st_sampler_open(&q, 50, &mem, &s, &err);
        if (!rc) { /* and nothing after that */
            int calls = c.calls;
            float l[50] = {0};
            for (int i = 0; i < 200; i++) st_sampler_accept(s, draw(s, l, NULL));
            assert_int_equal(c.calls, calls);
        }
        st_sampler_close(s);
        assert_int_equal(c.live, 0);
        if (!rc) break;
        assert_int_equal(rc, STRATA_NO_MEMORY);
        assert_int_equal(err.code, STRATA_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_reference),
        cmocka_unit_test(distributions),
        cmocka_unit_test(reproducible),
        cmocka_unit_test(greedy),
        cmocka_unit_test(penalties),
        cmocka_unit_test(mirostat),
        cmocka_unit_test(logprobs),
        cmocka_unit_test(parameters),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
