/* utf8_fix.h: a text that is not UTF-8 with U+FFFD where it is not, and offsets from one to the other. */
#ifndef ST_TOKEN_UTF8_FIX_H
#define ST_TOKEN_UTF8_FIX_H

#include "base/os/mem.h"

/* Where a replaced text differs from the given one: at byte `at` of the new text stand the 3 bytes of U+FFFD for `len`
 * bytes at `from`. */
typedef struct st_utf8_patch {
    size_t at, from;
    unsigned len;
} st_utf8_patch;

typedef struct st_utf8_fixed {
    char *text;
    size_t len;
    st_utf8_patch *patches;
    size_t n_patches;
} st_utf8_fixed;

/* Copies text with U+FFFD for each maximal invalid part. False: no memory. Owned by the caller: st_utf8_fixed_free. */
bool st_utf8_fix(const char *text, size_t n, st_mem *mem, st_utf8_fixed *out);
void st_utf8_fixed_free(st_utf8_fixed *f, st_mem *mem);

/* An offset of the new text in the given one; inside U+FFFD it goes to the start, or with `end` to the end, of the part
 * it stands for. */
size_t st_utf8_fixed_offset(const st_utf8_fixed *f, size_t offset, bool end);

/* An offset of the given text in the new one; inside a replaced part it goes to the start, or with `after` to the end,
 * of U+FFFD. */
size_t st_utf8_fixed_place(const st_utf8_fixed *f, size_t offset, bool after);

#endif
