#!/usr/bin/env python3
"""The page at / in a real Chromium, on a real gateway: does it show what is, as soon as it is, and only as text?

  page.py PULSEGATE_BINARY SWARM_BINARY

Peers are frozen and kicked, the gateway is stopped for a while, tokens are asked for; a keyboard, a phone and axe-core look at
it. Installs Chromium by apt and axe-core by npm where they are missing. Some 80 s. Exit: 0 all held; 1 something did not; 2 usage or set-up.
"""
import base64, collections, datetime, json, os, re, resource, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time
import urllib.parse, urllib.request

from browser import Browser
from harness import Broken, Process, expect, get, until

INTERVAL, TIMEOUT = 1.0, 5.0
AXE = "4.10.3"
TAB, ENTER, ESCAPE = "\ue004", "\ue007", "\ue00c"
TOKEN = "a-token-of-32-characters-0123456"


class Peer:
    """A WebSocket that answers pings, as long as it is not frozen, and remembers how it was closed."""

    def __init__(self, listen, path, agent="page.py"):
        host, port = listen.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=5)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: test\r\nUser-Agent: {agent}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.socket.recv(1)
        expect(head.startswith(b"HTTP/1.1 101"), head)
        self.socket.settimeout(None)
        self.closed, self.frozen = None, False
        threading.Thread(target=self.read, daemon=True).start()

    def exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise OSError("ended")
            data += more
        return data

    def read(self):
        try:
            while True:
                first, length = self.exactly(2)
                if length == 126:
                    length = struct.unpack(">H", self.exactly(2))[0]
                payload = self.exactly(length)
                if self.frozen:
                    continue
                if first == 0x89:
                    self.socket.sendall(bytes([0x8A, 0x80 | length, 0, 0, 0, 0]) + payload)
                if first == 0x88:
                    self.closed = (struct.unpack(">H", payload[:2])[0], payload[2:].decode())
                    self.socket.sendall(bytes([0x88, 0x80 | length, 0, 0, 0, 0]) + payload)
        except OSError:
            pass

    def leave(self):
        self.socket.close()


