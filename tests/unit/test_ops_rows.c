/* test_ops_rows.c: embedding, residual, norm and pooling ops against torch for every kernel level. */
#include "ops/rig.h"

enum { N = 64, ROWS = 23, SEQS = 3 };

static rig *rows_rig(const char *level, const vectors *v)
{
    rig *r = rig_new(level, STRATA_PRECISION_F32);
    r->plan.width[ST_SLOT_X] = r->plan.width[ST_SLOT_N] = r->plan.width[ST_SLOT_Y] = r->plan.width[ST_SLOT_P] = N;
    rig_open(r, (const uint32_t *)GET(v, "starts")->i, SEQS);
    r->batch.ids = GET(v, "ids")->i;
    return r;
}

static void test_embed(void **state)
{
    (void)state;
    vectors v = vectors_read("rest");
    st_gguf_tensor token = rig_matrix(ST_F32, GET(&v, "token")->b, 50, N),
                   kind = rig_matrix(ST_F32, GET(&v, "kind")->b, 2, N),
                   position = rig_matrix(ST_F32, GET(&v, "position")->b, 40, N),
                   q8_0 = rig_matrix(ST_Q8_0, GET(&v, "token_q8_0")->b, 50, N);
    st_norm layer = {.kind = ST_NORM_LAYER, .w = {GET(&v, "w")->f, N}, .b = {GET(&v, "b")->f, N}, .eps = 1e-3f};
    st_op_embed full = {.scale = 1.0f, .tokens = &token, .types = &kind, .positions = &position};
    EACH_LEVEL(level)
    {
        rig *r = rows_rig(level, &v);
        st_run_embed(&r->env, &(st_op_embed){.scale = 1.0f, .tokens = &token});
        rig_close_to(r, ST_SLOT_X, "embed", GET(&v, "embed.plain"), 0);
        rig_close_to(r, ST_SLOT_N, "embed, next none", GET(&v, "embed.plain"), 0);
        st_run_embed(&r->env, &(st_op_embed){.scale = 8.0f, .tokens = &token});
        rig_close_to(r, ST_SLOT_X, "embed scaled", GET(&v, "embed.scaled"), 0);
        st_run_embed(&r->env, &(st_op_embed){.scale = 1.0f, .tokens = &q8_0});
        rig_close_to(r, ST_SLOT_X, "embed q8_0", GET(&v, "embed.q8_0"), 0);
        st_run_embed(&r->env, &full);
        rig_close_to(r, ST_SLOT_X, "embed, types 0", GET(&v, "embed.type0"), 2e-7);
        r->batch.types = GET(&v, "types")->i;
        st_run_embed(&r->env, &full);
        rig_close_to(r, ST_SLOT_X, "embed, types and positions", GET(&v, "embed.full"), 2e-7);
        st_op_embed normed = full;
        normed.norm = layer;
        st_run_embed(&r->env, &normed);
        rig_close_to(r, ST_SLOT_X, "embed, norm", GET(&v, "embed.layer"), 1e-6);
        rig_close_to(r, ST_SLOT_N, "embed, norm", GET(&v, "embed.layer"), 1e-6);
        normed = full;
        normed.next = layer;
        st_run_embed(&r->env, &normed);
        rig_close_to(r, ST_SLOT_X, "embed, next", GET(&v, "embed.full"), 2e-7);
        rig_close_to(r, ST_SLOT_N, "embed, next", GET(&v, "embed.layer"), 1e-6);
        rig_close(r);
    }
    vectors_free(&v);
}

static st_norm rms(const vectors *v, uint32_t row)
{
    return (st_norm){.kind = ST_NORM_RMS, .w = {GET(v, "resid.w")->f + row * N, N}, .eps = 1e-3f};
}

static void test_resid(void **state)
{
    (void)state;
    vectors v = vectors_read("rest");
    st_norm layer = {.kind = ST_NORM_LAYER, .w = {GET(&v, "w")->f, N}, .b = {GET(&v, "b")->f, N}, .eps = 1e-3f};
    st_op_resid pre = {.next = rms(&v, 1), .scale = 1}, post = {.sum = layer, .scale = 1},
                sandwich = {.branch = rms(&v, 0), .next = rms(&v, 1), .scale = 1};
    EACH_LEVEL(level)
    {
        rig *r = rows_rig(level, &v);
#define RUN(op)                                                \
    do {                                                       \
        rig_put(r, ST_SLOT_X, GET(&v, "resid.x")->f, ROWS, N); \
        rig_put(r, ST_SLOT_Y, GET(&v, "resid.y")->f, ROWS, N); \
        st_run_resid(&r->env, &(op));                          \
    } while (0)
        RUN(pre);
        rig_close_to(r, ST_SLOT_X, "pre-norm", GET(&v, "resid.pre.x"), 2e-7);
        rig_close_to(r, ST_SLOT_N, "pre-norm", GET(&v, "resid.pre.n"), 1e-6);
        RUN(post);
        rig_close_to(r, ST_SLOT_X, "post-norm", GET(&v, "resid.post.x"), 1e-6);
        rig_close_to(r, ST_SLOT_N, "post-norm", GET(&v, "resid.post.x"), 1e-6);
        RUN(sandwich);
        rig_close_to(r, ST_SLOT_X, "sandwich", GET(&v, "resid.sandwich.x"), 1e-6);
        rig_close_to(r, ST_SLOT_N, "sandwich", GET(&v, "resid.sandwich.n"), 1e-6);
#undef RUN
        rig_put(r, ST_SLOT_X, GET(&v, "resid.pre.x")->f, ROWS, N);
        st_norm next = rms(&v, 1);
        for (uint32_t i = 0; i < ROWS; i++)
            st_env_write_n(&r->env, ST_SLOT_N, i, &next, r->env.slots->f[ST_SLOT_X] + i * r->env.slots->ld[ST_SLOT_X]);
        rig_close_to(r, ST_SLOT_N, "norm", GET(&v, "resid.pre.n"), 1e-6);
        rig_close(r);
    }
    vectors_free(&v);
}

static void test_pool(void **state)
{
    (void)state;
    vectors v = vectors_read("rest");
    EACH_LEVEL(level)
    {
        rig *r = rows_rig(level, &v);
        rig_put(r, ST_SLOT_N, GET(&v, "resid.x")->f, ROWS, N);
        r->batch.pooling = STRATA_POOLING_MEAN;
        st_run_pool(&r->env, &(st_op_pool){STRATA_POOLING_DEFAULT});
        rig_close_to(r, ST_SLOT_P, "mean", GET(&v, "pool.mean"), 1e-6);
        r->batch.pooling = STRATA_POOLING_CLS;
        st_run_pool(&r->env, &(st_op_pool){STRATA_POOLING_DEFAULT});
        rig_close_to(r, ST_SLOT_P, "cls", GET(&v, "pool.cls"), 0);
        r->batch.pooling = STRATA_POOLING_LAST;
        st_run_pool(&r->env, &(st_op_pool){STRATA_POOLING_DEFAULT});
        rig_close_to(r, ST_SLOT_P, "last", GET(&v, "pool.last"), 0);
        rig_close(r);
    }
    vectors_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embed),
        cmocka_unit_test(test_resid),
        cmocka_unit_test(test_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
