#!/usr/bin/env python3
"""The pictures of docs/page.md: a busy time on a real gateway, and what the page then looks like in a real Chromium.

  picture.py PULSEGATE_BINARY DIRECTORY [MINUTES]

Plays a crowd of some hundred peers for 20 minutes, or as many as are asked for: most are well, some are slow, some flap, some
fall silent, and once a whole network does. Then writes page-light.png, page-dark.png, page-phone.png and page-detail.png.
Needs chromium and chromedriver, and pngquant to make them small. Exit: 0 made; 1 not; 2 usage.
"""
import asyncio, base64, os, random, re, shutil, subprocess, sys, threading, time, urllib.parse

from browser import Browser
from harness import Process, expect, until

NAMES = (
    "ada alan barbara claude dennis donald dorothy edsger frances grace hedy ivan jean john karen katherine ken lynn margaret mary niklaus "
    "radia richard robin shafi sophie stephen tim tony vint whitfield"
).split()
PACKAGES = ["org.example.captions", "org.example.translate", "org.example.notes"]
MOST = 200 * 1024


class Peer:
    """A WebSocket that answers each ping after a while of its own."""

    def __init__(self, listen, path, delay):
        self.listen, self.path, self.delay = listen, path, delay
        self.writer, self.silent = None, False

    async def live(self):
        host, port = self.listen.split(":")
        reader, self.writer = await asyncio.open_connection(host, int(port))
        key = base64.b64encode(os.urandom(16)).decode()
        self.writer.write(
            f"GET {self.path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        try:
            await reader.readuntil(b"\r\n\r\n")
            while True:
                first, length = await reader.readexactly(2)
                if length == 126:
                    length = int.from_bytes(await reader.readexactly(2), "big")
                payload = await reader.readexactly(length)
                if self.silent:
                    continue
                if first == 0x89:
                    await asyncio.sleep(random.lognormvariate(0, 0.35) * self.delay)
                    if not self.silent:
                        self.writer.write(bytes([0x8A, 0x80 | length, 0, 0, 0, 0]) + payload)
                elif first == 0x88:
                    self.writer.write(bytes([0x88, 0x80 | length, 0, 0, 0, 0]) + payload)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writer.close()

    def speak(self):
        if self.writer and not self.writer.is_closing() and not self.silent:
            said = b'{"type":"ping"}'
            self.writer.write(bytes([0x81, 0x80 | len(said), 0, 0, 0, 0]) + said)

    def leave(self, politely=True):
        if self.writer and not self.writer.is_closing():
            if politely:
                self.writer.write(bytes([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE9]))
            else:
                self.writer.transport.abort()


class Crowd:
    def __init__(self, listen):
        self.listen, self.here, self.random = listen, {}, random.Random(7)
        self.tasks = set()

    def user(self, n):
        return f"{NAMES[n % len(NAMES)]}{n // len(NAMES) or ''}@example.org"

    def come(self, n, package=None):
        user = urllib.parse.quote(self.user(n))
        path = f"/app-ws?user={user}&package={package}" if package else f"/glasses-ws?user={user}"
        slow = 1.9 if n % 97 == 13 else 0.6 if n % 41 == 5 else 0
        peer = Peer(self.listen, path, slow or self.random.uniform(0.002, 0.02) if package else slow or self.random.uniform(0.03, 0.22))
        self.here[n, package] = peer
        self.task(peer.live())
        return peer

    def task(self, work):
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def play(self, minutes):
        size = 420
        for n in range(size):
            self.come(n)
            if n % 3 == 0:
                self.come(n, PACKAGES[n % 2 + (n % 9 == 0)])
            await asyncio.sleep(minutes * 60 * 0.2 / size)
        end, beat = time.monotonic() + 60 * minutes * 0.8, 0
        while time.monotonic() < end:
            await asyncio.sleep(1)
            beat += 1
            for _ in range(self.random.choice([0, 0, 1, 1, 2])):
                key = self.random.choice(list(self.here))
                fate = self.random.random()
                peer = self.here.pop(key)
                if fate < 0.55:
                    peer.leave()
                elif fate < 0.7:
                    peer.leave(False)
                elif fate < 0.85:
                    peer.silent = True
                # Else it comes a second time, and takes over.
                self.task(self.again(key, self.random.uniform(0.2, 20) if fate < 0.85 else 0))
            # Some have something to say.
            for key in self.random.sample(list(self.here), 12):
                self.here[key].speak()
            # One app flaps.
            if beat % 11 == 0 and (99, PACKAGES[2]) in self.here:
                self.here[99, PACKAGES[2]].leave(False)
                self.task(self.again((99, PACKAGES[2]), 1))
            # A network goes, and comes back a minute later.
            if beat == int(minutes * 60 * 0.4):
                for key in [k for k in self.here if k[1] is None and k[0] % 4 == 1]:
                    self.here.pop(key).silent = True
                    self.task(self.again(key, self.random.uniform(55, 100)))
        # Once more, shortly before the pictures are made; and some are silent while they are.
        for key in [k for k in self.here if k[1] is None and k[0] % 7 == 2]:
            self.here[key].silent = True
        await asyncio.sleep(20)
        glasses = [k for k in self.here if k[1] is None and not self.here[k].silent]
        for key in self.random.sample(glasses, 9) + self.random.sample([k for k in self.here if k[1]], 3):
            self.here[key].silent = True

    async def again(self, key, after):
        await asyncio.sleep(after)
        self.come(*key)


def shoot(browser, place, name, width, height):
    path = os.path.join(place, name)
    browser.picture(path, width, height)
    if shutil.which("pngquant"):
        subprocess.run(["pngquant", "--force", "--skip-if-larger", "--strip", "--output", path, "128", path], check=False)
    size = os.path.getsize(path)
    print(f"{name}: {width} by {height}, {size // 1024} KiB", flush=True)
    expect(size < MOST, f"{name} has {size} bytes")


def pictures(browser, url, place):
    browser.look(1280, 860, "light")
    browser.run("scrollTo(0, 0); const f = document.querySelector('#find-form'); f.elements.state.value = 'suspect'; f.requestSubmit();")
    until(5, "a suspect", lambda: browser.run("return !!document.querySelector('#found .chip[data-state=suspect]')"))
    browser.run("[...document.querySelectorAll('#found button.identity')].at(-1).click(); document.activeElement.blur()")
    time.sleep(2)
    shoot(browser, place, "page-detail.png", 1280, 860)
    browser.run("document.querySelector('#detail').close(); document.activeElement.blur()")
    top = lambda id: browser.run("return Math.ceil(document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY)", id)
    for name, width, scheme, mobile in [("page-light.png", 1280, "light", False), ("page-dark.png", 1280, "dark", False), ("page-phone.png", 360, "light", True)]:
        browser.look(width, 900, scheme, mobile)
        time.sleep(1.5)
        browser.run("scrollTo(0, 0)")
        shoot(browser, place, name, width, top("#find") if width > 600 else top("#peers"))


def main():
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    binary, place = map(os.path.abspath, sys.argv[1:3])
    minutes = float(sys.argv[3]) if len(sys.argv) == 4 else 20
    gateway = Process(
        "pulsegate", [binary], LISTEN_ADDR="127.0.0.1:0", ADMIN_ADDR="127.0.0.1:0", HEARTBEAT_INTERVAL_MS="5000", CONNECTION_TIMEOUT_MS="25000",
        MAX_CONNECTIONS="2000",
        ALERT_INTERVAL_MS="1000", ALERT_MASS_DEATH="30", ALERT_RTT_MS="1000", ALERT_RTT_FOR_MS="60000",
    )
    browser = None
    try:
        start = until(10, "the gateway starts", lambda: gateway.find(r"\] start .*"))[0]
        listen, admin = (re.search(rf"\b{name}=([\d.]+:\d+)", start)[1] for name in ("listen", "admin"))
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        play = asyncio.run_coroutine_threadsafe(Crowd(listen).play(minutes), loop)
        time.sleep(max(0.0, 60 * minutes - 125))
        # Open for two minutes, so that its traces are full.
        browser = Browser()
        browser.look(1280, 900, "light")
        browser.go(f"http://{admin}/")
        play.result(60 * minutes + 120)
        # Silent for as long as makes a suspect, and not yet one that is gone.
        time.sleep(11)
        pictures(browser, f"http://{admin}/", place)
        return 0
    finally:
        if browser:
            browser.close()
        gateway.stop()


sys.exit(main())
