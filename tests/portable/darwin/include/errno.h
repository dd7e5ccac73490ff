/* errno.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_ERRNO_H
#define STUB_ERRNO_H

int *__error(void);
#define errno (*__error())

#define ENOENT       2
#define EINTR        4
#define EIO          5
#define ENXIO        6
#define EBADF        9
#define ENOMEM       12
#define EACCES       13
#define EEXIST       17
#define ENOTDIR      20
#define EISDIR       21
#define EINVAL       22
#define EFBIG        27
#define ENOSPC       28
#define EROFS        30
#define EPIPE        32
#define EDOM         33
#define ERANGE       34
#define EAGAIN       35
#define ENOTSUP      45
#define ELOOP        62
#define ENAMETOOLONG 63
#define ENOSYS       78
#define EOVERFLOW    84
#define ECANCELED    89
#define EILSEQ       92

#endif
