#!/usr/bin/env python3
"""Services and clients that we did not write, through the bridge: `bridge.py PULSEGATE PLACE`. run.sh prepares PLACE.

Each case has a service, a gateway before it and one or more clients, all processes of their own. Cases run at once. Prints a line for each.
Exit: 0 all held; 1 something did not; 2 usage.
"""
import os, re, shutil, signal, sys, threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../deploy"))
from browser import Browser  # noqa: E402
from harness import expect, until  # noqa: E402
from rig import PATIENCE, Programs, run_cases, same  # noqa: E402

SERVICES = {
    "ws": ("node", "ws_service.mjs"),
    "ws, compressing": ("node", "ws_service.mjs", "deflate"),
    "websockets": ("python", "websockets_service.py"),
    "socket.io": ("node", "socketio_service.mjs"),
}
CLIENTS = {
    "ws": ("node", "ws_client.mjs"),
    "websockets": ("python", "websockets_client.py"),
    "socket.io": ("node", "socketio_client.mjs"),
}
# For the cases with ghosts. All others have time, however busy the machine is.
TIMEOUT_MS = 3_000
QUICK = {"CONNECTION_TIMEOUT_MS": str(TIMEOUT_MS), "UPSTREAM_CONNECTION_TIMEOUT_MS": str(TIMEOUT_MS)}


class Rig(Programs):
    """A service, a gateway before it, and clients. All end with it."""

    def __init__(self, service, **settings):
        super().__init__()
        try:
            self.begin(service, settings)
        except BaseException:
            # A service whose gateway did not start is not left behind.
            self.__exit__()
            raise

    def begin(self, service, settings):
        self.service = self.run(SERVICES[service])
        self.port = self.service.wait("listening")["listening"]
        self.gateway = self.start_gateway(PULSEGATE, UPSTREAM=f"http://127.0.0.1:{self.port}", **settings)

    def run(self, command):
        interpreter, script, *flags = command
        if interpreter == "python":
            return self.start([os.path.join(PLACE, "venv/bin/python"), os.path.join(HERE, script), *flags])
        # Node looks for a module's packages beside the module.
        return self.start([interpreter, os.path.join(PLACE, script), *flags])

    def client(self, name, path="/", **ask):
        """A client that has opened a WebSocket."""
        client = self.run(CLIENTS[name])
        client.tell(open={"url": f"ws://{self.gateway.listen}{path}", **ask})
        client.wait("open")
        return client


def echo(service, client):
    """All that a client and a service of different makes do with each other."""
    with Rig(service) as rig:
        peer = rig.run(CLIENTS[client])
        ask = {
            "url": f"ws://{rig.gateway.listen}/chat/room?x=%20a&y=1", "protocols": ["chat", "b"], "origin": "https://chat.example",
            "headers": {"Cookie": "a=b; c=d", "X-Forwarded-For": "192.0.2.9"},
        }
        peer.tell(open=ask)
        at_service, at_client = rig.service.wait("open"), peer.wait("open")
        same(at_service["open"], "/chat/room?x=%20a&y=1", "path and query")
        for name, value in {
            "host": rig.gateway.listen, "cookie": "a=b; c=d", "origin": "https://chat.example", "x-forwarded-for": "127.0.0.1",
            "x-forwarded-proto": "http", "x-forwarded-host": rig.gateway.listen, "sec-websocket-version": "13",
        }.items():
            same(at_service["headers"].get(name), value, name)
        same(at_client["open"], "b", "subprotocol")
        for name in ("set-cookie", "x-service"):
            expect(name in at_client["headers"], f"the client lacks {name}: {at_client}")
        compresses = "permessage-deflate" in at_client["extensions"]
        same(compresses, service != "ws", "whether messages are compressed")
        same("permessage-deflate" in at_service["extensions"], compresses, "whether the service compresses")
        peer.tell(text="hallo é")
        same(peer.wait("text")["text"], "hallo é", "text")
        peer.tell(binary=1_000_000)
        same(peer.wait("binary")["sha256"], peer.wait("sent")["sha256"], "a million bytes")
        peer.tell(ping="p1")
        same(peer.wait("pong")["pong"], "p1", "the pong")
        # Both libraries answer the gateway's pings.
        answered = lambda: [leg for leg in rig.gateway.api("connections")["connections"] if leg["rtt_us"] is not None]
        until(PATIENCE, "round-trip times of both legs", lambda: len(answered()) == 2)
        peer.tell(text="close 4002 said the service")
        for side in (peer, rig.service):
            same(side.wait("close")["close"], [4002, "said the service"], f"the close at {side.name}")
        peer.tell(open=ask)
        peer.wait("open"), rig.service.wait("open")
        peer.tell(close=[4001, "said the client"])
        for side in (peer, rig.service):
            same(side.wait("close")["close"], [4001, "said the client"], f"the close at {side.name}")
        peer.tell(open=ask | {"url": f"ws://{rig.gateway.listen}/private"})
        refused = peer.wait("refused")
        same((refused["refused"], refused["body"].strip()), (401, "who are you?"), "the refusal")
        same(refused["headers"]["www-authenticate"], 'Basic realm="chat"', "its challenge")
        ends = sorted((end["cause"], end["code"], end["by"], end["class"] or "none") for end in rig.gateway.closed(5))
        same(ends, [
            ("not_upgraded", "http_401", "upstream", "none"),
            ("partner_ended", "4001", "client", "upstream"), ("partner_ended", "4002", "upstream", "client"),
            ("peer_closed", "4001", "client", "client"), ("peer_closed", "4002", "upstream", "upstream"),
        ], "the records")


