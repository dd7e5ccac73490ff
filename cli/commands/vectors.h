/* vectors.h: how vectors leave the program: json, jsonl, npy, f32, or a table of their cosines. */
#ifndef CLI_COMMANDS_VECTORS_H
#define CLI_COMMANDS_VECTORS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/buf.h"
#include "io/lines.h"
#include "io/npy.h"

typedef enum vec_format { VEC_JSON, VEC_JSONL, VEC_NPY, VEC_F32 } vec_format;

typedef struct vec_writer {
    vec_format format;
    FILE *f;    /* of npy and f32 */
    lines text; /* of json and jsonl */
    npy array;
    uint32_t cols;
    size_t index;       /* of the next text */
    const char *prompt; /* shown in each object, unless NULL */
    float *nan_row;
} vec_writer;

/* What is known of one text. */
typedef struct vec_item {
    const float *v; /* [rows, cols] */
    size_t rows;
    bool by_token; /* an array of rows, one a token */
    uint32_t n_tokens;
    bool truncated;
    const char *error; /* NULL: none; else a row of NaN in the arrays */
    const char *id;    /* [id_len] the caller's, JSON; id_len 0: none */
    size_t id_len;
} vec_item;

/* These write in order and return false on failure, with errno set. */
bool vec_begin(vec_writer *w, vec_format format, FILE *f, uint32_t cols, const char *prompt);
bool vec_put(vec_writer *w, const vec_item *item);
/* Writes out what was put: somebody may wait for it. */
bool vec_flush(vec_writer *w);
bool vec_end(vec_writer *w);
void vec_free(vec_writer *w); /* always, also of a zeroed one */

/* Vectors kept for a table of cosines. */
typedef struct similarity {
    float *v; /* [n, cols] */
    size_t n, cap;
    uint32_t cols;
    buf labels; /* n lines, NUL-terminated */
} similarity;

void similarity_add(similarity *s, const float *v, const char *text, size_t len);
void similarity_print(const similarity *s, FILE *f);
void similarity_free(similarity *s);

#endif
