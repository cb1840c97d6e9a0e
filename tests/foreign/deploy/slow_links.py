#!/usr/bin/env python3
"""Slow links, for real: each peer behind a link of its own gets a frame of 900 KB, and answers every ping at once.

  slow_links.py PULSEGATE_BINARY [all] [haproxy]

Every peer has a virtual link with a token bucket (tc-tbf) in network namespaces that this script makes. No peer may be closed while its frame is
on the way; when the link is cut, each must be closed as stale within its timeout. `all` is the whole table: 32, 64, 120, 400 and 2 000 kbit/s; the default
policy, 5/15 s and 1/3 s; CUBIC and BBR. It takes 5 minutes. Without it: 400 and 2 000 kbit/s with 5/15 s and 1/3 s, in a minute.

`haproxy`: the peers come by TLS through HAProxy with docs/deploy/haproxy.cfg. What the proxy and its kernel hold stands before each heartbeat, and
only the proxy acknowledges. So a peer need only survive if its link takes what they hold (BUFFERED), and the next heartbeat is due, within its
timeout; of the others the script says what became of them, and they are closed as stale if they are closed.

Needs root, iproute2, unshare and nsenter, with `haproxy` also haproxy and openssl. Where namespaces or links are not allowed it says so, and exits
with 0. Exit: 0 all held, or it is not allowed here; 1 something did not hold; 2 usage.
"""
import base64, json, os, shutil, socket, ssl, struct, subprocess, sys, tempfile, threading, time

from harness import Broken, Process, expect, until
from proxy import certificate, haproxy

FRAME = 900_000
POLICIES = {"default": (15, 45), "5/15": (5, 15), "1/3": (1, 3)}
PORT = 9001
# What a loaded machine may add to a timeout, in s.
SLACK = 1.0
# What HAProxy, and the kernel's buffers of both its sockets, hold of a tunnel, in bytes.
BUFFERED = 120_000


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

    def __init__(self, name, address, policy_port, is_tls):
        self.name, self.buffer, self.skip, self.begun, self.whole, self.over = name, b"", 0, 0, 0, None
        self.socket = socket.create_connection((address, policy_port), timeout=60)
        if is_tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        upgrade(self.socket, f"/glasses-ws?user={name}")
        self.socket.settimeout(None)

    def read(self):
        try:
            got = self.socket.recv(65536)
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
                self.begun += 1
                self.buffer, self.skip = self.buffer[head:], n
                continue
            if len(self.buffer) < head + n:
                return
            payload, self.buffer = self.buffer[head : head + n], self.buffer[head + n :]
            if opcode == 9:
                try:
                    self.socket.send(frame(10, payload))
                except OSError as e:
                    self.over = str(e)
                    return
            elif opcode == 8:
                self.over = f"close {payload[:2].hex()} {payload[2:]!r}"


