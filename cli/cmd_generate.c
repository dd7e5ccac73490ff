/* strata generate: a prompt, continued; text streams as it becomes certain, or comes as one JSON object. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "conversation.h"
#include "input.h"
#include "json.h"
#include "sampling.h"

static session s = {.n_seqs = 1, .kv = STRATA_KV_F16};
static const char *prompt, *prompt_file;
static uint32_t n_predict = 128, n_top;
static sampling sampler = SAMPLING_DEFAULT;
static conversation_opts talk_opts;
static bool logprobs_given;
static int format, parse_special, no_special, as_chat;

enum { TEXT, JSON };

/* What a generation left behind, for JSON. */
static buf text, tokens_json;
static ints new_ids;

static void add_logprobs(const strata_gen_token *t)
{
    char number[80], p[32];
    if (tokens_json.len) buf_add(&tokens_json, ",", 1);
    int n = snprintf(number, sizeof number, "{\"id\":%d,\"logprob\":%s,\"top\":[", t->id, json_number(t->logprob, p));
    buf_add(&tokens_json, number, (size_t)n);
    for (uint32_t i = 0; i < t->n_top; i++) {
        n = snprintf(number, sizeof number, "%s{\"id\":%d,\"logprob\":%s}", i ? "," : "", t->top[i].id,
                     json_number(t->top[i].logprob, p));
        buf_add(&tokens_json, number, (size_t)n);
    }
    buf_add(&tokens_json, "]}", 2);
}

static int on_text(void *user, const char *p, size_t len, const strata_gen_token *t)
{
    (void)user;
    if (t) ints_add(&new_ids, t->id);
    if (t && logprobs_given) add_logprobs(t);
    if (format == JSON) {
        buf_add(&text, p, len);
        return 0;
    }
    bool ok = fwrite(p, 1, len, stdout) == len && fflush(stdout) == 0;
    return !ok;
}

static void put_json(const strata_gen_result *r)
{
    fputs("{\"text\":", stdout);
    json_put_string(stdout, text.len ? text.p : "", text.len);
    fputs(",\"ids\":", stdout);
    json_put_ints(stdout, new_ids.p, new_ids.n);
    if (logprobs_given) printf(",\"tokens\":[%.*s]", (int)tokens_json.len, tokens_json.len ? tokens_json.p : "");
    printf(",\"finish\":\"%s\",\"usage\":{\"prompt_tokens\":%u,\"cached_tokens\":%u,\"new_tokens\":%u},"
           "\"prompt_ms\":%.3f,\"decode_ms\":%.3f}\n",
           strata_finish_name(r->finish), r->n_prompt, r->n_cached, r->n_new, r->prompt_ms, r->decode_ms);
}

static int encode(const char *p, size_t len, ints *ids)
{
    strata_error e = {0};
    unsigned flags =
        (no_special ? 0 : STRATA_TOKENIZE_ADD_SPECIAL) | (parse_special ? STRATA_TOKENIZE_PARSE_SPECIAL : 0);
    size_t n = 0;
    int rc = strata_tokenize(s.model, p, len, flags, NULL, NULL, 0, &n, &e);
    if (!rc) {
        ids->p = must_grow(ids->p, &ids->cap, n + 1, sizeof *ids->p);
        rc = strata_tokenize(s.model, p, len, flags, ids->p, NULL, ids->cap, &ids->n, &e);
    }
    return rc ? cli_fail(CLI_FAILED, "the prompt: %s", e.msg) : CLI_OK;
}

/* The prompt as a message, or the messages of a file, through the model's chat template. */
static int encode_chat(const char *p, size_t len, ints *ids)
{
    conversation talk = {0};
    strata_error e = {0};
    char why[160];
    int rc = conversation_open(&talk, &talk_opts);
    if (!rc && p && conversation_refuses("the prompt", p, len, why, sizeof why)) rc = cli_fail(CLI_FAILED, "%s", why);
    if (!rc && p) conversation_add(&talk, "user", p, len);
    if (!rc && conversation_encode(&talk, s.model, ids, &e)) rc = cli_fail(CLI_FAILED, "the messages: %s", e.msg);
    conversation_close(&talk);
    return rc;
}

