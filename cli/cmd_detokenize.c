/* strata detokenize: token ids -> text, one JSON object a line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "json.h"
#include "lines.h"

static session s;
static input_opts in_opts;
static const char *field = "ids";
static lines out;
static int skip_special;

/* {"ids":[...]}, [...] or plain integers. */
static bool parse_ids(const char *line, size_t len, ints *ids, strata_error *e)
{
    json_error je;
    size_t at = strspn(line, " \t"); /* the line ends with a byte that is none of these, or the block's NUL */
    if (at < len && (line[at] == '{' || line[at] == '[')) {
        bool ok = json_get_ints(line, len, field, ids, &je);
        if (!ok) snprintf(e->msg, sizeof e->msg, "%s", je.msg);
        return ok;
    }
    if (opt_ints(line, len, ids)) return true;
    snprintf(e->msg, sizeof e->msg, "expected token ids: 1,2,3 or {\"ids\":[1,2,3]}");
    return false;
}

static int write_failed(void)
{
    return cli_fail(CLI_FAILED, "cannot write to the standard output: %s", strerror(errno));
}

/* Prints one line; returns CLI_OK or CLI_FAILED. */
static int put_text(size_t index, const char *place, const ints *ids, buf *text, strata_error *e)
{
    size_t len = 0;
    unsigned flags = skip_special ? STRATA_DETOKENIZE_SKIP_SPECIAL : 0;
    int rc = e->msg[0] ? STRATA_INVALID_ARG
                       : strata_detokenize_flags(s.model, ids->p, ids->n, flags, text->p, text->cap, &len, e);
    if (len > text->cap && (!rc || rc == STRATA_TOO_LONG)) {
        text->p = must_grow(text->p, &text->cap, len, 1);
        rc = strata_detokenize_flags(s.model, ids->p, ids->n, flags, text->p, text->cap, &len, e);
    }
    if (rc) {
        fprintf(out.f, "{\"index\":%zu,\"error\":", index);
        json_put_string(out.f, e->msg, strlen(e->msg));
        fputs("}\n", out.f);
        if (!lines_end(&out)) return write_failed();
        return cli_fail(CLI_FAILED, "%s: %s", place, e->msg);
    }
    fputs("{\"text\":", out.f);
    json_put_string(out.f, text->p ? text->p : "", len);
    fputs("}\n", out.f);
    return lines_end(&out) ? CLI_OK : write_failed();
}

static int run_all(input *in)
{
    input_block b = {0};
    buf text = {0};
    ints ids = {0};
    int code = CLI_OK, rc;
    size_t index = 0;
    while (!(rc = input_next(in, &b, 256, 1 << 20)) && b.n && !cli_cancel) {
        buf_add(&b.bytes, "", 1);
        for (size_t i = 0; i < b.n; i++, index++) {
            char place[300];
            strata_error e = {0};
            ids.n = 0;
            input_place(&b.items[i], place, sizeof place);
            parse_ids(b.bytes.p + b.items[i].at, b.items[i].len, &ids, &e);
            if (put_text(index, place, &ids, &text, &e)) code = CLI_FAILED;
        }
        if (!lines_flush(&out)) {
            rc = write_failed();
            break;
        }
    }
    ints_free(&ids);
    buf_free(&text);
    input_block_free(&b);
    return rc ? rc : code;
}

/* All arguments together are one sequence: 1 2 3 as well as 1,2,3. */
static int run_arguments(const command *c, int argc, char **argv)
{
    ints ids = {0};
    buf text = {0};
    strata_error e = {0};
    int rc = CLI_OK;
    for (int i = 0; i < argc && !rc; i++)
        if (!opt_ints(argv[i], strlen(argv[i]), &ids)) rc = cli_usage(c, "'%s': expected token ids", argv[i]);
    if (!rc) rc = session_open(c, &s, SESSION_VOCAB);
    if (!rc) rc = put_text(0, "ids", &ids, &text, &e);
    if (!rc && !lines_flush(&out)) rc = write_failed();
    ints_free(&ids);
    buf_free(&text);
    return rc;
}

static int run(const command *c, int argc, char **argv)
{
    input *in = NULL;
    int rc = session_find_path(c, &s, false, &argc, &argv);
    if (argc == 1 && argv[0] == opt_stdin) argc = 0;
    if (!rc && !lines_open(&out, stdout)) rc = write_failed();
    if (!rc && argc) rc = run_arguments(c, argc, argv);
    if (!rc && (!argc || in_opts.jsonl)) {
        rc = input_open(&in, c, &in_opts, 0, NULL);
        if (!rc && !s.model) rc = session_open(c, &s, SESSION_VOCAB);
        if (!rc) rc = run_all(in);
    }
    lines_close(&out);
    input_close(in);
    session_close(&s);
    return rc;
}

static const opt opts[] = {
    OPT_OF_MODEL(s),
    {OPT_STRING, 0, "jsonl", "FILE|-", "ids from JSON lines: {\"ids\":[...]} or [...]", &in_opts.jsonl, 0, NULL},
    {OPT_STRING, 0, "field", "NAME", "their field (default: ids)", &field, 0, NULL},
    {OPT_FLAG, 0, "skip-special", NULL, "without control tokens: <s>, <|im_end|>", &skip_special, 0, NULL},
    OPT_OF_PRE(s),
    OPT_OF_NO_MMAP(s),
    OPT_OF_VERBOSE(s),
    {0},
};

const command cmd_detokenize = {
    .name = "detokenize",
    .usage = "-m MODEL [IDS...] [options]",
    .summary = "token ids to text: one {\"text\":...} a line",
    .examples = "With no ids and no file, reads a sequence a line from stdin.\n"
                "Examples:\n"
                "  strata detokenize -m model.gguf 101 7592 2088 102\n"
                "  strata tokenize -m model.gguf \"hello\" | strata detokenize -m model.gguf\n",
    .opts = opts,
    .run = run,
};
