"""The nine faults. Each is done to a run, proves that it was done, and returns when the client is back."""

from clients import Browser
from edge import Edge
from harness import Broken, expect, get, until
from network import CORE, Namespace, Nat
from rig import OPEN_MS, PATIENCE, token


def gateway_stall(run):
    """SIGSTOP of the gateway, for longer than its client is patient."""
    # A plain client does not notice: its connection does not end.
    run.is_plain = False
    client = run.begin()
    seen = len(client.events)
    run.truths.append("gateway_stall")
    run.stop_gateway()
    client.wait(run.timeout + PATIENCE, "lost", since=seen)
    run.wait(run.rng.uniform(0.2, 2))
    run.let_gateway_go_on()
    run.prove(True, "the process was in state T, and its log has the stall")
    run.back(client, seen)


def device_sleep(run):
    """SIGSTOP of the client on a device whose network is off, too: a device that sleeps acknowledges nothing."""
    client = run.begin()
    seen = len(client.events)
    run.truths.append("device_sleep")
    run.link.cut()
    client.stop_running()
    run.wait(run.timeout + run.moved + run.rng.uniform(1, 4))
    dropped = run.link.mend()
    client.go_on()
    run.prove(dropped > 0, f"the process was in state T, {dropped} packets were dropped")
    run.back(client, seen)


def app_frozen(run):
    """The page is frozen, or the Rust client gets SIGSTOP, on a machine that goes on and acknowledges."""
    client = run.begin()
    seen = len(client.events)
    run.truths.append("app_frozen")
    client.freeze()
    run.wait(run.timeout + run.moved + run.rng.uniform(0.5, 4))
    client.thaw()
    run.prove(True, "the process was in state T" if not run.column.is_page else "Chromium has frozen the page")
    run.back(client, seen)


def outage(run):
    """The link is cut until the client has tried to come back in vain."""
    client = run.begin()
    seen = len(client.events)
    run.truths.append("outage")
    run.link.cut()
    if run.is_plain:
        run.ended(run.timeout + PATIENCE)
    else:
        client.wait(run.timeout + PATIENCE, "lost", since=seen)
        run.wait(1 + OPEN_MS / 1000 + run.rng.uniform(0, 3))
    dropped = run.link.mend()
    run.prove(dropped > 0, f"{dropped} packets were dropped")
    run.back(client, seen)


def handover(run):
    """The link is cut, and the device goes on by another one, with another address."""
    other = run.lab.network.link(run.space, "cell")
    try:
        client = run.begin()
        seen = len(client.events)
        run.truths.append("handover")
        run.link.cut()
        run.wait(run.rng.uniform(0, 1))
        other.take_over()
        run.wait(run.rng.uniform(0, 1))
        client.network("cell")
        run.back(client, seen)
        run.verdict()
        dropped = run.link.dropped()
        run.prove(dropped > 0, f"{dropped} packets of the old network were dropped")
    finally:
        other.remove()


def nat_timeout(run):
    """A NAT forgets the idle connections of three clients. The last one that ends is judged: the rule needs three."""
    idle = run.rng.randint(6, 8)
    # The gateway's pings come a little too late.
    run.interval_ms = int(1_000 * (idle * run.rng.uniform(1.1, 1.2) + 1))
    run.timeout_ms = int(run.interval_ms * run.rng.uniform(2.0, 2.5))
    is_silent = run.rng.random() < 0.5
    nat = Nat(run.lab.network, idle, is_silent)
    browser = None
    try:
        run.start_gateway()
        if run.column.is_page:
            browser = Browser(nat.inner)
        clients = [run.connect(space=nat.inner, talk_ms=0, browser=browser) for _ in range(3)]
        run.truths.append("nat_timeout")
        firsts = [client.find("open")["conn"].partition(".")[2] for client in clients]
        if not run.is_plain:
            for client in clients:
                client.wait(60, "lost")
            for client in clients:
                client.back(PATIENCE, client.events.index(client.find("lost")))
        # The newest is the first in the list.
        mine = lambda: [each["id"] for each in ends(run) if run.is_plain or each["id"] in firsts]
        run.conn = until(60, "three ends", lambda: len(mine()) >= 3 and mine())[0]
        refused = nat.refused()
        run.prove(refused > 0, f"{refused} packets of forgotten connections, {'dropped' if is_silent else 'refused'}")
        run.verdict()
    finally:
        if browser:
            browser.stop()
        nat.stop()


def ends(run):
    found = get(f"{run.admin}/api/v1/closed?limit=1000", PATIENCE)["closed"]
    return [each for each in found if each["class"] == "client"]


