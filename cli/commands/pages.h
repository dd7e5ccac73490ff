/* pages.h: what is printed from the tables of commands: help, manual pages, completions, the lists of docs/CLI.md. */
#ifndef CLI_COMMANDS_PAGES_H
#define CLI_COMMANDS_PAGES_H

#include <stdio.h>

#include "cli.h"

/* NULL: there is none of that name. */
const command *command_find(const char *name);
/* Says that there is no such command, and which may be meant. Returns CLI_USAGE. */
int command_unknown(const char *name);

/* ---- what a value may be (options.h) ---- */

/* What completions offer for a value or an argument. */
typedef struct offer {
    bool files;         /* any file */
    const char *suffix; /* files with that ending, NULL: none */
    bool levels;        /* the kernel levels of the machine where it is asked, which `strata version` lists */
    char words[512];    /* with a space between two, and none at the ends */
} offer;

/* false: `arg` has a kind that pages.c does not know. */
bool offer_of(const char *arg, offer *out);

/* The next alternative of an arg; false at the end. *at begins as the arg. */
typedef struct alternative {
    const char *p;
    size_t len;
    bool word; /* stands for itself */
} alternative;
bool alternative_next(const char **at, alternative *out);

/* The words that a kind of `arg` stands for, of which help and manual say which there are; false: there is none. */
bool kind_words(const char *arg, offer *out);

/* ---- pages ---- */

#define PROGRAM_EXAMPLES                                                           \
    "strata embed -m model.gguf --similarity \"A cat\" \"A kitten\" \"A bank\"\n"  \
    "strata embed -m model.gguf --jsonl texts.jsonl --format npy -o vectors.npy\n" \
    "strata info model.gguf\n"

void help_program(FILE *f);
void help_command(FILE *f, const command *c);
/* The list in it: arguments and options. */
void help_options(FILE *f, const command *c);

/* man(7) */
void man_program(FILE *f);
void man_command(FILE *f, const command *c);

void completion_bash(FILE *f);
void completion_zsh(FILE *f);
void completion_fish(FILE *f);

#endif
