/* cmd_help.c: strata help: the commands, or the options of one. */
#include <string.h>

#include "commands/pages.h"

enum { COLUMN = 38, WIDTH = 88 }; /* of an option and its value, behind which stands what it means; of a line */

static void print_examples(FILE *f, const char *lines)
{
    for (const char *p = lines; *p; p += strcspn(p, "\n") + 1) fprintf(f, "  %.*s\n", (int)strcspn(p, "\n"), p);
}

void help_program(FILE *f)
{
    fprintf(f, "strata %s: runs transformer models from GGUF files\n\n", strata_version());
    for (const command *const *c = cli_commands; *c; c++) fprintf(f, "  strata %-11s %s\n", (*c)->name, (*c)->summary);
    fputs("\nExamples:\n", f);
    print_examples(f, PROGRAM_EXAMPLES);
    fputs("\nMore: strata COMMAND --help. Data goes to stdout, all else to stderr.\n"
          "Exit codes: 0 ok, 1 failure, 2 usage, 3 model missing, invalid or unsupported.\n",
          f);
}

/* The words of a kind, in the right column. */
static void print_words(FILE *f, const char *arg)
{
    offer w;
    size_t at = WIDTH;
    if (!arg || !kind_words(arg, &w)) return;
    for (const char *p = w.words; *p;) {
        size_t n = strcspn(p, " ");
        if (at + n + 1 > WIDTH) at = (size_t)fprintf(f, "%s%*s", p == w.words ? "" : "\n", COLUMN + 1, "");
        at += (size_t)fprintf(f, " %.*s", (int)n, p);
        p += n + (p[n] == ' ');
    }
    putc('\n', f);
}

static void print_row(FILE *f, const char *left, const char *arg, const char *help, const char *def)
{
    fprintf(f, "%-*s  %s", COLUMN, left, help);
    fprintf(f, *def ? " (default: %s)\n" : "%s\n", def);
    print_words(f, arg);
}

void help_options(FILE *f, const command *c)
{
    char left[128], text[OPT_DEFAULT_SIZE];
    const opt *o;
    for (const argument *a = c->args; a && a->arg; a++) {
        snprintf(left, sizeof left, "  %s%s", a->arg, a->times == ARG_MANY ? "..." : "");
        print_row(f, left, a->arg, a->help, "");
    }
    for (size_t i = 0; (o = opt_at(c, i)) != NULL; i++) {
        if (o->kind == OPT_GROUP) {
            fprintf(f, "\n%s:\n", o->help);
            continue;
        }
        const char *alias = opt_alias(o);
        char letter[] = {'-', o->letter, ',', 0};
        snprintf(left, sizeof left, "  %3s --%s%s%s%s%s", o->letter ? letter : "", o->name, alias ? ", --" : "",
                 alias ? alias : "", o->arg ? " " : "", o->arg ? o->arg : "");
        print_row(f, left, o->arg, o->help, opt_default(o, text));
    }
}

void help_command(FILE *f, const command *c)
{
    fprintf(f, "strata %s%s%s\n%s\n\n", c->name, *c->usage ? " " : "", c->usage, c->summary);
    help_options(f, c);
    if (c->note) fprintf(f, "\n%s", c->note);
    fprintf(f, "%sExample%s:\n", c->note ? "" : "\n", strchr(c->examples, '\n')[1] ? "s" : "");
    print_examples(f, c->examples);
}

static int run(const command *c, int argc, char **argv)
{
    if (argc > 1) return cli_usage(c, "expected one command");
    const command *of = argc ? command_find(argv[0]) : NULL;
    if (argc && !of) return command_unknown(argv[0]);
    if (of)
        help_command(stdout, of);
    else
        help_program(stdout);
    return CLI_OK;
}

static const argument args[] = {{"COMMAND", "the command that is asked about", ARG_OPTIONAL}, {0}};
static const opt opts[] = {{0}};

const command cmd_help = {
    .name = "help",
    .usage = "[COMMAND]",
    .summary = "the commands, or the options of one",
    .text = "The same as strata --help, and strata COMMAND --help.\n",
    .examples = "strata help embed\n",
    .args = args,
    .opts = opts,
    .run = run,
};