class Gateway:
    def __init__(self, binary, **environment):
        self.process = Process(
            "pulsegate", [binary], LISTEN_ADDR="127.0.0.1:0", ADMIN_ADDR="127.0.0.1:0", LOG_LEVEL="debug", STATS_INTERVAL_MS="3600000",
            HEARTBEAT_INTERVAL_MS=str(int(1000 * INTERVAL)), CONNECTION_TIMEOUT_MS=str(int(1000 * TIMEOUT)), CLOSE_TIMEOUT_MS="500",
            ALERT_INTERVAL_MS="200", ALERT_MASS_DEATH="30", ALERT_MASS_DEATH_WINDOW_MS="3000", **environment,
        )
        start = until(10, "the gateway starts", lambda: self.process.find(r"\] start .*"))[0]
        self.listen, self.admin = (re.search(rf"\b{name}=([\d.]+:\d+)", start)[1] for name in ("listen", "admin"))
        self.url = f"http://{self.admin}/"

    def api(self, path):
        return get(f"{self.url}api/v1/{path}")

    def act(self, method, path, body=None, token=None):
        """What the API answers to an act."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(f"{self.url}api/v1/{path}", body and json.dumps(body).encode(), headers, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return json.loads(answer.read() or "null")

    def metrics(self):
        told = {}
        for line in get(f"{self.url}metrics").splitlines():
            if m := re.match(r"(pulsegate_[a-z_]+)(?:\{(.*)\})? (\S+)$", line):
                told[m[1], tuple(re.findall(r'="([^"]*)"', m[2] or ""))] = float(m[3])
        return told

    def statistics(self):
        """The next line of statistics, as the log has it."""
        before = len(self.process.lines)
        self.process.child.send_signal(signal.SIGUSR1)
        said = lambda: next((line for line in self.process.lines[before:] if "] stats " in line), None)
        return dict(re.findall(r"(\w+)=(\d+)(?= |$)", until(5, "statistics in the log", said)))


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


# ---- what is there, and what becomes of it ----

WHEN = """
const [selector, wanted, done] = arguments;
const read = () => document.querySelector(selector)?.textContent.replaceAll('\\u202f', '').trim();
const look = () => { if (read() === wanted) { watch.disconnect(); done(Date.now() / 1000); return true; } };
const watch = new MutationObserver(look);
if (!look()) watch.observe(document.body, { subtree: true, childList: true, characterData: true });
"""


def frozen_peers_are_suspect_then_gone(browser, gateway, swarm):
    """Until the page says so, and when the log said it."""
    before = len(gateway.process.lines)
    swarm.send_signal(signal.SIGSTOP)
    shown = browser.wait(WHEN, "#now-app-suspect", "40")
    changes = [line for line in gateway.process.lines[before:] if "] health " in line and "suspect" in line]
    expect(len(changes) >= 40, f"{len(changes)} became suspect in the log")
    last = max(seconds(line.split(" ", 1)[0]) for line in changes[:40])
    expect(shown - last < 2.0, f"shown {shown - last:.2f} s after the last change of state")
    browser.run("document.querySelector('#find-form').elements.state.value = 'suspect'")
    browser.click("#find-form [type=submit]")
    until(3, "40 suspects are found", lambda: (browser.text("#found-told") or "").startswith("1 to 25 of 40"))
    # One of them is looked at when it ends.
    browser.click("#found button.identity")
    until(3, "why it becomes suspect", lambda: "suspect: nothing received" in (browser.text("#detail .why") or ""))
    browser.wait(WHEN, "#now-app-suspect", "0")
    until(4, "the cause of its end", lambda: browser.text("#detail [data-key=cause]") == "stale")
    expect(browser.run("return document.querySelector('#detail-kick').hidden"), "what has ended can be kicked")
    browser.press(ESCAPE)
    expect(not browser.run("return document.querySelector('#detail').open"), "Escape does not close the details")
    until(15, "40 stale in the chart", lambda: browser.number("#legend [data-cause=stale] b") == 40)
    print(f"40 suspects were shown {shown - last:.2f} s after the last became one, then 40 stale")


def a_mass_death_is_alerted(browser, gateway):
    told = lambda: browser.run("return [...document.querySelectorAll('.alerts li[data-state] b')].map(b => b.textContent)")
    alerts = until(15, "a mass death among the alerts", lambda: [a for a in gateway.api("alerts")["alerts"] if a["name"] == "mass_death"])
    until(15, "it stands on the page", lambda: any(text.startswith("mass death") for text in told()))
    # A user whose glasses are lost three times within a moment is in no trouble over hours yet.
    for n in range(3):
        Peer(gateway.listen, "/glasses-ws?user=thrice").leave()
        until(5, "that end is recorded", lambda: len(gateway.api("closed?user=thrice")["closed"]) == n + 1)
    until(5, "the page has had time", lambda: browser.number("#now-glasses-absent"))
    expect(browser.run("return !document.querySelector('#troubled-none').hidden"), browser.text("#troubled"))
    expect(gateway.api("troubled")["total"] == 0, gateway.api("troubled"))
    print(f"the alert is on the page, and none of its peers in trouble over hours: {alerts[0]['summary']}")


def numbers_are_the_same_everywhere(browser, gateway):
    """At rest: no client comes or goes."""
    def page():
        told = {("connections", c, s): browser.number(f"#now-{c}-{s}") for c in ("glasses", "app") for s in ("healthy", "suspect", "closing")}
        return told | {("sessions",): browser.number("#now-sessions"), ("opening",): browser.number("#now-opening")}

    def same():
        metrics = gateway.metrics()
        told = {("connections", c, s): int(metrics["pulsegate_connections", (c, s)]) for c in ("glasses", "app") for s in ("healthy", "suspect", "closing")}
        told |= {("sessions",): int(metrics["pulsegate_sessions", ()]), ("opening",): int(metrics["pulsegate_connections_opening", ()])}
        return told == page() and told

    told = until(10, "page and metrics agree", same)
    stats = gateway.statistics()
    for name in ("glasses", "app"):
        here = sum(n for key, n in told.items() if key[:2] == ("connections", name))
        expect(int(stats[name]) == here, f"{name}: the log says {stats[name]}, the page {here}")
        expect(browser.number(f"#now-{name}") == here, f"{name} in large: {browser.text(f'#now-{name}')}")
    expect(int(stats["sessions"]) == told["sessions",], f"sessions: {stats['sessions']}, {told}")
    expect(int(stats["suspects"]) == 0, stats)

    # Alerts, and clients in trouble.
    def attention():
        title = lambda a: f"{a['state']}{a['name'].replace('_', ' ')}" + "".join(f": {k} {v}" for k, v in a["labels"].items())
        wanted = [title(a) for a in gateway.api("alerts")["alerts"] if a["state"] != "resolved"]
        shown = browser.run("return [...document.querySelectorAll('#alerts li[data-state]')].map(li => li.firstChild.textContent + li.querySelector('b').textContent)")
        users = browser.run("return [...document.querySelectorAll('#troubled .user')].map(u => u.textContent)")
        return shown == wanted and users == [t["user"] for t in gateway.api("troubled?limit=10")["troubled"]]

    until(10, "page and API agree on alerts", attention)

    # Ends by cause: the log's lines, the metrics, the legend.
    def ends():
        metrics, logged = gateway.metrics(), collections.Counter()
        for line in gateway.process.lines:
            if m := re.search(r"\] close class=(glasses|app) .* cause=(\w+) ", line):
                logged[m[1], m[2]] += 1
        counted = {labels: int(n) for (name, labels), n in metrics.items() if name == "pulsegate_connections_closed_total" and n}
        by_cause = collections.Counter()
        for (_, cause), n in counted.items():
            by_cause[cause] += n
        legend = browser.run(
            "return Object.fromEntries([...document.querySelectorAll('#legend [data-cause]')].map(li => [li.dataset.cause, li.querySelector('b').textContent]))"
        )
        opened = legend.pop("opened")
        return counted == dict(logged) and legend == {c: str(n) for c, n in by_cause.items()} and \
            int(opened) == sum(n for (name, _), n in metrics.items() if name == "pulsegate_connections_opened_total") and by_cause

    by_cause = until(15, "log, metrics and the chart agree on the ends", ends)
    print(f"{told['sessions',]} sessions and {sum(by_cause.values())} ends: the same on the page, in the metrics and in the log")


def a_round_trip_says_how_old_it_is(browser, gateway):
    peer = Peer(gateway.listen, "/glasses-ws?user=slow")
    facts = lambda: browser.text("#detail .facts-of") or ""
    try:
        find(browser, user="slow")
        until(5, "it is found", lambda: browser.text("#found bdi.user") == "slow")
        browser.click("#found button.identity")
        until(5, "its round trip", lambda: re.search(r"Round trip\d[^±]*s ±", facts()) and " old" not in facts())
        peer.frozen = True
        until(4, "its round trip is old", lambda: re.search(r"Round trip\d[^±]*s ± [^,]*s, [^,]* old", facts()))
        browser.press(ESCAPE)
    finally:
        peer.leave()
    print("a round trip of a peer that does not answer says how old it is")


def a_hostile_name_is_text(browser, gateway):
    marks = "\u202eevil\u2066\u200b"
    name = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">" + marks
    name += "x" * (256 - len(name.encode()))
    path = lambda name: f"/glasses-ws?user={urllib.parse.quote(name)}"
    agent = "<img src=x onerror=document.title='owned'>"
    peer = Peer(gateway.listen, path(name), agent)
    try:
        for place in ("#silent", "#slowest"):
            browser.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", place)
        find(browser, user=name)
        until(5, "the name is found", lambda: browser.text("#found bdi.user") or None)
        shown = browser.text("#found bdi.user")
        wanted = name.replace("\u202e", "⟨202E⟩").replace("\u2066", "⟨2066⟩").replace("\u200b", "⟨200B⟩")
        expect(shown == wanted, f"shown as {shown!r}")
        browser.click("#found button.identity")
        until(3, "its details", lambda: browser.text("#detail-name") == wanted)
        until(3, "its user agent", lambda: agent in (browser.text("#detail .facts-of") or ""))
        browser.click("#detail-kick")
        expect(wanted in browser.text("#kick-identity"), browser.text("#kick-identity"))
        browser.press(ESCAPE)
        browser.press(ESCAPE)
        expect(not browser.run("return !!document.querySelector('main script, main img, dialog script, dialog img')"), "it became markup")
        expect("owned" not in browser.run("return document.title"), "it ran")
        expect(browser.run("return document.documentElement.scrollWidth <= innerWidth"), "it makes the page wider than the window")
    finally:
        peer.leave()
    print("a name of 256 bytes of markup and marks is text")


SHOW = """
const [alerts, troubled, done] = arguments;
fetch('api/v1/live').then(async answer => {
  const reader = answer.body.getReader();
  const text = new TextDecoder().decode((await reader.read()).value);
  reader.cancel();
  const { render } = await import('/page/live.js');
  render({ ...JSON.parse(text.slice(text.indexOf('data: ') + 6).split('\\n')[0]), alerts, troubled });
  const read = selector => [...document.querySelectorAll(selector)].map(e => e.textContent);
  done([read('#alerts li'), read('#troubled tbody tr'), read('#firing')[0], document.title, !document.querySelector('#alerts img, #troubled img')]);
});
"""


def alerts_and_trouble_are_shown(browser):
    """Whatever the gateway may say of them, put into a document that it has made."""
    alert = lambda name, state, **more: {
        "name": name, "labels": {"class": "glasses"}, "state": state, "since": "2026-01-31T12:00:00.000Z", "resolved_at": None, "value": 12.3,
        "threshold": 10.0, "summary": "12.3 % of glasses are suspect (threshold 10 %)", "action": "Look at their network.", **more,
    }
    peer = lambda n, pattern: {
        "user": f"<img src=x onerror=alert(1)>{n}\u202e", "package": None, "score": 37.5, "pattern": pattern, "drops": 12, "stale": 12, "slow": 3,
        "failed_resumes": 0, "first_at": "2026-01-31T09:00:00.000Z", "last_at": "2026-01-31T12:00:00.000Z",
    }
    told = [alert("many_suspects", "firing"), alert("rtt", "pending", summary="<img src=x onerror=alert(1)>", labels={})]
    troubled = [peer(n, "12 drops in 3 h, all stale, silent after RTT above 2 s") for n in range(10)]
    alerts, rows, firing, title, text = browser.wait(SHOW, told, troubled)
    expect(len(alerts) == 2 and "many suspects: class glasses" in alerts[0] and "Look at their network." in alerts[0], alerts)
    expect("<img" in alerts[1] and text, alerts)
    expect(len(rows) == 10 and "⟨202E⟩" in rows[0] and "silent after RTT" in rows[0], rows)
    expect(firing == " 1 firing" and title == "(1) pulsegate", (firing, title))
    until(5, "they are gone with the next document", lambda: "Look at their network." not in browser.text("#alerts"))
    print("alerts and peers in trouble are shown, as text")


def find(browser, **fields):
    browser.run(
        "const form = document.querySelector('#find-form'); form.querySelectorAll('input[name=user]').forEach(i => i.value = '');"
        "form.elements.state.value = ''; for (const [name, value] of Object.entries(arguments[0])) form.elements[name].value = value; form.requestSubmit();",
        fields,
    )


def a_kick_works(browser, gateway):
    peer = Peer(gateway.listen, "/glasses-ws?user=grace")
    find(browser, user="grace")
    until(5, "grace is found", lambda: browser.text("#found bdi.user") == "grace" and browser.text("#found-told").startswith("1 to 1 of 1"))
    browser.run("document.querySelector('#found button.identity').focus()")
    browser.press(ENTER)
    until(3, "her details", lambda: browser.text("#detail-name") == "grace" and browser.text("#detail .why"))
    browser.click("#detail-kick")
    browser.press(ESCAPE)
    expect(browser.run("return document.querySelector('#detail').open && !document.querySelector('#kick').open"), "Escape closed the wrong dialog")
    expect(browser.focused() == "detail-kick", f"the focus went to {browser.focused()}")
    expect(peer.closed is None, "a kick that was cancelled was done")
    browser.click("#detail-kick")
    browser.type("#kick [name=reason]", "enough of this")
    browser.run("document.querySelector('#kick [name=block]').value = '60000'")
    browser.click("#kick .danger")
    until(5, "the peer is told", lambda: peer.closed)
    expect(peer.closed == (4000, "enough of this"), peer.closed)
    until(5, "the page says how it ended", lambda: browser.text("#detail [data-key=cause]") == "kicked")
    browser.click("#detail-ended")
    until(5, "her ended connections", lambda: browser.text("#found td.cause") == "kicked")
    blocks_are_listed_and_lifted(browser, gateway)
    browser.click("#find-form [type=reset]")
    until(5, "the form is clear", lambda: browser.run("return document.querySelector('#find-form').elements.kind.value") == "open")
    print("kicked by the keyboard, told why, and refused for a minute")


ROWS = """return [...document.querySelectorAll('#blocks-rows tbody tr')].map(row =>
    [row.querySelector('.user').textContent, row.querySelector('.package').textContent, row.querySelector('button').textContent])"""


def blocked(gateway, token=None):
    request = urllib.request.Request(f"{gateway.url}api/v1/blocks", headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return sorted((b["user"], b["package"]) for b in json.loads(answer.read())["blocks"])


def blocks_are_listed_and_lifted(browser, gateway):
    """With `grace` blocked by the page, and an app by the API; then a page full of them."""
    app = "<img src=x onerror=alert(1)>&a=b"
    peer = Peer(gateway.listen, f"/app-ws?user={urllib.parse.quote(app)}&package=org.blocked")
    found = gateway.api("connections?package=org.blocked")["connections"][0]
    expect(gateway.act("POST", f"connections/{found['id']}/kick", {"block_ms": 600_000})["blocked"], "it is not blocked")
    until(5, "the app is told", lambda: peer.closed)
    expect(blocked(gateway) == [(app, "org.blocked"), ("grace", None)], blocked(gateway))
    until(5, "both are listed", lambda: sorted(browser.run(ROWS)) == [[app, "org.blocked", "Let in again"], ["grace", "", "Let in again"]])
    expect(browser.run("return !document.querySelector('#blocks img')"), "a name became markup")
    expect(browser.text("#blocks-told").startswith("1 to 2 of 2"), browser.text("#blocks-told"))
    browser.look(360, 780, "light", True)
    wide = browser.run("return document.documentElement.scrollWidth")
    expect(wide <= 360, f"on a phone they are {wide} px wide")
    browser.look(1280, 900, "light")
    # Not under the bar that stays.
    browser.run("document.querySelector('#blocks').scrollIntoView({block: 'center'})")
    # That which ends last is the last.
    browser.click("#blocks-rows tbody tr:last-child button")
    until(5, "the app is let in", lambda: blocked(gateway) == [("grace", None)])
    until(5, "it says so", lambda: "is let in again" in browser.text("#toast"))
    expect(browser.run(ROWS)[-1][2] == "Let in", "the row of the block that was lifted is no longer there")
    Peer(gateway.listen, f"/app-ws?user={urllib.parse.quote(app)}&package=org.blocked").leave()
    browser.run("document.querySelector('#blocks-rows tbody tr button').focus()")
    browser.press(ENTER)
    until(5, "grace is let in", lambda: blocked(gateway) == [])
    until(5, "the list is gone", lambda: browser.run("return document.querySelector('#blocks').hidden"))
    expect(browser.focused() == "attention-title", f"the focus went to {browser.focused()}")
    Peer(gateway.listen, "/glasses-ws?user=grace").leave()
    # More than a page of them.
    for n in range(27):
        Peer(gateway.listen, f"/glasses-ws?user=blocked{n}")
        found = gateway.api(f"connections?user=blocked{n}")["connections"][0]
        gateway.act("POST", f"connections/{found['id']}/kick", {"block_ms": 600_000})
    until(15, "a page of them", lambda: browser.text("#blocks-told").startswith("1 to 25 of 27"))
    browser.run("document.querySelectorAll('#blocks-pager button')[1].click()")
    until(5, "the rest of them", lambda: browser.text("#blocks-told").startswith("26 to 27 of 27") and len(browser.run(ROWS)) == 2)
    for n in range(27):
        gateway.act("DELETE", f"blocks?user=blocked{n}")
    until(5, "the list is gone", lambda: browser.run("return document.querySelector('#blocks').hidden"))
    print("blocks are listed, by the page, and lifted, by mouse and keyboard")


FULL = """
const fill = document.querySelector('#now-capacity + .bar-of i'), style = getComputedStyle(fill), probe = document.body.appendChild(document.createElement('i'));
probe.dataset.state = 'healthy';
const calm = getComputedStyle(probe).backgroundColor;
probe.remove();
return [fill.dataset.state, style.backgroundColor === calm || style.backgroundImage.includes(calm), style.backgroundImage !== 'none'];
"""


def a_full_house_is_not_green(browser, binary):
    gateway = Gateway(binary, MAX_CONNECTIONS="60", ALERT_LIMITS_FOR_MS="500")
    try:
        browser.go(gateway.url)
        until(5, "live", lambda: browser.text("#link-text") == "live")
        peers, looks = [], {}
        for many, percent in [(30, "50 %"), (54, "90 %"), (60, "100 %")]:
            peers += [Peer(gateway.listen, f"/glasses-ws?user=guest{n}") for n in range(len(peers), many)]
            until(5, f"{percent} are in use", lambda: browser.text("#now-capacity") == percent)
            looks[percent] = browser.run(FULL)
        expect(looks == {"50 %": ["healthy", True, False], "90 %": ["near", False, True], "100 %": ["full", False, True]}, looks)
        until(5, "the page says that newcomers are refused", lambda: browser.text("#banner-text"))
        line = re.search("“(.*)”", browser.text("#banner-text"))[1]
        expect(gateway.process.find(rf"\] {line} "), f"no line “{line}” in the log")
        until(5, "near_capacity", lambda: "near capacity" in browser.text("#alerts"))
        host, port = gateway.listen.split(":")
        late = socket.create_connection((host, int(port)), timeout=5)
        late.sendall(b"GET /glasses-ws?user=late HTTP/1.1\r\nHost: test\r\n\r\n")
        expect(late.recv(12) == b"HTTP/1.1 503", "a newcomer is not refused")
        late.close()
        until(5, "at_capacity", lambda: "at capacity" in browser.text("#alerts"))
        for peer in peers[:20]:
            peer.leave()
        until(5, "the line is gone", lambda: browser.run("return document.querySelector('#banner').hidden"))
    finally:
        gateway.process.stop()
    print("a full house is not green, and the page names a line that is in the log")


def descriptors_that_run_out_are_named(browser, binary):
    """No setting leads there; the test takes them away."""
    gateway = Gateway(binary)
    try:
        browser.go(gateway.url)
        until(5, "live", lambda: browser.text("#link-text") == "live")
        pid = gateway.process.child.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (45, before[1]))
        host, port = gateway.listen.split(":")
        waiting = [socket.create_connection((host, int(port))) for _ in range(45)]
        said = until(5, "the page says that newcomers wait", lambda: browser.text("#banner-text"))
        line = re.search("“(.*)”", said)[1]
        expect(gateway.process.find(rf"\] {line} "), f"no line “{line}” in the log")
        expect(not gateway.process.find(r"\] accept restricted"), "it was not full")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for peer in waiting:
            peer.close()
    finally:
        gateway.process.stop()
    print("so is one whose no file descriptor was free")


ROUTES = """
[[route]]
name = "chat"
upstream = ["http://{service}", "http://127.0.0.1:1"]
"""
UPSTREAMS = "return [...document.querySelectorAll('#upstreams-rows tbody tr')].map(r => [...r.cells].slice(0, 3).map(c => c.innerText.trim()).concat(r.querySelector('button').textContent))"


def upstreams_are_shown_and_drained(browser, binary, source):
    """A relay is the service; the other upstream of the route is not there."""
    service = Gateway(binary)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as settings:
        settings.write(ROUTES.replace("{service}", service.listen))
        settings.flush()
        gateway = Gateway(binary, CONFIG_FILE=settings.name)
    try:
        browser.go(service.url)
        until(5, "the service's page is live", lambda: browser.text("#link-text") == "live")
        hidden = browser.run("return ['#upstreams', '#upstreams-link'].every(s => document.querySelector(s).hidden)")
        expect(hidden, "a gateway without routes shows upstreams")
        browser.go(gateway.url)
        peers = [Peer(gateway.listen, f"/glasses-ws?user=routed{n}") for n in range(4)]
        rows = lambda: {row[0].split("\n")[0]: row[1:] for row in browser.run(UPSTREAMS)}
        row = lambda: rows().get(service.listen)
        until(5, "its pairs are shown", lambda: row() == ["up", "4", "Drain…"])
        until(5, "what is not there is avoided", lambda: rows()["127.0.0.1:1"][0].startswith("avoided"))
        expect(browser.text("#upstreams-told") == "1 of 2 upstreams up", browser.text("#upstreams-told"))
        for width, scheme in [(1280, "dark"), (360, "light")]:
            browser.look(width, 800, scheme, width < 600)
            wide = browser.run("return document.documentElement.scrollWidth")
            expect(wide <= width, f"at {width} px it is {wide} px wide")
            axe(browser, source, f"upstreams, {width} px, {scheme}")
        browser.look(1280, 900, "light")
        drain = f"#upstreams-rows [aria-label='Drain… {service.listen} of route chat']"
        browser.run(f"document.querySelector(\"{drain}\").scrollIntoView({{block: 'center'}})")
        browser.click(drain)
        until(3, "what it will do", lambda: service.listen in browser.text("#upstream-what") and "Its 4 pairs" in browser.text("#upstream-what"))
        axe(browser, source, "drain of an upstream, 1280 px, light")
        browser.press(ESCAPE)
        expect(row() == ["up", "4", "Drain…"] and not any(peer.closed for peer in peers), "Escape drained it")
        browser.run(f"document.querySelector(\"{drain}\").scrollIntoView({{block: 'center'}})")
        browser.click(drain)
        browser.type("#upstream-form [name=spread]", "0")
        browser.click("#upstream-form .danger")
        until(5, "the clients are told", lambda: all(peer.closed for peer in peers))
        expect({peer.closed for peer in peers} == {(1012, "upstream drained")}, [peer.closed for peer in peers])
        until(5, "it is drained", lambda: row() == ["drained", "0", "Resume"])
        browser.click(f"#upstreams-rows [aria-label='Resume {service.listen} of route chat']")
        until(5, "it is up again", lambda: row() == ["up", "0", "Drain…"])
        Peer(gateway.listen, "/glasses-ws?user=routed-again")
        until(5, "it gets new clients", lambda: row() == ["up", "1", "Drain…"])
    except Exception:
        print("-- pulsegate", *gateway.process.lines[-12:], sep="\n   ", file=sys.stderr)
        raise
    finally:
        gateway.process.stop()
        service.process.stop()
    print("upstreams are shown, and one is drained and resumed")


RISK = "return [...document.querySelectorAll('#risk-rows tbody tr')].map(row => [...row.querySelectorAll('td')].map(td => td.textContent))"


def risks_are_shown(browser, binary, source):
    """Eight peers of one block that do not answer, then a gateway that stands still itself."""
    gateway = Gateway(binary)
    peers = []
    try:
        gateway.act("PATCH", "policies/glasses", {"connection_timeout_ms": 600_000})
        browser.go(gateway.url)
        until(5, "it is live", lambda: browser.text("#link-text") == "live")
        hidden = browser.run("return ['#risk', '#risk-link'].every(s => document.querySelector(s).hidden)")
        expect(hidden, "nothing is at risk, and something is shown")
        peers += [Peer(gateway.listen, f"/glasses-ws?user=silent{n}") for n in range(8)]
        for peer in peers:
            peer.frozen = True
        until(15, "they are at risk", lambda: (browser.text("#risk-told") or "").startswith("8 connections at risk; 1 part of the network"))
        until(15, "their block stopped answering", lambda: "1 part of the network stopped answering" in browser.text("#risk-told"))
        rows = until(5, "the reasons", lambda: len(rows := browser.run(RISK)) == 8 and "its network is silent" in rows[0][3] and rows)
        expect(all(row[2] == "high" and "of 16 late" in row[3] for row in rows), rows)
        for width, scheme in [(1280, "dark"), (360, "light")]:
            browser.look(width, 800, scheme, width < 600)
            wide = browser.run("return document.documentElement.scrollWidth")
            expect(wide <= width, f"at {width} px it is {wide} px wide")
            axe(browser, source, f"at risk, {width} px, {scheme}")
        browser.look(1280, 900, "light")
        browser.run("document.querySelector('#risk-rows button').focus()")
        browser.press(ENTER)
        until(5, "its risk in its details", lambda: re.search(r"Riskhigh, \d+ % miss one", browser.text("#detail .facts-of") or ""))
        browser.press(ESCAPE)
        browser.run("document.querySelector('#cohorts-rows button').focus()")
        browser.press(ENTER)
        until(5, "the connections of the block", lambda: (browser.text("#found-told") or "").startswith("1 to 8 of 8"))
        gateway.process.child.send_signal(signal.SIGSTOP)
        time.sleep(2)
        gateway.process.child.send_signal(signal.SIGCONT)
        until(5, "whose fault it is", lambda: "The fault is the gateway's" in (browser.text("#risk-fault") or ""))
    except Exception:
        print("-- pulsegate", *gateway.process.lines[-12:], sep="\n   ", file=sys.stderr)
        raise
    finally:
        for peer in peers:
            peer.leave()
        gateway.process.stop()
    print("connections at risk, their block and whose fault it is are shown")


EMPTY = """
const found = [];
for (const grid of document.querySelectorAll('.dials, .gauges')) {
  const box = grid.getBoundingClientRect(), rows = new Map();
  for (const part of grid.children) {
    const { top, right } = part.getBoundingClientRect();
    rows.set(Math.round(top), Math.max(rows.get(Math.round(top)) ?? 0, right));
  }
  for (const [top, right] of rows) if (box.right - right > 2) found.push(`${grid.className}: ${Math.round(box.right - right)} px`);
}
return found;
"""


def no_part_of_it_is_empty(browser):
    for width in [*range(360, 1000, 40), *range(1000, 1200, 20), *range(1200, 1900, 50)]:
        browser.look(width, 900, "light")
        found = browser.run(EMPTY)
        expect(not found, f"at {width} px there is an empty place: {found}")
        wide = browser.run("return [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.id || e.className || e.tagName)")
        expect(not wide, f"at {width} px there is wider: {wide[:20]}")
    browser.look(1280, 900, "light")
    print("at no width is there an empty place among the figures")


def a_class_is_drained(browser, gateway):
    peers = [Peer(gateway.listen, f"/tpa-ws?user=drained{n}&package=p") for n in range(3)]
    browser.wait(WHEN, "#now-app", "3")
    browser.run("scrollTo(0, 0)")
    browser.click("#drain")
    expect(browser.run("return document.querySelector('#drain-form [data-of=all]').hidden"), "what is for a drain of all is there")
    browser.click("#drain-form [value='']")
    browser.click("#drain-form .danger")
    expect(browser.run("return document.querySelector('#drain-dialog').open"), "the gateway can be ended without being sure")
    browser.click("#drain-form [value=app]")
    browser.type("#drain-form [name=spread]", "0")
    browser.type("#drain-form [name=refuse]", "600")
    browser.click("#drain-form .danger")
    until(5, "the apps are told", lambda: all(peer.closed for peer in peers))
    expect({peer.closed for peer in peers} == {(1012, "service restart")}, [peer.closed for peer in peers])
    until(5, "the page says so", lambda: "apps" in (browser.text("#banner-text") or ""))
    browser.click("#banner button")
    until(5, "it is given up", lambda: browser.run("return document.querySelector('#banner').hidden"))
    print("a class is drained, and the drain given up")


def it_pages(browser, gateway):
    find(browser, sort="age")
    until(5, "the first page", lambda: (browser.text("#found-told") or "").startswith("1 to 25 of "))
    seen = set()
    rows = "return [...document.querySelectorAll('#found button.identity')].map(b => b.dataset.id)"
    first = browser.run(rows)
    while True:
        ids = browser.run(rows)
        expect(not seen & set(ids) and len(ids) <= 25, "a page repeats another")
        seen |= set(ids)
        if browser.run("return document.querySelectorAll('#found-pager button')[1].disabled"):
            break
        browser.run("document.querySelectorAll('#found-pager button')[1].click()")
        until(5, "the next page", lambda: browser.run(rows) != ids)
    expect(len(seen) == gateway.api("connections?limit=1")["matched"], f"{len(seen)} on all pages")
    while not browser.run("return document.querySelector('#found-pager button').disabled"):
        ids = browser.run(rows)
        browser.run("document.querySelector('#found-pager button').click()")
        until(5, "the page before", lambda: browser.run(rows) != ids)
    expect(browser.run(rows) == first, "going back does not lead back")
    most = browser.run("return Math.max(...[...document.querySelectorAll('table')].map(t => t.rows.length))")
    expect(most <= 61, f"a table has {most} rows")
    print(f"{len(seen)} connections on pages of 25, there and back")


def what_is_old_looks_old(browser, gateway):
    gateway.process.child.send_signal(signal.SIGSTOP)
    until(6, "it says that it is old", lambda: browser.run("return document.body.dataset.old") == "true" and " s old" in browser.text("#link-text"))
    gateway.process.child.send_signal(signal.SIGCONT)
    until(10, "it is live again", lambda: browser.text("#link-text") == "live" and browser.run("return document.body.dataset.old") == "false")
    print("a gateway that stands still is seen as such, and one that goes on again, too")


def it_comes_back(browser, binary):
    """The gateway ends and another begins at its place."""
    gateway = Gateway(binary)
    browser.go(gateway.url)
    until(5, "live", lambda: browser.text("#link-text") == "live")
    gateway.process.stop()
    until(5, "it says that it tries", lambda: "trying again" in browser.text("#link-text"))
    expect("old" in browser.text("#link-text"), browser.text("#link-text"))
    second = Process("pulsegate", [binary], LISTEN_ADDR="127.0.0.1:0", ADMIN_ADDR=gateway.admin)
    try:
        until(20, "it is live again", lambda: browser.text("#link-text") == "live")
    finally:
        second.stop()
    print("after a restart it is live again by itself")


# ---- its viewers ----

def a_keyboard_reaches_everything(browser, gateway):
    # A page that is new, so that the focus is nowhere yet.
    browser.go(gateway.url)
    until(5, "it is live", lambda: browser.text("#link-text") == "live" and browser.text("#found-told").startswith("1 to 25"))
    browser.press(TAB)
    expect(browser.focused() == "Skip to the figures", browser.focused())
    visible = browser.run("const r = document.activeElement.getBoundingClientRect(); return r.width > 50 && r.top >= 0")
    expect(visible, "the link that skips is not seen when it has the focus")
    reached = []
    for _ in range(60):
        browser.press(TAB)
        reached.append(browser.focused())
        style = browser.run("const s = getComputedStyle(document.activeElement); return [s.outlineStyle, parseFloat(s.outlineWidth)]")
        expect(style[0] != "none" and style[1] >= 1, f"the focus is not seen on {reached[-1]}")
    expect("drain" in reached and any(r and r.startswith("Attention") for r in reached), reached)
    print("a keyboard reaches it, and sees where it is")


def axe(browser, source, where):
    # At the top nothing lies under the bar that stays; what does when it is scrolled, one can scroll out from under it.
    browser.run("scrollTo(0, 0)")
    found = browser.wait(source + """
        ; const done = arguments[arguments.length - 1];
        axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }).then(r => done(r.violations.map(v =>
            [v.impact, v.id, v.nodes.slice(0, 3).map(n => n.target.join(' ') + ': ' + (n.any[0]?.message ?? n.failureSummary).slice(0, 200))])));""")
    for impact, rule, nodes in found:
        print(f"   axe, {where}: {impact} {rule}: {nodes}")
    serious = [f for f in found if f[0] in ("serious", "critical")]
    expect(not serious, f"{len(serious)} serious faults of accessibility, {where}")


def all_eyes(browser, gateway, source):
    Peer(gateway.listen, "/glasses-ws?user=seen-to-be-blocked@example.org")
    found = gateway.api("connections?user=seen-to-be-blocked@example.org")["connections"][0]
    gateway.act("POST", f"connections/{found['id']}/kick", {"block_ms": 600_000})
    until(5, "a block is listed", lambda: browser.run(ROWS))
    for width, height, scheme, mobile in [
        (1280, 900, "light", False), (1280, 900, "dark", False), (360, 780, "light", True), (360, 780, "dark", True), (820, 1000, "light", False),
    ]:
        browser.look(width, height, scheme, mobile)
        time.sleep(0.3)
        wide = browser.run("return document.documentElement.scrollWidth")
        expect(wide <= width, f"at {width} px it is {wide} px wide")
        axe(browser, source, f"{width} px, {scheme}")
    browser.look(1280, 900, "dark")
    # The details, with the dialog over them.
    find(browser)
    until(5, "a row", lambda: browser.text("#found bdi.user"))
    browser.click("#found button.identity")
    until(3, "the details", lambda: browser.text("#detail .why"))
    for width, scheme in [(1280, "dark"), (360, "light")]:
        browser.look(width, 800, scheme, width < 600)
        time.sleep(0.2)
        axe(browser, source, f"details, {width} px, {scheme}")
        expect(browser.run("return document.querySelector('#detail').scrollWidth <= innerWidth"), "the details are too wide")
    browser.click("#detail-kick")
    axe(browser, source, "kick, 360 px, light")
    browser.press(ESCAPE)
    browser.press(ESCAPE)
    browser.look(1280, 900, "light")
    print("wide and narrow, light and dark: no serious fault of accessibility")


DRAWN = """
const seen = e => e.getClientRects().length > 0;
return [...document.querySelectorAll('.bar-of i, .trace polyline:not([points=""]), #chart rect, #legend li, #troubled-none, #blocks')].filter(seen)
    .map(e => `${e.tagName} ${e.className.baseVal ?? e.className} ${e.dataset.state ?? e.id}`);
