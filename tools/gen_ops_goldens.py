#!/usr/bin/env python3
"""Makes tests/data/ops/*.bin: inputs of every operation and what torch makes of them, for tests/unit/test_ops*.c.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch==2.15.0 numpy gguf==0.19.0
    /tmp/venv/bin/python tools/gen_ops_goldens.py          (again: the same bytes)

Inputs are float32; torch computes on them in float64, so that an expectation is right to its last bit and the tests'
tolerances measure the engine alone. Two things are not torch's: rope's angles are float32 as in HuggingFace's
modeling_rope_utils.py, and products of quantised weights come twice: `y` from torch, on weights that gguf-py
dequantised, and `y_int8` from numpy, where activations are rounded to int8 step by step as src/backend/cpu/kernels/kernels.h says.

A .bin file is "STOPS1\\0\\0", u32 n, then n arrays: u8 name length, name, u8 type (0 f32, 1 i32, 2 bytes), u8 dims, u32 each
dim, zeros up to a multiple of 4 from the start of the file, little-endian data padded to 4.
"""
import struct
import zlib
from pathlib import Path

import gguf
import numpy as np
import torch
import torch.nn.functional as F

OUT = Path(__file__).resolve().parents[1] / "tests/data/ops"
F32 = np.float32
torch.set_num_threads(1)


