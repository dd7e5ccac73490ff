"""The contract of the program, line by line, through the program: what scripts rely on.

Environment: STRATA_PROGRAM (default build/release/strata), STRATA_EMULATOR (a command before it, '|' between words).
"""
import json
import math
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("STRATA_PROGRAM") or str(ROOT / "build/release/strata")
EMULATOR = [w for w in os.environ.get("STRATA_EMULATOR", "").split("|") if w]
BERT = str(ROOT / "tests/data/tiny/bert.gguf")  # width 64, context 256, mean pooling, encoder
GEMMA = str(ROOT / "tests/data/tiny/gemma-embedding.gguf")  # dense heads, Matryoshka, prompts
DECODER = str(ROOT / "tests/data/tiny/gemma3.gguf")  # has logits
SPM = str(ROOT / "tests/data/tok/spm4k.gguf")  # vocabulary only
WORDPIECE = str(ROOT / "tests/data/tok/wp3k-cased.gguf")  # vocabulary only


def run(*args, stdin=b"", env=None):
    """-> (exit code, stdout bytes, stderr text)"""
    p = subprocess.run(EMULATOR + [PROGRAM, *map(str, args)], input=stdin, capture_output=True, timeout=600,
                       env=dict(os.environ, **(env or {})))
    return p.returncode, p.stdout, p.stderr.decode(errors="replace")


def read_npy(data):
    """-> (shape, list of floats)"""
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    size = 10 + struct.unpack("<H", data[8:10])[0]
    assert size % 64 == 0
    header = eval(data[10:size].decode("ascii"), {})  # a literal, written by the program under test
    assert header["descr"] == "<f4" and header["fortran_order"] is False, header
    values = list(struct.unpack(f"<{(len(data) - size) // 4}f", data[size:]))
    assert len(values) == math.prod(header["shape"]), header
    return header["shape"], values


def float32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def has_output(pid, folder):
    """Is a file of that folder open for writing? It may have no name yet."""
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{fd}").startswith(folder + "/") for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def need(test, path):
    """The test is skipped without this file or folder; with CI=true, where it has to be, it fails."""
    if not path.exists():
        message = f"NOT TESTED: {path} is not here"
        print("\n" + message, file=sys.stderr, flush=True)
        test.fail(message) if os.environ.get("CI") == "true" else test.skipTest(message)


class Case(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.addCleanup(self.tmp.cleanup)

    def path(self, name):
        return os.path.join(self.tmp.name, name)

    def read(self, name):
        return pathlib.Path(self.path(name)).read_bytes()

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)
        return self.path(name)

    def ok(self, *args, **kw):
        code, out, err = run(*args, **kw)
        self.assertEqual(code, 0, f"{args}: {err}")
        return out

    def fails(self, code, *args, **kw):
        got, out, err = run(*args, **kw)
        self.assertEqual(got, code, f"{args}: {err}{out[:200]!r}")
        self.assertTrue(err.strip(), f"{args}: no message")
        return out, err

    def vectors(self, *args, **kw):
        return json.loads(self.ok("embed", "-m", BERT, *args, **kw))


