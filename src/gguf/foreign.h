/* foreign.h: files that people take for a model and that are none, named by what they are. */
#ifndef ST_GGUF_FOREIGN_H
#define ST_GGUF_FOREIGN_H

#include "gguf/gguf.h"

/* What a file is that does not begin with GGUF: "a safetensors file: ...", or "" if it is nothing known. Static
 * string. */
const char *st_foreign_bytes(const uint8_t *p, size_t n);

/* A GGUF file that accompanies a model or is of another kind: adapters, projectors, importance matrices, control
 * vectors, pictures and sound. Errors: UNSUPPORTED_ARCH says what it is; 0 if it may be a text model. */
int st_foreign_check(const st_gguf *g, strata_error *err);

/* The same for quantising, to which the tensors of projectors, pictures and sound are like any others. */
int st_foreign_check_tensors(const st_gguf *g, strata_error *err);

#endif
