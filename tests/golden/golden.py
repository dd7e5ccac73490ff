"""What the golden tests share: where data and programs are, and float files without numpy.

Goldens are what HuggingFace computes in float32; tests/data/README.md says where they come from. Those that are too large
for this repository lie in a folder beside it ($STRATA_SHARED). Without that folder their tests are skipped, loudly; with
CI=true they fail instead.
"""
import array
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("STRATA_SHARED", ROOT.parent / "shared"))
STRATA = Path(os.environ.get("STRATA_PROGRAM", ROOT / "build/release/strata"))
MODELS = Path(os.environ.get("STRATA_TEST_MODELS", Path.home() / ".cache/strata-test-models"))


def need(path, what):
    """path, or a skip that nobody overlooks (a failure under CI)."""
    if path.exists():
        return path
    message = f"NOT TESTED: {what}: {path} is not here"
    print("\n" + message, file=sys.stderr, flush=True)
    if os.environ.get("CI") == "true":
        raise AssertionError(message)
    raise unittest.SkipTest(message)


def run(*args, check=True, env=None, stdin=None):
    p = subprocess.run([str(STRATA), *map(str, args)], capture_output=True, env=dict(os.environ, **(env or {})), input=stdin)
    if check and p.returncode:
        raise AssertionError(f"strata {' '.join(map(str, args))[:300]}: exit {p.returncode}: {p.stderr.decode(errors='replace')[-600:]}")
    return p


def npy(path):
    """A float32 .npy file as (rows of array('f'), shape)."""
    data = Path(path).read_bytes()
    assert data[:6] == b"\x93NUMPY", path
    at = 10 if data[6] == 1 else 12
    n = struct.unpack("<H" if data[6] == 1 else "<I", data[8:at])[0]
    header = eval(data[at : at + n].decode("latin1"), {"False": False, "True": True})  # a dict literal, by the format
    assert header["descr"] == "<f4" and not header["fortran_order"], header
    values = array.array("f", data[at + n :])
    shape = header["shape"]
    cols = shape[-1] if shape else 1
    return [values[i : i + cols] for i in range(0, len(values), cols)], shape


def f32(path, cols):
    values = array.array("f", Path(path).read_bytes())
    return [values[i : i + cols] for i in range(0, len(values), cols)]


def cosine(a, b):
    ab = math.fsum(x * y for x, y in zip(a, b))
    return ab / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))


def compare(got, want):
    """max-abs, smallest and mean row cosine, relative RMS."""
    assert len(got) == len(want) and len(got[0]) == len(want[0]), (len(got), len(want), len(got[0]), len(want[0]))
    worst = max(abs(x - y) for g, w in zip(got, want) for x, y in zip(g, w))
    cos = [cosine(g, w) for g, w in zip(got, want)]
    err = math.fsum((x - y) ** 2 for g, w in zip(got, want) for x, y in zip(g, w))
    ref = math.fsum(y * y for w in want for y in w)
    return worst, min(cos), math.fsum(cos) / len(cos), math.sqrt(err / ref)


def jsonl(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


class Temp(unittest.TestCase):
    def setUp(self):
        self._dir = tempfile.TemporaryDirectory()
        self.tmp = Path(self._dir.name)

    def tearDown(self):
        self._dir.cleanup()
