"""What the program writes, and how it ends: whole files or none, whatever signal comes and when; no input replaced."""

import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("STRATA_PROGRAM", str(ROOT / "build/release/strata"))
EMULATOR = [w for w in os.environ.get("STRATA_EMULATOR", "").split("|") if w]
TINY = ROOT / "tests/data/tiny"
BERT = str(TINY / "bert-q8_0.gguf")
GEMMA = str(TINY / "gemma3.gguf")
DEEP = str(TINY / "gemma2-27b.gguf")  # 46 layers
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2,
          signal.SIGXCPU, signal.SIGXFSZ, signal.SIGVTALRM, signal.SIGPROF, signal.SIGPIPE, signal.SIGRTMIN)


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Case(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.tmp = pathlib.Path(tmp.name)
        self.out = self.tmp / "out"
        self.out.mkdir()

    def start(self, *args, **more):
        more = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **more}
        env = dict(os.environ, TMPDIR=str(self.out))
        if args[0] == "eval":
            env["STRATA_CPU"] = "generic"  # long enough to be met
        return subprocess.Popen(EMULATOR + [PROGRAM, *map(str, args)], preexec_fn=no_core, env=env, **more)

    def run_it(self, *args, **more):
        more = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "check": False, "timeout": 100,
                **more}
        p = subprocess.run(EMULATOR + [PROGRAM, *map(str, args)], **more)
        return p.returncode, p.stdout, p.stderr.decode(errors="replace")

    def left(self):
        return sorted(os.listdir(self.out))


