#!/usr/bin/env python3
"""What no tool checks: kernel settings, the example of CONFIG_FILE, the Dockerfile, numbers that hang together, the list in the README.

Prints every fault. Never writes a kernel setting. Exit: 0 none; 1 some.
"""
import http.server, json, os, re, subprocess, sys, threading, tomllib

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")
DEPLOY = os.path.join(ROOT, "docs/deploy")
FAULTS = []


def fault(text):
    FAULTS.append(text)


def read(name):
    with open(os.path.join(DEPLOY, name)) as file:
        return file.read()


def kernel_settings():
    comment, seen = False, set()
    for line in read("90-pulsegate.conf").splitlines():
        if not line or line.startswith("#"):
            comment = line.startswith("#") and line.strip("# -") != ""
            continue
        m = re.fullmatch(r"(-?)([a-z][a-z0-9_.-]*) = (\d+(?: \d+)*)", line)
        if not m:
            fault(f"90-pulsegate.conf: not `key = numbers`: {line}")
            continue
        optional, key, value = m.groups()
        if not comment:
            fault(f"90-pulsegate.conf, {key}: no reason above it")
        comment = False
        if key in seen:
            fault(f"90-pulsegate.conf, {key}: twice")
        seen.add(key)
        numbers = [int(n) for n in value.split()]
        if len(numbers) > 1 and numbers != sorted(numbers):
            fault(f"90-pulsegate.conf, {key}: not in rising order: {value}")
        try:
            with open("/proc/sys/" + key.replace(".", "/")) as file:
                now = file.read().split()
        except OSError:
            # Of the whole machine only: not to be seen from a container's network.
            if optional or key in ("net.core.netdev_max_backlog", "net.ipv4.tcp_mem"):
                print(f"note: {key} does not exist here")
            else:
                fault(f"90-pulsegate.conf, {key}: no such setting in /proc/sys")
            continue
        if len(now) != len(numbers):
            fault(f"90-pulsegate.conf, {key}: {len(numbers)} numbers, the kernel has {len(now)}")
    return len(seen)


