/* cmd_completion.c: strata completion: scripts by which a shell completes commands, options, words and files.
 *
 * The three have the same parts: which options there are, what may be the value of an option, and what may be an
 * argument by its place, which takes counting those before it. */
#include <string.h>

#include "commands/pages.h"

typedef void print_value(FILE *f, const command *c, const opt *o);

static void each_option(FILE *f, const command *c, print_value *print)
{
    const opt *o;
    for (size_t i = 0; (o = opt_at(c, i)) != NULL; i++)
        if (o->kind != OPT_GROUP) print(f, c, o);
}

/* In single quotes: what ends them becomes `quote`. In zsh's brackets those are special too. */
static void put_quoted(FILE *f, const char *p, const char *quote, const char *special)
{
    for (; *p; p++) {
        if (strchr(special, *p)) putc('\\', f);
        if (*p == '\'')
            fputs(quote, f);
        else
            putc(*p, f);
    }
}

/* ---- bash ---- */

/* 'embed -m'|'embed --model' */
static void bash_names(FILE *f, const command *c, const opt *o, const char *between)
{
    if (o->letter) fprintf(f, "'%s -%c'%s", c->name, o->letter, between);
    fprintf(f, "'%s --%s'", c->name, o->name);
    if (opt_alias(o)) fprintf(f, "%s'%s --%s'", between, c->name, opt_alias(o));
}

/* Words of which those that begin with '@' stand for files and levels: _strata_offer reads them. */
static void bash_offer(FILE *f, const char *arg)
{
    offer w;
    offer_of(arg, &w);
    const char *suffix = w.suffix ? w.suffix : "";
    fprintf(f, "offer='%s%s%s%s%s'", w.files ? "@files " : "", w.suffix ? "@" : "", suffix, w.suffix ? " " : "",
            w.levels ? "@levels" : w.words);
}

static void bash_option(FILE *f, const command *c, const opt *o)
{
    (void)c;
    if (o->letter) fprintf(f, " -%c", o->letter);
    fprintf(f, " --%s", o->name);
    if (opt_alias(o)) fprintf(f, " --%s", opt_alias(o));
}

static void bash_value(FILE *f, const command *c, const opt *o)
{
    if (o->kind == OPT_FLAG) return;
    fputs("    ", f);
    bash_names(f, c, o, "|");
    fputs(") ", f);
    bash_offer(f, o->arg);
    fputs(" ;;\n", f);
}

static const char bash_begin[] =
    "# bash completion for strata, made by: strata completion bash\n"
    "\n"
    "# OFFER...: @files, @.ENDING, @levels, or words.\n"
    "_strata_offer() {\n"
    "    local what name\n"
    "    for what in \"$@\"; do\n"
    "        case $what in\n"
    "        @levels) _strata_offer $(\"${COMP_WORDS[0]}\" version 2>/dev/null | sed -n 's/^kernels: //p') ;;\n"
    "        @*)\n"
    "            while IFS= read -r name; do COMPREPLY+=(\"$name\"); done < <(\n"
    "                if [ \"$what\" = @files ]; then compgen -f -- \"$cur\"; else\n"
    "                    { compgen -f -X \"!*${what#@}\" -- \"$cur\"; compgen -d -- \"$cur\"; } | sort -u\n"
    "                fi)\n"
    "            compopt -o filenames 2>/dev/null ;;\n"
    "        \"$cur\"*) COMPREPLY+=(\"$what\") ;;\n"
    "        esac\n"
    "    done\n"
    "}\n";