def socket_io():
    """socket.io, over WebSocket only: events, attachments, rooms, both ways to leave, and coming back by itself."""
    with Rig("socket.io") as rig:
        first, second = (rig.run(CLIENTS["socket.io"]) for _ in range(2))
        for peer in (first, second):
            peer.tell(open={"url": f"http://{rig.gateway.listen}"})
            peer.wait("open")
            opened = rig.service.wait("open")
            same((opened["query"]["room"], opened["auth"]), ("a b", {"token": "t"}), "query and auth")
            same(opened["headers"]["host"], rig.gateway.listen, "host")
            peer.tell(echo=300_000)
            same(peer.wait("echo")["echo"], True, "the echo")
        first.tell(tell="all of you")
        for peer in (first, second):
            same(peer.wait("told")["told"], "all of you", "the broadcast")
        second.tell(leave=True)
        same(second.wait("close")["close"][0], "io server disconnect", "what the client was told")
        same(rig.service.wait("close")["close"][0], "server namespace disconnect", "what the service saw")
        until(PATIENCE, "one pair", lambda: rig.gateway.api("connections?class=upstream")["matched"] == 1)
        rig.gateway.kick("upstream")
        same(first.wait("close")["close"][0], "transport close", "the end of the connection to the service")
        # It comes back by itself.
        first.wait("open"), rig.service.wait("open"), rig.service.wait("close")
        first.tell(echo=10)
        same(first.wait("echo")["echo"], True, "the echo afterwards")
        first.tell(close=True)
        same(rig.service.wait("close")["close"][0], "client namespace disconnect", "what the service saw")


def check_silence(text, prefix):
    silent = re.fullmatch(prefix + r"nothing heard for (\d+) ms.*", text)
    expect(silent, f"{text!r} says nothing of a silence")
    expect(int(silent[1]) >= TIMEOUT_MS, f"closed early, by its own words: {text}")


def ghost_client(service, client):
    """A client that stands still is found, and the service is told; the client finds out when it goes on."""
    with Rig(service, **QUICK) as rig:
        frozen, other = rig.client(client), rig.client("ws")
        frozen.signal(signal.SIGSTOP)
        code, reason = rig.service.wait("close")["close"]
        same(code, 1001, "the code for the service")
        check_silence(reason, "client lost: ")
        frozen.signal(signal.SIGCONT)
        code, reason = frozen.wait("close")["close"]
        expect(code in (3008, 1006), f"the client saw {code} {reason}")
        other.tell(text="still here")
        same(other.wait("text")["text"], "still here", "the other client")


