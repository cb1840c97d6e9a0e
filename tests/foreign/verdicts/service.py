"""The service behind the gateways: it sends every word back, sends a stream on demand, and has a page for browsers."""

import base64
import hashlib
import os
import socket
import struct
import threading
import time

PAGE = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")).read()
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Service:
    """Listens on all addresses of this namespace. `/run/N` is the service of run N."""

    def __init__(self):
        self.listener = socket.create_server(("0.0.0.0", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.streams = {}
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            peer, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        try:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.speak(peer)
        except (OSError, EOFError):
            pass
        finally:
            peer.close()

    def speak(self, peer):
        reader = peer.makefile("rb")
        path, fields = read_head(reader)
        key = fields.get("sec-websocket-key")
        if not key:
            body = PAGE.encode()
            head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n"
            return peer.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        accept = base64.b64encode(hashlib.sha1(key.encode() + MAGIC).digest()).decode()
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        peer.sendall(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        lock = threading.Lock()

        def send(opcode, payload):
            with lock:
                peer.sendall(frame(opcode, payload))

        self.streams.setdefault(path.split("?")[0], []).append(send)
        while (got := read_frame(reader)) is not None:
            opcode, payload = got
            if opcode == 8:
                return send(8, payload)
            if opcode in (1, 2, 9):
                send(10 if opcode == 9 else opcode, payload)

    def stream(self, path, size, seconds, per_second):
        """Sends messages of a size to the last client of a path, on a thread."""

        def pour():
            send, until = self.streams[path][-1], time.monotonic() + seconds
            try:
                while time.monotonic() < until:
                    send(1, b"x" * size)
                    time.sleep(1 / per_second)
            except OSError:
                pass

        threading.Thread(target=pour, daemon=True).start()


def read_head(reader):
    line = reader.readline().decode()
    if not line:
        # A browser connects before it has a request.
        raise EOFError
    path = line.split(" ")[1]
    fields = {}
    while (line := reader.readline().strip()) != b"":
        name, _, value = line.decode().partition(":")
        fields[name.lower()] = value.strip()
    return path, fields


def read_frame(reader):
    """The next frame; `None` at the end. All messages of clients are in one piece here."""
    head = reader.read(2)
    if len(head) < 2:
        return None
    length = head[1] & 127
    if length >= 126:
        wide = reader.read(2 if length == 126 else 8)
        length = int.from_bytes(wide, "big")
    mask = reader.read(4) if head[1] & 128 else bytes(4)
    payload = reader.read(length)
    return head[0] & 15, bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))


def frame(opcode, payload):
    n = len(payload)
    if n < 126:
        length = bytes([n])
    elif n < 65536:
        length = b"\x7e" + struct.pack("!H", n)
    else:
        length = b"\x7f" + struct.pack("!Q", n)
    return bytes([0x80 | opcode]) + length + payload
