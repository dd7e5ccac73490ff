/* cpu.h: the CPU backend, inside.
 *
 *   cpu.c       load, open, close: what belongs to the model and what to a caller
 *   pack.c      weights -> panels (kernels/kernels.h has the layout), in parallel; pack_panel.c one panel
 *   run.c       a batch -> groups of tokens -> threads; walks the plan
 *   scratch.c   the memory of a run: slots of groups, scratch of threads
 *   kv.c        keys and values of earlier tokens
 *   op_*.c      one file a kind of op, or the kinds that work on single rows; op_select.c: only the largest logits
 *   peaks.c     what the machine can do at most, for benchmarks
 *   kernels/    the table of kernels and its levels; the units of precision `bf16`
 *
 * A group of tokens, cut at text boundaries, has its own slots. When there are enough groups, every thread takes its
 * own through all the ops without a barrier. Otherwise all threads share one group: each op is split by rows when it is
 * long, by output panels when it is short, and ends with a barrier. K is never split, so neither way changes a bit. */
#ifndef ST_BACKEND_CPU_CPU_H
#define ST_BACKEND_CPU_CPU_H

#include "backend/backend.h"
#include "backend/cpu/kernels/bf16_unit.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kv.h"
#include "base/os/thread.h"
#include "model/rope.h"

extern const st_backend st_backend_cpu;

/* What consumers want to find in a slot. */
enum {
    ST_FORM_FLOAT = 1,
    ST_FORM_HI = 2,
    ST_FORM_LO = 4,
    ST_FORM_BF16 = 8,
    ST_FORM_NARROW = ST_FORM_HI | ST_FORM_BF16
};

typedef enum st_pack_kind { ST_PACK_F32, ST_PACK_F16, ST_PACK_BF16, ST_PACK_I8 } st_pack_kind;

/* One part of a LINEAR, packed. */
typedef struct st_packed {
    st_pack_kind kind;
    st_panel_form form;      /* of I8 */
    uint8_t *panels, *apart; /* apart: what the form keeps apart, else NULL */
    size_t panel_bytes;
    uint32_t n_panels; /* of 16 columns */
    uint32_t k;
    /* Panels with a weight, scale or bias that is not finite lie in [n_panels - bad_below, bad_end); 0, 0: there are
     * none. A run that meets them is NONFINITE whatever comes out: an activation makes 0 of minus infinity, and which
     * sign an infinite product has is for the rounding of its factors to say. */
    _Atomic uint32_t bad_below, bad_end;
} st_packed;

/* Whether any of `n` columns from panel `panel` on may have such a weight. */
static inline bool st_packed_bad(const st_packed *p, uint32_t panel, uint32_t n)
{
    uint32_t end = atomic_load_explicit(&p->bad_end, memory_order_relaxed);
    uint32_t first = p->n_panels - atomic_load_explicit(&p->bad_below, memory_order_relaxed);
    return end > panel && first < panel + (n + 15) / 16;
}

/* What a panel of a form has apart, from block b on; NULL if there is nothing. */
static inline const uint8_t *st_packed_apart(const st_packed *p, uint32_t panel, uint32_t b)
{
    return p->apart ? p->apart + panel * st_form_apart(&p->form, p->k / 32) + st_form_apart(&p->form, b) : NULL;
}

/* `blocks` blocks of a panel of kind I8 from block b on, as the GEMMs take them: where they are, or widened into
 * dst. */
const uint8_t *st_packed_blocks(const st_kernels *k, const st_packed *p, uint32_t panel, uint32_t b, uint32_t blocks,
                                uint8_t *dst);

struct st_exec {
    st_kernels kern;
    const st_plan *plan;
    st_mem *mem;
    const st_log *log;
    st_packed (*packed)[ST_OP_PARTS]; /* [n_ops], by st_op_part's index */
    uint8_t *blob;                    /* all panels */
    size_t blob_bytes;
    unsigned bf16_allowed; /* units below the cap that the model was opened with */
};

/* Packs every part of every LINEAR into e->blob, in parallel, and lets go of the file's pages. Errors: NO_MEMORY. */
int st_pack_all(st_exec *e, const st_file *file, const st_load_opts *opts, strata_error *err);

/* The form that panels of a quantised type have. */
st_panel_form st_pack_form(uint32_t type);

/* Writes panel `panel` of a part, p->panel_bytes bytes. False: a weight or scale is not finite. */
bool st_pack_panel(const st_kernels *kern, const st_packed *p, const st_part *part, uint32_t panel);

/* ---- memory of a run --------------------------------------------------------------------------------------------- */

