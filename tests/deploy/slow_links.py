#!/usr/bin/env python3
"""Slow links, for real: each peer behind a link of its own gets a frame of 900 KB, and answers every ping at once.

  slow_links.py PULSEGATE_BINARY [all]

Every peer has a virtual link with a token bucket (tc-tbf) in network namespaces that this script makes. No peer may be closed while its frame is
on the way; when the link is cut, each must be closed as stale within its timeout. `all` is the whole table: 32, 64, 120, 400 and 2 000 kbit/s; the default
policy, 5/15 s and 1/3 s; CUBIC and BBR. It takes 5 minutes. Without it: 400 and 2 000 kbit/s with 5/15 s and 1/3 s, in a minute.

Needs root, iproute2, unshare and nsenter. Where namespaces or links are not allowed it says so, and exits with 0. Exit: 0 all held, or it is not
allowed here; 1 something did not hold; 2 usage.
"""
import base64, json, os, selectors, shutil, socket, struct, subprocess, sys, time

from harness import Broken, Process, expect, until

FRAME = 900_000
POLICIES = {"default": (15, 45), "5/15": (5, 15), "1/3": (1, 3)}
PORT = 9001
# What a loaded machine may add to a timeout, in s.
SLACK = 1.0


def run(*command, check=True):
    return subprocess.run(command, check=check, capture_output=True, text=True)


def upgrade(sock, path):
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        got = sock.recv(1)
        expect(got, f"no answer for {path}")
        head += got
    expect(head.startswith(b"HTTP/1.1 101"), f"{path}: {head[:200]}")


def frame(opcode, payload):
    n = len(payload)
    length = bytes([0x80 | n]) if n < 126 else b"\xfe" + struct.pack("!H", n) if n < 65536 else b"\xff" + struct.pack("!Q", n)
    # The mask is zero: it changes nothing.
    return bytes([0x80 | opcode]) + length + b"\0\0\0\0" + payload


class Peer:
    """Reads all the time, and answers each ping at once."""

    def __init__(self, name, address, policy_port):
        self.name, self.buffer, self.skip, self.whole, self.over = name, b"", 0, 0, None
        self.socket = socket.create_connection((address, policy_port), timeout=60)
        upgrade(self.socket, f"/glasses-ws?user={name}")
        self.socket.setblocking(False)

    def read(self):
        try:
            got = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as e:
            self.over = str(e)
            return
        if not got:
            self.over = self.over or "the stream ended"
            return
        self.buffer += got
        while True:
            if self.skip:
                used = min(self.skip, len(self.buffer))
                self.skip -= used
                self.buffer = self.buffer[used:]
                if self.skip:
                    return
                self.whole += 1
            if len(self.buffer) < 2:
                return
            opcode, n, head = self.buffer[0] & 15, self.buffer[1], 2
            size = {126: 2, 127: 8}.get(n, 0)
            if len(self.buffer) < head + size:
                return
            if size:
                n, head = int.from_bytes(self.buffer[2 : 2 + size], "big"), head + size
            if opcode in (1, 2) and n > 100_000:
                self.buffer, self.skip = self.buffer[head:], n
                continue
            if len(self.buffer) < head + n:
                return
            payload, self.buffer = self.buffer[head : head + n], self.buffer[head + n :]
            if opcode == 9:
                self.socket.send(frame(10, payload))
            elif opcode == 8:
                self.over = f"close {payload[:2].hex()} {payload[2:]!r}"


def peers(cases):
    """The peers' half, in their namespace. Tells each frame that came whole, and each end, as a line of JSON."""
    selector = selectors.DefaultSelector()
    for case in cases:
        peer = Peer(case["user"], case["address"], case["port"])
        selector.register(peer.socket, selectors.EVENT_READ, peer)
        print(json.dumps({"user": peer.name, "is": "open"}), flush=True)
    while selector.get_map():
        for key, _ in selector.select(1):
            peer, before = key.data, key.data.whole
            peer.read()
            if peer.whole > before:
                print(json.dumps({"user": peer.name, "is": "whole"}), flush=True)
            if peer.over:
                print(json.dumps({"user": peer.name, "is": peer.over}), flush=True)
                selector.unregister(peer.socket)


def table(whole):
    rates = (32, 64, 120, 400, 2000) if whole else (400, 2000)
    policies = POLICIES if whole else ("5/15", "1/3")
    return [(rate, policy, control) for rate in rates for policy in policies for control in ("cubic", "bbr")]


