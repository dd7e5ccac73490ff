/* cmd_plan.c: strata plan: the ops that a model was compiled to, one a line. */
#include <stdio.h>

#include "cli.h"

static session s;

static void write_out(void *user, const char *text, size_t len)
{
    fwrite(text, 1, len, user);
}

static int run(const command *c, int argc, char **argv)
{
    int rc = session_path_argument(c, &s, argc, argv);
    strata_error e = {0};
    if (!rc) rc = session_open(c, &s, SESSION_MODEL);
    if (!rc && (rc = strata_model_print_plan(s.model, write_out, stdout, &e))) rc = cli_fail_by(rc, &e);
    session_close(&s);
    return rc;
}

static const argument args[] = {{"MODEL", "GGUF model file, if no -m names one", ARG_OPTIONAL}, {0}};

static const opt opts[] = {OPT_OF_MODEL(s), OPT_OF_NO_MMAP(s), OPT_OF_VERBOSE(s), {0}};

const command cmd_plan = {
    .name = "plan",
    .usage = "MODEL",
    .summary = "the operations that a model runs, one a line",
    .text = "For those who work on strata or wonder what a model does: every operation with its shapes, in the\n"
            "order of a run.\n",
    .examples = "strata plan model.gguf\n",
    .args = args,
    .opts = opts,
    .run = run,
};
