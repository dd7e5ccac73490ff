/* cmd_quantize.c: strata quantize: a model file -> one with its matrices in another type. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static strata_quantize_opts qo;
static int verbose;

typedef struct totals {
    uint64_t from, to;
    size_t requantized;
} totals;

static void on_tensor(void *user, const strata_quantize_item *t)
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

static int unknown_type(const command *c, const char *type)
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

static int run(const command *c, int argc, char **argv)
{
    totals sum = {0};
    strata_error e = {0};
    if (argc != 3) return cli_usage(c, "expected IN.gguf OUT.gguf TYPE");
    qo.cancel = &cli_cancel;
    qo.progress = on_tensor;
    qo.progress_user = &sum;
    int rc = strata_quantize(argv[0], argv[1], argv[2], &qo, &e);
    cli_progress_end();
    if (rc == STRATA_INVALID_ARG && strncmp(e.msg, "no type", 7) == 0) return unknown_type(c, argv[2]);
    if (rc == STRATA_UNSUPPORTED_OP) return cli_fail(CLI_MODEL, "%s", e.msg);
    if (rc) return cli_fail_by(rc, &e);
    if (sum.requantized)
        cli_warn("%zu tensors of %s were quantised already: the result is worse than one made from the original",
                 sum.requantized, argv[0]);
    fprintf(stderr, "%s: %.1f MB of tensors, was %.1f MB\n", argv[1], (double)sum.to / 1e6, (double)sum.from / 1e6);
    return CLI_OK;
}

static const opt opts[] = {
    {OPT_FLAG, 0, "pure", NULL, "the type itself for every matrix, no mix", &qo.pure, 0, NULL},
    {OPT_COUNT, 't', "threads", "N", "default: one per physical core", &qo.n_threads, 0, NULL},
    {OPT_FLAG, 0, "no-mmap", NULL, "read IN into memory, do not map it", &qo.no_mmap, 0, NULL},
    {OPT_FLAG, 'v', "verbose", NULL, "a line for each tensor", &verbose, 0, NULL},
    {0},
};

const command cmd_quantize = {
    .name = "quantize",
    .usage = "IN.gguf OUT.gguf TYPE [options]",
    .summary = "a model file with its matrices in another type",
    .examples = "Types: Q8_0 Q6_K Q5_1 Q5_0 Q4_1 Q4_0, mixes Q5_K_M Q5_K_S Q4_K_M Q4_K_S, and F32 F16 BF16.\n"
                "Which tensor gets which type, and its bytes, are llama.cpp's.\n"
                "Example:\n"
                "  strata quantize model-f32.gguf model-q4_k_m.gguf Q4_K_M\n",
    .opts = opts,
    .run = run,
};