def peers(cases):
    """The peers' half, in their namespace. Tells what happens to each as a line of JSON: open, begun and whole (a frame), over."""
    lock = threading.Lock()

    def live(case):
        def tell(what, why=None):
            with lock:
                print(json.dumps({"user": case["user"], "is": what, "why": why}), flush=True)

        peer = Peer(case["user"], case["address"], case["front"], case["front"] != case["port"])
        tell("open")
        while not peer.over:
            begun, whole = peer.begun, peer.whole
            peer.read()
            if peer.begun > begun:
                tell("begun")
            if peer.whole > whole:
                tell("whole")
        tell("over", peer.over)

    # A thread for each: one that connects over a slow link must not keep the others from answering pings.
    threads = [threading.Thread(target=live, args=(case,)) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def table(whole):
    rates = (32, 64, 120, 400, 2000) if whole else (400, 2000)
    policies = POLICIES if whole else ("5/15", "1/3")
    return [(rate, policy, control) for rate in rates for policy in policies for control in ("cubic", "bbr")]


def serve(binary, place, is_proxied, processes):
    """A gateway for each policy, with HAProxy in front of it if that is wanted. By policy: the gateway, its port, and where peers connect."""
    served = {}
    pem = certificate(place) if is_proxied else None
    for n, (policy, (interval, timeout)) in enumerate(POLICIES.items()):
        port, front = PORT + n, PORT + n + (100 if is_proxied else 0)
        proxied = {"PROXY_PROTOCOL": "v2", "TRUSTED_PROXIES": "127.0.0.1"} if is_proxied else {}
        gateway = Process(f"gateway {policy}", [binary], LISTEN_ADDR=f"0.0.0.0:{port}", ADMIN_ADDR="off", DRAIN_MS="0", ALLOW_UNAUTHENTICATED="1", APP_HEARTBEAT_INTERVAL_MS="3600000", APP_CONNECTION_TIMEOUT_MS="43200000",
            GLASSES_HEARTBEAT_INTERVAL_MS=str(interval * 1000), GLASSES_CONNECTION_TIMEOUT_MS=str(timeout * 1000), **proxied)  # fmt: skip
        processes.append(gateway)
        until(10, f"gateway {policy}", lambda: gateway.find("listen="))
        if is_proxied:
            stats = os.path.join(place, f"stats{n}")
            proxy = haproxy(pem, f"0.0.0.0:{front}", f"127.0.0.1:{port}", stats, name=f"haproxy {policy}")
            processes.append(proxy)
            until(10, f"haproxy {policy}", lambda: proxy.alive() or os.path.exists(stats))
        served[policy] = (gateway, port, front)
    return served


def link(n, rate, control, far, inside):
    """A link of its own for a peer. Returns the gateway's address on it, and its name."""
    near, name = f"10.77.{n}.1", f"link{n}"
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "far", "netns", str(far.pid))
    run("ip", "address", "add", f"{near}/24", "dev", name)
    run("ip", "link", "set", name, "up")
    run(*inside, "ip", "link", "set", "far", "name", f"far{n}")
    run(*inside, "ip", "address", "add", f"10.77.{n}.2/24", "dev", f"far{n}")
    run(*inside, "ip", "link", "set", f"far{n}", "up")
    run("ip", "route", "change", f"10.77.{n}.0/24", "dev", name, "congctl", control)
    run("tc", "qdisc", "add", "dev", name, "root", "tbf", "rate", f"{rate}kbit", "burst", "3000", "limit", "30000")
    return near, name


def app_of(case, is_proxied):
    """The app that sends frames to a peer. It stands beside the gateway."""
    app = socket.create_connection(("127.0.0.1", case["port"]), timeout=10)
    if is_proxied:
        # PROXY protocol, version 2: over TCP and IPv4, from and to 127.0.0.1.
        app.sendall(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([127, 0, 0, 1] * 2) + b"\0\x09\0\x09")
    upgrade(app, f"/app-ws?user={case['user']}&package=com.example.links")
    return app


