/* test_cache.c: the cache changes no bit: whatever the chunks of a prompt, the threads, and what the sequence held
 * before, the logits are those of the same tokens in a fresh context; with a cache of floats, those without a cache.
 *
 * The models' contexts are made longer than a window and a batch, so that rings wrap. */
#include "support/sanitized.h"
#include "unit/test_api.h"

enum { LONG = 700, N_CTX = 800, N_VOCAB = 320, STEP = 64 };

/* Kinds of positions and windows: all layers see all; windows of 8 in some or all layers; ALiBi; learned positions;
 * scaled rotations. */
static const struct {
    const char *name, *key; /* the context's length: NULL where it has to stay, for tables of positions */
} models[] = {
    {"llama-q8_0", "llama.context_length"},
    {"gemma3", "gemma3.context_length"},
    {"exaone4", "exaone4.context_length"},
    {"mpt", "mpt.context_length"},
    {"gptneox", "gptneox.context_length"},
    {"qwen3moe", "qwen3moe.context_length"},
    {"starcoder", NULL},
    {"olmo3", NULL},
    {"phi3-edge", NULL}, /* LongRoPE: other angles from 65 tokens on */
};

typedef struct subject {
    const char *name;
    strata_model *m;
    int kv;
    uint32_t n, n_vocab; /* tokens of the text */
    int32_t ids[LONG];
    float *want; /* [n_vocab], after the last one */
} subject;

static strata_ctx *open_with(const subject *s, uint32_t threads)
{
    strata_ctx *c = NULL;
    uint32_t n_ctx = s->n < LONG ? 0 : N_CTX;
    OK(strata_ctx_open(s->m, &(strata_ctx_opts){.n_threads = threads, .n_seqs = 2, .n_ctx = n_ctx, .kv = s->kv}, &c,
                       err));
    return c;
}

/* The first n tokens in sequence 0 give `want`. */
static void same(const subject *s, strata_ctx *c, uint32_t n, const float *want, uint32_t chunk, const char *how)
{
    const float *l;
    OK(strata_ctx_sync(c, 0, s->ids, n, chunk, NULL, &l, err));
    if (memcmp(l, want, s->n_vocab * sizeof *l) != 0)
        fail_msg("%s, cache of type %d: %s (%u) gives other bits", s->name, s->kv, how, chunk);
}

static void chunks_and_threads(const subject *s)
{
    static const uint32_t chunks[] = {1, 7, 64, 500};
    for (int i = 0; i < 4; i++) {
        strata_ctx *c = open_with(s, (uint32_t)i % 3 + 1);
        same(s, c, s->n, s->want, chunks[i], "chunks");
        strata_ctx_close(c);
    }
}

/* The sequence holds another text with a beginning in common, then this one: a little further than that, where a wrong
 * key shows most, and as a whole. */
static void after_another(const subject *s, strata_ctx *c, uint32_t common, uint32_t n)
{
    float want[N_VOCAB];
    const float *l;
    int32_t other[LONG];
    uint32_t little = common + 3 < s->n ? common + 3 : s->n;
    strata_ctx *fresh = open_with(s, 1);
    OK(strata_ctx_sync(fresh, 0, s->ids, little, 0, NULL, &l, err));
    memcpy(want, l, s->n_vocab * sizeof *want);
    strata_ctx_close(fresh);
    for (uint32_t i = 0; i < n; i++) other[i] = i < common ? s->ids[i] : (int32_t)((i * 13 + 5) % s->n_vocab);
    for (int whole = 0; whole < 2; whole++) {
        OK(strata_ctx_sync(c, 0, other, n, 0, NULL, &l, err));
        OK(strata_ctx_sync(c, 1, other, n / 2 + 1, 0, NULL, &l, err)); /* and other text beside it */
        same(s, c, whole ? s->n : little, whole ? s->want : want, 0, "another text before");
    }
}

static void held_before(const subject *s)
{
    strata_ctx *c = open_with(s, 2);
    const float *l = NULL;
    for (uint32_t common = 0; common < s->n; common = SANITIZED_THREAD ? common + s->n / 2 : common * 3 + 5) {
        after_another(s, c, common, s->n);
        after_another(s, c, common, (common + s->n) / 2);
    }
    /* Token by token from the middle, with the other sequence beside it. */
    uint32_t at = s->n - STEP;
    OK(strata_ctx_sync(c, 0, s->ids, at, 0, NULL, &l, err));
    for (uint32_t i = 0; i < STEP; i++) {
        const float *both[2];
        OK(strata_ctx_step(c, (const uint32_t[]){1, 0}, (const int32_t[]){7, s->ids[at + i]}, 2, NULL, both, err));
        l = both[1];
    }
    if (memcmp(l, s->want, s->n_vocab * sizeof *l) != 0)
        fail_msg("%s, cache of type %d: steps give other bits", s->name, s->kv);
    strata_ctx_close(c);
}

/* Rows of a run without a cache, the last one. */
static void without(const subject *s)
{
    strata_ctx *c = open_ctx(s->m, 2, STRATA_PRECISION_I8);
    size_t rows, cols, size = (size_t)s->n * s->n_vocab;
    float *v = malloc(size * sizeof *v);
    OK(strata_eval(c, s->ids, NULL, s->n, STRATA_EVAL_LOGITS, 0, v, size, &rows, &cols, err));
    if (memcmp(v + size - s->n_vocab, s->want, s->n_vocab * sizeof *v) != 0)
        fail_msg("%s: other bits than without a cache", s->name);
    free(v);
    strata_ctx_close(c);
}

static void test_bits(void **state)
{
    (void)state;
    static float want[N_VOCAB];
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        edit longer[] = {{.kind = SET_U32, .name = models[i].key, .u = N_CTX}, {0}};
        blob b = models[i].key ? rewrite(tiny(models[i].name), longer) : blob_read(tiny(models[i].name));
        subject s = {.name = models[i].name, .m = open_blob(b, NULL), .n = models[i].key ? LONG : 200, .want = want};
        strata_model_info info;
        strata_model_get_info(s.m, &info);
        s.n_vocab = info.n_vocab;
        assert_true(s.n_vocab <= N_VOCAB);
        for (uint32_t k = 0; k < s.n; k++) s.ids[k] = (int32_t)((k * 37 + k / 50) % s.n_vocab);
        for (s.kv = STRATA_KV_F16; s.kv <= STRATA_KV_Q8; s.kv++) {
            if (SANITIZED_THREAD && s.kv != (int)i % 3) continue;
            strata_ctx *c = open_with(&s, 1);
            const float *l;
            OK(strata_ctx_sync(c, 0, s.ids, s.n, 0, NULL, &l, err));
            memcpy(want, l, s.n_vocab * sizeof *want);
            strata_ctx_close(c);
            chunks_and_threads(&s);
            held_before(&s);
            if (s.kv == STRATA_KV_F32) without(&s);
        }
        strata_model_close(s.m);
        free(b.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
