#!/usr/bin/env python3
"""Autobahn through the bridge: case by case what it gives without it.

  conformance.py PULSEGATE_BINARY short|full|PLAN... [CASES]

A plan is a program that we did not write, `ws` or `websockets`, with or without permessage-deflate, on one side of the bridge, and the suite on
the other: `ws`, `ws-deflate`, `websockets`, `websockets-deflate` are echo servers for the fuzzing client; with `-client` behind the name they
are clients of the fuzzing server. Each plan runs twice at once: directly, and with the bridge between. `full` is every plan with all
cases. `short` is a plan for each role, without 9.*, 12.* and 13.*, at once. CASES are the suite's patterns, with commas: '12.1.*,12.2.*'.

Compared are the verdict, the verdict on the close, and the close code that the suite has seen. Some cases are a race inside the peer: whether it
still answers a message that a fault follows. So a case that differs is run some more times both ways. It counts as varying, not as different,
if each outcome through the bridge was seen directly, too, or if an outcome that was not has occurred only once in many runs: about one run in
two thousand ends otherwise without the bridge, too. Prints a line for each plan, and each case that differs or varies.

Pings of the gateway are hours apart: in 6.4.3 and 6.4.4 the suite answers one in the middle of its own frame. Needs node with npm, and a
CPython 2.7 (`../autobahn/run.sh`). Exit: 0 no case differs; 1 some do; 2 usage or set-up.
"""
import collections, concurrent.futures, json, os, shutil, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
AUTOBAHN = os.path.join(HERE, "..", "autobahn")
sys.path.insert(0, os.path.join(HERE, "..", "deploy"))
from harness import Broken, Process, expect, until

# The peer of npm answers alike each time. Races inside that of `websockets` are told from faults only by many repeats.
SHORT = {"plans": ["ws", "ws-client"], "exclude": "9.*,12.*,13.*"}
FULL = [f"{library}{deflate}{side}" for side in ("", "-client") for library in ("ws", "websockets") for deflate in ("", "-deflate")]

# How often a case that differs is run again, each way, and how many cases at most.
AGAIN, AGAIN_CASES = 8, 40
# How often a case is run again after that, if it has differed once only.
AGAIN_RARE = 24

COMPARED = ("behavior", "behaviorClose", "remoteCloseCode")
A_DAY, TWELVE_HOURS, TWO_MINUTES = "86400000", "43200000", "120000"


def gateway(upstream, **settings):
    """The bridge in front of this server, and where it listens."""
    gateway = Process(
        "pulsegate", [BINARY], UPSTREAM=f"http://{upstream}", LISTEN_ADDR="127.0.0.1:0", ADMIN_ADDR="127.0.0.1:0",
        HEARTBEAT_INTERVAL_MS=TWELVE_HOURS, CONNECTION_TIMEOUT_MS=A_DAY,
        UPSTREAM_HEARTBEAT_INTERVAL_MS=TWELVE_HOURS, UPSTREAM_CONNECTION_TIMEOUT_MS=A_DAY,
        # However busy the machine is, a case is not to end before it begins.
        HANDSHAKE_TIMEOUT_MS=TWO_MINUTES, UPSTREAM_CONNECT_TIMEOUT_MS=TWO_MINUTES, UPSTREAM_ANSWER_TIMEOUT_MS=TWO_MINUTES, **settings,
    )  # fmt: skip
    start = until(20, "pulsegate's start line", lambda: gateway.alive() or gateway.find(r"\blisten=([\d.]+:\d+)"))
    return gateway, start[1]


def program(name, arguments):
    """The command of one of the programs in this folder."""
    if name.startswith("ws_"):
        # Node looks for a module's packages beside the module.
        shutil.copy(os.path.join(HERE, name), CLIENTS)
        return ["node", os.path.join(CLIENTS, name), *arguments]
    return [os.path.join(CLIENTS, "venv", "bin", "python"), os.path.join(HERE, name), *arguments]


def fuzzing_client(library, deflate, cases, exclude, place):
    """The verdicts of the fuzzing client on an echo server, directly and through the bridge."""
    suffix = "mjs" if library == "ws" else "py"
    echo = Process("the echo server", program(f"{library}_echo.{suffix}", deflate))
    processes = [echo]
    try:
        direct = until(20, "where the echo server listens", lambda: echo.alive() or echo.find(r"\blisten=(\S+)"))[1]
        bridge, through = gateway(direct)
        processes.append(bridge)

        def run(way, address):
            out = os.path.join(place, way)
            environment = os.environ | {"OUT": out, "QUIET": "1", "AGENT": way}
            command = [os.path.join(AUTOBAHN, "run.sh"), f"ws://{address}/", cases, exclude]
            # It fails for cases that the echo server fails, too.
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            expect(done.returncode in (0, 1), f"run.sh: {done.stdout}{done.stderr}")
            verdicts, unopened = {}, []
            with open(os.path.join(out, "progress.jsonl")) as lines:
                for verdict in map(json.loads, lines):
                    verdicts[verdict["id"]] = verdict
                    unopened += [] if verdict["opened"] else [verdict["id"]]
            expect(not unopened, f"{way}: no WebSocket in {unopened}")
            return verdicts

        return both(run, direct, through, processes)
    finally:
        stop(processes)


