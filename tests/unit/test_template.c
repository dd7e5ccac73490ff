/* test_template.c: chat templates against HuggingFace (tests/data/template, made by tools/gen_templates.py), the
 * language against Jinja, who wrote which byte, and templates that mean harm. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* posix_memalign, memmem */
#endif
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "support/sanitized.h"
#include "template/jinja.h"
#include "template/template.h"

#define DATA   STRATA_SOURCE_DIR "/tests/data/template"
#define ST_NOW 1772856309 /* 2026-03-07 04:05:09 */
#define N(a)   (sizeof(a) / sizeof(a)[0])

/* ---- output ---- */

typedef struct text {
    char *p;
    char *made; /* 't' template, 'u' user, a byte each */
    size_t n, pieces;
    bool last;
} text;

static int collect(void *user, const char *p, size_t n, bool is_template)
{
    text *t = user;
    assert_true(n > 0);
    if (t->pieces) assert_true(t->last != is_template);
    t->p = realloc(t->p, t->n + n);
    t->made = realloc(t->made, t->n + n);
    memcpy(t->p + t->n, p, n);
    memset(t->made + t->n, is_template ? 't' : 'u', n);
    t->n += n;
    t->pieces++;
    t->last = is_template;
    return 0;
}

static void drop(text *t)
{
    free(t->p);
    free(t->made);
    *t = (text){0};
}

static st_str str(const char *s)
{
    return (st_str){s, s ? strlen(s) : 0};
}

/* Opens, renders and closes; everything is given back whatever happens. */
static int run(st_str source, const st_template_opts *o, text *out, strata_error *err)
{
    st_mem mem;
    st_template *t = NULL;
    *err = (strata_error){0};
    *out = (text){0};
    st_mem_init(&mem, NULL, 0);
    int rc = st_template_open(source, &mem, &t, err);
    if (!rc) rc = st_template_render(t, o, collect, out, err);
    st_template_close(t);
    assert_int_equal(mem.used, 0);
    if (rc) assert_int_equal(out->n, 0);
    if (rc) assert_int_equal(err->code, rc);
    return rc;
}

/* ---- records ---- */

typedef struct reader {
    char *data;
    size_t size, at;
    char key[32];
    st_str value;
} reader;

static bool open_records(reader *d, const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    *d = (reader){0};
    if (!f) return false;
    fseek(f, 0, SEEK_END);
    d->size = (size_t)ftell(f);
    rewind(f);
    d->data = malloc(d->size + 1);
    assert_int_equal(fread(d->data, 1, d->size, f), d->size);
    d->data[d->size] = 0;
    fclose(f);
    return true;
}

static bool next(reader *d)
{
    int used = 0;
    size_t n = 0;
    if (d->at >= d->size) return false;
    assert_int_equal(sscanf(d->data + d->at, "@%31s %zu%n", d->key, &n, &used), 2);
    d->at += (size_t)used + 1;
    assert_true(d->at + n < d->size);
    d->value = (st_str){d->data + d->at, n};
    d->at += n + 1;
    return true;
}

static bool is(const reader *d, const char *key)
{
    return strcmp(d->key, key) == 0;
}

/* The variables of a conversation. */
static st_str conversation(st_str name)
{
    static reader d;
    if (!d.data) assert_true(open_records(&d, DATA, "conversations.dat"));
    d.at = 0;
    while (next(&d))
        if (is(&d, "case") && d.value.len == name.len && memcmp(d.value.ptr, name.ptr, name.len) == 0) {
            assert_true(next(&d));
            return d.value;
        }
    fail_msg("no conversation '%.*s'", (int)name.len, name.ptr);
    return (st_str){0};
}

/* ---- against HuggingFace ---- */