class Usage(Case):
    def test_exit_code_2(self):
        for args in ([], ["nonsense"], ["embed"], ["embed", "-m"], ["embed", "-m", BERT, "--nonsense", "x"],
                     ["embed", "-m", BERT, "--format", "xml", "x"], ["embed", "-m", BERT, "-t", "0", "x"],
                     ["embed", "-m", BERT, "-t", "many", "x"], ["embed", "-m", BERT, "--dims", "x", "x"],
                     ["embed", "-m", BERT, "--lossy=1", "x"], ["embed", "-m", BERT, "--jsonl", "-", "--lines", "-"],
                     ["embed", "-m", BERT, "--similarity", "--format", "npy", "x"], ["tokenize", "x"], ["info"],
                     ["info", BERT, BERT], ["eval", "-m", BERT, "--ids", "1"], ["eval", "-m", BERT, "--what", "hidden"],
                     ["eval", "-m", BERT, "--ids", "1,x", "--what", "hidden"],
                     ["eval", "-m", BERT, "--ids", "1,2", "--types", "0", "--what", "hidden"],
                     ["detokenize", "-m", SPM, "one"], ["version", "x"]):
            self.fails(2, *args)

    def test_did_you_mean(self):
        self.assertIn("embed", self.fails(2, "emebd")[1])
        self.assertIn("--format", self.fails(2, "embed", "--fromat", "npy")[1])

    def test_help_fits_a_screen_and_shows_examples(self):
        for command in ([], ["embed"], ["tokenize"], ["detokenize"], ["eval"], ["info"], ["plan"], ["diff"], ["version"],
                        ["quantize"], ["verify"], ["completion"], ["man"], ["help"]):
            text = self.ok(*command, "--help").decode()
            self.assertLessEqual(len(text.splitlines()), 30 if command != ["tokenize"] else 42, command)  # as long as generate's
            self.assertLessEqual(max(map(len, text.splitlines())), 88, command)
            self.assertIn("strata ", text.splitlines()[-1] + text.splitlines()[-4])
        self.assertEqual(self.ok("help", "embed"), self.ok("embed", "-h"))

    def test_option_forms(self):
        want = self.vectors("--normalize", "none", "-t", "1", "a b")
        self.assertEqual(want, self.vectors("--normalize=none", "-t1", "a b"))
        self.assertEqual(want, self.vectors("a b", "--normalize=none"))
        self.assertEqual(self.vectors("--", "-x"), self.vectors(stdin=b"-x\n"))

    def test_version(self):
        out = self.ok("version").decode()
        self.assertRegex(out, r"^strata \d+\.\d+\.\d+\n")
        self.assertIn("generic", out)
        self.assertEqual(out, self.ok("--version").decode())


