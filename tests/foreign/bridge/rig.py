"""What tests with services share: programs that speak JSON, gateways, and a runner of cases."""

import json, os, subprocess, sys, threading, time, traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../deploy"))
from harness import Process, expect, get, post, until  # noqa: E402

PATIENCE = 30


class Program:
    """A process that prints a JSON object in each line, and reads some."""

    def __init__(self, command):
        self.name, self.events, self.seen = os.path.basename(command[1]), [], {}
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            self.events.append(json.loads(line))

    def tell(self, **command):
        self.child.stdin.write(json.dumps(command) + "\n")
        self.child.stdin.flush()

    def wait(self, what):
        """The next event of this kind; each is returned once."""
        after = self.seen.get(what, 0)
        of_kind = lambda: [event for event in list(self.events) if what in event][after:]
        try:
            found = until(PATIENCE, f"{what} at {self.name}", of_kind)[0]
        except Exception as error:
            raise type(error)(f"{error}; it saw {self.events[-3:]}") from None
        self.seen[what] = after + 1
        return found

    def signal(self, number):
        self.child.send_signal(number)

    def stop(self):
        # It may stand still; SIGKILL ends it all the same.
        self.child.kill()
        self.child.wait()


class Programs:
    """Processes that end with it."""

    def __init__(self):
        self.programs = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in self.programs:
            program.stop()

    def start(self, command):
        self.programs.append(program := Program(command))
        return program

    def start_gateway(self, binary, **settings):
        """A gateway on free ports, with its addresses."""
        self.programs.append(gateway := Gateway(binary, settings))
        gateway.begin()
        return gateway


class Gateway(Process):
    """A gateway, its addresses and its API. It is quick to notice and to drain."""

    DEFAULTS = {
        "LISTEN_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "HEARTBEAT_INTERVAL_MS": "500",
        "UPSTREAM_HEARTBEAT_INTERVAL_MS": "500", "CLOSE_TIMEOUT_MS": "1000", "DRAIN_MS": "0",
    }  # fmt: skip

    def __init__(self, binary, settings):
        super().__init__("the gateway", [binary], **(self.DEFAULTS | settings))

    def begin(self):
        look = lambda: self.alive() or self.find(r" listen=(\S+) admin=(\S+)")
        started = until(PATIENCE, "the gateway's start", look)
        self.listen, self.admin = started[1], started[2]

    def api(self, path):
        return get(f"http://{self.admin}/api/v1/{path}")

    def act(self, path, **body):
        return post(f"http://{self.admin}/api/v1/{path}", body)

    def kick(self, kind):
        connection = self.api(f"connections?class={kind}")["connections"][0]["id"]
        self.act(f"connections/{connection}/kick")

    def closed(self, many):
        """The records of this many ended connections, the newest first."""
        look = (
            lambda: (records := self.api("closed")["closed"]) and len(records) >= many and records
        )
        return until(PATIENCE, f"{many} records of ended connections", look)


def same(seen, wanted, what):
    expect(seen == wanted, f"{what}: {seen!r}, not {wanted!r}")


def run_cases(name, cases, at_once=100):
    """Runs cases, each a name and a function, and prints a line for each. Returns the exit code."""
    failed, cases, places = [], list(cases), threading.Semaphore(at_once)

    def run(case, test):
        with places:
            run_one(case, test)

    def run_one(case, test):
        started = time.monotonic()
        try:
            said = test()
        except Exception:
            failed.append(case)
            print(f"NOT HELD {case}\n{traceback.format_exc()}", flush=True)
        else:
            what = f": {said}" if said else ""
            print(f"held     {case}{what} ({time.monotonic() - started:.1f} s)", flush=True)

    threads = [threading.Thread(target=run, args=case) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{name}: {len(cases) - len(failed)} of {len(cases)} held")
    return 1 if failed else 0
