#!/usr/bin/env python3
"""Real models against HuggingFace: token ids of every golden text equal, vectors within the stated cosines.

all-MiniLM-L6-v2 and EmbeddingGemma-300M as Q8_0 against HuggingFace float32 on the same dequantised weights; MiniLM in float32
against the original. The texts and vectors are committed in tests/data/embed; the models are made by tools/convert into
$STRATA_TEST_MODELS and are skipped, loudly, when they are not there.
"""
import os
import sys
import unittest

from golden import MODELS, ROOT, SHARED, Temp, cosine, json, jsonl, need, npy, run

DATA = ROOT / "tests/data/embed"


class Embed(Temp):
    def vectors(self, model, texts, *more, env=None):
        source, out = self.tmp / "texts.jsonl", self.tmp / "out.npy"
        source.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
        run("embed", "-m", model, "--jsonl", source, "--format", "npy", "-o", out, "--truncate", "end", *more, env=env)
        return npy(out)[0]

    def check(self, label, got, want, low, mean):
        cos = [cosine(g, w) for g, w in zip(got, want)]
        line = f"{label}: {len(cos)} texts, cosine min {min(cos):.6f} mean {sum(cos) / len(cos):.6f}"
        print(line, flush=True)
        self.assertEqual(len(got), len(want), line)
        self.assertGreaterEqual(min(cos), low, line)
        self.assertGreaterEqual(sum(cos) / len(cos), mean, line)

    def model(self, name):
        return need(MODELS / f"{name}.gguf", f"model {name}")

    def ids(self, name, golden, ctx):
        rows = jsonl(DATA / f"{golden}.public.jsonl")
        source = self.tmp / "ids.jsonl"
        source.write_text("".join(json.dumps({"text": r["text"]}) + "\n" for r in rows))
        out = run("tokenize", "-m", self.model(name), "--jsonl", source, "--parse-special").stdout.decode().splitlines()
        for row, line in zip(rows, out, strict=True):
            ids = json.loads(line)["ids"]
            if len(ids) > ctx:
                ids = ids[: ctx - 1] + ids[-1:]
            self.assertEqual(ids, row["ids"], row["text"][:60])

    def test_minilm_ids(self):
        self.ids("all-minilm-l6-v2-q8_0", "all-minilm-l6-v2", 512)

    def test_embeddinggemma_ids(self):
        self.ids("embeddinggemma-300m-q8_0", "embeddinggemma-300m", 2048)

    def q8_0(self, name, golden, precision, low, mean):
        rows = jsonl(DATA / f"{golden}.public.jsonl")
        got = self.vectors(self.model(name), [r["text"] for r in rows], "--precision", precision)
        self.check(f"{name} {precision}", got, npy(DATA / f"{golden}-q8_0.public.npy")[0], low, mean)

    def test_minilm_i8(self):
        self.q8_0("all-minilm-l6-v2-q8_0", "all-minilm-l6-v2", "i8", 0.9993, 0.9998)

    def test_minilm_f32_precision(self):
        self.q8_0("all-minilm-l6-v2-q8_0", "all-minilm-l6-v2", "f32", 0.99999, 0.999999)

    def test_embeddinggemma_i8(self):
        self.q8_0("embeddinggemma-300m-q8_0", "embeddinggemma-300m", "i8", 0.9993, 0.9998)

    def bf16(self, name):
        """On this machine's unit: the bits of AMX and of AVX-512 BF16 differ, the floor is one."""
        unit = json.loads(run("info", "-m", self.model(name), "--json").stdout)["bf16"]
        if not unit:
            print("\nNOT TESTED: precision bf16: this CPU has neither AMX nor a fast AVX-512 BF16", file=sys.stderr, flush=True)
            raise unittest.SkipTest("no unit of precision bf16")
        print(f"bf16 on {unit}")

    def test_minilm_bf16(self):
        self.bf16("all-minilm-l6-v2-q8_0")
        self.q8_0("all-minilm-l6-v2-q8_0", "all-minilm-l6-v2", "bf16", 0.9995, 0.9999)

    def test_embeddinggemma_bf16(self):
        self.bf16("embeddinggemma-300m-q8_0")
        self.q8_0("embeddinggemma-300m-q8_0", "embeddinggemma-300m", "bf16", 0.9995, 0.9998)

    def test_minilm_float_file_bf16(self):
        self.bf16("all-minilm-l6-v2-f32")
        rows = jsonl(DATA / "all-minilm-l6-v2.public.jsonl")
        got = self.vectors(self.model("all-minilm-l6-v2-f32"), [r["text"] for r in rows], "--precision", "bf16")
        self.check("all-minilm-l6-v2-f32 bf16", got, npy(DATA / "all-minilm-l6-v2.public.npy")[0], 0.9995, 0.9999)

    def test_minilm_float_file(self):
        rows = jsonl(DATA / "all-minilm-l6-v2.public.jsonl")
        got = self.vectors(self.model("all-minilm-l6-v2-f32"), [r["text"] for r in rows])
        self.check("all-minilm-l6-v2-f32", got, npy(DATA / "all-minilm-l6-v2.public.npy")[0], 0.99999, 0.99999)

    def test_embeddinggemma_prompts(self):
        texts = json.loads((DATA / "embeddinggemma-300m.prompts.json").read_text())
        model = self.model("embeddinggemma-300m-q8_0")
        for role in ("query", "document"):
            want = npy(DATA / f"embeddinggemma-300m.{role}.npy")[0]
            self.check(f"prompt {role}", self.vectors(model, texts[role], "--role", role), want, 0.998, 0.998)

    def test_readme(self):
        """The same bits on every machine: the README's figures are what anybody gets."""
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        model = self.model("all-minilm-l6-v2-q8_0")
        row = run("embed", "-m", model, "--format", "jsonl", "A cat sits on the mat").stdout.decode()
        self.assertIn(row[:100], readme)
        texts = ["A cat sits on the mat", "A kitten is lying on a rug", "The bank raised its interest rates", "Central banks fight inflation"]
        self.assertIn(run("embed", "-m", model, "--similarity", *texts).stdout.decode(), readme)


if __name__ == "__main__":
    unittest.main()
