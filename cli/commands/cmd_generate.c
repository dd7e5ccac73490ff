/* cmd_generate.c: strata generate: a prompt, continued; text streams as it becomes certain, or comes as one JSON
 * object. With --jsonl one prompt or conversation a line, and an object for each. */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "commands/conversation.h"
#include "commands/sampling.h"
#include "io/input.h"
#include "io/json.h"
#include "io/lines.h"
#include "io/output.h"

static session s = {.n_seqs = 1, .kv = STRATA_KV_F16};
static const char *prompt, *prompt_file, *out_path;
static input_opts in_opts; /* of --jsonl: whole lines */
static const char *field = "prompt";
static uint32_t n_predict = 128, n_top;
static sampling sampler = SAMPLING_DEFAULT;
static conversation_opts talk_opts;
static bool logprobs_given, format_given;
static int format, parse_special, no_special, as_chat;

enum { TEXT, JSON };

typedef struct job {
    output o;
    lines out;       /* of JSON */
    buf prompt;      /* of --file, of stdin */
    bool has_prompt; /* there is one, beside or without messages */
    conversation talk;
    ints ids;
    /* What a generation left behind, for JSON. */
    buf text, tokens;
    ints new_ids;
} job;

static int write_failed(void)
{
    return cli_fail(CLI_FAILED, "cannot write %s: %s", output_name(out_path), strerror(errno));
}

/* ---- one generation ---------------------------------------------------------------------------------------------- */

static void add_logprobs(buf *out, const strata_gen_token *t)
{
    char number[80], p[32];
    if (out->len) buf_add(out, ",", 1);
    int n = snprintf(number, sizeof number, "{\"id\":%d,\"logprob\":%s,\"top\":[", t->id, json_number(t->logprob, p));
    buf_add(out, number, (size_t)n);
    for (uint32_t i = 0; i < t->n_top; i++) {
        n = snprintf(number, sizeof number, "%s{\"id\":%d,\"logprob\":%s}", i ? "," : "", t->top[i].id,
                     json_number(t->top[i].logprob, p));
        buf_add(out, number, (size_t)n);
    }
    buf_add(out, "]}", 2);
}

static int on_text(void *user, const char *p, size_t len, const strata_gen_token *t)
{
    job *j = user;
    if (t) ints_add(&j->new_ids, t->id);
    if (t && logprobs_given) add_logprobs(&j->tokens, t);
    if (format == JSON) {
        buf_add(&j->text, p, len);
        return 0;
    }
    bool ok = fwrite(p, 1, len, j->o.f) == len && fflush(j->o.f) == 0;
    return !ok;
}

/* The members of an object, after what the caller put before them. */
static void put_result(job *j, const strata_gen_result *r)
{
    FILE *f = j->out.f;
    fputs("\"text\":", f);
    json_put_string(f, j->text.len ? j->text.p : "", j->text.len);
    fputs(",\"ids\":", f);
    json_put_ints(f, j->new_ids.p, j->new_ids.n);
    if (logprobs_given) {
        fputs(",\"tokens\":[", f);
        fwrite(j->tokens.p ? j->tokens.p : "", 1, j->tokens.len, f);
        putc(']', f);
    }
    fprintf(f,
            ",\"finish\":\"%s\",\"usage\":{\"prompt_tokens\":%u,\"cached_tokens\":%u,\"new_tokens\":%u,"
            "\"think_tokens\":%u},"
            "\"prompt_ms\":%.3f,\"decode_ms\":%.3f}\n",
            strata_finish_name(r->finish), r->n_prompt, r->n_cached, r->n_new, r->n_think, r->prompt_ms, r->decode_ms);
}

static int encode(job *j, const char *p, size_t len, strata_error *e)
{
    unsigned flags =
        (no_special ? 0 : STRATA_TOKENIZE_ADD_SPECIAL) | (parse_special ? STRATA_TOKENIZE_PARSE_SPECIAL : 0);
    size_t n = 0;
    int rc = strata_tokenize(s.model, p, len, flags, NULL, NULL, 0, &n, e);
    if (!rc) {
        j->ids.p = must_grow(j->ids.p, &j->ids.cap, n + 1, sizeof *j->ids.p);
        rc = strata_tokenize(s.model, p, len, flags, j->ids.p, NULL, j->ids.cap, &j->ids.n, e);
    }
    return rc;
}

