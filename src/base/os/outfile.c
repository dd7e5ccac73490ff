/* outfile.c: nameless and temporary files, links, rights, and the signals that a write may raise. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_TMPFILE, O_CLOEXEC, sigtimedwait under -std=c11 */
#endif
#include "base/os/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <sys/vfs.h>
#endif

enum { MAX_LINKS = 40, /* as the kernel */ MAX_TRIES = 1000, RIGHTS = 07777, LOOK_MS = 50 };

/* ---- why --------------------------------------------------------------------------------------------------------- */

/* strerror_r is one of two functions: POSIX's gives an int, GNU's the text. */
static const char *outfile_reason_xsi(int rc, const char *text)
{
    return rc ? "unknown error" : text;
}
static const char *outfile_reason_gnu(const char *found, const char *text)
{
    (void)text;
    return found;
}
#define REASON_OF(x, text) _Generic((x), int : outfile_reason_xsi, char * : outfile_reason_gnu)((x), (text))

const char *st_outfile_reason(int code, char text[ST_OUTFILE_REASON])
{
    text[0] = 0;
    return REASON_OF(strerror_r(code, text, ST_OUTFILE_REASON), text);
}

/* ---- signals ----------------------------------------------------------------------------------------------------- */

/* What a write raises in the thread that writes: blocked meanwhile, and taken back unless it was there before. */
typedef struct quiet {
    sigset_t before, mine;
} quiet;

static const int raised_by_writes[] = {SIGPIPE, SIGXFSZ};

static void outfile_quiet_begin(quiet *q)
{
    sigset_t pending, both;
    sigemptyset(&q->mine);
    sigemptyset(&both);
    sigemptyset(&pending);
    (void)sigpending(&pending);
    for (size_t i = 0; i < sizeof raised_by_writes / sizeof *raised_by_writes; i++) {
        sigaddset(&both, raised_by_writes[i]);
        if (sigismember(&pending, raised_by_writes[i]) == 0) sigaddset(&q->mine, raised_by_writes[i]);
    }
    (void)pthread_sigmask(SIG_BLOCK, &both, &q->before);
}

/* A write that got some way before the reader left raises one too, and counts what it wrote: so what is pending says
 * it, not the result. */
static void outfile_quiet_end(quiet *q)
{
    sigset_t pending, raised;
    sigemptyset(&pending);
    sigemptyset(&raised);
    (void)sigpending(&pending);
    bool any = false;
    for (size_t i = 0; i < sizeof raised_by_writes / sizeof *raised_by_writes; i++)
        if (sigismember(&q->mine, raised_by_writes[i]) == 1 && sigismember(&pending, raised_by_writes[i]) == 1) {
            sigaddset(&raised, raised_by_writes[i]);
            any = true;
        }
    if (any) {
#if defined(__APPLE__)
        int got;
        (void)sigwait(&raised, &got);
#else
        struct timespec none = {0, 0};
        int got;
        do got = sigtimedwait(&raised, NULL, &none);
        while (got > 0 || (got < 0 && errno == EINTR));
#endif
    }
    (void)pthread_sigmask(SIG_SETMASK, &q->before, NULL);
}

/* Signals wait while a name exists that nobody is to see: these few calls run to their end. */
static void outfile_block_all(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, before);
}

static void outfile_unblock(const sigset_t *before)
{
    (void)pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static uint64_t outfile_random_bits(unsigned turn)
{
    uint64_t x = 0;
#if defined(SYS_getrandom)
    if (syscall(SYS_getrandom, &x, sizeof x, 1L /* GRND_NONBLOCK */) == (long)sizeof x) return x;
#endif
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, &x, sizeof x);
    if (fd >= 0) close(fd);
    if (got == (ssize_t)sizeof x) return x;
    struct timespec t; /* O_EXCL holds all the same */
    clock_gettime(CLOCK_MONOTONIC, &t);
    return ((uint64_t)t.tv_nsec << 32 | (uint64_t)getpid()) * 0x9e3779b97f4a7c15u + (uint64_t)t.tv_sec + turn;
}

