/* levels.c: the walk over a table of kernel levels. */
#include "backend/cpu/kernels/levels.h"

#include <string.h>

static bool level_is_granted(const st_kernel_level *l, uint32_t have)
{
    return l->fill && (l->needs & ~have) == 0;
}

bool st_levels_fill(const st_kernel_level *levels, size_t n, uint32_t have, const char *cap, st_kernels *k)
{
    size_t end = n;
    if (cap && *cap) {
        for (end = 0; end < n && strcmp(levels[end].name, cap) != 0; end++) continue;
        if (end == n) return false;
        end++;
    }
    memset(k, 0, sizeof *k);
    for (size_t i = 0; i < end; i++)
        if (level_is_granted(&levels[i], have)) {
            levels[i].fill(k);
            k->level = levels[i].name;
        }
    return true;
}

const char *st_levels_at(const st_kernel_level *levels, size_t n, uint32_t have, uint32_t i)
{
    for (size_t j = 0; j < n; j++)
        if (level_is_granted(&levels[j], have) && i-- == 0) return levels[j].name;
    return NULL;
}
