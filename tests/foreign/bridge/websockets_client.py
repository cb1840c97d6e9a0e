#!/usr/bin/env python3
"""A client on PyPI `websockets`, which does what the lines of its input say, each a JSON object.

Prints a JSON line for everything that it sees.
"""

import asyncio
import base64
import hashlib
import itertools
import json
import random
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


def say(**event):
    print(json.dumps(event), flush=True)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def noise(size):
    """Bytes that compress badly, and the same every time."""
    return random.Random(1).randbytes(size)


async def listen(ws):
    try:
        async for message in ws:
            say(text=message) if isinstance(message, str) else say(binary=len(message), sha256=digest(message))
    except ConnectionClosed:
        pass
    say(close=[ws.close_code, ws.close_reason])


async def flood(ws, size):
    """Messages as fast as they go, until the end; some have this size."""
    noise = base64.b64encode(random.randbytes(90_000)).decode()
    try:
        for i in itertools.count(1):
            await ws.send(f"{i} " + noise[: 500 if i % 50 else size])
            await asyncio.sleep(0)
    except ConnectionClosed:
        pass


async def pong(ws, text):
    await (await ws.ping(text))
    say(pong=text)


async def opened(ask):
    try:
        ws = await connect(
            ask["url"], subprotocols=ask.get("protocols"), additional_headers=ask.get("headers"), origin=ask.get("origin"),
            ping_interval=None, proxy=None, max_size=64 << 20,
        )
    except InvalidStatus as refused:
        answer = refused.response
        headers = {name.lower(): value for name, value in answer.headers.raw_items()}
        say(refused=answer.status_code, headers=headers, body=answer.body.decode())
        return None
    headers = {name.lower(): value for name, value in ws.response.headers.raw_items()}
    say(open=ws.subprotocol or "", headers=headers, extensions=headers.get("sec-websocket-extensions", ""))
    return ws


async def main():
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    ws, tasks = None, []
    while line := await reader.readline():
        for what, value in json.loads(line).items():
            if what == "open":
                if ws := await opened(value):
                    tasks.append(asyncio.create_task(listen(ws)))
            elif what == "text":
                await ws.send(value)
            elif what == "binary":
                data = noise(value)
                say(sent=value, sha256=digest(data))
                await ws.send(data)
            elif what == "flood":
                tasks.append(asyncio.create_task(flood(ws, value)))
            elif what == "ping":
                tasks.append(asyncio.create_task(pong(ws, value)))
            elif what == "close":
                await ws.close(*value)


asyncio.run(main())
