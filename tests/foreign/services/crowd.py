"""Crowds of socket.io clients before one service or two."""

import kinds
from harness import expect, until
from rig import PATIENCE, Programs, same
from rigs import Setup, routed


class Crowd(Programs):
    """socket.io behind a route with several upstreams, and a crowd of clients."""

    def __init__(self, upstreams, more):
        super().__init__()
        self.kind = kinds.SocketIo(Setup.place)
        try:
            self.begin(upstreams, more)
        except BaseException:
            self.__exit__()
            raise

    def begin(self, upstreams, more):
        names = [f"service-{n}" for n in range(upstreams)]
        self.services = {
            name: self.start(self.kind.node("socketio_service.mjs", "polling", name))
            for name in names
        }
        self.addresses = {
            name: f"127.0.0.1:{each.wait('listening')['listening']}"
            for name, each in self.services.items()
        }
        self.gateway = routed(self, self.addresses.values(), more, {})
        self.clients = self.start(self.kind.node("socketio_crowd.mjs"))

    def tell(self, **command):
        self.clients.tell(**command)

    def open(self, count, label):
        self.tell(open={"url": f"http://{self.gateway.listen}", "count": count, "label": label})

    def where(self):
        """How many clients each service has."""
        self.tell(where=True)
        return self.clients.wait("where")["where"]

    def complaints(self):
        """What no client and no service may see."""
        seen = [event for event in self.clients.events if event.keys() & {"error", "wrong", "late"}]
        return seen + [
            event for each in self.services.values() for event in each.events if "refused" in event
        ]

    def has_opened(self, name, count):
        return len([event for event in self.services[name].events if "open" in event]) >= count

    def losses(self):
        return [event for event in self.clients.events if "lost" in event]


def crowd(upstreams, drains=None):
    """Polling, then the upgrade: each client speaks to one service all the time. `drains`: one of
    two services is drained when all clients are "connected", or while some are "connecting"."""
    with Crowd(upstreams, kinds.SocketIo.route if upstreams > 1 else "") as rig:
        rig.open(100, "first")
        rig.clients.wait("ready")
        rig.open(100, "second")
        if drains == "connected":
            rig.clients.wait("ready")
        if drains:
            until(PATIENCE, "some of the second hundred", lambda: rig.has_opened("service-0", 55))
            rig.gateway.act(
                "upstreams/drain", route="chat", upstream=rig.addresses["service-0"], spread_ms=1000
            )
        if drains != "connected":
            rig.clients.wait("ready")
        if drains:
            until(PATIENCE, "the end of the drain", lambda: rig.where() == {"service-1": 200})
        rig.tell(work=True)
        rig.clients.wait("worked")
        check_complaints(rig)
        strange = [
            loss
            for loss in rig.losses()
            if (loss["lost"], loss["code"]) != ("transport close", 1012)
        ]
        same(strange, [], "other ends than the drain's")
        where = rig.where()
        same(
            (sum(where.values()), len(where)),
            (200, 1 if drains else upstreams),
            "clients, and services in use",
        )
        return (
            ", ".join(f"{count} at {name}" for name, count in sorted(where.items()))
            + f", {len(rig.losses())} came back"
        )


def check_complaints(rig):
    seen = rig.complaints()
    expect(not seen, f"{len(seen)} complaints, the first: {seen[:3]}")


def misled_crowd():
    """Without `sticky` the requests of one client reach both services, and the test says so."""
    with Crowd(2, "") as rig:
        rig.open(20, "misled")
        refused = until(PATIENCE, "Session ID unknown", rig.complaints)
        expect(
            any(each.get("code") == 1 for each in refused + rig.complaints()),
            f"another complaint: {refused[:3]}",
        )
