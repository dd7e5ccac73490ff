/* prompt.c: which template, what it is given, and its output as one text in parts of different trust. See prompt.h. */
#include "engine/prompt.h"

#include <stdio.h>
#include <string.h>

#include "template/template.h"

#define KEY      "tokenizer.chat_template"
#define NAME_MAX 64

int st_chat_source(const strata_model *m, const char *name, st_str *out, strata_error *err)
{
    char key[sizeof KEY + NAME_MAX + 1] = KEY;
    *out = (st_str){0};
    ST_FAIL_IF(name && (!*name || strlen(name) > NAME_MAX), err, STRATA_INVALID_ARG,
               "a chat template's name has 1 to %d bytes", NAME_MAX);
    if (name) snprintf(key, sizeof key, KEY ".%s", name);
    return st_gguf_find(&m->gguf, key) ? st_gguf_str(&m->gguf, key, out, err) : STRATA_OK;
}

/* As HuggingFace chooses (tokenization_utils_base.py, get_chat_template); without any, ChatML. */
static int prompt_find_source(const strata_model *m, const strata_chat_opts *o, st_str *source, bool *own,
                              strata_error *err)
{
    *own = true;
    if (o->source) {
        bool chatml = strcmp(o->source, "chatml") == 0;
        *source = (st_str){chatml ? st_template_chatml : o->source, 0};
        source->len = strlen(source->ptr);
        return STRATA_OK;
    }
    ST_TRY(st_chat_source(m, o->name, source, err));
    ST_FAIL_IF(o->name && !source->len, err, STRATA_INVALID_ARG,
               "%s: no chat template '%s': key '" KEY ".%s' is missing", m->path, o->name, o->name);
    if (!o->name && o->tools.ptr) {
        st_str tools;
        ST_TRY(st_chat_source(m, "tool_use", &tools, err));
        if (tools.len) *source = tools;
    }
    if (source->len) return STRATA_OK;
    *source = (st_str){st_template_chatml, strlen(st_template_chatml)};
    *own = false;
    return STRATA_OK;
}

static int prompt_add(void *user, const char *text, size_t len, bool is_template)
{
    st_prompt *p = user;
    if (!st_grow(p->mem, &p->text, &p->cap, p->len + len, p->len, 1) ||
        !st_grow(p->mem, &p->parts, &p->part_cap, p->n + 1, p->n, sizeof *p->parts))
        return STRATA_NO_MEMORY;
    memcpy(p->text + p->len, text, len);
    p->parts[p->n++] = (strata_text_part){NULL, len, is_template};
    p->len += len;
    return STRATA_OK;
}

void st_prompt_free(st_prompt *p)
{
    if (!p->mem) return;
    st_free(p->mem, p->text);
    st_free(p->mem, p->parts);
    *p = (st_prompt){0};
}

static st_str prompt_str_of(strata_text t)
{
    return (st_str){t.ptr, t.len};
}

static st_str prompt_piece_of(const strata_model *m, int32_t id)
{
    return id < 0 ? (st_str){0} : st_tokenizer_piece(m->tokenizer, id);
}

static int prompt_render(const st_template *t, const st_chat_message *messages, size_t n, const strata_model *m,
                         const strata_chat_opts *o, st_prompt *out, strata_error *err)
{
    const st_token_info *info = st_tokenizer_info(m->tokenizer);
    st_template_opts to = {.messages = messages,
                           .n_messages = n,
                           .json = prompt_str_of(o->messages),
                           .tools = prompt_str_of(o->tools),
                           .documents = prompt_str_of(o->documents),
                           .variables = prompt_str_of(o->variables),
                           .bos = prompt_piece_of(m, info->bos),
                           .eos = prompt_piece_of(m, info->eos),
                           .add_generation_prompt = !o->no_generation_prompt,
                           .now = o->now,
                           .max_steps = o->max_steps};
    int rc = st_template_render(t, &to, prompt_add, out, err);
    ST_FAIL_IF(rc == STRATA_NO_MEMORY, err, rc, "no memory for the prompt");
    return rc;
}

int st_chat_prompt(const strata_model *m, const strata_message *messages, size_t n, const strata_chat_opts *opts,
                   st_prompt *out, strata_error *err)
{
    strata_chat_opts o = opts ? *opts : (strata_chat_opts){0};
    st_mem *mem = m->mem;
    const st_token_info *info = st_tokenizer_info(m->tokenizer);
    st_str source, bos = prompt_piece_of(m, info->bos);
    bool own;
    *out = (st_prompt){.mem = mem};
    ST_TRY(prompt_find_source(m, &o, &source, &own, err));
    st_template *t = NULL;
    st_chat_message *list = st_alloc(mem, n, sizeof *list);
    ST_FAIL_IF(!list, err, STRATA_NO_MEMORY, "no memory for %zu messages", n);
    for (size_t i = 0; i < n; i++)
        list[i] = (st_chat_message){.role = prompt_str_of(messages[i].role),
                                    .content = prompt_str_of(messages[i].content),
                                    .tool_calls = prompt_str_of(messages[i].tool_calls),
                                    .extra = prompt_str_of(messages[i].extra)};
    int rc = st_template_open(source, mem, &t, err);
    if (!rc && !own && info->add_bos && bos.len) rc = prompt_add(out, bos.ptr, bos.len, true);
    if (!rc) rc = prompt_render(t, list, n, m, &o, out, err);
    for (size_t i = 0, at = 0; !rc && i < out->n; at += out->parts[i++].len) out->parts[i].ptr = out->text + at;
    st_template_close(t);
    st_free(mem, list);
    if (rc) st_prompt_free(out);
    return rc;
}
