/* cmd_man.c: strata man: manual pages, in the language of man(7). */
#include <ctype.h>
#include <string.h>

#include "commands/pages.h"

/* A text within a line, so that each character comes out as itself. */
static void put_text(FILE *f, const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) switch (p[i]) {
        case '\\': fputs("\\e", f); break;
        case '-': fputs("\\-", f); break;
        case '\'': fputs("\\(aq", f); break;
        case '`': fputs("\\(ga", f); break;
        case '^': fputs("\\(ha", f); break;
        case '~': fputs("\\(ti", f); break;
        case '"': fputs("\\(dq", f); break;
        default: putc(p[i], f);
        }
}

/* Paragraphs, folded: no line of a page is longer than 80 bytes, as good style has it. */
static void put_paragraphs(FILE *f, const char *p)
{
    size_t at = 0;
    while (*p) {
        if (strncmp(p, "\n\n", 2) == 0) {
            fputs("\n.PP\n", f);
            p += 2, at = 0;
        }
        p += strspn(p, " \n");
        size_t n = strcspn(p, " \n");
        if (!n) continue;
        bool fits = at && at + n < 64;
        if (at) putc(fits ? ' ' : '\n', f);
        if (!fits && (*p == '.')) fputs("\\&", f); /* else it would be a request */
        put_text(f, p, n);
        at = fits ? at + n + 1 : n;
        p += n;
    }
    putc('\n', f);
}

/* Lines that stay lines. */
static void put_lines(FILE *f, const char *p)
{
    while (*p) {
        size_t n = strcspn(p, "\n");
        char line[256];
        snprintf(line, sizeof line, "%.*s", (int)n, p);
        put_paragraphs(f, line);
        p += n + (p[n] != 0);
        if (*p) fputs(".br\n", f);
    }
}

static void put_string(FILE *f, const char *s)
{
    put_text(f, s, strlen(s));
}

/* Words in bold, kinds in italics. */
static void put_arg(FILE *f, const char *arg)
{
    alternative a;
    for (bool first = true; alternative_next(&arg, &a); first = false) {
        fputs(first ? "" : "|", f);
        fputs(a.word ? "\\fB" : "\\fI", f);
        put_text(f, a.p, a.len);
        fputs("\\fR", f);
    }
}

/* "-m MODEL [TEXT...]": options in bold, kinds in italics, brackets as they are. */
static void put_usage(FILE *f, const char *p)
{
    while (*p) {
        size_t n = strcspn(p, " []().|");
        bool option = *p == '-';
        if (!n) {
            n = strspn(p, " []().|");
            put_text(f, p, n);
        } else {
            fputs(option ? "\\fB" : "\\fI", f);
            put_text(f, p, n);
            fputs("\\fR", f);
        }
        p += n;
    }
}

static void put_head(FILE *f, const char *command_name, const char *summary)
{
    fputs(".TH STRATA", f);
    if (command_name) fputs("\\-", f);
    for (const char *p = command_name ? command_name : ""; *p; p++) putc(toupper((unsigned char)*p), f);
    fprintf(f, " 1 \"\" \"strata %s\" \"strata manual\"\n.SH NAME\nstrata%s%s \\-\n", strata_version(),
            command_name ? "\\-" : "", command_name ? command_name : "");
    put_paragraphs(f, summary);
}

/* The words of a kind. */
static void put_words(FILE *f, const char *arg)
{
    offer w;
    if (!arg || !kind_words(arg, &w)) return;
    fputs(".br\n\\fB", f);
    put_string(f, w.words);
    fputs("\\fR\n", f);
}

static void put_option(FILE *f, const opt *o)
{
    char text[OPT_DEFAULT_SIZE];
    const char *alias = opt_alias(o), *def = opt_default(o, text);
    fputs(".TP\n", f);
    if (o->letter) fprintf(f, "\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", f);
    put_string(f, o->name);
    if (alias) fputs("\\fR, \\fB\\-\\-", f), put_string(f, alias);
    fputs("\\fR", f);
    if (o->arg) putc(' ', f), put_arg(f, o->arg);
    fputs("\n\\&", f);
    put_string(f, o->help);
    if (*def) fputs(" (default: ", f), put_string(f, def), putc(')', f);
    putc('\n', f);
    put_words(f, o->arg);
}

static void put_examples(FILE *f, const char *lines)
{
    fputs(".SH EXAMPLES\n.nf\n", f);
    for (const char *p = lines; *p; p += strcspn(p, "\n") + 1) {
        fputs("\\&", f);
        put_text(f, p, strcspn(p, "\n"));
        putc('\n', f);
    }
    fputs(".fi\n", f);
}

