/* cli.c: messages and progress on stderr, exit codes, opening model and context. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, isatty */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "io/output.h"

volatile int cli_cancel;

/* ---- messages ---- */

static struct {
    double first, last; /* seconds; 0: none yet */
    int shown;
} progress;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void cli_progress(const char *fmt, ...)
{
    double t = now();
    if (progress.first == 0) progress.first = t;
    if (t - progress.first < 1 || t - progress.last < 0.1 || !isatty(STDERR_FILENO)) return;
    progress.last = t;
    progress.shown = 1;
    va_list ap;
    va_start(ap, fmt);
    fputc('\r', stderr);
    vfprintf(stderr, fmt, ap);
    fputs("\x1b[K", stderr);
    fflush(stderr);
    va_end(ap);
}

void cli_progress_end(void)
{
    if (progress.shown) fputs("\r\x1b[K", stderr);
    progress.shown = 0;
}

int cli_fail(int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cli_progress_end();
    fputs("strata: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return code;
}

void cli_warn(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cli_progress_end();
    fputs("strata: warning: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

void cli_note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cli_progress_end();
    fputs("strata: note: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

int cli_fail_by(int status, strata_error *e)
{
    return cli_fail(cli_exit_code(status), "%s", cli_words(e));
}

int cli_usage(const command *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "strata %s: ", c->name);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\nTry: strata %s --help\n", c->name);
    va_end(ap);
    return CLI_USAGE;
}

static void log_line(void *user, int level, const char *msg)
{
    (void)user;
    static const char *const names[] = {"", "error", "warning", "info", "debug", "trace"};
    cli_progress_end();
    fprintf(stderr, "strata: %s: %s\n", level >= 1 && level <= 5 ? names[level] : "log", msg);
}

/* ---- the model ---- */

int cli_exit_code(int status)
{
    switch (status) {
    case STRATA_OK: return CLI_OK;
    case STRATA_INVALID_ARG:
    case STRATA_UNSUPPORTED_OP: return CLI_USAGE; /* asked of a model that is in order */
    case STRATA_NOT_GGUF:
    case STRATA_CORRUPT_MODEL:
    case STRATA_UNSUPPORTED_ARCH:
    case STRATA_UNSUPPORTED_TYPE:
    case STRATA_UNSUPPORTED_TOKENIZER: return CLI_MODEL;
    case STRATA_CANCELLED: return CLI_INTERRUPTED;
    default: return CLI_FAILED;
    }
}

static int path_of_environment(const command *c, session *s)
{
    const char *path = getenv("STRATA_MODEL");
    if (!s->path && path && *path) s->path = path;
    return s->path ? CLI_OK : cli_usage(c, "no model given (-m FILE, or in the environment STRATA_MODEL)");
}

int session_path_argument(const command *c, session *s, int argc, char **argv)
{
    if (argc + (s->path != NULL) > 1) return cli_usage(c, "expected one model file");
    if (argc) s->path = argv[0];
    return path_of_environment(c, s);
}

int session_find_path(const command *c, session *s, bool any, int *argc, char ***argv)
{
    if (!s->path && *argc && opt_before_dashes) {
        const char *first = (*argv)[0];
        size_t n = strlen(first);
        if (any || (n > 5 && strcasecmp(first + n - 5, ".gguf") == 0)) {
            s->path = first;
            --*argc, ++*argv, --opt_before_dashes;
        }
    }
    return path_of_environment(c, s);
}

int session_open(const command *c, session *s, session_parts parts)
{
    if (!s->path) return path_of_environment(c, s);
    strata_error e = {0};
    strata_model_opts mo = {
        .vocab_only = parts == SESSION_VOCAB,
        .no_mmap = s->no_mmap,
        .pre_tokenizer = s->pre,
        .n_threads = s->threads,
        .log = log_line,
        .log_level = STRATA_LOG_WARN + (s->verbose > 3 ? 3 : s->verbose),
    };
    int rc = strata_model_open(s->path, &mo, &s->model, &e);
    if (rc) {
        /* Here a file that cannot be read or an op that it would need are the model's fault, not the call's. */
        int code = rc == STRATA_IO || rc == STRATA_UNSUPPORTED_OP ? CLI_MODEL : cli_exit_code(rc);
        return cli_fail(code, "%s", cli_words(&e));
    }
    output_reads(s->path);
    strata_model_get_info(s->model, &s->info);
    if (parts != SESSION_CONTEXT) return CLI_OK;
    strata_ctx_opts co = {
        .n_threads = s->threads, .precision = s->precision, .n_seqs = s->n_seqs, .n_ctx = s->n_ctx, .kv = s->kv};
    rc = strata_ctx_open(s->model, &co, &s->ctx, &e);
    return rc ? cli_fail_by(rc, &e) : CLI_OK;
}

void session_close(session *s)
{
    strata_ctx_close(s->ctx);
    strata_model_close(s->model);
    s->ctx = NULL;
    s->model = NULL;
}