/* Every '§' is a user's, and no special token is made of both. */
static void check_marks(const text *out, const st_str *specials, size_t n_specials, const char *where)
{
    for (size_t i = 0; i + 1 < out->n; i++)
        if (memcmp(out->p + i, "§", 2) == 0 && (out->made[i] != 'u' || out->made[i + 1] != 'u'))
            fail_msg("%s: user text at %zu counts as the template's", where, i);
    for (size_t k = 0; k < n_specials; k++)
        for (size_t i = 0; i + specials[k].len <= out->n; i++)
            if (memcmp(out->p + i, specials[k].ptr, specials[k].len) == 0)
                for (size_t j = 1; j < specials[k].len; j++)
                    if (out->made[i] != out->made[i + j])
                        fail_msg("%s: a special token of two makers at %zu", where, i);
}

static void compare(const char *where, st_str want, int rc, const text *out, const strata_error *err)
{
    if (rc) fail_msg("%s: %s", where, err->msg);
    if (out->n == want.len && (!want.len || memcmp(out->p, want.ptr, want.len) == 0)) return;
    size_t i = 0;
    while (i < out->n && i < want.len && out->p[i] == want.ptr[i]) i++;
    size_t from = i < 60 ? 0 : i - 60;
    fail_msg("%s differs at byte %zu:\n got: ...%.*s\nwant: ...%.*s", where, i,
             (int)(out->n - from < 160 ? out->n - from : 160), out->n ? out->p + from : "",
             (int)(want.len - from < 160 ? want.len - from : 160), want.ptr + from);
}

/* Conversations whose rendering is part of the promise, each by 20 templates at least: with and without the beginning
 * of an answer, several turns, a system message, tools, and a tool's call and result. */
static const char *const kinds[] = {"one", "one-done", "multi", "system", "system-multi", "tools", "call"};
enum { N_KINDS = N(kinds), MANY = 20 };

typedef struct tally {
    size_t files, equal, refused, kinds[N_KINDS];
} tally;

static void chat_file(const char *folder, const char *name, tally *t)
{
    char path[300], where[400];
    reader d, source;
    st_str specials[8], c = {0};
    size_t n_specials = 0;
    text out;
    strata_error err;
    st_template_opts o = {.now = ST_NOW};
    snprintf(path, sizeof path, "%s.txt", name);
    assert_true(open_records(&d, folder, path));
    snprintf(path, sizeof path, "%s.jinja", name);
    assert_true(open_records(&source, folder, path));
    while (next(&d)) {
        if (is(&d, "bos")) o.bos = d.value;
        if (is(&d, "eos")) o.eos = d.value;
        if (is(&d, "special")) specials[n_specials++] = d.value;
        if (is(&d, "case")) c = d.value;
        if (!is(&d, "expect") && !is(&d, "error")) continue;
        snprintf(where, sizeof where, "%s, %.*s", name, (int)c.len, c.ptr);
        o.variables = conversation(c);
        int rc = run((st_str){source.data, source.size}, &o, &out, &err);
        if (is(&d, "expect")) {
            compare(where, d.value, rc, &out, &err);
            check_marks(&out, specials, n_specials, where);
            t->equal++;
            for (size_t k = 0; k < N_KINDS; k++)
                t->kinds[k] += c.len == strlen(kinds[k]) && memcmp(c.ptr, kinds[k], c.len) == 0;
        } else {
            if (rc != STRATA_BAD_TEMPLATE)
                fail_msg("%s: status %d, HF says %.*s", where, rc, (int)d.value.len, d.value.ptr);
            t->refused++;
        }
        drop(&out);
    }
    free(d.data);
    free(source.data);
}

static tally chat_folder(const char *folder)
{
    struct dirent **names;
    tally t = {0};
    int n = scandir(folder, &names, NULL, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        char name[256];
        size_t len = strlen(names[i]->d_name);
        if (len > 6 && len < sizeof name && strcmp(names[i]->d_name + len - 6, ".jinja") == 0) {
            snprintf(name, sizeof name, "%.*s", (int)(len - 6), names[i]->d_name);
            chat_file(folder, name, &t);
            t.files++;
        }
        free(names[i]);
    }
    free(names);
    print_message("%zu templates: %zu renderings equal, %zu refused as HF refuses them\n", t.files, t.equal, t.refused);
    return t;
}

