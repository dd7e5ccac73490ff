/* chat.c: the public functions of chat templates. */
#include "engine/prompt.h"

#include <string.h>

#include "api/opts.h"
#include "base/fp.h"

static int chat_check(const strata_model *m, const strata_message *messages, size_t n, const strata_chat_opts *o,
                      const char *what, strata_error *err)
{
    ST_FAIL_IF(!m, err, STRATA_INVALID_ARG, "%s: the model is NULL", what);
    ST_TRY(st_opts_check_chat(o, err));
    ST_FAIL_IF(n && !messages, err, STRATA_INVALID_ARG, "%s: messages is NULL but has %zu", what, n);
    ST_FAIL_IF(n && o && o->messages.ptr, err, STRATA_INVALID_ARG, "%s: messages are given twice, also as JSON", what);
    ST_FAIL_IF(o && o->source && o->name, err, STRATA_INVALID_ARG, "%s: give a template's source or its name, not both",
               what);
    if (o) {
        const strata_text *json[] = {&o->messages, &o->tools, &o->documents, &o->variables};
        static const char *const names[] = {"messages", "tools", "documents", "variables"};
        for (size_t k = 0; k < sizeof json / sizeof *json; k++)
            ST_FAIL_IF(json[k]->len && !json[k]->ptr, err, STRATA_INVALID_ARG, "%s: %s is NULL but has %zu bytes", what,
                       names[k], json[k]->len);
    }
    for (size_t i = 0; i < n; i++) {
        const strata_text *texts[] = {&messages[i].role, &messages[i].content, &messages[i].tool_calls,
                                      &messages[i].extra};
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            ST_FAIL_IF(texts[k]->len && !texts[k]->ptr, err, STRATA_INVALID_ARG,
                       "%s: message %zu: a text is NULL but has %zu bytes", what, i, texts[k]->len);
    }
    return STRATA_OK;
}

static int chat_make_prompt(const strata_model *m, const strata_message *messages, size_t n,
                            const strata_chat_opts *opts, st_prompt *p, strata_error *err)
{
    uint64_t fp = st_fp_enter(); /* a template reads, computes and writes numbers */
    int rc = st_chat_prompt(m, messages, n, opts, p, err);
    st_fp_leave(fp);
    return rc;
}

int strata_chat_render(const strata_model *m, const strata_message *messages, size_t n, const strata_chat_opts *opts,
                       char *text, size_t cap, size_t *len, strata_error *err)
{
    st_prompt p;
    ST_FAIL_IF(!len || (cap && !text), err, STRATA_INVALID_ARG, "strata_chat_render: text or len is NULL");
    ST_TRY(chat_check(m, messages, n, opts, "strata_chat_render", err));
    ST_TRY(chat_make_prompt(m, messages, n, opts, &p, err));
    size_t all = *len = p.len, k = all < cap ? all : cap;
    if (k) memcpy(text, p.text, k);
    st_prompt_free(&p);
    ST_FAIL_IF(cap && cap < all, err, STRATA_TOO_LONG, "room for %zu bytes, the prompt has %zu", cap, all);
    return STRATA_OK;
}

int strata_chat_encode(const strata_model *m, const strata_message *messages, size_t n, const strata_chat_opts *opts,
                       int32_t *ids, size_t cap, size_t *n_ids, strata_error *err)
{
    st_prompt p;
    ST_FAIL_IF(!n_ids || (cap && !ids), err, STRATA_INVALID_ARG, "strata_chat_encode: ids or n_ids is NULL");
    ST_TRY(chat_check(m, messages, n, opts, "strata_chat_encode", err));
    ST_TRY(chat_make_prompt(m, messages, n, opts, &p, err));
    int rc = strata_tokenize_parts(m, p.parts, p.n, 0, ids, NULL, cap, n_ids, err);
    st_prompt_free(&p);
    return rc;
}

int strata_chat_template(const strata_model *m, const char *name, const char **source, size_t *len, strata_error *err)
{
    ST_FAIL_IF(!m || !source || !len, err, STRATA_INVALID_ARG,
               "strata_chat_template: the model, source or len is NULL");
    st_str s;
    ST_TRY(st_chat_source(m, name, &s, err));
    *source = s.len ? s.ptr : NULL;
    *len = s.len;
    return STRATA_OK;
}
