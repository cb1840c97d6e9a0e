#!/usr/bin/env python3
"""Local ports towards a service, for real: 200 of them, and 500 clients.

  ports.py PULSEGATE_BINARY SWARM_BINARY ECHO_BINARY

In a network namespace that this script makes, for the gateway and its service, the kernel may choose among 200 ports. The clients are in another one. With one source address 200 pairs open, the other clients are
answered 503, and the open pairs go on. With three source addresses (`source_addresses` of the route) all 500 open, and none is refused.

Needs root and iproute2. Where namespaces are not allowed it says so, and exits with 0. Exit: 0 all held, or it is not allowed here; 1 something did
not hold; 2 usage.
"""
import json, os, subprocess, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "deploy"))
from harness import Broken, Process, expect, until

PORTS, CLIENTS = 200, 500
SPACE, CLIENT_SPACE = f"pulsegate-ports-{os.getpid()}", f"pulsegate-clients-{os.getpid()}"
GATEWAY, CLIENT = "10.77.0.1", "10.77.0.2"


def inside(*command, space=SPACE):
    return ["ip", "netns", "exec", space, *command]


def made():
    """Whether the namespace could be made."""
    commands = [["ip", "netns", "add", SPACE], ["ip", "netns", "add", CLIENT_SPACE]]
    commands.append(["ip", "link", "add", "gate", "netns", SPACE, "type", "veth", "peer", "name", "away", "netns", CLIENT_SPACE])
    for space, link, address in ((SPACE, "gate", GATEWAY), (CLIENT_SPACE, "away", CLIENT)):
        commands.append(inside("ip", "address", "add", f"{address}/24", "dev", link, space=space))
        commands += [inside("ip", "link", "set", name, "up", space=space) for name in (link, "lo")]
    commands.append(inside("sh", "-c", f"echo 20000 {20000 + PORTS - 1} >/proc/sys/net/ipv4/ip_local_port_range"))
    for command in commands:
        try:
            subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as e:
            print(f"!!! LEFT OUT: network namespaces are not allowed here: {getattr(e, 'stderr', None) or e} !!!")
            return False
    return True


def run(name, lines, gateway_binary, swarm, echo):
    """How many clients were served, and how many were refused for want of a port."""
    # It says on its standard output where it listens.
    service = Process("echo", inside("sh", "-c", 'exec "$0" >&2', echo), LISTEN_ADDR="127.0.0.1:9000", ADMIN_ADDR="off")
    until(20, "the service", lambda: service.alive() or service.find(r"listening on "))
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as settings:
        settings.write(f"[[route]]\nname = 'r'\nupstream = 'http://127.0.0.1:9000'\n{lines}\n")
        settings.flush()
        gateway = Process("pulsegate", inside(gateway_binary), CONFIG_FILE=settings.name, LISTEN_ADDR=f"{GATEWAY}:9001", ADMIN_ADDR="off", DRAIN_MS="0")
        until(20, "the gateway", lambda: gateway.alive() or gateway.find(r"\[INFO\] start "))
        done = subprocess.run(
            inside(swarm, "--target", f"ws://{GATEWAY}:9001", "--allow-remote", "--connections", str(CLIENTS), "--ramp", "500", "--duration", "5", space=CLIENT_SPACE),
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        report = json.loads(done.stdout)
        gateway.stop()
        refused = report["failures"].get("http_503", 0)
        # The log may lack some of the lines of a burst.
        told = gateway.find(r"class=none .*cause=at_capacity .*by=gateway")
        expect(bool(told) == (refused > 0), f"{name}: the log does not say why")
        early = sum(report["closes"]["unexpected"].values())
    service.stop()
    print(f"{name}: {report['connected']} of {CLIENTS} open, {report['failures']} failed, {refused} refused for want of a port, {early} of the open ones closed")
    expect(early == 0, f"{name}: an open pair was closed")
    return report["connected"], refused


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    binaries = [os.path.abspath(path) for path in sys.argv[1:]]
    try:
        if not made():
            return
        served, refused = run("one source address", "", *binaries)
        expect(0.9 * PORTS <= served <= PORTS, f"{served} served with {PORTS} ports")
        expect(refused == CLIENTS - served, f"{refused} refused")
        served, refused = run("three source addresses", "source_addresses = ['127.0.1.1', '127.0.1.2', '127.0.1.3']", *binaries)
        expect((served, refused) == (CLIENTS, 0), f"{served} served, {refused} refused")
    except Broken as e:
        sys.exit(f"ports.py: {e}")
    finally:
        for space in (SPACE, CLIENT_SPACE):
            subprocess.run(["ip", "netns", "del", space], capture_output=True)
    print("held")


main()