static void outfile_make_name(char tmp[ST_OUTFILE_TMP], unsigned turn)
{
    snprintf(tmp, ST_OUTFILE_TMP, ".strata-%016llx.tmp", (unsigned long long)outfile_random_bits(turn));
}

/* Opens the folder that `path` names a file in, from the folder `at` on, and copies the file's name. */
static int outfile_open_folder(int at, char *path, int *dir, char name[ST_OUTFILE_NAME])
{
    char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
    size_t len = strlen(last);
    if (len == 0) return *path ? EISDIR : ENOENT;
    if (len >= ST_OUTFILE_NAME) return ENAMETOOLONG;
    memcpy(name, last, len + 1);
    if (slash) *last = 0;
    *dir = openat(at, slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int why = errno;
#if defined(O_PATH)
    /* A folder that may be written and searched but not listed. */
    if (*dir < 0 && why == EACCES) {
        *dir = openat(at, slash ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        why = errno;
    }
#endif
    return *dir < 0 ? why : 0;
}

/* A link that the kernel follows by itself, /proc/self/fd/1, which is where /dev/stdout points. */
static bool outfile_is_magic(int dir)
{
#if defined(__linux__)
    struct statfs fs;
    return fstatfs(dir, &fs) == 0 && fs.f_type == 0x9fa0; /* PROC_SUPER_MAGIC of linux/magic.h, a package of its own */
#else
    (void)dir;
    return false;
#endif
}

/* The folder and the name of the file itself, behind all links; *st says what is there, if anything is. *magic: behind
 * the name is an open file, whatever its path. */
static int outfile_find_file(const char *path, int *dir, char name[ST_OUTFILE_NAME], struct stat *st, bool *exists,
                             bool *magic)
{
    char way[4096]; /* PATH_MAX: no call takes more */
    size_t len = strlen(path);
    if (len >= sizeof way) return ENAMETOOLONG;
    memcpy(way, path, len + 1);
    int at = AT_FDCWD;
    *magic = false;
    for (int links = 0;; links++) {
        int rc = outfile_open_folder(at, way, dir, name);
        if (at != AT_FDCWD) close(at);
        if (rc) return rc;
        *exists = fstatat(*dir, name, st, AT_SYMLINK_NOFOLLOW) == 0;
        if (!*exists && errno == ENOENT) return 0;
        int why = *exists ? 0 : errno;
        if (!why && !S_ISLNK(st->st_mode)) return 0;
        if (!why && outfile_is_magic(*dir)) {
            *magic = true;
            return 0;
        }
        ssize_t n = why ? -1 : readlinkat(*dir, name, way, sizeof way);
        if (!why && n < 0) why = errno;
        if (!why && ((size_t)n >= sizeof way || links == MAX_LINKS)) why = links == MAX_LINKS ? ELOOP : ENAMETOOLONG;
        if (why) {
            close(*dir);
            return why;
        }
        way[n] = 0;
        at = *dir;
    }
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* What is private stays so while it is written. */
static mode_t outfile_first_mode(const st_outfile *o)
{
    return o->replaces ? 0600 : 0666;
}

static int outfile_open_nameless(const st_outfile *o)
{
#if defined(O_TMPFILE)
    int fd = openat(o->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, outfile_first_mode(o));
    if (fd < 0) return -1;
    /* It takes its name by way of /proc, which must be there. */
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    struct stat a, b;
    if (stat(self, &a) == 0 && fstat(fd, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev) return fd;
    close(fd);
#else
    (void)o;
#endif
    return -1;
}

static int outfile_open_named(st_outfile *o)
{
    for (unsigned i = 0; i < MAX_TRIES; i++) {
        outfile_make_name(o->tmp, i);
        int fd = openat(o->dir, o->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, outfile_first_mode(o));
        if (fd >= 0) return fd;
        if (errno != EEXIST && errno != EINTR) break;
    }
    o->tmp[0] = 0;
    return -1;
}

/* A device, a pipe, or what is open already: there the position and the way of writing are those that it has. */
static int outfile_open_as_it_stands(int dir, const char *name, bool magic, const volatile int *cancel)
{
    struct stat a, b;
    char *end;
    long n = magic ? strtol(name, &end, 10) : -1;
    if (n >= 0 && n <= INT_MAX && end != name && !*end && fstatat(dir, name, &a, 0) == 0 && fstat((int)n, &b) == 0 &&
        a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return fcntl((int)n, F_DUPFD_CLOEXEC, 0);
    /* A FIFO waits for its reader. One that can be cancelled looks for it instead: the flag may be set, by a handler,
     * just before a call that then never comes back. */
    bool look = cancel && !magic && fstatat(dir, name, &a, 0) == 0 && S_ISFIFO(a.st_mode);
    int fd;
    do {
        fd = openat(dir, name, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY | (look ? O_NONBLOCK : 0));
        if (fd < 0 && look && errno == ENXIO) {
            (void)poll(NULL, 0, LOOK_MS);
            errno = EINTR;
        }
    } while (fd < 0 && errno == EINTR && !(cancel && *cancel));
    if (fd >= 0 && look) (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return fd;
}

int st_outfile_open(st_outfile *o, const char *path, unsigned flags, const volatile int *cancel)
{
    struct stat st;
    bool exists, magic;
    *o = (st_outfile){.fd = -1, .dir = -1, .pid = (long)getpid(), .cancel = cancel};
    int dir, rc = outfile_find_file(path, &dir, o->name, &st, &exists, &magic);
    if (rc) return rc;
    o->replaces = exists;
    if (exists && S_ISDIR(st.st_mode)) {
        close(dir);
        return EISDIR;
    }
    if (exists && !S_ISREG(st.st_mode)) {
        o->fd = outfile_open_as_it_stands(dir, o->name, magic, cancel);
        rc = o->fd < 0 ? errno : 0;
        close(dir);
        return rc;
    }
    o->dir = dir;
    if (exists) o->mode = (unsigned)st.st_mode & RIGHTS, o->uid = (unsigned)st.st_uid, o->gid = (unsigned)st.st_gid;
    if (!(flags & ST_OUTFILE_NAMED)) o->fd = outfile_open_nameless(o);
    if (o->fd < 0) o->fd = outfile_open_named(o);
    if (o->fd >= 0) return 0;
    rc = errno;
    close(dir);
    o->dir = -1;
    return rc;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* A pipe that is full: waits for room of at least PIPE_BUF bytes, or for the flag. */
static int outfile_wait_for_room(const st_outfile *o)
{
    struct pollfd p = {.fd = o->fd, .events = POLLOUT};
    for (;;) {
        if (*o->cancel) return EINTR;
        int n = poll(&p, 1, LOOK_MS);
        if (n > 0) return 0; /* or an error, which the write says */
        if (n < 0 && errno != EINTR) return errno;
    }
}

static int outfile_write_out(st_outfile *o, const uint8_t *p, size_t n)
{
    bool wait = o->dir < 0 && o->cancel;
    if (o->pid != (long)getpid()) o->error = ECANCELED;
    while (n && !o->error) {
        if (wait && (o->error = outfile_wait_for_room(o)) != 0) break;
        quiet q;
        outfile_quiet_begin(&q);
        ssize_t got = write(o->fd, p, wait && n > PIPE_BUF ? PIPE_BUF : n);
        int why = got < 0 ? errno : 0;
        outfile_quiet_end(&q);
        if (got >= 0)
            p += got, n -= (size_t)got;
        else if (why != EINTR || (o->cancel && *o->cancel))
            o->error = why;
    }
    return o->error;
}

int st_outfile_flush(st_outfile *o)
{
    size_t n = o->len;
    o->len = 0;
    return outfile_write_out(o, o->buffer, n);
}

int st_outfile_write(st_outfile *o, const void *p, size_t n)
{
    if (o->error || n == 0) return o->error;
    if (n > o->cap - o->len && st_outfile_flush(o)) return o->error;
    if (n >= o->cap) return outfile_write_out(o, p, n);
    memcpy(o->buffer + o->len, p, n);
    o->len += n;
    return 0;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void outfile_forget(st_outfile *o)
{
    if (o->fd >= 0) close(o->fd);
    if (o->dir >= 0) close(o->dir);
    o->fd = o->dir = -1;
    o->tmp[0] = 0;
    o->len = 0;
}

void st_outfile_unlink(const st_outfile *o)
{
    if (o->dir >= 0 && o->tmp[0] && o->pid == (long)getpid()) (void)unlinkat(o->dir, o->tmp, 0);
}

void st_outfile_abort(st_outfile *o)
{
    if (o->fd < 0) return;
    st_outfile_unlink(o);
    outfile_forget(o);
}

/* File systems that have nothing to wait for say EINVAL or the like. */
static int outfile_sync_all(int fd)
{
    int rc;
    do rc = fsync(fd);
    while (rc != 0 && errno == EINTR);
    if (rc == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS || errno == ENOSYS || errno == EBADF) return 0;
    return errno;
}

/* Mode and owner of what is replaced, as far as this process may give them. Its rights go to nobody whom it did not
 * have before: without the group, what the group might do is nobody's. */
static void outfile_take_rights(const st_outfile *o)
{
    struct stat st;
    if (!o->replaces || fstat(o->fd, &st) != 0) return;
    unsigned mode = o->mode;
    bool user = st.st_uid == o->uid, group = st.st_gid == o->gid;
    if (!user || !group) {
        user |= fchown(o->fd, o->uid, (gid_t)-1) == 0;
        group |= fchown(o->fd, (uid_t)-1, o->gid) == 0;
    }
    if (!user) mode &= ~(unsigned)S_ISUID;
    if (!group) mode &= ~(unsigned)(S_ISGID | S_IRWXG) | (mode & 7u) << 3;
    (void)!fchmod(o->fd, mode);
}

/* A nameless file gets a temporary name: a link cannot replace. */
static int outfile_give_name(st_outfile *o)
{
#if defined(O_TMPFILE)
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", o->fd);
    for (unsigned i = 0; i < MAX_TRIES; i++) {
        outfile_make_name(o->tmp, i);
        if (linkat(AT_FDCWD, self, o->dir, o->tmp, AT_SYMLINK_FOLLOW) == 0) return 0;
        if (errno != EEXIST) break;
    }
    int why = errno;
    o->tmp[0] = 0;
    return why;
#else
    (void)o;
    return ENOSYS;
#endif
}

static int outfile_take_name(st_outfile *o)
{
    sigset_t before;
    outfile_block_all(&before);
    int rc = o->tmp[0] ? 0 : outfile_give_name(o);
    if (!rc) outfile_take_rights(o); /* with its name: a link to another's file may be refused */
    if (!rc && renameat(o->dir, o->tmp, o->dir, o->name) != 0) {
        rc = errno;
        st_outfile_unlink(o);
    }
    o->tmp[0] = 0;
    outfile_unblock(&before);
    return rc;
}

int st_outfile_commit(st_outfile *o)
{
    if (o->fd < 0) return EBADF;
    int rc = o->pid == (long)getpid() ? st_outfile_flush(o) : ECANCELED;
    if (o->dir < 0) { /* a device or a pipe; a full one may say so only here */
        if (close(o->fd) != 0 && !rc && errno != EINTR) rc = errno;
        o->fd = -1;
        return rc;
    }
    if (!rc) rc = outfile_sync_all(o->fd);
    if (!rc) rc = outfile_take_name(o);
    if (!rc)
        (void)outfile_sync_all(o->dir); /* it has its name; that a folder cannot be synced is no failure of the file */
    if (rc) st_outfile_abort(o);
    outfile_forget(o);
    return rc;
}

int st_outfile_scratch(void)
{
    const char *dir = getenv("TMPDIR");
    if (!dir || !*dir) dir = "/tmp";
    st_outfile o = {.fd = -1, .pid = (long)getpid()};
    o.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (o.dir < 0) return -1;
    sigset_t before;
    outfile_block_all(&before);
    int fd = -1;
#if defined(O_TMPFILE)
    fd = openat(o.dir, ".", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
#endif
    if (fd < 0 && (fd = outfile_open_named(&o)) >= 0) (void)unlinkat(o.dir, o.tmp, 0);
    int why = errno;
    outfile_unblock(&before);
    close(o.dir);
    errno = why;
    return fd;
}
