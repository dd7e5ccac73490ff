/* input.h: the texts of a command: its arguments, then --jsonl, then --lines; with none of these, lines of stdin.
 *
 * Texts come in blocks of bounded size, so that memory does not grow with the input; a single text may be of any
 * length. A line that is no text (bad JSON, no such field) is an item of its own with a message. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include <stdbool.h>

#include "buf.h"
#include "cli.h"

/* What the options say. */
typedef struct input_opts {
    const char *jsonl, *lines, *field; /* field NULL: whole lines of jsonl are items, as they are */
    int lossy;
} input_opts;

#define OPT_OF_JSONL(o)                                                                \
    {                                                                                  \
        OPT_STRING, 0, "jsonl", "FILE|-", "texts from JSON lines", &(o).jsonl, 0, NULL \
    }
#define OPT_OF_FIELD(o)                                                                    \
    {                                                                                      \
        OPT_STRING, 0, "field", "NAME", "their field (default: text)", &(o).field, 0, NULL \
    }
#define OPT_OF_LINES(o)                                                                 \
    {                                                                                   \
        OPT_STRING, 0, "lines", "FILE|-", "texts from plain lines", &(o).lines, 0, NULL \
    }
#define OPT_OF_LOSSY(o)                                                                       \
    {                                                                                         \
        OPT_FLAG, 0, "lossy", NULL, "replace invalid UTF-8, do not fail", &(o).lossy, 0, NULL \
    }

typedef struct input_item {
    size_t at, len;     /* bytes in block.bytes: the text, or why there is none */
    const char *source; /* file name; NULL: an argument */
    uint64_t line;      /* from 1; of arguments: which */
    bool bad;
} input_item;

typedef struct input_block {
    buf bytes;
    input_item *items;
    size_t n, cap;
} input_block;

typedef struct input input;

/* Opens all sources. Returns an exit code; a message has been written. *in also on failure: close it. */
int input_open(input **in, const command *c, const input_opts *o, int argc, char **argv);
void input_close(input *in);

/* Fills the block with at most max_items texts (it stops earlier after max_bytes); n = 0 at the end. Typed by a person,
 * a line makes a block. Returns an exit code. */
int input_next(input *in, input_block *b, size_t max_items, size_t max_bytes);
void input_block_free(input_block *b);

/* "texts.jsonl:7" or "text 3", for messages. */
void input_place(const input_item *item, char *out, size_t size);

/* A whole file, "-" for stdin. Returns an exit code. */
int input_read_file(const char *path, buf *out);

/* A whole file as a string that ends with a NUL, one more in out->len; a NUL inside, which would end it early, is
 * refused by its offset. */
int input_read_string(const char *path, buf *out);

#endif