"""


def a_token_is_asked_for(browser, binary):
    gateway = Gateway(binary, ADMIN_TOKEN=TOKEN)
    try:
        browser.go(gateway.url)
        until(5, "it asks for the token", lambda: browser.run("return document.querySelector('#token-dialog').open"))
        expect(browser.focused() == "token", f"the focus is on {browser.focused()}")
        expect(browser.text("#now-glasses") == "–", "there are figures without a token")
        drawn = browser.run(DRAWN)
        expect(not drawn, f"without data there is drawn: {drawn}")
        browser.type("#token", "not-the-token-not-the-token-")
        browser.press(ENTER)
        until(5, "it says that it is wrong", lambda: "does not take" in browser.text("#token-wrong"))
        browser.type("#token", TOKEN)
        browser.press(ENTER)
        until(5, "it is live", lambda: browser.text("#link-text") == "live")
        kept = browser.run("return [Object.values(sessionStorage), Object.values(localStorage), document.cookie, location.href]")
        expect(kept == [[TOKEN], [], "", gateway.url], kept)
        browser.go(gateway.url)
        until(5, "it is live after a reload", lambda: browser.text("#link-text") == "live")
        # What is done needs the token, too.
        Peer(gateway.listen, "/glasses-ws?user=ada")
        found = until(5, "her connection", lambda: browser.run("return document.querySelector('#silent button.identity')?.dataset.id"))
        gateway.act("POST", f"connections/{found}/kick", {"block_ms": 600_000}, TOKEN)
        until(5, "she is blocked", lambda: browser.run(ROWS) == [["ada", "", "Let in again"]])
        browser.run("document.querySelector('#blocks').scrollIntoView({block: 'center'})")
        browser.click("#blocks-rows button")
        until(5, "she is let in", lambda: blocked(gateway, TOKEN) == [])
        browser.click("#forget")
        until(5, "it asks again", lambda: browser.run("return document.querySelector('#token-dialog').open && !sessionStorage.length"))
        expect(not any(TOKEN in line for line in gateway.process.lines), "the token is in the log")
    finally:
        gateway.process.stop()
    print("the token is asked for, kept in the tab, and forgotten")


# ---- all of it ----

def scenario(browser, binary, swarm, source):
    gateway = Gateway(binary)
    run = lambda *flags: subprocess.Popen(
        [swarm, "--target", f"ws://{gateway.listen}", "--ramp", "400", "--duration", "300", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    swarms = []
    try:
        browser.look(1280, 900, "light")
        browser.go(gateway.url)
        until(5, "it is live", lambda: browser.text("#link-text") == "live")
        swarms.append(run("--connections", "130", "--path", "/glasses-ws?user=ada{n}@example.org"))
        swarms.append(run("--connections", "40", "--path", "/tpa-ws?user=ada{n}@example.org&package=org.example.captions"))
        browser.wait(WHEN, "#now-glasses-healthy", "130")
        browser.wait(WHEN, "#now-app-healthy", "40")
        frozen_peers_are_suspect_then_gone(browser, gateway, swarms[1])
        a_mass_death_is_alerted(browser, gateway)
        it_pages(browser, gateway)
        a_round_trip_says_how_old_it_is(browser, gateway)
        a_hostile_name_is_text(browser, gateway)
        a_kick_works(browser, gateway)
        a_class_is_drained(browser, gateway)
        alerts_and_trouble_are_shown(browser)
        what_is_old_looks_old(browser, gateway)
        numbers_are_the_same_everywhere(browser, gateway)
        a_keyboard_reaches_everything(browser, gateway)
        no_part_of_it_is_empty(browser)
        all_eyes(browser, gateway, source)
        expect(not (wrong := browser.console()), f"the page's console: {wrong}")
        gateway.process.alive()
    except Exception:
        print("-- pulsegate", *gateway.process.lines[-12:], sep="\n   ", file=sys.stderr)
        raise
    finally:
        for process in swarms:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        gateway.process.stop()
    a_full_house_is_not_green(browser, binary)
    descriptors_that_run_out_are_named(browser, binary)
    a_token_is_asked_for(browser, binary)
    upstreams_are_shown_and_drained(browser, binary, source)
    risks_are_shown(browser, binary, source)
    it_comes_back(browser, binary)
    expect(not (wrong := browser.console()), f"the page's console: {wrong}")


def installed():
    """axe-core's source, with a browser beside it."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        command = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium chromium-driver"
        subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cache = os.environ.get("PULSEGATE_CLIENTS") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "pulsegate-clients")
    place = os.path.join(cache, f"axe-{AXE}")
    script = os.path.join(place, "node_modules/axe-core/axe.min.js")
    if not os.path.exists(script):
        os.makedirs(place, exist_ok=True)
        subprocess.run(
            ["npm", "install", "--silent", "--no-save", "--ignore-scripts", "--prefix", place, f"axe-core@{AXE}"], check=True, stdout=subprocess.DEVNULL
        )
    return open(script).read()


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    binary, swarm = map(os.path.abspath, sys.argv[1:])
    try:
        source = installed()
        browser = Browser()
    except (OSError, subprocess.CalledProcessError, Broken) as e:
        print(f"page.py: cannot set up: {e}", file=sys.stderr)
        return 2
    try:
        scenario(browser, binary, swarm, source)
        return 0
    except (Broken, OSError, LookupError, ValueError, TypeError) as e:
        print(f"page.py: {type(e).__name__}: {e}", file=sys.stderr)
        return 1
    finally:
        browser.close()


sys.exit(main())
