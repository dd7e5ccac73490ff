/* foreign.h: files that people give for a model and that are none, by what they are. */
#ifndef ST_GGUF_FOREIGN_H
#define ST_GGUF_FOREIGN_H

#include "gguf/gguf.h"

/* What bytes that do not begin with GGUF are: "a safetensors file: ...", "" if they are nothing known. Static
 * string. */
const char *st_foreign_bytes(const uint8_t *p, size_t n);

/* A GGUF file that goes with models or is of another trade: adapters, projectors, importance matrices, control vectors,
 * pictures and sound. Errors: UNSUPPORTED_ARCH says what it is; 0 if it may be a text model. */
int st_foreign_check(const st_gguf *g, strata_error *err);

/* The same for what quantising takes: projectors, pictures and sound are tensors like others. */
int st_foreign_check_tensors(const st_gguf *g, strata_error *err);

#endif
