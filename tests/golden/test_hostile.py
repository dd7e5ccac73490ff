#!/usr/bin/env python3
"""Grammars and schemas of a stranger against the vocabulary of a real model: each ends in an error, or goes on, in a second.

Seconds are CPU seconds beyond those of a plain grammar, so that a loaded machine does not count. tests/unit/test_grammar.c has many
more such grammars, over a small vocabulary; here a mask has 49 thousand tokens to try.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

from golden import MODELS, STRATA, Temp, need

# Sanitizers and emulators multiply the time; there only the ending is tested.
SECONDS = 1.0 if "release" in STRATA.parts and not os.environ.get("STRATA_EMULATOR") else 60.0

RULES_THAT_DOUBLE = "root ::= r0\n" + "".join(f'r{i} ::= r{i + 1} "a" | r{i + 1} "b"\n' for i in range(40)) + 'r40 ::= "c"\n'
GRAMMARS = {  # name: (text, what the message says)
    "stacks that double": ('root ::= "x" root "y" | "x" root "z" | "x"', "too ambiguous"),
    "stacks that double on any character": ('root ::= a | b\na ::= [^q] root "y" | ""\nb ::= [^q] root "z" | ""', "too ambiguous"),
    "a split at every character": ('root ::= . root . | . root | r\nr ::= . r "a" | . root "b" | .', "too ambiguous"),
    "three ways on for every character": ('root ::= t e\ne ::= "" | t e "x" | t e "y" | t e "z"\nt ::= [^\\x00]', "too ambiguous"),
    "rules that double": (RULES_THAT_DOUBLE, "too ambiguous"),
    "many alternatives": ('root ::= "b"' + ' | "ab" "c"' * 30000, "too ambiguous"),
    "deep groups": ("root ::= " + "(" * 100000, "nested deeper"),
    "counts without end": ('root ::= "a"{4294967295}', "more than"),
    "left recursion": ('root ::= root "a" | "b"', "left recursion"),
    "no end": ("root ::= " + " | ".join(f'. "{chr(97 + i % 26)}" root' for i in range(2000)), "never end"),
}
SCHEMAS = {
    "2^40 ways through anyOf": (
        {"allOf": [{"anyOf": [{"minLength": i}, {"maxLength": 100 + i}]} for i in range(40)]},
        "schema",
    ),
    "references in a circle": ({"$ref": "#/$defs/0", "$defs": {str(i): {"$ref": f"#/$defs/{(i + 1) % 300}"} for i in range(300)}}, "schema"),
    "an object that holds itself": ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "the schema's grammar: rule 'root' can never end"),
    "counts without end in a pattern": ({"pattern": "^a{5000000000}$"}, "more than"),
}


def run(model, option, path, n=40):
    """Exit code, standard error and CPU seconds of an answer of n tokens at most."""
    with tempfile.TemporaryFile() as errors:
        args = [str(STRATA), "generate", "-m", str(model), "-p", "x", "-n", str(n), "-t", "1", option, str(path)]
        p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        return p.returncode, errors.read().decode(errors="replace"), usage.ru_utime + usage.ru_stime


class Hostile(Temp):
    def check(self, option, cases):
        model = need(MODELS / "smollm2-135m-instruct-q4_1.gguf", "hostile grammars")
        plain = self.tmp / "plain"
        plain.write_text('root ::= "x" root | "x"' if option == "--grammar" else '{"type": "string"}')
        code, message, base = run(model, option, plain, 1)
        self.assertEqual(code, 0, message)
        for name, (text, says) in cases.items():
            with self.subTest(name):
                path = self.tmp / "hostile"
                path.write_text(text if isinstance(text, str) else json.dumps(text))
                code, message, seconds = run(model, option, path)
                if os.environ.get("STRATA_VERBOSE"):
                    print(f"{name}: {seconds - base:+.2f} s: {message.strip()[:150]}", file=sys.stderr)
                self.assertEqual(code, 1, message)
                self.assertIn(says, message)
                self.assertLessEqual(seconds - base, SECONDS, message)

    def test_grammars(self):
        self.check("--grammar", GRAMMARS)

    def test_schemas(self):
        self.check("--json-schema", SCHEMAS)


if __name__ == "__main__":
    unittest.main()
