#!/usr/bin/env python3
"""Writes src/token/unicode_tables.c by asking the pinned HuggingFace `tokenizers` package about every code point.

HF mixes several Unicode versions (its regex engine, its normalisers and its BERT code each bring their own), so no
single Unicode database reproduces its token ids: the package itself is the oracle.

    python3 -m venv /tmp/venv-tok && /tmp/venv-tok/bin/pip install tokenizers==0.23.3
    /tmp/venv-tok/bin/python tools/gen_unicode.py            # rewrites the table (about a minute)
    /tmp/venv-tok/bin/python tools/gen_unicode.py --check    # fails if the committed table has drifted

A further property is one line in CLASSES (or in `flags` below) and one enum value in src/token/unicode_tables.h.
"""
import os
import sys
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

PINNED = "0.23.3"
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src", "token", "unicode_tables.c")

# Bits of a property word; the same order as the enum in unicode_tables.h. Bits 24..31: canonical combining class.
BITS = ["L", "N", "M", "S", "P", "LU", "LL", "LT", "LM", "LO", "HAN", "SPACE", "NUMERIC", "DIGIT", "WORD", "BERT_REMOVE",
        "BERT_SPACE", "BERT_PUNCT", "BERT_CJK", "BERT_MN", "LOWER", "NFD", "NFC"]
BIT = {name: 1 << i for i, name in enumerate(BITS)}
# Oniguruma classes, as HF's pre-tokenizers see them.
CLASSES = {"L": r"\p{L}", "N": r"\p{N}", "M": r"\p{M}", "S": r"\p{S}", "P": r"\p{P}", "LU": r"\p{Lu}", "LL": r"\p{Ll}",
           "LT": r"\p{Lt}", "LM": r"\p{Lm}", "LO": r"\p{Lo}", "HAN": r"\p{Han}", "SPACE": r"\s", "DIGIT": r"\d",
           "WORD": r"\w"}
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xAC00 + 11172)
CHUNK = 2048


def chunks():
    for i in range(0, len(SCALARS), CHUNK):
        yield SCALARS[i:i + CHUNK]


def regex_class(pattern):
    """Code points that the pattern matches: what 'removed' leaves out."""
    split, found = pre_tokenizers.Split(Regex(pattern), "removed"), set()
    for cps in chunks():
        kept = [False] * len(cps)
        for _, (a, b) in split.pre_tokenize_str("".join(map(chr, cps))):
            kept[a:b] = [True] * (b - a)
        found.update(c for c, k in zip(cps, kept) if not k)
    return found


def between_letters(pre):
    """(isolated, removed) by a pre-tokenizer, each code point standing after an 'a'."""
    isolated, removed = set(), set()
    for cps in chunks():
        seen = [0] * (2 * len(cps))
        for _, (a, b) in pre.pre_tokenize_str("".join("a" + chr(c) for c in cps)):
            for k in range(a, b):
                seen[k] = b - a
        for i, c in enumerate(cps):
            if seen[2 * i + 1] == 0:
                removed.add(c)
            elif seen[2 * i + 1] == 1:
                isolated.add(c)
    return isolated, removed


def combining_classes(nfd):
    """ccc by sorting against one mark of every class. HF's table is older than Python's: only marks that it moves count."""
    low, high = "\u0334", "\u0345"  # classes 1 and 240, the lowest and the highest
    moved = [c for c in SCALARS if nfd(chr(c)) == chr(c) and
             (nfd("a" + chr(c) + low) != "a" + chr(c) + low or nfd("a" + high + chr(c)) != "a" + high + chr(c))]
    refs, out = {}, {}
    for c in moved:
        refs.setdefault(unicodedata.combining(chr(c)), chr(c))
    refs.pop(0, None)
    for c in moved:
        s = chr(c)
        out[c] = max(v for v, r in refs.items() if nfd("a" + r + s) == "a" + r + s)  # classes <= ccc
        assert nfd("a" + s + refs[out[c]]) == "a" + s + refs[out[c]], hex(c)
    return out


