/* cmocka.c: the tests' stand-in for cmocka, see cmocka.h. A test leaves through longjmp, so its assertions stand on the
 * thread that runs it, as with cmocka. */
#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PASSED, FAILED, SKIPPED };

static jmp_buf out;
static int running;

static void say(FILE *to, const char *format, va_list args)
{
    vfprintf(to, format, args);
    fflush(to);
}

void print_message(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(stdout, format, args);
    va_end(args);
}

void print_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(stderr, format, args);
    va_end(args);
}

static _Noreturn void leave(int how)
{
    if (!running) abort(); /* a child process of a test, or a call from outside of one */
    longjmp(out, how);
}

void cmocka_skip(const char *file, int line)
{
    print_error("%s:%d: skipped\n", file, line);
    leave(SKIPPED);
}

void cmocka_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_error("[  ERROR   ] --- ");
    say(stderr, format, args);
    va_end(args);
    print_error("\n%s:%d: error: Failure!\n", file, line);
    leave(FAILED);
}

void cmocka_true(int holds, const char *what, const char *file, int line)
{
    if (!holds) cmocka_fail(file, line, "%s", what);
}

void cmocka_int(uintmax_t a, uintmax_t b, int same, const char *file, int line)
{
    if ((a == b) != same) cmocka_fail(file, line, "%#jx %s %#jx", a, same ? "!=" : "==", b);
}

void cmocka_string(const char *a, const char *b, int same, const char *file, int line)
{
    if ((a && b && strcmp(a, b) == 0) != same)
        cmocka_fail(file, line, "\"%s\" %s \"%s\"", a ? a : "(null)", same ? "!=" : "==", b ? b : "(null)");
}

void cmocka_memory(const void *a, const void *b, size_t n, int same, const char *file, int line)
{
    const unsigned char *x = a, *y = b;
    if (same == (n == 0 || memcmp(a, b, n) == 0)) return;
    if (!same) cmocka_fail(file, line, "%zu bytes are the same", n);
    size_t at = 0;
    while (x[at] == y[at]) at++;
    cmocka_fail(file, line, "offset %zu of %zu: %#04x != %#04x", at, n, x[at], y[at]);
}

/* A test or, with fixture, what stands around it; a fixture fails by what it returns, too. */
static int attempt(CMUnitTestFunction test, CMFixtureFunction fixture, void **state)
{
    volatile int how = PASSED;
    running = 1;
    int left = setjmp(out);
    if (left)
        how = left;
    else if (fixture)
        how = fixture(state) ? FAILED : PASSED;
    else
        test(state);
    running = 0;
    return how;
}

static int run_one(const struct CMUnitTest *t, void *group_state)
{
    void *state = t->initial_state ? t->initial_state : group_state;
    int how = t->setup ? attempt(NULL, t->setup, &state) : PASSED;
    if (how == PASSED) how = attempt(t->test, NULL, &state);
    if (t->teardown && attempt(NULL, t->teardown, &state) != PASSED) how = FAILED;
    return how;
}

int cmocka_run(const char *group, const struct CMUnitTest *tests, size_t n, CMFixtureFunction setup,
               CMFixtureFunction teardown)
{
    static const char *const words[] = {"[       OK ]", "[  FAILED  ]", "[  SKIPPED ]"};
    void *state = NULL;
    size_t count[3] = {0};
    int *how = calloc(n ? n : 1, sizeof *how);
    if (!how) abort();
    print_message("[==========] %s: Running %zu test(s).\n", group, n);
    int begun = setup ? attempt(NULL, setup, &state) : PASSED;
    for (size_t i = 0; i < n; i++) {
        print_message("[ RUN      ] %s\n", tests[i].name);
        how[i] = begun == PASSED ? run_one(&tests[i], state) : FAILED;
        count[how[i]]++;
        print_message("%s %s\n", words[how[i]], tests[i].name);
    }
    if (teardown && attempt(NULL, teardown, &state) != PASSED) begun = FAILED;
    print_error("[==========] %s: %zu test(s) run.\n[  PASSED  ] %zu test(s).\n", group, n, count[PASSED]);
    for (int what = SKIPPED; what >= FAILED; what--) {
        if (!count[what]) continue;
        print_error("%s %zu test(s), listed below:\n", words[what], count[what]);
        for (size_t i = 0; i < n; i++)
            if (how[i] == what) print_error("%s %s\n", words[what], tests[i].name);
        print_error("\n %zu %s TEST(S)\n", count[what], what == SKIPPED ? "SKIPPED" : "FAILED");
    }
    free(how);
    if (begun != PASSED) print_error("[  FAILED  ] the group's setup or teardown\n");
    return (int)count[FAILED] + (begun != PASSED);
}
