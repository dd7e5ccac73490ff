/* options.c: the parser of arguments, the help, and what a wrong word was meant to be. */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

char opt_stdin[] = "-";
int opt_before_dashes;

/* Other names of options, by which people know them from elsewhere. */
static const struct {
    const char *alias, *name;
} aliases[] = {{"temperature", "temp"}, {"max-tokens", "predict"}};
enum { N_ALIASES = sizeof aliases / sizeof aliases[0] };

static const opt help_row = {OPT_FLAG, 'h', "help", NULL, "shows this list", .value = NULL};

const opt *opt_at(const command *c, size_t i)
{
    size_t n = 0;
    while (n < i && c->opts[n].kind) n++;
    return c->opts[n].kind ? &c->opts[n] : n == i ? &help_row : NULL;
}

const char *opt_alias(const opt *o)
{
    for (int i = 0; i < N_ALIASES; i++)
        if (strcmp(aliases[i].name, o->name) == 0) return aliases[i].alias;
    return NULL;
}

/* The i-th word of "a|b|c": its length, 0 past the end. */
static size_t word_at(const char *list, int i, const char **word)
{
    const char *w = list;
    for (; w && i > 0; i--) w = strchr(w, '|'), w += w != NULL;
    *word = w;
    return w && i == 0 ? strcspn(w, "|") : 0;
}

const char *opt_default(const opt *o, char text[OPT_DEFAULT_SIZE])
{
    const char *word = "";
    *text = 0;
    switch (o->kind) {
    case OPT_STRING: word = *(const char *const *)o->value; break;
    case OPT_CHOICE: {
        size_t n = word_at(o->arg, *(const int *)o->value - o->first, &word);
        snprintf(text, OPT_DEFAULT_SIZE, "%.*s", (int)n, n ? word : "");
        break;
    }
    case OPT_COUNT:
        if (*(const uint32_t *)o->value) snprintf(text, OPT_DEFAULT_SIZE, "%" PRIu32, *(const uint32_t *)o->value);
        break;
    case OPT_WHOLE: snprintf(text, OPT_DEFAULT_SIZE, "%" PRIu64, *(const uint64_t *)o->value); break;
    case OPT_NUMBER: snprintf(text, OPT_DEFAULT_SIZE, "%g", (double)*(const float *)o->value); break;
    default: break;
    }
    if (o->def) return o->def;
    return o->kind == OPT_STRING && word ? word : text;
}

/* Edits (insert, delete, replace) between two words of at most 64 letters. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), row[65];
    if (n > 64 || m > 64) return 64;
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t edit = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = replace < edit ? replace : edit;
        }
    }
    return row[m];
}

const char *opt_nearest(const char *wrong, const char *const *words)
{
    const char *best = NULL;
    size_t best_d = 3; /* more edits than two, or than half of the word, are no likeness */
    for (; *words; words++) {
        size_t d = distance(wrong, *words);
        if (d < best_d && d * 2 <= strlen(*words)) best = *words, best_d = d;
    }
    return best;
}

bool opt_ints(const char *s, size_t len, ints *out)
{
    const char *end = s + len;
    while (s < end) {
        if (*s == ',' || *s == ' ' || *s == '\n' || *s == '\t' || *s == '\r') {
            s++;
            continue;
        }
        bool negative = *s == '-';
        s += negative;
        if (s == end || *s < '0' || *s > '9') return false;
        int64_t v = 0;
        for (; s < end && *s >= '0' && *s <= '9'; s++) {
            v = v * 10 + (*s - '0');
            if (v > INT32_MAX) return false;
        }
        if (s < end && !strchr(", \n\t\r", *s)) return false;
        ints_add(out, (int32_t)(negative ? -v : v));
    }
    return true;
}

static bool wrong(const command *c, const char *fmt, const char *a, const char *b)
{
    fprintf(stderr, "strata %s: ", c->name);
    fprintf(stderr, fmt, a, b);
    fprintf(stderr, "\nTry: strata %s --help\n", c->name);
    return false;
}

static bool is_word(const char *word, const char *p, size_t len)
{
    return strlen(word) == len && memcmp(word, p, len) == 0;
}

static bool choose(const command *c, const opt *o, const char *v)
{
    const char *w;
    size_t n;
    for (int i = 0; (n = word_at(o->arg, i, &w)) != 0; i++)
        if (is_word(v, w, n)) {
            *(int *)o->value = o->first + i;
            return true;
        }
    fprintf(stderr, "strata %s: --%s %s: expected %s\n", c->name, o->name, v, o->arg);
    return false;
}

static bool number(const char *v, float *out)
{
    char *end;
    float x = strtof(v, &end);
    bool ok = end != v && *end == 0 && isfinite(x);
    if (ok) *out = x;
    return ok;
}

static bool whole(const char *v, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long x = strtoull(v, &end, 10);
    bool ok = *v >= '0' && *v <= '9' && *end == 0 && errno == 0;
    if (ok) *out = x;
    return ok;
}