def probe():
    flags = dict.fromkeys(SCALARS, 0)

    def mark(name, cps):
        for c in cps:
            flags[c] |= BIT[name]

    for name, pattern in CLASSES.items():
        mark(name, regex_class(pattern))
    mark("NUMERIC", between_letters(pre_tokenizers.Digits(individual_digits=True))[0])  # Rust's char::is_numeric
    punct, space = between_letters(pre_tokenizers.BertPreTokenizer())
    mark("BERT_PUNCT", punct)
    assert space == {c for c in SCALARS if flags[c] & BIT["SPACE"]}

    def bert(**on):
        opts = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
        return normalizers.BertNormalizer(**{**opts, **on}).normalize_str

    clean, cjk, strip = bert(clean_text=True), bert(handle_chinese_chars=True), bert(strip_accents=True)
    lower_str, nfd_str, nfc_str = (n().normalize_str for n in (normalizers.Lowercase, normalizers.NFD, normalizers.NFC))
    lower, nfd, pairs = {}, {}, {}
    for c in SCALARS:
        s = chr(c)
        t = "a" + s + "b"
        got = clean(t)
        if got == "ab":
            flags[c] |= BIT["BERT_REMOVE"]
        elif got == "a b" and s != " " or s == " ":
            flags[c] |= BIT["BERT_SPACE"]
        else:
            assert got == t
        if cjk(t) == f"a {s} b":
            flags[c] |= BIT["BERT_CJK"]
        low = lower_str(s)
        if low != s:
            lower[c] = [ord(x) for x in low]
        d = nfd_str(s)
        if d != s:
            nfd[c] = [ord(x) for x in d]
        elif strip(t) == "ab":
            flags[c] |= BIT["BERT_MN"]
    for c, seq in nfd.items():
        if c in HANGUL or nfc_str("".join(map(chr, seq))) != chr(c):
            continue
        first = nfc_str("".join(map(chr, seq[:-1])))
        assert len(first) == 1, hex(c)
        pairs[(ord(first), seq[-1])] = c
    mark("LOWER", lower)
    mark("NFD", nfd)
    ccc = combining_classes(nfd_str)
    # NFC may change or join with what stands before: anything that is not NFC alone, combines, or is a pair's second half.
    mark("NFC", [c for c in SCALARS if nfc_str(chr(c)) != chr(c)] + list(ccc) + [b for _, b in pairs] +
         list(range(0x1161, 0x1176)) + list(range(0x11A8, 0x11C3)))
    words = {c: flags[c] | ccc.get(c, 0) << 24 for c in SCALARS}
    self_check(words, lower, nfd, bert(clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True))
    nfd = {c: s for c, s in nfd.items() if c not in HANGUL}  # computed: Unicode 3.12
    return words, lower, nfd, pairs


def self_check(words, lower, nfd, uncased):
    """The chain that wordpiece.c runs, over every scalar, against HF's whole normaliser."""
    for c in SCALARS:
        w = words[c]
        if w & BIT["BERT_REMOVE"]:
            want = ""
        elif w & BIT["BERT_SPACE"]:
            want = " "
        else:
            seq = [x for x in nfd.get(c, [c]) if not words[x] & BIT["BERT_MN"]]
            want = "".join(map(chr, [y for x in seq for y in lower.get(x, [x])]))
            if w & BIT["BERT_CJK"]:
                want = f" {want} "
        assert uncased("x" + chr(c) + "x") == "x" + want + "x", hex(c)


