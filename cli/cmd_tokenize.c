/* strata tokenize: texts -> token ids, one JSON object a line. Needs only the tokenizer of a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conversation.h"
#include "input.h"
#include "json.h"

static session s;
static input_opts in_opts = {.field = "text"};
static conversation_opts talk_opts;
static int no_special, parse_special, with_text;

typedef struct tokens {
    int32_t *ids;
    strata_span *spans;
    size_t n, cap;
} tokens;

/* Again with room enough where the memory of the last text is too small (without any, the call only counts). */
static int tokenize(const char *text, size_t len, unsigned flags, tokens *t, strata_error *e)
{
    for (int attempt = 0;; attempt++) {
        int rc = strata_tokenize(s.model, text, len, flags, t->ids, with_text ? t->spans : NULL, t->cap, &t->n, e);
        if (attempt || t->n <= t->cap || (rc && rc != STRATA_TOO_LONG)) return rc;
        t->cap = t->n + t->n / 4;
        free(t->ids), free(t->spans);
        t->ids = must_calloc(t->cap, sizeof *t->ids);
        t->spans = must_calloc(t->cap, sizeof *t->spans);
    }
}

static void put_text(const tokens *t)
{
    fputs(",\"pieces\":[", stdout);
    for (size_t i = 0; i < t->n; i++) {
        const char *piece = "";
        size_t len = 0;
        strata_token_piece(s.model, t->ids[i], &piece, &len, NULL);
        if (i) putchar(',');
        json_put_string(stdout, piece, len);
    }
    if (!t->spans) { /* of messages: there is no one text */
        putchar(']');
        return;
    }
    fputs("],\"offsets\":[", stdout);
    for (size_t i = 0; i < t->n; i++) printf(i ? ",[%zu,%zu]" : "[%zu,%zu]", t->spans[i].begin, t->spans[i].end);
    putchar(']');
}

static int put_error(size_t index, const input_item *item, const char *msg)
{
    char place[300];
    input_place(item, place, sizeof place);
    printf("{\"index\":%zu,\"error\":", index);
    json_put_string(stdout, msg, strlen(msg));
    puts("}");
    return cli_fail(CLI_FAILED, "%s: %s", place, msg);
}

static int run_all(input *in)
{
    unsigned flags = (no_special ? 0 : STRATA_TOKENIZE_ADD_SPECIAL) |
                     (parse_special ? STRATA_TOKENIZE_PARSE_SPECIAL : 0) | (in_opts.lossy ? STRATA_TOKENIZE_LOSSY : 0);
    input_block b = {0};
    tokens t = {0};
    int code = CLI_OK, rc;
    size_t index = 0;
    while (!(rc = input_next(in, &b, 256, 1 << 20)) && b.n && !cli_cancel) {
        for (size_t i = 0; i < b.n; i++, index++) {
            const input_item *item = &b.items[i];
            const char *text = b.bytes.p + item->at;
            strata_error e = {0};
            if (item->bad) snprintf(e.msg, sizeof e.msg, "%.*s", (int)item->len, text);
            if (item->bad || tokenize(text, item->len, flags, &t, &e)) {
                code = put_error(index, item, e.msg);
                continue;
            }
            fputs("{\"ids\":", stdout);
            json_put_ints(stdout, t.ids, t.n);
            if (with_text) put_text(&t);
            puts("}");
        }
    }
    free(t.ids), free(t.spans);
    input_block_free(&b);
    return rc ? rc : code;
}

/* A conversation through the chat template: what generate --messages would run. */
static int run_messages(void)
{
    conversation talk = {0};
    ints ids = {0};
    strata_error e = {0};
    int rc = conversation_open(&talk, &talk_opts);
    if (!rc && conversation_encode(&talk, s.model, &ids, &e)) rc = cli_fail(CLI_FAILED, "the messages: %s", e.msg);
    if (!rc) {
        fputs("{\"ids\":", stdout);
        json_put_ints(stdout, ids.p, ids.n);
        if (with_text) put_text(&(tokens){.ids = ids.p, .n = ids.n});
        puts("}");
    }
    ints_free(&ids);
    conversation_close(&talk);
    return rc;
}

static int run(const command *c, int argc, char **argv)
{
    input *in = NULL;
    int rc = s.path ? CLI_OK : cli_usage(c, "no model given (-m FILE)");
    bool messages = talk_opts.messages != NULL;
    if (!rc && messages && (argc || in_opts.jsonl || in_opts.lines || no_special || parse_special))
        rc = cli_usage(c, "--messages stands alone: no texts, --jsonl, --lines, --no-special or --parse-special");
    if (!rc && !messages) rc = input_open(&in, c, &in_opts, argc, argv);
    if (!rc) rc = session_open(c, &s, SESSION_VOCAB);
    if (!rc) rc = messages ? run_messages() : run_all(in);
    input_close(in);
    session_close(&s);
    return rc;
}

static const opt opts[] = {
    OPT_OF_MODEL(s),
    OPT_OF_JSONL(in_opts),
    OPT_OF_FIELD(in_opts),
    OPT_OF_LINES(in_opts),
    {OPT_FLAG, 0, "no-special", NULL, "leave out [CLS], <bos> and the like", &no_special, 0, NULL},
    {OPT_FLAG, 0, "parse-special", NULL, "\"[SEP]\" in a text is the token", &parse_special, 0, NULL},
    {OPT_FLAG, 0, "text", NULL, "also each token's piece and byte offsets", &with_text, 0, NULL},
    {OPT_STRING, 0, "messages", "FILE|-", "a conversation instead, through the template", &talk_opts.messages, 0, NULL},
    {OPT_STRING, 0, "template", "FILE|chatml", "which is Jinja, not the model's", &talk_opts.template, 0, NULL},
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
    .examples = "With no text and no file, reads lines of stdin.\n"
                "Examples:\n"
                "  strata tokenize -m model.gguf \"hello world\"\n"
                "  strata tokenize -m model.gguf --text --jsonl texts.jsonl --field body\n",
    .opts = opts,
    .run = run,
};
