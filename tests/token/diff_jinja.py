#!/usr/bin/env python3
"""Differences between strata's templates and Jinja's in the environment of transformers, by random sources.

    python3 -m venv /tmp/venv-tpl && /tmp/venv-tpl/bin/pip install transformers==5.24.0 jinja2==3.1.6
    cc -std=c11 -Isrc -Iinclude tests/token/template_run.c build/release/libstrata.a -lm -lpthread -o build/template_run
    /tmp/venv-tpl/bin/python tests/token/diff_jinja.py build/template_run [--seeds N] [--seed S] [--cases FILE.tsv]

Sources are made from a grammar of expressions and
statements, most of them sensible. Both sides must render the same bytes, or both refuse. What strata refuses by name and
Jinja renders is counted by message and is no difference; the other way round, and other bytes, are.
"""
import argparse
import collections
import datetime
import json
import random
import re
import signal
import subprocess

from transformers.utils import chat_template_utils as hf

NOW = datetime.datetime(2026, 3, 7, 4, 5, 9)
ST_NOW = 1772856309


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


hf.datetime = Clock

V = {"s": "Hello, Wörld", "n": 7, "f": 2.5, "t": True, "z": None, "l": [3, 1, 2], "w": ["b", "A", "c", "a"], "e": [],
     "d": {"b": 1, "a": [1, {"x": "y"}], "items": 5}, "m": [{"role": "user", "k": {"v": 2}, "g": 1}, {"role": "tool", "k": {"v": 1}, "g": 2},
     {"role": "User", "k": {"v": 3}, "g": 1}], "ws": " \t\n x y  z \u00a0", "lines": "a\nb\n\nc\r\nd", "q": "it's \"q\" <b>&amp; \\ é\n\x7f",
     "big": 12345678901234567890123, "neg": -7, "fl": [0.1, 1e16, 1e-5, 123456.789, 5e-324, 1.0, 1e22, -0.0, 3.14e100],
     "u": "ﬁ ΑΣ ß ǆ İ ΑΣ. Σ", "empty": "", "nums": "0x1f 12 1_000 ١٢", "mix": [1, "a", None, 2.5, True, [1], {"k": 1}],
     "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": ["integer", "null"]}}}}}]}

# What Jinja's words are given and what strata says of what it leaves out.
REFUSED = re.compile(r"is not supported|not supported|cannot be printed|supported with|nested more than|more than \d+ digits|too large for a float|swapcase of|follows a locale|option 'z'|beyond 64 bits|conversion !a|format %a|out of steps|out of memory|width of more|names of characters|entity other|no character|precision of more|nested too deep|iterator that two")


