/* options.h: a table of options and arguments for each command. The parser runs on it, and all that speaks of options
 * is printed from it: help, manual pages, completions and the lists of docs/CLI.md (commands/pages.h).
 *
 * Forms: -x, -xVALUE, -x VALUE, -xyz (flags), --name, --name VALUE, --name=VALUE; "--" ends the options. Options and
 * positional arguments may be mixed. A long name is written in full; a wrong one is answered with the nearest. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>

#include "io/buf.h"

typedef enum opt_kind {
    OPT_GROUP = 1, /* no option: the options below it, up to the next, are `help` */
    OPT_FLAG,      /* int, counts how often it stands */
    OPT_STRING,    /* const char * */
    OPT_COUNT,     /* uint32_t >= 1 */
    OPT_CHOICE,    /* int: `first` + the place of the word in `arg`, "a|b|c" */
    OPT_INTS,      /* ints: 1,2,3 */
    OPT_WHOLE,     /* uint64_t >= 0 */
    OPT_NUMBER,    /* float */
    OPT_LIST       /* strings: the option may stand several times */
} opt_kind;

typedef struct strings {
    const char **p;
    size_t n, cap;
} strings;

/* What a value or an argument may be, alternatives between '|'. One that begins with a capital letter is a kind, and
 * completions offer what it stands for (the kinds: commands/pages.c); any other is a word, offered as it stands. So
 * "FILE|chatml" is the name of a file or the word chatml, "N" a number. One that goes on with ",..." is a list.
 *
 * The default is what `value` holds before the options are read; where that is nothing (0 of OPT_COUNT, NULL, no word
 * of the list) `def` says in words what happens then. */
typedef struct opt {
    opt_kind kind;
    char letter; /* 0: none */
    const char *name, *arg, *help;
    void *value;
    int first;
    bool *given; /* set when the option stands, unless NULL */
    const char *def;
} opt;

#define OPT_GROUP_OF(title)        \
    {                              \
        OPT_GROUP, .help = (title) \
    }

/* A positional argument. */
typedef struct argument {
    const char *arg, *help; /* arg: as of an option */
    enum { ARG_OPTIONAL, ARG_REQUIRED, ARG_MANY } times;
} argument;

typedef struct command {
    const char *name, *usage, *summary;
    const char *note;     /* lines that close its help */
    const char *text;     /* of its man page, paragraphs between empty lines, NULL: the note says all */
    const char *examples; /* commands, one a line */
    const argument *args; /* end with arg NULL; NULL: none */
    const opt *opts;      /* end with kind 0 */
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

/* The i-th row of a command's options, groups too, and behind them --help, which all have; NULL past the end. */
const opt *opt_at(const command *c, size_t i);
/* Another long name of an option, by which people know it from elsewhere; NULL: none. */
const char *opt_alias(const opt *o);
/* The default in words, "" if there is nothing to say; `text` may hold it. Only before the options are read. */
enum { OPT_DEFAULT_SIZE = 64 };
const char *opt_default(const opt *o, char text[OPT_DEFAULT_SIZE]);

/* Integers separated by commas, spaces or newlines, appended to *out; false if something else stands there. */
bool opt_ints(const char *s, size_t len, ints *out);

/* The word of `words` (ends with NULL) nearest to `wrong`, NULL if none is near. */
const char *opt_nearest(const char *wrong, const char *const *words);

#endif
