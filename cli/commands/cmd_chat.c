/* cmd_chat.c: strata chat: a conversation with a model, at a terminal or over plain lines. */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/conversation.h"
#include "commands/sampling.h"
#include "io/encoding.h"
#include "io/json.h"
#include "io/line.h"
#include "io/lines.h"
#include "io/output.h"
#include "io/shown.h"
#include "signals.h"

static session s = {.n_seqs = 1, .kv = STRATA_KV_F16};
static sampling sampler = SAMPLING_DEFAULT;
static conversation_opts talk_opts;
static const char *out_path;
static uint32_t n_predict;
static int format;

enum { TEXT, JSON };

typedef struct chat {
    const command *c;
    line_editor line;
    output o;
    lines out; /* of JSON */
    conversation talk;
    ints ids;
    buf answer;
    bool terminal_out; /* answers go to a terminal */
    uint64_t seed;     /* of the next answer */
    uint32_t room;     /* tokens of the context */
    strata_gen_result last;
    int code;
    bool leave;
    bool lost; /* answers could not be written, or the input is none */
} chat;

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("[", stderr);
    vfprintf(stderr, fmt, ap);
    fputs("]\n", stderr);
    va_end(ap);
}

/* ---- an answer --------------------------------------------------------------------------------------------------- */

/* A model's bytes do not command the terminal: control characters but newline and tab are shown as "?". */
static void show(FILE *f, const char *p, size_t len)
{
    for (size_t i = 0, run = 0; i <= len; i++) {
        unsigned char c = i < len ? (unsigned char)p[i] : 0;
        bool c1 = c == 0xc2 && i + 1 < len && ((unsigned char)p[i + 1] & 0xe0) == 0x80;
        if (i < len && !c1 && c != 0x7f && (c >= 0x20 || c == '\n' || c == '\t')) continue;
        fwrite(p + run, 1, i - run, f);
        if (i < len) putc('?', f);
        i += c1;
        run = i + 1;
    }
}

static int on_text(void *user, const char *p, size_t len, const strata_gen_token *t)
{
    chat *c = user;
    (void)t;
    buf_add(&c->answer, p, len);
    if (format == JSON) return 0;
    if (c->terminal_out)
        show(c->o.f, p, len);
    else
        fwrite(p, 1, len, c->o.f);
    return fflush(c->o.f) != 0;
}

static void put_json(const chat *c)
{
    fputs("{\"content\":", c->out.f);
    json_put_string(c->out.f, c->answer.len ? c->answer.p : "", c->answer.len);
    fprintf(c->out.f, ",\"finish\":\"%s\",\"usage\":{\"prompt_tokens\":%u,\"cached_tokens\":%u,\"new_tokens\":%u}}\n",
            strata_finish_name(c->last.finish), c->last.n_prompt, c->last.n_cached, c->last.n_new);
}

/* What a person may want to know of an answer that ended early. */
static void tell_end(const chat *c, int rc)
{
    const strata_gen_result *r = &c->last;
    if (rc == STRATA_CANCELLED)
        note("stopped");
    else if (r->finish == STRATA_FINISH_LENGTH && (c->line.terminal || (r->unfinished && format == TEXT)))
        note("stopped after %u tokens: -n", r->n_new);
    else if (r->finish == STRATA_FINISH_CONTEXT)
        note("the context of %u tokens is full: /clear begins anew, /undo takes the last message back, -c N makes room "
             "for more (the model can take %u)",
             c->room, s.info.n_ctx);
    if (s.verbose && !rc)
        note("%u tokens, %u of them new to the context; answer %u tokens, %.1f a second", r->n_prompt,
             r->n_prompt - r->n_cached, r->n_new, r->decode_ms > 0 ? 1e3 * r->n_new / r->decode_ms : 0.0);
}

static int write_failed(chat *c)
{
    c->leave = c->lost = true;
    return cli_fail(CLI_FAILED, "cannot write %s: %s", output_name(out_path), strerror(errno));
}

/* Says that the conversation cannot go on as it is. The caller takes back what it did, so that the next message starts
 * clean. */
