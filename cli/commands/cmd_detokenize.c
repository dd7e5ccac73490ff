/* cmd_detokenize.c: strata detokenize: token ids -> text, one JSON object a line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/input.h"
#include "io/json.h"
#include "io/lines.h"
#include "io/output.h"

static session s;
static input_opts in_opts;
static const char *field = "ids";
static lines out;
static const char *out_path;
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
    return cli_fail(CLI_FAILED, "cannot write %s: %s", output_name(out_path), strerror(errno));
}

static void put_id(const char *id, size_t len)
{
    if (!len) return;
    fputs("\"id\":", out.f);
    fwrite(id, 1, len, out.f);
    putc(',', out.f);
}

/* Prints one line, of ids or of what is wrong with them (e); *failed says which. Returns an exit code. */
static int put_text(size_t index, const char *place, const char *id, size_t id_len, const ints *ids, buf *text,
                    strata_error *e, bool *failed)
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
        char full[600];
        snprintf(full, sizeof full, "%s: %s", place, e->msg);
        fprintf(out.f, "{\"index\":%zu,", index);
        put_id(id, id_len);
        fputs("\"error\":", out.f);
        json_put_string(out.f, full, strlen(full));
        fputs("}\n", out.f);
        *failed = true;
        cli_fail(CLI_FAILED, "%s", full);
        return lines_end(&out) ? CLI_OK : write_failed();
    }
    putc('{', out.f);
    put_id(id, id_len);
    fputs("\"text\":", out.f);
    json_put_string(out.f, text->p ? text->p : "", len);
    fputs("}\n", out.f);
    return lines_end(&out) ? CLI_OK : write_failed();
}

static int run_all(input *in, bool *failed)
{
    input_block b = {0};
    buf text = {0};
    ints ids = {0};
    int rc;
    size_t index = 0;
    while (!(rc = input_next(in, &b, 256, 1 << 20)) && b.n && !cli_cancel) {
        buf_add(&b.bytes, "", 1);
        for (size_t i = 0; i < b.n && !rc; i++, index++) {
            const input_item *item = &b.items[i];
            const char *line = b.bytes.p + item->at;
            char place[300];
            strata_error e = {0};
            ids.n = 0;
            input_place(item, place, sizeof place);
            if (item->bad)
                snprintf(e.msg, sizeof e.msg, "%.*s", (int)item->len, line);
            else
                parse_ids(line, item->len, &ids, &e);
            rc = put_text(index, place, b.bytes.p + item->id_at, item->id_len, &ids, &text, &e, failed);
        }
        if (!rc && !lines_flush(&out)) rc = write_failed();
        if (rc) break;
    }
    ints_free(&ids);
    buf_free(&text);
    input_block_free(&b);
    return rc ? rc : cli_cancel ? CLI_INTERRUPTED : CLI_OK;
}

/* All arguments together are one sequence: 1 2 3 as well as 1,2,3. */
static int read_arguments(const command *c, int argc, char **argv, ints *ids)
{
    for (int i = 0; i < argc; i++)
        if (!opt_ints(argv[i], strlen(argv[i]), ids)) return cli_usage(c, "'%s': expected token ids", argv[i]);
    return CLI_OK;
}

static int run_arguments(const ints *ids, bool *failed)
{
    buf text = {0};
    strata_error e = {0};
    int rc = put_text(0, "ids", NULL, 0, ids, &text, &e, failed);
    if (!rc && !lines_flush(&out)) rc = write_failed();
    buf_free(&text);
    return rc;
}

static int run(const command *c, int argc, char **argv)
{
    input *in = NULL;
    output o = {0};
    ints ids = {0};
    bool failed = false;
    int rc = session_find_path(c, &s, false, &argc, &argv);
    if (argc == 1 && argv[0] == opt_stdin) argc = 0;
    if (!rc && in_opts.id && (argc || !in_opts.jsonl))
        rc = cli_usage(c, "--id %s: only --jsonl has fields", in_opts.id);
    if (!rc) rc = read_arguments(c, argc, argv, &ids);
    if (!rc && (!argc || in_opts.jsonl)) rc = input_open(&in, c, &in_opts, 0, NULL);
    if (!rc) rc = session_open(c, &s, SESSION_VOCAB);
    if (!rc) rc = output_open(&o, c, out_path, false);
    if (!rc && !lines_open(&out, o.f)) rc = write_failed();
    if (!rc && argc) rc = run_arguments(&ids, &failed);
    if (!rc && in) rc = run_all(in, &failed);
    int closed = o.f ? output_close(&o, rc == CLI_OK) : CLI_OK;
    if (!rc) rc = closed ? closed : failed ? CLI_FAILED : CLI_OK;
    lines_close(&out);
    ints_free(&ids);
    input_close(in);
    session_close(&s);
    return rc;
}

static const argument args[] = {{"MODEL", "GGUF model file, if no -m names one", ARG_OPTIONAL},
                                {"ID", "a token id of one sequence; -: lines of stdin", ARG_MANY},
                                {0}};

static const opt opts[] = {
    OPT_OF_MODEL(s),
    {OPT_STRING, 0, "jsonl", "FILE|-", "ids from JSON lines: {\"ids\":[...]} or [...]", .value = &in_opts.jsonl},
    {OPT_STRING, 0, "field", "NAME", "their field with the ids", .value = &field},
    OPT_OF_ID(in_opts),
    {OPT_FLAG, 0, "skip-special", NULL, "without control tokens: <s>, <|im_end|>", .value = &skip_special},
    {OPT_STRING, 'o', "output", "FILE", "output file", .value = &out_path, .def = "stdout"},
    OPT_OF_PRE(s),
    OPT_OF_NO_MMAP(s),
    OPT_OF_VERBOSE(s),
    {0},
};

const command cmd_detokenize = {
    .name = "detokenize",
    .usage = "-m MODEL [ID...] [options]",
    .summary = "token ids to text: one {\"text\":...} a line",
    .note = "With no ids and no file, reads a sequence a line from stdin.\n",
    .text = "Ids that are arguments are one sequence. A line is 1,2,3 or [1,2,3] or an object with its ids in\n"
            "--field. Only the tokenizer of the file is read.\n",
    .examples = "strata detokenize -m model.gguf 101 7592 2088 102\n"
                "strata tokenize -m model.gguf \"hello\" | strata detokenize -m model.gguf\n",
    .args = args,
    .opts = opts,
    .run = run,
};
