/* test_gguf.c: the GGUF reader and writer. Every seed of tests/fuzz/corpus/gguf is a named case with its exact message;
 * the seeds cover the rows of "GGUF parser bugs" that published advisories and issues describe. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* opendir, mkdtemp */
#endif
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../fuzz/fuzz_gguf.c"
#include "base/os/file.h"
#include "convert/gguf_write.h"
#include "quant/quant.h"

#define SEEDS STRATA_SOURCE_DIR "/tests/fuzz/corpus/gguf/"

static st_mem mem;

/* ---- seeds ------------------------------------------------------------------------------------------------------- */

typedef struct expectation {
    const char *seed, *msg; /* msg after the file's name; NULL: it parses */
    int code;
} expectation;

#define OK(seed)              \
    {                         \
        seed, NULL, STRATA_OK \
    }
#define NOT(seed, msg)             \
    {                              \
        seed, msg, STRATA_NOT_GGUF \
    }
#define BAD(seed, msg)                  \
    {                                   \
        seed, msg, STRATA_CORRUPT_MODEL \
    }
#define TYPE(seed, msg)                    \
    {                                      \
        seed, msg, STRATA_UNSUPPORTED_TYPE \
    }
#define ALIGN_MSG(v) ": key 'general.alignment' is " v ", want a power of two from 8 to 4096"
#define CUT_MSG(bytes, offset, end)                                                                         \
    ": tensor 'a' has " bytes " bytes at offset " offset " of the data, beyond the end of the file at " end \
    ": is it cut short?"

static const expectation expectations[] = {
    OK("ok_minimal"),
    OK("ok_all_types"),
    OK("ok_version_2"),
    OK("ok_trailing_padding"),
    OK("ok_order"),
    OK("ok_alignment_8"),
    OK("ok_runnable_or_not"),

    NOT("empty", ": is empty"),
    NOT("magic_wrong", ": is not a GGUF file: it does not begin with GGUF"),
    NOT("magic_cut", ": is not a GGUF file: it does not begin with GGUF"),
    NOT("git_lfs_pointer", ": is a Git LFS pointer, not the model: fetch it with `git lfs pull`"),
    NOT("version_1", ": is GGUF version 1, want 2 or 3"),
    NOT("version_4", ": is GGUF version 4, want 2 or 3"),
    NOT("big_endian", ": is a big-endian GGUF file; convert it with gguf-py's gguf_convert_endian"),
    BAD("header_cut", ": the file ends inside its header"),

    /* CVE-2024-21836 n_tensors, -23605 n_kv, -21825 array count, -23496 string length, -21802 n_dims */
    BAD("n_tensors_huge", ": says it has 1152921504606846976 tensors, but only 64 bytes follow"),
    BAD("n_tensors_wrap", ": says it has 461168601842738791 tensors, but only 64 bytes follow"),
    BAD("n_tensors_after_kv", ": says it has 2 tensors, but only 33 bytes follow the metadata"),
    BAD("n_kv_huge", ": says it has 1152921504606846976 metadata keys, but only 64 bytes follow"),
    BAD("array_count_huge", ": key 'a' has 4611686018427387904 values of type u32, but only 4 bytes follow"),
    BAD("array_count_wrap", ": key 'a' has 2305843009213693953 values of type u64, but only 8 bytes follow"),
    BAD("array_cut", ": key 'abcdefgh': the file ends inside its array"),
    BAD("string_len_huge", ": key 'a': string 0 runs past the end of the file"),
    BAD("key_len_huge", ": metadata key 0 of 1 runs past the end of the file"),
    BAD("key_empty", ": metadata key 0 is empty"),
    BAD("kv_cut_at_type", ": key 'abcdefgh': the file ends before its type"),
    BAD("n_dims_5", ": tensor 'a' has 5 dimensions, want 1 to 4"),
    BAD("n_dims_huge", ": tensor 'a' has 4294967295 dimensions, want 1 to 4"),
    BAD("n_dims_0", ": tensor 'a' has 0 dimensions, want 1 to 4"),

    /* CVE-2024-32878, -41130: error paths and values of another type */
    BAD("fails_after_strings", ": key 'general.architecture' is there twice"),
    OK("string_of_other_type"),

    /* CVE-2025-53630, CVE-2026-27940, CVE-2026-33298: sizes that wrap */
    BAD("dims_product_wrap", ": tensor 'a': its number of values does not fit 64 bits"),
    BAD("bytes_wrap", ": tensor 'a': its size in bytes does not fit 64 bits"),
    BAD("offset_wrap", CUT_MSG("32", "18446744073709551584", "144")),
    BAD("sizes_sum_wrap",
        ": tensor 'b' has 4611686018427387904 bytes at offset 4611686018427387904 of the data, beyond the "
        "end of the file at 176: is it cut short?"),

    /* llama.cpp#24759, #24997, #26318: alignment */
    BAD("alignment_0", ALIGN_MSG("0")),
    BAD("alignment_4", ALIGN_MSG("4")),
    BAD("alignment_24", ALIGN_MSG("24")),
    BAD("alignment_8192", ALIGN_MSG("8192")),
    BAD("alignment_2147483648", ALIGN_MSG("2147483648")),
    BAD("alignment_u64", ": key 'general.alignment' is of type u64, want u32"),
    BAD("alignment_string", ": key 'general.alignment' is of type string, want u32"),

    /* llama.cpp#15711, #19856: memory exhaustion */
    BAD("string_array_count_huge", ": key 'a' has 1099511627776 values of type string, but only 9 bytes follow"),
    BAD("string_array_cut", ": key 'a': string 3 runs past the end of the file"),
    BAD("string_array_long_item", ": key 'a': string 1 runs past the end of the file"),

    /* CVE-2026-7482, CVE-2026-53923: data beyond the file, dimensions cut to 32 bits */
    BAD("tensor_beyond_file", CUT_MSG("4194304", "0", "144")),
    BAD("tensor_one_byte_short", CUT_MSG("16", "0", "143")),
    BAD("tensor_offset_beyond", CUT_MSG("16", "1048576", "144")),
    BAD("tensor_data_absent", ": the file ends before its tensor data"),
    BAD("dim_over_int32", ": tensor 'a': dimension 0 is 2147483648, want 1 to 2147483647"),
    BAD("dim_32_bits_of_zero", ": tensor 'a': dimension 0 is 4294967296, want 1 to 2147483647"),
    BAD("dim_0", ": tensor 'a': dimension 1 is 0, want 1 to 2147483647"),
    BAD("block_not_whole", ": tensor 'a': rows of 16 values are not whole blocks of 32, as Q8_0 needs"),

    /* nested arrays; duplicates, overlaps, misalignment */
    BAD("array_of_arrays", ": key 'a' is an array of arrays, which models do not use"),
    BAD("array_of_arrays_deep", ": key 'a' is an array of arrays, which models do not use"),
    BAD("key_twice", ": key 'a.b' is there twice"),
    BAD("tensor_twice", ": tensor 'a' is there twice"),
    BAD("tensor_overlap", ": tensors 'a' and 'b' overlap"),
    BAD("tensor_overlap_order", ": tensors 'c' and 'a' overlap"),
    BAD("tensor_misaligned", ": tensor 'a' has offset 4, want a multiple of 32"),
    BAD("tensor_name_empty", ": the name of tensor 0 has 0 bytes, want 1 to 255"),
    BAD("tensor_name_long", ": the name of tensor 0 has 256 bytes, want 1 to 255"),
    BAD("tensor_name_cut", ": the name of tensor 0 runs past the end of the file"),
    BAD("tensor_record_cut", ": tensor 'abcdefgh': the file ends inside its record"),
    BAD("tensor_dims_cut", ": tensor 'abcdefgh': the file ends inside its dimensions"),
    TYPE("tensor_type_unknown", ": tensor 'a' has type 99, which is not known; types that run: "),
    TYPE("tensor_type_withdrawn", ": tensor 'a' has type 31, which is not known; types that run: "),
    BAD("value_type_unknown", ": key 'a' has the unknown type 13"),
    BAD("array_type_unknown", ": key 'a' has the unknown type 77"),
    BAD("bool_2", ": key 'a': bool 0 has the byte 2, want 0 or 1"),
    BAD("bool_array_255", ": key 'a': bool 2 has the byte 255, want 0 or 1"),
    BAD("key_hostile",
        ": key 'a?[31m???zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz...' has the unknown type 99"),
};

