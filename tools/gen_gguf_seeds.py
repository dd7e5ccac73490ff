#!/usr/bin/env python3
"""Writes the GGUF seeds of tests/fuzz/corpus/gguf: small files, one for each way in which a file can be wrong, and a few
that are right. Plain struct packing, so that the files do not depend on any GGUF library.

    python3 tools/gen_gguf_seeds.py            # rewrites the folder's files; they are committed
"""
import os
import struct

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "fuzz", "corpus", "gguf")
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PACK = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<B", U64: "<Q", I64: "<q", F64: "<d"}


def u32(v):
    return struct.pack("<I", v)


def u64(v):
    return struct.pack("<Q", v)


def string(s, length=None):
    s = s.encode() if isinstance(s, str) else s
    return u64(len(s) if length is None else length) + s


def value(t, v):
    return string(v) if t == STRING else struct.pack(PACK[t], v)


def kv(key, t, v):
    return string(key) + u32(t) + value(t, v)


def array(key, t, vs, count=None):
    return string(key) + u32(ARRAY) + u32(t) + u64(len(vs) if count is None else count) + b"".join(value(t, v) for v in vs)


def tensor(name, dims, t, offset, n_dims=None):
    n = len(dims) if n_dims is None else n_dims
    return string(name) + u32(n) + b"".join(u64(d) for d in dims) + u32(t) + u64(offset)


def head(n_tensors, n_kv, version=3):
    return b"GGUF" + u32(version) + u64(n_tensors) + u64(n_kv)


def padded(b, n=32):
    return b + bytes(-len(b) % n)


def build(kvs=(), tensors=(), data=b"", version=3, align=32):
    b = head(len(tensors), len(kvs), version) + b"".join(kvs) + b"".join(tensors)
    return padded(b, align) + data if tensors else b


ARCH = kv("general.architecture", STRING, "bert")
F4 = tensor("a", [4], 0, 0)
FLOATS = struct.pack("<4f", 1, 2, 3, 4)
seeds = {}

# ---- well-formed -----------------------------------------------------------------------------------------------------
SCALARS = [kv("k.u8", U8, 200), kv("k.i8", I8, -3), kv("k.u16", U16, 60000), kv("k.i16", I16, -300), kv("k.u32", U32, 4000000000),
           kv("k.i32", I32, -70000), kv("k.f32", F32, 1.5), kv("k.bool", BOOL, 1), kv("k.string", STRING, "text"),
           kv("k.u64", U64, 5000000000), kv("k.i64", I64, -5000000000), kv("k.f64", F64, 0.25), kv("k.f64_huge", F64, 1e300)]
ARRAYS = [array("a.u8", U8, [1, 2]), array("a.i8", I8, [-1]), array("a.u16", U16, [7, 8, 9]), array("a.i16", I16, [-7]),
          array("a.u32", U32, [10, 20, 30]), array("a.i32", I32, [5, -6]), array("a.f32", F32, [0.5, -0.5]),
          array("a.bool", BOOL, [1, 0, 1]), array("a.string", STRING, ["one", "", "three"]), array("a.u64", U64, [1 << 40]),
          array("a.i64", I64, [-1]), array("a.f64", F64, [3.5]), array("a.empty", STRING, [])]
seeds["ok_minimal"] = head(0, 0)
seeds["ok_all_types"] = build([ARCH] + SCALARS + ARRAYS,
                              [tensor("a", [4], 0, 0), tensor("b", [32, 2], 8, 32)], padded(FLOATS) + bytes(range(68)))
seeds["ok_version_2"] = build([ARCH], [F4], FLOATS, version=2)
seeds["ok_trailing_padding"] = build([ARCH], [F4], padded(FLOATS) + bytes(96))
seeds["ok_order"] = build([ARCH], [tensor("late", [4], 0, 32), tensor("early", [4], 0, 0)], padded(FLOATS) + FLOATS)
seeds["ok_alignment_8"] = build([kv("general.alignment", U32, 8)], [tensor("a", [4], 0, 8)], bytes(8) + FLOATS, align=8)
seeds["ok_runnable_or_not"] = build([ARCH], [tensor("a", [256], 19, 0)], bytes(50))

