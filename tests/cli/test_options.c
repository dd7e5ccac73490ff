/* Nothing of the tables is missing anywhere: each command, option, word, default and argument stands in help, manual
 * page, the three completions and docs/CLI.md. Also: what the rows say of themselves is sound. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* after the headers it wants */

#include "commands/pages.h"

static char *printed(void (*print)(FILE *f, const command *c), const command *c)
{
    static char *text; /* static: gcc 12 takes a local one for what is returned, and warns */
    static size_t len;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    print(f, c);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void print_bash(FILE *f, const command *c)
{
    (void)c;
    completion_bash(f);
}

static void print_zsh(FILE *f, const command *c)
{
    (void)c;
    completion_zsh(f);
}

static void print_fish(FILE *f, const command *c)
{
    (void)c;
    completion_fish(f);
}

static char *read_doc(void)
{
    char *text = calloc(1, 1 << 20);
    FILE *f = fopen(STRATA_SOURCE_DIR "/docs/CLI.md", "rb");
    assert_non_null(text);
    assert_non_null(f);
    text[fread(text, 1, (1 << 20) - 1, f)] = 0;
    fclose(f);
    return text;
}

/* Without roff's escapes: "\-" is '-', and fonts are nothing. */
static char *plain(char *roff)
{
    char *to = roff;
    for (const char *p = roff; *p; p++) {
        if (p[0] == '\\' && p[1] == 'f')
            p += 2;
        else if (p[0] == '\\' && p[1] == '-')
            *to++ = *++p;
        else if (p[0] == '\\' && p[1] == '&')
            p++;
        else if (p[0] == '\\' && p[1] == '(') {
            const char *const names = "aq'ga`ha^ti~dq\"";
            for (const char *n = names; *n; n += 3)
                if (strncmp(n, p + 2, 2) == 0) *to++ = n[2];
            p += 3;
        } else
            *to++ = *p;
    }
    *to = 0;
    return roff;
}

/* The text from `begin` to `end`, a copy. */
static char *part(const char *text, const char *begin, const char *end)
{
    const char *p = strstr(text, begin);
    if (!p) {
        fail_msg("no \"%s\"", begin);
        return NULL;
    }
    const char *e = end ? strstr(p + strlen(begin), end) : NULL;
    return e ? strndup(p, (size_t)(e - p)) : strdup(p);
}

/* Whether the text stands there, between characters that are none of a name. */
static void must_have(const char *where, const char *page, const command *c, const char *text)
{
    size_t n = strlen(text);
    for (const char *p = page; (p = strstr(p, text)) != NULL; p++) {
        char before = p == page ? ' ' : p[-1], after = p[n];
        if (!isalnum((unsigned char)before) && before != '_' && !isalnum((unsigned char)after) && after != '_' &&
            (after != '-' || !isalnum((unsigned char)p[n + 1])))
            return;
    }
    fail_msg("%s of %s lacks \"%s\"", where, c->name, text);
}

enum { HELP, MAN, DOC, BASH, ZSH, FISH, N_PAGES };
static const char *const page_names[] = {"the help",          "the manual page",  "the list in docs/CLI.md",
                                         "bash's completion", "zsh's completion", "fish's completion"};

/* What of each page is about that command. */
static void open_pages(const command *c, char *pages[N_PAGES])
{
    char begin[128];
    char *doc = read_doc(), *bash = printed(print_bash, c), *zsh = printed(print_zsh, c),
         *fish = printed(print_fish, c);
    pages[HELP] = printed(help_command, c);
    pages[MAN] = plain(printed(man_command, c));
    snprintf(begin, sizeof begin, "<!-- options: %s -->", c->name);
    pages[DOC] = part(doc, begin, "<!-- end -->");
    snprintf(begin, sizeof begin, "\n    %s)\n", c->name);
    pages[ZSH] = part(zsh, begin, " ;;\n");
    pages[BASH] = bash;
    pages[FISH] = fish;
    free(doc);
    free(zsh);
}

/* Bash and fish have a line a row, so that their checks look at that line. */
static char *line_with(const char *where, const char *page, const char *text)
{
    const char *p = strstr(page, text);
    if (!p) {
        fail_msg("%s lacks \"%s\"", where, text);
        return NULL;
    }
    while (p > page && p[-1] != '\n') p--;
    return strndup(p, strcspn(p, "\n"));
}

static void check_arg(const command *c, const char *arg, char *const pages[N_PAGES], const char *bash, const char *fish)
{
    offer w;
    assert_true(offer_of(arg, &w)); /* else: a kind without a row in pages.c */
    for (char *word = strtok(w.words, " "); word; word = strtok(NULL, " ")) {
        if (strcmp(word, "-") == 0) continue;
        for (int i = HELP; i <= DOC; i++) must_have(page_names[i], pages[i], c, word);
        must_have(page_names[ZSH], pages[ZSH], c, word);
        must_have(page_names[BASH], bash, c, word);
        must_have(page_names[FISH], fish, c, word);
    }
    offer_of(arg, &w);
    if (w.files) must_have(page_names[BASH], bash, c, "@files"), must_have(page_names[FISH], fish, c, "-F");
    if (w.suffix) must_have(page_names[BASH], bash, c, w.suffix), must_have(page_names[FISH], fish, c, w.suffix);
    if (w.levels) must_have(page_names[BASH], bash, c, "@levels"), must_have(page_names[FISH], fish, c, "kernels");
}

static void check_option(const command *c, const opt *o, char *const pages[N_PAGES])
{
    char text[OPT_DEFAULT_SIZE], name[96], letter[3] = {'-', o->letter, 0};
    const char *names[] = {o->name, opt_alias(o)}, *def = opt_default(o, text);
    char *options = NULL;
    snprintf(name, sizeof name, "    %s) options='", c->name);
    options = line_with(page_names[BASH], pages[BASH], name);
    for (int k = 0; k < 2 && names[k]; k++) {
        snprintf(name, sizeof name, "--%s", names[k]);
        for (int i = HELP; i <= DOC; i++) must_have(page_names[i], pages[i], c, name);
        must_have(page_names[ZSH], pages[ZSH], c, name);
        must_have(page_names[BASH], options, c, name);
        char *bash = NULL, *fish;
        if (o->kind != OPT_FLAG) {
            snprintf(name, sizeof name, "'%s --%s'", c->name, names[k]);
            bash = line_with(page_names[BASH], strstr(pages[BASH], "_strata_value() {"), name);
        }
        char begin[128];
        snprintf(begin, sizeof begin, "complete -c strata -n '__strata_is %s'%s%s -l %s ", c->name,
                 o->letter && k == 0 ? " -s " : "", o->letter && k == 0 ? letter + 1 : "", names[k]);
        fish = line_with(page_names[FISH], pages[FISH], begin);
        if (o->kind != OPT_FLAG) check_arg(c, o->arg, pages, bash, fish);
        assert_int_equal(o->kind != OPT_FLAG, strstr(fish, " -r ") != NULL);
        free(bash);
        free(fish);
    }
    if (o->letter) {
        for (int i = HELP; i <= DOC; i++) must_have(page_names[i], pages[i], c, letter);
        must_have(page_names[ZSH], pages[ZSH], c, letter);
        must_have(page_names[BASH], options, c, letter);
    }
    free(options);
    for (int i = HELP; *def && i <= DOC; i++) must_have(page_names[i], pages[i], c, def);
    for (int i = HELP; i <= DOC; i++) assert_non_null(strstr(pages[i], o->help));
}

static void nothing_is_missing(void **state)
{
    (void)state;
    size_t n_options = 0;
    char *overview[] = {NULL, NULL};
    size_t len;
    FILE *f = open_memstream(&overview[0], &len);
    help_program(f);
    fclose(f);
    f = open_memstream(&overview[1], &len);
    man_program(f);
    fclose(f);
    plain(overview[1]);
    for (const command *const *at = cli_commands; *at; at++) {
        const command *c = *at;
        const opt *o;
        char *pages[N_PAGES], name[96];
        open_pages(c, pages);
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof name, "strata %s", c->name);
            must_have("an overview", overview[i], c, name);
            must_have("an overview", overview[i], c, c->summary);
        }
        for (int i = HELP; i <= DOC; i++) assert_non_null(strstr(pages[i], c->usage));
        for (size_t i = 0; (o = opt_at(c, i)) != NULL; i++) {
            n_options++;
            if (o->kind == OPT_GROUP)
                for (int k = HELP; k <= DOC; k++) must_have(page_names[k], pages[k], c, o->help);
            else
                check_option(c, o, pages);
        }
        for (const argument *a = c->args; a && a->arg; a++) {
            const int place = (int)(a - c->args) + 1;
            if (a->times == ARG_MANY)
                snprintf(name, sizeof name, "    '%s '*) ", c->name);
            else
                snprintf(name, sizeof name, "    '%s %d') ", c->name, place);
            char *bash = line_with(page_names[BASH], pages[BASH], name);
            snprintf(name, sizeof name, "'__strata_at %s %d ", c->name, place);
            char *fish = line_with(page_names[FISH], pages[FISH], name);
            for (int i = HELP; i <= DOC; i++) must_have(page_names[i], pages[i], c, a->help);
            check_arg(c, a->arg, pages, bash, fish);
            free(bash);
            free(fish);
        }
        for (int i = 0; i < N_PAGES; i++) free(pages[i]);
    }
    assert_true(n_options > 150);
    free(overview[0]);
    free(overview[1]);
}