enum { N_SEEDS = sizeof expectations / sizeof *expectations };

static st_file open_seed(const char *seed)
{
    char path[512];
    strata_error err;
    st_file f;
    snprintf(path, sizeof path, SEEDS "%s.gguf", seed);
    if (st_file_open(&f, path, true, &mem, &err)) fail_msg("%s", err.msg);
    return f;
}

static void seed_case(void **state)
{
    const expectation *e = *state;
    st_file f = open_seed(e->seed);
    strata_error err = {0};
    st_gguf g;
    int rc = st_gguf_parse(&g, f.data, f.size, "m.gguf", false, &mem, &err);
    if (rc != e->code) fail_msg("%s: code %d, want %d: %s", e->seed, rc, e->code, err.msg);
    if (rc) {
        char want[256];
        bool type = e->code == STRATA_UNSUPPORTED_TYPE; /* the list of types grows */
        snprintf(want, sizeof want, "m.gguf%s%s", e->msg, type ? st_quant_supported() : "");
        assert_string_equal(err.msg, want);
        assert_int_equal(err.code, rc);
        assert_int_equal(st_gguf_parse(&g, f.data, f.size, "m.gguf", false, &mem, NULL), rc);
    }
    st_gguf_free(&g);
    st_gguf_free(&g);
    (void)LLVMFuzzerTestOneInput(f.data, f.size);
    st_file_close(&f);
    assert_int_equal(mem.used, 0);
}

