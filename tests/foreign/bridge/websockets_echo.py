#!/usr/bin/env python3
"""An echo server that we did not write (PyPI `websockets`): `websockets_echo.py [deflate]`. Says on stderr where it listens."""
import asyncio, logging, os, sys

# The suite sends a message in 65 536 fragments. The library reads this when it is imported.
os.environ["WEBSOCKETS_MAX_FRAGMENTS"] = "100000"

from websockets.asyncio.server import serve  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402


async def echo(peer):
    try:
        async for message in peer:
            await peer.send(message)
    except ConnectionClosed:
        pass


async def main():
    # Its log would name every fault that the suite makes.
    logging.getLogger("websockets").addHandler(logging.NullHandler())
    compression = "deflate" if sys.argv[1:] == ["deflate"] else None
    async with serve(echo, "127.0.0.1", 0, compression=compression, max_size=None, ping_interval=None) as server:
        print(f"listen=127.0.0.1:{server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
        await server.serve_forever()


asyncio.run(main())
