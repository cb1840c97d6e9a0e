#!/usr/bin/env python3
"""Runs what docs/deploy and the README show, in a network of its own. See examples.sh.

  examples.py PULSEGATE CASE FOLDER     one of the cases at the end of this file
  examples.py service ADDR NAME         a service: it echoes messages, and answers plain requests
  examples.py activated ADDR... -- COMMAND     COMMAND with listening sockets, as systemd starts it

Exit: 0 it held; 1 it did not; 2 usage.
"""
import base64, concurrent.futures, hashlib, http.server, json, os, pathlib, re, shlex, shutil
import signal, socket, struct, subprocess, sys, threading, time, traceback
import urllib.error, urllib.request
from urllib.parse import parse_qs, urlsplit

from harness import Process, expect, get, until
from proxy import WebSocket, certificate, haproxy

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "docs/deploy"
KUBERNETES = DEPLOY / "kubernetes"
UNIT = DEPLOY / "systemd/pulsegate-bridge.service"
# Where the kubelet reaches the Pod.
POD = "10.244.0.5"
# What the images and DynamicUser run as.
USER = "65532"


class Service(http.server.BaseHTTPRequestHandler):
    """What stands behind the gateway."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade", "").lower() == "websocket":
            return self.echo()
        url = urlsplit(self.path)
        time.sleep(float(parse_qs(url.query).get("seconds", ["0"])[0]))
        told = {"service": self.server.name, "path": self.path}
        told |= {name: self.headers.get(f"X-Forwarded-{name}") for name in ("Proto", "For")}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def echo(self):
        """Echoes short messages, with the name of the service in front."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.close_connection = True
        while head := self.rfile.read(2):
            opcode, length = head[0] & 15, head[1] & 127
            assert length < 126, "a short frame"
            mask = self.rfile.read(4)
            payload = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(length)))
            if opcode == 1:
                payload = self.server.name.encode() + b" " + payload
            answer = {9: 10}.get(opcode, opcode)
            if opcode in (1, 8, 9):
                self.wfile.write(bytes([0x80 | answer, len(payload)]) + payload)
            if opcode == 8:
                return

    def log_message(self, *_):
        pass


def serve(address, name):
    host, port = address.split(":")
    server = http.server.ThreadingHTTPServer((host, int(port)), Service)
    server.name, server.daemon_threads = name, True
    print("serves", file=sys.stderr, flush=True)
    server.serve_forever()


def activated(arguments):
    """Becomes the command, with the sockets as descriptors 3, 4, ..."""
    cut = arguments.index("--")
    for at, address in enumerate(arguments[:cut]):
        host, port = address.rsplit(":", 1)
        listener = socket.create_server((host, int(port)), backlog=4096)
        # Away from where the others belong.
        os.dup2(listener.detach(), 100 + at)
    for at in range(cut):
        os.dup2(100 + at, 3 + at)
        os.close(100 + at)
    pid = str(os.getpid())
    os.environ.update(LISTEN_FDS=str(cut), LISTEN_PID=pid, WATCHDOG_PID=pid)
    os.execvp(arguments[cut + 1], arguments[cut + 1 :])


class Plain(WebSocket):
    """A client without TLS."""

    HOST = "127.0.0.1"

    def dial(self, source, port):
        return socket.create_connection((self.HOST, port), timeout=5, source_address=(source, 0))


class OfPod(Plain):
    HOST = POD


def says(peer, text="hello"):
    """The name of the service that echoes."""
    peer.send(1, text.encode())
    frame = peer.receive(5)
    expect(frame and frame[0] == 1 and frame[1].endswith(text.encode()), f"the echo is {frame}")
    return frame[1].split()[0].decode()


def status(url, seconds=2, **headers):
    """The status of an answer; 0 without one."""
    request = urllib.request.Request(url, headers=headers)
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=seconds) as answer:
            return answer.status
    except urllib.error.HTTPError as e:
        return e.code
    except OSError:
        return 0


