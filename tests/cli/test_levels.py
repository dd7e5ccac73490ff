"""What the program says of kernel levels, in one that has more of them than the build: tests/levels/more_levels.h.

Environment: STRATA_MORE_LEVELS (that program), STRATA_PROGRAM and STRATA_EMULATOR as for test_contract.py.
"""
import json
import os
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("STRATA_PROGRAM") or str(ROOT / "build/release/strata")
MORE = os.environ.get("STRATA_MORE_LEVELS") or str(ROOT / "build/release/more_levels")
EMULATOR = [w for w in os.environ.get("STRATA_EMULATOR", "").split("|") if w]
BERT = str(ROOT / "tests/data/tiny/bert.gguf")


def run(program, *args, cpu=None):
    """-> (exit code, stdout, stderr)"""
    env = {k: v for k, v in os.environ.items() if k != "STRATA_CPU"}
    p = subprocess.run(EMULATOR + [program, *args], capture_output=True, text=True, timeout=600,
                       env=dict(env, **({"STRATA_CPU": cpu} if cpu else {})))
    return p.returncode, p.stdout, p.stderr


def levels(program):
    code, out, _ = run(program, "version")
    assert code == 0
    line, = [x for x in out.splitlines() if x.startswith("kernels:")]
    return line.split()[1:]


class Levels(unittest.TestCase):
    def kernels(self, cpu):
        code, out, err = run(MORE, "info", BERT, "--json", cpu=cpu)
        self.assertEqual(code, 0, err)
        return json.loads(out)["kernels"]

    def test_version_lists_them_in_order(self):
        self.assertEqual(levels(MORE), levels(PROGRAM) + ["more1", "more2"])

    def test_each_is_a_cap(self):
        for name in levels(MORE):
            self.assertEqual(self.kernels(name), name)
        self.assertEqual(self.kernels(None), "more2")
        self.assertEqual(self.kernels("nowhere"), "more1")
        code, _, err = run(MORE, "info", BERT, cpu="more3")
        self.assertNotEqual(code, 0)
        self.assertIn("there is no kernel level 'more3'", err)

    def test_they_are_compared(self):
        for name in levels(MORE):
            code, out, err = run(MORE, "diff", BERT, "--against", name, "--ids", "1,5,9")
            self.assertEqual(code, 0, out + err)
        code, out, err = run(MORE, "verify", BERT)
        self.assertEqual(code, 0, out + err)
        for name in levels(MORE)[:-1]:
            self.assertIn(name, out)


if __name__ == "__main__":
    unittest.main()
