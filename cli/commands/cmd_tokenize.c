/* cmd_tokenize.c: strata tokenize: texts, or a conversation, -> token ids, one JSON object a line. Needs only the
 * tokenizer of a file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/conversation.h"
#include "io/input.h"
#include "io/json.h"
#include "io/lines.h"
#include "io/output.h"

static session s;
static input_opts in_opts = {.field = "text"};
static conversation_opts talk_opts;
static const char *out_path;
static int no_special, parse_special, with_text, as_chat;

typedef struct tokens {
    int32_t *ids;
    strata_span *spans;
    size_t n, cap;
} tokens;

typedef struct job {
    lines out;
    tokens t;
    conversation talk; /* texts become messages of a user behind it, if as_chat */
    ints prompt;
    input_block block;
    size_t index, failed;
} job;

static int write_failed(void)
{
    return cli_fail(CLI_FAILED, "cannot write %s: %s", output_name(out_path), strerror(errno));
}

/* Again with room enough where the memory of the last text is too small (without any, the call only counts). */
static int tokenize(const char *text, size_t len, tokens *t, strata_error *e)
{
    unsigned flags = (no_special ? 0 : STRATA_TOKENIZE_ADD_SPECIAL) |
                     (parse_special ? STRATA_TOKENIZE_PARSE_SPECIAL : 0) | (in_opts.lossy ? STRATA_TOKENIZE_LOSSY : 0);
    for (int attempt = 0;; attempt++) {
        int rc = strata_tokenize(s.model, text, len, flags, t->ids, with_text ? t->spans : NULL, t->cap, &t->n, e);
        if (attempt || t->n <= t->cap || (rc && rc != STRATA_TOO_LONG)) return rc;
        t->cap = t->n + t->n / 4;
        free(t->ids), free(t->spans);
        t->ids = must_calloc(t->cap, sizeof *t->ids);
        t->spans = must_calloc(t->cap, sizeof *t->spans);
    }
}

static void put_text(FILE *f, const int32_t *ids, const strata_span *spans, size_t n)
{
    fputs(",\"pieces\":[", f);
    for (size_t i = 0; i < n; i++) {
        const char *piece = "";
        size_t len = 0;
        strata_token_piece(s.model, ids[i], &piece, &len, NULL);
        if (i) putc(',', f);
        json_put_string(f, piece, len);
    }
    putc(']', f);
    if (!spans) return; /* of messages: there is no one text */
    fputs(",\"offsets\":[", f);
    for (size_t i = 0; i < n; i++) fprintf(f, i ? ",[%zu,%zu]" : "[%zu,%zu]", spans[i].begin, spans[i].end);
    putc(']', f);
}

static void put_id(const job *j, const input_item *item)
{
    if (!item || !item->id_len) return;
    fputs("\"id\":", j->out.f);
    fwrite(j->block.bytes.p + item->id_at, 1, item->id_len, j->out.f);
    putc(',', j->out.f);
}

static bool put_ids(job *j, const input_item *item, const int32_t *ids, const strata_span *spans, size_t n)
{
    putc('{', j->out.f);
    put_id(j, item);
    fputs("\"ids\":", j->out.f);
    json_put_ints(j->out.f, ids, n);
    if (with_text) put_text(j->out.f, ids, spans, n);
    fputs("}\n", j->out.f);
    return lines_end(&j->out);
}

static bool put_error(job *j, const input_item *item, const char *msg)
{
    char place[300], full[600];
    input_place(item, place, sizeof place);
    snprintf(full, sizeof full, "%s: %s", place, msg);
    fprintf(j->out.f, "{\"index\":%zu,", j->index);
    put_id(j, item);
    fputs("\"error\":", j->out.f);
    json_put_string(j->out.f, full, strlen(full));
    fputs("}\n", j->out.f);
    cli_fail(CLI_FAILED, "%s", full);
    j->failed++;
    return lines_end(&j->out);
}

/* False: it cannot be written. */
static bool put_item(job *j, const input_item *item)
{
    const char *text = j->block.bytes.p + item->at;
    strata_error e = {0};
    int rc = STRATA_INVALID_ARG; /* a message may be left of a first attempt: it says nothing */
    if (item->bad) {
        snprintf(e.msg, sizeof e.msg, "%.*s", (int)item->len, text);
    } else if (!as_chat) {
        rc = tokenize(text, item->len, &j->t, &e);
    } else if (!conversation_refuses("the message", text, item->len, e.msg, sizeof e.msg)) {
        conversation_add(&j->talk, "user", text, item->len);
        rc = conversation_encode(&j->talk, s.model, &j->prompt, &e);
        conversation_undo(&j->talk);
    }
    if (rc) return put_error(j, item, e.msg);
    return as_chat ? put_ids(j, item, j->prompt.p, NULL, j->prompt.n) : put_ids(j, item, j->t.ids, j->t.spans, j->t.n);
}

