/* jinja_vm.c: runs instructions. What a template nests (calls, loops, blocks) are frames in the arena; a frame of C is
 * never entered twice, so a rendering takes the same stack however deep it goes. Scopes are Jinja's: the body of a
 * loop, a macro, a block set, with, filter and generation have their own, made anew each time; if has none. See
 * jinja_program.h. */
#include "template/jinja_program.h"

typedef enum frame_kind { F_SCOPE, F_CAPTURE, F_LOOP, F_KEEP, F_MACRO, F_AGAIN } frame_kind;

typedef struct frame {
    frame_kind kind;
    size_t sp;           /* where the stack comes back to */
    st_jscope *scope;    /* what comes back when it ends */
    st_jbuf *out;        /* the same */
    const st_jins *to;   /* MACRO: where a call goes back to; AGAIN: where the loop begins */
    const st_jins *back; /* AGAIN: was called, and goes back there; NULL: was reached */
    st_jloop *loop;      /* LOOP; KEEP: what it goes through */
    st_jlist *kept;
    const st_jnode *node; /* MACRO */
    st_jargs *args;
    size_t param;
    int64_t depth0; /* AGAIN */
} frame;

typedef struct machine {
    st_jrun *r;
    const st_jins *program;
    st_jval *stack;
    size_t sp, stack_cap;
    frame *frames;
    size_t frame_cap;
    st_jscope *scope;
    st_jbuf *out;
} machine;

static const st_jargs no_args;

static void vm_push(machine *m, st_jval v)
{
    if (m->sp == m->stack_cap) m->stack = st_j_grow(m->r, m->stack, &m->stack_cap, m->sp + 1, sizeof v);
    m->stack[m->sp++] = v;
}

static st_jval vm_pop(machine *m)
{
    return m->stack[--m->sp];
}

static frame *vm_enter(machine *m, frame_kind kind)
{
    st_jrun *r = m->r;
    if (r->n_frames >= r->max_frames) ST_J_FAIL(r, "nested more than %u deep", r->max_frames);
    size_t cap = m->frame_cap;
    m->frames = st_j_grow(r, m->frames, &cap, r->n_frames + 1, sizeof *m->frames);
    m->frame_cap = cap;
    frame *f = &m->frames[r->n_frames++];
    *f = (frame){.kind = kind, .sp = m->sp, .scope = m->scope, .out = m->out};
    return f;
}

static frame *vm_top(machine *m)
{
    return &m->frames[m->r->n_frames - 1];
}

/* Ends the frame on top and puts back what it had changed. */
static frame *vm_leave(machine *m)
{
    frame *f = &m->frames[--m->r->n_frames];
    m->sp = f->sp;
    m->scope = f->scope;
    m->out = f->out;
    return f;
}

static void vm_capture(machine *m)
{
    m->out = st_j_alloc(m->r, 1, sizeof *m->out);
    st_j_buf_init(m->out, m->r);
}

static st_jval vm_captured(machine *m)
{
    st_jval v = st_j_string(st_j_buf_str(m->out));
    vm_leave(m);
    return v;
}

/* ---- loops ---- */

/* Takes a value and makes what walks over it. */
static st_jloop *vm_loop_over(machine *m, st_jval v)
{
    st_jloop *l = st_j_alloc(m->r, 1, sizeof *l);
    *l = (st_jloop){.changed = st_j_none(), .at = SIZE_MAX};
    if (v.kind == ST_J_ITER) l->source = v.iter;
    l->items = st_j_iterate(m->r, v);
    if (l->source) l->source->at -= l->items.n;
    return l;
}

/* Goes to the next item; false: there is none. */
static bool vm_step(machine *m, st_jloop *l, const st_jnode *target)
{
    size_t at = l->at + 1;
    st_jiter *i = l->source;
    if (i && !l->counted && i->at != i->items.n - l->items.n + at)
        ST_J_FAIL(m->r, "an iterator that two loops take from at once");
    if (at >= l->items.n) return false;
    l->at = at;
    if (i && i->at < i->items.n - l->items.n + at + 1) i->at++;
    m->scope = st_j_scope(m->r, l->scope);
    st_j_step(m->r, 1);
    st_j_assign(m->r, m->scope, target, l->items.v[at]);
    return true;
}

static void vm_begin_loop(machine *m, const st_jins *ins)
{
    st_jloop *l = vm_loop_over(m, vm_pop(m));
    l->scope = m->scope;
    if (ins->node->sub) {
        frame *f = vm_top(m);
        l->again = f->to;
        l->depth0 = f->depth0;
    }
    vm_enter(m, F_LOOP)->loop = l;
}

