/* bench_print.c: the rows of a benchmark as a table, CSV, or one JSON object. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os/host.h"
#include "bench/bench_parts.h"
#include "io/json.h"

/* ---- the machine ---- */

/* Never the host's name. */
static void print_cpu_name(char *out, size_t size)
{
    if (!st_host_cpu(out, size)) snprintf(out, size, "unknown CPU");
}

static const char *print_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *precision_name(int p)
{
    return p == STRATA_PRECISION_F32 ? "f32" : p == STRATA_PRECISION_BF16 ? "bf16" : "i8";
}

/* ---- derived figures ---- */

static bool print_is(const bench_row *r, const char *what)
{
    return strcmp(r->what, what) == 0;
}

static bool print_is_op(const bench_row *r)
{
    return print_is(r, "kind") || print_is(r, "group") || print_is(r, "op");
}

static double print_rate(double amount, double seconds)
{
    return seconds > 0 ? amount / seconds : 0;
}

/* The figure of the whole benchmark: of --prefill, else of --decode, of --embed, else the best of the grid, else of
 * what there is.
 */
static double print_headline(const bench_rows *rows)
{
    static const char *const order[] = {"prefill", "decode", "embed", "grid", "first", "whole"};
    for (size_t k = 0; k < sizeof order / sizeof order[0]; k++) {
        double best = 0;
        for (size_t i = 0; i < rows->n; i++)
            if (print_is(&rows->p[i], order[k]) && print_rate(rows->p[i].tokens, rows->p[i].best) > best)
                best = print_rate(rows->p[i].tokens, rows->p[i].best);
        if (best > 0) return best;
    }
    double seconds = 0, tokens = 0;
    for (size_t i = 0; i < rows->n; i++)
        if (print_is(&rows->p[i], "kind")) seconds += rows->p[i].best, tokens = rows->p[i].tokens;
    return print_rate(tokens, seconds);
}

/* ---- table ---- */

static void print_table_times(FILE *f, const bench_report *r)
{
    bool any = false;
    for (size_t i = 0; i < r->rows->n; i++) {
        const bench_row *w = &r->rows->p[i];
        if (print_is_op(w)) continue;
        if (!any) {
            fprintf(f, "\n%-8s %6s %6s %6s %10s %10s %10s %9s", "", "tokens", "texts", "each", "ms", "median",
                    "tokens/s", "texts/s");
            if (r->peers) fprintf(f, " %10s %8s", "llama t/s", "ratio");
            fprintf(f, " %8s\n", "peak MB");
        }
        any = true;
        fprintf(f, "%-8s", w->what);
        if (w->texts)
            fprintf(f, " %6u %6u %6u", w->tokens, w->texts, w->tokens / w->texts);
        else
            fprintf(f, " %6s %6s %6s", "", "", "");
        fprintf(f, " %10.2f %10.2f", w->best * 1e3, w->median * 1e3);
        if (w->texts)
            fprintf(f, " %10.0f %9.1f", print_rate(w->tokens, w->best), print_rate(w->texts, w->best));
        else
            fprintf(f, " %10s %9s", "", "");
        if (r->peers && w->peer_best > 0)
            fprintf(f, " %10.0f %7.2fx", print_rate(w->tokens, w->peer_best), w->peer_best / w->best);
        else if (r->peers)
            fprintf(f, " %10s %8s", "", "");
        if (w->peak_mb > 0) fprintf(f, " %8.0f", w->peak_mb);
        if (w->cpu > 0) fprintf(f, "  CPU %.0f ms", w->cpu * 1e3);
        if (w->peer_mb > 0) fprintf(f, "  (llama.cpp %.0f MB, CPU %.0f ms)", w->peer_mb, w->peer_cpu * 1e3);
        fprintf(f, "\n");
    }
}

/* GMAC/s of the unit that a row's products run on, 0: not known. Rows with weights are LINEARs, others attention. */
static double print_peak_of(const bench_report *r, const bench_row *w)
{
    const strata_peaks *p = r->peaks;
    if (!p) return 0;
    if (r->s->precision == STRATA_PRECISION_BF16) return p->bf16_gmacs[0];
    return w->bytes > 0 && r->s->precision == STRATA_PRECISION_I8 && p->i8_gmacs[0] > 0 ? p->i8_gmacs[0]
                                                                                        : p->f32_gmacs[0];
}