static void every_seed_has_a_case(void **state)
{
    (void)state;
    DIR *dir = opendir(SEEDS);
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));) {
        char *dot = strstr(d->d_name, ".gguf");
        if (!dot) continue;
        *dot = 0;
        int i = 0;
        while (i < N_SEEDS && strcmp(expectations[i].seed, d->d_name) != 0) i++;
        if (i == N_SEEDS) fail_msg("seed %s has no expectation", d->d_name);
    }
    closedir(dir);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void reads_every_type(void **state)
{
    (void)state;
    st_file f = open_seed("ok_all_types");
    strata_error err = {0};
    st_gguf g;
    assert_int_equal(st_gguf_parse(&g, f.data, f.size, "m.gguf", false, &mem, &err), STRATA_OK);
    assert_int_equal(g.version, 3);
    assert_int_equal(g.alignment, 32);

    uint32_t u = 0;
    static const struct {
        const char *key;
        uint32_t want;
    } ints[] = {{"k.u8", 200}, {"k.u16", 60000}, {"k.u32", 4000000000u}};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        assert_int_equal(st_gguf_u32(&g, ints[i].key, &u, &err), STRATA_OK);
        assert_int_equal(u, ints[i].want);
    }
    static const char *const refused[][2] = {
        {"k.i8", "m.gguf: key 'k.i8' is -3, want 0 to 4294967295"},
        {"k.i16", "m.gguf: key 'k.i16' is -300, want 0 to 4294967295"},
        {"k.i32", "m.gguf: key 'k.i32' is -70000, want 0 to 4294967295"},
        {"k.i64", "m.gguf: key 'k.i64' is -5000000000, want 0 to 4294967295"},
        {"k.u64", "m.gguf: key 'k.u64' is 5000000000, want 0 to 4294967295"},
        {"k.f32", "m.gguf: key 'k.f32' is f32, want an integer"},
        {"k.bool", "m.gguf: key 'k.bool' is bool, want an integer"},
        {"a.u32", "m.gguf: key 'a.u32' is an array of u32, want an integer"},
        {"absent", "m.gguf: key 'absent' is missing"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        u = 77;
        assert_int_equal(st_gguf_u32(&g, refused[i][0], &u, &err), STRATA_CORRUPT_MODEL);
        assert_string_equal(err.msg, refused[i][1]);
        assert_int_equal(u, 77);
    }
    assert_int_equal(st_gguf_u32_or(&g, "absent", 5, &u, &err), STRATA_OK);
    assert_int_equal(u, 5);
    assert_int_equal(st_gguf_u32_or(&g, "k.bool", 5, &u, &err), STRATA_CORRUPT_MODEL);

    float v = 0;
    assert_int_equal(st_gguf_f32(&g, "k.f32", &v, &err), STRATA_OK);
    assert_true(v == 1.5f);
    assert_int_equal(st_gguf_f32(&g, "k.f64", &v, &err), STRATA_OK);
    assert_true(v == 0.25f);
    assert_int_equal(st_gguf_f32(&g, "k.f64_huge", &v, &err), STRATA_CORRUPT_MODEL);
    assert_string_equal(err.msg, "m.gguf: key 'k.f64_huge' is 1e+300, which does not fit a 32-bit float");
    assert_int_equal(st_gguf_f32(&g, "k.u32", &v, &err), STRATA_CORRUPT_MODEL);
    assert_string_equal(err.msg, "m.gguf: key 'k.u32' is u32, want a float");
    assert_int_equal(st_gguf_f32(&g, "absent", &v, &err), STRATA_CORRUPT_MODEL);
    assert_int_equal(st_gguf_f32_or(&g, "absent", 9, &v, &err), STRATA_OK);
    assert_true(v == 9);
    assert_int_equal(st_gguf_f32_or(&g, "k.f32", 9, &v, &err), STRATA_OK);
    assert_true(v == 1.5f);

    bool b = false;
    assert_int_equal(st_gguf_bool_or(&g, "k.bool", false, &b, &err), STRATA_OK);
    assert_true(b);
    assert_int_equal(st_gguf_bool_or(&g, "absent", false, &b, &err), STRATA_OK);
    assert_false(b);
    assert_int_equal(st_gguf_bool_or(&g, "k.u8", false, &b, &err), STRATA_CORRUPT_MODEL);
    assert_string_equal(err.msg, "m.gguf: key 'k.u8' is u8, want a bool");

    st_str s;
    assert_int_equal(st_gguf_str(&g, "k.string", &s, &err), STRATA_OK);
    assert_true(st_str_eq(s, "text"));
    assert_int_equal(st_gguf_str(&g, "k.u8", &s, &err), STRATA_CORRUPT_MODEL);
    assert_string_equal(err.msg, "m.gguf: key 'k.u8' is u8, want a string");
    assert_int_equal(st_gguf_str(&g, "a.string", &s, &err), STRATA_CORRUPT_MODEL);
    assert_int_equal(st_gguf_str(&g, "absent", &s, &err), STRATA_CORRUPT_MODEL);
    assert_int_equal(st_gguf_str_or(&g, "absent", "none", &s, &err), STRATA_OK);
    assert_true(st_str_eq(s, "none"));
    assert_int_equal(st_gguf_str_or(&g, "absent", NULL, &s, &err), STRATA_OK);
    assert_null(s.ptr);
    assert_true(st_str_eq(s, ""));

    const uint8_t *data;
    uint64_t n;
    assert_int_equal(st_gguf_array(&g, "a.u32", ST_GGUF_U32, &data, &n, &err), STRATA_OK);
    assert_int_equal(n, 3);
    assert_int_equal(data[4], 20);
    assert_int_equal(st_gguf_array(&g, "a.u32", ST_GGUF_I32, &data, &n, &err), STRATA_CORRUPT_MODEL);
    assert_string_equal(err.msg, "m.gguf: key 'a.u32' is an array of u32, want an array of i32");
    assert_int_equal(st_gguf_array(&g, "k.u32", ST_GGUF_U32, &data, &n, &err), STRATA_CORRUPT_MODEL);
    assert_string_equal(err.msg, "m.gguf: key 'k.u32' is u32, want an array of u32");
    assert_int_equal(st_gguf_array(&g, "absent", ST_GGUF_U32, &data, &n, &err), STRATA_CORRUPT_MODEL);

    assert_int_equal(st_gguf_u32_at(&g, "a.u16", 2, &u, &err), STRATA_OK);
    assert_int_equal(u, 9);
    assert_int_equal(st_gguf_u32_at(&g, "a.u64", 0, &u, &err), STRATA_CORRUPT_MODEL);
    assert_int_equal(st_gguf_u32_at(&g, "k.u8", 1000, &u, &err), STRATA_OK);
    assert_int_equal(u, 200);
    assert_int_equal(st_gguf_u32_at(&g, "a.u32", 3, &u, &err), STRATA_CORRUPT_MODEL);
    assert_string_equal(err.msg, "m.gguf: key 'a.u32' has 3 values, want at least 4");
    assert_int_equal(st_gguf_u32_at(&g, "a.string", 0, &u, &err), STRATA_CORRUPT_MODEL);
    assert_int_equal(st_gguf_u32_at(&g, "a.f32", 0, &u, &err), STRATA_CORRUPT_MODEL);
    assert_int_equal(st_gguf_u32_at(&g, "absent", 0, &u, &err), STRATA_CORRUPT_MODEL);

    const st_gguf_kv *kv = st_gguf_find(&g, "a.string");
    assert_non_null(kv);
    assert_int_equal(kv->count, 3);
    static const char *const items[] = {"one", "", "three"};
    size_t at = 0, i = 0;
    for (; st_gguf_next_string(kv, &at, &s); i++) assert_true(st_str_eq(s, items[i]));
    assert_int_equal(i, 3);
    assert_int_equal(at, kv->bytes);
    at = 0;
    assert_false(st_gguf_next_string(st_gguf_find(&g, "a.u32"), &at, &s));
    assert_false(st_gguf_next_string(st_gguf_find(&g, "a.empty"), &at, &s));

    const st_gguf_tensor *t = st_gguf_tensor_find(&g, "b");
    assert_non_null(t);
    assert_int_equal(t->type, ST_Q8_0);
    assert_int_equal(t->bytes, 68);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[0], 32);
    assert_int_equal(t->dims[1], 2);
    assert_int_equal(t->dims[3], 1);
    assert_int_equal(t->data[67], 67);
    assert_null(st_gguf_tensor_find(&g, "k.u8"));
    assert_null(st_gguf_find(&g, ""));
    st_gguf_free(&g);
    assert_null(st_gguf_find(&g, "k.u8"));
    assert_null(st_gguf_tensor_find(&g, "b"));
    st_file_close(&f);
}