class Stage:
    """Processes that end with it, in a folder, in a network that is its own."""

    def __init__(self, binary, folder):
        self.binary, self.folder, self.processes = binary, pathlib.Path(folder), []
        for command in ("link set lo up", f"addr add {POD}/32 dev lo"):
            subprocess.run(["ip", *command.split()], check=True)

    def start(self, name, command, **environment):
        self.processes.append(process := Process(name, command, **environment))
        return process

    def service(self, address, name):
        service = self.start(name, [sys.executable, "-B", __file__, "service", address, name])
        until(10, f"{name} serves", lambda: service.alive() or service.find("serves"))
        return service

    def haproxy(self, stats):
        """With haproxy.cfg; its gateway is where the unit's socket is."""
        text = (DEPLOY / "haproxy.cfg").read_text()
        gateway = re.search(r"presetenv PULSEGATE_GATEWAY (\S+)", text)[1]
        proxy = haproxy(certificate(str(self.folder)), "127.0.0.1:443", gateway, stats)
        self.processes.append(proxy)
        return proxy

    def stop(self):
        for process in self.processes:
            process.stop()


def slow(ask, seconds):
    """Asks in a thread. The future has the answer and the time at which it came."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    return pool.submit(lambda: (ask(f"slow?seconds={seconds}"), time.monotonic()))


def as_user(*command):
    """Without any privilege, as a container and a DynamicUser are."""
    ids = ["--reuid", USER, "--regid", USER, "--clear-groups"]
    return ["setpriv", *ids, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", *command]


def first_command(stage, address=None):
    """Runs the first command of README.md, with the binary in place of what cargo builds."""
    text = (ROOT / "README.md").read_text()
    command = re.search(r"^```sh\n(.*)\n```$", text, re.M)[1]
    shown = re.fullmatch(r"UPSTREAM=http://(127\.0\.0\.1:\d+) cargo run --release", command)
    expect(shown, f"it is {command}")
    if address:
        command = command.replace(shown[1], address)
    shim = stage.folder / "cargo"
    shim.write_text(f'#!/bin/sh\n[ "$*" = "run --release" ] && exec {shlex.quote(stage.binary)}\n')
    shim.chmod(0o755)
    path = f"{stage.folder}:{os.environ['PATH']}"
    gateway = stage.start("gateway", ["sh", "-c", f"exec env {command}"], PATH=path)
    until(20, "the start", lambda: gateway.alive() or gateway.find(r"\] start "))
    return gateway, shown[1], int(re.search(r"ws://127\.0\.0\.1:(\d+)/", text)[1])


def readme(stage):
    """The first command, with what the README says of it."""
    gateway, address, listen = first_command(stage)
    stage.service(address, "service")
    text = (ROOT / "README.md").read_text()
    port = address.split(":")[1]
    expect(f"service listens on port {port}" in text, f"the README does not say port {port}")
    ask = lambda path: get(f"http://127.0.0.1:{listen}/{path}", 40)
    peers = [Plain("127.0.0.1", listen, "/") for _ in range(4)]
    expect({says(peer) for peer in peers} == {"service"}, "the echo")
    expect(ask("index.html")["path"] == "/index.html", "plain HTTP")
    for url in re.findall(r"^curl '?(http://127.0.0.1:9002[^' ]*)", text, re.M)[:3]:
        expect(get(url), f"nothing at {url}")
    # Ctrl-C.
    waiting, since = slow(ask, 3), time.monotonic()
    # A request that comes after the signal is refused.
    until(5, "the request", lambda: get("http://127.0.0.1:9002/api/v1/http-requests")["requests"])
    gateway.child.send_signal(signal.SIGINT)
    codes = [peer.closed_with(31) for peer in peers]
    expect(codes == [1012] * 4, f"the clients got {codes}")
    expect(waiting.result(5)[0]["service"] == "service", "the request in progress")
    expect(gateway.child.wait(5) == 0, f"exit code {gateway.child.returncode}")
    return f"WebSocket, plain HTTP, page, API; drained in {time.monotonic() - since:.0f} s"


def services(stage):
    """The first command and the routes file in front of services and clients of others."""
    for folder in ("bridge", "services"):
        sys.path.insert(0, str(ROOT / "tests/foreign" / folder))
    import kinds
    from rig import Programs

    place = os.environ["SERVICES"]
    for kind in kinds.ALL:
        kind = kind(place)
        with Programs() as programs:
            try:
                _, address = kind.start(programs)
                gateway, _, listen = first_command(stage, address)
                kind.talk(programs, f"127.0.0.1:{listen}")
            except Exception as e:
                raise type(e)(f"{kind.name}: {e}") from e
            gateway.stop()
    # Each address of the file becomes that of a service.
    text = (DEPLOY / "routes.toml").read_text()
    chat, app = kinds.Ws(place), kinds.Express(place)
    chat.path = "/chat/room"
    with Programs() as programs:
        for port, kind in ((3000, chat), (3001, chat), (8000, app)):
            text = text.replace(f"127.0.0.1:{port}", kind.start(programs)[1])
        file = stage.folder / "routes.toml"
        file.write_text(text)
        gateway = stage.start("gateway", [stage.binary], CONFIG_FILE=str(file))
        until(20, "the start", lambda: gateway.alive() or gateway.find(r"\] start "))
        for _ in range(2):
            chat.works(chat.connect(programs, "127.0.0.1:8002"))
        app.talk(programs, "127.0.0.1:8002")
        gateway.stop()
    names = ", ".join(kind.name for kind in kinds.ALL)
    return f"{names}; by routes ws and Express"


def routes(stage):
    """docs/deploy/routes.toml, as it is, and the gateway's own words about it."""
    file = DEPLOY / "routes.toml"
    text = file.read_text()
    lines = [line for line in text.splitlines()]
    expect(len(lines) == 10, f"it has {len(lines)} lines")
    environment = {"CONFIG_FILE": str(file), "DRAIN_MS": "0"}
    check = subprocess.run([stage.binary, "--check"], env=environment, capture_output=True)
    expect(check.returncode == 0, check.stderr.decode())
    for port in (3000, 3001, 8000):
        stage.service(f"127.0.0.1:{port}", f"service{port}")
    gateway = stage.start("gateway", [stage.binary], **environment)
    until(20, "the start", lambda: gateway.alive() or gateway.find(r"\] start "))
    base = "http://127.0.0.1:8002"
    peers = [Plain("127.0.0.1", 8002, "/chat/room") for _ in range(4)]
    names = sorted(says(peer) for peer in peers)
    expect(names == ["service3000"] * 2 + ["service3001"] * 2, f"the clients are at {names}")
    expect(says(Plain("127.0.0.1", 8002, "/live")) == "service8000", "a WebSocket of the other")
    expect(get(f"{base}/index.html")["service"] == "service8000", "a plain request")
    # The sticky cookie leads a plain request and a WebSocket to one upstream.
    with urllib.request.urlopen(f"{base}/chat/x", timeout=5) as answer:
        cookie = answer.headers["Set-Cookie"].split(";")[0]
        name = json.loads(answer.read())["service"]
    expect(cookie.startswith("chat_upstream="), cookie)
    for _ in range(4):
        peer = Plain("127.0.0.1", 8002, "/chat/y", f"Cookie: {cookie}\r\n")
        expect(says(peer) == name, "the cookie does not lead back")
    gateway.child.send_signal(signal.SIGTERM)
    expect(gateway.child.wait(10) == 0, f"exit code {gateway.child.returncode}")
    return "two services, both upstreams of one, the cookie"


