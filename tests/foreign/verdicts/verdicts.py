#!/usr/bin/env python3
"""Faults of which the truth is known, and the verdicts that the gateway gives: a confusion matrix in Markdown.

  verdicts.py PULSEGATE [--short] [--runs N] [--seed N] [--columns A,B] [--faults A,B] [--at-once N] [--only N] [--out FILE]

Each run has a gateway of its own, a device in a network namespace, and a router between them that drops, hides and slows down what the fault
asks for. The parameters are drawn from the seed, which is printed; one run in ten has two faults. A run counts only if something other than
the verdict proves that the fault was there: the state of a process, the router's counters, the gateway's cause of the end.

Columns: rust, gateway, chromium, rust-haproxy, gateway-haproxy, chromium-haproxy; by default the first two. `--only N` runs number N of each
fault, as it was with this seed. `--short` is for CI: two runs of each fault with the Rust client, and only many wrong verdicts fail.

The Rust client is examples/pulse_verdicts beside PULSEGATE, or VERDICTS_CLIENT. Needs root, iproute2, nftables, unshare and nsenter; for
chromium chromium; behind HAProxy haproxy and openssl. Where namespaces are not allowed it says so, and exits with 0.

Exit: 0 the targets are met, or it is not allowed here; 1 they are not, or a fault could not be injected; 2 usage.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../deploy")]
import faults  # noqa: E402
import matrix  # noqa: E402
import network  # noqa: E402
from harness import Broken, expect  # noqa: E402
from proxy import CONFIG, certificate  # noqa: E402
from rig import COLUMNS, Lab, Run, Seat, Second  # noqa: E402
from service import Service  # noqa: E402

# How many runs in a hundred have two faults.
TWO_PERCENT = 10
# What is late for a timer, in s. The client takes a second for sleep, the gateway for a stall.
LATE = 0.6
# How often a run is done until it can be judged; with --short, for which a machine may be too busy, less often.
TRIES, TRIES_SHORT = 3, 2
# With --short one run in so many may be wrong, and as many may not be judged.
GROSS = 6
TLS = ' ssl crt "${PULSEGATE_CERT}" alpn http/1.1'


class Lateness:
    """When this machine let timers be late: clients and gateways then see sleep and stalls that are none of the faults."""

    def __init__(self):
        self.most, self.times = 0.0, []
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        while True:
            began = time.monotonic()
            time.sleep(0.05)
            late = time.monotonic() - began - 0.05
            self.most = max(self.most, late)
            if late > LATE:
                self.times.append(time.monotonic())

    def since(self, moment):
        return any(at > moment for at in self.times)


def second(rng, kinds):
    """The second fault of a run, or None."""
    has_two = rng.random() * 100 < TWO_PERCENT
    kind, delay, seconds = rng.random(), rng.uniform(0, 1.5), rng.uniform(1.3, 2.5)
    return Second(kinds[int(kind * len(kinds))], delay, seconds) if has_two and kinds else None


def one(lab, column, fault, number, seed):
    """One run. Its parameters depend on the seed, the column, the fault and the number alone."""
    rng = random.Random(f"{seed}/{column.name}/{fault}/{number}")
    inject, seconds = faults.FAULTS[fault]
    seat = lab.seats.get()
    result = {"column": column.name, "fault": fault, "number": number, "truths": [], "verdict": "missing", "error": None}
    run = Run(lab, seat, column, f"{column.name}-{fault}-{number}", rng)
    began = time.monotonic()
    try:
        run.second = second(rng, seconds)
        inject(run)
        if run.second:
            run.second.finish()
        record = run.verdict()
        is_late = run.was_disturbed() or lab.lateness.since(began)
        expect(not is_late, "this machine stood still, which is a fault of its own")
        result |= {
            "verdict": record.get("verdict") or "missing",
            "evidence": record.get("evidence"),
            "cause": record["cause"],
            "record": record,
        }
    except (Broken, OSError, KeyError, ValueError) as error:
        result["error"] = f"{error}" if isinstance(error, Broken) else repr(error)
    finally:
        if run.second:
            run.second.finish()
        result |= {"two": run.second is not None, "truths": run.truths, "proofs": run.proofs, "plain": run.is_plain, "seconds": round(time.monotonic() - began, 1)}
        result |= {"events": [thing.events for thing in run.things if hasattr(thing, "events")], "log": run.said(r"close |stall|verdict")}
        run.stop()
        lab.seats.put(seat)
    return result


def show(result):
    """A line for each run that is not right."""
    column = next(each for each in COLUMNS if each.name == result["column"])
    mark = "failed" if result["error"] else matrix.judge(column.has_reports, result["truths"], result["verdict"])
    line = {name: result[name] for name in ("seconds", "truths", "verdict", "plain", "error", "proofs") if result[name] is not None}
    line |= {name: result[name] for name in ("cause", "evidence") if result.get(name)}
    if mark != "right" or os.environ.get("VERDICTS_SHOW"):
        print(f"{mark} {result['column']} {result['fault']} {result['number']}: {json.dumps(line)}", flush=True)


def until_done(lab, tries, *wanted):
    """One run, which is repeated if it could not be judged: on a loaded machine that is no news."""
    for _ in range(tries):
        result = one(lab, *wanted)
        if not result["error"]:
            break
    return result


def play(lab, wanted, at_once, tries):
    """Runs all, as many at once as there are seats. `wanted`: tuples of column, fault, number, seed."""
    results = []
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for done in concurrent.futures.as_completed([pool.submit(until_done, lab, tries, *each) for each in wanted]):
            results.append(done.result())
            show(results[-1])
    order = list(faults.FAULTS)
    return sorted(results, key=lambda r: (order.index(r["fault"]), r["number"]))


def report(column, results, wanted):
    """The text of a column, and whether it holds."""
    failed = [result for result in results if result["error"]]
    good = [result for result in results if not result["error"]]
    lines = [f"### {column.title}", ""]
    if good:
        lines += [matrix.matrix(good, column.has_reports), ""]
    two = sum(result["two"] for result in good)
    joined = sum(result.get("evidence") == "both" for result in good)
    lines.append(
        f"{len(good)} runs, {two} of them with two faults; {joined} judged by the evidence of both sides;"
        f" {len(failed)} could not be judged."
    )
    if wanted.short:
        marks = collections.Counter(matrix.judge(column.has_reports, r["truths"], r["verdict"]) for r in good)
        bad = marks["wrong"] + marks["missing"]
        held = bad * GROSS <= len(good) and len(failed) * GROSS <= len(results)
    else:
        held = matrix.holds(good, column.has_reports) and len(failed) * 50 <= len(results)
    return "\n".join(lines), held


def plain_config(place):
    """The file that is shipped, without TLS."""
    shipped = open(CONFIG).read()
    assert TLS in shipped, "docs/deploy/haproxy.cfg has another bind line"
    path = os.path.join(place, "haproxy.cfg")
    with open(path, "w") as file:
        file.write(shipped.replace(TLS, ""))
    return path


def inside(wanted):
    columns = [column for column in COLUMNS if column.name in wanted.columns]
    lateness, network_of_all, seats, texts, held = Lateness(), network.Network(), [], [], True
    with tempfile.TemporaryDirectory() as place:
        free = queue.Queue()
        proxied = any(column.is_proxied for column in columns)
        lab = Lab(
            wanted.binary, wanted.client, network_of_all, Service(), certificate(place) if proxied else None,
            plain_config(place) if proxied else None, place, free, lateness,
        )  # fmt: skip
        try:
            for column in columns:
                at_once = wanted.at_once or (8 if column.is_page else 40)
                at_once = min(at_once, wanted.runs * len(wanted.faults))
                while len(seats) < at_once:
                    seats.append(Seat(lab))
                    free.put(seats[-1])
                numbers = range(wanted.runs) if wanted.only is None else [wanted.only]
                began = time.monotonic()
                # One number after the other, so that what takes long and what does not run together.
                all_runs = [(column, fault, number, wanted.seed) for number in numbers for fault in wanted.faults]
                results = play(lab, all_runs, at_once, TRIES_SHORT if wanted.short else TRIES)
                text, column_held = report(column, results, wanted)
                held &= column_held
                texts.append(text)
                print(f"\n{text}\n\n{column.name}: {time.monotonic() - began:.0f} s, timers at most {lateness.most:.2f} s late", flush=True)
                if wanted.out:
                    with open(f"{wanted.out}.{column.name}.json", "w") as file:
                        json.dump(results, file, indent=1)
        finally:
            for seat in seats:
                seat.stop()
            network_of_all.stop()
    if wanted.out:
        with open(wanted.out, "w") as file:
            file.write(f"Seed {wanted.seed}, {wanted.runs} runs of each fault.\n\n" + "\n\n".join(texts) + "\n")
    print("all held" if held else f"FAILED; the seed was {wanted.seed}")
    return 0 if held else 1


def arguments():
    usage = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")
    usage.add_argument("binary")
    usage.add_argument("--short", action="store_true")
    usage.add_argument("--runs", type=int)
    usage.add_argument("--only", type=int)
    usage.add_argument("--seed", type=int, default=int(time.time()))
    usage.add_argument("--columns", type=listed)
    usage.add_argument("--faults", type=listed, default=list(faults.FAULTS))
    usage.add_argument("--at-once", type=int)
    usage.add_argument("--out")
    usage.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    wanted = usage.parse_args()
    wanted.binary = os.path.abspath(wanted.binary)
    wanted.client = os.environ.get("VERDICTS_CLIENT") or os.path.join(os.path.dirname(wanted.binary), "examples/pulse_verdicts")
    wanted.runs = wanted.runs or (2 if wanted.short else 50)
    wanted.columns = wanted.columns or (["rust"] if wanted.short else ["rust", "gateway"])
    for name, known in (("columns", [column.name for column in COLUMNS]), ("faults", list(faults.FAULTS))):
        if unknown := set(getattr(wanted, name)) - set(known):
            usage.error(f"no such {name}: {', '.join(unknown)}; there are {', '.join(known)}")
    for program in (wanted.binary, wanted.client):
        if not os.access(program, os.X_OK):
            usage.error(f"{program} is no program")
    return wanted


def tools(wanted):
    needed = ["ip", "tc", "nft", "unshare", "nsenter", "sysctl"]
    needed += ["chromium"] if any("chromium" in name for name in wanted.columns) else []
    needed += ["haproxy", "openssl"] if any("haproxy" in name for name in wanted.columns) else []
    return [tool for tool in needed if shutil.which(tool) is None]


def main():
    wanted = arguments()
    if wanted.inside:
        return inside(wanted)
    if lacking := tools(wanted):
        print(f"verdicts.py: needs {', '.join(lacking)}", file=sys.stderr)
        return 2
    if reason := network.missing():
        print(f"!!! LEFT OUT: verdicts: namespaces, links, nftables or tbf are not allowed here: {reason}")
        return 0
    print(f"seed {wanted.seed}", flush=True)
    command = ["unshare", "-n", sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--inside", "--seed", str(wanted.seed)]
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
