/* sys/mman.h: of Darwin's, what src/ and cli/ use; see ../README.md. */
#ifndef STUB_SYS_MMAN_H
#define STUB_SYS_MMAN_H

#include <sys/types.h>

#define PROT_NONE   0
#define PROT_READ   1
#define PROT_WRITE  2
#define MAP_SHARED  0x0001
#define MAP_PRIVATE 0x0002
#define MAP_FAILED  ((void *)-1)
#if STUB_ALL
#define MAP_ANON      0x1000
#define MAP_ANONYMOUS MAP_ANON
#define MADV_WILLNEED 3
#define MADV_DONTNEED 4
int madvise(void *p, size_t n, int how);
#endif
void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int munmap(void *p, size_t n);
int mprotect(void *p, size_t n, int protection);

#endif