static void skips_tensors(void **state)
{
    (void)state;
    st_gguf g;
    strata_error err;
    static const char *const tolerated[] = {"tensor_type_unknown", "tensor_beyond_file", "tensor_data_absent",
                                            "tensor_twice", "ok_all_types"};
    for (size_t i = 0; i < sizeof tolerated / sizeof *tolerated; i++) {
        st_file f = open_seed(tolerated[i]);
        if (st_gguf_parse(&g, f.data, f.size, "m.gguf", true, &mem, &err)) fail_msg("%s", err.msg);
        assert_int_equal(g.n_tensors, 0);
        assert_null(st_gguf_tensor_find(&g, "a"));
        st_gguf_free(&g);
        st_file_close(&f);
    }
    static const char *const refused[] = {"n_dims_5", "tensor_name_cut", "dim_0", "n_tensors_huge"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        st_file f = open_seed(refused[i]);
        assert_int_equal(st_gguf_parse(&g, f.data, f.size, "m.gguf", true, &mem, &err), STRATA_CORRUPT_MODEL);
        st_file_close(&f);
    }
}

static void long_keys_and_paths(void **state)
{
    (void)state;
    enum { HEAD = 24, LONG = 65536 };
    uint8_t *b = calloc(1, HEAD + 8 + LONG + 5);
    memcpy(b, "GGUF\3", 5);
    b[16] = 1;
    memset(b + HEAD + 8, 'k', LONG);
    st_gguf g;
    strata_error err;
    char path[600];
    memset(path, 'p', sizeof path);
    snprintf(path + 590, 10, "/m.gguf");
    for (size_t len = LONG - 1; len <= LONG; len++) {
        for (int i = 0; i < 8; i++) b[HEAD + i] = (uint8_t)(len >> (8 * i));
        memset(b + HEAD + 8 + len, 0, 5);
        int rc = st_gguf_parse(&g, b, HEAD + 8 + len + 5, path, false, &mem, &err);
        assert_int_equal(rc, len == LONG ? STRATA_CORRUPT_MODEL : STRATA_OK);
        if (!rc) st_gguf_free(&g);
    }
    assert_non_null(strstr(err.msg, "ppp/m.gguf: metadata key 0 has 65536 bytes, want at most 65535"));
    free(b);
}

static void prints_names(void **state)
{
    (void)state;
    char buf[ST_STR_PRINT], text[200];
    memset(text, 'x', sizeof text);
    assert_int_equal(strlen(st_str_print((st_str){text, 64}, buf)), 64);
    assert_int_equal(strlen(st_str_print((st_str){text, 200}, buf)), ST_STR_PRINT - 1);
    assert_string_equal(buf + 64, "...");
    assert_string_equal(st_str_print((st_str){"", 0}, buf), "");
    assert_string_equal(st_str_print((st_str){"a\tb\x7f\xc3\xa9%s", 8}, buf), "a?b???%s");
}

static void truncated_at_every_byte(void **state)
{
    (void)state;
    static const char *const seeds[] = {"ok_all_types", "ok_order", "ok_version_2"};
    for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++) {
        st_file f = open_seed(seeds[s]);
        for (size_t n = 0; n < f.size; n++) {
            uint8_t *copy = malloc(n ? n : 1); /* its own block, so that a sanitizer sees one byte too far */
            memcpy(copy, f.data, n);
            st_gguf g;
            strata_error err;
            int rc = st_gguf_parse(&g, copy, n, "m.gguf", false, &mem, &err);
            if (!rc) fail_msg("%s cut to %zu of %zu bytes still parses", seeds[s], n, f.size);
            (void)LLVMFuzzerTestOneInput(copy, n);
            free(copy);
        }
        st_file_close(&f);
    }
    assert_int_equal(mem.used, 0);
}

static uint32_t next_random(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*s >> 33);
}

