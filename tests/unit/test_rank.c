/* test_rank.c: strata_rank joins query and passage as HuggingFace's post-processors do: its score is that of
 * strata_eval on ids and token types written down here, bit for bit. The models are the tiny ones with a made-up
 * classification head. */
#include <math.h>

#include "unit/test_api.h"

enum { WIDTH = 64, MAX_IDS = 300, MAX_VOCAB = 8000 };

static float values[MAX_VOCAB * WIDTH];

static void fill(float *v, size_t n, float scale, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) v[i] = ((float)(rng_next(&seed) % 2001) / 1000.0f - 1.0f) * scale;
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

static float dense[WIDTH * WIDTH], bias[WIDTH], head[2 * WIDTH];

static void make_head(void)
{
    fill(dense, WIDTH * WIDTH, 0.3f, 1);
    fill(bias, WIDTH, 0.5f, 2);
    fill(head, 2 * WIDTH, 0.5f, 3);
}

/* bert with a head of n_labels, and up to 4 edits more. *b is what the model reads: to be freed after it. */
static strata_model *open_bert(uint32_t n_labels, const edit *more, blob *b)
{
    make_head();
    edit edits[9] = {{.kind = DROP, .name = "bert.pooling_type"},
                     {.kind = ADD, .name = "cls.weight", .n = WIDTH, .k = WIDTH, .data = dense},
                     {.kind = ADD, .name = "cls.bias", .n = WIDTH, .data = bias}};
    size_t n = 3;
    edits[n++] = (edit){.kind = ADD, .name = "cls.output.weight", .n = n_labels, .k = WIDTH, .data = head};
    for (; more && more->kind != EDIT_END; more++) edits[n++] = *more;
    edits[n] = (edit){0};
    *b = rewrite(tiny("bert"), edits);
    return open_blob(*b, NULL);
}

static bool has_prefix(st_str s, const char *prefix)
{
    return s.len >= strlen(prefix) && memcmp(s.ptr, prefix, strlen(prefix)) == 0;
}

static void put_keys(st_gguf_writer *w, const st_gguf *g, bool tokenizer)
{
    for (size_t i = 0; i < g->n_kv; i++) {
        st_str key = g->kv[i].key;
        bool skip = st_str_eq(key, "bert.pooling_type") || st_str_eq(key, "tokenizer.ggml.tokens") ||
                    st_str_eq(key, "tokenizer.ggml.pre");
        if (!skip && has_prefix(key, "tokenizer.") == tokenizer)
            assert_int_equal(st_gguf_put_kv(w, &g->kv[i], NULL), 0);
    }
}

static void put_floats(st_gguf_writer *w, const char *name, uint64_t cols, uint64_t rows, const float *v)
{
    uint64_t dims[2] = {cols, rows};
    assert_int_equal(st_gguf_put_tensor(w, (st_str){name, strlen(name)}, ST_F32, rows ? 2 : 1, dims, v,
                                        (size_t)(cols * (rows ? rows : 1)) * 4, NULL),
                     0);
}

/* The tiny model `name` with the vocabulary of tests/data/tok, a head, and random embeddings. */
typedef struct with_vocab {
    const char *model, *vocab, *pre;
    const char *names[2]; /* of tokens 3073 and 3074, unless NULL */
    bool around;          /* these stand around a text */
    const char *template;
} with_vocab;

static uint64_t put_tokens(st_gguf_writer *w, const st_gguf *v, const with_vocab *o)
{
    const st_gguf_kv *kv = st_gguf_find(v, "tokenizer.ggml.tokens");
    st_str *tokens = malloc(MAX_VOCAB * sizeof *tokens);
    size_t n = 0, at = 0;
    while (st_gguf_next_string(kv, &at, &tokens[n])) n++;
    for (size_t i = 0; i < 2; i++)
        if (o->names[i]) tokens[3073 + i] = (st_str){o->names[i], strlen(o->names[i])};
    assert_int_equal(st_gguf_put_strings(w, "tokenizer.ggml.tokens", tokens, n, NULL), 0);
    if (o->pre) assert_int_equal(st_gguf_put_str(w, "tokenizer.ggml.pre", o->pre, strlen(o->pre), NULL), 0);
    free(tokens);
    return n;
}