static void print_table_ops(FILE *f, const bench_report *r, const char *what, const char *title)
{
    double total = 0;
    bool any = false;
    for (size_t i = 0; i < r->rows->n; i++)
        if (print_is(&r->rows->p[i], what)) total += r->rows->p[i].best;
    for (size_t i = 0; i < r->rows->n; i++) {
        const bench_row *w = &r->rows->p[i];
        if (!print_is(w, what)) continue;
        if (!any)
            fprintf(f, "\n%-36s %5s %9s %8s %6s %7s %6s %6s   (%u tokens, one thread)\n", title, "ops", "us", "us each",
                    "%", "GMAC/s", "% peak", "GB/s", w->tokens);
        any = true;
        fprintf(f, "%-36s %5u %9.0f %8.1f %6.1f", w->name, w->texts, w->best * 1e6, w->best * 1e6 / w->texts,
                100 * print_rate(w->best, total));
        if (w->macs > 0) {
            double g = print_rate(w->macs * 1e-9, w->best);
            fprintf(f, " %7.1f", g);
            double peak = print_peak_of(r, w);
            if (peak > 0)
                fprintf(f, " %6.1f", 100 * g / peak);
            else
                fprintf(f, " %6s", "");
        }
        if (w->bytes > 0) fprintf(f, " %6.1f", print_rate(w->bytes * 1e-9, w->best));
        fprintf(f, "\n");
    }
}

static void print_table(FILE *f, const bench_report *r)
{
    char cpu[256];
    print_cpu_name(cpu, sizeof cpu);
    const strata_model_info *m = &r->s->info;
    fprintf(f, "%s: %s, %.1f M parameters, %.1f MB, %.1f MB packed\n", print_file_name(r->s->path), m->arch,
            (double)m->n_params / 1e6, (double)m->file_bytes / 1e6, (double)m->packed_bytes / 1e6);
    fprintf(f, "%s: kernels %s, precision %s, %u thread%s, best and median of %u; peak memory %.0f MB\n", cpu,
            strata_ctx_kernels(r->s->ctx), precision_name(r->s->precision), strata_ctx_threads(r->s->ctx),
            strata_ctx_threads(r->s->ctx) == 1 ? "" : "s", r->runs, r->peak_mb);
    print_table_times(f, r);
    print_table_ops(f, r, "kind", "by kind");
    print_table_ops(f, r, "group", "by operation, summed over layers");
    if (r->peaks) {
        const strata_peaks *p = r->peaks;
        fprintf(
            f, "\npeaks, 1 thread / %u: int8 %.0f / %.0f GMAC/s, float32 %.1f / %.1f GMAC/s, memory %.1f / %.1f GB/s\n",
            p->n_threads, p->i8_gmacs[0], p->i8_gmacs[1], p->f32_gmacs[0], p->f32_gmacs[1], p->read_gbs[0],
            p->read_gbs[1]);
        if (p->bf16_gmacs[0] > 0) fprintf(f, "bf16 %.0f / %.0f GMAC/s\n", p->bf16_gmacs[0], p->bf16_gmacs[1]);
    }
}

/* ---- CSV ---- */

static void print_cell(FILE *f, double v)
{
    if (v > 0 && isfinite(v))
        fprintf(f, ",%.6g", v);
    else
        fputc(',', f);
}

static void print_csv(FILE *f, const bench_report *r)
{
    fprintf(f, "what,name,tokens,texts,ms,median_ms,tokens_per_s,texts_per_s,gmac_per_s,gb_per_s,peak_mb,llama_ms,"
               "llama_median_ms,llama_tokens_per_s,llama_peak_mb,cpu_ms,llama_cpu_ms\n");
    for (size_t i = 0; i < r->rows->n; i++) {
        const bench_row *w = &r->rows->p[i];
        bool ops = print_is_op(w);
        fprintf(f, "%s,%s", w->what, w->name);
        print_cell(f, w->tokens), print_cell(f, w->texts), print_cell(f, w->best * 1e3), print_cell(f, w->median * 1e3);
        print_cell(f, ops || !w->texts ? 0 : print_rate(w->tokens, w->best)),
            print_cell(f, ops ? 0 : print_rate(w->texts, w->best));
        print_cell(f, print_rate(w->macs * 1e-9, w->best)), print_cell(f, print_rate(w->bytes * 1e-9, w->best)),
            print_cell(f, w->peak_mb);
        print_cell(f, w->peer_best * 1e3), print_cell(f, w->peer_median * 1e3),
            print_cell(f, print_rate(w->tokens, w->peer_best));
        print_cell(f, w->peer_mb), print_cell(f, w->cpu * 1e3), print_cell(f, w->peer_cpu * 1e3);
        fputc('\n', f);
    }
}

