"""What a newcomer and his scripts try: stdin, coprocesses, ids, batches, files of other editors, the time, other names.

Environment: STRATA_PROGRAM, STRATA_EMULATOR as in test_contract.py.
"""
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_contract import BERT, EMULATOR, GEMMA, PROGRAM, ROOT, SPM, Case, need, run

TINY = str(ROOT / "tests/data/tiny/llama-q8_0.gguf")  # context 256, no chat template
SHARED = pathlib.Path(os.environ.get("STRATA_SHARED", ROOT.parent / "shared"))
MODELS = pathlib.Path(os.environ.get("STRATA_TEST_MODELS", pathlib.Path.home() / ".cache/strata-test-models"))
RERANKER = SHARED / "goldens/tiny/bert-reranker.gguf"
BOM = b"\xef\xbb\xbf"
GREEDY = ["--temp", "0", "-n", "4"]


def lines(out):
    return [json.loads(x) for x in out.decode().splitlines()]


class Coprocess:
    """A program that is spoken with line by line; `ask` fails if it does not answer what it was given."""

    def __init__(self, case, *args):
        self.case = case
        self.p = subprocess.Popen(EMULATOR + [PROGRAM, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        case.addCleanup(self.close)

    def ask(self, text, n=1):
        self.p.stdin.write(text)
        self.p.stdin.flush()
        out = b""
        deadline = time.time() + 60
        while out.count(b"\n") < n:
            ready, _, _ = select.select([self.p.stdout], [], [], max(0, deadline - time.time()))
            self.case.assertTrue(ready, "no answer while the input pauses")
            got = os.read(self.p.stdout.fileno(), 1 << 20)
            self.case.assertTrue(got, "it ended")
            out += got
        return lines(out)

    def close(self):
        self.p.kill()
        self.p.wait()
        self.p.stdin.close()
        self.p.stdout.close()


class Pipes(Case):
    def test_answers_come_while_the_input_pauses(self):
        for args in (["embed", "-m", BERT, "--format", "jsonl"], ["tokenize", "-m", SPM], ["tokenize", "-m", SPM, "-"],
                     ["embed", "-m", BERT, "--format", "jsonl", "--lines", "-"],
                     ["embed", "-m", BERT, "--pooling", "none", "--format", "jsonl"]):
            c = Coprocess(self, *args)
            for text in (b"one\n", b"two\n"):
                self.assertEqual(len(c.ask(text)), 1)
            self.assertEqual(len(c.ask(b"three\nfour\nfi", 2)), 2)  # the last is no line yet
            self.assertEqual(len(c.ask(b"ve\n")), 1)
        c = Coprocess(self, "detokenize", "-m", SPM)
        self.assertEqual(c.ask(b"5\n"), c.ask(b"[5]\n"))
        c = Coprocess(self, "generate", "-m", TINY, *GREEDY, "--jsonl", "-")
        self.assertEqual(c.ask(b'{"prompt":"a"}\n')[0]["index"], 0)
        self.assertEqual(c.ask(b'{"prompt":"b"}\n')[0]["index"], 1)
        c = Coprocess(self, "chat", "-m", TINY, *GREEDY, "--format", "json")
        self.assertIn("content", c.ask(b"hello\n")[0])

    def test_jsonl_coprocess_has_ids(self):
        c = Coprocess(self, "embed", "-m", BERT, "--format", "jsonl", "--jsonl", "-", "--id", "key")
        for key in ("7", '"a\\u0000b"', '{"x": [1, null]}', "1e400", "12345678901234567890", "null", "true"):
            self.assertIn(f'"id":{key},', self.raw(c, f'{{"text":"x","key":{key}}}\n'))

    def raw(self, c, text):
        c.p.stdin.write(text.encode())
        c.p.stdin.flush()
        return c.p.stdout.readline().decode()

    def test_a_line_is_one_write(self):
        """Each write into a socket of packets is a packet."""
        for args, text in ((["embed", "-m", BERT, "--format", "jsonl"], b"text\n" * 50), (["tokenize", "-m", SPM], b"word\n" * 900),
                           (["tokenize", "-m", SPM, "--text"], b"many words " * 900 + b"\nshort\n"),
                           (["embed", "-m", BERT, "--pooling", "none", "--format", "jsonl"], b"a b c d e f g\n" * 3)):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            p = subprocess.Popen(EMULATOR + [PROGRAM, *args], stdin=subprocess.PIPE, stdout=theirs)
            theirs.close()
            p.stdin.write(text)
            p.stdin.close()
            count = 0
            while packet := ours.recv(1 << 24):
                self.assertTrue(packet.startswith(b"{") and packet.endswith(b"}\n"), args)
                self.assertTrue(len(packet) <= 4096 or packet.count(b"\n") == 1)
                count += len(lines(packet))
            self.assertEqual(count, text.count(b"\n"))
            self.assertEqual(p.wait(), 0)
            ours.close()

    def test_lines_of_processes_do_not_mix(self):
        with open(self.path("log"), "ab") as f:
            ps = [subprocess.Popen(EMULATOR + [PROGRAM, "embed", "-m", BERT, "--format", "jsonl", "-t", "1", *["text"] * 200], stdout=f)
                  for _ in range(4)]
            self.assertEqual([p.wait() for p in ps], [0] * 4)
        self.assertEqual(len(lines(self.read("log"))), 800)

    def test_interrupted_npy_does_not_load(self):
        with open(self.path("v.npy"), "wb") as f:
            p = subprocess.Popen(EMULATOR + [PROGRAM, "embed", "-m", BERT, "--format", "npy"], stdin=subprocess.PIPE, stdout=f,
                                 stderr=subprocess.DEVNULL)
            p.stdin.write(b"a text\n")
            p.stdin.flush()
            deadline = time.time() + 60
            while time.time() < deadline and os.path.getsize(self.path("v.npy")) <= 128:
                time.sleep(0.01)
            p.send_signal(signal.SIGINT)
            self.assertEqual(p.wait(60), -signal.SIGINT)
            p.stdin.close()
        self.assertNotEqual(self.read("v.npy")[:6], b"\x93NUMPY")
        p = subprocess.Popen(EMULATOR + [PROGRAM, "embed", "-m", BERT, "--format", "npy"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
        p.stdin.write(b"a text\n")
        p.stdin.flush()
        time.sleep(0.3)
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.stdout.read(), b"")
        p.wait(60)
        p.stdin.close()
        p.stdout.close()


class Ids(Case):
    def test_embed(self):
        texts = b'{"id":"a","text":"one"}\n{"text":"no id"}\n{"id":3,"text":7}\n{"id":\n{"id":[ 1 ],"text":"two"}\n'
        out, err = self.fails(1, "embed", "-m", BERT, "--jsonl", "-", "--id", "id", "--format", "jsonl", stdin=texts)
        got = lines(out)
        self.assertEqual([o.get("id") for o in got], ["a", None, 3, None, [1]])
        self.assertEqual(["error" in o for o in got], [False, True, True, True, False])
        self.assertIn('no field "id"', got[1]["error"])
        self.assertIn(b'"id":[ 1 ],', out)
        array = json.loads(self.fails(1, "embed", "-m", BERT, "--jsonl", "-", "--id", "id", stdin=texts)[0])
        self.assertEqual([o.get("id") for o in array], ["a", None, 3, None, [1]])
        for more in (["--format", "npy"], ["--format", "f32"], ["--similarity"]):
            self.fails(2, "embed", "-m", BERT, "--jsonl", "-", "--id", "id", *more, stdin=texts)
        self.fails(2, "embed", "-m", BERT, "--id", "id", "a text")
        out = self.ok("embed", "-m", BERT, "--jsonl", "-", "--id", "i", "--lossy", "--format", "jsonl", stdin=b'{"i":"\xff","text":"\xfe"}')
        self.assertEqual(lines(out)[0]["id"], "\ufffd")

    def test_texts_that_grow(self):
        texts = [b"word " * n for n in (1, 2, 5, 9, 40, 41, 300, 3)]
        for more in ([], ["--text"], ["--chat"]):
            got = lines(self.ok("tokenize", "-m", SPM, *more, stdin=b"\n".join(texts)))
            self.assertEqual(got, [lines(self.ok("tokenize", "-m", SPM, *more, stdin=t))[0] for t in texts])

    def test_tokenize(self):
        out = self.ok("tokenize", "-m", SPM, "--jsonl", "-", "--id", "n", stdin=b'{"n":1,"text":"a"}\n{"n":{"x":2},"text":"b"}\n')
        self.assertEqual([o["id"] for o in lines(out)], [1, {"x": 2}])

    def test_every_command(self):
        """A line without the field fails, as does one that has it twice; an error has the id and says which line it was."""
        commands = [(["embed", "-m", BERT, "--format", "jsonl"], b'"text":"a"', b'"text":"\\ud800"'),
                    (["tokenize", "-m", SPM], b'"text":"a"', b'"text":"\\ud800"'),
                    (["tokenize", "-m", TINY, "--chat"], b'"text":"a"', b'"text":"\xff"'),
                    (["detokenize", "-m", SPM], b'"ids":[5]', b'"ids":[99999999]'),
                    (["generate", "-m", TINY, *GREEDY], b'"prompt":"a"', b'"prompt":"\xff"')]
        if RERANKER.exists():
            commands += [(["rank", "-m", RERANKER], b'"query":"a","passages":["b"]', b'"query":"a","passages":["\xff"]'),
                         (["rank", "-m", RERANKER, "--query", "q", "--format", "jsonl"], b'"text":"a"', b'"text":"\xff"')]
        for args, good, bad in commands:
            data = b'{"id":1,%s}\n{%s}\n{"id":2,"id":3,%s}\n{"id":4,%s}\n[]\n{"id":5,%s}\n' % (good, good, good, bad, good)
            out, err = self.fails(1, *args, "--jsonl", self.write("in.jsonl", data), "--id", "id")
            got = lines(out)
            self.assertEqual([o.get("id") for o in got], [1, None, None, 4, None, 5], args)
            self.assertEqual(["error" in o for o in got], [False, True, True, True, True, False], args)
            for n in range(2, 6):
                self.assertIn(f"in.jsonl:{n}: ", got[n - 1]["error"], args)
                self.assertIn(got[n - 1]["error"], err)
            self.assertIn('no field "id"', got[1]["error"])
            self.assertIn("twice", got[2]["error"])
        for line, found in ((b"null", "null"), (b"nope", "no JSON value"), (b"true", "a boolean"), (b"this is text", "no JSON value")):
            out, _ = self.fails(1, "tokenize", "-m", SPM, "--jsonl", "-", stdin=line)
            self.assertTrue(lines(out)[0]["error"].endswith("expected an object, found " + found))
        self.fails(2, "detokenize", "-m", SPM, "--id", "id", "5")


class Stdin(Case):
    def test_dash(self):
        want = self.ok("embed", "-m", BERT, "a", "b", "c", "d")
        self.assertEqual(self.ok("embed", "-m", BERT, "-", stdin=b"a\nb\nc\nd\n"), want)
        self.assertEqual(self.ok("embed", "-m", BERT, "a", "-", "d", stdin=b"b\nc"), want)
        self.assertNotEqual(self.ok("embed", "-m", BERT, "--", "-", stdin=b"x"), self.ok("embed", "-m", BERT, "-", stdin=b"x"))
        self.assertEqual(json.loads(self.ok("embed", "-m", BERT, "-", stdin=b"")), [])
        for args in (["-", "-"], ["-", "--lines", "-"], ["-", "--jsonl", "-"]):
            self.fails(2, "embed", "-m", BERT, *args)
        self.assertEqual(self.ok("tokenize", "-m", SPM, "-", stdin=b"x\n"), self.ok("tokenize", "-m", SPM, "x"))
        self.assertEqual(self.ok("detokenize", "-m", SPM, "-", stdin=b"5\n"), self.ok("detokenize", "-m", SPM, "5"))

    def test_a_prompt_from_a_pipe(self):
        args = ["generate", "-m", TINY, *GREEDY]
        want = self.ok(*args, "-p", "a prompt")
        for more, stdin in (([], b"a prompt"), ([], b"a prompt\n"), ([], b"a prompt\r\n"), (["-"], b"a prompt\n"), (["-f", "-"], b"a prompt")):
            self.assertEqual(self.ok(*args, *more, stdin=stdin), want)
        self.assertNotEqual(self.ok(*args, stdin=b"a prompt\n\n"), want)  # one newline only
        self.fails(2, *args, stdin=b"")
        self.fails(2, *args, "-p", "x", "-", stdin=b"y")
        self.assertEqual(self.ok(*args, "--chat", stdin=b"hi\n"), self.ok(*args, "--chat", "hi"))

    def test_progress_of_nothing_is_silent(self):
        self.assertEqual(run("embed", "-m", BERT, "-", stdin=b"x\n" * 2000)[2], "")


class Names(Case):
    def test_other_names_of_options(self):
        self.assertEqual(self.ok("generate", "-m", TINY, "-p", "x", "--temperature", "0", "--max-tokens=4"),
                         self.ok("generate", "-m", TINY, "-p", "x", *GREEDY))
        self.assertIn("--temp", self.fails(2, "generate", "-m", TINY, "-p", "x", "--temperatur", "0")[1])

    def test_model(self):
        want = self.ok("embed", "-m", BERT, "x")
        self.assertEqual(self.ok("embed", BERT, "x"), want)
        self.assertEqual(self.ok("embed", "x", env={"STRATA_MODEL": BERT}), want)
        self.assertEqual(self.ok("embed", "-m", BERT, "x", env={"STRATA_MODEL": "nope"}), want)
        self.assertEqual(self.ok("embed", BERT, "x", env={"STRATA_MODEL": GEMMA}), want)
        # With -m, and behind "--", a name that ends in .gguf is a text.
        self.assertEqual(len(json.loads(self.ok("embed", "-m", BERT, BERT, "x"))), 2)
        self.assertEqual(len(json.loads(self.ok("embed", "--", BERT, env={"STRATA_MODEL": BERT}))), 1)
        self.fails(2, "embed", "x", env={"STRATA_MODEL": ""})
        self.fails(3, "embed", "missing.gguf", "x")
        self.assertEqual(self.ok("info", "--json", env={"STRATA_MODEL": BERT}), self.ok("info", BERT, "--json"))
        model = self.path("model")  # no .gguf: of commands without texts the argument can be nothing else
        os.symlink(TINY, model)
        self.assertEqual(self.ok("chat", model, *GREEDY, stdin=b"x\n"), self.ok("chat", "-m", TINY, *GREEDY, stdin=b"x\n"))
        self.assertEqual(self.ok("generate", TINY, "a prompt", *GREEDY), self.ok("generate", "-m", TINY, "-p", "a prompt", *GREEDY))
        self.ok("tokenize", SPM, "x")
        self.ok("eval", BERT, "--ids", "1,2", "--what", "hidden")

    def test_inline(self):
        args = ["generate", "-m", TINY, "-p", "x", "-n", "40", "-s", "1"]
        schema, grammar = '{"enum":["ab","cd"]}', 'root ::= "yes" | "no"'
        self.assertIn(json.loads(self.ok(*args, "--json-schema", schema)), ("ab", "cd"))
        self.assertEqual(self.ok(*args, "--json-schema", schema), self.ok(*args, "--json-schema", self.write("s", schema.encode())))
        self.assertIn(self.ok(*args, "--grammar", grammar).strip(), (b"yes", b"no"))
        json.loads(self.ok(*args, "--json-schema", " \n{\"type\":\"boolean\"}"))
        self.fails(1, *args, "--json-schema", "false")
        _, err = self.fails(1, *args, "--json-schema", "none.json")
        self.assertIn("none.json", err)
        for option, text in (("--json-schema", "[]"), ("--grammar", 'root := "a"')):
            _, err = self.fails(1, *args, option, text)
            self.assertIn(f"{option} {text}: neither a ", err)

    def test_output_files(self):
        for i, args in enumerate((["generate", "-m", TINY, "-p", "x", *GREEDY], ["tokenize", "-m", SPM, "a", "b"],
                                  ["chat", "-m", TINY, *GREEDY], ["chat", "-m", TINY, *GREEDY, "--format", "json"],
                                  ["detokenize", "-m", SPM, "5"])):
            want = self.ok(*args, stdin=b"one\ntwo\n")
            self.assertEqual(self.ok(*args, "-o", self.path(str(i)), stdin=b"one\ntwo\n"), b"")
            self.assertEqual(self.read(str(i)), want)
            self.fails(1, *args, "-o", self.path("no/such/folder"), stdin=b"one\n")
        self.assertEqual(len(os.listdir(self.tmp.name)), 5)
        # What failed alone costs no answer, however the conversation ends; what cannot be written leaves no half of a file.
        want = self.ok("chat", "-m", TINY, *GREEDY, stdin=b"one\n")
        for end in (b"", b"/exit\n"):
            self.fails(1, "chat", "-m", TINY, *GREEDY, "-o", self.path("talk"), stdin=b"one\n/nope\n" + end)
            self.assertEqual(self.read("talk"), want)
            os.remove(self.path("talk"))
        for args, stdin in ((["generate", "-m", TINY, *GREEDY, "--jsonl", "-"], b'{"prompt":"a"}\n' * 20),
                            (["detokenize", "-m", SPM], b"5\n" * 2000), (["chat", "-m", TINY, *GREEDY, "--format", "json"], b"a\n/clear\n" * 12)):
            p = subprocess.run(["sh", "-c", 'ulimit -f 1; exec "$@"', "sh", *EMULATOR, PROGRAM, *args, "-o", self.path("half")],
                               input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(p.returncode, 1, args)
            self.assertIn(b"File too large", p.stderr)
            self.assertEqual(len(os.listdir(self.tmp.name)), 5, args)
        if os.path.exists("/dev/full"):
            for args in (["generate", "-m", TINY, "-p", "x", *GREEDY], ["tokenize", "-m", SPM, "a"], ["detokenize", "-m", SPM, "5"],
                         ["generate", "-m", TINY, "-p", "x", *GREEDY, "--format", "json"]):
                self.assertIn("/dev/full: No space left", self.fails(1, *args, "-o", "/dev/full")[1])
                with open("/dev/full", "wb") as full:
                    p = subprocess.run(EMULATOR + [PROGRAM, *args], stdout=full, stderr=subprocess.PIPE)
                self.assertEqual(p.returncode, 1, args)

    def test_messages_say_options(self):
        for args, want in ((["--top-p", "5"], "--top-p is 5"), (["-c", "100000"], "-c: 100000"), (["--repeat-penalty", "0"], "--repeat-penalty is 0"),
                           (["--mirostat", "3"], "--mirostat is 3"), (["--logit-bias", "999999=1"], "--logit-bias[0]"),
                           (["--stop", ""], "--stop: text 0 is empty"), (["--logprobs", "100000", "--format", "json"], "--logprobs is 100000")):
            _, err = self.fails(2, "generate", "-m", TINY, "-p", "x", *args)
            self.assertTrue(err.startswith("strata: " + want), err)
        for args in (["embed", "-m", BERT, "x"], ["generate", "-m", TINY, "-p", "x"], ["verify", BERT], ["rank", "-m", BERT, "-q", "x", "y"],
                     ["eval", "-m", BERT, "--ids", "1", "--what", "hidden"], ["bench", "-m", BERT, "--prefill", "4"],
                     ["quantize", BERT, self.path("q"), "Q8_0"]):
            self.assertTrue(self.fails(2, *args, "-t", "99999")[1].startswith("strata: -t: 99999, want "), args)
        for command in ("generate", "chat"):
            self.assertTrue(self.fails(2, command, "-m", BERT, stdin=b"x")[1].endswith(": an encoder does not generate\n"))
        if RERANKER.exists():
            err = self.fails(2, "embed", "-m", RERANKER, "x")[1]
            self.assertIn("use the command rank, or ask for mean, cls or last (--pooling)", err)
        self.assertIn("--dims: 65", self.fails(2, "embed", "-m", BERT, "--dims", "65", "--force-dims", "x")[1])
        self.assertIn("--force-dims", self.fails(2, "embed", "-m", BERT, "--dims", "32", "x")[1])
        self.assertIn("--variables: ", self.fails(1, "generate", "-m", TINY, "-p", "x", "--variables", self.write("v", b"5"))[1])

    def test_templates_are_spoken_of(self):
        for args in (["generate", "-m", TINY, *GREEDY, "--chat", "hi"], ["tokenize", "-m", TINY, "--chat", "hi"]):
            self.assertIn("no chat template: messages are written as ChatML", run(*args)[2])
            self.assertEqual(run(*args, "--template", "chatml")[2], "")
        model = MODELS / "smollm2-135m-instruct-q4_1.gguf"
        need(self, model)
        args = ["generate", "-m", model, "-n", "2", "-p", "x"]
        code, out, err = run(*args)
        self.assertIn("note: ", err)
        self.assertIn("--chat", err)
        for more in (["--chat"], ["--parse-special"]):
            self.assertEqual(run(*args, *more)[2], "")


class Order(Case):
    def test_a_note_comes_after_the_answer(self):
        """Both go to one place here, as at a terminal."""
        args = ["generate", "-m", TINY, "-p", "x", "-n", "2", "--json-schema", '{"const":"abcdefghijkl"}']
        _, out, err = run(*args)
        self.assertIn("the answer is cut after 2 tokens (-n), ", err)
        p = subprocess.run(EMULATOR + [PROGRAM, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.assertEqual(p.stdout, out + err.encode())


class Batch(Case):
    def test_generate(self):
        args = ["generate", "-m", TINY, "-n", "5", "-s", "7"]
        prompts = [{"prompt": "one", "id": "x"}, {"prompt": "two", "id": 2}, {"messages": [{"role": "user", "content": "hi"}], "id": None},
                   {"nothing": 1, "id": 3}, {"prompt": 5, "id": 4}, {"messages": "x", "id": 5}, {"prompt": "x" * 2000, "id": 6}]
        data = b"".join(json.dumps(p).encode() + b"\n" for p in prompts) + b"{bad\n\n" + b'{"prompt":"last","id":9}'
        out, err = self.fails(1, *args, "--jsonl", "-", "--id", "id", stdin=data)
        got = lines(out)
        self.assertEqual([o["index"] for o in got], list(range(9)))
        self.assertEqual([o.get("id") for o in got], ["x", 2, None, 3, 4, 5, 6, None, 9])
        self.assertEqual(["error" in o for o in got], [False] * 3 + [True] * 5 + [False])
        self.assertIn("stdin:4", err)
        for i in (0, 1, 8):  # seeds count up; the cache of one line changes nothing of the next
            text = {0: "one", 1: "two", 8: "last"}[i]
            alone = json.loads(self.ok("generate", "-m", TINY, "-n", "5", "-s", 7 + i, "-p", text, "--format", "json"))
            self.assertEqual(alone["ids"], got[i]["ids"])
            self.assertEqual(alone["text"], got[i]["text"])
        chat = json.loads(self.ok("generate", "-m", TINY, "-n", "5", "-s", "9", "--chat", "hi", "--format", "json"))
        self.assertEqual(chat["ids"], got[2]["ids"])
        self.fails(1, *args, "--jsonl", self.write("p", data), "-o", self.path("out"))
        self.assertEqual([o.get("text") for o in lines(self.read("out"))], [o.get("text") for o in got])
        self.assertEqual(lines(self.ok(*args, "--jsonl", "-", "--field", "q", stdin=b'{"q":"one"}'))[0]["ids"], got[0]["ids"])
        both = self.ok(*args, "--jsonl", "-", "--chat", "--system", "S", stdin=b'{"prompt":"a"}\n{"messages":[{"role":"user","content":"a"}]}')
        self.assertEqual(len({o["usage"]["prompt_tokens"] for o in lines(both)}), 1)
        self.assertEqual(self.ok(*args, "--jsonl", "-", stdin=b""), b"")
        for more in (["-p", "x"], ["--format", "text"], ["x"]):
            self.fails(2, *args, "--jsonl", "-", *more)
        self.fails(2, *args, "-p", "x", "--id", "id")

    def test_rank(self):
        need(self, RERANKER)
        args = ["rank", "-m", RERANKER]
        rows = [{"query": "q", "passages": ["one", "two", "three"], "id": [1]}, {"query": "r", "documents": ["one", {"text": "two"}]},
                {"query": "r"}, {"query": 1, "passages": []}, {"query": "q", "passages": [5]}, {"query": "q", "passages": []}]
        data = b"\n".join(json.dumps(r).encode() for r in rows)
        out, err = self.fails(1, *args, "--jsonl", "-", stdin=data)
        got = lines(out)
        self.assertEqual(["error" in o for o in got], [False, False, True, True, True, False])
        self.assertEqual(got[5]["results"], [])
        for i in (0, 1):
            alone = json.loads(self.ok(*args, "--query", rows[i]["query"], "one", "two", *(["three"] if i == 0 else [])))
            self.assertEqual(got[i]["results"], alone)
        best = lines(self.ok(*args, "--jsonl", "-", "--top", "2", "--id", "id", stdin=json.dumps(rows[0]).encode()))[0]
        self.assertEqual(best["results"], json.loads(self.ok(*args, "--query", "q", "--top", "2", "one", "two", "three")))
        self.assertEqual(best["id"], [1])
        self.fails(2, *args, "one")
        self.fails(2, *args, "--jsonl", "-", "--format", "tsv")
        c = Coprocess(self, *args, "--jsonl", "-")
        self.assertEqual(c.ask(b'{"query":"q","passages":["one"]}\n')[0]["index"], 0)
        self.assertEqual(c.ask(b'{"query":"q","passages":["one"]}\n')[0]["index"], 1)
        ids = lines(self.ok(*args, "--query", "q", "--jsonl", "-", "--id", "n", "--format", "jsonl", "--top", "1", stdin=b'{"n":"z","text":"a"}\n'))
        self.assertEqual(ids[0]["id"], "z")

    def test_rank_cuts_a_query(self):
        need(self, RERANKER)
        args = ["rank", "-m", RERANKER, "--query", "what " * 400]
        self.fails(1, *args, "one")
        row = json.loads(self.ok(*args, "--truncate-query", "end", "one"))[0]
        self.assertTrue(row["truncated"])


class Time(Case):
    def date(self, *args, env=None, command="tokenize"):
        t = self.write("t.jinja", b"{{ strftime_now('%Y-%m-%d %H:%M') }}")
        m = self.write("m.json", b'[{"role":"user","content":"x"}]')
        out = self.ok(command, "-m", TINY, "--messages", m, "--template", t, *args, env=env)
        ids = json.loads(out)["ids"]
        return json.loads(self.ok("detokenize", "-m", TINY, *ids))["text"].replace("\u2581", " ")

    def test_local_time(self):
        for zone, hours in (("UTC0", 0), ("XXX-5", 5), ("YYY+11", -11), ("EST5EDT,M1.1.0,M12.5.0/23", None)):
            for attempt in range(3):  # a minute may end between
                now = time.time()
                got = self.date(env={"TZ": zone})
                if hours is None:
                    os.environ["TZ"] = zone
                    time.tzset()
                    want = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
                    del os.environ["TZ"]
                    time.tzset()
                else:
                    want = time.strftime("%Y-%m-%d %H:%M", time.gmtime(now + hours * 3600))
                if got.strip() == want:
                    break
            self.assertEqual(got.strip(), want, zone)

    def test_pinned(self):
        self.assertEqual(self.date("--now", "1709210096", env={"TZ": "XXX-5"}).strip(), "2024-02-29 12:34")
        self.assertEqual(self.date("--now", "253402300799").strip(), "9999-12-31 23:59")
        t = self.write("t.jinja", b"{{ strftime_now('%Y') }}")
        for args in (["generate", "-p", "x"], ["chat"]):
            self.ok(*args, "-m", TINY, *GREEDY, "--template", t, stdin=b"x\n")
            self.fails(1, *args, "-m", TINY, *GREEDY, "--template", t, "--now", "0", stdin=b"x\n")  # not known
            for wrong in ("253402300800", "18446744073709551615", "-1", "x"):
                self.fails(2, *args, "-m", TINY, *GREEDY, "--template", t, "--now", wrong, stdin=b"x\n")


class Conversations(Case):
    def test_all_that_a_template_reads(self):
        t = self.write("t.jinja", b"{{ messages|length }} {{ tools|length }} {{ documents|length }} {{ x }} {{ add_generation_prompt }} "
                                  b"{{ messages[0].content }}")
        m = self.write("m.json", b'[{"role":"user","content":"hi"}]')
        args = ["--messages", m, "--template", t, "--tools", '[{"type":"function","function":{"name":"f"}}]', "--documents", self.write("d", b"[{}, {}]"),
                "--variables", '{"x": "y"}', "--system", "S"]
        ids = json.loads(self.ok("tokenize", "-m", TINY, *args))["ids"]
        self.assertEqual(json.loads(self.ok("detokenize", "-m", TINY, *ids))["text"].replace("\u2581", " ").strip(), "2 1 2 y True S")
        ids = json.loads(self.ok("tokenize", "-m", TINY, *args, "--no-generation-prompt"))["ids"]
        self.assertIn("False", json.loads(self.ok("detokenize", "-m", TINY, *ids))["text"])
        run_by = json.loads(self.ok("generate", "-m", TINY, *GREEDY, *args, "--format", "json", "--no-generation-prompt"))
        self.assertEqual(run_by["usage"]["prompt_tokens"], len(ids))
        a = self.ok("tokenize", "-m", TINY, "--chat", "--system-file", self.write("s", BOM + b"Be brief.\n"), "x", "y")
        b = self.ok("tokenize", "-m", TINY, "--system", "Be brief.", "x", "y")
        self.assertEqual(a, b)
        self.assertEqual(len(lines(a)), 2)
        self.fails(2, "tokenize", "-m", TINY, "--system", "x", "--system-file", m, "x")


class Encodings(Case):
    def test_byte_order_marks(self):
        def same(*args, name, data, **kw):
            """Options with a file of data, without a mark and with one."""
            outs = []
            for mark in (b"", BOM):
                path = self.write(name, mark + data)
                outs.append(self.ok(*[path if a is name else a for a in args], **kw))
            self.assertEqual(outs[0], outs[1], args)

        generate = ["generate", "-m", TINY, *GREEDY]
        f = "file"
        same("embed", "-m", BERT, "--lines", f, name=f, data=b"one\ntwo\n")
        same("embed", "-m", BERT, "--jsonl", f, name=f, data=b'{"text":"one"}\n')
        same("tokenize", "-m", SPM, "--lines", f, name=f, data=b"one\n")
        same("eval", "-m", BERT, "--what", "hidden", "--ids-file", f, name=f, data=b"1,2,3")
        same("detokenize", "-m", SPM, "--jsonl", f, name=f, data=b"[5]\n")
        same(*generate, "-f", f, name=f, data=b"a prompt")
        same(*generate, "-p", "x", "--grammar", f, name=f, data=b'root ::= "a"')
        same(*generate, "-p", "x", "--json-schema", f, name=f, data=b'{"type":"boolean"}')
        for option, data in (("--messages", b'[{"role":"user","content":"x"}]'), ("--template", b"x{{ tools }}"), ("--tools", b"[]"),
                             ("--documents", b"[]"), ("--variables", b"{}"), ("--system-file", b"S")):
            more = [] if option == "--messages" else ["--chat", "x"]
            same("tokenize", "-m", TINY, option, f, *more, name=f, data=data)
            same(*generate, option, f, *more, name=f, data=data)
        for args in (["--system", "S"], ["--variables", '{"a":1}'], ["--tools", "[]"]):
            self.assertEqual(self.ok("tokenize", "-m", TINY, *args, "x"), self.ok("tokenize", "-m", TINY, args[0], "\ufeff" + args[1], "x"))
        for text in (b"x\ny\n",):
            self.assertEqual(self.ok("chat", "-m", TINY, *GREEDY, stdin=BOM + text), self.ok("chat", "-m", TINY, *GREEDY, stdin=text))
            self.assertEqual(self.ok("embed", "-m", BERT, stdin=BOM + text), self.ok("embed", "-m", BERT, stdin=text))
        self.assertEqual(self.ok(*generate, stdin=BOM + b"hi\n"), self.ok(*generate, stdin=b"hi\n"))

    def test_utf16_is_refused_by_name(self):
        for encoding, name in (("utf-16-le", "UTF-16 (little-endian)"), ("utf-16-be", "UTF-16 (big-endian)"), ("utf-32-le", "UTF-32 (little-endian)")):
            for mark in ("\ufeff", "") if "16" in encoding else ("\ufeff",):
                def data(text):
                    return self.write("utf16", (mark + text).encode(encoding))

                texts = data("first line\nsecond\n")
                raw = self.read("utf16")
                talk = ["tokenize", "-m", TINY]
                for args, kw in ((["embed", "-m", BERT, "--lines", texts], {}), (["embed", "-m", BERT, "a text", "--lines", texts], {}),
                                 (["embed", "-m", BERT, "--format", "jsonl"], {"stdin": raw}), (["embed", "-m", BERT, "-"], {"stdin": raw}),
                                 (["tokenize", "-m", SPM, "--lines", texts], {}), (["tokenize", "-m", SPM, "--jsonl", texts], {}),
                                 (["generate", "-m", TINY, "-f", texts], {}), (["generate", "-m", TINY], {"stdin": raw}),
                                 (["generate", "-m", TINY, "--jsonl", texts], {}), ([*talk, "--template", texts, "x"], {}),
                                 ([*talk, "--messages", texts], {}), ([*talk, "--tools", texts, "x"], {}), ([*talk, "--system-file", texts, "x"], {}),
                                 (["generate", "-m", TINY, "-p", "x", "--json-schema", texts], {}),
                                 (["generate", "-m", TINY, "-p", "x", "--grammar", texts], {}),
                                 (["eval", "-m", BERT, "--what", "hidden", "--ids-file", texts], {})):
                    out, err = self.fails(1, *args, **kw)
                    self.assertEqual(out, b"", args)
                    self.assertIn(name, err, args)
                    # What it says to do is right, with a mark and without one.
                    self.assertIn(f"(iconv -f {encoding.upper().replace('-LE', 'LE').replace('-BE', 'BE')} -t UTF-8 ", err)
                    self.assertEqual(len(err.splitlines()), 1 if "--chat" not in args else 2, err)
        self.assertIn("UTF-16", self.fails(1, "chat", "-m", TINY, *GREEDY, stdin="\ufeffhi\n".encode("utf-16-le"))[1])

    def test_nul_bytes_alone_are_no_utf16(self):
        for text in (b"a\0b\n", b"a\0b\0c\0d\n", b"\0\n", b"a\0\n", b"\0\0\0\0\n", b"ab\0cd\0ef\n"):
            self.ok("tokenize", "-m", SPM, stdin=text)


if __name__ == "__main__":
    unittest.main()
