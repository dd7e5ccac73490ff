/* test_state.c: what a context takes, keeps and leaves: memory of the cache, numbers that are none, and the outputs of
 * calls that fail. test_walk.c has the bits. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkdtemp */
#endif
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os/memory_left.h"
#include "engine/engine.h"
#include "unit/test_api.h"

/* ---- what is asked for at open --------------------------------------------------------------------------------- */

static void test_sequences_need_a_decoder(void **state)
{
    (void)state;
    strata_model *m = open_level("bert", NULL);
    strata_ctx *c = NULL;
    FAILS(strata_ctx_open(m, &(strata_ctx_opts){.n_seqs = 1}, &c, err), STRATA_UNSUPPORTED_OP, "encoder");
    assert_null(c);
    OK(strata_ctx_open(m, NULL, &c, err));
    strata_ctx_close(c);
    strata_model_close(m);
}

static void test_cap(void **state)
{
    (void)state;
    strata_model *m = open_level("gemma3", NULL);
    strata_ctx *c = NULL;
    strata_ctx_opts o = {.n_threads = 1, .n_seqs = 3, .n_ctx = 256, .kv = STRATA_KV_F32};
    st_kv_opts kv = {.type = o.kv, .n_seqs = o.n_seqs, .n_ctx = o.n_ctx, .n_batch = ST_SEQ_BATCH};
    uint64_t want = m->backend->kv_bytes(&m->plan, &kv);
    char figures[2][32];
    uint64_t before = m->mem->used;
    o.memory_cap = want - 1;
    snprintf(figures[0], sizeof figures[0], "comes to %.1f MB", (double)want / 1e6);
    snprintf(figures[1], sizeof figures[1], "memory_cap is %.1f MB", (double)(want - 1) / 1e6);
    for (int i = 0; i < 2; i++) FAILS(strata_ctx_open(m, &o, &c, err), STRATA_NO_MEMORY, figures[i]);
    o.memory_cap = want;
    OK(strata_ctx_open(m, &o, &c, err));
    strata_ctx_close(c);
    /* More than any machine has: refused at once, whether or not the bytes can be counted. */
    o.memory_cap = 0;
    o.n_seqs = UINT32_MAX;
    FAILS(strata_ctx_open(m, &o, &c, err), STRATA_NO_MEMORY, "what is left here");
    assert_int_equal(m->mem->used, before);
    strata_model_close(m);
}

/* ---- what the machine and its groups leave ----------------------------------------------------------------------- */

