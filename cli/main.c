/* main.c: the program's table of commands. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "signals.h"

static const command *const commands[] = {&cmd_embed,      &cmd_rank,   &cmd_generate, &cmd_chat,   &cmd_tokenize,
                                          &cmd_detokenize, &cmd_eval,   &cmd_info,     &cmd_plan,   &cmd_diff,
                                          &cmd_quantize,   &cmd_verify, &cmd_bench,    &cmd_version};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void help(FILE *f)
{
    fprintf(f, "strata %s: runs transformer models from GGUF files\n\n", strata_version());
    for (int i = 0; i < N_COMMANDS; i++) fprintf(f, "  strata %-11s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(f, "\nExamples:\n"
               "  strata embed -m model.gguf --similarity \"A cat\" \"A kitten\" \"A bank\"\n"
               "  strata embed -m model.gguf --jsonl texts.jsonl --format npy -o vectors.npy\n"
               "  strata info model.gguf\n"
               "\nMore: strata COMMAND --help. Data goes to stdout, all else to stderr.\n"
               "Exit codes: 0 ok, 1 failure, 2 usage, 3 model missing, invalid or unsupported.\n");
}

static const command *find(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

static int unknown(const char *name)
{
    const char *names[N_COMMANDS + 1] = {NULL};
    for (int i = 0; i < N_COMMANDS; i++) names[i] = commands[i]->name;
    const char *near = opt_nearest(name, names);
    fprintf(stderr, "strata: unknown command '%s'", name);
    if (near) fprintf(stderr, ", did you mean '%s'?", near);
    fprintf(stderr, "\nTry: strata --help\n");
    return CLI_USAGE;
}

int main(int argc, char **argv)
{
    signals_begin();
    if (argc < 2) {
        help(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    int ask_help = strcmp(name, "help") == 0;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (ask_help && argc == 2)) {
        help(stdout);
        return CLI_OK;
    }
    if (strcmp(name, "--version") == 0) name = "version";
    if (ask_help) name = argv[2];
    const command *c = find(name);
    if (!c) return unknown(name);

    argc -= 2, argv += 2;
    opt_result r = ask_help ? OPT_HELP : opt_parse(c, &argc, argv);
    if (r == OPT_HELP) opt_help(c);
    if (r != OPT_GO) return r == OPT_HELP ? CLI_OK : CLI_USAGE;
    int code = c->run(c, argc, argv);
    /* A flush says nothing of a write that failed earlier. */
    bool bad = fflush(stdout) != 0 || ferror(stdout);
    if (bad && code == CLI_OK) code = cli_fail(CLI_FAILED, "cannot write to the standard output");
    signals_end();
    return code;
}