static const char bash_end[] =
    "_strata() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} offer='' options='' prefix='' word i=2 place=1 "
    "dashes=''\n"
    "    COMPREPLY=()\n"
    "    if [ \"$COMP_CWORD\" -le 1 ]; then\n"
    "        _strata_offer $(_strata_commands)\n"
    "        return\n"
    "    fi\n"
    "    while [ \"$i\" -lt \"$COMP_CWORD\" ]; do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        i=$((i + 1))\n"
    "        if [ -n \"$dashes\" ]; then\n"
    "            place=$((place + 1))\n"
    "        elif [ \"$word\" = -- ]; then\n"
    "            dashes=1\n"
    "        elif [[ $word != -?* ]]; then\n"
    "            place=$((place + 1))\n"
    "        elif _strata_value \"$command\" \"$word\"; then\n"
    "            if [ \"${COMP_WORDS[i]}\" = = ]; then # --name=VALUE stands here as three words\n"
    "                if [ \"$i\" = \"$COMP_CWORD\" ]; then cur=''; else i=$((i + 1)); fi\n"
    "            fi\n"
    "            if [ \"$i\" = \"$COMP_CWORD\" ]; then\n"
    "                _strata_offer $offer\n"
    "                return\n"
    "            fi\n"
    "            i=$((i + 1))\n"
    "        fi\n"
    "    done\n"
    "    if [ -z \"$dashes\" ] && [[ $cur == --*=* ]] && _strata_value \"$command\" \"${cur%%=*}\"; then\n"
    "        prefix=${cur%%=*}= cur=${cur#*=}\n"
    "        _strata_offer $offer\n"
    "        COMPREPLY=(\"${COMPREPLY[@]/#/$prefix}\")\n"
    "    elif [ -z \"$dashes\" ] && [[ $cur == -* ]]; then\n"
    "        _strata_options \"$command\"\n"
    "        _strata_offer $options\n"
    "    else\n"
    "        _strata_argument \"$command\" \"$place\"\n"
    "        _strata_offer $offer\n"
    "    fi\n"
    "}\n"
    "complete -F _strata strata\n";

void completion_bash(FILE *f)
{
    fprintf(f, "%s\n_strata_commands() {\n    echo --help --version", bash_begin);
    for (const command *const *c = cli_commands; *c; c++) fprintf(f, " %s", (*c)->name);
    fputs("\n}\n\n# COMMAND: sets options.\n_strata_options() {\n    case $1 in\n", f);
    for (const command *const *c = cli_commands; *c; c++) {
        fprintf(f, "    %s) options='", (*c)->name);
        each_option(f, *c, bash_option);
        fputs("' ;;\n", f);
    }
    fputs("    esac\n}\n\n# COMMAND OPTION: sets offer; fails if the option takes no value.\n"
          "_strata_value() {\n    offer=''\n    case \"$1 $2\" in\n",
          f);
    for (const command *const *c = cli_commands; *c; c++) each_option(f, *c, bash_value);
    fputs("    *) return 1 ;;\n    esac\n}\n\n# COMMAND PLACE: sets offer.\n"
          "_strata_argument() {\n    offer=''\n    case \"$1 $2\" in\n",
          f);
    for (const command *const *c = cli_commands; *c; c++)
        for (const argument *a = (*c)->args; a && a->arg; a++) {
            if (a->times == ARG_MANY)
                fprintf(f, "    '%s '*) ", (*c)->name);
            else
                fprintf(f, "    '%s %d') ", (*c)->name, (int)(a - (*c)->args) + 1);
            bash_offer(f, a->arg);
            fputs(" ;;\n", f);
        }
    fprintf(f, "    esac\n}\n\n%s", bash_end);
}

/* ---- zsh ---- */

static void zsh_text(FILE *f, const char *p)
{
    put_quoted(f, p, "'\\''", "[]:\\");
}

/* ":what:action", which ends a spec of _arguments. */
static void zsh_value(FILE *f, const char *arg)
{
    offer w;
    offer_of(arg, &w);
    putc(':', f);
    zsh_text(f, arg);
    putc(':', f);
    if (w.levels)
        fputs(" _strata_levels", f);
    else if ((w.files || w.suffix) && *w.words)
        fprintf(f, " _strata_or \"*%s\" %s", w.suffix ? w.suffix : "", w.words);
    else if (w.files)
        fputs("_files", f);
    else if (w.suffix)
        fprintf(f, "_files -g \"*%s\"", w.suffix);
    else if (*w.words)
        fprintf(f, "(%s)", w.words);
    else
        putc(' ', f);
}

static void zsh_option(FILE *f, const command *c, const opt *o)
{
    (void)c;
    const char *alias = opt_alias(o), *equals = o->kind == OPT_FLAG ? "" : "=";
    fputs("            ", f);
    if (o->kind == OPT_LIST)
        fputs("'*'", f);
    else if (o->letter || alias) {
        fputs("'(", f);
        if (o->letter) fprintf(f, "-%c ", o->letter);
        fprintf(f, "--%s%s%s)'", o->name, alias ? " --" : "", alias ? alias : "");
    }
    if (o->letter || alias) putc('{', f);
    if (o->letter) fprintf(f, "-%c%s,", o->letter, o->kind == OPT_FLAG ? "" : "+");
    fprintf(f, "--%s%s", o->name, equals);
    if (alias) fprintf(f, ",--%s%s", alias, equals);
    if (o->letter || alias) putc('}', f);
    fputs("'[", f);
    zsh_text(f, o->help);
    putc(']', f);
    if (o->kind != OPT_FLAG) zsh_value(f, o->arg);
    fputs("' \\\n", f);
}

