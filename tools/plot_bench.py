#!/usr/bin/env python3
"""docs/PERFORMANCE.md and its plot, from what `strata bench --json` printed.

    for m in embeddinggemma-300m-q8_0 all-minilm-l6-v2-q8_0; do
      strata bench -m $m.gguf --peers --json > $m.grid.json
      strata bench -m $m.gguf --embed passages.jsonl --peers --json > $m.embed.json
      strata bench -m $m.gguf --start --peers --json > $m.start.json
      strata bench -m $m.gguf --ops --json > $m.ops.json
    done
    tools/plot_bench.py --page docs/PERFORMANCE.md --plot docs/tokens_per_s.svg *.json

Any of the files may be left out; results of one model file are joined in the order given. Standard library only."""
import argparse
import json
import math
import os
from html import escape

STRATA, BATCHED, LLAMA = "#1f6feb", "#8ab8f8", "#d9730d"
INK, MUTED, GRID = "#1f2328", "#59636e", "#d8dee4"


def rate(row, key="ms"):
    return row["tokens"] / row[key] * 1e3 if row.get(key) else 0


def series(rows):
    """grid rows -> [(label, colour, [(tokens a text, tokens/s)])]"""
    alone, batched, peer = {}, {}, {}
    for r in rows:
        length = r["tokens"] // r["texts"]
        if r["texts"] == 1:
            alone[length] = rate(r)
        batched[length] = max(batched.get(length, 0), rate(r))
        if r.get("llama_ms"):
            peer[length] = max(peer.get(length, 0), rate(r, "llama_ms"))
    out = [("strata, texts in batches", BATCHED, sorted(batched.items())),
           ("strata, one text", STRATA, sorted(alone.items())), ("llama.cpp, one text", LLAMA, sorted(peer.items()))]
    return [s for s in out if s[2]]


def nice(top):
    step = 10 ** math.floor(math.log10(top / 4))
    step *= next(k for k in (1, 2, 2.5, 5, 10) if top / (step * k) <= 5)
    return [i * step for i in range(int(top / step) + 2)]


def panel(title, rows, x0, y0, w, h):
    lines = series(rows)
    xs = sorted({x for _, _, p in lines for x, _ in p})
    ticks = nice(max(y for _, _, p in lines for _, y in p))
    lo, hi = math.log2(xs[0]), math.log2(xs[-1]) if len(xs) > 1 else math.log2(xs[0]) + 1
    px = lambda x: x0 + (math.log2(x) - lo) / (hi - lo) * w
    py = lambda y: y0 + h - y / ticks[-1] * h
    o = [f'<text x="{x0}" y="{y0 - 14}" font-weight="600" fill="{INK}">{escape(title)}</text>']
    for t in ticks:
        o.append(f'<line x1="{x0}" x2="{x0 + w}" y1="{py(t):.1f}" y2="{py(t):.1f}" stroke="{GRID}"/>')
        o.append(f'<text x="{x0 - 8}" y="{py(t) + 4:.1f}" text-anchor="end" fill="{MUTED}">{t:,.0f}</text>')
    for x in xs:
        o.append(f'<text x="{px(x):.1f}" y="{y0 + h + 18}" text-anchor="middle" fill="{MUTED}">{x}</text>')
    for label, colour, points in lines:
        path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in points)
        o.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>')
        for x, y in points:
            o.append(f'<circle cx="{px(x):.1f}" cy="{py(y):.1f}" r="3.5" fill="{colour}" stroke="#fff">'
                     f'<title>{escape(label)}, {x} tokens: {y:,.0f} tokens/s</title></circle>')
    return o


