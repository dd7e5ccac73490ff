/* line.h: a line typed at a terminal, with editing and history; elsewhere a plain line.
 *
 * The terminal is in raw mode only while a line is read. A backslash at the end of a line, and every newline of what is
 * pasted, goes on with another; UTF-8 is edited by characters. Everything is drawn on the standard error, so that the
 * standard output holds answers alone. */
#ifndef CLI_IO_LINE_H
#define CLI_IO_LINE_H

#include <stdbool.h>

#include "io/buf.h"

typedef struct line_editor {
    bool terminal; /* keys, not lines */
    char **history;
    size_t n_history, history_cap;
    buf rest; /* of plain input, read and not yet handed out */
    size_t rest_at;
    bool end;
} line_editor;

typedef enum line_result {
    LINE_OK,
    LINE_END,      /* of the input; Ctrl-D on an empty line */
    LINE_INTERRUPT /* Ctrl-C */
} line_result;

void line_open(line_editor *e);
void line_close(line_editor *e);

/* Puts the line, without its end, in place of *out. */
line_result line_read(line_editor *e, const char *prompt, buf *out);

/* Columns of a character on a terminal: 0, 1 or 2. */
int line_width(unsigned cp);

#endif
