/* pages.c: what help, manual pages and completions share: finding a command, and what its values may be. */
#include "commands/pages.h"

#include <string.h>

const command *command_find(const char *name)
{
    for (const command *const *c = cli_commands; *c; c++)
        if (strcmp((*c)->name, name) == 0) return *c;
    return NULL;
}

int command_unknown(const char *name)
{
    const char *names[64] = {NULL};
    for (size_t i = 0; i < 63 && cli_commands[i]; i++) names[i] = cli_commands[i]->name;
    const char *near = opt_nearest(name, names);
    fprintf(stderr, "strata: unknown command '%s'", name);
    if (near) fprintf(stderr, ", did you mean '%s'?", near);
    fprintf(stderr, "\nTry: strata --help\n");
    return CLI_USAGE;
}

static const char *command_name(uint32_t i)
{
    return cli_commands[i] ? cli_commands[i]->name : NULL;
}

/* Every kind that may stand in an arg. One with an ending, OUT.gguf, is a file with that ending. */
static const struct kind {
    const char *name, *suffix;
    bool files, levels;
    const char *(*word)(uint32_t i); /* NULL past the end */
} kinds[] = {
    {.name = "FILE", .files = true},
    {.name = "MODEL", .suffix = ".gguf"},
    {.name = "IN", .suffix = ".gguf"},
    {.name = "OUT", .suffix = ".gguf"},
    {.name = "TYPE", .word = strata_quantize_type},
    {.name = "COMMAND", .word = command_name},
    {.name = "LEVEL", .levels = true},
    /* A number, or a text that nobody else can know. */
    {.name = "N"},
    {.name = "K"},
    {.name = "P"},
    {.name = "S"},
    {.name = "T"},
    {.name = "X"},
    {.name = "ID"},
    {.name = "SECONDS"},
    {.name = "TEXT"},
    {.name = "NAME"},
    {.name = "FIELD"},
    {.name = "PROMPT"},
    {.name = "PASSAGE"},
    {.name = "JSON"},
    {.name = "GBNF"},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

bool alternative_next(const char **at, alternative *out)
{
    const char *p = *at;
    if (!p || !*p) return false;
    size_t n = strcspn(p, "|");
    *out = (alternative){.p = p, .len = n, .word = *p < 'A' || *p > 'Z'};
    *at = p + n + (p[n] == '|');
    return true;
}

static bool add_word(offer *o, const char *word, size_t len)
{
    size_t have = strlen(o->words);
    if (have + len + 2 > sizeof o->words) return false;
    if (have) o->words[have++] = ' ';
    memcpy(o->words + have, word, len);
    o->words[have + len] = 0;
    return true;
}

/* NULL: a kind that is not known. */
static const struct kind *kind_of(const alternative *a)
{
    size_t n = 0;
    while (n < a->len && a->p[n] >= 'A' && a->p[n] <= 'Z') n++;
    for (size_t k = 0; k < N_KINDS; k++)
        if (strlen(kinds[k].name) == n && memcmp(kinds[k].name, a->p, n) == 0) return &kinds[k];
    return NULL;
}

static bool add_kind(offer *out, const struct kind *kind)
{
    const char *word;
    bool ok = true;
    out->files |= kind->files;
    out->levels |= kind->levels;
    if (kind->suffix) out->suffix = kind->suffix;
    for (uint32_t i = 0; kind->word && (word = kind->word(i)) != NULL; i++)
        ok = add_word(out, word, strlen(word)) && ok;
    return ok;
}

bool offer_of(const char *arg, offer *out)
{
    alternative a;
    bool ok = true;
    *out = (offer){.files = false};
    while (alternative_next(&arg, &a)) {
        const struct kind *kind = a.word ? NULL : kind_of(&a);
        if (a.word)
            ok = add_word(out, a.p, a.len) && ok;
        else
            ok = kind && add_kind(out, kind) && ok;
    }
    return ok;
}

bool kind_words(const char *arg, offer *out)
{
    alternative a;
    *out = (offer){.files = false};
    while (alternative_next(&arg, &a))
        if (!a.word && kind_of(&a)) add_kind(out, kind_of(&a));
    return *out->words != 0;
}