static void mutations_do_no_harm(void **state)
{
    (void)state;
    static const uint64_t nasty[] = {0,          1,          0x7f,       0xff,       0x7fffffff, 0x80000000,
                                     0xffffffff, 1ull << 32, 1ull << 61, 1ull << 63, UINT64_MAX, UINT64_MAX - 31};
    uint64_t rng = 1;
    for (int s = 0; s < N_SEEDS; s++) {
        st_file f = open_seed(expectations[s].seed);
        for (int i = 0; i < 100 && f.size; i++) { /* 7,000 in all */
            uint8_t *copy = malloc(f.size);
            memcpy(copy, f.data, f.size);
            for (uint32_t k = next_random(&rng) % 4 + 1; k; k--) {
                size_t at = next_random(&rng) % f.size;
                uint64_t v = nasty[next_random(&rng) % (sizeof nasty / sizeof *nasty)];
                size_t n = next_random(&rng) % 2 ? 1 : next_random(&rng) % 2 ? 4 : 8;
                if (n > f.size - at) n = f.size - at;
                if (n == 1) v = next_random(&rng);
                memcpy(copy + at, &v, n);
            }
            (void)LLVMFuzzerTestOneInput(copy, f.size);
            free(copy);
        }
        st_file_close(&f);
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

typedef struct failing {
    int left; /* allocations until one fails */
} failing;

static void *failing_alloc(void *user, size_t size, size_t align)
{
    failing *f = user;
    if (f->left-- == 0) return NULL;
    void *p = NULL;
    return posix_memalign(&p, align, size) ? NULL : p;
}

static void failing_free(void *user, void *p)
{
    (void)user;
    free(p);
}

static void parse_survives_no_memory(void **state)
{
    (void)state;
    static const char *const seeds[] = {"ok_all_types", "ok_order", "tensor_overlap_order"};
    for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++) {
        st_file f = open_seed(seeds[s]);
        int rc = STRATA_NO_MEMORY;
        for (int n = 0; rc == STRATA_NO_MEMORY; n++) {
            failing fail = {n};
            st_mem m;
            st_mem_init(&m, &(strata_allocator){failing_alloc, failing_free, &fail}, 0);
            st_gguf g;
            strata_error err;
            rc = st_gguf_parse(&g, f.data, f.size, "m.gguf", false, &m, &err);
            if (rc == STRATA_NO_MEMORY) assert_true(n < 6);
            st_gguf_free(&g);
            assert_int_equal(m.used, 0);
        }
        st_file_close(&f);
    }
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static st_str str(const char *z)
{
    return (st_str){z, strlen(z)};
}

#define TRY(expr)                          \
    do {                                   \
        if ((rc = (expr)) != 0) goto done; \
    } while (0)

static int write_sample(st_mem *m, uint8_t **data, size_t *size, const char *path, strata_error *err)
{
    static const float floats[6] = {1, 2, 3, 4, 5, 6};
    static const uint8_t blocks[68] = {1, 2, 3};
    static const uint32_t ints[3] = {7, 8, 9};
    static const uint64_t dims_a[] = {3, 2}, dims_b[] = {32, 1, 2};
    const st_str strings[3] = {str("one"), str(""), {"t\0o", 3}};
    st_gguf_writer *w = NULL;
    int rc;
    TRY(st_gguf_writer_open(m, &w, err));
    TRY(st_gguf_put_str(w, "general.architecture", "bert", 4, err));
    TRY(st_gguf_put_u32(w, "general.alignment", 64, err));
    TRY(st_gguf_put_u32(w, "k.u32", 0xdeadbeef, err));
    TRY(st_gguf_put_f32(w, "k.f32", -0.5f, err));
    TRY(st_gguf_put_bool(w, "k.bool", true, err));
    TRY(st_gguf_put_array(w, "k.ints", ST_GGUF_U32, ints, 3, err));
    TRY(st_gguf_put_array(w, "k.none", ST_GGUF_F32, NULL, 0, err));
    TRY(st_gguf_put_strings(w, "k.strings", strings, 3, err));
    TRY(st_gguf_put_strings(w, "k.no_strings", NULL, 0, err));
    TRY(st_gguf_put_tensor(w, str("a"), ST_F32, 2, dims_a, floats, sizeof floats, err));
    TRY(st_gguf_put_tensor(w, str("b.weight"), ST_Q8_0, 3, dims_b, blocks, sizeof blocks, err));
    TRY(path ? st_gguf_writer_save(w, path, err) : st_gguf_writer_finish(w, data, size, err));
done:
    st_gguf_writer_close(w);
    return rc;
}

static void check_sample(const void *data, size_t size)
{
    st_gguf g;
    strata_error err;
    if (st_gguf_parse(&g, data, size, "m.gguf", false, &mem, &err)) fail_msg("%s", err.msg);
    uint32_t u = 0;
    assert_int_equal(g.alignment, 64);
    assert_int_equal(g.n_kv, 9);
    assert_int_equal(st_gguf_u32(&g, "k.u32", &u, &err), STRATA_OK);
    assert_int_equal(u, 0xdeadbeef);
    assert_int_equal(st_gguf_u32_at(&g, "k.ints", 2, &u, &err), STRATA_OK);
    assert_int_equal(u, 9);
    const st_gguf_kv *kv = st_gguf_find(&g, "k.strings");
    st_str s;
    size_t at = 0;
    assert_true(st_gguf_next_string(kv, &at, &s) && st_gguf_next_string(kv, &at, &s) &&
                st_gguf_next_string(kv, &at, &s));
    assert_int_equal(s.len, 3);
    assert_memory_equal(s.ptr, "t\0o", 3);
    const st_gguf_tensor *t = st_gguf_tensor_find(&g, "b.weight");
    assert_int_equal((size_t)(t->data - (const uint8_t *)data) % 64, 0);
    assert_int_equal(t->data[2], 3);
    assert_int_equal(t->dims[2], 2);
    st_gguf_free(&g);
}

/* Every entry and tensor of a file copied through the writer. */
static void copy_file(const void *data, size_t size, uint8_t **out, size_t *out_size)
{
    st_gguf g;
    strata_error err;
    st_gguf_writer *w;
    if (st_gguf_parse(&g, data, size, "m.gguf", false, &mem, &err)) fail_msg("%s", err.msg);
    assert_int_equal(st_gguf_writer_open(&mem, &w, &err), STRATA_OK);
    for (size_t i = 0; i < g.n_kv; i++)
        if (st_gguf_put_kv(w, &g.kv[i], &err)) fail_msg("%s", err.msg);
    for (size_t i = 0; i < g.n_tensors; i++) {
        const st_gguf_tensor *t = &g.tensors[i];
        if (st_gguf_put_tensor(w, t->name, t->type, t->n_dims, t->dims, t->data, t->bytes, &err))
            fail_msg("%s", err.msg);
    }
    assert_int_equal(st_gguf_writer_finish(w, out, out_size, &err), STRATA_OK);
    st_gguf_writer_close(w);
    st_gguf_free(&g);
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    uint8_t *data, *copy;
    size_t size, copy_size;
    strata_error err;
    assert_int_equal(write_sample(&mem, &data, &size, NULL, &err), STRATA_OK);
    check_sample(data, size);
    copy_file(data, size, &copy, &copy_size);
    assert_int_equal(copy_size, size);
    assert_memory_equal(copy, data, size);
    st_free(&mem, copy);

    char dir[] = "/tmp/strata-gguf-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/out.gguf", dir);
    st_file f;
    for (int twice = 0; twice < 2; twice++) { /* the second replaces the first */
        if (write_sample(&mem, NULL, NULL, path, &err)) fail_msg("%s", err.msg);
        assert_int_equal(st_file_open(&f, path, false, &mem, &err), STRATA_OK);
        assert_int_equal(f.size, size);
        assert_memory_equal(f.data, data, size);
        st_file_close(&f);
    }
    remove(path);
    assert_int_equal(rmdir(dir), 0); /* no temporary file is left */
    assert_int_equal(write_sample(&mem, NULL, NULL, path, &err), STRATA_IO);
    assert_non_null(strstr(err.msg, "out.gguf: cannot create: No such file or directory"));
    st_free(&mem, data);

    static const char *const seeds[] = {"ok_minimal", "ok_all_types", "ok_alignment_8"};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        st_file seed = open_seed(seeds[i]);
        copy_file(seed.data, seed.size, &data, &size);
        copy_file(data, size, &copy, &copy_size);
        assert_int_equal(copy_size, size);
        assert_memory_equal(copy, data, size);
        st_free(&mem, data);
        st_free(&mem, copy);
        st_file_close(&seed);
    }
    assert_int_equal(mem.used, 0);
}