static void put(const char *root, const char *path, const char *text)
{
    char p[512];
    snprintf(p, sizeof p, "%s%s", root, path);
    for (char *s = p + strlen(root) + 1; (s = strchr(s, '/')); s++) {
        *s = 0;
        mkdir(p, 0700);
        *s = '/';
    }
    FILE *f = fopen(p, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

#if defined(__linux__)
static void test_memory_left(void **state)
{
    (void)state;
    char root[] = "/tmp/strata-test-XXXXXX", rm[64];
    assert_non_null(mkdtemp(root));
    assert_true(st_memory_left_below(root) == UINT64_MAX);
    put(root, "/proc/meminfo", "MemTotal:  9000 kB\nMemFree:  100 kB\nMemAvailable:     5000 kB\n");
    assert_int_equal(st_memory_left_below(root), 5000 << 10);
    /* v2: a group without a limit in one that has it; files in memory count as left. */
    put(root, "/proc/self/cgroup", "0::/a.slice/b.service\n");
    put(root, "/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
    put(root, "/sys/fs/cgroup/a.slice/b.service/memory.current", "1000\n");
    assert_int_equal(st_memory_left_below(root), 5000 << 10);
    put(root, "/sys/fs/cgroup/a.slice/memory.max", "3000000\n");
    put(root, "/sys/fs/cgroup/a.slice/memory.current", "2500000\n");
    assert_int_equal(st_memory_left_below(root), 500000);
    put(root, "/sys/fs/cgroup/a.slice/memory.stat", "anon 5\nactive_file 100000\ninactive_file 200000\n");
    assert_int_equal(st_memory_left_below(root), 800000);
    /* The group's own limit is nearer, and passed already. */
    put(root, "/sys/fs/cgroup/a.slice/b.service/memory.max", "900\n");
    assert_int_equal(st_memory_left_below(root), 0);
    /* A container that keeps the host's names: only the mount's own files are there. */
    put(root, "/proc/self/cgroup", "0::/docker/0123456789abcdef\n");
    put(root, "/sys/fs/cgroup/memory.max", "70000\n");
    put(root, "/sys/fs/cgroup/memory.current", "20000\n");
    assert_int_equal(st_memory_left_below(root), 50000);
    /* v1 among other controllers, nested, and v2 beside it. */
    put(root, "/proc/self/cgroup", "11:cpu,cpuacct:/x\n7:memory:/y/z\n1:name=systemd:/\n0::/\n");
    put(root, "/sys/fs/cgroup/memory.max", "max\n");
    put(root, "/sys/fs/cgroup/memory/y/z/memory.limit_in_bytes", "9223372036854771712\n");
    put(root, "/sys/fs/cgroup/memory/y/z/memory.usage_in_bytes", "7\n");
    put(root, "/sys/fs/cgroup/memory/y/memory.limit_in_bytes", "60000\n");
    put(root, "/sys/fs/cgroup/memory/y/memory.usage_in_bytes", "50000\n");
    put(root, "/sys/fs/cgroup/memory/y/memory.stat", "inactive_file 1\ntotal_inactive_file 1000\n");
    assert_int_equal(st_memory_left_below(root), 11000);
    /* Mounted elsewhere, and showing a part of the groups only. */
    put(root, "/proc/self/mountinfo", "30 23 0:26 /docker/abc /mnt/groups ro - cgroup2 cgroup rw\n");
    put(root, "/proc/self/cgroup", "0::/docker/abc/inner\n");
    put(root, "/mnt/groups/inner/memory.max", "3000\n");
    put(root, "/mnt/groups/inner/memory.current", "1000\n");
    assert_int_equal(st_memory_left_below(root), 2000);
    put(root, "/proc/self/mountinfo", "");
    /* Lines that mean nothing. */
    put(root, "/proc/self/cgroup", "\n:::\nx\n5:memory\n0::\n");
    assert_int_equal(st_memory_left_below(root), 5000 << 10);
    assert_true(st_memory_left() > 1 << 20);
    snprintf(rm, sizeof rm, "rm -r %s", root);
    assert_int_equal(system(rm), 0);
}
#else
static void test_memory_left(void **state)
{
    (void)state, (void)put;
    assert_true(st_memory_left() > 1 << 20);
}
#endif

/* ---- memory as tokens come --------------------------------------------------------------------------------------- */

static void *take(void *user, size_t size, size_t align)
{
    void *p = NULL;
    (void)user;
    return posix_memalign(&p, align, size) == 0 ? p : NULL;
}

static void give(void *user, void *p)
{
    (void)user;
    free(p);
}

/* The same with the system's pages and with an allocator of the caller's. */
static void lazy(const strata_allocator *a)
{
    enum { SEQS = 64 };
    strata_model *m = open_model("gemma3", &(strata_model_opts){.n_threads = 1, .allocator = a});
    strata_ctx *c = NULL;
    const float *l;
    int32_t ids[256];
    for (int i = 0; i < 256; i++) ids[i] = i % 50 + 3;
    uint64_t before = m->mem->used;
    OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 1, .n_seqs = SEQS, .n_ctx = 256, .kv = STRATA_KV_F32}, &c,
                       err));
    st_kv_opts kv = {.type = STRATA_KV_F32, .n_seqs = 1, .n_ctx = 256, .n_batch = ST_SEQ_BATCH};
    uint64_t one = m->backend->kv_bytes(&m->plan, &kv);
    assert_true(m->mem->used - before < one);
    OK(strata_ctx_sync(c, 5, ids, 256, 0, NULL, &l, err)); /* scratch too */
    uint64_t full = m->mem->used;
    OK(strata_ctx_sync(c, 5, ids, 100, 0, NULL, &l, err)); /* shorter: half of its blocks */
    uint64_t half = m->mem->used;
    assert_true(full - half >= one / 2 && full - half < one);
    OK(strata_ctx_sync(c, 5, ids, 200, 0, NULL, &l, err));
    assert_int_equal(m->mem->used, full);
    FAILS(strata_ctx_sync(c, 5, NULL, 0, 0, NULL, &l, err), STRATA_EMPTY_PROMPT, "");
    assert_true(full - m->mem->used >= one);
    FAILS(strata_ctx_step(c, (const uint32_t[]){5}, ids, 1, NULL, &l, err), STRATA_INVALID_ARG, "empty");
    for (uint32_t s = 0; s < SEQS; s++) OK(strata_ctx_sync(c, s, ids, 1, 0, NULL, &l, err));
    assert_true(m->mem->used < full + SEQS * one);
    strata_ctx_close(c);
    assert_int_equal(m->mem->used, before);
    strata_model_close(m);
}