def main(binary, whole, is_proxied, place):
    run("ip", "link", "set", "lo", "up")
    far = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
    processes, cases, half = [], [], None
    try:
        until(10, "a namespace for the peers", lambda: os.readlink(f"/proc/{far.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        inside = ("nsenter", "-t", str(far.pid), "-n")
        run(*inside, "ip", "link", "set", "lo", "up")
        if shutil.which("modprobe"):
            run("modprobe", "tcp_bbr", check=False)
        available = open("/proc/sys/net/ipv4/tcp_available_congestion_control").read().split()
        served = serve(binary, place, is_proxied, processes)
        for n, (rate, policy, control) in enumerate(table(whole)):
            label = f"{rate} kbit/s, {policy} s, {control}"
            if control not in available:
                print(f"!!! LEFT OUT: {label}: this kernel has no {control}")
                continue
            address, name = link(n, rate, control, far, inside)
            _, port, front = served[policy]
            interval, timeout = POLICIES[policy]
            survives = not is_proxied or interval + 8 * BUFFERED / rate / 1000 < timeout
            cases.append({"user": f"u{n}", "address": address, "port": port, "front": front, "link": name, "rate": rate, "policy": policy, "timeout": timeout, "label": label, "survives": survives})
        half = subprocess.Popen([*inside, sys.executable, os.path.abspath(__file__), "--peers", json.dumps(cases)], stdout=subprocess.PIPE, text=True)
        os.set_blocking(half.stdout.fileno(), False)
        scenario(cases, served, is_proxied, half)
    except Broken:
        for process in processes:
            print(f"--- {process.name}", *process.lines[-15:], sep="\n", file=sys.stderr)
        raise
    finally:
        for process in [far, half]:
            if process:
                process.kill()
                process.wait()
        for process in processes:
            process.stop()


def scenario(cases, served, is_proxied, half):
    told = []

    def times(case, what):
        """When this happened to a peer, and why."""
        for line in iter(half.stdout.readline, ""):
            told.append((json.loads(line), time.monotonic()))
        return [(at, t["why"]) for t, at in told if (t["user"], t["is"]) == (case["user"], what)]

    def send_all():
        text = frame(1, json.dumps({"type": "display_event", "pad": "x" * FRAME}).encode())
        for case in cases:
            case["app"].sendall(text)

    def end(case):
        gateway = served[case["policy"]][0]
        return gateway.find(rf"close class=glasses user={case['user']} .*")

    until(60, "all peers are open", lambda: all(times(c, "open") for c in cases))
    for case in cases:
        case["app"] = app_of(case, is_proxied)
    began = time.monotonic()
    send_all()
    slowest = max(8 * FRAME / c["rate"] / 1000 for c in cases)
    until(2 * slowest + 60, "every frame is here whole", lambda: all(times(c, "whole") or times(c, "over") for c in cases))
    for case in cases:
        least = 8 * FRAME / case["rate"] / 1000
        if whole := times(case, "whole"):
            print(f"whole   {case['label']}: {whole[0][0] - began:.1f} s, {least:.1f} s at least")
            continue
        at, why = times(case, "over")[0]
        expect(not case["survives"], f"{case['label']}: {why}")
        line = until(5, f"{case['label']}: the end in the log", lambda: end(case))
        expect("cause=stale" in line.group(0), f"{case['label']}: {line.group(0)}")
        print(f"closed  {case['label']}: stale after {at - began:.1f} s; what the proxy holds takes the link {8 * BUFFERED / case['rate'] / 1000:.1f} s")
    # Another frame, and in the middle of it the link is cut.
    cases = [case for case in cases if not times(case, "over")]
    send_all()
    until(60, "every peer has the beginning of it", lambda: all(len(times(c, "begun")) > 1 for c in cases))
    cut = time.monotonic()
    for case in cases:
        early = end(case) if case["survives"] else None
        expect(not early, f"{case['label']}: before the cut: {early and early.group(0)}")
        run("ip", "link", "set", case["link"], "down")
    for case in sorted(cases, key=lambda c: c["timeout"]):
        # A proxy's acknowledgements count as life for one timeout at most.
        most = case["timeout"] * (2 if is_proxied else 1)
        line = until(most + 30, f"{case['label']}: the end", lambda: end(case))
        lived = time.monotonic() - cut
        expect("cause=stale" in line.group(0), f"{case['label']}: {line.group(0)}")
        expect(lived <= most + SLACK, f"{case['label']}: lived for {lived:.1f} s after the cut")
        print(f"dead    {case['label']}: {lived:.1f} s after the cut")
    print("all held")


if __name__ == "__main__":
    options = sys.argv[3:] if sys.argv[1:2] == ["--inside"] else sys.argv[2:]
    if sys.argv[1:2] == ["--peers"]:
        peers(json.loads(sys.argv[2]))
    elif sys.argv[1:2] == ["--inside"]:
        try:
            with tempfile.TemporaryDirectory() as place:
                main(sys.argv[2], "all" in options, "haproxy" in options, place)
        except Broken as e:
            sys.exit(f"slow_links.py: {e}")
    elif len(sys.argv) < 2 or not os.path.isfile(sys.argv[1]) or not set(options) <= {"all", "haproxy"}:
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    else:
        # One namespace for the gateways, in which links may be made.
        allowed = subprocess.run(["unshare", "-n", "sh", "-c", "ip link add probe type veth peer name probe2 && tc qdisc add dev probe root tbf rate 1mbit burst 3000 limit 30000"], capture_output=True, text=True)
        if allowed.returncode:
            print(f"!!! LEFT OUT: slow links: namespaces, links or tbf are not allowed here: {allowed.stderr.strip()}")
            sys.exit(0)
        sys.exit(subprocess.run(["unshare", "-n", sys.executable, os.path.abspath(__file__), "--inside", *sys.argv[1:]]).returncode)