static void test_chat_templates(void **state)
{
    (void)state;
    tally t = chat_folder(DATA);
    assert_true(t.files >= MANY);
    for (size_t k = 0; k < N_KINDS; k++)
        if (t.kinds[k] < MANY) fail_msg("%zu templates render '%s', want %d", t.kinds[k], kinds[k], MANY);
    const char *more = getenv("STRATA_TEMPLATES");
    if (more) assert_true(chat_folder(more).files > 0);
}

static size_t language_file(const char *name)
{
    reader d;
    st_str source = {0};
    text out;
    strata_error err;
    st_template_opts o = {.now = ST_NOW};
    size_t n = 0;
    char where[128];
    assert_true(open_records(&d, DATA, name));
    while (next(&d)) {
        if (is(&d, "vars")) o.variables = d.value;
        if (is(&d, "template")) source = d.value;
        if (!is(&d, "expect") && !is(&d, "error")) continue;
        snprintf(where, sizeof where, "%.*s", (int)(source.len < 100 ? source.len : 100), source.ptr);
        int rc = run(source, &o, &out, &err);
        if (is(&d, "expect"))
            compare(where, d.value, rc, &out, &err);
        else if (rc != STRATA_BAD_TEMPLATE)
            fail_msg("%s: status %d (%.*s), HF says %.*s", where, rc, (int)out.n, out.p, (int)d.value.len, d.value.ptr);
        drop(&out);
        n++;
    }
    free(d.data);
    return n;
}

/* features.dat: a line for each; random.dat: what tests/token/diff_jinja.py made up. */
static void test_language(void **state)
{
    (void)state;
    assert_true(language_file("features.dat") > 100);
    assert_true(language_file("random.dat") > 500);
}

/* Each filter that runs has a record of what Jinja makes of it, and those that do not say so. */
static void test_filters(void **state)
{
    (void)state;
    const st_jfilter *const tables[] = {st_j_filters_one, st_j_filters_seq, st_j_filters_text};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const st_jfilter *f = tables[i]; f->name; f++) {
            reader d;
            bool found = false;
            const size_t n = strlen(f->name);
            assert_true(open_records(&d, DATA, "features.dat"));
            while (!found && next(&d)) {
                if (!is(&d, "template")) continue;
                for (size_t at = 0; !found && at + n <= d.value.len; at++) {
                    const char *p = d.value.ptr + at, after = at + n < d.value.len ? p[n] : ' ';
                    bool piped = at > 0 && (p[-1] == '|' || (p[-1] == ' ' && at > 1 && p[-2] == '|'));
                    found = piped && memcmp(p, f->name, n) == 0 && after != '_' && !(after >= 'a' && after <= 'z');
                }
            }
            free(d.data);
            if (f->run && !found) fail_msg("no record of features.dat has the filter %s", f->name);
            if (f->run) continue;
            char source[64];
            text out;
            strata_error err = {0};
            snprintf(source, sizeof source, "{{ 'x'|%s }}", f->name);
            if (run(str(source), NULL, &out, &err) != STRATA_BAD_TEMPLATE || !strstr(err.msg, f->name))
                fail_msg("%s: '%s'", source, err.msg);
            drop(&out);
        }
}

/* ---- who wrote what ---- */

static void made(const char *source, const st_template_opts *o, const char *want, const char *by)
{
    text out;
    strata_error err;
    int rc = run(str(source), o, &out, &err);
    compare(source, str(want), rc, &out, &err);
    if (strlen(by) != out.n || memcmp(by, out.made, out.n) != 0)
        fail_msg("%s: made by %.*s", source, (int)out.n, out.made);
    drop(&out);
}

