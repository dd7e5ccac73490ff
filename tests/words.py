#!/usr/bin/env python3
"""words.py: what comments and pages say of the tree is so.

A file of ours begins by saying what it owns: C files in their very first line, under their own name ("seq.c: ..."),
scripts and build files in a first comment, which, where it begins with a file's name, has the right one. A path that any
comment, page, script or build file names exists; so does a C file that a comment of src/ or cli/ names without its
folder. Comments keep to 120 columns, and a rule between sections to its one line.

    words.py [SOURCE_DIR]     names each that is wrong as file:line; exit 1 if there is one
"""

import fnmatch
import os
import re
import sys

CODE = (".c", ".h", ".inc", ".def", ".cpp")
SCRIPTS = (".py", ".sh", ".cmake")
ROOMS = ("src", "cli", "include", "tests", "tools", "scripts", "examples", "cmake", "docs", ".ci")
GENERATED = ("tests/data", "tests/fuzz/corpus")  # data: nobody's words
# Files of others that comments and pages name.
FOREIGN = set("""
asm/prctl.h asm/fpu/types.h asm/hwcap.h linux/magic.h sys/cdefs.h ggml-quants.c ggml-common.h
""".split())

failed = []


def bad(path, line, why):
    failed.append("%s:%d: %s" % (path, line, why))


def our_files():
    found = [name for name in sorted(os.listdir(".")) if os.path.isfile(name) and not name.startswith(".git")]
    for room in ROOMS:
        for folder, below, names in os.walk(room):
            below[:] = sorted(d for d in below if d not in ("__pycache__", "build") and
                              os.path.join(folder, d) not in GENERATED)
            found += [os.path.join(folder, n) for n in sorted(names)]
    return found


def comments(text):
    """(line, text) of the comments of C, strings left out."""
    for m in re.finditer(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', text, re.S):
        if m.group().startswith("/"):
            yield text.count("\n", 0, m.start()) + 1, m.group()


def check_banner(path, text):
    name = os.path.basename(path)
    if path.endswith(CODE):
        # Longer than one line or not, it is the file's first thing, and says something.
        if not re.match(r"(/\* |// )(?:[\w-]+/)*" + re.escape(name) + r": \S", text):
            bad(path, 1, "does not begin with /* %s: what it owns" % name)
        return
    if not path.endswith(SCRIPTS) and not name == "CMakeLists.txt" and path != ".ci/run":
        return
    body = re.sub(r"\A#!.*\n", "", text)
    body = re.sub(r"\A# shellcheck .*\n", "", body)
    m = re.match(r'(?:# |""")(\S.*)', body)
    if not m:
        bad(path, 1, "does not begin with a comment that says what it owns")
        return
    said = re.match(r"([\w.-]+\.(?:py|sh|c|h|txt|cmake)): ", m.group(1))
    if said and said.group(1) != name:
        bad(path, 1, "its first comment is about %s" % said.group(1))


def check_layout(path, text):
    """Of C: the width of comments, and rules between sections in one piece."""
    lines = text.split("\n")
    for at, comment in comments(text):
        for k, line in enumerate(comment.split("\n")):
            if len(lines[at - 1 + k]) > 120:
                bad(path, at + k, "a comment of more than 120 columns")
        # What a section is about may follow its rule: then that ends in a star.
        if comment.startswith("/* ----") and not re.match(r"/\* ---- .* -{4,} \*(?:/|$)", comment.split("\n")[0]):
            bad(path, at, "a rule that does not end on its line")


PATH = re.compile(r"(?<![\w./$}-])(?:\$\{(?:PROJECT|CMAKE)_SOURCE_DIR\}/)?((?:" + "|".join(map(re.escape, ROOMS)) +
                  r")/[\w./*?{},+-]*)")


def expand(pattern):
    """a{b,c}d -> abd, acd; a{name}d, as Python's strings have it, -> a*d."""
    m = re.search(r"\{([^{}]*)\}", pattern)
    if not m:
        return [pattern]
    parts = m.group(1).split(",") if "," in m.group(1) else ["*"]
    return [x for part in parts for x in expand(pattern[:m.start()] + part + pattern[m.end():])]


def exists(pattern, known):
    """Capitals, as in test_NAME.c, stand for any name."""
    pattern = re.sub(r"(?<![A-Za-z])[A-Z]{2,}(?![A-Za-z])",
                     lambda m: m.group() if m.group() in known["capitals"] else "*", pattern.rstrip("/"))
    if any(c in pattern for c in "*?"):
        return any(fnmatch.fnmatchcase(p, pattern) for p in known["paths"])
    return pattern in known["paths"]


def check_paths(path, text, known):
    for at, line in enumerate(text.split("\n"), 1):
        for m in PATH.finditer(line):
            said = m.group(1).rstrip(".,-")
            if said.count("{") != said.count("}"):
                said = said[:said.index("{" if "{" in said else "}")]
            for one in expand(said):
                # A build file speaks of what lies beside it.
                if not exists(one, known) and not exists(os.path.join(os.path.dirname(path), one), known):
                    bad(path, at, "names %s, which is not there" % one)


NAME = re.compile(r"(?<![\w/.*,{}-])((?:[a-z0-9_]+/)*[a-z0-9_-]+\.(?:c|h|inc|def))(?![\w.*])")


def check_names(path, text, known):
    """Files by their bare names, headers as includes have them: in comments, and anywhere on a page."""
    for at, said in [(1, text)] if path.endswith(".md") else comments(text):
        for m in NAME.finditer(said):
            name = m.group(1)
            if name not in FOREIGN and name not in known["tails"]:
                bad(path, at + said.count("\n", 0, m.start()), "names %s, which is not there" % name)


def main():
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    files = our_files()
    paths = set()
    for room in [f for f in files] + [os.path.join(f, n) for g in GENERATED for f, _, names in os.walk(g) for n in names]:
        while room:
            paths.add(room)
            room = os.path.dirname(room)
    known = {
        "paths": paths,
        "tails": {p[i:] for p in paths for i in [0] + [k + 1 for k, c in enumerate(p) if c == "/"]},
        "capitals": {w for p in paths for w in re.findall(r"[A-Z]{2,}", p)},
    }
    for path in files:
        try:
            with open(path, encoding="utf-8") as f:
                text = f.read()
        except UnicodeDecodeError:
            continue
        check_banner(path, text)
        if path != "tests/words.py":
            check_paths(path, text, known)
        if path.endswith(CODE):
            check_layout(path, text)
        if path.endswith(CODE) or path.endswith(".md"):
            check_names(path, text, known)
    print("\n".join(failed) if failed else "words: ok, %d files" % len(files))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
