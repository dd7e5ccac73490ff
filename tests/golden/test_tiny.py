#!/usr/bin/env python3
"""Tiny random models, one an architecture or oddity, through `strata eval` against HuggingFace float32.

Committed ones are in tests/data/tiny, the whole set in $STRATA_SHARED/goldens/tiny. Tolerances are those of the set's own notes:
float weights, and quantised weights with --precision f32: max-abs 2e-4 and cosine 0.9999999; int8 activations: see INT8.
"""
import os
import platform
import statistics
import unittest

from golden import ROOT, SHARED, Temp, compare, cosine, f32, json, need, npy, run

COMMITTED = ROOT / "tests/data/tiny"
ENCODERS = ["bert", "bert-cls", "bert-q8_0", "roberta", "xlm-roberta", "distilbert", "gemma-embedding", "gemma-embedding-q8_0",
            "nomic-bert", "modernbert", "t5encoder", "t5encoder-relu", "qwen3-embedding"]
RERANKERS = ["bert-reranker", "modernbert-reranker", "qwen3-reranker"]  # pooled: the raw outputs of their heads
DECODERS = """llama llama-bias llama-linear llama-rope3 llama-yarn llama-yarn-beta mistral mixtral gemma gemma3 qwen2 qwen2moe qwen3
 phi2 phi3 phi3-longrope phi3-swa gpt2 falcon7 falcon40 granite smollm3 stablelm stablelm-par
 llama-f16 llama-bf16 llama-q8_0 llama-q4_0 llama-q4_1 llama-q5_0 llama-q5_1 llama-q2_k llama-q3_k llama-q4_k llama-q5_k llama-q6_k
 llama-iq4_nl llama-iq4_xs llama-mix mixtral-q8_0 mixtral-q4_0""".split()
# Made by tools/gen_tiny.py: what the shared set lacks. All Q8_0 files, exact with --precision f32; long inputs keep their last rows.
GENERATED = """gemma2 gemma2-27b gptneox gptneox-seq olmo2 olmo3 qwen3moe qwen2-yarn phi3-edge gemma-odd starcoder2 command-r cohere2
 olmoe granitemoe bloom mpt starcoder exaone4 glm4 ernie4_5 seed_oss exaone minicpm internlm2 jina-bert-v2 jina-bert-v2-code
 nomic-bert-moe eurobert arcee gpt-oss gpt-oss-mxfp4
 glm4moe dots1 ernie4_5-moe deepseek2 deepseek2-lite deepseek2-expanded hunyuan-dense nemotron qwen3vl mistral3
 hunyuan-moe minimax-m2 qwen3vlmoe""".split()

FLOAT = dict(max_abs=2e-4, min_cos=0.9999999)
FLOAT_LOUD = dict(max_abs=5e-4, min_cos=0.9999999)  # llama-<type>: logits of rms 5
INT8_HIDDEN = dict(min_cos=0.999, mean_cos=0.9995)
INT8_LOGITS = dict(min_cos=0.998, mean_cos=0.9995, rel_rms=0.035)
# int8 noise flips an expert where the router's margin is small, and then the row is another one: the median row counts.
INT8_EXPERTS = dict(min_cos=0.9, median_cos=0.9995)
# Widths of 32 and 64 average less of the noise, and 46 layers gather it.
INT8_NARROW = dict(min_cos=0.997, mean_cos=0.998)
INT8_NARROW_EXPERTS = dict(min_cos=0.6, median_cos=0.999)


