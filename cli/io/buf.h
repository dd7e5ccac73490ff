/* buf.h: a growing run of bytes. The program ends with a message when memory is out; the library never does. */
#ifndef CLI_IO_BUF_H
#define CLI_IO_BUF_H

#include <stddef.h>
#include <stdint.h>

typedef struct buf {
    char *p;
    size_t len, cap;
} buf;

void buf_add(buf *b, const void *bytes, size_t n);
void buf_free(buf *b);

/* A growing list of integers: token ids, token types. */
typedef struct ints {
    int32_t *p;
    size_t n, cap;
} ints;

void ints_add(ints *v, int32_t x);
void ints_free(ints *v);

/* Memory for n items of `size` bytes, zeroed; never NULL. */
void *must_calloc(size_t n, size_t size);
/* Room for `need` items in *p of *cap, by doubling; never fails. */
void *must_grow(void *p, size_t *cap, size_t need, size_t size);

#endif
