/* test_api.h: short names for what the tests of the public interface do over and over. */
#ifndef TESTS_TEST_API_H
#define TESTS_TEST_API_H

#include "unit/test_model.h"

#define OK(call)                                                                   \
    do {                                                                           \
        strata_error err_ = {0}, *err = &err_;                                     \
        (void)err;                                                                 \
        int rc_ = (call);                                                          \
        if (rc_) fail_msg("%s: %s: %s", #call, strata_status_name(rc_), err_.msg); \
    } while (0)

/* The call fails with this status and a message that holds `needle`. */
#define FAILS(call, status, needle)                                                           \
    do {                                                                                      \
        strata_error err_ = {0}, *err = &err_;                                                \
        int rc_ = (call);                                                                     \
        if (rc_ != (status) || err_.code != (status) || !strstr(err_.msg, (needle)))          \
            fail_msg("%s: %s: '%s', want %s: '%s'", #call, strata_status_name(rc_), err_.msg, \
                     strata_status_name(status), needle);                                     \
    } while (0)

static inline strata_model *open_model(const char *name, const strata_model_opts *opts)
{
    strata_model *m = NULL;
    OK(strata_model_open(tiny(name), opts, &m, err));
    return m;
}

static inline strata_model *open_level(const char *name, const char *level)
{
    return open_model(name, &(strata_model_opts){.cpu = level, .n_threads = 1});
}

static inline strata_model *open_blob(blob b, const strata_model_opts *opts)
{
    strata_model *m = NULL;
    OK(strata_model_open_buffer(b.data, b.size, "blob", opts, &m, err));
    return m;
}

static inline strata_ctx *open_ctx(const strata_model *m, uint32_t n_threads, int precision)
{
    strata_ctx *c = NULL;
    OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = n_threads, .precision = precision}, &c, err));
    return c;
}

static inline strata_text text_of(const char *z)
{
    return (strata_text){z, strlen(z)};
}

static inline uint32_t dims_of(const strata_model *m)
{
    strata_model_info info;
    strata_model_get_info(m, &info);
    return info.n_embd_out;
}

/* One text -> v, which must succeed. */
static inline void embed_one(strata_ctx *c, strata_text t, const strata_embed_opts *o, float *v, size_t stride)
{
    OK(strata_embed(c, &t, 1, o, v, stride, NULL, err));
}

/* ---- made-up texts ---- */

static inline uint32_t rng_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* A text of about n tokens of the tiny vocabularies: a letter is a token, a space three. */
static inline char *make_text(uint64_t *seed, size_t n, size_t *len)
{
    char *s = malloc(n + 4);
    size_t at = 0, tokens = 3;
    assert_non_null(s);
    for (; tokens < n || at == 0; tokens++) {
        uint32_t r = rng_next(seed);
        if (r % 9 == 0 && tokens + 3 < n && at && s[at - 1] != ' ') {
            s[at++] = ' ';
            tokens += 2;
        } else if (r % 23 == 0 && tokens + 2 < n) {
            memcpy(s + at, "\xc3\xa9", 2);
            at += 2, tokens++;
        } else {
            s[at++] = (char)('a' + r % 26);
        }
    }
    *len = at;
    return s;
}

typedef struct texts {
    strata_text *t;
    size_t n;
} texts;

/* n texts, most short, some up to the tiny models' context of 256. */
static inline texts make_texts(size_t n, uint64_t seed)
{
    texts x = {calloc(n, sizeof *x.t), n};
    assert_non_null(x.t);
    for (size_t i = 0; i < n; i++) {
        size_t len = i % 16 == 3 ? 40 + rng_next(&seed) % 150 : 4 + rng_next(&seed) % 20;
        if (i == 5) len = 256;
        x.t[i].ptr = make_text(&seed, len, &x.t[i].len);
    }
    return x;
}

static inline void free_texts(texts *x)
{
    for (size_t i = 0; i < x->n; i++) free((char *)(uintptr_t)x->t[i].ptr);
    free(x->t);
}

static inline bool is_nan_row(const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, v + i, 4);
        if (u != 0x7fc00000u) return false;
    }
    return true;
}

#endif