static int run_ids(job *j, uint64_t seed, strata_gen_result *r, strata_error *e)
{
    strata_gen_opts g = sampler.g;
    g.max_tokens = n_predict;
    g.seed = seed;
    g.logprobs = logprobs_given;
    g.n_top = n_top;
    g.on_text = on_text;
    g.user = j;
    j->text.len = j->tokens.len = j->new_ids.n = 0;
    return strata_generate(s.ctx, 0, j->ids.p, j->ids.n, &g, r, e);
}

/* ---- one prompt -------------------------------------------------------------------------------------------------- */

/* What a person may want to know of an answer that ended early. */
static void tell_end(const strata_gen_result *r)
{
    bool cut = r->finish == STRATA_FINISH_LENGTH || r->finish == STRATA_FINISH_CONTEXT;
    if (cut && r->unfinished && format == TEXT) {
        if (r->finish == STRATA_FINISH_LENGTH)
            cli_warn("the answer is cut after %u tokens (-n), inside what the grammar describes", r->n_new);
        else
            cli_warn("the answer is cut where the context of %u tokens is full (-c), inside what the grammar describes",
                     strata_ctx_tokens(s.ctx));
    }
    if (s.verbose)
        fprintf(stderr, "strata: %s after %u tokens; prompt %u tokens in %.0f ms, answer %.1f tokens/s\n",
                strata_finish_name(r->finish), r->n_new, r->n_prompt, r->prompt_ms,
                r->decode_ms > 0 ? 1e3 * r->n_new / r->decode_ms : 0.0);
}

/* The prompt as a message, or the messages of a file, through the model's chat template. */
static int encode_chat(job *j, strata_error *e)
{
    char why[160];
    if (j->has_prompt && conversation_refuses("the prompt", j->prompt.p, j->prompt.len, why, sizeof why))
        return cli_fail(CLI_FAILED, "%s", why);
    if (j->has_prompt) conversation_add(&j->talk, "user", j->prompt.p, j->prompt.len);
    return conversation_encode(&j->talk, s.model, &j->ids, e) ? cli_fail(CLI_FAILED, "the messages: %s", e->msg) : 0;
}

/* A model that is made for messages goes on with other text as if it were a document: that may not be what was
 * meant. */
static void hint_at_chat(void)
{
    const char *source = NULL;
    size_t len = 0;
    if (parse_special || no_special) return; /* who writes special tokens himself knows */
    if (strata_chat_template(s.model, NULL, &source, &len, NULL) || !source) return;
    cli_note("%s has a chat template: --chat makes the prompt a message; without it the text is continued as it is",
             s.path);
}

static int run_prompt(job *j)
{
    strata_error e = {0};
    strata_gen_result r = {0};
    int rc;
    if (as_chat) {
        if ((rc = encode_chat(j, &e)) != CLI_OK) return rc;
    } else {
        hint_at_chat();
        if (encode(j, j->prompt.p, j->prompt.len, &e)) return cli_fail(CLI_FAILED, "the prompt: %s", e.msg);
    }
    if (!j->ids.n) return cli_fail(CLI_FAILED, "the prompt is empty, and this model puts no token before a text");
    rc = run_ids(j, sampler.g.seed, &r, &e);
    if (rc == STRATA_CANCELLED) return CLI_INTERRUPTED;
    if (rc) return cli_fail_by(rc, &e);
    bool ok;
    if (format == JSON) {
        putc('{', j->out.f);
        put_result(j, &r);
        ok = lines_flush(&j->out);
    } else {
        ok = r.finish != STRATA_FINISH_CALLER && fputs("\n", j->o.f) >= 0 &&
             fflush(j->o.f) == 0; /* notes come after it */
    }
    if (!ok) return write_failed();
    tell_end(&r);
    return CLI_OK;
}

