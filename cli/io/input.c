/* input.c: reads texts block by block from arguments, files and stdin. */
#define _POSIX_C_SOURCE 200809L /* open, read, isatty */
#include "io/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/encoding.h"
#include "io/json.h"
#include "io/output.h"

enum { READ_SIZE = 1 << 17 };

typedef struct source {
    int fd;
    bool json;
    const char *name;
    uint64_t line;
    buf b; /* bytes read and not yet used: [at, b.len) */
    size_t at;
    bool eof;
    uint64_t size, taken; /* bytes: of a regular file, else 0; read so far */
} source;

struct input {
    input_opts opts;
    int argc, next_arg;
    char **argv;
    source sources[2];
    int n_sources, current;
    source typed; /* the lines of an argument "-" */
    bool typed_open;
    double before, after; /* shares of all files, before and after the last block; below 0: not known */
};

static int open_path(const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) output_reads_fd(fd, is_stdin ? "the standard input" : path);
    return fd;
}

static int refill(source *s);
static int check_encoding(const source *s);

/* A regular file is looked into at once, so that one of another encoding is refused before anything is done. */
static int open_source(source *s, const char *path, bool json)
{
    struct stat st;
    *s = (source){.fd = open_path(path), .json = json, .name = strcmp(path, "-") == 0 ? "stdin" : path};
    if (s->fd < 0) return cli_fail(CLI_FAILED, "cannot read %s: %s", path, strerror(errno));
    if (fstat(s->fd, &st) != 0 || !S_ISREG(st.st_mode)) return CLI_OK;
    s->size = (uint64_t)st.st_size;
    int rc = refill(s);
    return rc ? rc : check_encoding(s);
}

static int add_source(input *in, const char *path, bool json)
{
    return open_source(&in->sources[in->n_sources++], path, json);
}

