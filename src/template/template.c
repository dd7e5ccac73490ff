/* template.c: from messages to the variables of a template, and from its output to pieces. See template.h. */
#include "template/template.h"

#include "base/utf8.h"
#include "template/jinja_program.h"

/* The tree lives in the arena of its compilation. */
struct st_template {
    st_mem *mem;
    st_jrun arena;
    const st_jins *program;
};

const char st_template_chatml[] =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

bool st_template_known_role(const char *p, size_t n)
{
    static const char *const roles[] = {"system",      "user",        "assistant", "tool",       "developer",
                                        "function",    "model",       "ipython",   "tool_call",  "tool_response",
                                        "observation", "environment", "documents", "tool_calls", "tool_outputs",
                                        "context",     "critic",      "human",     "gpt"};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strlen(roles[i]) == n && memcmp(roles[i], p, n) == 0) return true;
    return false;
}

/* ---- compilation ---- */

/* All line ends become \n, and one at the very end goes, as Jinja does. */
static char *template_normalise(st_jrun *r, st_str source, size_t *len)
{
    char *out = st_j_alloc(r, source.len, 1);
    size_t n = 0;
    for (size_t i = 0; i < source.len; i++) {
        char c = source.ptr[i];
        if (c == '\r') {
            if (i + 1 < source.len && source.ptr[i + 1] == '\n') i++;
            c = '\n';
        }
        out[n++] = c;
    }
    if (n && out[n - 1] == '\n') n--;
    *len = n;
    return out;
}

static int template_compile(st_template *t, st_str source, strata_error *err)
{
    st_jrun *r = &t->arena;
    r->err = err;
    if (setjmp(r->leave)) return r->status;
    const char *wrong = st_utf8_begin(&source.ptr, &source.len);
    if (wrong) ST_J_FAIL(r, "%s", wrong);
    size_t bad = st_utf8_check(source.ptr, source.len), n;
    if (source.len > ST_TEMPLATE_MAX_SOURCE)
        ST_J_FAIL(r, "%zu bytes, at most %zu are supported", source.len, ST_TEMPLATE_MAX_SOURCE);
    if (bad < source.len) ST_J_FAIL(r, "not UTF-8 at byte %zu", bad);
    char *text = template_normalise(r, source, &n);
    st_jparser *p = st_j_alloc(r, 1, sizeof *p);
    memset(p, 0, sizeof *p);
    p->r = r;
    t->program = st_j_compile(r, st_j_parse(p, text, n));
    return 0;
}

