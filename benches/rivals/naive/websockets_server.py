"""The naive monitor on PyPI `websockets`: a dict of when each peer was heard, one sweep an interval that pings all peers,
and terminates those that were silent for the timeout.

    websockets_server.py PORT INTERVAL_MS TIMEOUT_MS
"""

import asyncio
import sys
import time

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

PORT, INTERVAL, TIMEOUT = int(sys.argv[1]), int(sys.argv[2]) / 1000, int(sys.argv[3]) / 1000
heard = {}


async def live(socket):
    heard[socket] = time.monotonic()
    try:
        async for _ in socket:
            pass
    except ConnectionClosed:
        pass
    finally:
        heard.pop(socket, None)


def on_pong(socket, pong):
    # A pong that never came is an exception or a cancellation here, and no other code asks for it.
    if not pong.cancelled() and pong.exception() is None and socket in heard:
        heard[socket] = time.monotonic()


async def sweep():
    now = time.monotonic()
    for socket, at in list(heard.items()):
        if now - at > TIMEOUT:
            socket.transport.abort()
            continue
        try:
            pong = await socket.ping()
            pong.add_done_callback(lambda pong, socket=socket: on_pong(socket, pong))
        except ConnectionClosed:
            pass


async def main():
    # The library's own keepalive is off: the sweep is what is measured.
    async with serve(live, "127.0.0.1", PORT, ping_interval=None, compression=None, backlog=4096):
        while True:
            await asyncio.sleep(INTERVAL)
            await sweep()


asyncio.run(main())
