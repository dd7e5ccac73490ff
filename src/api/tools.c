/* tools.c: the public functions that look at files and models as tools do: quantise, verify, diff, measure. */
#include "api/api.h"
#include "base/os/cpus.h"
#include "check/diff.h"
#include "check/verify.h"
#include "convert/mix.h"
#include "convert/quantize.h"

int strata_quantize(const char *in, const char *out, const char *type, const strata_quantize_opts *opts,
                    strata_error *err)
{
    ST_FAIL_IF(!in || !out || !type, err, STRATA_INVALID_ARG, "strata_quantize: in, out or type is NULL");
    const strata_allocator *a = opts ? opts->allocator : NULL;
    ST_FAIL_IF(a && (!a->alloc || !a->free), err, STRATA_INVALID_ARG, "the allocator lacks alloc or free");
    ST_TRY(st_opts_check_quantize(opts, err));
    uint64_t fp = st_fp_enter();
    int rc = st_quantize_file(in, out, type, opts, err);
    st_fp_leave(fp);
    return rc;
}

const char *strata_quantize_type(uint32_t i)
{
    const st_mix *mix = st_mix_at(i);
    return mix ? mix->name : NULL;
}

int strata_verify(const char *path, const strata_verify_opts *opts, strata_verify_fn report, void *user, int *passed,
                  strata_error *err)
{
    ST_FAIL_IF(!path || !report || !passed, err, STRATA_INVALID_ARG, "strata_verify: path, report or passed is NULL");
    const strata_allocator *a = opts ? opts->allocator : NULL;
    ST_FAIL_IF(a && (!a->alloc || !a->free), err, STRATA_INVALID_ARG, "the allocator lacks alloc or free");
    ST_TRY(st_opts_check_verify(opts, err));
    uint64_t fp = st_fp_enter();
    int rc = st_verify(path, opts, report, user, passed, err);
    st_fp_leave(fp);
    return rc;
}

int strata_model_diff(const strata_model *m, const char *against, const int32_t *ids, size_t n, int precision,
                      strata_write_fn write, void *user, int *first, strata_error *err)
{
    ST_NEED(m);
    ST_NEED(write);
    ST_NEED(first);
    ST_FAIL_IF(n && !ids, err, STRATA_INVALID_ARG, "strata_model_diff: ids is NULL");
    ST_TRY(st_opts_check_value("precision", precision, STRATA_PRECISION_BF16, err));
    ST_NEED_WEIGHTS(m);
    uint64_t fp = st_fp_enter();
    int rc = st_diff(m, against, ids, n, precision, write, user, first, err);
    st_fp_leave(fp);
    return rc;
}

int strata_measure_peaks(const strata_model *m, uint32_t n_threads, strata_peaks *out, strata_error *err)
{
    ST_NEED(m);
    ST_NEED(out);
    ST_NEED_WEIGHTS(m);
    uint64_t fp = st_fp_enter();
    int rc = m->backend->peaks(m->exec, n_threads ? n_threads : st_cpu_count(), m->mem, out, err);
    st_fp_leave(fp);
    return rc;
}
