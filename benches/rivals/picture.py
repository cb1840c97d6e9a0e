#!/usr/bin/env python3
"""Draws docs/deadline-cost.svg: what a deadline costs, from 1 000 to 1 000 000 connections, wheel against sweep.

    cargo bench --bench wheel --bench sweep --bench engine && benches/rivals/picture.py [CRITERION_FOLDER [SVG]]

Reads the medians that criterion left under target/criterion (or CARGO_TARGET_DIR). Standard library only.
"""

import json
import os
import re
import sys
from math import log10
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# An interval of 15 s in ticks of 5 ms: how often a sweep must pass to be as precise as the wheel.
TICKS = 3_000

# Name in criterion, legend, CSS class, times an interval.
SERIES = [
    ("sweep/pass", "a sweep for timeouts every 5 ms: as precise as the wheel", "sweep", TICKS),
    ("engine/interval", "the engine’s whole heartbeat: deadline, ping, pong, next deadline", "engine", 1),
    ("sweep/interval", "a naive server’s whole heartbeat, one sweep an interval: late by up to 15 s", "late", 1),
    ("wheel/cycle", "the wheel: a deadline comes back and is armed again", "wheel", 1),
]
WIDTH, HEIGHT = 760, 524
LEFT, RIGHT, TOP, BOTTOM = 70, 710, 56, 380
X = (3.0, 6.0)
Y = (1.0, 5.0)


def medians(folder):
    """ns by the benchmark's full name."""
    found = {}
    for path in sorted(folder.glob("**/new/estimates.json")):
        name = json.loads((path.parent / "benchmark.json").read_text())["full_id"]
        found[name] = json.loads(path.read_text())["median"]["point_estimate"]
    return found


def series(found, name, times):
    points = []
    for full, ns in found.items():
        match = re.fullmatch(re.escape(name) + r"/(\d+)", full)
        if match:
            n = int(match[1])
            points.append((n, ns * times / n))
    return sorted(points)


def place(n, ns):
    x = LEFT + (log10(n) - X[0]) / (X[1] - X[0]) * (RIGHT - LEFT)
    y = BOTTOM - (log10(ns) - Y[0]) / (Y[1] - Y[0]) * (BOTTOM - TOP)
    return round(x, 1), round(y, 1)


def grid():
    for power in range(int(Y[0]), int(Y[1]) + 1):
        _, y = place(1_000, 10**power)
        label = f"{10**power} ns" if power < 3 else f"{10 ** (power - 3)} µs"
        yield f'<path class="grid" d="M{LEFT} {y}H{RIGHT}"/><text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{label}</text>'
    for power, label in ((3, "1 000"), (4, "10 000"), (5, "100 000"), (6, "1 000 000")):
        x, _ = place(10**power, 10)
        yield f'<path class="grid" d="M{x} {TOP}V{BOTTOM}"/><text x="{x}" y="{BOTTOM + 22}" text-anchor="middle">{label}</text>'


def line(points, kind):
    places = [place(*point) for point in points]
    path = "M" + "L".join(f"{x} {y}" for x, y in places)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="4"><title>{n}: {ns:.0f} ns</title></circle>' for (x, y), (n, ns) in zip(places, points))
    return f'<g class="{kind}"><path d="{path}"/>{dots}</g>'


def legend(row, label, kind):
    y = BOTTOM + 76 + 20 * row
    return f'<g class="{kind}"><path d="M{LEFT} {y - 4}h28"/><text x="{LEFT + 38}" y="{y}">{label}</text></g>'


STYLE = """
text{font:13px system-ui,sans-serif;fill:#57606a}
.title{font-size:15px;font-weight:600;fill:#1f2328}
.grid{stroke:#8c959f;stroke-opacity:.3;fill:none}
g path{fill:none;stroke-width:2.5;stroke-linejoin:round}
.wheel path{stroke:#0969da}.wheel circle,.wheel text{fill:#0969da}
.sweep path{stroke:#cf222e}.sweep circle,.sweep text{fill:#cf222e}
.engine path{stroke:#8250df}.engine circle,.engine text{fill:#8250df}
.late path{stroke:#9a6700;stroke-dasharray:6 4}.late circle,.late text{fill:#9a6700}
@media (prefers-color-scheme:dark){
text{fill:#9198a1}.title{fill:#f0f6fc}
.wheel path{stroke:#58a6ff}.wheel circle,.wheel text{fill:#58a6ff}
.sweep path{stroke:#ff7b72}.sweep circle,.sweep text{fill:#ff7b72}
.engine path{stroke:#bc8cff}.engine circle,.engine text{fill:#bc8cff}
.late path{stroke:#d29922}.late circle,.late text{fill:#d29922}
}
"""


def main():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else target / "criterion"
    picture = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs/deadline-cost.svg"
    found = medians(folder)
    lines = []
    for row, (name, label, kind, times) in enumerate(SERIES):
        points = series(found, name, times)
        if not points:
            sys.exit(f"picture.py: no {name} under {folder}; run cargo bench first")
        if any(not 10 ** Y[0] <= ns <= 10 ** Y[1] for _, ns in points):
            print(f"picture.py: {name} does not fit into the axes: {points}", file=sys.stderr)
        print(f"{name}: " + ", ".join(f"{n}: {ns:.0f} ns" for n, ns in points))
        lines += [line(points, kind), legend(row, label, kind)]
    title = "What one deadline costs, by the number of connections"
    picture.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">\n'
        f"<style>{STYLE}</style>\n"
        f'<text class="title" x="{LEFT}" y="28">{title}</text>\n'
        + "\n".join([*grid(), *lines])
        + f'\n<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 46}" text-anchor="middle">connections, each with a deadline every 15 s</text>\n</svg>\n'
    )


if __name__ == "__main__":
    main()