def settings():
    with open(os.path.join(ROOT, "docs/operations.md")) as file:
        names = set(re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|", file.read(), re.M))
    # Until they are in the handbook's table.
    names |= {"ADMIN_ADDR", "ADMIN_TOKEN", "ADMIN_TOKEN_FILE", "PROXY_PROTOCOL", "TRUSTED_PROXIES", "CONFIG_FILE"}
    try:
        values = tomllib.loads(read("pulsegate.toml"))
    except tomllib.TOMLDecodeError as e:
        fault(f"pulsegate.toml: {e}")
        return {}
    for key, value in values.items():
        if key.upper() not in names:
            fault(f"pulsegate.toml: no such setting: {key}")
        if not isinstance(value, (str, int)):
            fault(f"pulsegate.toml, {key}: neither text nor a number")
    for key in re.findall(r"^# (\w+) = ", read("pulsegate.toml"), re.M):
        if key.upper() not in names:
            fault(f"pulsegate.toml: no such setting: {key} (in a comment)")
    for key in re.findall(r"^Environment=(\w+)=", read("pulsegate.service"), re.M):
        if key not in names:
            fault(f"pulsegate.service: no such setting: {key}")
    return values


def number(name, pattern):
    found = re.search(pattern, read(name), re.M)
    if not found:
        fault(f"{name}: nothing like {pattern}")
        return 0
    text, unit = found.groups()
    return float(text) * {"ms": 0.001, "s": 1, "": 1}[unit]


def numbers(values):
    stale = (values.get("connection_timeout_ms", 45000) + 2000) / 1000
    delay, drain = values.get("drain_delay_ms", 0) / 1000, values.get("drain_ms", 1000) / 1000
    tunnel = number("haproxy.cfg", r"^    timeout tunnel (\d+)(m?s)$")
    looks = number("haproxy.cfg", r"^    default-server .* inter (\d+)(m?s)") + number("haproxy.cfg", r"^    default-server .* fastinter (\d+)(m?s)")
    stop = number("pulsegate.service", r"^TimeoutStopSec=(\d+)(s)$")
    watchdog = number("pulsegate.service", r"^WatchdogSec=(\d+)(s)$")
    for larger, smaller, text in (
        (tunnel, stale, "haproxy.cfg: timeout tunnel is not above the connection timeout and the close timeout"),
        (delay, looks, "pulsegate.toml: drain_delay_ms is not above HAProxy's inter and fastinter"),
        (stop, delay + drain + 20, "pulsegate.service: TimeoutStopSec is not above the drain"),
        (watchdog, 5.6, "pulsegate.service: WatchdogSec is not above a stall that the loop forgives"),
    ):
        if larger <= smaller:
            fault(f"{text}: {larger} against {smaller} s")


INSTRUCTIONS = "ARG FROM RUN WORKDIR COPY USER ENV EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT".split()


def dockerfile():
    """Its grammar as far as it is used, and the very command of the health check against a server."""
    text = re.sub(r"^\s*#.*\n", "", read("Dockerfile"), flags=re.M)
    lines = [line for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.strip()]
    found = [(line.split(None, 1)[0], line.split(None, 1)[1] if " " in line else "") for line in lines]
    for name, _ in found:
        if name not in INSTRUCTIONS:
            fault(f"Dockerfile: no such instruction: {name}")
    stages = [m[1] for _, rest in found if (m := re.search(r" AS (\w+)$", rest))]
    for name, rest in found:
        for stage in re.findall(r"--from=(\w+)", rest):
            if stage not in stages:
                fault(f"Dockerfile: no such stage: {stage}")
    last = max((n for n, (name, _) in enumerate(found) if name == "FROM"), default=0)
    final = dict(found[last:])
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", final.get("USER", "")):
        fault("Dockerfile: the last stage's USER is not a number other than 0")
    if final.get("STOPSIGNAL") != "SIGTERM":
        fault("Dockerfile: STOPSIGNAL is not SIGTERM")
    try:
        json.loads(final.get("ENTRYPOINT", ""))
        check = json.loads(final.get("HEALTHCHECK", "").split("CMD ", 1)[1])
    except (ValueError, IndexError) as e:
        fault(f"Dockerfile: ENTRYPOINT or HEALTHCHECK CMD is no JSON array, so a shell would be in between: {e}")
        return
    health_check(check)


def health_check(command):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            # As the admin listener: the token is asked for elsewhere, and no probe has it.
            self.send_response(self.server.status if self.path == "/healthz" else 401)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def result(status):
        server.status = status
        environment = {"PATH": os.environ["PATH"], "ADMIN_ADDR": f"0.0.0.0:{server.server_port}"}
        return subprocess.run(command, env=environment, capture_output=True, timeout=10).returncode

    got = [result(200), result(503), result(500)]
    server.shutdown()
    server.server_close()
    got.append(result(200))
    if [code == 0 for code in got] != [True, False, False, False]:
        fault(f"Dockerfile: the health check ends with {got} for 200, a loop that hangs, 500, no listener")


def readme():
    files = {os.path.relpath(os.path.join(place, f), DEPLOY) for place, _, names in os.walk(DEPLOY) for f in names}
    files = {f for f in files if f != "README.md" and not f.endswith(".dockerignore")}
    named = set(re.findall(r"\]\(((?!\.\.)[\w./-]+)\)", read("README.md")))
    for name in sorted(files ^ named):
        fault(f"docs/deploy/README.md: {name} is in only one of the folder and the README")


def main():
    keys = kernel_settings()
    values = settings()
    numbers(values)
    dockerfile()
    readme()
    for text in FAULTS:
        print(f"fault: {text}")
    print(f"{keys} kernel settings, {len(values)} settings, the Dockerfile, the README: {len(FAULTS)} faults")
    return 1 if FAULTS else 0


if __name__ == "__main__":
    sys.exit(main())
