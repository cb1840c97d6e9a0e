"""Express behind HAProxy, and its page in Chromium."""

import os
import tempfile
import time

import kinds
import transcript
from alike import record
from browser import Browser
from harness import expect, free_port, until
from proxy import certificate, haproxy
from rig import PATIENCE, same
from rigs import Rig

# Where the client of HAProxy is.
CLIENT = "127.0.0.9"


def behind_haproxy():
    """TLS ends at HAProxy with the file that we ship. Express is told, and sets secure cookies."""
    settings = {"PROXY_PROTOCOL": "v2", "TRUSTED_PROXIES": "127.0.0.1", "HEALTH_PATH": "/healthz"}
    with Rig(kinds.Express, **settings) as rig, tempfile.TemporaryDirectory() as place:
        port, stats = free_port(), os.path.join(place, "stats")
        proxy = haproxy(certificate(place), f"127.0.0.1:{port}", rig.gateway.listen, stats)
        rig.programs.append(proxy)
        until(PATIENCE, "HAProxy", lambda: proxy.alive() or os.path.exists(stats))
        base = f"https://127.0.0.1:{port}"
        # What the client says of itself is not believed.
        lies = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "http"}
        through = express_answers(rig, base, lies)
        told = last_told(rig)
        long_poll(rig, base)
        secure_socket(rig, port)
        # What a proxy would tell Express.
        rig.front.target = rig.back.target
        claims = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}
        direct = express_answers(rig, f"http://{rig.front.address}", claims)
        same(last_told(rig), told, "what Express was told")
        transcript.expect_equal(direct, through)
        return f"{len(direct)} lines"


def express_answers(rig, base, claims):
    client = rig.start(rig.kind.node("http_client.mjs"))
    seen = rig.kind.requests(client, base, {"Host": "app.example"} | claims, **{"from": CLIENT})
    login, first, second = seen[:3]
    fields = zip(login["fields"][::2], login["fields"][1::2])
    cookies = [value for name, value in fields if name.lower() == "set-cookie"]
    for name in ("theme", "connect.sid"):
        is_secure = any(each.startswith(f"{name}=") and "; Secure" in each for each in cookies)
        expect(is_secure, f"no secure cookie {name}: {cookies}")
    same([first["body"], second["body"]], ['{"visits":1}', '{"visits":2}'], "the session")
    return transcript.answers(seen)


def last_told(rig):
    """What Express was told of the last request."""
    told = [event for event in rig.service.events if "request" in event][-1]
    seen = [told[name] for name in ("ip", "protocol", "secure", "host")]
    same(seen, [CLIENT, "https", True, "app.example"], "what Express was told")
    return told


def long_poll(rig, base):
    """A poll that takes longer than socket.io's, 25 s, is answered."""
    waiting, teller = (rig.start(rig.kind.node("http_client.mjs")) for _ in range(2))
    waiting.tell(ask={"url": f"{base}/poll"})
    since = time.monotonic()
    until(PATIENCE, "25 s", lambda: time.monotonic() > since + 25)
    expect(not waiting.events, f"the poll has ended early: {waiting.events}")
    teller.tell(
        ask={
            "url": f"{base}/tell",
            "method": "POST",
            "headers": {"Content-Type": "text/plain"},
            "body": "news",
        }
    )
    same(teller.wait("answer")["answer"], 204, "the answer to the news")
    answer = waiting.wait("answer")
    same((answer["answer"], answer["body"]), (200, "news"), "the answer to the poll")


def secure_socket(rig, port):
    peer = rig.start(rig.kind.client_command())
    peer.tell(open={"url": f"wss://127.0.0.1:{port}/socket", "headers": {"Host": "app.example"}})
    peer.wait("open")
    headers = rig.service.wait("open")["headers"]
    same(
        (headers["x-forwarded-proto"], headers["x-forwarded-for"]),
        ("https", "127.0.0.1"),
        "what the socket was told",
    )
    rig.kind.works(peer)
    peer.tell(close=[4001, "enough"])
    rig.kind.client_saw(peer, 4001, "enough")
    rig.kind.service_saw(rig.service, 4001, "enough")


def chromium():
    """A page with its WebSocket and a POST, under a host name that is not loopback."""
    with Rig(kinds.Express) as rig:
        host = "chat.example:" + rig.front.address.split(":")[1]
        direct = record(rig, direct=True, talk=lambda *_: page(host))
        through = record(rig, direct=False, talk=lambda *_: page(host))
        opened = rig.service.wait("open")["headers"]
        same((opened["host"], opened["origin"]), (host, f"http://{host}"), "host and origin")
        transcript.expect_equal(direct, through)
        return f"{len(through)} lines"


def page(host):
    """Opens the page, which says what it has seen."""
    browser = Browser("--host-resolver-rules=MAP chat.example 127.0.0.1")
    try:
        browser.go(f"http://{host}/page")
        look = lambda: (seen := browser.run("return seen")) and len(seen) == 3 and seen
        seen = until(PATIENCE, "the page's POST and WebSocket", look)
    finally:
        browser.close()
    post, message, close = seen["post"], seen["message"], seen["close"]
    same(post, [201, {"text": "hallo é"}], "the POST")
    same((message, close), ("hallo é", [4003, "enough", True]), "the WebSocket")
