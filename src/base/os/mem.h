/* mem.h: where memory comes from.
 *
 * Every allocation of the library goes through a st_mem: the caller's allocator plus a byte budget. A test fails the
 * Nth allocation for every N. Sizes that come from outside are multiplied and added with the checked helpers first. A
 * model has one, in a block outside of it; its contexts use the same. */
#ifndef ST_BASE_OS_MEM_H
#define ST_BASE_OS_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata.h"

typedef struct st_mem {
    strata_allocator allocator;
    uint64_t cap;          /* bytes, 0: no limit */
    _Atomic uint64_t used; /* bytes held now */
} st_mem;

/* allocator NULL: the C library's. */
void st_mem_init(st_mem *mem, const strata_allocator *allocator, uint64_t cap);

/* Uninitialised / zeroed memory for n items of `size` bytes, 64-byte aligned; NULL when there is none, when n*size
 * wraps or when the cap is reached. n*size = 0 gives a valid pointer. */
void *st_alloc(st_mem *mem, size_t n, size_t size);
void *st_calloc(st_mem *mem, size_t n, size_t size);

/* As st_alloc for large tables: aligned to 2 MiB and advised for huge pages when at least that large. */
void *st_alloc_huge(st_mem *mem, size_t n, size_t size);

/* Zeroed memory of at least a page that comes and goes while the rest stays, to be given back with its size. Where it
 * comes from the C library's allocator it is the system's own pages instead: not resident before they are touched, and
 * the system's again at once. */
void *st_alloc_pages(st_mem *mem, size_t bytes);
void st_free_pages(st_mem *mem, void *p, size_t bytes);

/* Grows *ptr (of *cap items) to hold at least `need` items, by doubling, keeping `keep` items. False: no memory. */
bool st_grow(st_mem *mem, void *ptr, size_t *cap, size_t need, size_t keep, size_t size);

void st_free(st_mem *mem, void *ptr);

/* a*b, a+b in size_t; false on overflow, *out untouched then. */
static inline bool st_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool st_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* n rounded up to a multiple of the power of two `align`. The caller knows that it cannot wrap. */
static inline size_t st_round_up(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

#endif
