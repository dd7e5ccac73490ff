/* test_api_alloc.c: every Nth allocation fails, over a whole session: NO_MEMORY, nothing leaks, nothing crashes, and
 * the same call succeeds afterwards with the same bits. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkstemp */
#endif
#include <stdatomic.h>
#include <unistd.h>

#include "support/sanitized.h"
#include "unit/test_api.h"

enum { DIMS = 64 };

enum { EVERY = SANITIZED_THREAD ? 23 : 1 }; /* which allocations fail */

/* Counts, and fails the allocation number fail_at (from 1; 0: none). Every block is remembered by its size, so that
 * bytes balance too. */
typedef struct heap {
    _Atomic size_t n, live, bytes;
    size_t fail_at;
    _Atomic int failed;
} heap;

typedef struct head {
    void *base;
    size_t size;
} head;

static void *take(void *user, size_t size, size_t align)
{
    heap *h = user;
    size_t n = atomic_fetch_add(&h->n, 1) + 1;
    assert_true(align && (align & (align - 1)) == 0);
    if (h->fail_at && n == h->fail_at) {
        atomic_store(&h->failed, 1);
        return NULL;
    }
    size_t room = align > sizeof(head) ? align : 64;
    uint8_t *base = malloc(size + 2 * room);
    assert_non_null(base);
    uintptr_t p = ((uintptr_t)base + room + room - 1) & ~(uintptr_t)(room - 1);
    memcpy((void *)(p - sizeof(head)), &(head){base, size}, sizeof(head));
    memset((void *)p, 0xa5, size); /* nobody may count on zeros */
    atomic_fetch_add(&h->live, 1);
    atomic_fetch_add(&h->bytes, size);
    return (void *)p;
}

static void give(void *user, void *ptr)
{
    heap *h = user;
    head x;
    assert_non_null(ptr);
    memcpy(&x, (uint8_t *)ptr - sizeof x, sizeof x);
    atomic_fetch_sub(&h->live, 1);
    atomic_fetch_sub(&h->bytes, x.size);
    free(x.base);
}

static void ignore(void *user, const char *text, size_t len)
{
    (void)user, (void)text, (void)len;
}

/* What a session leaves. */
typedef struct results {
    float embed[4 * DIMS], tokens[32 * DIMS], eval[20 * DIMS];
    int32_t ids[64];
    size_t n_ids, rows;
    char text[64];
    size_t len;
    int first;
} results;

enum { RETRIES = 2 };

/* A call that may fail once, for want of memory; the second try must succeed. */
#define TRY(call)                                                                                              \
    do {                                                                                                       \
        strata_error err_ = {0}, *err = &err_;                                                                 \
        int rc_ = 0, failed_ = atomic_load(&h->failed);                                                        \
        for (int try_ = 0; try_ < RETRIES; try_++) {                                                           \
            rc_ = (call);                                                                                      \
            if (!rc_) break;                                                                                   \
            if (rc_ != STRATA_NO_MEMORY || failed_ || !atomic_load(&h->failed) || !err_.msg[0])                \
                fail_msg("allocation %zu: %s: %s '%s'", h->fail_at, #call, strata_status_name(rc_), err_.msg); \
            failed_ = 1;                                                                                       \
        }                                                                                                      \
        assert_int_equal(rc_, 0);                                                                              \
    } while (0)

static void session(heap *h, const char *path, const strata_model_opts *base, results *r)
{
    strata_allocator a = {take, give, h};
    strata_model_opts o = *base;
    o.allocator = &a;
    o.n_threads = 1;
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    size_t cols;
    memset(r, 0, sizeof *r);
    TRY(strata_model_open(path, &o, &m, err));
    TRY(strata_tokenize(m, "some text </s> a", 16, STRATA_TOKENIZE_PARSE_SPECIAL, r->ids, NULL, 64, &r->n_ids, err));
    TRY(strata_detokenize(m, r->ids, r->n_ids, r->text, sizeof r->text, &r->len, err));
    if (!o.vocab_only) {
        strata_text t[4] = {text_of("a first text"), text_of(""), text_of("b"),
                            text_of("the fourth one is longer than the others")};
        strata_embed_item items[4];
        int32_t ids[20];
        for (int i = 0; i < 20; i++) ids[i] = i * 13;
        TRY(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 2}, &c, err));
        TRY(strata_embed(c, t, 4, &(strata_embed_opts){.role = STRATA_ROLE_QUERY}, r->embed, DIMS, items, err));
        for (int i = 0; i < 4; i++)
            assert_true(items[i].status == STRATA_OK || (i == 1 && items[i].status == STRATA_EMPTY_PROMPT));
        TRY(strata_embed(c, t, 4, &(strata_embed_opts){.dims = 20, .force_dims = 1, .prompt = "x"}, r->embed, DIMS,
                         items, err));
        TRY(strata_embed(c, t + 2, 2, NULL, r->embed, DIMS, NULL, err));
        TRY(strata_embed_tokens(c, "a text", 6, NULL, r->tokens, 32, &r->rows, NULL, err));
        TRY(strata_eval(c, ids, NULL, 20, STRATA_EVAL_HIDDEN, 0, r->eval, 20 * DIMS, &r->rows, &cols, err));
        TRY(strata_model_diff(m, NULL, ids, 20, 0, ignore, NULL, &r->first, err));
        assert_int_equal(r->first, -1);
    }
    strata_ctx_close(c);
    strata_model_close(m);
    if (h->live || h->bytes) fail_msg("allocation %zu: %zu blocks, %zu bytes leak", h->fail_at, h->live, h->bytes);
}