def plot(models, path):
    models = [m for m in models if m["grid"]]
    n = models[0]["grid"][0]["threads"]
    w, h, left, gap, top = 360, 240, 64, 84, 76
    width, height = left + len(models) * w + (len(models) - 1) * gap + 24, top + h + 52
    o = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
         'font-family="system-ui, sans-serif" font-size="12">', f'<rect width="{width}" height="{height}" fill="#fff"/>']
    x = left
    for label, colour, _ in series([r for m in models for r in m["grid"]]):
        o.append(f'<line x1="{x}" x2="{x + 18}" y1="24" y2="24" stroke="{colour}" stroke-width="2"/>')
        o.append(f'<text x="{x + 24}" y="28" fill="{INK}">{escape(label)}</text>')
        x += 40 + 7 * len(label)
    for i, m in enumerate(models):
        x0 = left + i * (w + gap)
        o += panel(f'{m["file"]}: tokens/s', m["grid"], x0, top, w, h)
        o.append(f'<text x="{x0 + w / 2}" y="{top + h + 38}" text-anchor="middle" fill="{MUTED}">'
                 f'tokens a text, {n} thread{"s" if n > 1 else ""}</text>')
    o.append("</svg>")
    with open(path, "w") as f:
        f.write("\n".join(o) + "\n")


# ---- the page ----

def join(results):
    models = {}
    for r in results:
        m = models.setdefault((r["file"], r["precision"], r["cpu"]), dict(r, grid=[], rows=[], peaks=None))
        for x in r["rows"]:
            m["grid" if x["what"] == "grid" else "rows"].append(dict(x, threads=r["threads"], runs=r["runs"]))
        m["peaks"] = r.get("peaks_1") or m["peaks"]
    return list(models.values())


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(r) + " |" for r in rows), ""]


def times(a, b):
    return f"{a / b:.1f} x" if a and b else ""


