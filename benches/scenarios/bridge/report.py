"""Prints the table of bridge.sh. Arguments: the file of results, REPETITIONS, SECONDS, the number of the first tunnels and that
of those opened later. Exit: 1 if pulsegate exceeds a bound."""

import json
import statistics
import sys

TITLES = {
    "echo": "nothing (the echo server itself)",
    "haproxy": "HAProxy",
    "nginx": "nginx",
    "caddy": "Caddy",
    "pulsegate": "pulsegate",
}
SIZES = {"128": "128 B", "4096": "4 KiB", "65536": "64 KiB"}
MEMORY_MAX = 450  # bytes of an idle tunnel, both legs
CPU_MAX = 2.2  # times the echo server's

repetitions, seconds, first_tunnels, tunnels = map(int, sys.argv[2:])
memory, runs = {}, {}
with open(sys.argv[1]) as file:
    for line in file:
        kind, name, rest = line.split(maxsplit=2)
        if kind == "memory":
            before, first, both = map(int, rest.split())
            memory[name] = (both - first) // tunnels
            whole = (both - before) // (first_tunnels + tunnels)
            print(f"{name}: {whole} B per tunnel with what the process keeps besides", file=sys.stderr)
        else:
            size, run = rest.split(maxsplit=1)
            runs.setdefault((name, size), []).append(json.loads(run))


def cpu(run):
    """CPU of one echo, in µs."""
    return run["cpu_ns"] / 1e3 / max(1, run["echoes"])


def ratio(name, size):
    pairs = zip(runs[name, size], runs["echo", size])
    return statistics.median(cpu(run) / cpu(echo) for run, echo in pairs)


def cell(name, size):
    return f"{statistics.median(map(cpu, runs[name, size])):.1f} ({ratio(name, size):.2f})"


print(f"{first_tunnels} to {first_tunnels + tunnels} idle tunnels; medians of {repetitions} windows of {seconds} s. In brackets: times the echo server's.\n")
print(f"| in front of the echo server | bytes per idle tunnel | CPU per echo, µs: {' | '.join(SIZES.values())} |")
print("| --- |" + " --- |" * (1 + len(SIZES)))
for name in memory:
    print(f"| {TITLES[name]} | {memory[name]} | {' | '.join(cell(name, size) for size in SIZES)} |")
print()
for (name, size), each in runs.items():
    rate = statistics.median(run["echoes"] / run["seconds"] for run in each)
    busy = statistics.median(run["cpu_ns"] / run["seconds"] / 1e9 for run in each)
    own = statistics.median(run["own_cpu_ns"] / run["seconds"] / 1e9 for run in each)
    print(
        f"{name}, {SIZES[size]}: {rate:.0f} echoes a second; busy {busy:.0%}, the load {own:.0%}; "
        f"each {', '.join(f'{cpu(run):.2f}' for run in each)} µs",
        file=sys.stderr,
    )
exceeded = False
if "pulsegate" in memory:
    exceeded |= memory["pulsegate"] > MEMORY_MAX
    exceeded |= any(ratio("pulsegate", size) > CPU_MAX for size in SIZES)
sys.exit(exceeded)