static void zsh_argument(FILE *f, const command *c, const argument *a)
{
    fputs("            '", f);
    if (a->times == ARG_MANY)
        putc('*', f);
    else
        fprintf(f, "%d%s", (int)(a - c->args) + 1, a->times == ARG_OPTIONAL ? ":" : "");
    zsh_value(f, a->arg);
    fputs("' \\\n", f);
}

void completion_zsh(FILE *f)
{
    fputs("#compdef strata\n"
          "# zsh completion for strata, made by: strata completion zsh\n"
          "\n"
          "# PATTERN WORD...: words, or files.\n"
          "_strata_or() {\n"
          "    compadd -- \"${@[2,-1]}\"\n"
          "    _files -g \"$1\"\n"
          "}\n"
          "\n"
          "_strata_levels() {\n"
          "    compadd -- ${=$(strata version 2>/dev/null | sed -n 's/^kernels: //p')}\n"
          "}\n"
          "\n"
          "_strata() {\n"
          "    local context state state_descr line\n"
          "    local -A opt_args\n"
          "    local -a names\n"
          "    names=(\n",
          f);
    for (const command *const *c = cli_commands; *c; c++) {
        fprintf(f, "        '%s:", (*c)->name);
        put_quoted(f, (*c)->summary, "'\\''", "\\");
        fputs("'\n", f);
    }
    fputs("    )\n"
          "    _arguments -C '(- *)'{-h,--help}'[lists the commands]' '(- *)--version[version and kernel levels]' \\\n"
          "        '1:command:->command' '*::argument:->argument'\n"
          "    if [[ $state == command ]]; then\n"
          "        _describe -t commands command names\n"
          "        return\n"
          "    fi\n"
          "    [[ $state == argument ]] || return\n"
          "    case $words[1] in\n",
          f);
    for (const command *const *c = cli_commands; *c; c++) {
        fprintf(f, "    %s)\n        _arguments -s -S \\\n", (*c)->name);
        each_option(f, *c, zsh_option);
        for (const argument *a = (*c)->args; a && a->arg; a++) zsh_argument(f, *c, a);
        fputs("            && return ;;\n", f);
    }
    fputs("    esac\n"
          "}\n"
          "\n"
          "if [[ $funcstack[1] == _strata ]]; then\n"
          "    _strata \"$@\"\n"
          "else\n"
          "    compdef _strata strata\n"
          "fi\n",
          f);
}

/* ---- fish ---- */

static void fish_value(FILE *f, const command *c, const opt *o)
{
    if (o->kind == OPT_FLAG) return;
    putc(' ', f);
    bash_names(f, c, o, " ");
}

/* -r -F -a '...': a value's or an argument's completions. */
static void fish_offer(FILE *f, const char *arg)
{
    offer w;
    offer_of(arg, &w);
    fputs(w.files ? " -F" : " -f", f);
    if (!w.suffix && !w.levels && !*w.words) return;
    fputs(w.suffix ? " -k -a '" : " -a '", f);
    if (w.suffix) fprintf(f, "(__fish_complete_suffix %s)%s", w.suffix, *w.words ? " " : "");
    if (w.levels) fputs("(strata version | string replace -rf \"^kernels: \" \"\" | string split \" \")", f);
    fprintf(f, "%s'", w.words);
}

static void fish_option(FILE *f, const command *c, const opt *o)
{
    for (const char *name = o->name; name; name = name == o->name ? opt_alias(o) : NULL) {
        fprintf(f, "complete -c strata -n '__strata_is %s'", c->name);
        if (o->letter && name == o->name) fprintf(f, " -s %c", o->letter);
        fprintf(f, " -l %s", name);
        if (o->kind != OPT_FLAG) fputs(" -r", f), fish_offer(f, o->arg);
        fputs(" -d '", f);
        put_quoted(f, o->help, "\\'", "\\");
        fputs("'\n", f);
    }
}

