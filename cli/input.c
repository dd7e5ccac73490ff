#define _POSIX_C_SOURCE 200809L /* open, read, isatty */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"

enum { READ_SIZE = 1 << 17 };

typedef struct source {
    int fd;
    bool json;
    const char *name;
    uint64_t line;
    buf b; /* bytes read and not yet used: [at, b.len) */
    size_t at;
    bool eof;
} source;

struct input {
    input_opts opts;
    int argc, next_arg;
    char **argv;
    source sources[2];
    int n_sources, current;
};

static int open_path(const char *path)
{
    return strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
}

static int add_source(input *in, const char *path, bool json)
{
    source *s = &in->sources[in->n_sources];
    *s = (source){.fd = open_path(path), .json = json, .name = strcmp(path, "-") == 0 ? "stdin" : path};
    if (s->fd < 0) return cli_fail(CLI_FAILED, "cannot read %s: %s", path, strerror(errno));
    in->n_sources++;
    return CLI_OK;
}

int input_open(input **out, const command *c, const input_opts *o, int argc, char **argv)
{
    input *in = must_calloc(1, sizeof *in);
    *out = in;
    in->opts = *o;
    in->argc = argc, in->argv = argv;
    if (o->jsonl && o->lines && strcmp(o->jsonl, "-") == 0 && strcmp(o->lines, "-") == 0)
        return cli_usage(c, "--jsonl and --lines cannot both read stdin");
    int rc = o->jsonl ? add_source(in, o->jsonl, true) : CLI_OK;
    if (!rc && o->lines) rc = add_source(in, o->lines, false);
    if (!rc && !in->n_sources && !argc) {
        if (isatty(STDIN_FILENO)) fprintf(stderr, "Reading a text a line; end with Ctrl-D.\n");
        rc = add_source(in, "-", false);
    }
    return rc;
}

void input_close(input *in)
{
    for (int i = 0; in && i < in->n_sources; i++) {
        if (in->sources[i].fd > STDIN_FILENO) close(in->sources[i].fd);
        buf_free(&in->sources[i].b);
    }
    free(in);
}

static int refill(source *s)
{
    if (s->at > 0) {
        memmove(s->b.p, s->b.p + s->at, s->b.len - s->at);
        s->b.len -= s->at;
        s->at = 0;
    }
    s->b.p = must_grow(s->b.p, &s->b.cap, s->b.len + READ_SIZE, 1);
    ssize_t n;
    do {
        n = read(s->fd, s->b.p + s->b.len, s->b.cap - s->b.len);
    } while (n < 0 && errno == EINTR && !cli_cancel);
    if (cli_cancel) return CLI_INTERRUPTED;
    if (n < 0) return cli_fail(CLI_FAILED, "cannot read %s: %s", s->name, strerror(errno));
    s->b.len += (size_t)n;
    s->eof = n == 0;
    return CLI_OK;
}

/* The next line without its end; *line NULL at the end of the source. A final line needs no newline. */
static int next_line(source *s, const char **line, size_t *len)
{
    size_t seen = 0;
    char *nl;
    *line = NULL;
    int rc = s->b.p ? CLI_OK : refill(s);
    if (rc) return rc;
    for (;;) {
        char *from = s->b.p + s->at;
        size_t have = s->b.len - s->at;
        nl = have > seen ? memchr(from + seen, '\n', have - seen) : NULL;
        if (nl || s->eof) break;
        seen = have;
        if ((rc = refill(s)) != CLI_OK) return rc;
    }
    char *begin = s->b.p + s->at, *end = nl ? nl : s->b.p + s->b.len;
    if (!nl && begin == end) return CLI_OK;
    s->at += (size_t)(end - begin) + (nl != NULL);
    if (s->line++ == 0 && end - begin >= 3 && memcmp(begin, "\xef\xbb\xbf", 3) == 0) begin += 3; /* byte order mark */
    if (end > begin && end[-1] == '\r') end--;
    *line = begin;
    *len = (size_t)(end - begin);
    return CLI_OK;
}

static input_item *add_item(input_block *b, const char *name, uint64_t line)
{
    b->items = must_grow(b->items, &b->cap, b->n + 1, sizeof *b->items);
    b->items[b->n] = (input_item){.at = b->bytes.len, .source = name, .line = line};
    return &b->items[b->n++];
}

static bool is_blank(const char *s, size_t len)
{
    while (len && (*s == ' ' || *s == '\t' || *s == '\r')) s++, len--;
    return len == 0;
}

static void add_line(const input *in, const source *s, input_block *b, const char *line, size_t len)
{
    json_error e;
    if (s->json && is_blank(line, len)) return;
    input_item *item = add_item(b, s->name, s->line);
    if (!s->json || !in->opts.field) {
        buf_add(&b->bytes, line, len);
    } else if (!json_get_string(line, len, in->opts.field, in->opts.lossy, &b->bytes, &e)) {
        item->bad = true;
        buf_add(&b->bytes, e.msg, strlen(e.msg));
    }
    item->len = b->bytes.len - item->at;
}

int input_next(input *in, input_block *b, size_t max_items, size_t max_bytes)
{
    b->n = 0;
    b->bytes.len = 0;
    while (b->n < max_items && b->bytes.len < max_bytes) {
        if (in->next_arg < in->argc) {
            const char *text = in->argv[in->next_arg++];
            input_item *item = add_item(b, NULL, (uint64_t)in->next_arg);
            item->len = strlen(text);
            buf_add(&b->bytes, text, item->len);
            continue;
        }
        if (in->current == in->n_sources) break;
        source *s = &in->sources[in->current];
        const char *line;
        size_t len;
        int rc = next_line(s, &line, &len);
        if (rc) return rc;
        if (line)
            add_line(in, s, b, line, len);
        else
            in->current++;
        if (b->n && isatty(s->fd)) break;
    }
    return CLI_OK;
}

void input_block_free(input_block *b)
{
    buf_free(&b->bytes);
    free(b->items);
    *b = (input_block){0};
}

void input_place(const input_item *item, char *out, size_t size)
{
    if (item->source)
        snprintf(out, size, "%s:%llu", item->source, (unsigned long long)item->line);
    else
        snprintf(out, size, "text %llu", (unsigned long long)item->line);
}

int input_read_file(const char *path, buf *out)
{
    source s = {.fd = open_path(path), .name = path};
    if (s.fd < 0) return cli_fail(CLI_FAILED, "cannot read %s: %s", path, strerror(errno));
    int rc = CLI_OK;
    while (!rc && !s.eof) rc = refill(&s);
    if (s.fd > STDIN_FILENO) close(s.fd);
    if (!rc) buf_add(out, s.b.p, s.b.len);
    buf_free(&s.b);
    return rc;
}

int input_read_string(const char *path, buf *out)
{
    int rc = input_read_file(path, out);
    if (!rc && out->len >= 2 && (memcmp(out->p, "\xff\xfe", 2) == 0 || memcmp(out->p, "\xfe\xff", 2) == 0))
        return cli_fail(CLI_FAILED, "%s: the file is UTF-16, want UTF-8", path);
    const char *nul = !rc && out->len ? memchr(out->p, 0, out->len) : NULL;
    if (nul) return cli_fail(CLI_FAILED, "%s: a NUL byte at offset %zu", path, (size_t)(nul - out->p));
    if (!rc) buf_add(out, "", 1);
    return rc;
}