class Maker:
    def __init__(self, rng):
        self.r = rng

    def pick(self, *options):
        return self.r.choice(options)

    def string(self):
        words = ["a", "Hello", "x y", "", "ﬁ", "ΑΣ", "a,b,c", "  p ", "<b>", "12", "-3.7", "0x1f", "1e3", "A-b (c", "ß", "été", "a\\nb", "{}", "%s", "1_0", "it\\'s", "日本"]
        return "'" + self.r.choice(words) + "'"

    def integer(self):
        return self.pick("0", "1", "2", "3", "-1", "-2", "7", "10", "255", "1000", "-5", "64", "n", "neg", "100000", "9223372036854775807", "big", "2**64", "1_000")

    def small(self):
        return self.pick("0", "1", "2", "3", "4", "-1", "-2", "5", "8", "n")

    def number(self):
        return self.pick(self.integer(), self.integer(), "2.5", "0.1", "-1.5", "1e16", "f", "3.0", "1e-7", "true", "1234567.891")

    def name(self):
        return self.r.choice(list(V) + ["missing"])

    def seq(self, d):
        return self.pick("l", "w", "m", "e", "s", "mix", "fl", "range(" + self.small() + ")", "range(1, 9, 2)", "d", "d.items()", "d.keys()", "[" + ", ".join(self.expr(d) for _ in range(self.r.randrange(4))) + "]",
                         "(" + self.expr(d) + ", " + self.expr(d) + ")", "l|map('string')", "w|select('lower')", "m|map(attribute='role')", "'abc'", "z", "missing", "m|groupby('g')", "d|items", "l|batch(2)")

    def text(self, d):
        return self.pick(self.string(), self.string(), "s", "ws", "lines", "q", "u", "nums", "(" + self.string() + "|safe)", "(" + self.expr(d) + "|string)", "(" + self.string() + " ~ " + self.expr(d) + ")")

    def text_method(self, d):
        t, i, s = self.text(d), self.small(), self.string()
        return t + self.pick(
            ".upper()", ".lower()", ".title()", ".capitalize()", ".strip()", f".strip({s})", ".lstrip()", f".rstrip({s})", ".split()", f".split({s})", f".split({s}, {i})", f".rsplit({s}, {i})", f".rsplit(none, {i})",
            f".split(maxsplit={i})", ".splitlines()", ".splitlines(true)", f".startswith({s})", f".startswith({s}, {i})", f".endswith(({s}, {self.string()}))", f".endswith({s}, {i}, {self.small()})", f".replace({s}, {self.string()})",
            f".replace({s}, 'X', {i})", f".find({s})", f".find({s}, {i})", f".rfind({s}, {i}, {self.small()})", f".count({s})", f".count('', {i})", f".index('a')", f".join({self.seq(d)})", ".isdigit()", ".isalpha()", ".isalnum()",
            ".isspace()", ".isupper()", ".islower()", ".istitle()", ".isnumeric()", ".isdecimal()", ".isascii()", ".isidentifier()", ".isprintable()", f".removeprefix({s})", f".removesuffix({s})", f".partition({s})", f".rpartition({s})",
            f".zfill({i})", f".ljust({self.small()})", f".rjust(9, '*')", f".center({self.small()})", ".center(10, '-')", f".expandtabs({i})", ".swapcase()", ".casefold()", f"[{i}]", f"[{i}:]", f"[:{i}]", f"[::{i}]", f"[{i}:{self.small()}:{self.small()}]",
            f".format({self.expr(d)}, {self.expr(d)})", f"[::-1]", f" * {i}", f" % {self.expr(d)}")

    def spec(self):
        return self.pick("", "", "<", ">", "^", "*^", "=", "0") + self.pick("", "+", " ", "-") + self.pick("", "#") + self.pick("", "0", "5", "08", "12") + self.pick("", ",", "_") + self.pick("", ".0", ".2", ".5") + self.pick("", "d", "f", "e", "g", "x", "X", "o", "b", "s", "%", "n", "G", "E", "c")

    def formats(self, d):
        e = self.expr(d)
        return self.pick(f"'{{:{self.spec()}}}'.format({self.number()})", f"'{{:{self.spec()}}}|{{}}'.format({self.string()}, {e})", f"'{{0}}-{{1}}-{{0}}'.format({e}, {self.expr(d)})", f"'{{a}}{{b!r}}'.format(a={e}, b={self.expr(d)})",
                         f"'{{0[a]}} {{0.b}}'.format(d)", f"'{{:{{}}}}'.format({self.number()}, {self.small()})", f"'%{self.pspec()}' % {self.number()}", f"'%{self.pspec()}|%s' % ({self.number()}, {e})", f"'%(b)s' % d", f"'%(a){self.pspec()}' % {{'a': {self.number()}}}",
                         f"'%{self.pspec()}'|format({self.number()})", f"'%s %r' % ({e}, {self.expr(d)})", f"'%*d' % ({self.small()}, {self.small()})", f"'%{self.pspec()}' % {self.string()}", "'{{}}'.format()", "'a%%b' % ()")

    def pspec(self):
        return self.pick("", "-", "0", "+", " ", "#", "-0") + self.pick("", "3", "10") + self.pick("", ".0", ".2", ".6") + self.pick("d", "i", "f", "e", "g", "x", "X", "o", "s", "r", "c", "u", "G", "F")

    def filt(self, d):
        e, i, s, q = self.expr(d), self.small(), self.string(), self.seq(d)
        return self.pick(
            f"{self.text(d)}|trim", f"{e}|upper", f"{e}|lower", f"{self.text(d)}|title", f"{e}|capitalize", f"{e}|string", f"{e}|length", f"{self.text(d)}|wordcount", f"{e}|default({self.expr(d)})", f"{e}|d({s}, true)",
            f"{self.text(d)}|replace({s}, {self.string()})", f"{self.text(d)}|int", f"{self.text(d)}|int(base={self.pick('16', '2', '8', '0', '36')})", f"{e}|int({i})", f"{e}|float", f"{self.number()}|abs", f"{self.number()}|round({i})",
            f"{self.number()}|round({i}, {self.pick(chr(39) + 'ceil' + chr(39), chr(39) + 'floor' + chr(39), chr(39) + 'common' + chr(39))})", f"{self.text(d)}|safe", f"{e}|e", f"{e}|forceescape", f"{e}|tojson", f"{e}|tojson(indent={i})", f"{e}|tojson(sort_keys=true)",
            f"{e}|tojson(true)", f"{e}|tojson(separators=(',', ':'))", f"{self.text(d)}|indent", f"{self.text(d)}|indent({i}, true)", f"{self.text(d)}|indent('> ', blank=true)", f"{q}|sort", f"{q}|sort(reverse=true)", f"m|sort(attribute='g,role')", f"m|sort(attribute='k.v')",
            f"{q}|list", f"{q}|first", f"{q}|last", f"{q}|reverse", f"{q}|reverse|list", f"{q}|join({s})", f"{q}|unique|list", f"{q}|map('upper')|list", f"{q}|map(attribute='role', default={s})|list", f"{q}|map('default', {s})|join('|')", f"{q}|select|list", f"{q}|reject('none')|list",
            f"{q}|select('string')|list", f"m|selectattr('role', 'in', ['user', 'tool'])|list|length", f"m|rejectattr('g', 'eq', 1)|map(attribute='role')|list", f"{q}|selectattr('x')|list", f"{q}|min", f"{q}|max", f"{q}|sum", f"m|sum(attribute='g')", f"{q}|batch({i}, {s})|list", f"{q}|slice({i})|list",
            f"{q}|slice(2, {s})|list", f"m|groupby('g')", f"m|groupby('g')|map(attribute='grouper')|list", f"m|groupby('role')", f"w|groupby(0)", f"d|dictsort", f"d|dictsort(by='value')", f"{e}|items|list", f"d|attr({s})", f"{self.text(d)}|center({i})", f"{self.text(d)}|center(9)",
            f"{self.text(d)}|truncate({self.pick('3', '5', '8', '0')})", f"{self.text(d)}|truncate(6, true, '..', 0)", f"{self.text(d)}|urlencode", f"{{'a b': 1, 'c/d': 'é&'}}|urlencode", f"{e}|urlencode", f"{self.text(d)}|striptags", f"{self.number()}|filesizeformat", f"{self.number()}|filesizeformat(true)",
            f"{{'id': {e}, 'x': none}}|xmlattr", f"{q}|count")

    def test(self, d):
        e = self.expr(d)
        return f"{e} is " + self.pick("", "", "not ") + self.pick("defined", "undefined", "none", "string", "number", "integer", "float", "mapping", "sequence", "iterable", "boolean", "true", "false", "callable", "odd", "even", "lower", "upper", "escaped", f"in {self.seq(d)}", f"eq {self.expr(0)}",
                                                                  f"divisibleby {self.small()}", f"sameas({self.expr(0)})", f"ge({self.expr(0)})", f"lt {self.number()}", "filter", "test", "equalto 7")

    def part(self, d):
        return self.pick("d.a", "d['b']", "d.nope", "m[0].role", "m[0].k.v", "l[0]", "l[-1]", f"l[{self.small()}]", f"l[{self.small()}:{self.small()}]", "d.get('a')", f"d.get('q', {self.expr(0)})", "d.keys()|list", "d.values()|list", "d.items()|list", "d.keys()", "d.items()", "d.values()", f"range({self.small()}, {self.small()}, {self.pick('1', '-1', '2', '3')})", "range(9)[2:5]", "range(9)|list", f"l.index({self.small()})",
                         "l.count(1)", "(1, 2)", "()", "(1,)", "m[1]", "d.copy()", "dict(a=1)", "namespace(a=1)", "namespace(a=1).a", "[].append", "l.pop", "tools[0].function.name", "tools|tojson(indent=2)", "dict(l|batch(2)|list)", f"dict([('a', {self.expr(0)})])", "joiner('x')()", "cycler(1, 2).next()", "cycler(1, 2).current", "l is sequence", "mix", "fl", f"strftime_now('%{self.pick(*'aAbBcCdDeFgGhHIjkKlmMnpPrRsStTuUVwWxXyYzZ%f')}')", "strftime_now('%-d %-m %-I %e %_d %^a %#p %05d')")

    def expr(self, d):
        if d <= 0:
            return self.pick(self.number(), self.string(), self.name(), self.name(), "none", "true", "false", "[]", "{}", "1.0")
        d -= 1
        r = self.r.random()
        if r < 0.16:
            return self.filt(d)
        if r < 0.30:
            return self.text_method(d)
        if r < 0.38:
            return self.part(d)
        if r < 0.46:
            return self.formats(d)
        if r < 0.58:
            return "(" + self.number() + self.pick(" + ", " - ", " * ", " / ", " // ", " % ", " ** ") + self.pick(self.number(), self.small()) + ")"
        if r < 0.64:
            return "(" + self.expr(d) + self.pick(" + ", " * ", " ~ ", " and ", " or ", " == ", " != ", " < ", " >= ", " in ", " not in ") + self.expr(d) + ")"
        if r < 0.70:
            return "(" + self.test(d) + ")"
        if r < 0.75:
            return "(" + self.expr(d) + " if " + self.expr(d) + self.pick(" else " + self.expr(d), "") + ")"
        if r < 0.79:
            return self.pick("not ", "-", "+", "- -") + self.expr(d)
        if r < 0.83:
            return "[" + ", ".join(self.expr(d) for _ in range(self.r.randrange(4))) + "]"
        if r < 0.87:
            return "{" + ", ".join(self.pick(self.string(), self.small(), "none") + ": " + self.expr(d) for _ in range(self.r.randrange(3))) + "}"
        if r < 0.90:
            return self.number() + self.pick(" < ", " <= ", " == ") + self.number() + self.pick(" < ", " > ", " != ") + self.number()
        return self.expr(0)

    def statement(self, d):
        e, q = self.expr(2), self.seq(1)
        body = self.body(d - 1) if d > 0 else "{{ i }}"
        loop = self.pick("loop.index", "loop.first", "loop.last", "loop.length", "loop.revindex0", "loop.previtem", "loop.nextitem", "loop.cycle('a', 'b')", "loop.changed(i)", "loop.depth", "loop.index0 % 2")
        return self.pick(
            f"{{% for i in {q} %}}{body}{{{{ {loop} }}}}{{% endfor %}}", f"{{% for i in {q} if i %}}{body}{{% else %}}none{{% endfor %}}", f"{{% for a, b in {self.pick('d.items()', 'd|items', '[(1, 2), (3, 4)]', 'm|groupby(' + chr(39) + 'g' + chr(39) + ')')} %}}{{{{ a }}}}{{{{ b }}}}{{% endfor %}}",
            f"{{% if {e} %}}{body}{{% elif {self.expr(1)} %}}B{{% else %}}C{{% endif %}}", f"{{% set x = {e} %}}{{{{ x }}}}", f"{{% set x %}}{body}{{% endset %}}{{{{ x }}}}", f"{{% set x | upper | trim %}} {body} {{% endset %}}{{{{ x }}}}", f"{{% macro f(a, b=2) %}}{{{{ a }}}}{{{{ b }}}}{body}{{% endmacro %}}{{{{ f({e}) }}}}{{{{ f(b=1) }}}}",
            f"{{% filter upper %}}{body}{{% endfilter %}}", f"{{% with a = {e}, b = n %}}{{{{ a }}}}{{{{ b }}}}{body}{{% endwith %}}", f"{{% set ns = namespace(x=0) %}}{{% for i in {q} %}}{{% set ns.x = ns.x + loop.index %}}{{% endfor %}}{{{{ ns.x }}}}", f"{{% for i in [[1, [2]], 3] recursive %}}{{{{ loop.depth }}}}{{{{ i if i is number else loop(i) }}}}{{% endfor %}}",
            f"{{% call(y) m4({e}) %}}{{{{ y }}}}{{% endcall %}}", f"{{% block b{self.r.randrange(10**9)} %}}{body}{{% endblock %}}", f"{{% for i in {q} %}}{{% if loop.index > 2 %}}{{% break %}}{{% elif i %}}{{% continue %}}{{% endif %}}{{{{ i }}}}{{% endfor %}}", f"{{% print {e}, n %}}", f"{{% if false %}}{{{{ x|nofilter }}}}{{% endif %}}", f"{{{{ 1 if true else x|nofilter }}}}", f"{{{{ x|nofilter }}}}",
            f"{{% if z %}}{{% for i in l %}}{{{{ i|nofilter }}}}{{% endfor %}}{{% endif %}}", f"{{% if n is notest %}}x{{% endif %}}", f"{{% raw %}}\n {{{{ x }}}} {{% endraw %}}\n", f"{{% generation %}}{body}{{% endgeneration %}}", f"{{% set a, b = {q} %}}{{{{ a }}}}", f"{{% set g = l|map('string') %}}{{{{ g|first }}}}{{{{ g|list }}}}{{{{ g|list }}}}", "{# c #}\n", "  {%- if n +%}\n x {% endif -%}\n ",
            f"{{% set g = w|select %}}{{% for i in g %}}{{{{ i }}}}{{{{ {loop} }}}}{{% break %}}{{% endfor %}}{{{{ g|list }}}}")

    def body(self, d):
        return "".join(self.pick(self.pick("\n", " ", "text", "  ") if self.r.random() < 0.3 else "{{ " + self.expr(2) + " }}", self.statement(d)) for _ in range(self.r.randrange(1, 3)))

    def source(self):
        if self.r.random() < 0.7:
            return "{{ " + self.expr(self.r.randrange(1, 4)) + " }}"
        return "{% macro m4(x) %}<{{ caller(x) }}>{% endmacro %}" + self.body(2)