static bool is_stdin(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

int input_open(input **out, const command *c, const input_opts *o, int argc, char **argv)
{
    input *in = must_calloc(1, sizeof *in);
    *out = in;
    in->opts = *o;
    in->argc = argc, in->argv = argv;
    in->typed.fd = -1;
    int readers = is_stdin(o->jsonl) + is_stdin(o->lines);
    if (readers > 1) return cli_usage(c, "--jsonl and --lines cannot both read stdin");
    for (int i = 0; i < argc; i++) readers += argv[i] == opt_stdin;
    if (readers > 1) return cli_usage(c, "stdin can be read once: one '-'");
    if (o->id && (argc || o->lines || !o->jsonl)) return cli_usage(c, "--id %s: only --jsonl has fields", o->id);
    int rc = o->jsonl ? add_source(in, o->jsonl, true) : CLI_OK;
    if (!rc && o->lines) rc = add_source(in, o->lines, false);
    if (!rc && !in->n_sources && !argc) rc = add_source(in, "-", false), readers = 1;
    if (!rc && readers && isatty(STDIN_FILENO)) fprintf(stderr, "Reading a text a line; end with Ctrl-D.\n");
    return rc;
}

void input_close(input *in)
{
    for (int i = 0; in && i < in->n_sources; i++) {
        if (in->sources[i].fd > STDIN_FILENO) close(in->sources[i].fd);
        buf_free(&in->sources[i].b);
    }
    if (in) buf_free(&in->typed.b);
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
    s->taken += (uint64_t)n;
    s->eof = n == 0;
    return CLI_OK;
}

static int check_encoding(const source *s)
{
    const encoding *foreign = s->b.len > s->at ? encoding_foreign(s->b.p + s->at, s->b.len - s->at) : NULL;
    if (!foreign) return CLI_OK;
    return cli_fail(CLI_FAILED, "%s: this is %s, want UTF-8 (iconv -f %s -t UTF-8 converts it)", s->name, foreign->name,
                    foreign->iconv);
}

/* Whether reading would not wait; a file that cannot be asked never does. */
static bool comes_at_once(const source *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    return poll(&p, 1, 0) != 0;
}

/* The next line without its end; *line NULL at the end of the source, or if !wait and there is none yet. A final line
 * needs no newline. */
static int next_line(source *s, bool wait, const char **line, size_t *len)
{
    size_t seen = 0;
    char *nl;
    *line = NULL;
    if (!s->b.p && !wait && !comes_at_once(s)) return CLI_OK;
    int rc = s->b.p ? CLI_OK : refill(s);
    if (rc) return rc;
    for (;;) {
        char *from = s->b.p + s->at;
        size_t have = s->b.len - s->at;
        nl = have > seen ? memchr(from + seen, '\n', have - seen) : NULL;
        if (nl || s->eof) break;
        if (!wait && !comes_at_once(s)) return CLI_OK;
        seen = have;
        if ((rc = refill(s)) != CLI_OK) return rc;
    }
    if (s->line == 0 && (rc = check_encoding(s)) != CLI_OK) return rc;
    char *begin = s->b.p + s->at, *end = nl ? nl : s->b.p + s->b.len;
    if (!nl && begin == end) return CLI_OK;
    s->at += (size_t)(end - begin) + (nl != NULL);
    if (s->line++ == 0) begin += encoding_mark(begin, (size_t)(end - begin));
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

/* The caller's id; a line without it, or with two, is bad. A line that is bad already keeps its id where that can be
 * found, even if a string of the line is what is bad: by the id a caller knows which line failed. */
static void add_id(const input *in, input_block *b, input_item *item, const char *line, size_t len)
{
    json_error e, again;
    item->id_at = b->bytes.len;
    int got = json_get_raw(line, len, in->opts.id, in->opts.lossy, &b->bytes, &e);
    if (got < 0 && !in->opts.lossy) json_get_raw(line, len, in->opts.id, true, &b->bytes, &again);
    item->id_len = b->bytes.len - item->id_at;
    if (got > 0 || item->bad) return;
    item->bad = true;
    item->at = b->bytes.len;
    if (got < 0) {
        buf_add(&b->bytes, e.msg, strlen(e.msg));
    } else {
        buf_add(&b->bytes, "no field \"", 10);
        buf_add(&b->bytes, in->opts.id, strlen(in->opts.id));
        buf_add(&b->bytes, "\" in the object (--id)", 22);
    }
    item->len = b->bytes.len - item->at;
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
    if (s->json && in->opts.id) add_id(in, b, item, line, len);
}

/* Lines of one source, until the block is full, the source ends (*ended), or, if there are some, it pauses. */
static int take_lines(input *in, source *s, input_block *b, size_t max_items, size_t max_bytes, bool *ended)
{
    *ended = false;
    while (b->n < max_items && b->bytes.len < max_bytes) {
        const char *line;
        size_t len;
        int rc = next_line(s, b->n == 0, &line, &len);
        if (rc) return rc;
        *ended = !line && s->eof;
        if (!line) return CLI_OK;
        add_line(in, s, b, line, len);
    }
    return CLI_OK;
}

/* The share of all files that has been used; below 0 where it is not known. */
static double share(const input *in)
{
    uint64_t all = 0, used = 0;
    for (int i = 0; i < in->n_sources; i++) {
        const source *s = &in->sources[i];
        if (!s->size) return -1;
        all += s->size > s->taken ? s->size : s->taken;
        used += s->taken - (s->b.len - s->at);
    }
    return all ? (double)used / (double)all : -1;
}

int input_next(input *in, input_block *b, size_t max_items, size_t max_bytes)
{
    int rc = CLI_OK;
    bool ended = true;
    b->n = 0;
    b->bytes.len = 0;
    in->before = share(in);
    while (!rc && ended && b->n < max_items && b->bytes.len < max_bytes) {
        if (in->typed_open || (in->next_arg < in->argc && in->argv[in->next_arg] == opt_stdin)) {
            if (!in->typed_open) rc = open_source(&in->typed, "-", false);
            in->typed_open = true;
            if (!rc) rc = take_lines(in, &in->typed, b, max_items, max_bytes, &ended);
            if (!rc && ended) in->typed_open = false, in->next_arg++;
        } else if (in->next_arg < in->argc) {
            const char *text = in->argv[in->next_arg++];
            input_item *item = add_item(b, NULL, (uint64_t)in->next_arg);
            item->len = strlen(text);
            buf_add(&b->bytes, text, item->len);
        } else if (in->current < in->n_sources) {
            rc = take_lines(in, &in->sources[in->current], b, max_items, max_bytes, &ended);
            in->current += !rc && ended;
        } else {
            break;
        }
    }
    in->after = share(in);
    return rc;
}

void input_progress(const input *in, const char *what, size_t done, size_t of_block, size_t n_block)
{
    double part = n_block ? (double)of_block / (double)n_block : 1;
    if (!in->n_sources && in->typed.fd < 0)
        cli_progress("%zu of %d %s", done, in->argc, what);
    else if (in->after >= 0)
        cli_progress("%zu %s, %.0f %%", done, what, 100 * (in->before + part * (in->after - in->before)));
    else
        cli_progress("%zu %s", done, what);
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
    source s = {.fd = open_path(path), .name = strcmp(path, "-") == 0 ? "stdin" : path};
    if (s.fd < 0) return cli_fail(CLI_FAILED, "cannot read %s: %s", path, strerror(errno));
    int rc = CLI_OK;
    while (!rc && !s.eof) rc = refill(&s);
    if (s.fd > STDIN_FILENO) close(s.fd);
    if (!rc) rc = check_encoding(&s);
    size_t mark = rc ? 0 : encoding_mark(s.b.p, s.b.len);
    if (!rc) buf_add(out, s.b.p + mark, s.b.len - mark);
    buf_free(&s.b);
    return rc;
}

static int end_string(const char *what, buf *out)
{
    const char *nul = out->len ? memchr(out->p, 0, out->len) : NULL;
    if (nul) return cli_fail(CLI_FAILED, "%s: a NUL byte at offset %zu", what, (size_t)(nul - out->p));
    buf_add(out, "", 1);
    return CLI_OK;
}

int input_read_string(const char *path, buf *out)
{
    int rc = input_read_file(path, out);
    return rc ? rc : end_string(path, out);
}

int input_copy_string(const char *what, const char *text, buf *out)
{
    size_t n = strlen(text), mark = encoding_mark(text, n);
    buf_add(out, text + mark, n - mark);
    return end_string(what, out);
}
