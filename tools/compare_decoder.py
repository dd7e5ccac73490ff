#!/usr/bin/env python3
"""How close a decoder's logits are to HuggingFace float32 on the same dequantised weights, teacher-forced.

    tools/compare_decoder.py MODEL.gguf texts.jsonl [--tokens 512] [--texts 6] [--strata build/release/strata]
    tools/compare_decoder.py MODEL.gguf prompts.jsonl --greedy 32 > tests/data/greedy/NAME.json

The first form prints, over all positions of all texts: the share of equal arg-maxima, the largest HuggingFace margin at
which they differ, the mean Kullback-Leibler divergence and both perplexities. --peer PROGRAM adds a row for another
engine: PROGRAM MODEL IDS OUT is given the ids as int32 and writes float32 logits [n, vocab]. The second form writes
HuggingFace's greedy continuations of prompts, the reference of tests/golden/test_greedy.py.

Needs torch, transformers, accelerate and gguf, which dequantise the file: pip install torch transformers accelerate gguf
sentencepiece protobuf. A text is the field "text" of a line."""
import argparse
import json
import os
import subprocess
import tempfile

import numpy as np
import torch
from transformers import AutoModelForCausalLM


def log_softmax(x):
    return torch.log_softmax(torch.from_numpy(x), -1)


class Score:
    """Sums over the positions of one engine."""

    def __init__(self):
        self.n = self.equal = self.n_next = 0
        self.kl = self.nll = self.nll_ref = self.margin = 0.0

    def add(self, ref, got, ids):
        top = ref.topk(2, -1)
        same = got.argmax(-1) == top.indices[:, 0]
        margin = (top.values[:, 0] - top.values[:, 1])[~same]
        self.n += len(ids)
        self.equal += int(same.sum())
        self.margin = max(self.margin, float(margin.max()) if len(margin) else 0.0)
        self.kl += float((ref.exp() * (ref - got)).sum())
        following = torch.tensor(ids[1:]).unsqueeze(1)
        self.n_next += len(ids) - 1
        self.nll -= float(got[:-1].gather(1, following).sum())
        self.nll_ref -= float(ref[:-1].gather(1, following).sum())

    def row(self, name):
        ppl, ref = (np.exp(v / self.n_next) for v in (self.nll, self.nll_ref))
        return (f"{name:12} top-1 equal {100 * self.equal / self.n:6.2f} %   largest margin of a flip {self.margin:5.3f}   "
                f"mean KL {self.kl / self.n:.6f}   perplexity {ppl:.4f} (HF {ref:.4f}, {100 * (ppl / ref - 1):+.3f} %)")


def strata_ids(strata, model, text):
    out = subprocess.run([strata, "tokenize", "-m", model, "--jsonl", "-"], check=True, stdout=subprocess.PIPE, text=True,
                         input=json.dumps({"text": text}))
    return json.loads(out.stdout)["ids"]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model")
    a.add_argument("texts")
    a.add_argument("--strata", default="build/release/strata")
    a.add_argument("--tokens", type=int, default=512)
    a.add_argument("--texts", type=int, default=6, dest="n_texts")
    a.add_argument("--precision", default="i8,f32")
    a.add_argument("--peer")
    a.add_argument("--greedy", type=int)
    o = a.parse_args()
    hf = AutoModelForCausalLM.from_pretrained(os.path.dirname(os.path.abspath(o.model)),
                                              gguf_file=os.path.basename(o.model), dtype=torch.float32).eval()
    with open(o.texts) as f:
        texts = [json.loads(line)["text"] for line in f]
    if o.greedy:
        rows = []
        for text in texts:
            ids = strata_ids(o.strata, o.model, text)
            with torch.no_grad():
                new = hf.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                                  do_sample=False, min_new_tokens=0, max_new_tokens=o.greedy, eos_token_id=[])
            rows.append({"prompt": text, "ids": ids, "new": new[0, len(ids):].tolist()})
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        print(f'{{"model": {json.dumps(os.path.basename(o.model))}, "rows": [\n{lines}\n]}}')
        return
    scores = {}
    for text in texts[: o.n_texts]:
        ids = strata_ids(o.strata, o.model, text)[: o.tokens]
        with torch.no_grad():
            ref = torch.log_softmax(hf(torch.tensor([ids])).logits[0].float(), -1)
        with tempfile.TemporaryDirectory() as d:
            for precision in o.precision.split(","):
                out = os.path.join(d, "logits.npy")
                subprocess.run([o.strata, "eval", "-m", o.model, "--ids", ",".join(map(str, ids)), "--what", "logits",
                                "--precision", precision, "-o", out], check=True)
                scores.setdefault("strata " + precision, Score()).add(ref, log_softmax(np.load(out)), ids)
                os.remove(out)
            if o.peer:
                np.array(ids, np.int32).tofile(os.path.join(d, "ids"))
                subprocess.run([o.peer, o.model, os.path.join(d, "ids"), os.path.join(d, "out")], check=True)
                got = np.fromfile(os.path.join(d, "out"), np.float32).reshape(len(ids), -1)
                scores.setdefault("peer", Score()).add(ref, log_softmax(got), ids)
    for name, score in scores.items():
        print(score.row(name))


if __name__ == "__main__":
    main()
