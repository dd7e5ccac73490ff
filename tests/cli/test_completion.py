"""Completions as the shells complete, and manual pages as they are shown. What stands in them: test_options.c.

Environment: STRATA_PROGRAM, STRATA_EMULATOR as in test_contract.py. Shells that are not there are skipped.
"""
import os
import pathlib
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_contract import BERT, EMULATOR, PROGRAM, Case, run

FORMATS = ["f32", "json", "jsonl", "npy"]
FILES = ["a b.txt", "m.gguf", "n.gguf", "sub", "t.jsonl"]
MODELS = ["m.gguf", "n.gguf", "sub"]

# What is typed, its last word at the cursor -> what is offered, all of it.
CASES = [
    (["embed", "--format", ""], FORMATS),
    (["embed", "--format", "js"], ["json", "jsonl"]),
    (["embed", "-m", ""], MODELS),
    (["embed", "--model", "n"], ["n.gguf"]),
    (["embed", "-m", "m.gguf", "--jsonl", ""], FILES + ["-"]),
    (["embed", "-o", "t"], ["t.jsonl"]),
    (["embed", "--output", "a"], ["a b.txt"]),
    (["embed", "--dims", ""], []),
    (["embed", ""], MODELS),
    (["generate", "--messages", "t"], ["t.jsonl"]),
    (["generate", "--template", "c"], ["chatml"]),
    (["generate", "--think", ""], ["auto", "free", "none"]),
    (["chat", "--mirostat", ""], ["0", "1", "2"]),
    (["info", ""], MODELS),
    (["info", "--json", "m"], ["m.gguf"]),
    (["info", "-m", "m.gguf", "-v", "n"], ["n.gguf"]),
    (["info", "--", ""], MODELS),
    (["quantize", "m"], ["m.gguf"]),
    (["quantize", "m.gguf", ""], MODELS + ["-"]),
    (["quantize", "m.gguf", "n.gguf", "Q4_"], ["Q4_0", "Q4_1", "Q4_K_M", "Q4_K_S"]),
    (["quantize", "-t", "4", "m.gguf", "n.gguf", "B"], ["BF16"]),
    (["quantize", "m.gguf", "n.gguf", "Q8_0", ""], []),
    (["completion", ""], ["bash", "fish", "zsh"]),
    (["man", "de"], ["detokenize"]),
    (["help", "qu"], ["quantize"]),
    (["toke"], ["tokenize"]),
    (["embed", "--no"], ["--no-mmap", "--normalize"]),
    (["embed", "--mod"], ["--model"]),
]


def commands(case):
    return re.findall(r"(?m)^  strata ([a-z]+) ", case.ok("--help").decode().split("\n\nExamples")[0])


