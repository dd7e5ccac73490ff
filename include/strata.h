/* strata.h: the whole public interface of strata, a transformer inference engine for GGUF models.
 *
 * Two handles carry everything. A `strata_model` is a loaded file: immutable once open, and shared freely by threads. A
 * `strata_ctx` is what one caller needs to run it, scratch memory and a thread pool, and takes one call at a time. Text
 * goes in, vectors or tokens come out, into memory that the caller owns.
 *
 *     strata_model *m = NULL;
 *     strata_ctx   *c = NULL;
 *     strata_error  e;
 *     if (strata_model_open("all-minilm-l6-v2-q8_0.gguf", NULL, &m, &e) || strata_ctx_open(m, NULL, &c, &e))
 *         return fprintf(stderr, "%s\n", e.msg), 1;
 *     strata_text t = {"hello world", 11};
 *     uint32_t dims = strata_embed_dims(m, NULL, &e);
 *     float *v = malloc(dims * sizeof *v);
 *     if (!v || strata_embed(c, &t, 1, NULL, v, dims, NULL, &e)) return fprintf(stderr, "%s\n", e.msg), 1;
 *     free(v);
 *     strata_ctx_close(c);
 *     strata_model_close(m);
 *
 * Rules that hold everywhere:
 *  - A fallible function returns a `strata_status` (0 = ok) and, if `err` is not NULL, fills it with a message that
 *    names the file, key, tensor or item, what was found and what was wanted. Outputs are untouched on failure unless
 *    the function says otherwise.
 *  - The library never prints, never exits and never aborts on input. Log lines go to a callback, none by default.
 *  - The same text gives the same bits, whatever the batch, the number of threads or the instruction set.
 *  - Text is UTF-8 with an explicit length, may hold NUL bytes and needs no terminator. Sizes are in bytes, shapes are
 *    row-major. An option struct may be NULL or all zero for the defaults, except strata_gen_opts, which has to start
 *    as strata_gen_default(). `reserved` must be zero in options and becomes fields in later versions, so that structs
 *    keep their size. A reserved field that is not zero, or a flag or an enum value that this version does not know, is
 *    INVALID_ARG.
 *  - `*_close(NULL)` does nothing.
 *  - Stack: no call needs more than 64 KiB of the caller's, whatever the input; input that nests deeper is an error.
 *  - Floating point: a call computes in a state of its own (round to nearest, no traps) and restores the caller's when
 *    it returns, and around every callback.
 *  - Callbacks may call anything in the library except on the context, or in the call, that they come from (BUSY;
 *    closing that context is never allowed). They must return: no longjmp and no C++ exception may pass through the
 *    library.
 *  - Signals: the library's own threads block all of them. No call installs a handler or raises a signal, not even
 *    SIGPIPE or SIGXFSZ: a reader that has gone away and a file that reached its limit are IO errors.
 *  - fork(): models that were open work in the child. So does a context, provided that no other thread of the parent
 *    was inside it at the fork (otherwise its calls are INVALID_ARG there); it starts threads of its own with its first
 *    call, and closing it in the child never waits. A callback may fork too: a child that returns from the callback
 *    gets the call's result where that needs no other thread (strata_generate), and INVALID_ARG where it does
 *    (strata_embed, strata_rank, strata_model_open, and strata_quantize, whose file is the parent's); where the
 *    callback ran on a thread of the library (progress, log), the child ends with it. So end a child inside the
 *    callback, with exec or _exit.
 *  - Environment: strata_model_open and strata_verify read STRATA_CPU where opts->cpu is NULL; nothing else is read.
 *    Like all code that reads the environment, these calls must not run while another thread calls setenv.
 *  - Versions: within a minor version (0.2.x) a program runs with every newer library: functions stay, structs keep
 *    their size and the place of their fields, enumerators their values. While the major version is 0 a new minor one
 *    may break this, so the SONAME has both numbers (libstrata.so.0.2).
 */
#ifndef STRATA_H
#define STRATA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define STRATA_API
#else
#define STRATA_API __attribute__((visibility("default")))
#endif

#define STRATA_VERSION_MAJOR 0
#define STRATA_VERSION_MINOR 2
#define STRATA_VERSION_PATCH 0
#define STRATA_VERSION       "0.2.0"

/* Version of the library that is loaded, "major.minor.patch". Static string. */
STRATA_API const char *strata_version(void);

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* What went wrong, grouped by what a caller can do about it. Values are pinned; new ones are added inside their group
 * of ten. */
typedef enum strata_status {
    STRATA_OK = 0,
    STRATA_INVALID_ARG = -10,           /* fix the call: bad option, text that is not UTF-8, id out of range */
    STRATA_IO = -20,                    /* the file cannot be opened or read */
    STRATA_NOT_GGUF = -21,              /* not a GGUF file */
    STRATA_CORRUPT_MODEL = -22,         /* a GGUF file that contradicts itself or is cut short */
    STRATA_UNSUPPORTED_ARCH = -30,      /* well-formed, but this version cannot run the architecture */
    STRATA_UNSUPPORTED_TYPE = -31,      /* ... the tensor type */
    STRATA_UNSUPPORTED_TOKENIZER = -32, /* ... the tokenizer */
    STRATA_UNSUPPORTED_OP = -33,        /* ... what was asked of this model */
    STRATA_TOO_LONG = -40,              /* more tokens than the context, or a buffer that is too small */
    STRATA_EMPTY_PROMPT = -41,          /* no tokens to run */
    STRATA_BAD_GRAMMAR = -42,
    STRATA_BAD_TEMPLATE = -43,
    STRATA_NO_MEMORY = -50,
    STRATA_DEVICE_UNAVAILABLE = -60,
    STRATA_DEVICE_LOST = -61,
    STRATA_NONFINITE = -70, /* the model produced NaN or infinity, or has them in weights that the call needed */
    STRATA_CANCELLED = -80,
    STRATA_DEADLINE = -81,
    STRATA_BUSY = -82, /* the context is in a call already: another thread's, or a callback's own */
    STRATA_INTERNAL = -90
} strata_status;