def proxies(stage):
    """The lines for HAProxy and nginx in docs/bridge.md, with the gateway's command there."""
    text = (ROOT / "docs/bridge.md").read_text()
    section = text[text.index("### Behind a proxy") :]
    shown = lambda language: re.search(rf"^```{language}\n(.*?)^```$", section, re.M | re.S)[1]
    command = shown("sh").replace("./pulsegate", shlex.quote(stage.binary))
    stage.service("127.0.0.1:3000", "service")
    gateway = stage.start("gateway", ["sh", "-c", f"exec env {command}"])
    until(20, "the start", lambda: gateway.alive() or gateway.find(r"\] start "))
    cert = certificate(str(stage.folder))
    # Where this file says that the certificate is.
    here = lambda language: re.sub(r"/etc/\w+/site\.(pem|key)", cert, shown(language))
    config = stage.folder / "haproxy.cfg"
    config.write_text(here("haproxy"))
    proxy = stage.start("haproxy", ["haproxy", "-db", "-f", str(config)])
    behind(proxy)
    proxy.stop()
    config = stage.folder / "nginx.conf"
    # One process, so that none is left over.
    main = f"daemon off; master_process off; pid {stage.folder}/pid; events {{}}"
    paths = "".join(
        f"{name}_temp_path {stage.folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(f"{main} http {{ access_log off; {paths} {here('nginx')} }}")
    behind(stage.start("nginx", ["nginx", "-c", str(config), "-e", "stderr"]))
    for name, pattern in (("HAProxy", r"timeout server (\d+)s"), ("nginx", r"read_timeout (\d+)s")):
        expect(int(re.search(pattern, section)[1]) > 300, f"{name} cuts event streams")
    return "HAProxy and nginx as docs/bridge.md has them"


def behind(proxy):
    """A WebSocket and a plain request by TLS. The service is told of both."""

    def serves():
        proxy.alive()
        try:
            return WebSocket("127.0.0.9", 443, "/chat").status == 101
        except OSError:
            return False

    until(10, f"{proxy.name} serves", serves)
    peer = WebSocket("127.0.0.9", 443, "/chat")
    expect(says(peer) == "service", "the echo")
    command = ["curl", "-sk", "--interface", "127.0.0.9", "https://127.0.0.1/x?y=1"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=10).stdout)
    wanted = {"service": "service", "path": "/x?y=1", "Proto": "https", "For": "127.0.0.9"}
    got = told | {"For": (told["For"] or "").split(",")[0]}
    expect(got == wanted, f"{proxy.name}: the service was told {told}")


