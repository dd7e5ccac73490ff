/* mem.c: the allocator with its budget, huge pages, and pages of the system's own. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* madvise, O_CLOEXEC under -std=c11 */
#endif
#include "base/os/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fp.h"

#define ALIGN     ((size_t)64)
#define HUGE_PAGE ((size_t)2 << 20)

/* A header in front of each block remembers its size, so that the budget can be given back without asking callers. It
 * fills one alignment unit and keeps what follows aligned. */
typedef struct header {
    void *base;
    size_t total;
} header;

static void *mem_libc_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    void *p = NULL;
    return posix_memalign(&p, align, size) == 0 ? p : NULL;
}

static void mem_libc_free(void *user, void *ptr)
{
    (void)user;
    free(ptr);
}

void st_mem_init(st_mem *mem, const strata_allocator *allocator, uint64_t cap)
{
    mem->allocator = allocator ? *allocator : (strata_allocator){mem_libc_alloc, mem_libc_free, NULL};
    mem->cap = cap;
    atomic_init(&mem->used, 0);
}

static void *mem_alloc_aligned(st_mem *mem, size_t n, size_t size, size_t align)
{
    size_t bytes, total;
    if (!st_mul(n, size, &bytes) || !st_add(bytes, align, &total)) return NULL;
    uint64_t used = atomic_fetch_add(&mem->used, total) + total;
    if (mem->cap && used > mem->cap) {
        atomic_fetch_sub(&mem->used, total);
        return NULL;
    }
    bool inside = mem->allocator.alloc != mem_libc_alloc && st_fp_out();
    uint8_t *base = mem->allocator.alloc(mem->allocator.user, total, align);
    st_fp_back(inside);
    if (!base) {
        atomic_fetch_sub(&mem->used, total);
        return NULL;
    }
    uint8_t *p = base + align;
    memcpy(p - sizeof(header), &(header){base, total}, sizeof(header));
    return p;
}

void *st_alloc(st_mem *mem, size_t n, size_t size)
{
    return mem_alloc_aligned(mem, n, size, ALIGN);
}

void *st_calloc(st_mem *mem, size_t n, size_t size)
{
    void *p = st_alloc(mem, n, size);
    if (p) memset(p, 0, n * size);
    return p;
}

void *st_alloc_huge(st_mem *mem, size_t n, size_t size)
{
    size_t bytes;
    if (!st_mul(n, size, &bytes)) return NULL;
    if (bytes < HUGE_PAGE) return st_alloc(mem, n, size);
    void *p = mem_alloc_aligned(mem, n, size, HUGE_PAGE);
#ifdef MADV_HUGEPAGE
    if (p) (void)madvise(p, bytes, MADV_HUGEPAGE); /* a hint: ordinary pages only cost time */
#endif
    return p;
}

/* Smaller pieces would waste the rest of their last page, and a call of the system on each. */
#define MIN_PAGES ((size_t)64 << 10)

static bool mem_has_pages(const st_mem *mem, size_t bytes)
{
    return mem->allocator.alloc == mem_libc_alloc && bytes >= MIN_PAGES;
}

void *st_alloc_pages(st_mem *mem, size_t bytes)
{
    if (!mem_has_pages(mem, bytes)) return st_calloc(mem, bytes, 1);
    uint64_t used = atomic_fetch_add(&mem->used, bytes) + bytes;
    void *p = MAP_FAILED;
    if (!mem->cap || used <= mem->cap)
        p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED) return p;
    atomic_fetch_sub(&mem->used, bytes);
    return NULL;
}

void st_free_pages(st_mem *mem, void *p, size_t bytes)
{
    if (!p) return;
    if (!mem_has_pages(mem, bytes)) {
        st_free(mem, p);
        return;
    }
    atomic_fetch_sub(&mem->used, bytes);
    (void)munmap(p, bytes);
}

bool st_grow(st_mem *mem, void *ptr, size_t *cap, size_t need, size_t keep, size_t size)
{
    if (need <= *cap) return true;
    size_t next = *cap > SIZE_MAX / 2 ? need : *cap * 2;
    if (next < need) next = need;
    if (next < 16) next = 16;
    void *old;
    memcpy(&old, ptr, sizeof old);
    void *p = st_alloc(mem, next, size);
    if (!p) return false;
    if (old && keep) memcpy(p, old, keep * size);
    st_free(mem, old);
    memcpy(ptr, &p, sizeof p);
    *cap = next;
    return true;
}

void st_free(st_mem *mem, void *ptr)
{
    if (!ptr) return;
    header h;
    memcpy(&h, (uint8_t *)ptr - sizeof h, sizeof h);
    atomic_fetch_sub(&mem->used, h.total);
    bool inside = mem->allocator.free != mem_libc_free && st_fp_out();
    mem->allocator.free(mem->allocator.user, h.base);
    st_fp_back(inside);
}
