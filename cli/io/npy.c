/* npy.c: a NumPy file whose number of rows is known at the end. */
#define _POSIX_C_SOURCE 200809L /* fileno, fdopen */
#include "io/npy.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/os/outfile.h"

enum { HEADER = 128 }; /* of which 10 bytes are magic, version and length; room for any shape */

static bool put_header(const npy *a, FILE *f, bool flat)
{
    char h[HEADER] = "\x93NUMPY\x01\x00";
    char shape[64];
    if (flat)
        snprintf(shape, sizeof shape, "(%u,)", a->cols);
    else
        snprintf(shape, sizeof shape, "(%llu, %u)", (unsigned long long)a->rows, a->cols);
    h[8] = HEADER - 10;
    int n = snprintf(h + 10, HEADER - 10, "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", shape);
    memset(h + 10 + n, ' ', (size_t)(HEADER - 10 - n));
    h[HEADER - 1] = '\n';
    return fwrite(h, 1, HEADER, f) == HEADER;
}

/* Appended output cannot be written twice either. */
static bool can_seek(FILE *f)
{
    return ftell(f) >= 0 && !(fcntl(fileno(f), F_GETFL) & O_APPEND);
}

bool npy_begin(npy *a, FILE *out, uint32_t cols)
{
    *a = (npy){.out = out, .body = out, .cols = cols};
    if (can_seek(out)) {
        static const char nothing[HEADER]; /* until the end it is no array: what is cut short must not load */
        a->header_at = ftell(out);
        return fwrite(nothing, 1, HEADER, out) == HEADER;
    }
    int fd = st_outfile_scratch();
    a->body = fd < 0 ? NULL : fdopen(fd, "w+b");
    if (!a->body && fd >= 0) close(fd);
    return a->body != NULL;
}

bool npy_rows(npy *a, const float *v, uint64_t n)
{
    a->rows += n;
    size_t count = (size_t)(n * a->cols);
    return fwrite(v, sizeof *v, count, a->body) == count;
}

bool npy_end(npy *a, bool flat)
{
    if (a->body == a->out)
        return fseek(a->out, a->header_at, SEEK_SET) == 0 && put_header(a, a->out, flat) &&
               fseek(a->out, 0, SEEK_END) == 0;
    char block[1 << 16];
    size_t n;
    bool ok = put_header(a, a->out, flat) && fseek(a->body, 0, SEEK_SET) == 0;
    while (ok && (n = fread(block, 1, sizeof block, a->body)) > 0) ok = fwrite(block, 1, n, a->out) == n;
    return ok && !ferror(a->body);
}

void npy_free(npy *a)
{
    if (a->body && a->body != a->out) fclose(a->body);
    *a = (npy){0};
}