static void test_lazy(void **state)
{
    (void)state;
    lazy(NULL);
    lazy(&(strata_allocator){take, give, NULL});
}

/* memory_cap of the model holds for the cache, too: the call that finds no room leaves a sequence that works. */
static void test_model_cap(void **state)
{
    (void)state;
    const float *l;
    int32_t ids[256];
    float want[320];
    strata_ctx *c = NULL;
    strata_model *m = open_level("gemma3", NULL);
    for (int i = 0; i < 256; i++) ids[i] = i % 50 + 3;
    strata_ctx_opts o = {.n_threads = 1, .n_seqs = 2, .n_ctx = 256, .kv = STRATA_KV_F32};
    OK(strata_ctx_open(m, &o, &c, err));
    OK(strata_ctx_sync(c, 0, ids, 100, 0, NULL, &l, err));
    memcpy(want, l, sizeof want);
    m->mem->cap = m->mem->used + 1000; /* nothing more */
    FAILS(strata_ctx_sync(c, 1, ids, 100, 0, NULL, &l, err), STRATA_NO_MEMORY, "");
    FAILS(strata_ctx_step(c, (const uint32_t[]){1}, ids, 1, NULL, &l, err), STRATA_INVALID_ARG, "synchronise it first");
    OK(strata_ctx_sync(c, 0, ids, 90, 0, NULL, &l, err));
    OK(strata_ctx_sync(c, 0, ids, 100, 0, NULL, &l, err));
    assert_memory_equal(l, want, sizeof want);
    m->mem->cap = 0;
    OK(strata_ctx_sync(c, 1, ids, 100, 0, NULL, &l, err));
    assert_memory_equal(l, want, sizeof want);
    strata_ctx_close(c);
    strata_model_close(m);
}

/* ---- numbers that are none --------------------------------------------------------------------------------------- */

/* The scale of the first block of a Q8_0 matrix. */
static blob with_scale(const char *tensor, uint16_t half)
{
    blob b = blob_read(tiny("llama-q8_0"));
    st_mem mem;
    st_gguf g;
    bool found = false;
    st_mem_init(&mem, NULL, 0);
    assert_int_equal(st_gguf_parse(&g, b.data, b.size, "blob", false, &mem, NULL), 0);
    for (size_t i = 0; i < g.n_tensors; i++) {
        if (!st_str_eq(g.tensors[i].name, tensor)) continue;
        assert_int_equal(g.tensors[i].type, ST_Q8_0);
        memcpy(b.data + (g.tensors[i].data - b.data), &half, sizeof half);
        found = true;
    }
    assert_true(found);
    st_gguf_free(&g);
    return b;
}

