/* schema_ref.c: what a $ref names: "#", "#/a/b" (RFC 6901), "#anchor", and schemas of the document by their $id. */
#include "base/str.h"
#include "grammar/schema/schema_rules.h"

#define MAX_URI 1024

static uint32_t ref_id_of(const st_schema *s, uint32_t node)
{
    uint32_t k = st_schema_get(s, node, "$id");
    if (k == ST_S_NONE) k = st_schema_get(s, node, "id"); /* draft 4 */
    return k != ST_S_NONE && st_schema_node(s, k)->type == ST_J_STRING ? k : ST_S_NONE;
}

static st_str ref_text_of(const st_schema *s, uint32_t node)
{
    const st_json_node *n = st_schema_node(s, node);
    return (st_str){n->len ? s->json.pool.p + n->str : "", n->len};
}

int st_schema_resources(st_schema *s)
{
    size_t n = s->json.n_nodes;
    s->resource = st_calloc(s->json.mem, n, sizeof *s->resource);
    if (!s->resource) return st_schema_no_memory(s);
    s->n_resource = n;
    for (uint32_t i = 0; i < n; i++) /* parents come first */
        for (uint32_t c = st_schema_node(s, i)->first; c != ST_S_NONE; c = st_schema_node(s, c)->next) {
            uint32_t id = st_schema_node(s, c)->type == ST_J_OBJECT ? ref_id_of(s, c) : ST_S_NONE;
            bool own = id != ST_S_NONE && st_schema_node(s, id)->len && *ref_text_of(s, id).ptr != '#';
            s->resource[c] = own ? c : s->resource[i];
        }
    return STRATA_OK;
}

/* ---- addresses --------------------------------------------------------------------------------------------------- */

static size_t ref_without_fragment(st_str t)
{
    const char *hash = t.len ? memchr(t.ptr, '#', t.len) : NULL;
    return hash ? (size_t)(hash - t.ptr) : t.len;
}

static size_t ref_scheme_len(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && ((p[i] | 32) >= 'a' && (p[i] | 32) <= 'z')) i++;
    return i > 1 && i < n && p[i] == ':' ? i + 1 : 0;
}

/* The address of `ref` (without fragment) as seen from `base` (RFC 3986, but for dot segments). More than MAX_URI: it
 * is too long, and equal to nothing. */
static size_t ref_absolute(const char *base, size_t n_base, const char *ref, size_t n, char out[MAX_URI])
{
    size_t keep = 0, scheme = ref_scheme_len(base, n_base);
    if (!ref_scheme_len(ref, n)) {
        size_t host = scheme;
        if (n_base - scheme >= 2 && memcmp(base + scheme, "//", 2) == 0)
            for (host = scheme + 2; host < n_base && base[host] != '/';) host++;
        if (n && *ref == '/')
            keep = host;
        else
            for (keep = n_base; n && keep > host && base[keep - 1] != '/';) keep--;
    }
    if (keep > MAX_URI || n > MAX_URI - keep) return MAX_URI + 1;
    memcpy(out, base, keep);
    memcpy(out + keep, ref, n);
    return keep + n;
}

/* The address of a schema with $id, as far as the document's own $id tells it. */
static size_t ref_address_of(const st_schema *s, uint32_t node, char out[MAX_URI])
{
    uint32_t root = ref_id_of(s, 0), own = ref_id_of(s, node);
    st_str base = root == ST_S_NONE ? (st_str){"", 0} : ref_text_of(s, root);
    st_str t = own == ST_S_NONE ? (st_str){"", 0} : ref_text_of(s, own);
    return ref_absolute(base.ptr, ref_without_fragment(base), t.ptr, ref_without_fragment(t), out);
}

/* The schema of the document with the address; ST_S_NONE: there is none. */
static int ref_find_resource(st_schema *s, uint32_t ref, st_str text, uint32_t *out)
{
    char base[MAX_URI], want[MAX_URI], have[MAX_URI];
    size_t n_base = ref_address_of(s, s->resource[ref], base);
    size_t n = n_base > MAX_URI ? n_base : ref_absolute(base, n_base, text.ptr, text.len, want);
    *out = ST_S_NONE;
    for (uint32_t i = 0; i < s->n_resource && *out == ST_S_NONE && n <= MAX_URI; i++) {
        if (i % 64 == 0) ST_TRY(st_schema_step(s, ref));
        if ((i && s->resource[i] != i) || ref_id_of(s, i) == ST_S_NONE) continue;
        size_t m = ref_address_of(s, i, have);
        if (m == n && memcmp(have, want, n) == 0) *out = i;
    }
    return STRATA_OK;
}

