"""examples/ run, and the code that README.md and strata.h show compiles and runs: what a newcomer tries first.

Environment, set by CMake: STRATA_EXAMPLES (folder of the built examples), STRATA_CC, STRATA_CC_FLAGS, STRATA_LIBRARY.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_contract import BERT, ROOT, need

FOLDER = os.environ.get("STRATA_EXAMPLES") or str(ROOT / "build/release/examples")
CC = os.environ.get("STRATA_CC", "cc")
LIBRARY = os.environ.get("STRATA_LIBRARY") or str(ROOT / "build/release/libstrata.a")
SHARED = pathlib.Path(os.environ.get("STRATA_SHARED", ROOT.parent / "shared"))
MODELS = pathlib.Path(os.environ.get("STRATA_TEST_MODELS", pathlib.Path.home() / ".cache/strata-test-models"))
TINY = str(ROOT / "tests/data/tiny/llama-q8_0.gguf")
DEEP = str(ROOT / "tests/data/tiny/gemma2-27b.gguf")


class Examples(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.tmp = pathlib.Path(tmp.name)

    def example(self, name, *args, code=0, stdin=b""):
        path = os.path.join(FOLDER, name)
        if not os.path.exists(path):
            self.skipTest(f"no {path}")
        p = subprocess.run([path, *map(str, args)], input=stdin, capture_output=True, timeout=600)
        self.assertEqual(p.returncode, code, p.stderr.decode())
        return p.stdout.decode(), p.stderr.decode()

    def test_all_are_built(self):
        if not os.path.isdir(FOLDER):
            self.skipTest(f"no {FOLDER}")
        built = {p for p in os.listdir(FOLDER) if os.access(os.path.join(FOLDER, p), os.X_OK)}
        for source in (ROOT / "examples").glob("*.c"):
            self.assertIn(source.stem, built)

    def test_embed(self):
        out, _ = self.example("embed", BERT, "one", "two", "one")
        rows = out.splitlines()
        self.assertEqual(len(rows), 3)
        self.assertTrue(rows[0].startswith(" 1.000") and rows[2].startswith(" 1.000") and "64 dims" in rows[0], out)
        self.assertIn("nope.gguf", self.example("embed", "nope.gguf", "x", code=1)[1])
        self.assertIn("UTF-8", self.example("embed", BERT, "x", b"\xff".decode(errors="surrogateescape"), code=1)[1])

    def test_embed_with_a_real_model(self):
        model = MODELS / "all-minilm-l6-v2-q8_0.gguf"
        need(self, model)
        out, _ = self.example("embed", model, "A cat sits on the mat", "A kitten is lying on a rug")
        self.assertEqual(out.splitlines()[1].split()[0], "0.565")  # as README has it

    def test_search(self):
        (self.tmp / "a.txt").write_text("the cat\n\nsomething else\n\n\n")
        (self.tmp / "b.txt").write_text("a third one")
        out, _ = self.example("search", BERT, self.tmp, "the cat", 2)
        self.assertEqual(len(out.splitlines()), 2)
        self.assertTrue(out.startswith(f" 1.000  {self.tmp}/a.txt: the cat"), out)
        self.example("search", BERT, self.tmp / "none", "x", code=1)

    def test_rank(self):
        self.assertIn("not a ranking model", self.example("rank", BERT, "q", "p", code=1)[1])
        model = SHARED / "goldens/tiny/bert-reranker.gguf"
        need(self, model)
        out, _ = self.example("rank", model, "q", "one", "two", "three")
        scores = [float(line.split()[0]) for line in out.splitlines()]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertEqual(len(scores), 3)

    def test_generate(self):
        out, err = self.example("generate", TINY, "a prompt", 5)
        self.assertIn("after 5 tokens", err)
        self.assertEqual(out, self.example("generate", TINY, "a prompt", 5)[0])
        self.example("generate", BERT, "x", code=1)

    def test_generate_is_stopped(self):
        path = os.path.join(FOLDER, "generate")
        if not os.path.exists(path):
            self.skipTest(f"no {path}")
        p = subprocess.Popen([path, DEEP, "a b c", "240"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=dict(os.environ, STRATA_CPU="generic"))
        p.stdout.read(1)
        p.send_signal(signal.SIGINT)
        p.stdout.read()
        self.assertIn(p.wait(60), (130, 0))
        p.stdout.close()
        p.stderr.close()

    def test_chat(self):
        out, _ = self.example("chat", TINY, stdin=b"hello\n")
        self.assertTrue(out.endswith("\n"))
        self.example("chat", TINY, "x" * 5000, code=1, stdin=b"hello\n")

    def test_schema(self):
        out, _ = self.example("schema", TINY, "x", '{"enum":[{"a":1},{"a":2}]}')
        self.assertIn(json.loads(out)["a"], (1, 2))
        self.assertIn("schema", self.example("schema", TINY, "x", "{", code=1)[1])

    def test_threads(self):
        self.assertIn("3 threads", self.example("threads", BERT, 3)[0])

    def test_cpp(self):
        if not os.path.exists(os.path.join(FOLDER, "cpp")):
            self.skipTest("no C++ compiler was found when it was built")
        self.assertEqual([line.split()[-2:] for line in self.example("cpp", BERT, "a", "b")[0].splitlines()], [["64", "dims"]] * 2)
        self.assertIn("nope", self.example("cpp", "nope", "a", code=1)[1])


class Snippets(unittest.TestCase):
    """Code in the documents, inside a main."""

    def compiled(self, body, models):
        if not os.path.exists(LIBRARY):
            self.skipTest(f"no {LIBRARY}")
        with tempfile.TemporaryDirectory() as tmp:
            source = re.sub(r"(?m)^#include.*\n", "", body)
            text = ("#include <stdio.h>\n#include <stdlib.h>\n#include <strata.h>\nint main(void)\n{\n" + source +
                    "\n    return 0;\n}\n")
            pathlib.Path(tmp, "x.c").write_text(text)
            done = subprocess.run([CC, "-std=c11", "-Wall", "-Wextra", "-Werror", *os.environ.get("STRATA_CC_FLAGS", "").split(),
                                   "-I", ROOT / "include", "x.c", LIBRARY, "-lm", "-pthread", "-o", "x"],
                                  cwd=tmp, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            for name in re.findall(r'"([^"]+\.gguf)"', source):
                for model in models:  # of any width: a snippet that assumes one is wrong
                    pathlib.Path(tmp, name).unlink(missing_ok=True)
                    os.symlink(model, os.path.join(tmp, name))
                    ran = subprocess.run([os.path.join(tmp, "x")], cwd=tmp, capture_output=True, text=True, timeout=60)
                    self.assertEqual((ran.returncode, ran.stderr), (0, ""), name)

    models = [BERT, str(ROOT / "tests/data/tiny/gemma-embedding.gguf")]

    def test_readme(self):
        blocks = re.findall(r"(?s)```c\n(.*?)```", (ROOT / "README.md").read_text())
        self.assertTrue(blocks)
        for block in blocks:
            self.compiled(block, self.models)

    def test_header(self):
        comment = (ROOT / "include/strata.h").read_text().split("*/", 1)[0]
        code = "\n".join(line[2:] for line in comment.splitlines() if line.startswith(" *     "))
        self.assertIn("strata_model_open", code)
        self.compiled(code, self.models)


if __name__ == "__main__":
    unittest.main()
