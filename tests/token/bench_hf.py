#!/usr/bin/env python3
"""Speed of HuggingFace tokenizers (and sentencepiece) on a GGUF file's vocabulary, as bench.c measures strata's.

    bench_hf.py FILE.gguf TEXT...

MB/s of one thread in CPU time, best of 5: encode_batch_fast on pieces of 2,000 characters, and the whole as one string. The
tokenizer is rebuilt from the file as diff_hf.py does it. Needs the packages of requirements.txt.
"""
import os
import sys
import time

os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
import diff_hf
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

RUNS = 5


def gemma(kv):
    t = diff_hf.hf_spm(kv).t
    if not diff_hf.vocab_file.get(kv, "add_space_prefix", True):
        t.normalizer = normalizers.Replace(" ", "\u2581")
    return t


def unigram(kv):
    pieces = list(zip(diff_hf.tokens_of(kv), diff_hf.vocab_file.get(kv, "scores")[1]))
    t = Tokenizer(models.Unigram(pieces, diff_hf.vocab_file.get(kv, "token_type")[1].index(2), 6 in diff_hf.vocab_file.get(kv, "token_type")[1]))
    charsmap = diff_hf.vocab_file.get(kv, "precompiled_charsmap")
    if charsmap:
        t.normalizer = normalizers.Precompiled(bytes(charsmap[1]))
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Metaspace()
    return t


def build(kv):
    kind = diff_hf.vocab_file.get(kv, "model").decode()
    if kind == "bert":
        return diff_hf.hf_wordpiece(kv, diff_hf.vocab_file.get(kv, "normalizer.lowercase", True)).t
    if kind == "gpt2":
        return diff_hf.hf_bpe(kv, diff_hf.vocab_file.get(kv, "pre").decode()).t
    return gemma(kv) if kind == "llama" else unigram(kv)


def best(n, work):
    took = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return n / min(took) / 1e6


def main():
    kv = diff_hf.vocab_file.read(sys.argv[1])
    t = build(kv)
    kind = diff_hf.vocab_file.get(kv, "model").decode()
    print(f"{os.path.basename(sys.argv[1])}: {kind}, HuggingFace tokenizers")
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8", newline="") as f:
            text = f.read()
        n = len(text.encode())
        pieces = [text[i:i + 2000] for i in range(0, len(text), 2000)]
        batch = best(n, lambda: t.encode_batch_fast(pieces, add_special_tokens=False))
        whole = best(n, lambda: t.encode(text, add_special_tokens=False))
        print(f"  {path:24} {n / 1e6:8.2f} MB  whole {whole:7.1f} MB/s  pieces {batch:7.1f} MB/s")
        if kind in ("t5", "llama") and 2 in diff_hf.vocab_file.get(kv, "token_type")[1]:
            s = diff_hf.SentencePiece(kv).t
            print(f"    sentencepiece          whole {best(n, lambda: s.encode([text], num_threads=1)):7.1f} MB/s"
                  f"  pieces {best(n, lambda: s.encode(pieces, num_threads=1)):7.1f} MB/s")


main()