/* ---- a prompt a line --------------------------------------------------------------------------------------------- */

/* The prompt or the messages of a line -> ids. False: e says why there are none. */
static bool encode_line(job *j, const char *line, size_t len, buf *raw, strata_error *e)
{
    json_error je = {0};
    raw->len = j->prompt.len = j->ids.n = 0;
    int messages = json_get_raw(line, len, "messages", false, raw, &je);
    int has = messages < 0 ? -1 : messages ? 1 : json_get_raw(line, len, field, false, raw, &je);
    bool ok = has > 0;
    if (has == 0) snprintf(je.msg, sizeof je.msg, "neither \"%.60s\" nor \"messages\" in the object", field);
    if (ok && !messages) {
        ok = raw->p[0] == '"' && json_decode(raw->p, raw->len, false, &j->prompt, &je);
        if (raw->p[0] != '"') snprintf(je.msg, sizeof je.msg, "\"%.60s\" is no string", field);
    }
    if (ok && messages && raw->p[0] != '[') {
        ok = false;
        snprintf(je.msg, sizeof je.msg, "\"messages\" is no array");
    }
    if (!ok) {
        snprintf(e->msg, sizeof e->msg, "%s", je.msg);
        return false;
    }
    if (!messages && !as_chat) {
        if (encode(j, j->prompt.p, j->prompt.len, e)) return false;
    } else {
        conversation_clear(&j->talk);
        if (messages)
            conversation_set(&j->talk, "messages", raw->p, raw->len);
        else
            conversation_add(&j->talk, "user", j->prompt.p ? j->prompt.p : "", j->prompt.len);
        if (conversation_encode(&j->talk, s.model, &j->ids, e)) return false;
    }
    if (!j->ids.n) snprintf(e->msg, sizeof e->msg, "the prompt is empty, and this model puts no token before a text");
    return j->ids.n > 0;
}

static void put_head(job *j, size_t index, const char *id, size_t len)
{
    fprintf(j->out.f, "{\"index\":%zu,", index);
    if (!len) return;
    fputs("\"id\":", j->out.f);
    fwrite(id, 1, len, j->out.f);
    putc(',', j->out.f);
}

/* Seeds count up with the lines, so that equal prompts get different answers, and each line the same in every run. */
static int run_line(job *j, size_t index, const input_item *item, const char *bytes, buf *raw, size_t *failed)
{
    strata_error e = {0};
    strata_gen_result r = {0};
    const char *line = bytes + item->at;
    bool ok = !item->bad && encode_line(j, line, item->len, raw, &e);
    if (item->bad) snprintf(e.msg, sizeof e.msg, "%.*s", (int)item->len, line);
    int rc = ok ? run_ids(j, sampler.g.seed + index, &r, &e) : STRATA_OK;
    if (rc == STRATA_CANCELLED) return CLI_INTERRUPTED;
    put_head(j, index, bytes + item->id_at, item->id_len);
    if (ok && !rc) {
        put_result(j, &r);
    } else {
        char place[300], full[600];
        input_place(item, place, sizeof place);
        snprintf(full, sizeof full, "%s: %s", place, cli_words(&e));
        cli_fail(CLI_FAILED, "%s", full);
        fputs("\"error\":", j->out.f);
        json_put_string(j->out.f, full, strlen(full));
        fputs("}\n", j->out.f);
        ++*failed;
    }
    return lines_flush(&j->out) ? CLI_OK : write_failed();
}