static void test_marks(void **state)
{
    (void)state;
    st_chat_message m[] = {
        {.role = str("user"), .content = str(" aB "), .name = str("n")},
        {.role = str("<x>"), .content = str("c"), .extra = str("{\"role2\":\"z\",\"k\":[1,\"v\"]}")}};
    st_template_opts o = {.messages = m, .n_messages = 2, .bos = str("<s>"), .eos = str("</s>")};
    made("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", &o, "<s> aB </s>", "tttuuuutttt");
    made("{{ '<|' + messages[0].role + '|>' + messages[0].content.strip() }}", &o, "<|user|>aB", "ttttttttuu");
    made("{{ '<|' + messages[1].role + '|>' }}", &o, "<|<x>|>", "ttuuutt");
    made("{{ ('[' ~ messages[0].content ~ ']') | upper }}", &o, "[ AB ]", "tuuuut");
    made("{{ ('-' ~ messages[0].content) | replace('B', 'xy') | trim }}", &o, "- axy", "tuutt");
    made("{{ (messages[0].content ~ '-')[::-1] }}", &o, "- Ba ", "tuuuu");
    made("{{ (messages[0].content ~ '-')[2:] }}", &o, "B -", "uut");
    made("{{ (messages[1].content ~ ',d').split(',') | join('|') }}", &o, "c|d", "utt");
    made("{% set x %}<{{ messages[1].content }}>{% endset %}{{ x | title }}", &o, "<C>", "tut");
    made("{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f(messages[1].content) }}", &o, "[c]", "tut");
    made("{{ messages[1].k | tojson }}", &o, "[1, \"v\"]", "uuuuuuuu");
    made("{{ ['<', messages[1].content] }}", &o, "['<', 'c']", "uutuuuuuuu");
    made("{{ messages | length }}{{ true }}{{ messages[0].name }}", &o, "2Truen", "tttttu");
    made("{{ 'a\nb' | indent(1) }}{{ '%s' % messages[1].content }}", &o, "a\n bc", "ttttu");
    assert_true(st_template_known_role("tool", 4));
    assert_false(st_template_known_role("endoftext", 9));
}

static void test_messages(void **state)
{
    (void)state;
    st_chat_message m[] = {{.role = str("user"), .content = str("hi")},
                           {.role = str("assistant"),
                            .tool_calls = str("[{\"id\":\"1\"}]"),
                            .extra = str("{\"content\":null,\"reasoning\":\"why\"}")},
                           {.role = str("tool"), .content = str(""), .name = str("f")}};
    st_template_opts o = {.messages = m, .n_messages = 3, .tools = str("[{\"a\":1}]"), .add_generation_prompt = true};
    text out;
    strata_error err;
    const char *source =
        "{{ messages | tojson }}{{ tools }}{{ documents }}{{ add_generation_prompt }}{{ bos_token is defined }}"
        "{{ strftime_now is defined }}";
    int rc = run(str(source), &o, &out, &err);
    compare(
        source,
        str("[{\"role\": \"user\", \"content\": \"hi\"}, {\"thinking\": \"why\", \"role\": \"assistant\", "
            "\"tool_calls\": "
            "[{\"id\": \"1\"}], \"content\": null, \"reasoning\": \"why\", \"reasoning_content\": \"why\"}, {\"role\": "
            "\"tool\", \"content\": \"\", \"name\": \"f\"}][{'a': 1}]NoneTrueFalseFalse"),
        rc, &out, &err);
    drop(&out);
    m[1] = (st_chat_message){.role = str("assistant"), .content = str("yo")};
    o.n_messages = 2;
    assert_int_equal(run(str(st_template_chatml), &o, &out, &err), 0);
    compare("chatml",
            str("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyo<|im_end|>\n<|im_start|>assistant\n"), 0,
            &out, &err);
    drop(&out);
}

