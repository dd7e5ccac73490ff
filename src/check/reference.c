/* reference.c: recognises a model by the tensors that quantising leaves alone. */
#include "check/reference.h"

#include <math.h>
#include <string.h>

#include "engine/engine.h"
#include "quant/quant.h"

static uint64_t reference_fnv1a(uint64_t h, const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

uint64_t st_verify_fingerprint(const strata_model *m)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < m->gguf.n_tensors; i++) {
        const st_gguf_tensor *t = &m->gguf.tensors[i];
        if (t->type != ST_F32 || t->n_dims != 1) continue;
        uint64_t h = reference_fnv1a(0xcbf29ce484222325u, t->name.ptr, t->name.len);
        sum += reference_fnv1a(reference_fnv1a(h, "", 1), t->data, t->bytes);
    }
    return sum;
}

/* Nothing in the file but this type and F32. */
static bool reference_is_all_of(const strata_model *m, const char *type)
{
    bool there = false;
    for (uint32_t i = 0; i < m->n_types; i++) {
        bool this = strcmp(m->types[i].name, type) == 0;
        if (!this && strcmp(m->types[i].name, "F32") != 0) return false;
        there |= this;
    }
    return there;
}

const st_verify_reference *st_verify_find(const strata_model *m, int *same_type)
{
    const st_verify_reference *r, *found = NULL;
    uint64_t fingerprint = st_verify_fingerprint(m);
    *same_type = 0;
    for (uint32_t i = 0; (r = st_verify_reference_at(i)); i++) {
        if (r->fingerprint != fingerprint) continue;
        if (reference_is_all_of(m, r->type)) {
            *same_type = 1;
            return r;
        }
        if (!found) found = r; /* the first is the one nearest to the original */
    }
    return found;
}

double st_verify_cosine(const float *got, const int16_t *want, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        double a = (double)got[i], b = want[i];
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    return aa > 0 ? ab / sqrt(aa * bb) : 0;
}