/* Filled on failure; owned by the caller. `msg` is one line of UTF-8, NUL-terminated, without a final newline. A long
 * path loses its middle, but a message never its reason; control characters in a file's strings become '?'. */
typedef struct strata_error {
    int code;
    char msg[256];
} strata_error;

/* "INVALID_ARG" and so on; "UNKNOWN" for any other number. Static string. */
STRATA_API const char *strata_status_name(int code);

/* ---- logging and memory ------------------------------------------------------------------------------------------ */

typedef enum strata_log_level {
    STRATA_LOG_NONE = 0,
    STRATA_LOG_ERROR = 1,
    STRATA_LOG_WARN = 2,
    STRATA_LOG_INFO = 3,  /* milestones of loading */
    STRATA_LOG_DEBUG = 4, /* every tensor with its shape */
    STRATA_LOG_TRACE = 5  /* time of each layer of each run */
} strata_log_level;

/* One line without a newline. May be called from any thread that is inside the library. */
typedef void (*strata_log_fn)(void *user, int level, const char *msg);

/* Where all memory of a model and its contexts comes from, except mapped files, thread stacks (1 MiB of address space
 * each, plus what the system adds) and two pages for each context, by which it notices fork(). `align` is a power of
 * two. Must be callable from any thread. alloc returns NULL when there is no memory; the call that wanted it then fails
 * with NO_MEMORY. */
typedef struct strata_allocator {
    void *(*alloc)(void *user, size_t size, size_t align);
    void (*free)(void *user, void *ptr);
    void *user;
} strata_allocator;

/* Receives text in pieces, in order. */
typedef void (*strata_write_fn)(void *user, const char *text, size_t len);

/* ---- model: a loaded file ---------------------------------------------------------------------------------------- */

typedef struct strata_model strata_model;

typedef struct strata_model_opts {
    int vocab_only;      /* 1: only the tokenizer; tensors and architecture are ignored */
    int no_mmap;         /* 1: read the file into memory (for a file that may be replaced or truncated while in use) */
    uint32_t n_threads;  /* threads that prepare the weights; 0: one per physical core this process may use */
    uint64_t memory_cap; /* bytes that the model may allocate, 0: no limit; NO_MEMORY names what did not fit */
    const char *cpu; /* highest kernel level to use: "generic", "avx2", ...; NULL: environment STRATA_CPU, else best */
    strata_log_fn log; /* NULL: silent */
    void *log_user;
    int log_level;                     /* highest strata_log_level passed on; 0: INFO */
    const strata_allocator *allocator; /* copied; NULL: the C library's */
    const char *pre_tokenizer; /* instead of the one that the file names in tokenizer.ggml.pre; NULL: that one */
    uint64_t reserved[7];
} strata_model_opts;

/* Opens a GGUF file and prepares it to run. For a split model (NAME-00001-of-00003.gguf) the path is that of the first
 * part; the others are found next to it by their names, and all are checked to belong to one model. With vocab_only the
 * first is enough, under any name. `*out` is owned by the caller; strata_model_close frees it, after its contexts.
 * Thread-safe. Errors: IO, NOT_GGUF (says what the file is instead), CORRUPT_MODEL, UNSUPPORTED_ARCH (also for files
 * that accompany a model: adapters, projectors, ...), UNSUPPORTED_TYPE, UNSUPPORTED_TOKENIZER, UNSUPPORTED_OP (also for
 * a part that does not lead to the others, and for a vocabulary alone), NO_MEMORY, INTERNAL. */
STRATA_API int strata_model_open(const char *path, const strata_model_opts *opts, strata_model **out,
                                 strata_error *err);

/* The same from memory, which must stay valid and unchanged until the model is closed and hold a whole model, not a
 * part of one. `name` stands for the path in messages. */
STRATA_API int strata_model_open_buffer(const void *data, size_t size, const char *name, const strata_model_opts *opts,
                                        strata_model **out, strata_error *err);

STRATA_API void strata_model_close(strata_model *m);

typedef enum strata_pooling {
    STRATA_POOLING_DEFAULT = 0, /* what the file says */
    STRATA_POOLING_NONE = 1,    /* one vector for each token */
    STRATA_POOLING_MEAN = 2,
    STRATA_POOLING_CLS = 3,  /* first token */
    STRATA_POOLING_LAST = 4, /* last token */
    STRATA_POOLING_RANK = 5  /* a score, by the classification head */
} strata_pooling;

/* "mean" and so on. Static string. */
STRATA_API const char *strata_pooling_name(int pooling);

typedef enum strata_dense_state {
    STRATA_DENSE_NONE = 0,    /* the architecture has no dense heads after pooling */
    STRATA_DENSE_PRESENT = 1, /* applied to every pooled vector */
    STRATA_DENSE_MISSING = 2  /* the architecture is trained with them but the file lacks them: vectors of another
                               * space */
} strata_dense_state;

/* Strings belong to the model and live as long as it does; NULL where the file says nothing. */
typedef struct strata_model_info {
    const char *path;
    const char *arch;                           /* general.architecture */
    const char *name;                           /* general.name */
    const char *tokenizer;                      /* tokenizer.ggml.model */
    const char *cpu;                            /* kernel level in use */
    const char *prompt_query, *prompt_document; /* put before a text of that role */
    uint64_t file_bytes;                        /* of all parts */
    uint64_t n_params, packed_bytes;
    uint32_t n_tensors, n_layer, n_head, n_head_kv, n_embd, n_ff, n_vocab;
    uint32_t n_ctx;      /* most tokens in one text, special tokens included */
    uint32_t n_embd_out; /* dims of a pooled vector */
    uint32_t window;     /* sliding attention window of the file, 0: none */
    int32_t bos, eos;    /* -1: none */
    int causal;          /* 1: a decoder */
    int pooling;         /* strata_pooling of the file or the architecture */
    int dense;           /* strata_dense_state */
    int has_logits;      /* 1: STRATA_EVAL_LOGITS works */
    uint32_t n_labels;   /* outputs of the classification head, 0: none, or an incomplete one; strata_rank works with 1
                          * or 2 */
    int vocab_only;
    uint32_t min_dims; /* smallest Matryoshka cut the model is trained for; 0: not known to support cuts */
    const char *bf16;  /* what precision bf16 would run on, by what the CPU lists: "amx", "avx512bf16"; NULL: nothing */
    uint32_t n_parts;  /* files that the model is read from; 1 unless it is split */
    int can_embed;     /* 1: strata_embed works with pooling DEFAULT: an encoder, or a file that names a pooling */
    int can_rank;      /* 1: strata_rank works */
    int can_generate;  /* 1: strata_generate works: a decoder with an output head */
    int has_chat_template; /* 1: the file has one; without it strata_chat_* use ChatML */
    int reserved_int;
    uint64_t reserved[5];
} strata_model_info;