class Completion(Case):
    def setUp(self):
        super().setUp()
        for name in ("m.gguf", "n.gguf", "t.jsonl", "a b.txt"):
            self.write(name, b"")
        os.mkdir(self.path("sub"))
        self.levels = self.ok("version").decode().split("kernels: ")[1].split()
        # The scripts ask the program of the path, by the name strata.
        other = tempfile.TemporaryDirectory()
        self.addCleanup(other.cleanup)
        self.bin = pathlib.Path(other.name)
        (self.bin / "strata").write_text(f'#!/bin/sh\nexec {shlex.join(EMULATOR + [os.path.abspath(PROGRAM)])} "$@"\n')
        (self.bin / "strata").chmod(0o755)
        self.env = dict(os.environ, PATH=f"{self.bin}:{os.environ['PATH']}", HOME=str(self.bin), TERM="xterm",
                        LC_ALL="C.UTF-8", ASAN_OPTIONS="detect_leaks=0")

    def shell(self, name):
        found = shutil.which(name)
        if not found:
            self.skipTest(f"no {name}: its completions are NOT TESTED")
        script = self.bin / f"strata.{name}"
        script.write_bytes(self.ok("completion", name))
        p = subprocess.run([found, "-n", script], capture_output=True, env=self.env)
        self.assertEqual((p.returncode, p.stderr), (0, b""))
        return found, str(script)

    def check(self, complete, cases=CASES):
        for words, want in [*cases, (["diff", "m.gguf", "--against", ""], self.levels)]:
            got = complete(words)
            self.assertEqual(sorted(set(got)), sorted(set(want)), words)

    def bash(self, words):
        bash, script = self.bash_script
        code = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _strata; '
                'for x in "${COMPREPLY[@]}"; do printf "%s\\n" "$x"; done')
        p = subprocess.run([bash, "--norc", "-c", code, "bash", script, "strata", *words], capture_output=True, text=True,
                           cwd=self.tmp.name, env=self.env)
        self.assertEqual((p.returncode, p.stderr), (0, ""), words)
        return p.stdout.splitlines()

    def test_bash(self):
        self.bash_script = self.shell("bash")
        self.check(self.bash)
        # '=' is a word of its own there, unless the user says otherwise.
        self.assertEqual(self.bash(["embed", "--format", "=", "js"]), ["json", "jsonl"])
        self.assertEqual(self.bash(["embed", "--format", "="]), ["json", "jsonl", "npy", "f32"])
        self.assertEqual(self.bash(["embed", "--format=np"]), ["--format=npy"])
        self.assertEqual(self.bash(["quantize", "--threads", "=", "4", "m.gguf", "n.gguf", "F1"]), ["F16"])
        self.assertEqual(self.bash(["embed", "--", "--fo"]), [])
        self.assertEqual(self.bash(["nonsense", "--fo"]), [])
        for command in commands(self):
            self.assertIn("--help", self.bash([command, "-"]))
        self.assertEqual(sorted(self.bash([""])), sorted([*commands(self), "--help", "--version"]))

    @staticmethod
    def want(words):
        return next((want for case, want in CASES if case == words), [])

    def test_fish(self):
        fish, script = self.shell("fish")

        def complete(words):
            line = " ".join(["strata", *words])
            p = subprocess.run([fish, "--no-config", "-c", f"source {script}; complete -C {shlex.quote(line)}"],
                               capture_output=True, text=True, cwd=self.tmp.name, env=self.env)
            self.assertEqual((p.returncode, p.stderr), (0, ""), words)
            return [x.split("\t")[0].rstrip("/").replace("\\ ", " ") for x in p.stdout.splitlines()]

        # Where a model is wanted fish puts models in front, and other files behind.
        def models_first(words):
            got = complete(words)
            if set(MODELS) <= set(self.want(words)) and not set(FILES) <= set(self.want(words)):
                self.assertEqual([x for x in got if x in FILES][:2], MODELS[:2], words)
                got = [x for x in got if x not in FILES or x in MODELS]
            return got

        self.check(models_first)
        self.assertEqual(complete(["embed", "--format=js"]), ["--format=json", "--format=jsonl"])
        self.assertEqual(sorted(complete([""])), sorted(commands(self)))
        for command in commands(self):
            self.assertIn("--help", complete([command, "--"]))

    def test_zsh(self):
        zsh, script = self.shell("zsh")
        log, rc = self.bin / "log", self.bin / "rc"
        rc.write_text(f'''
PROMPT=
autoload -Uz compinit && compinit -u -D
compadd() {{
    if [[ ${{@[1,(i)(-|--)]}} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
    local -a hits
    builtin compadd -A hits "$@"
    (( $#hits )) && print -l -- "${{(@)hits}}" >>{log}
    builtin compadd "$@"
}}
finished() {{ print -- "<end>" >>{log} }}
complete-it() {{ comppostfuncs=(finished); zle list-choices }}
zle -N complete-it
bindkey '^T' complete-it
source {script}
print -- "<end>" >>{log}
''')
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.tmp.name)
            os.execve(zsh, [zsh, "-f", "-i"], self.env)

        def wait():
            deadline = time.time() + 60
            while not (log.exists() and log.read_text().endswith("<end>\n")):
                self.assertLess(time.time(), deadline, "zsh does not complete")
                try:
                    os.set_blocking(fd, False)
                    os.read(fd, 65536)
                except BlockingIOError:
                    time.sleep(0.01)
            os.set_blocking(fd, True)
            text = log.read_text()
            log.unlink()
            return text.splitlines()[:-1]

        def complete(words):
            os.write(fd, b"\x15" + " ".join(["strata", *words]).encode() + b"\x14")
            got = [x.rstrip("/").replace("\\ ", " ") for x in wait()]
            # Where no argument may stand zsh offers the options.
            return [] if words[-1] == "" and "--help" in got else got

        try:
            os.write(fd, f"source {rc}\n".encode())
            wait()
            self.check(complete)
            self.assertEqual(complete(["embed", "--format=js"]), ["json", "jsonl"])
            for command in commands(self):
                self.assertIn("--help", complete([command, "--he"]))
            self.assertEqual(sorted(complete([""])), sorted(commands(self)))
        finally:
            os.close(fd)
            os.waitpid(pid, 0)

    def test_usage(self):
        for args in (["completion"], ["completion", "csh"], ["completion", "bash", "zsh"], ["man", "nonsense"], ["man", "embed", "rank"],
                     ["help", "nonsense"], ["help", "embed", "rank"]):
            self.fails(2, *args)
        self.assertIn("bash|zsh|fish", self.fails(2, "completion", "csh")[1])
        self.assertIn("detokenize", self.fails(2, "man", "detokenise")[1])