static int generate(const ints *ids)
{
    strata_error e = {0};
    strata_gen_result r;
    strata_gen_opts g = sampler.g;
    g.max_tokens = n_predict;
    g.logprobs = logprobs_given;
    g.n_top = n_top;
    g.on_text = on_text;
    int rc = strata_generate(s.ctx, 0, ids->p, ids->n, &g, &r, &e);
    if (rc == STRATA_CANCELLED) return CLI_INTERRUPTED;
    if (rc) return cli_fail(cli_exit_code(rc), "%s", e.msg);
    if (format == JSON)
        put_json(&r);
    else if (fputs("\n", stdout) < 0)
        return cli_fail(CLI_FAILED, "cannot write the standard output: %s", strerror(errno));
    bool cut = r.finish == STRATA_FINISH_LENGTH || r.finish == STRATA_FINISH_CONTEXT;
    if (cut && r.unfinished && format == TEXT) {
        if (r.finish == STRATA_FINISH_LENGTH)
            cli_warn("the answer is cut after %u tokens (-n), inside what the grammar describes", r.n_new);
        else
            cli_warn("the answer is cut where the context of %u tokens is full (-c), inside what the grammar describes",
                     strata_ctx_tokens(s.ctx));
    }
    if (s.verbose)
        fprintf(stderr, "strata: %s after %u tokens; prompt %u tokens in %.0f ms, answer %.1f tokens/s\n",
                strata_finish_name(r.finish), r.n_new, r.n_prompt, r.prompt_ms,
                r.decode_ms > 0 ? 1e3 * r.n_new / r.decode_ms : 0.0);
    return CLI_OK;
}

static int run(const command *c, int argc, char **argv)
{
    bool chat = as_chat || talk_opts.messages || talk_opts.system || talk_opts.template || talk_opts.tools ||
                talk_opts.variables;
    if (argc > 1 || (argc && (prompt || prompt_file)))
        return cli_usage(c, "one prompt, please: '%s' is a second", argv[argc - 1]);
    if (argc) prompt = argv[0];
    if (prompt && prompt_file) return cli_usage(c, "give --prompt or --file, not both");
    if (!prompt && !prompt_file && !talk_opts.messages) return cli_usage(c, "no prompt (-p TEXT, or --file FILE)");
    if (chat && (no_special || parse_special))
        return cli_usage(c, "a chat template decides on special tokens: no --%s",
                         no_special ? "no-special" : "parse-special");
    if (logprobs_given && format != JSON) return cli_usage(c, "--logprobs: only --format json has room for them");
    buf file = {0};
    ints ids = {0};
    int rc = sampling_read(c, &sampler);
    if (!rc && prompt_file) rc = input_read_file(prompt_file, &file);
    if (!rc) rc = session_open(c, &s, SESSION_CONTEXT);
    const char *p = prompt ? prompt : file.len ? file.p : prompt_file ? "" : NULL;
    size_t len = prompt ? strlen(prompt) : file.len;
    if (!rc) rc = chat ? encode_chat(p, len, &ids) : encode(p, len, &ids);
    if (!rc && !ids.n) rc = cli_fail(CLI_FAILED, "the prompt is empty, and this model puts no token before a text");
    if (!rc) rc = generate(&ids);
    session_close(&s);
    sampling_free(&sampler);
    buf_free(&file);
    buf_free(&text);
    buf_free(&tokens_json);
    ints_free(&ids);
    ints_free(&new_ids);
    return rc;
}

static const opt opts[] = {
    OPT_OF_MODEL(s),
    {OPT_STRING, 'p', "prompt", "TEXT", "the prompt", &prompt, 0, NULL},
    {OPT_STRING, 'f', "file", "FILE|-", "the prompt from a file", &prompt_file, 0, NULL},
    {OPT_COUNT, 'n', "predict", "N", "new tokens at most (default: 128)", &n_predict, 0, NULL},
    OPT_OF_CONTEXT(s, "tokens of prompt and answer"),
    {OPT_FLAG, 0, "chat", NULL, "the prompt is a user's message: through the chat template", &as_chat, 0, NULL},
    OPTS_OF_CONVERSATION(talk_opts),
    OPTS_OF_SAMPLING(sampler),
    {OPT_COUNT, 0, "logprobs", "N", "with the N best of each token (json)", &n_top, 0, &logprobs_given},
    {OPT_CHOICE, 0, "format", "text|json", "default: text, as it comes", &format, TEXT, NULL},
    {OPT_CHOICE, 0, "kv", "f16|f32|q8", "type of the cache (default: f16)", &s.kv, STRATA_KV_F16, NULL},
    {OPT_FLAG, 0, "ignore-end", NULL, "go on after end tokens", &sampler.ignore_end, 0, NULL},
    {OPT_FLAG, 0, "parse-special", NULL, "\"<|im_end|>\" in the prompt is the token", &parse_special, 0, NULL},
    {OPT_FLAG, 0, "no-special", NULL, "add no start token", &no_special, 0, NULL},
    OPT_OF_PRECISION(s),
    OPT_OF_THREADS(s),
    OPT_OF_PRE(s),
    OPT_OF_NO_MMAP(s),
    OPT_OF_VERBOSE(s),
    {0},
};

const command cmd_generate = {
    .name = "generate",
    .usage = "-m MODEL -p PROMPT",
    .summary = "a prompt, continued",
    .examples = "Examples:\n"
                "  strata generate -m model.gguf -p \"The capital of France is\" -n 32 --temp 0\n"
                "  strata generate -m model.gguf -p \"A user as JSON:\" --grammar json.gbnf --format json\n"
                "  strata generate -m model.gguf --chat --system \"Be brief.\" -p \"Why is the sky blue?\"\n",
    .opts = opts,
    .run = run,
};
