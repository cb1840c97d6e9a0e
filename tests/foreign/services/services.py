#!/usr/bin/env python3
"""Real services behind the gateway, driven by their own clients: `services.py PULSEGATE PLACE [NAME...]`. run.sh prepares PLACE.

Cases run a few at a time. Prints a line for each, and the differences that are allowed. With NAMEs only the cases with one of them in
their names run. Exit: 0 all held; 1 something did not; 2 usage.
"""
import os, re, signal, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../bridge"), os.path.join(HERE, "../deploy")]
import kinds  # noqa: E402
import transcript  # noqa: E402
from browser import Browser  # noqa: E402
from harness import expect, free_port, until  # noqa: E402
from proxy import certificate, haproxy  # noqa: E402
from rig import PATIENCE, Programs, run_cases, same  # noqa: E402
from tap import CLOSE, Tap  # noqa: E402

# For the cases with ghosts. All others have time, however busy the machine is.
TIMEOUT_MS = 3_000
QUICK = {"CONNECTION_TIMEOUT_MS": str(TIMEOUT_MS), "UPSTREAM_CONNECTION_TIMEOUT_MS": str(TIMEOUT_MS)}


def routed(programs, addresses, more, settings):
    """A gateway with one route to these addresses."""
    upstreams = ", ".join(f'"http://{each}"' for each in addresses)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(f'[[route]]\nname = "chat"\nupstream = [{upstreams}]\n{more}')
        file.flush()
        return programs.start_gateway(PULSEGATE, CONFIG_FILE=file.name, **settings)


class Rig(Programs):
    """A service, a gateway before it, and taps: `front`, to which clients connect, and `back` before the service."""

    def __init__(self, kind, **settings):
        super().__init__()
        self.kind, self.settings, self.front, self.back = kind(PLACE), settings, Tap(), Tap()
        self.programs += [self.front, self.back]
        try:
            self.begin()
        except BaseException:
            self.__exit__()
            raise

    def begin(self):
        """Starts the service and the gateway, anew if they run already."""
        for tap in (self.front, self.back):
            tap.clear()
        self.service, self.back.target = self.kind.start(self)
        self.gateway = routed(self, [self.back.address], self.kind.route, self.settings)
        self.front.target = self.gateway.listen

    def client(self, **more):
        return self.kind.connect(self, self.front.address, **more)


def close_frame(frames):
    """The code and the reason of the close frame that has passed, if one has."""
    for first, payload in list(frames):
        if first & 15 == CLOSE:
            return int.from_bytes(payload[:2], "big"), payload[2:].decode()
    return None


def closed(frames, who):
    return until(PATIENCE, f"a close frame for {who}", lambda: close_frame(frames))


def equal(kind):
    """The client gets from the service what it gets through the gateway, and the service gets the same from the client."""
    with Rig(kind) as rig:
        for tries_left in reversed(range(rig.kind.tries)):
            direct, through = record(rig, direct=True), record(rig, direct=False)
            if direct == through or not tries_left:
                break
        transcript.expect_equal(direct, through)
        return f"{len(direct)} lines"


def record(rig, direct):
    """The transcript of a conversation with a new service."""
    rig.begin()
    taps = [rig.front, rig.back]
    if direct:
        rig.front.target, taps = rig.back.target, [rig.front]
    rig.kind.talk(rig, rig.front.address)
    for tap in taps:
        until(PATIENCE, "the end of the WebSockets", lambda tap=tap: all(one.is_over for one in tap.upgrades()))
    closes = rig.kind.closes_alike
    return transcript.at_client(taps[0], closes) + transcript.at_service(taps[-1], closes)


def check_silence(text, prefix):
    silent = re.fullmatch(prefix + r"nothing heard for (\d+) ms.*", text)
    expect(silent, f"{text!r} says nothing of a silence")
    expect(int(silent[1]) >= TIMEOUT_MS, f"closed early, by its own words: {text}")


