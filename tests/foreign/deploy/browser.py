"""A real Chromium, driven as the W3C's WebDriver says, over plain HTTP."""
import base64, json, os, shutil, socket, subprocess, tempfile, time
import urllib.error, urllib.request

from harness import Broken, expect, free_port, until

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb",
]


class Browser:
    """One window, of a profile that is new and thrown away."""

    def __init__(self, *flags):
        self.place = tempfile.TemporaryDirectory()
        port = free_port()
        self.log = open(os.path.join(self.place.name, "chromedriver.log"), "w")
        self.driver = subprocess.Popen([shutil.which("chromedriver"), f"--port={port}"], stdout=self.log, stderr=self.log)
        self.base = f"http://127.0.0.1:{port}"
        self.session = None
        until(20, "chromedriver answers", lambda: self.ready(port))
        options = {"binary": shutil.which("chromium"), "args": [*FLAGS, *flags, f"--user-data-dir={self.place.name}/profile", "--window-size=1280,900"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        self.command("POST", "/timeouts", {"script": 30_000, "pageLoad": 30_000, "implicit": 0})

    @staticmethod
    def ready(port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=90) as answer:
                return json.loads(answer.read())["value"]
        except urllib.error.HTTPError as e:
            value = json.loads(e.read())["value"]
            raise Broken(f"{method} {path}: {value['error']}: {value['message'][:600]}") from None

    def command(self, method, path, body=None):
        return self.call(method, f"/session/{self.session}{path}", body)

    def go(self, url):
        self.command("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        return self.command("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script, *arguments):
        """A script that calls its last argument when it is done."""
        return self.command("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def devtools(self, name, **parameters):
        return self.command("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def find(self, selector):
        return self.command("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.command("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        element = self.find(selector)
        self.command("POST", f"/element/{element}/clear", {})
        self.command("POST", f"/element/{element}/value", {"text": text})

    def press(self, *keys):
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.command("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def text(self, selector):
        """As it stands in the document, with plain spaces."""
        said = self.run("return document.querySelector(arguments[0])?.textContent ?? null", selector)
        return None if said is None else said.replace("\u202f", "").strip()

    def number(self, selector):
        said = self.text(selector)
        return int(said) if said and said.isdigit() else None

    def focused(self):
        return self.run("return document.activeElement?.id || document.activeElement?.textContent")

    def console(self):
        """What went wrong in the page since it was last asked: of what was asked for and refused, the page speaks itself."""
        entries = self.command("POST", "/se/log", {"type": "browser"})
        return [e["message"] for e in entries if e["level"] == "SEVERE" and e["source"] != "network"]

    def look(self, width, height, scheme, mobile=False):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def picture(self, path, width, height):
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.devtools("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))
        return os.path.getsize(path)

    def close(self):
        try:
            if self.session:
                self.call("DELETE", f"/session/{self.session}")
        except (Broken, OSError):
            pass
        self.driver.terminate()
        try:
            self.driver.wait(5)
        except subprocess.TimeoutExpired:
            self.driver.kill()
            self.driver.wait()
        self.log.close()
        # Its helpers let go of the profile a little later than it says.
        for _ in range(50):
            try:
                return self.place.cleanup()
            except OSError:
                time.sleep(0.1)
