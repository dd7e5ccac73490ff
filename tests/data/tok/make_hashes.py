#!/usr/bin/env python3
"""Packs goldens of many vocabularies over the same texts: each text once, of each result only a hash.

    make_hashes.py GOLDENS_FOLDER OUT.hashes FUZZ_ROWS NAME...

The file: "STHASH1\\n", then numbers as LEB128 varints: n rows (id: length, bytes; text: length, bytes; 1 if the text is
not UTF-8, else 0); n names (length, bytes), each followed by n times 5 FNV-1a of 4 bytes: ids, ids_special, ids_parse,
ids_special_parse (each id as 4 bytes little-endian), decoded. Which row differs is seen from it; what should have come,
from the golden itself (test_token_golden.c runs these too, where they are at hand).
"""
import gzip
import json
import os
import struct
import sys

from make_rows import blob, varint


def fnv(data):
    h = 0x811C9DC5
    for b in data:
        h = (h ^ b) * 0x01000193 & 0xFFFFFFFF
    return struct.pack("<I", h)


def results(r):
    parse = r.get("ids_parse", r["ids"])
    lists = r["ids"], r["ids_special"], parse, r.get("ids_special_parse", r["ids_special"])
    return b"".join(fnv(struct.pack(f"<{len(x)}i", *x)) for x in lists) + fnv(r["decoded"].encode())


def main():
    folder, target, fuzz = sys.argv[1], sys.argv[2], int(sys.argv[3])
    texts, out = {}, []
    for name in sys.argv[4:]:
        rows = {}
        with gzip.open(os.path.join(folder, name + ".jsonl.gz"), "rt", encoding="utf-8") as f:
            for line in f:
                r = json.loads(line)
                if r["id"].startswith("a:") and int(r["id"][2:]) >= fuzz:
                    continue
                text = bytes.fromhex(r["hex"]) if "hex" in r else r["text"].encode()
                assert texts.setdefault(r["id"], (text, "policy" in r))[0] == text
                rows[r["id"]] = results(r)
        assert list(rows) == list(texts), name
        out.append(blob(name.encode()) + b"".join(rows.values()))
    head = [b"STHASH1\n", varint(len(texts))]
    head += [blob(i.encode()) + blob(t) + varint(policy) for i, (t, policy) in texts.items()]
    with open(target, "wb") as f:
        f.write(b"".join(head) + varint(len(out)) + b"".join(out))


if __name__ == "__main__":
    main()