def frozen_client(kind):
    """A client that stands still is found, and the service sees the documented end. Another one goes on."""
    with Rig(kind, **QUICK) as rig:
        frozen, other = rig.client(), rig.client()
        frozen.signal(signal.SIGSTOP)
        code, reason = closed(rig.back.upgrades()[0].up, "the service")
        same(code, 1001, "the code for the service")
        check_silence(reason, "client lost: ")
        rig.kind.service_saw(rig.service, code, reason)
        same(closed(rig.front.upgrades()[0].down, "the client")[0], 3008, "the code for the client")
        rig.kind.works(other)
        return f"1001 {reason}"


def killed_service(kind):
    """A service that is killed takes no client with it: each is asked to come back."""
    with Rig(kind) as rig:
        clients = [rig.client() for _ in range(3)]
        rig.service.child.kill()
        for exchange in rig.front.upgrades():
            same(closed(exchange.down, "the client"), (1012, "upstream lost"), "the close")
        for client in clients:
            rig.kind.client_saw(client, 1012, "upstream lost")
        return "1012 upstream lost"


def messages(frames):
    """The whole messages before the close frame, as their frames."""
    whole, parts = [], []
    for first, payload in frames:
        if first & 15 == CLOSE:
            break
        if first & 8:
            continue
        parts.append((first, payload))
        if first & 0x80:
            whole.append(parts)
            parts = []
    expect(not parts, "a message before the close frame is not whole")
    return whole


# The taps are slow, so there is time for what is under way.
DRAIN = {"DRAIN_MS": "500", "CLOSE_TIMEOUT_MS": "20000"}


def drained(kind, size):
    """The gateway is stopped while messages flood in both directions: all that it has read arrives whole, in order, and then the close."""
    with Rig(kind, **DRAIN) as rig:
        for client in [rig.client() for _ in range(2)]:
            client.tell(flood=size)
        flows = lambda: all(len(e.up) > 100 and len(e.down) > 100 for tap in (rig.front, rig.back) for e in tap.upgrades())
        until(PATIENCE, "messages in both directions", flows)
        rig.gateway.child.send_signal(signal.SIGTERM)
        return check_drain(rig)


def drained_behind(kind, tap, way, size):
    """The same while one side is behind: it reads nothing for a while, and goes on when the drain has begun."""
    with Rig(kind, **DRAIN) as rig:
        rig.client().tell(flood=size)
        takes = getattr(rig, tap).takes[way]
        until(PATIENCE, "messages", lambda: len(rig.back.upgrades()[0].down) > 10)
        takes.clear()
        leg = "client" if way == "down" else "upstream"
        waits = lambda: any(each["pending_bytes"] > 30_000 for each in rig.gateway.api(f"connections?class={leg}")["connections"])
        until(PATIENCE, f"bytes that wait for the {leg}", waits)
        rig.gateway.child.send_signal(signal.SIGTERM)
        until(PATIENCE, "the drain", lambda: rig.gateway.find("signal effect=drain"))
        closed(rig.front.upgrades()[0].down, "the client") if way == "up" else ended(rig.gateway, "class=upstream")
        takes.set()
        return check_drain(rig)


def check_drain(rig):
    same(rig.gateway.child.wait(PATIENCE), 0, "the gateway's exit code")
    rig.gateway.reader.join(PATIENCE)
    return " and ".join(check_flood(rig, pair) for pair in zip(rig.front.upgrades(), rig.back.upgrades()))


def check_flood(rig, pair):
    front, back = pair
    same(closed(front.down, "the client"), (1012, "service restart"), "the close of the client")
    same(closed(back.up, "the service"), (1001, "service restart"), "the close of the service")
    client = ended(rig.gateway, rf"class=client .* peer={front.source} ")
    upstream = ended(rig.gateway, rf"class=upstream .* id={client['partner']} ")
    for read, written, leg in ((front.up, back.up, client), (back.down, front.down, upstream)):
        sent, arrived = messages(read), messages(written)
        what = f"the messages of the leg {leg['class']}"
        same(arrived == sent[: len(arrived)], True, f"whether {what} arrived in order")
        same(len(arrived), int(leg["messages_in"]), f"{what} that arrived, of those that the gateway has read")
    return f"{client['messages_in']} up, {upstream['messages_in']} down"


