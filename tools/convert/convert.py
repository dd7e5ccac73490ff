#!/usr/bin/env python3
"""Writes a GGUF file from a model's HuggingFace folder.

    python tools/convert/convert.py FOLDER OUT.gguf [--type q8_0|f16|f32] [--name NAME]

Knows BERT with WordPiece (bert.py) and EmbeddingGemma (embeddinggemma.py). Names, keys and numbers are those that
llama.cpp's converter writes. Matrices take the type asked for; vectors, position and token-type tables stay float32. OUT
appears whole or not at all.
"""
import argparse
import json
import os
import pathlib
import sys

import gguf
import numpy
import safetensors

import bert
import embeddinggemma

ARCHITECTURES = {"bert": bert, "gemma3_text": embeddinggemma}
TYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
KEPT_FLOAT = ("position_embd.weight", "token_types.weight")


def add_tensor(writer, name, values, kind):
    values = numpy.ascontiguousarray(values, dtype=numpy.float32)
    if values.ndim < 2 or name in KEPT_FLOAT or kind == gguf.GGMLQuantizationType.F32:
        writer.add_tensor(name, values)
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)


def read_tensors(path):
    """(name, array) of a safetensors file, in its order."""
    with safetensors.safe_open(path, framework="numpy") as f:
        for name in f.keys():
            yield name, f.get_tensor(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--type", choices=TYPES, default="q8_0")
    parser.add_argument("--name", help="general.name (default: the architecture's usual one)")
    args = parser.parse_args()

    config = json.loads((args.folder / "config.json").read_text())
    module = ARCHITECTURES.get(config.get("model_type"))
    if module is None:
        sys.exit(f"convert: model_type '{config.get('model_type')}' is not known, only: {', '.join(ARCHITECTURES)}")
    kind, file_type = TYPES[args.type]
    part = args.out.with_name(args.out.name + ".part")
    writer = gguf.GGUFWriter(str(part), module.ARCH)
    module.write_metadata(writer, args.folder, config, args.name or module.NAME, file_type)
    for name, values in module.tensors(args.folder, read_tensors):
        add_tensor(writer, name, values, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, args.out)


main()
