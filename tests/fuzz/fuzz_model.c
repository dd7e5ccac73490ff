/* fuzz_model.c: arbitrary bytes as a model: opened, asked about itself, and run on a short text when it opens.
 *
 * The seeds in corpus/model are written by `STRATA_WRITE_CORPUS=tests/fuzz/corpus/model test_model_mutate`, which also
 * runs thousands of mutations of them through this target in every build. */
#include <stdlib.h>
#include <string.h>

#include "strata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_write(void *user, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) *(volatile unsigned *)user += (unsigned char)text[i];
}

static void fuzz_log(void *user, int level, const char *msg)
{
    (void)level;
    fuzz_write(user, msg, strlen(msg));
}

static void fuzz_tokens(const strata_model *m, unsigned *sink)
{
    static const char text[] = "a b\xc3\xa9 </s> [SEP] \xe4\xb8\xad.";
    int32_t ids[64];
    strata_span spans[64];
    char back[256];
    const char *piece;
    size_t n = 0, len;
    strata_model_info info;
    strata_model_get_info(m, &info);
    for (unsigned flags = 0; flags < 8; flags += 3) {
        if (strata_tokenize(m, text, sizeof text - 1, flags, ids, spans, 64, &n, NULL)) continue;
        (void)strata_detokenize(m, ids, n, back, sizeof back, &len, NULL);
        for (size_t i = 0; i < n; i++)
            if (strata_token_piece(m, ids[i], &piece, &len, NULL) == STRATA_OK) fuzz_write(sink, piece, len);
    }
    if (info.arch) fuzz_write(sink, info.arch, strlen(info.arch));
    if (info.name) fuzz_write(sink, info.name, strlen(info.name));
}

static void fuzz_run(const strata_model *m, int precision)
{
    strata_model_info info;
    strata_ctx *c = NULL;
    strata_model_get_info(m, &info);
    if (strata_ctx_open(m, &(strata_ctx_opts){.n_threads = 1, .precision = precision}, &c, NULL)) return;
    uint32_t width = info.n_embd_out > info.n_embd ? info.n_embd_out : info.n_embd;
    float *v = width <= 1 << 16 ? malloc(2 * (size_t)width * sizeof *v) : NULL;
    if (v) {
        strata_text t[2] = {{"ab c", 4}, {"</s>", 4}};
        strata_embed_item items[2];
        strata_embed_opts o = {
            .truncate = STRATA_TRUNCATE_END, .pooling = STRATA_POOLING_LAST, .role = STRATA_ROLE_QUERY};
        (void)strata_embed(c, t, 2, &o, v, width, items, NULL);
        size_t rows, cols;
        int32_t ids[2] = {0, 1};
        (void)strata_eval(c, ids, NULL, 2, STRATA_EVAL_HIDDEN, 0, v, 2 * (size_t)width, &rows, &cols, NULL);
    }
    free(v);
    strata_ctx_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned sink = 0;
    strata_model_opts o = {.n_threads = 1,
                           .memory_cap = (uint64_t)64 << 20,
                           .log = fuzz_log,
                           .log_user = &sink,
                           .log_level = STRATA_LOG_DEBUG};
    for (o.vocab_only = 0; o.vocab_only < 2; o.vocab_only++) {
        strata_model *m = NULL;
        strata_error e = {0};
        int rc = strata_model_open_buffer(data, size, "fuzz", &o, &m, &e);
        if (rc) {
            /* A failure is one of the codes, and says something. */
            if (!e.msg[0] || e.code != rc || strcmp(strata_status_name(rc), "UNKNOWN") == 0 || m) abort();
            continue;
        }
        fuzz_tokens(m, &sink);
        if (!o.vocab_only) {
            const char *name;
            uint32_t n;
            uint64_t bytes;
            for (uint32_t i = 0; strata_model_get_type(m, i, &name, &n, &bytes); i++)
                fuzz_write(&sink, name, strlen(name));
            (void)strata_model_print_plan(m, fuzz_write, &sink, NULL);
            fuzz_run(m, STRATA_PRECISION_I8);
            fuzz_run(m, STRATA_PRECISION_F32);
            fuzz_run(m, STRATA_PRECISION_BF16);
        }
        strata_model_close(m);
    }
    return 0;
}
