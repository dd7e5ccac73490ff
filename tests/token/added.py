"""How HuggingFace cuts added tokens out of a text (added_vocabulary.rs), for references that do not know them."""
import re

LSTRIP, RSTRIP, WORD = 1, 2, 4
# Unicode's White_Space, which Rust's \s is; Python's \s has U+001C to U+001F too.
SPACE = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"


def known_flags(kv):
    """spelling -> flags, of the vocabularies that the tests have."""
    model = kv["tokenizer.ggml.model"][1]
    if kv.get("general.architecture", (8, b""))[1] == b"phi3" and model == b"llama":
        roles = ["assistant", "system", "end", "user"] + [f"placeholder{i}" for i in range(1, 7)]
        return {s: RSTRIP for s in [f"<|{r}|>" for r in roles] + ["</s>"]}
    return {"<mask>": LSTRIP}


def cut(text, tokens, flags):
    """Parts of text: (begin, end, id), or (begin, end, None) for what lies between. tokens: spelling -> id."""
    if not tokens:
        return [(0, len(text), None)] if text else []
    longest = re.compile("|".join(re.escape(s) for s in sorted(tokens, key=len, reverse=True)))
    out, at = [], 0
    for m in longest.finditer(text):
        begin, end, f = m.start(), m.end(), flags.get(m.group(), 0)
        if f & WORD and (re.search(r"\w$", text[:begin]) or re.match(r"\w", text[end:])):
            continue
        if f & LSTRIP:
            begin = max(re.search(SPACE + "*$", text[:begin]).start(), at)
        if f & RSTRIP:
            end += re.match(SPACE + "*", text[end:]).end()
        if at < begin:
            out.append((at, begin, None))
        out.append((begin, end, tokens[m.group()]))
        at = end
    if at < len(text):
        out.append((at, len(text), None))
    return out


def of_types(kv, types):
    """spelling -> id of the tokens of these GGUF types; the first id of a spelling, spaces as a text has them."""
    out = {}
    for i, (s, t) in enumerate(zip(kv["tokenizer.ggml.tokens"][1][1], kv["tokenizer.ggml.token_type"][1][1])):
        s = s.decode(errors="replace")
        if t in types and s.strip(" \u2581"):
            out.setdefault(s, i)
            out.setdefault(s.replace("\u2581", " "), i)
    return out


def cuts_user(kv):
    """Does HuggingFace cut user-defined tokens out before it puts a space in front?"""
    return kv["tokenizer.ggml.model"][1] in (b"llama", b"t5") and kv.get("tokenizer.ggml.add_space_prefix", (7, True))[1]
