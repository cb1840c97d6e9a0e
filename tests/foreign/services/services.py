#!/usr/bin/env python3
"""Real services behind the gateway, driven by their own clients: `services.py PULSEGATE PLACE [NAME...]`. run.sh prepares PLACE.

Cases run a few at a time. Prints a line for each, and the differences that are allowed. With NAMEs only the cases with one of them in
their names run. Exit: 0 all held; 1 something did not; 2 usage.
"""
import os, re, signal, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../bridge"), os.path.join(HERE, "../deploy")]
import kinds  # noqa: E402
import transcript  # noqa: E402
from harness import expect, until  # noqa: E402
from rig import PATIENCE, Programs, run_cases, same  # noqa: E402
from tap import CLOSE, Tap  # noqa: E402

# For the cases with ghosts. All others have time, however busy the machine is.
TIMEOUT_MS = 3_000
QUICK = {"CONNECTION_TIMEOUT_MS": str(TIMEOUT_MS), "UPSTREAM_CONNECTION_TIMEOUT_MS": str(TIMEOUT_MS)}


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
        self.gateway = self.start_gateway(PULSEGATE, UPSTREAM=f"http://{self.back.address}", **self.settings)
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


def drained(kind):
    """The gateway is stopped while messages flood in both directions: whole messages, in order, and then the close."""
    with Rig(kind, DRAIN_MS="500") as rig:
        clients = [rig.client() for _ in range(2)]
        for client in clients:
            client.tell(flood=True)
        flows = lambda: all(len(e.up) > 100 and len(e.down) > 100 for tap in (rig.front, rig.back) for e in tap.upgrades())
        until(PATIENCE, "messages in both directions", flows)
        rig.gateway.child.send_signal(signal.SIGTERM)
        same(rig.gateway.child.wait(PATIENCE), 0, "the gateway's exit code")
        rig.gateway.reader.join(PATIENCE)
        return " and ".join(check_flood(rig, pair) for pair in zip(rig.front.upgrades(), rig.back.upgrades()))


def check_flood(rig, pair):
    front, back = pair
    same(closed(front.down, "the client"), (1012, "service restart"), "the close of the client")
    same(closed(back.up, "the service"), (1001, "service restart"), "the close of the service")
    counts = []
    for read, written, leg in ((front.up, back.up, "client"), (back.down, front.down, "upstream")):
        sent, arrived = messages(read), messages(written)
        same(arrived == sent[: len(arrived)], True, f"whether the messages of the {leg} arrived in order")
        counts.append(len(arrived))
    return f"{counts[0]} up, {counts[1]} down"


def cases():
    for kind in kinds.ALL:
        yield f"transcript: {kind.name}", lambda kind=kind: equal(kind)
    for kind in kinds.ALL:
        yield f"a frozen client: {kind.name}", lambda kind=kind: frozen_client(kind)
        yield f"a killed service: {kind.name}", lambda kind=kind: killed_service(kind)
        yield f"a drain: {kind.name}", lambda kind=kind: drained(kind)


def main(names):
    chosen = [(name, case) for name, case in cases() if not names or any(each in name for each in names)]
    status = run_cases("services.py", chosen)
    print("allowed differences:", *transcript.allowed_differences(), sep="\n")
    return status


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    PULSEGATE, PLACE = os.path.abspath(sys.argv[1]), sys.argv[2]
    sys.exit(main(sys.argv[3:]))