/* The slots of one group of tokens. */
typedef struct st_slots {
    uint32_t cap_rows, cap_seqs, cap_len;
    float *f[ST_SLOT_COUNT]; /* [rows, width] of the slots that are wanted as floats */
    size_t ld[ST_SLOT_COUNT];
    st_qact q[ST_SLOT_COUNT];
    st_bact b[ST_SLOT_COUNT];
    float *kt[2], *v[2]; /* K^T and V of one head of one sequence; two, so that packing one item may overlap the last */
    uint16_t *kt16[2], *v16[2]; /* the same as pairs, in precision bf16 */
    void *block;
} st_slots;

typedef struct st_scored {
    float value;
    uint32_t id;
} st_scored;

/* Scratch of one thread. */
typedef struct st_worker {
    float *tile[2]; /* [ST_ROW_CHUNK, ST_TILE_COLS]: outputs of one strip of columns */
    float *panel;   /* [ST_DECODED_COLS / 16][ST_K_CHUNK][16]: decoded weights */
    uint8_t *wide;  /* [ST_TILE_COLS/16][ST_WIDE_BLOCKS]: widened blocks */
    float *row[2];  /* widest row */
    uint32_t *rows; /* [cap_rows] of a group: rows of an expert; only for mixtures */
    float *scores;  /* attention: [queries * heads, keys] */
    size_t n_scores;
    uint16_t *q16, *p16; /* attention in bf16: queries of a block, and its probabilities */
    float *bias;         /* attention by distance: [2 * cap_len] for one head */
    uint32_t cap_len, cap_rows;
    double *layer_seconds;         /* [n_layer + 1], the last for ops outside the layers */
    st_scored best[ST_WANTED_MAX]; /* op_select.c: columns of this thread, of the largest bounds and then exact */
    uint32_t n_best;
    void *block;
} st_worker;

#define ST_ROW_CHUNK 256u /* rows that pass one strip of columns at a time */
#define ST_TILE_COLS 64u  /* columns of a strip, at most */
/* Blocks of 32 of a narrow panel widened at a time: as many as a pass of the integer kernels takes. Four panels of them
 * are at most 192 KB, which L2 holds. */
#define ST_WIDE_BLOCKS 64u
#define ST_K_CHUNK     256u /* rows of a panel decoded at a time: 2 x 256 x 16 floats are 32 KB, L1 */

#define ST_DECODED_COLS 32u /* columns of a strip of weights that are decoded */

struct st_state {
    const st_exec *exec;
    st_pool *pool;
    uint32_t n_threads;
    int precision;
    st_bf16 bf16; /* of that precision */
    st_watch_fn watch;
    void *watch_user;
    uint8_t form[ST_SLOT_COUNT]; /* ST_FORM_* that some consumer of the slot wants */
    st_slots *slots;             /* [n_threads] */
    st_worker *workers;          /* [n_threads] */
    float *rope[ST_ROPE_TABLES]; /* [positions][n_rot]: cos, then sin, of n_rot/2 angles */
    uint32_t rope_len;
    st_kv kv;
    _Atomic int stop;         /* a status that ends the run */
    _Atomic int verdict[2];   /* of a shared group: run_go_on */
    uint32_t selected;        /* the run left logits out (op_select.c): panels of the head, else 0 */
    _Atomic uint32_t n_exact; /* of these panels, those that were computed */
    uint32_t skip_select;     /* runs that are to compute all */
};

/* Everything an op needs: which rows, which thread of how many. */
typedef struct st_env {
    st_state *state;
    const st_exec *exec;
    const st_kernels *k;
    const st_batch *batch;
    st_slots *slots;
    st_worker *worker;
    uint32_t seq0, seq1; /* sequences of the group */
    uint32_t row0;       /* token index of the group's first row */
    uint32_t n_rows;
    uint32_t ith, nth;
    uint32_t step; /* ops begun */
} st_env;

/* Waits for the other threads of a shared group. */
static inline void st_env_sync(const st_env *e)
{
    if (e->nth > 1) st_pool_barrier(e->state->pool);
}

/* Position of a token inside its sequence s. */
static inline uint32_t st_env_position(const st_env *e, uint32_t s, uint32_t token)
{
    return token - e->batch->starts[s] + (e->batch->past ? e->batch->past[s] : 0);
}

/* This thread's share [*lo, *hi) of n items in units of `unit`. */
static inline void st_env_share(const st_env *e, uint32_t n, uint32_t unit, uint32_t *lo, uint32_t *hi)
{
    uint64_t units = (n + unit - 1) / unit;
    uint64_t a = units * e->ith / e->nth * unit, b = units * (e->ith + 1) / e->nth * unit;
    *lo = (uint32_t)(a < n ? a : n);
    *hi = (uint32_t)(b < n ? b : n);
}

/* Slots whose narrow form is made by whoever reads it: a block of 32 may be the work of several threads or steps. */
static inline bool st_slot_late(st_slot s)
{
    return s == ST_SLOT_A || s == ST_SLOT_L || s == ST_SLOT_Q || s == ST_SLOT_C;
}