# ---- header ----------------------------------------------------------------------------------------------------------
seeds["empty"] = b""
seeds["magic_wrong"] = b"GGML" + u32(3) + u64(0) + u64(0)
seeds["magic_cut"] = b"GGU"
seeds["git_lfs_pointer"] = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
seeds["header_cut"] = head(0, 0)[:20]
seeds["version_1"] = head(0, 0, 1)
seeds["version_4"] = head(0, 0, 4)
seeds["big_endian"] = b"GGUF" + struct.pack(">IQQ", 3, 0, 0)

# ---- counts and lengths: CVE-2024-21836, -23605, -21825, -23496, -21802 ----------------------------------------------
seeds["n_tensors_huge"] = head(1 << 60, 0) + bytes(64)
seeds["n_tensors_wrap"] = head(0x0666666666666667, 0) + bytes(64)  # * 40 wraps to 24
seeds["n_kv_huge"] = head(0, 1 << 60) + bytes(64)
seeds["n_tensors_after_kv"] = head(2, 1) + ARCH + F4
seeds["array_count_huge"] = build([array("a", U32, [1], 1 << 62)])
seeds["array_count_wrap"] = build([array("a", U64, [1], (1 << 61) + 1)])  # * 8 wraps to 8
seeds["string_len_huge"] = build([string("a") + u32(STRING) + string("x", (1 << 64) - 1)])
seeds["key_len_huge"] = head(0, 1) + string("a", (1 << 64) - 1) + bytes(32)
seeds["key_empty"] = build([kv("", U32, 1)])
seeds["kv_cut_at_type"] = head(0, 1) + string("abcdefgh") + b"\x04\0"
seeds["array_cut"] = head(0, 1) + string("abcdefgh") + u32(ARRAY) + u32(U8) + b"\0\0"
seeds["n_dims_5"] = build([ARCH], [tensor("a", [1, 1, 1, 1, 4], 0, 0)], FLOATS)
seeds["n_dims_huge"] = build([ARCH], [tensor("a", [4], 0, 0, n_dims=0xFFFFFFFF)], FLOATS)
seeds["n_dims_0"] = build([ARCH], [tensor("a", [], 0, 0)] + [tensor("b", [4], 0, 0)], FLOATS)

# ---- error paths: CVE-2024-32878, -41130 -----------------------------------------------------------------------------
seeds["fails_after_strings"] = build([ARCH, array("t", STRING, ["a", "b"]), kv("general.architecture", STRING, "bert")])
seeds["string_of_other_type"] = build([kv("general.architecture", U32, 7)])

# ---- sizes: CVE-2025-53630, CVE-2026-27940, CVE-2026-33298 -----------------------------------------------------------
seeds["dims_product_wrap"] = build([ARCH], [tensor("a", [1 << 30, 1 << 30, 1 << 30], 0, 0)], FLOATS)
seeds["bytes_wrap"] = build([ARCH], [tensor("a", [1 << 30, 1 << 30, 2], 28, 0)], FLOATS)  # 2^61 of 8 bytes
seeds["offset_wrap"] = build([ARCH], [tensor("a", [8], 0, (1 << 64) - 32)], FLOATS)  # offset + 32 wraps to 0
seeds["sizes_sum_wrap"] = build([ARCH], [tensor("a", [1 << 30, 1 << 30], 0, 0), tensor("b", [1 << 30, 1 << 30], 0, 1 << 62)], FLOATS)

# ---- alignment: llama.cpp#24759, #24997, #26318 ----------------------------------------------------------------------
for a in (0, 4, 24, 8192, 1 << 31):
    seeds["alignment_%d" % a] = build([kv("general.alignment", U32, a)], [F4], FLOATS)
seeds["alignment_u64"] = build([kv("general.alignment", U64, 32)], [F4], FLOATS)
seeds["alignment_string"] = build([kv("general.alignment", STRING, "32")], [F4], FLOATS)