static const st_jins *vm_next_item(machine *m, const st_jins *ins)
{
    st_jloop *l = vm_top(m)->loop;
    if (vm_step(m, l, ins->node->a)) {
        st_j_set(m->r, m->scope, st_j_lit("loop"), (st_jval){.kind = ST_J_LOOP, .loop = l});
        return ins + 1;
    }
    vm_leave(m);
    vm_push(m, st_j_bool(l->items.n != 0));
    return m->program + ins->to;
}

static const st_jins *vm_break_loop(machine *m, const st_jins *ins)
{
    while (vm_top(m)->kind != F_LOOP) vm_leave(m);
    vm_leave(m);
    vm_push(m, st_j_bool(true));
    return m->program + ins->to;
}

static const st_jins *vm_keep_next(machine *m, const st_jins *ins)
{
    frame *f = vm_top(m);
    if (vm_step(m, f->loop, ins->node->a)) return ins + 1;
    st_jval v = st_j_list(m->r, ST_J_LIST, 0);
    *v.list = *f->kept;
    vm_leave(m);
    vm_push(m, v);
    return m->program + ins->to;
}

static void vm_keep_begin(machine *m)
{
    st_jloop *l = vm_loop_over(m, vm_pop(m));
    l->scope = m->scope;
    frame *f = vm_enter(m, F_KEEP);
    f->loop = l;
    f->kept = st_j_alloc(m->r, 1, sizeof *f->kept);
    *f->kept = (st_jlist){0};
}

static const st_jins *vm_keep(machine *m, const st_jins *ins)
{
    frame *f = vm_top(m);
    if (st_j_true(m->r, vm_pop(m))) st_j_push(m->r, f->kept, f->loop->items.v[f->loop->at]);
    return m->program + ins->to;
}

/* A recursive loop is reached. */
static void vm_again(machine *m, const st_jins *begin)
{
    st_jval over = vm_pop(m);
    frame *f = vm_enter(m, F_AGAIN);
    f->to = begin;
    vm_push(m, over);
}

static const st_jins *vm_call_loop(machine *m, st_jloop *l, st_jargs *args, const st_jins *back)
{
    if (!l->again) ST_J_FAIL(m->r, "the loop must have the 'recursive' marker to be called recursively");
    if (args->pos.n != 1 || args->kw.n) ST_J_FAIL(m->r, "loop(...) takes one argument");
    frame *f = vm_enter(m, F_AGAIN);
    f->to = l->again;
    f->back = back;
    f->depth0 = l->depth0 + 1;
    m->scope = l->scope;
    vm_capture(m);
    vm_push(m, args->pos.v[0]);
    return l->again;
}

static const st_jins *vm_again_end(machine *m, const st_jins *ins)
{
    const st_jins *back = vm_top(m)->back;
    if (!back) {
        vm_leave(m);
        return ins + 1;
    }
    st_jval v = vm_captured(m);
    vm_push(m, v);
    return back;
}

/* ---- calls ---- */

static void vm_make_macro(machine *m, const st_jins *ins, st_jval *out)
{
    st_jmacro *macro = st_j_alloc(m->r, 1, sizeof *macro);
    *macro = (st_jmacro){ins->node, m->scope, m->program + ins->to};
    *out = (st_jval){.kind = ST_J_MACRO, .macro = macro};
}

static const st_jins *vm_call_macro(machine *m, const st_jmacro *macro, st_jargs *args, const st_jins *back)
{
    frame *f = vm_enter(m, F_MACRO);
    f->to = back;
    f->node = macro->node;
    f->args = args;
    m->scope = st_j_scope(m->r, macro->scope);
    vm_capture(m);
    return macro->entry;
}

static st_jargs *vm_take_args(machine *m, const st_jins *ins)
{
    if (ins->to) return vm_pop(m).args;
    st_jargs *a = st_j_alloc(m->r, 1, sizeof *a);
    *a = no_args;
    return a;
}

static const st_jins *vm_call(machine *m, const st_jins *ins)
{
    st_jargs *args = vm_take_args(m, ins);
    st_jval f = vm_pop(m);
    if (f.kind == ST_J_MACRO) return vm_call_macro(m, f.macro, args, ins + 1);
    if (f.kind == ST_J_LOOP) return vm_call_loop(m, f.loop, args, ins + 1);
    vm_push(m, st_j_call(m->r, f, args));
    return ins + 1;
}

static const st_jins *vm_param(machine *m, const st_jins *ins)
{
    frame *f = vm_top(m);
    const st_jnode *p = ins->node;
    size_t i = f->param++;
    st_jval *kw = i < f->args->pos.n ? NULL : st_j_find(m->r, &f->args->kw, st_j_string(p->name));
    if (i >= f->args->pos.n && !kw && p->a) return ins + 1;
    st_j_set(m->r, m->scope, p->name, i < f->args->pos.n ? f->args->pos.v[i] : kw ? *kw : st_j_undef(p->name));
    return m->program + ins->to;
}