static int sync_status(const strata_model *m, int kv, int precision, uint32_t n)
{
    static const int32_t ids[] = {1, 79, 178, 269, 170, 163, 12, 200, 5};
    strata_ctx *c = NULL;
    const float *l;
    OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 2, .n_seqs = 1, .kv = kv, .precision = precision}, &c, err));
    int rc = strata_ctx_sync(c, 0, ids, n, 0, NULL, &l, NULL);
    strata_ctx_close(c);
    return rc;
}

static void test_not_finite(void **state)
{
    (void)state;
    static const char *const tensors[] = {"blk.0.attn_k.weight", "blk.0.attn_v.weight", "blk.1.attn_k.weight"};
    static const uint16_t scales[] = {0x7c00, 0xfc00, 0x7e00};
    for (int t = 0; t < 3; t++)
        for (int s = 0; s < 3; s++) {
            blob b = with_scale(tensors[t], scales[s]);
            strata_model *m = open_blob(b, &(strata_model_opts){.n_threads = 1});
            for (int kv = STRATA_KV_F16; kv <= STRATA_KV_Q8; kv++)
                for (int p = STRATA_PRECISION_I8; p <= STRATA_PRECISION_F32; p++)
                    for (uint32_t n = 1; n <= 9; n += 4) {
                        int rc = sync_status(m, kv, p, n);
                        if (rc != STRATA_NONFINITE)
                            fail_msg("%s, scale 0x%04x, kv %d, precision %d, %u tokens: %s", tensors[t], scales[s], kv,
                                     p, n, strata_status_name(rc));
                    }
            strata_model_close(m);
            free(b.data);
        }
}

/* Beyond what a half holds, but numbers: only the cache of halves has to refuse. */
static void test_beyond_half(void **state)
{
    (void)state;
    static const char *const tensors[] = {"blk.0.attn_k.weight", "blk.0.attn_v.weight"};
    for (int t = 0; t < 2; t++) {
        blob b = with_scale(tensors[t], 0x7bff);
        strata_model *m = open_blob(b, &(strata_model_opts){.n_threads = 1});
        assert_int_equal(sync_status(m, STRATA_KV_F16, 0, 9), STRATA_NONFINITE);
        assert_int_equal(sync_status(m, STRATA_KV_F32, 0, 9), STRATA_OK);
        assert_int_equal(sync_status(m, STRATA_KV_Q8, 0, 9), STRATA_OK);
        strata_model_close(m);
        free(b.data);
    }
}

/* ---- outputs of calls that fail ---------------------------------------------------------------------------------- */

typedef struct stopper {
    volatile int cancel;
    uint32_t at, seen;
} stopper;

static void on_op(void *user, uint32_t op, const char *kind, int layer, double micros)
{
    stopper *s = user;
    (void)op, (void)kind, (void)layer, (void)micros;
    if (++s->seen == s->at) s->cancel = 1;
}

static strata_ctx *open_stopped(const strata_model *m, stopper *s)
{
    strata_ctx *c = NULL;
    OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 1, .trace = on_op, .trace_user = s}, &c, err));
    return c;
}

static void fill(float *v, size_t n)
{
    for (size_t i = 0; i < n; i++) v[i] = 42.0f;
}

static bool all_are(const float *v, size_t n, bool nan)
{
    for (size_t i = 0; i < n; i++)
        if (nan ? !isnan(v[i]) : v[i] != 42.0f) return false;
    return true;
}