static void rows_are_sound(void **state)
{
    (void)state;
    for (const command *const *at = cli_commands; *at; at++) {
        const command *c = *at;
        const opt *o, *other;
        bool letters[128] = {false}, last_many = false;
        assert_non_null(c->run);
        assert_true(c->note || c->text); /* of the manual page */
        assert_non_null(strstr(c->examples, c->name));
        assert_ptr_equal(command_find(c->name), c);
        for (size_t i = 0; (o = opt_at(c, i)) != NULL; i++) {
            if (o->kind == OPT_GROUP) continue;
            assert_true(!o->letter || !letters[(unsigned char)o->letter]);
            letters[(unsigned char)o->letter] = true;
            assert_int_equal(o->arg == NULL, o->kind == OPT_FLAG);
            assert_null(strstr(o->help, "default:")); /* it is a column of its own */
            if (o->kind == OPT_CHOICE) {
                offer w;
                assert_true(offer_of(o->arg, &w) && *w.words && !w.files && !w.suffix && !w.levels);
            }
            for (size_t k = 0; k < i && (other = opt_at(c, k)) != NULL; k++)
                if (other->kind != OPT_GROUP) assert_string_not_equal(other->name, o->name);
        }
        for (const argument *a = c->args; a && a->arg; a++) {
            assert_false(last_many); /* what is behind it would have no place */
            last_many = a->times == ARG_MANY;
        }
    }
}