/* Never fails. Thread-safe. */
STRATA_API void strata_model_get_info(const strata_model *m, strata_model_info *info);

/* The i-th tensor type of the file, those with most bytes first: name, number of tensors, bytes; each pointer may be
 * NULL. Returns 0 past the end. */
STRATA_API int strata_model_get_type(const strata_model *m, uint32_t i, const char **name, uint32_t *n_tensors,
                                     uint64_t *bytes);

/* What the file calls the i-th output of the classification head; points into the model. Returns 0 where there is no
 * such output or it has no name. Thread-safe. */
STRATA_API int strata_model_get_label(const strata_model *m, uint32_t i, const char **name, size_t *len);

/* Writes the plan that the model was compiled to, one op a line, for people to read. Errors: UNSUPPORTED_OP (vocabulary
 * only). */
STRATA_API int strata_model_print_plan(const strata_model *m, strata_write_fn write, void *user, strata_error *err);

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

enum {
    STRATA_TOKENIZE_ADD_SPECIAL = 1,   /* add the tokens that the model puts around a text: BOS/EOS, [CLS]/[SEP] */
    STRATA_TOKENIZE_PARSE_SPECIAL = 2, /* control tokens (GGUF type 3, and <unk>, type 2) written in the text count as
                                        * such (never use it for a user's text); user-defined ones (type 4) always do */
    STRATA_TOKENIZE_LOSSY = 4          /* invalid UTF-8 becomes U+FFFD, one for each maximal invalid part */
};

/* Bytes [begin, end) of the text that a token stands for; begin == end for tokens that were added. Some tokens take the
 * white space next to them, as HuggingFace's lstrip and rstrip say (Phi-3's roles, <mask>): it is part of their
 * span. */
typedef struct strata_span {
    size_t begin, end;
} strata_span;

/* Text -> token ids. `ids` and `spans` hold `cap` entries each (spans may be NULL). On success and TOO_LONG `*n` is the
 * number of tokens; on any other error it is left alone. With cap = 0 the call only counts. Errors: TOO_LONG (cap is
 * too small, but not 0; the first cap are written), INVALID_ARG (invalid UTF-8, with its byte offset; more than 1 GiB
 * of text), UNSUPPORTED_TOKENIZER, NO_MEMORY. Thread-safe. */
STRATA_API int strata_tokenize(const strata_model *m, const char *text, size_t len, unsigned flags, int32_t *ids,
                               strata_span *spans, size_t cap, size_t *n, strata_error *err);

/* Part of a text. */
typedef struct strata_text_part {
    const char *ptr;
    size_t len;
    int trusted; /* 1: control tokens written in it count as such; 0: it is plain text, as a user's words must be */
} strata_text_part;

/* The same for a text of mixed trust: the ids are those of the one text that parts[0..n) join to, but control tokens
 * (GGUF type 3) are recognised only inside trusted parts (neighbouring ones count as one), and nothing in the other
 * parts can undo one. So nothing that a user writes can end a message or begin another, provided that the file gives
 * the tokens that do so type 3. User-defined tokens (type 4) are plain text that has an id: they count in every part,
 * and across parts. PARSE_SPECIAL has no meaning here. Spans are byte offsets in the joined text. Errors: as
 * strata_tokenize; one about UTF-8 names the part. */
STRATA_API int strata_tokenize_parts(const strata_model *m, const strata_text_part *parts, size_t n_parts,
                                     unsigned flags, int32_t *ids, strata_span *spans, size_t cap, size_t *n,
                                     strata_error *err);

/* Token ids -> text, as HuggingFace's decode gives it with special tokens kept (BERT: spaces before punctuation are
 * removed). Writes at most `cap` bytes, no terminator; `*len` is the length needed, set on success and TOO_LONG; with
 * cap = 0 it only counts. Where byte tokens form invalid UTF-8 it becomes U+FFFD. Errors: TOO_LONG (cap < *len),
 * INVALID_ARG (id out of range), UNSUPPORTED_TOKENIZER. Thread-safe. */
STRATA_API int strata_detokenize(const strata_model *m, const int32_t *ids, size_t n, char *text, size_t cap,
                                 size_t *len, strata_error *err);

enum {
    STRATA_DETOKENIZE_SKIP_SPECIAL = 1 /* leave out control tokens, and those for unknown or unused words (GGUF types 3,
                                        * 2 and 5) */
};

/* The same with flags. SKIP_SPECIAL does what HuggingFace's decode(skip_special_tokens=True) does; tokens that the file
 * calls user-defined (type 4) are text. Errors: as above, INVALID_ARG (unknown flag), NO_MEMORY. */
STRATA_API int strata_detokenize_flags(const strata_model *m, const int32_t *ids, size_t n, unsigned flags, char *text,
                                       size_t cap, size_t *len, strata_error *err);

/* The vocabulary's own spelling of a token; points into the model. INVALID_ARG if there is no such id. Thread-safe. */
STRATA_API int strata_token_piece(const strata_model *m, int32_t id, const char **piece, size_t *len,
                                  strata_error *err);

