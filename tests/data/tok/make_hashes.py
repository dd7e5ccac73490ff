#!/usr/bin/env python3
"""Packs goldens of many vocabularies over the same texts: each text once, of each result only a hash.

    make_hashes.py GOLDENS_FOLDER OUT.hashes FUZZ_ROWS NAME...     # needs sentencepiece

The file: "STHASH1\\n", then numbers as LEB128 varints: n rows (id: length, bytes; text: length, bytes; 1 if the text is
not UTF-8, else 0); n names (length, bytes), each followed by n times 5 FNV-1a of 4 bytes: ids, ids_special, ids_parse,
ids_special_parse (each id as 4 bytes little-endian), decoded. Which row differs is seen from it; what should have come,
from the golden itself (test_token_golden.c runs these too, where they are at hand).

Goldens of vocabularies that put a space before a text are sentencepiece's, which looks for user-defined tokens in the
normalised text and does not know lstrip. Their rows are made anew, as recut says.
"""
import gzip
import json
import os
import struct
import sys

from make_rows import blob, varint

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "token"))
import added
import vocab_file


def fnv(data):
    h = 0x811C9DC5
    for b in data:
        h = (h ^ b) * 0x01000193 & 0xFFFFFFFF
    return struct.pack("<I", h)


def results(r):
    parse = r.get("ids_parse", r["ids"])
    lists = r["ids"], r["ids_special"], parse, r.get("ids_special_parse", r["ids_special"])
    return b"".join(fnv(struct.pack(f"<{len(x)}i", *x)) for x in lists) + fnv(r["decoded"].encode())


def recut(r, kv, sp):
    """The row as HuggingFace cuts it: added tokens out of the raw text, sentencepiece for each part between."""
    flags, user = added.known_flags(kv), added.of_types(kv, (4,))
    k = next(k for k in range(3) if r["ids_special"][k:k + len(r["ids"])] == r["ids"])
    front, back = r["ids_special"][:k], r["ids_special"][k + len(r["ids"]):]
    text = bytes.fromhex(r["hex"]).decode(errors="replace") if "hex" in r else r["text"]
    for key, tokens in ("ids", user), ("ids_parse", added.of_types(kv, (2, 3, 4))):
        ids = []
        for begin, end, i in added.cut(text, tokens, flags):
            ids += sp.encode(text[begin:end]) if i is None else [i]
        if key == "ids" and ids != r["ids"]:
            r["decoded"] = sp.decode(ids)
        r[key], r[key.replace("ids", "ids_special")] = ids, front + ids + back
    return r


def main():
    folder, target, fuzz = sys.argv[1], sys.argv[2], int(sys.argv[3])
    texts, out = {}, []
    for name in sys.argv[4:]:
        rows = {}
        kv = sp = None
        if not name.startswith("bpe3k"):
            import sentencepiece
            kv = vocab_file.read(os.path.join(folder, name + ".gguf"))
            sp = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, name + ".model"))
        with gzip.open(os.path.join(folder, name + ".jsonl.gz"), "rt", encoding="utf-8") as f:
            for line in f:
                r = json.loads(line)
                if r["id"].startswith("a:") and int(r["id"][2:]) >= fuzz:
                    continue
                text = bytes.fromhex(r["hex"]) if "hex" in r else r["text"].encode()
                assert texts.setdefault(r["id"], (text, "policy" in r))[0] == text
                if kv and added.cuts_user(kv):
                    r = recut(r, kv, sp)
                rows[r["id"]] = results(r)
        assert list(rows) == list(texts), name
        out.append(blob(name.encode()) + b"".join(rows.values()))
    head = [b"STHASH1\n", varint(len(texts))]
    head += [blob(i.encode()) + blob(t) + varint(policy) for i, (t, policy) in texts.items()]
    with open(target, "wb") as f:
        f.write(b"".join(head) + varint(len(out)) + b"".join(out))


if __name__ == "__main__":
    main()
