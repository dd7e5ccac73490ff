/* test_template_stack.c: what a rendering takes of the stack of whoever calls: at most 60 KiB from the public call
 * down, whatever the template and the JSON. The stack of a thread is painted before and looked at after. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sys/mman.h>

#include "support/sanitized.h"
#include "unit/test_api.h"

#if SANITIZED || !defined(__OPTIMIZE__)
enum { LIMIT = 0 }; /* frames are larger there; what is refused and what is not is the same */
#else
enum { LIMIT = 62 << 10 }; /* aarch64's printf of a long double takes more than x86's */
#endif

enum { STACK = 1 << 20, PAINT = 0xa5 };

typedef struct call {
    const strata_model *m;
    strata_chat_opts o;
    int rc;
    const char *top; /* the stack where the call was made */
    strata_error err;
    size_t len;
} call;

__attribute__((noinline)) static void *make_call(void *user)
{
    call *c = user;
    char here;
    size_t n_ids;
    c->top = &here;
    c->rc = strata_chat_render(c->m, NULL, 0, &c->o, NULL, 0, &c->len, &c->err);
    if (!c->rc) c->rc = strata_chat_encode(c->m, NULL, 0, &c->o, NULL, 0, &n_ids, &c->err);
    return NULL;
}

/* Bytes of stack below the call. */
static size_t measure(call *c)
{
    pthread_attr_t a;
    pthread_t t;
    unsigned char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(stack != MAP_FAILED);
    memset(stack, PAINT, STACK);
    assert_int_equal(pthread_attr_init(&a), 0);
    assert_int_equal(pthread_attr_setstack(&a, stack, STACK), 0);
    assert_int_equal(pthread_create(&t, &a, make_call, c), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    pthread_attr_destroy(&a);
    size_t low = 0;
    while (low < STACK && stack[low] == PAINT) low++;
    size_t used = (size_t)((const unsigned char *)c->top - (stack + low));
    munmap(stack, STACK);
    return used;
}

static char *repeat(const char *head, const char *s, const char *mid, const char *t, size_t n, const char *tail)
{
    char *out = malloc(strlen(head) + (strlen(s) + strlen(t)) * n + strlen(mid) + strlen(tail) + 1), *p = out;
    p = stpcpy(p, head);
    for (size_t i = 0; i < n; i++) p = stpcpy(p, s);
    p = stpcpy(p, mid);
    for (size_t i = 0; i < n; i++) p = stpcpy(p, t);
    stpcpy(p, tail);
    return out;
}

static size_t worst;

static void render(const strata_model *m, const char *source, const char *variables, int want, const char *message)
{
    call c = {.m = m, .o = {.source = source, .now = 1772856309}};
    if (variables) c.o.variables = (strata_text){variables, strlen(variables)};
    size_t used = measure(&c);
    if (c.rc != want || (want && !strstr(c.err.msg, message)))
        fail_msg("%.100s: status %d, %s", source, c.rc, c.err.msg);
    if (getenv("STRATA_PRINT_STACK")) print_message("%6zu %.60s\n", used, source);
    if (used > worst) worst = used;
    if (LIMIT != 0 && used > LIMIT) fail_msg("%.100s: %zu bytes of stack", source, used);
}

static const struct nested {
    const char *head, *s, *mid, *t, *tail;
    size_t ok; /* so many render */
} nested[] = {{"{{ ", "(", "1", ")", " }}", 90},
              {"{{ ", "[", "1", "]", " }}", 90},
              {"{{ ", "(1,", "1", ")", " }}", 90},
              {"{{ ", "{1:", "1", "}", " }}", 90},
              {"{{ ", "not ", "1", "", " }}", 90},
              {"{{ ", "-", "1", "", " }}", 90},
              {"{{ ", "1 if 1 else ", "1", "", " }}", 90},
              {"{{ ", "'a'|default(", "1", ")", " }}", 90},
              {"{{ ", "'a'.split(", "'b'", ")|string", " }}", 90},
              {"{{ ", "1 < (", "2", ")", " }}", 45},
              {"{{ ", "1 + 2 * (", "2", ")", " }}", 30},
              {"{{ ", "1 ~ (1 and (", "2", "))", " }}", 20},
              {"{{ ", "1 or 1 and not 1 < 1 + 1 ~ 1 * 1 ** (", "2", ")", " }}", 10},
              {"{{ ", "x[", "1", "]", " }}", 90},
              {"{{ ", "x[1:", "1", "]", " }}", 90},
              {"{{ ", "1 is eq(", "1", ")", " }}", 90},
              {"", "{% if 1 %}", "x", "{% endif %}", "", 90},
              {"", "{% for i in [1] %}", "x", "{% endfor %}", "", 90},
              {"", "{% for i in [1] if 1 %}", "x", "{% endfor %}", "", 90},
              {"", "{% with %}", "x", "{% endwith %}", "", 90},
              {"", "{% set x %}", "x", "{% endset %}", "", 90},
              {"", "{% filter upper %}", "x", "{% endfilter %}", "", 90},
              {"", "{% macro f() %}", "x", "{% endmacro %}", "", 90},
              {"{% macro f() %}{{ caller() }}{% endmacro %}", "{% call f() %}", "x", "{% endcall %}", "", 90},
              {"", "{% generation %}", "x", "{% endgeneration %}", "", 90},
              {"{% for ", "(", "a", ",)", " in [] %}{% endfor %}", 90}};

/* Sources nested in any way: 90 deep they render, 3,000 deep they are refused. */
static void test_sources(void **state)
{
    const strata_model *m = *state;
    for (size_t i = 0; i < sizeof nested / sizeof *nested; i++) {
        const struct nested *k = &nested[i];
        bool fails = strstr(k->s, "x["); /* of undefined */
        char *s = repeat(k->head, k->s, k->mid, k->t, k->ok, k->tail);
        render(m, s, NULL, fails ? STRATA_BAD_TEMPLATE : STRATA_OK, "");
        free(s);
        s = repeat(k->head, k->s, k->mid, k->t, 3000, k->tail);
        render(m, s, NULL, STRATA_BAD_TEMPLATE, k->s[0] == '(' && k->head[1] == '%' ? "" : "deep");
        free(s);
    }
}

/* Macros and loops that call themselves: as deep as a schema may be, and no deeper than the limit. */
static void test_calls(void **state)
{
    const strata_model *m = *state;
    char source[400];
    static const char *const bodies[] = {
        "{% macro f(n) %}{{ f(n - 1) if n else 'x' }}{% endmacro %}{{ f(DEPTH) }}",
        "{% macro f(n) %}{% for i in [1] %}{% if n %}{% if 1 %}{{ f(n - 1) }}{% endif %}{% endif %}{% endfor %}"
        "{% endmacro %}{{ f(DEPTH) }}",
        "{% macro f(n) %}{% if n %}{% call f(n - 1) %}x{% endcall %}{% endif %}{{ caller is none }}{% endmacro %}{{ "
        "f(DEPTH) }}",
        "{% for i in [DEPTH] recursive %}{{ loop([i - 1]) if i else 'x' }}{% endfor %}",
        "{% macro f(n) %}{% set x %}{% filter trim %}{{ f(n - 1) if n else 'x' }}{% endfilter %}{% endset %}{{ x }}"
        "{% endmacro %}{{ f(DEPTH) }}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        for (int deep = 0; deep < 2; deep++) {
            const char *at = strstr(bodies[i], "DEPTH");
            snprintf(source, sizeof source, "%.*s%d%s", (int)(at - bodies[i]), bodies[i], deep ? 100000 : 150, at + 5);
            render(m, source, NULL, deep ? STRATA_BAD_TEMPLATE : STRATA_OK, "deep");
        }
}

/* Values in one another, read from JSON or made by the template, printed, compared, sorted, used as keys. */
static void test_values(void **state)
{
    const strata_model *m = *state;
    static const char *const uses[] = {"{{ x }}",
                                       "{{ x|tojson }}",
                                       "{{ x|tojson(indent=2, sort_keys=true) }}",
                                       "{{ x == y }}",
                                       "{{ x in [y] }}",
                                       "{{ x < y }}",
                                       "{{ [x, y]|sort }}",
                                       "{{ [x]|unique|list }}",
                                       "{{ [x]|string }}",
                                       "{{ '%s' % [x] }}",
                                       "{{ '{}'.format(x) }}",
                                       "{{ x|map('list')|list }}",
                                       "{{ x.copy() }}",
                                       "{{ [x, y]|groupby(0) }}",
                                       "{{ x|pprint }}",
                                       "{{ x|urlencode }}",
                                       "{{ {x: 1} }}",
                                       "{{ x.items() }}",
                                       "{{ x|d|e }}",
                                       "{{ x ~ x }}"};
    char source[600];
    for (int kind = 0; kind < 2; kind++) {
        char *json = kind ? repeat("{\"x\":", "{\"a\":", "1", "}", 90, ",\"y\":1}")
                          : repeat("{\"x\":", "[", "1", "]", 90, ",\"y\":1}");
        render(m, "{{ x }}{{ x|tojson }}{{ x == y }}{{ x == x }}", json, STRATA_OK, "");
        free(json);
        json = kind ? repeat("{\"x\":", "{\"a\":", "1", "}", 1000, "}") : repeat("{\"x\":", "[", "1", "]", 1000, "}");
        render(m, "x", json, STRATA_BAD_TEMPLATE, "deep");
        free(json);
    }
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        for (int tuple = 0; tuple < 3; tuple++) {
            static const char *const wrap[] = {"[X]", "(X,)", "{'a': X}"};
            call c = {.m = m, .o = {.source = source}};
            const char *at = strchr(wrap[tuple], 'X');
            int head = (int)(at - wrap[tuple]);
            snprintf(source, sizeof source,
                     "{%% set n = namespace(x=1, y=1) %%}{%% for i in range(5000) %%}{%% set n.x = %.*sn.x%s %%}"
                     "{%% set n.y = %.*sn.y%s %%}{%% endfor %%}{%% set x = n.x %%}{%% set y = n.y %%}%s",
                     head, wrap[tuple], at + 1, head, wrap[tuple], at + 1, uses[i]);
            size_t used = measure(&c);
            if (used > worst) worst = used;
            if (c.rc && c.rc != STRATA_BAD_TEMPLATE) fail_msg("%s: status %d, %s", uses[i], c.rc, c.err.msg);
            if (LIMIT != 0 && used > LIMIT) fail_msg("%s: %zu bytes of stack", uses[i], used);
        }
}

/* What calls the C library with much on its stack. */
static void test_leaves(void **state)
{
    const strata_model *m = *state;
    render(m, "{{ 1.7976931348623157e308 }}{{ 5e-324 }}{{ '%.400f' % 1e-300 }}{{ '{:,.300f}'.format(1e300) }}", NULL, 0,
           "");
    render(m, "{{ 1e308|round(5) }}{{ 10**4000 / 3**8000 }}{{ (10**4200)|string|length }}{{ 2**0.5 }}", NULL, 0, "");
    render(m, "{{ range(50000)|map('string')|sort|join|length }}{{ strftime_now('%c %x %X %U') }}", NULL, 0, "");
    render(m, "{{ [3]|map('map', 'map')|list }}", NULL, STRATA_BAD_TEMPLATE, "");
    render(m, "{{ raise_exception('x' * 5000) }}", NULL, STRATA_BAD_TEMPLATE, "xxx");
    print_message("at most %zu bytes of stack below a call\n", worst);
}

static int setup(void **state)
{
    strata_model_opts o = {.vocab_only = 1};
    strata_error err;
    strata_model *m;
    if (strata_model_open(STRATA_SOURCE_DIR "/tests/data/tiny/llama-q8_0.gguf", &o, &m, &err)) return -1;
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    strata_model_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sources), cmocka_unit_test(test_calls),
                                       cmocka_unit_test(test_values), cmocka_unit_test(test_leaves)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
