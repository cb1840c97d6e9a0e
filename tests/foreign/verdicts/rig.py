"""One run: a gateway of its own, a device with a link of its own, and what came of the connection."""

import base64
import dataclasses
import hashlib
import hmac
import json
import os
import re
import signal
import threading
import time
import urllib.parse

from clients import Browser, Page, RustClient, is_stopped, page_address
from harness import Broken, Process, expect, free_port, get, until
from network import CORE, Namespace
from proxy import haproxy

# The longest time that a step of a run may take on a loaded machine, in s.
PATIENCE = 30
# The longest time of a try of a client, in ms.
OPEN_MS = 3_000
SECRET = "a-secret-of-this-test-and-no-other"


@dataclasses.dataclass
class Column:
    """A column of the results: which client, whose evidence, and what is in front."""

    name: str
    title: str
    is_page: bool = False
    has_reports: bool = True
    is_proxied: bool = False


COLUMNS = [
    Column("rust", "Rust client, evidence of both sides"),
    Column("gateway", "evidence of the gateway alone", has_reports=False),
    Column("chromium", "Chromium, evidence of both sides", is_page=True),
    Column("rust-haproxy", "Rust client behind HAProxy", is_proxied=True),
    Column("gateway-haproxy", "the gateway alone behind HAProxy", has_reports=False, is_proxied=True),
    Column("chromium-haproxy", "Chromium behind HAProxy", is_page=True, is_proxied=True),
]


@dataclasses.dataclass
class Lab:
    """What all runs share."""

    binary: str
    program: str
    network: object
    service: object
    certificate: str
    plain_config: str
    place: str
    seats: object
    lateness: object


class Seat:
    """A device on which runs take place one after the other: a namespace, a link, and a browser if it is needed."""

    def __init__(self, lab):
        self.space = Namespace()
        self.link = lab.network.link(self.space)
        self.own_browser = None

    def browser(self):
        if self.own_browser is None or self.own_browser.child.poll() is not None:
            self.own_browser = Browser(self.space)
        return self.own_browser

    def stop(self):
        if self.own_browser:
            self.own_browser.stop()
        self.space.stop()


