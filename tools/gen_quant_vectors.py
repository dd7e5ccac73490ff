#!/usr/bin/env python3
"""Vectors for tests/unit/test_quant.c, and the lattice tables of src/quant/iq_grids.h, from gguf-py.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install gguf==0.19.0 numpy==2.4.6
    /tmp/venv/bin/python tools/gen_quant_vectors.py --ggml libggml-base.so  # tests/data/quant/*.bin
    /tmp/venv/bin/python tools/gen_quant_vectors.py --grids    # src/quant/iq_grids.h

A vector file is u32 {type, values per block, bytes per block, n blocks, n quantised blocks}, the blocks, their values as
float32 by gguf.quants.dequantize, and, for types that we quantise, float32 inputs and their bytes by gguf.quants.quantize, or
by ggml_quantize_chunk of llama.cpp b11434 (without an importance matrix, built without FMA) for those that gguf-py does
not quantise. All little-endian.
"""
import ctypes
import os
import re
import struct
import sys

import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
OUT = os.path.join(ROOT, "tests", "data", "quant")


def rows():
    """The rows of src/quant/types.def: type -> (bytes of a block where f16 numbers are, whether we quantise to it). Random bytes
    make too many NaN and huge values there."""
    with open(os.path.join(ROOT, "src", "quant", "types.def")) as f:
        found = re.findall(r"^ST_QUANT_(FLOAT|BLOCKS)\(\s*\d+,(.*)\)$", f.read(), re.M)
    of = {}
    for kind, cells in found:
        cells = [c.strip() for c in cells.split(",")]
        minimum, at = (int(cells[5]), int(cells[6])) if kind == "BLOCKS" else (0, -1)
        of[T[cells[1]]] = ([] if at < 0 else [at, at + 2] if minimum else [at], cells[-2] != "none")
    return of


HALFS = {t: halfs for t, (halfs, _) in rows().items()}
QUANTIZED = [t for t, (_, quantized) in rows().items() if quantized]
EXTREME_HALFS = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00]


def blocks_of(rng, t):
    block, size = GGML_QUANT_SIZES[t]
    n = 1024 if block == 1 else 150 if block <= 64 else 40
    b = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for at in HALFS[t]:
        b[:, at:at + 2] = rng.normal(0, 0.02, (n, 1)).astype(np.float16).view(np.uint8)
    extremes = []
    for fill in (0x00, 0xFF, 0x7F, 0x80, 0x55, 0xAA):
        e = np.full((len(EXTREME_HALFS) if HALFS[t] else 1, size), fill, dtype=np.uint8)
        for at in HALFS[t]:
            e[:, at:at + 2] = np.array(EXTREME_HALFS, dtype=np.uint16).reshape(-1, 1).view(np.uint8)
        # wide blocks: each fill takes two of the scales, which together are all of them
        extremes.append(e if block <= 64 else e[len(extremes) * 2:][:2])
    if t in (T.MXFP4, T.NVFP4):  # every scale byte
        e = rng.integers(0, 256, (256, size), dtype=np.uint8)
        e[:, 0] = np.arange(256)
        extremes.append(e)
    return np.concatenate([b] + extremes)


def floats(rng, block):
    n = 2048 if block == 1 else 100 if block == 32 else 24
    x = rng.normal(0, 1, (n, block)).astype(np.float32)
    x *= np.exp(rng.uniform(-8, 8, (n, 1))).astype(np.float32)
    rows = [x, np.zeros((1, block), np.float32), np.full((1, block), 3.25, np.float32), np.full((1, block), -3.25, np.float32)]
    if block == 32:
        e = np.eye(block, dtype=np.float32)
        ramp = np.arange(block, dtype=np.float32).reshape(1, -1)
        # ggml and numpy take another zero of +0 and -0 for the largest of a row: none of -0 here
        rows += [e[:4], 0 - e[-4:], ramp, 0 - ramp, ramp - 16, (ramp - 15.5) * 1e-6, ramp * 1000, np.round(x[:20] * 4) / 4 + 0.0]
    elif block > 32:  # groups that are zero, constant, tiny beside another, on a lattice, all positive or all negative
        a, groups = x[:8].copy(), np.arange(block) // 32
        a[0, groups < 3] = 0
        a[1, groups == 5] = 7
        a[2, groups == 5] = -7
        a[3, groups > 1] *= 1e-4
        a[4] = np.round(a[4] / np.abs(a[4]).max() * 15)
        a[5], a[6] = np.abs(a[5]), -np.abs(a[6])
        a[7] *= 1e-12
        rows += [a, np.arange(block, dtype=np.float32).reshape(1, -1), x[8:10] * 1e-22 / np.abs(x[8:10]).max()]
    else:
        rows.append(np.array([[v] for v in (0.0, -0.0, 65504, 65519.99, 65520, -1e30, 2 ** -24, 2 ** -25, 2 ** -25 * 1.001, 6e-8, 1e-40,
                                            np.inf, -np.inf, np.nan)], dtype=np.float32))
    return np.concatenate(rows)


