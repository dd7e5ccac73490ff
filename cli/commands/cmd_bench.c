/* cmd_bench.c: strata bench: how fast a model runs on this machine, and where the time goes. */
#include <stdlib.h>

#include "bench/bench_parts.h"

enum { DEFAULT_RUNS = 5, OPS_TOKENS = 128 };

static bench_job job = {.in = {.field = "text"}};
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
    if (!job.runs) job.runs = DEFAULT_RUNS;
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

static const opt opts[] = {
    OPT_OF_MODEL(job.s),
    {OPT_COUNT, 0, "prefill", "N", "N tokens through the layers, no tokenizer", &job.prefill, 0, NULL},
    {OPT_COUNT, 0, "decode", "N", "N tokens one by one, greedily, as a text is written", &job.decode, 0, NULL},
    {OPT_STRING, 0, "embed", "FILE.jsonl|-", "these texts, loaded and as a process", &job.in.jsonl, 0, NULL},
    OPT_OF_FIELD(job.in),
    {OPT_FLAG, 0, "start", NULL, "open, first vector, whole process", &want_start, 0, NULL},
    {OPT_FLAG, 0, "ops", NULL, "time of each operation (of --prefill N)", &want_ops, 0, NULL},
    {OPT_INTS, 0, "lengths", "16,128", "of the grid: tokens a text", &job.lengths, 0, NULL},
    {OPT_INTS, 0, "batches", "1,8", "of the grid: texts a call", &job.batches, 0, NULL},
    {OPT_COUNT, 0, "runs", "N", "default: 5, after one to warm up", &job.runs, 0, NULL},
    {OPT_FLAG, 0, "peers", NULL, "llama.cpp in turn, where it is found", &job.peers, 0, NULL},
    {OPT_FLAG, 0, "json", NULL, "one JSON object", &as_json, 0, NULL},
    {OPT_FLAG, 0, "csv", NULL, "comma-separated", &as_csv, 0, NULL},
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
    .examples = "Without --prefill, --decode, --embed, --start or --ops: a grid of lengths and batch sizes.\n"
                "  strata bench -m model.gguf --peers\n"
                "  strata bench -m model.gguf --prefill 512 --json\n"
                "  strata bench -m model.gguf --ops --prefill 128\n",
    .opts = opts,
    .run = run,
};
