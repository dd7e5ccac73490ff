"""EmbeddingGemma-300M: Gemma 3 as a bidirectional encoder, SentencePiece vocabulary, two dense heads after pooling."""
import json

import gguf
import sentencepiece

ARCH = "gemma-embedding"
NAME = "Embeddinggemma 300m"

LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_feedforward_layernorm": "post_ffw_norm",
}
HEADS = (2, 3)  # folders N_Dense, tensors dense_N
# Added tokens that are control tokens although the folder's configuration does not call them special.
CONTROL = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")


def head_config(folder, n):
    return json.loads((folder / f"{n}_Dense/config.json").read_text())


def vocabulary(folder, size):
    """-> pieces, scores, types of the SentencePiece model, with the added tokens laid over it."""
    kinds = gguf.TokenType
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    pieces, scores, types = [], [], []
    for i in range(model.vocab_size()):
        pieces.append(model.id_to_piece(i))
        scores.append(model.get_score(i))
        if model.is_unknown(i):
            types.append(kinds.UNKNOWN)
        elif model.is_control(i):
            types.append(kinds.CONTROL)
        elif model.is_unused(i):
            types.append(kinds.UNUSED)
        elif model.is_byte(i):
            types.append(kinds.BYTE)
        else:
            types.append(kinds.NORMAL)
    # The embedding table may be longer than the vocabulary.
    for i in range(len(pieces), size):
        pieces.append(f"[PAD{i}]")
        scores.append(-10000.0)
        types.append(kinds.UNUSED)

    added = json.loads((folder / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    for key, token in added.items():
        i, text = int(key), token["content"]
        if i >= size:
            continue
        tagged = text.startswith(("<|", "<unused")) and text.endswith(">")
        if token.get("special") or text in CONTROL or tagged:
            types[i] = kinds.CONTROL
        else:
            types[i] = kinds.USER_DEFINED
            text = text.replace("\u2581", " ")
        pieces[i], scores[i] = text, -1000.0
    return [p.encode() for p in pieces], scores, types


def write_metadata(w, folder, config, name, file_type):
    w.add_name(name)
    w.add_block_count(config["num_hidden_layers"])
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(config["num_attention_heads"])
    w.add_head_count_kv(config["num_key_value_heads"])
    w.add_rope_freq_base(float(config["rope_theta"]))
    w.add_float32(f"{ARCH}.rope.freq_base_swa", float(config["rope_local_base_freq"]))
    w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    w.add_key_length(config["head_dim"])
    w.add_value_length(config["head_dim"])
    w.add_file_type(file_type)
    w.add_sliding_window(config["sliding_window"])
    for n in HEADS:
        head = head_config(folder, n)
        w.add_uint32(f"{ARCH}.dense_{n}_feat_in", head["in_features"])
        w.add_uint32(f"{ARCH}.dense_{n}_feat_out", head["out_features"])
    w.add_pooling_type(gguf.PoolingType.MEAN)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)

    pieces, scores, types = vocabulary(folder, config["vocab_size"])
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list(pieces)
    w.add_token_scores(scores)
    w.add_token_types(types)
    w.add_bos_token_id(config["bos_token_id"])
    w.add_eos_token_id(config["eos_token_id"])
    w.add_unk_token_id(pieces.index(b"<unk>"))
    w.add_pad_token_id(config["pad_token_id"])
    w.add_add_bos_token(True)
    w.add_add_eos_token(True)
    w.add_add_sep_token(False)
    w.add_add_space_prefix(False)


def tensors(folder, read):
    """(GGUF name, array): the heads, then the model in the file's order."""
    for n in HEADS:
        for _, values in read(folder / f"{n}_Dense/model.safetensors"):
            yield f"dense_{n}.weight", values
    for name, values in read(folder / "model.safetensors"):
        base = name.removeprefix("model.").removesuffix(".weight")
        if base.endswith("norm"):
            values = values + 1  # HF multiplies by 1 + weight, GGUF by the weight
        if base == "embed_tokens":
            yield "token_embd.weight", values
        elif base == "norm":
            yield "output_norm.weight", values
        else:
            _, layer, rest = base.split(".", 2)
            yield f"blk.{layer}.{LAYER[rest]}.weight", values