class Models(Case):
    def test_exit_code_3(self):
        whole = pathlib.Path(BERT).read_bytes()
        bad = {"missing": self.path("missing.gguf"), "folder": self.tmp.name, "empty": self.write("empty", b""),
               "text": self.write("text", b"not a model\n"), "header": self.write("header", whole[:24]),
               "half": self.write("half", whole[: len(whole) // 2]),
               "arch": self.write("arch", whole.replace(b"\4\0\0\0\0\0\0\0bert", b"\4\0\0\0\0\0\0\0nope", 1))}
        for name, path in bad.items():
            for args in (["embed", "-m", path, "x"], ["info", path], ["plan", path],
                         ["eval", "-m", path, "--ids", "1", "--what", "hidden", "-o", self.path("x")]):
                out, err = self.fails(3, *args)
                self.assertEqual(out, b"", name)
                self.assertEqual(len(err.strip().splitlines()), 1, err)

    def test_info(self):
        self.assertIn("bert", self.ok("info", BERT).decode())
        info = json.loads(self.ok("info", GEMMA, "--json"))
        self.assertEqual(info["architecture"], "gemma-embedding")
        self.assertEqual((info["width"], info["vocabulary"], info["context"]), (64, 320, 256))
        self.assertEqual(info["dense_heads"], "present")
        self.assertEqual(sum(t["tensors"] for t in info["types"]), info["tensors"])
        self.assertEqual(info, json.loads(self.ok("info", "-m", GEMMA, "--json")))

    def test_no_mmap(self):
        """Every command that opens a model takes it, and says the same; that the file is not mapped: test_chat.py."""
        for args in (["embed", "-m", GEMMA, "x"], ["tokenize", "-m", SPM, "x"], ["detokenize", "-m", SPM, "5"], ["info", GEMMA],
                     ["eval", "-m", BERT, "--ids", "1,2", "--what", "hidden"], ["plan", BERT], ["diff", BERT], ["verify", BERT],
                     ["generate", "-m", DECODER, "-p", "x", "-n", "4"], ["chat", "-m", DECODER, "-n", "4"]):
            self.assertEqual(self.ok(*args, "--no-mmap", stdin=b"x\n"), self.ok(*args, stdin=b"x\n"), args)
            self.assertIn("--no-mmap", self.ok(args[0], "--help").decode())
        self.ok("bench", "-m", BERT, "--lengths", "8", "--batches", "1", "--runs", "1", "--no-mmap")
        for name, args in (("a", []), ("b", ["--no-mmap"])):
            self.ok("quantize", BERT, self.path(name), "Q8_0", *args)
        self.assertEqual(self.read("a"), self.read("b"))
        self.assertNotIn("option", self.fails(2, "rank", "-m", BERT, "--query", "x", "y", "--no-mmap")[1])  # BERT is no reranker
        self.assertIn("--no-mmap", self.ok("rank", "--help").decode())

    def test_plan_and_diff(self):
        self.assertIn(b"ATTN", self.ok("plan", BERT).upper())
        self.ok("diff", BERT)
        self.ok("diff", BERT, "--against", "generic", "--ids", "1,5,9")
        self.fails(2, "diff", BERT, "--against", "nonsense")

    def test_kernel_cap(self):
        info = json.loads(self.ok("info", BERT, "--json", env={"STRATA_CPU": "generic"}))
        self.assertEqual(info["kernels"], "generic")
        args = ["embed", "-m", BERT, "--format", "f32", "same text, same bits"]
        self.assertEqual(self.ok(*args), self.ok(*args, env={"STRATA_CPU": "generic"}))

    def test_silent_by_default_verbose_on_request(self):
        self.assertEqual(run("embed", "-m", BERT, "x")[2], "")
        quiet, steps, tensors = (run("embed", "-m", BERT, "x", *v)[2] for v in ([], ["-v"], ["-vv"]))
        self.assertTrue(len(quiet) < len(steps) < len(tensors))
        self.assertNotIn("token_embd", steps)
        self.assertIn("token_embd.weight", tensors)


class Embed(Case):
    def test_json(self):
        out = self.vectors("one", "two texts")
        self.assertEqual([set(o) for o in out], [{"index", "embedding", "n_tokens", "truncated"}] * 2)
        self.assertEqual([o["index"] for o in out], [0, 1])
        self.assertIs(out[0]["truncated"], False)
        for o in out:
            self.assertEqual(len(o["embedding"]), 64)
            self.assertAlmostEqual(math.fsum(x * x for x in o["embedding"]), 1, places=5)

    def test_formats_agree(self):
        args = ["embed", "-m", BERT, "one", "two texts", "three"]
        rows = [o["embedding"] for o in json.loads(self.ok(*args))]
        lines = [json.loads(line)["embedding"] for line in self.ok(*args, "--format", "jsonl").splitlines()]
        shape, npy = read_npy(self.ok(*args, "--format", "npy"))
        raw = self.ok(*args, "--format", "f32")
        self.assertEqual(rows, lines)
        self.assertEqual(shape, (3, 64))
        # Printed floats give every bit back.
        flat = [float32(x) for row in rows for x in row]
        self.assertEqual(npy, flat)
        self.assertEqual(struct.pack("<192f", *flat), raw)

    def test_output_file(self):
        args = ["embed", "-m", BERT, "one", "two", "--format", "npy"]
        out = self.ok(*args)
        target = self.path("v.npy")
        self.assertEqual(self.ok(*args, "-o", target), b"")
        self.assertEqual(self.read("v.npy"), out)
        self.assertEqual(self.ok(*args, "-o", "-"), out)
        self.assertEqual(os.listdir(self.tmp.name), ["v.npy"])
        os.symlink(target, self.path("link"))
        self.ok(*args, "three", "-o", self.path("link"))
        self.assertTrue(os.path.islink(self.path("link")))
        self.assertEqual(read_npy(self.read("v.npy"))[0], (3, 64))
        self.fails(1, *args, "-o", self.path("no/such/folder"))
        self.ok(*args, "-o", "/dev/null")
        self.assertTrue(os.path.exists("/dev/null") and not os.path.isfile("/dev/null"))

    def test_npy_into_a_seekable_stdout(self):
        args = EMULATOR + [PROGRAM, "embed", "-m", BERT, "one", "two", "--format", "npy"]
        for mode in ("wb", "ab"):
            with open(self.path(mode), mode) as f:
                subprocess.run(args, stdout=f, check=True)
            self.assertEqual(read_npy(self.read(mode))[0], (2, 64))

    def test_full_disk(self):
        if os.path.exists("/dev/full"):
            for format in ("json", "npy"):
                _, err = self.fails(1, "embed", "-m", BERT, *["text"] * 200, "--format", format, "-o", "/dev/full")
                self.assertIn("cannot write /dev/full: No space left", err)
            for what in ("logits", "hidden"):
                _, err = self.fails(1, "eval", "-m", DECODER, "--ids", ",".join("5" * 200), "--what", what, "-o", "/dev/full")
                self.assertIn("cannot write /dev/full: No space left", err)

    def test_inputs(self):
        want = [o["embedding"] for o in self.vectors("one", "two", "three")]
        lines = self.write("t.txt", b"one\ntwo\r\nthree")
        jsonl = self.write("t.jsonl", b'{"text":"one","n":1}\n\n{"x":{"text":"no"},"text":"two"}\n{"text":"thr\\u0065e"}\n')
        field = self.write("f.jsonl", b'{"body":"one"}\n{"body":"two","text":"x"}\n{"body":"three"}')
        for got in (self.vectors(stdin=b"one\ntwo\nthree\n"), self.vectors("--lines", lines),
                    self.vectors("--lines", "-", stdin=b"one\ntwo\nthree"), self.vectors("--jsonl", jsonl),
                    self.vectors("--jsonl", "-", stdin=self.read("t.jsonl")),
                    self.vectors("--jsonl", field, "--field", "body"),
                    self.vectors("one", "two", "--lines", self.write("u", b"three\n"))):
            self.assertEqual([o["embedding"] for o in got], want)
        self.fails(1, "embed", "-m", BERT, "--jsonl", self.path("missing"))
        self.fails(1, "embed", "-m", BERT, "--lines", self.tmp.name)

    def test_no_texts(self):
        self.assertEqual(self.vectors(stdin=b""), [])
        self.assertEqual(self.ok("embed", "-m", BERT, "--format", "jsonl"), b"")
        self.assertEqual(read_npy(self.ok("embed", "-m", BERT, "--format", "npy"))[0], (0, 64))
        self.assertEqual(self.ok("embed", "-m", BERT, "--format", "f32"), b"")

    def test_empty_text_is_a_text(self):
        # This vocabulary adds nothing around a text, so that an empty one has no token; its row stays.
        out, _ = self.fails(1, "embed", "-m", BERT, stdin=b"one\n\ntwo\n")
        self.assertEqual(["error" in o for o in json.loads(out)], [False, True, False])

    def test_a_bad_line_fails_itself_only(self):
        lines = [b'{"text":"one"}', b'{"text":', b'{"other":"x"}', b'{"text":7}', b'{"text":"\xff"}', b'{"text":"two"}']
        path = self.write("bad.jsonl", b"\n".join(lines))
        out, err = self.fails(1, "embed", "-m", BERT, "--jsonl", path, "--format", "jsonl")
        got = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([o["index"] for o in got], list(range(6)))
        self.assertEqual(["error" in o for o in got], [False, True, True, True, True, False])
        self.assertTrue(all(set(o) == {"index", "error"} for o in got[1:5]))
        for n in (2, 3, 4, 5):
            self.assertIn(f"bad.jsonl:{n}", got[n - 1]["error"])
            self.assertIn(f"bad.jsonl:{n}", err)
        good = [o["embedding"] for o in self.vectors("one", "two")]
        self.assertEqual([got[0]["embedding"], got[5]["embedding"]], good)
        out, _ = self.fails(1, "embed", "-m", BERT, "--jsonl", path, "--format", "npy")
        shape, v = read_npy(out)
        self.assertEqual(shape, (6, 64))
        self.assertEqual([math.isnan(v[i * 64]) and math.isnan(v[i * 64 + 63]) for i in range(6)],
                         [False, True, True, True, True, False])
        out, _ = self.fails(1, "embed", "-m", BERT, "--jsonl", path)
        self.assertEqual(len(json.loads(out)), 6)
        # The file appears also when a text has failed.
        self.fails(1, "embed", "-m", BERT, "--jsonl", path, "--format", "f32", "-o", self.path("v.f32"))
        self.assertEqual(os.path.getsize(self.path("v.f32")), 6 * 64 * 4)

    def test_text_that_is_not_utf8(self):
        out, err = self.fails(1, "embed", "-m", BERT, stdin=b"fine\nab\xffc\n")
        self.assertRegex(json.loads(out)[1]["error"], r"stdin:2.*\b2\b")  # the byte offset
        replaced = self.vectors("--lossy", stdin=b"ab\xffc\n")
        self.assertEqual(replaced, self.vectors("ab\ufffdc"))
        self.assertEqual(replaced, self.vectors("--lossy", "--jsonl", "-", stdin=b'{"text":"ab\xffc"}'))
        self.assertEqual(replaced, self.vectors("--lossy", "--jsonl", "-", stdin=b'{"text":"ab\\ud800c"}'))

    def test_nul_inside(self):
        a, b, c = self.vectors("--jsonl", "-", stdin=b'{"text":"a\\u0000b"}\n{"text":"a"}\n{"text":"ab"}\n')
        self.assertNotEqual(a["embedding"], b["embedding"])
        self.assertEqual(a["embedding"], self.vectors(stdin=b"a\0b\n")[0]["embedding"])

    def test_truncate(self):
        # One byte token a byte, in this vocabulary, and a few tokens around.
        long = b"\xc2\xa7" * 400
        code, out, err = run("embed", "-m", BERT, stdin=long + b"\nshort\n" + long)
        self.assertEqual(code, 0, err)
        got = json.loads(out)
        self.assertEqual([o["truncated"] for o in got], [True, False, True])
        self.assertEqual(got[0]["n_tokens"], 256)
        self.assertRegex(err, r"warning: 2 of 3 texts.*end")
        self.assertEqual(len(err.splitlines()), 1)
        out, err = self.fails(1, "embed", "-m", BERT, "--truncate", "error", stdin=long + b"\nshort\n")
        self.assertEqual(["error" in o for o in json.loads(out)], [True, False])
        mixed = b"a" * 400 + b"\xc2\xa7" * 400
        end, start = (self.vectors("--truncate", t, stdin=mixed)[0]["embedding"] for t in ("end", "start"))
        self.assertNotEqual(end, start)

    def test_normalize_and_pooling(self):
        raw = self.vectors("--normalize", "none", "a text")[0]["embedding"]
        unit = self.vectors("a text")[0]["embedding"]
        norm = math.sqrt(math.fsum(x * x for x in raw))
        self.assertNotAlmostEqual(norm, 1, places=2)
        for a, b in zip(raw, unit):
            self.assertAlmostEqual(a / norm, b, places=5)
        pooled = {p: self.vectors("--pooling", p, "a text")[0]["embedding"] for p in ("mean", "cls", "last")}
        self.assertEqual(pooled["mean"], unit)
        self.assertEqual(len({tuple(v) for v in pooled.values()}), 3)

    def test_pooling_none_gives_a_row_a_token(self):
        args = ["--pooling", "none", "--normalize", "none"]
        item = self.vectors(*args, "a text")[0]
        rows = item["embedding"]
        self.assertEqual((len(rows), len(rows[0])), (item["n_tokens"], 64))
        shape, v = read_npy(self.ok("embed", "-m", BERT, *args, "a text", "b", "--format", "npy"))
        self.assertEqual([float32(x) for x in rows[0]], v[:64])
        self.assertGreater(shape[0], len(rows))
        mean = [math.fsum(column) / len(rows) for column in zip(*rows)]
        for a, b in zip(mean, self.vectors("--normalize", "none", "a text")[0]["embedding"]):
            self.assertAlmostEqual(a, b, places=4)
        self.fails(2, "embed", "-m", BERT, *args, "--dims", "8", "x")

    def test_dims(self):
        self.fails(2, "embed", "-m", BERT, "--dims", "32", "x")
        self.fails(2, "embed", "-m", BERT, "--dims", "65", "--force-dims", "x")
        cut = self.vectors("--dims", "16", "--force-dims", "a text")[0]["embedding"]
        whole = self.vectors("a text")[0]["embedding"][:16]
        norm = math.sqrt(math.fsum(x * x for x in whole))
        for a, b in zip(cut, whole):
            self.assertAlmostEqual(a, b / norm, places=5)
        self.assertEqual(len(cut), 16)

    def test_role(self):
        prompt = json.loads(self.ok("info", GEMMA, "--json"))["prompt_query"]
        self.assertEqual(prompt, "task: search result | query: ")
        asked = json.loads(self.ok("embed", "-m", GEMMA, "--role", "query", "a text"))[0]
        written = json.loads(self.ok("embed", "-m", GEMMA, prompt + "a text"))[0]
        self.assertEqual(asked["embedding"], written["embedding"])
        self.assertEqual(asked["prompt"], prompt)
        document = json.loads(self.ok("embed", "-m", GEMMA, "--role", "document", "a text"))[0]
        self.assertNotEqual(document["embedding"], asked["embedding"])

    def test_precision_of_float_weights(self):
        for p in ("i8", "f32"):
            self.ok("embed", "-m", BERT, "--precision", p, "x")

    def test_precision_bf16(self):
        unit = json.loads(self.ok("info", BERT, "--json"))["bf16"]
        self.assertIn(unit, (None, "amx", "avx512bf16"))
        if unit:
            self.ok("embed", "-m", BERT, "--precision", "bf16", "x")
            self.assertNotEqual(*(self.ok("eval", "-m", BERT, "--ids", "2,5", "--what", "hidden", "--precision", p) for p in ("f32", "bf16")))
        _, err = self.fails(2, "embed", "-m", BERT, "--precision", "bf16", "x", env={"STRATA_CPU": "generic"})
        for part in ("AMX (amx_tile, amx_bf16)", "AVX-512 BF16 (avx512_bf16)", "'generic'", "use precision i8"):
            self.assertIn(part, err)

    def test_similarity(self):
        out = self.ok("embed", "-m", BERT, "--similarity", "same", "same", "another one").decode().splitlines()
        self.assertEqual(len(out), 4)
        self.assertEqual(out[1].split()[:3], ["1", "1.000", "1.000"])
        self.assertTrue(out[3].endswith("another one"))

    def test_order_and_blocks(self):
        # More than one block, lengths mixed: the order stays, and batches do not change a bit.
        texts = [("word " * (i % 7) + str(i)).encode() for i in range(1500)]
        shape, v = read_npy(self.ok("embed", "-m", BERT, "--format", "npy", stdin=b"\n".join(texts)))
        self.assertEqual(shape, (1500, 64))
        for i in (0, 6, 1023, 1024, 1499):
            alone = self.ok("embed", "-m", BERT, "--format", "f32", stdin=texts[i])
            self.assertEqual(struct.pack("<64f", *v[i * 64 : i * 64 + 64]), alone, i)

    def test_threads_do_not_change_a_bit(self):
        texts = b"\n".join(b"text %d" % i for i in range(70))
        one, two = (self.ok("embed", "-m", BERT, "-t", t, "--format", "f32", stdin=texts) for t in (1, 2))
        self.assertEqual(one, two)

    def test_reader_that_goes_away(self):
        p = subprocess.Popen(EMULATOR + [PROGRAM, "embed", "-m", BERT, "--format", "jsonl"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdout.close()
        try:
            p.stdin.write(b"a text\n" * 3000)
            p.stdin.close()
        except BrokenPipeError:
            pass
        self.assertEqual(p.stderr.read(), b"")
        p.stderr.close()
        p.wait(60)

    def test_interrupt(self):
        p = subprocess.Popen(EMULATOR + [PROGRAM, "embed", "-m", BERT, "--format", "npy", "-o", self.path("v.npy")],
                             stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdin.write(b"a text\n")
        p.stdin.flush()
        deadline = time.time() + 60
        while time.time() < deadline and not has_output(p.pid, self.tmp.name):
            time.sleep(0.02)
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(60), -signal.SIGINT)
        p.stdin.close()
        p.stderr.close()
        self.assertEqual(os.listdir(self.tmp.name), [])


class Tokens(Case):
    def lines(self, *args, **kw):
        return [json.loads(line) for line in self.ok(*args, **kw).splitlines()]

    def test_tokenize(self):
        (plain,) = self.lines("tokenize", "-m", WORDPIECE, "--no-special", "hello")
        (special,) = self.lines("tokenize", "-m", WORDPIECE, "hello")
        self.assertEqual(set(plain), {"ids"})
        self.assertEqual(special["ids"], [2, *plain["ids"], 3])

    def test_pre_tokenizer_in_place_of_the_files(self):
        data = (ROOT / "tests/data/tok/bpe3k.gguf").read_bytes()
        key = b"tokenizer.ggml.pre" + bytes([8, 0, 0, 0])
        at = data.index(key) + len(key)
        size = int.from_bytes(data[at:at + 8], "little")
        name = data[at + 8:at + 8 + size].decode()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "unknown.gguf")
            with open(path, "wb") as f:
                f.write(data[:at + 8] + b"?" * size + data[at + 8 + size:])
            err = self.fails(3, "tokenize", "-m", path, "it's 12345")[1]
            self.assertIn(f"unknown.gguf: pre-tokenizer '{'?' * size}' is not supported", err)
            self.assertIn("--pre", err)
            want = self.lines("tokenize", "-m", str(ROOT / "tests/data/tok/bpe3k.gguf"), "it's 12345")
            self.assertEqual(self.lines("tokenize", "-m", path, "--pre", name, "it's 12345"), want)
            self.assertIn("'no-such'", self.fails(3, "tokenize", "-m", path, "--pre", "no-such", "x")[1])
        self.assertIn("has no pre-tokenizer", self.fails(3, "tokenize", "-m", WORDPIECE, "--pre", "gpt-2", "x")[1])

    def test_special_tokens_in_text(self):
        (as_text,) = self.lines("tokenize", "-m", WORDPIECE, "--no-special", "[SEP]")
        (parsed,) = self.lines("tokenize", "-m", WORDPIECE, "--no-special", "--parse-special", "[SEP]")
        self.assertEqual(parsed["ids"], [3])
        self.assertNotIn(3, as_text["ids"])

    def test_pieces_and_offsets(self):
        text = "héllo wörld"
        (t,) = self.lines("tokenize", "-m", SPM, "--text", text)
        self.assertEqual(len(t["ids"]), len(t["pieces"]))
        self.assertEqual(len(t["ids"]), len(t["offsets"]))
        raw = text.encode()
        self.assertEqual(b"".join(raw[a:b] for a, b in t["offsets"]), raw)

    def test_inputs(self):
        want = [t["ids"] for t in self.lines("tokenize", "-m", SPM, "one", "two")]
        for args, stdin in ((["--jsonl", "-"], b'{"text":"one"}\n{"text":"two"}\n'), ([], b"one\ntwo\n"),
                            (["--jsonl", "-", "--field", "t"], b'{"t":"one"}\n{"t":"two"}'), (["--lines", "-"], b"one\ntwo")):
            self.assertEqual([t["ids"] for t in self.lines("tokenize", "-m", SPM, *args, stdin=stdin)], want)

    def test_bad_text(self):
        out, err = self.fails(1, "tokenize", "-m", SPM, stdin=b"one\n\xc3(\ntwo\n")
        got = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(["ids" in o for o in got], [True, False, True])
        self.assertIn("stdin:2", err)
        self.assertEqual(self.lines("tokenize", "-m", SPM, "--lossy", stdin=b"a\xc3(\n"),
                         self.lines("tokenize", "-m", SPM, "a\ufffd("))

    def test_detokenize(self):
        for text in ("hello world", "a\nb", "héllo 你好"):
            line = self.ok("tokenize", "-m", SPM, "--no-special", "--jsonl", "-", stdin=json.dumps({"text": text}).encode())
            ids = json.loads(line)["ids"]
            for args, stdin in (([*map(str, ids)], b""), ([",".join(map(str, ids))], b""), (["--jsonl", "-"], line),
                                ([], line), (["--jsonl", "-"], json.dumps(ids).encode()),
                                ([], " ".join(map(str, ids)).encode())):
                self.assertEqual(self.lines("detokenize", "-m", SPM, *args, stdin=stdin), [{"text": text}])

    def test_detokenize_without_control_tokens(self):
        (t,) = self.lines("tokenize", "-m", SPM, "hello")
        (plain,) = self.lines("tokenize", "-m", SPM, "--no-special", "hello")
        self.assertEqual(t["ids"], [1, *plain["ids"]])
        self.assertEqual(self.lines("detokenize", "-m", SPM, *t["ids"], 2), [{"text": "<s> hello</s>"}])
        self.assertEqual(self.lines("detokenize", "-m", SPM, "--skip-special", *t["ids"], 2, 0), [{"text": "hello"}])

    def test_detokenize_cleans_up_spaces(self):
        (t,) = self.lines("tokenize", "-m", WORDPIECE, "--no-special", "a , b .")
        self.assertEqual(self.lines("detokenize", "-m", WORDPIECE, *t["ids"]), [{"text": "a, b."}])

    def test_bad_ids(self):
        out, err = self.fails(1, "detokenize", "-m", SPM, "--jsonl", "-", stdin=b'{"ids":[5]}\n{"ids":[99999]}\n{"ids":"x"}\n[5]\n')
        got = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(["text" in o for o in got], [True, False, False, True])
        self.assertIn("stdin:2", err)
        self.assertIn("stdin:3", err)


class Eval(Case):
    def array(self, *args):
        self.ok("eval", *args, "-o", self.path("x.npy"))
        return read_npy(self.read("x.npy"))

    def test_shapes(self):
        ids = ["--ids", "1,5,9,13"]
        self.assertEqual(self.array("-m", BERT, *ids, "--what", "hidden")[0], (4, 64))
        self.assertEqual(self.array("-m", BERT, *ids, "--what", "pooled")[0], (64,))
        self.assertEqual(self.array("-m", GEMMA, *ids, "--what", "pooled")[0], (64,))
        self.assertEqual(self.array("-m", DECODER, *ids, "--what", "logits")[0], (4, 320))

    def test_ids_file_types_pooling(self):
        file = self.write("ids", b"1, 5\n9 13\n")
        hidden = self.array("-m", BERT, "--ids", "1,5,9,13", "--what", "hidden")
        self.assertEqual(self.array("-m", BERT, "--ids-file", file, "--what", "hidden"), hidden)
        file = self.write("ids.json", b'{"ids": [1, 5, 9, 13]}')
        self.assertEqual(self.array("-m", BERT, "--ids-file", file, "--what", "hidden"), hidden)
        typed = self.array("-m", BERT, "--ids", "1,5,9,13", "--types", "0,0,1,1", "--what", "hidden")
        self.assertNotEqual(typed, hidden)
        cls = self.array("-m", BERT, "--ids", "1,5,9,13", "--what", "pooled", "--pooling", "cls")[1]
        last = self.array("-m", BERT, "--ids", "1,5,9,13", "--what", "pooled", "--pooling", "last")[1]
        self.assertEqual((cls, last), (hidden[1][:64], hidden[1][-64:]))

    def test_failures(self):
        for ids in ("320", "-1", ",".join(["1"] * 257), ""):
            self.fails(1, "eval", "-m", BERT, "--ids", ids, "--what", "hidden", "-o", self.path("x"))
        self.fails(2, "eval", "-m", BERT, "--ids", "1", "--what", "logits", "-o", self.path("x"))
        self.assertFalse(os.path.exists(self.path("x")))

    def test_interrupt(self):
        """The first one ends it, without a file; where the machine was faster than the signal, an earlier one does."""
        deep = str(ROOT / "tests/data/tiny/gemma2-27b.gguf")  # 46 layers
        for more in (["--what", "logits", "--ids", ",".join(["5"] * 250)], ["--what", "greedy", "-n", "200", "--ids", "1,2"]):
            for delay in (0.2, 0.1, 0.05, 0.02, 0.01):
                p = subprocess.Popen(EMULATOR + [PROGRAM, "eval", "-m", deep, "--precision", "f32", "-t", "1", *more, "-o",
                                                 self.path("x")], env=dict(os.environ, STRATA_CPU="generic"),
                                     stderr=subprocess.PIPE)
                time.sleep(delay)
                p.send_signal(signal.SIGINT)
                code = p.wait(60)
                p.stderr.close()
                if not os.listdir(self.tmp.name):
                    break
                os.unlink(self.path("x"))
            self.assertEqual(code, -signal.SIGINT, more)
            self.assertEqual(os.listdir(self.tmp.name), [], more)


if __name__ == "__main__":
    if not os.path.exists(PROGRAM):
        sys.exit(f"no program at {PROGRAM}: build it first, or set STRATA_PROGRAM")
    unittest.main()
