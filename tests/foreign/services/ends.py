"""How connections end: a frozen client, a killed service, and drains with messages under way."""

import re
import signal

import kinds
from harness import expect, until
from rig import PATIENCE, same
from rigs import Rig
from tap import CLOSE

# For the cases with ghosts. All others have time, however busy the machine is.
TIMEOUT_MS = 3_000
QUICK = {
    "CONNECTION_TIMEOUT_MS": str(TIMEOUT_MS),
    "UPSTREAM_CONNECTION_TIMEOUT_MS": str(TIMEOUT_MS),
}


def close_frame(frames):
    """The code and the reason of the close frame that has passed, if one has."""
    for first, payload in list(frames):
        if first & 15 == CLOSE:
            return int.from_bytes(payload[:2], "big"), payload[2:].decode()
    return None


def closed(frames, side):
    return until(PATIENCE, f"a close frame for {side}", lambda: close_frame(frames))


def check_silence(text, prefix):
    silent = re.fullmatch(prefix + r"nothing heard for (\d+) ms.*", text)
    expect(silent, f"{text!r} says nothing of a silence")
    expect(int(silent[1]) >= TIMEOUT_MS, f"closed early, by its own words: {text}")


def frozen_client(kind):
    """A client that stands still is found, and the service is told. Another client goes on."""
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


def size_on_wire(payload, is_masked):
    extended = 0 if payload <= 125 else 2 if payload < 65536 else 8
    return 2 + extended + (4 if is_masked else 0) + payload


def whole_within(frames, head, read, is_masked):
    """How many messages end within the first `read` bytes of a stream that begins with a head."""
    at, whole = head.size, 0
    for first, payload in list(frames):
        at += size_on_wire(len(payload), is_masked)
        if at > read or first & 15 == CLOSE:
            break
        whole += first & 0x80 and not first & 8 and 1
    return whole


def bytes_read(gateway):
    """What the gateway has read of both legs of each pair, in bytes, by the client's address."""
    rows = lambda leg: gateway.api(f"connections?class={leg}")["connections"]
    upstreams = {row["id"]: row["bytes_in"] for row in rows("upstream")}
    return {
        row["peer"]: (row["bytes_in"], upstreams[row["partner"]])
        for row in rows("client")
        if row["partner"] in upstreams
    }


# The size of messages that the gateway passes on before it has all of them.
LONG = 120_000

# The taps are slow, so there is time for what is under way.
DRAIN = {"DRAIN_MS": "500", "CLOSE_TIMEOUT_MS": "20000"}


def drained(kind, size):
    """The gateway is stopped while messages flood in both directions: all messages that it has read
    arrive, in order, and then the close."""
    with Rig(kind, **DRAIN) as rig:
        for client in [rig.client() for _ in range(2)]:
            client.tell(flood=size)
        flows = lambda: all(
            len(e.up) > 100 and len(e.down) > 100
            for tap in (rig.front, rig.back)
            for e in tap.upgrades()
        )
        until(PATIENCE, "messages in both directions", flows)
        read = bytes_read(rig.gateway)
        rig.gateway.child.send_signal(signal.SIGTERM)
        return check_drain(rig, read)


def drained_behind(kind, tap, way, size):
    """The same while one side reads nothing. It goes on when the drain has begun."""
    with Rig(kind, **DRAIN | {"DRAIN_MS": "0"}) as rig:
        rig.client().tell(flood=size)
        takes = getattr(rig, tap).takes[way]
        until(PATIENCE, "messages", lambda: len(rig.back.upgrades()[0].down) > 10)
        takes.clear()
        leg = "client" if way == "down" else "upstream"
        waits = lambda: any(
            each["pending_bytes"]
            for each in rig.gateway.api(f"connections?class={leg}")["connections"]
        )
        until(PATIENCE, f"bytes that wait for the {leg}", waits)
        read = bytes_read(rig.gateway)
        rig.gateway.child.send_signal(signal.SIGTERM)
        until(PATIENCE, "the drain", lambda: rig.gateway.find("signal effect=drain"))
        takes.set()
        return check_drain(rig, read)


def check_drain(rig, read):
    same(rig.gateway.child.wait(PATIENCE), 0, "the gateway's exit code")
    rig.gateway.reader.join(PATIENCE)
    return " and ".join(
        check_flood(rig, pair, read) for pair in zip(rig.front.upgrades(), rig.back.upgrades())
    )


def check_flood(rig, pair, read):
    """Both sides get their close behind all whole messages that the gateway has read. `read`: the
    bytes that it had read before the drain."""
    front, back = pair
    same(closed(front.down, "the client"), (1012, "service restart"), "the close of the client")
    same(closed(back.up, "the service"), (1001, "service restart"), "the close of the service")
    ended = ended_pair(rig.gateway, front.source)
    legs = (
        (front.up, back.up, "up", front.request, front, True),
        (back.down, front.down, "down", back.answer, back, False),
    )
    for leg, (source, sink, way, head, exchange, is_masked) in enumerate(legs):
        sent, arrived = messages(source), messages(sink)
        what = f"the messages {way}"
        same(arrived == sent[: len(arrived)], True, f"whether {what} arrived in order")
        # A long message counts from its head on, and none is begun that the close would cut.
        same(len(arrived), int(ended[f"messages_{way}"]), f"how many of {what} arrived")
        if exchange.is_first and front.source in read:
            owed = whole_within(source, head, read[front.source][leg], is_masked)
            expect(len(arrived) >= owed, f"{len(arrived)} of {what} arrived, {owed} were read")
    return f"{ended['messages_up']} up, {ended['messages_down']} down"


def ended_pair(gateway, peer):
    """The fields of the line about the end of the pair of this client."""
    look = lambda: gateway.find(rf"\bpair .* peer={re.escape(str(peer))} ")
    line = until(PATIENCE, f"the end of the pair of {peer}", look).string
    return dict(re.findall(r"(\w+)=(\S+)", line))


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
        expect(
            not any("gave_up" in event or "error" in event for event in client.events),
            f"the client saw {client.events[-3:]}",
        )
