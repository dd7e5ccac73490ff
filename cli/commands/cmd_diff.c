/* cmd_diff.c: strata diff: the reference kernels and another level in step; names the first op whose result differs. */
#include <stdio.h>

#include "cli.h"

static session s;
static const char *against;
static ints ids;
static uint32_t n_ids = 40;

static void write_out(void *user, const char *text, size_t len)
{
    fwrite(text, 1, len, user);
}

static int run(const command *c, int argc, char **argv)
{
    int rc = session_path_argument(c, &s, argc, argv), first = -1;
    strata_error e = {0};
    if (!rc) rc = session_open(c, &s, SESSION_MODEL);
    if (!rc && !ids.n && s.info.n_vocab) {
        /* Spread over the vocabulary, the same on every run. */
        if (n_ids > s.info.n_ctx) n_ids = s.info.n_ctx;
        for (uint64_t i = 0; i < n_ids; i++) ints_add(&ids, (int32_t)((i * 7919 + 3) % s.info.n_vocab));
    }
    if (!rc) {
        rc = strata_model_diff(s.model, against, ids.p, ids.n, s.precision, write_out, stdout, &first, &e);
        if (rc)
            rc = cli_fail_by(rc, &e);
        else if (first >= 0)
            rc = CLI_FAILED;
    }
    ints_free(&ids);
    session_close(&s);
    return rc;
}

static const argument args[] = {{"MODEL", "GGUF model file, if no -m names one", ARG_OPTIONAL}, {0}};

static const opt opts[] = {
    OPT_OF_MODEL(s),
    {OPT_STRING, 0, "against", "LEVEL", "kernel level", .value = &against, .def = "the one in use"},
    {OPT_INTS, 0, "ids", "ID,...", "token ids to run", .value = &ids},
    {OPT_COUNT, 'n', "tokens", "N", "or how many made-up ones", .value = &n_ids},
    OPT_OF_PRECISION(s),
    OPT_OF_NO_MMAP(s),
    OPT_OF_VERBOSE(s),
    {0},
};

const command cmd_diff = {
    .name = "diff",
    .usage = "MODEL [--against LEVEL]",
    .summary = "the first operation where kernels differ from the reference",
    .note = "Exit code 0: every result is the same bit for bit; 1: an operation differs.\n",
    .text = "Runs the reference kernels and those of another level in step over the same tokens, made-up ones\n"
            "unless --ids names others.\n",
    .examples = "strata diff model.gguf --against avx2\n",
    .args = args,
    .opts = opts,
    .run = run,
};