def ended(gateway, pattern):
    """The fields of the line about the end of a leg."""
    line = until(PATIENCE, f"a line with {pattern}", lambda: gateway.find("close " + pattern)).string
    return dict(re.findall(r"(\w+)=(\S+)", line))


class Crowd(Programs):
    """socket.io behind a route with several upstreams, and a crowd of clients."""

    def __init__(self, upstreams, more):
        super().__init__()
        self.kind = kinds.SocketIo(PLACE)
        try:
            self.begin(upstreams, more)
        except BaseException:
            self.__exit__()
            raise

    def begin(self, upstreams, more):
        names = [f"service-{n}" for n in range(upstreams)]
        self.services = {name: self.start(self.kind.node("socketio_service.mjs", "polling", name)) for name in names}
        self.addresses = {name: f"127.0.0.1:{each.wait('listening')['listening']}" for name, each in self.services.items()}
        self.gateway = routed(self, self.addresses.values(), more, {})
        self.clients = self.start(self.kind.node("socketio_crowd.mjs"))

    def tell(self, **command):
        self.clients.tell(**command)

    def open(self, count, label, **more):
        self.tell(open={"url": f"http://{self.gateway.listen}", "count": count, "label": label, **more})

    def where(self):
        """How many clients each service has."""
        self.tell(where=True)
        return self.clients.wait("where")["where"]

    def complaints(self):
        """What no client and no service may see."""
        seen = [event for event in self.clients.events if event.keys() & {"error", "wrong", "late"}]
        return seen + [event for each in self.services.values() for event in each.events if "refused" in event]

    def has_opened(self, name, count):
        return len([event for event in self.services[name].events if "open" in event]) >= count

    def losses(self):
        return [event for event in self.clients.events if "lost" in event]


def crowd(upstreams, drains=None):
    """Polling, then the upgrade: each client speaks to one service all the time. One service drains when clients are connected, or
    are still on their way."""
    with Crowd(upstreams, kinds.SocketIo.route if upstreams > 1 else "") as rig:
        rig.open(100, "first")
        rig.clients.wait("ready")
        rig.open(100, "second")
        if drains == "connected":
            rig.clients.wait("ready")
        if drains:
            until(PATIENCE, "some of the second hundred", lambda: rig.has_opened("service-0", 55))
            rig.gateway.act("upstreams/drain", route="chat", upstream=rig.addresses["service-0"], spread_ms=1000)
        if drains != "connected":
            rig.clients.wait("ready")
        if drains:
            until(PATIENCE, "the end of the drain", lambda: rig.where() == {"service-1": 200})
        rig.tell(work=True)
        rig.clients.wait("worked")
        check_complaints(rig)
        strange = [loss for loss in rig.losses() if (loss["lost"], loss["code"]) != ("transport close", 1012)]
        same(strange, [], "other ends than the drain's")
        where = rig.where()
        same((sum(where.values()), len(where)), (200, 1 if drains else upstreams), "clients, and services in use")
        return ", ".join(f"{count} at {name}" for name, count in sorted(where.items())) + f", {len(rig.losses())} came back"


def check_complaints(rig):
    seen = rig.complaints()
    expect(not seen, f"{len(seen)} complaints, the first: {seen[:3]}")


def misled_crowd():
    """Without `sticky` the requests of one client reach both services, and the test says so."""
    with Crowd(2, "") as rig:
        rig.open(20, "misled")
        refused = until(PATIENCE, "Session ID unknown", rig.complaints)
        expect(any(each.get("code") == 1 for each in refused + rig.complaints()), f"another complaint: {refused[:3]}")


