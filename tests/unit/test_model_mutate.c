/* test_model_mutate.c: models cut short and mutated at random: an error or a success, no signal, no leak (the
 * sanitizers of the build look on). The seeds are fixed: a failure names its number, and MUTATION=N runs that one
 * alone. tests/mutate does the same to every tiny model, through every call, for as long as one likes. */
#include "unit/test_api.h"

#include "fuzz/fuzz_model.c"
#include "mutate/bytes.h"

enum { N_CUTS = 200, N_MUTATIONS = 5000, N_SEEDS = 5, VOCABULARY = N_SEEDS - 1 };

typedef struct seed {
    const char *name;
    blob b;
    size_t head; /* bytes before the tensors' data */
} seed;
static seed seeds[N_SEEDS]; /* the last is a vocabulary alone */

/* Small versions of the tiny models: one layer, a short context. */
static void make_seeds(void)
{
    static const edit bert[] = {{SET_U32, "bert.block_count", .u = 1},
                                {SET_U32, "bert.context_length", .u = 16},
                                {RESHAPE, "position_embd.weight", .n = 16, .k = 64},
                                {DROP_PREFIX, .name = "blk.1."},
                                {DROP_PREFIX, .name = "blk.2."},
                                {0}};
    static const edit gemma[] = {{SET_U32, "gemma-embedding.block_count", .u = 1},
                                 {DROP_PREFIX, .name = "blk.1."},
                                 {DROP_PREFIX, .name = "blk.2."},
                                 {DROP_PREFIX, .name = "blk.3."},
                                 {DROP_PREFIX, .name = "blk.4."},
                                 {DROP_PREFIX, .name = "blk.5."},
                                 {DROP_PREFIX, .name = "blk.6."},
                                 {0}};
    static const edit oss[] = {{SET_U32, "gpt-oss.block_count", .u = 1},
                               {DROP_PREFIX, .name = "blk.1."},
                               {DROP_PREFIX, .name = "blk.2."},
                               {0}};
    static const edit deepseek[] = {{SET_U32, "deepseek2.block_count", .u = 2}, {DROP_PREFIX, .name = "blk.2."}, {0}};
    char path[512];
    snprintf(path, sizeof path, "%s/tests/data/tok/spm2k-ud.gguf", STRATA_SOURCE_DIR);
    seeds[0] = (seed){.name = "bert-q8_0", .b = rewrite(tiny("bert-q8_0"), bert)};
    seeds[1] = (seed){.name = "gemma-embedding-q8_0", .b = rewrite(tiny("gemma-embedding-q8_0"), gemma)};
    seeds[2] = (seed){.name = "gpt-oss-mxfp4", .b = rewrite(tiny("gpt-oss-mxfp4"), oss)};
    seeds[3] = (seed){.name = "deepseek2", .b = rewrite(tiny("deepseek2"), deepseek)};
    seeds[VOCABULARY] = (seed){.name = "spm2k-ud", .b = blob_read(path)};
    for (int i = 0; i < N_SEEDS; i++) {
        st_mem mem;
        st_gguf g;
        st_mem_init(&mem, NULL, 0);
        assert_int_equal(st_gguf_parse(&g, seeds[i].b.data, seeds[i].b.size, seeds[i].name, false, &mem, NULL), 0);
        seeds[i].head = g.n_tensors ? (size_t)(g.tensors[0].data - seeds[i].b.data) : seeds[i].b.size;
        st_gguf_free(&g);
    }
}

static int setup(void **state)
{
    (void)state;
    make_seeds();
    const char *folder = getenv("STRATA_WRITE_CORPUS");
    for (int i = 0; folder && i < N_SEEDS; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s.gguf", folder, seeds[i].name);
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(seeds[i].b.data, 1, seeds[i].b.size, f), seeds[i].b.size);
        fclose(f);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < N_SEEDS; i++) free(seeds[i].b.data);
    return 0;
}

/* On exactly as many bytes as there are, so that a sanitizer sees the first one read beyond them. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *p = malloc(size ? size : 1);
    assert_non_null(p);
    memcpy(p, data, size);
    LLVMFuzzerTestOneInput(p, size);
    free(p);
}

static void test_seeds(void **state)
{
    (void)state;
    for (int i = 0; i < VOCABULARY; i++) { /* they do run */
        strata_model *m = open_blob(seeds[i].b, NULL);
        strata_ctx *c = open_ctx(m, 1, 0);
        float v[64];
        embed_one(c, text_of("abc"), &(strata_embed_opts){.pooling = STRATA_POOLING_LAST}, v, 64);
        strata_ctx_close(c);
        strata_model_close(m);
        run(seeds[i].b.data, seeds[i].b.size);
    }
}

static void test_cut_short(void **state)
{
    (void)state;
    uint64_t r = 20240601;
    for (int i = 0; i < N_SEEDS; i++) {
        for (int k = 0; k < N_CUTS; k++) {
            /* Half of the cuts in the metadata. */
            size_t size =
                ((uint64_t)rng_next(&r) << 16 | rng_next(&r) % 65536) % (k % 2 ? seeds[i].head : seeds[i].b.size);
            strata_model *m = NULL;
            strata_error e = {0};
            int rc = strata_model_open_buffer(seeds[i].b.data, size, "cut", NULL, &m, &e);
            if (rc != STRATA_CORRUPT_MODEL && rc != STRATA_NOT_GGUF)
                fail_msg("%s cut to %zu bytes: %s '%s'", seeds[i].name, size, strata_status_name(rc), e.msg);
            run(seeds[i].b.data, size);
        }
    }
}

static void test_mutations(void **state)
{
    (void)state;
    const char *only = getenv("MUTATION");
    int opened = 0;
    for (int i = 0; i < N_MUTATIONS; i++) {
        if (only && atoi(only) != i) continue;
        const seed *s = &seeds[i % 8 == 7 ? VOCABULARY : i % VOCABULARY];
        uint64_t r = (uint64_t)i * 7919 + 1;
        uint8_t *p = malloc(s->b.size);
        memcpy(p, s->b.data, s->b.size);
        mutate_bytes(p, s->b.size, s->head, &r);
        if (only) printf("mutation %d of %s\n", i, s->name);
        run(p, s->b.size);
        strata_model *m = NULL;
        if (i % 50 == 0 && !strata_model_open_buffer(p, s->b.size, "m",
                                                     &(strata_model_opts){.n_threads = 1, .vocab_only = 1}, &m, NULL))
            opened++;
        strata_model_close(m);
        free(p);
    }
    if (!only) assert_true(opened > 5); /* not all of them break at the first byte */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
