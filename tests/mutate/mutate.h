/* mutate.h: what the parts of the mutation tool share. mutate.c runs and watches the workers, mutants.c makes a mutant,
 * chain.c takes a file through every call, poison.c compares what poisoned weights give. */
#ifndef TESTS_MUTATE_H
#define TESTS_MUTATE_H

#include <stdbool.h>

#include "gguf/gguf.h"
#include "mutate/bytes.h"
#include "strata.h"

#define MUTATE_PATH 512

/* A tiny model in memory, and its directory. */
typedef struct tiny_model {
    char name[64];
    uint8_t *data;
    size_t size, head; /* head: bytes before the tensors' data */
    st_mem mem;
    st_gguf g;
} tiny_model;

/* Of one worker, in memory that it shares with the one who watches. */
typedef struct progress {
    volatile uint64_t at, done, opened, refused, nonfinite; /* `at`: the item at hand + 1 */
    volatile uint64_t findings;
    volatile double begun; /* when the item at hand began */
} progress;

typedef struct worker {
    const tiny_model *models;
    size_t n_models;
    uint64_t seed, item;
    char dir[MUTATE_PATH - 64]; /* of its own */
    char what[200];             /* the item in words */
    size_t live, peak;          /* bytes that the library holds */
    progress *p;
    bool verbose;
} worker;

/* Reports a finding of the item at hand. */
void mutate_found(worker *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Counts, refuses beyond a bound, and must be empty after each item. */
strata_allocator mutate_allocator(worker *w);

bool mutate_write(const char *path, const void *data, size_t size);

/* A mutant of any model -> files in w->dir; the path to open in `path`. False: this one could not be made. */
bool mutate_make(worker *w, uint64_t *r, char *path);

/* The file through open, info, tokens, eval, embed, generate, rank, quantize and verify. */
void mutate_chain(worker *w, const char *path, uint64_t *r);

/* How many poisoned models there are: tensors of all models. */
uint64_t mutate_n_tensors(const tiny_model *models, size_t n);

/* Poisons one tensor of one model, and compares. */
void mutate_poison(worker *w);

#endif
