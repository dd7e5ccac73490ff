#!/usr/bin/env python3
"""Writes tests/data/tok/pretokenizers.bin: how the pinned HuggingFace `tokenizers` cuts random strings into pieces.

    python3 -m venv /tmp/venv-tok && /tmp/venv-tok/bin/pip install tokenizers==0.23.3
    /tmp/venv-tok/bin/python tools/gen_pretokenizers.py            # rewrites the file (some seconds)
    /tmp/venv-tok/bin/python tools/gen_pretokenizers.py --check    # fails if the committed file differs
    /tmp/venv-tok/bin/python tools/gen_pretokenizers.py --show gpt-4o 17   # pieces of string 17

SPECS holds the pre-tokenizers as the tokenizer.json files of the models have them (src/token/pretok.c names a model for
each). tests/unit/test_token_pre.c compares; tests/token/diff_hf.py uses SPECS for whole tokenizers.

The file: "STPRE1\\n", then numbers as LEB128 varints: n strings (length, bytes); for each string the FNV-1a of its NFC, 4
bytes; n names (length, bytes), each followed by 4 bytes a string: the FNV-1a of the ends of its pieces in bytes, each as
4 bytes little-endian.
"""
import os
import random
import struct
import sys
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

PINNED = "0.23.3"
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "tok", "pretokenizers.bin")
N_RANDOM = 3000

P = pre_tokenizers


def split(regex):
    return P.Split(Regex(regex), "isolated")


def bytelevel(use_regex=False):
    return P.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=use_regex)


CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
ANY = r"[^\r\n\p{L}\p{N}]?"


def words(digits):
    return CONTRACTIONS + r"|" + ANY + r"\p{L}+|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES


def cased(digits, end):
    return (f"{ANY}{UPPER}*{LOWER}+{end}|{ANY}{UPPER}+{LOWER}*{end}|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES)


DEEPSEEK_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377"
    "\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556"
    "\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15"
    "\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe"
    "\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113"
    "\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184"
    "\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e"
    "\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943")
EAST = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DIGITS = P.Digits(individual_digits=True)
BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+"
DEEPSEEK_V3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
               r"| ?[\p{P}\p{S}]+[\r\n]*|" + SPACES)

# name -> (stages, the normalizer is NFC). One name for each way of splitting.
SPECS = {
    "gpt-2": ([bytelevel(True)], False),
    "gpt-neox": ([bytelevel(True)], True),
    "smollm": ([DIGITS, bytelevel(True)], False),
    "command-r": ([DIGITS, bytelevel(True)], True),
    "llama-bpe": ([split(words(r"\p{N}{1,3}")), bytelevel()], False),
    "minicpm5": ([split(r"\p{N}{1,3}"), split(words(r"\p{N}+")), bytelevel()], False),
    "qwen2": ([split(words(r"\p{N}")), bytelevel()], True),
    "bailingmoe": ([split(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
                          r"|\s+(?!\S)|\s+"), bytelevel()], False),
    "ufakzeka": ([split(words(r"\p{N}")[len(CONTRACTIONS) + 1:]), bytelevel()], False),
    "seed-coder": ([split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|" + SPACES),
                    bytelevel()], False),
    "qwen35": ([split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + SPACES),
                bytelevel()], True),
    "gpt-4o": ([split(cased(r"\p{N}{1,3}", CONTRACTIONS + "?")), bytelevel()], False),
    "tekken": ([split(cased(r"\p{N}", "")), bytelevel()], False),
    "deepseek-v3": ([split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK_V3),
                     bytelevel()], False),
    "deepseek-coder": ([split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(EAST), DIGITS, bytelevel()],
                       False),
    "deepseek-llm": ([split("[\r\n]"), split(r"\s?[" + DEEPSEEK_LETTERS + "]+"),
                      split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split(r"\s+$"), split(EAST),
                      DIGITS, bytelevel()], False),
    "falcon": ([P.Punctuation("contiguous"), bytelevel(True), P.Digits(individual_digits=False),
                split("[0-9][0-9][0-9]")], False),
    "bloom": ([split(BLOOM), bytelevel()], False),
    "viking": ([split(BLOOM), DIGITS, bytelevel()], False),
}


def pre_tokenizer(name):
    return P.Sequence(SPECS[name][0])