/* Cancelled after each op: a row is a whole vector whose item says so, or NaN. */
static void test_rows(void **state)
{
    (void)state;
    enum { N = 7, DIMS = 64, STRIDE = 70 };
    static const char *const words[N] = {"a", "", "two words", "three of them", "x", "yes", "and the last of them"};
    strata_model *m = open_level("bert-q8_0", NULL);
    strata_text t[N];
    float want[N * STRIDE], v[N * STRIDE];
    strata_embed_item items[N];
    for (int i = 0; i < N; i++) t[i] = text_of(words[i]);
    stopper s = {0};
    strata_ctx *c = open_stopped(m, &s);
    OK(strata_embed(c, t, N, NULL, want, STRIDE, items, err));
    uint32_t n_ops = s.seen;
    for (uint32_t dims = 0; dims <= 20; dims += 20)
        for (uint32_t at = 0; at <= n_ops; at++) {
            s = (stopper){.at = at, .cancel = at == 0};
            fill(v, N * STRIDE);
            memset(items, 0x55, sizeof items);
            strata_embed_opts o = {.cancel = &s.cancel, .dims = dims, .force_dims = 1};
            int rc = strata_embed(c, t, N, &o, v, STRIDE, at % 2 ? NULL : items, NULL);
            if (rc == STRATA_OK) continue;
            if (at % 2 && at == n_ops) continue; /* all done, and the empty text is told */
            assert_int_equal(rc, STRATA_CANCELLED);
            for (int i = 0; i < N; i++) {
                const float *row = v + (size_t)i * STRIDE;
                bool nan = all_are(row, dims ? dims : DIMS, true);
                if (!nan) assert_memory_equal(row, want + (size_t)i * STRIDE, DIMS * sizeof *row);
                assert_true(all_are(row + (dims ? dims : DIMS), STRIDE - (dims ? dims : DIMS), false));
                if (at % 2) continue;
                int status = items[i].status;
                assert_true(nan ? status == STRATA_CANCELLED || (status == STRATA_EMPTY_PROMPT && i == 1)
                                : status == STRATA_OK);
            }
        }
    strata_ctx_close(c);
    strata_model_close(m);
}

/* More texts than one run takes: those of the first are whole. */
static void test_rows_of_chunks(void **state)
{
    (void)state;
    enum { N = 1100, DIMS = 64 };
    strata_model *m = open_level("bert-q8_0", NULL);
    strata_text *t = malloc(N * sizeof *t);
    float *want = malloc(N * DIMS * sizeof *want), *v = malloc(N * DIMS * sizeof *v);
    strata_embed_item *items = malloc(N * sizeof *items);
    for (int i = 0; i < N; i++) t[i] = text_of(i % 3 ? "a" : "two words");
    stopper s = {0};
    strata_ctx *c = open_stopped(m, &s);
    OK(strata_embed(c, t, N, NULL, want, DIMS, NULL, err));
    s = (stopper){.at = s.seen - 2};
    strata_embed_opts o = {.cancel = &s.cancel};
    fill(v, N * DIMS);
    assert_int_equal(strata_embed(c, t, N, &o, v, DIMS, items, NULL), STRATA_CANCELLED);
    uint32_t whole = 0;
    for (int i = 0; i < N; i++) {
        const float *row = v + (size_t)i * DIMS;
        bool nan = all_are(row, DIMS, true);
        assert_int_equal(items[i].status, nan ? STRATA_CANCELLED : STRATA_OK);
        if (!nan) assert_memory_equal(row, want + (size_t)i * DIMS, DIMS * sizeof *row);
        whole += !nan;
    }
    assert_true(whole > 0 && whole < N);
    strata_ctx_close(c);
    strata_model_close(m);
    free(t);
    free(want);
    free(v);
    free(items);
}

static void test_token_rows(void **state)
{
    (void)state;
    enum { CAP = 32, DIMS = 64 };
    strata_model *m = open_level("bert-q8_0", NULL);
    stopper s = {0};
    strata_ctx *c = open_stopped(m, &s);
    float v[CAP * DIMS];
    size_t rows = 0, need = 0;
    strata_embed_item item;
    OK(strata_embed_tokens(c, "some text", 9, NULL, v, CAP, &need, NULL, err));
    uint32_t n_ops = s.seen;
    for (uint32_t at = 0; at < n_ops; at++) {
        s = (stopper){.at = at, .cancel = at == 0};
        strata_embed_opts o = {.cancel = &s.cancel};
        fill(v, CAP * DIMS);
        rows = 9;
        memset(&item, 0x55, sizeof item);
        assert_int_equal(strata_embed_tokens(c, "some text", 9, &o, v, CAP, &rows, at % 2 ? &item : NULL, NULL),
                         STRATA_CANCELLED);
        assert_int_equal(rows, 0);
        if (at % 2) assert_int_equal(item.status, STRATA_CANCELLED);
        size_t touched = at == 0 ? 0 : need;
        assert_true(all_are(v, touched * DIMS, true) && all_are(v + touched * DIMS, (CAP - touched) * DIMS, false));
    }
    fill(v, CAP * DIMS);
    FAILS(strata_embed_tokens(c, "some text", 9, NULL, v, 2, &rows, NULL, err), STRATA_TOO_LONG, "room for 2");
    assert_int_equal(rows, need);
    assert_true(all_are(v, CAP * DIMS, false));
    strata_ctx_close(c);
    strata_model_close(m);
}

