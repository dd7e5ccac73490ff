/* cli.h: what all commands share: exit codes, the cancel flag, opening a model. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdint.h>

#include "options.h"
#include "strata.h"

/* Scripts rely on these. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_MODEL = 3, CLI_INTERRUPTED = 130 };

/* The program's commands, in the order of its help; ends with NULL. */
extern const command *const cli_commands[];

/* Set by Ctrl-C. The library looks at it between ops, the program between texts. A second Ctrl-C ends the process. */
extern volatile int cli_cancel;

/* "strata: ..." on stderr, after clearing a progress line. Returns code. */
__attribute__((format(printf, 2, 3))) int cli_fail(int code, const char *fmt, ...);
__attribute__((format(printf, 1, 2))) void cli_warn(const char *fmt, ...);
/* Worth knowing, though nothing is wrong: "strata: note: ...". */
__attribute__((format(printf, 1, 2))) void cli_note(const char *fmt, ...);
/* The library's message in the program's words: options by the names they have here. Changes and returns e->msg. */
const char *cli_words(strata_error *e);
/* Fails with the library's message and the exit code for its status. */
int cli_fail_by(int status, strata_error *e);
/* A usage error of command c. Returns CLI_USAGE. */
__attribute__((format(printf, 2, 3))) int cli_usage(const command *c, const char *fmt, ...);

/* "\r..." on stderr if that is a terminal, from one second after the first call on and at most ten times a second. */
__attribute__((format(printf, 1, 2))) void cli_progress(const char *fmt, ...);
void cli_progress_end(void);

/* The exit code for a failure of the library after the model was opened. */
int cli_exit_code(int status);

#define CLI_STRING(macro) CLI_STRING_OF(macro)
#define CLI_STRING_OF(x)  #x

/* Options of commands that open a model. */
typedef struct session {
    const char *path;
    uint32_t threads;
    int precision; /* strata_precision */
    int verbose, no_mmap;
    const char *pre;        /* pre-tokenizer, NULL: the file's */
    uint32_t n_seqs, n_ctx; /* of generation, as in strata_ctx_opts */
    int kv;                 /* strata_kv */
    strata_model *model;
    strata_ctx *ctx;
    strata_model_info info;
} session;

#define OPT_OF_MODEL(s)                                                                                  \
    {                                                                                                    \
        OPT_STRING, 'm', "model", "MODEL", "GGUF model file", .value = &(s).path, .def = "$STRATA_MODEL" \
    }
#define OPT_OF_THREADS(s)                                                                                \
    {                                                                                                    \
        OPT_COUNT, 't', "threads", "N", "threads", .value = &(s).threads, .def = "one per physical core" \
    }
#define OPT_OF_PRECISION(s)                                                                                  \
    {                                                                                                        \
        OPT_CHOICE, 0, "precision", "i8|f32|bf16", "f32 is the slow reference", .value = &(s).precision,     \
                                                                                .first = STRATA_PRECISION_I8 \
    }
#define OPT_OF_NO_MMAP(s)                                                                               \
    {                                                                                                   \
        OPT_FLAG, 0, "no-mmap", NULL, "read the file into memory, do not map it", .value = &(s).no_mmap \
    }
#define OPT_OF_PRE(s)                                                                         \
    {                                                                                         \
        OPT_STRING, 0, "pre", "NAME", "pre-tokenizer", .value = &(s).pre, .def = "the file's" \
    }
#define OPT_OF_CONTEXT(s, what)                                                                       \
    {                                                                                                 \
        OPT_COUNT, 'c', "context", "N", what, .value = &(s).n_ctx,                                    \
                                              .def = CLI_STRING(STRATA_DEFAULT_CTX) " or the model's" \
    }
#define OPT_OF_VERBOSE(s)                                                                                \
    {                                                                                                    \
        OPT_FLAG, 'v', "verbose", NULL, "log: -v steps, -vv tensors, -vvv layers", .value = &(s).verbose \
    }

typedef enum session_parts { SESSION_VOCAB, SESSION_MODEL, SESSION_CONTEXT } session_parts;

/* Opens the model, and the context with SESSION_CONTEXT. Returns an exit code; a message has been written. */
int session_open(const command *c, session *s, session_parts parts);
void session_close(session *s);

/* The model of commands that take it as their one argument (or with -m). Returns an exit code. */
int session_path_argument(const command *c, session *s, int argc, char **argv);

/* The model of other commands, without -m: the first argument, taken out of argv, if it ends in .gguf or `any`; else
 * STRATA_MODEL. An argument after "--" is none. Returns an exit code: nothing names a model. */
int session_find_path(const command *c, session *s, bool any, int *argc, char ***argv);

#endif
