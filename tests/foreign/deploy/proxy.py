"""HAProxy with docs/deploy/haproxy.cfg, and WebSocket clients that come through it by TLS."""
import base64, hashlib, os, queue, shutil, socket, ssl, struct, subprocess, sys, tempfile, time

from harness import Broken, Process, expect

CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../docs/deploy/haproxy.cfg")


class WebSocket:
    """As much of RFC 6455 as is needed here. It answers pings while it receives."""

    def __init__(self, source, port, path, headers=""):
        self.socket = self.dial(source, port)
        self.buffer, self.pings = b"", 0
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n{headers}\r\n".encode()
        )
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.status = int(head.split()[1])
        if self.status == 101:
            accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
            expect(accept in head, f"no Sec-WebSocket-Accept: {head}")

    def dial(self, source, port):
        raw = socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))
        self.address = "%s:%d" % raw.getsockname()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        # What a browser offers.
        context.set_alpn_protocols(["h2", "http/1.1"])
        wrapped = context.wrap_socket(raw, server_hostname="localhost")
        expect(wrapped.selected_alpn_protocol() == "http/1.1", f"ALPN chose {wrapped.selected_alpn_protocol()}")
        return wrapped

    def more(self):
        got = self.socket.recv(65536)
        if not got:
            raise EOFError("the stream ended")
        self.buffer += got

    def send(self, opcode, payload=b""):
        mask = os.urandom(4)
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
        self.socket.sendall(bytes([0x80 | opcode]) + length + mask + masked)

    def frame(self):
        """The next complete frame of the buffer, which are small and in one piece here."""
        if len(self.buffer) < 2:
            return None
        opcode, length, head = self.buffer[0] & 15, self.buffer[1], 2
        assert length < 127, "a long frame"
        if length == 126:
            if len(self.buffer) < 4:
                return None
            length, head = struct.unpack("!H", self.buffer[2:4])[0], 4
        if len(self.buffer) < head + length:
            return None
        payload, self.buffer = self.buffer[head : head + length], self.buffer[head + length :]
        return opcode, payload

    def receive_any(self, seconds):
        """The next frame that is no ping."""
        return self.receive(seconds, skip=b"\0")

    def receive(self, seconds, answer=True, skip=b'connection_ack"'):
        """The next frame that is no ping and no acknowledgement within that time, or None. Raises EOFError at the end of the stream."""
        end = time.monotonic() + seconds
        while True:
            while (frame := self.frame()) is not None:
                if frame[0] == 1 and skip in frame[1]:
                    continue
                if frame[0] != 9:
                    return frame
                self.pings += 1
                if answer:
                    self.send(10, frame[1])
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                self.more()
            except TimeoutError:
                return None

    def closed_with(self, seconds, answer=True):
        """The code of the close frame that comes within that time."""
        frame = self.receive(seconds, answer)
        expect(frame is not None and frame[0] == 8, f"instead of a close frame came {frame}")
        return struct.unpack("!H", frame[1][:2])[0]


def certificate(place):
    """A file with a certificate and its key, signed by itself."""
    both = os.path.join(place, "cert.pem")
    key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*key, "-keyout", both + ".key", "-out", both], check=True, capture_output=True, timeout=60)
    with open(both, "a") as out, open(both + ".key") as private:
        out.write(private.read())
    return both


def haproxy(cert, bind, gateway, stats, config=CONFIG, name="haproxy"):
    """Starts it in front of a gateway. It serves once there is a socket at `stats`."""
    return Process(
        name, ["haproxy", "-db", "-f", config], PULSEGATE_CERT=cert, PULSEGATE_BIND=bind, PULSEGATE_GATEWAY=gateway,
        PULSEGATE_MAXCONN="200", PULSEGATE_SERVER_MAXCONN="100", PULSEGATE_LOG="stderr", PULSEGATE_STATS=stats,
    )  # fmt: skip


def held(processes, test):
    """Returns whether the test held; else the ends of the logs are shown. Stops the processes that it has started."""
    try:
        test()
        return True
    except (Broken, EOFError, OSError, queue.Empty, subprocess.SubprocessError) as e:
        for process in processes:
            process.stop()
            print(f"--- {process.name}'s log", *process.lines[-60:], sep="\n", file=sys.stderr)
        print(f"{os.path.basename(sys.argv[0])}: {e if isinstance(e, Broken) else repr(e)}", file=sys.stderr)
        return False
    finally:
        for process in processes:
            process.stop()


def main(doc, run):
    """Runs a test that is called with the gateway's binary, in a folder of its own. Returns the exit code."""
    if len(sys.argv) != 2 or not os.access(sys.argv[1], os.X_OK):
        print(doc, file=sys.stderr)
        return 2
    for tool in ("haproxy", "openssl"):
        if shutil.which(tool) is None:
            print(f"{os.path.basename(sys.argv[0])}: needs {tool}", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory() as place:
        return 0 if run(os.path.abspath(sys.argv[1]), place) else 1
