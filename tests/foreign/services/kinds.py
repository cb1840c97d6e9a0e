"""The services: how each is started, what its own client says to it, and how it shows an end."""

import os, socket, tempfile

from harness import Process, expect, free_port, until
from rig import PATIENCE, same

BRIDGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../bridge")


class Kind:
    """A service with a WebSocket. `talk` is a conversation that is the same each time."""

    path, tries = "/", 1
    # Whether the close frames of a conversation are the same each time.
    closes_alike = True
    # What the route has beside its upstreams.
    route = ""

    def __init__(self, place):
        self.place = place

    def node(self, script, *flags):
        return ["node", os.path.join(self.place, script), *flags]

    def python(self, script):
        return [os.path.join(self.place, "venv/bin/python"), os.path.join(BRIDGE, script)]

    def start(self, programs):
        """The service and its address."""
        service = programs.start(self.service_command())
        return service, f"127.0.0.1:{service.wait('listening')['listening']}"

    def connect(self, programs, address, **more):
        """A client that has opened a WebSocket."""
        client = programs.start(self.client_command())
        client.tell(open=self.open(address, **more))
        client.wait("open")
        return client

    def open(self, address):
        return {"url": f"ws://{address}{self.path}"}

    def works(self, client):
        """The client still reaches the service."""
        client.tell(text="still here")
        same(client.wait("text")["text"], "still here", "the echo")

    def client_saw(self, client, code, reason):
        same(client.wait("close")["close"], [code, reason], "what the client saw")

    def service_saw(self, service, code, reason):
        same(service.wait("close")["close"], [code, reason], "what the service saw")


class Ws(Kind):
    """npm `ws`, with compression."""

    name = "ws"

    def service_command(self):
        return self.node("ws_service.mjs", "deflate")

    def client_command(self):
        return self.node("ws_client.mjs")

    def talk(self, programs, address):
        peer = programs.start(self.client_command())
        headers = {"Cookie": "a=b; c=d", "Authorization": "Bearer t"}
        ask = {"protocols": ["chat", "b"], "origin": "https://chat.example", "headers": headers}
        peer.tell(open=ask | {"url": f"ws://{address}/chat/room?x=%20a&y=1"})
        same(peer.wait("open")["open"], "b", "subprotocol")
        for text in ("hallo é", "", "x" * 70_000):
            peer.tell(text=text)
            same(peer.wait("text")["text"], text, "text")
        peer.tell(binary=1_000_000)
        same(peer.wait("binary")["sha256"], peer.wait("sent")["sha256"], "a million bytes")
        peer.tell(ping="p1")
        same(peer.wait("pong")["pong"], "p1", "the pong")
        peer.tell(text="close 4002 said the service")
        same(peer.wait("close")["close"], [4002, "said the service"], "the close")
        peer.tell(open=ask | {"url": f"ws://{address}/chat"})
        peer.wait("open")
        peer.tell(close=[4001, "said the client"])
        same(peer.wait("close")["close"], [4001, "said the client"], "the close")
        peer.tell(open=ask | {"url": f"ws://{address}/private"})
        same(peer.wait("refused")["refused"], 401, "the refusal")


class Websockets(Ws):
    """PyPI `websockets`."""

    name = "websockets"

    def service_command(self):
        return self.python("websockets_service.py")

    def client_command(self):
        return self.python("websockets_client.py")


class SocketIo(Kind):
    """socket.io: long polling first, then the upgrade."""

    # Whether a poll is answered before or after the probe is a race inside the library.
    name, tries, route = "socket.io", 3, 'sticky = "cookie:lb"\n'

    def service_command(self):
        return self.node("socketio_service.mjs", "polling")

    def client_command(self):
        return self.node("socketio_client.mjs")

    def open(self, address, transports=("polling", "websocket"), **query):
        query = {"patient": "1"} | query
        return {
            "url": f"http://{address}",
            "transports": transports,
            "query": query,
            "reconnection": False,
        }

    def talk(self, programs, address):
        for transports in (["polling", "websocket"], ["polling"], ["websocket"]):
            patient = {"patient": "1" if len(transports) == 2 else ""}
            peer = self.connect(programs, address, transports=transports, **patient)
            peer.tell(echo=30_000)
            same(peer.wait("echo")["echo"], True, "the echo")
            peer.tell(tell="all of you")
            same(peer.wait("told")["told"], "all of you", "the broadcast")
            peer.tell(close=True)
            same(peer.wait("close")["close"][0], "io client disconnect", "the close")

    def works(self, client):
        client.tell(echo=10)
        same(client.wait("echo")["echo"], True, "the echo")

    def client_saw(self, client, code, reason):
        same(client.wait("close")["close"], ["transport close", code], "what the client saw")

    def service_saw(self, service, code, reason):
        same(service.wait("close")["close"][0], "transport close", "what the service saw")