static void every_allocation(const char *path, const strata_model_opts *o)
{
    heap h = {0};
    results want, got;
    session(&h, path, o, &want);
    size_t n = h.n;
    assert_true(n > 5);
    for (size_t i = 1; i <= n; i += EVERY) {
        h = (heap){.fail_at = i};
        session(&h, path, o, &got);
        if (!h.failed) fail_msg("allocation %zu of %zu did not happen", i, n);
        assert_memory_equal(&got, &want, sizeof want);
    }
    printf("%s: %zu allocations\n", strrchr(path, '/') + 1, n);
}

/* A model with fewer layers than the file has: their allocations repeat themselves. */
static void shallow(const char *name, const edit *edits, int no_mmap)
{
    char path[] = "/tmp/strata-test-XXXXXX";
    int fd = mkstemp(path);
    blob b = rewrite(tiny(name), edits);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, b.data, b.size), b.size);
    close(fd);
    free(b.data);
    every_allocation(path, &(strata_model_opts){.no_mmap = no_mmap});
    unlink(path);
}

static void test_bert(void **state)
{
    (void)state;
    const edit edits[] = {
        {SET_U32, "bert.block_count", .u = 1}, {DROP_PREFIX, .name = "blk.1."}, {DROP_PREFIX, .name = "blk.2."}, {0}};
    shallow("bert-q8_0", edits, 0);
    shallow("bert-q8_0", edits, 1);
}

static void test_gemma(void **state)
{
    (void)state;
    const edit edits[] = {{SET_U32, "gemma-embedding.block_count", .u = 1},
                          {DROP_PREFIX, .name = "blk.1."},
                          {DROP_PREFIX, .name = "blk.2."},
                          {DROP_PREFIX, .name = "blk.3."},
                          {DROP_PREFIX, .name = "blk.4."},
                          {DROP_PREFIX, .name = "blk.5."},
                          {DROP_PREFIX, .name = "blk.6."},
                          {0}};
    shallow("gemma-embedding", edits, 0);
}

static void test_vocabularies(void **state)
{
    (void)state;
    static const char *const names[] = {"spm4k", "spm2k-ud", "wp3k-cased"};
    for (int i = 0; i < 3; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/tests/data/tok/%s.gguf", STRATA_SOURCE_DIR, names[i]);
        every_allocation(path, &(strata_model_opts){.vocab_only = 1});
    }
}

/* Vectors that are not float32 in the file are copied: those copies can fail too. */
static void test_copied_vectors(void **state)
{
    (void)state;
    uint16_t half[64];
    for (int i = 0; i < 64; i++) half[i] = 0x3c00; /* 1.0 */
    const edit edits[] = {{RETYPE, "token_embd_norm.weight", .u = ST_F16, .data = half},
                          {RETYPE, "blk.0.attn_output_norm.bias", .u = ST_BF16},
                          {0}};
    blob b = rewrite(tiny("bert-q8_0"), edits);
    heap h = {0};
    strata_allocator a = {take, give, &h};
    strata_model_opts o = {.allocator = &a, .n_threads = 1};
    strata_model *m = NULL;
    OK(strata_model_open_buffer(b.data, b.size, "copies", &o, &m, err));
    strata_model_close(m);
    size_t n = h.n;
    for (size_t i = 1; i <= n; i += EVERY) {
        h = (heap){.fail_at = i};
        FAILS(strata_model_open_buffer(b.data, b.size, "copies", &o, &m, err), STRATA_NO_MEMORY, "");
        assert_int_equal(h.live, 0);
        assert_int_equal(h.bytes, 0);
    }
    free(b.data);
}

