/* test_foreign.c: files that are no model, or half of one, are refused by what they are; and what a model says that it
 * can do is what the calls do. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkdtemp */
#endif
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/test_api.h"

/* ---- bytes of other formats ---- */

typedef struct foreign_case {
    const char *bytes;
    size_t n;
    const char *needle;
} foreign_case;

#define B(bytes, needle)                 \
    {                                    \
        bytes, sizeof(bytes) - 1, needle \
    }

static const foreign_case others[] = {
    B("", "is empty"),
    B("GG", "does not begin with GGUF"),
    B("FUGG\0\0\0\3\0\0\0\0", "big-endian"),
    B("GGUF\0\0\0\3\0\0\0\0\0\0\0\0", "big-endian"),
    B("GGUF\1\0\0\0\1\0\0\0\1\0\0\0", "GGUF version 1"),
    B("\x40\0\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"pt\"}}", "is a safetensors file: convert"),
    B("PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0archive/data.pkl", "is a PyTorch file"),
    B("PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.npy", "is a NumPy archive"),
    B("PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.txt", "is a zip archive"),
    B("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "empty zip"),
    B("\x80\2\x8a\nl\xfc\x9c", "Python pickle"),
    B("lmgg\0\0\0\0\0\0\0\0", "is an old GGML file"),
    B("fmgg\1\0\0\0\0\0\0\0", "GGMF"),
    B("tjgg\3\0\0\0\0\0\0\0", "GGJT"),
    B("algg\1\0\0\0\0\0\0\0", "is a LoRA adapter in the GGML format"),
    B("nsgg\1\0\0\0\0\0\0\0", "is a session"),
    B("\x08\x07\x12\x07pytorch\x1a\x05"
      "1.13.0",
      "is an ONNX file"),
    B("\x08\x08\x3a\x80\x10\x0a\x20\x0a\x05input\x0a\x06weight", "is an ONNX file"),
    B("\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\2", "is a SentencePiece vocabulary"),
    B("<!DOCTYPE html>\n<html><head>", "is a web page"),
    B("\n\n  <HTML><title>Sign in", "is a web page"),
    B("\xef\xbb\xbf<html>      ", "is a web page"),
    B("<?xml version=\"1.0\"?><Error><Code>AccessDenied", "(XML)"),
    B("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "is a Git LFS pointer"),
    B("# xet version 0\nfilesize = 1", "is a Xet pointer"),
    B("{\"error\":\"Repository not found\"}", "is JSON"),
    B("[{\"role\":\"user\"}]", "is JSON"),
    B("\xef\xbb\xbf  {\"model_type\":\"llama\"}", "is JSON"),
    B("\x1f\x8b\x08\0\0\0\0\0", "is a gzip archive: unpack"),
    B("\x28\xb5\x2f\xfd\0\0\0\0", "zstd"),
    B("\xfd"
      "7zXZ\0\0\0",
      "is an xz archive"),
    B("BZh91AY&SY", "bzip2"),
    B("7z\xbc\xaf\x27\x1c\0\4", "is a 7z archive"),
    B("Rar!\x1a\x07\1\0", "rar"),
    B("\x7f"
      "ELF\2\1\1\0",
      "(ELF)"),
    B("MZqFpD='\n\n", "llamafile"),
    B("\x89HDF\r\n\x1a\n", "HDF5"),
    B("\x1c\0\0\0TFL3\0\0", "TensorFlow Lite"),
    B("\x93NUMPY\1\0v\0{'descr'", "is a NumPy array"),
    B("%PDF-1.7\n", "PDF"),
    B("\x89PNG\r\n\x1a\n", "PNG"),
    B("\xff\xfeh\0e\0l\0l\0o\0", "is text in UTF-16"),
    B("\xfe\xff\0h\0e\0l\0l\0o", "is text in UTF-16"),
    B("Hello, this is a model card.\n", "is text, not a model"),
    B("Gr\xc3\xbc\xc3\x9f"
      "e aus der Datei \xe4\xbd\xa0\xe5\xa5\xbd",
      "is text, not a model"),
    B("#!/bin/sh\nexec x\n", "is a script"),
    B("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "a download that did not end?"),
    B("\x01\x02\x03\x04\x05\x06\x07\x08\x90\xff\0\1", "does not begin with GGUF"),
};

static void other_formats(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        for (int vocab = 0; vocab < 2; vocab++) {
            strata_model *m = NULL;
            /* On exactly as many bytes as there are, for the sanitizers. */
            uint8_t *p = malloc(others[i].n ? others[i].n : 1);
            memcpy(p, others[i].bytes, others[i].n);
            FAILS(strata_model_open_buffer(p, others[i].n, "f", &(strata_model_opts){.vocab_only = vocab}, &m, err),
                  STRATA_NOT_GGUF, others[i].needle);
            for (size_t n = 0; n < others[i].n; n++) { /* of what is cut short anything may be said, but NOT_GGUF */
                uint8_t *q = malloc(n ? n : 1);
                memcpy(q, p, n);
                int rc = strata_model_open_buffer(q, n, "f", NULL, &m, NULL);
                assert_true(rc == STRATA_NOT_GGUF || (memcmp(p, "GGUF", 4) == 0 && rc == STRATA_CORRUPT_MODEL));
                free(q);
            }
            free(p);
        }
    char tar[512] = "weights/model.bin";
    strata_model *m = NULL;
    memcpy(tar + 257, "ustar", 5);
    FAILS(strata_model_open_buffer(tar, sizeof tar, "f", NULL, &m, err), STRATA_NOT_GGUF, "is a tar archive");
}

static void no_regular_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/strata-foreign-XXXXXX", fifo[64];
    strata_model *m = NULL;
    assert_non_null(mkdtemp(dir));
    FAILS(strata_model_open(dir, NULL, &m, err), STRATA_IO, "is a directory, not a model file");
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    FAILS(strata_model_open(fifo, NULL, &m, err), STRATA_IO, "is not a regular file");
    FAILS(strata_model_open("/dev/null", NULL, &m, err), STRATA_IO, "is not a regular file");
    remove(fifo);
    rmdir(dir);
}

/* ---- GGUF files that are no text models ---- */

static void gguf_kinds(void **state)
{
    (void)state;
#define STR(key, value)                            \
    {                                              \
        .kind = SET_STR, .name = key, .str = value \
    }
    static const struct {
        edit edits[6];
        bool quantizes; /* as any tensors */
        const char *needle;
    } kinds[] = {
        {{STR("general.type", "mmproj")}, true, "is a projector (mmproj)"},
        {{STR("general.architecture", "clip")}, true, "is a projector (mmproj)"},
        {{STR("general.architecture", "clip"), STR("general.type", "clip-vision")}, true, "is a projector (mmproj)"},
        {{STR("general.type", "adapter"), STR("adapter.type", "lora")}, false, "is a LoRA adapter"},
        {{STR("general.type", "adapter")}, false, "is an adapter"},
        {{{.kind = RENAME, .name = "blk.0.attn_q.weight", .str = "blk.0.attn_q.weight.lora_a"}},
         false,
         "is a LoRA adapter"},
        {{STR("general.type", "imatrix")}, false, "is an importance matrix"},
        {{{.kind = DROP, .name = "general.architecture"}, {.kind = SET_U32, .name = "imatrix.chunk_count", .u = 3}},
         false,
         "is an importance matrix"},
        {{STR("general.architecture", "controlvector")}, false, "is a control vector"},
        {{STR("general.architecture", "whisper")}, true, "speech or sound, not of text (architecture 'whisper')"},
        {{STR("general.architecture", "wavtokenizer-dec")}, true, "speech or sound"},
        {{STR("general.architecture", "flux")}, true, "pictures or films, not of text (architecture 'flux')"},
        {{STR("general.architecture", "sdxl")}, true, "pictures or films"},
        {{{.kind = DROP, .name = "general.architecture"},
          {.kind = RENAME, .name = "blk.0.attn_q.weight", .str = "model.diffusion_model.in.weight"}},
         true,
         "pictures or films"},
        {{STR("general.architecture", "rwkv7")}, true, "architecture 'rwkv7' is not supported; supported: bert"},
    };
    char dir[] = "/tmp/strata-foreign-XXXXXX", in[64], out[64];
    assert_non_null(mkdtemp(dir));
    snprintf(in, sizeof in, "%s/in.gguf", dir);
    snprintf(out, sizeof out, "%s/out.gguf", dir);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        blob b = rewrite(tiny("bert"), kinds[i].edits);
        strata_model *m = NULL;
        FAILS(strata_model_open_buffer(b.data, b.size, "f", NULL, &m, err), STRATA_UNSUPPORTED_ARCH, kinds[i].needle);
        FILE *f = fopen(in, "wb");
        assert_int_equal(fwrite(b.data, 1, b.size, f), b.size);
        fclose(f);
        if (!kinds[i].quantizes)
            FAILS(strata_quantize(in, out, "Q8_0", NULL, err), STRATA_UNSUPPORTED_ARCH, kinds[i].needle);
        free(b.data);
    }
    remove(in);
    remove(out);
    rmdir(dir);
}

/* A vocabulary alone is good for tokens. */
static void vocabulary(void **state)
{
    (void)state;
    char path[512];
    strata_model *m = NULL;
    snprintf(path, sizeof path, "%s/tests/data/tok/spm2k-ud.gguf", STRATA_SOURCE_DIR);
    FAILS(strata_model_open(path, NULL, &m, err), STRATA_UNSUPPORTED_OP, "has no tensors, only a vocabulary");
    OK(strata_model_open(path, &(strata_model_opts){.vocab_only = 1}, &m, err));
    strata_model_close(m);
    m = NULL;
    /* Without one, what the file is matters even where only that is wanted. */
    blob b = rewrite(tiny("bert"),
                     (edit[]){STR("general.type", "mmproj"), {.kind = DROP, .name = "tokenizer.ggml.model"}, {0}});
    FAILS(strata_model_open_buffer(b.data, b.size, "f", &(strata_model_opts){.vocab_only = 1}, &m, err),
          STRATA_UNSUPPORTED_ARCH, "is a projector");
    free(b.data);
}

/* ---- half a model ---- */

static void open_fails(const char *model, const edit *edits, int status, const char *needle)
{
    blob b = rewrite(tiny(model), edits);
    strata_model *m = NULL;
    FAILS(strata_model_open_buffer(b.data, b.size, "f", NULL, &m, err), status, needle);
    free(b.data);
}

/* Tensors with a known name that nothing in the model would read. */
static void idle_tensors(void **state)
{
    (void)state;
#define VECTOR_OF(name_, n_)                \
    {                                       \
        .kind = ADD, .name = name_, .n = n_ \
    }
#define MATRIX_OF(name_, n_, k_)                     \
    {                                                \
        .kind = ADD, .name = name_, .n = n_, .k = k_ \
    }
    static const struct {
        const char *model;
        edit edits[16];
        const char *needle;
    } cases[] = {
        {"bert", {VECTOR_OF("rope_freqs.weight", 8)}, ""},
        {"bert", {{.kind = DROP, .name = "blk.0.attn_q.bias"}}, "blk.0.attn_q.bias"},
        {"bert",
         {MATRIX_OF("blk.0.attn_qkv.weight", 192, 64), MATRIX_OF("blk.1.attn_qkv.weight", 192, 64),
          MATRIX_OF("blk.2.attn_qkv.weight", 192, 64)},
         "'blk.0.attn_q.weight' has no place"},
        {"bert",
         {VECTOR_OF("blk.0.attn_qkv.bias", 192), VECTOR_OF("blk.1.attn_qkv.bias", 192),
          VECTOR_OF("blk.2.attn_qkv.bias", 192)},
         "'blk.0.attn_qkv.bias' has no place"},
        {"bert",
         {VECTOR_OF("blk.0.ffn_gate.bias", 128), VECTOR_OF("blk.1.ffn_gate.bias", 128),
          VECTOR_OF("blk.2.ffn_gate.bias", 128)},
         "blk.0.ffn_gate.bias"},
        {"bert", {VECTOR_OF("output.bias", 320)}, "'output.bias' has no place"},
        {"llama-q8_0", {VECTOR_OF("output_norm.bias", 256)}, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        blob b = rewrite(tiny(cases[i].model), cases[i].edits);
        strata_model *m = NULL;
        strata_error e = {0};
        int rc = strata_model_open_buffer(b.data, b.size, "f", NULL, &m, &e);
        if (i == 6)
            assert_int_equal(rc, STRATA_OK); /* a norm's bias is read where the norm is */
        else if (rc != STRATA_UNSUPPORTED_OP && rc != STRATA_CORRUPT_MODEL)
            fail_msg("case %zu: %d %s", i, rc, e.msg);
        else if (!strstr(e.msg, cases[i].needle))
            fail_msg("case %zu: %s", i, e.msg);
        strata_model_close(m);
        free(b.data);
    }
    open_fails("bert", (edit[]){VECTOR_OF("blk.0.attn_o.weight", 64), {0}}, STRATA_CORRUPT_MODEL,
               "blk.0.attn_o.weight");
    open_fails("bert", (edit[]){MATRIX_OF("blk.0.attn_o.weight", 64, 64), {0}}, STRATA_CORRUPT_MODEL,
               "'blk.0.attn_o.weight' is there by another name too");
    open_fails("llama-q8_0", (edit[]){MATRIX_OF("never.heard.of", 64, 64), {0}}, STRATA_UNSUPPORTED_OP,
               "'never.heard.of' is not known");
}

static int warned;

static void watch(void *user, int level, const char *msg)
{
    if (level == STRATA_LOG_WARN && strstr(msg, (const char *)user)) warned++;
}

/* A head that lacks what HuggingFace's has does not rank, but the model embeds. */
static void half_a_head(void **state)
{
    (void)state;
    static const edit out[] = {MATRIX_OF("cls.output.weight", 1, 64), VECTOR_OF("cls.output.bias", 1), {0}};
    static const edit wide[] = {MATRIX_OF("cls.output.weight", 1, 96), {0}};
    static const edit narrow[] = {MATRIX_OF("cls.output.weight", 1, 32), {0}};
    static const edit dense[] = {MATRIX_OF("cls.weight", 64, 64), VECTOR_OF("cls.bias", 64), {0}};
    static const edit whole[] = {MATRIX_OF("cls.weight", 64, 64), MATRIX_OF("cls.output.weight", 1, 64), {0}};
    static const struct {
        const char *model;
        const edit *edits;
        int ranks;
        const char *warning, *needle;
    } cases[] = {
        {"bert", out, 0, "does not rank", "no tensor 'cls.weight'"},
        {"jina-bert-v2", wide, 0, "does not rank", "no tensor 'cls.weight'"},
        {"nomic-bert-moe", narrow, 0, "does not rank", "no form that is known"},
        {"bert", dense, 0, "'cls.weight' is not used", "not a ranking model"},
        {"bert", whole, 1, "cls", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        blob b = rewrite(tiny(cases[i].model), cases[i].edits);
        strata_model *m = NULL;
        strata_model_info info;
        strata_model_opts o = {
            .log = watch, .log_user = (void *)(uintptr_t)cases[i].warning, .log_level = STRATA_LOG_WARN};
        float v[96], score;
        size_t rows, cols;
        int32_t ids[] = {1, 2};
        strata_text t = text_of("ab");
        warned = 0;
        OK(strata_model_open_buffer(b.data, b.size, "f", &o, &m, err));
        assert_int_equal(warned, !cases[i].ranks);
        strata_model_get_info(m, &info);
        assert_int_equal(info.can_rank, cases[i].ranks);
        assert_int_equal(info.n_labels, cases[i].ranks);
        strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_F32);
        embed_one(c, t, &(strata_embed_opts){.pooling = STRATA_POOLING_MEAN}, v, 96);
        if (cases[i].ranks) {
            OK(strata_rank(c, t, &t, 1, NULL, &score, NULL, err));
        } else {
            FAILS(strata_rank(c, t, &t, 1, NULL, &score, NULL, err), STRATA_UNSUPPORTED_OP, cases[i].needle);
            FAILS(strata_eval(c, ids, NULL, 2, STRATA_EVAL_POOLED, STRATA_POOLING_RANK, v, 64, &rows, &cols, err),
                  STRATA_UNSUPPORTED_OP, "classification head");
        }
        strata_ctx_close(c);
        strata_model_close(m);
        free(b.data);
    }
}

/* A bias by distance of each layer, as UMT5 has, is that layer's. */
static void biases_of_layers(void **state)
{
    (void)state;
    static float same[32 * 4], other[32 * 4];
    float v[3][64];
    for (int i = 0; i < 32 * 4; i++) same[i] = (float)(i % 7) - 3.0f, other[i] = (float)(i % 5);
    for (int i = 0; i < 3; i++) { /* the first layer's for all; the same in each; another in the second */
        const edit edits[] = {{.kind = ADD, .name = "blk.0.attn_rel_b.weight", .n = 32, .k = 4, .data = same},
                              {.kind = i ? ADD : EDIT_END,
                               .name = "blk.1.attn_rel_b.weight",
                               .n = 32,
                               .k = 4,
                               .data = i > 1 ? other : same},
                              {.kind = ADD, .name = "blk.2.attn_rel_b.weight", .n = 32, .k = 4, .data = same},
                              {0}};
        blob b = rewrite(tiny("bert"), edits);
        strata_model *m = open_blob(b, NULL);
        strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_F32);
        embed_one(c, text_of("abcdef ghi"), NULL, v[i], 64);
        strata_ctx_close(c);
        strata_model_close(m);
        free(b.data);
    }
    assert_memory_equal(v[0], v[1], sizeof v[0]);
    assert_memory_not_equal(v[1], v[2], sizeof v[1]);
}

/* ---- what a model can do ---- */

static void can(const char *name, blob b)
{
    strata_model *m = open_blob(b, &(strata_model_opts){.n_threads = 1}), *vocab;
    strata_model_info i, v;
    strata_ctx *c = NULL;
    float *row = NULL, score;
    strata_text t = text_of("ab");
    int32_t ids[] = {1, 2, 3};
    const char *source;
    size_t len;
    strata_model_get_info(m, &i);
    row = calloc(i.n_embd_out, sizeof *row);
    strata_ctx_opts one = {.n_threads = 1, .n_seqs = 1, .n_ctx = 16};
    if (strata_ctx_open(m, &one, &c, NULL)) {
        assert_int_equal(i.can_generate, 0); /* no sequences for who does not generate */
        one.n_seqs = 0;
        OK(strata_ctx_open(m, &one, &c, err));
    }
    strata_gen_opts o = strata_gen_default();
    o.max_tokens = 1;
    int embeds = strata_embed(c, &t, 1, NULL, row, i.n_embd_out, NULL, NULL),
        ranks = strata_rank(c, t, &t, 1, NULL, &score, NULL, NULL),
        generates = strata_generate(c, 0, ids, 3, &o, NULL, NULL);
    if ((embeds == STRATA_OK) != (i.can_embed == 1)) fail_msg("%s: embeds %d, says %d", name, embeds, i.can_embed);
    if ((ranks == STRATA_OK) != (i.can_rank == 1)) fail_msg("%s: ranks %d, says %d", name, ranks, i.can_rank);
    if ((generates == STRATA_OK) != (i.can_generate == 1))
        fail_msg("%s: generates %d, says %d", name, generates, i.can_generate);
    OK(strata_chat_template(m, NULL, &source, &len, err));
    assert_int_equal(i.has_chat_template, len > 0);
    assert_int_equal(i.n_parts, 1);
    free(row);
    strata_ctx_close(c);
    strata_model_close(m);
    vocab = open_blob(b, &(strata_model_opts){.vocab_only = 1});
    strata_model_get_info(vocab, &v);
    assert_true(!v.can_embed && !v.can_rank && !v.can_generate && v.n_parts == 1);
    assert_int_equal(v.has_chat_template, i.has_chat_template);
    strata_model_close(vocab);
}

static void capabilities(void **state)
{
    (void)state;
    char folder[512];
    int n = 0;
    snprintf(folder, sizeof folder, "%s/tests/data/tiny", STRATA_SOURCE_DIR);
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char *dot = strstr(e->d_name, ".gguf");
        if (!dot) continue;
        *dot = 0;
        blob b = blob_read(tiny(e->d_name));
        can(e->d_name, b);
        free(b.data);
        n++;
    }
    closedir(d);
    assert_true(n > 50);
    static const struct {
        const char *model;
        edit edits[6];
    } more[] = {
        {"bert",
         {MATRIX_OF("cls.weight", 64, 64),
          MATRIX_OF("cls.output.weight", 1, 64),
          {.kind = DROP, .name = "bert.pooling_type"}}},
        {"bert", {MATRIX_OF("cls.weight", 64, 64), MATRIX_OF("cls.output.weight", 2, 64)}},
        {"bert", {MATRIX_OF("cls.weight", 64, 64), MATRIX_OF("cls.output.weight", 3, 64)}},
        {"llama-q8_0", {MATRIX_OF("cls.output.weight", 2, 256)}},
        {"llama-q8_0", {{.kind = SET_U32, .name = "llama.pooling_type", .u = 3}}},
        {"llama-q8_0", {{.kind = SET_U32, .name = "llama.pooling_type", .u = 0}}},
        {"llama-q8_0", {{.kind = SET_BOOL, .name = "llama.attention.causal", .u = 0}}},
        {"llama-q8_0",
         {MATRIX_OF("cls.output.weight", 2, 256),
          STR("tokenizer.chat_template.rerank",
              "{query}{query}{query}{query}{query}{query}{query}{query}{query}{query}{query}{query}{query}{query}{"
              "query}{query}{query}{query}{query}{query}{query}{query}{query}{query}{query}{query}{query}{query}{query}"
              "{query}{query}{query}{query}")}},
        {"llama-q8_0", {STR("tokenizer.chat_template", "{{ messages[0].content }}")}},
        {"llama-q8_0", {STR("tokenizer.chat_template", "")}},
        {"gemma3", {STR("tokenizer.chat_template.tool_use", "x")}},
        {"bert", {{.kind = SET_U32, .name = "bert.pooling_type", .u = 0}}},
        {"bert", {{.kind = SET_U32, .name = "bert.pooling_type", .u = 4}}},
    };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        char name[64];
        blob b = rewrite(tiny(more[i].model), more[i].edits);
        snprintf(name, sizeof name, "%s, edit %zu", more[i].model, i);
        can(name, b);
        free(b.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_formats),    cmocka_unit_test(no_regular_files), cmocka_unit_test(gguf_kinds),
        cmocka_unit_test(vocabulary),       cmocka_unit_test(idle_tensors),     cmocka_unit_test(half_a_head),
        cmocka_unit_test(biases_of_layers), cmocka_unit_test(capabilities),
    };
    return cmocka_run_group_tests_name("foreign", tests, NULL, NULL);
}
