/* bench_whole.c: whole processes from start to exit, strata embed and llama-embedding in turn. */
#define _POSIX_C_SOURCE 200809L /* mkstemp, fdopen */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench_parts.h"

/* Writes texts as jsonl or with llama.cpp's separator. The caller removes the file and frees the path. */
static char *whole_temporary(const void *bytes, size_t len)
{
    const char *dir = getenv("TMPDIR");
    size_t size = (dir ? strlen(dir) : 4) + 32;
    char *path = must_calloc(size, 1);
    snprintf(path, size, "%s/strata-bench-XXXXXX", dir ? dir : "/tmp");
    int fd = mkstemp(path);
    if (fd >= 0) (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* no other thread starts a process meanwhile */
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    bool ok = f && fwrite(bytes, 1, len, f) == len;
    if (f && fclose(f) != 0) ok = false;
    if (ok) return path;
    cli_warn("cannot write a temporary file: %s", strerror(errno));
    if (fd >= 0) remove(path);
    free(path);
    return NULL;
}

void bench_whole(const bench_job *j, bench_rows *rows, const strata_text *texts, size_t n, uint32_t tokens,
                 const char *jsonl, uint32_t n_runs)
{
    const char *self = bench_self();
    if (!self) return;
    char threads[16], *raw = NULL;
    snprintf(threads, sizeof threads, "%u", strata_ctx_threads(j->s.ctx));
    const char *argv[24] = {self, "embed",     "-m", j->s.path, "--format",    "f32",
                            "-o", "/dev/null", "-t", threads,   "--precision", precision_name(j->s.precision),
                            NULL};
    size_t at = 12;
    if (j->s.no_mmap) argv[at++] = "--no-mmap";
    const char *of_file[] = {"--jsonl", jsonl, "--field", j->in.field}, *of_text[] = {"--", texts[0].ptr};
    for (size_t i = 0; i < (jsonl ? 4u : 2u); i++) argv[at++] = jsonl ? of_file[i] : of_text[i];
    bool peers = j->peers && bench_llama();
    if (peers) {
        buf b = {0};
        for (size_t i = 0; i < n; i++) {
            if (i) buf_add(&b, bench_llama_separator, strlen(bench_llama_separator));
            buf_add(&b, texts[i].ptr, texts[i].len);
        }
        raw = whole_temporary(b.p, b.len);
        buf_free(&b);
        peers = raw != NULL;
    }
    bench_times mine = {0}, peer = {0};
    double mb = 0, peer_mb = 0, cpu = 0, peer_cpu = 0; /* cpu: the least of the runs */
    bool ok = true;
    for (uint32_t r = 0; r <= n_runs && ok && !cli_cancel; r++) {
        bench_process p;
        ok = bench_run_process(argv, NULL, NULL, &p);
        if (ok && r) bench_time(&mine, p.seconds);
        if (ok && p.peak_mb > mb) mb = p.peak_mb;
        if (ok && (!r || p.cpu < cpu)) cpu = p.cpu;
        if (!ok || !peers) continue;
        peers = bench_llama_embed(&j->s, raw, &p);
        if (!peers) cli_warn("llama-embedding failed with this model");
        if (peers && r) bench_time(&peer, p.seconds);
        if (peers && p.peak_mb > peer_mb) peer_mb = p.peak_mb;
        if (peers && (!r || p.cpu < peer_cpu)) peer_cpu = p.cpu;
    }
    if (raw) remove(raw);
    free(raw);
    if (ok && mine.n) {
        bench_row *row = bench_add(rows, "whole");
        row->tokens = tokens;
        row->texts = (uint32_t)n;
        bench_times_take(&mine, &row->best, &row->median);
        bench_times_take(&peer, &row->peer_best, &row->peer_median);
        row->peak_mb = mb, row->peer_mb = peer_mb;
        row->cpu = cpu, row->peer_cpu = peer_cpu;
    } else if (!cli_cancel) {
        cli_warn("strata embed failed as a process of its own");
    }
    free(mine.p), free(peer.p);
}