def retry():
    """1012 is not fatal to graphql-ws: its client comes back, and its subscription goes on."""
    with Rig(kinds.GraphQl) as rig:
        client = rig.client(retry=True)
        client.tell(tick=True)
        same(client.wait("tick")["tick"], 1, "the first event")
        rig.service.child.kill()
        rig.kind.client_saw(client, 1012, "upstream lost")
        rig.service, rig.back.target = rig.kind.start(rig)
        client.wait("open")
        until(PATIENCE, "the first event again", lambda: client.wait("tick")["tick"] == 1)
        rig.kind.works(client)
        expect(not any("gave_up" in event or "error" in event for event in client.events), f"the client saw {client.events[-3:]}")


def behind_haproxy():
    """TLS ends at HAProxy, with the file that we ship. Express is told of it, so it sets secure cookies."""
    with Rig(kinds.Express, PROXY_PROTOCOL="v2", TRUSTED_PROXIES="127.0.0.1", HEALTH_PATH="/healthz") as rig, tempfile.TemporaryDirectory() as place:
        port, stats = free_port(), os.path.join(place, "stats")
        proxy = haproxy(certificate(place), f"127.0.0.1:{port}", rig.gateway.listen, stats)
        rig.programs.append(proxy)
        until(PATIENCE, "HAProxy", lambda: proxy.alive() or os.path.exists(stats))
        through = express_answers(rig, f"https://127.0.0.1:{port}", {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "http"})
        told = check_told(rig)
        long_poll(rig, f"https://127.0.0.1:{port}")
        secure_socket(rig, port)
        # What a proxy would tell Express.
        rig.front.target = rig.back.target
        claims = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}
        direct = express_answers(rig, f"http://{rig.front.address}", claims)
        same(check_told(rig), told, "what Express was told")
        transcript.expect_equal(direct, through)
        return f"{len(direct)} lines"


# Where the client of HAProxy is.
CLIENT = "127.0.0.9"


def express_answers(rig, base, claims):
    client = rig.start(rig.kind.node("http_client.mjs"))
    seen = rig.kind.requests(client, base, {"Host": "app.example"} | claims, **{"from": CLIENT})
    login, first, second = seen[:3]
    cookies = [value for name, value in zip(login["fields"][::2], login["fields"][1::2]) if name.lower() == "set-cookie"]
    expect(any("theme=dark" in each and "; Secure" in each for each in cookies), f"no secure cookie: {cookies}")
    expect(any("connect.sid=" in each and "; Secure" in each for each in cookies), f"no cookie of the session: {cookies}")
    same([first["body"], second["body"]], ['{"visits":1}', '{"visits":2}'], "the session")
    return transcript.answers(seen)


def check_told(rig):
    """What Express was told of the last request."""
    told = [event for event in rig.service.events if "request" in event][-1]
    same((told["ip"], told["protocol"], told["secure"], told["host"]), (CLIENT, "https", True, "app.example"), "what Express was told")
    return told


def long_poll(rig, base):
    """A poll that takes longer than socket.io's, 25 s, is answered."""
    waiting, teller = (rig.start(rig.kind.node("http_client.mjs")) for _ in range(2))
    waiting.tell(ask={"url": f"{base}/poll"})
    since = time.monotonic()
    until(PATIENCE, "25 s", lambda: time.monotonic() > since + 25)
    expect(not waiting.events, f"the poll has ended early: {waiting.events}")
    teller.tell(ask={"url": f"{base}/tell", "method": "POST", "headers": {"Content-Type": "text/plain"}, "body": "news"})
    same(teller.wait("answer")["answer"], 204, "the answer to the news")
    answer = waiting.wait("answer")
    same((answer["answer"], answer["body"]), (200, "news"), "the answer to the poll")


