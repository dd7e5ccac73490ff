/* stream.h: text of a generation until it is certain.
 *
 * Bytes come token by token. What may still become a stop text, or is the first part of a character, is held back; what
 * is certain goes on as valid UTF-8, invalid bytes as U+FFFD. */
#ifndef ST_ENGINE_STREAM_H
#define ST_ENGINE_STREAM_H

#include <stdbool.h>

#include "base/error.h"
#include "base/os/mem.h"

typedef struct st_stream {
    const char *const *stop; /* [n_stop], borrowed */
    size_t n_stop;
    char *bytes; /* held */
    size_t n, cap;
    char *ready; /* text that is certain, until the next call */
    size_t n_ready, cap_ready;
    st_mem *mem;
} st_stream;

void st_stream_free(st_stream *h);

/* Adds bytes. *stopped: a stop text is complete; ready is what stands before it and nothing is held any more. Errors:
 * NO_MEMORY. */
int st_stream_add(st_stream *h, const char *p, size_t n, bool *stopped, strata_error *err);

/* Nothing more comes: what is held is certain, but for the first part of a character that stays without its end: that
 * is dropped, since a U+FFFD there would be one that the model did not write. */
int st_stream_end(st_stream *h, strata_error *err);

#endif