static int run_texts(job *j, input *in)
{
    int rc;
    while (!(rc = input_next(in, &j->block, 256, 1 << 20)) && j->block.n && !cli_cancel) {
        for (size_t i = 0; i < j->block.n; i++, j->index++)
            if (!put_item(j, &j->block.items[i])) return write_failed();
        if (!lines_flush(&j->out)) return write_failed();
    }
    return rc ? rc : cli_cancel ? CLI_INTERRUPTED : CLI_OK;
}

/* A conversation through the chat template: what generate --messages would run. */
static int run_messages(job *j)
{
    strata_error e = {0};
    if (conversation_encode(&j->talk, s.model, &j->prompt, &e)) return cli_fail(CLI_FAILED, "the messages: %s", e.msg);
    return put_ids(j, NULL, j->prompt.p, NULL, j->prompt.n) && lines_flush(&j->out) ? CLI_OK : write_failed();
}

static int run(const command *c, int argc, char **argv)
{
    static job j;
    input *in = NULL;
    output o = {0};
    int rc = session_find_path(c, &s, false, &argc, &argv);
    bool texts = argc || in_opts.jsonl || in_opts.lines, messages = talk_opts.messages != NULL;
    as_chat |= conversation_asked(&talk_opts);
    if (!rc && as_chat && (no_special || parse_special))
        rc = cli_usage(c, "a chat template decides on special tokens: no --%s",
                       no_special ? "no-special" : "parse-special");
    if (!rc && (!messages || texts)) rc = input_open(&in, c, &in_opts, argc, argv);
    if (!rc) rc = session_open(c, &s, SESSION_VOCAB);
    if (!rc && as_chat) rc = conversation_open(&j.talk, &talk_opts);
    if (!rc && as_chat) conversation_warn(&j.talk, s.model, s.path);
    if (!rc) rc = output_open(&o, c, out_path, false);
    if (!rc && !lines_open(&j.out, o.f)) rc = write_failed();
    if (!rc) rc = in ? run_texts(&j, in) : run_messages(&j);
    int closed = o.f ? output_close(&o, rc == CLI_OK) : CLI_OK;
    if (!rc) rc = closed ? closed : j.failed ? CLI_FAILED : CLI_OK;
    lines_close(&j.out);
    free(j.t.ids), free(j.t.spans);
    ints_free(&j.prompt);
    conversation_close(&j.talk);
    input_block_free(&j.block);
    input_close(in);
    session_close(&s);
    return rc;
}

static const argument args[] = {{"MODEL", "GGUF model file, if no -m names one", ARG_OPTIONAL},
                                {"TEXT", "a text; -: the lines of stdin", ARG_MANY},
                                {0}};

static const opt opts[] = {
    OPT_OF_MODEL(s),
    OPT_OF_JSONL(in_opts),
    OPT_OF_FIELD(in_opts),
    OPT_OF_ID(in_opts),
    OPT_OF_LINES(in_opts),
    {OPT_FLAG, 0, "no-special", NULL, "leave out [CLS], <bos> and the like", .value = &no_special},
    {OPT_FLAG, 0, "parse-special", NULL, "\"[SEP]\" in a text is the token", .value = &parse_special},
    {OPT_FLAG, 0, "text", NULL, "also each token's piece and byte offsets", .value = &with_text},
    OPT_GROUP_OF("Conversation and template"),
    {OPT_FLAG, 0, "chat", NULL, "a text is a message: through the chat template", .value = &as_chat},
    OPTS_OF_CONVERSATION(talk_opts),
    {OPT_FLAG, 0, "no-generation-prompt", NULL, "do not begin the answer", .value = &talk_opts.no_generation_prompt},
    OPT_GROUP_OF("Output and machine"),
    {OPT_STRING, 'o', "output", "FILE", "output file", .value = &out_path, .def = "stdout"},
    OPT_OF_LOSSY(in_opts),
    OPT_OF_PRE(s),
    OPT_OF_NO_MMAP(s),
    OPT_OF_VERBOSE(s),
    {0},
};

const command cmd_tokenize = {
    .name = "tokenize",
    .usage = "-m MODEL [TEXT...] [options]",
    .summary = "texts to token ids: one {\"ids\":[...]} a line",
    .note = "With no text and no file, or for '-', reads lines of stdin.\n",
    .text = "Only the tokenizer of the file is read. --text adds each token's piece and its bytes in the text.\n"
            "With --chat, --messages and the options beside them a prompt is made as strata generate makes it.\n",
    .examples = "strata tokenize -m model.gguf \"hello world\"\n"
                "strata tokenize -m model.gguf --text --messages talk.json --tools tools.json\n",
    .args = args,
    .opts = opts,
    .run = run,
};
