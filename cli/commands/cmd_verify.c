/* cmd_verify.c: strata verify: reference tokens and vectors of known models on this machine, as a table. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "io/json.h"

static session s; /* for its options: verifying opens the model itself */
static int as_json;
static const char *separator = "[\n ";

static void on_check(void *user, const strata_verify_check *check)
{
    (void)user;
    static const char *const words[] = {"-", "FAILED", "ok"};
    cli_progress_end();
    if (as_json) {
        static const char *const values[] = {"null", "false", "true"};
        printf("%s{\"check\":", separator);
        json_put_string(stdout, check->name, strlen(check->name));
        printf(",\"passed\":%s,\"found\":", values[check->passed + 1]);
        json_put_string(stdout, check->found, strlen(check->found));
        putchar('}');
        separator = ",\n ";
    } else {
        printf("%-20s %-7s %s\n", check->name, words[check->passed + 1], check->found);
    }
    fflush(stdout);
}

static int run(const command *c, int argc, char **argv)
{
    int passed = 0, rc = session_path_argument(c, &s, argc, argv);
    strata_error e = {0};
    if (rc) return rc;
    if (!s.path) return cli_usage(c, "no model given");
    strata_verify_opts o = {.n_threads = s.threads, .no_mmap = s.no_mmap, .cancel = &cli_cancel};
    rc = strata_verify(s.path, &o, on_check, NULL, &passed, &e);
    if (as_json && strcmp(separator, ",\n ") == 0) puts("\n]");
    if (rc == STRATA_IO || rc == STRATA_UNSUPPORTED_OP) return cli_fail(CLI_MODEL, "%s", e.msg);
    if (rc) return cli_fail_by(rc, &e);
    return passed ? CLI_OK : CLI_FAILED;
}

static const argument args[] = {{"MODEL", "GGUF model file, if no -m names one", ARG_OPTIONAL}, {0}};

static const opt opts[] = {
    OPT_OF_MODEL(s),
    {OPT_FLAG, 0, "json", NULL, "an array of objects", .value = &as_json},
    OPT_OF_THREADS(s),
    OPT_OF_NO_MMAP(s),
    {0},
};

const command cmd_verify = {
    .name = "verify",
    .usage = "MODEL [--json] [-t N]",
    .summary = "known tokens and vectors of a model on this machine",
    .note = "Exit code 0 if everything held, 1 if not or if nothing is known of the model.\n",
    .text = "Token ids and vectors are compared with references of HuggingFace that are compiled in, and\n"
            "vectors bit for bit with those of one batch, of another number of threads, and of every other\n"
            "kernel level of this CPU. Models are known by their norms and biases, so in whatever quantisation.\n",
    .examples = "strata verify all-minilm-l6-v2-q8_0.gguf\n",
    .args = args,
    .opts = opts,
    .run = run,
};
