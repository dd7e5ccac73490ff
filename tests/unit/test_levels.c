/* test_levels.c: the cascade of kernel levels over tables of any length, and through the public interface in a library
 * that has more levels than this build. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* setenv */
#endif
#include "levels/more_levels.h"
#include "unit/test_api.h"

/* ---- tables ------------------------------------------------------------------------------------------------------ */

/* Each level counts how many filled before it, and leaves its own mark. */
enum { N_MARKS = 10 };
#define MARK(i)                                         \
    static void mark_##i(st_kernels *k)                 \
    {                                                   \
        k->gemv_rows = k->gemv_rows * 16 + (size_t)(i); \
    }
MARK(1)
MARK(2)
MARK(3)
MARK(4)
MARK(5)
MARK(6)
MARK(7)
MARK(8)
#undef MARK

/* Feature i is bit i; "l5" needs that of "l3" too, "cap" fills nothing. */
static const st_kernel_level table[] = {
    {"base", 0, mark_1},    {"l1", 1 << 1, mark_2}, {"l2", 1 << 2, mark_3},          {"l3", 1 << 3, mark_4},
    {"l4", 1 << 4, mark_5}, {"cap", 0, NULL},       {"l5", 1 << 3 | 1 << 5, mark_6}, {"l6", 1 << 6, mark_7},
    {"l7", 1 << 7, mark_8},
};
enum { N_TABLE = sizeof table / sizeof *table };

static bool granted(const st_kernel_level *l, uint32_t have)
{
    return l->fill && (have & l->needs) == l->needs;
}

/* Every set of features, every length of the table, every cap. */
static void test_cascade(void **state)
{
    (void)state;
    for (uint32_t have = 0; have < 1u << N_MARKS; have++) {
        for (size_t n = 1; n <= N_TABLE; n++) {
            uint32_t at = 0;
            for (size_t i = 0; i < n; i++)
                if (granted(&table[i], have)) assert_ptr_equal(st_levels_at(table, n, have, at++), table[i].name);
            assert_null(st_levels_at(table, n, have, at));
            assert_null(st_levels_at(table, n, have, at + 1));
            assert_null(st_levels_at(table, n, have, UINT32_MAX));
        }
        for (size_t cap = 0; cap <= N_TABLE; cap++) { /* N_TABLE: none */
            st_kernels k;
            size_t want = 0;
            const char *best = NULL;
            for (size_t i = 0; i < N_TABLE && i <= cap; i++) {
                if (!granted(&table[i], have)) continue;
                st_kernels one = {.gemv_rows = want};
                table[i].fill(&one);
                want = one.gemv_rows;
                best = table[i].name;
            }
            assert_true(st_levels_fill(table, N_TABLE, have, cap < N_TABLE ? table[cap].name : NULL, &k));
            assert_int_equal(k.gemv_rows, want);
            assert_string_equal(k.level, best);
        }
    }
}

static void test_caps(void **state)
{
    (void)state;
    st_kernels k = {.gemv_rows = 77};
    assert_false(st_levels_fill(table, N_TABLE, ~0u, "l8", &k));
    assert_false(st_levels_fill(table, N_TABLE, ~0u, "L1", &k));
    assert_false(st_levels_fill(table, 3, ~0u, "l3", &k)); /* of a longer table */
    assert_int_equal(k.gemv_rows, 77);
    assert_true(st_levels_fill(table, N_TABLE, ~0u, "", &k));
    assert_string_equal(k.level, "l7");
    assert_true(st_levels_fill(table, N_TABLE, ~0u, "cap", &k));
    assert_string_equal(k.level, "l4");
    /* A level above what the machine has gives the machine's best. */
    assert_true(st_levels_fill(table, N_TABLE, 1 << 1, "l6", &k));
    assert_string_equal(k.level, "l1");
}

/* ---- the library ------------------------------------------------------------------------------------------------- */

static void test_names(void **state)
{
    (void)state;
    static const char *const want[] = {
#define ST_KERNEL_LEVEL(name, needs) #name,
#include "backend/cpu/kernels/levels.def"
        "more1",
        "more2",
    };
    enum { N_WANT = sizeof want / sizeof *want };
    /* Those of `want`, in their order, as far as this CPU has them; the last two always. */
    uint32_t n = 0;
    for (size_t i = 0; strata_cpu_level(n); i++) {
        assert_true(i < N_WANT);
        n += strcmp(strata_cpu_level(n), want[i]) == 0;
    }
    assert_true(n >= 3);
    assert_string_equal(strata_cpu_level(0), "generic");
    assert_string_equal(strata_cpu_level(n - 2), "more1");
    assert_string_equal(strata_cpu_level(n - 1), "more2");
    assert_null(strata_cpu_level(n + 1));
}

static void runs_at(const char *option, const char *variable, const char *want)
{
    strata_model_info info;
    if (variable) assert_int_equal(setenv("STRATA_CPU", variable, 1), 0);
    strata_model *m = open_model("bert-q8_0", &(strata_model_opts){.cpu = option, .n_threads = 1});
    unsetenv("STRATA_CPU");
    strata_model_get_info(m, &info);
    assert_string_equal(info.cpu, want);
    strata_model_close(m);
}

static void test_models(void **state)
{
    (void)state;
    const char *name, *below = NULL;
    for (uint32_t i = 0; (name = strata_cpu_level(i)); i++) {
        runs_at(name, NULL, name);
        runs_at(NULL, name, name);
        runs_at(name, "generic", name); /* the option, not the variable */
    }
    runs_at(NULL, NULL, "more2");
    runs_at("nowhere", NULL, "more1");
    runs_at("morecap", NULL, "more1");
    for (uint32_t i = 0; strcmp(strata_cpu_level(i), "more1") != 0; i++) below = strata_cpu_level(i);
        /* Names to cap by that are no levels, and levels that this CPU may lack. */
#define ST_KERNEL_CAP(name, units) runs_at(#name, NULL, below);
#include "backend/cpu/kernels/levels.def"
    (void)below;
    strata_model *m = NULL;
    FAILS(strata_model_open(tiny("bert-q8_0"), &(strata_model_opts){.cpu = "more3"}, &m, err), STRATA_INVALID_ARG,
          "there is no kernel level 'more3'");
    setenv("STRATA_CPU", "more", 1);
    FAILS(strata_model_open(tiny("bert-q8_0"), NULL, &m, err), STRATA_INVALID_ARG, "there is no kernel level 'more'");
    unsetenv("STRATA_CPU");
}

/* What says which names there are. */
static void test_page(void **state)
{
    (void)state;
    blob page = blob_read(STRATA_SOURCE_DIR "/docs/CLI.md");
    char *text = calloc(page.size + 1, 1);
    memcpy(text, page.data, page.size);
#define SAYS(name)                                                                                      \
    if (!strstr(text, "|" #name "|") && !strstr(text, "=" #name "|") && !strstr(text, "`" #name "|") && \
        !strstr(text, "|" #name "`"))                                                                   \
        fail_msg("docs/CLI.md does not name the kernel level %s", #name);
#define ST_KERNEL_LEVEL(name, needs) SAYS(name)
#define ST_KERNEL_CAP(name, units)   SAYS(name)
#include "backend/cpu/kernels/levels.def"
    free(text), free(page.data);
}

int main(void)
{
    unsetenv("STRATA_CPU");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cascade), cmocka_unit_test(test_caps),
                                       cmocka_unit_test(test_names), cmocka_unit_test(test_models),
                                       cmocka_unit_test(test_page)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