enum { N_VOCAB = 320, N_NEW = 4 };

/* What a generating session leaves. */
typedef struct written {
    float sync[N_VOCAB], step[2][N_VOCAB], after[N_VOCAB];
    int32_t ids[2 * N_NEW];
    uint32_t n_ids;
} written;

static int on_text(void *user, const char *text, size_t len, const strata_gen_token *t)
{
    written *r = user;
    (void)text, (void)len;
    if (t) r->ids[r->n_ids++ % (2 * N_NEW)] = t->id;
    return 0;
}

/* A call fails and is made again: as if it had not been made. Caches of every type, a grammar and a schema. */
static void write_texts(heap *h, const char *path, written *r)
{
    static const char schema[] = "{\"type\":\"boolean\"}";
    strata_allocator a = {take, give, h};
    strata_model_opts o = {.allocator = &a, .n_threads = 1};
    strata_model *m = NULL;
    memset(r, 0, sizeof *r);
    TRY(strata_model_open(path, &o, &m, err));
    for (int kv = STRATA_KV_F16; kv <= STRATA_KV_Q8; kv++) {
        strata_ctx *c = NULL;
        const float *l[2] = {NULL};
        int32_t ids[200];
        for (int i = 0; i < 200; i++) ids[i] = (i * 13 + 7) % 250 + 3;
        TRY(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 2, .n_seqs = 2, .n_ctx = 250, .kv = kv}, &c, err));
        TRY(strata_ctx_sync(c, 0, ids, 126, 50, NULL, l, err));
        memcpy(r->sync, l[0], sizeof r->sync);
        TRY(strata_ctx_sync(c, 1, ids, 20, 0, NULL, l, err));
        for (int i = 0; i < 4; i++) /* over the end of a block of the cache */
            TRY(strata_ctx_step(c, (const uint32_t[]){1, 0}, (const int32_t[]){9, ids[126 + i]}, 2, NULL, l, err));
        for (int i = 0; i < 2; i++) memcpy(r->step[i], l[i], sizeof r->step[i]);
        strata_gen_opts g = strata_gen_default();
        g.temperature = 0;
        g.max_tokens = N_NEW;
        g.on_text = on_text;
        g.user = r;
        if (kv == STRATA_KV_F32) g.grammar = "root ::= [a-e]+";
        if (kv == STRATA_KV_Q8) g.json_schema = schema;
        for (int try = 0; try < RETRIES; try++) { /* tokens of the try that failed do not count */
            strata_error err = {0};
            r->n_ids = 0;
            memset(r->ids, 0, sizeof r->ids);
            int rc = strata_generate(c, 0, ids, 40, &g, NULL, &err);
            if (rc == STRATA_OK) break;
            if (rc != STRATA_NO_MEMORY || try + 1 == RETRIES)
                fail_msg("allocation %zu: generate: %s '%s'", h->fail_at, strata_status_name(rc), err.msg);
        }
        TRY(strata_ctx_sync(c, 0, ids, 200, 0, NULL, l, err));
        memcpy(r->after, l[0], sizeof r->after);
        strata_ctx_close(c);
    }
    strata_model_close(m);
    if (h->live || h->bytes) fail_msg("allocation %zu: %zu blocks, %zu bytes leak", h->fail_at, h->live, h->bytes);
}

static void test_generation(void **state)
{
    (void)state;
    char path[] = "/tmp/strata-test-XXXXXX";
    int fd = mkstemp(path);
    blob b = rewrite(tiny("gemma3"), (edit[]){{SET_U32, "gemma3.block_count", .u = 2}, /* one of them windowed */
                                              {SET_U32, "gemma3.attention.sliding_window_pattern", .u = 2},
                                              {DROP_PREFIX, .name = "blk.2."},
                                              {DROP_PREFIX, .name = "blk.3."},
                                              {DROP_PREFIX, .name = "blk.4."},
                                              {DROP_PREFIX, .name = "blk.5."},
                                              {DROP_PREFIX, .name = "blk.6."},
                                              {0}});
    assert_true(fd >= 0);
    assert_int_equal(write(fd, b.data, b.size), b.size);
    close(fd);
    free(b.data);
    heap h = {0};
    written want, got;
    write_texts(&h, path, &want);
    size_t n = h.n;
    for (size_t i = 1; i <= n; i += EVERY) {
        h = (heap){.fail_at = i};
        write_texts(&h, path, &got);
        if (!h.failed) fail_msg("allocation %zu of %zu did not happen", i, n);
        assert_memory_equal(&got, &want, sizeof want);
    }
    printf("generation: %zu allocations\n", n);
    unlink(path);
}

