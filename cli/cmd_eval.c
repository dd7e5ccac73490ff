/* strata eval: raw token ids through the model, no tokenizer involved; a NumPy array comes out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "json.h"
#include "npy.h"
#include "output.h"

static session s;
static ints ids, types;
static const char *ids_file, *out_path;
static int what = -1, pooling = STRATA_POOLING_DEFAULT;
static bool ids_given, types_given;

/* Plain integers or JSON, as `strata tokenize` prints it. */
static int read_ids(void)
{
    buf b = {0};
    json_error e;
    int rc = input_read_file(ids_file, &b);
    if (!rc) {
        buf_add(&b, "", 1);
        size_t len = b.len - 1, at = strspn(b.p, " \t\r\n");
        bool json = b.p[at] == '[' || b.p[at] == '{';
        if (json && !json_get_ints(b.p, len, "ids", &ids, &e)) rc = cli_fail(CLI_FAILED, "%s: %s", ids_file, e.msg);
        if (!json && !opt_ints(b.p, len, &ids)) rc = cli_fail(CLI_FAILED, "%s: expected token ids: 1,2,3", ids_file);
    }
    buf_free(&b);
    return rc;
}

static int evaluate(float **v, size_t *rows, size_t *cols)
{
    strata_error e = {0};
    const int32_t *t = types.n ? types.p : NULL;
    *rows = *cols = 0;
    /* Without room the call only says how much it needs. */
    int rc = strata_eval(s.ctx, ids.p, t, ids.n, what, pooling, NULL, 0, rows, cols, &e);
    if (rc == STRATA_TOO_LONG && *rows && *cols) {
        size_t n = *rows * *cols;
        *v = must_calloc(n, sizeof **v);
        rc = strata_eval(s.ctx, ids.p, t, ids.n, what, pooling, *v, n, rows, cols, &e);
    }
    /* A bad id is bad data, not a misuse of the command. */
    return rc ? cli_fail(rc == STRATA_INVALID_ARG ? CLI_FAILED : cli_exit_code(rc), "%s", e.msg) : CLI_OK;
}

static int write_npy(const command *c, const float *v, size_t rows, size_t cols)
{
    output o;
    npy a = {0};
    int rc = output_open(&o, c, out_path, true);
    bool ok =
        !rc && npy_begin(&a, o.f, (uint32_t)cols) && npy_rows(&a, v, rows) && npy_end(&a, what == STRATA_EVAL_POOLED);
    if (!rc && !ok) rc = cli_fail(CLI_FAILED, "cannot write the array: %s", strerror(errno));
    npy_free(&a);
    int closed = output_close(&o, ok);
    return rc ? rc : closed;
}

static int run(const command *c, int argc, char **argv)
{
    (void)argv;
    if (argc) return cli_usage(c, "'%s': ids go with --ids", argv[0]);
    if (what < 0) return cli_usage(c, "--what is missing: logits, hidden or pooled");
    if (ids_given == (ids_file != NULL)) return cli_usage(c, "give --ids or --ids-file");
    float *v = NULL;
    size_t rows, cols;
    int rc = ids_file ? read_ids() : CLI_OK;
    if (!rc && types_given && types.n != ids.n) rc = cli_usage(c, "%zu types for %zu ids", types.n, ids.n);
    if (!rc) rc = session_open(c, &s, SESSION_CONTEXT);
    if (!rc) rc = evaluate(&v, &rows, &cols);
    if (!rc) rc = write_npy(c, v, rows, cols);
    free(v);
    ints_free(&ids);
    ints_free(&types);
    session_close(&s);
    return rc;
}

static const opt opts[] = {
    OPT_OF_MODEL(s),
    {OPT_INTS, 0, "ids", "1,2,3", "token ids", &ids, 0, &ids_given},
    {OPT_STRING, 0, "ids-file", "FILE|-", "token ids from a file: 1,2,3 or JSON", &ids_file, 0, NULL},
    {OPT_INTS, 0, "types", "0,0,1", "token types, one an id (default: all 0)", &types, 0, &types_given},
    {OPT_CHOICE, 0, "what", "logits|hidden|pooled", "what to write (required)", &what, STRATA_EVAL_LOGITS, NULL},
    {OPT_CHOICE, 0, "pooling", "mean|cls|last", "for pooled (default: the model's)", &pooling, STRATA_POOLING_MEAN,
     NULL},
    OPT_OF_PRECISION(s),
    {OPT_STRING, 'o', "output", "FILE.npy", "output file (default: stdout)", &out_path, 0, NULL},
    OPT_OF_THREADS(s),
    OPT_OF_VERBOSE(s),
    {0},
};

const command cmd_eval = {
    .name = "eval",
    .usage = "-m MODEL (--ids IDS | --ids-file FILE) --what WHAT -o FILE.npy",
    .summary = "raw token ids through the model, a NumPy array out",
    .examples = "logits: [n, vocab]   hidden: [n, width], after the final norm\n"
                "pooled: [width], after the dense heads, not normalised\n"
                "Example:\n"
                "  strata eval -m model.gguf --ids 101,7592,102 --what hidden -o hidden.npy\n",
    .opts = opts,
    .run = run,
};
