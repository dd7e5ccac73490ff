/* test_outfile.c: files appear whole or not at all, under any name, and no write raises a signal. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/os/outfile.h"
#include "strata.h"

static char dir[64];
static const unsigned both[] = {0, ST_OUTFILE_NAMED};

static int enter(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/strata-outfile-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    umask(022);
    return chdir(dir);
}

static int leave(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return chdir("/") || system(command);
}

/* Names in a folder. */
static int count(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static int descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static int save(const char *path, const char *text, unsigned flags)
{
    st_outfile o;
    int rc = st_outfile_open(&o, path, flags, NULL);
    if (rc) return rc;
    (void)st_outfile_write(&o, text, strlen(text));
    return st_outfile_commit(&o);
}

static void expect(const char *path, const char *text)
{
    char got[64] = {0};
    int fd = open(path, O_RDONLY);
    if (fd < 0) fail_msg("%s: %s", path, strerror(errno));
    assert_true(read(fd, got, sizeof got - 1) >= 0);
    close(fd);
    assert_string_equal(got, text);
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (unsigned)st.st_mode & 07777;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void whole_or_not_at_all(void **state)
{
    (void)state;
    int open_before = descriptors();
    for (int i = 0; i < 2; i++) {
        st_outfile o;
        assert_int_equal(st_outfile_open(&o, "f", both[i], NULL), 0);
        assert_int_equal(fcntl(o.fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(st_outfile_write(&o, "new", 3), 0);
        assert_int_not_equal(access("f", F_OK), 0);
        assert_int_equal(st_outfile_commit(&o), 0);
        expect("f", "new");
        assert_int_equal(mode_of("f"), 0644);
        assert_int_equal(st_outfile_open(&o, "f", both[i], NULL), 0);
        assert_int_equal(st_outfile_write(&o, "other", 5), 0);
        expect("f", "new");
        st_outfile_abort(&o);
        st_outfile_abort(&o);
        expect("f", "new");
        assert_int_equal(count("."), 1);
        assert_int_equal(remove("f"), 0);
    }
    assert_int_equal(save("no/such", "x", 0), ENOENT);
    assert_int_equal(save("", "x", 0), ENOENT);
    assert_int_equal(save(".", "x", 0), EISDIR);
    assert_int_equal(save("f/", "x", 0), EISDIR);
    put("f", "");
    assert_int_equal(save("f/g", "x", 0), ENOTDIR);
    assert_int_equal(descriptors(), open_before);
}

/* As long as the file system takes them, of one byte or of several a character, and far down. */
static void long_names(void **state)
{
    (void)state;
    char name[300];
    for (int i = 0; i < 2; i++) {
        memset(name, 'y', sizeof name);
        for (size_t n = 240; n <= 256; n++) {
            name[n] = 0;
            assert_int_equal(save(name, "x", both[i]), n <= 255 ? 0 : ENAMETOOLONG);
            if (n <= 255) expect(name, "x");
            if (n <= 255) assert_int_equal(remove(name), 0);
            name[n] = 'y';
        }
        for (size_t n = 0; n < 85; n++) memcpy(name + 3 * n, "\xe6\x97\xa5", 3);
        name[255] = 0;
        assert_int_equal(save(name, "x", both[i]), 0);
        assert_int_equal(remove(name), 0);
    }
    char path[4200] = "";
    memset(name, 'd', 200);
    name[200] = 0;
    while (strlen(path) + 201 < 3800) {
        strcat(path, name);
        assert_int_equal(mkdir(path, 0700), 0);
        strcat(path, "/");
    }
    strcat(path, "file");
    assert_int_equal(save(path, "far", 0), 0);
    expect(path, "far");
    memset(path, 'x', sizeof path);
    path[4100] = 0;
    assert_int_equal(save(path, "x", 0), ENAMETOOLONG);
}

static void links(void **state)
{
    (void)state;
    char target[16];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mkdir("sub", 0700), 0);
        put("sub/real", "old");
        assert_int_equal(symlink("sub/middle", "link"), 0);
        assert_int_equal(symlink("real", "sub/middle"), 0);
        assert_int_equal(save("link", "new", both[i]), 0);
        expect("sub/real", "new");
        assert_int_equal(readlink("link", target, sizeof target), 10);
        assert_int_equal(readlink("sub/middle", target, sizeof target), 4);
        /* One that points nowhere yet is where the file is to be. */
        assert_int_equal(remove("sub/real"), 0);
        assert_int_equal(save("link", "made", both[i]), 0);
        expect("sub/real", "made");
        assert_int_equal(readlink("link", target, sizeof target), 10);
        assert_int_equal(count("sub"), 2);
        assert_int_equal(count("."), 2);
        assert_int_equal(symlink("loop", "loop"), 0);
        assert_int_equal(save("loop", "x", both[i]), ELOOP);
        assert_int_equal(symlink("none/x", "astray"), 0);
        assert_int_equal(save("astray", "x", both[i]), ENOENT);
        /* A second name of the same file keeps what it had. */
        put("one", "old");
        assert_int_equal(link("one", "two"), 0);
        assert_int_equal(save("one", "new", both[i]), 0);
        expect("two", "old");
        assert_int_equal(system("rm -rf ./*"), 0);
    }
}

static void rights(void **state)
{
    (void)state;
    static const unsigned modes[] = {0600, 0640, 0644, 0664, 0777, 0400, 0444, 0000};
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof modes / sizeof *modes; k++) {
            put("f", "old");
            assert_int_equal(chmod("f", modes[k]), 0);
            st_outfile o;
            struct stat st;
            assert_int_equal(st_outfile_open(&o, "f", both[i], NULL), 0);
            assert_int_equal(fstat(o.fd, &st), 0);
            assert_int_equal(st.st_mode & 077, 0); /* nobody else reads it while it grows */
            assert_int_equal(st_outfile_commit(&o), 0);
            assert_int_equal(mode_of("f"), modes[k]);
            assert_int_equal(remove("f"), 0);
        }
    umask(077);
    assert_int_equal(save("f", "x", 0), 0);
    umask(022);
    assert_int_equal(mode_of("f"), 0600);
    if (geteuid() != 0) {
        print_message("not root: owners are not tested\n");
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct stat st;
        assert_int_equal(chown("f", 1234, 4321), 0);
        assert_int_equal(chmod("f", 06750), 0);
        assert_int_equal(save("f", "new", both[i]), 0);
        assert_int_equal(stat("f", &st), 0);
        assert_int_equal(st.st_uid, 1234);
        assert_int_equal(st.st_gid, 4321);
        assert_int_equal(st.st_mode & 07777, 06750);
    }
    /* Who may not give a file away keeps it, with no right for a group that had none. */
    assert_int_equal(chmod(".", 0777), 0);
    assert_int_equal(chmod("f", 0664), 0);
    pid_t p = fork();
    if (p == 0) {
        struct stat st;
        if (setgid(99) || setuid(99)) _exit(2);
        if (save("f", "mine", 0)) _exit(3);
        _exit(stat("f", &st) || st.st_uid != 99 || (st.st_mode & 07777) != 0644 ? 4 : 0);
    }
    int status;
    assert_int_equal(waitpid(p, &status, 0), p);
    assert_int_equal(status, 0);
}

/* Left-overs of other programs, and of this one, stand in nobody's way. */
static void temporary_names(void **state)
{
    (void)state;
    char name[64], first[ST_OUTFILE_TMP];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "f.%d.tmp", i);
        put(name, "");
    }
    st_outfile a, b;
    assert_int_equal(st_outfile_open(&a, "f", ST_OUTFILE_NAMED, NULL), 0);
    assert_int_equal(st_outfile_open(&b, "f", ST_OUTFILE_NAMED, NULL), 0);
    strcpy(first, a.tmp);
    assert_string_not_equal(a.tmp, b.tmp);
    assert_int_equal(access(first, F_OK), 0);
    st_outfile_unlink(&a);
    assert_int_not_equal(access(first, F_OK), 0);
    st_outfile_abort(&a);
    assert_int_equal(st_outfile_write(&b, "b", 1), 0);
    assert_int_equal(st_outfile_commit(&b), 0);
    expect("f", "b");
    assert_int_equal(count("."), 201);
}

