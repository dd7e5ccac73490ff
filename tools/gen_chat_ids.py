#!/usr/bin/env python3
"""Writes tests/data/chat/ids.dat: what HuggingFace's apply_chat_template(tokenize=True) makes of conversations.

    python3 -m venv /tmp/venv-tpl
    /tmp/venv-tpl/bin/pip install transformers==5.24.0 jinja2==3.1.6 tokenizers==0.23.3 sentencepiece==0.2.3
    /tmp/venv-tpl/bin/python tools/gen_chat_ids.py            # rewrites the file; needs the models of the full tests
    /tmp/venv-tpl/bin/python tools/gen_chat_ids.py --check    # fails if the committed file differs

Vocabularies: tests/data/tok/bpe3k.gguf, and those of SmolLM2-135M-Instruct and Gemma 3 270M from STRATA_TEST_MODELS; HF's
tokenizers are rebuilt from the files. Templates: the file's own, or of tests/data/template. Conversations: those of
tools/gen_templates.py but `attack`, whose users write control tokens, which HF would parse.

A file is a list of records `@key length`, newline, that many bytes, newline; `case` ends with the ids.
"""
import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "token")]
import diff_hf
import gen_templates
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

OUT = ROOT / "tests" / "data" / "chat" / "ids.dat"
MODELS = pathlib.Path(os.environ.get("STRATA_TEST_MODELS", pathlib.Path.home() / ".cache" / "strata-test-models"))
NORMAL, CONTROL, USER = 1, 3, 4


def bpe(kv):
    return diff_hf.hf_bpe(kv, diff_hf.vocab_file.get(kv, "pre").decode()).t


def gemma(kv):
    """Merges by score, every way to cut a piece in two, as transformers converts sentencepiece models."""
    tokens, scores = diff_hf.tokens_of(kv), diff_hf.vocab_file.get(kv, "scores")[1]
    types = diff_hf.vocab_file.get(kv, "token_type")[1]
    vocab = {s: i for i, s in enumerate(tokens)}
    normal = {s for s, t in zip(tokens, types) if t == NORMAL}
    merges = []
    for s in normal:
        cuts = [(s[:i], s[i:]) for i in range(1, len(s)) if s[:i] in normal and s[i:] in normal]
        cuts.sort(key=lambda c: (vocab[c[0]], vocab[c[1]]))
        merges += [(scores[vocab[s]], c) for c in cuts]
    merges.sort(key=lambda m: -m[0])
    t = Tokenizer(models.BPE(vocab=vocab, merges=[m[1] for m in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Replace(" ", "\u2581")
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    t.add_tokens([AddedToken(s, normalized=False) for s, k in zip(tokens, types) if k == USER and s.strip(" ")])
    return t


def tokenizer(path, build, template):
    kv = diff_hf.vocab_file.read(path)
    t = build(kv)
    names, types = diff_hf.tokens_of(kv), diff_hf.vocab_file.get(kv, "token_type")[1]
    t.add_special_tokens([AddedToken(s, normalized=False) for s, k in zip(names, types) if k == CONTROL])
    assert t.get_vocab_size() == len(names)
    bos, eos = (names[diff_hf.vocab_file.get(kv, k + "_token_id")] for k in ("bos", "eos"))
    if template is None:
        template = kv["tokenizer.chat_template"][1].decode()
    return PreTrainedTokenizerFast(tokenizer_object=t, bos_token=bos, eos_token=eos, chat_template=template)


# vocabulary, how HF builds it, template of tests/data/template (None: the file's own)
CASES = [("bpe3k", bpe, "qwen2.5"), ("bpe3k", bpe, "qwen3"), ("bpe3k", bpe, "chatml"),
         ("smollm2-135m-instruct-q4_1", bpe, None), ("gemma-3-270m-q4_k_m", gemma, "gemma3")]


def records():
    def record(key, value):
        data = value.encode()
        return b"@%s %d\n%s\n" % (key.encode(), len(data), data)

    for name, conversation in gen_templates.CONVERSATIONS.items():
        if name != "attack":
            yield record("conversation", name)
            yield record("messages", json.dumps(conversation["messages"], ensure_ascii=False))
            rest = {k: v for k, v in conversation.items() if k not in ("messages", "tools", "add_generation_prompt")}
            yield record("tools", json.dumps(conversation.get("tools"), ensure_ascii=False))
            yield record("variables", json.dumps(rest))
            yield record("prompt", "1" if conversation.get("add_generation_prompt") else "0")
    for vocab, build, template in CASES:
        path = ROOT / "tests/data/tok" / f"{vocab}.gguf"
        if not path.exists():
            path = MODELS / f"{vocab}.gguf"
        source = None if template is None else (ROOT / f"tests/data/template/{template}.jinja").read_text()
        if source and source.endswith("\n"):
            source = source[:-1]  # Jinja drops it, too
        t = tokenizer(path, build, source)
        yield record("vocabulary", vocab)
        yield record("template", template or "")
        for name, conversation in gen_templates.CONVERSATIONS.items():
            if name == "attack":
                continue
            try:
                ids = t.apply_chat_template(conversation["messages"], tokenize=True, return_dict=False,
                                            **{k: v for k, v in conversation.items() if k != "messages"})
            except Exception as e:  # templates raise what they like
                print(f"{vocab} {template} {name}: {type(e).__name__}: {str(e)[:80]}")
                continue
            yield record("case", name)
            yield record("ids", " ".join(map(str, ids)))


def main():
    if transformers.__version__ != "5.24.0":
        sys.exit(f"transformers {transformers.__version__} is installed, want 5.24.0")
    data = b"".join(records())
    if "--check" in sys.argv:
        sys.exit(OUT.read_bytes() != data and f"{OUT} differs")
    OUT.write_bytes(data)
    print(f"{data.count(b'@case')} cases, {len(data)} bytes")


main()
