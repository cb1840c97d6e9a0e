"""The same conversation with a service directly and through the gateway."""

import transcript
from harness import until
from rig import PATIENCE, same
from rigs import Rig


def alike(kind):
    """Each side gets from the other one what it gets without a gateway."""
    with Rig(kind) as rig:
        for _ in range(rig.kind.tries):
            direct, through = record(rig, direct=True), record(rig, direct=False)
            if direct == through:
                break
        transcript.expect_equal(direct, through)
        return f"{len(direct)} lines"


def record(rig, direct, talk=None):
    """The transcript of a conversation with a new service."""
    rig.begin()
    taps = [rig.front, rig.back]
    if direct:
        rig.front.target, taps = rig.back.target, [rig.front]
    (talk or rig.kind.talk)(rig, rig.front.address)
    for tap in taps:
        are_over = lambda tap=tap: all(exchange.is_over for exchange in tap.upgrades())
        until(PATIENCE, "the end of the WebSockets", are_over)
    if not direct:
        check_told(rig.back)
    closes = rig.kind.closes_alike
    return transcript.at_client(taps[0], closes) + transcript.at_service(taps[-1], closes)


def check_told(tap):
    """Each request says where the client is."""
    for request in [exchange.request for exchange in tap.exchanges]:
        told = [request.field(name) for name in transcript.FORWARDED]
        same(told, ["127.0.0.1", "http", request.field("host")], "what the service was told")
