/* jinja_global.c: the functions a template finds: Jinja's range, dict and namespace, HuggingFace's raise_exception and
 * strftime_now. See jinja.h. */
#include <inttypes.h>
#include <stdio.h>

#include "token/jinja.h"

enum { RANGE, DICT, NAMESPACE, RAISE, STRFTIME, N_GLOBALS };
static const char *const names[N_GLOBALS] = {"range", "dict", "namespace", "raise_exception", "strftime_now"};

#define MAX_RANGE 100000 /* Jinja's sandbox has this limit */

static st_jval range(st_jrun *r, st_jargs *a)
{
    int64_t from = 0, to, step = 1;
    size_t n = a->pos.n;
    if (n < 1 || n > 3) ST_J_FAIL(r, "range takes 1 to 3 arguments");
    to = st_j_need_int(r, a->pos.v[n > 1], "range");
    if (n > 1) from = st_j_need_int(r, a->pos.v[0], "range");
    if (n > 2) step = st_j_need_int(r, a->pos.v[2], "range");
    if (!step) ST_J_FAIL(r, "the step of a range is 0");
    st_jval out = st_j_list(r, ST_J_LIST, 0);
    for (int64_t i = from; step > 0 ? i < to : i > to;) {
        if (out.list->n >= MAX_RANGE) ST_J_FAIL(r, "a range of more than %d items", MAX_RANGE);
        st_j_push(r, out.list, st_j_int(i));
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    return out;
}

void st_j_space_name(st_jrun *r, st_jstr name)
{
    if (name.n && name.p[0] == '_') ST_J_FAIL(r, "a namespace has no attributes that begin with '_'");
}

/* dict(x, a=1) and namespace(x, a=1): a copy of x, which is a dict or a list of pairs, and the keywords. */
static st_jval make_dict(st_jrun *r, st_jargs *a, st_jkind kind)
{
    st_jval d = st_j_dict(r, kind);
    if (a->pos.n > 1) ST_J_FAIL(r, "%s takes one argument and keywords", kind == ST_J_DICT ? "dict" : "namespace");
    if (a->pos.n && a->pos.v[0].kind == ST_J_DICT) {
        const st_jdict *from = a->pos.v[0].dict;
        for (size_t i = 0; i < from->n; i++) st_j_put(r, d.dict, from->v[i].key, from->v[i].val);
    } else if (a->pos.n) {
        st_jlist l = st_j_iterate(r, a->pos.v[0]);
        for (size_t i = 0; i < l.n; i++) {
            st_jlist pair = st_j_iterate(r, l.v[i]);
            if (pair.n != 2) ST_J_FAIL(r, "dict needs pairs");
            st_j_put(r, d.dict, pair.v[0], pair.v[1]);
        }
    }
    for (size_t i = 0; i < a->kw.n; i++) st_j_put(r, d.dict, a->kw.v[i].key, a->kw.v[i].val);
    for (size_t i = 0; kind == ST_J_SPACE && i < d.dict->n; i++)
        if (d.dict->v[i].key.kind == ST_J_STR) st_j_space_name(r, d.dict->v[i].key.str);
    return d;
}

typedef struct date {
    int64_t year;
    int month, day, yday, wday, hour, min, sec;
} date;

/* The civil date of a number of seconds since 1970: Howard Hinnant's days algorithm, in years from March. */
static date civil(int64_t t)
{
    int64_t days = t / 86400 - (t % 86400 < 0), sec = t % 86400 + (t % 86400 < 0 ? 86400 : 0), z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    date d = {.year = yoe + era * 400 + (mp >= 10), .day = (int)(doy - (153 * mp + 2) / 5 + 1)};
    d.month = (int)(mp < 10 ? mp + 3 : mp - 9);
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = d.year % 4 == 0 && (d.year % 100 != 0 || d.year % 400 == 0);
    d.yday = before[d.month - 1] + d.day + (leap && d.month > 2);
    d.wday = (int)(((days + 4) % 7 + 7) % 7);
    d.hour = (int)(sec / 3600);
    d.min = (int)(sec / 60 % 60);
    d.sec = (int)(sec % 60);
    return d;
}

/* One conversion of strftime, in English in every locale; `plain` (%-d) without a leading zero. */
static void put_date(st_jbuf *b, const date *d, char what, bool plain)
{
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    char out[40];
    int hour12 = d->hour % 12 ? d->hour % 12 : 12, two = plain ? 1 : 2, value = 0;
    switch (what) {
    case 'Y': snprintf(out, sizeof out, "%" PRId64, d->year); break;
    case 'B': snprintf(out, sizeof out, "%s", months[d->month - 1]); break;
    case 'b': snprintf(out, sizeof out, "%.3s", months[d->month - 1]); break;
    case 'A': snprintf(out, sizeof out, "%s", days[d->wday]); break;
    case 'a': snprintf(out, sizeof out, "%.3s", days[d->wday]); break;
    case 'p': snprintf(out, sizeof out, "%s", d->hour < 12 ? "AM" : "PM"); break;
    case 'j': snprintf(out, sizeof out, "%0*d", plain ? 1 : 3, d->yday); break;
    case 'F': snprintf(out, sizeof out, "%" PRId64 "-%02d-%02d", d->year, d->month, d->day); break;
    case 'T': snprintf(out, sizeof out, "%02d:%02d:%02d", d->hour, d->min, d->sec); break;
    case '%': snprintf(out, sizeof out, "%%"); break;
    case 'y': value = (int)(d->year % 100); break;
    case 'm': value = d->month; break;
    case 'd': value = d->day; break;
    case 'e': value = d->day; break;
    case 'H': value = d->hour; break;
    case 'I': value = hour12; break;
    case 'M': value = d->min; break;
    case 'S': value = d->sec; break;
    default: ST_J_FAIL(b->r, "strftime_now does not know %%%c", what > 32 && what < 127 ? what : '?');
    }
    if (what == 'e')
        snprintf(out, sizeof out, "%*d", two, value);
    else if (strchr("ymdHIMS", what))
        snprintf(out, sizeof out, "%0*d", two, value);
    st_j_buf_bytes(b, out, strlen(out), false);
}

static st_jval strftime_now(st_jrun *r, st_jargs *a)
{
    st_jbuf b;
    if (a->pos.n != 1 || a->kw.n) ST_J_FAIL(r, "strftime_now takes one argument");
    st_jstr fmt = st_j_need_str(r, a->pos.v[0], "strftime_now");
    date d = civil(r->now);
    st_j_buf_init(&b, r);
    for (size_t i = 0; i < fmt.n; i++) {
        if (fmt.p[i] != '%' || i + 1 >= fmt.n) {
            st_j_buf_add(&b, st_j_sub(fmt, i, i + 1));
            continue;
        }
        bool plain = fmt.p[i + 1] == '-' && i + 2 < fmt.n;
        i += plain ? 2 : 1;
        put_date(&b, &d, fmt.p[i], plain);
    }
    return st_j_string(st_j_buf_str(&b));
}

st_jval st_j_call_global(st_jrun *r, int64_t id, st_jargs *a)
{
    st_jstr what;
    switch (id) {
    case RANGE: return range(r, a);
    case DICT: return make_dict(r, a, ST_J_DICT);
    case NAMESPACE: return make_dict(r, a, ST_J_SPACE);
    case STRFTIME: return strftime_now(r, a);
    default:
        what = a->pos.n ? st_j_str(r, a->pos.v[0]) : st_j_lit("an exception without a message");
        ST_J_FAIL(r, "%.*s", (int)(what.n < 160 ? what.n : 160), what.p);
    }
}

void st_j_add_globals(st_jrun *r, st_jscope *s)
{
    for (int64_t i = 0; i < N_GLOBALS; i++)
        if (i != STRFTIME || r->now != ST_TEMPLATE_NO_TIME)
            st_j_set(r, s, st_j_lit(names[i]), (st_jval){.kind = ST_J_GLOBAL, .i = i});
}
