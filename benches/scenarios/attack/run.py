"""Starts servers, attacks and control peers, and writes down what came of it. Run by benches/scenarios/attack.sh, which says how."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

# Attack: settings of the gateway that are not the defaults, and whether the floor is attacked, too.
ATTACKS = {
    "none": ({}, True),
    "first_message": ({}, False),
    "first_message_64m": ({"MAX_MESSAGE_BYTES": str(64 << 20)}, False),
    "fanout_10": ({}, False),
    "fanout_50": ({}, False),
    "fanout_200": ({}, False),
    "pings": ({}, True),
    "one_byte_frames": ({}, True),
    "empty_fragments": ({}, False),
    "updates_64k": ({}, False),
    "updates_1m": ({}, False),
    "half_open": ({}, True),
    "handshakes": ({}, True),
    "header_only": ({}, False),
    "header_only_reused": ({}, False),
    "header_only_strangers": ({}, False),
    "admin_sessions": ({}, False),
    "admin_sessions_many": ({}, False),
}
# Attacks that take longer, in seconds more: what they look at comes after what they begin with.
LONGER = {"header_only_reused": 6}

GOALS = {"turn_ms": 10, "ping_ms": 50, "heartbeat_ms": 20, "stalls": 0}
COUNTERS = ("pulsegate_pending_bytes", "pulsegate_held_bytes", "pulsegate_host_bytes", "pulsegate_frames_kept_bytes")
MIB = 1 << 20


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("gateway", "floor", "attack"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--json", default="")
    parser.add_argument("attacks", nargs="*", default=[])
    args = parser.parse_args()
    unknown = [name for name in args.attacks if name not in ATTACKS]
    if unknown:
        fail(f"no such attack: {' '.join(unknown)}; there are: {' '.join(ATTACKS)}")
    return args


def fail(why):
    print(f"attack.sh: {why}", file=sys.stderr)
    sys.exit(2)


def allowed(*command):
    """Whether such a command may be run here."""
    try:
        return subprocess.run([*command, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


REAL_TIME = ["chrt", "-f", "50"] if allowed("chrt", "-f", "50") else []
PRECEDENCE = ["nice", "-n", "-15"] if os.environ.get("PRECEDENCE") == "1" and allowed("nice", "-n", "-15") else []


def memory(pid):
    """Resident and anonymous bytes; zero when the process is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            found = {line.split()[0]: int(line.split()[1]) << 10 for line in file if line.startswith(("Rss:", "Anonymous:"))}
    except OSError:
        found = {}
    return found.get("Rss:", 0), found.get("Anonymous:", 0)


def get(addr, path, timeout):
    with urllib.request.urlopen(f"http://{addr}{path}", timeout=timeout) as answer:
        return answer.read().decode()


class Server:
    """A server on the first CPU, with its log."""

    def __init__(self, command, env):
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        environment = {**os.environ, **env}
        command = ["taskset", "-c", "0", *PRECEDENCE, *command]
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=subprocess.STDOUT)
        self.addr = self.wait_for(r"(?:listening on |listen=)([0-9.]+:[0-9]+)")

    def text(self):
        with open(self.log.name, errors="replace") as file:
            return file.read()

    def wait_for(self, pattern):
        for _ in range(100):
            found = re.search(pattern, self.text())
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        text = self.text()[-500:]
        self.end()
        fail(f"the server does not listen: {text}")

    def end(self):
        self.process.kill()
        self.process.wait()


class Gateway(Server):
    def __init__(self, binary, settings):
        env = {
            "LISTEN_ADDR": "127.0.0.1:0",
            "ADMIN_ADDR": "127.0.0.1:0",
            "HEARTBEAT_INTERVAL_MS": "1000",
            "CONNECTION_TIMEOUT_MS": "10000",
            # Attackers that were closed come back at once.
            "FLAPPING_LIMIT": "0",
            "DRAIN_MS": "0",
            "LOG_LEVEL": "info",
            **settings,
        }
        super().__init__([binary], env)
        self.admin = self.wait_for(r" admin=([0-9.]+:[0-9]+)")

    def counters(self, timeout=30):
        """The sums of all series, by the name of their family; buckets are left out."""
        found = {}
        for line in get(self.admin, "/metrics", timeout).splitlines():
            if not line.startswith("#") and "_bucket{" not in line:
                name, value = line.rsplit(" ", 1)
                name = name.split("{")[0]
                found[name] = found.get(name, 0) + float(value)
        return found

    def causes(self):
        text = get(self.admin, "/metrics", 30)
        pattern = r'^pulsegate_connections_(closed|rejected)_total\{.*cause="([a-z_]+)"\} ([0-9]+)$'
        found = {}
        for kind, cause, n in re.findall(pattern, text, re.M):
            if int(n):
                found[f"{kind} {cause}"] = found.get(f"{kind} {cause}", 0) + int(n)
        return found