def fuzzing_server(library, deflate, cases, exclude, place):
    """The verdicts of the fuzzing server on a client, directly and through the bridge."""
    spec = {"url": "ws://127.0.0.1:9001", "webport": 0, "outdir": os.path.join(place, "report"), "cases": cases.split(",")}
    spec |= {"exclude-cases": exclude.split(",") if exclude else [], "exclude-agent-cases": {}}
    with open(os.path.join(place, "spec.json"), "w") as file:
        json.dump(spec, file)
    python = os.path.join(SUITE, "py27", "bin", "python")
    server = Process("the fuzzing server", [python, os.path.join(HERE, "fuzzing_server.py"), file.name])
    processes = [server]
    try:
        direct = until(60, "where the fuzzing server listens", lambda: server.alive() or server.find(r"\blisten=(\S+)"))[1]
        # The suite refuses a request whose Host names another port than its own.
        bridge, through = gateway(direct, UPSTREAM_HOST_HEADER="upstream")
        processes.append(bridge)
        suffix = "mjs" if library == "ws" else "py"

        def run(way, address):
            command = program(f"{library}_cases.{suffix}", [f"ws://{address}", way, *deflate])
            done = subprocess.run(command, capture_output=True, text=True)
            expect(done.returncode == 0, f"{way}: {done.stderr}")

        both(run, direct, through, processes)
        with open(os.path.join(place, "report", "index.json")) as file:
            reports = json.load(file)
        return reports["direct"], reports["bridge"]
    finally:
        stop(processes)


def both(run, direct, through, processes):
    """What `run` returns directly and through the bridge."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = [pool.submit(run, "direct", direct), pool.submit(run, "bridge", through)]
        results = [run.result() for run in runs]
    for process in processes:
        process.alive()
    return results


def stop(processes):
    for process in processes:
        process.stop()


def key(case):
    return [int(part) for part in case.split(".")]


def outcome(verdicts, case):
    return tuple(verdicts.get(case, {}).get(field) for field in COMPARED)


def shown(outcomes):
    """Each outcome with how often it was seen."""
    counts = collections.Counter(outcomes).most_common()
    return "; ".join(f"{' '.join(map(str, seen))} ({count}x)" for seen, count in counts)


def run_plan(plan, cases, exclude):
    """Runs a plan, prints what it gave, and returns the cases that differ."""
    began = time.monotonic()
    library, *more = plan.split("-")
    deflate = ["deflate"] if "deflate" in more else []
    ways = fuzzing_server if "client" in more else fuzzing_client

    def run(cases, exclude):
        with tempfile.TemporaryDirectory() as place:
            return ways(library, deflate, cases, exclude, place)

    direct, bridge = run(cases, exclude)
    all_cases = sorted(direct.keys() | bridge.keys(), key=key)
    unequal = [case for case in all_cases if outcome(direct, case) != outcome(bridge, case)]
    seen = {case: ([outcome(direct, case)], [outcome(bridge, case)]) for case in unequal}

    def run_again(cases, times):
        for _ in range(times if cases else 0):
            for way, verdicts in enumerate(run(",".join(cases), "")):
                for case in cases:
                    seen[case][way].append(outcome(verdicts, case))

    def foreign(case):
        """How often each outcome through the bridge occurred that was not seen directly."""
        directly, through = seen[case]
        return [count for found, count in collections.Counter(through).items() if found not in directly]

    run_again(unequal, AGAIN if len(unequal) <= AGAIN_CASES else 0)
    once = [case for case in unequal if foreign(case) == [1]]
    if len(unequal) <= AGAIN_CASES:
        run_again(once, AGAIN_RARE)
        different = [case for case in unequal if foreign(case) and (case not in once or max(foreign(case)) > 1)]
    else:
        different = [case for case in unequal if foreign(case)]

    counts = collections.Counter(verdict["behavior"] for verdict in direct.values())
    counts = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    summary = f"{plan}: {len(all_cases)} cases, {len(all_cases) - len(unequal)} equal, {len(unequal) - len(different)} vary, {len(different)} differ"
    # What would make all verdicts equal.
    passed = sum(verdict["behavior"] == "OK" for verdict in direct.values())
    expect(passed > 100 or cases != "*", f"{plan}: hardly a case is passed: {counts}")
    deflated = [v["behavior"] for case, v in direct.items() if case.startswith("12.")]
    expect(not deflate or not deflated or "OK" in deflated, f"{plan}: no compression: {counts}")
    print(f"{summary} (directly {counts}), {time.monotonic() - began:.0f} s", flush=True)
    for case in unequal:
        directly, through = map(shown, seen[case])
        word = "differs" if case in different else "varies"
        print(f"{plan} {case} {word}: directly {directly}; through the bridge {through}", flush=True)
    return different


def main():
    global BINARY, CLIENTS, SUITE
    _, *arguments = sys.argv
    cases = arguments.pop() if arguments[2:] and arguments[-1][0] in "*123456789" else "*"
    plans = {"short": SHORT["plans"], "full": FULL}.get(" ".join(arguments[1:]), arguments[1:])
    if not plans or not set(plans) <= set(FULL):
        print(__doc__, file=sys.stderr)
        return 2
    BINARY = os.path.abspath(arguments[0])
    is_short = arguments[1:] == ["short"]
    SUITE = os.environ.get("AUTOBAHN_WORK") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "pulsegate-autobahn")
    if subprocess.run([os.path.join(AUTOBAHN, "run.sh"), "--setup"]).returncode:
        return 2
    install = subprocess.run([os.path.join(HERE, "..", "install.sh"), os.path.join(HERE, "..", "clients")], stdout=subprocess.PIPE, text=True)
    if install.returncode:
        return 2
    CLIENTS = install.stdout.strip()
    exclude = SHORT["exclude"] if is_short else ""
    try:
        with concurrent.futures.ThreadPoolExecutor(len(plans) if is_short else 1) as pool:
            different = [case for found in pool.map(lambda plan: run_plan(plan, cases, exclude), plans) for case in found]
    except Broken as fault:
        print(f"broken: {fault}")
        return 1
    return 1 if different else 0


sys.exit(main())
