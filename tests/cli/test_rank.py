#!/usr/bin/env python3
"""strata rank, quantize and verify through the program: what scripts rely on. test_contract.py has what all commands share.

No reranker is committed: those of $STRATA_SHARED/goldens/tiny are used, and their tests are skipped, loudly, without it. That pairs
are joined as HuggingFace joins them is tests/unit/test_rank.c's.
"""
import json
import math
import os
import pathlib
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("STRATA_SHARED", ROOT.parent / "shared"))
PROGRAM = os.environ.get("STRATA_PROGRAM") or str(ROOT / "build/release/strata")
EMULATOR = [w for w in os.environ.get("STRATA_EMULATOR", "").split("|") if w]
BERT = ROOT / "tests/data/tiny/bert.gguf"
LLAMA = ROOT / "tests/data/tiny/llama-q8_0.gguf"


def run(*args, stdin=b""):
    """-> (exit code, stdout, stderr text)"""
    p = subprocess.run(EMULATOR + [PROGRAM, *map(str, args)], input=stdin, capture_output=True, timeout=600)
    return p.returncode, p.stdout, p.stderr.decode(errors="replace")


class Case(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.tmp = pathlib.Path(tmp.name)

    def ok(self, *args, **kw):
        code, out, err = run(*args, **kw)
        self.assertEqual(code, 0, f"{args}: {err}")
        return out.decode()

    def fails(self, code, *args, **kw):
        got, out, err = run(*args, **kw)
        self.assertEqual(got, code, f"{args}: {err}{out[:200]!r}")
        return out.decode(), err


class Rank(Case):
    def setUp(self):
        super().setUp()
        self.folder = SHARED / "goldens/tiny"
        if not self.folder.exists():
            message = f"NOT TESTED: rerankers: {self.folder} is not here"
            print("\n" + message, file=sys.stderr, flush=True)
            if os.environ.get("CI") == "true":
                self.fail(message)
            self.skipTest(message)
        self.model = self.folder / "bert-reranker.gguf"

    def rank(self, *args, **kw):
        return json.loads(self.ok("rank", "-m", self.model, "--query", "what", *args, **kw))

    def test_info_shows_labels(self):
        for name, n, names in (("bert-reranker", 1, None), ("qwen3-reranker", 2, ["yes", "no"])):
            path = self.folder / f"{name}.gguf"
            info, text = json.loads(self.ok("info", path, "--json")), self.ok("info", path)
            self.assertEqual(info["labels"], n)
            self.assertRegex(text, rf"(?m)^labels +{n}$")
            if names:
                self.assertEqual(info["label_names"], names)
                self.assertRegex(text, "(?m)^label names +" + ", ".join(names) + "$")
        info = json.loads(self.ok("info", BERT, "--json"))
        self.assertEqual((info["labels"], info["label_names"]), (0, []))
        self.assertNotIn("labels", self.ok("info", BERT))

    def test_scores_in_input_order(self):
        rows = self.rank("one", "another one", "")
        self.assertEqual([r["index"] for r in rows], [0, 1, 2])
        for i, text in enumerate(("one", "another one", "")):
            alone = self.rank("-t", "1", text)[0]
            self.assertEqual(alone["score"], rows[i]["score"])
            self.assertEqual(alone["n_tokens"], rows[i]["n_tokens"])
        probable = self.rank("--sigmoid", "one", "another one", "")
        for p, r in zip(probable, rows):
            self.assertAlmostEqual(p["score"], 1 / (1 + math.exp(-r["score"])), places=6)

    def test_pooled_is_the_raw_head(self):
        """--what pooled of these files: the goldens' logits."""
        for name in ("bert-reranker", "modernbert-reranker", "qwen3-reranker"):
            meta = json.loads((self.folder / f"{name}.json").read_text())
            for key, item in meta["inputs"].items():
                args = ["eval", "-m", self.folder / f"{name}.gguf", "--ids", ",".join(map(str, item["ids"])), "--what", "pooled"]
                if "token_type_ids" in item:
                    args += ["--types", ",".join(map(str, item["token_type_ids"]))]
                out = self.tmp / "x.npy"
                self.ok(*args, "-o", out)
                want = (self.folder / item["logits"]["file"]).read_bytes()
                got = out.read_bytes()[-len(want):]
                n = len(want) // 4
                for a, b in zip(struct.unpack(f"<{n}f", got), struct.unpack(f"<{n}f", want)):
                    self.assertAlmostEqual(a, b, delta=2e-4, msg=f"{name}/{key}")
                if n == 2:  # yes and no: the score is the sigmoid of their difference
                    a, b = struct.unpack("<2f", got)
                    self.assertAlmostEqual(1 / (1 + math.exp(b - a)), item["score"], delta=1e-4)

    def test_formats(self):
        rows = self.rank("a", "b")
        lines = self.ok("rank", "-m", self.model, "--query", "what", "--format", "jsonl", "a", "b").splitlines()
        self.assertEqual([json.loads(line) for line in lines], rows)
        tsv = self.ok("rank", "-m", self.model, "--query", "what", "--format", "tsv", "a", "b").splitlines()
        self.assertEqual([line.split("\t") for line in tsv], [[str(r["index"]), "%.9g" % r["score"]] for r in rows])
        out = self.tmp / "out.json"
        self.assertEqual(self.ok("rank", "-m", self.model, "--query", "what", "a", "b", "-o", out), "")
        self.assertEqual(json.loads(out.read_text()), rows)

    def test_jsonl_and_lines(self):
        source = self.tmp / "p.jsonl"
        source.write_text('{"body": "a"}\n{"body": 3}\n\n{"body": "b"}\n')
        code, out, err = run("rank", "-m", self.model, "--query", "what", "--jsonl", source, "--field", "body")
        rows = json.loads(out)
        self.assertEqual(code, 1)
        self.assertIn("p.jsonl:2", err)
        self.assertIn("p.jsonl:2", rows[1]["error"])
        want = self.rank("a", "b")
        self.assertEqual([rows[0]["score"], rows[2]["score"]], [r["score"] for r in want])
        self.assertEqual(self.rank(stdin=b"a\nb\n"), want)
        self.assertEqual(self.rank("--lines", "-", stdin=b"a\nb"), want)

    def test_top(self):
        texts = [f"passage {i * i}" for i in range(40)]
        rows = self.rank(*texts)
        want = sorted(rows, key=lambda r: (-r["score"], r["index"]))
        self.assertEqual(self.rank("--top", "5", *texts), want[:5])
        self.assertEqual(self.rank("--top", "400", *texts), want)
        self.assertEqual(self.rank("--top", "1", "x" * 9), self.rank("x" * 9))

    def test_truncation(self):
        long = "abc " * 300
        code, out, err = run("rank", "-m", self.model, "--query", "what", long, "b")
        self.assertEqual(code, 0)
        self.assertIn("1 of 2 passages", err)
        rows = json.loads(out)
        self.assertEqual((rows[0]["truncated"], rows[0]["n_tokens"], rows[1]["truncated"]), (True, 256, False))
        out, err = self.fails(1, "rank", "-m", self.model, "--query", "what", "--truncate", "error", long, "b")
        rows = json.loads(out)
        self.assertIn("256", rows[0]["error"])
        self.assertIn("score", rows[1])
        out, _ = self.fails(1, "rank", "-m", self.model, "--query", "what", "--truncate", "error", "--format", "tsv", long, "b")
        self.assertEqual(out.splitlines()[0], "0\tnan")

    def test_bad_utf8(self):
        out, err = self.fails(1, "rank", "-m", self.model, "--query", "what", "--lines", "-", stdin=b"ok\na\xff\n")
        self.assertIn("stdin:2", err)
        self.assertIn("error", json.loads(out)[1])
        rows = json.loads(self.ok("rank", "-m", self.model, "--query", "what", "--lossy", "--lines", "-", stdin=b"ok\na\xff\n"))
        self.assertEqual(rows[1]["score"], self.rank("a\ufffd")[0]["score"])
        line = b'{"query":"what","passages":["a\xe2\x82b"]}\n'
        rows = json.loads(self.ok("rank", "-m", self.model, "--lossy", "--jsonl", "-", stdin=line))
        self.assertEqual(rows["results"][0]["score"], self.rank("a\ufffdb")[0]["score"])

    def test_a_bad_query(self):
        """Its own fault, not that of a passage."""
        for model in ("bert-reranker", "modernbert-reranker"):
            args = ["rank", "-m", self.folder / f"{model}.gguf"]
            out, err = self.fails(1, *args, "--query", b"a\xff".decode("utf-8", "surrogateescape"), "x", "y")
            self.assertEqual((out, err), ("", "strata: the query is not UTF-8: byte 0xff at offset 1\n"))
            self.ok(*args, "--lossy", "--query", b"a\xff".decode("utf-8", "surrogateescape"), "x")
            for more in ([], ["--truncate", "error"]):
                out, err = self.fails(1, *args, *more, "--query", "what " * 400, "x")
                self.assertRegex(json.loads(out)[0]["error"], r"^text 1: the query and the .*: \d+ tokens, .* has \d+$")
                self.assertIn("the query and", err)

    def test_empty_input(self):
        self.assertEqual(self.rank("--jsonl", "-", stdin=b""), [])

    def test_usage(self):
        self.assertIn("--query", self.fails(2, "rank", "-m", self.model, "a")[1])
        self.assertIn("-m", self.fails(2, "rank", "--query", "a", "b")[1])
        self.assertIn("classification head", self.fails(2, "rank", "-m", BERT, "--query", "a", "b")[1])
        self.fails(3, "rank", "-m", self.tmp / "none.gguf", "--query", "a", "b")


class Quantize(Case):
    def types(self, path):
        return {t["name"] for t in json.loads(self.ok("info", path, "--json"))["types"]}

    def test_a_mix(self):
        out = self.tmp / "q.gguf"
        code, stdout, err = run("quantize", LLAMA, out, "Q4_K_M", "-v")
        self.assertEqual((code, stdout), (0, b""))
        self.assertIn("quantised already", err)
        self.assertRegex(err, r"blk\.0\.attn_v\.weight +Q8_0 -> Q\d_K, relative error 0\.0")
        self.assertIn("Q4_K", self.types(out))
        self.assertLess(out.stat().st_size, LLAMA.stat().st_size)
        self.ok("eval", "-m", out, "--ids", "1,2,3", "--what", "logits", "-o", self.tmp / "x.npy")
        self.assertEqual(sorted(p.name for p in self.tmp.iterdir()), ["q.gguf", "x.npy"])

    def test_threads_do_not_matter(self):
        for t in ("1", "3"):
            self.ok("quantize", BERT, self.tmp / t, "q5_1", "-t", t)
        self.assertEqual((self.tmp / "1").read_bytes(), (self.tmp / "3").read_bytes())

    def test_refusals(self):
        out = self.tmp / "q.gguf"
        _, err = self.fails(2, "quantize", BERT, out, "Q4_K_X")
        self.assertIn("did you mean 'Q4_K_", err)
        self.fails(2, "quantize", BERT, out)
        self.fails(2, "quantize", BERT, out, "Q8_0", "more")
        self.fails(3, "quantize", __file__, out, "Q8_0")
        _, err = self.fails(1, "quantize", self.tmp / "none.gguf", out, "Q8_0")
        self.assertIn("none.gguf", err)
        self.fails(1, "quantize", BERT, self.tmp / "no/such", "Q8_0")
        self.assertEqual(list(self.tmp.iterdir()), [])

    def test_links_stay_links(self):
        out, link = self.tmp / "q.gguf", self.tmp / "folder/link"
        link.parent.mkdir()
        self.ok("quantize", BERT, out, "Q8_0")
        link.symlink_to("../q.gguf")
        self.ok("quantize", BERT, link, "Q5_1")
        self.assertTrue(link.is_symlink())
        self.assertFalse(out.is_symlink())
        self.ok("quantize", BERT, self.tmp / "plain", "Q5_1")
        self.assertEqual(out.read_bytes(), (self.tmp / "plain").read_bytes())
        self.assertEqual([p.name for p in link.parent.iterdir()], ["link"])

    def test_a_pipe_is_written_into(self):
        pipe, link = self.tmp / "pipe", self.tmp / "link"
        os.mkfifo(pipe)
        link.symlink_to("pipe")
        self.ok("quantize", BERT, self.tmp / "q.gguf", "Q8_0")
        for path in (pipe, link):
            got = []
            reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
            reader.start()
            self.ok("quantize", BERT, path, "Q8_0")
            self.assertTrue(stat.S_ISFIFO(pipe.lstat().st_mode))
            self.assertTrue(link.is_symlink())
            reader.join(60)
            self.assertEqual(got, [(self.tmp / "q.gguf").read_bytes()])
        self.assertEqual(sorted(p.name for p in self.tmp.iterdir()), ["link", "pipe", "q.gguf"])

    def test_a_device_stays_one(self):
        device = self.tmp / "full"  # never the real one: a failing test must not replace it
        try:
            os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
            open(device, "wb").close()
        except OSError as e:
            self.skipTest(f"no device can be made and opened here: {e}")
        _, err = self.fails(1, "quantize", BERT, device, "Q8_0")
        self.assertIn("full: cannot write: No space left", err)
        self.assertTrue(stat.S_ISCHR(device.lstat().st_mode))
        self.assertEqual([p.name for p in self.tmp.iterdir()], ["full"])


class Verify(Case):
    def test_known(self):
        text = self.ok("verify", BERT)
        self.assertRegex(text, r"(?m)^model +ok +tiny bert in F32$")
        self.assertRegex(text, r"(?m)^vectors +ok +2 vectors: cosine min 1\.0")
        self.assertRegex(text, r"(?m)^kernels generic +ok|^machine +ok +kernels generic")
        rows = json.loads(self.ok("verify", BERT, "--json", "-t", "1"))
        self.assertEqual(rows[0], {"check": "model", "passed": True, "found": "tiny bert in F32"})
        self.assertIn("2 threads", [r["check"] for r in rows])

    def test_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        for more in ([], ["--json"]):
            with open("/dev/full", "wb") as full:
                p = subprocess.run(EMULATOR + [PROGRAM, "verify", str(BERT), *more], stdout=full, stderr=subprocess.PIPE,
                                   timeout=600)
            self.assertEqual(p.returncode, 1)
            self.assertIn(b"cannot write to the standard output", p.stderr)

    def test_unknown(self):
        other = ROOT / "tests/data/tok/spm4k.gguf"
        self.fails(3, "verify", other)  # a vocabulary alone
        self.fails(3, "verify", self.tmp / "none.gguf")
        self.fails(2, "verify")
        reranker = SHARED / "goldens/tiny/bert-reranker.gguf"
        if reranker.exists():
            out, _ = self.fails(1, "verify", reranker)
            self.assertRegex(out, r"(?m)^model +FAILED +not one with a reference")
            self.assertEqual(out.count("FAILED"), 1)


if __name__ == "__main__":
    unittest.main()