def quantize(x, t):
    try:
        return np.ascontiguousarray(quants.quantize(x.reshape(1, -1), t)).view(np.uint8)
    except NotImplementedError:  # gguf-py has none for K-quants
        pass
    ggml = ctypes.CDLL(sys.argv[sys.argv.index("--ggml") + 1])
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    block, size = GGML_QUANT_SIZES[t]
    x, y = np.ascontiguousarray(x), np.zeros(x.size // block * size, np.uint8)
    done = ggml.ggml_quantize_chunk(ctypes.c_int(int(t)), x.ctypes.data_as(ctypes.c_void_p), y.ctypes.data_as(ctypes.c_void_p),
                                    ctypes.c_int64(0), ctypes.c_int64(x.size // block), ctypes.c_int64(block), None)
    assert done == y.size, (t, done)
    return y


def vectors():
    os.makedirs(OUT, exist_ok=True)
    total = 0
    for t in HALFS:
        rng = np.random.default_rng(1000 + int(t))
        block, size = GGML_QUANT_SIZES[t]
        raw = blocks_of(rng, t)
        with np.errstate(all="ignore"):
            want = quants.dequantize(raw.reshape(1, -1), t).astype(np.float32)
            x = floats(rng, block).astype(np.float32) if t in QUANTIZED else np.zeros((0, block), np.float32)
            y = quantize(x, t) if len(x) else np.zeros(0, np.uint8)
        data = struct.pack("<5I", int(t), block, size, len(raw), len(x)) + raw.tobytes() + want.tobytes() + x.tobytes() + y.tobytes()
        assert len(data) == 20 + len(raw) * (size + 4 * block) + len(x) * (size + 4 * block), t
        with open(os.path.join(OUT, t.name.lower() + ".bin"), "wb") as f:
            f.write(data)
        total += len(data)
    print(len(HALFS), "files,", total, "bytes")


def grids():
    tables = [("iq1", quants.IQ1_S, 2, "8 values of 2 bits, less 1"), ("iq2_xxs", quants.IQ2_XXS, 2, "8 magnitudes of 2 bits"),
              ("iq2_xs", quants.IQ2_XS, 2, None), ("iq2_s", quants.IQ2_S, 2, None),
              ("iq3_xxs", quants.IQ3_XXS, 4, "4 magnitudes of 3 bits, in nibbles"), ("iq3_s", quants.IQ3_S, 4, None)]
    lines = ["/* iq_grids.h: the lattices of iq.c. Written by tools/gen_quant_vectors.py --grids from gguf-py 0.19's quants.py; not",
             " * to be edited. The first value is in the lowest bits. */", "#ifndef ST_QUANT_IQ_GRIDS_H", "#define ST_QUANT_IQ_GRIDS_H", "",
             "#include <stdint.h>", "", "/* clang-format off */"]
    for name, cls, bits, note in tables:
        cls.init_grid()
        grid = cls.grid.reshape(cls.grid_shape)
        words = [sum(cls.grid_map.index(int(v)) << (bits * i) for i, v in enumerate(row)) for row in grid]
        lines += [""] + (["/* " + note + " */"] if note else []) + ["static const uint16_t st_%s_grid[%d] = {" % (name, len(words))]
        lines += ["    " + " ".join("0x%04x," % w for w in words[i:i + 14]) for i in range(0, len(words), 14)] + ["};"]
    lines += ["", "/* clang-format on */", "", "#endif", ""]
    with open(os.path.join(ROOT, "src", "quant", "iq_grids.h"), "w") as f:
        f.write("\n".join(lines))


if __name__ == "__main__":
    grids() if "--grids" in sys.argv else vectors()
