/* chat.c: a conversation: each line of stdin is a message, and the model's chat template makes the prompt. The context
 * keeps what two prompts have in common, so that a turn costs its new tokens alone.
 *
 *     chat MODEL.gguf [SYSTEM MESSAGE]
 */
#define _POSIX_C_SOURCE 200809L /* getline */
#include <stdio.h>
#include <stdlib.h>
#include <strata.h>
#include <string.h>

enum { MAX_MESSAGES = 256 };

typedef struct chat {
    strata_model *m;
    strata_ctx *c;
    strata_message messages[MAX_MESSAGES];
    size_t n;
    char *answer; /* so far */
    size_t answer_len;
} chat;

static strata_text text(const char *p, size_t len)
{
    return (strata_text){p, len};
}

/* Takes `content` over. */
static int say(chat *x, const char *role, char *content)
{
    if (!content || x->n == MAX_MESSAGES) {
        free(content);
        return -1;
    }
    x->messages[x->n++] = (strata_message){.role = text(role, strlen(role)), .content = text(content, strlen(content))};
    return 0;
}

static int on_text(void *user, const char *p, size_t len, const strata_gen_token *token)
{
    chat *x = user;
    (void)token;
    char *more = realloc(x->answer, x->answer_len + len + 1);
    if (!more) return 1;
    x->answer = more;
    memcpy(more + x->answer_len, p, len);
    x->answer_len += len;
    more[x->answer_len] = 0;
    return fwrite(p, 1, len, stdout) != len || fflush(stdout) != 0;
}

static int answer(chat *x, strata_error *e)
{
    size_t n = 0;
    int rc = strata_chat_encode(x->m, x->messages, x->n, NULL, NULL, 0, &n, e);
    int32_t *ids = malloc((n + 1) * sizeof *ids);
    if (!rc && !ids) rc = STRATA_NO_MEMORY, snprintf(e->msg, sizeof e->msg, "out of memory");
    if (!rc) rc = strata_chat_encode(x->m, x->messages, x->n, NULL, ids, n, &n, e);
    strata_gen_opts o = strata_gen_default();
    o.max_tokens = 200;
    o.on_text = on_text;
    o.user = x;
    x->answer = NULL;
    x->answer_len = 0;
    if (!rc) rc = strata_generate(x->c, 0, ids, n, &o, NULL, e);
    free(ids);
    putchar('\n');
    if (!rc) return say(x, "assistant", x->answer ? x->answer : strdup("")) ? STRATA_NO_MEMORY : STRATA_OK;
    free(x->answer);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 2) return fprintf(stderr, "usage: chat MODEL.gguf [SYSTEM MESSAGE]\n"), 2;
    static chat x;
    strata_error e = {0};
    strata_ctx_opts with_sequence = {.n_seqs = 1};
    char *line = NULL;
    size_t cap = 0;
    int rc = strata_model_open(argv[1], NULL, &x.m, &e);
    if (!rc) rc = strata_ctx_open(x.m, &with_sequence, &x.c, &e);
    if (!rc && argc > 2 && say(&x, "system", strdup(argv[2]))) rc = STRATA_NO_MEMORY;
    for (ssize_t len; !rc && (len = getline(&line, &cap, stdin)) >= 0;) {
        if (len && line[len - 1] == '\n') line[len - 1] = 0;
        if (say(&x, "user", strdup(line))) {
            snprintf(e.msg, sizeof e.msg, "the conversation is too long");
            rc = STRATA_TOO_LONG;
        } else {
            rc = answer(&x, &e);
        }
    }
    if (rc) fprintf(stderr, "chat: %s\n", e.msg);
    for (size_t i = 0; i < x.n; i++) free((char *)x.messages[i].content.ptr);
    free(line);
    strata_ctx_close(x.c);
    strata_model_close(x.m);
    return rc != 0;
}
