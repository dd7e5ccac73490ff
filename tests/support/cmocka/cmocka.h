/* cmocka.h: of cmocka's interface, what the tests here use, for builds that the library cannot be had for: another C
 * library (musl), or code that must be instrumented as a whole (MemorySanitizer). -DSTRATA_CMOCKA=OFF takes it. Names
 * and output are cmocka's, so that tests and whoever reads their output see no difference. */
#ifndef TESTS_SUPPORT_CMOCKA_H
#define TESTS_SUPPORT_CMOCKA_H

#include <stddef.h>
#include <stdint.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test;
    CMFixtureFunction setup, teardown;
    void *initial_state; /* NULL: the group's, which its setup made */
};

#define cmocka_unit_test(f)     \
    {                           \
#f, f, NULL, NULL, NULL \
    }
#define cmocka_unit_test_setup_teardown(f, before, after) \
    {                                                     \
#f, f, before, after, NULL                        \
    }

/* Runs all; the number of tests that failed. The fixtures of the group run once around them; NULL: none. */
int cmocka_run(const char *group, const struct CMUnitTest *tests, size_t n, CMFixtureFunction setup,
               CMFixtureFunction teardown);
#define cmocka_run_group_tests(tests, setup, teardown) \
    cmocka_run(#tests, tests, sizeof(tests) / sizeof *(tests), setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
    cmocka_run(name, tests, sizeof(tests) / sizeof *(tests), setup, teardown)

__attribute__((format(printf, 1, 2))) void print_message(const char *format, ...);
__attribute__((format(printf, 1, 2))) void print_error(const char *format, ...);

/* These leave the test, as the asserts below do when they do not hold. */
_Noreturn void cmocka_skip(const char *file, int line);
__attribute__((format(printf, 3, 4))) _Noreturn void cmocka_fail(const char *file, int line, const char *format, ...);

#define skip()        cmocka_skip(__FILE__, __LINE__)
#define fail()        cmocka_fail(__FILE__, __LINE__, "failed")
#define fail_msg(...) cmocka_fail(__FILE__, __LINE__, __VA_ARGS__)

void cmocka_true(int holds, const char *what, const char *file, int line);
void cmocka_int(uintmax_t a, uintmax_t b, int same, const char *file, int line);
void cmocka_string(const char *a, const char *b, int same, const char *file, int line);
void cmocka_memory(const void *a, const void *b, size_t n, int same, const char *file, int line);

#define assert_true(x)                   cmocka_true((x) ? 1 : 0, #x, __FILE__, __LINE__)
#define assert_false(x)                  cmocka_true((x) ? 0 : 1, "!(" #x ")", __FILE__, __LINE__)
#define assert_non_null(p)               cmocka_true((p) != NULL, #p " != NULL", __FILE__, __LINE__)
#define assert_null(p)                   cmocka_true((p) == NULL, #p " == NULL", __FILE__, __LINE__)
#define assert_ptr_equal(a, b)           cmocka_true((const void *)(a) == (const void *)(b), #a " == " #b, __FILE__, __LINE__)
#define assert_int_equal(a, b)           cmocka_int((uintmax_t)(a), (uintmax_t)(b), 1, __FILE__, __LINE__)
#define assert_int_not_equal(a, b)       cmocka_int((uintmax_t)(a), (uintmax_t)(b), 0, __FILE__, __LINE__)
#define assert_string_equal(a, b)        cmocka_string(a, b, 1, __FILE__, __LINE__)
#define assert_string_not_equal(a, b)    cmocka_string(a, b, 0, __FILE__, __LINE__)
#define assert_memory_equal(a, b, n)     cmocka_memory(a, b, n, 1, __FILE__, __LINE__)
#define assert_memory_not_equal(a, b, n) cmocka_memory(a, b, n, 0, __FILE__, __LINE__)

#endif