/* ---- fragments --------------------------------------------------------------------------------------------------- */

static int ref_hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* %25 -> %. */
static void ref_unescape(st_str t, st_sbuf *out)
{
    for (size_t i = 0; i < t.len; i++) {
        char c = t.ptr[i];
        if (c == '%' && t.len - i > 2 && ref_hex_digit(t.ptr[i + 1]) >= 0 && ref_hex_digit(t.ptr[i + 2]) >= 0) {
            c = (char)(ref_hex_digit(t.ptr[i + 1]) * 16 + ref_hex_digit(t.ptr[i + 2]));
            i += 2;
        }
        st_sbuf_put(out, &c, 1);
    }
}

static uint32_t ref_item_at(const st_schema *s, uint32_t list, const char *p, size_t n)
{
    uint32_t index = 0;
    if (n == 0 || n > 6 || (n > 1 && *p == '0')) return ST_S_NONE;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') return ST_S_NONE;
        index = index * 10 + (uint32_t)(p[i] - '0');
    }
    uint32_t k = st_schema_node(s, list)->first;
    while (k != ST_S_NONE && index-- > 0) k = st_schema_node(s, k)->next;
    return k;
}

/* A pointer without its '#', which begins with '/'. Changes p. */
static uint32_t ref_follow(const st_schema *s, uint32_t at, char *p, size_t n)
{
    for (size_t i = 0; i < n && at != ST_S_NONE;) {
        char *name = p + ++i;
        size_t len = 0;
        for (; i < n && p[i] != '/'; i++) {
            char c = p[i];
            if (c == '~' && i + 1 < n && (p[i + 1] == '0' || p[i + 1] == '1')) c = p[++i] == '0' ? '~' : '/';
            name[len++] = c;
        }
        bool list = st_schema_node(s, at)->type == ST_J_ARRAY;
        at = list ? ref_item_at(s, at, name, len) : st_json_get(&s->json, at, name, len);
    }
    return at;
}

static int ref_find_anchor(st_schema *s, uint32_t ref, uint32_t resource, const char *p, size_t n, uint32_t *out)
{
    static const char *const keys[] = {"$anchor", "$dynamicAnchor", "$id", "id"};
    *out = ST_S_NONE;
    for (uint32_t i = 0; i < s->n_resource; i++) {
        if (i % 64 == 0) ST_TRY(st_schema_step(s, ref));
        if (st_schema_node(s, i)->type != ST_J_OBJECT || s->resource[i] != resource) continue;
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            uint32_t a = st_schema_get(s, i, keys[k]);
            if (a == ST_S_NONE || st_schema_node(s, a)->type != ST_J_STRING) continue;
            st_str t = ref_text_of(s, a);
            if (k >= 2) { /* before 2019: "$id": "#name" */
                if (!t.len || *t.ptr != '#') continue;
                t.ptr++, t.len--;
            }
            if (t.len == n && memcmp(t.ptr, p, n) == 0) return *out = i, STRATA_OK;
        }
    }
    return STRATA_OK;
}

int st_schema_resolve(st_schema *s, uint32_t ref, uint32_t *out)
{
    const st_json_node *r = st_schema_node(s, ref);
    if (r->type != ST_J_STRING) return st_json_error(&s->json, r->at, "$ref, want a string");
    st_str t = ref_text_of(s, ref);
    size_t n = ref_without_fragment(t);
    uint32_t at = s->resource[ref];
    if (n) ST_TRY(ref_find_resource(s, ref, (st_str){t.ptr, n}, &at));
    if (at == ST_S_NONE)
        return st_json_error(&s->json, r->at,
                             "$ref to no schema of this document: references out of the document are not supported");
    st_sbuf name = {.mem = s->json.mem};
    if (n < t.len) ref_unescape((st_str){t.ptr + n + 1, t.len - n - 1}, &name);
    int rc = name.no_memory ? st_schema_no_memory(s) : STRATA_OK;
    if (!rc && name.n && name.p[0] == '/')
        at = ref_follow(s, at, name.p, name.n);
    else if (!rc && name.n)
        rc = ref_find_anchor(s, ref, at, name.p, name.n, &at);
    st_free(s->json.mem, name.p);
    ST_TRY(rc);
    if (at == ST_S_NONE) return st_json_error(&s->json, r->at, "$ref to what is not there");
    *out = at;
    return STRATA_OK;
}
