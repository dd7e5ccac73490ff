#!/usr/bin/env python3
"""Writes tests/data/rank/pairs.txt: the ids that HuggingFace tokenizers make of query and passage.

    python3 -m venv .venv/token && .venv/token/bin/pip install -r tests/token/requirements.txt
    .venv/token/bin/python tools/gen_rank_pairs.py            # --check: fails if the committed file differs

Cases, all on the vocabulary tests/data/tok/bpe3k.gguf: `qwen2`, the prompt of Qwen3-Reranker as one text; `roberta`, a pair
with RobertaProcessing; `modernbert`, a pair with [CLS] A [SEP] B [SEP]. The last two rename tokens 3073 and 3074 to what
stands around a text. A line is the case, query and passage in hexadecimal (- where empty), and the ids.
"""
import os
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [os.path.join(ROOT, "tests", "token")]
import diff_hf
from tokenizers import AddedToken, processors

OUT = os.path.join(ROOT, "tests", "data", "rank", "pairs.txt")
TEMPLATE = os.path.join(ROOT, "tests", "data", "rank", "qwen3.template")
PAIRS = [
    ("What is the capital of France?", "Paris is the capital and largest city of France."),
    ("", "alone"), ("alone", ""), ("", ""),
    ("trailing space ", " leading space"), ("ends with a line\n", "\nbegins with one"), ("\n\n", "\n \n"),
    ("12", "34"), ("1", "2024-11-24"), ("don", "'t stop"), ("it", "'s"), ("a:", ":b"), (">", "<"), ("</", "|"),
    ("e\u0301te\u0301", "\u0301combining first"), ("\u1100", "\u1161\u11a8 jamo that compose"),
    ("\u6771\u4eac", "\u90fd\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059\u3002"), ("caf\u00e9", "na\u00efve \U0001f600\u200d"),
    ("tab\t", "\t\ttab"), ("   ", "   "), ("def f(x):", "    return x + 1\n\n\n"), ("<sep>", "<|user|> user-defined"),
    ("half <|us", "er|> of one"), ("<se", "p>"),
]


def encoder(pre, specials):
    kv = diff_hf.load("bpe3k")
    kv = {**kv, "tokenizer.ggml.pre": (diff_hf.vocab_file.STRING, pre.encode())}
    tokens = kv["tokenizer.ggml.tokens"][1][1]
    for i, s in specials.items():
        tokens[i] = s.encode()
    t = diff_hf.hf_bpe(kv, pre).t
    t.add_special_tokens([AddedToken(tokens[i].decode(), normalized=False) for i in (3072, 3073, 3074)])
    assert all(t.token_to_id(tokens[i].decode()) == i for i in (3072, 3073, 3074))
    return t


def lines():
    with open(TEMPLATE, encoding="utf-8", newline="") as f:
        template = f.read()
    joined = encoder("qwen2", {})
    roberta = encoder("gpt-2", {3073: "<s>", 3074: "</s>"})
    roberta.post_processor = processors.RobertaProcessing(("</s>", 3074), ("<s>", 3073), add_prefix_space=False)
    modern = encoder("gpt-2", {3073: "[CLS]", 3074: "[SEP]"})
    modern.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1",
                                                          [("[CLS]", 3073), ("[SEP]", 3074)])
    for q, p in PAIRS:
        text = template.replace("{query}", q).replace("{document}", p)
        for name, ids in (("qwen2", joined.encode(text, add_special_tokens=False).ids), ("roberta", roberta.encode(q, p).ids),
                          ("modernbert", modern.encode(q, p).ids)):
            yield f"{name} {q.encode().hex() or '-'} {p.encode().hex() or '-'} {' '.join(map(str, ids))}\n"


def main():
    if diff_hf.pre.tokenizers.__version__ != "0.23.3":
        sys.exit("want tokenizers 0.23.3")
    data = "".join(lines())
    if "--check" in sys.argv:
        with open(OUT, encoding="ascii") as f:
            sys.exit(f.read() != data and "tests/data/rank/pairs.txt differs")
    with open(OUT, "w", encoding="ascii") as f:
        f.write(data)
    print(f"{data.count(chr(10))} lines")


main()
