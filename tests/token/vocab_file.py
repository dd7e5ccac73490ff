"""The vocabularies of tests/data/tok for the references: reads a GGUF's metadata, writes it with other values, makes a
sentencepiece model of it."""
import struct

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY, BOOL = 8, 9, 7


def read(path):
    """key -> (type, value); strings are bytes, arrays (element type, list)."""
    with open(path, "rb") as f:
        data = f.read()
    at = 24

    def take(fmt):
        nonlocal at
        v, = struct.unpack_from("<" + fmt, data, at)
        at += struct.calcsize("<" + fmt)
        return v

    def string():
        nonlocal at
        n = take("Q")
        at += n
        return data[at - n:at]

    def value(t):
        if t == STRING:
            return string()
        if t == ARRAY:
            elem, n = take("I"), take("Q")
            return elem, [value(elem) for _ in range(n)]
        return take(SCALARS[t])

    out = {}
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        key = string().decode()
        t = take("I")
        out[key] = (t, value(t))
    return out


def write(path, kv):
    def string(b):
        return struct.pack("<Q", len(b)) + b

    def value(t, v):
        if t == STRING:
            return string(v)
        if t == ARRAY:
            return struct.pack("<IQ", v[0], len(v[1])) + b"".join(value(v[0], x) for x in v[1])
        return struct.pack("<" + SCALARS[t], v)

    with open(path, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, 0, len(kv)))
        for k, (t, v) in kv.items():
            f.write(string(k.encode()) + struct.pack("<I", t) + value(t, v))


def get(kv, key, default=None):
    return kv["tokenizer.ggml." + key][1] if "tokenizer.ggml." + key in kv else default


# ---- protobuf, as much of it as a sentencepiece model needs: sentencepiece_model.proto ----

def _varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _num(field, n):
    return _varint(field << 3) + _varint(n)


def _blob(field, b):
    return _varint(field << 3 | 2) + _varint(len(b)) + b


def sentencepiece_model(kv):
    """The serialized ModelProto of a 'llama' or 't5' vocabulary."""
    unigram = get(kv, "model") == b"t5"
    out = b""
    types = get(kv, "token_type")[1]
    for piece, score, t in zip(get(kv, "tokens")[1], get(kv, "scores")[1], types):
        piece = piece.replace(b" ", "\u2581".encode())  # GGUF spells user-defined pieces with spaces
        out += _blob(1, _blob(1, piece) + _varint(2 << 3 | 5) + struct.pack("<f", score) + _num(3, t))
    trainer = _num(3, 1 if unigram else 2) + _num(35, 1 if 6 in types else 0)
    trainer += _num(40, types.index(2))
    norm = _num(3, get(kv, "add_space_prefix", True)) + _num(4, get(kv, "remove_extra_whitespaces", unigram)) + _num(5, 1)
    charsmap = get(kv, "precompiled_charsmap")
    if charsmap:
        norm += _blob(2, bytes(charsmap[1]))
    return out + _blob(2, trainer) + _blob(3, norm)
