/* backend.h: the seam between a model and the hardware that runs it.
 *
 * A backend compiles a plan once (`load`: pack or upload the weights, choose kernels) and then runs ragged batches. It
 * never sees text, and nothing above it sees a kernel.
 *
 *  - An `st_exec` is a loaded plan: immutable, shared by threads. It may keep pointers into the plan, the config, the
 *    weights and the file, which outlive it.
 *  - An `st_state` is what one caller needs to run it: scratch and threads. One run at a time.
 *  - `run` checks nothing about ids, types or lengths: src/engine has. It allocates only to grow the scratch and the
 *    cache to the batch before the first op. It stops between ops when the batch is cancelled or late, and then returns
 *    CANCELLED or DEADLINE with the outputs unspecified. A sequence whose numbers become NaN or infinite gets status
 *    NONFINITE and does not disturb the others.
 *  - The same sequence gives the same bits, whatever else is in the batch and however many threads there are.
 *
 * A backend is a folder beside this file and a line in registry.c. */
#ifndef ST_BACKEND_BACKEND_H
#define ST_BACKEND_BACKEND_H

#include "backend/batch.h"
#include "base/log.h"
#include "base/os/file.h"
#include "model/plan.h"

typedef struct st_exec st_exec;
typedef struct st_state st_state;

typedef struct st_load_opts {
    uint32_t n_threads; /* for packing */
    const char *level;  /* cap of the kernel level, NULL: none */
    const st_log *log;
    st_mem *mem;
    /* Other work of opening a model, on the calling thread while the others pack; NULL: none. A load that fails may
     * leave it out. */
    void (*other_work)(void *user);
    void *other_user;
} st_load_opts;

/* What an op left in its slot: float rows, int8 rows, or both. Valid during the call. */
typedef struct st_peek {
    uint32_t rows, cols;
    const float *f; /* [rows, ld] or NULL */
    size_t ld;
    const int8_t *hi, *lo; /* [rows, ld_q] or NULL */
    const float *d;        /* [rows, ld_q/32] */
    size_t ld_q;
} st_peek;

/* After each op of a watched run, on the calling thread. */
typedef void (*st_watch_fn)(void *user, uint32_t op, const st_peek *peek, double micros);

/* Keys and values of earlier tokens, for decoders. */
typedef struct st_kv_opts {
    int type;         /* strata_kv */
    uint32_t n_seqs;  /* sequences that can be held; 0: no cache */
    uint32_t n_ctx;   /* positions of each */
    uint32_t n_batch; /* most tokens of one sequence in one run: layers with a window keep that many beyond it */
} st_kv_opts;

typedef struct st_state_opts {
    uint32_t n_threads;
    int precision; /* strata_precision */
    st_kv_opts kv;
    st_watch_fn watch;
    void *watch_user;
} st_state_opts;

typedef struct st_backend {
    const char *name;
    int (*load)(const st_plan *plan, const st_file *file, const st_load_opts *opts, st_exec **out, strata_error *err);
    void (*unload)(st_exec *e);
    const char *(*level_at)(uint32_t i);        /* the i-th that this machine has, best last; NULL past it */
    const char *(*level)(const st_exec *e);     /* the one in use */
    uint64_t (*packed_bytes)(const st_exec *e); /* memory of the prepared weights */
    const char *(*bf16)(const st_exec *e);      /* the unit of precision bf16, if its open is granted it; NULL: none */
    int (*open)(const st_exec *e, const st_state_opts *opts, st_state **out, strata_error *err);
    void (*close)(st_state *s);
    const char *(*unit)(const st_state *s); /* what its products run on: the level, or the unit of precision bf16 */
    int (*run)(st_state *s, const st_batch *batch, strata_error *err);
    /* How many of a sequence's first `keep` tokens, whose runs succeeded, may stay when it goes on to hold n: keep, or
     * fewer where what a run from there needs is no longer there, was overwritten by any later run, also one that
     * failed, or was made for a sequence of another length. */
    uint32_t (*kv_keep)(const st_state *s, uint32_t seq, uint32_t keep, uint32_t n);
    /* The sequence keeps `keep` tokens (0: it begins anew) and will hold n: gives back the memory that this does not
     * need. */
    void (*kv_trim)(st_state *s, uint32_t seq, uint32_t keep, uint32_t n);
    /* Memory that a cache takes when every sequence is full; 0: too large to count. */
    uint64_t (*kv_bytes)(const st_plan *plan, const st_kv_opts *kv);
    /* What the hardware reaches at most at its level, for benchmarks; its memory is held during the call only. */
    int (*peaks)(const st_exec *e, uint32_t n_threads, st_mem *mem, strata_peaks *out, strata_error *err);
} st_backend;

/* The backend to use; never NULL, since the CPU is always there. */
const st_backend *st_backend_default(void);

#endif
