/* input.h: the texts of a command: its arguments ("-": lines of stdin), then --jsonl, then --lines; with none of these,
 * lines of stdin.
 *
 * Texts come in blocks of bounded size, so that memory does not grow with the input; a single text may be of any
 * length. A line that is no text (bad JSON, no such field) is an item of its own with a message. A byte order mark is
 * skipped; a file of UTF-16 is refused whole, before its first line. */
#ifndef CLI_IO_INPUT_H
#define CLI_IO_INPUT_H

#include <stdbool.h>

#include "cli.h"
#include "io/buf.h"

/* What the options say. */
typedef struct input_opts {
    const char *jsonl, *lines, *field; /* field NULL: whole lines of jsonl are items, as they are */
    const char *id;                    /* the field that names a line of jsonl to the caller; NULL: none */
    int lossy;
} input_opts;

#define OPT_OF_JSONL(o)                                                                \
    {                                                                                  \
        OPT_STRING, 0, "jsonl", "FILE|-", "texts from JSON lines", .value = &(o).jsonl \
    }
#define OPT_OF_FIELD(o)                                                                  \
    {                                                                                    \
        OPT_STRING, 0, "field", "NAME", "their field with the text", .value = &(o).field \
    }
#define OPT_OF_ID(o)                                                                              \
    {                                                                                             \
        OPT_STRING, 0, "id", "FIELD", "carry this field of jsonl to the output", .value = &(o).id \
    }
#define OPT_OF_LINES(o)                                                                 \
    {                                                                                   \
        OPT_STRING, 0, "lines", "FILE|-", "texts from plain lines", .value = &(o).lines \
    }
#define OPT_OF_LOSSY(o)                                                                       \
    {                                                                                         \
        OPT_FLAG, 0, "lossy", NULL, "replace invalid UTF-8, do not fail", .value = &(o).lossy \
    }

typedef struct input_item {
    size_t at, len;       /* bytes in block.bytes: the text, or why there is none */
    const char *source;   /* file name; NULL: an argument */
    uint64_t line;        /* from 1; of arguments: which */
    size_t id_at, id_len; /* bytes in block.bytes: the caller's id, JSON; id_len 0: none is known */
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

/* Fills the block with at most max_items texts (it stops earlier after max_bytes); n = 0 at the end. Where the input
 * pauses it ends, so that whoever waits for an answer before going on gets it. Returns an exit code. */
int input_next(input *in, input_block *b, size_t max_items, size_t max_bytes);
void input_block_free(input_block *b);

/* "12 of 80 texts", "1200 texts, 45 %": what is shown while `done` are done; n of the last block, of which
 * `of_block`. */
void input_progress(const input *in, const char *what, size_t done, size_t of_block, size_t n_block);

/* "texts.jsonl:7" or "text 3", for messages. */
void input_place(const input_item *item, char *out, size_t size);

/* A whole text file, "-" for stdin: without its byte order mark; UTF-16 is refused. Returns an exit code. */
int input_read_file(const char *path, buf *out);

/* A whole file as a string that ends with a NUL, one more in out->len; a NUL inside, which would end it early, is
 * refused by its offset. */
int input_read_string(const char *path, buf *out);
/* The same of a text in memory, which `what` names. */
int input_copy_string(const char *what, const char *text, buf *out);

#endif