/* ---- what is no file --------------------------------------------------------------------------------------------- */

static void devices_and_pipes(void **state)
{
    (void)state;
    assert_int_equal(save("/dev/null", "x", 0), 0);
    assert_int_equal(save("/dev/full", "x", 0), ENOSPC);
    assert_int_equal(symlink("/dev/null", "null"), 0);
    assert_int_equal(save("null", "x", 0), 0);
    assert_int_equal(mkfifo("p", 0600), 0);
    pid_t reader = fork();
    if (reader == 0) {
        char got[8] = {0};
        int fd = open("p", O_RDONLY);
        ssize_t n = read(fd, got, sizeof got);
        _exit(n == 3 && memcmp(got, "abc", 3) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(save("p", "abc", 0), 0);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
    struct stat st;
    assert_int_equal(lstat("p", &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(count("."), 2);
    /* What is open already is gone on with where it is. */
    char name[64];
    put("log", "one ");
    int fd = open("log", O_WRONLY | O_APPEND);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (access("/proc/self/fd", F_OK) == 0) {
        assert_int_equal(save(name, "two", 0), 0);
        expect("log", "one two");
    }
    close(fd);
}

/* ---- signals ----------------------------------------------------------------------------------------------------- */

static volatile int heard;

static void hear(int sig)
{
    heard = sig;
}

static int broken_pipe(st_outfile *o)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    *o = (st_outfile){.fd = fds[1], .dir = -1, .pid = (long)getpid()};
    return st_outfile_write(o, "x", 1);
}

static void no_signal_is_raised(void **state)
{
    (void)state;
    st_outfile o;
    sigset_t set, pipe_set;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    signal(SIGPIPE, hear);
    signal(SIGXFSZ, hear);
    heard = 0;
    assert_int_equal(broken_pipe(&o), EPIPE);
    assert_int_equal(st_outfile_write(&o, "x", 1), EPIPE); /* for good */
    assert_int_equal(st_outfile_commit(&o), EPIPE);
    /* A reader that leaves while a write is half done. */
    int fds[2];
    static uint8_t much[300000];
    assert_int_equal(pipe(fds), 0);
    pid_t reader = fork();
    if (reader == 0) {
        close(fds[1]);
        usleep(100000);
        _exit(0);
    }
    close(fds[0]);
    o = (st_outfile){.fd = fds[1], .dir = -1, .pid = (long)getpid()};
    assert_int_equal(st_outfile_write(&o, much, sizeof much), EPIPE);
    st_outfile_abort(&o);
    assert_int_equal(waitpid(reader, NULL, 0), reader);
    struct rlimit was, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){2, was.rlim_max};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        int rc = save("f", "too long", both[i]);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        assert_int_equal(rc, EFBIG);
        assert_int_equal(count("."), 0);
    }
    assert_int_equal(heard, 0);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
    assert_false(sigismember(&set, SIGPIPE));
    assert_int_equal(sigpending(&set), 0);
    assert_false(sigismember(&set, SIGPIPE));
    assert_false(sigismember(&set, SIGXFSZ));

    /* One that waited before is the host's, and still waits. */
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &pipe_set, NULL), 0);
    raise(SIGPIPE);
    assert_int_equal(broken_pipe(&o), EPIPE);
    st_outfile_abort(&o);
    assert_int_equal(sigpending(&set), 0);
    assert_true(sigismember(&set, SIGPIPE));
    assert_int_equal(heard, 0);
    assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &pipe_set, NULL), 0);
    assert_int_equal(heard, SIGPIPE);
    /* A host that ignores it. */
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(broken_pipe(&o), EPIPE);
    st_outfile_abort(&o);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
}

