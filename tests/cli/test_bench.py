"""`strata bench`: that it measures what was asked and says so in the three formats. No figure is judged here.

Environment: STRATA_PROGRAM (default build/release/strata), STRATA_EMULATOR (a command before it, '|' between words).
"""
import csv
import io
import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("STRATA_PROGRAM") or str(ROOT / "build/release/strata")
EMULATOR = [w for w in os.environ.get("STRATA_EMULATOR", "").split("|") if w]
BERT = str(ROOT / "tests/data/tiny/bert.gguf")
GEMMA = str(ROOT / "tests/data/tiny/gemma-embedding.gguf")
DECODER = str(ROOT / "tests/data/tiny/gemma3.gguf")

# Stands for llama-bench and llama-embedding: twice as slow as nothing at all.
LLAMA = """#!%s
import sys, json
a = sys.argv
if a[0].endswith("llama-bench"):
    p, g = (a[a.index(x) + 1] for x in ("-p", "-n"))
    assert "0" in (p, g)
    n = (g if p == "0" else p).split(",")
    print(json.dumps([{"n_prompt": int(x), "samples_ns": [5, 6], "samples_ts": [100.0, 250.5, 200]} for x in n], indent=2))
else:
    text = open(a[a.index("-f") + 1]).read()
    assert a[a.index("--embd-separator") + 1] == "<#sep#>"
    print(len(text.split("<#sep#>")))
"""


def bench(*args, stdin=b"", env=None):
    p = subprocess.run(EMULATOR + [PROGRAM, "bench", "--runs", "2", *map(str, args)], input=stdin, capture_output=True,
                       timeout=600, env=dict(os.environ, STRATA_LLAMA_BIN="/nowhere", **(env or {})))
    return p.returncode, p.stdout.decode(), p.stderr.decode(errors="replace")