# ---- memory exhaustion: llama.cpp#15711, #19856 ----------------------------------------------------------------------
seeds["string_array_count_huge"] = build([array("a", STRING, ["x"], 1 << 40)])
seeds["string_array_cut"] = build([array("a", STRING, ["x", "long enough to be counted", ""], 4)])
seeds["string_array_long_item"] = build([string("a") + u32(ARRAY) + u32(STRING) + u64(2) + string("x") + string("y", 1 << 40)])

# ---- data beyond the file, dims cut to 32 bits: CVE-2026-7482, CVE-2026-53923 ----------------------------------------
seeds["tensor_beyond_file"] = build([ARCH], [tensor("a", [1024, 1024], 0, 0)], FLOATS)
seeds["tensor_one_byte_short"] = build([ARCH], [F4], FLOATS[:-1])
seeds["tensor_offset_beyond"] = build([ARCH], [tensor("a", [4], 0, 1 << 20)], FLOATS)
seeds["tensor_data_absent"] = head(1, 0) + tensor("a", [4], 0, 0)
seeds["dim_over_int32"] = build([ARCH], [tensor("a", [1 << 31], 24, 0)], FLOATS)
seeds["dim_32_bits_of_zero"] = build([ARCH], [tensor("a", [1 << 32], 0, 0)], FLOATS)
seeds["dim_0"] = build([ARCH], [tensor("a", [4, 0], 0, 0)], FLOATS)
seeds["block_not_whole"] = build([ARCH], [tensor("a", [16, 2], 8, 0)], bytes(34))

# ---- structure -------------------------------------------------------------------------------------------------------
seeds["array_of_arrays"] = build([string("a") + u32(ARRAY) + u32(ARRAY) + u64(1) + u32(U8) + u64(1) + b"\1"])
seeds["array_of_arrays_deep"] = build([string("a") + u32(ARRAY) + (u32(ARRAY) + u64(1)) * 500 + u32(U8) + u64(0)])
seeds["key_twice"] = build([kv("a.b", U32, 1), kv("a.b", U32, 2)])
seeds["tensor_twice"] = build([ARCH], [tensor("a", [4], 0, 0), tensor("a", [4], 0, 32)], padded(FLOATS) + FLOATS)
seeds["tensor_overlap"] = build([ARCH], [tensor("a", [16], 0, 0), tensor("b", [4], 0, 32)], bytes(64))
seeds["tensor_overlap_order"] = build([ARCH], [tensor("a", [4], 0, 32), tensor("b", [4], 0, 64), tensor("c", [16], 0, 0)], bytes(128))
seeds["tensor_misaligned"] = build([ARCH], [tensor("a", [4], 0, 4)], bytes(64))
seeds["tensor_name_empty"] = build([ARCH], [tensor("", [4], 0, 0)], FLOATS)
seeds["tensor_name_long"] = build([ARCH], [tensor("n" * 256, [4], 0, 0)], FLOATS)
seeds["tensor_type_unknown"] = build([ARCH], [tensor("a", [4], 99, 0)], FLOATS)
seeds["tensor_type_withdrawn"] = build([ARCH], [tensor("a", [32], 31, 0)], bytes(64))
seeds["tensor_record_cut"] = head(1, 0) + tensor("abcdefgh", [4], 0, 0)[:-4]
seeds["tensor_dims_cut"] = head(1, 0) + string("abcdefgh") + u32(4) + u64(4) + u64(4)
seeds["tensor_name_cut"] = head(1, 0) + string("a", 1000) + bytes(40)
seeds["value_type_unknown"] = build([string("a") + u32(13) + bytes(16)])
seeds["array_type_unknown"] = build([string("a") + u32(ARRAY) + u32(77) + u64(1) + bytes(16)])
seeds["bool_2"] = build([kv("a", BOOL, 2)])
seeds["bool_array_255"] = build([array("a", BOOL, [0, 1, 255])])
seeds["key_hostile"] = build([string(b"a\x1b[31m\n\0\xff" + b"z" * 100) + u32(99) + bytes(16)])

os.makedirs(OUT, exist_ok=True)
for name, data in seeds.items():
    with open(os.path.join(OUT, name + ".gguf"), "wb") as f:
        f.write(data)
print(len(seeds), "seeds,", sum(map(len, seeds.values())), "bytes")
