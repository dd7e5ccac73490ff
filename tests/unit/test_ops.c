/* test_ops.c: the row kernels of every level against torch: norms, activations, softmax, rope. */
#include "ops/vectors.h"

#include "backend/cpu/kernels/kernels.h"

/* Runs body once a level with k and level set. */
#define EACH_LEVEL(level, k)                                                          \
    for (uint32_t level##_i = 0; st_kernels_level_at(level##_i); level##_i++)         \
        for (const char *level = st_kernels_level_at(level##_i); level; level = NULL) \
            for (st_kernels k = {0}; !k.level && st_kernels_init(&k, level);)

static char label_[96];
static const char *label(const char *level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static const char *label(const char *level, const char *fmt, ...)
{
    int n = snprintf(label_, sizeof label_, "%s ", level);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(label_ + n, sizeof label_ - (size_t)n, fmt, ap);
    va_end(ap);
    return label_;
}

static void test_norms(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 7, 16, 48, 64, 100, 384, 768};
    static const float eps[] = {1e-3f, 1e-6f};
    vectors v = vectors_read("norms");
    EACH_LEVEL(level, k)
    {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            uint32_t n = sizes[s];
            const array *x = GET(&v, "%u.x", n), *w = GET(&v, "%u.w", n), *b = GET(&v, "%u.b", n);
            float *y = malloc(n * sizeof *y);
            for (int e = 0; e < 2; e++)
                for (uint32_t r = 0; r < x->dims[0]; r++) {
                    const float *row = x->f + (size_t)r * n;
                    char at[32];
                    snprintf(at, sizeof at, "%u.%g", n, (double)eps[e]);
#define WANT(name) (GET(&v, "%s." name, at)->f + (size_t)r * n)
                    k.rms_norm(row, w->f, eps[e], n, y);
                    close_rows(label(level, "rms_norm %s", at), y, n, WANT("rms"), 1, n, 5e-7);
                    k.rms_norm(row, NULL, eps[e], n, y);
                    close_rows(label(level, "rms_norm %s without weight", at), y, n, WANT("rms_plain"), 1, n, 5e-7);
                    memcpy(y, row, n * sizeof *y);
                    k.rms_norm(y, w->f, eps[e], n, y);
                    close_rows(label(level, "rms_norm %s in place", at), y, n, WANT("rms"), 1, n, 5e-7);
                    if (n == 1) continue; /* the variance of one value is 0: nothing but b is left */
                    k.layer_norm(row, w->f, b->f, eps[e], n, y);
                    close_rows(label(level, "layer_norm %s", at), y, n, WANT("layer"), 1, n, 2e-6);
                    k.layer_norm(row, NULL, NULL, eps[e], n, y);
                    close_rows(label(level, "layer_norm %s without weight", at), y, n, WANT("layer_plain"), 1, n, 2e-6);
#undef WANT
                }
            free(y);
        }
    }
    vectors_free(&v);
}

static void test_acts(void **state)
{
    (void)state;
    static const st_act kinds[] = {ST_ACT_GELU_ERF, ST_ACT_GELU_TANH, ST_ACT_SILU, ST_ACT_RELU, ST_ACT_TANH};
    vectors v = vectors_read("acts");
    const array *x = GET(&v, "x"), *u = GET(&v, "u");
    uint32_t n = x->n;
    float *y = malloc(n * sizeof *y), *glu = malloc(n * sizeof *glu);
    EACH_LEVEL(level, k)
    {
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            const char *name = st_act_name(kinds[i]);
            const array *want = GET(&v, "%s", name);
            memcpy(y, x->f, n * sizeof *y);
            k.act(kinds[i], y, n, 1, n);
            /* In the far negative tail GELU is a difference of near equals: there the error is measured against x. */
            for (uint32_t j = 0; j < n; j++) {
                double g = (double)y[j], w = (double)want->f[j], a = fabs((double)x->f[j]);
                if (!(fabs(g - w) <= 6e-7 * fabs(w) + (a < 10 ? 1.2e-7 * a : 0) + 1e-35)) /* exp is 0 below -86.5 */
                    fail_msg("%s %s(%.9g) is %.9g, torch has %.9g", level, name, (double)x->f[j], g, w);
            }
            memcpy(glu, x->f, n * sizeof *glu);
            k.glu(kinds[i], glu, n, u->f, n, 1, n);
            for (uint32_t j = 0; j < n; j++) y[j] *= u->f[j];
            assert_memory_equal(glu, y, n * sizeof *y);
        }
    }
    free(y);
    free(glu);
    vectors_free(&v);
}

static void test_softmax(void **state)
{
    (void)state;
    static const uint32_t shapes[][3] = {{16, 0, 1}, {16, 3, 16}, {48, 0, 48}, {48, 20, 37}, {160, 5, 150}};
    static const struct {
        const char *name;
        float cap, slope;
    } kinds[] = {{"plain", 0, 0}, {"cap", 5, 0}, {"alibi", 0, 0.25f}};
    vectors v = vectors_read("softmax");
    EACH_LEVEL(level, k)
    {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            uint32_t n = shapes[s][0], lo = shapes[s][1], hi = shapes[s][2];
            const array *x = GET(&v, "%u.%u.%u.s", n, lo, hi);
            for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
                float y[160];
                memcpy(y, x->f, n * sizeof *y);
                float sum = k.softmax(y, n, lo, hi, 0.3f, kinds[i].cap, kinds[i].slope, (int64_t)hi - 1);
                for (uint32_t j = 0; j < n; j++) y[j] /= sum;
                close_rows(label(level, "softmax %u %u %u %s", n, lo, hi, kinds[i].name), y, n,
                           GET(&v, "%u.%u.%u.%s", n, lo, hi, kinds[i].name)->f, 1, n, 2e-6);
                for (uint32_t j = 0; j < n; j++)
                    if (j < lo || j >= hi) assert_true(y[j] == 0.0f);
            }
        }
    }
    vectors_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_acts),
        cmocka_unit_test(test_softmax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