static void put_frame(st_gguf_writer *w)
{
    assert_int_equal(st_gguf_put_u32(w, "tokenizer.ggml.cls_token_id", 3073, NULL), 0);
    assert_int_equal(st_gguf_put_u32(w, "tokenizer.ggml.seperator_token_id", 3074, NULL), 0);
    assert_int_equal(st_gguf_put_bool(w, "tokenizer.ggml.add_eos_token", true, NULL), 0);
}

/* Files of encoders have no start token but [CLS], and say that it is put before a text. */
static bool is_start(st_str key)
{
    return st_str_eq(key, "tokenizer.ggml.bos_token_id") || st_str_eq(key, "tokenizer.ggml.eos_token_id") ||
           st_str_eq(key, "tokenizer.ggml.add_bos_token");
}

static blob joined(const with_vocab *o)
{
    char path[600];
    snprintf(path, sizeof path, STRATA_SOURCE_DIR "/tests/data/tok/%s.gguf", o->vocab);
    blob model = blob_read(tiny(o->model)), vocab = blob_read(path);
    st_mem mem;
    st_gguf g, v;
    st_gguf_writer *w = NULL;
    uint8_t *data = NULL;
    size_t size = 0;
    st_mem_init(&mem, NULL, 0);
    make_head();
    fill(values, MAX_VOCAB * WIDTH, 0.5f, 4);
    assert_int_equal(st_gguf_parse(&g, model.data, model.size, o->model, false, &mem, NULL), 0);
    assert_int_equal(st_gguf_parse(&v, vocab.data, vocab.size, "vocab", false, &mem, NULL), 0);
    assert_int_equal(st_gguf_writer_open(&mem, &w, NULL), 0);
    put_keys(w, &g, false);
    for (size_t i = 0; o->around && i < v.n_kv; i++)
        if (is_start(v.kv[i].key)) v.kv[i].key = (st_str){"general.unused", 14};
    put_keys(w, &v, true);
    uint64_t n = put_tokens(w, &v, o);
    if (o->around) put_frame(w);
    if (o->around) assert_int_equal(st_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true, NULL), 0);
    if (o->template)
        assert_int_equal(st_gguf_put_str(w, "tokenizer.chat_template.rerank", o->template, strlen(o->template), NULL),
                         0);
    for (size_t i = 0; i < g.n_tensors; i++) {
        const st_gguf_tensor *t = &g.tensors[i];
        if (st_str_eq(t->name, "output.weight")) continue;
        if (st_str_eq(t->name, "token_embd.weight"))
            put_floats(w, "token_embd.weight", WIDTH, n, values);
        else
            assert_int_equal(st_gguf_put_tensor(w, t->name, t->type, t->n_dims, t->dims, t->data, t->bytes, NULL), 0);
    }
    put_floats(w, "cls.weight", WIDTH, WIDTH, dense);
    put_floats(w, "cls.bias", WIDTH, 0, bias);
    put_floats(w, "cls.output.weight", WIDTH, 1, head);
    assert_int_equal(st_gguf_writer_finish(w, &data, &size, NULL), 0);
    blob out = {malloc(size), size};
    memcpy(out.data, data, size);
    st_free(&mem, data);
    st_gguf_writer_close(w);
    st_gguf_free(&g);
    st_gguf_free(&v);
    free(model.data);
    free(vocab.data);
    return out;
}

/* ---- ids by hand ------------------------------------------------------------------------------------------------- */

typedef struct ids {
    int32_t id[MAX_IDS], type[MAX_IDS];
    size_t n;
} ids;

static void add_id(ids *x, int32_t id, int32_t type)
{
    assert_true(x->n < MAX_IDS);
    x->id[x->n] = id;
    x->type[x->n++] = type;
}

static int32_t id_of(const strata_model *m, const char *piece)
{
    for (int32_t i = 0;; i++) {
        const char *p;
        size_t len;
        OK(strata_token_piece(m, i, &p, &len, err));
        if (len == strlen(piece) && memcmp(p, piece, len) == 0) return i;
    }
}

/* The bare tokens of a text. */
static void add_text(ids *x, const strata_model *m, const char *text, int32_t type)
{
    int32_t got[MAX_IDS];
    size_t n;
    OK(strata_tokenize(m, text, strlen(text), 0, got, NULL, MAX_IDS, &n, err));
    for (size_t i = 0; i < n; i++) add_id(x, got[i], type);
}

