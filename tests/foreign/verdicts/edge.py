"""An edge in front of a gateway that answers the pings of WebSocket itself, and keeps a connection up after it has stopped passing it on.

It passes frames of the gateway to its client, except pings: those it answers. What clients send, it passes as it is.
"""

import os
import socket
import threading


class Edge:
    def __init__(self, address, gateway):
        """Listens at an address on a free port. `gateway` is a pair of address and port."""
        self.gateway, self.pairs, self.answered, self.swallowed = gateway, [], 0, 0
        self.listener = socket.create_server((address, 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                gateway = socket.create_connection(self.gateway, timeout=10)
            except OSError:
                return
            gateway.settimeout(None)
            pair = Pair(self, client, gateway)
            self.pairs.append(pair)
            for way in (pair.up, pair.down):
                threading.Thread(target=way, daemon=True).start()

    def stall(self, drops_client):
        """Stops passing the connections that there are. The gateway's side goes on."""
        for pair in self.pairs:
            pair.is_stalled = True
            if drops_client:
                pair.end(pair.client)

    def stop(self):
        for end in (self.listener, *(end for pair in self.pairs for end in (pair.client, pair.gateway))):
            close(end)


class Pair:
    def __init__(self, edge, client, gateway):
        self.edge, self.client, self.gateway, self.is_stalled = edge, client, gateway, False
        for end in (client, gateway):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def end(self, side):
        try:
            side.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def up(self):
        """From the client to the gateway."""
        while got := receive(self.client):
            if self.is_stalled:
                self.edge.swallowed += len(got)
            elif not send(self.gateway, got):
                break
        if not self.is_stalled:
            self.end(self.gateway)

    def down(self):
        """From the gateway to the client: the head of the answer as it is, then frames."""
        waiting, is_head = b"", True
        while got := receive(self.gateway):
            waiting += got
            if is_head:
                end = waiting.find(b"\r\n\r\n") + 4
                if end < 4:
                    continue
                head, waiting, is_head = waiting[:end], waiting[end:], False
                send(self.client, head)
            while whole := frame_length(waiting):
                one, waiting = waiting[:whole], waiting[whole:]
                self.pass_down(one)
        if not self.is_stalled:
            self.end(self.client)

    def pass_down(self, one):
        if one[0] & 15 == 9:
            self.edge.answered += 1
            payload = one[2:]
            key = os.urandom(4)
            masked = bytes(byte ^ key[i & 3] for i, byte in enumerate(payload))
            send(self.gateway, bytes([0x8A, 0x80 | len(payload)]) + key + masked)
        elif self.is_stalled:
            self.edge.swallowed += len(one)
        else:
            send(self.client, one)


def frame_length(data):
    """The length of the frame that data begins with; 0: it is not whole. Gateways do not mask."""
    if len(data) < 2:
        return 0
    length, head = data[1] & 127, 2
    if length >= 126:
        head = 4 if length == 126 else 10
        if len(data) < head:
            return 0
        length = int.from_bytes(data[2:head], "big")
    return head + length if len(data) >= head + length else 0


def receive(end):
    try:
        return end.recv(65536)
    except OSError:
        return b""


def send(end, data):
    try:
        end.sendall(data)
        return True
    except OSError:
        return False


def close(end):
    try:
        end.close()
    except OSError:
        pass