def pools():
    """What random strings are put together from."""
    by_class = {}
    for c in range(0x110000):
        if 0xD800 <= c < 0xE000:
            continue
        by_class.setdefault(unicodedata.category(chr(c)), []).append(c)
    fixed = [
        ["'s", "'S", "'\u017f", "'t", "'RE", "'ve", "'Ll", "'d", "'m", "'", "''", "\u2019s", "'l", "'r", "'LL'", "I'm", "x's"],
        ["the", "Hello", "WORLD", "iPhone", "McDonald", "ABCdef", "aB", "caf\u00e9", "Stra\u00dfe", "na\u00efve", "e\u0301te\u0301", "\u01c5a",
         "\u01c5", "\ufb01n", "\u212b", "\u2126", "\u00b5m"],
        ["0", "7", "12", "123", "1234", "123456789", "\u0663\u0664\u0665", "\u00bd", "\u00b2\u00b3", "\u2167", "\u4e09", "x2", "3.14", "1,000", "\U0001d7d8", "\u1369"],
        [" ", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n", "\n ", " \t ", "\u00a0", "\u3000", "\u0085", "\u2028", "\u2009 ", "\x0b", "\x0c", "\x1c",
         "\n  \n"],
        [".", ",", "...", "!?", "(", ")", "[x]", "{}", "<|a|>", "/", "//", "\\", "-", "--", "_", "__x", "$", "+=", "`", "```", "|", "~", "^", "\u2026",
         "\u3002", "\uff0c", "\u3001", "\u0964", "\u06d4", "\u060c", "\uff1f", "\u300c", "\u201cx\u201d", "#", "@me", "&", "%", "=", "\u20ac", "\u00a9", "\u2192"],
        ["\u4f60\u597d", "\u4e2d\u6587abc", "\u3053\u3093\u306b\u3061\u306f", "\u30ab\u30bf\u30ab\u30ca", "\uc548\ub155\ud558\uc138\uc694", "\u1100\u1161\u11a8", "\u0440\u0443\u0441\u0441\u043a\u0438\u0439", "\u043c\u0438\u0440",
         "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e44\u0e17\u0e22", "\u05e2\u05d1\u05e8\u05d9\u05ea", "\u0639\u0631\u0628\u064a", "\u0c24\u0c46\u0c32\u0c41\u0c17\u0c41", "\u10e5\u10d0\u10e0\u10d7", "\u0531\u0562\u0563"],
        ["\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "\U0001f1e9\U0001f1ea", "\u200b", "\ufeff", "\x00", "\x7f", "\u0301", "a\u0323\u0307", "\u0327\u0301",
         "\u0344", "\ufffd", "\u2581", "\u0120", "\u010a", "\U0010ffff", "\ue000", "\u0378"],
    ]
    return by_class, fixed


def strings():
    rnd = random.Random(20261124)
    by_class, fixed = pools()
    classes = sorted(by_class)
    out, seen = [], set()

    def add(s):
        if s and s not in seen:
            seen.add(s)
            out.append(s)

    for a in "aA1 .\n'\u4e2d\u0301":  # all short strings over what the expressions tell apart
        for b in "aA1 .\n'\u4e2d\u0301":
            for c in "aA1 \n.s":
                add(a + b + c)
    while len(out) < N_RANDOM:
        parts = []
        for _ in range(rnd.randint(1, 14)):
            kind = rnd.random()
            if kind < 0.75:
                parts.append(rnd.choice(rnd.choice(fixed)))
            elif kind < 0.9:
                parts.append(chr(rnd.choice(by_class[rnd.choice(classes)])))
            else:
                parts.append(chr(rnd.choice(by_class[rnd.choice(classes)])) * rnd.randint(2, 4))
        add("".join(parts))
    return out


def pieces(pre, s):
    return [p for p, _ in pre.pre_tokenize_str(s)]


def fnv(data):
    h = 0x811C9DC5
    for b in data:
        h = (h ^ b) * 0x01000193 & 0xFFFFFFFF
    return struct.pack("<I", h)


def ends(pre, s):
    """Pieces are in the byte alphabet, a character a byte."""
    at, out = 0, []
    for p in pieces(pre, s):
        at += len(p)
        out.append(at)
    assert at == len(s.encode()), s
    return b"".join(struct.pack("<I", e) for e in out)


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def blob(b):
    return varint(len(b)) + b


def render():
    all_strings = strings()
    nfc = normalizers.NFC()
    out = [b"STPRE1\n", varint(len(all_strings))]
    out += [blob(s.encode()) for s in all_strings]
    out += [fnv(nfc.normalize_str(s).encode()) for s in all_strings]
    out.append(varint(len(SPECS)))
    for name in SPECS:
        pre = pre_tokenizer(name)
        out.append(blob(name.encode()))
        out += [fnv(ends(pre, s)) for s in all_strings]
    return b"".join(out)


def main():
    if tokenizers.__version__ != PINNED:
        sys.exit(f"tokenizers {tokenizers.__version__} is installed, want {PINNED}")
    if "--show" in sys.argv:
        name, index = sys.argv[-2:]
        s = strings()[int(index)]
        print(ascii(s), [bytes(map(unbyte, p)) for p in pieces(pre_tokenizer(name), s)], sep="\n")
        return
    data = render()
    if "--check" in sys.argv:
        with open(OUT, "rb") as f:
            if f.read() != data:
                sys.exit("tests/data/tok/pretokenizers.bin differs from what tokenizers " + PINNED + " says")
        return
    with open(OUT, "wb") as f:
        f.write(data)
    print(len(strings()), "strings,", len(SPECS), "pre-tokenizers,", len(data), "bytes", file=sys.stderr)


def unbyte(c):
    """A character of the byte alphabet -> its byte."""
    table = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in table]
    return ord(c) if ord(c) < 256 else rest[ord(c) - 256]


if __name__ == "__main__":
    main()