static void defaults(void **state)
{
    (void)state;
    static const struct {
        const char *command, *option, *want;
    } rows[] = {{"embed", "format", "json"},    {"embed", "truncate", "end"},
                {"embed", "field", "text"},     {"generate", "field", "prompt"},
                {"generate", "predict", "128"}, {"generate", "temp", "0.8"},
                {"generate", "top-k", "40"},    {"generate", "seed", "0"},
                {"eval", "kv", "f32"},          {"eval", "what", ""},
                {"embed", "dims", ""},          {"chat", "predict", "no limit"},
                {"bench", "runs", "5"},         {"rank", "truncate-query", "error"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[OPT_DEFAULT_SIZE];
        const opt *o;
        size_t k = 0;
        while ((o = opt_at(command_find(rows[i].command), k)) != NULL &&
               (o->kind == OPT_GROUP || strcmp(o->name, rows[i].option) != 0))
            k++;
        assert_non_null(o);
        assert_string_equal(opt_default(o, text), rows[i].want);
    }
}

static void help_shows_defaults_behind_other_options(void **state)
{
    (void)state;
    char text[OPT_DEFAULT_SIZE], *argv[] = {(char[]){"-n"}, (char[]){"7"}, (char[]){"--help"}};
    int argc = 3;
    const command *c = command_find("generate");
    assert_int_equal(opt_parse(c, &argc, argv), OPT_HELP);
    const opt *o;
    for (size_t i = 0; (o = opt_at(c, i)) != NULL; i++)
        if (o->letter == 'n') assert_string_equal(opt_default(o, text), "128");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_missing), cmocka_unit_test(rows_are_sound),
                                       cmocka_unit_test(defaults),
                                       cmocka_unit_test(help_shows_defaults_behind_other_options)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