class GraphQl(Kind):
    """graphql-ws."""

    name, path = "graphql-ws", "/graphql"

    def service_command(self):
        return self.node("graphql_service.mjs")

    def client_command(self):
        return self.node("graphql_client.mjs")

    def open(self, address, retry=False):
        return super().open(address) | {"retry": retry}

    def talk(self, programs, address):
        peer = self.connect(programs, address)
        self.works(peer)
        peer.tell(subscribe={"from": 1, "to": 5, "pad": 10})
        same([peer.wait("count")["count"] for _ in range(5)], [1, 2, 3, 4, 5], "the events")
        peer.wait("complete")
        peer.tell(tick=True)
        peer.wait("tick")
        peer.tell(stop=True)
        peer.wait("complete")
        self.works(peer)
        peer.tell(close=True)
        peer.wait("close")

    def works(self, client):
        client.tell(query="hallo é")
        same(client.wait("echo")["echo"], "hallo é", "the answer")
        client.wait("answered")


class Express(Ws):
    """Express with a WebSocket beside it."""

    name, path = "Express", "/socket"

    def service_command(self):
        return self.node("express_service.mjs")

    def talk(self, programs, address):
        client = programs.start(self.node("http_client.mjs"))
        self.requests(client, f"http://{address}", {"X-Forwarded-Proto": "http"})
        peer = self.connect(programs, address)
        self.works(peer)
        peer.tell(close=[4001, "enough"])
        self.client_saw(peer, 4001, "enough")

    @staticmethod
    def requests(client, base, headers, **more):
        """Plain HTTP in every way that is usual. Returns the answers."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        json = {"Content-Type": "application/json"}
        expect_100 = {"Expect": "100-continue"}
        asked = [
            {"path": "/login"},
            {"path": "/visits"},
            {"path": "/visits"},
            {"path": "/page"},
            {"path": "/page", "method": "HEAD"},
            {"path": "/page", "headers": {"If-None-Match": "*"}},
            {"path": "/stream"},
            {"path": "/events"},
            {"path": "/bytes"},
            {"path": "/missing?a=%20b&c"},
            {"path": "/form", "method": "POST", "headers": form, "body": "text=%C3%A9&b=2"},
            {"path": "/upload", "method": "POST", "chunks": ["x" * 50_000, "y" * 50_000]},
            {"path": "/upload", "method": "POST", "headers": expect_100, "body": "z" * 400_000},
            {"path": "/item", "method": "PUT", "headers": json, "body": '{"a": [1, "é"]}'},
            {"path": "/item", "method": "DELETE"},
            {"path": "/item", "method": "OPTIONS"},
            {"path": "/form", "method": "POST", "headers": json, "body": "{}"},
        ]
        answers = []
        for each in asked:
            own = headers | each.pop("headers", {})
            client.tell(ask={"url": base + each.pop("path"), "headers": own, **each, **more})
            answers.append(client.wait("answer"))
            expect(answers[-1]["answer"], f"no answer: {answers[-1]}")
        return answers


class Mosquitto(Kind):
    """mosquitto with WebSockets, from Debian, and npm `mqtt`."""

    name, number, closes_alike = "mosquitto", 0, False

    def client_command(self):
        return self.node("mqtt_client.mjs")

    def start(self, programs):
        while True:
            port = free_port()
            service = Process("mosquitto", ["mosquitto", "-v", "-c", self.config(port)])
            programs.programs.append(service)
            look = lambda: service.child.poll() is not None or self.listens(port)
            until(PATIENCE, "mosquitto listens", look)
            # Another program may have taken the port meanwhile.
            if service.child.poll() is None:
                return service, f"127.0.0.1:{port}"
            expect("Address already in use" in " ".join(service.lines), service.lines[-3:])

    def config(self, port):
        # With a listener for WebSockets alone, 2.0.11 does not start. Without `ipv4` it listens on
        # all addresses.
        self.file = tempfile.NamedTemporaryFile("w", suffix=".conf")
        self.file.write(f"allow_anonymous true\nlistener {free_port()} 127.0.0.1\n")
        self.file.write(f"listener {port} 127.0.0.1\nsocket_domain ipv4\nprotocol websockets\n")
        self.file.flush()
        return self.file.name

    @staticmethod
    def listens(port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def open(self, address):
        self.number += 1
        return super().open(address) | {"id": f"client-{self.number}"}

    def talk(self, programs, address):
        self.number = 0
        peer = self.connect(programs, address)
        peer.tell(subscribe="room/#")
        same(peer.wait("subscribed")["subscribed"], [1], "the subscription")
        for qos in (0, 1, 2):
            peer.tell(publish=["room/a", f"hallo é {qos}", qos])
            same(peer.wait("message")["message"], ["room/a", f"hallo é {qos}"], "the message")
            peer.wait("published")
        peer.tell(publish=["room/b", "x" * 70_000, 1])
        same(peer.wait("message")["message"], ["room/b", 70_000], "the long message")
        peer.wait("published")
        peer.tell(close=True)
        peer.wait("close")

    def works(self, client):
        client.tell(subscribe="works")
        client.wait("subscribed")
        client.tell(publish=["works", "still here", 1])
        same(client.wait("message")["message"], ["works", "still here"], "the message")

    def client_saw(self, client, code, reason):
        client.wait("close")

    def service_saw(self, service, code, reason):
        until(
            PATIENCE,
            "the end in mosquitto's log",
            lambda: service.find(r"Client client-1 (closed its connection|disconnected)"),
        )


ALL = (Ws, Websockets, SocketIo, GraphQl, Express, Mosquitto)