static bool set(const command *c, const opt *o, const char *v)
{
    if (o->given) *o->given = true;
    switch (o->kind) {
    case OPT_GROUP: break;
    case OPT_FLAG: ++*(int *)o->value; return true;
    case OPT_STRING: *(const char **)o->value = v; return true;
    case OPT_CHOICE: return choose(c, o, v);
    case OPT_INTS: return opt_ints(v, strlen(v), o->value) || wrong(c, "--%s %s: expected integers, 1,2,3", o->name, v);
    case OPT_WHOLE: return whole(v, o->value) || wrong(c, "--%s %s: expected a whole number below 2^64", o->name, v);
    case OPT_NUMBER: return number(v, o->value) || wrong(c, "--%s %s: expected a number", o->name, v);
    case OPT_LIST: {
        strings *l = o->value;
        l->p = must_grow(l->p, &l->cap, l->n + 1, sizeof *l->p);
        l->p[l->n++] = v;
        return true;
    }
    case OPT_COUNT: {
        ints n = {0};
        bool ok = opt_ints(v, strlen(v), &n) && n.n == 1 && n.p[0] >= 1;
        if (ok) *(uint32_t *)o->value = (uint32_t)n.p[0];
        ints_free(&n);
        return ok || wrong(c, "--%s %s: expected a whole number from 1 to 2147483647", o->name, v);
    }
    }
    return false;
}

static const opt *by_letter(const command *c, char letter)
{
    const opt *o;
    for (size_t i = 0; (o = opt_at(c, i)) != NULL; i++)
        if (o->letter == letter) return o;
    return NULL;
}

static const opt *by_name(const command *c, const char *name, size_t len)
{
    const opt *o;
    for (size_t i = 0; (o = opt_at(c, i)) != NULL; i++)
        if (o->kind != OPT_GROUP && is_word(o->name, name, len)) return o;
    for (int i = 0; i < N_ALIASES; i++)
        if (is_word(aliases[i].alias, name, len)) return by_name(c, aliases[i].name, strlen(aliases[i].name));
    return NULL;
}

static bool unknown_name(const command *c, const char *name, size_t len)
{
    char word[64];
    const char *names[64];
    const opt *o;
    size_t n = 0;
    snprintf(word, sizeof word, "%.*s", (int)(len < 60 ? len : 60), name);
    for (size_t i = 0; (o = opt_at(c, i)) != NULL && n < 60; i++) {
        if (o->kind == OPT_GROUP) continue;
        names[n++] = o->name;
        if (opt_alias(o)) names[n++] = opt_alias(o);
    }
    names[n] = NULL;
    const char *near = opt_nearest(word, names);
    return near ? wrong(c, "unknown option --%s, did you mean --%s?", word, near)
                : wrong(c, "unknown option --%s%s", word, "");
}

/* One argument that starts with '-'; *i moves on over a value that stands apart. Without `store` it is read only: is
 * there a --help? The values then still are the defaults, which the help shows. */
static opt_result parse_one(const command *c, int argc, char **argv, int *i, bool store)
{
    const char *a = argv[*i];
    if (a[1] == '-') {
        size_t len = strcspn(a + 2, "=");
        const opt *o = by_name(c, a + 2, len);
        const char *v = a[2 + len] == '=' ? a + 3 + len : NULL;
        if (!o) return unknown_name(c, a + 2, len), OPT_WRONG;
        if (o->kind == OPT_FLAG && v) return wrong(c, "--%s takes no value%s", o->name, ""), OPT_WRONG;
        if (o == &help_row) return OPT_HELP;
        if (o->kind != OPT_FLAG && !v) {
            if (*i + 1 >= argc) return wrong(c, "--%s needs a value: %s", o->name, o->arg), OPT_WRONG;
            v = argv[++*i];
        }
        return !store || set(c, o, v) ? OPT_GO : OPT_WRONG;
    }
    for (const char *p = a + 1; *p; p++) {
        char letter[2] = {*p, 0};
        const opt *o = by_letter(c, *p);
        if (!o) return wrong(c, "unknown option -%s%s", letter, ""), OPT_WRONG;
        if (o == &help_row) return OPT_HELP;
        if (o->kind == OPT_FLAG) {
            if (store) set(c, o, NULL);
            continue;
        }
        const char *v = p[1] ? p + 1 : *i + 1 < argc ? argv[++*i] : NULL;
        if (!v) return wrong(c, "-%s needs a value: %s", letter, o->arg), OPT_WRONG;
        return !store || set(c, o, v) ? OPT_GO : OPT_WRONG;
    }
    return OPT_GO;
}

static bool is_option(const char *a)
{
    return a[0] == '-' && a[1];
}

opt_result opt_parse(const command *c, int *argc, char **argv)
{
    int n = 0;
    opt_result r = OPT_GO;
    for (int i = 0; i < *argc && strcmp(argv[i], "--") != 0 && r == OPT_GO; i++)
        if (is_option(argv[i])) r = parse_one(c, *argc, argv, &i, false);
    if (r != OPT_GO) return r;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            opt_before_dashes = n;
            while (++i < *argc) argv[n++] = argv[i];
            *argc = n;
            return OPT_GO;
        }
        if (!is_option(argv[i])) {
            argv[n++] = argv[i][0] == '-' ? opt_stdin : argv[i];
            continue;
        }
        r = parse_one(c, *argc, argv, &i, true);
        if (r != OPT_GO) return r;
    }
    *argc = opt_before_dashes = n;
    return OPT_GO;
}