static const struct item {
    const char *name, *text;
} exit_codes[] = {{"0", "all went well"},
                  {"1", "failure, also of one of several texts"},
                  {"2", "usage: the command line is wrong, or the model cannot do what was asked"},
                  {"3", "the model is missing, invalid or unsupported"},
                  {NULL, NULL}},
  variables[] = {{"STRATA_MODEL", "the model, where neither an option nor an argument names one"},
                 {"STRATA_CPU", "the best kernel level that may be used; strata version lists them"},
                 {"STRATA_LLAMA_BIN", "the folder of llama.cpp's programs, for strata bench --peers"},
                 {"TMPDIR", "the folder of temporary files"},
                 {NULL, NULL}};

static void put_items(FILE *f, const char *title, const struct item *items)
{
    fprintf(f, ".SH %s\n", title);
    for (; items->name; items++) {
        fprintf(f, ".TP\n\\fB%s\\fR\n", items->name);
        put_paragraphs(f, items->text);
    }
}

void man_command(FILE *f, const command *c)
{
    const opt *o;
    put_head(f, c->name, c->summary);
    fprintf(f, ".SH SYNOPSIS\n\\fBstrata %s\\fR%s", c->name, *c->usage ? " " : "");
    put_usage(f, c->usage);
    fputs("\n.SH DESCRIPTION\n", f);
    if (c->note) put_lines(f, c->note);
    if (c->note && c->text) fputs(".PP\n", f);
    if (c->text) put_paragraphs(f, c->text);
    fputs(".SH OPTIONS\n", f);
    for (const argument *a = c->args; a && a->arg; a++) {
        fputs(".TP\n", f);
        put_arg(f, a->arg);
        fputs(a->times == ARG_MANY ? "...\n\\&" : "\n\\&", f);
        put_string(f, a->help);
        putc('\n', f);
        put_words(f, a->arg);
    }
    for (size_t i = 0; (o = opt_at(c, i)) != NULL; i++) {
        if (o->kind == OPT_GROUP)
            fputs(".SS ", f), put_string(f, o->help), putc('\n', f);
        else
            put_option(f, o);
    }
    put_items(f, "EXIT STATUS", exit_codes);
    put_examples(f, c->examples);
    fputs(".SH SEE ALSO\n.BR strata (1)\n", f);
}

void man_program(FILE *f)
{
    put_head(f, NULL, "runs transformer models from GGUF files");
    fputs(".SH SYNOPSIS\n\\fBstrata\\fR \\fICOMMAND\\fR [\\fIargument\\fR...]\n.SH DESCRIPTION\n", f);
    put_paragraphs(
        f, "Loads a model from a GGUF file and runs it on the CPU. Data goes to the standard output, all else to the "
           "standard error.\n\n"
           "Options and arguments may be mixed: -x VALUE, -xVALUE, --name VALUE, --name=VALUE; flags of one letter "
           "may be written together. After -- nothing is an option. In the place of a file that is read or written, "
           "- is the standard input or output.\n\n"
           "The model is --model; without it, the first argument if it ends in .gguf, else what the environment "
           "names.\n\n"
           "A signal that ends a process stops a command between operations; nothing is left of a file that was "
           "being written. A second one ends it at once.\n");
    fputs(".SH COMMANDS\n", f);
    for (const command *const *c = cli_commands; *c; c++) {
        fprintf(f, ".TP\n\\fBstrata %s\\fR\n", (*c)->name);
        put_paragraphs(f, (*c)->summary);
    }
    fputs(".SH OPTIONS\n.TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nlists the commands; of a command, its options\n"
          ".TP\n\\fB\\-\\-version\\fR\nthe same as strata version\n",
          f);
    put_items(f, "EXIT STATUS", exit_codes);
    put_items(f, "ENVIRONMENT", variables);
    put_examples(f, PROGRAM_EXAMPLES);
    fputs(".SH SEE ALSO\n", f);
    for (const command *const *c = cli_commands; *c; c++)
        fprintf(f, ".BR strata\\-%s (1)%s\n", (*c)->name, c[1] ? "," : "");
}

static int run(const command *c, int argc, char **argv)
{
    if (argc > 1) return cli_usage(c, "expected one command");
    const command *of = argc ? command_find(argv[0]) : NULL;
    if (argc && !of) return command_unknown(argv[0]);
    if (of)
        man_command(stdout, of);
    else
        man_program(stdout);
    return CLI_OK;
}

static const argument args[] = {{"COMMAND", "the command whose page it is", ARG_OPTIONAL}, {0}};
static const opt opts[] = {{0}};

const command cmd_man = {
    .name = "man",
    .usage = "[COMMAND]",
    .summary = "the manual page of the program or of a command",
    .text = "Writes the page in the language of man(7), which man -l shows. An installed strata has them as files: "
            "man strata, man strata-embed.\n",
    .examples = "strata man embed | man -l -\n"
                "strata man > ~/.local/share/man/man1/strata.1\n",
    .args = args,
    .opts = opts,
    .run = run,
};