def tolerance(meta, precision):
    quantised = meta.get("quant", "F32") not in ("F32", "F16", "BF16")
    if quantised and precision == "i8" and meta["name"] in GENERATED:
        config = meta["hf_config"].get("text_config", meta["hf_config"])
        experts = any(config.get(key) for key in ("num_experts_per_tok", "moe_k", "moe_topk"))
        return INT8_NARROW_EXPERTS if experts else INT8_NARROW
    if quantised and precision == "i8":
        if meta["hf_config"].get("num_local_experts"):
            return INT8_EXPERTS
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
        if "median_cos" in tol:
            self.assertGreaterEqual(statistics.median(cosine(g, w) for g, w in zip(got, want)), tol["median_cos"], line)

    def model(self, name, precision):
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
                if tol in (INT8_LOGITS, INT8_EXPERTS, INT8_NARROW_EXPERTS):  # a mean over the file's rows: a long input has only its last
                    all_got += got[-len(want):]
                    all_want += want
                else:
                    self.check(label, got[-len(want):], want, tol)
                continue
            spec = item["hidden"]
            got = self.eval(folder, name, ids, types, "hidden", precision)
            want = f32(folder / spec["file"], spec["shape"][-1])
            self.check(label + "/hidden", got[-len(want):], want, tol)
            if meta["kind"] == "reranker":
                spec = item["logits"]
                got = self.eval(folder, name, ids, types, "pooled", precision)
                self.check(label + "/logits", got, f32(folder / spec["file"], spec["shape"][-1]), tol)
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

    def same_bits(self, name):
        """A model of each tensor type: the bytes of its logits on one thread of the generic level, on all others and by threads."""
        folder = self.folder(name)
        ids = next(iter(json.loads((folder / f"{name}.json").read_text())["inputs"].values()))["ids"]
        want = None
        for level in ("generic", "avx2" if platform.machine() in ("x86_64", "AMD64") else "neon", ""):
            for threads in (1, 3):
                out = self.tmp / "bits.npy"
                run("eval", "-m", folder / f"{name}.gguf", "--ids", ",".join(map(str, ids)), "--what", "logits", "-o", out, "-t", threads,
                    env={"STRATA_CPU": level} if level else None)
                want = want or out.read_bytes()
                self.assertEqual(out.read_bytes(), want, f"{name}: level {level or 'best'}, {threads} threads")

    def greedy(self, name):
        """The continuation through the cache: HuggingFace's ids, whatever the chunks; with int8, those of the cache-less logits."""
        folder = self.folder(name)
        meta = json.loads((folder / f"{name}.json").read_text())

        def go(ids, n, *more):
            args = ["eval", "-m", folder / f"{name}.gguf", "--ids", ",".join(map(str, ids)), "--what", "greedy", "-n", n, *more]
            return json.loads(run(*args).stdout)["ids"]

        for key, item in meta["greedy"].items():
            ids = meta["inputs"][key]["ids"]
            for chunk in ("1", "7", "64", "512"):
                self.assertEqual(go(ids, 12, "--precision", "f32", "--chunk", chunk), item["ids"], (name, key, chunk))
            got = go(ids, 4, "--chunk", "3", "-t", "1")
            self.assertEqual(got, go(ids, 4, "-t", "3"), (name, key))
            for i, want in enumerate(got):
                row = self.eval(folder, name, ids + got[:i], None, "logits", "i8")[-1]
                self.assertEqual(max(range(len(row)), key=row.__getitem__), want, (name, key, i))


def add_greedy(name):
    setattr(Tiny, f"test_{name.replace('-', '_')}_greedy", lambda self: self.greedy(name))


def add(name, precision):
    def test(self):
        self.model(name, precision)

    setattr(Tiny, f"test_{name.replace('-', '_')}_{precision}", test)


for name in ENCODERS + RERANKERS + DECODERS + GENERATED:
    for precision in ("i8", "f32"):
        add(name, precision)

for name in DECODERS:
    add_greedy(name)
for name in GENERATED:
    if '"kind": "decoder"' in (COMMITTED / f"{name}.json").read_text():
        add_greedy(name)
for name in DECODERS + GENERATED:
    if name.startswith(("llama-", "mixtral-", "gpt-oss", "glm4moe", "deepseek2")):
        setattr(Tiny, f"test_{name.replace('-', '_')}_same_bits", lambda self, name=name: self.same_bits(name))

if __name__ == "__main__":
    unittest.main()