static const st_jins *vm_give_back(machine *m)
{
    const st_jins *to = vm_top(m)->to;
    st_jval v = vm_captured(m);
    vm_push(m, v);
    return to;
}

static void vm_filter(machine *m, const st_jins *ins)
{
    st_jargs *args = vm_take_args(m, ins);
    st_jval v = vm_pop(m);
    vm_push(m, ins->op == ST_I_FILTER ? st_j_filter(m->r, ins->node->name, v, args)
                                      : st_j_bool(st_j_test(m->r, ins->node->name, v, args)));
}

static void vm_add_caller(machine *m, const st_jins *ins)
{
    st_jval macro;
    vm_make_macro(m, ins, &macro);
    st_j_put(m->r, &m->stack[m->sp - 1].args->kw, st_j_string(st_j_lit("caller")), macro);
}

/* ---- values ---- */

static void vm_collect(machine *m, const st_jins *ins)
{
    st_jval v = st_j_list(m->r, ins->op == ST_I_TUPLE ? ST_J_TUPLE : ST_J_LIST, ins->to);
    m->sp -= ins->to;
    for (uint32_t i = 0; i < ins->to; i++) st_j_push(m->r, v.list, m->stack[m->sp + i]);
    vm_push(m, v);
}

static void vm_collect_dict(machine *m, const st_jins *ins)
{
    st_jval v = st_j_dict(m->r, ST_J_DICT);
    m->sp -= (size_t)ins->to * 2;
    for (uint32_t i = 0; i < ins->to; i++) st_j_put(m->r, v.dict, m->stack[m->sp + 2 * i], m->stack[m->sp + 2 * i + 1]);
    vm_push(m, v);
}

static void vm_slice(machine *m)
{
    const st_jval *v = m->stack + (m->sp -= 4);
    vm_push(m, st_j_slice(m->r, v[0], v[1], v[2], v[3]));
}

static const st_jins *vm_compare(machine *m, const st_jins *ins)
{
    st_jval right = vm_pop(m), left = vm_pop(m);
    bool is = st_j_compare(m->r, ins->node->sub, left, right);
    vm_push(m, ins->op == ST_I_CHAIN && is ? right : st_j_bool(is));
    return ins->op == ST_I_CHAIN && !is ? m->program + ins->to : ins + 1;
}

static const st_jins *vm_jump(machine *m, const st_jins *ins)
{
    bool is = st_j_true(m->r, m->stack[m->sp - 1]), wanted = ins->op == ST_I_JUMP_TRUE_KEEP;
    if (is != wanted || ins->op == ST_I_JUMP_FALSE) m->sp--;
    return is == wanted ? m->program + ins->to : ins + 1;
}

static void vm_print(machine *m)
{
    st_j_buf_add(m->out, st_j_str(m->r, vm_pop(m)));
}

static void vm_set(machine *m, const st_jins *ins)
{
    const st_jnode *n = ins->node;
    st_jval v = ins->to ? m->stack[m->sp - ins->to] : vm_pop(m);
    if (n->kind == ST_N_NAME) /* a parameter's default */
        st_j_set(m->r, m->scope, n->name, v);
    else
        st_j_assign(m->r, m->scope, n->a, v);
}

/* A block sees the names of the template, not those of the loops around it, unless it says `scoped`. */
static void vm_enter_scope(machine *m, const st_jins *ins)
{
    st_jscope *parent = m->scope;
    frame *f = vm_enter(m, F_SCOPE);
    f->sp -= ins->to;
    if (ins->node->kind == ST_N_BLOCK && !ins->node->sub)
        while (parent->parent && parent->parent->parent) parent = parent->parent;
    m->scope = st_j_scope(m->r, parent);
}

