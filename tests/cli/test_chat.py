"""strata chat: over plain lines, and through a pseudo-terminal with a screen of its own. Also generate with messages.

Environment: STRATA_PROGRAM, STRATA_EMULATOR as in test_contract.py.
"""
import fcntl
import json
import os
import pathlib
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_contract import BERT, EMULATOR, PROGRAM, ROOT, Case, run

TINY = str(ROOT / "tests/data/tiny/llama-q8_0.gguf")  # context 256, ChatML by default
DEEP = str(ROOT / "tests/data/tiny/gemma2-27b.gguf")  # 46 layers: slow enough to be stopped
BASE = ["-m", TINY, "--temp", "0", "-n", "4"]


def lines(out):
    return [json.loads(x) for x in out.decode().splitlines()]


class Plain(Case):
    def chat(self, text, *args, code=0):
        got, out, err = run("chat", *BASE, "--format", "json", *args, stdin=text.encode())
        self.assertEqual(got, code, err)
        return lines(out), err

    def messages(self, name="m.json"):
        return json.loads(self.read(name))

    def test_a_line_is_a_message(self):
        save = f"/save {self.path('m.json')}\n"
        got, _ = self.chat("one\n\ntwo\r\nlast" + "\n" + save)
        self.assertEqual(len(got), 3)
        self.assertEqual([m["content"] for m in self.messages() if m["role"] == "user"], ["one", "two", "last"])
        self.assertEqual([m["content"] for m in self.messages() if m["role"] == "assistant"], [x["content"] for x in got])
        self.assertEqual([m["role"] for m in self.messages()], ["user", "assistant"] * 3)
        self.assertEqual(len(self.chat("no newline at the end")[0]), 1)
        got, err = self.chat("")
        self.assertEqual(got, [])
        self.assertRegex(err, r"^strata: warning: .*has no chat template: messages are written as ChatML.*\n$")
        self.assertEqual(self.chat("", "--template", "chatml"), ([], ""))

    def test_lines_longer_than_a_read(self):
        save = f"/save {self.path('m.json')}\n"
        long = ["a" * 9000, "b" * 4095, "c" * 4096, "d" * 12287 + "\\\n" + "e" * 5000, "f"]
        t = self.write("t.jinja", b"{{ messages[-1].content[:3] }}")  # the context is small
        got, _ = self.chat("\n".join(long) + "\n" + save, "--template", t)
        self.assertEqual(len(got), 5)
        want = [x.replace("\\\n", "\n") for x in long]
        self.assertEqual([m["content"] for m in self.messages()][::2], want)

    def test_prefix_is_kept_between_turns(self):
        got, _ = self.chat("hello there\nand more\n")
        first, second = (x["usage"] for x in got)
        self.assertEqual(first["cached_tokens"], 0)
        self.assertGreaterEqual(second["cached_tokens"], first["prompt_tokens"] - 1)

    def test_answers_are_those_of_generate(self):
        save = f"/save {self.path('m.json')}\n"
        got, _ = self.chat("hello\n" + save + "more\n", "--system", "Be\tbrief.")
        messages = self.messages()
        self.assertEqual(messages[0], {"role": "system", "content": "Be\tbrief."})
        again = json.loads(self.ok("generate", *BASE, "--format", "json", "--messages", self.path("m.json"), "-p", "more"))
        self.assertEqual(again["text"], got[1]["content"])
        self.assertEqual(again["usage"]["prompt_tokens"], got[1]["usage"]["prompt_tokens"])
        whole = self.write("w.json", json.dumps(messages + [{"role": "user", "content": "more"}]).encode())
        third = json.loads(self.ok("generate", *BASE, "--format", "json", "--messages", whole))
        self.assertEqual(third["ids"], again["ids"])
        # --chat is the prompt as a message, and goes on from a file with strata chat, too.
        one = json.loads(self.ok("generate", *BASE, "--format", "json", "--chat", "--system", "Be\tbrief.", "hello"))
        self.assertEqual(one["text"], got[0]["content"])
        self.assertEqual(self.chat("more\n", "--messages", self.path("m.json"))[0][0]["content"], got[1]["content"])

    def test_text_format(self):
        got, _ = self.chat("hello\nmore\n")
        out = self.ok("chat", *BASE, stdin=b"hello\nmore\n").decode()
        self.assertEqual(out, "".join(x["content"] + "\n" for x in got))

    def test_commands(self):
        save = f"/save {self.path('m.json')}\n"
        self.chat("one\ntwo\n/undo\n" + save)
        self.assertEqual([m["content"] for m in self.messages()][::2], ["one"])
        self.chat("one\n/clear\ntwo\n" + save, "--system", "S")
        self.assertEqual([m["content"] for m in self.messages()][:2], ["S", "two"])
        self.chat("/system new words\none\n" + save)
        self.assertEqual(self.messages()[0], {"role": "system", "content": "new words"})
        self.chat("/system -\none\n" + save, "--system", "S")
        self.assertEqual([m["role"] for m in self.messages()], ["user", "assistant"])
        self.assertIn("no system message", self.chat("/system x\n/system -\n/system\n")[1])
        _, err = self.chat("/system\n/help\n", "--system", "the old")
        self.assertIn("the old", err)
        self.assertIn("/save FILE", err)
        self.assertEqual(len(self.chat("one\n/exit\ntwo\n")[0]), 1)
        self.chat("//one\n" + save)
        self.assertEqual(self.messages()[0]["content"], "/one")
        self.chat("one\\\ntwo\\\n\nthree\n" + save)
        self.assertEqual([m["content"] for m in self.messages()][::2], ["one\ntwo\n", "three"])
        got, _ = self.chat("one\n/retry\n" + save, "--temp", "1.5", "-s", "3")
        self.assertEqual(len(got), 2)
        self.assertNotEqual(got[0]["content"], got[1]["content"])
        self.assertEqual([m["content"] for m in self.messages()], ["one", got[1]["content"]])

    @unittest.skipIf(EMULATOR or not os.path.exists("/proc/self/maps"), "no list of what a process has mapped")
    def test_no_mmap(self):
        for args, mapped in (([], True), (["--no-mmap"], False)):
            model = self.write("model.gguf", pathlib.Path(TINY).read_bytes())
            p = subprocess.Popen([PROGRAM, "chat", "-m", model, *BASE[2:], *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.addCleanup(p.stdout.close)
            p.stdin.write(b"hello\n")
            p.stdin.flush()
            self.assertTrue(p.stdout.readline())  # an answer: the model is open
            self.assertEqual("model.gguf" in pathlib.Path(f"/proc/{p.pid}/maps").read_text(), mapped)
            if not mapped:  # and so the file may be cut short
                os.truncate(model, 0)
                p.stdin.write(b"more\n")
            p.stdin.close()
            self.assertTrue(mapped or p.stdout.readline())
            self.assertEqual(p.wait(timeout=60), 0)

    def test_text_that_is_not_utf8(self):
        save = f"/save {self.path('m.json')}\n".encode()
        code, out, err = run("chat", *BASE, "--format", "json", stdin=b"one\nbad \xff\xfe\n/system b\xc3\ntwo\n" + save)
        self.assertEqual(code, 1)
        got = lines(out)
        self.assertEqual([sorted(x)[0] for x in got], ["content", "error", "content"])  # that line only
        self.assertEqual(got[1]["error"], "the message: the text is not UTF-8: byte 0xff at offset 4")
        self.assertIn(got[1]["error"], err)
        self.assertIn("the system message: the text is not UTF-8: byte 0xc3 at offset 1", err)
        self.assertEqual([m["content"] for m in self.messages()][::2], ["one", "two"])
        # Also where the context was full before.
        code, out, err = run("chat", *BASE, "--format", "json", stdin=b"x" * 400 + b"\n\xff\n")
        self.assertEqual(["/clear" in x["error"] for x in lines(out)], [True, False])
        for args in (["--chat", "-p", b"a\xff"], ["--system", b"\xff", "-p", "x"], ["-p", b"a\xff"]):
            code, out, err = run("generate", *BASE, *(os.fsdecode(a) for a in args))
            self.assertEqual((code, out), (1, b""), err)
            self.assertIn("not UTF-8: byte 0xff at offset", err)

    def test_wrong_commands(self):
        for text, words in (("/nope", "no command"), ("/sav x", "did you mean /save"), ("/undo", "no message"),
                            ("/retry", "no message"), ("/save", "/save FILE"), ("/save /no/such/place", "cannot write")):
            got, err = self.chat(text + "\nhello\n", code=1)
            self.assertIn(words, err)
            self.assertEqual(len(got), 1, text)  # and goes on

    def test_a_full_context(self):
        got, err = self.chat("x" * 400 + "\nhello\n", code=1)
        self.assertIn("/clear", err)
        self.assertIn("the context 256", err)
        self.assertIn("/clear", got[0]["error"])
        self.assertIn("content", got[1])  # the message that did not fit is gone
        got, err = self.chat("hello\n", "-n", "1000", "-c", "60")
        self.assertEqual(got[0]["finish"], "context")
        self.assertIn("the context of 60 tokens is full", err)
        self.assertIn("error", self.chat("hello hello\n", "-c", "20", code=1)[0][0])

    def test_cut_inside_a_grammar(self):
        """Said on standard error, in a line; the exit code and the answer are as without it."""
        inside = self.write("in.gbnf", b'root ::= "[" "a"{250} "]"')
        whole = self.write("whole.gbnf", b'root ::= "b"+')  # may end after each letter
        schema = self.write("s.json", b'{"type": "array", "items": {"type": "integer"}, "minItems": 100}')
        for args, words in (("-n 3", "cut after 3 tokens (-n)"), ("-n 1000 -c 60", "the context of 60 tokens is full (-c)")):
            common = ["-m", TINY, "--temp", "0", *args.split(), "-p", "x"]
            for option in (["--grammar", inside], ["--json-schema", schema]):
                code, out, err = run("generate", *common, *option)
                self.assertEqual(code, 0, err)
                self.assertIn(words, err)
                self.assertEqual(len(err.splitlines()), 1, err)
                self.assertTrue(out.startswith(b"["), out)
                code, out, err = run("generate", *common, *option, "--format", "json")
                self.assertEqual((code, err), (0, ""))  # `finish` says it
            for option in (["--grammar", whole], []):
                code, out, err = run("generate", *common, *option)
                self.assertEqual((code, err), (0, ""))
        code, out, err = run("chat", "-m", TINY, "--temp", "0", "-n", "3", "--grammar", inside, stdin=b"x\n")
        self.assertEqual(code, 0)
        self.assertIn("stopped after 3 tokens", err)

    def test_options_of_generate(self):
        def ids(*args):
            return json.loads(self.ok("generate", *BASE, "--format", "json", "-p", "x", *args))["ids"]

        plain = ids()
        banned = ids("--logit-bias", f"{plain[0]}=-inf")
        self.assertNotIn(plain[0], banned)
        self.assertEqual(ids("--logit-bias", f"{plain[0]}=-inf", "--logit-bias", "7=1000"), [7] * 4)
        self.assertEqual(plain, ids("--logprobs", "3"))  # with all logits and with those that can be the largest
        warm = ("--temp", "1", "-n", "40", "--ignore-end", "-s", "5", "--mirostat", "2")
        self.assertNotEqual(ids(*warm, "--mirostat-tau", "0.1"), ids(*warm, "--mirostat-tau", "9"))
        for args in (("--logit-bias", "x=1"), ("--logit-bias", "1"), ("--logit-bias", "1=nan"), ("--logit-bias", "-1=1"),
                     ("--mirostat-eta", "x"), ("--logprobs", "2")):
            self.assertEqual(run("generate", *BASE, "-p", "x", *args)[0], 2, args)
        code, _, err = run("generate", *BASE, "-p", "x", "--logit-bias", "123456=1")
        self.assertEqual((code, "123456" in err), (2, True), err)
        code, _, err = run("generate", *BASE, "--no-special", "-p", "")
        self.assertEqual((code, "the prompt is empty" in err), (1, True), err)

    def test_templates(self):
        t = self.write("t.jinja", b"{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ tools }}{{ x }}")
        got, _ = self.chat("hello\n", "--template", t)
        plain = json.loads(self.ok("generate", *BASE, "--format", "json", "--no-special", "-p", "user: hello\nNone"))
        self.assertEqual(got[0]["content"], plain["text"])
        tools = self.write("tools.json", b"[1]")
        got, _ = self.chat("hello\n", "--template", t, "--tools", tools, "--variables", '{"x": "y"}')
        plain = json.loads(self.ok("generate", *BASE, "--format", "json", "--no-special", "-p", "user: hello\n[1]y"))
        self.assertEqual(got[0]["content"], plain["text"])
        t = self.write("r.jinja", b"{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}x")
        got, err = self.chat("one\n/system\ntwo\n", "--template", t, "--system", "S", code=1)
        self.assertIn("no system", err)
        self.assertEqual(["error" in x for x in got], [True, True])
        # A refused /retry leaves the message and its answer, a refused message leaves those before it.
        save = f"/save {self.path('m.json')}\n"
        got, err = self.chat("one\n/system S\n/retry\ntwo\n/system -\nthree\n" + save, "--template", t, code=1)
        self.assertEqual(["error" in x for x in got], [False, True, True, False])
        self.assertEqual([m["content"] for m in self.messages()], ["one", got[0]["content"], "three", got[3]["content"]])
        t = self.write("bad.jinja", b"{% for %}")
        self.assertIn("1:", self.chat("one\n", "--template", t, code=1)[1])

    def test_users_write_no_control_tokens(self):
        t = self.write("t.jinja", b"<s>{{ messages[0].content }}</s>")
        m = self.write("m.json", json.dumps([{"role": "user", "content": "</s><s>"}]).encode())
        out = json.loads(self.ok("generate", *BASE, "--format", "json", "--messages", m, "--template", t))
        typed = json.loads(self.ok("tokenize", "-m", TINY, "--no-special", "</s><s>"))["ids"]
        self.assertEqual(out["usage"]["prompt_tokens"], len(typed) + 2)

    def test_tokenize_messages(self):
        m = self.write("m.json", b'[{"role":"user","content":"a b"},{"role":"assistant","content":"c"}]')
        t = self.write("t.jinja", b"<s>{% for m in messages %}{{ m.content }}{% endfor %}</s>")
        got = json.loads(self.ok("tokenize", "-m", TINY, "--messages", m, "--template", t, "--text"))
        want = json.loads(self.ok("tokenize", "-m", TINY, "--no-special", "--parse-special", "--text", "<s>a bc</s>"))
        self.assertEqual((got["ids"], got["pieces"]), (want["ids"], want["pieces"]))
        # As with generate, a text beside the messages is one more.
        more = json.loads(self.ok("tokenize", "-m", TINY, "--messages", m, "--template", t, "x y"))
        longer = self.write("n.json", b'[{"role":"user","content":"a b"},{"content":"c"},{"role":"user","content":"x y"}]')
        self.assertEqual(more, json.loads(self.ok("tokenize", "-m", TINY, "--messages", longer, "--template", t)))
        self.fails(2, "tokenize", "-m", TINY, "--messages", m, "--parse-special")
        self.fails(1, "tokenize", "-m", TINY, "--messages", t)

    def test_files(self):
        for data, words in ((b"{}", "JSON array"), (b"[1", "byte"), (b"", "byte")):
            _, err = self.fails(1, "chat", *BASE, "--messages", self.write("m.json", data))
            self.assertIn(words, err)
        self.fails(1, "chat", *BASE, "--messages", self.path("none.json"))
        self.fails(1, "chat", *BASE, "--template", self.path("none"))
        self.assertEqual(len(self.chat("x\n", "--messages", self.write("m.json", b" [ ] \n"))[0]), 1)
        got, err = self.chat("x\n", "--messages", self.write("m.json", b'[{"role":"user"}]'), code=1)
        self.assertIn("content", err)

    def test_a_nul_byte_in_a_file(self):
        for option, data, at in (("--grammar", b'root ::= "a"\0 | "b"', 12), ("--json-schema", b'{}\0', 2),
                                 ("--template", b"\0{{ x }}", 0)):
            name = self.write("cut", data)
            for command in (["generate", "-p", "hi"], ["chat"]):
                _, err = self.fails(1, *command, *BASE, option, name)
                self.assertIn(f"{name}: a NUL byte at offset {at}\n", err)

    def test_variables_imply_a_chat(self):
        prompt = ["generate", *BASE, "--format", "json", "-p", "hi"]
        chat = json.loads(self.ok(*prompt, "--chat"))
        self.assertNotEqual(chat["usage"], json.loads(self.ok(*prompt))["usage"])
        self.assertEqual(json.loads(self.ok(*prompt, "--variables", "{}"))["ids"], chat["ids"])
        for wrong in ("[]", "5", "x"):
            _, with_chat = self.fails(1, *prompt, "--chat", "--variables", wrong)
            _, without = self.fails(1, *prompt, "--variables", wrong)
            self.assertEqual(without, with_chat)
            self.assertIn("variables", without)
        self.fails(2, "generate", *BASE, "-p", "hi", "--variables", "{}", "--no-special")

    def test_usage(self):
        self.fails(2, "chat", *BASE, "hello")
        self.fails(2, "chat")
        self.fails(2, "chat", "-m", BERT)
        self.fails(2, "generate", *BASE, "--chat")
        self.fails(2, "generate", *BASE, "--chat", "--parse-special", "x")
        self.fails(2, "generate", *BASE, "--chat", "--no-special", "x")
        self.fails(2, "chat", *BASE, "--grammar", "a", "--json-schema", "b")


# ---- a terminal ------------------------------------------------------------------------------------------------------

def width(c):
    return 0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1


class Screen:
    """What a terminal shows: as much of VT100 as the program uses, with the late wrap of real terminals."""

    def __init__(self, columns):
        self.columns, self.rows, self.row, self.column, self.late = columns, [[]], 0, 0, False

    def feed(self, text):
        i = 0
        while i < len(text):
            c = text[i]
            i += 1
            if c == "\x1b" and text[i:i + 1] == "[":
                end = i + 1
                while end < len(text) and not "@" <= text[end] <= "~":
                    end += 1
                self.control(text[i + 1:end], text[end:end + 1])
                i = end + 1
            elif c == "\r":
                self.column, self.late = 0, False
            elif c == "\n":
                self.down()
            else:
                self.put(c)

    def down(self):
        self.row, self.late = self.row + 1, False
        if self.row == len(self.rows):
            self.rows.append([])

    def put(self, c):
        w = width(c)
        if w == 0:
            self.rows[self.row][self.column - 1 if not self.late else -1] += c
            return
        if self.late or self.column + w > self.columns:
            self.column = 0
            self.down()
        line = self.rows[self.row]
        line += [" "] * (self.column + w - len(line))
        line[self.column:self.column + w] = [c] + [""] * (w - 1)
        self.column += w
        if self.column == self.columns:
            self.column, self.late = self.columns - 1, True

    def control(self, args, final):
        n = int(args) if args.isdigit() else 1
        if final in "ACJH":
            self.late = False
        if final == "A":
            self.row = max(0, self.row - n)
        elif final == "C":
            self.column = min(self.columns - 1, self.column + n)
        elif final == "J":
            del self.rows[self.row + 1:]
            del self.rows[self.row][self.column:]

    def text(self):
        return "\n".join("".join(r).rstrip() for r in self.rows)

    def cursor(self):
        return self.row, self.column


@unittest.skipIf(EMULATOR, "through an emulator a terminal's signals reach the emulator")
class Terminal(Case):
    def start(self, *args, columns=40, model=TINY, n="3", cpu=""):
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.before = termios.tcgetattr(slave)
        self.slave, self.master = slave, master
        self.p = subprocess.Popen([PROGRAM, "chat", "-m", model, "--temp", "0", "-n", n, *args], stdin=slave, stdout=slave,
                                  stderr=slave, preexec_fn=own_terminal, env=dict(os.environ, TERM="xterm", STRATA_CPU=cpu))
        self.screen, self.raw = Screen(columns), b""
        self.addCleanup(self.stop)
        self.wait("> ")

    def stop(self):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        os.close(self.master)
        os.close(self.slave)

    def read(self, seconds=0.1):
        """Everything that comes until there is a pause."""
        new = b""
        while select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            new += data
        self.raw += new
        self.screen.feed(new.decode(errors="replace"))

    def wait(self, words, seconds=20):
        end = time.time() + seconds
        while words not in self.screen.text().split("\n")[-1] and words not in self.raw.decode(errors="replace"):
            self.assertLess(time.time(), end, f"no {words!r} on the screen:\n{self.screen.text()}")
            self.read(0.05)

    def keys(self, text):
        os.write(self.master, text.encode())
        self.read()

    def start_long(self):
        """A model whose answers are far from their end when their first token is seen: slow, and held to 3000 characters."""
        with tempfile.NamedTemporaryFile("w", suffix=".gbnf", delete=False) as f:
            f.write("root ::= [ p0-9]{3000,4000}")
        self.addCleanup(os.unlink, f.name)
        self.start("--temp", "1.2", "--precision", "f32", "-t", "1", "--grammar", f.name, model=DEEP, n="4000", cpu="generic")

    def ask_and_see(self):
        """Returns at once when the first token of the answer is there: " p1", " p2", ... are this model's."""
        os.write(self.master, b"hello\r")
        while b" p" not in self.raw:
            self.raw += os.read(self.master, 4096)

    def line(self):
        """The line that is being edited."""
        rows = self.screen.text().split("\n")
        first = max(i for i, r in enumerate(rows) if r.startswith("> ") or r == ">")
        return "\n".join(rows[first:]).rstrip("\n")

    def leave(self):
        """Sends what is typed, saves, leaves: the user's messages."""
        path = self.path("m.json")
        if os.path.exists(path):
            os.unlink(path)
        self.keys("\r")
        self.keys(f"/save {path}\r")
        self.wait("saved")
        self.keys("\x04")
        self.assertEqual(self.p.wait(timeout=20), 0)
        self.assertEqual(termios.tcgetattr(self.slave), self.before)  # as it was
        return [m["content"] for m in json.loads(pathlib.Path(path).read_text()) if m["role"] == "user"]

    def test_editing(self):
        self.start()
        self.keys("wrold")
        self.assertEqual(self.line(), "> wrold")
        self.keys("\x1b[D\x1b[D\x1b[D\x7fo\x1b[3~r\x05!")  # left x3, backspace, delete, end
        self.assertEqual(self.line(), "> world!")
        self.keys("\x01hello \x1b[F")
        self.assertEqual(self.line(), "> hello world!")
        self.keys("\x15")
        self.assertEqual(self.line(), ">")
        self.keys("one two  three\x17")
        self.assertEqual(self.line(), "> one two")
        self.keys("\x17\x17\x17")
        self.assertEqual(self.line(), ">")
        self.keys("abc\x1b[H\x04\x1b[C\x0b")  # home, delete, right, kill to the end
        self.assertEqual(self.line(), "> b")
        self.keys("\x1bOFx\x02\x02y\x06z\x1b[1;5Dw \x1b[1;5C!")
        self.assertEqual(self.line(), "> w ybzx!")
        self.assertEqual(self.leave(), ["w ybzx!"])

    def test_utf8(self):
        self.start()
        self.keys("é日本e\u0301x")
        self.assertEqual(self.screen.cursor()[1], 2 + 1 + 4 + 1 + 1)
        self.keys("\x1b[D\x7f")  # the letter and its accent go together
        self.assertEqual(self.line(), "> é日本x")
        self.keys("\x1b[D\x7f")
        self.assertEqual(self.line(), "> é本x")
        self.keys("\x1b[H\x1b[3~\x1b[F😀\x1b[D\x1b[D")
        self.assertEqual(self.screen.cursor()[1], 4)
        self.assertEqual(self.leave(), ["本x😀"])

    def test_history(self):
        self.start()
        self.keys("first\r")
        self.wait("> ")
        self.keys("second\r")
        self.keys("draft\x1b[A")
        self.assertEqual(self.line(), "> second")
        self.keys("\x1b[A\x1b[A")
        self.assertEqual(self.line(), "> first")
        self.keys("\x1b[B\x1b[B\x1b[B")
        self.assertEqual(self.line(), "> draft")
        self.keys("\x10\x10 again")
        self.assertEqual(self.leave(), ["first", "second", "first again"])

    def test_several_lines(self):
        self.start()
        self.keys("one\\\rtwo")
        self.assertEqual(self.line(), "> one\n... two")
        self.keys("\x1b[A!\x1b[B?")
        self.assertEqual(self.line(), "> one!\n... two?")
        self.keys("\r")
        self.wait("> ")
        self.keys("\x1b[200~a\r\nb\x1b[A\tc\x07\x1b[201~")  # pasted: a newline sends nothing, ESC goes
        self.assertEqual(self.line().split("\n")[0], "> a")
        got = self.leave()
        self.assertEqual(got[0], "one!\ntwo?")
        self.assertEqual(got[1], "a\nb[A\tc")

    def test_lines_wider_than_the_screen(self):
        self.start(columns=20)
        text = "abcdefghijklmnopqrstuvwxyz0123456789"
        self.keys(text)
        self.assertEqual(self.line(), "> abcdefghijklmnopqr\nstuvwxyz0123456789")
        self.keys("\x1b[H")
        self.assertEqual(self.screen.cursor()[1], 2)
        self.keys("!")
        self.assertEqual(self.line(), "> !abcdefghijklmnopq\nrstuvwxyz0123456789")
        self.keys("\x05AB")  # the cursor behind the last column
        self.assertEqual(self.line(), "> !abcdefghijklmnopq\nrstuvwxyz0123456789A\nB")
        self.keys("\x7f")
        self.assertEqual(self.line(), "> !abcdefghijklmnopq\nrstuvwxyz0123456789A")
        self.keys("\x7f\x15" + "日" * 12)  # no half of a wide character at an edge
        self.assertEqual(self.line(), "> " + "日" * 9 + "\n" + "日" * 3)
        self.keys("\x01x")
        self.assertEqual(self.line(), "> x" + "日" * 8 + "\n" + "日" * 4)
        self.assertEqual(self.leave(), ["x" + "日" * 12])

    def test_ctrl_c_stops_an_answer_only(self):
        self.start_long()
        for _ in range(2):
            self.raw = b""
            self.ask_and_see()
            os.write(self.master, b"\x03")
            self.wait("[stopped]")
            self.wait("> ")
            self.assertIsNone(self.p.poll())
        self.keys("typed\x03")
        self.wait("Ctrl-C again leaves")
        self.assertIsNone(self.p.poll())
        self.keys("more\x15\x03")
        self.keys("\x03")
        self.assertEqual(self.p.wait(timeout=20), 0)
        self.assertEqual(termios.tcgetattr(self.slave), self.before)

    def test_sigterm_ends_an_answer_and_the_program(self):
        self.start_long()
        self.ask_and_see()
        self.p.send_signal(signal.SIGTERM)
        self.assertEqual(self.p.wait(timeout=20), -signal.SIGTERM)
        self.assertEqual(termios.tcgetattr(self.slave), self.before)

    def test_bytes_that_are_no_utf8(self):
        self.start()
        os.write(self.master, b"\xf0\x03")  # a key is never part of a character
        self.wait("Ctrl-C again leaves")
        for data, line in ((b"a\xe4\xb8b\x15c", "> c"), (b"\xe4\x1b[Dd", "> cd?"), (b"\xf0\xe4\xe6\xc3\xa9", "> cd???é?")):
            os.write(self.master, data)
            self.read(0.4)
            self.assertEqual(self.line(), line)
        self.keys("\x05\x15")
        os.write(self.master, b"f\xe4\r")
        self.wait("the text is not UTF-8: byte 0xe4 at offset 1")
        self.assertEqual(self.leave(), [])

    def test_end_of_the_terminal_or_of_the_process(self):
        self.start()
        self.keys("x")
        self.p.send_signal(signal.SIGTERM)
        self.assertEqual(self.p.wait(timeout=20), -signal.SIGTERM)
        self.assertEqual(termios.tcgetattr(self.slave), self.before)

    def test_commands(self):
        self.start()
        self.keys("/help\r")
        self.wait("/save FILE")
        self.keys("/system Be brief.\r/system\r")
        self.wait("Be brief.")
        self.keys("/nope\r")
        self.wait("no command")
        self.keys("/exit\r")
        self.assertEqual(self.p.wait(timeout=20), 0)

    def test_a_dumb_terminal_reads_plain_lines(self):
        master, slave = os.openpty()
        p = subprocess.run([PROGRAM, "chat", *BASE, "--format", "json"], input=b"hello\n", stdout=subprocess.PIPE, stderr=slave,
                           env=dict(os.environ, TERM="dumb"), check=False)
        self.assertEqual(p.returncode, 0)
        self.assertEqual(len(lines(p.stdout)), 1)
        os.close(master)
        os.close(slave)


if __name__ == "__main__":
    unittest.main()