static void test_bad_input(void **state)
{
    (void)state;
    text out;
    strata_error err;
    const char *bad_json[] = {"",
                              "{",
                              "[1]",
                              "{\"a\":}",
                              "{\"a\":1}x",
                              "{\"a\":\"\\x\"}",
                              "{\"a\":\"\n\"}",
                              "{\"a\" 1}",
                              "{1:2}",
                              "{\"a\":1,}",
                              "{\"a\":tru}",
                              "{\"a\":-}",
                              "{\"a\":1.2.3}",
                              "{\"a\":\"\\u12\"}",
                              "{\"a\":\"\xff\"}"};
    for (size_t i = 0; i < N(bad_json); i++) {
        st_template_opts o = {.variables = str(bad_json[i])};
        if (run(str("x"), &o, &out, &err) != STRATA_INVALID_ARG) fail_msg("'%s': %s", bad_json[i], err.msg);
    }
    st_chat_message m = {.role = str("user"), .content = str("a\xff")};
    st_template_opts o = {.messages = &m, .n_messages = 1};
    assert_int_equal(run(str("x"), &o, &out, &err), STRATA_INVALID_ARG);
    o = (st_template_opts){.tools = str("{}")};
    assert_int_equal(run(str("x"), &o, &out, &err), STRATA_INVALID_ARG);
    assert_int_equal(run(str("\xff"), NULL, &out, &err), STRATA_BAD_TEMPLATE);
    assert_int_equal(run(str("ab\n{{ x.y }}"), NULL, &out, &err), STRATA_BAD_TEMPLATE);
    assert_non_null(strstr(err.msg, "2:5: 'x' is undefined"));
    assert_int_equal(run(str("{{ raise_exception('no ' ~ 'way') }}"), NULL, &out, &err), STRATA_BAD_TEMPLATE);
    assert_non_null(strstr(err.msg, "no way"));
    assert_int_equal(run(str("a\n  {% if %}"), NULL, &out, &err), STRATA_BAD_TEMPLATE);
    assert_non_null(strstr(err.msg, "2:9: "));
}

/* A byte order mark in front of whatever a caller gives is skipped; UTF-16 is called by its name. */
static void test_marks_of_order(void **state)
{
    (void)state;
    text out;
    strata_error err;
    st_template_opts o = {.json = str("\xef\xbb\xbf[{\"role\":\"user\",\"content\":\"\xef\xbb\xbfhi\"}]"),
                          .tools = str("\xef\xbb\xbf[1]"),
                          .documents = str("\xef\xbb\xbf[2]"),
                          .variables = str("\xef\xbb\xbf{\"v\":3}")};
    assert_int_equal(run(str("\xef\xbb\xbf{{ messages[0].content }}{{ tools }}{{ documents }}{{ v }}"), &o, &out, &err),
                     0);
    compare("bom", str("\xef\xbb\xbfhi[1][2]3"), 0, &out, &err);
    drop(&out);
    static const st_str wide[] = {
        {"\xff\xfe{\0}\0", 6}, {"\xfe\xff\0{\0}", 6}, {"{\0}\0", 4}, {"\0{\0}", 4}, {"\xff\xfe", 2}};
    for (size_t i = 0; i < N(wide); i++) {
        o = (st_template_opts){.variables = wide[i]};
        assert_int_equal(run(str("x"), &o, &out, &err), STRATA_INVALID_ARG);
        assert_non_null(strstr(err.msg, "UTF-16"));
        assert_int_equal(run(wide[i], NULL, &out, &err), STRATA_BAD_TEMPLATE);
        assert_non_null(strstr(err.msg, "UTF-16"));
    }
}

/* strftime_now has an answer for every second that a 64-bit number can say, and none where the time is not known. */
static void test_times(void **state)
{
    (void)state;
    static const struct {
        int64_t now;
        const char *want;
    } times[] = {{1, "1970-01-01 00:00:01 Thu 001 01 00 1"},
                 {-1, "1969-12-31 23:59:59 Wed 365 01 52 -1"},
                 {951782400, "2000-02-29 00:00:00 Tue 060 09 09 951782400"},
                 {-62135596801, "0-12-31 23:59:59 Sun 366 52 53 -62135596801"},
                 {1609459200, "2021-01-01 00:00:00 Fri 001 53 00 1609459200"},
                 {INT64_MAX, "292277026596-12-04 15:30:07 Sun 339 48 49 9223372036854775807"},
                 {INT64_MIN, "-292277022657-01-27 08:29:52 Sun 027 04 04 -9223372036854775808"}};
    text out;
    strata_error err;
    const char *source = "{{ strftime_now('%Y-%m-%d %H:%M:%S %a %j %V %U %s') }}";
    for (size_t i = 0; i < N(times); i++) {
        st_template_opts o = {.now = times[i].now};
        int rc = run(str(source), &o, &out, &err);
        compare(source, str(times[i].want), rc, &out, &err);
        drop(&out);
    }
    assert_int_equal(run(str(source), NULL, &out, &err), STRATA_BAD_TEMPLATE);
}

