/* cmd_quantize.c: strata quantize: a model file -> one with its matrices in another type. */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "io/output.h"

static strata_quantize_opts qo;
static int verbose;

typedef struct totals {
    uint64_t from, to;
    size_t requantized;
} totals;

static void quantize_on_tensor(void *user, const strata_quantize_item *t)
{
    totals *sum = user;
    sum->from += t->bytes_from;
    sum->to += t->bytes_to;
    sum->requantized += t->requantized != 0;
    cli_progress("%zu of %zu tensors", t->index + 1, t->n);
    if (!verbose) return;
    cli_progress_end();
    if (strcmp(t->from, t->to) == 0)
        fprintf(stderr, "%-40s %s\n", t->name, t->from);
    else
        fprintf(stderr, "%-40s %s -> %s, relative error %.5f\n", t->name, t->from, t->to, t->error);
}

static int quantize_unknown_type(const command *c, const char *type)
{
    char list[200] = "";
    const char *names[32] = {NULL}, *name;
    for (uint32_t i = 0; i < 31 && (name = strata_quantize_type(i)) != NULL; i++) {
        size_t len = strlen(list);
        names[i] = name;
        snprintf(list + len, sizeof list - len, "%s%s", i ? " " : "", name);
    }
    const char *near = opt_nearest(type, names);
    if (near) return cli_usage(c, "no type '%.40s', did you mean '%s'? Types: %s", type, near, list);
    return cli_usage(c, "no type '%.40s'. Types: %s", type, list);
}

static int quantize_run(const command *c, int argc, char **argv)
{
    totals sum = {0};
    strata_error e = {0};
    if (argc != 3) return cli_usage(c, "expected IN.gguf OUT.gguf TYPE");
    if (argv[0] == opt_stdin) return cli_usage(c, "'-': a model is read from a file (one of that name is ./-)");
    bool to_stdout = argv[1] == opt_stdin;
    const char *out = to_stdout ? "/dev/stdout" : argv[1], *name = to_stdout ? output_name(NULL) : argv[1];
    if (to_stdout) {
        output o;
        if (isatty(STDOUT_FILENO)) return cli_usage(c, "'-': not to a terminal (a file of that name is ./-)");
        output_reads(argv[0]); /* >> IN.gguf would leave neither */
        int refused = output_open(&o, c, NULL, true);
        if (refused) return refused;
    }
    qo.cancel = &cli_cancel;
    qo.progress = quantize_on_tensor;
    qo.progress_user = &sum;
    int rc = strata_quantize(argv[0], out, argv[2], &qo, &e);
    cli_progress_end();
    if (rc == STRATA_INVALID_ARG && strncmp(e.msg, "no type", 7) == 0) return quantize_unknown_type(c, argv[2]);
    if (rc == STRATA_UNSUPPORTED_OP) return cli_fail(CLI_MODEL, "%s", e.msg);
    if (rc) return cli_fail_by(rc, &e);
    if (sum.requantized)
        cli_warn("%zu tensors of %s were quantised already: the result is worse than one made from the original",
                 sum.requantized, argv[0]);
    fprintf(stderr, "%s: %.1f MB of tensors, was %.1f MB\n", name, (double)sum.to / 1e6, (double)sum.from / 1e6);
    return CLI_OK;
}

static const argument args[] = {{"IN.gguf", "the model", ARG_REQUIRED},
                                {"OUT.gguf|-", "the file that is written; -: stdout", ARG_REQUIRED},
                                {"TYPE", "the type of its matrices, or a mix of types", ARG_REQUIRED},
                                {0}};

static const opt opts[] = {
    {OPT_FLAG, 0, "pure", NULL, "the type itself for every matrix, no mix", .value = &qo.pure},
    {OPT_COUNT, 't', "threads", "N", "threads", .value = &qo.n_threads, .def = "one per physical core"},
    {OPT_FLAG, 0, "no-mmap", NULL, "read IN into memory, do not map it", .value = &qo.no_mmap},
    {OPT_FLAG, 'v', "verbose", NULL, "a line for each tensor", .value = &verbose},
    {0},
};

const command cmd_quantize = {
    .name = "quantize",
    .usage = "IN.gguf OUT.gguf|- TYPE [options]",
    .summary = "a model file with its matrices in another type",
    .note = "Which tensor gets which type, and its bytes, are llama.cpp's.\n",
    .text = "Norms, biases, positions and routers stay as they are; so does all metadata but general.file_type. Of a "
            "split model IN.gguf is the first part. OUT.gguf appears whole or not at all, and may be IN.gguf; -v shows "
            "each tensor with the error of its values.\n\n"
            "From a source that is quantised already the result is worse than from the original, and a warning says "
            "so.\n",
    .examples = "strata quantize model-f32.gguf model-q4_k_m.gguf Q4_K_M\n",
    .args = args,
    .opts = opts,
    .run = quantize_run,
};
