"""A tap forwards TCP connections and records the requests, answers and frames that pass."""

import base64, hashlib, socket, threading

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FIN, RSV1, CLOSE, PING = 0x80, 0x40, 8, 9


class Message:
    """The head and the body of a request or an answer."""

    def __init__(self, head):
        first, *lines = head.decode("latin-1").split("\r\n")
        self.first, self.body, self.framing = first, b"", "none"
        # Of the head, with the blank line.
        self.size = len(head) + 4
        pairs = [line.split(":", 1) for line in lines]
        self.fields = [(name.lower(), value.strip()) for name, value in pairs]

    @classmethod
    def of(cls, first, flat, body):
        """One of names and values in turn, and a text."""
        message = cls(first.encode())
        message.fields = [(name.lower(), value) for name, value in zip(flat[::2], flat[1::2])]
        message.body = body.encode()
        return message

    def field(self, name):
        return ", ".join(value for key, value in self.fields if key == name)


class Exchange:
    """A request, its answer, and frames behind a 101: `up` to the service, `down` to the client."""

    def __init__(self, request, source):
        self.request, self.answer, self.up, self.down = request, None, [], []
        # The address from which the tap has forwarded it.
        self.source = source
        self.interim, self.is_over = [], False
        # Whether nothing has passed on its connection before it.
        self.is_first = True

    @property
    def is_upgraded(self):
        return self.answer is not None and self.answer.first.split()[1] == "101"

    def accept_is_right(self):
        digest = hashlib.sha1((self.request.field("sec-websocket-key") + GUID).encode()).digest()
        return self.answer.field("sec-websocket-accept") == base64.b64encode(digest).decode()


class Bytes:
    """Bytes that arrive bit by bit. Readers are generators: they yield until there are enough."""

    def __init__(self):
        self.data, self.has_ended = bytearray(), False

    def take(self, count):
        while len(self.data) < count:
            yield
        taken = bytes(self.data[:count])
        del self.data[:count]
        return taken

    def until(self, mark):
        while (at := self.data.find(mark)) < 0:
            yield
        taken = yield from self.take(at + len(mark))
        return taken[:at]

    def rest(self):
        while not self.has_ended:
            yield
        return (yield from self.take(len(self.data)))

    def body(self, message):
        """Reads the body as the fields frame it."""
        if message.field("transfer-encoding").lower() == "chunked":
            message.framing = "chunked"
            while size := int((yield from self.until(b"\r\n")).split(b";")[0], 16):
                message.body += yield from self.take(size)
                yield from self.take(2)
            while trailer := (yield from self.until(b"\r\n")):
                message.fields.append(("trailer of the body", trailer.decode("latin-1")))
        elif length := message.field("content-length"):
            message.framing = "length"
            message.body = yield from self.take(int(length))

    def frame(self):
        """The next frame: its first byte (FIN, RSV, opcode) and its payload without the mask."""
        first, second = yield from self.take(2)
        length, is_masked = second & 0x7F, second & 0x80
        if length > 125:
            length = int.from_bytes((yield from self.take(2 if length == 126 else 8)), "big")
        mask = (yield from self.take(4)) if is_masked else bytes(4)
        payload = yield from self.take(length)
        key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
        return first, (int.from_bytes(payload, "big") ^ key).to_bytes(length, "big")


class Connection:
    """One connection: what it reads of both directions."""

    def __init__(self, tap, source):
        self.tap, self.source = tap, source
        self.exchanges, self.unanswered = [], []
        self.up, self.down = Bytes(), Bytes()
        self.readers = {id(self.up): self.requests(), id(self.down): self.answers()}

    def feed(self, stream, data):
        """Records bytes before they are forwarded, so the order of records is that of causes."""
        with self.tap.lock:
            stream.data += data
            stream.has_ended = not data
            try:
                next(self.readers[id(stream)])
            except StopIteration:
                # What follows is no HTTP; the comparison will show that something is missing.
                self.readers[id(stream)] = iter(lambda: None, 0)

    def requests(self):
        while True:
            request = Message((yield from self.up.until(b"\r\n\r\n")))
            exchange = Exchange(request, self.source)
            exchange.is_first = not self.exchanges
            self.tap.exchanges.append(exchange)
            self.exchanges.append(exchange)
            self.unanswered.append(exchange)
            yield from self.up.body(request)
            # A client sends no frame before it has the 101.
            if request.field("upgrade"):
                while exchange.answer is None:
                    yield
                while exchange.is_upgraded:
                    exchange.up.append((yield from self.up.frame()))

    def answers(self):
        while True:
            answer = Message((yield from self.down.until(b"\r\n\r\n")))
            status = answer.first.split()[1]
            if status.startswith("1") and status != "101":
                self.unanswered[0].interim.append(answer.first)
                continue
            exchange = self.unanswered.pop(0)
            exchange.answer = answer
            while exchange.is_upgraded:
                exchange.down.append((yield from self.down.frame()))
            if not exchange.request.first.startswith("HEAD "):
                yield from self.down.body(answer)
            if answer.framing == "none" and "close" in answer.field("connection"):
                answer.body = yield from self.down.rest()


class Tap:
    """Listens on a free port and forwards to `target`, a host and a port."""

    def __init__(self, target=None):
        self.target, self.exchanges, self.lock = target, [], threading.Lock()
        self.sockets = []
        # Cleared: nothing more is taken from that side.
        self.takes = {"up": threading.Event(), "down": threading.Event()}
        for each in self.takes.values():
            each.set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        host, port = self.target.split(":")
        try:
            service = socket.create_connection((host, int(port)))
        except OSError:
            client.close()
            return
        self.sockets += [client, service]
        for each in (client, service):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, "%s:%d" % service.getsockname())
        down = threading.Thread(
            target=self.forward, args=(connection, "down", service, client), daemon=True
        )
        down.start()
        self.forward(connection, "up", client, service)
        down.join()
        client.close(), service.close()
        for exchange in connection.exchanges:
            exchange.is_over = True

    def forward(self, connection, way, source, sink):
        stream = getattr(connection, way)
        try:
            while self.takes[way].wait() and (data := source.recv(65536)):
                connection.feed(stream, data)
                sink.sendall(data)
            connection.feed(stream, b"")
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            # The other side learns of a reset, too.
            for each in (source, sink):
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def upgrades(self):
        """The exchanges that became WebSockets."""
        with self.lock:
            return [exchange for exchange in self.exchanges if exchange.is_upgraded]

    def clear(self):
        with self.lock:
            self.exchanges = []

    def stop(self):
        self.listener.close()
        for each in self.takes.values():
            each.set()
        for each in list(self.sockets):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