/* What is not supported says so by its name, and only where it is reached. */
static void test_refused(void **state)
{
    (void)state;
    static const char *const sources[][2] = {{"{{ 'a b'|wordwrap(1) }}", "wordwrap"},
                                             {"{{ x|urlize }}", "urlize"},
                                             {"{{ [1]|pprint }}", "pprint"},
                                             {"{{ [1]|random }}", "random"},
                                             {"{{ lipsum() }}", "lipsum"},
                                             {"{{ 'a'.encode() }}", "encode"},
                                             {"{{ 'a'.translate({}) }}", "translate"},
                                             {"{{ (5).bit_length() }}", "bit_length"},
                                             {"{{ [1]|map('string') }}", "an iterator"},
                                             {"{{ range }}", "a function"},
                                             {"{{ self.x() }}", "self"},
                                             {"{% include 'x' %}", "include"},
                                             {"{% import 'x' as y %}", "import"},
                                             {"{{ 4294967296 ** (2 ** 70) }}", "integer of more"}, /* squared, 2^64 */
                                             {"{{ 9223372036854775807 ** (2 ** 70) }}", "integer of more"},
                                             {"{{ x|nofilter }}", "nofilter"},
                                             {"{{ x is notest }}", "notest"}};
    text out;
    strata_error err;
    char source[200];
    for (size_t i = 0; i < N(sources); i++) {
        int rc = run(str(sources[i][0]), NULL, &out, &err);
        if (rc != STRATA_BAD_TEMPLATE || !strstr(err.msg, sources[i][1]))
            fail_msg("%s: %d %s", sources[i][0], rc, err.msg);
        snprintf(source, sizeof source, "{%% if 0 %%}%s{%% endif %%}", sources[i][0]);
        if (run(str(source), NULL, &out, &err)) fail_msg("%s: %s", source, err.msg);
    }
    assert_int_equal(run(str("{% if 0 %}{% autoescape true %}{% endautoescape %}{% endif %}"), NULL, &out, &err),
                     STRATA_BAD_TEMPLATE);
}

/* ---- harm ---- */

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

static void stopped(const char *source)
{
    text out;
    strata_error err;
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    int rc = run(str(source), NULL, &out, &err);
    clock_gettime(CLOCK_MONOTONIC, &b);
    double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
    if (getenv("TIMES")) print_message("%5.2f s %.70s: %s\n", s, source, err.msg);
    if (rc != STRATA_BAD_TEMPLATE) fail_msg("%.80s: status %d", source, rc);
    if (s > (SANITIZED_MEMORY ? 300 : 30)) fail_msg("%.80s: stopped after %.1f s only (%s)", source, s, err.msg);
    drop(&out);
}