/* *failed: lines that failed alone. */
static int run_batch(job *j, input *in, size_t *failed)
{
    input_block b = {0};
    buf raw = {0};
    size_t index = 0;
    int rc;
    while (!(rc = input_next(in, &b, 64, 1 << 20)) && b.n) {
        for (size_t i = 0; i < b.n && !rc; i++, index++) {
            rc = run_line(j, index, &b.items[i], b.bytes.p, &raw, failed);
            input_progress(in, "prompts", index + 1, i + 1, b.n);
        }
        if (rc) break;
    }
    cli_progress_end();
    buf_free(&raw);
    input_block_free(&b);
    return rc;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

/* echo and editors end a text with a newline that is not part of it. */
static int read_stdin(const command *c, buf *out)
{
    if (isatty(STDIN_FILENO)) fprintf(stderr, "Reading the prompt; end with Ctrl-D.\n");
    int rc = input_read_file("-", out);
    if (!rc && !out->len) return cli_usage(c, "no prompt (-p TEXT, --file FILE, or stdin)");
    if (!rc && out->p[out->len - 1] == '\n') out->len -= out->len > 1 && out->p[out->len - 2] == '\r' ? 2 : 1;
    return rc;
}

static int read_prompt(const command *c, job *j, int argc, char **argv)
{
    bool typed = argc && argv[0] == opt_stdin;
    if (argc > 1 || (argc && (prompt || prompt_file)))
        return cli_usage(c, "one prompt, please: '%s' is a second", argv[argc - 1]);
    if (argc && !typed) prompt = argv[0];
    if (prompt && prompt_file) return cli_usage(c, "give --prompt or --file, not both");
    if (!prompt && !prompt_file && !typed && talk_opts.messages) return CLI_OK;
    j->has_prompt = true;
    buf_add(&j->prompt, prompt ? prompt : "", prompt ? strlen(prompt) : 0);
    if (prompt) return CLI_OK;
    return prompt_file ? input_read_file(prompt_file, &j->prompt) : read_stdin(c, &j->prompt);
}

static int check_options(const command *c, int argc)
{
    as_chat |= conversation_asked(&talk_opts);
    if (as_chat && (no_special || parse_special))
        return cli_usage(c, "a chat template decides on special tokens: no --%s",
                         no_special ? "no-special" : "parse-special");
    if (in_opts.jsonl && (argc || prompt || prompt_file || talk_opts.messages))
        return cli_usage(c, "--jsonl brings the prompts: no other beside it");
    if (in_opts.jsonl && format_given && format != JSON) return cli_usage(c, "--jsonl: answers are JSON, a line each");
    if (in_opts.id && !in_opts.jsonl) return cli_usage(c, "--id %s: only --jsonl has fields", in_opts.id);
    if (in_opts.jsonl) format = JSON;
    if (logprobs_given && format != JSON) return cli_usage(c, "--logprobs: only --format json has room for them");
    return CLI_OK;
}

static void job_free(job *j)
{
    lines_close(&j->out);
    conversation_close(&j->talk);
    buf_free(&j->prompt);
    buf_free(&j->text);
    buf_free(&j->tokens);
    ints_free(&j->ids);
    ints_free(&j->new_ids);
}

static int run(const command *c, int argc, char **argv)
{
    static job j;
    input *in = NULL;
    size_t failed = 0;
    int rc = session_find_path(c, &s, false, &argc, &argv);
    if (!rc) rc = check_options(c, argc);
    if (!rc) rc = sampling_read(c, &sampler);
    if (!rc && in_opts.jsonl) rc = input_open(&in, c, &(input_opts){.jsonl = in_opts.jsonl, .id = in_opts.id}, 0, NULL);
    if (!rc && !in_opts.jsonl) rc = read_prompt(c, &j, argc, argv);
    if (!rc) rc = conversation_open(&j.talk, &talk_opts);
    if (!rc) rc = session_open(c, &s, SESSION_CONTEXT);
    if (!rc && as_chat) conversation_warn(&j.talk, s.model, s.path);
    if (!rc) rc = output_open(&j.o, c, out_path, false);
    if (!rc && format == JSON && !lines_open(&j.out, j.o.f)) rc = write_failed();
    if (!rc) rc = in ? run_batch(&j, in, &failed) : run_prompt(&j);
    /* Lines that failed alone are in the file too. */
    int closed = j.o.f ? output_close(&j.o, rc == CLI_OK) : CLI_OK;
    if (!rc) rc = closed ? closed : failed ? CLI_FAILED : CLI_OK;
    input_close(in);
    session_close(&s);
    sampling_free(&sampler);
    job_free(&j);
    return rc;
}

static const argument args[] = {{"MODEL", "GGUF model file, if no -m names one", ARG_OPTIONAL},
                                {"PROMPT", "the prompt, if no -p or -f does; -: stdin", ARG_OPTIONAL},
                                {0}};

static const opt opts[] = {
    OPT_OF_MODEL(s),
    {OPT_STRING, 'p', "prompt", "TEXT", "the prompt", .value = &prompt, .def = "stdin"},
    {OPT_STRING, 'f', "file", "FILE|-", "the prompt from a file", .value = &prompt_file},
    {OPT_STRING, 0, "jsonl", "FILE|-", "a \"prompt\" or \"messages\" a line", .value = &in_opts.jsonl},
    {OPT_STRING, 0, "field", "NAME", "their field with the prompt", .value = &field},
    OPT_OF_ID(in_opts),
    {OPT_COUNT, 'n', "predict", "N", "new tokens at most", .value = &n_predict},
    OPT_OF_CONTEXT(s, "tokens of prompt and answer"),
    {OPT_FLAG, 0, "ignore-end", NULL, "go on after end tokens", .value = &sampler.ignore_end},
    {OPT_FLAG, 0, "parse-special", NULL, "\"<|im_end|>\" in the prompt is the token", .value = &parse_special},
    {OPT_FLAG, 0, "no-special", NULL, "add no start token", .value = &no_special},
    OPT_GROUP_OF("Conversation and template"),
    {OPT_FLAG, 0, "chat", NULL, "the prompt is a user's message: through the chat template", .value = &as_chat},
    OPTS_OF_CONVERSATION(talk_opts),
    {OPT_FLAG, 0, "no-generation-prompt", NULL, "do not begin the answer", .value = &talk_opts.no_generation_prompt},
    OPT_GROUP_OF("Sampling"),
    OPTS_OF_SAMPLING(sampler),
    OPT_GROUP_OF("Output and machine"),
    {OPT_COUNT, 0, "logprobs", "N", "with the N best of each token (json)", .value = &n_top, .given = &logprobs_given},
    {OPT_CHOICE, 0, "format", "text|json", "text comes as it is written", .value = &format, .first = TEXT,
     .given = &format_given},
    {OPT_STRING, 'o', "output", "FILE", "output file", .value = &out_path, .def = "stdout"},
    {OPT_CHOICE, 0, "kv", "f16|f32|q8", "type of the cache", .value = &s.kv, .first = STRATA_KV_F16},
    OPT_OF_PRECISION(s),
    OPT_OF_THREADS(s),
    OPT_OF_PRE(s),
    OPT_OF_NO_MMAP(s),
    OPT_OF_VERBOSE(s),
    {0},
};

const command cmd_generate = {
    .name = "generate",
    .usage = "-m MODEL -p PROMPT",
    .summary = "a prompt, continued",
    .note = "With no prompt, or for '-', stdin is it.\n",
    .text = "Text streams to the standard output as it becomes certain. With --format json one object comes at\n"
            "the end, with ids, the reason of the end and, with --logprobs, the best tokens of each step. The\n"
            "same seed gives the same text on every machine and number of threads; --temp 0 is greedy.\n"
            "\n"
            "With a grammar or a schema the answer satisfies it; keywords of a schema that cannot be kept are\n"
            "refused by name. --think says what happens while the model thinks.\n"
            "\n"
            "--chat, --messages and the options beside them send the prompt through the model's chat template.\n"
            "--jsonl runs a prompt or a conversation a line.\n",
    .examples = "strata generate -m model.gguf -p \"The capital of France is\" -n 32 --temp 0\n"
                "strata generate -m model.gguf -p \"A user as JSON:\" --grammar json.gbnf --format json\n"
                "strata generate -m model.gguf --chat --system \"Be brief.\" -p \"Why is the sky blue?\"\n"
                "strata generate -m model.gguf --jsonl prompts.jsonl --id id -o answers.jsonl\n",
    .args = args,
    .opts = opts,
    .run = run,
};
