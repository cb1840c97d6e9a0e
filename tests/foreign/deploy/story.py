#!/usr/bin/env python3
"""A real Prometheus scrapes the gateway while peers are frozen, cut and leave: do API, metrics and log tell the same story?

  story.py PULSEGATE_BINARY SWARM_BINARY

Runs docs/deploy/prometheus.yml and alerts.yml themselves, on free ports of 127.0.0.1, with faster scrapes. Needs prometheus.
Takes 40 s. Exit: 0 all held; 1 something did not; 2 usage, or could not start.
"""
import collections, datetime, os, re, shutil, signal, socket, struct, subprocess, sys, tempfile, time, urllib.parse

from harness import Broken, Process, ask_upgrade, expect, free_port, get, until

HERE = os.path.dirname(os.path.abspath(__file__))
DEPLOY = os.path.join(HERE, "../../../docs/deploy")
INTERVAL, TIMEOUT = 0.5, 2.0


def prometheus_config(place, admin):
    """The very files, but for the address, the pace and the path."""
    text = open(os.path.join(DEPLOY, "prometheus.yml")).read()
    for pattern, fast in [
        (r"127\.0\.0\.1:9002", admin),
        (r"(scrape_interval|evaluation_interval): \w+", r"\1: 1s"),
        (r"scrape_timeout: \w+", "scrape_timeout: 1s"),
        (r"- alerts\.yml", "- " + os.path.abspath(os.path.join(DEPLOY, "alerts.yml"))),
    ]:
        text, changed = re.subn(pattern, fast, text)
        expect(changed, f"prometheus.yml has no {pattern}")
    path = os.path.join(place, "prometheus.yml")
    with open(path, "w") as file:
        file.write(text)
    return path


def upgraded(listen, user):
    """A socket that is a WebSocket, and does nothing by itself."""
    peer = ask_upgrade(listen, f"/glasses-ws?user={user}")
    head = b""
    while b"\r\n\r\n" not in head:
        head += peer.recv(1)
    expect(head.startswith(b"HTTP/1.1 101"), head)
    # A client that leaves with something unread sends an RST: the acknowledgement is read here.
    ack = b""
    while b'"connection_ack"' not in ack or not ack.endswith(b"}"):
        ack += peer.recv(1)
    return peer


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def told_by_log(lines):
    """Ends by class and cause; a storm's are summed up by cause."""
    told, suppressed = collections.Counter(), 0
    for line in lines:
        if m := re.search(r"\] close class=(\w+) .* cause=(\w+) ", line):
            told[m.groups()] += 1
        elif m := re.search(r"\] close suppressed=(\d+)", line):
            suppressed += int(m[1])
    return told, suppressed


def told_by_api(counts):
    told = {(c, cause): n for c, causes in counts["closed"].items() for cause, n in causes.items()}
    return told | {("none", cause): n for cause, n in counts["rejected"].items()}


class Prometheus:
    def __init__(self, port):
        self.base = f"http://127.0.0.1:{port}"

    def query(self, expression):
        found = get(f"{self.base}/api/v1/query?query={urllib.parse.quote(expression)}")
        return [(r["metric"], float(r["value"][1])) for r in found["data"]["result"]]

    def told(self):
        told = {}
        for labels, n in self.query("pulsegate_connections_closed_total > 0"):
            told[labels["class"], labels["cause"]] = int(n)
        for labels, n in self.query("pulsegate_connections_rejected_total > 0"):
            told["none", labels["cause"]] = int(n)
        return told