class Manual(Case):
    def pages(self):
        return [(name, self.ok("man", *([name] if name else []))) for name in ["", *commands(self)]]

    def test_every_page_is_shown_without_a_warning(self):
        tools = [t for t in (["groff", "-man", "-Tutf8", "-ww"], ["mandoc", "-Tlint", "-Wstyle"]) if shutil.which(t[0])]
        if not tools:
            self.skipTest("neither groff nor mandoc: manual pages are NOT TESTED")
        for name, page in self.pages():
            for tool in tools:
                p = subprocess.run(tool, input=page, capture_output=True)
                said = (p.stdout if tool[0] == "mandoc" else p.stderr).decode()
                # A page has no date: it is what the program of that version says.
                said = [x for x in said.splitlines() if "missing date" not in x]
                self.assertEqual(said, [], name)
                if tool[0] == "groff":
                    self.assertGreater(len(p.stdout), 500, name)

    def test_text_comes_out_as_it_is(self):
        if not shutil.which("groff"):
            self.skipTest("no groff: manual pages are NOT TESTED")
        for name, page in self.pages():
            out = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou", "-rLL=200n"], input=page, capture_output=True).stdout.decode()
            words = " ".join(out.split())
            for line in self.ok(*([name] if name else []), "--help").decode().splitlines():
                if line.startswith("  strata ") and name:  # an example
                    self.assertIn(" ".join(line.split()), words)
        page = self.ok("man", "chat")
        out = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou"], input=page, capture_output=True).stdout.decode()
        for text in ("""of the template: '{"enable_thinking":false}'""", "/save FILE", '"</think>"', "--top-k K"):
            self.assertIn(text, " ".join(out.split()))


class Dash(Case):
    def test_quantize(self):
        self.ok("quantize", BERT, self.path("want"), "Q8_0")
        code, out, err = run("quantize", BERT, "-", "Q8_0")
        self.assertEqual((code, out), (0, self.read("want")))
        self.assertIn("the standard output: ", err)
        with open(self.path("file"), "wb") as f:
            f.write(b"head")
            f.flush()
            subprocess.run(EMULATOR + [PROGRAM, "quantize", BERT, "-", "Q8_0"], stdout=f, stderr=subprocess.DEVNULL, check=True)
        self.assertEqual(self.read("file"), b"head" + self.read("want"))
        out, err = self.fails(2, "quantize", "-", self.path("x"), "Q8_0", stdin=pathlib.Path(BERT).read_bytes())
        self.assertIn("'-': a model is read from a file", err)
        master, terminal = pty.openpty()
        p = subprocess.run(EMULATOR + [PROGRAM, "quantize", BERT, "-", "Q8_0"], stdout=terminal, stderr=subprocess.PIPE)
        os.close(master), os.close(terminal)
        self.assertEqual(p.returncode, 2)
        self.assertIn(b"not to a terminal", p.stderr)
        with open(self.path("want"), "ab") as f:  # onto its own input, which then would be neither
            p = subprocess.run(EMULATOR + [PROGRAM, "quantize", f.name, "-", "Q8_0"], stdout=f, stderr=subprocess.PIPE)
        self.assertEqual(p.returncode, 2)
        self.assertIn(b"which this command reads", p.stderr)
        self.assertEqual(self.read("file"), b"head" + self.read("want"))
        self.assertEqual(sorted(os.listdir(self.tmp.name)), ["file", "want"])


if __name__ == "__main__":
    unittest.main()
