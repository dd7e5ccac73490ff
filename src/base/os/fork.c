/* fork.c: a page that the kernel wipes in children, and the number in it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* madvise, MAP_ANONYMOUS under -std=c11 */
#endif
#include "base/os/fork.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* Enough for the number and no less than what mmap gives. */
static size_t fork_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void st_fork_open(st_fork *f)
{
    atomic_init(&f->number, 1);
    f->page = NULL;
#ifdef MADV_WIPEONFORK
    void *p = mmap(NULL, fork_page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return;
    if (madvise(p, fork_page_size(), MADV_WIPEONFORK) != 0) {
        munmap(p, fork_page_size());
        return;
    }
    f->page = p;
    atomic_store(f->page, 1);
#endif
}

void st_fork_close(st_fork *f)
{
    if (f->page) munmap((void *)(uintptr_t)f->page, fork_page_size());
    f->page = NULL;
}

uint32_t st_fork_number(st_fork *f)
{
    if (!f->page) return (uint32_t)getpid();
    uint32_t known = atomic_load(f->page);
    if (known) return known;
    /* Taken before it is shown, so that a fork in between gives the child a higher one. */
    uint32_t mine = atomic_fetch_add(&f->number, 1) + 1;
    return atomic_compare_exchange_strong(f->page, &known, mine) ? mine : known;
}
