/* sort.h: sorting without memory from anywhere, unlike qsort, which may take some, and with an argument for the
 * comparison. */
#ifndef ST_BASE_SORT_H
#define ST_BASE_SORT_H

#include <stdbool.h>
#include <stddef.h>

/* Heap sort of n elements of `size` bytes, at most ST_SORT_SIZE. */
enum { ST_SORT_SIZE = 16 };
void st_sort(void *p, size_t n, size_t size, bool (*less)(const void *user, const void *a, const void *b),
             const void *user);

#endif