static const char fish_functions[] =
    "function __strata_first\n"
    "    test (count (commandline -opc)) -eq 1\n"
    "end\n"
    "\n"
    "function __strata_is --argument-names command\n"
    "    set -l tokens (commandline -opc)\n"
    "    test (count $tokens) -ge 2; and test \"$tokens[2]\" = $command\n"
    "end\n"
    "\n"
    "# COMMAND FIRST LAST: whether an argument of that command is typed, at a place from the first to the last.\n"
    "function __strata_at --argument-names command first last\n"
    "    __strata_is $command; or return 1\n"
    "    set -l tokens (commandline -opc)\n"
    "    set -e tokens[1 2]\n"
    "    set -l place 1\n"
    "    set -l skip 0\n"
    "    set -l dashes 0\n"
    "    for token in $tokens\n"
    "        if test $skip -eq 1\n"
    "            set skip 0\n"
    "        else if test $dashes -eq 0; and test \"$token\" = --\n"
    "            set dashes 1\n"
    "        else if test $dashes -eq 0; and string match -q -- '-?*' $token\n"
    "            __strata_value $command $token; and set skip 1\n"
    "        else\n"
    "            set place (math $place + 1)\n"
    "        end\n"
    "    end\n"
    "    test $skip -eq 0; and test $place -ge $first; and test $place -le $last\n"
    "end\n"
    "\n";

void completion_fish(FILE *f)
{
    fprintf(f,
            "# fish completion for strata, made by: strata completion fish\n\n%s"
            "# COMMAND OPTION: whether the option takes a value.\n"
            "function __strata_value --argument-names command option\n"
            "    contains -- \"$command $option\"",
            fish_functions);
    for (const command *const *c = cli_commands; *c; c++) {
        fputs(" \\\n       ", f);
        each_option(f, *c, fish_value);
    }
    fputs("\nend\n\ncomplete -c strata -f\n"
          "complete -c strata -n __strata_first -s h -l help -d 'lists the commands'\n"
          "complete -c strata -n __strata_first -l version -d 'version and kernel levels'\n",
          f);
    for (const command *const *c = cli_commands; *c; c++) {
        fprintf(f, "complete -c strata -n __strata_first -a %s -d '", (*c)->name);
        put_quoted(f, (*c)->summary, "\\'", "\\");
        fputs("'\n", f);
    }
    for (const command *const *c = cli_commands; *c; c++) {
        each_option(f, *c, fish_option);
        for (const argument *a = (*c)->args; a && a->arg; a++) {
            int place = (int)(a - (*c)->args) + 1;
            fprintf(f, "complete -c strata -n '__strata_at %s %d %d'", (*c)->name, place,
                    a->times == ARG_MANY ? 1000000 : place);
            fish_offer(f, a->arg);
            fputc('\n', f);
        }
    }
}

/* ---- the command ---- */

static const struct {
    const char *name;
    void (*print)(FILE *f);
} shells[] = {{"bash", completion_bash}, {"zsh", completion_zsh}, {"fish", completion_fish}};
enum { N_SHELLS = sizeof shells / sizeof shells[0] };

static const argument args[] = {{"bash|zsh|fish", "the shell", ARG_REQUIRED}, {0}};
static const opt opts[] = {{0}};

static int run(const command *c, int argc, char **argv)
{
    if (argc != 1) return cli_usage(c, "expected a shell: %s", args[0].arg);
    for (int i = 0; i < N_SHELLS; i++)
        if (strcmp(argv[0], shells[i].name) == 0) return shells[i].print(stdout), CLI_OK;
    return cli_usage(c, "no completions for '%s': %s", argv[0], args[0].arg);
}

const command cmd_completion = {
    .name = "completion",
    .usage = "bash|zsh|fish",
    .summary = "a script by which a shell completes options, words and files",
    .note = "An installed strata has it where shells look. Else it goes into ~/.bashrc or ~/.zshrc\n"
            "(there after compinit) as the line below, or into fish's folder of completions.\n",
    .text = "Completes commands, options, the words that an option knows, models (*.gguf) and files.\n",
    .examples = "source <(strata completion bash)\n"
                "source <(strata completion zsh)\n"
                "strata completion fish > ~/.config/fish/completions/strata.fish\n",
    .args = args,
    .opts = opts,
    .run = run,
};
