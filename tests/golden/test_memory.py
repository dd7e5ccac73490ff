#!/usr/bin/env python3
"""Peak memory of `strata embed`: at most the file and 64 MB, whatever the weights' type: no float copy of a matrix exists.

The peak is the largest resident set that the kernel counted (ru_maxrss), mapped pages of the file included. Texts are long enough
to fill a group of tokens, short enough that the vectors themselves do not count.
"""
import array
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from golden import MODELS, ROOT, STRATA, json, jsonl, need

DATA = ROOT / "tests/data/embed"
ALLOWANCE = 64 << 20


def peak_of(*args):
    """Bytes. wait4 sees this child alone, unlike getrusage, which keeps the largest of all."""
    with tempfile.TemporaryFile() as errors:
        p = subprocess.Popen([str(STRATA), *map(str, args)], stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        if p.returncode:
            raise AssertionError(f"strata {args}: exit {p.returncode}: {errors.read().decode(errors='replace')[-400:]}")
    return usage.ru_maxrss * 1024


F32, F16, BF16 = 0, 1, 30


def narrow(source, out, kind):
    """The float32 model at `source` with its matrices in 16 bits. Alignment 32, as our own converter writes."""
    data = source.read_bytes()
    at = 24
    n_tensors, n_kv = struct.unpack_from("<QQ", data, 8)

    def take(form):
        nonlocal at
        value = struct.unpack_from("<" + form, data, at)[0]
        at += struct.calcsize(form)
        return value

    def skip(of):
        nonlocal at
        if of == 8:
            n = take("Q")
            at += n
        elif of == 9:
            of, n = take("I"), take("Q")
            for _ in range(n):
                skip(of)
        else:
            at += [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8][of]

    for _ in range(n_kv):
        skip(8)
        skip(take("I"))
    head, infos, tensors, offset = bytearray(data[:at]), bytearray(), [], 0
    for _ in range(n_tensors):
        n = take("Q")
        name = data[at : at + n]
        at += n
        dims = [take("Q") for _ in range(take("I"))]
        was, where = take("I"), take("Q")
        count = 1
        for d in dims:
            count *= d
        assert was == F32, name
        to = kind if len(dims) == 2 else F32
        infos += struct.pack("<Q", n) + name + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, to, offset)
        tensors.append((where, count, to))
        offset += (count * (4 if to == F32 else 2) + 31) // 32 * 32
    base = (at + 31) // 32 * 32
    head += infos
    with open(out, "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32))
        for where, count, to in tensors:
            raw = data[base + where : base + where + 4 * count]
            if to == BF16:  # the upper halves
                half = bytearray(2 * count)
                half[0::2], half[1::2] = raw[2::4], raw[3::4]
                raw = bytes(half)
            elif to == F16:
                raw = struct.pack(f"<{count}e", *array.array("f", raw))
            f.write(raw + b"\0" * (-len(raw) % 32))


class Memory(unittest.TestCase):
    def model(self, name, *more):
        self.check(need(MODELS / f"{name}.gguf", f"model {name}"), *more)

    def narrowed(self, kind):
        source = need(MODELS / "all-minilm-l6-v2-f32.gguf", "model all-minilm-l6-v2-f32")
        with tempfile.TemporaryDirectory() as tmp:
            out = Path(tmp) / f"all-minilm-l6-v2-{'f16' if kind == F16 else 'bf16'}.gguf"
            # In a process of its own: a child's peak begins at what its parent held (exec keeps the high-water mark).
            subprocess.run([sys.executable, "-B", __file__, "--narrow", source, out, str(kind)], check=True)
            self.check(out)

    def skip_if_emulated(self):
        if os.environ.get("STRATA_EMULATOR") or "asan" in str(STRATA) or "tsan" in str(STRATA) or "fuzz" in str(STRATA):
            self.skipTest("an emulator's or a sanitizer's own memory would be measured")

    def check(self, model, *more):
        self.skip_if_emulated()
        size = model.stat().st_size
        texts = sorted((row["text"] for row in jsonl(DATA / "all-minilm-l6-v2.public.jsonl")), key=len)
        texts = texts[:20] + texts[-4:]  # the longest decide, some more make a batch
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as f:
            for text in texts:
                f.write(json.dumps({"text": text}) + "\n")
            f.flush()
            args = ["embed", "-m", model, "--jsonl", f.name, "--format", "f32", "--truncate", "end"]
            for threads in (1, 2):
                peak = peak_of(*args, "-t", threads, *more)
                line = f"{model.name}, {threads} threads: file {size / 1e6:.1f} MB, peak {peak / 1e6:.1f} MB, {(peak - size) / 1e6:+.1f} MB"
                print(line, flush=True)
                self.assertLessEqual(peak, size + ALLOWANCE, line)

    def test_minilm_q8_0(self):
        self.model("all-minilm-l6-v2-q8_0")

    def test_minilm_q8_0_float_activations(self):
        self.model("all-minilm-l6-v2-q8_0", "--precision", "f32")

    def test_minilm_f16(self):
        self.narrowed(F16)

    def test_minilm_bf16(self):
        self.narrowed(BF16)

    def test_minilm_f32(self):
        self.model("all-minilm-l6-v2-f32")

    def test_embeddinggemma_q8_0(self):
        self.model("embeddinggemma-300m-q8_0")

    def test_embeddinggemma_q8_0_one_short_text(self):
        """119 MB of packed weights and little else: the file's copy of them has been let go of, page by page."""
        model = need(MODELS / "embeddinggemma-300m-q8_0.gguf", "model embeddinggemma-300m-q8_0")
        self.skip_if_emulated()
        for threads in (1, 2):
            peak = peak_of("embed", "-m", model, "-t", threads, "a short text")
            line = f"{model.name}, {threads} threads, one short text: peak {peak / 1e6:.1f} MB"
            print(line, flush=True)
            self.assertLessEqual(peak, 200e6, line)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--narrow"]:
        narrow(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        unittest.main()
