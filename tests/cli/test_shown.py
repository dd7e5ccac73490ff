#!/usr/bin/env python3
"""What a file says is shown without what would steer a terminal; JSON has it exactly. json.c and shown.c have unit tests."""
import json
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("STRATA_PROGRAM") or str(ROOT / "build/release/strata")
EMULATOR = [w for w in os.environ.get("STRATA_EMULATOR", "").split("|") if w]
BERT = ROOT / "tests/data/tiny/bert.gguf"
HOSTILE = "a\x1b[2J\nb\x07\u009b31m\u202e\x7f\u00e9"


def with_keys(path, **keys):
    """The file with string keys more, of which it has none."""
    data = path.read_bytes()
    magic, version, n_tensors, n_kv = struct.unpack_from("<4sIQQ", data)
    more = b""
    for key, value in keys.items():
        k, v = key.replace("__", ".").encode(), value.encode()
        assert k not in data, key
        more += struct.pack("<Q", len(k)) + k + struct.pack("<IQ", 8, len(v)) + v
    more += b""
    # Tensor data stand at a multiple of 32 behind the directory: a key of filler keeps the distance.
    name = b"x.filler"
    head = struct.pack("<Q", len(name)) + name + struct.pack("<I", 8)
    room = -(len(more) + len(head) + 8) % 32
    more += head + struct.pack("<Q", room) + b"f" * room
    return struct.pack("<4sIQQ", magic, version, n_tensors, n_kv + len(keys) + 1) + more + data[24:]


class Shown(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.file = pathlib.Path(tmp.name) / "m.gguf"
        self.file.write_bytes(with_keys(BERT, strata__prompt__query=HOSTILE, strata__prompt__document=HOSTILE))

    def run_it(self, *args):
        p = subprocess.run(EMULATOR + [PROGRAM, *map(str, args)], capture_output=True, timeout=600)
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    def test_info(self):
        code, out, err = self.run_it("info", self.file)
        self.assertEqual(code, 0, err)
        self.assertIn("a?[2J?b??31m??\u00e9", out)
        for c in out.replace("\n", ""):
            self.assertTrue(c >= " " and not "\x7f" <= c <= "\u009f" and c != "\u202e", repr(c))
        code, out, err = self.run_it("info", "--json", self.file)
        self.assertEqual(json.loads(out)["prompt_query"], HOSTILE)

    def test_long_paths_keep_the_reason(self):
        deep = self.file.parent
        for _ in range(12):
            deep = deep / ("d" * 80)
        deep.mkdir(parents=True)
        bad = deep / "bad.gguf"
        bad.write_bytes(BERT.read_bytes()[:3000])
        code, _, err = self.run_it("info", bad)
        self.assertNotEqual(code, 0)
        self.assertIn("/bad.gguf: ", err)
        self.assertIn("...", err)
        code, _, short = self.run_it("info", bad.rename(self.file.parent / "bad.gguf"))
        self.assertEqual(err.split("bad.gguf: ")[1], short.split("bad.gguf: ")[1])


if __name__ == "__main__":
    unittest.main()
