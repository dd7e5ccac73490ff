/* list_support.c: docs/MODELS.md, from the tables in the code.
 *
 *     list_support              prints the page
 *     list_support FILE         fails unless FILE is the page (the test models_doc)
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "convert/gguf_write.h"
#include "model/config.h"
#include "quant/quant.h"
#include "token/pretok.h"
#include "token/token.h"

typedef struct page {
    char text[1 << 16];
    size_t len;
} page;

static void put(page *p, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(p->text + p->len, sizeof p->text - p->len, fmt, args);
    va_end(args);
    if (n > 0) p->len += (size_t)n;
    if (p->len >= sizeof p->text) p->len = sizeof p->text - 1;
}

static void put_archs(page *p, bool causal)
{
    const st_arch *a;
    put(p, "\n| architecture | models | norm | activation | positions | windows | pooling "
           "|\n|---|---|---|---|---|---|---|\n");
    for (uint32_t i = 0; (a = st_arch_at(i)); i++) {
        if (a->causal != causal) continue;
        const char *norm = a->norm == ST_NORM_RMS ? "RMS" : "Layer";
        const char *rope = a->rope == ST_ROPE_NORM   ? "rope, pairs"
                           : a->rope == ST_ROPE_NEOX ? "rope, halves"
                           : a->alibi                ? "ALiBi"
                           : a->relative_bias        ? "relative bias"
                                                     : "learned";
        put(p, "| `%s` | %s | %s | %s", a->name, a->models, norm, st_act_name(a->act));
        if (a->act_ungated != ST_ACT_NONE) put(p, ", ungated %s", st_act_name(a->act_ungated));
        put(p, " | %s | ", rope);
        if (a->window_pattern)
            put(p, "all but the %s of %u", a->window_full_first ? "first" : "last", a->window_pattern);
        put(p, " | %s |\n", strata_pooling_name((int)a->pooling));
    }
}

static void put_types(page *p)
{
    put(p, "\n| type | values in a block | bytes | bits a weight | `strata quantize` |\n|---|---|---|---|---|\n");
    for (uint32_t i = 0; i < ST_TYPE_COUNT; i++) {
        const st_quant *q = st_quant_get(i);
        if (!q) continue;
        put(p, "| %s | %u | %u | %.4g | %s |\n", q->name, q->block, q->bytes, q->bytes * 8.0 / q->block,
            q->quantize ? "yes" : "");
    }
}

/* The kinds, out of the mouth of the refusal of one that does not exist. */
static void put_tokenizers(page *p)
{
    st_mem mem;
    st_mem_init(&mem, NULL, 0);
    st_gguf_writer *w = NULL;
    st_gguf g;
    st_log log = {0};
    st_tokenizer *t = NULL;
    strata_error err = {0};
    uint8_t *data = NULL;
    size_t size = 0;
    int rc = st_gguf_writer_open(&mem, &w, &err);
    if (!rc) rc = st_gguf_put_str(w, "tokenizer.ggml.model", "?", 1, &err);
    if (!rc) rc = st_gguf_writer_finish(w, &data, &size, &err);
    st_gguf_writer_close(w);
    if (!rc && !st_gguf_parse(&g, data, size, "none", true, &mem, &err)) {
        st_tokenizer_open(&g, NULL, &log, &mem, &t, &err);
        st_gguf_free(&g);
    }
    st_free(&mem, data);
    const char *at = strstr(err.msg, "supported: ");
    at = at ? at + strlen("supported: ") : err.msg;
    put(p, "\n`tokenizer.ggml.model`: %.*s.\n", (int)strcspn(at, ")"), at);
    char names[8192];
    st_pretok_names(names, sizeof names, true);
    put(p, "\n`tokenizer.ggml.pre` of byte-level BPE: %s.\n", names);
}

static void put_page(page *p)
{
    put(p, "# What is supported\n\n"
           "Made by `list_support` from the tables in the code; the test `models_doc` fails when this page is old "
           "(`build/release/list_support > docs/MODELS.md` renews it). Every architecture has a tiny model whose "
           "outputs equal "
           "HuggingFace's in float32 (tests/data/README.md). What is not here is refused at open, by name. "
           "docs/ADDING.md: how to add an architecture.\n");
    put(p, "\n## Encoders\n\nThe name is the file's `general.architecture`. Cross-encoders of these families rank "
           "(`cls`, `cls.output` tensors).\n");
    put_archs(p, false);
    put(p, "\n## Decoders\n");
    put_archs(p, true);
    put(p,
        "\nFused or split q, k, v and gate, up; biases; q/k norms by head or over the row; norms before, after or "
        "around the branches; parallel residuals; mixtures of experts (softmax or sigmoid routers, biases for the "
        "choice, groups, shared experts, dense layers among them); attention sinks; multi-head latent attention, over "
        "the latents or, in older files, over keys and values made of them: these follow from the tensors of a file. "
        "Softcaps, scales and window sizes follow from its keys. Layers that predict further tokens "
        "(`nextn_predict_layers`) are left out.\n");
    put(p,
        "\nRope scaling (`rope.scaling.type`): %s; llama3 (`rope_freqs`) and LongRoPE (`rope_factors_short`, "
        "`rope_factors_long`) by their tensors.\n",
        ST_ROPE_SCALINGS);
    put(p, "\nPooling:");
    for (int i = STRATA_POOLING_NONE; i <= STRATA_POOLING_RANK; i++)
        put(p, "%s %s", i > STRATA_POOLING_NONE ? "," : "", strata_pooling_name(i));
    put(p, ".\n\nRefused by name: other gating functions than softmax and sigmoid, clamped q, k, v "
           "(`attention.clamp_kqv`), layers of different widths, state-space layers, "
           "and any tensor that nothing would read.\n");
    put(p, "\n## Tensor types\n");
    put_types(p);
    put(p, "\n## Tokenizers\n");
    put_tokenizers(p);
}

int main(int argc, char **argv)
{
    static page p, have;
    put_page(&p);
    if (argc < 2) return fwrite(p.text, 1, p.len, stdout) != p.len;
    FILE *f = fopen(argv[1], "rb");
    if (f) {
        have.len = fread(have.text, 1, sizeof have.text, f);
        fclose(f);
    }
    if (have.len == p.len && memcmp(have.text, p.text, p.len) == 0) return 0;
    fprintf(stderr, "%s is not what the code supports: list_support > docs/MODELS.md\n", argv[1]);
    return 1;
}
