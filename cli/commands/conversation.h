/* conversation.h: messages as JSON, and what turns them into a prompt: --system, --messages, --template, --tools.
 *
 * Messages are kept as the text of a JSON array, so that those of a file keep every key that a template may read. */
#ifndef CLI_COMMANDS_CONVERSATION_H
#define CLI_COMMANDS_CONVERSATION_H

#include <stdbool.h>

#include "cli.h"

typedef struct conversation_opts {
    const char *messages, *system, *system_file, *template, *tools, *documents, *variables;
    int no_generation_prompt;
    uint64_t now; /* local time in seconds since 1970, if now_given; else the clock's */
    bool now_given;
} conversation_opts;

/* clang-format off */
#define OPTS_OF_CONVERSATION(o)                                                                               \
    {OPT_STRING, 0, "messages", "FILE|-", "a conversation, as a JSON array", .value = &(o).messages},         \
    {OPT_STRING, 0, "system", "TEXT", "the system message", .value = &(o).system},                            \
    {OPT_STRING, 0, "system-file", "FILE", "the same from a file", .value = &(o).system_file},                \
    {OPT_STRING, 0, "template", "FILE|chatml", "a Jinja template instead of the model's", .value = &(o).template}, \
    {OPT_STRING, 0, "tools", "FILE|JSON", "tools for the template, an array", .value = &(o).tools},           \
    {OPT_STRING, 0, "documents", "FILE|JSON", "documents for the template, an array", .value = &(o).documents}, \
    {OPT_STRING, 0, "variables", "FILE|JSON", "of the template: '{\"enable_thinking\":false}'", .value = &(o).variables}, \
    {OPT_WHOLE, 0, "now", "SECONDS", "the template's local time", .value = &(o).now, .def = "the clock's", .given = &(o).now_given}
/* clang-format on */

typedef struct message_mark {
    size_t at; /* of the message in turns */
    bool user;
} message_mark;

/* A place in a conversation, to go back to. */
typedef struct conversation_end {
    size_t len, n; /* of turns, of marks */
} conversation_end;

typedef struct conversation {
    buf system; /* the system message's text; len 0: none */
    buf turns;  /* JSON objects with commas between */
    message_mark *marks;
    size_t n, cap; /* of those that were added, not read from a file */
    buf template, tools, documents, variables;
    bool no_generation_prompt, keep_time;
    int64_t now; /* of strata_chat_opts: when the conversation began */
} conversation;

/* Whether any of them asks for a chat template. */
bool conversation_asked(const conversation_opts *o);

/* Reads what the options name. Returns an exit code; a message has been written. */
int conversation_open(conversation *c, const conversation_opts *o);
void conversation_close(conversation *c);

/* Says on stderr that the model has no chat template, if that is so and none is given. */
void conversation_warn(const conversation *c, const strata_model *m, const char *path);

/* The messages of a JSON array, which was read from `where`, in place of all turns. Returns an exit code. */
int conversation_set(conversation *c, const char *where, const char *json, size_t len);

/* Whether a text cannot be a message; then *why says so: it is not UTF-8. The writer of JSON would put U+FFFD. */
bool conversation_refuses(const char *what, const char *text, size_t len, char *why, size_t size);

void conversation_add(conversation *c, const char *role, const char *text, size_t len);
/* Back to before the last message of a user that was added; false: there is none. */
bool conversation_undo(conversation *c);
/* Back to behind the last message of a user that was added; false: there is none. *before gets where it ended. */
bool conversation_reopen(conversation *c, conversation_end *before);
/* Undoes a conversation_reopen; nothing was added since. */
void conversation_restore(conversation *c, conversation_end before);
void conversation_clear(conversation *c);

/* The whole as a JSON array, appended to *out. */
void conversation_json(const conversation *c, buf *out);

/* The prompt's ids, in place of *ids. Returns a strata_status. */
int conversation_encode(const conversation *c, const strata_model *m, ints *ids, strata_error *err);

#endif