#define MODEL STRATA_SOURCE_DIR "/tests/data/tiny/gemma-embedding.gguf"
#define SMALL STRATA_SOURCE_DIR "/tests/data/tiny/eurobert.gguf" /* less than a buffer */

/* The public call, under the default actions, which would end the process. */
static void quantising_raises_none(void **state)
{
    (void)state;
    strata_error e;
    assert_int_equal(mkfifo("p", 0600), 0);
    pid_t reader = fork();
    if (reader == 0) {
        char some[10];
        int fd = open("p", O_RDONLY);
        _exit(read(fd, some, sizeof some) == 10 ? 0 : 1);
    }
    int rc = strata_quantize(MODEL, "p", "F32", NULL, &e), status;
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(rc, STRATA_IO);
    assert_non_null(strstr(e.msg, "p: cannot write: Broken pipe"));
    struct rlimit was, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){4096, was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    rc = strata_quantize(MODEL, "o.gguf", "F32", NULL, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(rc, STRATA_IO);
    assert_non_null(strstr(e.msg, "o.gguf: cannot write: File too large"));
    assert_int_equal(count("."), 1);
    rc = strata_quantize(MODEL, "/dev/full", "F32", NULL, &e);
    assert_int_equal(rc, STRATA_IO);
    assert_non_null(strstr(e.msg, "/dev/full: cannot write: No space left on device"));
}

static int want_stop;

static void stop(int sig)
{
    (void)sig;
    want_stop = 1;
}

/* A wait for the reader of a pipe ends with the flag and a signal; one for room in it too, also with the last bytes. */
static void waits_can_be_cancelled(void **state)
{
    (void)state;
    assert_int_equal(mkfifo("p", 0600), 0);
    struct sigaction a = {.sa_handler = stop};
    const struct itimerval soon = {.it_value = {.tv_usec = 200000}};
    sigaction(SIGALRM, &a, NULL);
    want_stop = 0;
    strata_quantize_opts o = {.cancel = &want_stop};
    strata_error e;
    setitimer(ITIMER_REAL, &soon, NULL);
    assert_int_equal(strata_quantize(MODEL, "p", "Q8_0", &o, &e), STRATA_CANCELLED);
    int full = open("p", O_RDWR | O_NONBLOCK);
    assert_true(full >= 0);
    while (write(full, "", 1) == 1) continue;
    want_stop = 0;
    setitimer(ITIMER_REAL, &soon, NULL);
    assert_int_equal(strata_quantize(SMALL, "p", "Q8_0", &o, &e), STRATA_CANCELLED);
    close(full);
    signal(SIGALRM, SIG_DFL);
}

/* A child that comes by such a file leaves the parent's alone. */
static void a_child_leaves_it_alone(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        st_outfile o;
        static uint8_t buffer[64];
        assert_int_equal(st_outfile_open(&o, "f", both[i], NULL), 0);
        o.buffer = buffer, o.cap = sizeof buffer;
        assert_int_equal(st_outfile_write(&o, "half", 4), 0);
        pid_t p = fork();
        if (p == 0) {
            if (i && st_outfile_commit(&o) == 0) _exit(1);
            st_outfile_abort(&o);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(p, &status, 0), p);
        assert_int_equal(status, 0);
        assert_int_equal(st_outfile_write(&o, "whole", 5), 0);
        assert_int_equal(st_outfile_commit(&o), 0);
        expect("f", "halfwhole");
    }
}

