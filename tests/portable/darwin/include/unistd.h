/* unistd.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_UNISTD_H
#define STUB_UNISTD_H

#include <sys/types.h>

#define STDIN_FILENO         0
#define STDOUT_FILENO        1
#define STDERR_FILENO        2
#define F_OK                 0
#define X_OK                 1
#define W_OK                 2
#define R_OK                 4
#define _SC_PAGESIZE         29
#define _SC_NPROCESSORS_ONLN 58
#define _SC_THREAD_STACK_MIN 93
#if STUB_ALL
#define _SC_PHYS_PAGES 200
#endif

ssize_t read(int fd, void *p, size_t n);
ssize_t write(int fd, const void *p, size_t n);
off_t lseek(int fd, off_t at, int whence);
int close(int fd);
int dup(int fd);
int dup2(int fd, int to);
int pipe(int fds[2]);
int access(const char *path, int mode);
int unlink(const char *path);
int unlinkat(int dir, const char *path, int flags);
int link(const char *from, const char *to);
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
ssize_t readlink(const char *path, char *text, size_t n);
ssize_t readlinkat(int dir, const char *path, char *text, size_t n);
int fsync(int fd);
int ftruncate(int fd, off_t n);
int fchown(int fd, uid_t uid, gid_t gid);
int isatty(int fd);
pid_t fork(void);
pid_t getpid(void);
uid_t getuid(void);
int execv(const char *path, char *const argv[]);
int execvp(const char *file, char *const argv[]);
_Noreturn void _exit(int status);
long sysconf(int name);
unsigned sleep(unsigned seconds);
int mkstemp(char *path);
char *mkdtemp(char *path);
#if STUB_ALL
int mkostemp(char *path, int flags);
#endif

#endif