static void test_harm(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "{{ range(99999999999) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(9) %}{% endfor %}{% endfor %}{% "
        "endfor %}",
        "{{ 'a' * 10**9 }}",
        "{{ 'a' * 10**18 }}",
        "{{ [1] * 10**18 }}",
        "{{ 10**4300 }}",
        "{{ 10**(10**9) }}",
        "{{ 2**(2**70) }}",
        "{% set ns = namespace(x=3) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
        "{% for i in range(99999) %}{{ (10**4299 + i) // 7**500 }}{{ (10**4299 + i) / 7 }}{% endfor %}",
        "{% for i in range(99999) %}{{ ('1' * 4000) | int(base=2) }}{% endfor %}",
        "{{ '%*d' % (2**31, 1) }}",
        "{{ '{:99999999999}'.format(1) }}",
        "{{ 'x'.center(10**12) }}",
        "{{ '\\t'.expandtabs(10**12) }}",
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(100) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(1000) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s | tojson "
        "}}",
        "{% set ns = namespace(s=[1], t=[1]) %}{% for i in range(1000) %}{% set ns.s = [ns.s] %}{% set ns.t = [ns.t] "
        "%}{% endfor %}"
        "{{ ns.s == ns.t }}",
        "{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(14) "
        "}}",
        "{% macro f() %}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}",
        "{% set s = 'ab' * 100000 %}{% for i in range(99999) %}{{ s | replace('a', s) }}{% endfor %}",
        "{% set s = 'a' * 1000000 %}{% for i in range(99999) %}{{ s.count('aaaaaaaaab') }}{% endfor %}",
        "{% set s = 'a' * 1000000 %}{% for i in range(99999) %}{% if s.strip('a') %}{% endif %}{% endfor %}",
        "{{ range(99999) | map('string') | map('list') | map('join', 'x' * 10000) | list }}",
        "{{ 'x' | indent(10**12) }}",
        "{{ '%s' % (range(99999) | list | string) * 99999 }}",
        "{{ range(50000) | list | unique | list }}{{ range(50000) | list | unique | list }}",
        "{{ [1] | map('map', 'map', 'map') | list }}",
    };
    for (size_t i = 0; i < N(sources); i++) stopped(sources[i]);
    struct {
        const char *head, *s, *mid, *t, *tail;
    } deep[] = {{"{{ ", "(", "1", ")", " }}"},
                {"{{ ", "[", "1", "]", " }}"},
                {"{{ ", "not ", "1", "", " }}"},
                {"{{ ", "-", "1", "", " }}"},
                {"{{ x", ".x", "", "", " }}"},
                {"{{ x", "[0]", "", "", " }}"},
                {"{{ x", "()", "", "", " }}"},
                {"{{ x.y", "|trim", "", "", " }}"},
                {"{{ 1", " if 1", "", "", " }}"},
                {"{{ ", "1 if 1 else ", "1", "", " }}"},
                {"{{ ", "{1:", "1", "}", " }}"},
                {"", "{% if 1 %}", "", "{% endif %}", ""},
                {"", "{% for i in [1] %}", "x", "{% endfor %}", ""},
                {"{% for ", "(", "a", ")", " in b %}{% endfor %}"},
                {"{{ ", "f(", "", ")", " }}"},
                {"", "{% if 1 %}", "", "", ""},
                {"", "{% macro f() %}", "", "{% endmacro %}", ""}};
    for (size_t i = 0; i < N(deep); i++) {
        char *s = repeat(deep[i].head, deep[i].s, deep[i].mid, deep[i].t, 20000, deep[i].tail);
        stopped(s);
        free(s);
    }
    char *s = repeat("{\"a\":", "[", "1", "]", 20000, "}");
    text out;
    strata_error err;
    st_template_opts o = {.variables = str(s)};
    assert_int_equal(run(str("x"), &o, &out, &err), STRATA_BAD_TEMPLATE);
    /* The object is one level: the hundredth bracket behind its name is one too many. */
    assert_non_null(strstr(err.msg, "variables: nested more than 100 deep at byte 104"));
    free(s);
    /* Long is not deep. */
    struct {
        const char *head, *s, *tail;
    } longs[] = {{"{{ 1", "+1", " }}"},
                 {"{{ 1", "*1", " }}"},
                 {"{{ 1", "**1", " }}"},
                 {"{{ 'x'", "|trim", " }}"},
                 {"{{ 'x'", ".strip()", " }}"},
                 {"{{ 'x'", "[0]", " }}"},
                 {"{{ x", " is defined()", " }}"},
                 {"{% set x", " | trim", " %}{% endset %}"}};
    for (size_t i = 0; i < N(longs); i++) {
        s = repeat(longs[i].head, longs[i].s, "", "", 20000, longs[i].tail);
        assert_int_equal(run(str(s), NULL, &out, &err), 0);
        drop(&out);
        free(s);
    }
    s = repeat("{% if 0 %}", "{% elif 0 %}", "{% else %}x{% endif %}{{ 1", " ~ 1 or 1 and 1", 5000, " }}");
    assert_int_equal(run(str(s), NULL, &out, &err), 0);
    drop(&out);
    free(s);
}

