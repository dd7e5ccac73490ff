#!/usr/bin/env python3
"""Tiny random models, one an architecture or oddity, through `strata eval` against HuggingFace float32.

Committed ones are in tests/data/tiny, the whole set in $STRATA_SHARED/goldens/tiny. Tolerances are those of the set's own notes:
float weights, and quantised weights with --precision f32: max-abs 2e-4 and cosine 0.9999999; int8 activations: see INT8.
"""
import os
import unittest

from golden import ROOT, SHARED, Temp, compare, f32, json, need, npy, run

COMMITTED = ROOT / "tests/data/tiny"
ENCODERS = ["bert", "bert-cls", "bert-q8_0", "roberta", "xlm-roberta", "distilbert", "gemma-embedding", "gemma-embedding-q8_0"]
HIDDEN_ONLY = ["bert-reranker"]
DECODERS = ["llama", "llama-bias", "llama-linear", "mistral", "gemma3", "llama-f16", "llama-bf16", "llama-q8_0", "llama-q4_0"]

FLOAT = dict(max_abs=2e-4, min_cos=0.9999999)
FLOAT_LOUD = dict(max_abs=5e-4, min_cos=0.9999999)  # llama-<type>: logits of rms 5
INT8_HIDDEN = dict(min_cos=0.999, mean_cos=0.9995)
INT8_LOGITS = dict(min_cos=0.998, mean_cos=0.9995, rel_rms=0.035)


def tolerance(meta, precision):
    quantised = meta.get("quant", "F32") not in ("F32", "F16", "BF16")
    if quantised and precision == "i8":
        return INT8_LOGITS if meta["kind"] == "decoder" else INT8_HIDDEN
    return FLOAT_LOUD if meta["name"].startswith("llama-") and meta["kind"] == "decoder" else FLOAT


class Tiny(Temp):
    def folder(self, name):
        if (COMMITTED / f"{name}.json").exists():
            return COMMITTED
        return need(SHARED / "goldens/tiny" / f"{name}.json", f"tiny model {name}").parent

    def eval(self, folder, name, ids, types, what, precision, *more):
        out = self.tmp / "out.npy"
        args = ["eval", "-m", folder / f"{name}.gguf", "--ids", ",".join(map(str, ids)), "--what", what, "--precision", precision]
        if types:
            args += ["--types", ",".join(map(str, types))]
        run(*args, *more, "-o", out)
        return npy(out)[0]

    def check(self, label, got, want, tol):
        worst, low, mean, rms = compare(got, want)
        line = f"{label}: max-abs {worst:.2e} cosine min {low:.8f} mean {mean:.8f} rel-rms {rms:.4f}"
        if os.environ.get("STRATA_VERBOSE"):
            print(line, flush=True)
        self.assertLessEqual(worst, tol.get("max_abs", 9e9), line)
        self.assertGreaterEqual(low, tol["min_cos"], line)
        self.assertGreaterEqual(mean, tol.get("mean_cos", -1), line)
        self.assertLessEqual(rms, tol.get("rel_rms", 9), line)

    def model(self, name, precision, hidden_only=False):
        folder = self.folder(name)
        meta = json.loads((folder / f"{name}.json").read_text())
        tol = tolerance(meta, precision)
        all_got, all_want = [], []
        for key, item in meta["inputs"].items():
            ids, types = item["ids"], item.get("token_type_ids")
            label = f"{name}/{key}/{precision}"
            if meta["kind"] == "decoder":
                spec = item["logits"]
                want = f32(folder / spec["file"], spec["shape"][-1])
                got = self.eval(folder, name, ids, types, "logits", precision)
                if tol is INT8_LOGITS:  # a mean over the file's rows: a long input has only its last
                    all_got += got[-len(want):]
                    all_want += want
                else:
                    self.check(label, got[-len(want):], want, tol)
                continue
            spec = item["hidden"]
            got = self.eval(folder, name, ids, types, "hidden", precision)
            self.check(label + "/hidden", got, f32(folder / spec["file"], spec["shape"][-1]), tol)
            if hidden_only:
                continue
            for pooling in ("mean", "cls", "last"):
                # `pooled` is after the dense heads; a model that has them states `dense` for its own pooling only.
                if "dense" in item:
                    if pooling != meta["pooling"]:
                        continue
                    spec = item["dense"]
                else:
                    spec = item[pooling]
                got = self.eval(folder, name, ids, types, "pooled", precision, "--pooling", pooling)
                self.check(f"{label}/{pooling}", got, f32(folder / spec["file"], spec["shape"][-1]), tol)
        if all_got:
            self.check(f"{name}/{precision}", all_got, all_want, tol)


def add(name, precision, **kw):
    def test(self):
        self.model(name, precision, **kw)

    setattr(Tiny, f"test_{name.replace('-', '_')}_{precision}", test)


for name in ENCODERS + HIDDEN_ONLY + DECODERS:
    for precision in ("i8", "f32"):
        add(name, precision, hidden_only=name in HIDDEN_ONLY)

if __name__ == "__main__":
    unittest.main()