static void test_scores(void **state)
{
    (void)state;
    float head[64], dense[64 * 64], scores[3], want[3];
    for (int i = 0; i < 64; i++) head[i] = (float)(i % 5) - 2.0f;
    for (int i = 0; i < 64 * 64; i++) dense[i] = (float)(i % 11) * 0.02f - 0.1f;
    blob b = rewrite(tiny("bert"), (edit[]){{ADD, .name = "cls.output.weight", .n = 1, .k = 64, .data = head},
                                            {ADD, .name = "cls.weight", .n = 64, .k = 64, .data = dense},
                                            {0}});
    strata_model *m = open_blob(b, &(strata_model_opts){.n_threads = 1});
    stopper s = {0};
    strata_ctx *c = open_stopped(m, &s);
    const strata_text p[3] = {text_of("one"), text_of("two or more"), text_of("b")};
    strata_embed_item items[3];
    OK(strata_rank(c, text_of("q"), p, 3, NULL, want, items, err));
    uint32_t n_ops = s.seen;
    for (uint32_t at = 0; at < n_ops; at++) {
        s = (stopper){.at = at, .cancel = at == 0};
        fill(scores, 3);
        memset(items, 0x55, sizeof items);
        strata_rank_opts o = {.cancel = &s.cancel};
        assert_int_equal(strata_rank(c, text_of("q"), p, 3, &o, scores, at % 2 ? NULL : items, NULL), STRATA_CANCELLED);
        assert_true(all_are(scores, 3, true)); /* one run holds all of them */
        for (int i = 0; i < 3 && at % 2 == 0; i++) assert_int_equal(items[i].status, STRATA_CANCELLED);
    }
    fill(scores, 3);
    FAILS(strata_rank(c, (strata_text){"\xff", 1}, p, 3, NULL, scores, NULL, err), STRATA_INVALID_ARG, "query");
    assert_true(all_are(scores, 3, false));
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
}

static void test_eval(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 79, 178};
    blob b = with_scale("blk.1.ffn_down.weight", 0x7e00);
    strata_model *m = open_blob(b, &(strata_model_opts){.n_threads = 1});
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    static float v[3 * 1024];
    size_t rows, cols;
    for (int what = STRATA_EVAL_LOGITS; what <= STRATA_EVAL_POOLED; what++) {
        fill(v, sizeof v / sizeof *v);
        assert_int_equal(strata_eval(c, ids, NULL, 3, what, STRATA_POOLING_MEAN, v, 3 * 1024, &rows, &cols, NULL),
                         STRATA_NONFINITE);
        assert_true(rows * cols > 0 && all_are(v, rows * cols, true));
        assert_true(all_are(v + rows * cols, sizeof v / sizeof *v - rows * cols, false));
    }
    fill(v, sizeof v / sizeof *v);
    FAILS(strata_eval(c, (const int32_t[]){1, -1}, NULL, 2, 0, 0, v, 3 * 1024, &rows, &cols, err), STRATA_INVALID_ARG,
          "id -1");
    assert_true(rows == 0 && cols == 0 && all_are(v, sizeof v / sizeof *v, false));
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences_need_a_decoder),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_memory_left),
        cmocka_unit_test(test_lazy),
        cmocka_unit_test(test_model_cap),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_beyond_half),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_rows_of_chunks),
        cmocka_unit_test(test_token_rows),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_eval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
