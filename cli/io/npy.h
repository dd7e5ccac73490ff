/* npy.h: NumPy's array file (format 1.0) of little-endian float32, written row by row.
 *
 * The number of rows stands in the header and is known at the end. Where the output can be sought the header is written
 * at the end, and until then there are zeros; into a pipe the rows go through a temporary file. */
#ifndef CLI_IO_NPY_H
#define CLI_IO_NPY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct npy {
    FILE *out, *body; /* body == out where that can be sought */
    long header_at;
    uint64_t rows;
    uint32_t cols;
} npy;

/* False on failure, with errno set. */
bool npy_begin(npy *a, FILE *out, uint32_t cols);
bool npy_rows(npy *a, const float *v, uint64_t n);
/* flat: the shape is (cols,) instead of (rows, cols). */
bool npy_end(npy *a, bool flat);
/* Always, also of a zeroed one. */
void npy_free(npy *a);

#endif