def rng(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def t64(x):
    return torch.from_numpy(np.asarray(x, F32).astype(np.float64))


class Bin:
    def __init__(self, name):
        self.path, self.items = OUT / f"{name}.bin", []

    def add(self, name, x):
        if isinstance(x, torch.Tensor):
            x = x.detach().numpy()
        if x.dtype == np.float64:
            x = x.astype(F32)
        kind = {"float32": 0, "int32": 1, "uint8": 2}[str(x.dtype)]
        self.items.append((name.encode(), kind, np.ascontiguousarray(x)))

    def write(self):
        out = bytearray(b"STOPS1\0\0" + struct.pack("<I", len(self.items)))
        for name, kind, x in self.items:
            out += struct.pack("<B", len(name)) + name + struct.pack("<BB", kind, x.ndim) + struct.pack(f"<{x.ndim}I", *x.shape)
            out += b"\0" * (-len(out) % 4) + x.tobytes()
            out += b"\0" * (-len(out) % 4)
        self.path.write_bytes(out)
        print(f"{self.path.name}: {len(self.items)} arrays, {len(out)} bytes")


# ---- rows ------------------------------------------------------------------------------------------------------------


def rms(x, w, eps):
    return F.rms_norm(t64(x), (x.shape[-1],), None if w is None else t64(w), float(F32(eps)))


def norms():
    out = Bin("norms")
    for n in (1, 7, 16, 48, 64, 100, 384, 768):
        r = rng(f"norm{n}")
        x = (r.standard_normal((3, n)) * np.array([[1.0], [30.0], [0.001]]) + np.array([[0.0], [5.0], [0.0]])).astype(F32)
        w, b = r.uniform(0.5, 1.5, n).astype(F32), r.normal(0, 0.3, n).astype(F32)
        out.add(f"{n}.x", x)
        out.add(f"{n}.w", w)
        out.add(f"{n}.b", b)
        for eps in (1e-3, 1e-6):
            out.add(f"{n}.{eps:g}.rms", rms(x, w, eps))
            out.add(f"{n}.{eps:g}.rms_plain", rms(x, None, eps))
            out.add(f"{n}.{eps:g}.layer", F.layer_norm(t64(x), (n,), t64(w), t64(b), float(F32(eps))))
            out.add(f"{n}.{eps:g}.layer_plain", F.layer_norm(t64(x), (n,), None, None, float(F32(eps))))
    out.write()


ACTS = {
    "gelu_erf": lambda x: F.gelu(x),
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "relu": F.relu,
    "tanh": torch.tanh,
}


def acts():
    out = Bin("acts")
    r = rng("acts")
    edge = [0.0, -0.0, 1e-40, -1e-40, 1e-20, -1e-20, 1e-5, -1e-5, 0.5, -0.5, 8.0, -8.0, 20.0, -20.0, 88.0, -88.0, 1e4, -1e4, 3e38, -3e38]
    x = np.concatenate([np.array(edge), np.linspace(-9, 9, 361), r.standard_normal(130) * 3]).astype(F32)
    u = r.standard_normal(x.shape).astype(F32)
    out.add("x", x)
    out.add("u", u)
    for name, f in ACTS.items():
        out.add(name, f(t64(x)))
    out.write()


def softmax():
    out = Bin("softmax")
    r = rng("softmax")
    for n, lo, hi in ((16, 0, 1), (16, 3, 16), (48, 0, 48), (48, 20, 37), (160, 5, 150)):
        s, pos, j0 = (r.standard_normal(n) * 12).astype(F32), hi - 1, 0
        for name, cap, slope in (("plain", 0.0, 0.0), ("cap", 5.0, 0.0), ("alibi", 0.0, 0.25)):
            t = t64(s) * float(F32(0.3))
            if cap:
                t = cap * torch.tanh(t / cap)
            if slope:
                t = t - slope * (torch.arange(n, dtype=torch.float64) - pos).abs()
            y = torch.zeros(n, dtype=torch.float64)
            y[lo:hi] = torch.softmax(t[lo:hi], 0)
            out.add(f"{n}.{lo}.{hi}.{name}", y)
        out.add(f"{n}.{lo}.{hi}.s", s)
    out.write()


# ---- rope ------------------------------------------------------------------------------------------------------------


def hf_angles(base, n_rot, positions, factor=1.0):
    """modeling_rope_utils.py: float32 from the exponents to cos and sin."""
    inv = 1.0 / (base ** (torch.arange(0, n_rot, 2, dtype=torch.int64).float() / n_rot)) / factor
    freqs = torch.tensor(positions).float()[:, None] * inv[None, :]
    return freqs.cos().double(), freqs.sin().double()


def rotate(x, cos, sin, neox):
    """x [n, heads, d]; cos, sin [n, n_rot/2]."""
    half = cos.shape[1]
    y, c, s = x.clone(), cos[:, None, :], sin[:, None, :]
    a, b = (x[..., :half], x[..., half : 2 * half]) if neox else (x[..., 0 : 2 * half : 2], x[..., 1 : 2 * half : 2])
    first, second = a * c - b * s, b * c + a * s
    if neox:
        y[..., :half], y[..., half : 2 * half] = first, second
    else:
        y[..., 0 : 2 * half : 2], y[..., 1 : 2 * half : 2] = first, second
    return y


ROPE_LEN = 600  # of the rows only these are kept:
ROPE_ROWS = [0, 1, 2, 5, 17, 40, 63, 64, 255, 599]


def rope():
    """x is one head for the kept rows; the test repeats it at their positions."""
    out = Bin("rope")
    out.add("rows", np.array(ROPE_ROWS, np.int32))
    for d, n_rot, base, factor in ((16, 16, 1e4, 1), (32, 32, 1e6, 8), (64, 64, 5e3, 1), (64, 32, 1e4, 1), (80, 80, 1e4, 1), (80, 20, 1e4, 1), (256, 256, 1e6, 1)):
        x = rng(f"rope{d}").standard_normal((len(ROPE_ROWS), 1, d)).astype(F32)
        cos, sin = hf_angles(base, n_rot, ROPE_ROWS, factor)
        name = f"{d}.{n_rot}.{base:g}.{factor:g}"
        out.add(f"{name}.x", x[:, 0])
        for kind, neox in (("norm", False), ("neox", True)):
            out.add(f"{name}.{kind}", rotate(t64(x), cos, sin, neox)[:, 0])
    d = 32
    x, w = rng("qk").standard_normal((len(ROPE_ROWS), 3, d)).astype(F32), rng("qk.w").uniform(0.5, 1.5, (2, d)).astype(F32)
    cos, sin = hf_angles(1e4, d, ROPE_ROWS)
    normed = torch.cat([rms(x[:, :2], w[0], 1e-3), rms(x[:, 2:], w[1], 1e-3)], 1)
    out.add("qk.x", x.reshape(len(ROPE_ROWS), -1))
    out.add("qk.w", w)
    out.add("qk.y", rotate(normed, cos, sin, True).reshape(len(ROPE_ROWS), -1))
    out.write()


# ---- attention -------------------------------------------------------------------------------------------------------

WINDOW = 8


def mask_of(kind, n):
    i, j = torch.arange(n)[:, None], torch.arange(n)[None, :]
    return {
        "full": torch.ones(n, n, dtype=torch.bool),
        "causal": j <= i,
        "causal_window": (j <= i) & (i - j < WINDOW),
        "symmetric": (i - j).abs() <= WINDOW // 2,
    }[kind]


def attention():
    out = Bin("attention")
    for n_head, n_kv, d, dv in ((4, 4, 16, 16), (4, 2, 32, 32), (4, 1, 64, 64), (2, 2, 80, 80), (2, 1, 256, 256), (2, 1, 32, 24)):
        name = f"{n_head}.{n_kv}.{d}.{dv}"
        x = rng(name).standard_normal((40, n_head * d + n_kv * (d + dv))).astype(F32)
        x[:, : n_head * d] *= F32(1.7)
        out.add(f"{name}.qkv", x)
        for kind in ("full", "causal", "causal_window", "symmetric"):
            # With a causal mask a shorter text is the beginning of a longer one.
            for n in (40,) if "causal" in kind else (5, 17, 40) if kind == "full" else (17, 40):
                q, k, v = t64(x[:n]).split([n_head * d, n_kv * d, n_kv * dv], 1)
                q, k, v = q.view(1, n, n_head, d), k.view(1, n, n_kv, d), v.view(1, n, n_kv, dv)
                k, v = (z.repeat_interleave(n_head // n_kv, 2) for z in (k, v))
                y = F.scaled_dot_product_attention(*(z.transpose(1, 2) for z in (q, k, v)), attn_mask=mask_of(kind, n), scale=float(F32(d**-0.5)))
                out.add(f"{name}.{kind}.{n}", y.transpose(1, 2).reshape(n, n_head * dv))
    out.write()


# ---- linear ----------------------------------------------------------------------------------------------------------


def unpack(kind, raw, k):
    """Rows of a quantised matrix -> int8 q [n, k], scale [n, k/group], min [n, k/group] or None: float32, one rounding each."""
    n = raw.shape[0]
    if kind in ("Q8_0", "Q4_0", "Q4_1"):
        size = {"Q8_0": 34, "Q4_0": 18, "Q4_1": 20}[kind]
        b = raw.reshape(n, k // 32, size)
        scale = b[..., :2].copy().view(np.float16)[..., 0].astype(F32)
        if kind == "Q8_0":
            return b[..., 2:].copy().view(np.int8).reshape(n, k), scale, None
        nibbles = b[..., size - 16 :]
        q = np.concatenate([nibbles & 15, nibbles >> 4], -1).astype(np.int8)
        if kind == "Q4_0":
            return (q - 8).reshape(n, k), scale, None
        return q.reshape(n, k), scale, -b[..., 2:4].copy().view(np.float16)[..., 0].astype(F32)
    if kind == "Q6_K":
        b = raw.reshape(n, k // 256, 210)
        low, high = b[..., :128].reshape(n, -1, 2, 64), b[..., 128:192].reshape(n, -1, 2, 32)
        low = np.stack([low & 15, low >> 4], 3).reshape(n, -1, 2, 4, 32)
        high = (high[..., None, :] >> np.array([0, 2, 4, 6])[:, None]) & 3
        q = (low | high << 4).astype(np.int8) - 32
        d = b[..., 208:].copy().view(np.float16).astype(F32)
        return q.reshape(n, k), (d * b[..., 192:208].copy().view(np.int8).astype(F32)).reshape(n, -1), None
    assert kind == "Q2_K"
    b = raw.reshape(n, k // 256, 84)
    q = ((b[..., 16:80].reshape(n, -1, 2, 1, 32) >> np.array([0, 2, 4, 6])[:, None]) & 3).astype(np.int8)
    d, dmin = (b[..., at : at + 2].copy().view(np.float16).astype(F32) for at in (80, 82))
    return q.reshape(n, k), (d * (b[..., :16] & 15).astype(F32)).reshape(n, -1), (dmin * (b[..., :16] >> 4).astype(F32)).reshape(n, -1)


def fma(a, b, c):
    """float32 fma: the product of two float32 is exact in float64. (The sum is rounded twice, which matters once in 2^29.)"""
    return (a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)).astype(F32)


def int8_linear(x, w, planes):
    """kernels.h, word for word: activations per 32, sums of integers, one fma chain an output."""
    q, scale, low = w
    n, k = q.shape
    group = k // scale.shape[1]
    blocks = x.reshape(len(x), k // 32, 32)
    amax = np.abs(blocks).max(-1)
    d, inv = (amax / F32(127)).astype(F32), (F32(127) / amax).astype(F32)
    t = (blocks * inv[..., None]).astype(F32)
    hi = np.rint(t)
    lo = np.rint(((t - hi) * F32(128)).astype(F32))
    a = (hi * 128 + lo if planes == 2 else hi).astype(np.int64).reshape(len(x), k // group, group)
    ad = np.repeat(d / F32(128) if planes == 2 else d, 32 // group, 1)
    dots = np.einsum("rgi,ngi->rng", a, q.astype(np.int64).reshape(n, k // group, group))
    f = np.zeros((len(x), n), F32)
    for g in range(k // group):
        f = fma(dots[:, :, g].astype(F32), (scale[None, :, g] * ad[:, None, g]).astype(F32), f)
        if low is not None:
            f = fma((-a[:, g].sum(-1)).astype(F32)[:, None] + np.zeros_like(f), (low[None, :, g] * ad[:, None, g]).astype(F32), f)
    return f


def random_matrix(kind, n, k, r):
    if kind not in ("Q6_K", "Q2_K"):
        w = r.normal(0, 1.3 / np.sqrt(k), (n, k)).astype(F32)
        return gguf.quants.quantize(w, gguf.GGMLQuantizationType[kind]).view(np.uint8).reshape(n, -1)
    size, at = (210, [208]) if kind == "Q6_K" else (84, [80, 82])
    b = r.integers(0, 256, (n, k // 256, size), dtype=np.uint8)
    for i in at:
        b[..., i : i + 2] = r.uniform(0.001, 0.003, (n, k // 256, 1)).astype(np.float16).view(np.uint8)
    return b.reshape(n, -1)


def linear():
    out = Bin("linear")
    for kind, n, k in (("F32", 40, 48), ("F32", 23, 300), ("F16", 33, 70), ("BF16", 40, 272), ("Q8_0", 40, 320), ("Q8_0", 19, 32), ("Q4_0", 33, 96), ("Q4_1", 24, 64), ("Q6_K", 20, 256), ("Q2_K", 17, 512)):
        name, r = f"{kind}.{n}.{k}", rng(f"{kind}{n}{k}")
        raw = random_matrix(kind, n, k, r)
        w = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[kind]).reshape(n, k)
        x, bias = r.standard_normal((18, k)).astype(F32), r.normal(0, 0.3, n).astype(F32)
        x[3, :32] *= 50  # one block far above the others
        out.add(f"{name}.w", raw)
        out.add(f"{name}.x", x)
        out.add(f"{name}.bias", bias)
        out.add(f"{name}.y", F.linear(t64(x), t64(w), t64(bias)))
        if kind in ("F32", "F16", "BF16"):
            continue
        parts = unpack(kind, raw, k)
        group = k // parts[1].shape[1]
        again = parts[0].astype(F32) * np.repeat(parts[1], group, 1)
        if parts[2] is not None:
            again = again - np.repeat(parts[2], group, 1)
        assert np.array_equal(again, w), kind
        for planes in (1, 2):
            out.add(f"{name}.y_int8_{planes}", int8_linear(x, parts, planes) + bias)
    # A gated pair, and activations after a product.
    r = rng("glu")
    x, gate, up = r.standard_normal((18, 64)).astype(F32), *(r.normal(0, 0.2, (2, 40, 64)).astype(F32))
    out.add("glu.x", x)
    out.add("glu.w", np.concatenate([gate, up]))
    for name, f in ACTS.items():
        out.add(f"glu.{name}", f(F.linear(t64(x), t64(gate))) * F.linear(t64(x), t64(up)))
        out.add(f"act.{name}", f(F.linear(t64(x), t64(gate))))
    out.write()


# ---- embedding, residual, pooling ------------------------------------------------------------------------------------


def rest():
    out = Bin("rest")
    r = rng("rest")
    n, vocab, starts = 64, 50, [0, 1, 6, 23]  # three texts
    token, kind, position = (r.normal(0, 0.5, (m, n)).astype(F32) for m in (vocab, 2, 40))
    quant = gguf.quants.quantize(token, gguf.GGMLQuantizationType.Q8_0)
    w, b = r.uniform(0.5, 1.5, n).astype(F32), r.normal(0, 0.3, n).astype(F32)
    ids, types = r.integers(0, vocab, 23).astype(np.int32), r.integers(0, 2, 23).astype(np.int32)
    where = np.concatenate([np.arange(b - a) for a, b in zip(starts, starts[1:])])
    for name, x in (("starts", np.array(starts, np.int32)), ("ids", ids), ("types", types), ("token", token), ("token_q8_0", quant), ("kind", kind), ("position", position), ("w", w), ("b", b)):
        out.add(name, x)
    plain = F.embedding(torch.from_numpy(ids).long(), t64(token))
    full = plain + F.embedding(torch.from_numpy(types).long(), t64(kind)) + F.embedding(torch.from_numpy(where), t64(position))
    out.add("embed.plain", plain)
    out.add("embed.scaled", plain * float(F32(np.sqrt(n))))
    out.add("embed.full", full)
    out.add("embed.type0", plain + t64(kind)[0] + F.embedding(torch.from_numpy(where), t64(position)))
    out.add("embed.layer", F.layer_norm(full, (n,), t64(w), t64(b), float(F32(1e-3))))
    deq = gguf.quants.dequantize(quant, gguf.GGMLQuantizationType.Q8_0)
    out.add("embed.q8_0", F.embedding(torch.from_numpy(ids).long(), t64(deq)))

    x, y = r.standard_normal((23, n)).astype(F32), r.standard_normal((23, n)).astype(F32)
    v = r.uniform(0.5, 1.5, (3, n)).astype(F32)
    out.add("resid.x", x)
    out.add("resid.y", y)
    out.add("resid.w", v)
    pre = t64(x) + t64(y)
    post = F.layer_norm(pre, (n,), t64(w), t64(b), float(F32(1e-3)))
    sandwich = t64(x) + F.rms_norm(t64(y), (n,), t64(v[0]), float(F32(1e-3)))
    out.add("resid.pre.x", pre)
    out.add("resid.pre.n", F.rms_norm(pre, (n,), t64(v[1]), float(F32(1e-3))))
    out.add("resid.post.x", post)
    out.add("resid.sandwich.x", sandwich)
    out.add("resid.sandwich.n", F.rms_norm(sandwich, (n,), t64(v[1]), float(F32(1e-3))))

    texts = [t64(x)[a:b] for a, b in zip(starts, starts[1:])]
    out.add("pool.mean", torch.stack([t.mean(0) for t in texts]))
    out.add("pool.cls", torch.stack([t[0] for t in texts]))
    out.add("pool.last", torch.stack([t[-1] for t in texts]))
    out.write()


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for make in (norms, acts, softmax, rope, attention, linear, rest):
        make()