static void vm_on_values(machine *m, const st_jins *ins)
{
    const st_jnode *n = ins->node;
    st_jrun *r = m->r;
    st_jval v, w;
    switch (ins->op) {
    case ST_I_PUSH: vm_push(m, n->kind == ST_N_CONST ? n->val : st_j_none()); break;
    case ST_I_UNDEF: vm_push(m, st_j_undef(st_j_lit("the else of an if expression"))); break;
    case ST_I_NAME:
        v = st_j_lookup(r, m->scope, n->name);
        if (v.kind == ST_J_UNDEF && st_j_same(n->name, "self"))
            ST_J_FAIL(r, "self, the template's blocks, is not supported");
        vm_push(m, v);
        break;
    case ST_I_CONCAT:
        v = st_j_concat(r, m->stack + m->sp - ins->to, ins->to);
        m->sp -= ins->to;
        vm_push(m, v);
        break;
    case ST_I_ATTR: vm_push(m, st_j_attr(r, vm_pop(m), n->name)); break;
    case ST_I_ITEM:
        v = vm_pop(m);
        vm_push(m, st_j_item(r, vm_pop(m), v));
        break;
    case ST_I_NOT: vm_push(m, st_j_bool(!st_j_true(r, vm_pop(m)))); break;
    case ST_I_SIGN: vm_push(m, st_j_negate(r, vm_pop(m), n->kind == ST_N_NEG)); break;
    case ST_I_BINARY:
        v = vm_pop(m);
        w = vm_pop(m);
        vm_push(m, st_j_binary(r, n->kind, w, v));
        break;
    case ST_I_ARGS:
        v = (st_jval){.kind = ST_J_ARGS, .args = st_j_alloc(r, 1, sizeof *v.args)};
        *v.args = no_args;
        vm_push(m, v);
        break;
    case ST_I_ARG:
        v = vm_pop(m);
        st_j_arg_add(r, m->stack[m->sp - 1].args, n, v);
        break;
    case ST_I_MACRO:
        vm_make_macro(m, ins, &v);
        st_j_set(r, m->scope, n->name, v);
        break;
    default:
        if (ins->op == ST_I_LOADS)
            ST_J_FAIL(r, "%.*s: there are no other templates to load", (int)n->name.n, n->name.p);
        ST_J_FAIL(r, "no %s named '%.*s'", n->kind == ST_N_FILTER ? "filter" : "test",
                  (int)(n->name.n < 60 ? n->name.n : 60), n->name.p);
    }
}

static const st_jins *vm_run_one(machine *m, const st_jins *ins)
{
    switch (ins->op) {
    case ST_I_LIST:
    case ST_I_TUPLE: vm_collect(m, ins); break;
    case ST_I_DICT: vm_collect_dict(m, ins); break;
    case ST_I_SLICE: vm_slice(m); break;
    case ST_I_CALL: return vm_call(m, ins);
    case ST_I_FILTER:
    case ST_I_TEST: vm_filter(m, ins); break;
    case ST_I_COMPARE:
    case ST_I_CHAIN: return vm_compare(m, ins);
    case ST_I_JUMP: return m->program + ins->to;
    case ST_I_JUMP_FALSE:
    case ST_I_JUMP_FALSE_KEEP:
    case ST_I_JUMP_TRUE_KEEP: return vm_jump(m, ins);
    case ST_I_TEXT: st_j_buf_add(m->out, ins->node->val.str); break;
    case ST_I_PRINT: vm_print(m); break;
    case ST_I_SET: vm_set(m, ins); break;
    case ST_I_SCOPE: vm_enter_scope(m, ins); break;
    case ST_I_LEAVE: vm_leave(m); break;
    case ST_I_CAPTURE:
        vm_enter(m, F_CAPTURE);
        m->scope = st_j_scope(m->r, m->scope);
        vm_capture(m);
        break;
    case ST_I_CAPTURED: vm_push(m, vm_captured(m)); break;
    case ST_I_KEEP_BEGIN: vm_keep_begin(m); break;
    case ST_I_KEEP_NEXT: return vm_keep_next(m, ins);
    case ST_I_KEEP: return vm_keep(m, ins);
    case ST_I_AGAIN: vm_again(m, ins + 1); break;
    case ST_I_FOR: vm_begin_loop(m, ins); break;
    case ST_I_NEXT: return vm_next_item(m, ins);
    case ST_I_OTHERWISE: return vm_pop(m).b ? m->program + ins->to : ins + 1;
    case ST_I_AGAIN_END: return vm_again_end(m, ins);
    case ST_I_BREAK: return vm_break_loop(m, ins);
    case ST_I_CONTINUE:
        while (vm_top(m)->kind != F_LOOP) vm_leave(m);
        return m->program + ins->to;
    case ST_I_CALLER: vm_add_caller(m, ins); break;
    case ST_I_PARAM: return vm_param(m, ins);
    case ST_I_PARAMS_DONE: st_j_bind_rest(m->r, m->scope, ins->node, vm_top(m)->args); break;
    case ST_I_RETURN: return vm_give_back(m);
    default: vm_on_values(m, ins);
    }
    return ins + 1;
}

void st_j_vm_run(st_jrun *r, const st_jins *program, st_jscope *s, st_jbuf *out)
{
    machine m = {.r = r, .program = program, .scope = s, .out = out};
    for (const st_jins *ins = program; ins->op != ST_I_END;) {
        r->line = ins->node->line;
        r->col = ins->node->col;
        st_j_step(r, 1);
        ins = vm_run_one(&m, ins);
    }
}