class Watch(threading.Thread):
    """Looks at memory and counters until it is told to end."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.over = server, threading.Event()
        self.resident = self.anonymous = self.counted = 0
        self.pairs = []

    def run(self):
        threading.Thread(target=self.count, daemon=True).start()
        while not self.over.wait(0.05):
            resident, anonymous = memory(self.server.process.pid)
            self.resident, self.anonymous = max(self.resident, resident), max(self.anonymous, anonymous)

    def count(self):
        while not self.over.wait(0.2):
            try:
                counters = self.server.counters()
            except OSError:
                continue
            counted = sum(counters.get(name, 0) for name in COUNTERS)
            self.counted = max(self.counted, counted)
            self.pairs.append((time.monotonic(), memory(self.server.process.pid)[1], counted))


def attack_command(args, kind, seconds, server):
    command = ["taskset", "-c", "1", *PRECEDENCE, args.attack, kind, str(seconds), server.addr]
    return [*command, server.admin] if isinstance(server, Gateway) else command


def outcome(process, seconds):
    """What a process of ours prints at its end; it ends by itself."""
    try:
        out, _ = process.communicate(timeout=seconds + 60)
    except subprocess.TimeoutExpired:
        process.kill()
        out = ""
    return json.loads(out) if out.strip().startswith("{") else None


def measure(args, name, server):
    is_gateway = isinstance(server, Gateway)
    base, seconds = memory(server.process.pid)[1], args.seconds + LONGER.get(name, 0)
    # The control peers begin before the attack and end after it.
    command = ["taskset", "-c", "1", *REAL_TIME, args.attack, "control", "60", server.addr]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    control = subprocess.Popen(command + ([] if is_gateway else ["--floor"]), **pipes, text=True)
    if control.stderr.readline().strip() != "holding":
        fail(f"{name}: the control peers did not connect")
    time.sleep(1)
    watch = Watch(server) if is_gateway else None
    if watch:
        watch.start()
    attack = subprocess.Popen(attack_command(args, name, seconds, server), stdout=subprocess.PIPE, text=True)
    figures = {"attack": outcome(attack, seconds)}
    ended = time.monotonic()
    # What was sent is worked off meanwhile.
    time.sleep(2)
    control.stdin.close()
    control.stdin = None
    figures["control"] = outcome(control, 1)
    died = server.process.poll()
    figures["died"] = died
    if watch:
        watch.over.set()
        watch.join()
        held = [pair for pair in watch.pairs if pair[0] < ended]
        last = held[-1] if held else (0, base, 0)
        figures["memory"] = {
            "before": base,
            "resident": watch.resident,
            "anonymous": max([watch.anonymous, *(pair[1] for pair in watch.pairs)]),
            "counted": watch.counted,
            # The last sample while the attackers were still connected.
            "anonymous_at_end": last[1],
            "counted_at_end": last[2],
        }
        if died is None:
            overview = json.loads(get(server.admin, "/api/v1/overview", 60))
            counters = server.counters(60)
            figures["turn_us"] = overview["last_minute"]["turn"]["max_us"]
            figures["lateness_us"] = overview["last_minute"]["lateness"]["max_us"]
            figures["stalls"] = int(counters.get("pulsegate_loop_stalls_total", 0))
            figures["turns"] = int(counters.get("pulsegate_loop_turns_total", 0))
            figures["causes"] = server.causes()
        figures["stalls_logged"] = server.text().count("loop stalled")
    return figures


def row(figures):
    """The figures of a line of the table, in its order."""
    control, memory_ = figures["control"] or {}, figures.get("memory")
    ms = lambda us: None if us is None else us / 1000
    late = [us for us in (control.get("heartbeat_late_us"), figures.get("lateness_us")) if us is not None]
    return {
        "turn_ms": ms(figures.get("turn_us")),
        "ping_ms": ms(control.get("max_us")),
        "p99_ms": ms(control.get("p99_us")),
        "heartbeat_ms": ms(max(late, default=None)) if memory_ else None,
        "stalls": max(figures.get("stalls", 0), figures.get("stalls_logged", 0)) if memory_ else None,
        "resident": (memory_["anonymous"] - memory_["before"]) / MIB if memory_ else None,
        "counted": memory_["counted"] / MIB if memory_ else None,
        "resident_at_end": (memory_["anonymous_at_end"] - memory_["before"]) / MIB if memory_ else None,
        "counted_at_end": memory_["counted_at_end"] / MIB if memory_ else None,
        "closed": control.get("closed"),
    }


def met(figures):
    line = row(figures)
    return (
        figures["died"] is None
        and figures["control"] is not None
        and not line["closed"]
        and all(line[key] is not None and line[key] <= most for key, most in GOALS.items())
    )


def main():
    args = arguments()
    names = args.attacks or list(ATTACKS)
    results = {"gateway": {}, "floor": {}}
    for name in names:
        settings, on_floor = ATTACKS[name]
        targets = [("gateway", lambda: Gateway(args.gateway, settings))]
        if on_floor:
            command = [args.floor, "--listen", "127.0.0.1:0", "--interval-ms", "1000", "--pongs"]
            targets.append(("floor", lambda: Server(command, {})))
        for target, start in targets:
            server = start()
            try:
                figures = results[target][name] = measure(args, name, server)
            finally:
                server.end()
            print(f"attack.sh: {target}, {name}: {json.dumps(figures)}", file=sys.stderr)
    print(table(args, names, results))
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"seconds": args.seconds, "goals": GOALS, "real_time": bool(REAL_TIME), **results}, file, indent=1)
    sys.exit(0 if all(met(figures) for figures in results["gateway"].values()) else 1)


def table(args, names, results):
    lines = [
        "| attack | worst turn, ms | worst ping, ms | p99 ping, ms | heartbeat late, ms | stalls | resident / counted at their peaks, MiB | at the end, MiB | floor: worst / p99 ping, ms | goals |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    text = lambda value, digits=1: "–" if value is None else f"{value:.{digits}f}"
    for name in names:
        figures = results["gateway"][name]
        line = row(figures)
        floor = results["floor"].get(name)
        beside = "–"
        if floor:
            other = row(floor)
            beside = "died" if floor["died"] is not None else f"{text(other['ping_ms'])} / {text(other['p99_ms'])}"
        verdict = "met" if met(figures) else "MISSED"
        if figures["died"] is not None:
            verdict = f"DIED ({figures['died']})"
        elif line["closed"]:
            verdict += f", {line['closed']} control peers closed"
        lines.append(
            f"| {name} | {text(line['turn_ms'])} | {text(line['ping_ms'])} | {text(line['p99_ms'])} | {text(line['heartbeat_ms'])} "
            f"| {text(line['stalls'], 0)} | {text(line['resident'])} / {text(line['counted'])} | {text(line['resident_at_end'])} / {text(line['counted_at_end'])} | {beside} | {verdict} |"
        )
    lines += [
        "",
        f"Goals, in each attack: worst turn at most {GOALS['turn_ms']} ms, worst ping of a control peer at most {GOALS['ping_ms']} ms, "
        f"heartbeats late by at most {GOALS['heartbeat_ms']} ms, no stall logged; no control peer closed.",
        f"{args.seconds} s each, 50 control peers that each send a ping every 20 ms, "
        f"{'with real-time priority (SCHED_FIFO)' if REAL_TIME else 'WITHOUT real-time priority, which is not allowed here: they share their CPU with the attacker'}; "
        f"servers and attackers {'with nice -15' if PRECEDENCE else 'with ordinary priority'}.",
        "Turns and lateness are the gateway's own (within 12.5 %); a heartbeat's lateness is the worse of that and of what the control peers saw. "
        "`resident` is the growth of anonymous memory at its peak, `counted` the most that the counters said: bytes pending, held, charged by the host, and kept; at the end: the last look at both "
        "while the attackers were connected.",
        "The floor answers each read with one pong; a head that comes in pieces it closes at once.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    main()