class Run:
    """`truths` are the names of what was really done, and `proofs` what shows that it was."""

    def __init__(self, lab, seat, column, number, rng):
        self.lab, self.seat, self.column, self.rng = lab, seat, column, rng
        self.path = f"/run{number}"
        self.link, self.space = seat.link, seat.space
        self.truths, self.proofs, self.things = [], [], []
        self.second = None
        # Heartbeats are late after half of the interval. By then the kernel must have sent a lost one again twice (0.8 s).
        self.interval_ms = rng.randint(2_400, 3_000)
        self.timeout_ms = int(self.interval_ms * rng.uniform(2.9, 3.3))
        self.talk_ms = rng.choice([0, 0, 500, 1_500])
        self.is_plain = not column.has_reports and rng.random() < 0.5
        self.conn = self.address = self.gateway = None

    # ---- the set-up

    def start_gateway(self, relay=False, **settings):
        where = "127.0.0.1" if self.column.is_proxied else CORE
        served = {} if relay else {"UPSTREAM": f"http://127.0.0.1:{self.lab.service.port}"}
        if relay:
            served["AUTH_JWT_SECRET"] = SECRET
        if self.column.is_proxied:
            served |= {"PROXY_PROTOCOL": "v2", "TRUSTED_PROXIES": "127.0.0.1"}
            served |= {} if relay else {"HEALTH_PATH": "/healthz"}
        self.gateway = Process(
            "gateway", [self.lab.binary], LISTEN_ADDR=f"{where}:0", ADMIN_ADDR="127.0.0.1:0", PULSE="1", DRAIN_MS="0", DRAIN_DELAY_MS="0",
            CLIENT_REPORTS="keep" if self.column.has_reports else "off", LOG_LEVEL="info", HEARTBEAT_INTERVAL_MS=str(self.interval_ms),
            CONNECTION_TIMEOUT_MS=str(self.timeout_ms), **(served | settings),
        )  # fmt: skip
        self.things.append(self.gateway)
        start = until(PATIENCE, "the gateway starts", lambda: self.gateway.alive() or self.gateway.find(r"\bstart .*"))[0]
        listen, admin = (re.search(rf"\b{name}=([\d.]+:\d+)", start)[1] for name in ("listen", "admin"))
        self.admin, self.front = f"http://{admin}", address_of(listen)
        if self.column.is_proxied:
            self.front = self.start_proxy(listen)

    def start_proxy(self, listen):
        """HAProxy with the file that is shipped. The Rust client speaks no TLS, so its HAProxy does not, either."""
        stats, port = os.path.join(self.lab.place, f"stats{id(self)}"), free_port()
        config = {} if self.column.is_page else {"config": self.lab.plain_config}
        proxy = haproxy(self.lab.certificate, f"{CORE}:{port}", listen, stats, **config)
        self.things.append(proxy)
        until(PATIENCE, "HAProxy starts", lambda: proxy.alive() or os.path.exists(stats))
        return CORE, port

    def connect(self, space=None, front=None, path=None, talk_ms=None, browser=None, earlier=None):
        """A client that is open."""
        path = path or self.path
        talk_ms = self.talk_ms if talk_ms is None else talk_ms
        if self.column.is_page:
            client = self.page(browser or self.seat.browser(), front or self.front, path, talk_ms)
        else:
            wishes = {"talk_ms": talk_ms, "open_ms": OPEN_MS, "net": "wifi"}
            wishes |= {"plain": 1} if self.is_plain else {}
            wishes |= {"earlier": earlier} if earlier else {}
            client = RustClient(self.lab.program, space or self.space, front or self.front, path, wishes)
        self.things.append(client)
        client.wait(PATIENCE, "open")
        return client

    def page(self, browser, front, path, talk_ms):
        tls = "s" if self.column.is_proxied else ""
        client = "http%s://%s:%d/.well-known/pulsegate/pulse.js" % (tls, *self.front)
        service = f"http://{CORE}:{self.lab.service.port}"
        return Page(browser, page_address(service, "ws%s://%s:%d%s" % (tls, *front, path), client, not self.is_plain, talk_ms))

    def watch(self, client):
        """The end of this client's present connection is the one that is judged."""
        self.conn = client.find("open")["conn"].partition(".")[2]
        expect(self.is_plain or self.conn, "a pulse client without an id")

    def begin(self, **settings):
        """The usual beginning: a gateway, and a client that has been open for a while."""
        self.start_gateway(**settings)
        client = self.connect()
        self.watch(client)
        self.settle()
        return client

    def settle(self):
        self.wait(self.interval_ms / 1000 * self.rng.uniform(1.1, 2.2))
        if self.second:
            self.second.start(self)

    def back(self, client, seen):
        """Waits until a client is connected again, and can report. A plain one may need a minute to notice, and reports nothing."""
        if self.is_plain:
            self.ended(self.timeout + PATIENCE)
        else:
            client.back(2 * PATIENCE, seen)

    # ---- time

    @property
    def timeout(self):
        return self.timeout_ms / 1000

    @property
    def moved(self):
        """By how much a stall of the gateway moves its timeout, in s."""
        return self.second.seconds if self.second and self.second.kind == "stall" else 0

    @staticmethod
    def wait(seconds):
        time.sleep(seconds)

    # ---- what is done to the gateway

    def stop_gateway(self):
        self.gateway.child.send_signal(signal.SIGSTOP)
        until(5, "the gateway is stopped", lambda: is_stopped(self.gateway.child.pid))

    def let_gateway_go_on(self):
        self.gateway.child.send_signal(signal.SIGCONT)
        until(PATIENCE, "the gateway says that it stalled", lambda: self.gateway.find(r"loop stalled"))

    # ---- what came of it

    def record(self):
        """What the gateway has recorded of the watched connection, or None."""
        found = get(f"{self.admin}/api/v1/closed?limit=1000", PATIENCE)["closed"]
        mine = [each for each in found if each["class"] in ("client", "glasses")]
        if self.conn:
            return next((each for each in mine if each["id"] == self.conn), None)
        return mine[-1] if mine else None

    def ended(self, seconds=PATIENCE):
        return until(seconds, "the gateway has recorded the end", self.record)

    def verdict(self):
        """The record with its last verdict. A report may still be on its way."""
        self.ended()
        if self.column.has_reports:
            patience = time.monotonic() + 4
            while time.monotonic() < patience and self.record().get("evidence") == "gateway":
                self.wait(0.2)
        return self.record()

    def said(self, pattern):
        return [line for line in list(self.gateway.lines) if re.search(pattern, line)] if self.gateway else []

    def was_disturbed(self):
        """Whether the gateway stalled although that is none of the faults."""
        return "gateway_stall" not in self.truths and bool(self.said("loop stalled"))

    def prove(self, held, what):
        """What shows that the fault was really there."""
        expect(held, f"not injected: {what}")
        self.proofs.append(what)

    def stop(self):
        for thing in reversed(self.things):
            try:
                thing.stop()
            except (Broken, OSError):
                pass
        self.link.restore()


class Second:
    """A second fault, beside the first one."""

    KINDS = {"stall": "gateway_stall", "sleep": "app_frozen", "cut": "outage"}

    def __init__(self, kind, delay, seconds):
        self.kind, self.delay, self.seconds, self.error = kind, delay, seconds, None
        self.thread = None

    def start(self, run):
        run.truths.append(self.KINDS[self.kind])
        self.thread = threading.Thread(target=self.play, args=(run,), daemon=True)
        self.thread.start()

    def play(self, run):
        time.sleep(self.delay)
        client = next(thing for thing in run.things if isinstance(thing, (RustClient, Page)))
        begin, end = {
            "stall": (run.stop_gateway, run.let_gateway_go_on),
            "sleep": (client.stop_running, client.go_on),
            "cut": (run.link.cut, run.link.mend),
        }[self.kind]
        try:
            begin()
            time.sleep(self.seconds)
            end()
        except (Broken, OSError) as error:
            self.error = error

    def finish(self):
        if self.thread:
            self.thread.join()


def address_of(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def token(user):
    """A JSON Web Token of a user of the relay."""
    part = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    text = part(b'{"alg":"HS256"}') + b"." + part(json.dumps({"email": user}).encode())
    signature = part(hmac.new(SECRET.encode(), text, hashlib.sha256).digest())
    return urllib.parse.quote((text + b"." + signature).decode())