/* What a token is; the numbers are GGUF's. */
typedef enum strata_token_kind {
    STRATA_TOKEN_NORMAL = 1,
    STRATA_TOKEN_UNKNOWN = 2,
    STRATA_TOKEN_CONTROL = 3,      /* never made from a user's text: <s>, <|im_end|> */
    STRATA_TOKEN_USER_DEFINED = 4, /* plain text that has an id of its own */
    STRATA_TOKEN_UNUSED = 5,
    STRATA_TOKEN_BYTE = 6 /* one byte of a character that has no token */
} strata_token_kind;

typedef struct strata_token {
    int kind;       /* strata_token_kind */
    int ends;       /* 1: ends a generation (end of text, of a turn), unless ignore_end */
    size_t n_bytes; /* bytes that it stands for inside a text, as strata_generate streams them, including the space that
                     * some vocabularies drop at the start of a text. Control tokens: their spelling */
    uint64_t reserved[4];
} strata_token;

/* What token `id` is, and its bytes, which need not be whole characters. At most `cap` are written to `bytes` (NULL
 * with cap 0); token->n_bytes is their number, set on success and TOO_LONG. Errors: INVALID_ARG (no such id), TOO_LONG
 * (0 < cap < n_bytes). Thread-safe. */
STRATA_API int strata_token_get(const strata_model *m, int32_t id, strata_token *token, char *bytes, size_t cap,
                                strata_error *err);

/* ---- context: what one caller needs to run a model --------------------------------------------------------------- */

typedef struct strata_ctx strata_ctx;

typedef enum strata_precision {
    STRATA_PRECISION_I8 = 0, /* quantised weights meet int8 activations, exact integer sums; float weights stay float */
    STRATA_PRECISION_F32 = 1, /* float activations everywhere: the reference mode, slow */
    STRATA_PRECISION_BF16 = 2 /* bfloat16 weights and activations, float sums, on AMX tiles or AVX-512 BF16; elsewhere
                               * opening fails with UNSUPPORTED_OP. A text has the same bits in any batch and on any
                               * number of threads, but the two units differ: strata_ctx_kernels tells which it is.
                               * Linux is asked for AMX once in a process, after a child process has tried it; where no
                               * child can be started (RLIMIT_NPROC, a sandbox) the process goes on without AMX, so that
                               * its bits may be those of the other unit. Attention is bf16 where a call keeps no cache
                               * (embed, rank, eval) and float in sync, step and generate, so that the logits of the
                               * latter differ from strata_eval's by up to 2 % of the largest, 4 % with a Q8 cache; in
                               * I8 and F32 with an F32 cache they are the same bits */
} strata_precision;

/* How keys and values of earlier tokens are kept. They are used as they are stored, even inside the chunk that wrote
 * them. A value that is not finite is NONFINITE with each of them; in F16 so is one whose magnitude is 65520 or
 * more. */
typedef enum strata_kv { STRATA_KV_F16 = 0, STRATA_KV_F32 = 1, STRATA_KV_Q8 = 2 } strata_kv;

/* After each op of the plan: its index, kind and layer (-1: outside the layers), and the microseconds it took. Called
 * on the thread that runs the call. */
typedef void (*strata_trace_fn)(void *user, uint32_t op, const char *kind, int layer, double micros);

#define STRATA_DEFAULT_CTX 4096 /* tokens of a sequence where neither the caller nor the model sets fewer */

typedef struct strata_ctx_opts {
    uint32_t n_threads;    /* 0: one per physical core this process may use (affinity, cgroup quota); at most 1024; no
                            * more are started than it may use CPUs, or 8 where those are fewer (strata_ctx_threads
                            * tells) */
    int precision;         /* strata_precision */
    strata_trace_fn trace; /* NULL: none. A traced run does one group of tokens at a time */
    void *trace_user;
    uint32_t n_seqs;     /* sequences that can be generated side by side; 0: none, no cache */
    uint32_t n_ctx;      /* tokens of each, prompt included; 0: the model's context, at most STRATA_DEFAULT_CTX */
    int kv;              /* strata_kv */
    uint64_t memory_cap; /* bytes that the cache may take when all sequences are full; 0: what the machine and the
                          * process's cgroup have left when it is opened */
    uint64_t reserved[7];
} strata_ctx_opts;

/* `*out` is owned by the caller and must be closed before its model. The cache of the sequences is only address space
 * at first: it takes memory as tokens come, in blocks of 128 of them, and gives it back when a sequence is emptied or
 * becomes shorter. What it takes when all sequences are full must fit: NO_MEMORY says both figures. If the caller gave
 * an allocator, the cache comes from it, in these pieces, as they are needed; the model's memory_cap counts what has
 * been taken. Errors: INVALID_ARG, UNSUPPORTED_OP (precision bf16 without such a unit; sequences of a model that does
 * not generate), NO_MEMORY. */
STRATA_API int strata_ctx_open(const strata_model *m, const strata_ctx_opts *opts, strata_ctx **out, strata_error *err);
STRATA_API void strata_ctx_close(strata_ctx *c);
STRATA_API uint32_t strata_ctx_threads(const strata_ctx *c);
/* Tokens that each sequence can hold, prompt included; 0 if there are no sequences. */
STRATA_API uint32_t strata_ctx_tokens(const strata_ctx *c);
/* What matrix products run on: the kernel level of the model, or in precision bf16 "amx" or "avx512bf16". Static
 * string; NULL if c is. Thread-safe. */
STRATA_API const char *strata_ctx_kernels(const strata_ctx *c);

/* ---- embedding --------------------------------------------------------------------------------------------------- */

typedef struct strata_text {
    const char *ptr;
    size_t len;
} strata_text;

typedef enum strata_role { STRATA_ROLE_NONE = 0, STRATA_ROLE_QUERY = 1, STRATA_ROLE_DOCUMENT = 2 } strata_role;
typedef enum strata_normalize { STRATA_NORMALIZE_L2 = 0, STRATA_NORMALIZE_NONE = 1 } strata_normalize;
typedef enum strata_truncate {
    STRATA_TRUNCATE_ERROR = 0, /* a text that exceeds the context fails with TOO_LONG */
    STRATA_TRUNCATE_END = 1,   /* drop tokens at its end; special tokens stay */
    STRATA_TRUNCATE_START = 2  /* drop tokens at its start */
} strata_truncate;

