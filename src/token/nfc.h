/* nfc.h: a text that tokenizers see instead of the one given, and where its bytes come from.
 *
 * Canonical composition (NFC) over the tables of unicode_tables.h, so with the Unicode version of HuggingFace's
 * normaliser. Text that is its own NFC, which is nearly all, costs one look at each character. */
#ifndef ST_TOKEN_NFC_H
#define ST_TOKEN_NFC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/os/mem.h"

/* A text that was changed. from and to are kept only where spans are wanted: byte i stands for [from[i], to[i]) of the
 * text that was given. */
typedef struct st_normal {
    uint8_t *text;
    uint32_t *from, *to;
    size_t n, cap, from_cap, to_cap;
    uint32_t *work; /* scratch: code points of one segment, before and after */
    size_t work_cap;
} st_normal;

/* Offset of the first character that NFC may change, or that may join what stands before it; n: none. */
size_t st_nfc_check(const uint8_t *p, size_t n);

/* Appends NFC(p[0..n)), valid UTF-8, to o. Positions count from `base`. False: no memory. */
bool st_nfc_append(st_normal *o, const uint8_t *p, size_t n, size_t base, bool spans, st_mem *mem);

/* Appends bytes that stand for [from, to). False: no memory. */
bool st_normal_put(st_normal *o, const uint8_t *p, size_t n, size_t from, size_t to, bool spans, st_mem *mem);
/* Appends bytes that stand for themselves, the first at `from`. False: no memory. */
bool st_normal_copy(st_normal *o, const uint8_t *p, size_t n, size_t from, bool spans, st_mem *mem);
void st_normal_free(st_normal *o, st_mem *mem);

#endif
