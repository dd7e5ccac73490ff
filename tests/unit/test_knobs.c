/* test_knobs.c: the rows of src/sample/knobs.def against strata.h, which is written by hand, and against what a
 * generation does with them. */
#include <ctype.h>
#include <math.h>

#include "sample/knobs.def"
#include "sample/sampler.h"
#include "unit/test_api.h"

/* The same type in both structs. */
#define HAS_TYPE(x, kind, name, ...)                                                             \
    _Static_assert(_Generic(((strata_gen_opts *)0)->name, ST_KNOB_TYPE_##kind : 1, default : 0), \
                   #name " of strata.h");                                                        \
    _Static_assert(_Generic(((st_sampler_params *)0)->name, ST_KNOB_TYPE_##kind : 1, default : 0), #name);
ST_KNOBS(HAS_TYPE, )

typedef struct knob {
    const char *name, *def, *option;
    size_t at, bytes; /* in strata_gen_opts */
    double least, most;
    enum { KIND_number, KIND_whole, KIND_choice, KIND_seed } kind;
} knob;

#define ROW(x, kind, name, def, least, most, letter, option, ...)                                               \
    {#name,           #def,           option,     offsetof(strata_gen_opts, name), sizeof(ST_KNOB_TYPE_##kind), \
     (double)(least), (double)(most), KIND_##kind},
static const knob knobs[] = {ST_KNOBS(ROW, )};
enum { N_KNOBS = sizeof knobs / sizeof *knobs };

static char *read_text(const char *path)
{
    blob b = blob_read(path);
    char *text = calloc(b.size + 1, 1);
    memcpy(text, b.data, b.size);
    free(b.data);
    return text;
}

/* The text with comments and line breaks as single spaces. */
static void squeeze(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++) {
        bool space = isspace((unsigned char)*at) || (*at == '*' && to > text && to[-1] == ' ');
        if (!space)
            *to++ = *at;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    }
    *to = 0;
}

/* Knobs stand in the struct in the order of the rows. */
static void test_order(void **state)
{
    (void)state;
    for (int i = 1; i < N_KNOBS; i++)
        if (knobs[i].at < knobs[i - 1].at + knobs[i - 1].bytes)
            fail_msg("%s stands before %s in strata_gen_opts", knobs[i].name, knobs[i - 1].name);
}

/* A field of strata_gen_opts is a knob, or one of those that are none. */
static void test_no_field_is_forgotten(void **state)
{
    (void)state;
    static const char *const others[] = {
        "max_tokens",  "logit_bias",    "n_logit_bias", "grammar",  "json_schema",  "stop",      "n_stop",
        "stop_tokens", "n_stop_tokens", "ignore_end",   "logprobs", "n_top",        "chunk",     "cancel",
        "deadline_ms", "on_text",       "user",         "think",    "reserved_int", "think_end", "reserved"};
    enum { N_OTHERS = sizeof others / sizeof *others };
    char *text = read_text(STRATA_SOURCE_DIR "/include/strata.h"),
         *at = strstr(text, "typedef struct strata_gen_opts {"), *end = strstr(text, "} strata_gen_opts;"),
         word[64] = "";
    size_t n = 0;
    assert_true(at && end && at < end);
    at = strchr(at, '{');
    for (size_t len = 0; at < end; at++) {
        if (at[0] == '/' && at[1] == '*') at = strstr(at, "*/") + 1; /* comments */
        if (isalnum((unsigned char)*at) || *at == '_') {
            if (len == 0) memset(word, 0, sizeof word);
            if (len + 1 < sizeof word) word[len++] = *at;
            continue;
        }
        len = 0; /* a word ends; the last one before a comma, a semicolon or a bracket is a field */
        if ((*at != ',' && *at != ';' && *at != '[') || !word[0] || isdigit((unsigned char)word[0])) continue;
        bool known = false;
        for (int i = 0; i < N_KNOBS; i++) known |= strcmp(word, knobs[i].name) == 0;
        for (int i = 0; i < N_OTHERS; i++) known |= strcmp(word, others[i]) == 0;
        if (!known) fail_msg("%s of strata_gen_opts is no row of knobs.def, and not said here to be no knob", word);
        memset(word, 0, sizeof word);
        n++;
    }
    assert_int_equal(n, N_KNOBS + N_OTHERS);
    free(text);
}

static void test_defaults(void **state)
{
    (void)state;
    strata_gen_opts g = strata_gen_default(), rest = g;
    st_sampler_params p = st_sampler_default();
#define IS_DEFAULT(x, kind, name, def, ...)            \
    assert_true(g.name == (ST_KNOB_TYPE_##kind)(def)); \
    assert_true(p.name == (ST_KNOB_TYPE_##kind)(def)); \
    rest.name = 0;
    ST_KNOBS(IS_DEFAULT, )
    static const strata_gen_opts zero;
    assert_memory_equal(&rest, &zero, sizeof zero);
}

/* strata.h says the defaults above strata_gen_default, and docs/CLI.md names every option. */
static void test_pages(void **state)
{
    (void)state;
    char *header = read_text(STRATA_SOURCE_DIR "/include/strata.h"), *end = strstr(header, "strata_gen_default(void)"),
         *at;
    assert_non_null(end);
    *end = 0;
    at = strrchr(header, '/'); /* of the end of the comment */
    *at = 0;
    at = strrchr(header, '/');
    squeeze(at);
    char *page = read_text(STRATA_SOURCE_DIR "/docs/CLI.md");
    for (int i = 0; i < N_KNOBS; i++) {
        char want[64];
        snprintf(want, sizeof want, " %s %s", knobs[i].name, knobs[i].def);
        const char *said = strstr(at, want);
        if (!said || !strchr(",:;", said[strlen(want)]))
            fail_msg("strata.h does not say '%s' above strata_gen_default", want + 1);
        snprintf(want, sizeof want, "--%s", knobs[i].option);
        const char *named = page;
        do {
            named = strstr(named, want);
            if (named) named += strlen(want);
        } while (named && (*named == '-' || isalnum((unsigned char)*named)));
        if (!named) fail_msg("docs/CLI.md has no %s", want);
    }
    free(header), free(page);
}

static void set(strata_gen_opts *g, const knob *k, double v)
{
    uint8_t *p = (uint8_t *)g + k->at;
    float f = (float)v;
    uint32_t u = k->kind == KIND_whole ? (uint32_t)v : 0;
    int i = k->kind == KIND_choice ? (int)v : 0;
    memcpy(p, k->kind == KIND_number ? (void *)&f : k->kind == KIND_whole ? (void *)&u : (void *)&i, k->bytes);
}

/* A generation takes each at both ends of its range, and refuses it beyond, by its name. */
static void test_ranges(void **state)
{
    (void)state;
    static const int32_t ids[] = {5, 9, 11};
    strata_model *m = open_model("llama-q8_0", &(strata_model_opts){.n_threads = 1});
    strata_ctx *c = NULL;
    OK(strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 1, .n_seqs = 1}, &c, err));
    for (int i = 0; i < N_KNOBS; i++) {
        const knob *k = &knobs[i];
        if (k->kind == KIND_seed) continue;
        double step = k->kind == KIND_number ? (k->most > 1 ? 1e3 : 0.01) : 1;
        for (int end = 0; end < 2; end++) {
            double edge = end ? k->most : k->least, beyond = end ? edge + step : edge - step;
            strata_gen_opts g = strata_gen_default();
            char want[64];
            g.max_tokens = 1;
            set(&g, k, edge);
            OK(strata_generate(c, 0, ids, 3, &g, NULL, err));
            if (k->kind == KIND_whole && (beyond < 0 || beyond > UINT32_MAX)) continue;
            set(&g, k, beyond);
            snprintf(want, sizeof want, "%s is ", k->name);
            FAILS(strata_generate(c, 0, ids, 3, &g, NULL, err), STRATA_INVALID_ARG, want);
        }
        if (k->kind != KIND_number) continue;
        strata_gen_opts g = strata_gen_default();
        set(&g, k, NAN);
        FAILS(strata_generate(c, 0, ids, 3, &g, NULL, err), STRATA_INVALID_ARG, k->name);
    }
    strata_ctx_close(c);
    strata_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_no_field_is_forgotten),
                                       cmocka_unit_test(test_defaults), cmocka_unit_test(test_pages),
                                       cmocka_unit_test(test_ranges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