typedef struct strata_embed_opts {
    int role;           /* strata_role: which of the model's prompts goes before each text */
    const char *prompt; /* instead of the model's own, NUL-terminated; NULL: by role */
    int pooling;        /* strata_pooling; NONE only in strata_embed_tokens */
    int normalize;      /* strata_normalize */
    uint32_t dims;      /* keep the first `dims` values, then normalise; 0: all */
    int force_dims;     /* 1: cut even where the model is not known to be trained for it */
    int truncate;       /* strata_truncate */
    int plain_special;  /* 1: control tokens written in a text ("[SEP]") are plain text; 0: tokens, as HuggingFace
                         * does */
    int lossy;          /* 1: invalid UTF-8 becomes U+FFFD instead of an error of that text */
    const volatile int *cancel;                          /* caller's flag, checked between ops; not 0: CANCELLED */
    double deadline_ms;                                  /* from the start of the call, checked between ops; 0: none */
    void (*progress)(void *user, size_t done, size_t n); /* texts done so far; one call at a time, on a thread inside
                                                          * this one */
    void *progress_user;
    uint64_t reserved[8];
} strata_embed_opts;

/* The outcome for one text. */
typedef struct strata_embed_item {
    int status;            /* strata_status */
    uint32_t n_tokens;     /* tokens that ran, special tokens and prompt included */
    uint32_t n_tokens_all; /* tokens before truncation */
    int truncated;
    char msg[128]; /* "", or why it failed */
    uint64_t reserved[2];
} strata_embed_item;

/* Texts -> one vector for each. `out` is [n, stride] with stride >= the dims asked for; row i belongs to texts[i].
 * There may be any number of texts of any length: they are sorted and grouped inside. A text that fails leaves a row of
 * NaN and its status in items[i] (`items` may be NULL) while the others go on; the call then returns OK, or, without
 * items, the first failure. CANCELLED, DEADLINE and NO_MEMORY end the whole call: the rows of texts that were done are
 * whole vectors and their items say OK; all other rows are NaN and their items have the call's status. Where an option
 * is refused (INVALID_ARG, UNSUPPORTED_OP) rows and items are left alone. BUSY if the context is in a call already. */
STRATA_API int strata_embed(strata_ctx *c, const strata_text *texts, size_t n, const strata_embed_opts *opts,
                            float *out, size_t stride, strata_embed_item *items, strata_error *err);

/* Text -> one vector for each token: `out` is [cap, n_embd], `*n_rows` the rows needed, one for each id of
 * strata_tokenize. Dense heads and `dims` do not apply; rows are normalised unless opts say otherwise. Errors: as
 * strata_embed; TOO_LONG if cap < *n_rows, which leaves `out` alone. Other failures set *n_rows to 0, and leave NaN in
 * the rows that the text would have had, if their number was known by then. */
STRATA_API int strata_embed_tokens(strata_ctx *c, const char *text, size_t len, const strata_embed_opts *opts,
                                   float *out, size_t cap, size_t *n_rows, strata_embed_item *item, strata_error *err);

/* The number of dims of a vector with these options; 0 if the options are refused. */
STRATA_API uint32_t strata_embed_dims(const strata_model *m, const strata_embed_opts *opts, strata_error *err);

/* ---- ranking ----------------------------------------------------------------------------------------------------- */

typedef struct strata_rank_opts {
    int truncate;      /* strata_truncate, for the passage: the query and the special tokens stay */
    int sigmoid;       /* 1: scores through 1/(1 + exp(-x)), as a probability */
    int plain_special; /* as in strata_embed_opts */
    int lossy;
    const volatile int *cancel;
    double deadline_ms;
    int truncate_query; /* strata_truncate, for a query that leaves no room for its passage: the query is then cut to
                         * half of the context at most (shared by its places, where a template names it more than once),
                         * and items say `truncated`. ERROR: such pairs fail with TOO_LONG */
    int reserved_int;
    uint64_t reserved[7];
} strata_rank_opts;

/* How well each passage answers the query, by a model with a classification head (a cross-encoder): scores[i] belongs
 * to passages[i], and higher is better. A head with one output gives it raw; one with two, "yes" and "no", gives "yes"
 * less "no". A pair that fails leaves NaN and its status in items[i] (`items` may be NULL: then the first failure is
 * returned). A query that is not UTF-8 fails the call (INVALID_ARG), which leaves all outputs alone. Errors, and what
 * they leave in scores and items: as strata_embed; UNSUPPORTED_OP if the model has no classification head. */
STRATA_API int strata_rank(strata_ctx *c, strata_text query, const strata_text *passages, size_t n,
                           const strata_rank_opts *opts, float *scores, strata_embed_item *items, strata_error *err);

/* ---- generation, token by token ---------------------------------------------------------------------------------- *
 * A context opened with n_seqs > 0 holds that many sequences. The caller always passes all tokens of a sequence; the
 * context keeps what they have in common with what it held before and runs the rest, so there is no cache to manage.
 * Whatever a sequence held, and whichever calls failed, a call that succeeds gives the bits of a fresh context. */

/* Makes sequence `seq` hold exactly ids[0..n) and gives the logits after its last token: `*logits` points to [n_vocab]
 * floats of the context, valid until its next call. `chunk` tokens of the prompt run at a time, 0: a good number; it
 * changes no bit. What stays is the beginning that ids have in common with what the sequence held, except that the last
 * token always runs, for its logits; with sliding windows or LongRoPE nothing stays where what the rest needs is gone.
 * CANCELLED, NONFINITE and NO_MEMORY leave a part of it, from which the next sync goes on; until then the sequence
 * cannot be stepped. Other sequences are not touched, nor is this one after any other error. With no ids (n = 0) the
 * call empties the sequence, gives its memory back, and returns EMPTY_PROMPT, since there are no logits. Errors:
 * INVALID_ARG, EMPTY_PROMPT, TOO_LONG (more than the context's n_ctx: no token is ever dropped), UNSUPPORTED_OP (no
 * head, or no sequences), CANCELLED (through *cancel, which may be NULL), NONFINITE, NO_MEMORY. */
