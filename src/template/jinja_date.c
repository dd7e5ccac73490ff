/* jinja_date.c: strftime, in the C locale: English names in every locale of the host, and the same everywhere. Local
 * time is given as seconds since 1970 as if it were UTC, and has no zone. See jinja.h. */
#include <inttypes.h>
#include <stdio.h>

#include "template/jinja.h"

typedef struct date {
    int64_t now, year;
    int month, day, yday, wday, hour, min, sec;
} date;

/* The civil date of a number of seconds since 1970: Howard Hinnant's days algorithm, in years from March. Every int64_t
 * has one. */
static date date_civil(int64_t t)
{
    int64_t days = t / 86400, sec = t % 86400;
    if (sec < 0) sec += 86400, days--;
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    date d = {.now = t, .year = yoe + era * 400 + (mp >= 10), .day = (int)(doy - (153 * mp + 2) / 5 + 1)};
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

static int date_days_of(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 366 : 365;
}

/* ISO 8601's year and week: weeks begin on Monday, and the first has the year's first Thursday. */
static int date_iso_week(const date *d, int64_t *year)
{
    int monday = (d->wday + 6) % 7, week = (d->yday - 1 - monday + 10) / 7;
    *year = d->year;
    if (week < 1) {
        *year = d->year - 1;
        return (d->yday - 1 - monday + 10 + date_days_of(*year)) / 7;
    }
    if (week == 53 && d->yday - 1 - monday + 3 >= date_days_of(d->year)) {
        *year = d->year + 1;
        return 1;
    }
    return week;
}

static int64_t date_floor_mod(int64_t a, int64_t b)
{
    int64_t m = a % b;
    return m < 0 ? m + b : m;
}

/* What a conversion counts, how many digits it has, and what fills them. */
static bool date_number_of(const date *d, char what, int64_t *v, int *digits, char *fill)
{
    int64_t year;
    int week = date_iso_week(d, &year), hour12 = d->hour % 12 ? d->hour % 12 : 12;
    *fill = what == 'e' || what == 'k' || what == 'l' ? ' ' : '0';
    *digits = 2;
    switch (what) {
    case 'Y': *v = d->year, *digits = 1; return true; /* as glibc: no zeros before small years */
    case 'G': *v = year, *digits = 1; return true;
    case 'C': *v = (d->year - date_floor_mod(d->year, 100)) / 100; return true;
    case 'y': *v = date_floor_mod(d->year, 100); return true;
    case 'g': *v = date_floor_mod(year, 100); return true;
    case 'm': *v = d->month; return true;
    case 'd':
    case 'e': *v = d->day; return true;
    case 'H':
    case 'k': *v = d->hour; return true;
    case 'I':
    case 'l': *v = hour12; return true;
    case 'M': *v = d->min; return true;
    case 'S': *v = d->sec; return true;
    case 'j': *v = d->yday, *digits = 3; return true;
    case 'u': *v = d->wday ? d->wday : 7, *digits = 1; return true;
    case 'w': *v = d->wday, *digits = 1; return true;
    case 'U': *v = (d->yday - 1 + 7 - d->wday) / 7; return true;
    case 'W': *v = (d->yday - 1 + 7 - (d->wday + 6) % 7) / 7; return true;
    case 'V': *v = week; return true;
    case 's': *v = d->now, *digits = 1; return true;
    case 'f': *v = 0, *digits = 6; return true; /* the time is of whole seconds */
    default: return false;
    }
}

/* What a conversion stands for as other ones, or as text. */
static const char *date_longer(char what)
{
    switch (what) {
    case 'c': return "%a %b %e %H:%M:%S %Y";
    case 'D':
    case 'x': return "%m/%d/%y";
    case 'F': return "%Y-%m-%d";
    case 'R': return "%H:%M";
    case 'T':
    case 'X': return "%H:%M:%S";
    case 'r': return "%I:%M:%S %p";
    case '+': return NULL;
    default: return NULL;
    }
}

static const char *date_word_of(const date *d, char what)
{
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    switch (what) {
    case 'B':
    case 'b':
    case 'h': return months[d->month - 1];
    case 'A':
    case 'a': return days[d->wday];
    case 'p': return d->hour < 12 ? "AM" : "PM";
    case 'P': return d->hour < 12 ? "am" : "pm";
    case 'n': return "\n";
    case 't': return "\t";
    case '%': return "%";
    case 'z':
    case 'Z': return ""; /* as Python's, for a time without a zone */
    default: return NULL;
    }
}

/* glibc's flags: '-' no filling, '_' blanks, '0' zeros, '^' capitals, '#' the other case; then a width. */
typedef struct conversion {
    char fill; /* 0: its own; '-': none */
    bool capitals, other_case;
    int width;
} conversion;

static void date_put_padded(st_jbuf *b, const char *text, size_t n, int width, char fill)
{
    bool sign = n && text[0] == '-' && fill == '0';
    if (sign) st_j_buf_bytes(b, text, 1, false);
    for (int i = (int)n; i < width; i++) st_j_buf_bytes(b, &fill, 1, false);
    st_j_buf_bytes(b, text + sign, n - sign, false);
}

static void date_put_number(st_jbuf *b, const conversion *c, int64_t v, int digits, char fill)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, v);
    if (c->fill && c->fill != '-') fill = c->fill;
    int width = c->fill == '-' ? 0 : digits;
    date_put_padded(b, text, (size_t)n, c->width > width ? c->width : width, fill);
}

