#!/usr/bin/env python3
"""A service on PyPI `websockets`. It echoes, and does what a text asks for: `close CODE REASON`.

Prints a JSON line for everything that it sees.
"""

import asyncio
import http
import json

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def say(**event):
    print(json.dumps(event), flush=True)


def gate(connection, request):
    if request.path.startswith("/private"):
        answer = connection.respond(http.HTTPStatus.UNAUTHORIZED, "who are you?")
        answer.headers["WWW-Authenticate"] = 'Basic realm="chat"'
        return answer
    return None


def mark(_, __, answer):
    answer.headers["Set-Cookie"] = "seen=1; HttpOnly"
    answer.headers["X-Service"] = "websockets"
    return answer


async def echo(ws):
    headers = {name.lower(): ", ".join(ws.request.headers.get_all(name)) for name in ws.request.headers}
    extensions = ws.response.headers.get("Sec-WebSocket-Extensions", "")
    say(open=ws.request.path, headers=headers, extensions=extensions)
    try:
        async for message in ws:
            if isinstance(message, str) and message.startswith("close "):
                _, code, reason = message.split(" ", 2)
                await ws.close(int(code), reason)
            else:
                await ws.send(message)
    except ConnectionClosed:
        pass
    say(close=[ws.close_code, ws.close_reason])


async def main():
    # It sends no pings of its own: what finds a ghost is the gateway.
    async with serve(
        echo, "127.0.0.1", 0, subprotocols=["chat", "b"], select_subprotocol=lambda _, names: names[-1] if names else None,
        process_request=gate, process_response=mark, ping_interval=None, max_size=64 << 20,
    ) as server:
        say(listening=server.sockets[0].getsockname()[1])
        await server.serve_forever()


asyncio.run(main())
