#!/usr/bin/env python3
"""Token ids and decoded texts of `strata` against HuggingFace tokenizers and sentencepiece on random strings.

    diff_hf.py [--program build/release/strata] [--strings 100000] [--seed N] [NAME...]

Each vocabulary of tests/data/tok, and each way of pre-tokenizing (the vocabulary bpe3k with another tokenizer.ggml.pre),
on the same seeded strings: 100,000 for each unless told otherwise. `./test.sh full token` runs it. Ids without and with
special tokens around them, and the text that the ids decode to. Then vocabularies with added tokens, control tokens and
user-defined ones, on strings full of them and of white space: ids with --parse-special, and the text without special
tokens. Needs the packages of requirements.txt: without them this is skipped aloud, and fails with CI=true.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path[:0] = [HERE, os.path.join(ROOT, "tools")]
try:
    import sentencepiece
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

    import gen_pretokenizers as pre
except ImportError as e:
    print(f"\n** SKIPPED: {e}; pip install -r tests/token/requirements.txt **\n", file=sys.stderr)
    sys.exit(1 if os.environ.get("CI") == "true" else 0)
import added as cutting
import vocab_file

DATA = os.path.join(ROOT, "tests", "data", "tok")
BATCH = 10000


def strings(seed, n):
    """Words and oddities of many scripts, code points of all classes, and texts cut at random places."""
    rnd = random.Random(seed)
    by_class, fixed = pre.pools()
    classes = sorted(by_class)
    prose = ("The quick brown fox doesn't jump over 13 lazy dogs; it's 3.14 times FASTER.\n\tdef f(x): return {'a': [1, 2]}  "
             "# ok?\n\nInternationalization of the user's configuration files, see the documentation for details. "
             "Les élèves français naïfs, Größe und Straße, Привет мир, 東京都は日本の首都です。中文分词测试。한국어 텍스트 ")
    for _ in range(n):
        parts = []
        for _ in range(rnd.randint(1, 10)):
            kind = rnd.random()
            if kind < 0.35:
                parts.append(rnd.choice(rnd.choice(fixed)))
            elif kind < 0.6:
                a = rnd.randrange(len(prose))
                parts.append(prose[a:a + rnd.randint(1, 24)])
            elif kind < 0.7:
                parts.append(" " * rnd.randint(1, 5))
            elif kind < 0.85:
                parts.append("".join(rnd.choice("etaoinsrhldcumfpgwybvkxjqz") for _ in range(rnd.randint(1, 9))))
            else:
                parts.append(chr(rnd.choice(by_class[rnd.choice(classes)])) * rnd.choice((1, 1, 1, 2, 3)))
        yield "".join(parts)


# ---- references: encode_batch -> lists of ids, decode_batch -> texts, and the ids put around a text ----

class HF:
    def __init__(self, tokenizer):
        self.t = tokenizer

    def encode(self, texts):
        return [e.ids for e in self.t.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids):
        return self.t.decode_batch(ids, skip_special_tokens=False)


class SentencePiece:
    def __init__(self, kv):
        self.t = sentencepiece.SentencePieceProcessor(model_proto=vocab_file.sentencepiece_model(kv))

    def encode(self, texts):
        return self.t.encode(texts, num_threads=1)

    def decode(self, ids):
        return self.t.decode(ids, num_threads=1)


class Cut:
    """A reference that knows no added tokens, behind a cut as HuggingFace makes it."""

    def __init__(self, kv, inner, types):
        self.inner, self.flags, self.tokens = inner, cutting.known_flags(kv), cutting.of_types(kv, types)

    def encode(self, texts):
        cuts = [cutting.cut(t, self.tokens, self.flags) for t in texts]
        between = iter(self.inner.encode([t[a:b] for t, c in zip(texts, cuts) for a, b, i in c if i is None]))
        return [[x for a, b, i in c for x in (next(between) if i is None else [i])] for c in cuts]

    def decode(self, ids):
        return self.inner.decode(ids)


def tokens_of(kv):
    return [t.decode(errors="surrogateescape") for t in vocab_file.get(kv, "tokens")[1]]


def added(t, kv, kinds):
    types = vocab_file.get(kv, "token_type")[1]
    t.add_tokens([AddedToken(s, normalized=False) for s, k in zip(tokens_of(kv), types) if k in kinds])
    return HF(t)


def hf_bpe(kv, name, whole=("llama-bpe", "tekken", "minicpm5")):
    stages, nfc = pre.SPECS[name]
    merges = [tuple(m.decode().split(" ")) for m in vocab_file.get(kv, "merges")[1]]
    t = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(tokens_of(kv))}, merges=merges,
                             ignore_merges=name in whole))
    if nfc:
        t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence(stages)
    t.decoder = decoders.ByteLevel()
    return added(t, kv, (4,))


def hf_wordpiece(kv, lower):
    """GGUF spells a piece that starts a word with U+2581, one that goes on without '##'."""
    vocab, types = {}, vocab_file.get(kv, "token_type")[1]
    for i, s in enumerate(tokens_of(kv)):
        whole = s[:1] == "[" and s[-1:] == "]" or types[i] != 1
        vocab[s if whole else s[1:] if s[:1] == "\u2581" else "##" + s] = i
    t = Tokenizer(models.WordPiece(vocab=vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(lowercase=lower)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(cleanup=True)
    return HF(t)


def hf_spm(kv):
    """Merges by score, as transformers' converter makes them: every way to cut a piece in two pieces."""
    tokens, scores = tokens_of(kv), vocab_file.get(kv, "scores")[1]
    types = vocab_file.get(kv, "token_type")[1]
    vocab = {s: i for i, s in enumerate(tokens)}
    normal = {s for s, t in zip(tokens, types) if t == 1}
    merges = []
    for s in normal:
        cuts = [(s[:i], s[i:]) for i in range(1, len(s)) if s[:i] in normal and s[i:] in normal]
        cuts.sort(key=lambda c: (vocab[c[0]], vocab[c[1]]))
        merges += [(scores[vocab[s]], c) for c in cuts]
    merges.sort(key=lambda m: -m[0])
    t = Tokenizer(models.BPE(vocab=vocab, merges=[m[1] for m in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    return HF(t)


def load(name):
    return vocab_file.read(os.path.join(DATA, name + ".gguf"))


def cases():
    """name -> (metadata, reference)"""
    kv = load("wp3k-cased")
    yield "bert cased", kv, hf_wordpiece(kv, False)
    kv = {**kv, "tokenizer.ggml.normalizer.lowercase": (vocab_file.BOOL, True)}
    yield "bert uncased", kv, hf_wordpiece(kv, True)
    kv = load("spm4k")
    yield "llama spm4k (HF)", kv, hf_spm(kv)
    yield "llama spm4k (sentencepiece)", kv, SentencePiece(kv)
    kv = load("spm2k-ud")
    yield "llama spm2k-ud (sentencepiece)", kv, SentencePiece(kv)
    for name in pre.SPECS:
        kv = {**load("bpe3k"), "tokenizer.ggml.pre": (vocab_file.STRING, name.encode())}
        yield "gpt2 " + name, kv, hf_bpe(kv, name)
    for name in ("ugm8k", "ugm8k-bf", "ugm3k-cf"):
        kv = load(name)
        yield f"t5 {name} (sentencepiece)", kv, Cut(kv, SentencePiece(kv), (4,))


# ---- added tokens ----

L, R = cutting.LSTRIP, cutting.RSTRIP
SPACES = ["", "", " ", "  ", "\n", " \n\t", "\u00a0", "\u3000", "\u2003 ", "\r\n", "\u200b", "\u2581", "\u2028", "\x1c"]


def with_added(name, tokens, **values):
    """A vocabulary with tokens (spelling -> type) behind its own, and other values of its keys."""
    kv = load(name)
    for key, more in ("tokens", [s.encode() for s in tokens]), ("token_type", list(tokens.values())), ("scores", [0.0] * len(tokens)):
        if "tokenizer.ggml." + key in kv:
            t, (elem, items) = kv["tokenizer.ggml." + key]
            kv["tokenizer.ggml." + key] = (t, (elem, items + more))
    for key, value in values.items():
        kv[key.replace("__", ".")] = (vocab_file.STRING, value.encode())
    return kv


def teach(reference, kv, tokens, flags):
    """The same tokens for HuggingFace."""
    t = reference.t
    own = {s: k for s, k in zip(tokens_of(kv), vocab_file.get(kv, "token_type")[1]) if k in (2, 3)}
    t.add_special_tokens([AddedToken(s, normalized=False) for s in own if s not in tokens])
    for s, kind in tokens.items():
        f = flags.get(s, 0)
        token = AddedToken(s, normalized=False, lstrip=bool(f & L), rstrip=bool(f & R))
        assert (t.add_special_tokens if kind == 3 else t.add_tokens)([token]) == 1 or t.token_to_id(s) is not None
    return reference


def added_cases():
    """name -> (metadata, reference, added tokens)"""
    roles = {"<|user|>": 3, "<|end|>": 3, "<|assistant|>": 3, "<|endoftext|>": 3, "<|x|> y": 4, "<tool>": 4}
    phi3 = {s: R for s in ("<|user|>", "<|end|>", "<|assistant|>", "<|x|> y")}
    kv = with_added("spm4k", roles, general__architecture="phi3")
    yield "llama, Phi-3's", kv, teach(hf_spm(kv), kv, roles, phi3), roles
    kv = with_added("spm4k", roles)
    yield "llama, no flags", kv, teach(hf_spm(kv), kv, roles, {}), roles
    im = {"<|im_open|>": 3, "<|im_sep|>": 3, "<|dummy_1|>": 4, "<tool>": 4, "\n\n": 4, "  ": 4}
    kv = with_added("bpe3k", im, general__architecture="phi3", tokenizer__ggml__pre="dbrx")
    strips = {s: L | R for s in im if "|" in s}
    yield "gpt2, Phi-4's", kv, teach(hf_bpe(kv, "llama-bpe", whole=()), kv, im, strips), im
    mask = {"<mask>": 3, "<pad>": 3, "<tool>": 4}
    for name in ("gpt-2", "qwen2"):
        kv = with_added("bpe3k", mask, tokenizer__ggml__pre=name)
        yield f"gpt2 {name}, <mask>", kv, teach(hf_bpe(kv, name), kv, mask, {"<mask>": L}), mask
    kv = with_added("wp3k-cased", mask)
    yield "bert, <mask>", kv, teach(hf_wordpiece(kv, False), kv, mask, {"<mask>": L}), mask
    for name in ("ugm8k", "ugm8k-bf", "ugm3k-cf"):
        own = {s: 3 for s in ("<mask>", "<pad>", "</s>") if s in tokens_of(load(name))}
        more = {s: k for s, k in mask.items() if s not in own}
        kv = with_added(name, more)
        yield f"t5 {name}, <mask>", kv, Cut(kv, SentencePiece(kv), (2, 3, 4)), {**own, **more}


def added_strings(seed, n, tokens):
    rnd = random.Random(seed)
    words = ["a", "hello", "World", "1", "\u00e9", "\u6771\u4eac", ".", "<", "<|", "|>", "x y", "mask>"]
    for _ in range(n):
        yield "".join(rnd.choice((rnd.choice(SPACES), rnd.choice(words), rnd.choice(tokens), rnd.choice(tokens)))
                      for _ in range(rnd.randint(1, 16)))


def compare_added(program, name, kv, reference, tokens, texts):
    """Number of strings whose ids, or text without special tokens, differ."""
    differ = 0
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "vocab.gguf")
        vocab_file.write(model, kv)
        want = reference.encode(texts)
        got = [r["ids"] for r in run_strata(program, "tokenize", model, [{"text": t} for t in texts], "--no-special", "--parse-special")]
        plain = [r["text"] for r in run_strata(program, "detokenize", model, [{"ids": x} for x in want], "--skip-special")]
        if isinstance(reference, HF):
            wanted = reference.t.decode_batch(want, skip_special_tokens=True)
        else:
            special = {i for i, t in enumerate(vocab_file.get(kv, "token_type")[1]) if t in (2, 3, 5)}
            wanted = reference.decode([[i for i in x if i not in special] for x in want])
        assert len(got) == len(plain) == len(texts)
        for t, w, g, p, wp in zip(texts, want, got, plain, wanted):
            if g == w and p == wp:
                continue
            differ += 1
            if differ <= 5:
                print(f"  {name}: {ascii(t)}\n    want {w} {ascii(wp)}\n    got  {g} {ascii(p)}")
    print(f"{name:34} {len(texts):7} strings, {differ} differ", flush=True)
    return differ


def around(kv):
    """What add_special puts before and after."""
    bert = vocab_file.get(kv, "model") == b"bert"
    bos, eos = (vocab_file.get(kv, k + "_token_id") for k in (("cls", "seperator") if bert else ("bos", "eos")))
    tokens = vocab_file.get(kv, "tokens")[1]
    if bert and bos is None:
        bos, eos = tokens.index(b"[CLS]"), tokens.index(b"[SEP]")
    t5, llama = (vocab_file.get(kv, "model") == m for m in (b"t5", b"llama"))
    pre_bos = vocab_file.get(kv, "pre") in (b"llama-bpe", b"tekken")
    add_bos = vocab_file.get(kv, "add_bos_token", bert or llama or pre_bos)
    add_eos = vocab_file.get(kv, "add_eos_token", bert or t5)
    return [bos] if add_bos and bos is not None else [], [eos] if add_eos and eos is not None else []


def run_strata(program, command, model, lines, *options):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as f:
        f.writelines(json.dumps(x) + "\n" for x in lines)
        f.flush()
        p = subprocess.run([program, command, "-m", model, "--jsonl", f.name, *options], capture_output=True, text=True,
                           encoding="utf-8", check=False)
    if p.returncode:
        sys.exit(f"{program} {command}: exit {p.returncode}: {p.stderr[:2000]}")
    return [json.loads(line) for line in p.stdout.split("\n") if line]


def compare(program, name, kv, reference, texts):
    """Number of strings whose ids or text differ."""
    differ = 0
    front, back = around(kv)
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "vocab.gguf")
        vocab_file.write(model, kv)
        for i in range(0, len(texts), BATCH):
            batch = texts[i:i + BATCH]
            want = reference.encode(batch)
            got = [r["ids"] for r in run_strata(program, "tokenize", model, [{"text": t} for t in batch], "--no-special")]
            special = [r["ids"] for r in run_strata(program, "tokenize", model, [{"text": t} for t in batch])]
            decoded = [r["text"] for r in run_strata(program, "detokenize", model, [{"ids": x} for x in want])]
            decode = reference.decode(want)
            assert len(got) == len(special) == len(decoded) == len(batch)
            for t, w, g, s, d, wd in zip(batch, want, got, special, decoded, decode):
                if g == w and s == front + w + back and d == wd:
                    continue
                differ += 1
                if differ <= 5:
                    print(f"  {name}: {ascii(t)}\n    want {w} {ascii(wd)}\n    got  {g} {ascii(d)} special {s[:3]}...{s[-3:]}")
    print(f"{name:34} {len(texts):7} strings, {differ} differ", flush=True)
    return differ


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--program", default=os.path.join(ROOT, "build", "release", "strata"))
    p.add_argument("--strings", type=int, default=100000)
    p.add_argument("--seed", type=int, default=20261124)
    p.add_argument("names", nargs="*", help="only the cases that hold one of these words")
    a = p.parse_args()
    for module, want in ((pre.tokenizers, "0.23.3"), (sentencepiece, "0.2.3")):
        if module.__version__ != want:
            sys.exit(f"{module.__name__} {module.__version__} is installed, want {want}")
    print(f"making {a.strings} strings", flush=True)
    texts = list(strings(a.seed, a.strings))
    differ = total = 0
    for name, kv, reference in cases():
        if a.names and not any(n in name for n in a.names):
            continue
        differ += compare(a.program, name, kv, reference, texts)
        total += len(texts)
    for name, kv, reference, tokens in added_cases():
        name = "added: " + name
        if a.names and not any(n in name for n in a.names):
            continue
        texts = list(added_strings(a.seed, a.strings // 4, list(tokens)))
        differ += compare_added(a.program, name, kv, reference, tokens, texts)
        total += len(texts)
    print(f"{total} comparisons, {differ} differ")
    sys.exit(1 if differ or not total else 0)


if __name__ == "__main__":
    main()