STRATA_API int strata_ctx_sync(strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, uint32_t chunk,
                               const volatile int *cancel, const float **logits, strata_error *err);

/* Adds ids[i] to sequence seqs[i] for all i < n in one pass over the weights; logits[i] as above. The sequences must
 * differ and have been synchronised. A step that fails, even in one sequence alone (NONFINITE names it), adds to none:
 * each holds what it held before and can be stepped again. Errors: as strata_ctx_sync, INVALID_ARG for a sequence that
 * is not synchronised, TOO_LONG for one that is full or would cross the length where LongRoPE changes its angles. */
STRATA_API int strata_ctx_step(strata_ctx *c, const uint32_t *seqs, const int32_t *ids, size_t n,
                               const volatile int *cancel, const float **logits, strata_error *err);

/* ---- generation, prompt to text ---------------------------------------------------------------------------------- */

typedef struct strata_logit_bias {
    int32_t id;
    float bias; /* added to the logit; -INFINITY bans the token */
} strata_logit_bias;

typedef struct strata_logprob {
    int32_t id;
    double logprob;
} strata_logprob;

/* A token that was generated; valid during the callback. Log-probabilities are the model's own, before the sampler. */
typedef struct strata_gen_token {
    int32_t id;
    double logprob;            /* 0 unless asked for */
    const strata_logprob *top; /* [n_top], falling */
    uint32_t n_top;
} strata_gen_token;

/* Receives text as it becomes certain: whole characters, never part of a stop text, and nothing of a character that the
 * end cut. `token` is the token that was just generated, or NULL for what was held back until the end; text may be
 * empty. A return value other than 0 ends the generation, and no call follows. */
typedef int (*strata_gen_fn)(void *user, const char *text, size_t len, const strata_gen_token *token);

/* Where a grammar or schema begins to hold, for a model that thinks first. White space after the end of thinking is
 * free too, and on_text gets the thinking like all other text. */
typedef enum strata_think {
    STRATA_THINK_AUTO = 0, /* FREE where the prompt ends inside a think block that it opened (<think>, [THINK], ...), as
                            * the generation prompts of such models do, and where gpt-oss chooses its channel; else
                            * NONE */
    STRATA_THINK_NONE = 1, /* from the first token */
    STRATA_THINK_FREE = 2  /* text runs free up to the end of thinking, and then it holds. A generation that never ends
                            * its thinking finishes with what ended it, and `unfinished` */
} strata_think;

/* Start from strata_gen_default(): zero is not the default of every field here. The chain is that of llama.cpp: bias,
 * grammar, penalties, then greedy | temperature and mirostat | top-k, typical, top-p, min-p, temperature, draw. */
typedef struct strata_gen_opts {
    uint32_t max_tokens; /* 0: until the context is full */
    float temperature;   /* <= 0: greedy */
    uint32_t top_k;      /* 0: off */
    float top_p, min_p, typical_p;
    float repeat_penalty, frequency_penalty, presence_penalty;
    uint32_t repeat_last_n; /* how many tokens back the penalties look, prompt included */
    int mirostat;           /* 0, 1 or 2 */
    float mirostat_tau, mirostat_eta;
    uint64_t seed; /* same seed, same text, on every machine (in bf16: with the same unit) and number of threads */
    const strata_logit_bias *logit_bias;
    size_t n_logit_bias;
    const char *grammar;     /* GBNF, NUL-terminated; NULL: none */
    const char *json_schema; /* JSON Schema instead of a grammar; NULL: none */
    const char *const *stop; /* [n_stop] texts that end the generation; they are not part of its text */
    size_t n_stop;
    const int32_t *stop_tokens;
    size_t n_stop_tokens;
    int ignore_end; /* 1: end tokens do not end the generation */
    int logprobs;   /* 1: log-probabilities in strata_gen_token */
    uint32_t n_top; /* and those of so many best tokens */
    uint32_t chunk; /* tokens of the prompt at a time, 0: a good number */
    const volatile int *cancel;
    double deadline_ms;
    strata_gen_fn on_text;
    void *user;
    int think; /* strata_think; without a grammar or schema it changes nothing */
    int reserved_int;
    const char *think_end; /* the text that ends thinking; NULL: the one that belongs to what the prompt opened, or else
                            * to the model's vocabulary ("</think>", "[/THINK]", ...) */
    uint64_t reserved[6];
} strata_gen_opts;

/* temperature 0.8, top_k 40, top_p 0.95, min_p 0.05, typical_p 1, repeat_penalty 1, frequency_penalty 0,
 * presence_penalty 0, repeat_last_n 64, mirostat 0, mirostat_tau 5, mirostat_eta 0.1: llama.cpp's; seed 0, where
 * llama.cpp draws one; all else zero. */
STRATA_API strata_gen_opts strata_gen_default(void);

typedef enum strata_finish {
    STRATA_FINISH_END = 1,     /* an end token */
    STRATA_FINISH_LENGTH = 2,  /* max_tokens */
    STRATA_FINISH_STOP = 3,    /* a stop text or token */
    STRATA_FINISH_GRAMMAR = 4, /* the grammar allows nothing more */
    STRATA_FINISH_CONTEXT = 5, /* the context is full */
    STRATA_FINISH_CALLER = 6   /* on_text said so */
} strata_finish;

/* "end" and so on. Static string. */
STRATA_API const char *strata_finish_name(int finish);

typedef struct strata_gen_result {
    int finish;
    uint32_t n_prompt, n_cached, n_new; /* tokens; n_cached of the prompt's were there already and did not run again
                                         * (see strata_ctx_sync): at most n_prompt - 1 */
    double prompt_ms, decode_ms;
    int unfinished;   /* 1: it ended inside what the grammar or schema describes, or before that began to hold: by
                       * max_tokens, a full context, a stop */
    uint32_t n_think; /* tokens of n_new up to the end of thinking, its end included, where a grammar or schema waited
                       * for it */
    uint64_t reserved[3];
} strata_gen_result;

