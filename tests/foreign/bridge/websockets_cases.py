#!/usr/bin/env python3
"""A client that we did not write (PyPI `websockets`) does the cases of Autobahn's fuzzing server, one after the other, and echoes:
`websockets_cases.py URL AGENT [deflate]`."""
import asyncio, os, sys

# The suite sends a message in 65 536 fragments. The library reads this when it is imported.
os.environ["WEBSOCKETS_MAX_FRAGMENTS"] = "100000"

from websockets.asyncio.client import connect  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402

url, agent, *deflate = sys.argv[1:]


def visit(path):
    compression = "deflate" if deflate == ["deflate"] else None
    return connect(url + path, compression=compression, max_size=None, open_timeout=None, ping_interval=None, proxy=None)


async def main():
    async with visit("/getCaseCount") as peer:
        count = int(await peer.recv())
    for n in range(1, count + 1):
        try:
            async with visit(f"/runCase?case={n}&agent={agent}") as peer:
                async for message in peer:
                    await peer.send(message)
        except ConnectionClosed:
            pass
    async with visit(f"/updateReports?agent={agent}") as peer:
        await peer.wait_closed()


asyncio.run(main())
