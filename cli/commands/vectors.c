/* vectors.c: writes vectors in each format, and the table of cosines. */
#include "commands/vectors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"

/* ---- rows ---- */

bool vec_begin(vec_writer *w, vec_format format, FILE *f, uint32_t cols, const char *prompt)
{
    *w = (vec_writer){.format = format, .f = f, .cols = cols, .prompt = prompt};
    w->nan_row = must_calloc(cols, sizeof *w->nan_row);
    for (uint32_t i = 0; i < cols; i++) w->nan_row[i] = NAN;
    if (format == VEC_NPY) return npy_begin(&w->array, f, cols);
    if (format == VEC_F32) return !ferror(f);
    bool ok = lines_open(&w->text, f);
    if (format == VEC_JSON) fputs("[", w->text.f);
    return ok;
}

static void put_object(vec_writer *w, const vec_item *item)
{
    FILE *f = w->text.f;
    fprintf(f, "{\"index\":%zu,", w->index);
    if (item->id_len) {
        fputs("\"id\":", f);
        fwrite(item->id, 1, item->id_len, f);
        putc(',', f);
    }
    if (item->error) {
        fputs("\"error\":", f);
        json_put_string(f, item->error, strlen(item->error));
        putc('}', f);
        return;
    }
    fputs("\"embedding\":", f);
    if (item->by_token) putc('[', f);
    for (size_t i = 0; i < item->rows; i++) {
        if (i) putc(',', f);
        json_put_floats(f, item->v + i * w->cols, w->cols);
    }
    if (item->by_token) putc(']', f);
    fprintf(f, ",\"n_tokens\":%u,\"truncated\":%s", item->n_tokens, item->truncated ? "true" : "false");
    if (w->prompt) {
        fputs(",\"prompt\":", f);
        json_put_string(f, w->prompt, strlen(w->prompt));
    }
    putc('}', f);
}

bool vec_put(vec_writer *w, const vec_item *item)
{
    const float *v = item->error ? w->nan_row : item->v;
    size_t rows = item->error ? 1 : item->rows;
    bool ok = true;
    switch (w->format) {
    case VEC_JSON:
        fputs(w->index ? ",\n" : "\n", w->text.f);
        put_object(w, item);
        ok = lines_end(&w->text);
        break;
    case VEC_JSONL:
        put_object(w, item);
        putc('\n', w->text.f);
        ok = lines_end(&w->text);
        break;
    case VEC_NPY: ok = npy_rows(&w->array, v, rows); break;
    case VEC_F32: ok = fwrite(v, sizeof *v, rows * w->cols, w->f) == rows * w->cols; break;
    }
    w->index++;
    return ok && !ferror(w->f);
}

bool vec_flush(vec_writer *w)
{
    if (w->text.f) return lines_flush(&w->text);
    return fflush(w->f) == 0 && !ferror(w->f);
}

bool vec_end(vec_writer *w)
{
    if (w->format == VEC_JSON) fputs("\n]\n", w->text.f);
    if (w->format == VEC_NPY && !npy_end(&w->array, false)) return false;
    return vec_flush(w);
}

void vec_free(vec_writer *w)
{
    lines_close(&w->text);
    free(w->nan_row);
    npy_free(&w->array);
    *w = (vec_writer){0};
}

/* ---- cosines ---- */

enum { LABEL_CHARS = 48 };

/* The first characters of a text on one line. */
static void add_label(buf *b, const char *text, size_t len)
{
    const char *p = text, *end = text + len;
    int chars = 0;
    for (size_t n; p < end && chars < LABEL_CHARS; chars++, p += n) {
        n = utf8_len(p, end);
        if (!n || (unsigned char)*p < 0x20 || *p == 0x7f)
            buf_add(b, n ? " " : "?", 1), n = 1;
        else
            buf_add(b, p, n);
    }
    if (p < end) buf_add(b, "...", 3);
    buf_add(b, "", 1);
}

void similarity_add(similarity *s, const float *v, const char *text, size_t len)
{
    s->v = must_grow(s->v, &s->cap, (s->n + 1) * s->cols, sizeof *s->v);
    for (uint32_t i = 0; i < s->cols; i++) s->v[s->n * s->cols + i] = v ? v[i] : NAN;
    s->n++;
    add_label(&s->labels, text, len);
}

static double dot(const float *a, const float *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

void similarity_print(const similarity *s, FILE *f)
{
    double *norm = must_calloc(s->n, sizeof *norm);
    for (size_t i = 0; i < s->n; i++) norm[i] = sqrt(dot(s->v + i * s->cols, s->v + i * s->cols, s->cols));
    fprintf(f, "    ");
    for (size_t j = 0; j < s->n; j++) fprintf(f, " %6zu", j + 1);
    fprintf(f, "\n");
    const char *label = s->labels.p;
    for (size_t i = 0; i < s->n; i++, label += strlen(label) + 1) {
        fprintf(f, "%4zu", i + 1);
        for (size_t j = 0; j < s->n; j++)
            fprintf(f, " %6.3f", dot(s->v + i * s->cols, s->v + j * s->cols, s->cols) / (norm[i] * norm[j]));
        fprintf(f, "  %s\n", label);
    }
    free(norm);
}

void similarity_free(similarity *s)
{
    free(s->v);
    buf_free(&s->labels);
    *s = (similarity){0};
}