/* Quantises or rounds rows [lo, hi) of a float slot into its narrow form and marks sequences that are not finite. */
void st_env_quantize(const st_env *e, st_slot slot, const float *x, size_t ldx, uint32_t lo, uint32_t hi, uint32_t k,
                     uint32_t k0);

/* Marks the sequence of a row of the group, or all of the group's, as NONFINITE. */
void st_mark_nonfinite(const st_env *e, uint32_t row);
void st_mark_all_nonfinite(const st_env *e);

/* Writes row r of slot N or N2: the norm of x, in every form that is wanted. */
void st_env_write_n(const st_env *e, st_slot slot, uint32_t r, const st_norm *norm, const float *x);

void st_apply_norm(const st_kernels *k, const st_norm *norm, const float *x, uint32_t n, float *y);

/* A product with packed weights: a LINEAR op, or a step of a MOE. */
typedef struct st_linear_part {
    const st_packed *packed;
    uint32_t panel0; /* first panel */
    uint32_t n;      /* outputs from there */
    uint32_t col;
    int planes;
    const float *bias; /* [n] or NULL */
} st_linear_part;

typedef struct st_linear {
    st_slot in, out;
    uint32_t in_col; /* where the input's k columns begin, a multiple of 32 unless exact */
    bool ready;      /* a late slot: its narrow form is made already */
    uint32_t n_parts;
    st_linear_part parts[ST_MAX_PARTS];
    st_act act;
    bool glu, exact, accumulate;
    float scale, softcap;
} st_linear;

/* `rows` rows from slot in to slot out. All threads of the group call it; the caller synchronises. */
void st_linear_run(const st_env *e, const st_linear *l, uint32_t rows);

/* op_select.c: the same for the output head, when the batch wants only its largest outputs and the head is packed for
 * that. */
bool st_select_can(const st_env *e, const st_linear *l);
void st_select_run(const st_env *e, const st_linear *l);
/* After a run that wanted some logits only: whether the next runs are faster when they compute all. */
void st_select_learn(st_state *s);

/* Makes the narrow form of k columns of a late slot. All threads of the group call it, and may read when it returns. */
void st_linear_prepare(const st_env *e, st_slot slot, uint32_t rows, uint32_t k);

void st_run_embed(const st_env *e, const st_op_embed *op);
void st_run_norm(const st_env *e, const st_op *op);
void st_run_linear(const st_env *e, uint32_t index);
void st_run_qk(const st_env *e, const st_op_qk *op);
void st_run_heads(const st_env *e, uint32_t index);
void st_run_latent(const st_env *e, const st_op_latent *op);
void st_run_attn(const st_env *e, const st_op_attn *op, uint32_t layer);
void st_run_resid(const st_env *e, const st_op_resid *op);
void st_run_moe(const st_env *e, uint32_t index);
void st_run_pool(const st_env *e, const st_op_pool *op);
void st_run_gather(st_env *e);

/* Grows scratch to groups of `rows` tokens, `seqs` sequences and `len` tokens in one sequence, for the first n_slots
 * groups. Errors: NO_MEMORY. */
int st_state_reserve(st_state *s, uint32_t n_slots, uint32_t rows, uint32_t seqs, uint32_t len, strata_error *err);

/* Fills the rope tables up to `len` positions. Errors: NO_MEMORY. */
int st_state_rope(st_state *s, uint32_t len, strata_error *err);

/* The angles of a position in a sequence of `len` tokens: cos [n_rot/2], then sin. */
const float *st_state_angles(const st_state *s, uint32_t rope_class, uint32_t len, uint32_t pos);

/* Scores of a query: one for each key, and for the sink, in whole units. */
static inline uint32_t st_attn_row(const st_op_attn *op, uint32_t keys, uint32_t unit)
{
    return (uint32_t)st_round_up((size_t)keys + (op->sinks != NULL), unit);
}

/* Queries of a block of attention in bf16: two tiles of rows, one where their scores would leave the L2 cache. */
#define ST_BF16_QUERIES 32u
#define ST_BF16_LONG    4096u
static inline size_t st_attn_bf16_block(uint32_t len)
{
    return len > ST_BF16_LONG ? 16 : ST_BF16_QUERIES;
}
/* The most scores that a block of any text of up to `len` tokens has. The longest text's may have fewer, since its
 * block may be smaller. */
static inline size_t st_attn_bf16_scores(uint32_t len, uint32_t sinks)
{
    size_t own = st_attn_bf16_block(len) * st_round_up((size_t)len + sinks, 32),
           most = (size_t)ST_BF16_QUERIES * st_round_up(ST_BF16_LONG + sinks, 32);
    return len > ST_BF16_LONG && own < most ? most : own;
}

int st_cpu_run(st_state *s, const st_batch *batch, strata_error *err);

/* peaks.c. Errors: NO_MEMORY. */
int st_cpu_peaks(const st_exec *exec, uint32_t n_threads, st_mem *mem, strata_peaks *out, strata_error *err);

#endif
