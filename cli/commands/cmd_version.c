/* cmd_version.c: strata version: the library's version and the kernel levels of this CPU. */
#include <stdio.h>

#include "cli.h"

static int run(const command *c, int argc, char **argv)
{
    (void)argv;
    if (argc) return cli_usage(c, "takes no arguments");
    printf("strata %s\nkernels:", strata_version());
    for (uint32_t i = 0; strata_cpu_level(i); i++) printf(" %s", strata_cpu_level(i));
    printf("\n");
    return CLI_OK;
}

static const opt opts[] = {{0}};

const command cmd_version = {
    .name = "version",
    .usage = "",
    .summary = "version of the library and the kernel levels of this CPU",
    .text = "The kernel levels are those that this CPU can run, the best last. STRATA_CPU caps which one is\n"
            "used.\n",
    .examples = "strata version\n",
    .opts = opts,
    .run = run,
};
