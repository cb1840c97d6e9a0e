#!/usr/bin/env python3
"""A client that we did not write (PyPI `websocket-client`), as it comes: `websocket_client.py stay URL [flags]`.

  stay  opens with its own headers (it sends the address that it asks as Origin), answers pings for --heartbeats intervals:
        is let in, pinged on time, not closed; a ping of its own and a message are answered; then subprotocols: one of two
        that it offers is chosen

Prints one JSON line; exit code 0 all held, 1 something did not (it says what), 2 usage. Bounded in time.
"""

import argparse
import json
import sys
import time

import websocket

SLACK_MS = 2_000
"""What a busy machine may add to any time that is checked."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["stay"])
    parser.add_argument("url")
    parser.add_argument("--interval-ms", type=int, default=5_000, help="the server's heartbeat")
    parser.add_argument("--timeout-ms", type=int, default=15_000, help="the server's timeout")
    parser.add_argument("--heartbeats", type=int, default=3)
    ask = parser.parse_args()
    line = {"client": "websocket-client", "mode": ask.mode, "url": ask.url}
    try:
        line |= {"ok": True} | stay(ask)
    except Exception as error:  # whatever went wrong, the line says it
        line |= {"ok": False, "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(line), flush=True)
    return 0 if line["ok"] else 1


def stay(ask):
    ws = websocket.create_connection(ask.url, timeout=SLACK_MS / 1e3)
    ws.send('{"type":"ping"}')
    ws.ping("rtt")
    pinged, answers, pongs = 0, 0, 0
    end = time.monotonic() + ((ask.heartbeats + 1) * ask.interval_ms + SLACK_MS) / 1e3
    while (left := end - time.monotonic()) > 0:
        ws.settimeout(left)
        try:
            # Pings are answered by the library, and told.
            opcode, data = ws.recv_data(control_frame=True)
        except websocket.WebSocketTimeoutException:
            break
        check(opcode != websocket.ABNF.OPCODE_CLOSE, f"closed: {data}")
        pinged += opcode == websocket.ABNF.OPCODE_PING
        pongs += opcode == websocket.ABNF.OPCODE_PONG and data == b"rtt"
        answers += opcode == websocket.ABNF.OPCODE_TEXT and json.loads(data).get("type") == "pong"
    check(pinged >= ask.heartbeats, f"{pinged} pings, not {ask.heartbeats}")
    check((answers, pongs) == (1, 1), f"{answers} answers, {pongs} pongs")
    ws.close()

    ws = websocket.create_connection(f"{ask.url}-offers", timeout=SLACK_MS / 1e3, subprotocols=["v2.a", "v1.a"])
    check(ws.getsubprotocol() == "v2.a", f"chosen: {ws.getsubprotocol()}")
    ws.close()
    return {"pings": pinged}


def check(holds, fault):
    if not holds:
        raise AssertionError(fault)


if __name__ == "__main__":
    sys.exit(main())
