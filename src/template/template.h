/* template.h: chat templates. A model's file carries a Jinja program that turns messages into its prompt format.
 *
 * This is a small Jinja of our own (jinja*.c), equal to what HuggingFace's apply_chat_template makes of the templates
 * found in real files. A template is a stranger's program: it can reach nothing but the values it is given, it cannot
 * change them, and its steps, memory, output and depth are bounded.
 *
 * Text that the template wrote may hold special tokens, text of users never does. Every byte of every string therefore
 * knows who made it; concatenation, slicing, trimming, replacing and changing case keep that knowledge, and where it is
 * unclear a byte counts as the user's. The output comes in pieces, each of which says which of the two it is. Pieces
 * only say where special tokens may be recognised: pre-tokenisation must run over the whole text, as HuggingFace does
 * it. Roles are the exception: `'<|' + message.role + '|>'` is how some templates spell a special token, so the value
 * of a key "role" counts as the template's if it is one of the known role names (st_template_known_role).
 *
 * A st_template is immutable after open, so any number of threads may render it. */
#ifndef ST_TEMPLATE_TEMPLATE_H
#define ST_TEMPLATE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/os/mem.h"
#include "base/str.h"

typedef struct st_template st_template;

/* For models without a template of their own. */
extern const char st_template_chatml[];

/* Compiles a copy of `source` (UTF-8). `mem` must outlive the template. Errors: BAD_TEMPLATE ("line:column: what"),
 * NO_MEMORY. */
int st_template_open(st_str source, st_mem *mem, st_template **out, strata_error *err);
void st_template_close(st_template *t);

/* A message as the template sees it: a dict with the keys role, content, name, tool_calls and those of `extra`, in this
 * order; a NULL ptr leaves the key out. */
typedef struct st_chat_message {
    st_str role, content, name;
    st_str tool_calls; /* JSON array */
    st_str extra;      /* JSON object: further keys (tool_call_id, reasoning_content), or other values for those above
                          (content as a list of parts, or null) */
} st_chat_message;

/* The local time, for strftime_now, in seconds since 1970 as if it were UTC. NO_TIME: strftime_now is undefined and
 * templates fall back on a date of their own, so that the same messages make the same prompt on every day. */
#define ST_TEMPLATE_NO_TIME 0

typedef struct st_template_opts {
    const st_chat_message *messages;
    size_t n_messages;
    st_str json;      /* JSON array of messages instead; NULL ptr: those above */
    st_str tools;     /* JSON array; NULL ptr: none */
    st_str documents; /* JSON array; NULL ptr: none */
    st_str variables; /* JSON object: any further variables, e.g. {"enable_thinking":false}; they come last and win */
    st_str bos, eos;  /* bos_token, eos_token; NULL ptr: undefined */
    bool add_generation_prompt;
    int64_t now; /* ST_TEMPLATE_NO_TIME, or the local time */
    /* Budgets, 0: the defaults below. */
    uint64_t max_steps, max_output, max_memory;
    uint32_t max_depth;
} st_template_opts;

#define ST_TEMPLATE_MAX_SOURCE ((size_t)1 << 20)   /* the longest known template has 30 kB */
#define ST_TEMPLATE_MAX_STEPS  ((uint64_t)1 << 25) /* nodes evaluated, items visited, and bytes copied / 64 */
#define ST_TEMPLATE_MAX_OUTPUT ((uint64_t)1 << 26)
#define ST_TEMPLATE_MAX_MEMORY ((uint64_t)1 << 28)
#define ST_TEMPLATE_MAX_DEPTH  1000 /* nested calls, loops and blocks while rendering: they take memory, no stack */
/* Brackets, blocks and signs in one another in a source; values in one another where they are read, printed, compared
 * or written as JSON. These do take stack, up to 400 bytes a level. */
#define ST_TEMPLATE_MAX_NESTING 100

/* Takes a piece of the output; neighbours differ in is_template. A status other than 0 ends the rendering with it. */
typedef int (*st_template_emit)(void *user, const char *text, size_t len, bool is_template);

/* Nothing is emitted unless the whole rendering succeeds. Errors: BAD_TEMPLATE (the template raised an exception, did
 * something impossible or ran over a budget: "line:column: what"), INVALID_ARG (JSON or text that is not valid),
 * NO_MEMORY, the status of `emit`. */
int st_template_render(const st_template *t, const st_template_opts *opts, st_template_emit emit, void *user,
                       strata_error *err);

bool st_template_known_role(const char *p, size_t n);

#endif
