/* conversation.c: reads and keeps messages, and runs the chat template over them. */
#define _POSIX_C_SOURCE 200809L /* open_memstream, localtime_r, access */
#include "commands/conversation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io/encoding.h"
#include "io/input.h"
#include "io/json.h"

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

/* What a clock on the wall shows, as if it were UTC: the days of the calendar come from localtime, with its zone and
 * daylight saving time. 0, not known, if there is no such time. */
static int64_t local_now(void)
{
    time_t t = time(NULL);
    struct tm tm;
    tzset();
    if (t == (time_t)-1 || !localtime_r(&t, &tm)) return 0;
    int64_t year = tm.tm_year + INT64_C(1900) - (tm.tm_mon < 2), month = (tm.tm_mon + 10) % 12; /* from March on */
    int64_t days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 + tm.tm_mday - 1 - 719468;
    return ((days * 24 + tm.tm_hour) * 60 + tm.tm_min) * 60 + tm.tm_sec;
}

void conversation_clear(conversation *c)
{
    c->turns.len = c->n = 0;
    if (!c->keep_time) c->now = local_now();
}

void conversation_json(const conversation *c, buf *out)
{
    buf_add(out, "[", 1);
    if (c->system.len) add_message(out, "system", c->system.p, c->system.len);
    if (c->system.len && c->turns.len) buf_add(out, ",\n", 2);
    buf_add(out, c->turns.p, c->turns.len);
    buf_add(out, "]\n", 2);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What stands between the brackets of the array becomes the turns. */
int conversation_set(conversation *c, const char *where, const char *json, size_t len)
{
    json_error e;
    size_t at = 0, end = len;
    c->turns.len = c->n = 0;
    if (!json_check(json, len, &e)) return cli_fail(CLI_FAILED, "%s: %s", where, e.msg);
    while (at < end && is_space(json[at])) at++;
    while (end > at && is_space(json[end - 1])) end--;
    if (end - at < 2 || json[at] != '[')
        return cli_fail(CLI_FAILED, "%s: want a JSON array of messages, [{\"role\":\"user\",\"content\":\"...\"}]",
                        where);
    for (at++, end--; at < end && is_space(json[at]);) at++;
    buf_add(&c->turns, json + at, end - at);
    return CLI_OK;
}

static int read_messages(const char *path, conversation *c)
{
    buf file = {0};
    int rc = input_read_file(path, &file);
    if (!rc) rc = conversation_set(c, path, file.len ? file.p : "", file.len);
    buf_free(&file);
    return rc;
}

/* An option's value that is JSON itself, or the name of a file with it. */
static int read_json(const char *option, const char *value, char first, buf *out)
{
    size_t n = strlen(value), at = encoding_mark(value, n);
    size_t text = at + strspn(value + at, " \t\r\n");
    if (value[text] != first && strcmp(value, "-") != 0 && access(value, F_OK) != 0)
        return cli_fail(CLI_FAILED, "%s %s: neither JSON that begins with '%c' nor a file", option, value, first);
    if (value[text] != first) return input_read_file(value, out);
    buf_add(out, value + at, n - at);
    return CLI_OK;
}

static int read_system(const conversation_opts *o, buf *out)
{
    char why[160];
    if (o->system && o->system_file) return cli_fail(CLI_USAGE, "give --system or --system-file, not both");
    if (o->system) {
        size_t n = strlen(o->system), mark = encoding_mark(o->system, n);
        buf_add(out, o->system + mark, n - mark);
    }
    int rc = o->system_file ? input_read_file(o->system_file, out) : CLI_OK;
    if (!rc && o->system_file && out->len && out->p[out->len - 1] == '\n') /* of the editor, not of the message */
        out->len -= out->len > 1 && out->p[out->len - 2] == '\r' ? 2 : 1;
    if (!rc && conversation_refuses(o->system ? "--system" : o->system_file, out->p, out->len, why, sizeof why))
        return cli_fail(CLI_FAILED, "%s", why);
    return rc;
}

#define YEAR_10000 UINT64_C(253402300800) /* seconds since 1970 */

int conversation_open(conversation *c, const conversation_opts *o)
{
    if (o->now >= YEAR_10000)
        return cli_fail(CLI_USAGE, "--now %llu: that is after the year 9999", (unsigned long long)o->now);
    c->keep_time = o->now_given;
    c->now = o->now_given ? (int64_t)o->now : local_now();
    c->no_generation_prompt = o->no_generation_prompt != 0;
    int rc = read_system(o, &c->system);
    if (!rc && o->messages) rc = read_messages(o->messages, c);
    if (!rc && o->template && strcmp(o->template, "chatml") == 0)
        buf_add(&c->template, "chatml", 7);
    else if (!rc && o->template)
        rc = input_read_string(o->template, &c->template);
    if (!rc && o->tools) rc = read_json("--tools", o->tools, '[', &c->tools);
    if (!rc && o->documents) rc = read_json("--documents", o->documents, '[', &c->documents);
    if (!rc && o->variables) rc = read_json("--variables", o->variables, '{', &c->variables);
    return rc;
}

bool conversation_asked(const conversation_opts *o)
{
    return o->messages || o->system || o->system_file || o->template || o->tools || o->documents || o->variables ||
           o->no_generation_prompt || o->now_given;
}

void conversation_warn(const conversation *c, const strata_model *m, const char *path)
{
    const char *source = NULL;
    size_t len = 0;
    if (c->template.len || strata_chat_template(m, NULL, &source, &len, NULL) || source) return;
    cli_warn("%s has no chat template: messages are written as ChatML (--template FILE names another)", path);
}

void conversation_close(conversation *c)
{
    buf_free(&c->system);
    buf_free(&c->turns);
    buf_free(&c->template);
    buf_free(&c->tools);
    buf_free(&c->documents);
    buf_free(&c->variables);
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
                          .documents = {c->documents.p, c->documents.len},
                          .variables = {c->variables.p, c->variables.len},
                          .no_generation_prompt = c->no_generation_prompt,
                          .now = c->now};
    int rc = strata_chat_encode(m, NULL, 0, &o, ids->p, ids->cap, &ids->n, err);
    if ((!rc || rc == STRATA_TOO_LONG) && ids->n > ids->cap) { /* again with room enough, also for some turns more */
        ids->p = must_grow(ids->p, &ids->cap, ids->n + 1024, sizeof *ids->p);
        rc = strata_chat_encode(m, NULL, 0, &o, ids->p, ids->cap, &ids->n, err);
    }
    buf_free(&json);
    if (rc && err) cli_words(err);
    return rc;
}
