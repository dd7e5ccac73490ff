/* cmd_bench.c: strata bench: how fast a model runs on this machine, and where the time goes. */
#include <stdlib.h>

#include "bench/bench_parts.h"

enum { OPS_TOKENS = 128 };

static bench_job job = {.in = {.field = "text"}, .runs = 5};
static int want_start, want_ops, as_json, as_csv;

static int check_options(const command *c, int argc, char **argv)
{
    if (argc) return cli_usage(c, "'%s': no arguments, texts come with --embed FILE", argv[0]);
    if (as_json && as_csv) return cli_usage(c, "--json or --csv, not both");
    return CLI_OK;
}

static int run_parts(const command *c, bench_rows *rows, strata_peaks *peaks, double *mb)
{
    int rc = CLI_OK;
    if (job.prefill && job.s.info.n_ctx && job.prefill > job.s.info.n_ctx)
        return cli_fail(CLI_USAGE, "--prefill %u: the model's context is %u tokens", job.prefill, job.s.info.n_ctx);
    if (job.decode && job.s.info.n_ctx && job.decode >= job.s.info.n_ctx)
        return cli_fail(CLI_USAGE, "--decode %u: the model's context is %u tokens", job.decode, job.s.info.n_ctx);
    if (job.peers && !bench_llama()) cli_warn("llama-bench not found ($STRATA_LLAMA_BIN or PATH): no peers");
    if (!rc && want_start) rc = bench_start(&job, c, rows);
    if (!rc && job.prefill && !want_ops) rc = bench_prefill(&job, rows);
    if (!rc && job.decode) rc = bench_decode(&job, rows);
    if (!rc && job.in.jsonl) rc = bench_embed(&job, c, rows);
    if (!rc && !want_start && !job.prefill && !job.decode && !job.in.jsonl && !want_ops) rc = bench_grid(&job, rows);
    uint32_t n = job.prefill                                         ? job.prefill
                 : job.s.info.n_ctx && job.s.info.n_ctx < OPS_TOKENS ? job.s.info.n_ctx
                                                                     : OPS_TOKENS;
    if (!rc && want_ops) rc = bench_ops(&job.s, n, job.runs, rows);
    *mb = bench_peak_mb(); /* before the peaks, which take memory of their own */
    strata_error e = {0};
    if (!rc && want_ops && !cli_cancel && (rc = strata_measure_peaks(job.s.model, job.s.threads, peaks, &e)))
        rc = cli_fail_by(rc, &e);
    return rc;
}

static int run(const command *c, int argc, char **argv)
{
    bench_rows rows = {0};
    strata_peaks peaks;
    double mb = 0;
    int rc = session_find_path(c, &job.s, true, &argc, &argv);
    if (!rc) rc = check_options(c, argc, argv);
    if (!rc) rc = session_open(c, &job.s, SESSION_CONTEXT);
    if (!rc) rc = run_parts(c, &rows, &peaks, &mb);
    if (!rc && !cli_cancel) {
        bench_report r = {.s = &job.s,
                          .rows = &rows,
                          .peaks = want_ops ? &peaks : NULL,
                          .runs = job.runs,
                          .peak_mb = mb,
                          .peers = job.peers && bench_llama()};
        bench_print(stdout, &r, as_json ? BENCH_JSON : as_csv ? BENCH_CSV : BENCH_TABLE);
    }
    free(rows.p);
    ints_free(&job.lengths);
    ints_free(&job.batches);
    session_close(&job.s);
    return rc;
}

static const argument args[] = {{"MODEL", "GGUF model file, if no -m names one", ARG_OPTIONAL}, {0}};

static const opt opts[] = {
    OPT_OF_MODEL(job.s),
    {OPT_COUNT, 0, "prefill", "N", "N tokens through the layers, no tokenizer", .value = &job.prefill},
    {OPT_COUNT, 0, "decode", "N", "N tokens one by one, greedily, as a text is written", .value = &job.decode},
    {OPT_STRING, 0, "embed", "FILE|-", "these texts, loaded and as a process", .value = &job.in.jsonl},
    OPT_OF_FIELD(job.in),
    {OPT_FLAG, 0, "start", NULL, "open, first vector, whole process", .value = &want_start},
    {OPT_FLAG, 0, "ops", NULL, "time of each operation (of --prefill N)", .value = &want_ops},
    {OPT_INTS, 0, "lengths", "N,...", "of the grid: tokens a text", .value = &job.lengths, .def = BENCH_LENGTHS},
    {OPT_INTS, 0, "batches", "N,...", "of the grid: texts a call", .value = &job.batches, .def = BENCH_BATCHES},
    {OPT_COUNT, 0, "runs", "N", "runs of each, after one to warm up", .value = &job.runs},
    {OPT_FLAG, 0, "peers", NULL, "llama.cpp in turn, where it is found", .value = &job.peers},
    {OPT_FLAG, 0, "json", NULL, "one JSON object", .value = &as_json},
    {OPT_FLAG, 0, "csv", NULL, "comma-separated", .value = &as_csv},
    OPT_OF_PRECISION(job.s),
    OPT_OF_THREADS(job.s),
    OPT_OF_NO_MMAP(job.s),
    OPT_OF_VERBOSE(job.s),
    {0},
};

const command cmd_bench = {
    .name = "bench",
    .usage = "-m MODEL [options]",
    .summary = "how fast a model runs here, and where the time goes",
    .note = "Without --prefill, --decode, --embed, --start or --ops: a grid of lengths and batch sizes.\n",
    .text = "Every figure is the best of the runs after one to warm up, with the median beside it. The texts of\n"
            "the grid are made up, of exactly the lengths asked for, tokenizer included.\n"
            "\n"
            "--ops shows the microseconds of each kind of operation beside the measured peaks of this machine;\n"
            "--peers runs llama.cpp's programs in turn with strata.\n",
    .examples = "strata bench -m model.gguf --peers\n"
                "strata bench -m model.gguf --prefill 512 --json\n"
                "strata bench -m model.gguf --ops --prefill 128\n",
    .args = args,
    .opts = opts,
    .run = run,
};