static void failed_saves_leave_nothing(void **state)
{
    (void)state;
    char dir[] = "/tmp/strata-gguf-XXXXXX", path[64], other[64];
    strata_error err;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/out", dir);

    /* A temporary name in use is stepped over, not followed. */
    snprintf(other, sizeof other, "%s/out.0.tmp", dir);
    assert_int_equal(symlink("/dev/full", other), 0);
    assert_int_equal(write_sample(&mem, NULL, NULL, path, &err), STRATA_OK);
    assert_int_equal(remove(other), 0);
    assert_int_equal(remove(path), 0);

    /* No room, as on a full disk. */
    struct rlimit was, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){100, was.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = write_sample(&mem, NULL, NULL, path, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(rc, STRATA_IO);
    assert_non_null(strstr(err.msg, "/out: cannot write: File too large"));

    /* A folder that is not empty cannot be replaced. */
    snprintf(other, sizeof other, "%s/out/sub", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(write_sample(&mem, NULL, NULL, path, &err), STRATA_IO);
    assert_non_null(strstr(err.msg, "/out: cannot write: "));
    assert_int_equal(rmdir(other), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* An outside opinion, where a Python with gguf-py is at hand. */
static void gguf_py_reads_what_we_write(void **state)
{
    (void)state;
    static const char script[] =
        "import sys; from gguf import GGUFReader; r = GGUFReader(sys.argv[1]); f = lambda k: r.fields[k].contents(); "
        "assert r.alignment == 64 and f('general.architecture') == 'bert' and f('k.u32') == 0xdeadbeef; "
        "assert f('k.f32') == -0.5 and f('k.bool') is True and list(f('k.ints')) == [7, 8, 9]; "
        "assert f('k.strings') == ['one', '', 't\\0o']; t = {t.name: t for t in r.tensors}; "
        "assert t['a'].data.tolist() == [[1, 2, 3], [4, 5, 6]] and t['a'].shape.tolist() == [3, 2]; "
        "assert t['b.weight'].tensor_type.name == 'Q8_0' and t['b.weight'].data.tobytes() == bytes([1, 2, 3] + [0] * "
        "65)";
    char python[512], command[2048], path[] = "/tmp/strata-gguf-XXXXXX";
    const char *chosen = getenv("STRATA_GGUF_PYTHON"), *home = getenv("HOME");
    if (chosen)
        snprintf(python, sizeof python, "%s", chosen);
    else
        snprintf(python, sizeof python, "%s/.cache/strata-test-models/venv/bin/python", home ? home : "");
    if (access(python, X_OK) != 0) skip();
    strata_error err;
    close(mkstemp(path));
    assert_int_equal(write_sample(&mem, NULL, NULL, path, &err), STRATA_OK);
    snprintf(command, sizeof command, "%s -c \"%s\" %s", python, script, path);
    int rc = system(command);
    remove(path);
    assert_int_equal(rc, 0);
}

static void writer_refuses(void **state)
{
    (void)state;
    st_gguf_writer *w;
    strata_error err;
    uint64_t dims[5] = {4, 1, 1, 1, 1}, zero = 0, wide = 1ull << 31, half = 16;
    float data[4] = {0};
    uint8_t bools[2] = {1, 2}, *before, *after;
    size_t before_size, after_size;
    assert_int_equal(st_gguf_writer_open(&mem, &w, &err), STRATA_OK);
    assert_int_equal(st_gguf_put_u32(w, "a", 1, &err), STRATA_OK);
    assert_int_equal(st_gguf_put_tensor(w, str("t"), ST_F32, 1, dims, data, 16, &err), STRATA_OK);
    assert_int_equal(st_gguf_writer_finish(w, &before, &before_size, &err), STRATA_OK);
#define REFUSED(call, text)                           \
    do {                                              \
        assert_int_equal((call), STRATA_INVALID_ARG); \
        assert_string_equal(err.msg, text);           \
    } while (0)
    REFUSED(st_gguf_put_u32(w, "a", 1, &err), "key 'a' is there twice");
    REFUSED(st_gguf_put_u32(w, "", 1, &err), "a key has 0 bytes, want 1 to 65535");
    REFUSED(st_gguf_put_u32(w, "general.alignment", 32, &err), "general.alignment must be set before the first tensor");
    REFUSED(st_gguf_put_u32(w, "general.alignment", 33, &err),
            "general.alignment is 33, want a power of two from 8 to 4096");
    REFUSED(st_gguf_put_bool(w, "general.alignment", true, &err), "general.alignment is of type bool, want u32");
    REFUSED(st_gguf_put_array(w, "b", ST_GGUF_STRING, NULL, 0, &err),
            "key 'b': elements of type string are not of fixed size");
    REFUSED(st_gguf_put_array(w, "b", ST_GGUF_BOOL, bools, 2, &err), "key 'b': bool 1 has the byte 2, want 0 or 1");
    REFUSED(st_gguf_put_array(w, "b", ST_GGUF_U64, data, UINT64_MAX / 8 + 2, &err), "key 'b' is too large");
    REFUSED(st_gguf_put_str(w, "b", "", SIZE_MAX, &err), "key 'b' is too large");
    REFUSED(st_gguf_put_tensor(w, str("t"), ST_F32, 1, dims, data, 16, &err), "tensor 't' is there twice");
    REFUSED(st_gguf_put_tensor(w, str(""), ST_F32, 1, dims, data, 16, &err),
            "a tensor name has 0 bytes, want 1 to 255");
    REFUSED(st_gguf_put_tensor(w, str("u"), 99, 1, dims, data, 16, &err), "tensor 'u' has the unknown type 99");
    REFUSED(st_gguf_put_tensor(w, str("u"), ST_F32, 0, dims, data, 16, &err),
            "tensor 'u' has 0 dimensions, want 1 to 4");
    REFUSED(st_gguf_put_tensor(w, str("u"), ST_F32, 5, dims, data, 16, &err),
            "tensor 'u' has 5 dimensions, want 1 to 4");
    REFUSED(st_gguf_put_tensor(w, str("u"), ST_F32, 1, &zero, data, 16, &err),
            "tensor 'u': dimension 0 is 0, want 1 to 2147483647");
    REFUSED(st_gguf_put_tensor(w, str("u"), ST_F32, 1, &wide, data, 16, &err),
            "tensor 'u': dimension 0 is 2147483648, want 1 to 2147483647");
    REFUSED(st_gguf_put_tensor(w, str("u"), ST_Q8_0, 1, &half, data, 16, &err),
            "tensor 'u': rows of 16 values are not whole blocks of 32, as Q8_0 needs");
    REFUSED(st_gguf_put_tensor(w, str("u"), ST_F32, 1, dims, data, 15, &err), "tensor 'u' has 15 bytes, want 16");
    assert_int_equal(st_gguf_writer_finish(w, &after, &after_size, &err), STRATA_OK);
    assert_int_equal(after_size, before_size);
    assert_memory_equal(after, before, before_size);
    st_free(&mem, before);
    st_free(&mem, after);
    st_gguf_writer_close(w);
    st_gguf_writer_close(NULL);
    assert_int_equal(mem.used, 0);
}

/* Data that comes in pieces gives the same file; more than was declared is refused, and nothing of it is written. */
static void writer_streams(void **state)
{
    (void)state;
    char path[] = "/tmp/strata-gguf-XXXXXX";
    strata_error err;
    uint8_t *whole, *streamed;
    size_t size;
    st_gguf g;
    st_gguf_writer *w;
    st_outfile f;
    close(mkstemp(path));
    assert_int_equal(write_sample(&mem, &whole, &size, NULL, &err), STRATA_OK);
    assert_int_equal(st_gguf_parse(&g, whole, size, "m.gguf", false, &mem, &err), STRATA_OK);
    assert_int_equal(st_gguf_writer_open(&mem, &w, &err), STRATA_OK);
    for (size_t i = 0; i < g.n_kv; i++) {
        int rc = i % 2 ? st_gguf_put_kv(w, &g.kv[i], &err) : st_gguf_refer_kv(w, &g.kv[i], &err);
        assert_int_equal(rc, STRATA_OK);
    }
    for (size_t i = 0; i < g.n_tensors; i++) {
        const st_gguf_tensor *t = &g.tensors[i];
        assert_int_equal(st_gguf_put_tensor(w, t->name, t->type, t->n_dims, t->dims, NULL, t->bytes, &err), STRATA_OK);
    }
    assert_int_equal(st_outfile_open(&f, path, 0, NULL), 0);
    st_gguf_writer_begin(w, &f);
    for (size_t i = 0; i < g.n_tensors; i++) {
        const st_gguf_tensor *t = &g.tensors[i];
        assert_int_equal(st_gguf_writer_data(w, t->data, t->bytes + 1, &err), STRATA_INVALID_ARG);
        for (size_t at = 0, n; at < t->bytes; at += n) {
            n = t->bytes - at < 7 ? t->bytes - at : 7;
            assert_int_equal(st_gguf_writer_data(w, t->data + at, n, &err), STRATA_OK);
        }
    }
    assert_int_equal(st_gguf_writer_data(w, whole, 1, &err), STRATA_INVALID_ARG);
    assert_string_equal(err.msg, "tensor 2 of 2 gets more data than it was said to have");
    assert_int_equal(st_outfile_commit(&f), 0);
    st_gguf_writer_close(w);
    st_gguf_free(&g);
    FILE *in = fopen(path, "rb");
    streamed = malloc(size + 1);
    assert_true(in && streamed);
    assert_int_equal(fread(streamed, 1, size + 1, in), size);
    assert_memory_equal(streamed, whole, size);
    fclose(in);
    free(streamed);
    st_free(&mem, whole);
    remove(path);
}

/* Names are found among many, also those that were there before a table grew. */
static void writer_finds_names(void **state)
{
    (void)state;
    enum { NAMES = 3000 };
    char name[24];
    strata_error err;
    st_gguf_writer *w;
    assert_int_equal(st_gguf_writer_open(&mem, &w, &err), STRATA_OK);
    for (uint32_t i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "key.%u", (unsigned)i);
        assert_int_equal(st_gguf_put_u32(w, name, i, &err), STRATA_OK);
        if (i % 7) continue;
        snprintf(name, sizeof name, "key.%u", (unsigned)i / 2);
        assert_int_equal(st_gguf_put_u32(w, name, i, &err), STRATA_INVALID_ARG);
    }
    st_gguf_writer_close(w);
    assert_int_equal(mem.used, 0);
}

static void writer_survives_no_memory(void **state)
{
    (void)state;
    int rc = STRATA_NO_MEMORY, n = 0;
    for (; rc == STRATA_NO_MEMORY; n++) {
        failing fail = {n};
        st_mem m;
        strata_error err;
        uint8_t *data;
        size_t size;
        st_mem_init(&m, &(strata_allocator){failing_alloc, failing_free, &fail}, 0);
        rc = write_sample(&m, &data, &size, NULL, &err);
        if (!rc) st_free(&m, data);
        assert_int_equal(m.used, 0);
    }
    assert_int_equal(rc, STRATA_OK);
    assert_true(n > 5);
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

static void parse_folder(const char *shared, const char *folder, int *n)
{
    char dir_path[512], path[1024];
    snprintf(dir_path, sizeof dir_path, "%s/%s", shared, folder);
    DIR *dir = opendir(dir_path);
    if (!dir) return;
    for (struct dirent *d; (d = readdir(dir));) {
        size_t len = strlen(d->d_name);
        if (len < 5 || strcmp(d->d_name + len - 5, ".gguf") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", dir_path, d->d_name);
        st_file f;
        st_gguf g;
        strata_error err;
        if (st_file_open(&f, path, false, &mem, &err)) fail_msg("%s", err.msg);
        if (st_gguf_parse(&g, f.data, f.size, path, false, &mem, &err)) fail_msg("%s", err.msg);
        assert_non_null(st_gguf_find(&g, "general.architecture"));
        st_gguf_free(&g);
        (void)LLVMFuzzerTestOneInput(f.data, f.size);
        st_file_close(&f);
        ++*n;
    }
    closedir(dir);
}

static void parses_the_goldens(void **state)
{
    (void)state;
    const char *shared = getenv("STRATA_SHARED"), *ci = getenv("CI");
    if (!shared) shared = STRATA_SOURCE_DIR "/../shared";
    int n = 0;
    parse_folder(shared, "goldens/tiny", &n);
    parse_folder(shared, "goldens/tok", &n);
    if (n) return;
    fprintf(stderr, "SKIPPED: no models under %s/goldens; set STRATA_SHARED\n", shared);
    if (ci && strcmp(ci, "true") == 0) fail_msg("CI must have the goldens");
    skip();
}

int main(void)
{
    static struct CMUnitTest seeds[N_SEEDS];
    for (int i = 0; i < N_SEEDS; i++)
        seeds[i] =
            (struct CMUnitTest){expectations[i].seed, seed_case, NULL, NULL, (void *)(uintptr_t)&expectations[i]};
    const struct CMUnitTest others[] = {
        cmocka_unit_test(every_seed_has_a_case),
        cmocka_unit_test(reads_every_type),
        cmocka_unit_test(skips_tensors),
        cmocka_unit_test(long_keys_and_paths),
        cmocka_unit_test(prints_names),
        cmocka_unit_test(truncated_at_every_byte),
        cmocka_unit_test(mutations_do_no_harm),
        cmocka_unit_test(parse_survives_no_memory),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(failed_saves_leave_nothing),
        cmocka_unit_test(gguf_py_reads_what_we_write),
        cmocka_unit_test(writer_refuses),
        cmocka_unit_test(writer_streams),
        cmocka_unit_test(writer_finds_names),
        cmocka_unit_test(writer_survives_no_memory),
        cmocka_unit_test(parses_the_goldens),
    };
    st_mem_init(&mem, NULL, 0);
    int failed = cmocka_run_group_tests_name("gguf seeds", seeds, NULL, NULL);
    return cmocka_run_group_tests_name("gguf", others, NULL, NULL) + failed;
}