/* Continues ids[0..n) in sequence `seq` of a context opened with n_seqs > seq. Errors: as strata_ctx_sync, and
 * BAD_GRAMMAR, INVALID_ARG (names the option), CANCELLED, DEADLINE. What on_text got until then stays valid, *result is
 * untouched, and the sequence is left as by a sync that failed in the same way. */
STRATA_API int strata_generate(strata_ctx *c, uint32_t seq, const int32_t *ids, size_t n, const strata_gen_opts *opts,
                               strata_gen_result *result, strata_error *err);

/* ---- chat: messages to a prompt ---------------------------------------------------------------------------------- *
 * A model's file carries a Jinja template that turns messages into its prompt format; strata runs it as
 * apply_chat_template of HuggingFace's transformers 5 does: Jinja2 3.1.6 in its sandbox, with a message's reasoning
 * under each of the names reasoning_content, thinking and reasoning. What strata's Jinja leaves out is refused by name
 * when it is reached, never rendered differently: the filters wordwrap, urlize, pprint, random; lipsum; printing what
 * Python shows by an address (iterators, functions); autoescaping; integers of more than 4,300 digits. Text that the
 * template wrote may hold control tokens (GGUF type 3); text of messages never does: a user who writes "<|im_end|>"
 * ends no message, unless the file calls that token user-defined (type 4; see strata_tokenize_parts). A template is a
 * stranger's program: it reaches nothing but the values below, and its steps, memory and output are bounded. */

/* A message, as the template sees it: a dict of role, content, tool_calls and the keys of `extra`, in this order; a
 * NULL ptr leaves a key out. */
typedef struct strata_message {
    strata_text role;       /* "system", "user", "assistant", "tool", or whatever else the template knows */
    strata_text content;    /* empty and no content are different things: {"", 0} and {NULL, 0} */
    strata_text tool_calls; /* JSON array; NULL: none */
    strata_text extra;      /* JSON object of further keys, {"tool_call_id": ...}, or of other values for those above
                             * (content as a list of parts); NULL: none */
} strata_message;

typedef struct strata_chat_opts {
    const char *source;       /* a template instead of the file's, NUL-terminated; "chatml": ChatML */
    const char *name;         /* the file's template of that name, tokenizer.chat_template.NAME; NULL: its main one, or
                               * with tools the one named tool_use if there is one */
    strata_text messages;     /* JSON array of messages instead of those of the call; NULL: none */
    strata_text tools;        /* JSON array of functions, as HuggingFace takes them; NULL: none */
    strata_text documents;    /* JSON array; NULL: none */
    strata_text variables;    /* JSON object of further variables of the template, {"enable_thinking": false} */
    int no_generation_prompt; /* 1: add_generation_prompt is false: the prompt does not begin the answer */
    int64_t now;              /* local time in seconds since 1970 as if it were UTC, for templates that write the date;
                               * 0: they do not know it (strftime_now is undefined), and the same messages make the same
                               * prompt on every day. strftime_now writes the C locale's names and takes glibc's flags
                               * (%-d) */
    uint64_t max_steps;       /* most steps of the template: nodes evaluated and items visited; 0: 2^25 */
    uint64_t reserved[8];
} strata_chat_opts;

/* Messages -> the prompt as text, for people and for tests. Text does not show which of its tokens are control tokens,
 * so strata_chat_encode makes the ids. Writes at most `cap` bytes, no terminator; `*len` is the length needed, set on
 * success and TOO_LONG; with cap = 0 it only counts. Without a template in the file or in opts it is ChatML, after the
 * model's start token if it has one. Works with vocab_only models. Errors: BAD_TEMPLATE ("line:column: what": a
 * template that is not Jinja, that raises an exception for these messages, or that exceeds its limits), INVALID_ARG
 * (JSON or text that is not valid, no template of that name), TOO_LONG (cap < *len), NO_MEMORY. A UTF-8 byte order mark
 * before a template or JSON is skipped. Brackets and blocks in a template, and values, may nest 100 deep; calls, loops
 * and blocks that are running, 1,000 deep. Thread-safe. */
STRATA_API int strata_chat_render(const strata_model *m, const strata_message *messages, size_t n,
                                  const strata_chat_opts *opts, char *text, size_t cap, size_t *len, strata_error *err);

/* Messages -> ids, for strata_generate: apply_chat_template(tokenize=True). Nothing is added around the prompt: the
 * template writes that itself. `ids` holds `cap` entries; `*n_ids` is their number, set on success and TOO_LONG; with
 * cap = 0 it only counts. Errors as above and as strata_tokenize_parts. Thread-safe. */
STRATA_API int strata_chat_encode(const strata_model *m, const strata_message *messages, size_t n,
                                  const strata_chat_opts *opts, int32_t *ids, size_t cap, size_t *n_ids,
                                  strata_error *err);

/* The template of the file: its source, which points into the model. name: as in strata_chat_opts, NULL for the main
 * one. `*source` is NULL and `*len` 0 if there is none. Returns 0 or INVALID_ARG, CORRUPT_MODEL (the key is not a
 * string). */
STRATA_API int strata_chat_template(const strata_model *m, const char *name, const char **source, size_t *len,
                                    strata_error *err);

/* ---- raw evaluation and tools ------------------------------------------------------------------------------------ */

typedef enum strata_eval_what {
    STRATA_EVAL_LOGITS = 0, /* [n, n_vocab] */
    STRATA_EVAL_HIDDEN = 1, /* [n, n_embd], after the final norm */
    STRATA_EVAL_POOLED = 2  /* [1, n_embd_out] after the dense heads, not normalised; with RANK [1, n_labels], raw */
} strata_eval_what;

/* One sequence of raw ids through the model, no tokenizer involved. `types` (token types) may be NULL: all 0. `out` has
 * room for `cap` floats; the shape is returned in *rows and *cols, even when TOO_LONG says that cap is too small (it is
 * 0, 0 when the sequence is longer than the context, or when ids or options are refused). pooling: strata_pooling, for
 * POOLED. Errors: INVALID_ARG (id or type out of range), EMPTY_PROMPT, TOO_LONG, UNSUPPORTED_OP, NO_MEMORY; NONFINITE
 * leaves rows x cols of NaN; the others leave `out` alone. */