def unit_keys(name, text=None):
    return re.findall(rf"^{name}=(.*)$", text or UNIT.read_text(), re.M)


def seconds_of(text):
    return float(re.fullmatch(r"(\d+)s", text)[1])


class Notify:
    """systemd's side of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path, self.told = path, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        os.chmod(path, 0o666)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            for line in self.socket.recv(4096).decode().splitlines():
                self.told.append((line, time.monotonic()))

    def when(self, line):
        return next((at for text, at in list(self.told) if text == line), None)


def verify(stage):
    """The units by systemd's own tools."""
    place = stage.folder / "units"
    place.mkdir()
    for file in UNIT.parent.glob("pulsegate-bridge.*"):
        shutil.copy(file, place)
    unit = place / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=.*", "ExecStart=/bin/true", unit.read_text(), flags=re.M))
    run = lambda *arguments: subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=30
    )
    files = [str(unit), str(unit.with_suffix(".socket"))]
    done = run("verify", *files)
    # It warns of unknown keys and yet ends with 0. Other units of the machine are not ours.
    faults = [line for line in (done.stdout + done.stderr).splitlines() if "pulsegate" in line]
    expect(done.returncode == 0 and not faults, done.stdout + done.stderr)
    if "--offline" not in run("--help").stdout:
        return "verified"
    done = run("security", "--offline=yes", "--no-pager", str(unit))
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    expect(level and float(level[1]) <= 2.0, done.stdout + done.stderr)
    return f"verified, exposure {level[1]} of 10"


def haproxy_state(stats):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(stats)
        s.sendall(b"show stat\n")
        text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
    return re.search(r"^gateways,gateway1,(?:[^,]*,){15}([^,]*),", text, re.M)[1]


