/* sys/stat.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_SYS_STAT_H
#define STUB_SYS_STAT_H

#include <time.h>

struct stat {
    dev_t st_dev;
    mode_t st_mode;
    nlink_t st_nlink;
    ino_t st_ino;
    uid_t st_uid;
    gid_t st_gid;
    dev_t st_rdev;
#if STUB_ALL
    struct timespec st_atimespec, st_mtimespec, st_ctimespec;
#else
    struct timespec st_atim, st_mtim, st_ctim;
#endif
    off_t st_size;
    blkcnt_t st_blocks;
    blksize_t st_blksize;
};
#define S_IFMT      0170000
#define S_IRWXU     0000700
#define S_IRWXG     0000070
#define S_IRWXO     0000007
#define S_ISUID     0004000
#define S_ISGID     0002000
#define S_ISFIFO(m) (((m)&S_IFMT) == 0010000)
#define S_ISCHR(m)  (((m)&S_IFMT) == 0020000)
#define S_ISDIR(m)  (((m)&S_IFMT) == 0040000)
#define S_ISREG(m)  (((m)&S_IFMT) == 0100000)
#define S_ISLNK(m)  (((m)&S_IFMT) == 0120000)
int stat(const char *path, struct stat *st);
int fstat(int fd, struct stat *st);
int lstat(const char *path, struct stat *st);
int fstatat(int dir, const char *path, struct stat *st, int flags);
int fchmod(int fd, mode_t mode);
int mkdir(const char *path, mode_t mode);
mode_t umask(mode_t mask);

#endif