def grid_table(m):
    peers = any(r.get("llama_ms") for r in m["grid"])
    by_length = {}
    for r in m["grid"]:
        by_length.setdefault(r["tokens"] // r["texts"], {})[r["texts"]] = r
    batches = sorted({r["texts"] for r in m["grid"]})
    head = ["tokens a text", "one text, ms"] + [f"tokens/s, {b} text{'s' if b > 1 else ''}" for b in batches]
    rows = []
    for length, cells in sorted(by_length.items()):
        row = [str(length), f'{cells[1]["ms"]:.1f}' if 1 in cells else ""]
        row += [f"{rate(cells[b]):,.0f}" if b in cells else "" for b in batches]
        if peers:
            llama = max((r for r in cells.values() if r.get("llama_ms")), key=lambda r: rate(r, "llama_ms"), default=None)
            one = cells.get(1)
            row += [f'{rate(llama, "llama_ms"):,.0f}' if llama else "",
                    times(rate(one), rate(llama, "llama_ms")) if one and llama else ""]
        rows.append(row)
    return table(head + (["llama.cpp tokens/s, one text", "one text, ratio"] if peers else []), rows)


def process_table(m):
    names = {"open": "open the file, ready to run", "first": "open and first vector", "embed": "embed, model loaded",
             "prefill": "prefill", "decode": "decode", "whole": "whole process"}
    rows = []
    for r in m["rows"]:
        if r["what"] not in names:
            continue
        what = names[r["what"]]
        texts = f'{r["texts"]} of {r["tokens"] / r["texts"]:.0f} tokens' if r.get("texts") else ""
        rows.append([what, texts, str(r["threads"]), f'{r["ms"]:,.1f}', f'{r["median_ms"]:,.1f}',
                     f"{rate(r):,.0f}" if texts else "", f'{r["peak_mb"]:.0f}' if r.get("peak_mb") else "",
                     f'{r["llama_ms"]:,.1f}' if r.get("llama_ms") else "",
                     f'{r["llama_peak_mb"]:.0f}' if r.get("llama_peak_mb") else "", times(r.get("llama_ms"), r["ms"]),
                     f'{r["cpu_ms"]:,.0f}' if r.get("cpu_ms") else "", f'{r["llama_cpu_ms"]:,.0f}' if r.get("llama_cpu_ms") else "",
                     times(r.get("llama_cpu_ms"), r.get("cpu_ms"))])
    head = ["what", "texts", "threads", "ms", "median", "tokens/s", "peak MB", "llama.cpp ms", "llama.cpp MB", "ratio", "CPU ms", "llama.cpp CPU ms", "ratio"]
    return table(head, rows) if rows else []


def ops_table(m):
    rows, total = [], sum(r["ms"] for r in m["rows"] if r["what"] == "group")
    for r in m["rows"]:
        if r["what"] != "group" or r["ms"] < total * 0.002:
            continue
        g, peak = r.get("gmac_per_s"), m["peaks"] or {}
        top = peak.get("i8_gmac_per_s") if r.get("gb_per_s") and m["type"] not in ("F32", "F16", "BF16") else None
        top = top or peak.get("f32_gmac_per_s")
        if m["precision"] == "bf16":
            top = peak.get("bf16_gmac_per_s")
        rows.append([f'`{" ".join(r["name"].split())}`', str(r["ops"]), f'{r["ms"] * 1e3:,.0f}', f'{100 * r["ms"] / total:.1f}',
                     f"{g:.0f}" if g else "", f"{100 * g / top:.0f}" if g and top else "",
                     f'{r["gb_per_s"]:.1f}' if r.get("gb_per_s") else ""])
    head = ["operation", "ops", "us", "% of time", "GMAC/s", "% of peak", "GB/s of weights"]
    return table(head, rows) if rows else []


def page(models, svg, path, note):
    first = models[0]
    rows = [r for m in models for r in m["grid"] + m["rows"]]
    peers, runs = any(r.get("llama_ms") for r in rows), sorted({r["runs"] for r in rows})
    o = ["# Performance", "",
         "Generated by `tools/plot_bench.py` from `strata bench --json`; its first lines show the commands. Do not edit.", "",
         f'Machine: {first["machine"]}. strata {first["strata"]}. Times are the best of '
         f'{runs[0] if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"} runs after one to warm up, with the median beside them'
         + ("; llama.cpp's programs ran in turn with strata, `llama-bench` for one text and `llama-embedding` for whole "
            "processes. Compare ratios, not figures. Where the median is far above the best the machine was busy, and the ratio "
            "of CPU time, measured with one thread, says most: the threads of llama.cpp wait by spinning." if peers else "."), ""]
    if note:
        o += [note, ""]
    if any(m["grid"] for m in models):
        o += [f"![tokens per second against tokens a text]({os.path.relpath(svg, os.path.dirname(path) or '.')})", ""]
    for m in models:
        o += [f'## {m["file"]}', "",
              f'{m["name"] or m["arch"]}: {m["params"] / 1e6:.1f} M parameters, {m["file_bytes"] / 1e6:.1f} MB, '
              f'{m["packed_bytes"] / 1e6:.1f} MB packed. Kernels {m["cpu"]}, precision {m["precision"]}.', ""]
        if m["grid"]:
            n = m["grid"][0]["threads"]
            o += [f'Texts of one length, {n} thread{"s" if n > 1 else ""}:', "", *grid_table(m)]
        o += process_table(m)
        ops = ops_table(m)
        if ops:
            tokens = next(r["tokens"] for r in m["rows"] if r["what"] == "group")
            p = m["peaks"]
            o += [f"Where the time goes, {tokens} tokens on one thread"
                  + (f' (peaks of one thread: int8 {p["i8_gmac_per_s"]:.0f} GMAC/s, float32 {p["f32_gmac_per_s"]:.0f} GMAC/s, '
                     + (f'bf16 {p["bf16_gmac_per_s"]:.0f} GMAC/s, ' if p.get("bf16_gmac_per_s") else "") +
                     f'memory {p["read_gb_per_s"]:.1f} GB/s)' if p else "") + ":", "", *ops]
    with open(path, "w") as f:
        f.write("\n".join(o).rstrip() + "\n")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("results", nargs="+", metavar="RESULT.json")
    a.add_argument("--page", help="Markdown page to write")
    a.add_argument("--note", help="a paragraph on the circumstances of the measurement")
    a.add_argument("--plot", required=True, help="SVG to write")
    o = a.parse_args()
    results = []
    for path in o.results:
        with open(path) as f:
            results.append(json.load(f))
    models = join(results)
    if any(m["grid"] for m in models):
        plot(models, o.plot)
    if o.page:
        page(models, o.plot, o.page, o.note)


if __name__ == "__main__":
    main()