def two_stage(values, default):
    """Smallest (shift, stage1, stage2) for a dense table over all code points."""
    dense, best = [values.get(c, default) for c in range(0x110000)], None
    for shift in range(5, 9):
        n, blocks, stage1 = 1 << shift, {}, []
        for i in range(0, 0x110000, n):
            stage1.append(blocks.setdefault(tuple(dense[i:i + n]), len(blocks)))
        size = len(stage1) * (1 if len(blocks) <= 256 else 2) + len(blocks) * n * (1 if max(dense) < 256 else 2)
        if best is None or size < best[0]:
            best = (size, shift, stage1, [v for b in blocks for v in b])
    return best[1:]


def emit_array(out, ctype, name, values):
    out.append(f"const {ctype} {name}[{len(values)}] = {{")
    line = "   "
    for v in values:
        item = f" {v if v < 1000 else hex(v)},"
        if len(line) + len(item) > 120:
            out.append(line)
            line = "   "
        line += item
    out += [line, "};", ""]


def emit_map(out, name, mapping):
    """code point -> index into a pool of sequences, each led by its length; index 0: no mapping."""
    pool, index, where = [0], {}, {}
    for c, seq in sorted(mapping.items()):
        key = tuple(seq)
        if key not in where:
            where[key] = len(pool)
            pool += [len(seq), *seq]
        index[c] = where[key]
    assert len(pool) < 65536
    shift, s1, s2 = two_stage(index, 0)
    emit_stages(out, name, s1, s2)
    emit_array(out, "uint32_t", f"st_uc_{name}_pool", pool)
    return shift


def emit_stages(out, name, s1, s2):
    small = lambda v: "uint8_t" if max(v) < 256 else "uint16_t"
    for stage, v in ((1, s1), (2, s2)):
        SIZES.append((f"{name}{stage}", small(v), len(v)))
        emit_array(out, small(v), f"st_uc_{name}{stage}", v)


SIZES = []


def render():
    words, lower, nfd, pairs = probe()
    out = ["/* unicode_tables.c: GENERATED by tools/gen_unicode.py from HuggingFace tokenizers " + PINNED + ". Do not edit.",
           " *",
           " * Properties, lower case, canonical decomposition and composition of every code point. See unicode_tables.h. */",
           '#include "token/unicode_tables.h"', "", "// clang-format off", ""]
    kinds = {}
    ids = {c: kinds.setdefault(words[c], len(kinds)) for c in SCALARS}
    assert len(kinds) <= 256
    surrogate = kinds.setdefault(0, len(kinds))
    shift, s1, s2 = two_stage(ids, surrogate)
    shifts = {"PROP": shift}
    emit_stages(out, "prop", s1, s2)
    emit_array(out, "uint32_t", "st_uc_kinds", list(kinds))
    emit_array(out, "uint32_t", "st_uc_ascii", [words[c] for c in range(128)])
    shifts["LOWER"] = emit_map(out, "lower", lower)
    shifts["NFD"] = emit_map(out, "nfd", nfd)
    keys = sorted(pairs)
    out.append(f"const uint32_t st_uc_pairs[{len(keys)}][3] = {{")
    out += [f"    {{{a:#x}, {b:#x}, {pairs[(a, b)]:#x}}}," for a, b in keys]
    out += ["};", ""]
    head = ["_Static_assert(ST_UC_%s_SHIFT == %d, \"unicode_tables.h is of another table\");" % kv for kv in shifts.items()]
    head += ["_Static_assert(ST_UC_N_PAIRS == %d, \"unicode_tables.h is of another table\");" % len(keys), ""]
    out[6:6] = [""] + head[:-1]
    print("shifts", shifts, "pairs", len(keys), "kinds", len(kinds), "stages", SIZES, file=sys.stderr)
    return "\n".join(out)


def main():
    if tokenizers.__version__ != PINNED:
        sys.exit(f"tokenizers {tokenizers.__version__} is installed, want {PINNED}")
    text = render()
    if "--check" in sys.argv:
        with open(OUT, encoding="utf-8") as f:
            if f.read() != text:
                sys.exit("src/token/unicode_tables.c differs from what tokenizers " + PINNED + " says")
        return
    with open(OUT, "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
