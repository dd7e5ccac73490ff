/* bench_parts.h: what the files of `strata bench` share.
 *
 *   cmd_bench.c    options, the order of things
 *   bench_times.c  rows and times
 *   bench_embed.c  texts through strata_embed: the grid, --embed, --start
 *   bench_ids.c    ids through the layers: --prefill, --decode
 *   bench_whole.c  whole processes, strata embed and llama-embedding in turn
 *   bench_texts.c  texts of a wanted number of tokens
 *   bench_ops.c    the plan as costs: multiply-adds and bytes of each op; the traced run
 *   bench_peers.c  llama.cpp's programs, and any other child process that is timed
 *   bench_print.c  table, CSV, JSON
 *
 * Every measurement is a row. Times are seconds; `best` and `median` of the runs. The machine may be shared, so peers
 * are run in turn with strata, and best is what to compare. On a busy machine the CPU time of whole processes with one
 * thread compares best. */
#ifndef CLI_BENCH_BENCH_PARTS_H
#define CLI_BENCH_BENCH_PARTS_H

#include <stdbool.h>
#include <stdio.h>

#include "cli.h"
#include "io/buf.h"
#include "io/input.h"

/* The grid, unless asked otherwise. */
#define BENCH_LENGTHS "16,64,128,256,512,1024,2048"
#define BENCH_BATCHES "1,8,32"

/* What was asked for, and the model. */
typedef struct bench_job {
    session s;
    input_opts in;
    ints lengths, batches; /* of the grid */
    uint32_t prefill, decode, runs;
    int peers;
} bench_job;

typedef struct bench_row {
    /* grid, prefill, decode, embed, open, first, whole, kind, group, op; also the key of JSON and CSV */
    const char *what;
    char name[112];         /* of ops: what it does */
    uint32_t tokens, texts; /* tokens of all texts; of ops: of the run. texts of ops: how many ops */
    double best, median;
    double macs, bytes;                               /* of ops: multiply-adds, bytes of weights */
    double peak_mb, cpu;                              /* of processes; cpu: seconds of CPU time */
    double peer_best, peer_median, peer_mb, peer_cpu; /* llama.cpp, 0: not measured */
} bench_row;

typedef struct bench_rows {
    bench_row *p;
    size_t n, cap;
} bench_rows;

/* A new row, zeroed; valid until the next. */
bench_row *bench_add(bench_rows *r, const char *what);

double bench_now(void);

/* Times of one thing. */
typedef struct bench_times {
    double *p;
    size_t n, cap;
} bench_times;
void bench_time(bench_times *t, double seconds);
void bench_times_take(bench_times *t, double *best, double *median); /* and empties t */

/* Largest resident size of this process so far. */
double bench_peak_mb(void);

/* ---- bench_embed.c: each adds its rows and returns an exit code ---- */

int bench_grid(bench_job *j, bench_rows *rows);
int bench_embed(bench_job *j, const command *cmd, bench_rows *rows);
int bench_start(bench_job *j, const command *cmd, bench_rows *rows);

/* ---- bench_ids.c: the same ---- */

int bench_prefill(const bench_job *j, bench_rows *rows);
int bench_decode(const bench_job *j, bench_rows *rows);

/* ---- bench_whole.c ---- */

/* strata embed over a file, or over the first of the texts if jsonl is NULL, in turn with llama-embedding over the
 * texts. */
void bench_whole(const bench_job *j, bench_rows *rows, const strata_text *texts, size_t n, uint32_t tokens,
                 const char *jsonl, uint32_t n_runs);

/* ---- bench_texts.c ---- */

/* A text of exactly n tokens, special ones included, or the nearest that this tokenizer gives; another for each seed.
 * Returns how many tokens it has, 0 on failure (a message has been written). */
uint32_t bench_text(const strata_model *m, uint32_t n, uint32_t seed, buf *out);
/* Its ids. */
uint32_t bench_ids(const strata_model *m, uint32_t n, ints *out);

/* ---- bench_ops.c ---- */

/* Runs `n` tokens `runs` times with a trace and adds rows "kind", "group" (equal ops of all layers) and "op". Traced
 * runs use one thread. Returns an exit code. */
int bench_ops(const session *s, uint32_t n, uint32_t runs, bench_rows *rows);

/* ---- bench_peers.c ---- */

typedef struct bench_process {
    double seconds, cpu, peak_mb; /* cpu: user and system time of all its threads */
} bench_process;

/* A whole process, its standard output into `out` (NULL: nowhere). bin: the folder of its libraries, or NULL. False: it
 * could not be run or failed. */
bool bench_run_process(char *const argv[], const char *bin, buf *out, bench_process *p);

/* The path of this program; NULL where the system does not say. */
const char *bench_self(void);

/* The folder of llama.cpp's programs: $STRATA_LLAMA_BIN, or where llama-bench is on PATH. NULL: not found. */
const char *bench_llama(void);

/* llama-bench over lengths n[0..count): best seconds of each into t (added). */
bool bench_llama_prefill(const session *s, const uint32_t *n, size_t count, bench_times *t);

/* The same for n tokens one by one, from an empty cache. */
bool bench_llama_decode(const session *s, uint32_t n, bench_times *t);

/* llama-embedding over texts, as a whole process. `file`: texts with the separator between them. */
extern const char bench_llama_separator[];
bool bench_llama_embed(const session *s, const char *file, bench_process *p);

/* ---- bench_print.c ---- */

/* As --precision takes it. Static string. */
const char *precision_name(int p);

typedef enum bench_format { BENCH_TABLE, BENCH_JSON, BENCH_CSV } bench_format;

typedef struct bench_report {
    const session *s;
    const bench_rows *rows;
    const strata_peaks *peaks; /* NULL: not measured */
    uint32_t runs;
    double peak_mb; /* of this process */
    bool peers;
} bench_report;

void bench_print(FILE *f, const bench_report *r, bench_format format);

#endif
