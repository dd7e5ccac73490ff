/* output.c: opens the output, and refuses one that the command reads. */
#define _POSIX_C_SOURCE 200809L /* F_DUPFD_CLOEXEC, fdopen */
#include "io/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "signals.h"

/* ---- files that are read ---- */

static struct {
    struct input_id {
        dev_t dev;
        ino_t ino;
        char *name;
    } * p;
    size_t n, cap;
} inputs;

static void output_add_input(const struct stat *st, const char *path)
{
    if (!S_ISREG(st->st_mode)) return;
    inputs.p = must_grow(inputs.p, &inputs.cap, inputs.n + 1, sizeof *inputs.p);
    size_t n = strlen(path) + 1;
    char *name = must_calloc(n, 1);
    memcpy(name, path, n);
    inputs.p[inputs.n++] = (struct input_id){st->st_dev, st->st_ino, name};
}

/* "...-00001-of-00003.gguf": the number of the parts and where that of this one stands; 0: no such name. */
static unsigned output_split_name(const char *path, size_t *at)
{
    size_t len = strlen(path), tail = strlen("-00001-of-00003.gguf");
    unsigned i, n;
    int end = 0;
    if (len < tail) return 0;
    *at = len - tail + 1;
    if (sscanf(path + len - tail, "-%5u-of-%5u.gguf%n", &i, &n, &end) != 2 || (size_t)end != tail) return 0;
    return n;
}

void output_reads(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) return; /* whoever opens it says why */
    output_add_input(&st, path);
    size_t at, size = strlen(path) + 1;
    unsigned n = output_split_name(path, &at);
    char *part = n ? must_calloc(size, 1) : NULL;
    for (unsigned i = 1; i <= n; i++) {
        char number[16];
        memcpy(part, path, size);
        snprintf(number, sizeof number, "%05u", i);
        memcpy(part + at, number, 5);
        if (stat(part, &st) != 0) break;
        output_add_input(&st, part);
    }
    free(part);
}

void output_reads_fd(int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) == 0) output_add_input(&st, path);
}

static const char *output_find_input(const struct stat *st)
{
    for (size_t i = 0; i < inputs.n; i++)
        if (S_ISREG(st->st_mode) && inputs.p[i].dev == st->st_dev && inputs.p[i].ino == st->st_ino)
            return inputs.p[i].name;
    return NULL;
}

void output_may_replace(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) return;
    size_t kept = 0;
    for (size_t i = 0; i < inputs.n; i++) {
        if (inputs.p[i].dev == st.st_dev && inputs.p[i].ino == st.st_ino)
            free(inputs.p[i].name);
        else
            inputs.p[kept++] = inputs.p[i];
    }
    inputs.n = kept;
}

static int output_refuse(const char *out, const char *in)
{
    if (strcmp(out, in) == 0)
        return cli_fail(CLI_USAGE, "%s is read by this command: the output needs another name", out);
    return cli_fail(CLI_USAGE, "%s is %s, which this command reads: the output needs another name", out, in);
}

/* ---- the output ---- */

const char *output_name(const char *path)
{
    return path && strcmp(path, "-") != 0 ? path : "the standard output";
}

static int output_cannot_write(const char *path, int why)
{
    char text[ST_OUTFILE_REASON];
    return cli_fail(CLI_FAILED, "cannot write %s: %s", output_name(path), st_outfile_reason(why, text));
}

static int output_open_stdout(output *o, const command *c, bool binary)
{
    struct stat st;
    if (binary && isatty(STDOUT_FILENO)) return cli_usage(c, "binary output does not go to a terminal: use -o FILE");
    const char *in = fstat(STDOUT_FILENO, &st) == 0 ? output_find_input(&st) : NULL;
    if (in) return output_refuse("the standard output", in);
    o->f = stdout;
    return CLI_OK;
}

int output_open(output *o, const command *c, const char *path, bool binary)
{
    struct stat st;
    *o = (output){.file = {.fd = -1, .dir = -1}};
    if (!path || strcmp(path, "-") == 0) return output_open_stdout(o, c, binary);
    const char *in = stat(path, &st) == 0 ? output_find_input(&st) : NULL;
    if (in) return output_refuse(path, in);
    o->path = strdup(path);
    if (!o->path) return cli_fail(CLI_FAILED, "out of memory");
    signals_watch(&o->file);
    int why = st_outfile_open(&o->file, path, 0, &cli_cancel);
    if (why == EINTR && cli_cancel) return CLI_INTERRUPTED;
    if (why) return output_cannot_write(path, why);
    /* A descriptor of its own, since closing the stream closes it. */
    int fd = fcntl(o->file.fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0) o->f = fdopen(fd, o->file.dir >= 0 ? "w+b" : "wb");
    if (o->f) return CLI_OK;
    why = errno;
    if (fd >= 0) close(fd);
    return output_cannot_write(path, why);
}

int output_close(output *o, bool keep)
{
    int why = 0, code = CLI_OK;
    if (o->f) {
        bool earlier = ferror(o->f) != 0;
        if (fflush(o->f) != 0) why = errno;
        if (!why && earlier) why = EIO; /* whoever wrote has said more */
        if (o->f != stdout && fclose(o->f) != 0 && !why) why = errno;
    }
    if (o->path) {
        if (!why && keep && o->f) why = st_outfile_commit(&o->file);
        st_outfile_abort(&o->file);
        signals_unwatch(&o->file);
    }
    if (why && keep) code = output_cannot_write(o->path, why);
    free(o->path);
    *o = (output){.file = {.fd = -1, .dir = -1}};
    return code;
}