class Signals(Case):
    """A long run is met by each signal at a random moment: it ends by that signal, and nothing is left."""

    def meet(self, sig, delay, args, **more):
        p = self.start(*args, **more)
        time.sleep(delay)
        p.send_signal(sig)
        code = p.wait(100)
        errors = p.stderr.read().decode()
        p.stderr.close()
        return code, errors

    def commands(self):
        lines = self.tmp / "lines.txt"
        if not lines.exists():
            lines.write_text("".join(f"text number {i} of many that follow each other\n" for i in range(60000)))
        ids = ",".join(["5"] * 200)
        return {
            "npy": ["embed", "-m", BERT, "--lines", lines, "--format", "npy", "-o", self.out / "v.npy"],
            "json": ["embed", "-m", BERT, "--lines", lines, "-o", self.out / "v.json"],
            "pipe": ["embed", "-m", BERT, "--lines", lines, "--format", "npy"],  # rows wait in $TMPDIR
            "eval": ["eval", "-m", DEEP, "--ids", ids, "--what", "greedy", "-n", "50", "--precision", "f32", "-t", "1", "-o", self.out / "x"],
        }

    def test_each_signal(self):
        rng = random.Random(7)
        commands = self.commands()
        for sig in ENDING:
            for name in commands if sig in (signal.SIGHUP, signal.SIGQUIT) else [rng.choice(list(commands))]:
                args = commands[name]
                for i in range(10):
                    code, errors = self.meet(sig, (0.02 + 0.15 * rng.random()) / (i + 1), args)
                    if code == -sig and not self.left():
                        break
                    # The machine was faster than the signal: then the file is there, and nothing else.
                    self.assertIn(code, (0, -sig), (name, errors))
                    self.assertEqual(self.left(), [] if name == "pipe" else [os.path.basename(args[-1])], (name, sig))
                    for f in self.out.iterdir():
                        f.unlink()
                self.assertEqual((code, self.left()), (-sig, []), (name, sig, errors))

    def test_quantising(self):
        """Written to a FIFO that nobody empties, and to a file."""
        big = str(TINY / "gemma-embedding.gguf")
        fifo = self.tmp / "fifo"
        os.mkfifo(fifo)
        for sig in ENDING:
            for reader in (False, True):
                fd = os.open(fifo, os.O_RDWR) if reader else -1
                code, errors = self.meet(sig, 0.15, ["quantize", big, fifo, "F32"])
                if reader:
                    os.close(fd)
                self.assertEqual(code, -sig, errors)
        self.assertEqual(self.run_it("quantize", big, self.tmp / "whole", "Q8_0")[0], 0)
        for i in range(12):
            code, errors = self.meet(signal.SIGTERM, 0.004 * i, ["quantize", big, self.out / "q.gguf", "Q8_0", "-t", "2"])
            self.assertIn(code, (0, -signal.SIGTERM), errors)
            self.assertIn(self.left(), ([], ["q.gguf"]) if code else (["q.gguf"],))
            if self.left():
                self.assertEqual((self.out / "q.gguf").read_bytes(), (self.tmp / "whole").read_bytes())
                (self.out / "q.gguf").unlink()

    def test_two_at_once(self):
        """timeout(1) sends its signal twice; a terminal that closes sends two kinds."""
        for pair in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGTERM)):
            p = self.start(*self.commands()["npy"])
            time.sleep(0.15)
            for sig in pair:
                p.send_signal(sig)
            self.assertIn(p.wait(100), [-s for s in pair])
            p.stderr.close()
            self.assertEqual(self.left(), [])

    def test_the_second_ends_what_does_not_stop(self):
        r, w = os.pipe()  # nobody reads: the write never comes back
        p = self.start("embed", "-m", BERT, "--lines", self.commands()["npy"][4], stdout=w)
        os.close(w)
        time.sleep(0.5)
        p.send_signal(signal.SIGINT)
        time.sleep(0.6)
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(20), -signal.SIGINT)
        p.stderr.close()
        os.close(r)

    def test_what_was_ignored_stays_so(self):
        def ignore():
            no_core()
            for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGXFSZ):
                signal.signal(sig, signal.SIG_IGN)

        p = subprocess.Popen(EMULATOR + [PROGRAM, "embed", "-m", BERT, "--format", "npy", "-o", str(self.out / "v.npy")],
                             stdin=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=ignore)
        p.stdin.write(b"a text\n")
        p.stdin.flush()
        time.sleep(0.3)
        for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGXFSZ):
            p.send_signal(sig)
        time.sleep(0.1)
        _, errors = p.communicate(b"another\n", timeout=60)
        self.assertEqual(p.returncode, 0, errors)
        self.assertEqual(self.left(), ["v.npy"])

    def test_chat_saves_whole(self):
        p = subprocess.Popen(EMULATOR + [PROGRAM, "chat", "-m", GEMMA, "-n", "1"], stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for i in range(200):
            p.stdin.write(f"/save {self.out}/talk.json\n".encode())
        p.stdin.flush()
        time.sleep(0.3)
        p.send_signal(signal.SIGHUP)
        p.stdin.close()
        code = p.wait(60)
        p.stderr.close()
        self.assertIn(code, (0, -signal.SIGHUP))
        self.assertIn(self.left(), ([], ["talk.json"]))

    def test_a_reader_that_leaves(self):
        p = self.start("embed", "-m", BERT, "--lines", self.commands()["npy"][4], stdout=subprocess.PIPE)
        p.stdout.read(10)
        p.stdout.close()
        self.assertEqual(p.wait(60), -signal.SIGPIPE)
        self.assertEqual(p.stderr.read(), b"")
        p.stderr.close()
        fifo = self.tmp / "fifo"
        os.mkfifo(fifo)
        p = self.start("quantize", str(TINY / "gemma-embedding.gguf"), fifo, "F32")
        with open(fifo, "rb") as f:
            f.read(10)
        self.assertEqual(p.wait(60), 1)
        self.assertIn(b"Broken pipe", p.stderr.read())
        p.stderr.close()

    def test_file_size_limit(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

        for args in (["embed", "-m", BERT, "--lines", self.commands()["npy"][4], "-o", self.out / "v.json"],
                     ["embed", "-m", BERT, "--lines", self.commands()["npy"][4], "--format", "npy", "-o", self.out / "v"],
                     ["quantize", GEMMA, self.out / "q.gguf", "Q8_0"],
                     ["eval", "-m", GEMMA, "--ids", "1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8", "--what", "logits", "-o", self.out / "x"]):
            code, _, errors = self.run_it(*args, preexec_fn=limit)
            self.assertEqual(code, 1, errors)
            self.assertIn("File too large", errors)
            self.assertEqual(self.left(), [])


class Names(Case):
    def test_as_long_as_the_system_takes_them(self):
        for name in ("y" * 255, "é" * 127, "日" * 85):
            code, _, errors = self.run_it("embed", "-m", BERT, "hi", "-o", self.out / name)
            self.assertEqual(code, 0, errors)
            code, _, errors = self.run_it("quantize", GEMMA, self.out / name, "Q8_0")
            self.assertEqual(code, 0, errors)
            self.assertEqual(self.left(), [name])
            (self.out / name).unlink()
        code, _, errors = self.run_it("embed", "-m", BERT, "hi", "-o", self.out / ("y" * 256))
        self.assertEqual(code, 1)
        self.assertRegex(errors, "File ?name too long") # glibc and musl
        self.assertEqual(self.left(), [])

    def test_left_overs_are_in_nobodys_way(self):
        for i in range(110):
            (self.out / f"o.gguf.{i}.tmp").touch()
        code, _, errors = self.run_it("quantize", GEMMA, self.out / "o.gguf", "Q8_0")
        self.assertEqual(code, 0, errors)
        self.assertEqual(len(self.left()), 111)

    def test_mode_and_owner_stay(self):
        out = self.out / "v"
        for make in (["embed", "-m", BERT, "hi", "-o"], ["quantize", GEMMA]):
            args = [*make, out] + (["Q8_0"] if make[0] == "quantize" else [])
            for mode in (0o600, 0o640, 0o666):
                out.touch()
                out.chmod(mode)
                if os.geteuid() == 0:
                    os.chown(out, 12, 34)
                self.assertEqual(self.run_it(*args)[0], 0)
                st = out.stat()
                self.assertEqual(st.st_mode & 0o7777, mode)
                if os.geteuid() == 0:
                    self.assertEqual((st.st_uid, st.st_gid), (12, 34))
            out.unlink()
            self.assertEqual(self.run_it(*args, umask=0o027)[0], 0)
            self.assertEqual(out.stat().st_mode & 0o7777, 0o640)
            out.unlink()

    def test_links(self):
        link, target = self.out / "link", self.out / "target"
        link.symlink_to("target")  # to nothing yet
        for text in ("one", "two"):
            self.assertEqual(self.run_it("embed", "-m", BERT, text, "-o", link)[0], 0)
            self.assertTrue(link.is_symlink())
            self.assertFalse(target.is_symlink())
            self.assertIn('"embedding"', target.read_text())
        self.assertEqual(self.left(), ["link", "target"])

    def test_standard_output_by_name(self):
        if EMULATOR or not os.path.exists("/dev/stdout"):
            self.skipTest("no /dev/stdout")
        want = self.run_it("embed", "-m", BERT, "hi")[1]
        self.assertEqual(self.run_it("embed", "-m", BERT, "hi", "-o", "/dev/stdout")[1], want)
        log = self.out / "log"
        log.write_bytes(b"before\n")
        with open(log, "ab") as f:
            self.assertEqual(self.run_it("embed", "-m", BERT, "hi", "-o", "/dev/stdout", stdout=f)[0], 0)
        self.assertEqual(log.read_bytes(), b"before\n" + want)
        self.assertEqual(self.left(), ["log"])


class Inputs(Case):
    """A file that the command reads is not replaced by what it writes, by whichever name."""

    def refused(self, path, *args):
        before = pathlib.Path(path).read_bytes()
        code, _, errors = self.run_it(*args)
        self.assertEqual(code, 2, errors)
        self.assertRegex(errors, "is read by this command|which this command reads")
        self.assertEqual(pathlib.Path(path).read_bytes(), before)

    def test_models_and_texts(self):
        model = self.out / "m.gguf"
        model.write_bytes(pathlib.Path(BERT).read_bytes())
        hard, soft, texts = self.out / "hard", self.out / "soft", self.out / "t.txt"
        os.link(model, hard)
        soft.symlink_to("m.gguf")
        texts.write_text("one\ntwo\n")
        for name in (model, hard, soft, f"{self.out}/../out/m.gguf"):
            self.refused(model, "embed", "-m", model, "hi", "-o", name)
            self.refused(model, "eval", "-m", model, "--ids", "1,2", "--what", "hidden", "-o", name)
        self.refused(texts, "embed", "-m", model, "--lines", texts, "-o", texts)
        texts.write_text('{"text":"a"}\n')
        self.refused(texts, "embed", "-m", model, "--jsonl", texts, "-o", texts)
        texts.write_text("1,2,3\n")
        self.refused(texts, "eval", "-m", model, "--ids-file", texts, "--what", "hidden", "-o", texts)

    def test_standard_streams(self):
        texts = self.out / "t.txt"
        texts.write_text("one\ntwo\n")
        with open(texts, "rb") as f:
            code, _, errors = self.run_it("embed", "-m", BERT, "-o", texts, stdin=f)
        self.assertEqual(code, 2)
        self.assertIn("the standard input", errors)
        with open(texts, "ab") as f:  # it would grow for ever
            code, _, errors = self.run_it("embed", "-m", BERT, "--lines", texts, stdout=f)
        self.assertEqual(code, 2, errors)
        self.assertEqual(texts.read_text(), "one\ntwo\n")

    def test_other_parts_of_a_split_model(self):
        for i in (1, 2):
            (self.out / f"m-0000{i}-of-00002.gguf").write_bytes(pathlib.Path(BERT).read_bytes())
        first, second = sorted(self.out.iterdir())
        code, _, errors = self.run_it("embed", "-m", first, "hi", "-o", second)
        self.assertNotEqual(code, 0, errors)
        self.assertEqual(second.read_bytes(), pathlib.Path(BERT).read_bytes())

    def test_what_may_be(self):
        model = self.out / "m.gguf"
        model.write_bytes(pathlib.Path(GEMMA).read_bytes())
        self.assertEqual(self.run_it("quantize", model, model, "Q8_0")[0], 0)
        self.assertNotEqual(model.stat().st_size, os.path.getsize(GEMMA))
        talk = self.out / "talk.json"
        talk.write_text('[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]')
        code, _, errors = self.run_it("chat", "-m", model, "--messages", talk, "-n", "1", stdin=None,
                                      input=f"/save {talk}\n/save {model}\n".encode())
        self.assertIn("m.gguf", errors)
        self.assertIn("is read by this command", errors)
        self.assertIn('"content":"b"', talk.read_text())
        self.assertEqual(self.left(), ["m.gguf", "talk.json"])


if __name__ == "__main__":
    if not os.path.exists(PROGRAM):
        sys.exit(f"no program at {PROGRAM}: build it first, or set STRATA_PROGRAM")
    unittest.main()
