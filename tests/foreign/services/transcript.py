"""What a client and a service get of each other, and what a gateway between them may change."""

import difflib, hashlib, re, zlib

from harness import expect
from tap import CLOSE, FIN, PING, RSV1, Exchange, Message

# What may differ between a service alone and the same service behind the gateway.
ALLOWED = {
    "date": "the client gets: the field Date",
    "answer-hop": "the client gets: Connection and Keep-Alive of an answer that is no 101",
    "accept": "the client gets: the value of Sec-WebSocket-Accept, if it is right for its key",
    "upgrade": "the client gets: upper and lower case in the value of Upgrade",
    "sticky": "the client gets: the Set-Cookie of a route with `sticky`",
    "client-pings": "the client gets: pings with eight letters from a to p, the gateway's",
    "request-hop": "the service gets: Connection and Keep-Alive of a request without Upgrade",
    "expect": "the service gets: Expect: 100-continue, which the gateway answers",
    "forwarded": "the service gets: X-Forwarded-For, -Proto and -Host, which are checked apart",
    "id": "the service gets: X-Pulsegate-Connection",
    "key": "the service gets: the value of Sec-WebSocket-Key, which is random",
    "sticky-back": "the service gets: the cookie of a route with `sticky`",
    "service-pings": "the service gets: pings with eight letters from a to p, the gateway's",
    "race": "both get: the close frames of mosquitto. At MQTT's DISCONNECT it ends the stream, and "
    "whether it has got the client's close frame by then is a race",
    "made-up": "both get: ids that are made up: sid and t of socket.io, connect.sid of Express",
    "order": "both get: the order of fields with different names, and the case of names",
}
needed = dict.fromkeys(ALLOWED, 0)

MADE_UP = [
    (re.compile(r'("sid":")[\w-]{20}'), r"\1<sid>"),
    (re.compile(r"(\b(?:sid|io)=)[\w-]{20}"), r"\1<sid>"),
    (re.compile(r"([?&]t=)[\w.-]+"), r"\1<t>"),
    (re.compile(r"(connect\.sid=)s%3A[\w%.-]+"), r"\1<sid>"),
]
FORWARDED = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")


def allow(name):
    needed[name] += 1
    return None


def plain(text):
    """The text without what was made up."""
    for pattern, instead in MADE_UP:
        text, count = pattern.subn(instead, text)
        needed["made-up"] += count
    return text


def content(data):
    """Bytes, or what they are known by if they are many."""
    if len(data) > 2_000:
        return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}"
    return plain(data.decode() if data.isascii() and b"\0" not in data else repr(data))


def inflated(seen, keeps_context):
    """The frames with what compressed ones hold: ids that are made up look different in each."""
    inflate, is_compressed = zlib.decompressobj(-15), False
    for first, payload in seen:
        if not first & 8:
            is_compressed = bool(first & RSV1) if first & 15 else is_compressed
            if is_compressed:
                payload = inflate.decompress(payload + (b"\0\0\xff\xff" if first & FIN else b""))
                if first & FIN and not keeps_context:
                    inflate = zlib.decompressobj(-15)
        yield first, payload


def frames(exchange, seen, pings, closes):
    side = "client" if seen is exchange.up else "server"
    extensions = exchange.answer.field("sec-websocket-extensions") if exchange.answer else ""
    for first, payload in inflated(seen, f"{side}_no_context_takeover" not in extensions):
        if first & 15 == CLOSE and not closes:
            allow("race")
        elif first == FIN | PING and re.fullmatch(rb"[a-p]{8}", payload):
            allow(pings)
        else:
            yield f"    frame {first:#04x} {content(payload)}"


def answer_value(exchange, name, value):
    """The value of an answer's field as it is compared; None if the field is not."""
    if name == "date":
        return allow("date")
    if name in ("connection", "keep-alive") and not exchange.is_upgraded:
        return allow("answer-hop")
    if name == "sec-websocket-accept" and exchange.accept_is_right():
        allow("accept")
        return "<right>"
    if name == "upgrade" and value != value.lower():
        allow("upgrade")
        return value.lower()
    if name == "set-cookie" and value.startswith("lb="):
        return allow("sticky")
    return plain(value)


def request_value(exchange, name, value):
    """The value of a request's field as it is compared; None if the field is not."""
    if name in ("connection", "keep-alive") and not exchange.request.field("upgrade"):
        return allow("request-hop")
    if name == "cookie" and "lb=" in value:
        allow("sticky-back")
        value = "; ".join(each for each in value.split("; ") if not each.startswith("lb="))
        return plain(value) if value else None
    if name == "expect" and value == "100-continue":
        return allow("expect")
    if name == "x-pulsegate-connection":
        return allow("id")
    if name in FORWARDED:
        return allow("forwarded")
    if name == "sec-websocket-key" and len(value) == 24:
        allow("key")
        return "<key>"
    return plain(value)


def head(exchange, message, value_of):
    yield f"    {plain(message.first)}"
    values = [(name, value_of(exchange, name, value)) for name, value in message.fields]
    kept = [(name, value) for name, value in values if value is not None]
    in_order = sorted(kept, key=lambda field: field[0])
    needed["order"] += in_order != kept
    for name, value in in_order:
        yield f"    {name}: {value}"
    if message.body:
        yield f"    body {content(message.body)}"


def sorted_exchanges(tap):
    """Sorted by request, because requests under way at the same time have no order."""
    key = lambda exchange: plain(exchange.request.first)
    with tap.lock:
        return sorted(tap.exchanges, key=key)


def at_client(tap, closes=True):
    lines = []
    for exchange in sorted_exchanges(tap):
        lines.append(f"the client gets for {plain(exchange.request.first)}")
        lines += [f"    {first}" for first in exchange.interim]
        if exchange.answer:
            lines += head(exchange, exchange.answer, answer_value)
        lines += frames(exchange, exchange.down, "client-pings", closes)
    return lines


def at_service(tap, closes=True):
    lines = []
    for exchange in sorted_exchanges(tap):
        lines.append(f"the service gets {plain(exchange.request.first)}")
        lines += head(exchange, exchange.request, request_value)
        lines += frames(exchange, exchange.up, "service-pings", closes)
    return lines


def answers(seen):
    """The answers that a client on Node's own HTTP has printed."""
    lines = []
    for each in seen:
        answer = Message.of(
            f"HTTP/1.1 {each['answer']} {each['text']}", each["fields"], each["body"]
        )
        exchange = Exchange(None, None)
        exchange.answer = answer
        lines += head(exchange, answer, answer_value)
    return lines


def expect_equal(direct, through):
    """Shows both transcripts, and where they differ, unless they are equal."""
    if direct == through:
        return
    changes = difflib.unified_diff(
        direct, through, "direct", "through the gateway", lineterm="", n=2
    )
    shown = [
        "the transcripts differ:",
        *changes,
        "--- all of the direct one",
        *direct,
        "--- all of the other one",
        *through,
    ]
    expect(False, "\n".join(shown))


def allowed_differences():
    """The list, with how often each was needed."""
    return [f"  {text} ({needed[name]} times)" for name, text in ALLOWED.items()]
