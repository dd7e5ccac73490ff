/* lines.c: gathers whole lines, and writes each with one write(2). */
#define _POSIX_C_SOURCE 200809L /* open_memstream, fileno */
#include "io/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

bool lines_open(lines *l, FILE *out)
{
    *l = (lines){.out = out};
    l->f = open_memstream(&l->text, &l->size);
    if (!l->f) exit(cli_fail(CLI_FAILED, "out of memory"));
    return fflush(out) == 0;
}

static bool write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EAGAIN && !cli_cancel) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1); /* somebody made the pipe non-blocking */
        } else if (k < 0 && (errno != EINTR || cli_cancel)) {
            return false;
        }
        if (k > 0) p += k, n -= (size_t)k;
    }
    return true;
}

static bool write_held(lines *l)
{
    size_t n = l->n_held;
    l->n_held = 0;
    return write_all(fileno(l->out), l->held, n);
}

bool lines_end(lines *l)
{
    off_t n = ftello(l->f);
    if (n < 0 || fflush(l->f) != 0 || ferror(l->f)) exit(cli_fail(CLI_FAILED, "out of memory"));
    size_t len = (size_t)n;
    bool ok = true;
    if (len > LINES_WRITE - l->n_held) ok = write_held(l);
    if (ok && len > LINES_WRITE) {
        ok = write_all(fileno(l->out), l->text, len);
    } else if (ok && len) {
        memcpy(l->held + l->n_held, l->text, len);
        l->n_held += len;
    }
    fseeko(l->f, 0, SEEK_SET);
    return ok;
}

bool lines_flush(lines *l)
{
    return lines_end(l) && write_held(l);
}

void lines_close(lines *l)
{
    if (l->f) fclose(l->f);
    free(l->text);
    l->f = NULL;
    l->text = NULL;
}