static void buffers(void **state)
{
    (void)state;
    uint8_t buffer[7];
    char all[400] = "", got[400] = {0};
    st_outfile o;
    assert_int_equal(st_outfile_open(&o, "f", 0, NULL), 0);
    o.buffer = buffer, o.cap = sizeof buffer;
    for (size_t n = 0; n < 20; n++) {
        const char *piece = &"abcdefghijklmnopqrst"[20 - n];
        assert_int_equal(st_outfile_write(&o, piece, n), 0);
        strcat(all, piece);
    }
    assert_int_equal(st_outfile_commit(&o), 0);
    int fd = open("f", O_RDONLY);
    assert_int_equal(read(fd, got, sizeof got), strlen(all));
    close(fd);
    assert_string_equal(got, all);
}

static void scratch(void **state)
{
    (void)state;
    int fd = st_outfile_scratch();
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_nlink, 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    close(fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)
    const struct CMUnitTest tests[] = {
        TEST(whole_or_not_at_all),
        TEST(long_names),
        TEST(links),
        TEST(rights),
        TEST(temporary_names),
        TEST(devices_and_pipes),
        TEST(no_signal_is_raised),
        TEST(quantising_raises_none),
        TEST(waits_can_be_cancelled),
        TEST(a_child_leaves_it_alone),
        TEST(buffers),
        TEST(scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
