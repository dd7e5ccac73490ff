#!/usr/bin/env python3
"""Turns a tokenizer golden (`<name>.jsonl.gz`, fields as in goldens/tok/README.md) into rows that a C test reads.

    make_rows.py IN.jsonl.gz OUT.rows [FUZZ_ROWS] [VOCAB.gguf]

OUT "-": standard output. FUZZ_ROWS: at most so many `a:` rows. VOCAB: rows are left out where sentencepiece, which made
them, does not cut added tokens as HuggingFace does: those with a user-defined token of a vocabulary that puts a space
before a text, or with a token that takes white space (make_hashes.py makes them anew, token/diff_hf.py has many more).

A file is "STROWS1\\n" and then rows; every number is a LEB128 varint.
    id: length, bytes        text: length, bytes
    flags: 1 the text is not UTF-8 (encode with LOSSY), 2 decoded is the text itself
    decoded: length, bytes (not with flag 2)
    ids, ids_special, ids_parse, ids_special_parse: lists
A list is 0, n, ids: spelled out; or 1, a, b: the list before with id a - 1 in front and b - 1 behind (0: none). The list
before is ids for ids_special and ids_parse, and ids_parse for ids_special_parse.
"""
import gzip
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "token"))
import added
import vocab_file


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def blob(b):
    return varint(len(b)) + b


def spelled(ids):
    return varint(0) + varint(len(ids)) + b"".join(map(varint, ids))


def derived(ids, base):
    for front in (0, 1):
        for back in (0, 1):
            if len(ids) == len(base) + front + back and ids[front:front + len(base)] == base:
                return varint(1) + varint(ids[0] + 1 if front else 0) + varint(ids[-1] + 1 if back else 0)
    return spelled(ids)


def row(r):
    text = bytes.fromhex(r["hex"]) if "hex" in r else r["text"].encode("utf-8")
    decoded = r["decoded"].encode("utf-8")
    flags = (1 if "policy" in r else 0) | (2 if decoded == text else 0)
    ids, parse = r["ids"], r.get("ids_parse", r["ids"])
    out = blob(r["id"].encode()) + blob(text) + varint(flags)
    if not flags & 2:
        out += blob(decoded)
    out += spelled(ids) + derived(r["ids_special"], ids)
    return out + derived(parse, ids) + derived(r.get("ids_special_parse", r["ids_special"]), parse)


def main():
    source, target = sys.argv[1:3]
    limit = next((int(a) for a in sys.argv[3:] if a.isdecimal()), None)
    vocab = next((a for a in sys.argv[3:] if a.endswith(".gguf")), None)
    kv = vocab_file.read(vocab) if vocab else None
    other = []
    if kv and added.cuts_user(kv):
        other = [*added.of_types(kv, (4,)), *added.known_flags(kv)]
    out, fuzz, left_out = [b"STROWS1\n"], 0, 0
    with gzip.open(source, "rt", encoding="utf-8") as f:
        for line in f:
            r = json.loads(line)
            if r["id"].startswith("a:"):
                fuzz += 1
                if limit is not None and fuzz > limit:
                    continue
            if any(s in r.get("text", "") for s in other):
                left_out += 1
                continue
            out.append(row(r))
    if left_out:
        print(f"{left_out} rows with added tokens that sentencepiece cuts otherwise are left out", file=sys.stderr)
    if target == "-":
        sys.stdout.buffer.write(b"".join(out))
    else:
        with open(target, "wb") as f:
            f.write(b"".join(out))


if __name__ == "__main__":
    main()
