#!/usr/bin/env python3
"""The gateway behind HAProxy with docs/deploy/haproxy.cfg itself, end to end, over TLS and the PROXY protocol.

  behind_haproxy.py PULSEGATE_BINARY

Starts both on free ports of 127.0.0.1; clients come from 127.0.0.9 and 127.0.0.10, so that the gateway must have their
address from the PROXY header. Needs haproxy and openssl, and Linux, where all of 127.0.0.0/8 is local. Takes 20 s.
Exit: 0 all held; 1 something did not, with both logs; 2 usage, or could not start.
"""
import csv, json, os, re, signal, socket, struct, sys, time

from harness import Process, expect, free_port, get, until
from proxy import WebSocket, certificate, haproxy, held, main

INTERVAL, TIMEOUT, DRAIN_DELAY, DRAIN = 0.5, 2.0, 4.0, 1.0


def server_status(stats):
    """HAProxy's line about the gateway, as `status`, `check_status`, `check_code`, ..."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(stats)
        s.sendall(b"show stat\n")
        text = b"".join(iter(lambda: s.recv(65536), b"")).decode().lstrip("# ")
    return next(row for row in csv.DictReader(text.splitlines()) if (row["pxname"], row["svname"]) == ("gateways", "gateway1"))


def run(binary, place):
    stats, port = os.path.join(place, "stats"), free_port()
    processes = []

    def test():
        gateway = Process(
            "gateway", [binary], LISTEN_ADDR="127.0.0.1:0", ADMIN_ADDR="127.0.0.1:0", PROXY_PROTOCOL="v2", TRUSTED_PROXIES="127.0.0.1",
            LOG_LEVEL="debug", HEARTBEAT_INTERVAL_MS=str(int(INTERVAL * 1000)), CONNECTION_TIMEOUT_MS=str(int(TIMEOUT * 1000)),
            DRAIN_DELAY_MS=str(int(DRAIN_DELAY * 1000)), DRAIN_MS=str(int(DRAIN * 1000)),
        )  # fmt: skip
        processes.append(gateway)
        start = until(10, "the gateway's start line", lambda: gateway.alive() or gateway.find(r"\bstart .*"))[0]
        listen, admin = (re.search(rf"\b{name}=([\d.]+:\d+)", start) for name in ("listen", "admin"))
        expect(listen and admin, f"no listen= or no admin= in: {start}")
        listen, admin = listen[1], admin[1]
        proxy = haproxy(certificate(place), f"127.0.0.1:{port}", listen, stats)
        processes.append(proxy)
        scenario(gateway, proxy, listen, admin, port, stats)

    all_held = held(processes, test)
    print("all held" if all_held else "FAILED")
    return all_held


def scenario(gateway, proxy, listen, admin, port, stats):
    def said(pattern, level=None):
        """Waits for a line of the gateway's log."""
        line = until(5, f"in the gateway's log: {pattern}", lambda: gateway.find(pattern)).string
        expect(level is None or f"[{level}]" in line, f"not at level {level}: {line}")
        return line

    def connections(address):
        found = get(f"http://{admin}/api/v1/connections?address={address}")["connections"]
        return [(c["class"], c["user"], c["peer"]) for c in found]

    until(5, "HAProxy's stats socket", lambda: proxy.alive() or os.path.exists(stats))
    healthy = lambda: (s := server_status(stats))["status"] == "UP" and (s["check_status"], s["check_code"]) == ("L7OK", "200")
    until(8, "HAProxy finds the gateway healthy", healthy)
    print("health check: UP, 200")

    # Addresses.
    ada = WebSocket("127.0.0.9", port, "/glasses-ws?user=ada")
    expect(ada.status == 101, f"the upgrade was answered {ada.status}")
    said(rf"\bopen class=glasses user=\"?ada\"? .*\bpeer={re.escape(ada.address)}\b", "DEBUG")
    expect(connections("127.0.0.9") == [("glasses", "ada", ada.address)], f"the admin listener says {connections('127.0.0.9')}")
    expect(connections("127.0.0.1") == [], f"a client has the proxy's address: {connections('127.0.0.1')}")
    expect(connections("6.6.6.6") == [], "X-Forwarded-For from outside was believed")
    print(f"address: {ada.address}, in the log and on the admin listener")

    # Both ways, and at once.
    began = time.monotonic()
    ada.send(9, b"end to end")
    pong = ada.receive(2)
    took = time.monotonic() - began
    expect(pong == (10, b"end to end"), f"instead of the pong came {pong}")
    ada.send(1, b'{"type":"ping"}')
    text = ada.receive(2)
    expect(text is not None and text[0] == 1 and json.loads(text[1]).get("type") == "pong", f"instead of the pong came {text}")
    print(f"ping: relayed in {took * 1000:.1f} ms")

    # A tunnel at rest lives by heartbeats.
    ada.pings = 0
    frame = ada.receive(3 * TIMEOUT)
    expect(frame is None, f"an idle tunnel got {frame}")
    expect(ada.pings >= 3 * TIMEOUT / INTERVAL - 3, f"only {ada.pings} heartbeats came through")
    expect(connections("127.0.0.9") == [("glasses", "ada", ada.address)], "the idle tunnel is gone")
    print(f"idle: {3 * TIMEOUT:.0f} s, {ada.pings} heartbeats")

    # A ghost is the gateway's to close, not the proxy's.
    ghost = WebSocket("127.0.0.10", port, "/app-ws?user=bob&package=com.example.ghost")
    expect(ghost.status == 101, f"the upgrade was answered {ghost.status}")
    began = time.monotonic()
    while (left := began + TIMEOUT + 3 - time.monotonic()) > 0 and (frame := ghost.receive(min(left, INTERVAL / 2), answer=False)) is None:
        # The other one must stay alive meanwhile.
        other = ada.receive(0.01)
        expect(other is None, f"an idle tunnel got {other}")
    expect(frame is not None and frame[0] == 8, f"instead of a close frame a ghost got {frame}")
    code = struct.unpack("!H", frame[1][:2])[0]
    expect(code == 3008, f"a ghost was closed with {code}")
    said(rf"\bclose class=app user=\"?bob\"? .*\bpeer={re.escape(ghost.address)}\b.*\bcause=stale\b", "WARN")
    ghost.socket.close()
    print("ghost: closed with 3008")

    # A client that says good-bye, with its address in the log.
    cleo = WebSocket("127.0.0.10", port, "/glasses-ws?user=cleo")
    cleo.send(8, struct.pack("!H", 1000))
    expect(cleo.closed_with(2) == 1000, "the close was not echoed")
    cleo.socket.close()
    said(rf"\bclose class=glasses user=\"?cleo\"? .*\bpeer={re.escape(cleo.address)}\b.*\bcause=peer_closed\b", "INFO")

    # What is not public.
    expect(WebSocket("127.0.0.10", port, "/healthz").status == 404, "/healthz answers from outside")
    host, gateway_port = listen.split(":")
    with socket.create_connection((host, int(gateway_port)), timeout=5) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        plain.settimeout(3)
        try:
            answer = plain.recv(4096)
        except (ConnectionResetError, TimeoutError):
            answer = b""
    expect(b" 200 " not in answer.split(b"\r\n")[0], f"without a PROXY header came {answer!r}")
    print("refused: /healthz from outside, requests without a PROXY header")
    expect(ada.receive(0.05) is None, "the idle tunnel was not idle")

    # The checks are quiet: seen at debug, and not as anything else. The one plain connection above is not theirs.
    checks = [line for line in list(gateway.lines) if re.search(r"\bcause=(answered|probe)\b", line)]
    expect(len(checks) >= 3, f"only {len(checks)} health checks in the log")
    loud = [line for line in checks if "[DEBUG]" not in line]
    expect(not loud, f"health checks are logged above debug: {loud[:3]}")
    info = [l for l in list(gateway.lines) if re.search(r"\[(INFO|WARN|ERROR)\] close ", l) and not re.search(r"user=\"?(ada|bob|cleo)", l)]
    expect(len(info) <= 1, f"unexpected ends in the log: {info[:3]}")
    print(f"checks: {len(checks)}, all at debug")

    # A deployment: HAProxy looks away first, then all clients are told.
    gateway.child.send_signal(signal.SIGTERM)
    began = time.monotonic()
    down = None
    while time.monotonic() - began < DRAIN_DELAY - 0.5 and down is None:
        frame = ada.receive(0.1)
        expect(frame is None, f"before the delay was over came {frame}")
        if server_status(stats)["status"].startswith("DOWN"):
            down = time.monotonic() - began
    expect(down is not None, f"HAProxy did not notice within {DRAIN_DELAY - 0.5} s that the gateway drains")
    expect(WebSocket("127.0.0.10", port, "/glasses-ws?user=dora").status == 503, "a newcomer was let in to a draining gateway")
    code = ada.closed_with(DRAIN_DELAY + DRAIN + 1)
    expect(code == 1012, f"a drain closed with {code}")
    ada.send(8, struct.pack("!H", 1012))
    said(rf"\bclose class=glasses user=\"?ada\"? .*\bpeer={re.escape(ada.address)}\b.*\bcause=draining\b", "INFO")
    until(DRAIN_DELAY + DRAIN + 4, "the gateway ends", lambda: gateway.child.poll() is not None)
    expect(gateway.child.returncode == 0, f"the gateway ended with {gateway.child.returncode}")
    proxy.alive()
    print(f"drain: DOWN after {down:.1f} s, 1012 after {time.monotonic() - began:.1f} s, exit code 0")


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
