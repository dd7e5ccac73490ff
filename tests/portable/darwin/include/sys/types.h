/* sys/types.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_SYS_TYPES_H
#define STUB_SYS_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* As sys/cdefs.h: what is Darwin's own hides from a file that asks for POSIX alone. _GNU_SOURCE means nothing. */
#if !defined(_POSIX_C_SOURCE) || defined(_DARWIN_C_SOURCE)
#define STUB_ALL 1
#else
#define STUB_ALL 0
#endif

typedef long ssize_t;
typedef long long off_t;
typedef int pid_t;
typedef unsigned uid_t;
typedef unsigned gid_t;
typedef unsigned short mode_t;
typedef unsigned short nlink_t;
typedef int dev_t;
typedef unsigned long long ino_t;
typedef long long blkcnt_t;
typedef int blksize_t;
typedef long time_t;
typedef int suseconds_t;

#endif