def systemd(stage):
    """The unit's command, environment and times, behind HAProxy with haproxy.cfg."""
    said = verify(stage)
    etc, run = stage.folder / "etc", stage.folder / "run"
    for place in (etc, run):
        place.mkdir()
        place.chmod(0o755)
    # As the comment at the unit's head installs them.
    shutil.copy(DEPLOY / "routes.toml", etc / "routes.toml")
    shutil.copy(UNIT.parent / "pulsegate-bridge.env", etc / "bridge.env")
    file = etc / "routes.toml"
    environment = dict(line.split("=", 1) for line in unit_keys("Environment"))
    for name in unit_keys("EnvironmentFile"):
        lines = (etc / pathlib.Path(name).name).read_text().splitlines()
        environment |= dict(line.split("=", 1) for line in lines if line and line[0] != "#")
    expect(environment["CONFIG_FILE"] == "/etc/pulsegate/routes.toml", environment)
    environment["CONFIG_FILE"] = str(file)
    notify = Notify(str(run / "notify"))
    watchdog = seconds_of(unit_keys("WatchdogSec")[0])
    environment |= {"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": str(int(watchdog * 1e6))}
    sockets = unit_keys("ListenStream", UNIT.with_suffix(".socket").read_text())
    for port in (3000, 3001, 8000):
        stage.service(f"127.0.0.1:{port}", f"service{port}")
    expect(unit_keys("ExecStart") == ["/usr/local/bin/pulsegate"], unit_keys("ExecStart"))
    command = [sys.executable, "-B", __file__, "activated", *sockets, "--", *as_user(stage.binary)]
    gateway = stage.start("gateway", command, **environment)
    until(20, "READY=1", lambda: gateway.alive() or notify.when("READY=1"))
    stats = str(stage.folder / "stats")
    proxy = stage.haproxy(stats)
    until(10, "HAProxy is up", lambda: proxy.alive() or os.path.exists(stats))
    until(10, "HAProxy sees the gateway", lambda: haproxy_state(stats) == "UP")

    def ask(path):
        command = ["curl", "-sk", "--max-time", "60", f"https://127.0.0.1:443/{path}"]
        return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    peer = WebSocket("127.0.0.9", 443, "/chat/room")
    expect(peer.status == 101 and says(peer).startswith("service300"), f"answered {peer.status}")
    answer = ask("index.html")
    expect((answer["service"], answer["Proto"]) == ("service8000", "https"), f"it is {answer}")
    # Reload, by the unit's own command.
    other = etc / "routes.toml.new"
    route = '\n[[route]]\nname = "talk"\npath = "/talk"\nupstream = "http://127.0.0.1:3000"\n'
    other.write_text(file.read_text() + route)
    other.rename(file)
    reload = unit_keys("ExecReload")[0].replace("$MAINPID", str(gateway.child.pid))
    subprocess.run(shlex.split(reload), check=True)
    until(5, "the reload", lambda: gateway.find(r"reload routes=\"\+talk"))
    expect(ask("talk/x")["service"] == "service3000", "the new route")
    says(peer)
    until(watchdog / 2, "WATCHDOG=1", lambda: notify.when("WATCHDOG=1"))

    delay, drain = (int(environment[name]) / 1000 for name in ("DRAIN_DELAY_MS", "DRAIN_MS"))
    stop = seconds_of(unit_keys("TimeoutStopSec")[0])
    room = delay + drain + 10 * int(environment["CLOSE_TIMEOUT_MS"]) / 1000
    expect(stop >= room + 5, f"TimeoutStopSec is {stop} s, the drain takes up to {room} s")
    waiting, since = slow(ask, delay + 4), time.monotonic()
    time.sleep(0.3)
    gateway.child.send_signal(signal.SIGTERM)
    until(2, "STOPPING=1", lambda: notify.when("STOPPING=1"))
    until(delay, "HAProxy sends nobody", lambda: haproxy_state(stats) == "DOWN")
    noticed = time.monotonic() - since
    says(peer)
    code = peer.closed_with(stop)
    closed = time.monotonic() - since
    expect((code, closed >= delay) == (1012, True), f"closed with {code} after {closed:.1f} s")
    answer, came = waiting.result(stop)
    expect(answer["service"] == "service8000", f"the request in progress got {answer}")
    expect(gateway.child.wait(max(0.1, since + stop - time.monotonic())) == 0, "the exit code")
    ended = time.monotonic() - since
    return (
        f"{said}; HAProxy noticed after {noticed:.1f} s, 1012 after {closed:.1f} s, "
        f"request answered after {came - since:.1f} s, exit after {ended:.1f} s of {stop:.0f} s"
    )


def documents(name):
    import yaml

    return [d for d in yaml.safe_load_all((KUBERNETES / name).read_text()) if d]