int st_template_open(st_str source, st_mem *mem, st_template **out, strata_error *err)
{
    st_template *t = st_calloc(mem, 1, sizeof *t);
    ST_FAIL_IF(!t, err, STRATA_NO_MEMORY, "chat template: no memory");
    if (!source.ptr) source.ptr = "";
    t->mem = mem;
    t->arena = (st_jrun){.mem = mem, .max_bytes = ST_TEMPLATE_MAX_MEMORY, .steps = ST_TEMPLATE_MAX_STEPS};
    int rc = template_compile(t, source, err);
    if (rc) {
        st_template_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

void st_template_close(st_template *t)
{
    if (!t) return;
    st_j_free_all(&t->arena);
    st_free(t->mem, t);
}

/* ---- rendering ---- */

static void template_set(st_jrun *r, st_jdict *d, const char *key, st_jval v)
{
    st_j_put(r, d, st_j_string(st_j_lit(key)), v);
}

static void template_set_text(st_jrun *r, st_jdict *d, const char *key, st_str s, bool user)
{
    if (!s.ptr) return;
    size_t bad = st_utf8_check(s.ptr, s.len);
    if (bad < s.len) st_j_fail(r, STRATA_INVALID_ARG, "%s: not UTF-8 at byte %zu", key, bad);
    template_set(r, d, key, st_j_string((st_jstr){.p = s.ptr, .n = s.len, .user = user}));
}

static void template_merge(st_jrun *r, st_jdict *d, st_str json, const char *what)
{
    if (!json.ptr) return;
    st_jval v = st_j_json_parse(r, json, what);
    if (v.kind != ST_J_DICT) st_j_fail(r, STRATA_INVALID_ARG, "%s: %s, not an object", what, st_j_kind_name(v));
    for (size_t i = 0; i < v.dict->n; i++) st_j_put(r, d, v.dict->v[i].key, v.dict->v[i].val);
}

static void template_set_list(st_jrun *r, st_jdict *d, const char *key, st_str json)
{
    if (!json.ptr) return;
    st_jval v = st_j_json_parse(r, json, key);
    if (v.kind != ST_J_LIST) st_j_fail(r, STRATA_INVALID_ARG, "%s: %s, not an array", key, st_j_kind_name(v));
    template_set(r, d, key, v);
}

static st_jval template_message_value(st_jrun *r, const st_chat_message *m)
{
    st_jval v = st_j_dict(r, ST_J_DICT);
    if (m->role.ptr) template_set_text(r, v.dict, "role", m->role, !st_template_known_role(m->role.ptr, m->role.len));
    template_set_text(r, v.dict, "content", m->content, true);
    template_set_text(r, v.dict, "name", m->name, true);
    template_set_list(r, v.dict, "tool_calls", m->tool_calls);
    template_merge(r, v.dict, m->extra, "message");
    return v;
}

/* HuggingFace gives a message's reasoning under the names that templates know: "thinking" first in the dict unless it
 * is there, "reasoning_content" last. */
static void template_alias_reasoning(st_jrun *r, const st_jval *messages)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    for (size_t i = 0; st_j_is_list(*messages) && i < messages->list->n; i++) {
        st_jval *m = &messages->list->v[i], *found = NULL;
        if (m->kind != ST_J_DICT) continue;
        for (size_t k = 0; k < 3 && (!found || found->kind == ST_J_NONE); k++)
            found = st_j_find_str(r, m->dict, names[k]);
        if (!found || found->kind == ST_J_NONE) continue;
        st_jval reasoning = *found, with = st_j_dict(r, ST_J_DICT);
        template_set(r, with.dict, "thinking", reasoning);
        for (size_t k = 0; k < m->dict->n; k++) st_j_put(r, with.dict, m->dict->v[k].key, m->dict->v[k].val);
        template_set(r, with.dict, "reasoning_content", reasoning);
        *m = with;
    }
}

/* What apply_chat_template passes: tools and documents are there, and None, when there are none. */
static void template_set_variables(st_jrun *r, st_jdict *d, const st_template_opts *o)
{
    st_jval messages = st_j_list(r, ST_J_LIST, o->n_messages);
    for (size_t i = 0; i < o->n_messages; i++) st_j_push(r, messages.list, template_message_value(r, &o->messages[i]));
    template_set(r, d, "messages", messages);
    template_set_list(r, d, "messages", o->json);
    template_set(r, d, "tools", st_j_none());
    template_set_list(r, d, "tools", o->tools);
    template_set(r, d, "documents", st_j_none());
    template_set_list(r, d, "documents", o->documents);
    template_set(r, d, "add_generation_prompt", st_j_bool(o->add_generation_prompt));
    template_set_text(r, d, "bos_token", o->bos, false);
    template_set_text(r, d, "eos_token", o->eos, false);
    template_merge(r, d, o->variables, "variables");
    template_alias_reasoning(r, st_j_find_str(r, d, "messages"));
}

static void run_template(st_jrun *r, const st_template *t, const st_template_opts *o, st_jbuf *out)
{
    st_jscope *globals = st_j_scope(r, NULL), *scope = st_j_scope(r, globals);
    st_j_add_globals(r, globals);
    template_set_variables(r, &globals->vars, o);
    st_j_buf_init(out, r);
    out->is_output = true;
    st_j_vm_run(r, t->program, scope, out);
}

static int template_emit_pieces(st_jstr s, st_template_emit emit, void *user)
{
    for (size_t from = 0, to; from < s.n; from = to) {
        bool is_user = s.mark ? s.mark[from] : s.user;
        to = s.n;
        if (s.mark)
            for (to = from + 1; to < s.n && s.mark[to] == is_user;) to++;
        ST_TRY(emit(user, s.p + from, to - from, !is_user));
    }
    return 0;
}

/* The frame that setjmp returns to. Its result is in *out, so it has no variable that a longjmp could leave unsure. */
static int template_guarded(st_jrun *r, const st_template *t, const st_template_opts *o, st_jbuf *out)
{
    if (setjmp(r->leave)) return r->status;
    run_template(r, t, o, out);
    return 0;
}

int st_template_render(const st_template *t, const st_template_opts *opts, st_template_emit emit, void *user,
                       strata_error *err)
{
    st_template_opts o = opts ? *opts : (st_template_opts){0};
    st_jbuf out;
    st_jrun r = {.mem = t->mem, .err = err, .now = o.now};
    r.steps = o.max_steps ? o.max_steps : ST_TEMPLATE_MAX_STEPS;
    r.max_bytes = o.max_memory ? o.max_memory : ST_TEMPLATE_MAX_MEMORY;
    r.max_output = o.max_output ? o.max_output : ST_TEMPLATE_MAX_OUTPUT;
    r.max_frames = o.max_depth ? o.max_depth : ST_TEMPLATE_MAX_DEPTH;
    int rc = template_guarded(&r, t, &o, &out);
    if (!rc) rc = template_emit_pieces(st_j_buf_str(&out), emit, user);
    st_j_free_all(&r);
    return rc;
}
