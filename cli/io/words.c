/* words.c: the library's messages in the program's words: what is a field to the library is an option here. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "sample/knobs.def"

static const struct {
    const char *field, *option;
} words[] = {{"dims", "--dims"},
             {"documents", "--documents"},
             {"logit_bias", "--logit-bias"},
             {"max_tokens", "-n"},
             {"memory_cap", "the memory"},
             {"n_ctx", "-c"},
             {"n_threads", "-t"},
             {"n_top", "--logprobs"},
             {"normalize", "--normalize"},
             {"now", "--now"},
             {"pooling", "--pooling"},
             {"precision", "--precision"},
             {"stop text", "--stop: text"},
             {"threads", "-t"},
             {"tools", "--tools"},
             {"truncate", "--truncate"},
             {"truncate_query", "--truncate-query"},
             {"variables", "--variables"},
#define WORD(x, kind, name, def, least, most, letter, option, ...) {#name, "--" option},
             ST_KNOBS(WORD, )};

/* What a message says to do, and the option that does it. */
static const struct {
    const char *text, *option;
} advice[] = {
    {"; force it", " (--force-dims)"},
    {" ask for mean, cls or last", " (--pooling)"},
};

/* What the library says to a program, and what to say to a person instead. */
static const struct {
    const char *text, *instead;
} spoken[] = {
    {": want n_seqs 0", ""},
    {"use strata_rank,", "use the command rank,"},
};

static void speak(char *msg, size_t size)
{
    for (size_t i = 0; i < sizeof spoken / sizeof spoken[0]; i++) {
        char rest[256], *at = strstr(msg, spoken[i].text);
        if (!at) continue;
        snprintf(rest, sizeof rest, "%s", at + strlen(spoken[i].text));
        snprintf(at, size - (size_t)(at - msg), "%s%s", spoken[i].instead, rest);
    }
}

/* A message begins with the field it is about; elsewhere the same letters may be part of a path. */
const char *cli_words(strata_error *e)
{
    char was[sizeof e->msg];
    memcpy(was, e->msg, sizeof was);
    was[sizeof was - 1] = 0;
    speak(was, sizeof was);
    memcpy(e->msg, was, sizeof was);
    static const char prefix[] = "chat template: "; /* what it was given may be at fault, not the template */
    char *begin = was;
    if (strncmp(was, prefix, sizeof prefix - 1) == 0) begin += sizeof prefix - 1;
    size_t n = strcspn(begin, ":[ ");
    if (strncmp(begin, "stop text", 9) == 0) n = 9;
    const char *option = NULL, *more = "";
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i].field) == n && strncmp(begin, words[i].field, n) == 0 && strchr(":[ ", begin[n]))
            option = words[i].option;
    for (size_t i = 0; i < sizeof advice / sizeof advice[0]; i++)
        if (strstr(was, advice[i].text)) more = advice[i].option;
    if (option || *more)
        snprintf(e->msg, sizeof e->msg, "%s%.*s%s", option ? option : "", (int)(sizeof was - 40),
                 option ? begin + n : was, more);
    return e->msg;
}
