#!/usr/bin/env python3
"""A client that we did not write (PyPI `websockets`) against the gateway: `websockets_client.py MODE URL [flags]`.

  stay      answers pings for --heartbeats intervals: is pinged on time, is not closed, gets its own pings answered
  freeze    reads on but answers nothing: is closed with 3008
  replaced  a second connection of the same identity: the first is closed, the second stays
  bad       text that is not UTF-8, a frame without a mask, a message over 1 MiB: 1007, 1002, 1009

Prints one JSON line; exit code 0 all held, 1 something did not (it says what), 2 usage. Bounded in time.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.uri import parse_uri

SLACK_MS = 2_000
"""What a busy machine may add to any time that is checked."""
STALE = re.compile(r"^nothing heard for (\d+) ms, (\d+) pings? unanswered$")
REPLACED = "replaced by a newer connection"
SUPERSEDED = f"{REPLACED} (superseded by newer session)"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("url")
    parser.add_argument("--interval-ms", type=int, default=5_000, help="the server's heartbeat")
    parser.add_argument("--timeout-ms", type=int, default=15_000, help="the server's timeout")
    parser.add_argument("--heartbeats", type=int, default=3)
    parser.add_argument("--max-message-bytes", type=int, default=1 << 20)
    ask = parser.parse_args()
    line = {"client": "websockets", "mode": ask.mode, "url": ask.url}
    try:
        line |= {"ok": True} | asyncio.run(MODES[ask.mode](ask))
    except Exception as error:  # whatever went wrong, the line says it
        line |= {"ok": False, "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(line), flush=True)
    return 0 if line["ok"] else 1


async def stay(ask):
    async with opened(ask.url) as ws:
        sent = time.monotonic()
        await asyncio.wait_for(await ws.ping(), SLACK_MS / 1e3)
        rtt = ms_since(sent)
        json_rtt = await json_round_trip(ws)
        try:
            # The first ping is spread over an interval, so K pings take K + 1 intervals at most.
            async with asyncio.timeout(((ask.heartbeats + 1) * ask.interval_ms + SLACK_MS) / 1e3):
                while True:
                    await ws.recv()
        except TimeoutError:
            pass
        check(len(ws.pinged) >= ask.heartbeats, f"{len(ws.pinged)} pings, not {ask.heartbeats}")
        gaps = [round((b - a) * 1e3) for a, b in zip(ws.pinged, ws.pinged[1:])]
        for gap in gaps:
            check(ask.interval_ms / 4 < gap < ask.interval_ms + SLACK_MS, f"pinged after {gap} ms")
        await ws.close()
        check(ws.close_code == 1000, f"the closing handshake: {ws.close_code}")
    return {"pings": len(ws.pinged), "gaps_ms": gaps, "rtt_ms": rtt, "json_rtt_ms": json_rtt}


async def freeze(ask):
    started = time.monotonic()
    raw = await Raw.open(ask.url)
    code, reason = await asyncio.wait_for(raw.close_frame(), (ask.timeout_ms + SLACK_MS) / 1e3)
    after = ms_since(started)
    raw.drop()
    check(code == 3008, f"closed with {code} {reason}")
    stale = STALE.match(reason)
    check(stale, f"reason: {reason}")
    check(int(stale[1]) >= ask.timeout_ms, f"closed early, by its own words: {reason}")
    check(int(stale[2]) >= 1, f"never pinged: {reason}")
    check(ask.timeout_ms <= after < ask.timeout_ms + SLACK_MS, f"closed after {after} ms")
    return {"after_ms": after, "code": code, "reason": reason}


async def replaced(ask):
    code, reason = (4003, SUPERSEDED) if urlsplit(ask.url).path == "/glasses-ws" else (1000, REPLACED)
    async with opened(ask.url) as older, opened(ask.url) as newer:
        try:
            async with asyncio.timeout(SLACK_MS / 1e3):
                while True:
                    await older.recv()
        except ConnectionClosed:
            pass
        end = (older.close_code, older.close_reason)
        check(end == (code, reason), f"the older connection was closed with {end}")
        await json_round_trip(newer)
        await newer.close()
        check(newer.close_code == 1000, f"the newer connection was closed with {newer.close_code}")
    return {"code": code, "reason": reason}


async def bad(ask):
    ends = {}
    for what, payload, expected in (
        ("not_utf8", masked(0x81, b"a\xff\xfe"), 1007),
        ("no_mask", b"\x81\x02hi", 1002),
        ("too_big", masked(0x82, bytes(ask.max_message_bytes + 1)), 1009),
    ):
        raw = await Raw.open(f"{ask.url}-{what}")
        raw.writer.write(payload)
        code, reason = await asyncio.wait_for(raw.close_frame(), 10)
        raw.drop()
        check(code == expected, f"{what}: closed with {code} {reason}")
        ends[what] = {"code": code, "reason": reason}
    return {"ends": ends}


MODES = {"stay": stay, "freeze": freeze, "replaced": replaced, "bad": bad}


class Counting(ClientConnection):
    """Answers pings as the library does, and notes when they came."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pinged = []

    def process_event(self, event):
        if getattr(event, "opcode", None) is Opcode.PING:
            self.pinged.append(time.monotonic())
        super().process_event(event)


class Raw:
    """The library's protocol over a bare socket: it reads, and what it would answer is thrown away."""

    @classmethod
    async def open(cls, url):
        self = cls()
        uri = parse_uri(url)
        self.protocol = ClientProtocol(uri, max_size=None)
        self.reader, self.writer = await asyncio.open_connection(uri.host, uri.port)
        self.protocol.send_request(self.protocol.connect())
        self.writer.writelines(self.protocol.data_to_send())
        async with asyncio.timeout(10):
            await self.events()
        check(self.protocol.handshake_exc is None, f"not upgraded: {self.protocol.handshake_exc}")
        return self

    async def events(self):
        """The next frames, or the response; none if the stream has ended."""
        while True:
            data = await self.reader.read(65_536)
            if not data:
                return []
            self.protocol.receive_data(data)
            self.protocol.data_to_send()
            if events := self.protocol.events_received():
                return events

    async def close_frame(self):
        while self.protocol.close_rcvd is None:
            check(await self.events(), "the socket ended without a close frame")
        return self.protocol.close_rcvd.code, self.protocol.close_rcvd.reason

    def drop(self):
        self.writer.transport.abort()


def opened(url):
    """A connection that answers pings, sends none by itself and asks for no extension."""
    return connect(url, create_connection=Counting, ping_interval=None, compression=None, proxy=None)


async def json_round_trip(ws):
    """Milliseconds from `{"type":"ping"}` to `{"type":"pong"}`."""
    sent = time.monotonic()
    await ws.send('{"type":"ping"}')
    async with asyncio.timeout(SLACK_MS / 1e3):
        while True:
            message = await ws.recv()
            if isinstance(message, str) and json.loads(message).get("type") == "pong":
                return ms_since(sent)


def masked(first, payload, mask=b"\x01\x02\x03\x04"):
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8, "big")
    key = int.from_bytes(mask * (size // 4 + 1), "big") >> (8 * (4 - size % 4))
    body = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
    return bytes([first]) + length + mask + body


def ms_since(start):
    return round((time.monotonic() - start) * 1e3, 3)


def check(holds, fault):
    if not holds:
        raise AssertionError(fault)


if __name__ == "__main__":
    sys.exit(main())