def scenario(gateway, prometheus, listen, admin, swarm):
    api = lambda path: get(f"http://{admin}/api/v1/{path}")
    until(20, "Prometheus has scraped", lambda: prometheus.query('up{job="pulsegate"} == 1'))
    rules = get(f"{prometheus.base}/api/v1/rules")["data"]["groups"]
    rules = [rule for group in rules for rule in group["rules"]]
    written = re.findall(r"^ +- alert: (\w+)", open(os.path.join(DEPLOY, "alerts.yml")).read(), re.M)
    expect(sorted(r["name"] for r in rules) == sorted(written), "not all alerts are loaded")
    print(f"{len(rules)} alerts loaded")

    run = lambda *flags: subprocess.Popen(
        [swarm, "--target", f"ws://{listen}", "--ramp", "150", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    swarms = [
        # Ghosts among clients that say goodbye; some that will be frozen, and thawed too late; some that will be cut.
        run("--connections", "150", "--ghosts", "40", "--timeout-ms", "2000", "--duration", "6", "--path", "/glasses-ws?user=g{n}"),
        run("--connections", "60", "--duration", "60", "--path", "/tpa-ws?user=frozen{n}&package=p"),
        run("--connections", "50", "--duration", "60", "--path", "/app-ws?user=cut{n}&package=p"),
    ]
    try:
        until(20, "all are open", lambda: sum(api("causes")["since_start"]["opened"].values()) == 260)
        swarms[1].send_signal(signal.SIGSTOP)
        swarms[2].kill()

        # What is explained is what then happens, and not before.
        silent = {f"silent{n}": upgraded(listen, f"silent{n}") for n in range(5)}
        foretold = {}
        for user in silent:
            row = api(f"connections?user={user}")["connections"][0]
            foretold[row["id"]] = api(f"connections/{row['id']}")["explain"]
        late = []
        for id, explain in foretold.items():
            expect(explain["end"]["cause"] == "stale", explain)
            until(TIMEOUT * 5, f"{id} has ended", lambda: not api(f"connections?user=nobody&limit=1")["matched"] and id_closed(api, id))
            record = api(f"closed/{id}")
            expect((record["cause"], record["code"]) == ("stale", explain["end"]["code"]), record)
            changes = record["history"]["changes"]
            expect([c["state"] for c in changes] == ["suspect"], record)
            # A millisecond for clocks that are read one after the other, and rounded.
            for at, due in [(changes[0]["at"], explain["suspect"]["at"]), (record["at"], explain["end"]["at"])]:
                expect(seconds(at) >= seconds(due) - 0.002, f"at {at}, foretold for {due}: {record}")
                late.append(seconds(at) - seconds(due))
        print(f"10 moments foretold, kept {1000 * min(late):.0f} to {1000 * max(late):.0f} ms late")

        # Gone without a word, and reset.
        for n in range(20):
            peer = upgraded(listen, f"gone{n}")
            if n % 2:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
        until(30, "those that were frozen are gone", lambda: api("causes")["since_start"]["closed"]["app"].get("stale") == 60)
        swarms[1].send_signal(signal.SIGCONT)
        swarms[1].terminate()
        until(30, "no client is here any more", lambda: api("connections?limit=1")["matched"] == 0)
    finally:
        for process in swarms:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    # At rest: the same words and the same numbers.
    counts = api("causes")["since_start"]
    said = told_by_api(counts)
    until(20, "Prometheus has the last of it", lambda: prometheus.told() == said)
    until(5, "the log has the last of it", lambda: sum(told_by_log(gateway.lines)[0].values()) + told_by_log(gateway.lines)[1] == sum(said.values()))
    logged, suppressed = told_by_log(gateway.lines)
    if not suppressed:
        expect(dict(logged) == said, f"the log says {dict(logged)}, the API {said}")
    expect(said["glasses", "stale"] == 45, said)
    expect(said["app", "stale"] == 60, said)
    expect(said["app", "peer_eof"] + said.get(("app", "peer_reset"), 0) == 50, said)
    expect(said["glasses", "peer_eof"] == 10 and said["glasses", "peer_reset"] == 10, said)
    ended = sum(n for (c, _), n in said.items() if c != "none")
    expect(ended == sum(counts["opened"].values()) == 285, f"{ended} ended, {counts['opened']} opened")
    opened = {labels["class"]: n for labels, n in prometheus.query("pulsegate_connections_opened_total")}
    expect(opened == counts["opened"], f"Prometheus says {opened}, the API {counts['opened']}")
    suspects = prometheus.query('max_over_time(pulsegate_connections{class="app",state="suspect"}[5m])')
    expect(suspects and 0 < suspects[0][1] <= 60, f"Prometheus saw these suspects: {suspects}")
    expect(not prometheus.query("pulsegate_connections > 0"), "a client is left")
    remembered = api("closed?limit=1000")
    expect(remembered["remembered"] == sum(said.values()), remembered["remembered"])
    rules = [rule for group in get(f"{prometheus.base}/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
    broken = [(r["name"], r.get("lastError")) for r in rules if r["health"] != "ok"]
    expect(not broken, f"alerts that cannot be evaluated: {broken}")
    print(f"{sum(said.values())} ends of {len(said)} kinds, the same in the API, in Prometheus and in the log"
          + (f" (of which it sums {suppressed} up)" if suppressed else ""))


def id_closed(api, id):
    return any(record["id"] == id for record in api("closed?limit=1000&cause=stale&class=glasses")["closed"])


def run(binary, swarm, place):
    gateway = prometheus = None
    try:
        gateway = Process(
            "pulsegate", [binary], LISTEN_ADDR="127.0.0.1:0", ADMIN_ADDR="127.0.0.1:0", LOG_LEVEL="debug",
            HEARTBEAT_INTERVAL_MS=str(int(1000 * INTERVAL)), CONNECTION_TIMEOUT_MS=str(int(1000 * TIMEOUT)), CLOSE_TIMEOUT_MS="500",
        )
        start = until(10, "the gateway starts", lambda: gateway.find(r"\] start .*"))[0]
        listen, admin = (re.search(rf"\b{name}=([\d.]+:\d+)", start)[1] for name in ("listen", "admin"))
        port = free_port()
        prometheus = Process("prometheus", [
            shutil.which("prometheus"), f"--config.file={prometheus_config(place, admin)}", f"--storage.tsdb.path={place}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ])
        until(30, "Prometheus starts", lambda: prometheus.find("Server is ready"))
        scenario(gateway, Prometheus(port), listen, admin, swarm)
        gateway.alive()
        return True
    except (Broken, OSError, LookupError, ValueError) as e:
        print(f"story.py: {type(e).__name__}: {e}", file=sys.stderr)
        for process in (gateway, prometheus):
            if process:
                print(f"-- {process.name}", *process.lines[-15:], sep="\n   ", file=sys.stderr)
        return False
    finally:
        for process in (gateway, prometheus):
            if process:
                process.stop()


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    if not shutil.which("prometheus"):
        print("story.py: prometheus is missing", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as place:
        return 0 if run(*map(os.path.abspath, sys.argv[1:]), place) else 1


sys.exit(main())
