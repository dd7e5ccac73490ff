/* cmd_eval.c: strata eval: raw token ids through the model, no tokenizer involved; a NumPy array comes out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/input.h"
#include "io/json.h"
#include "io/npy.h"
#include "io/output.h"
#include "signals.h"

static session s = {.kv = STRATA_KV_F32};
static ints ids, types;
static const char *ids_file, *out_path;
static int what = -1, pooling = STRATA_POOLING_DEFAULT;
static uint32_t n_new = 16, chunk;

#define GREEDY 3 /* --what greedy, after strata_eval_what */
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

/* One pass cannot be asked to stop, and nothing is open for writing yet: here the first signal ends the process. */
static int evaluate(float **v, size_t *rows, size_t *cols)
{
    strata_error e = {0};
    signals_at_once(true);
    const int32_t *t = types.n ? types.p : NULL;
    *rows = *cols = 0;
    /* Without room the call only says how much it needs. */
    int rc = strata_eval(s.ctx, ids.p, t, ids.n, what, pooling, NULL, 0, rows, cols, &e);
    if (rc == STRATA_TOO_LONG && *rows && *cols) {
        size_t n = *rows * *cols;
        *v = must_calloc(n, sizeof **v);
        rc = strata_eval(s.ctx, ids.p, t, ids.n, what, pooling, *v, n, rows, cols, &e);
    }
    signals_at_once(false);
    /* A bad id is bad data, not a misuse of the command. */
    return rc ? cli_fail(rc == STRATA_INVALID_ARG ? CLI_FAILED : cli_exit_code(rc), "%s", cli_words(&e)) : CLI_OK;
}

/* N tokens by the largest logit, through the cache, never stopping at an end token -> ids. */
static int generate(void)
{
    strata_error e = {0};
    for (uint32_t k = 0; k < n_new; k++) {
        const float *logits;
        int rc = strata_ctx_sync(s.ctx, 0, ids.p, ids.n, chunk, &cli_cancel, &logits, &e);
        if (rc) return cli_fail(rc == STRATA_INVALID_ARG ? CLI_FAILED : cli_exit_code(rc), "%s", cli_words(&e));
        int32_t best = 0;
        for (uint32_t i = 1; i < s.info.n_vocab; i++)
            if (logits[i] > logits[best]) best = (int32_t)i;
        ids.p = must_grow(ids.p, &ids.cap, ids.n + 1, sizeof *ids.p);
        ids.p[ids.n++] = best;
    }
    return CLI_OK;
}

static int write_ids(const command *c, size_t from)
{
    output o;
    int rc = output_open(&o, c, out_path, false);
    if (rc) return rc;
    fputs("{\"ids\":", o.f);
    json_put_ints(o.f, ids.p + from, ids.n - from);
    bool ok = fputs("}\n", o.f) >= 0;
    int closed = output_close(&o, ok);
    return ok ? closed : cli_fail(CLI_FAILED, "cannot write %s: %s", output_name(out_path), strerror(errno));
}

static int run_greedy(const command *c)
{
    size_t from = ids.n;
    int rc = generate();
    return rc ? rc : write_ids(c, from);
}

static int write_npy(const command *c, const float *v, size_t rows, size_t cols)
{
    output o;
    npy a = {0};
    int rc = output_open(&o, c, out_path, true);
    bool ok =
        !rc && npy_begin(&a, o.f, (uint32_t)cols) && npy_rows(&a, v, rows) && npy_end(&a, what == STRATA_EVAL_POOLED);
    if (!rc && !ok) rc = cli_fail(CLI_FAILED, "cannot write %s: %s", output_name(out_path), strerror(errno));
    npy_free(&a);
    int closed = output_close(&o, ok);
    return rc ? rc : closed;
}

static int run(const command *c, int argc, char **argv)
{
    if (session_find_path(c, &s, true, &argc, &argv)) return CLI_USAGE;
    if (argc) return cli_usage(c, "'%s': ids go with --ids", argv[0]);
    if (what < 0) return cli_usage(c, "--what is missing: logits, hidden, pooled or greedy");
    if (ids_given == (ids_file != NULL)) return cli_usage(c, "give --ids or --ids-file");
    float *v = NULL;
    size_t rows, cols;
    int rc = ids_file ? read_ids() : CLI_OK;
    if (!rc && types_given && types.n != ids.n) rc = cli_usage(c, "%zu types for %zu ids", types.n, ids.n);
    s.n_seqs = what == GREEDY;
    if (!rc) rc = session_open(c, &s, SESSION_CONTEXT);
    if (!rc && what == GREEDY) {
        rc = run_greedy(c);
    } else if (!rc) {
        rc = evaluate(&v, &rows, &cols);
        if (!rc) rc = write_npy(c, v, rows, cols);
    }
    free(v);
    ints_free(&ids);
    ints_free(&types);
    session_close(&s);
    return rc;
}

static const argument args[] = {{"MODEL", "GGUF model file, if no -m names one", ARG_OPTIONAL}, {0}};

static const opt opts[] = {
    OPT_OF_MODEL(s),
    {OPT_INTS, 0, "ids", "ID,...", "token ids", .value = &ids, .given = &ids_given},
    {OPT_STRING, 0, "ids-file", "FILE|-", "token ids from a file: 1,2,3 or JSON", .value = &ids_file},
    {OPT_INTS, 0, "types", "N,...", "token types, one an id", .value = &types, .def = "all 0", .given = &types_given},
    {OPT_CHOICE, 0, "what", "logits|hidden|pooled|greedy", "what to write (required)", .value = &what,
     .first = STRATA_EVAL_LOGITS},
    {OPT_COUNT, 'n', "predict", "N", "for greedy: new tokens", .value = &n_new},
    {OPT_COUNT, 0, "chunk", "N", "for greedy: tokens of the prompt at a time", .value = &chunk},
    {OPT_CHOICE, 0, "kv", "f16|f32|q8", "for greedy: type of the cache", .value = &s.kv, .first = STRATA_KV_F16},
    {OPT_CHOICE, 0, "pooling", "mean|cls|last", "for pooled", .value = &pooling, .def = "the model's",
     .first = STRATA_POOLING_MEAN},
    OPT_OF_PRECISION(s),
    {OPT_STRING, 'o', "output", "FILE.npy", "output file", .value = &out_path, .def = "stdout"},
    OPT_OF_THREADS(s),
    OPT_OF_PRE(s),
    OPT_OF_NO_MMAP(s),
    OPT_OF_VERBOSE(s),
    {0},
};

const command cmd_eval = {
    .name = "eval",
    .usage = "-m MODEL (--ids ID,... | --ids-file FILE) --what WHAT -o FILE.npy",
    .summary = "raw token ids through the model, a NumPy array out",
    .note = "logits: [n, vocab]   hidden: [n, width], after the final norm\n"
            "pooled: [width], after the dense heads, not normalised\n"
            "greedy: {\"ids\":[...]}, the N tokens with the largest logits\n",
    .text = "One pass over the ids, without a tokenizer, for comparing with other programs. A signal ends it at\n"
            "once, before anything is written.\n",
    .examples = "strata eval -m model.gguf --ids 101,7592,102 --what hidden -o hidden.npy\n",
    .args = args,
    .opts = opts,
    .run = run,
};
