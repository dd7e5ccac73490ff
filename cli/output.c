#define _GNU_SOURCE /* realpath, open flags */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

static int open_beside(output *o, mode_t mode)
{
    size_t n = strlen(o->path) + 32;
    o->tmp = must_calloc(n, 1);
    snprintf(o->tmp, n, "%s.%ld.tmp", o->path, (long)getpid());
    int fd = open(o->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, mode ? mode : 0666);
    if (fd < 0) {
        int code = cli_fail(CLI_FAILED, "cannot write %s: %s", o->path, strerror(errno));
        free(o->tmp);
        o->tmp = NULL;
        return code;
    }
    if (mode) (void)!fchmod(fd, mode); /* a file that is replaced keeps its rights */
    o->f = fdopen(fd, "w+b");
    return o->f ? CLI_OK : cli_fail(CLI_FAILED, "out of memory");
}

const char *output_name(const char *path)
{
    return path && strcmp(path, "-") != 0 ? path : "the standard output";
}

int output_open(output *o, const command *c, const char *path, bool binary)
{
    *o = (output){0};
    if (!path || strcmp(path, "-") == 0) {
        if (binary && isatty(STDOUT_FILENO))
            return cli_usage(c, "binary output does not go to a terminal: use -o FILE");
        o->f = stdout;
        return CLI_OK;
    }
    /* Through a link to the file itself, which the rename would otherwise replace. */
    o->path = realpath(path, NULL);
    if (!o->path) o->path = strdup(path);
    if (!o->path) return cli_fail(CLI_FAILED, "out of memory");
    struct stat st;
    bool exists = stat(o->path, &st) == 0;
    if (!exists || S_ISREG(st.st_mode)) return open_beside(o, exists ? st.st_mode & 07777 : 0);
    o->f = fopen(o->path, "wb");
    return o->f ? CLI_OK : cli_fail(CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
}

int output_close(output *o, bool keep)
{
    int code = CLI_OK;
    const char *name = o->path ? o->path : "the standard output";
    if (o->f) {
        bool bad = fflush(o->f) != 0 || ferror(o->f);
        int why = errno;
        if (o->f != stdout) bad |= fclose(o->f) != 0;
        if (bad && keep) code = cli_fail(CLI_FAILED, "cannot write %s: %s", name, strerror(why));
        keep &= !bad;
    }
    if (o->tmp && keep && rename(o->tmp, o->path) != 0) {
        code = cli_fail(CLI_FAILED, "cannot write %s: %s", name, strerror(errno));
        keep = false;
    }
    if (o->tmp && !keep) unlink(o->tmp);
    free(o->path);
    free(o->tmp);
    *o = (output){0};
    return code;
}