static void date_put_word(st_jbuf *b, const conversion *c, char what, const char *word)
{
    char text[16];
    size_t n = strlen(word);
    if ((what == 'b' || what == 'h' || what == 'a') && n > 3) n = 3;
    for (size_t i = 0; i < n; i++) {
        char k = word[i];
        bool lower = what == 'p' && c->other_case;
        if (lower && k >= 'A' && k <= 'Z') k = (char)(k + 32);
        if (!lower && (c->capitals || c->other_case) && k >= 'a' && k <= 'z') k = (char)(k - 32);
        text[i] = k;
    }
    date_put_padded(b, text, n, c->width, c->fill == '0' ? '0' : ' ');
}

/* The conversion behind the '%' at fmt[at - 1]; what follows it. Depth 1: those that stand for several. */
static size_t date_put_one(st_jbuf *b, const date *d, st_jstr fmt, size_t at, bool inner)
{
    conversion c = {0};
    int64_t v;
    int digits;
    char fill;
    for (; at < fmt.n && strchr("-_0^#", fmt.p[at]) && fmt.p[at]; at++) {
        if (fmt.p[at] == '^')
            c.capitals = true;
        else if (fmt.p[at] == '#')
            c.other_case = true;
        else
            c.fill = fmt.p[at] == '_' ? ' ' : fmt.p[at];
    }
    for (; at < fmt.n && fmt.p[at] >= '0' && fmt.p[at] <= '9'; at++) {
        c.width = c.width * 10 + (fmt.p[at] - '0');
        if (c.width > 1000) ST_J_FAIL(b->r, "strftime_now with a width of more than 1000");
    }
    if (at < fmt.n && (fmt.p[at] == 'E' || fmt.p[at] == 'O')) at++; /* other numerals: not in the C locale */
    char what = at < fmt.n ? fmt.p[at] : 0;
    const char *word = date_word_of(d, what), *more = date_longer(what);
    if (word) {
        date_put_word(b, &c, what, word);
    } else if (date_number_of(d, what, &v, &digits, &fill)) {
        date_put_number(b, &c, v, digits, fill);
    } else if (more && !inner) {
        if (c.width || c.fill || c.capitals || c.other_case) ST_J_FAIL(b->r, "strftime_now with a flag for %%%c", what);
        st_jstr s = st_j_lit(more);
        for (size_t i = 0; i < s.n;)
            if (s.p[i] == '%')
                i = date_put_one(b, d, s, i + 1, true);
            else
                st_j_buf_add(b, st_j_sub(s, i, i + 1)), i++;
    } else {
        ST_J_FAIL(b->r, "strftime_now does not know %%%c", what > 32 && what < 127 ? what : '?');
    }
    return at + 1;
}

st_jstr st_j_strftime(st_jrun *r, st_jstr fmt, int64_t now)
{
    st_jbuf b;
    date d = date_civil(now);
    st_j_buf_init(&b, r);
    for (size_t i = 0; i < fmt.n;) {
        st_j_step(r, 1);
        if (fmt.p[i] == '%' && i + 1 < fmt.n) {
            i = date_put_one(&b, &d, fmt, i + 1, false);
            continue;
        }
        st_j_buf_add(&b, st_j_sub(fmt, i, i + 1));
        i++;
    }
    return st_j_buf_str(&b);
}