def ghost_service(service, client):
    """A service that stands still, with one connection, is found, and the client may come back."""
    with Rig(service, **QUICK) as rig:
        peer = rig.client(client)
        rig.service.wait("open")
        rig.service.signal(signal.SIGSTOP)
        code, reason = peer.wait("close")["close"]
        same(code, 1012, "the code for the client")
        check_silence(reason, "upstream lost: ")
        rig.service.signal(signal.SIGCONT)
        code, reason = rig.service.wait("close")["close"]
        expect(code in (3008, 1006), f"the service saw {code} {reason}")
        peer.tell(open={"url": f"ws://{rig.gateway.listen}/"})
        peer.wait("open")


def lost_service(service, client):
    """A service that is killed takes no client with it: each is asked to come back."""
    with Rig(service) as rig:
        peer = rig.client(client)
        rig.service.signal(signal.SIGKILL)
        same(peer.wait("close")["close"], [1012, "upstream lost"], "the close")


def drain(service):
    """A gateway that is stopped asks all clients to come back, and tells the service that they go."""
    with Rig(service, DRAIN_MS="500") as rig:
        peers = [rig.client(client) for client in ("ws", "websockets", "ws")]
        rig.gateway.child.send_signal(signal.SIGTERM)
        for peer in peers:
            same(peer.wait("close")["close"], [1012, "service restart"], "the close")
        for _ in peers:
            same(rig.service.wait("close")["close"], [1001, "service restart"], "the close")
        same(rig.gateway.child.wait(PATIENCE), 0, "the gateway's exit code")


BROWSER_SCRIPT = """
const [url, last, done] = arguments, seen = [];
const ws = new WebSocket(url, ['chat', 'b']);
ws.onopen = () => { seen.push(ws.protocol, ws.extensions !== ''); ws.send('hallo é'); };
ws.onmessage = event => { seen.push(event.data); last ? ws.send(last) : window.kill(); };
ws.onclose = event => done([...seen, event.code, event.reason, event.wasClean]);
"""


def chromium():
    """A browser: subprotocol, compression, cookies, and the codes that it is told."""
    with Rig("ws, compressing") as rig:
        browser = Browser()
        try:
            # The service's own page, so that there is an origin.
            browser.go(f"http://127.0.0.1:{rig.port}/")
            url = f"ws://{rig.gateway.listen}/chat"
            seen = browser.wait(BROWSER_SCRIPT, url, "close 4003 enough")
            same(seen, ["b", True, "hallo é", 4003, "enough", True], "what the page saw")
            opened = rig.service.wait("open")["headers"]
            same(opened["origin"], f"http://127.0.0.1:{rig.port}", "origin")
            expect("Chrome" in opened["user-agent"], f"the user agent is {opened['user-agent']}")
            same(rig.service.wait("close")["close"], [4003, "enough"], "the close at the service")
            threading.Thread(target=lambda: (rig.service.wait("open"), rig.gateway.kick("client")), daemon=True).start()
            seen = browser.wait(BROWSER_SCRIPT.replace("window.kill()", "0"), url, "")
            same(seen[:3] + seen[3:4], ["b", True, "hallo é", 4000], "what the page saw of a kick")
        finally:
            browser.close()


def cases():
    for service in ("ws", "ws, compressing", "websockets"):
        for client in ("ws", "websockets"):
            yield f"{client} with {service}", lambda service=service, client=client: echo(service, client)
    yield "socket.io", socket_io
    for service, client in (("ws", "websockets"), ("websockets", "ws")):
        yield f"a ghost: {client}, before {service}", lambda service=service, client=client: ghost_client(service, client)
        yield f"a frozen service: {service}, with {client}", lambda service=service, client=client: ghost_service(service, client)
        yield f"a lost service: {service}, with {client}", lambda service=service, client=client: lost_service(service, client)
        yield f"a drain: {service}", lambda service=service: drain(service)
    if shutil.which("chromium") and shutil.which("chromedriver"):
        yield "chromium", chromium
    else:
        print("!!! LEFT OUT: chromium is not installed !!!")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    PULSEGATE, PLACE = os.path.abspath(sys.argv[1]), sys.argv[2]
    sys.exit(run_cases("bridge.py", cases()))