def find(docs, kind, name):
    found = [d for d in docs if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    expect(len(found) == 1, f"{len(found)} of {kind} {name}")
    return found[0]


def container_of(spec, name):
    every = spec["containers"] + spec.get("initContainers", [])
    return next((c for c in every if c["name"] == name), None)


class Pod:
    """A Pod of a Deployment: its containers as processes, as far as that is possible."""

    def __init__(self, stage, file, deployment):
        self.stage, self.docs = stage, documents(file)
        self.spec = find(self.docs, "Deployment", deployment)["spec"]["template"]["spec"]
        self.container = container_of(self.spec, "pulsegate")
        self.grace = self.spec["terminationGracePeriodSeconds"]
        self.generation = 0
        self.places = {}
        volumes = {volume["name"]: volume for volume in self.spec["volumes"]}
        for mount in self.container["volumeMounts"]:
            place = stage.folder / "volumes" / mount["name"]
            place.mkdir(parents=True)
            self.places[mount["mountPath"]] = place
            volume = volumes[mount["name"]]
            if "configMap" in volume:
                self.routes = place
                self.data = find(self.docs, "ConfigMap", volume["configMap"]["name"])["data"]
                self.write(place, self.data, 0o644)
            else:
                self.token = "the-token-of-this-test-and-no-other"
                # fsGroup: the group may read it.
                expect(self.spec["securityContext"]["fsGroup"] == int(USER), "fsGroup")
                self.write(place, {"token": self.token}, volume["secret"]["defaultMode"])

    def write(self, place, data, mode):
        """As the kubelet does: a new folder, and one link that is replaced."""
        self.generation += 1
        folder = place / f"..2026_01_01_00_00_0{self.generation}.{self.generation}"
        folder.mkdir()
        folder.chmod(0o755)
        for name, text in data.items():
            (folder / name).write_text(text)
            os.chown(folder / name, 0, int(USER))
            (folder / name).chmod(mode)
        (place / "..data_tmp").symlink_to(folder.name)
        before = (place / "..data").resolve() if (place / "..data").exists() else None
        (place / "..data_tmp").rename(place / "..data")
        for name in data:
            if not (place / name).is_symlink():
                (place / name).symlink_to(f"..data/{name}")
        if before:
            shutil.rmtree(before)

    def start(self):
        context = self.spec["securityContext"]
        expect((context["runAsNonRoot"], str(context["runAsUser"])) == (True, USER), context)
        environment = {each["name"]: each["value"] for each in self.container["env"]}
        self.environment = dict(environment)
        for path, place in self.places.items():
            for name, value in environment.items():
                if value.startswith(path + "/"):
                    environment[name] = str(place) + value[len(path) :]
        command = [self.stage.binary, *self.container.get("args", [])]
        self.gateway = self.stage.start("gateway", as_user(*command), **environment)
        self.until_ready("pulsegate")
        return self.gateway

    def probe(self, kind, name="pulsegate"):
        """Whether one probe succeeds."""
        container = container_of(self.spec, name)
        probe = container[kind]
        seconds = probe.get("timeoutSeconds", 1)
        if "exec" in probe:
            command = probe["exec"]["command"]
            environment = os.environ | {"no_proxy": "*"}
            return subprocess.run(command, timeout=seconds, env=environment).returncode == 0
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        port, path = ports[probe["httpGet"]["port"]], probe["httpGet"]["path"]
        return 200 <= status(f"http://{POD}:{port}{path}", seconds) < 400

    def until_ready(self, name):
        until(20, f"{name} is ready", lambda: self.probe("readinessProbe", name))

    def port(self, service):
        """Where a Service leads: the port of the container."""
        service = find(self.docs, "Service", service)
        target = service["spec"]["ports"][0]["targetPort"]
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        return ports[target]

    def admin(self, path):
        request = urllib.request.Request(f"http://{POD}:9002/api/v1/{path}")
        request.add_header("Authorization", f"Bearer {self.token}")
        return json.load(urllib.request.urlopen(request, timeout=5))

    def end(self, ask, port, path):
        """Deletes the Pod: preStop, SIGTERM, and what clients and probes see. Returns a report."""
        number = lambda name: int(self.environment[name]) / 1000
        delay, drain = number("DRAIN_DELAY_MS"), number("DRAIN_MS")
        peer = OfPod(POD, port, path)
        says(peer)
        waiting, since = slow(ask, delay + 4), time.monotonic()
        time.sleep(0.3)
        before_stop = self.container.get("lifecycle", {}).get("preStop", {})
        expect(set(before_stop) <= {"sleep", "exec"}, before_stop)
        if "sleep" in before_stop:
            time.sleep(before_stop["sleep"]["seconds"])
        if "exec" in before_stop:
            subprocess.run(before_stop["exec"]["command"], check=True, timeout=self.grace)
        term = time.monotonic()
        self.gateway.child.send_signal(signal.SIGTERM)
        # As the kubelet: this many failures, one in each period.
        probe = self.container["readinessProbe"]
        failures = 0
        while failures < probe["failureThreshold"]:
            time.sleep(probe["periodSeconds"])
            failures = 0 if self.probe("readinessProbe") else failures + 1
            expect(time.monotonic() < term + delay, "it stays ready until the drain begins")
        unready = time.monotonic() - term
        # Whoever has not heard of it yet is still served, and nobody is closed.
        late = OfPod(POD, port, path)
        expect(late.status == 101, f"a client of the delay was answered {late.status}")
        says(late), says(peer)
        expect(self.probe("livenessProbe"), "liveness fails while it drains")
        expect(time.monotonic() < term + delay, "the delay was too short for this test")
        codes = [each.closed_with(delay + drain + 2) for each in (peer, late)]
        closed = time.monotonic() - term
        expect(codes == [1012, 1012], f"closed with {codes}")
        expect(closed >= delay, f"closed after {closed:.1f} s, before DRAIN_DELAY_MS")
        answer, came = waiting.result(self.grace)
        expect(answer["service"], f"the request in progress got {answer}")
        code = self.gateway.child.wait(max(0.1, since + self.grace - time.monotonic()))
        expect(code == 0, f"exit code {code}")
        ended = time.monotonic() - since
        return (
            f"unready after {unready:.1f} s, all closed after {closed:.1f} s, "
            f"request answered after {came - since:.1f} s, "
            f"exit after {ended:.1f} s of {self.grace} s"
        )


def sidecar(stage):
    """kubernetes/sidecar.yaml."""
    pod = Pod(stage, "sidecar.yaml", "chat")
    # What ends last must have started first.
    beside = container_of(pod.spec, "service")
    expect(beside in pod.spec["initContainers"] and beside["restartPolicy"] == "Always", beside)
    environment = {each["name"]: each["value"] for each in beside["env"]}
    address = f"{environment['HOST']}:{environment['PORT']}"
    expect(not pod.probe("startupProbe", "service"), "the startup probe succeeds without a service")
    service = stage.service(address, "service")
    for kind in ("startupProbe", "readinessProbe"):
        expect(pod.probe(kind, "service"), f"{kind} of the service fails")
    pod.start()
    expect(pod.probe("livenessProbe"), "liveness")
    port = pod.port("chat")
    ask = lambda path: get(f"http://{POD}:{port}/{path}", 60)
    expect(ask("index.html")["service"] == "service", "plain HTTP")
    expect(says(OfPod(POD, port, "/")) == "service", "the echo")
    expect(status(f"http://{POD}:9002/api/v1/overview") == 401, "the API without the token")
    expect(pod.admin("overview"), "the API")
    expect(status(f"http://{POD}:{environment['PORT']}/") == 0, "the service is reached directly")
    report = pod.end(ask, port, "/")
    expect(service.child.poll() is None, "the service ended before the gateway")
    return report


def deployment(stage):
    """kubernetes/deployment.yaml."""
    pods = {"10.244.1.11": "chat", "10.244.1.12": "chat", "10.244.2.11": "app"}
    hosts = stage.folder / "hosts"
    hosts.write_text("".join(f"{address} {name}\n" for address, name in pods.items()))
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
    pod = Pod(stage, "deployment.yaml", "pulsegate")
    started = {}
    for address, name in pods.items():
        service = find(pod.docs, "Service", name)["spec"]
        expect(service["clusterIP"] == "None", f"{name} is not headless")
        subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
        at = f"{address}:{service['ports'][0]['port']}"
        started[address] = stage.service(at, f"{name}-{address}")
    gateway = pod.start()
    expect(pod.probe("livenessProbe"), "liveness")
    port = pod.port("pulsegate")
    base = f"http://{POD}:{port}"
    ask = lambda path: get(f"{base}/talk/{path}", 60)
    peers = [OfPod(POD, port, "/chat/room") for _ in range(4)]
    names = sorted(says(peer) for peer in peers)
    wanted = sorted(f"chat-{address}" for address, name in pods.items() if name == "chat")
    expect(sorted(set(names)) == wanted, f"the clients are at {names}")
    expect(get(f"{base}/index.html")["service"] == "app-10.244.2.11", "plain HTTP")
    expect(status(f"http://{POD}:9002/api/v1/overview") == 401, "the API without the token")

    # The ConfigMap changes, and then to something with a fault.
    key = pathlib.Path(pod.environment["CONFIG_FILE"]).name
    changed = pod.data[key].replace('path = "/chat"', 'path = "/talk"')
    since = time.monotonic()
    pod.write(pod.routes, {key: changed}, 0o644)
    until(5, "the reload", lambda: gateway.find(r"reload routes=\"chat:path"))
    reloaded = time.monotonic() - since
    expect(ask("x")["service"].startswith("chat-"), "the route that has changed")
    expect(sorted(says(peer) for peer in peers) == names, "the pairs that were open")
    pod.write(pod.routes, {key: changed.replace("http://app", "gopher://app")}, 0o644)
    until(5, "the fault is logged", lambda: gateway.find(r"gopher"))
    expect(get(f"{base}/index.html")["service"] == "app-10.244.2.11", "after a fault")
    pod.write(pod.routes, {key: changed}, 0o644)

    # Without a service it stays ready and says why.
    started["10.244.2.11"].stop()
    expect(status(f"{base}/index.html", 5) == 502, "the service is gone")
    expect(pod.probe("readinessProbe"), "it is not ready without a service")
    return f"reload after {reloaded:.1f} s; " + pod.end(ask, port, "/talk/room")


def manifests(_):
    """What hangs together in the manifests, and their schemas."""
    import kubernetes_validate

    count = 0
    for file in sorted(KUBERNETES.glob("*.yaml")):
        docs = documents(file.name)
        for doc in docs:
            kubernetes_validate.validate(doc, "1.37", strict=True)
            count += 1
        templates = [d["spec"]["template"] for d in docs if d["kind"] == "Deployment"]
        labels = [template["metadata"]["labels"] for template in templates]
        for doc in docs:
            spec = doc.get("spec", {})
            name = f"{file.name}: {doc['kind']} {doc['metadata']['name']}"
            selector = spec.get("selector", {})
            selector = selector.get("matchLabels", selector)
            # The text says that `app` has a Deployment like that of `chat`.
            expect(not selector or selector in labels or selector == {"app": "app"}, name)
            if doc["kind"] == "PodDisruptionBudget":
                expect(spec["maxUnavailable"] == 1, name)
            if doc["kind"] == "Deployment":
                pod_times(name, spec["template"]["spec"])
                expect(selector == spec["template"]["metadata"]["labels"], name)
    return f"{count} objects fit their schemas; selectors, times and memory fit together"


def pod_times(name, spec):
    def before_stop(container):
        hook = container.get("lifecycle", {}).get("preStop", {})
        return hook.get("sleep", {}).get("seconds", 0)

    grace = spec["terminationGracePeriodSeconds"]
    for container in spec["containers"]:
        expect(grace > before_stop(container) + 5, f"{name}: grace period and preStop")
    gateway = container_of(spec, "pulsegate")
    if not gateway:
        # New clients come until the name has been looked up again (30 s), from a cache of 30 s.
        expect(before_stop(spec["containers"][0]) >= 60, f"{name}: preStop")
        return
    environment = {each["name"]: each["value"] for each in gateway["env"]}
    delay, drain = (int(environment[key]) / 1000 for key in ("DRAIN_DELAY_MS", "DRAIN_MS"))
    probe = gateway["readinessProbe"]
    notice = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    expect(notice < delay, f"{name}: {notice} s until it is unready, DRAIN_DELAY_MS {delay} s")
    needs = before_stop(gateway) + delay + drain + 10 * 2
    expect(grace >= needs + 5, f"{name}: grace period {grace} s, the drain up to {needs} s")
    memory = {"Gi": 1 << 30, "Mi": 1 << 20}
    limit = gateway["resources"]["limits"]["memory"]
    limit = int(limit[:-2]) * memory[limit[-2:]]
    tables = (64 << 20) + int(environment["MAX_CONNECTIONS"]) * 9 * 1024
    expect(limit > 2 * tables, f"{name}: memory {limit}, of which the tables take {tables}")
    for each in spec["containers"]:
        expect("cpu" not in each["resources"].get("limits", {}), f"{name}: a limit of CPU")


CASES = {
    "readme": readme,
    "services": services,
    "routes": routes,
    "proxies": proxies,
    "systemd": systemd,
    "sidecar": sidecar,
    "deployment": deployment,
}


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "service":
        return serve(*sys.argv[2:])
    if len(sys.argv) > 4 and sys.argv[1] == "activated":
        return activated(sys.argv[2:])
    if len(sys.argv) != 4 or sys.argv[2] not in CASES | {"manifests": manifests}:
        print(__doc__, file=sys.stderr)
        return 2
    binary, name, folder = sys.argv[1:]
    stage, since = None, time.monotonic()
    # What it has started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        if name == "manifests":
            said = manifests(None)
        else:
            stage = Stage(os.path.abspath(binary), folder)
            said = CASES[name](stage)
        print(f"held     {name}: {said} ({time.monotonic() - since:.1f} s)")
        return 0
    except Exception as e:
        print(f"NOT HELD {name}: {type(e).__name__}: {e} ({time.monotonic() - since:.1f} s)")
        traceback.print_exc()
        for process in stage.processes if stage else []:
            if process.lines:
                print(f"-- {process.name}", *process.lines[-15:], sep="\n   ")
        return 1
    finally:
        if stage:
            stage.stop()


if __name__ == "__main__":
    sys.exit(main())
