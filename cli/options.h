/* options.h: a table of options for each command, which drives the parser, the help and whatever else speaks of
 * options.
 *
 * Forms: -x, -xVALUE, -x VALUE, -xyz (flags), --name, --name VALUE, --name=VALUE; "--" ends the options. Options and
 * positional arguments may be mixed. A long name is written in full; a wrong one is answered with the nearest. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>

#include "io/buf.h"

typedef enum opt_kind {
    OPT_FLAG = 1, /* int, counts how often it stands */
    OPT_STRING,   /* const char * */
    OPT_COUNT,    /* uint32_t >= 1 */
    OPT_CHOICE,   /* int: `first` + the place of the word in `arg`, "a|b|c" */
    OPT_INTS,     /* ints: 1,2,3 */
    OPT_WHOLE,    /* uint64_t >= 0 */
    OPT_NUMBER,   /* float */
    OPT_LIST      /* strings: the option may stand several times */
} opt_kind;

typedef struct strings {
    const char **p;
    size_t n, cap;
} strings;

typedef struct opt {
    opt_kind kind;
    char letter; /* 0: none */
    const char *name, *arg, *help;
    void *value;
    int first;
    bool *given; /* set when the option stands, unless NULL */
} opt;

typedef struct command {
    const char *name, *usage, *summary, *examples;
    const opt *opts;                                            /* ends with kind 0 */
    int (*run)(const struct command *c, int argc, char **argv); /* positional arguments; returns the exit code */
} command;

typedef enum opt_result { OPT_GO, OPT_HELP, OPT_WRONG } opt_result;

/* Parses argv[0..*argc), stores values, and leaves the positional arguments in argv[0..*argc). OPT_WRONG: a message has
 * been written. */
opt_result opt_parse(const command *c, int *argc, char **argv);

/* An argument "-" that stands before "--" is this very pointer: the standard input. After "--" it is a text. */
extern char opt_stdin[];
/* How many of the positional arguments stood before "--". */
extern int opt_before_dashes;

void opt_help(const command *c);

/* Integers separated by commas, spaces or newlines, appended to *out; false if something else stands there. */
bool opt_ints(const char *s, size_t len, ints *out);

/* The word of `words` (ends with NULL) nearest to `wrong`, NULL if none is near. */
const char *opt_nearest(const char *wrong, const char *const *words);

#endif
