/* main.c: finds the command, reads its options, runs it. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "commands/pages.h"
#include "signals.h"

int main(int argc, char **argv)
{
    signals_begin();
    if (argc < 2) {
        help_program(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    if (strcmp(name, "--version") == 0) name = "version";
    const command *c = command_find(name);
    if (!c) return command_unknown(name);

    argc -= 2, argv += 2;
    opt_result r = opt_parse(c, &argc, argv);
    if (r == OPT_WRONG) return CLI_USAGE;
    int code = CLI_OK;
    if (r == OPT_HELP)
        help_command(stdout, c);
    else
        code = c->run(c, argc, argv);
    /* A flush says nothing of a write that failed earlier. */
    bool bad = fflush(stdout) != 0 || ferror(stdout);
    if (bad && code == CLI_OK) code = cli_fail(CLI_FAILED, "cannot write to the standard output");
    signals_end();
    return code;
}
