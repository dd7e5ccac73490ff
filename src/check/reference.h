/* reference.h: the models whose results are known, and how a result is compared with them. */
#ifndef ST_CHECK_REFERENCE_H
#define ST_CHECK_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

#include "strata.h"

/* A text and the ids that it has, or ids alone. */
typedef struct st_verify_case {
    const char *text; /* NULL: ids alone */
    size_t len;
    const int32_t *ids;
    size_t n_ids;
} st_verify_case;

typedef struct st_verify_reference {
    const char *name;     /* of the model */
    const char *type;     /* of the matrices of the file that the vectors were made with */
    uint64_t fingerprint; /* see st_verify_fingerprint */
    const st_verify_case *cases;
    uint32_t n_cases;
    const int16_t *vectors; /* [n_cases, width], not normalised, of no particular length */
    uint32_t width;
    double min_cosine, mean_cosine; /* what int8 activations reach */
} st_verify_reference;

/* reference_data.c; NULL past the end. */
const st_verify_reference *st_verify_reference_at(uint32_t i);

/* A number of the model's F32 tensors of one dimension, norms and biases: the same for all quantised files of a model,
 * in whatever order their tensors stand. */
uint64_t st_verify_fingerprint(const strata_model *m);

/* The reference of m, or NULL. *same_type: it was made with matrices of m's type, so that its bounds hold. */
const st_verify_reference *st_verify_find(const strata_model *m, int *same_type);

double st_verify_cosine(const float *got, const int16_t *want, size_t n);

#endif