static void test_budgets(void **state)
{
    (void)state;
    text out;
    strata_error err;
    const char *source = "{% for i in range(1000) %}0123456789{% endfor %}";
    st_template_opts o = {0};
    assert_int_equal(run(str(source), &o, &out, &err), 0);
    assert_int_equal(out.n, 10000);
    drop(&out);
    o.max_output = 9999;
    assert_int_equal(run(str(source), &o, &out, &err), STRATA_BAD_TEMPLATE);
    o = (st_template_opts){.max_steps = 100};
    assert_int_equal(run(str(source), &o, &out, &err), STRATA_BAD_TEMPLATE);
    o = (st_template_opts){.max_memory = 20000};
    assert_int_equal(run(str(source), &o, &out, &err), STRATA_BAD_TEMPLATE);
    source = "{% for i in [1] %}{% for k in [2] %}{{ k }}{% endfor %}{% endfor %}";
    o = (st_template_opts){.max_depth = 2};
    assert_int_equal(run(str(source), &o, &out, &err), 0);
    drop(&out);
    o = (st_template_opts){.max_depth = 1};
    assert_int_equal(run(str(source), &o, &out, &err), STRATA_BAD_TEMPLATE);
}

/* ---- the Nth allocation fails ---- */

static long left;

static void *failing_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    void *p = NULL;
    return left-- > 0 && posix_memalign(&p, align, size) == 0 ? p : NULL;
}

static void plain_free(void *user, void *p)
{
    (void)user;
    free(p);
}

static void test_no_memory(void **state)
{
    (void)state;
    const strata_allocator a = {failing_alloc, plain_free, NULL};
    reader source;
    assert_true(open_records(&source, DATA, "qwen3.jinja"));
    st_template_opts o = {.variables = conversation(str("call-two"))};
    int rc = 1;
    for (long n = 0; rc; n++) {
        st_mem mem;
        st_template *t = NULL;
        text out = {0};
        strata_error err = {0};
        st_mem_init(&mem, &a, 0);
        left = n;
        rc = st_template_open((st_str){source.data, source.size}, &mem, &t, &err);
        if (!rc) rc = st_template_render(t, &o, collect, &out, &err);
        if (rc) assert_int_equal(rc, STRATA_NO_MEMORY);
        if (rc) assert_true(out.n == 0 && err.code == rc);
        st_template_close(t);
        assert_int_equal(mem.used, 0);
        drop(&out);
        assert_true(n < 10000);
    }
    free(source.data);
}

static int refuse(void *user, const char *p, size_t n, bool is_template)
{
    (void)user, (void)p, (void)n, (void)is_template;
    return STRATA_CANCELLED;
}

static void test_emit_stops(void **state)
{
    (void)state;
    st_mem mem;
    st_template *t = NULL;
    strata_error err;
    st_mem_init(&mem, NULL, 0);
    assert_int_equal(st_template_open(str("x"), &mem, &t, &err), 0);
    assert_int_equal(st_template_render(t, NULL, refuse, NULL, &err), STRATA_CANCELLED);
    st_template_close(t);
    st_template_close(NULL);
    assert_int_equal(mem.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat_templates), cmocka_unit_test(test_language),  cmocka_unit_test(test_marks),
        cmocka_unit_test(test_marks_of_order), cmocka_unit_test(test_times),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_messages),       cmocka_unit_test(test_bad_input), cmocka_unit_test(test_harm),
        cmocka_unit_test(test_budgets),        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_emit_stops),
        cmocka_unit_test(test_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
