/* bench_peers.c: child processes that are timed whole: llama.cpp's programs, and strata itself. */
#define _DEFAULT_SOURCE /* wait4 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/host.h"
#include "bench/bench_parts.h"

const char bench_llama_separator[] = "<#sep#>";

static void peers_child(const char *const argv[], const char *bin, int out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dup2(null, STDIN_FILENO) < 0 || dup2(out >= 0 ? out : null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
        _exit(127);
    if (bin) {
        char path[4096];
        const char *old = getenv("LD_LIBRARY_PATH");
        snprintf(path, sizeof path, "%s%s%s", bin, old ? ":" : "", old ? old : "");
        setenv("LD_LIBRARY_PATH", path, 1);
    }
    /* It takes char *const [] for old callers' sake and changes nothing (POSIX, RATIONALE of exec). */
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

bool bench_run_process(const char *const argv[], const char *bin, buf *out, bench_process *p)
{
    int fds[2] = {-1, -1}, status = 0;
    if (out && pipe(fds) != 0) return false;
    for (int i = 0; out && i < 2; i++) (void)fcntl(fds[i], F_SETFD, FD_CLOEXEC); /* the child has a copy, its output */
    double t = bench_now();
    pid_t pid = fork();
    if (pid == 0) peers_child(argv, bin, fds[1]);
    if (out) close(fds[1]);
    char chunk[4096];
    ssize_t n;
    while (out && pid > 0 && ((n = read(fds[0], chunk, sizeof chunk)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0) buf_add(out, chunk, (size_t)n);
    if (out) close(fds[0]);
    if (pid < 0) return false;
    struct rusage u = {0};
    while (wait4(pid, &status, 0, &u) < 0)
        if (errno != EINTR) return false;
    p->seconds = bench_now() - t;
    p->cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
#if defined(__APPLE__)
    p->peak_mb = (double)u.ru_maxrss / 1e6;
#else
    p->peak_mb = (double)u.ru_maxrss * 1024 / 1e6;
#endif
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

const char *bench_self(void)
{
    static char path[4096];
    return st_host_program(path, sizeof path) ? path : NULL;
}

static bool peers_has_program(const char *dir, size_t len, char *out, size_t size)
{
    char path[4096];
    snprintf(path, sizeof path, "%.*s/llama-bench", (int)len, dir);
    if (access(path, X_OK) != 0) return false;
    snprintf(out, size, "%.*s", (int)len, dir);
    return true;
}

const char *bench_llama(void)
{
    static char found[4096];
    const char *dir = getenv("STRATA_LLAMA_BIN"), *path = getenv("PATH");
    if (dir && *dir) return peers_has_program(dir, strlen(dir), found, sizeof found) ? found : NULL;
    for (; path && *path; path += path[0] == ':') {
        size_t len = strcspn(path, ":");
        if (len && peers_has_program(path, len, found, sizeof found)) return found;
        path += len;
    }
    return NULL;
}

/* The largest number of the array after `key` in [p, end); 0 if there is none. */
static double peers_largest(const char *p, const char *end, const char *key)
{
    double best = 0;
    const char *at = strstr(p, key);
    if (!at || at >= end || !(at = strchr(at, '['))) return 0;
    for (at++; at < end && *at && *at != ']';) {
        char *next;
        double v = strtod(at, &next);
        if (next == at) {
            at++;
            continue;
        }
        if (v > best) best = v;
        at = next;
    }
    return best;
}

static bool peers_llama_bench(const session *s, const uint32_t *n, size_t count, bool decode, bench_times *t)
{
    const char *bin = bench_llama();
    if (!bin || !count) return false;
    char program[4200], threads[16], batch[16], none[] = "0";
    buf lengths = {0}, out = {0};
    uint32_t longest = 512;
    for (size_t i = 0; i < count; i++) {
        char one[16];
        buf_add(&lengths, one, (size_t)snprintf(one, sizeof one, "%s%u", i ? "," : "", n[i]));
        if (n[i] > longest) longest = n[i];
    }
    buf_add(&lengths, "", 1);
    snprintf(program, sizeof program, "%s/llama-bench", bin);
    snprintf(threads, sizeof threads, "%u", strata_ctx_threads(s->ctx));
    snprintf(batch, sizeof batch, "%u", longest > 2048 ? longest : 2048);
    /* An encoder takes a text in one piece: ubatch must hold it. */
    char ubatch[16];
    snprintf(ubatch, sizeof ubatch, "%u", longest);
    const char *argv[] = {program,
                          "-m",
                          s->path,
                          "-p",
                          decode ? none : lengths.p,
                          "-n",
                          decode ? lengths.p : none,
                          "-r",
                          "3",
                          "-t",
                          threads,
                          "-b",
                          batch,
                          "-ub",
                          ubatch,
                          "-o",
                          "json",
                          NULL};
    bench_process p;
    bool ok = bench_run_process(argv, bin, &out, &p);
    buf_add(&out, "", 1);
    /* One object a length, in order, each ending with its samples. */
    const char *at = out.p;
    for (size_t i = 0; ok && at && i < count; i++) {
        const char *end = strstr(at, "\"samples_ts\"");
        end = end ? strchr(end, ']') : NULL;
        double rate = end ? peers_largest(at, end + 1, "\"samples_ts\"") : 0;
        if (rate <= 0) {
            ok = false;
        } else {
            bench_time(&t[i], n[i] / rate);
            at = end + 1;
        }
    }
    buf_free(&lengths);
    buf_free(&out);
    return ok;
}

bool bench_llama_prefill(const session *s, const uint32_t *n, size_t count, bench_times *t)
{
    return peers_llama_bench(s, n, count, false, t);
}

bool bench_llama_decode(const session *s, uint32_t n, bench_times *t)
{
    return peers_llama_bench(s, &n, 1, true, t);
}

bool bench_llama_embed(const session *s, const char *file, bench_process *p)
{
    const char *bin = bench_llama();
    if (!bin) return false;
    char program[4200], threads[16];
    snprintf(program, sizeof program, "%s/llama-embedding", bin);
    snprintf(threads, sizeof threads, "%u", strata_ctx_threads(s->ctx));
    const char *argv[] = {program,
                          "-m",
                          s->path,
                          "-f",
                          file,
                          "--embd-separator",
                          bench_llama_separator,
                          "--embd-output-format",
                          "array",
                          "-t",
                          threads,
                          "-b",
                          "2048",
                          "-ub",
                          "2048",
                          NULL};
    return bench_run_process(argv, bin, NULL, p);
}