def main(binary, whole):
    run("ip", "link", "set", "lo", "up")
    far = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
    gateways, ports, apps, cases, half = [], {}, [], [], None
    try:
        until(10, "a namespace for the peers", lambda: os.readlink(f"/proc/{far.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        inside = ("nsenter", "-t", str(far.pid), "-n")
        run(*inside, "ip", "link", "set", "lo", "up")
        if shutil.which("modprobe"):
            run("modprobe", "tcp_bbr", check=False)
        available = open("/proc/sys/net/ipv4/tcp_available_congestion_control").read().split()
        for n, policy in enumerate(POLICIES):
            interval, timeout = POLICIES[policy]
            ports[policy] = PORT + n
            gateways.append(Process(f"gateway {policy}", [binary], LISTEN_ADDR=f"0.0.0.0:{PORT + n}", ADMIN_ADDR="off", DRAIN_MS="0", ALLOW_UNAUTHENTICATED="1", TPA_HEARTBEAT_INTERVAL_MS="3600000", TPA_CONNECTION_TIMEOUT_MS="43200000",
                GLASSES_HEARTBEAT_INTERVAL_MS=str(interval * 1000), GLASSES_CONNECTION_TIMEOUT_MS=str(timeout * 1000)))
            until(10, f"gateway {policy}", lambda: gateways[-1].find("listen="))
        for n, (rate, policy, control) in enumerate(table(whole)):
            if control not in available:
                print(f"!!! LEFT OUT: {rate} kbit/s, {policy}, {control}: this kernel has no {control}")
                continue
            near, name = f"10.77.{n}.1", f"link{n}"
            run("ip", "link", "add", name, "type", "veth", "peer", "name", "far", "netns", str(far.pid))
            run("ip", "address", "add", f"{near}/24", "dev", name)
            run("ip", "link", "set", name, "up")
            run(*inside, "ip", "link", "set", "far", "name", f"far{n}")
            run(*inside, "ip", "address", "add", f"10.77.{n}.2/24", "dev", f"far{n}")
            run(*inside, "ip", "link", "set", f"far{n}", "up")
            run("ip", "route", "change", f"10.77.{n}.0/24", "dev", name, "congctl", control)
            run("tc", "qdisc", "add", "dev", name, "root", "tbf", "rate", f"{rate}kbit", "burst", "3000", "limit", "30000")
            cases.append({"user": f"u{n}", "address": near, "port": ports[policy], "link": name, "rate": rate, "policy": policy, "control": control})
        half = subprocess.Popen([*inside, sys.executable, os.path.abspath(__file__), "--peers", json.dumps(cases)], stdout=subprocess.PIPE, text=True)
        os.set_blocking(half.stdout.fileno(), False)
        said = {case["user"]: [] for case in cases}

        def listen():
            for line in iter(half.stdout.readline, ""):
                told = json.loads(line)
                said[told["user"]].append((told["is"], time.monotonic()))
            return said

        until(60, "all peers are open", lambda: all(listen()[c["user"]] for c in cases))
        begun = time.monotonic()
        for case in cases:
            app = socket.create_connection(("127.0.0.1", case["port"]), timeout=10)
            upgrade(app, f"/app-ws?user={case['user']}&package=com.example.links")
            apps.append(app)
            app.sendall(frame(1, json.dumps({"type": "display_event", "pad": "x" * FRAME}).encode()))
        slowest = max(8 * FRAME / c["rate"] / 1000 for c in cases)
        until(2 * slowest + 60, "every frame is here whole", lambda: all(any(w != "open" for w, _ in listen()[c["user"]]) for c in cases))
        for case in cases:
            what, at = said[case["user"]][1]
            label = f"{case['rate']} kbit/s, {case['policy']} s, {case['control']}"
            expect(what == "whole", f"{label}: {what}")
            print(f"whole   {label}: {at - begun:.1f} s, {8 * FRAME / case['rate'] / 1000:.1f} s at least")
        # Another frame, and in the middle of it the link is cut.
        for case, app in zip(cases, apps):
            app.sendall(frame(1, json.dumps({"type": "display_event", "pad": "x" * FRAME}).encode()))
        time.sleep(1)
        cut = time.monotonic()
        for case in cases:
            run("ip", "link", "set", case["link"], "down")
        for case in sorted(cases, key=lambda c: POLICIES[c["policy"]][1]):
            timeout = POLICIES[case["policy"]][1]
            gateway = gateways[list(POLICIES).index(case["policy"])]
            label = f"{case['rate']} kbit/s, {case['policy']} s, {case['control']}"
            line = until(timeout + 30, f"{label}: the end", lambda: gateway.find(rf"close .*user={case['user']} .*"))
            expect("cause=stale" in line.group(0), f"{label}: {line.group(0)}")
            lived = time.monotonic() - cut
            expect(lived <= timeout + SLACK, f"{label}: lived for {lived:.1f} s after the cut")
            print(f"dead    {label}: {lived:.1f} s after the cut")
        print(f"all {len(cases)} held")
    finally:
        for process in [far, half]:
            if process:
                process.kill()
                process.wait()
        for gateway in gateways:
            gateway.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peers"]:
        peers(json.loads(sys.argv[2]))
    elif sys.argv[1:2] == ["--inside"]:
        try:
            main(sys.argv[2], sys.argv[3:] == ["all"])
        except Broken as e:
            sys.exit(f"slow_links.py: {e}")
    elif len(sys.argv) not in (2, 3) or not os.path.isfile(sys.argv[1]) or sys.argv[2:] not in ([], ["all"]):
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    else:
        # One namespace for the gateways, in which links may be made.
        allowed = subprocess.run(["unshare", "-n", "sh", "-c", "ip link add probe type veth peer name probe2 && tc qdisc add dev probe root tbf rate 1mbit burst 3000 limit 30000"], capture_output=True, text=True)
        if allowed.returncode:
            print(f"!!! LEFT OUT: slow links: namespaces, links or tbf are not allowed here: {allowed.stderr.strip()}")
            sys.exit(0)
        sys.exit(subprocess.run(["unshare", "-n", sys.executable, os.path.abspath(__file__), "--inside", *sys.argv[1:]]).returncode)
