/* cmd_info.c: strata info: what a model file holds and how this machine runs it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "io/json.h"
#include "io/shown.h"

static session s;
static int as_json;

static const char *dense_name(int dense)
{
    static const char *const names[] = {"none", "present", "missing"};
    return dense >= 0 && dense <= STRATA_DENSE_MISSING ? names[dense] : "unknown";
}

/* ---- one list of facts, printed in two ways ---- */

static const char *separator = "";

static void key(const char *name, const char *label)
{
    if (as_json)
        printf("%s\n  \"%s\": ", separator, name);
    else
        printf("%-14s ", label);
    separator = ",";
}

static void put_text(const char *name, const char *label, const char *v)
{
    if (!v && !as_json) return;
    key(name, label);
    if (!as_json)
        shown_put(stdout, v, strlen(v)), putchar('\n');
    else if (v)
        json_put_string(stdout, v, strlen(v));
    else
        fputs("null", stdout);
}

static void put_number(const char *name, const char *label, int64_t v)
{
    key(name, label);
    printf(as_json ? "%" PRId64 : "%" PRId64 "\n", v);
}

static void put_bool(const char *name, const char *label, int v)
{
    key(name, label);
    if (as_json)
        fputs(v ? "true" : "false", stdout);
    else
        puts(v ? "yes" : "no");
}

/* Megabytes for people. */
static void put_bytes(const char *name, const char *label, uint64_t v)
{
    key(name, label);
    if (as_json)
        printf("%" PRIu64, v);
    else
        printf("%.1f MB\n", (double)v / 1e6);
}

static void put_types(void)
{
    const char *name;
    uint32_t n;
    uint64_t bytes;
    key("types", "types");
    if (as_json) putchar('[');
    for (uint32_t i = 0; strata_model_get_type(s.model, i, &name, &n, &bytes); i++) {
        if (!as_json) {
            printf("%s%s (%" PRIu32 " tensors, %.1f MB)", i ? ", " : "", name, n, (double)bytes / 1e6);
            continue;
        }
        printf("%s{\"name\": ", i ? ", " : "");
        json_put_string(stdout, name, strlen(name));
        printf(", \"tensors\": %" PRIu32 ", \"bytes\": %" PRIu64 "}", n, bytes);
    }
    puts(as_json ? "]" : "");
}

/* Outputs of a reranker's or classifier's head, with their names where the file has them. */
static void put_labels(void)
{
    const char *name;
    size_t len;
    if (!as_json && !s.info.n_labels) return;
    put_number("labels", "labels", s.info.n_labels);
    if (as_json)
        key("label_names", "");
    else if (strata_model_get_label(s.model, 0, &name, &len))
        key("", "label names");
    else
        return;
    if (as_json) putchar('[');
    for (uint32_t i = 0; strata_model_get_label(s.model, i, &name, &len); i++) {
        if (i) fputs(", ", stdout);
        if (as_json)
            json_put_string(stdout, name, len);
        else
            shown_put(stdout, name, len);
    }
    fputs(as_json ? "]" : "\n", stdout);
}

/* What the commands can do with the model. */
static void put_uses(void)
{
    const struct {
        int can;
        const char *key, *word;
    } uses[] = {{s.info.can_embed, "can_embed", "embed"},
                {s.info.can_rank, "can_rank", "rank"},
                {s.info.can_generate, "can_generate", s.info.has_chat_template ? "generate, chat" : "generate"}};
    const char *comma = "";
    if (!as_json) key("", "good for");
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        if (as_json) put_bool(uses[i].key, "", uses[i].can);
        if (as_json || !uses[i].can) continue;
        printf("%s%s", comma, uses[i].word);
        comma = ", ";
    }
    if (!as_json) puts(*comma ? "" : "eval alone");
}

static void put_all(void)
{
    const strata_model_info *m = &s.info;
    put_text("path", "file", m->path);
    put_text("name", "name", m->name);
    put_text("architecture", "architecture", m->arch);
    put_text("tokenizer", "tokenizer", m->tokenizer);
    put_number("parameters", "parameters", (int64_t)m->n_params);
    put_bytes("file_bytes", "size", m->file_bytes);
    if (m->n_parts > 1 || as_json) put_number("parts", "parts", m->n_parts);
    put_uses();
    put_number("layers", "layers", m->n_layer);
    put_number("width", "width", m->n_embd);
    put_number("heads", "heads", m->n_head);
    put_number("kv_heads", "KV heads", m->n_head_kv);
    put_number("ffn", "FFN width", m->n_ff);
    put_number("vocabulary", "vocabulary", m->n_vocab);
    put_number("context", "context", m->n_ctx);
    if (m->window || as_json) put_number("window", "window", m->window);
    put_number("dims", "vector dims", m->n_embd_out);
    if (m->min_dims || as_json) put_number("min_dims", "cut down to", m->min_dims);
    put_text("pooling", "pooling", strata_pooling_name(m->pooling));
    put_labels();
    put_text("dense_heads", "dense heads", dense_name(m->dense));
    put_bool("causal", "causal", m->causal);
    put_bool("logits", "logits", m->has_logits);
    put_bool("chat_template", "chat template", m->has_chat_template);
    put_text("prompt_query", "query prompt", m->prompt_query);
    put_text("prompt_document", "doc. prompt", m->prompt_document);
    if (as_json) put_number("bos", "", m->bos), put_number("eos", "", m->eos);
    put_text("kernels", "kernels", m->cpu);
    put_text("bf16", "bf16 on", m->bf16);
    put_bytes("packed_bytes", "packed", m->packed_bytes);
    put_number("tensors", "tensors", m->n_tensors);
    put_types();
}

static int run(const command *c, int argc, char **argv)
{
    int rc = session_path_argument(c, &s, argc, argv);
    if (!rc) rc = session_open(c, &s, SESSION_MODEL);
    if (!rc) {
        if (as_json) putchar('{');
        put_all();
        if (as_json) puts("}");
    }
    session_close(&s);
    return rc;
}

static const argument args[] = {{"MODEL", "GGUF model file, if no -m names one", ARG_OPTIONAL}, {0}};

static const opt opts[] = {
    OPT_OF_MODEL(s),   {OPT_FLAG, 0, "json", NULL, "one JSON object", .value = &as_json},
    OPT_OF_PRE(s),     OPT_OF_NO_MMAP(s),
    OPT_OF_VERBOSE(s), {0},
};

const command cmd_info = {
    .name = "info",
    .usage = "MODEL [--json]",
    .summary = "what a model file holds and how it runs here",
    .text = "Names, sizes, tensor types, the tokenizer, the prompts of roles, what the model can be asked for,\n"
            "and which kernels it would run on. --json has all of it in one object.\n",
    .examples = "strata info model.gguf --json\n",
    .args = args,
    .opts = opts,
    .run = run,
};
