/* search.c: searches the text files of a folder: each file's paragraphs are embedded, and the nearest to the question
 * are shown.
 *
 *     search MODEL.gguf FOLDER "a question" [N]
 */
#define _POSIX_C_SOURCE 200809L /* opendir, strdup */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <strata.h>
#include <string.h>
#include <sys/stat.h>

typedef struct passage {
    char *text;
    char *file;
    float score;
} passage;

typedef struct corpus {
    passage *p;
    size_t n, cap;
} corpus;

static void die(const char *what, const char *msg)
{
    fprintf(stderr, "search: %s: %s\n", what, msg);
    exit(1);
}

static void *checked(void *p)
{
    if (!p) die("memory", "there is none");
    return p;
}

static void add(corpus *c, const char *file, const char *text, size_t len)
{
    while (len && strchr(" \t\r\n", text[len - 1])) len--;
    if (!len) return;
    if (c->n == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 64;
        c->p = checked(realloc(c->p, c->cap * sizeof *c->p));
    }
    c->p[c->n].text = checked(strndup(text, len));
    c->p[c->n].file = checked(strdup(file));
    c->p[c->n++].score = 0;
}

/* Paragraphs are what stands between empty lines. */
static void read_file(corpus *c, const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st) != 0) die(path, "cannot be read");
    if (S_ISREG(st.st_mode)) {
        size_t size = (size_t)st.st_size;
        char *text = checked(malloc(size + 1));
        size = fread(text, 1, size, f);
        text[size] = 0;
        for (char *at = text, *end; at < text + size; at = end) {
            at += strspn(at, "\r\n");
            end = strstr(at, "\n\n");
            if (!end) end = text + size;
            if (end > at) add(c, path, at, (size_t)(end - at));
        }
        free(text);
    }
    fclose(f);
}

static void read_folder(corpus *c, const char *folder)
{
    DIR *d = opendir(folder);
    if (!d) die(folder, "cannot be read");
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        size_t n = strlen(folder) + strlen(e->d_name) + 2;
        char *path = checked(malloc(n));
        snprintf(path, n, "%s/%s", folder, e->d_name);
        read_file(c, path);
        free(path);
    }
    closedir(d);
}

static int by_score(const void *a, const void *b)
{
    float x = ((const passage *)a)->score, y = ((const passage *)b)->score;
    return x < y ? 1 : x > y ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) die("usage", "search MODEL.gguf FOLDER QUESTION [N]");
    size_t show = argc > 4 ? (size_t)strtoul(argv[4], NULL, 10) : 5;
    corpus all = {0};
    strata_model *m = NULL;
    strata_ctx *c = NULL;
    strata_error e;
    read_folder(&all, argv[2]);
    if (strata_model_open(argv[1], NULL, &m, &e) || strata_ctx_open(m, NULL, &c, &e)) die(argv[1], e.msg);

    /* Models that were trained with prompts want another for questions than for what is searched. */
    strata_embed_opts document = {.role = STRATA_ROLE_DOCUMENT, .truncate = STRATA_TRUNCATE_END, .lossy = 1};
    strata_embed_opts query = document;
    query.role = STRATA_ROLE_QUERY;
    uint32_t dims = strata_embed_dims(m, &document, &e);
    if (!dims) die(argv[1], e.msg);

    strata_text *texts = checked(calloc(all.n + 1, sizeof *texts));
    strata_embed_item *items = checked(calloc(all.n + 1, sizeof *items));
    float *v = checked(malloc((all.n + 1) * dims * sizeof *v)), *asked = v + all.n * dims;
    for (size_t i = 0; i < all.n; i++) texts[i] = (strata_text){all.p[i].text, strlen(all.p[i].text)};
    texts[all.n] = (strata_text){argv[3], strlen(argv[3])};
    if (strata_embed(c, texts, all.n, &document, v, dims, items, &e)) die("the passages", e.msg);
    if (strata_embed(c, texts + all.n, 1, &query, asked, dims, NULL, &e)) die("the question", e.msg);

    for (size_t i = 0; i < all.n; i++) {
        if (items[i].status) fprintf(stderr, "search: %s: %s\n", all.p[i].file, items[i].msg);
        double dot = items[i].status ? -2 : 0; /* below every cosine */
        for (uint32_t k = 0; !items[i].status && k < dims; k++) dot += (double)v[i * dims + k] * (double)asked[k];
        all.p[i].score = (float)dot;
    }
    if (all.n) qsort(all.p, all.n, sizeof *all.p, by_score);
    for (size_t i = 0; i < all.n && i < show && all.p[i].score > -2; i++)
        printf("%6.3f  %s: %.70s\n", (double)all.p[i].score, all.p[i].file, all.p[i].text);

    for (size_t i = 0; i < all.n; i++) free(all.p[i].text), free(all.p[i].file);
    free(all.p), free(v), free(items), free(texts);
    strata_ctx_close(c);
    strata_model_close(m);
    return 0;
}
