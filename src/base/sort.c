/* sort.c: heap sort in place. */
#include "base/sort.h"

#include <string.h>

void st_sort(void *p, size_t n, size_t size, bool (*less)(const void *user, const void *a, const void *b),
             const void *user)
{
    unsigned char e[ST_SORT_SIZE], *q = p;
    for (size_t i = n / 2, end = n; end > 1;) {
        if (i > 0) {
            memcpy(e, q + --i * size, size);
        } else {
            memcpy(e, q + --end * size, size);
            memcpy(q + end * size, q, size);
        }
        size_t at = i;
        for (size_t c; (c = 2 * at + 1) < end; at = c) {
            if (c + 1 < end && less(user, q + c * size, q + (c + 1) * size)) c++;
            if (!less(user, e, q + c * size)) break;
            memcpy(q + at * size, q + c * size, size);
        }
        memcpy(q + at * size, e, size);
    }
}
