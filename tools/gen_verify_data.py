#!/usr/bin/env python3
"""src/check/reference_data.c: what `strata verify` compares with, from the goldens in tests/data/embed and tests/data/tiny.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install gguf==0.19.0 numpy==2.4.6
    /tmp/venv/bin/python tools/gen_verify_data.py [FOLDER OF MODELS]    # default ~/.cache/strata-test-models

Vectors are int16, the largest of each 32767: cosines lose less than 1e-8 by it. A model is known by its F32 tensors of one
dimension, norms and biases, which every quantiser leaves alone.
"""
import json
import os
import sys

import numpy as np
from gguf import GGUFReader

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
DATA = os.path.join(ROOT, "tests", "data")
MODELS = sys.argv[1] if len(sys.argv) > 1 else os.path.expanduser("~/.cache/strata-test-models")
# Of the 86 public texts: scripts, code, odd bytes, and lengths up to about 190 tokens.
TEXTS = [0, 2, 3, 5, 6, 8, 9, 10, 12, 14, 15, 16, 18, 20, 24, 38, 52, 59, 68, 74]
# name, goldens, file, vectors, the most common type, smallest and mean cosine at the default precision
REAL = [("all-MiniLM-L6-v2", "all-minilm-l6-v2", "all-minilm-l6-v2-f32", "all-minilm-l6-v2.public", "F32", 0.99999, 0.99999),
        ("all-MiniLM-L6-v2", "all-minilm-l6-v2", "all-minilm-l6-v2-q8_0", "all-minilm-l6-v2-q8_0.public", "Q8_0", 0.9993, 0.9998),
        ("EmbeddingGemma-300M", "embeddinggemma-300m", "embeddinggemma-300m-q8_0", "embeddinggemma-300m-q8_0.public", "Q8_0", 0.9993, 0.9998)]
TINY = ["bert", "bert-cls", "bert-q8_0", "gemma-embedding", "gemma-embedding-q8_0", "gemma3", "llama-q8_0", "llama-q4_0"]
MASK = 2**64 - 1


def fingerprint(path):
    """As st_verify_fingerprint: the sum over those tensors of FNV-1a of name, NUL, data."""
    total = 0
    for t in GGUFReader(path).tensors:
        if len(t.shape) == 1 and t.tensor_type.name == "F32":
            h = 0xCBF29CE484222325
            for b in t.name.encode() + b"\0" + t.data.tobytes():
                h = ((h ^ b) * 0x100000001B3) & MASK
            total = (total + h) & MASK
    return total


def c_string(text):
    out = ""
    for b in text.encode():
        out += chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else "\\%03o" % b
    return '"' + out + '"'


lines, refs, shared = [], [], {}


def array(kind, name, values):
    text = ",".join(str(int(v)) for v in values)
    body, at = [], 0
    while at < len(text):
        end = len(text) if len(text) - at <= 140 else text.rindex(",", at, at + 140) + 1
        body.append(text[at:end])
        at = end
    lines.append("static const %s %s[] = {" % (kind, name))
    lines.extend(body)
    lines.append("};")


def int16(v):
    v = np.asarray(v, np.float64)
    return np.round(v / np.abs(v).max() * 32767).astype(np.int64)


def cases(key, rows):
    """The texts and ids of one vocabulary, shared by the files of a model."""
    if key in shared:
        return shared[key]
    name = "cases%d" % len(shared)
    array("int32_t", name + "_ids", [i for r in rows for i in r["ids"]])
    lines.append("static const st_verify_case %s[] = {" % name)
    at = 0
    for r in rows:
        text = r.get("text")
        lines.append("{%s, %d, %s_ids + %d, %d}," % (c_string(text) if text is not None else "NULL",
                                                       len(text.encode()) if text is not None else 0, name, at, len(r["ids"])))
        at += len(r["ids"])
    lines.append("};")
    shared[key] = name
    return name


def add(name, kind, path, source, rows, vectors, low, mean):
    which = cases(source, rows)
    vec = "vectors%d" % len(refs)
    array("int16_t", vec, np.concatenate([int16(v) for v in vectors]))
    refs.append('{"%s", "%s", 0x%016xu, %s, %d, %s, %d, %s, %s},' % (name, kind, fingerprint(path), which, len(rows), vec,
                                                                   len(vectors[0]), low, mean))


for name, goldens, file, vectors, kind, low, mean in REAL:
    with open(os.path.join(DATA, "embed", goldens + ".public.jsonl"), encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    all_vectors = np.load(os.path.join(DATA, "embed", vectors + ".npy"))
    add(name, kind, os.path.join(MODELS, file + ".gguf"), goldens, [rows[i] for i in TEXTS], [all_vectors[i] for i in TEXTS], low, mean)

for name in TINY:
    folder = os.path.join(DATA, "tiny")
    with open(os.path.join(folder, name + ".json")) as f:
        meta = json.load(f)
    rows = [meta["inputs"][k] for k in ("short", "medium")]
    key = "logits" if meta["kind"] == "decoder" else "dense" if "dense" in rows[0] else meta["pooling"]
    vectors = []
    for r in rows:
        values = np.fromfile(os.path.join(folder, r[key]["file"]), "<f4").reshape(-1, r[key]["shape"][-1])
        vectors.append(values[-1])
    quantised = meta["quant"].upper() != "F32"
    add("tiny " + name, name.split("-")[-1].upper() if name.split("-")[-1] in ("q8_0", "q4_0") else "F32",
        os.path.join(folder, name + ".gguf"), name, [{"ids": r["ids"]} for r in rows], vectors,
        0.997 if quantised else 0.999999, 0.998 if quantised else 0.999999)

head = ["/* reference_data.c: written by tools/gen_verify_data.py from tests/data; not to be edited. What HuggingFace computes in", " * float32. */",
        '#include "check/reference.h"', "", "#include <stddef.h>", "", "/* clang-format off */"]
tail = ["static const st_verify_reference references[] = {"] + refs + ["};", "/* clang-format on */", "",
        "const st_verify_reference *st_verify_reference_at(uint32_t i)", "{",
        "    return i < sizeof references / sizeof *references ? &references[i] : NULL;", "}", ""]
out = os.path.join(ROOT, "src", "run", "reference_data.c")
with open(out, "w") as f:
    f.write("\n".join(head + lines + tail))
print(len(refs), "references,", os.path.getsize(out), "bytes")