def secure_socket(rig, port):
    peer = rig.start(rig.kind.client_command())
    peer.tell(open={"url": f"wss://127.0.0.1:{port}/socket", "headers": {"Host": "app.example"}})
    peer.wait("open")
    headers = rig.service.wait("open")["headers"]
    same((headers["x-forwarded-proto"], headers["x-forwarded-for"]), ("https", "127.0.0.1"), "what the socket was told")
    rig.kind.works(peer)
    peer.tell(close=[4001, "enough"])
    rig.kind.client_saw(peer, 4001, "enough")
    rig.kind.service_saw(rig.service, 4001, "enough")


def chromium():
    """A page with its WebSocket and a POST, under a host name that is not loopback."""
    with Rig(kinds.Express) as rig:
        host = "chat.example:" + rig.front.address.split(":")[1]
        through = page(rig, host)
        opened = rig.service.wait("open")["headers"]
        wanted = {"host": host, "origin": f"http://{host}", "x-forwarded-host": host, "x-forwarded-proto": "http"}
        same({name: opened.get(name) for name in wanted}, wanted, "what the socket was told")
        rig.begin()
        rig.front.target = rig.back.target
        transcript.expect_equal(page(rig, host, direct=True), through)
        return f"{len(through)} lines"


def page(rig, host, direct=False):
    """The transcript of the page."""
    browser = Browser("--host-resolver-rules=MAP chat.example 127.0.0.1")
    try:
        browser.go(f"http://{host}/page")
        look = lambda: (seen := browser.run("return seen")) and len(seen) == 3 and seen
        seen = until(PATIENCE, "the page's POST and WebSocket", look)
        wanted = {"post": [201, {"text": "hallo é"}], "message": "hallo é", "close": [4003, "enough", True]}
        same(seen, wanted, "what the page saw")
    finally:
        browser.close()
    taps = [rig.front] if direct else [rig.front, rig.back]
    return transcript.at_client(taps[0]) + transcript.at_service(taps[-1])


def cases():
    for kind in kinds.ALL:
        yield f"transcript: {kind.name}", lambda kind=kind: equal(kind)
    for kind in kinds.ALL:
        yield f"a frozen client: {kind.name}", lambda kind=kind: frozen_client(kind)
        yield f"a killed service: {kind.name}", lambda kind=kind: killed_service(kind)
        yield f"a drain: {kind.name}", lambda kind=kind: drained(kind, 20_000)
    for kind in (kinds.Ws, kinds.GraphQl):
        yield f"a drain, some messages of 120 KB: {kind.name}", lambda kind=kind: drained(kind, 120_000)
    for tap, way, who in (("front", "down", "client"), ("back", "up", "service")):
        for size in (20_000, 120_000):
            name = f"a drain, the {who} is behind, some messages of {size // 1000} KB: ws"
            yield name, lambda tap=tap, way=way, size=size: drained_behind(kinds.Ws, tap, way, size)
    yield "socket.io: 200 clients, one upstream", lambda: crowd(1)
    yield "socket.io: 200 clients, two upstreams, sticky", lambda: crowd(2)
    yield "socket.io: 200 clients, two upstreams, sticky, one drains", lambda: crowd(2, drains="connected")
    yield "socket.io: 200 clients, one upstream drains while they connect", lambda: crowd(2, drains="connecting")
    yield "socket.io: two upstreams without sticky: the crowd notices", misled_crowd
    yield "graphql-ws: a killed service comes back", retry
    yield "Express behind HAProxy", behind_haproxy
    yield "Chromium: chat.example", chromium


def main(names):
    chosen = [(name, case) for name, case in cases() if not names or any(each in name for each in names)]
    status = run_cases("services.py", chosen)
    if not names:
        print("allowed differences:", *transcript.allowed_differences(), sep="\n")
    return status


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    PULSEGATE, PLACE = os.path.abspath(sys.argv[1]), sys.argv[2]
    sys.exit(main(sys.argv[3:]))