def late(*_):
    raise TimeoutError


signal.signal(signal.SIGALRM, late)


def jinja(source):
    try:
        signal.alarm(5)
        return hf.render_jinja_template([[]], chat_template=source, **V)[0][0], None
    except (Exception, RecursionError) as e:  # noqa: BLE001
        return None, f"{type(e).__name__}: {e}"
    finally:
        signal.alarm(0)


class Strata:
    def __init__(self, path):
        self.p = subprocess.Popen([path, str(ST_NOW)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.vars = json.dumps(V, ensure_ascii=False).encode()

    def render(self, source):
        s = source.encode()
        self.p.stdin.write(b"%d %d\n" % (len(self.vars), len(s)) + self.vars + s)
        self.p.stdin.flush()
        status, n = map(int, self.p.stdout.readline().split())
        text = self.p.stdout.read(n).decode()
        return (text, None) if status == 0 else (None, text)


def record(key, text):
    data = text.encode()
    return b"@%s %d\n%s\n" % (key.encode(), len(data), data)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("run")
    a.add_argument("--seeds", type=int, default=5000)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--cases")
    a.add_argument("--show", type=int, default=30)
    a.add_argument("--record", help="writes the sources on which both agree, with what they give: tests/data/template/random.dat")
    a = a.parse_args()
    strata, refused, bad, both, kept = Strata(a.run), collections.Counter(), 0, 0, []
    sources = [line.split("\t")[0] for line in open(a.cases)] if a.cases else None
    for seed in range(a.seed, a.seed + (len(sources) if sources else a.seeds)):
        source = sources[seed - a.seed] if sources else Maker(random.Random(seed)).source()
        want, error = jinja(source)
        got, message = strata.render(source)
        if want is not None and (re.search(r" object( [\w.]+)? at 0x|<(Macro|function|built-in|bound|class|method)|<jinja2|<transformers|<generator|<listreverse|LoopContext", want)):
            if got is None:
                continue
        if want is not None and got == want:
            both += 1
            kept.append((source, "expect", want))
            continue
        if want is None and got is None:
            if not error.startswith("TimeoutError"):
                kept.append((source, "error", error[:60]))
            continue
        if got is None and REFUSED.search(message):
            refused[re.sub(r"\d+:\d+", "", message)[:80]] += 1
            continue
        bad += 1
        if bad <= a.show:
            print(f"--- {seed}: {source}\n  want {want!r} {error}\n  got  {got!r} {message}")
    print(f"{both} equal, {bad} differ; refused by name: {dict(refused)}")
    if a.record:
        with open(a.record, "wb") as f:
            f.write(record("vars", json.dumps(V, ensure_ascii=False)))
            for source, key, text in kept:
                f.write(record("template", source) + record(key, text))
    return bad != 0


if __name__ == "__main__":
    raise SystemExit(main())