static void logits(strata_ctx *c, const ids *x, bool typed, float *out, size_t labels)
{
    size_t rows, cols;
    OK(strata_eval(c, x->id, typed ? x->type : NULL, x->n, STRATA_EVAL_POOLED, STRATA_POOLING_RANK, out, labels, &rows,
                   &cols, err));
    assert_int_equal(cols, labels);
}

static float rank_one(strata_ctx *c, const char *query, const char *passage, const strata_rank_opts *o, uint32_t *n)
{
    float score;
    strata_embed_item item;
    strata_text p = text_of(passage);
    OK(strata_rank(c, text_of(query), &p, 1, o, &score, &item, err));
    if (item.status) fail_msg("%s", item.msg);
    if (n) *n = item.n_tokens;
    return score;
}

static void same_bits(float a, float b)
{
    if (memcmp(&a, &b, 4) != 0) fail_msg("%.9g, want %.9g", (double)a, (double)b);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

/* [CLS] query [SEP] passage [SEP], types 0 0 0 1 1. */
static void a_bert_pair(void **state)
{
    (void)state;
    blob b = joined(&(with_vocab){.model = "bert", .vocab = "wp3k-cased"});
    strata_model *m = open_blob(b, NULL);
    strata_ctx *c = open_ctx(m, 2, STRATA_PRECISION_I8);
    static const char *const pairs[][2] = {
        {"What is this?", "The city of light."}, {"", "alone"}, {"alone", ""}, {"a [SEP] b", "plain"}};
    for (int i = 0; i < 4; i++) {
        ids x = {.n = 0};
        float want, got;
        uint32_t n;
        strata_rank_opts o = {.plain_special = 1};
        add_id(&x, id_of(m, "[CLS]"), 0);
        add_text(&x, m, pairs[i][0], 0);
        add_id(&x, id_of(m, "[SEP]"), 0);
        add_text(&x, m, pairs[i][1], 1);
        add_id(&x, id_of(m, "[SEP]"), 1);
        logits(c, &x, true, &want, 1);
        got = rank_one(c, pairs[i][0], pairs[i][1], &o, &n);
        assert_int_equal(n, x.n);
        same_bits(got, want);
    }
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
}

/* <s> query </s></s> passage </s>, as RoBERTa and XLM-R. */
static void a_doubled_separator(void **state)
{
    (void)state;
    blob b;
    const edit more[] = {{.kind = SET_BOOL, .name = "tokenizer.ggml.add_bos_token", .u = 1},
                         {.kind = SET_BOOL, .name = "tokenizer.ggml.add_eos_token", .u = 1},
                         {.kind = SET_BOOL, .name = "tokenizer.ggml.add_sep_token", .u = 1},
                         {0}};
    strata_model *m = open_bert(1, more, &b);
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    ids x = {.n = 0};
    float want;
    uint32_t n;
    add_id(&x, 1, 0);
    add_text(&x, m, "ask", 0);
    add_id(&x, 2, 0);
    add_id(&x, 2, 0);
    add_text(&x, m, "an answer", 1);
    add_id(&x, 2, 1);
    logits(c, &x, true, &want, 1);
    same_bits(rank_one(c, "ask", "an answer", NULL, &n), want);
    assert_int_equal(n, x.n);
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
}

static void two_labels_are_yes_and_no(void **state)
{
    (void)state;
    blob b;
    strata_model *m = open_bert(2, NULL, &b);
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    ids x = {.n = 0};
    float v[2], score = rank_one(c, "ask", "answer", NULL, NULL);
    add_text(&x, m, "ask", 0); /* the file asks for no special tokens */
    add_text(&x, m, "answer", 1);
    logits(c, &x, true, v, 2);
    same_bits(score, v[0] - v[1]);
    float p = rank_one(c, "ask", "answer", &(strata_rank_opts){.sigmoid = 1}, NULL);
    assert_true(fabs((double)p - 1 / (1 + exp(-(double)score))) < 1e-7);
    /* Softmax over the two, first entry. */
    assert_true(fabs((double)p - exp((double)v[0]) / (exp((double)v[0]) + exp((double)v[1]))) < 1e-6);
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
}

static bool is_label(const strata_model *m, uint32_t i, const char *want)
{
    const char *name;
    size_t len;
    return strata_model_get_label(m, i, &name, &len) && len == strlen(want) && memcmp(name, want, len) == 0;
}

/* The file may name the outputs of the head; then "yes" is where it says. */
static void labels_have_names(void **state)
{
    (void)state;
    static const char key[] = "bert.classifier.output_labels";
    const char *name;
    size_t len;
    blob b;
    float score[2];
    for (int named = 0; named < 2; named++) {
        strata_model *m =
            open_bert(2, named ? (edit[]){{.kind = SET_STRS, .name = key, .str = "no yes more"}, {0}} : NULL, &b);
        strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
        score[named] = rank_one(c, "ask", "answer", NULL, NULL);
        assert_int_equal(is_label(m, 0, "no"), named);
        assert_int_equal(is_label(m, 1, "yes"), named);
        assert_int_equal(strata_model_get_label(m, 2, &name, &len), 0); /* the head has two */
        strata_ctx_close(c);
        strata_model_close(m);
        free(b.data);
    }
    same_bits(score[0], -score[1]);
    assert_int_equal(strata_model_get_label(NULL, 0, &name, &len), 0);
    strata_model *m = open_bert(1, (edit[]){{.kind = SET_U32, .name = key, .u = 1}, {0}}, &b); /* no list */
    assert_int_equal(strata_model_get_label(m, 0, &name, &len), 0);
    strata_model_close(m);
    free(b.data);
}

/* Scores come in the order of the passages, and do not depend on what stands beside. */
static void order_and_batch(void **state)
{
    (void)state;
    blob b;
    enum { N = 40 };
    strata_model *m = open_bert(1, NULL, &b);
    strata_ctx *c = open_ctx(m, 2, STRATA_PRECISION_I8), *one = open_ctx(m, 1, STRATA_PRECISION_I8);
    texts x = make_texts(N, 5);
    float all[N], alone;
    strata_embed_item items[N];
    free((char *)(uintptr_t)x.t[7].ptr);
    x.t[7] = (strata_text){"\xff", 1};
    x.t[5].len = x.t[5].len < 150 ? x.t[5].len : 150;
    OK(strata_rank(c, text_of("query"), x.t, N, &(strata_rank_opts){.truncate = STRATA_TRUNCATE_END}, all, items, err));
    for (size_t i = 0; i < N; i++) {
        if (i == 7) {
            assert_int_equal(items[i].status, STRATA_INVALID_ARG);
            assert_true(is_nan_row(&all[i], 1));
            continue;
        }
        OK(strata_rank(one, text_of("query"), &x.t[i], 1, &(strata_rank_opts){.truncate = STRATA_TRUNCATE_END}, &alone,
                       NULL, err));
        same_bits(all[i], alone);
    }
    FAILS(strata_rank(c, text_of("query"), x.t, N, NULL, all, NULL, err), STRATA_INVALID_ARG, "passage 7");
    x.t[7] = (strata_text){NULL, 0};
    free_texts(&x);
    strata_ctx_close(c);
    strata_ctx_close(one);
    strata_model_close(m);
    free(b.data);
}

/* The passage is cut, never the query or what is around. */
static void truncation(void **state)
{
    (void)state;
    blob b;
    const edit more[] = {{.kind = SET_BOOL, .name = "tokenizer.ggml.add_bos_token", .u = 1},
                         {.kind = SET_BOOL, .name = "tokenizer.ggml.add_eos_token", .u = 1},
                         {.kind = SET_BOOL, .name = "tokenizer.ggml.add_sep_token", .u = 0},
                         {0}};
    strata_model *m = open_bert(1, more, &b);
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    char passage[400];
    int32_t tokens[500];
    size_t n_tokens;
    float score;
    strata_embed_item item;
    for (int i = 0; i < 399; i++) passage[i] = (char)('a' + i * 7 % 26);
    passage[399] = 0;
    strata_text p = text_of(passage);
    OK(strata_tokenize(m, passage, 399, 0, tokens, NULL, 500, &n_tokens, err));
    for (int from_start = 0; from_start < 2; from_start++) {
        ids x = {.n = 0};
        float want;
        add_id(&x, 1, 0);
        add_text(&x, m, "ask", 0);
        add_id(&x, 2, 0);
        size_t room = 256 - x.n - 1, skip = from_start ? n_tokens - room : 0;
        for (size_t i = 0; i < room; i++) add_id(&x, tokens[skip + i], 1);
        add_id(&x, 2, 1);
        logits(c, &x, true, &want, 1);
        strata_rank_opts o = {.truncate = from_start ? STRATA_TRUNCATE_START : STRATA_TRUNCATE_END};
        OK(strata_rank(c, text_of("ask"), &p, 1, &o, &score, &item, err));
        assert_int_equal(item.n_tokens, 256);
        assert_int_equal(item.truncated, 1);
        assert_int_equal(item.n_tokens_all, n_tokens + x.n - room);
        same_bits(score, want);
    }
    OK(strata_rank(c, text_of("ask"), &p, 1, NULL, &score, &item, err));
    assert_int_equal(item.status, STRATA_TOO_LONG);
    /* A query that fills the context leaves nothing to cut. */
    strata_text short_one = text_of("b");
    OK(strata_rank(c, p, &short_one, 1, &(strata_rank_opts){.truncate = STRATA_TRUNCATE_END}, &score, &item, err));
    assert_int_equal(item.status, STRATA_TOO_LONG);
    assert_non_null(strstr(item.msg, "the query and the tokens around both: "));
    /* Unless it may be cut: it gets half of the context, and its passage what is left. */
    for (int from_start = 0; from_start < 2; from_start++)
        for (int long_passage = 0; long_passage < 2; long_passage++) {
            ids x = {.n = 0};
            float want;
            size_t skip = from_start ? n_tokens - 128 : 0, room = 256 - 128 - 3;
            add_id(&x, 1, 0);
            for (size_t i = 0; i < 128; i++) add_id(&x, tokens[skip + i], 0);
            add_id(&x, 2, 0);
            if (!long_passage) add_text(&x, m, "b", 1);
            for (size_t i = 0; long_passage && i < room; i++) add_id(&x, tokens[i], 1);
            add_id(&x, 2, 1);
            logits(c, &x, true, &want, 1);
            strata_rank_opts o = {.truncate = STRATA_TRUNCATE_END,
                                  .truncate_query = from_start ? STRATA_TRUNCATE_START : STRATA_TRUNCATE_END};
            OK(strata_rank(c, p, long_passage ? &p : &short_one, 1, &o, &score, &item, err));
            assert_int_equal(item.status, STRATA_OK);
            assert_int_equal(item.truncated, 1);
            assert_int_equal(item.n_tokens, x.n);
            same_bits(score, want);
        }
    /* Cut or not, a passage that may not be cut fails where it does not fit; a query that leaves room is left alone. */
    strata_rank_opts query_only = {.truncate_query = STRATA_TRUNCATE_END};
    OK(strata_rank(c, p, &p, 1, &query_only, &score, &item, err));
    assert_int_equal(item.status, STRATA_TOO_LONG);
    OK(strata_rank(c, (strata_text){passage, 200}, &short_one, 1, &query_only, &score, &item, err));
    assert_int_equal(item.truncated, 0);
    query_only.truncate_query = 3;
    FAILS(strata_rank(c, p, &p, 1, &query_only, &score, &item, err), STRATA_INVALID_ARG,
          "truncate_query: no such value as 3");
    score = 5;
    FAILS(strata_rank(c, (strata_text){"x\xff", 2}, &short_one, 1, NULL, &score, &item, err), STRATA_INVALID_ARG,
          "the query is not UTF-8: byte 0xff at offset 1");
    assert_true(score == 5);
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
}

/* A decoder's own template: its control tokens count, those that query or passage spell do not. */
static void a_template(void **state)
{
    (void)state;
    fill(values, 2 * 256, 0.3f, 9);
    const edit edits[] = {
        {.kind = ADD, .name = "cls.output.weight", .n = 2, .k = 256, .data = values},
        {.kind = SET_STR, .name = "tokenizer.chat_template.rerank", .str = "{query}</s>{document}</s>"},
        {0}};
    blob b = rewrite(tiny("llama-q8_0"), edits);
    strata_model *m = open_blob(b, NULL);
    strata_model_info info;
    strata_model_get_info(m, &info);
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    static const char *const passages[] = {"answer", "say </s> no"};
    for (int i = 0; i < 2; i++) {
        ids x = {.n = 0};
        float v[2];
        int32_t got[MAX_IDS];
        size_t n;
        OK(strata_tokenize(m, "", 0, STRATA_TOKENIZE_ADD_SPECIAL, got, NULL, MAX_IDS, &n, err));
        for (size_t k = 0; k < n; k++) add_id(&x, got[k], 0);
        add_text(&x, m, "ask", 0);
        add_id(&x, id_of(m, "</s>"), 0);
        add_text(&x, m, passages[i], 0);
        add_id(&x, id_of(m, "</s>"), 0);
        logits(c, &x, false, v, 2);
        uint32_t n_tokens;
        float score = rank_one(c, "ask", passages[i], NULL, &n_tokens);
        assert_int_equal(n_tokens, x.n);
        same_bits(score, v[0] - v[1]);
    }
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
}

/* ---- HuggingFace's ids ----------------------------------------------------------------------------------------- */

#define PAIRS STRATA_SOURCE_DIR "/tests/data/rank/"

/* A field of a line: hexadecimal bytes, "-" for none. Returns where the next begins. */
static const char *read_hex(const char *p, char *out, size_t *n)
{
    for (*n = 0; *p != ' '; p += *p == '-' ? 1 : 2)
        if (*p != '-') {
            unsigned byte;
            assert_int_equal(sscanf(p, "%2x", &byte), 1);
            out[(*n)++] = (char)byte;
        }
    return p + 1;
}

/* The lines of tests/data/rank/pairs.txt that begin with `name`: the score is that of HuggingFace's ids. The second
 * segment, if there is one, starts behind the first token `end`, or two of them. */
static void compare_pairs(strata_model *m, const char *name, int32_t end)
{
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    blob file = blob_read(PAIRS "pairs.txt");
    size_t lines = 0;
    const char *text = (const char *)file.data, *stop = text + file.size;
    for (const char *p = text; p < stop; p = strchr(p, '\n') + 1) {
        size_t n = strlen(name);
        if (strncmp(p, name, n) != 0 || p[n] != ' ') continue;
        char query[100], passage[100];
        strata_text q = {query, 0}, t = {passage, 0};
        const char *rest = read_hex(read_hex(p + n + 1, query, &q.len), passage, &t.len);
        ids x = {.n = 0};
        while (*rest != '\n') {
            char *after;
            add_id(&x, (int32_t)strtol(rest, &after, 10), 0);
            rest = *after == ' ' ? after + 1 : after;
        }
        size_t second = 0;
        while (end >= 0 && x.id[second] != end) second++;
        if (x.id[second + 1] == end && strcmp(name, "roberta") == 0) second++;
        for (size_t i = second + 1; i < x.n; i++) x.type[i] = 1;
        float want, got;
        strata_embed_item item;
        logits(c, &x, end >= 0, &want, 1);
        OK(strata_rank(c, q, &t, 1, NULL, &got, &item, err));
        assert_int_equal(item.status, 0);
        if (item.n_tokens != x.n) fail_msg("%.80s: %u tokens, want %zu", p, item.n_tokens, x.n);
        same_bits(got, want);
        lines++;
    }
    assert_true(lines > 20);
    free(file.data);
    strata_ctx_close(c);
}

/* Qwen3-Reranker's prompt is one text to HuggingFace, also where query and passage meet it. The model is a decoder that
 * says nothing of pooling: the last token is what the head reads. */
static void a_template_is_one_text(void **state)
{
    (void)state;
    blob text = blob_read(PAIRS "qwen3.template");
    char *template = calloc(text.size + 1, 1);
    memcpy(template, text.data, text.size);
    blob b = joined(&(with_vocab){.model = "qwen2-yarn", .vocab = "bpe3k", .pre = "qwen2", .template = template});
    strata_model *m = open_blob(b, NULL);
    compare_pairs(m, "qwen2", -1);
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    ids x = {.n = 0};
    float before, after;
    for (int32_t i = 0; i < 8; i++) add_id(&x, 100 + 7 * i, 0);
    logits(c, &x, false, &before, 1);
    x.id[7] = 9; /* a head that reads the first token would not see this */
    logits(c, &x, false, &after, 1);
    assert_true(before != after);
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
    free(template);
    free(text.data);
}

/* What is cut of a passage within a template are tokens of it alone. */
static void a_template_is_cut(void **state)
{
    (void)state;
    blob b = joined(&(with_vocab){.model = "qwen2-yarn",
                                  .vocab = "bpe3k",
                                  .pre = "qwen2",
                                  .template = "<|im_start|>{query}\n{document}\n<|im_end|>{query}"});
    strata_model *m = open_blob(b, NULL);
    strata_model_info info;
    strata_model_get_info(m, &info);
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    enum { WORDS = 300 };
    char passage[WORDS * 2 + 1], all[WORDS * 2 + 64];
    for (int i = 0; i < WORDS; i++) memcpy(passage + 2 * i, i % 3 ? "1 " : "2 ", 2);
    passage[2 * WORDS - 1] = 0;
    strata_text p = text_of(passage);
    int n_all = snprintf(all, sizeof all, "<|im_start|>ask\n%s\n<|im_end|>ask", passage);
    int32_t id[2 * WORDS + 64];
    strata_span span[2 * WORDS + 64];
    size_t n, first = 0, end = 0;
    OK(strata_tokenize(m, all, (size_t)n_all, STRATA_TOKENIZE_PARSE_SPECIAL, id, span, 2 * WORDS + 64, &n, err));
    assert_true(n > info.n_ctx);
    for (size_t i = 0; i < n; i++) {
        if (span[i].begin < 16 || span[i].end > 16 + p.len) continue;
        if (!end) first = i;
        end = i + 1;
    }
    for (int from_start = 0; from_start < 2; from_start++) {
        size_t over = n - info.n_ctx, at = from_start ? first : end - over;
        int32_t cut[MAX_IDS];
        float want, score;
        size_t rows, cols;
        strata_embed_item item;
        memcpy(cut, id, at * sizeof *id);
        memcpy(cut + at, id + at + over, (n - at - over) * sizeof *id);
        OK(strata_eval(c, cut, NULL, info.n_ctx, STRATA_EVAL_POOLED, STRATA_POOLING_RANK, &want, 1, &rows, &cols, err));
        strata_rank_opts o = {.truncate = from_start ? STRATA_TRUNCATE_START : STRATA_TRUNCATE_END};
        OK(strata_rank(c, text_of("ask"), &p, 1, &o, &score, &item, err));
        assert_int_equal(item.n_tokens_all, n);
        assert_int_equal(item.truncated, 1);
        same_bits(score, want);
    }
    strata_text bad = {"x\xff", 2};
    strata_embed_item item;
    float score;
    /* A query that fills the context, cut to half of it; its passage behind it stays. */
    strata_text answer = text_of("ans");
    strata_rank_opts both = {.truncate = STRATA_TRUNCATE_END, .truncate_query = STRATA_TRUNCATE_END};
    OK(strata_rank(c, p, &answer, 1, NULL, &score, &item, err));
    assert_int_equal(item.status, STRATA_TOO_LONG);
    OK(strata_rank(c, p, &answer, 1, &both, &score, &item, err));
    assert_int_equal(item.status, STRATA_OK);
    assert_int_equal(item.truncated, 1);
    /* The query stands twice in this template: each gets half of the half. */
    size_t n_long, n_short, q = info.n_ctx / 4;
    float want;
    char twice[4 * WORDS + 64];
    int32_t whole[4 * WORDS + 64], short_id[2 * MAX_IDS];
    int n_twice = snprintf(twice, sizeof twice, "<|im_start|>%s\nans\n<|im_end|>%s", passage, passage);
    strata_span at[4 * WORDS + 64];
    OK(strata_tokenize(m, twice, (size_t)n_twice, STRATA_TOKENIZE_PARSE_SPECIAL, whole, at, 4 * WORDS + 64, &n_long,
                       err));
    n_short = 0;
    size_t ends[2] = {12 + p.len, (size_t)n_twice}, seen[2] = {0, 0};
    for (size_t i = 0; i < n_long; i++) {
        int which = at[i].begin >= 12 && at[i].end <= ends[0] ? 0 : at[i].begin >= ends[1] - p.len ? 1 : -1;
        if (which < 0 || seen[which]++ < q) short_id[n_short++] = whole[i];
    }
    assert_int_equal(item.n_tokens, n_short);
    size_t rows, cols;
    OK(strata_eval(c, short_id, NULL, n_short, STRATA_EVAL_POOLED, STRATA_POOLING_RANK, &want, 1, &rows, &cols, err));
    same_bits(score, want);
    OK(strata_rank(c, text_of("ask"), &bad, 1, NULL, &score, &item, err));
    assert_int_equal(item.status, STRATA_INVALID_ARG);
    assert_string_equal(item.msg, "the passage is not UTF-8: byte 0xff at offset 1");
    OK(strata_rank(c, text_of("ask"), &bad, 1, &(strata_rank_opts){.lossy = 1}, &score, &item, err));
    assert_int_equal(item.status, 0);
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
}

/* Byte-level BPE vocabularies around encoders: the spelling of the end token tells whether the separator is doubled. */
static void a_bpe_pair(void **state)
{
    (void)state;
    static const struct {
        const char *name, *front, *end;
    } cases[] = {{"roberta", "<s>", "</s>"}, {"modernbert", "[CLS]", "[SEP]"}};
    for (size_t i = 0; i < 2; i++) {
        blob b = joined(&(with_vocab){.model = "bert",
                                      .vocab = "bpe3k",
                                      .pre = "gpt-2",
                                      .names = {cases[i].front, cases[i].end},
                                      .around = true});
        strata_model *m = open_blob(b, NULL);
        compare_pairs(m, cases[i].name, 3074);
        strata_model_close(m);
        free(b.data);
    }
}

/* XLM-R's, a Unigram vocabulary; one without a start token (T5) has single separators. */
static void a_unigram_pair(void **state)
{
    (void)state;
    blob b = joined(&(with_vocab){.model = "bert", .vocab = "ugm8k-bf"});
    strata_model *m = open_blob(b, NULL);
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    ids x = {.n = 0};
    float want;
    uint32_t n;
    add_id(&x, 0, 0);
    add_text(&x, m, "What is it?", 0);
    add_id(&x, 2, 0);
    add_id(&x, 2, 0);
    add_text(&x, m, "A city.", 1);
    add_id(&x, 2, 1);
    logits(c, &x, true, &want, 1);
    same_bits(rank_one(c, "What is it?", "A city.", NULL, &n), want);
    assert_int_equal(n, x.n);
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
}

/* A template of a file that is no template. */
static void too_many_placeholders(void **state)
{
    (void)state;
    char template[20 * 11 + 1] = "";
    for (int i = 0; i < 20; i++) strcat(template, "{document} ");
    blob b = joined(&(with_vocab){.model = "qwen2-yarn", .vocab = "bpe3k", .pre = "qwen2", .template = template});
    strata_model *m = open_blob(b, NULL);
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    strata_text p = text_of("x");
    float score;
    FAILS(strata_rank(c, p, &p, 1, NULL, &score, NULL, err), STRATA_BAD_TEMPLATE, "placeholders");
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
}

static void refusals(void **state)
{
    (void)state;
    blob b;
    strata_model *m = open_model("bert", NULL);
    strata_ctx *c = open_ctx(m, 1, STRATA_PRECISION_I8);
    strata_text p = text_of("x");
    float score = 5;
    FAILS(strata_rank(c, p, &p, 1, NULL, &score, NULL, err), STRATA_UNSUPPORTED_OP, "cls.output.weight");
    FAILS(strata_rank(c, (strata_text){NULL, 3}, &p, 1, NULL, &score, NULL, err), STRATA_INVALID_ARG, "query");
    FAILS(strata_rank(c, p, NULL, 1, NULL, &score, NULL, err), STRATA_INVALID_ARG, "passages");
    FAILS(strata_rank(NULL, p, &p, 1, NULL, &score, NULL, err), STRATA_INVALID_ARG, "NULL");
    assert_true(score == 5);
    strata_ctx_close(c);
    strata_model_close(m);
    m = open_bert(1, NULL, &b);
    c = open_ctx(m, 1, STRATA_PRECISION_I8);
    FAILS(strata_rank(c, p, &p, 1, &(strata_rank_opts){.truncate = 9}, &score, NULL, err), STRATA_INVALID_ARG,
          "truncate");
    volatile int cancel = 1;
    FAILS(strata_rank(c, p, &p, 1, &(strata_rank_opts){.cancel = &cancel}, &score, NULL, err), STRATA_CANCELLED, "");
    OK(strata_rank(c, p, NULL, 0, NULL, NULL, NULL, err));
    strata_ctx_close(c);
    strata_model_close(m);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bert_pair),
        cmocka_unit_test(a_doubled_separator),
        cmocka_unit_test(two_labels_are_yes_and_no),
        cmocka_unit_test(labels_have_names),
        cmocka_unit_test(order_and_batch),
        cmocka_unit_test(truncation),
        cmocka_unit_test(a_template),
        cmocka_unit_test(a_template_is_one_text),
        cmocka_unit_test(a_template_is_cut),
        cmocka_unit_test(a_bpe_pair),
        cmocka_unit_test(a_unigram_pair),
        cmocka_unit_test(too_many_placeholders),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("rank", tests, NULL, NULL);
}
