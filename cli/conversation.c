#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "conversation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "json.h"

static void add_string(buf *out, const char *text, size_t len)
{
    char *p = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&p, &n);
    bool ok = f != NULL;
    if (ok) json_put_string(f, text, len);
    if (!ok || fclose(f) != 0 || !p) exit(cli_fail(CLI_FAILED, "out of memory"));
    buf_add(out, p, n);
    free(p);
}

static void add_message(buf *out, const char *role, const char *text, size_t len)
{
    buf_add(out, "{\"role\":", 8);
    add_string(out, role, strlen(role));
    buf_add(out, ",\"content\":", 11);
    add_string(out, text, len);
    buf_add(out, "}", 1);
}

bool conversation_refuses(const char *what, const char *text, size_t len, char *why, size_t size)
{
    size_t at = 0;
    for (size_t n; at < len && (n = utf8_len(text + at, text + len)) > 0;) at += n;
    if (at == len) return false;
    snprintf(why, size, "%s: the text is not UTF-8: byte 0x%02x at offset %zu", what, (unsigned char)text[at], at);
    return true;
}

void conversation_add(conversation *c, const char *role, const char *text, size_t len)
{
    c->marks = must_grow(c->marks, &c->cap, c->n + 1, sizeof *c->marks);
    c->marks[c->n++] = (message_mark){c->turns.len, strcmp(role, "user") == 0};
    if (c->turns.len) buf_add(&c->turns, ",\n", 2);
    add_message(&c->turns, role, text, len);
}

bool conversation_undo(conversation *c)
{
    conversation_end before;
    if (!conversation_reopen(c, &before)) return false;
    c->turns.len = c->marks[--c->n].at;
    return true;
}

bool conversation_reopen(conversation *c, conversation_end *before)
{
    size_t n = c->n;
    *before = (conversation_end){c->turns.len, n};
    while (n && !c->marks[n - 1].user) n--;
    if (!n) return false;
    if (n < c->n) c->turns.len = c->marks[n].at;
    c->n = n;
    return true;
}

/* Reopening has cut lengths only. */
void conversation_restore(conversation *c, conversation_end before)
{
    c->turns.len = before.len;
    c->n = before.n;
}

void conversation_clear(conversation *c)
{
    c->turns.len = c->n = 0;
}

void conversation_json(const conversation *c, buf *out)
{
    buf_add(out, "[", 1);
    if (c->system.len) add_message(out, "system", c->system.p, c->system.len);
    if (c->system.len && c->turns.len) buf_add(out, ",\n", 2);
    buf_add(out, c->turns.p, c->turns.len);
    buf_add(out, "]\n", 2);
}

/* What stands between the brackets of a JSON array. */
static int read_messages(const char *path, buf *out)
{
    buf file = {0};
    json_error e;
    int rc = input_read_file(path, &file);
    if (!rc && !json_check(file.len ? file.p : "", file.len, &e)) rc = cli_fail(CLI_FAILED, "%s: %s", path, e.msg);
    size_t at = 0, end = file.len;
    while (at < end && strchr(" \t\r\n", file.p[at])) at++;
    while (end > at && strchr(" \t\r\n", file.p[end - 1])) end--;
    if (!rc && (end - at < 2 || file.p[at] != '['))
        rc = cli_fail(CLI_FAILED, "%s: want a JSON array of messages, [{\"role\":\"user\",\"content\":\"...\"}]", path);
    if (!rc) {
        for (at++, end--; at < end && strchr(" \t\r\n", file.p[at]);) at++;
        buf_add(out, file.p + at, end - at);
    }
    buf_free(&file);
    return rc;
}

int conversation_open(conversation *c, const conversation_opts *o)
{
    int rc = CLI_OK;
    char why[160];
    if (o->system && conversation_refuses("--system", o->system, strlen(o->system), why, sizeof why))
        return cli_fail(CLI_FAILED, "%s", why);
    if (o->system) buf_add(&c->system, o->system, strlen(o->system));
    c->variables = o->variables;
    if (o->messages) rc = read_messages(o->messages, &c->turns);
    if (!rc && o->template && strcmp(o->template, "chatml") == 0)
        buf_add(&c->template, "chatml", 7);
    else if (!rc && o->template)
        rc = input_read_string(o->template, &c->template);
    if (!rc && o->tools) rc = input_read_file(o->tools, &c->tools);
    return rc;
}

void conversation_close(conversation *c)
{
    buf_free(&c->system);
    buf_free(&c->turns);
    buf_free(&c->template);
    buf_free(&c->tools);
    free(c->marks);
    *c = (conversation){0};
}

int conversation_encode(const conversation *c, const strata_model *m, ints *ids, strata_error *err)
{
    buf json = {0};
    conversation_json(c, &json);
    strata_chat_opts o = {.source = c->template.len ? c->template.p : NULL,
                          .messages = {json.p, json.len},
                          .tools = {c->tools.p, c->tools.len},
                          .variables = {c->variables, c->variables ? strlen(c->variables) : 0}};
    int rc = strata_chat_encode(m, NULL, 0, &o, ids->p, ids->cap, &ids->n, err);
    if ((!rc || rc == STRATA_TOO_LONG) && ids->n > ids->cap) { /* again with room enough, also for some turns more */
        ids->p = must_grow(ids->p, &ids->cap, ids->n + 1024, sizeof *ids->p);
        rc = strata_chat_encode(m, NULL, 0, &o, ids->p, ids->cap, &ids->n, err);
    }
    buf_free(&json);
    return rc;
}
