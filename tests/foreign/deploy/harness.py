"""What the tests here share: processes with the lines of their logs, and waiting for something with a deadline."""
import json, os, re, socket, subprocess, threading, time
import urllib.request


class Broken(Exception):
    """Something did not hold."""


def expect(held, what):
    if not held:
        raise Broken(what)


def until(seconds, what, look):
    """What `look` returns, as soon as that is something."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        expect(time.monotonic() < end, f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Process:
    """A process and the lines of its stderr."""

    def __init__(self, name, command, **environment):
        clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
        self.name, self.lines = name, []
        self.child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace", env=clean | environment)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.child.stderr:
            self.lines.append(line.rstrip("\n"))

    def find(self, pattern):
        return next((m for line in list(self.lines) if (m := re.search(pattern, line))), None)

    def alive(self):
        expect(self.child.poll() is None, f"{self.name} ended with {self.child.returncode}: {' '.join(self.lines[-3:])}")

    def stop(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self.reader.join(2)


def get(url, seconds=10):
    """The JSON at a URL, or the text if it is not JSON."""
    # Whatever proxy the environment names is not for loopback.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=seconds) as answer:
        body = answer.read().decode()
    return json.loads(body) if answer.headers.get_content_type() == "application/json" else body


def post(url, body, seconds=10):
    """What is answered to a JSON object."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=seconds) as answer:
        return json.loads(answer.read() or "null")


def ask_upgrade(listen, path):
    """A socket on which a WebSocket is asked for. The answer is not read yet."""
    host, port = listen.split(":")
    peer = socket.create_connection((host, int(port)), timeout=10)
    peer.sendall(
        f"GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    return peer


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