/* ---- JSON ---- */

static void print_put_text(FILE *f, const char *key, const char *value)
{
    fprintf(f, ",\"%s\":", key);
    if (value)
        json_put_string(f, value, strlen(value));
    else
        fputs("null", f);
}

static void print_put_number(FILE *f, const char *key, double v)
{
    if (v > 0 && isfinite(v)) fprintf(f, ",\"%s\":%.6g", key, v);
}

static void print_json_row(FILE *f, const bench_row *w)
{
    bool ops = print_is_op(w);
    fprintf(f, "{\"what\":\"%s\"", w->what);
    if (w->name[0]) print_put_text(f, "name", w->name);
    print_put_number(f, "tokens", w->tokens);
    print_put_number(f, ops ? "ops" : "texts", w->texts);
    print_put_number(f, "ms", w->best * 1e3);
    print_put_number(f, "median_ms", w->median * 1e3);
    if (!ops && w->texts) {
        print_put_number(f, "tokens_per_s", print_rate(w->tokens, w->best));
        print_put_number(f, "texts_per_s", print_rate(w->texts, w->best));
    }
    print_put_number(f, "gmac_per_s", print_rate(w->macs * 1e-9, w->best));
    print_put_number(f, "gb_per_s", print_rate(w->bytes * 1e-9, w->best));
    print_put_number(f, "peak_mb", w->peak_mb);
    print_put_number(f, "cpu_ms", w->cpu * 1e3);
    print_put_number(f, "llama_ms", w->peer_best * 1e3);
    print_put_number(f, "llama_median_ms", w->peer_median * 1e3);
    print_put_number(f, "llama_tokens_per_s", print_rate(w->tokens, w->peer_best));
    print_put_number(f, "llama_peak_mb", w->peer_mb);
    print_put_number(f, "llama_cpu_ms", w->peer_cpu * 1e3);
    fputc('}', f);
}

static void print_json(FILE *f, const bench_report *r)
{
    char cpu[256];
    print_cpu_name(cpu, sizeof cpu);
    const strata_model_info *m = &r->s->info;
    const double first = print_headline(r->rows);
    fprintf(f, "{\"tokens_per_s\":%.6g", isfinite(first) ? first : 0.0);
    print_put_text(f, "strata", strata_version());
    print_put_text(f, "file", print_file_name(r->s->path));
    print_put_text(f, "name", m->name);
    print_put_text(f, "arch", m->arch);
    const char *type = NULL;
    uint32_t n_tensors;
    uint64_t bytes;
    if (strata_model_get_type(r->s->model, 0, &type, &n_tensors, &bytes)) print_put_text(f, "type", type);
    fprintf(f, ",\"params\":%llu,\"file_bytes\":%llu,\"packed_bytes\":%llu", (unsigned long long)m->n_params,
            (unsigned long long)m->file_bytes, (unsigned long long)m->packed_bytes);
    print_put_text(f, "machine", cpu);
    print_put_text(f, "cpu", strata_ctx_kernels(r->s->ctx));
    print_put_text(f, "precision", precision_name(r->s->precision));
    fprintf(f, ",\"threads\":%u,\"runs\":%u", strata_ctx_threads(r->s->ctx), r->runs);
    print_put_number(f, "peak_mb", r->peak_mb);
    if (r->peaks)
        for (int i = 0; i < 2; i++)
            fprintf(f,
                    ",\"%s\":{\"threads\":%u,\"i8_gmac_per_s\":%.4g,\"f32_gmac_per_s\":%.4g,\"bf16_gmac_per_s\":%.4g,"
                    "\"read_gb_per_s\":%.4g}",
                    i ? "peaks" : "peaks_1", i ? r->peaks->n_threads : 1, r->peaks->i8_gmacs[i], r->peaks->f32_gmacs[i],
                    r->peaks->bf16_gmacs[i], r->peaks->read_gbs[i]);
    fputs(",\"rows\":[", f);
    for (size_t i = 0; i < r->rows->n; i++) {
        if (i) fputc(',', f);
        print_json_row(f, &r->rows->p[i]);
    }
    fputs("]}\n", f);
}

void bench_print(FILE *f, const bench_report *r, bench_format format)
{
    switch (format) {
    case BENCH_TABLE: print_table(f, r); break;
    case BENCH_JSON: print_json(f, r); break;
    case BENCH_CSV: print_csv(f, r); break;
    }
}