/* A ranking model: one with a head made here. */
static void rank_texts(heap *h, blob b, float *scores)
{
    strata_allocator a = {take, give, h};
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    const strata_text p[3] = {text_of("one passage"), text_of("b"), text_of("and a longer third")};
    TRY(strata_model_open_buffer(b.data, b.size, "rank", &(strata_model_opts){.allocator = &a, .n_threads = 1}, &m,
                                 err));
    TRY(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 2}, &c, err));
    for (int i = 0; i < 3; i++) scores[i] = 77;
    for (int with = 0; with < 2; with++) {
        strata_embed_item items[3];
        TRY(strata_rank(c, text_of("the query"), p, 3, NULL, scores, with ? items : NULL, err));
    }
    strata_ctx_close(c);
    strata_model_close(m);
    assert_int_equal(h->live, 0);
}

static void test_ranking(void **state)
{
    (void)state;
    float head[64], dense[64 * 64], want[3], got[3];
    for (int i = 0; i < 64; i++) head[i] = (float)(i % 7) - 3.0f;
    for (int i = 0; i < 64 * 64; i++) dense[i] = (float)(i % 11) * 0.02f - 0.1f;
    blob b = rewrite(tiny("bert"), (edit[]){{ADD, .name = "cls.output.weight", .n = 1, .k = 64, .data = head},
                                            {ADD, .name = "cls.weight", .n = 64, .k = 64, .data = dense},
                                            {SET_U32, "bert.block_count", .u = 1},
                                            {DROP_PREFIX, .name = "blk.1."},
                                            {DROP_PREFIX, .name = "blk.2."},
                                            {0}});
    heap h = {0};
    rank_texts(&h, b, want);
    size_t n = h.n;
    for (size_t i = 1; i <= n; i += EVERY) {
        h = (heap){.fail_at = i};
        rank_texts(&h, b, got);
        if (!h.failed) fail_msg("allocation %zu of %zu did not happen", i, n);
        assert_memory_equal(got, want, sizeof want);
    }
    printf("ranking: %zu allocations\n", n);
    free(b.data);
}

/* Writing a text allocates nothing token by token: only the cache, a block of 128 tokens at a time. */
static void test_decode(void **state)
{
    (void)state;
    heap h = {0};
    strata_allocator a = {take, give, &h};
    strata_model_opts o = {.allocator = &a, .n_threads = 1};
    strata_ctx_opts co = {.n_threads = 2, .n_seqs = 2, .n_ctx = 240};
    const int32_t prompt[] = {1, 2, 3};
    const uint32_t seqs[] = {0, 1};
    const float *logits[2];
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    OK(strata_model_open(tiny("llama-q8_0"), &o, &m, err));
    OK(strata_ctx_open(m, &co, &c, err));
    for (uint32_t i = 0; i < 2; i++) OK(strata_ctx_sync(c, i, prompt, 3, 0, NULL, logits, err));
    OK(strata_ctx_step(c, seqs, prompt, 2, NULL, logits, err));
    size_t n = h.n;
    for (int i = 0; i < 200; i++) OK(strata_ctx_step(c, seqs, prompt, 2, NULL, logits, err));
    assert_int_equal(h.n, n + 2); /* a second block of each sequence */

    size_t each[2];
    for (uint32_t i = 0; i < 2; i++) {
        strata_gen_opts g = strata_gen_default();
        strata_gen_result r;
        g.max_tokens = i ? 200 : 20;
        g.ignore_end = 1;
        n = h.n;
        OK(strata_generate(c, 0, prompt, 3, &g, &r, err));
        assert_int_equal(r.n_new, g.max_tokens);
        each[i] = h.n - n;
    }
    if (each[1] > each[0] + 3) fail_msg("20 tokens: %zu allocations, 200: %zu", each[0], each[1]);
    strata_ctx_close(c);
    strata_model_close(m);
    assert_int_equal(h.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),       cmocka_unit_test(test_bert),           cmocka_unit_test(test_gemma),
        cmocka_unit_test(test_vocabularies), cmocka_unit_test(test_copied_vectors), cmocka_unit_test(test_generation),
        cmocka_unit_test(test_ranking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