STRATA_API int strata_eval(strata_ctx *c, const int32_t *ids, const int32_t *types, size_t n, int what, int pooling,
                           float *out, size_t cap, size_t *rows, size_t *cols, strata_error *err);

/* Runs the reference kernels and the kernels of level `against` (NULL: the model's) in step over `ids`, compares every
 * slot that an op wrote bit for bit, and writes a report. `*first` is the first op that diverges, -1 for none. If the
 * call fails, the lines that it wrote stay. */
STRATA_API int strata_model_diff(const strata_model *m, const char *against, const int32_t *ids, size_t n,
                                 int precision, strata_write_fn write, void *user, int *first, strata_error *err);

/* The most that this machine reaches, measured in about a second: 10^9 multiply-adds a second of the widest int8 and
 * float32 instructions of the model's kernel level (0 where the level has none), 10^9 bytes a second read from memory.
 * [0] with one thread, [1] with n_threads. */
typedef struct strata_peaks {
    uint32_t n_threads;
    double i8_gmacs[2], f32_gmacs[2], read_gbs[2];
    double bf16_gmacs[2]; /* of the unit that precision bf16 runs on; 0: there is none */
    uint64_t reserved[8];
} strata_peaks;

/* n_threads 0: one per physical core this process may use. Errors: UNSUPPORTED_OP (vocabulary only), NO_MEMORY. */
STRATA_API int strata_measure_peaks(const strata_model *m, uint32_t n_threads, strata_peaks *out, strata_error *err);

/* The i-th kernel level that this CPU can run ("generic", "avx2", ...), best last; NULL past the end. Static string. */
STRATA_API const char *strata_cpu_level(uint32_t i);

/* ---- quantising a file ------------------------------------------------------------------------------------------- */

/* One tensor, after it was written. Valid during the call. */
typedef struct strata_quantize_item {
    const char *name;
    const char *from, *to; /* types; the same: copied */
    size_t index, n;       /* this one, of so many */
    uint64_t n_values, bytes_from, bytes_to;
    double error;    /* root mean square of the changes, relative to that of the values */
    int requantized; /* 1: the source was quantised already, to another type: the result is worse than from the
                      * original */
} strata_quantize_item;

typedef struct strata_quantize_opts {
    int pure;                   /* 1: the one type for every matrix, without the rules of the mix */
    uint32_t n_threads;         /* 0: one per physical core this process may use */
    const volatile int *cancel; /* caller's flag; not 0: CANCELLED, and no file is left */
    void (*progress)(void *user, const strata_quantize_item *item); /* on the calling thread, in the file's order */
    void *progress_user;
    const strata_allocator *allocator; /* NULL: the C library's */
    int no_mmap;                       /* 1: read the source into memory, as in strata_model_opts */
    uint64_t reserved[7];
} strata_quantize_opts;

/* Writes the GGUF file `in` to `out` with its matrices in another type; `out` appears whole or not at all (on the disk
 * too) and may be `in`. It takes mode and owner from the file that it replaces, as far as this process may set them; a
 * device or a pipe is written into as it is, and a link stays a link. `type` names a type or a mix of types, as
 * strata_quantize_type lists them; which tensor gets which type follows llama.cpp's rules for that name, and so do the
 * bytes. Vectors, norms, positions and routers keep their type; a matrix whose rows are not whole blocks gets a type of
 * smaller blocks. The source may have any type that runs. Of a split model `in` is the first part; `out` is one whole
 * file and may not be one of the parts. Memory does not grow with the file. Errors: INVALID_ARG (no such type, `out` is
 * a part of a split `in`), IO, NOT_GGUF, CORRUPT_MODEL, UNSUPPORTED_ARCH (adapters and the like), UNSUPPORTED_TYPE,
 * UNSUPPORTED_OP (a part that does not lead to the others), NONFINITE (names the tensor), CANCELLED, NO_MEMORY.
 * Thread-safe. */
STRATA_API int strata_quantize(const char *in, const char *out, const char *type, const strata_quantize_opts *opts,
                               strata_error *err);

/* The i-th type or mix, such as "Q4_K_M"; NULL past the end. Static string. */
STRATA_API const char *strata_quantize_type(uint32_t i);

/* ---- verifying a model on this machine --------------------------------------------------------------------------- */

/* One thing that was checked. Valid during the call. */
typedef struct strata_verify_check {
    const char *name;  /* "tokens" */
    int passed;        /* 1 yes, 0 no, -1 there was nothing to compare */
    const char *found; /* what was found, in one line */
} strata_verify_check;

typedef void (*strata_verify_fn)(void *user, const strata_verify_check *check);

typedef struct strata_verify_opts {
    uint32_t n_threads;                /* 0: one per physical core this process may use */
    int no_mmap;                       /* as in strata_model_opts */
    const char *cpu;                   /* kernel level to verify, as in strata_model_opts */
    const volatile int *cancel;        /* caller's flag; not 0: CANCELLED */
    const strata_allocator *allocator; /* NULL: the C library's */
    uint64_t reserved[8];
} strata_verify_opts;

/* Checks the model in the file against what is known of it: its tokens and vectors against references that are compiled
 * in, which HuggingFace computed; and every result, bit for bit, against the same in a batch, with another number of
 * threads and with every other kernel level of this CPU. The model is recognised by its norms and biases, so in any
 * quantisation; where no reference was made with the file's tensor type, the vectors need only be similar. `report` is
 * called for each check, on the calling thread. *passed: 1 if all held; a model without a reference fails the check
 * "model", and the other checks use arbitrary ids. Errors: those of strata_model_open, CANCELLED; *passed is then
 * untouched. Thread-safe. */
STRATA_API int strata_verify(const char *path, const strata_verify_opts *opts, strata_verify_fn report, void *user,
                             int *passed, strata_error *err);

#ifdef __cplusplus
}
#endif
#endif
