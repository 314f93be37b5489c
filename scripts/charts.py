#!/usr/bin/env python3
"""Draws the charts of docs/performance.md from what the bench appended to a file.

  scripts/bench.sh --sections throughput,growth,batches --out FILE
  scripts/charts.py FILE docs/img

Needs nothing but Python. Of several records of one point the last one counts.
"""

import json
import sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 260, 60, 20, 34, 44
COLOURS = ["#30638e", "#d1495b", "#edae49", "#66a182", "#6c5b7b", "#8d99ae", "#b5651d", "#3d5a80", "#999999"]
STYLE = "font-family:sans-serif;font-size:12px;fill:#222"


def text(x, y, what, anchor="middle", more=""):
    what = str(what).replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {more}>{what}</text>'


def page(title, parts, height=HEIGHT):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" style="{STYLE}">'
    back = f'<rect width="{WIDTH}" height="{height}" fill="white"/>'
    return "\n".join([head, back, text(WIDTH / 2, 18, title, more='font-weight="bold"'), *parts, "</svg>", ""])


def lines(title, labels, series, unit):
    """Lines over equally spaced labels; `series` is a list of (name, values)."""
    most = max(v for _, values in series for v in values if v is not None)
    step = next(s for s in (n * 10.0**e for e in range(-3, 9) for n in (1, 2, 5)) if s * 5 >= most)
    top = step * 5
    x = lambda i: LEFT + (WIDTH - LEFT - RIGHT) * (i + 0.5) / len(labels)
    y = lambda v: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * v / top
    parts = []
    for value in (step * n for n in range(6)):
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 6, y(value) + 4, f"{value:,g}", "end"))
    parts += [text(x(i), HEIGHT - BOTTOM + 16, label) for i, label in enumerate(labels)]
    parts.append(text(LEFT - 6, TOP - 4, unit, "start"))
    for n, (name, values) in enumerate(series):
        colour = COLOURS[n]
        points = [(x(i), y(v)) for i, v in enumerate(values) if v is not None]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"/>' for px, py in points]
        at = LEFT + (WIDTH - LEFT - RIGHT) * n / len(series)
        parts.append(f'<rect x="{at:.0f}" y="{HEIGHT - 16}" width="10" height="10" fill="{colour}"/>')
        parts.append(text(at + 15, HEIGHT - 7, name, "start"))
    return page(title, parts)


def bars(title, rows):
    """A bar of shares a row; `rows` is a list of (name, [(part, share)])."""
    sums = {}
    for _, shares in rows:
        for part, share in shares:
            sums[part] = max(sums.get(part, 0), share)
    shown = [part for part, _ in sorted(sums.items(), key=lambda s: -s[1]) if part != "the rest"][:7]
    named = shown + ["other stations", "the rest"]
    left, row = 130, 34
    height = TOP + row * len(rows) + 56
    parts = []
    for n, (name, shares) in enumerate(rows):
        shares = dict(shares)
        values = [shares.get(part, 0) for part in shown]
        values += [sum(s for part, s in shares.items() if part not in shown and part != "the rest"), shares.get("the rest", 0)]
        at, y = left, TOP + row * n
        parts.append(text(left - 6, y + 17, name, "end"))
        for colour, value in zip(COLOURS, values):
            wide = (WIDTH - left - RIGHT) * max(value, 0)
            parts.append(f'<rect x="{at:.1f}" y="{y}" width="{wide:.1f}" height="24" fill="{colour}"/>')
            if value > 0.06:
                parts.append(text(at + wide / 2, y + 16, f"{100 * value:.0f} %", more='fill="white"'))
            at += wide
    for n, (part, colour) in enumerate(zip(named, COLOURS)):
        x, y = 20 + 124 * (n % 5), height - 40 + 18 * (n // 5)
        parts.append(f'<rect x="{x}" y="{y}" width="10" height="10" fill="{colour}"/>')
        parts.append(text(x + 15, y + 9, part, "start"))
    return page(title, parts, height)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    records = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    charts = {}
    of = lambda section: [r for r in records if r["section"] == section]
    stations = {(r["from"], r["line"]): r for r in of("throughput") if r["fsyncs"][0] > 0}
    for place in {place for place, _ in stations}:
        rows = [(line, r["shares"]) for (p, line), r in stations.items() if p == place]
        charts[f"stations-{place}"] = bars(f"Processor time by station, from {place}", rows)
    for what in ("partitions", "tables"):
        points = {(r["from"], r["count"]): r for r in of(what)}
        counts = sorted({count for _, count in points})
        if counts:
            series = [
                (f"from {place}", [points.get((place, c), {}).get("cpuMicros") for c in counts])
                for place in sorted({place for place, _ in points})
            ]
            cost = "an event" if what == "partitions" else "a row"
            charts[f"growth-{what}"] = lines(f"Cost of {cost} by the number of {what}", counts, series, "CPU microseconds")
    marks = {r["count"]: r for r in of("batches")}
    if marks:
        counts = sorted(marks)
        series = [(name, [marks[c][key] for c in counts]) for name, key in (("batch, p50 ms", "p50"), ("batch, p95 ms", "p95"))]
        labels = [f"{c:,} batches" for c in counts]
        charts["growth-batches"] = lines("A batch of ten events after so many batches", labels, series, "ms")
        start = [("start, ms", [marks[c]["startMillis"] for c in counts])]
        charts["growth-start"] = lines("A start after so many batches, to the end of its first batch", labels, start, "ms")
    for name, svg in charts.items():
        Path(sys.argv[2], f"{name}.svg").write_text(svg)
        print(Path(sys.argv[2], f"{name}.svg"))


main()