static int refuse(chat *c, const char *why)
{
    char full[256];
    if (c->ids.n >= c->room) {
        snprintf(
            full, sizeof full,
            "the conversation has %zu tokens, the context %u: /clear begins anew, /undo takes the last message back, "
            "-c N makes room for more (the model can take %u)",
            c->ids.n, c->room, s.info.n_ctx);
        why = full;
    }
    if (format == JSON) {
        fputs("{\"error\":", c->out.f);
        json_put_string(c->out.f, why, strlen(why));
        fputs("}\n", c->out.f);
        if (!lines_flush(&c->out)) return write_failed(c);
    }
    return cli_fail(CLI_FAILED, "%s", why);
}

/* Answers the last message of the conversation; the answer is added to it on success alone. */
static int answer(chat *c)
{
    strata_error e = {0};
    c->answer.len = c->ids.n = 0;
    c->last = (strata_gen_result){0};
    if (conversation_encode(&c->talk, s.model, &c->ids, &e)) return refuse(c, cli_words(&e));
    if (c->ids.n >= c->room) return refuse(c, "the context is full");
    strata_gen_opts *g = &sampler.g;
    g->max_tokens = n_predict;
    g->seed = c->seed;
    g->on_text = on_text;
    g->user = c;
    int rc = strata_generate(s.ctx, 0, c->ids.p, c->ids.n, g, &c->last, &e);
    if (rc && rc != STRATA_CANCELLED) return refuse(c, cli_words(&e));
    if (rc && (!c->line.terminal || (cli_cancel && cli_cancel != SIGINT))) return CLI_INTERRUPTED;
    if (format == JSON)
        put_json(c);
    else
        putc('\n', c->o.f);
    if (format == JSON ? !lines_flush(&c->out) : fflush(c->o.f) != 0) return write_failed(c);
    tell_end(c, rc);
    conversation_add(&c->talk, "assistant", c->answer.len ? c->answer.p : "", c->answer.len);
    return CLI_OK;
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static int help(chat *c, const char *rest);

static int clear(chat *c, const char *rest)
{
    (void)rest;
    conversation_clear(&c->talk);
    if (c->line.terminal) note("a new conversation");
    return CLI_OK;
}

static int set_system(chat *c, const char *rest)
{
    buf *b = &c->talk.system;
    char why[160];
    if (!*rest) {
        if (!b->len) return note("no system message"), CLI_OK;
        fprintf(stderr, "%.*s\n", (int)b->len, b->p);
        return CLI_OK;
    }
    if (conversation_refuses("the system message", rest, strlen(rest), why, sizeof why))
        return cli_fail(CLI_FAILED, "%s", why);
    b->len = 0;
    if (strcmp(rest, "-") != 0) buf_add(b, rest, strlen(rest));
    return CLI_OK;
}

static int undo(chat *c, const char *rest)
{
    (void)rest;
    return conversation_undo(&c->talk) ? CLI_OK : cli_fail(CLI_FAILED, "there is no message to take back");
}

/* Another draw: the seeds of a conversation count up with its answers. Without one, the answer before stays. */
static int retry(chat *c, const char *rest)
{
    (void)rest;
    conversation_end before;
    if (!conversation_reopen(&c->talk, &before)) return cli_fail(CLI_FAILED, "there is no message to answer");
    c->seed++;
    int rc = answer(c);
    if (rc) conversation_restore(&c->talk, before);
    return rc;
}

static int save(chat *c, const char *rest)
{
    output o;
    buf json = {0};
    if (!*rest) return cli_fail(CLI_FAILED, "/save FILE");
    conversation_json(&c->talk, &json);
    int rc = output_open(&o, c->c, rest, false);
    if (!rc) fwrite(json.p, 1, json.len, o.f);
    int closed = output_close(&o, !rc);
    buf_free(&json);
    if (!rc && !closed && c->line.terminal) note("saved: strata chat -m MODEL --messages %s goes on with it", rest);
    return rc ? rc : closed;
}

static int leave(chat *c, const char *rest)
{
    (void)rest;
    c->leave = true;
    return CLI_OK;
}

static const struct {
    const char *name, *help;
    int (*run)(chat *c, const char *rest);
} commands[] = {
    {"help", "/help            this", help},
    {"clear", "/clear           forget the conversation; the system message stays", clear},
    {"system", "/system [TEXT]   show or set the system message; - removes it", set_system},
    {"undo", "/undo            take the last message and its answer back", undo},
    {"retry", "/retry           another answer to the last message", retry},
    {"save", "/save FILE       write the conversation as JSON", save},
    {"exit", "/exit            leave, as Ctrl-D does", leave},
    {"quit", NULL, leave},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static int help(chat *c, const char *rest)
{
    (void)c, (void)rest;
    for (int i = 0; i < N_COMMANDS; i++)
        if (commands[i].help) fprintf(stderr, "  %s\n", commands[i].help);
    fputs("  \\ at the end of a line goes on with another; // begins a message with /\n"
          "  Ctrl-C stops an answer; at the prompt it drops the line, and twice leaves\n",
          stderr);
    return CLI_OK;
}

/* "/name rest" */
static int run_command(chat *c, const char *line)
{
    size_t n = strcspn(line, " \t\n");
    const char *rest = line + n + strspn(line + n, " \t\n"), *names[N_COMMANDS + 1] = {NULL};
    char name[16] = "";
    for (int i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strlen(names[i]) == n && memcmp(names[i], line, n) == 0) return commands[i].run(c, rest);
    }
    snprintf(name, sizeof name, "%.*s", (int)n, line);
    const char *near = opt_nearest(name, names);
    return cli_fail(CLI_FAILED, "no command '/%s'%s%s (/help lists them; // begins a message with /)", name,
                    near ? ", did you mean /" : "", near ? near : "");
}

/* ---- the conversation -------------------------------------------------------------------------------------------- */

/* The first line of a pipe or file may say what it is. */
static int check_first(chat *c, buf *line)
{
    const encoding *foreign = encoding_foreign(line->p ? line->p : "", line->len);
    if (foreign) return c->leave = c->lost = true, cli_fail(CLI_FAILED, "stdin: this is %s, want UTF-8", foreign->name);
    size_t mark = encoding_mark(line->p ? line->p : "", line->len);
    if (mark) memmove(line->p, line->p + mark, line->len -= mark);
    return CLI_OK;
}

/* Returns an exit code of what went wrong, 0 else; c->leave ends it. */
static int turn(chat *c, buf *line)
{
    size_t from = 0;
    char why[160];
    if (!line->len) return CLI_OK;
    if (line->p[0] == '/' && !(line->len > 1 && line->p[1] == '/')) {
        buf_add(line, "", 1);
        return run_command(c, line->p + 1);
    }
    if (line->p[0] == '/') from = 1;
    if (conversation_refuses("the message", line->p + from, line->len - from, why, sizeof why)) {
        c->ids.n = 0;
        return refuse(c, why);
    }
    conversation_add(&c->talk, "user", line->p + from, line->len - from);
    int rc = answer(c);
    if (rc) conversation_undo(&c->talk);
    c->seed++;
    return rc;
}

static int converse(chat *c)
{
    buf line = {0};
    bool asked = false; /* Ctrl-C on an empty line, once */
    bool first = !c->line.terminal;
    if (c->line.terminal) {
        signals_keep_interrupt(); /* stops an answer, however often */
        char name[256];
        note("%s; /help lists the commands, Ctrl-D leaves",
             shown_copy(name, sizeof name, s.info.name ? s.info.name : s.path));
    }
    while (!c->leave) {
        line_result r = line_read(&c->line, "> ", &line);
        if (r == LINE_END || (r == LINE_INTERRUPT && (asked || cli_cancel))) break;
        asked = r == LINE_INTERRUPT;
        if (asked) {
            note("Ctrl-C again leaves");
            continue;
        }
        int rc = first ? check_first(c, &line) : CLI_OK;
        first = false;
        if (!rc) rc = turn(c, &line);
        if (c->line.terminal) signals_forget_interrupt();
        if (rc) c->code = rc;
        if (rc == CLI_INTERRUPTED) break;
    }
    buf_free(&line);
    return c->line.terminal ? CLI_OK : c->code; /* a person has seen the messages */
}

static int run(const command *cmd, int argc, char **argv)
{
    static chat c;
    int rc = session_find_path(cmd, &s, true, &argc, &argv);
    if (rc) return rc;
    if (argc) return cli_usage(cmd, "messages come from stdin: '%s' is an argument", argv[0]);
    c.c = cmd;
    rc = sampling_read(cmd, &sampler);
    if (!rc) rc = conversation_open(&c.talk, &talk_opts);
    if (!rc && talk_opts.messages) output_may_replace(talk_opts.messages); /* /save writes it anew, longer */
    if (!rc) rc = session_open(cmd, &s, SESSION_CONTEXT);
    if (!rc && !s.info.has_logits) rc = cli_fail(CLI_USAGE, "%s is no model that generates text", s.path);
    if (!rc) rc = output_open(&c.o, cmd, out_path, false);
    if (!rc && format == JSON && !lines_open(&c.out, c.o.f)) rc = write_failed(&c);
    if (!rc) {
        conversation_warn(&c.talk, s.model, s.path);
        c.room = strata_ctx_tokens(s.ctx);
        c.seed = sampler.g.seed;
        c.terminal_out = c.o.f == stdout && isatty(STDOUT_FILENO);
        line_open(&c.line);
        rc = converse(&c);
        line_close(&c.line);
    }
    if (!rc && c.lost) rc = CLI_FAILED;
    /* Messages that failed alone are in the file too. */
    int closed = c.o.f ? output_close(&c.o, !c.lost && (rc == CLI_OK || rc == CLI_FAILED)) : CLI_OK;
    if (!rc) rc = closed;
    lines_close(&c.out);
    session_close(&s);
    sampling_free(&sampler);
    conversation_close(&c.talk);
    ints_free(&c.ids);
    buf_free(&c.answer);
    return rc;
}

static const argument args[] = {{"MODEL", "GGUF model file, if no -m names one", ARG_OPTIONAL}, {0}};

static const opt opts[] = {
    OPT_OF_MODEL(s),
    {OPT_COUNT, 'n', "predict", "N", "tokens of an answer at most", .value = &n_predict, .def = "no limit"},
    OPT_OF_CONTEXT(s, "tokens of the conversation"),
    OPT_GROUP_OF("Conversation and template"),
    OPTS_OF_CONVERSATION(talk_opts),
    OPT_GROUP_OF("Sampling"),
    OPTS_OF_SAMPLING(sampler),
    OPT_GROUP_OF("Output and machine"),
    {OPT_CHOICE, 0, "format", "text|json", "json: an object an answer", .value = &format, .first = TEXT},
    {OPT_STRING, 'o', "output", "FILE", "answers to a file", .value = &out_path, .def = "stdout"},
    {OPT_CHOICE, 0, "kv", "f16|f32|q8", "type of the cache", .value = &s.kv, .first = STRATA_KV_F16},
    OPT_OF_PRECISION(s),
    OPT_OF_THREADS(s),
    OPT_OF_PRE(s),
    OPT_OF_NO_MMAP(s),
    OPT_OF_VERBOSE(s),
    {0},
};

const command cmd_chat = {
    .name = "chat",
    .usage = "-m MODEL [--system TEXT]",
    .summary = "a conversation with a model",
    .note = "At a terminal lines can be edited, and /help lists commands. Otherwise each line of\n"
            "stdin is a message.\n",
    .text = "The context keeps what two turns have in common, so that a turn costs its new tokens alone. Ctrl-C\n"
            "stops an answer, which stays in the conversation as far as it came; at the prompt it drops the\n"
            "line, and twice leaves, as Ctrl-D does.\n"
            "\n"
            "Commands of a conversation: /help, /clear, /system, /undo, /retry, /save FILE, /exit. A message\n"
            "that begins with a slash is written with two. A conversation that no longer fits the context is\n"
            "refused, and nothing is ever dropped silently.\n",
    .examples = "strata chat -m model.gguf --system \"Be brief.\"\n"
                "echo \"Why is the sky blue?\" | strata chat -m model.gguf --temp 0\n",
    .args = args,
    .opts = opts,
    .run = run,
};
