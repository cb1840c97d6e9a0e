#!/usr/bin/env python3
"""Real services behind the gateway, driven by their own clients.

  services.py PULSEGATE PLACE [NAME...]

run.sh prepares PLACE. Prints a line for each case, and the differences that are allowed between a
service alone and the same service behind the gateway. With NAMEs only the cases with one of them in
their names run. Exit: 0 all held; 1 something did not; 2 usage.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../bridge"), os.path.join(HERE, "../deploy")]
import alike  # noqa: E402
import crowd  # noqa: E402
import ends  # noqa: E402
import kinds  # noqa: E402
import rigs  # noqa: E402
import transcript  # noqa: E402
import web  # noqa: E402
from rig import run_cases  # noqa: E402

# On two cores, more of them would wait for each other.
AT_ONCE = 6


def cases():
    # It waits most of the time.
    yield "Express behind HAProxy", web.behind_haproxy
    for kind in kinds.ALL:
        yield f"transcript: {kind.name}", lambda kind=kind: alike.alike(kind)
    for kind in kinds.ALL:
        yield f"a frozen client: {kind.name}", lambda kind=kind: ends.frozen_client(kind)
        yield f"a killed service: {kind.name}", lambda kind=kind: ends.killed_service(kind)
        yield f"a drain: {kind.name}", lambda kind=kind: ends.drained(kind, 20_000)
    for kind in (kinds.Ws, kinds.GraphQl):
        yield f"a drain, some messages of 120 KB: {kind.name}", lambda kind=kind: ends.drained(
            kind, ends.LONG
        )
    for tap, way, side in (("front", "down", "client"), ("back", "up", "service")):
        for size in (20_000, ends.LONG):
            name = f"a drain, the {side} is behind, some messages of {size // 1000} KB: ws"
            yield name, lambda tap=tap, way=way, size=size: ends.drained_behind(
                kinds.Ws, tap, way, size
            )
    yield "socket.io: 200 clients, one upstream", lambda: crowd.crowd(1)
    yield "socket.io: 200 clients, two upstreams, sticky", lambda: crowd.crowd(2)
    yield "socket.io: 200 clients, two upstreams, sticky, one drains", lambda: crowd.crowd(
        2, drains="connected"
    )
    yield "socket.io: 200 clients, one upstream drains while they connect", lambda: crowd.crowd(
        2, drains="connecting"
    )
    yield "socket.io: two upstreams without sticky: the crowd notices", crowd.misled_crowd
    yield "graphql-ws: a killed service comes back", ends.retry
    yield "Chromium: chat.example", web.chromium


def main(names):
    chosen = [
        (name, case) for name, case in cases() if not names or any(each in name for each in names)
    ]
    status = run_cases("services.py", chosen, AT_ONCE)
    if not names:
        print("allowed differences:", *transcript.allowed_differences(), sep="\n")
    return status


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    rigs.set_up(sys.argv[1], sys.argv[2])
    sys.exit(main(sys.argv[3:]))
