#!/usr/bin/env python3
"""Two gateways behind HAProxy with docs/deploy/haproxy.cfg itself and a second `server` line: which clients meet.

  two_gateways.py PULSEGATE_BINARY

Users come with tokens, as a parameter and as a header; their apps come by the URL that their gateway has told them. Starts everything on
free ports of 127.0.0.1. Needs haproxy and openssl. Takes 10 s. Exit: 0 all held; 1 something did not, with the logs; 2 usage.
"""
import base64, hashlib, hmac, http.server, json, os, queue, re, sys, threading, urllib.parse

from harness import Process, expect, free_port, get, until
from proxy import CONFIG, WebSocket, certificate, haproxy, held, main

SECRET, USERS, APPS = "the-secret-of-this-test-and-no-other", 8, 8


def token(user):
    def base64url(data):
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    parts = [{"alg": "HS256", "typ": "JWT"}, {"email": user, "email_verified": True}]
    signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    return signed + "." + base64url(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest())


class Server(http.server.BaseHTTPRequestHandler):
    """The server of all apps. It notes what it is asked."""

    asked = queue.Queue()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()
        if body["type"] == "session_request":
            self.asked.put(body)

    def log_message(self, *_):
        pass


def run(binary, place):
    stats, port = os.path.join(place, "stats"), free_port()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    apps = os.path.join(place, "apps.json")
    with open(apps, "w") as file:
        url = f"http://127.0.0.1:{server.server_port}/"
        json.dump([{"package": f"app.{n}", "api_key": f"key-{n}", "webhook_url": url} for n in range(APPS)], file)
    processes = []

    def test():
        addresses = []
        for name in ("gateway1", "gateway2"):
            gateway = Process(
                name, [binary], LISTEN_ADDR="127.0.0.1:0", ADMIN_ADDR="127.0.0.1:0", PROXY_PROTOCOL="v2", TRUSTED_PROXIES="127.0.0.1",
                AUTH_JWT_SECRET=SECRET, APPS_FILE=apps, APP_WEBSOCKET_URL=f"wss://localhost:{port}/app-ws?gateway={name}",
            )  # fmt: skip
            processes.append(gateway)
            start = until(10, f"{name}'s start line", lambda: gateway.alive() or gateway.find(r"\blisten=([\d.]+:\d+) admin=([\d.]+:\d+)"))
            addresses.append((start[1], start[2]))
        config = os.path.join(place, "haproxy.cfg")
        with open(CONFIG) as shipped, open(config, "w") as copy:
            copy.write(shipped.read() + f"    server gateway2 {addresses[1][0]}\n")
        proxy = haproxy(certificate(place), f"127.0.0.1:{port}", addresses[0][0], stats, config)
        processes.append(proxy)
        until(8, "HAProxy serves", lambda: proxy.alive() or os.path.exists(stats))
        scenario(proxy, [admin for _, admin in addresses], port)

    try:
        return held(processes, test)
    finally:
        server.shutdown()


def scenario(proxy, admins, port):
    tokens, phones = [token(f"user{n}@example.org") for n in range(USERS)], []
    for n, text in enumerate(tokens):
        first = WebSocket("127.0.0.9", port, f"/glasses-ws?token={text}")
        expect(first.status == 101, f"a first phone was answered {first.status}")
        # One that names its user in the header; and what it says in the query does not count.
        second = WebSocket("127.0.0.10", port, f"/glasses-ws?user=somebody-else-{n}", f"Authorization: Bearer {text}\r\n")
        expect(second.status == 101, f"a second phone was answered {second.status}")
        code = first.closed_with(5)
        expect(code == 4003, f"the first phone of user {n} was closed with {code}, not replaced by the second")
        phones.append(second)
    count = lambda: [get(f"http://{admin}/api/v1/connections?class=glasses&limit=1")["matched"] for admin in admins]
    counts = until(5, "one phone of each user is left", lambda: sum(counts := count()) == USERS and counts)
    expect(min(counts) > 0, f"{counts} phones are on the two gateways")
    print(f"phones: two of each user meet, {counts[0]} and {counts[1]} users on the gateways")

    for n, phone in enumerate(phones):
        for app in range(APPS):
            phone.send(1, json.dumps({"type": "start_app", "packageName": f"app.{app}"}).encode())
    for _ in range(USERS * APPS):
        asked = Server.asked.get(timeout=10)
        user, package = asked["userId"], asked["sessionId"].rsplit("-", 1)[1]
        url = urllib.parse.urlsplit(asked["mentraOSWebsocketUrl"])
        socket = WebSocket("127.0.0.1", port, f"{url.path}?{url.query}")
        expect(socket.status == 101, f"an app was answered {socket.status}")
        init = {"type": "tpa_connection_init", "sessionId": f"{user}-{package}", "packageName": package, "apiKey": "key-" + package[4:]}
        socket.send(1, json.dumps(init).encode())
        answer = socket.receive_any(5)
        expect(answer is not None and b"tpa_connection_ack" in answer[1], f"{package} of {user} got {answer}")
        phones.append(socket)
    print(f"apps: all {USERS * APPS} were let in")

    # Lines of the tunnels come at their ends.
    for each in phones:
        each.socket.close()
    until(5, "HAProxy's lines of all", lambda: sum("/glasses-ws" in line for line in list(proxy.lines)) >= 2 * USERS)
    lines = list(proxy.lines)
    expect(not any(text[:40] in line or "token=" in line for text in tokens for line in lines), "a token stands in HAProxy's log")
    expect(any(re.search(r'"GET /glasses-ws HTTP/1.1"', line) for line in lines), f"no request in HAProxy's log: {lines[-1]}")
    print(f"log: {len(lines)} lines without a token")


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
