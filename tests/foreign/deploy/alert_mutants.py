#!/usr/bin/env python3
"""Are the unit tests of the alerts any good? Changes docs/deploy/alerts.yml in one place at a time and runs promtool.

Every number of an expression a tenth up and a tenth down (small whole ones by one), every 0 and 1 behind == turned round,
every `for` none, half and double, every expression false, every comparison turned round. Each must be noticed.
Exit: 0 all were noticed; 1 some were not, and which.
"""
import os, re, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor

DEPLOY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../docs/deploy")
TEXT = open(os.path.join(DEPLOY, "alerts.yml")).read()
TESTS = open(os.path.join(DEPLOY, "alerts.test.yml")).read()

# Not a threshold but a protection: `(... > 0)` keeps a zero from being divided by. Groups of the tests hold a zero each.
NUMBER = re.compile(r"(?<![\w.\[\"|])(\d+(?:\.\d+)?)(?![\w.\]\"])(?!\))")


def changes():
    """What is changed, and the whole file after it."""
    starts = [m.start() for m in re.finditer(r"^      - alert: ", TEXT, re.M)] + [len(TEXT)]
    for begin, end in zip(starts, starts[1:]):
        rule = TEXT[begin:end]
        name = rule.split()[2]

        def with_(start, stop, new):
            return TEXT[: begin + start] + new + TEXT[begin + stop :]

        e = re.search(r"expr: (?:>-\n)?(.*?)\n        (?:#|for:)", rule, re.S)
        expression, at = e.group(1), e.start(1)
        yield f"{name}: never", with_(at, e.end(1), f"{' ' * 10 if '>-' in e.group(0) else ''}vector(1) > 2")
        for n in NUMBER.finditer(expression):
            # The number that a function takes, such as the quantile, is looked at, too.
            text = n.group(1)
            if expression[: n.start()].rstrip().endswith("=="):
                news = ["1" if text == "0" else "0"]
            elif text == "0":
                news = ["1"]
            elif "." not in text and int(text) < 10:
                news = [str(int(text) + 1), str(int(text) - 1)]
            elif text == "0.99":
                news = ["0.999", "0.95"]
            else:
                news = [repr(float(text) * 1.1), repr(float(text) * 0.9)]
            for new in news:
                yield f"{name}: {text} -> {new} at character {n.start()}", with_(at + n.start(), at + n.end(), new)
        for c in re.finditer(r" (>=|>|<) (?!0\))", expression):
            new = "<" if ">" in c.group(1) else ">"
            yield f"{name}: {c.group(1)} -> {new} at character {c.start()}", with_(at + c.start(1), at + c.end(1), new)
        for label in re.finditer(r'cause=~"([^"]*)"', expression):
            for cause in label.group(1).split("|"):
                s = expression.replace(label.group(1), "|".join(x for x in label.group(1).split("|") if x != cause))
                yield f"{name}: without {cause}", with_(at, e.end(1), s)
        f = re.search(r"for: (\d+)m", rule)
        # Rules are evaluated every minute in the tests, so half a minute is a whole one there.
        minutes = int(f.group(1))
        for new in ["0s", f"{minutes * 2}m"] + ([f"{minutes * 30}s"] if minutes > 1 else []):
            yield f"{name}: for {f.group(1)}m -> {new}", with_(f.start(), f.end(), f"for: {new}")


def tests_of(alert):
    """The tests without the other rules' groups, which are most of the time."""
    head, *groups = re.split(r"^(?=  - name: )", TESTS, flags=re.M)
    return head + "".join(g for g in groups if g.split()[2] == alert)


def noticed(change):
    alert, text = change[0].split(":")[0], change[1]
    with tempfile.TemporaryDirectory() as place:
        for file, content in (("alerts.yml", text), ("alerts.test.yml", tests_of(alert))):
            with open(os.path.join(place, file), "w") as out:
                out.write(content)
        run = ["promtool", "test", "rules", "alerts.test.yml"]
        done = subprocess.run(run, cwd=place, capture_output=True, text=True, timeout=120)
        # What promtool cannot read would prove nothing.
        return done.returncode != 0, done.returncode != 0 and "exp:" not in done.stdout + done.stderr


def main():
    all_ = list(changes())
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        results = list(pool.map(noticed, all_))
    missed = [c[0] for c, (seen, _) in zip(all_, results) if not seen]
    broken = [c[0] for c, (_, nonsense) in zip(all_, results) if nonsense]
    for name in missed:
        print(f"not noticed: {name}")
    for name in broken:
        print(f"not a valid change: {name}")
    print(f"{len(all_)} changes of the alerts, {len(all_) - len(missed)} noticed")
    return 1 if missed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