def middlebox(run):
    """An edge that answers pings stops passing a connection, and keeps the gateway's side up."""
    # With a plain client of the usual policy the edge keeps it up for ever. So data must count, and there is some.
    settings = {"ALIVE_BY": "data"} if run.is_plain else {}
    run.talk_ms = 700 if run.is_plain else run.talk_ms
    run.start_gateway(**settings)
    edge = Edge(CORE, run.front)
    run.things.append(edge)
    client = run.connect(front=(CORE, edge.port))
    run.watch(client)
    run.settle()
    seen = len(client.events)
    drops_client = not run.is_plain and run.rng.random() < 0.3
    run.truths.append("middlebox")
    if drops_client:
        # The client comes back at once, and takes over a connection that only looks open.
        run.truths.append("takeover_of_dead")
    edge.stall(drops_client)
    run.ended(run.timeout + PATIENCE)
    run.prove(edge.swallowed + drops_client > 0, f"the edge has swallowed {edge.swallowed} bytes")
    run.back(client, seen)


def app_killed(run):
    """The program is killed, and started anew."""
    client = run.begin()
    run.truths.append("app_killed")
    client.kill()
    run.wait(run.rng.uniform(0.3, 2))
    if run.column.is_page:
        run.prove(client.browser.child.returncode == -9, "Chromium died of SIGKILL")
        seen = len(client.events)
        client.start_anew()
        run.back(client, seen)
    else:
        run.prove(client.child.returncode == -9, "the process died of SIGKILL")
        # A program that is to tell of such an end keeps the id of its connection on the disk.
        run.connect(earlier=client.find("open")["conn"])
    record = run.ended(run.timeout + PATIENCE)
    run.prove(record["cause"] in ("peer_eof", "peer_reset", "replaced"), f"its connection ended as {record['cause']}")


def slow_link(run):
    """More is sent than the link carries, until the connection ends."""
    # As usual two thirds of the timeout, which is longer than a client's patience, or else shorter than that.
    slow_ms = int(run.timeout_ms * 0.67) if run.rng.random() < 0.5 else run.rng.randint(1_500, 3_000)
    client = run.begin(SLOW_MS=str(slow_ms))
    seen = len(client.events)
    run.truths.append("slow_link")
    kbits, limit = run.rng.choice([16, 24, 32, 64]), run.rng.choice([15_000, 60_000, 300_000])
    run.link.slow(kbits, limit)
    try:
        run.lab.service.stream(run.path, 1_000, 150, 200)
        # The gateway lets slow clients live as long as they take something. So it gets slower.
        record = None
        while record is None:
            try:
                record = run.ended(15)
            except Broken:
                expect(kbits > 1, "the connection survives a link of 1 kbit/s")
                kbits = max(kbits // 2, 1)
                run.link.slow(kbits, limit, "change")
    finally:
        waits = run.link.hasten()
    run.prove(waits > 0, f"{waits} packets waited or were dropped, and the end was {record['cause']}")
    run.back(client, seen)


def second_device(run):
    """Another device of the same user connects: most times beside the first one, else when that has lost its network."""
    is_dead = run.rng.random() < 0.3
    run.start_gateway(relay=True)
    path = f"/glasses-ws?token={token('ada@example.org')}"
    client = run.connect(path=path)
    run.watch(client)
    run.settle()
    seen = len(client.events)
    space = Namespace()
    link = run.lab.network.link(space)
    run.truths.append("takeover_of_dead" if is_dead else "second_device")
    if is_dead:
        # Both sides know more then: the first one tells that it had no network.
        run.truths += ["outage"] if run.column.has_reports else []
        run.link.cut()
        run.wait(run.rng.uniform(0.5, 1.5))
    try:
        browser = None
        if run.column.is_page:
            browser = Browser(space)
            run.things.append(browser)
        other = run.connect(space=space, path=path, browser=browser)
        record = run.ended(run.timeout + PATIENCE)
        run.prove(record["cause"] == "replaced", f"the first connection ended as {record['cause']}")
        if is_dead and not run.is_plain:
            client.wait(PATIENCE, "lost", since=seen)
            run.wait(1 + OPEN_MS / 1000)
        if is_dead:
            run.link.mend()
        if not is_dead:
            client.wait(PATIENCE, "closed", since=seen)
            run.wait(run.rng.uniform(0.2, 1))
            # The user opens it again, and only now it can report.
            client.reopen()
            run.back(client, seen)
        else:
            run.back(client, seen)
        run.verdict()
        other.stop()
    finally:
        space.stop()
        link.remove()


# Each with the second faults that can go along with it.
FAULTS = {
    "gateway_stall": (gateway_stall, ["cut", "sleep"]),
    "device_sleep": (device_sleep, ["stall"]),
    "outage": (outage, ["stall", "sleep"]),
    "handover": (handover, ["stall", "sleep"]),
    "nat_timeout": (nat_timeout, []),
    "middlebox": (middlebox, ["stall", "sleep"]),
    "app_frozen": (app_frozen, ["stall", "cut"]),
    "app_killed": (app_killed, ["stall"]),
    "slow_link": (slow_link, ["stall"]),
    "second_device": (second_device, ["stall"]),
}
