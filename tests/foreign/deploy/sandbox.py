"""Runs the gateway as docs/deploy/pulsegate.service has it run, as far as that goes without systemd: its environment, its
credentials, its state directory, a read-only system, another user without any capability. Not tried: the filter of system calls.

  sandbox.py BINARY

Left out, loudly, where mounts are not allowed. Exit: 0 held or left out; 1 something did not.
"""
import base64, hashlib, hmac, json, os, pathlib, re, shutil, signal, socket, struct, subprocess, sys, tempfile

from harness import Broken, Process, expect, get, until

UNIT = pathlib.Path("docs/deploy/pulsegate.service").read_text()
USER = "61900"
TOKEN, SECRET = "a-token-of-this-test-and-no-other", "a-secret-of-this-test-and-no-other"
APPS = json.dumps([{"package": "org.example.notes", "api_key": "a-key-of-this-test"}])
FILES = {"admin-token": TOKEN, "jwt-secret": SECRET, "apps.json": APPS}

# $1 the binary; the rest is its environment. What systemd mounts, and the same rights.
INSIDE = """
set -eu
new=$FOLDER/root binary=$1
shift
mount --make-rprivate /
mount --bind / "$new"
mount --rbind /proc "$new/proc"
mount --rbind /dev "$new/dev"
mount -t tmpfs tmpfs "$new/etc"
mkdir "$new/etc/pulsegate"
cp docs/deploy/pulsegate.toml "$new/etc/pulsegate/"
cp -a "$FOLDER/files/." "$new/etc/pulsegate/"
chmod -R go-rwx "$new/etc/pulsegate"
chmod 755 "$new/etc/pulsegate"
chmod 644 "$new/etc/pulsegate/pulsegate.toml"
mount -t tmpfs tmpfs "$new/run"
mkdir -p "$new/run/credentials"
cp -a "$FOLDER/credentials" "$new/run/credentials/pulsegate.service"
cp "$binary" "$new/run/pulsegate"
mount -t tmpfs tmpfs "$new/var/lib"
mkdir "$new/var/lib/pulsegate"
mount --bind "$FOLDER/state" "$new/var/lib/pulsegate"
mount -t tmpfs tmpfs "$new/tmp"
for place in "$new" "$new/run" "$new/var/lib" "$new/etc"; do mount -o remount,bind,ro "$place"; done
umask "$UMASK"
exec chroot "$new" setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
    env -i "$@" /run/pulsegate --listen-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0 --proxy-protocol off
"""


def keys(name):
    return re.findall(rf"^{name}=(.*)$", UNIT, re.M)


def environment():
    """The unit's variables, with what systemd puts in."""
    places = {"%d": "/run/credentials/pulsegate.service", "%S": "/var/lib"}
    return [re.sub("%[a-zA-Z]", lambda m: places[m[0]], text) for text in keys("Environment")]


def start(folder, binary):
    command = ["unshare", "--mount", "sh", "-c", INSIDE, "sandbox", binary, *environment()]
    gateway = Process("sandboxed gateway", command, FOLDER=str(folder), USER_ID=USER, UMASK=keys("UMask")[0])
    until(20, "the gateway starts", lambda: gateway.find(r"\] start .*listen=(\S+) admin=(\S+)") or gateway.alive())
    found = gateway.find(r"\] start .*listen=(\S+) admin=(\S+)")
    expect(found, "it has not started:\n" + "\n".join(gateway.lines))
    return gateway, found[1], found[2]


def end(gateway):
    gateway.child.send_signal(signal.SIGTERM)
    gateway.child.wait(30)
    expect(gateway.child.returncode == 0, f"exit code {gateway.child.returncode}:\n" + "\n".join(gateway.lines[-5:]))


def token():
    part = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    text = part(b'{"alg":"HS256"}') + b"." + part(b'{"email":"ada@example.org"}')
    return (text + b"." + part(hmac.new(SECRET.encode(), text, hashlib.sha256).digest())).decode()


def say(addr, message):
    """A pair of glasses that says this, and stays."""
    host, port = addr.rsplit(":", 1)
    stream = socket.create_connection((host, int(port)), 10)
    key = base64.b64encode(os.urandom(16)).decode()
    head = f"GET /glasses-ws?token={token()} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    stream.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    answer = stream.recv(4096)
    expect(answer.startswith(b"HTTP/1.1 101 "), f"the glasses are refused: {answer}")
    body = json.dumps(message).encode()
    expect(len(body) < 126, "a short message")
    stream.sendall(struct.pack("!BB4x", 0x81, 0x80 | len(body)) + body)
    return stream


def main():
    if subprocess.run(["unshare", "--mount", "mount", "--make-rprivate", "/"], capture_output=True).returncode != 0:
        print("LEFT OUT: the sandbox of pulsegate.service (mounts are not allowed here)")
        return
    binary = os.path.abspath(sys.argv[1])
    loaded = dict(text.split(":", 1) for text in keys("LoadCredential"))
    expect(set(loaded) == set(FILES), f"the unit loads {sorted(loaded)}, this test knows {sorted(FILES)}")
    fallback = dict(text.split(":", 1) for text in keys("SetCredential"))
    expect(keys("StateDirectory") == ["pulsegate"], "the unit has no state directory")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pulsegate-sandbox-"))
    try:
        for name in ("root", "files", "credentials", "state"):
            (folder / name).mkdir()
        for name, text in FILES.items():
            (folder / "files" / name).write_text(text)
            (folder / "credentials" / name).write_text(text)
        for path in [folder / "state", folder / "credentials", *(folder / "credentials").iterdir()]:
            os.chown(path, int(USER), int(USER))
            path.chmod(0o700 if path.is_dir() else 0o400)
        gateway, listen, admin = start(folder, binary)
        expect(not gateway.find(r"every client may connect"), "the gateway is open")
        glasses = say(listen, {"type": "start_app", "packageName": "org.example.notes"})
        state = folder / "state" / "state.json"
        until(10, "the state is written", lambda: state.exists() and "org.example.notes" in state.read_text())
        expect(state.stat().st_mode & 0o077 == 0, "others can read the state")
        glasses.close()
        end(gateway)
        # The next process finds it.
        gateway, listen, admin = start(folder, binary)
        expect("org.example.notes" in state.read_text(), "the state is lost")
        end(gateway)
        # Without apps it starts, too: there are none.
        (folder / "credentials" / "apps.json").write_text(fallback["apps.json"])
        gateway, listen, admin = start(folder, binary)
        end(gateway)
        print("secrets are read, the state outlives the process, nothing else is written to")
    finally:
        shutil.rmtree(folder)


if len(sys.argv) != 2:
    print(__doc__, file=sys.stderr)
    sys.exit(2)
try:
    main()
except Broken as why:
    print(why)
    sys.exit(1)
