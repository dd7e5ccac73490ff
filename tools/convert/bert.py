"""BERT with a WordPiece vocabulary: sentence-transformers' folders such as all-MiniLM-L6-v2."""
import json

import gguf

ARCH = "bert"
NAME = "all-MiniLM-L6-v2"

TABLES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
CONTROL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def pooling(folder):
    """What 1_Pooling says; a bare BERT has none and is pooled by its first token."""
    path = folder / "1_Pooling/config.json"
    if not path.exists():
        return gguf.PoolingType.CLS
    modes = json.loads(path.read_text())
    if modes.get("pooling_mode_mean_tokens"):
        return gguf.PoolingType.MEAN
    if modes.get("pooling_mode_cls_token"):
        return gguf.PoolingType.CLS
    raise SystemExit(f"convert: {path}: only mean and cls pooling are known")


def piece(token):
    """GGUF marks the beginning of a word with U+2581, WordPiece files its continuation with ##."""
    if token in CONTROL:
        return token
    return token[2:] if token.startswith("##") else "\u2581" + token


def write_metadata(w, folder, config, name, file_type):
    w.add_name(name)
    w.add_block_count(config["num_hidden_layers"])
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(config["num_attention_heads"])
    w.add_layer_norm_eps(config["layer_norm_eps"])
    w.add_causal_attention(False)
    w.add_pooling_type(pooling(folder))
    w.add_file_type(file_type)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)

    vocab = (folder / "vocab.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    ids = {token: i for i, token in enumerate(vocab)}
    w.add_token_type_count(config["type_vocab_size"])
    w.add_tokenizer_model("bert")
    w.add_tokenizer_pre("jina-v2-en")
    w.add_token_list([piece(t) for t in vocab])
    w.add_token_types([gguf.TokenType.CONTROL if t in CONTROL else gguf.TokenType.NORMAL for t in vocab])
    w.add_bos_token_id(ids["[CLS]"])
    w.add_eos_token_id(ids["[SEP]"])
    w.add_unk_token_id(ids["[UNK]"])
    w.add_sep_token_id(ids["[SEP]"])
    w.add_pad_token_id(ids["[PAD]"])
    w.add_mask_token_id(ids["[MASK]"])
    w.add_add_bos_token(True)
    w.add_add_eos_token(True)
    w.add_add_sep_token(False)
    lower = json.loads((folder / "tokenizer_config.json").read_text()).get("do_lower_case", True)
    w.add_bool("tokenizer.ggml.normalizer.lowercase", lower)


def tensors(folder, read):
    """(GGUF name, array), in the file's order. The pooler belongs to a task that embeddings do not use."""
    for name, values in read(folder / "model.safetensors"):
        base, kind = name.removeprefix("bert.").rsplit(".", 1)
        if base == "embeddings" or base.startswith("pooler."):
            continue
        if base in TABLES:
            yield f"{TABLES[base]}.{kind}", values
        else:
            _, _, layer, rest = base.split(".", 3)
            yield f"blk.{layer}.{LAYER[rest]}.{kind}", values