class Bench(unittest.TestCase):
    def ok(self, *args, **kw):
        code, out, err = bench(*args, **kw)
        self.assertEqual(code, 0, f"{args}: {err}")
        return out

    def result(self, *args, **kw):
        r = json.loads(self.ok(*args, "--json", **kw))
        self.assertGreater(r["tokens_per_s"], 0)
        for row in r["rows"]:
            self.assertGreater(row["ms"], 0)
            self.assertGreaterEqual(row["median_ms"], row["ms"])
        self.assertNotIn(str(ROOT), json.dumps(r), "a path in the result")
        self.assertNotIn(os.uname().nodename, [r["machine"]])
        return r

    def rows(self, r, what):
        return [x for x in r["rows"] if x["what"] == what]

    def test_grid(self):
        r = self.result("-m", BERT, "--lengths", "8,16,100000", "--batches", "1,3")
        cells = [(x["tokens"], x["texts"]) for x in r["rows"]]
        self.assertEqual(cells, [(8, 1), (24, 3), (16, 1), (48, 3)], "exact lengths; too long ones left out")
        self.assertAlmostEqual(r["tokens_per_s"], max(x["tokens_per_s"] for x in r["rows"]))
        self.assertEqual((r["file"], r["precision"], r["runs"]), ("bert.gguf", "i8", 2))
        self.assertGreater(r["peak_mb"], 1)

    def test_prefill(self):
        for model in (BERT, DECODER):
            r = self.result("-m", model, "--prefill", 40)
            self.assertEqual([(x["what"], x["tokens"]) for x in r["rows"]], [("prefill", 40)])
            self.assertEqual(r["tokens_per_s"], r["rows"][0]["tokens_per_s"])
        code, _, err = bench("-m", BERT, "--prefill", 100000)
        self.assertEqual(code, 2)
        self.assertIn("context", err)

    def test_decode(self):
        r = self.result("-m", DECODER, "--decode", 20)
        self.assertEqual([(x["what"], x["tokens"]) for x in r["rows"]], [("decode", 20)])
        self.assertEqual(r["tokens_per_s"], r["rows"][0]["tokens_per_s"])
        code, _, err = bench("-m", BERT, "--decode", 20)
        self.assertEqual(code, 2)
        self.assertIn("logits", err)
        code, _, err = bench("-m", DECODER, "--decode", 1000000)
        self.assertEqual(code, 2)
        self.assertIn("context", err)

    def test_embed(self):
        with tempfile.TemporaryDirectory() as d:
            path = pathlib.Path(d, "t.jsonl")
            path.write_text("".join(json.dumps({"body": f"text {i}"}) + "\n" for i in range(7)))
            r = self.result("-m", BERT, "--embed", path, "--field", "body")
            row, = self.rows(r, "embed")
            self.assertEqual(row["texts"], 7)
            if not EMULATOR and sys.platform == "linux":
                whole, = self.rows(r, "whole")
                self.assertEqual((whole["texts"], whole["tokens"]), (7, row["tokens"]))
            self.assertEqual(bench("-m", BERT, "--embed", path)[0], 1, "no such field")
            self.assertEqual(bench("-m", BERT, "--embed", path.with_name("none"))[0], 1)
            path.write_text("")
            self.assertEqual(bench("-m", BERT, "--embed", path)[0], 1, "no texts")

    def test_start(self):
        r = self.result("-m", GEMMA, "--start")
        opened, first = self.rows(r, "open")[0], self.rows(r, "first")[0]
        self.assertLessEqual(opened["ms"], first["ms"])

    def test_ops(self):
        r = self.result("-m", GEMMA, "--ops", "--prefill", 20)
        ops, kinds, groups = self.rows(r, "op"), self.rows(r, "kind"), self.rows(r, "group")
        plan = subprocess.run(EMULATOR + [PROGRAM, "plan", GEMMA], capture_output=True, text=True).stdout
        lines = [x for x in plan.splitlines() if not x.endswith(":")]
        self.assertEqual(len(ops), len(lines), "every op of an encoder runs")
        for name in ("kind", "group"):
            rows = self.rows(r, name)
            self.assertEqual(sum(x["ops"] for x in rows), len(ops))
            self.assertAlmostEqual(sum(x["ms"] for x in rows), sum(x["ms"] for x in ops), delta=1e-4 * len(ops))
            self.assertEqual([x["ms"] for x in rows], sorted((x["ms"] for x in rows), reverse=True))
        self.assertEqual({x["name"] for x in kinds}, {x.split("->")[0].split()[-2] for x in lines})
        for row in groups:
            self.assertEqual("gmac_per_s" in row, row["name"].startswith(("LINEAR", "ATTN")), row)
        self.assertGreater(r["peaks"]["read_gb_per_s"], 0)

    def test_formats(self):
        table = self.ok("-m", BERT, "--lengths", "8", "--batches", "1,2")
        self.assertIn("tokens/s", table)
        self.assertEqual(sum(x.startswith("grid") for x in table.splitlines()), 2)
        rows = list(csv.DictReader(io.StringIO(self.ok("-m", BERT, "--lengths", "8", "--batches", "1", "--csv"))))
        self.assertEqual((rows[0]["what"], rows[0]["tokens"], rows[0]["texts"]), ("grid", "8", "1"))
        self.assertGreater(float(rows[0]["tokens_per_s"]), 0)
        self.assertEqual(rows[0]["llama_ms"], "")
        rows = list(csv.DictReader(io.StringIO(self.ok("-m", BERT, "--ops", "--csv"))))
        self.assertTrue(all(None not in r for r in rows), "a comma in a name")

    def test_usage(self):
        self.assertEqual(bench()[0], 2)
        code, _, err = bench("-m", BERT, "--embed", "-", stdin=b"")
        self.assertEqual((code, err), (1, "strata: stdin: no texts\n"))
        self.assertEqual(bench("-m", BERT, "text")[0], 2)
        self.assertEqual(bench("-m", BERT, "--json", "--csv")[0], 2)
        self.assertEqual(bench("-m", BERT, "--lengths", "100000")[0], 2)
        self.assertEqual(bench("-m", "/nowhere.gguf")[0], 3)

    def test_peers(self):
        _, out, err = bench("-m", BERT, "--lengths", "8", "--batches", "1", "--peers")
        self.assertIn("not found", err)
        self.assertIn("grid", out)
        with tempfile.TemporaryDirectory() as d:
            for name in ("llama-bench", "llama-embedding"):
                p = pathlib.Path(d, name)
                p.write_text(LLAMA % sys.executable)
                p.chmod(p.stat().st_mode | stat.S_IXUSR)
            env = {"STRATA_LLAMA_BIN": d}
            r = self.result_of(env, "-m", BERT, "--lengths", "8,16", "--batches", "1", "--peers")
            self.assertEqual([round(x["llama_tokens_per_s"], 1) for x in r["rows"]], [250.5, 250.5])
            r = self.result_of(env, "-m", DECODER, "--decode", 8, "--peers")
            self.assertEqual([round(x["llama_tokens_per_s"], 1) for x in r["rows"]], [250.5])
            texts = pathlib.Path(d, "t.jsonl")
            texts.write_text('{"text":"one"}\n{"text":"two"}\n')
            r = self.result_of(env, "-m", BERT, "--embed", texts, "--peers")
            if not EMULATOR and sys.platform == "linux":
                whole, = self.rows(r, "whole")
                self.assertGreater(whole["llama_ms"], 0)
                self.assertGreater(whole["llama_peak_mb"], 0)

    def result_of(self, env, *args):
        p = subprocess.run(EMULATOR + [PROGRAM, "bench", "--runs", "2", "--json", *map(str, args)], capture_output=True,
                           timeout=600, env=dict(os.environ, **env))
        self.assertEqual(p.returncode, 0, p.stderr)
        return json.loads(p.stdout)


class Plot(unittest.TestCase):
    def test_page(self):
        with tempfile.TemporaryDirectory() as d:
            files = []
            for i, args in enumerate((["--lengths", "8,16", "--batches", "1,2"], ["--ops"], ["--start"])):
                code, out, err = bench("-m", BERT, "--json", *args)
                self.assertEqual(code, 0, err)
                files.append(pathlib.Path(d, f"{i}.json"))
                files[-1].write_text(out)
            page, svg = pathlib.Path(d, "p.md"), pathlib.Path(d, "p.svg")
            subprocess.run([sys.executable, "-B", str(ROOT / "tools/plot_bench.py"), "--page", str(page), "--plot", str(svg),
                            *map(str, files)], check=True)
            text = page.read_text()
            self.assertIn("## bert.gguf", text)
            self.assertIn("(p.svg)", text)
            self.assertNotIn(d, text)
            self.assertEqual(text.count("\n## "), 1, "one section a model")
            xml.dom.minidom.parse(str(svg))


if __name__ == "__main__":
    unittest.main()
