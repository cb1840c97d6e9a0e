"""The clients that the faults happen to: the Rust client, and a page in Chromium. Both tell the same events."""

import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse

from harness import Broken, expect, until

FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
    " --disable-sync --disable-dev-shm-usage --ignore-certificate-errors --remote-debugging-pipe"
).split()


class Client:
    """What both have: the events, each with the time at which it was told."""

    def __init__(self):
        self.events = []

    def note(self, event):
        self.events.append(event | {"at": time.monotonic()})

    def find(self, *kinds, since=0):
        return next((e for e in self.events[since:] if e["is"] in kinds), None)

    def wait(self, seconds, *kinds, since=0):
        what = f"a client is {' or '.join(kinds)}"
        return until(seconds, what, lambda: self.find(*kinds, since=since))

    def back(self, seconds, since):
        """Waits until it is connected again."""
        return self.wait(seconds, "open", "resumed", since=since)


class RustClient(Client):
    def __init__(self, program, space, address, path, wishes):
        super().__init__()
        words = [f"{name}={value}" for name, value in wishes.items()]
        self.child = subprocess.Popen(
            [*space.inside, program, "%s:%d" % address, path, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            self.note(json.loads(line))

    def tell(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def network(self, kind):
        self.tell(f"net {kind}")

    def reopen(self):
        self.tell("reopen")

    def stop_running(self):
        self.child.send_signal(signal.SIGSTOP)
        until(5, "the client is stopped", lambda: is_stopped(self.child.pid))

    def go_on(self):
        self.child.send_signal(signal.SIGCONT)

    freeze, thaw = stop_running, go_on

    def kill(self):
        self.child.kill()
        self.child.wait()

    def stop(self):
        if self.child.poll() is None:
            self.kill()
        self.child.stdin.close()


class Page(Client):
    """A page in a tab of its own."""

    def __init__(self, browser, address):
        super().__init__()
        self.browser, self.address = browser, address
        self.open()

    def open(self):
        target = self.browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self.target, self.session = target, attached["sessionId"]
        self.browser.listen(self.session, self.heard)
        for method in ("Page.enable", "Runtime.enable"):
            self.call(method)
        self.call("Runtime.addBinding", name="told")
        self.call("Page.navigate", url=self.address)

    def heard(self, method, params):
        if method == "Runtime.bindingCalled":
            self.note(json.loads(params["payload"]))

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def network(self, kind):
        """A browser on a computer does not say which kind of network it uses."""

    def reopen(self):
        self.call("Runtime.evaluate", expression="socket.reconnect()")

    def stop_running(self):
        self.browser.signal(signal.SIGSTOP)
        until(5, "Chromium is stopped", lambda: is_stopped(self.browser.child.pid))

    def go_on(self):
        self.browser.signal(signal.SIGCONT)

    def freeze(self):
        self.call("Page.setWebLifecycleState", state="frozen")

    def thaw(self):
        self.call("Page.setWebLifecycleState", state="active")

    def kill(self):
        """Kills all of Chromium: if only the process of the page dies, Chromium says good-bye for it."""
        self.browser.kill()

    def start_anew(self):
        """The killed Chromium starts with what it has on its disk, and the page opens again."""
        self.browser.start()
        self.open()

    def stop(self):
        if self.browser.child.poll() is None:
            self.browser.call("Target.closeTarget", targetId=self.target)


class Browser:
    """A Chromium in a namespace, driven by its developer tools through a pipe."""

    def __init__(self, space):
        self.space, self.place = space, tempfile.mkdtemp(prefix="verdicts-chromium-")
        self.start()

    def start(self):
        (read, tell), (hear, write) = os.pipe(), os.pipe()
        redirected = f'exec "$@" 3<&{read} 4>&{write}'
        chromium = ["chromium", *FLAGS, f"--user-data-dir={self.place}", "about:blank"]
        self.child = subprocess.Popen(
            [*self.space.inside, "bash", "-c", redirected, "chromium", *chromium],
            pass_fds=(read, write),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self.pipe = tell
        self.lock, self.count, self.answers, self.listeners = threading.Lock(), 0, {}, {}
        threading.Thread(target=self.read, args=(hear,), daemon=True).start()
        self.call("Target.getTargets", seconds=60)

    def read(self, hear):
        waiting = b""
        while got := os.read(hear, 65536):
            *whole, waiting = (waiting + got).split(b"\0")
            for text in whole:
                self.take(json.loads(text))
        os.close(hear)

    def take(self, message):
        if "id" in message:
            if answer := self.answers.pop(message["id"], None):
                answer.put(message)
        elif listener := self.listeners.get(message.get("sessionId")):
            listener(message["method"], message["params"])

    def listen(self, session, heard):
        self.listeners[session] = heard

    def post(self, method, session=None, **params):
        with self.lock:
            self.count += 1
            message = {"id": self.count, "method": method, "params": params}
            answer = self.answers[self.count] = queue.Queue()
            if session:
                message["sessionId"] = session
            os.write(self.pipe, json.dumps(message).encode() + b"\0")
        return answer

    def call(self, method, session=None, seconds=30, **params):
        try:
            answer = self.post(method, session, **params).get(timeout=seconds)
        except (queue.Empty, OSError) as error:
            raise Broken(f"Chromium does not answer {method}: {error!r}") from error
        expect("error" not in answer, f"Chromium: {method}: {answer.get('error')}")
        return answer["result"]

    def signal(self, number):
        os.killpg(self.child.pid, number)

    def kill(self):
        try:
            self.signal(signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()
        os.close(self.pipe)

    def stop(self):
        if self.child.poll() is None:
            self.kill()
        shutil.rmtree(self.place, ignore_errors=True)


def page_address(service, url, client, is_pulse, talk_ms):
    query = {"url": url, "client": client, "pulse": int(is_pulse), "talk": talk_ms}
    return f"{service}/?{urllib.parse.urlencode(query)}"


def is_stopped(pid):
    """Whether the kernel shows a process as stopped by a signal."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(") ")[2][0] == "T"
