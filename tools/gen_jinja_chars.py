#!/usr/bin/env python3
"""Writes src/template/jinja_chars.c: what Python's str knows of characters, for chat templates.

Templates are Python's to define: `upper`, `title`, `isdigit` and the quotes of repr() follow the Unicode of the Python that
renders them. The tokenizers' tables (unicode_tables.c) follow other versions. Unicode 14 is that of Python 3.11.

    python3.11 tools/gen_jinja_chars.py > src/template/jinja_chars.c
"""
import sys
import unicodedata

assert unicodedata.unidata_version == "14.0.0", unicodedata.unidata_version
SHIFT = 7
ALPHA, DECIMAL, DIGIT, NUMERIC, UPPER, LOWER, TITLE, IGNORED, PRINTABLE, CASED, XID_START, XID_CONTINUE = (1 << i for i in range(12))


def cased(c):
    return c.islower() or c.isupper() or c.istitle()


pool, pool_at = [], {}


def entry(cp):
    c = chr(cp)
    if 0xD800 <= cp < 0xE000:
        return (0, 0, 0, 0, 0)
    flags = (ALPHA * c.isalpha() | DECIMAL * c.isdecimal() | DIGIT * c.isdigit() | NUMERIC * c.isnumeric() | UPPER * c.isupper()
             | LOWER * c.islower() | TITLE * (unicodedata.category(c) == "Lt") | PRINTABLE * c.isprintable() | CASED * cased(c)
             | XID_START * (c.isidentifier() and c != "_") | XID_CONTINUE * ("a" + c).isidentifier())
    if not cased(c) and ("AΣ" + c + "B").lower()[1] == "σ":
        flags |= IGNORED
    cases = []
    for text in (c.lower(), c.upper(), c.title(), c.casefold()):
        if len(text) == 1:
            cases.append(ord(text) - cp)
        else:
            key = tuple(map(ord, text))
            if key not in pool_at:
                pool_at[key] = len(pool)
                pool.extend((len(key),) + key)
            cases.append((1 << 24) + pool_at[key])
    return (flags, *cases)


def table(name, kind, values, per=20):
    lines = [f"static const {kind} {name}[] = {{"]
    for i in range(0, len(values), per):
        lines.append("    " + ", ".join(map(str, values[i:i + per])) + ",")
    return "\n".join(lines + ["};"])


def main():
    kinds, kind_at, seq = [], {}, []
    for cp in range(0x110000):
        e = entry(cp)
        if e not in kind_at:
            kind_at[e] = len(kinds)
            kinds.append(e)
        seq.append(kind_at[e])
    blocks, block_at, first = [], {}, []
    for i in range(0, len(seq), 1 << SHIFT):
        b = tuple(seq[i:i + (1 << SHIFT)])
        if b not in block_at:
            block_at[b] = len(block_at)
            blocks.extend(b)
        first.append(block_at[b])
    assert len(block_at) < 65536 and len(kinds) < 65536
    print("/* jinja_chars.c: made by tools/gen_jinja_chars.py from Python 3.11 (Unicode 14). See jinja.h. */")
    print("/* clang-format off */")
    print('#include "template/jinja.h"\n')
    print(f"enum {{ SHIFT = {SHIFT}, POOLED = 1 << 24 }};\n")
    print("/* Properties; distances to the lower, upper, title and folded form, or places in the pool. */")
    print("static const int32_t kinds[][5] = {")
    for k in kinds:
        print("    {" + ", ".join(map(str, k)) + "},")
    print("};")
    print(table("pool", "uint32_t", pool))
    print(table("first", "uint16_t" if max(first) > 255 else "uint8_t", first, 32))
    print(table("second", "uint16_t" if len(kinds) > 256 else "uint8_t", blocks, 32))
    print("""
static const int32_t *kind_of(uint32_t cp)
{
    if (cp > 0x10ffff) cp = 0xd800; /* nothing */
    return kinds[second[(uint32_t)first[cp >> SHIFT] << SHIFT | (cp & ((1u << SHIFT) - 1))]];
}

uint32_t st_j_char_props(uint32_t cp)
{
    return (uint32_t)kind_of(cp)[0];
}

unsigned st_j_char_case(uint32_t cp, int which, uint32_t out[3])
{
    int32_t v = kind_of(cp)[1 + which];
    if (v < POOLED) {
        out[0] = (uint32_t)((int32_t)cp + v);
        return 1;
    }
    const uint32_t *p = pool + (v - POOLED);
    for (uint32_t i = 0; i < p[0] && i < 3; i++) out[i] = p[1 + i];
    return p[0];
}
/* clang-format on */""")


if __name__ == "__main__":
    sys.exit(main())
