#!/usr/bin/env python3
"""The dashboard and the alerts against the list of metrics (metrics.txt), the handbook and, if given, a scrape.

  metrics.py [SCRAPE_FILE]

Prints every fault. Needs promtool, for whether the dashboard's queries are PromQL. Exit: 0 none; 1 some; 2 usage.
"""
import json, os, re, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../../..")
FAULTS = []

# On no panel, and why.
OWN_ALERTS = "the gateway's own alerts are for those without Prometheus; with it, there are alerts.yml"
EVENTS = "they say nothing of connections, but what a backend learns of them"
NOT_ON_THE_DASHBOARD = {
    "pulsegate_alerts_firing": OWN_ALERTS,
    "pulsegate_alert_posts": OWN_ALERTS,
    "pulsegate_alerts_lost": OWN_ALERTS,
    "pulsegate_events": EVENTS,
    "pulsegate_events_lost": EVENTS,
    "pulsegate_events_kept": EVENTS,
    "pulsegate_events_waiting": EVENTS,
    "pulsegate_event_readers": EVENTS,
    "pulsegate_event_posts": EVENTS,
    "pulsegate_records_lost": "it says nothing of connections, but that the records of them are not complete",
    "pulsegate_upstream_up": "pulsegate_upstream_state says the same, and why not",
    "pulsegate_turn_units_max": "it is the most since the start, so it has no course",
    "pulsegate_pongs_mangled": "it is a property of clients, and the log names the first",
    "pulsegate_admin_logins_failed": "it says nothing of connections, and the log names the addresses",
}


def fault(text):
    FAULTS.append(text)


def read(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


def samples(kind, family):
    """The names under which a family's samples come."""
    return {
        "gauge": [family],
        "counter": [family + "_total"],
        "histogram": [family + "_bucket", family + "_sum", family + "_count"],
    }[kind]


def families():
    lines = [line.split() for line in read("tests/foreign/deploy/metrics.txt").splitlines()]
    return {line[1]: line[0] for line in lines if line and line[0] != "#"}


def handbook(section, column=0):
    text = read("docs/operations.md")
    table = text.split(f"<!-- {section}:begin -->")[1].split(f"<!-- {section}:end -->")[0]
    return [re.findall(r"`(\w+)`", line.split("|")[1 + column])[0] for line in table.splitlines() if line.startswith("| `")]


def labels():
    """The values that a label may have, where they are known."""
    return {
        "cause": set(handbook("causes")),
        "class": {"glasses", "app", "client", "upstream"},
        "state": {"healthy", "suspect", "closing"}
        | {"up", "unresolved", "unhealthy", "avoided", "unresponsive", "drained", "vanished", "removed"},
        "type": {"session_request", "stop_request"},
        "result": {"answered", "refused", "timeout", "unreachable", "breaker_open", "cancelled", "shed"}
        | {"opened", "invalid", "unanswered", "abandoned"},
        "verdict": set(re.findall(r"^\| `(\w+)` \|", read("docs/verdicts.md").split("<!-- actions -->")[1], re.M)),
        "evidence": {"gateway", "both"},
        "after": {"minute", "later"},
        "outcome": {"taken", "off", "repeated", "invalid"}
        | {"joined", "late", "no_record", "foreign", "elsewhere", "never_open"},
        "leg": {"client", "upstream"},
        "by": {"client", "upstream", "network", "operator", "gateway"},
        "code_class": {"1xx", "2xx", "3xx", "4xx", "5xx", "cut"},
        "how": {"first", "resume", "takeover"},
        "kind": {"start", "revival", "stop"},
        "reason": {"overflow", "expired", "skipped", "ended"} | {"stall", "lateness", "upstreams"},
        "level": {"high", "raised"},
        "code": {"normal", "going_away", "none", "protocol", "app_3xxx", "app_4xxx", "other"},
        "why": {
            "resumed", "expired", "hold_full", "upstream_lost", "crowded", "shed", "ended",
            "blocked", "draining", "too_old",
            "unproved", "off",
            "unknown", "foreign", "too_old", "mismatch", "no_token", "ledger_full",
        },
    }


def check_expression(where, expression, known):
    for name in re.findall(r"\b(?:pulsegate|process)_\w+", re.sub(r'"[^"]*"', '""', expression)):
        if name not in known:
            fault(f"{where}: no such metric: {name}")
    values = labels()
    for label, _, text in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', expression):
        if label not in values and label not in ("job", "instance"):
            fault(f"{where}: no such label: {label}")
        for value in text.split("|") if label in values else []:
            if value not in values[label]:
                fault(f"{where}: {label} is never {value}")
    for group in re.findall(r"\b(?:by|without|on)\s*\(([^)]*)\)", expression):
        for label in re.split(r",\s*", group):
            if label not in (*values, "instance", "le", "version", "route", "upstream"):
                fault(f"{where}: no such label: {label}")


def alerts(known):
    text = read("docs/deploy/alerts.yml")
    rules = re.split(r"^      - alert: ", text, flags=re.M)[1:]
    names = [rule.split()[0] for rule in rules]
    tests = read("docs/deploy/alerts.test.yml")
    for name, rule in zip(names, rules):
        where = f"alerts.yml, {name}"
        expression = re.search(r"expr: (?:>-\n)?(.*?)\n        (?:#|for:)", rule, re.S)
        if not expression:
            fault(f"{where}: no expr, or no for behind it")
            continue
        check_expression(where, expression.group(1), known)
        for part in ("for:", "severity: ", "summary: ", "description: ", "action: ", "runbook: docs/operations.md#alerts"):
            if part not in rule:
                fault(f"{where}: it lacks {part.strip()}")
        if not re.search("severity: (critical|warning) ", rule):
            fault(f"{where}: severity is neither critical nor warning")
        mine = "".join(re.findall(rf'ALERTS{{alertname="{name}"}}.*?(?=\n      -|\n\n|\Z)', tests, re.S))
        for state in ('alertstate="pending"', 'alertstate="firing"', "exp_samples: []"):
            if state not in mine:
                fault(f"alerts.test.yml, {name}: no test expects {state}")
    if sorted(names) != sorted(set(names)):
        fault("alerts.yml: a name occurs twice")
    explained = handbook("alerts")
    for name in sorted(set(names) ^ set(explained)):
        fault(f"{name} is in only one of alerts.yml and docs/operations.md, Alerts")
    severities = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", read("docs/operations.md"), re.M))
    for name, rule in zip(names, rules):
        if name in severities and f"severity: {severities[name]} " not in rule:
            fault(f"{name} is {severities[name]} in docs/operations.md and not in alerts.yml")
    return len(names)


def dashboard(known):
    try:
        board = json.loads(read("docs/deploy/grafana-dashboard.json"))
    except ValueError as e:
        fault(f"grafana-dashboard.json: {e}")
        return 0, 0
    name = "grafana-dashboard.json"
    if board.get("schemaVersion", 0) < 36 or not board.get("title") or not board.get("uid") or board.get("id") is not None:
        fault(f"{name}: needs schemaVersion 36 or more, a title, a uid, and no id")
    variables = {v["name"]: v["type"] for v in board["templating"]["list"]}
    if variables != {"datasource": "datasource", "instance": "query"}:
        fault(f"{name}: variables are {variables}")
    queries, seen, taken = [], set(), {}
    for panel in board["panels"]:
        where = f"{name}, {panel.get('title')!r}"
        if panel["id"] in seen:
            fault(f"{where}: its id is another one's")
        seen.add(panel["id"])
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            fault(f"{where}: wider than the grid")
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
            if cell in taken:
                fault(f"{where}: lies over {taken[cell]!r}")
                break
            taken[cell] = panel.get("title")
        if panel["type"] == "row":
            continue
        if panel["type"] not in ("timeseries", "stat", "heatmap"):
            fault(f"{where}: type {panel['type']}")
        if not panel.get("title") or len(panel.get("description", "")) < 20:
            fault(f"{where}: no title, or no description")
        if not panel.get("targets"):
            fault(f"{where}: no query")
        refs = [t["refId"] for t in panel.get("targets", [])]
        if len(refs) != len(set(refs)):
            fault(f"{where}: two queries have one refId")
        for part in (panel, *panel.get("targets", [])):
            if part.get("datasource", {}).get("uid") != "${datasource}":
                fault(f"{where}: its datasource is not the variable")
        queries += [(where, t["expr"]) for t in panel.get("targets", [])]
    for part in [a for a in board["annotations"]["list"] if "expr" in a] + [v for v in board["templating"]["list"] if v["type"] == "query"]:
        if part.get("datasource", {}).get("uid") != "${datasource}":
            fault(f"{name}, {part['name']!r}: its datasource is not the variable")
    queries += [(f"{name}, annotation", a["expr"]) for a in board["annotations"]["list"] if "expr" in a]
    rules = []
    for n, (where, expression) in enumerate(queries):
        check_expression(where, expression, known)
        if 'instance=~"$instance"' not in expression:
            fault(f"{where}: not of the chosen instances: {expression}")
        plain = expression.replace("$__rate_interval", "5m").replace("$instance", ".*")
        rules.append({"record": f"query:{n}", "expr": plain})
        # One by one only if something is wrong: promtool names the first fault.
    if promtool(rules):
        for (where, _), rule in zip(queries, rules):
            said = promtool([rule])
            if said:
                fault(f"{where}: {said}")
    used = set(re.findall(r"\b(?:pulsegate|process)_\w+", " ".join(q for _, q in queries)))
    for family, kind in families().items():
        on = any(s in used for s in samples(kind, family))
        if not on and family not in NOT_ON_THE_DASHBOARD:
            fault(f"{name}: {family} is on no panel")
        if on and family in NOT_ON_THE_DASHBOARD:
            fault(f"metrics.py: {family} is on a panel")
    return len(seen), len(queries)


def promtool(rules):
    """What promtool has against them; JSON is YAML."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump({"groups": [{"name": "queries", "rules": rules}]}, file)
        file.flush()
        done = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else (done.stderr + done.stdout).strip().replace(file.name, "")


# They have a series for each upstream, and the gateway of the scrape has none.
BY_UPSTREAM = {
    "pulsegate_pairs",
    "pulsegate_upstream_up",
    "pulsegate_upstream_state",
    "pulsegate_upstream_ports_ratio",
    "pulsegate_upstream_answer_seconds",
    "pulsegate_pairs_opened",
    "pulsegate_pairs_closed",
    "pulsegate_upstream_handshakes",
    "pulsegate_upstream_handshake_seconds",
    "pulsegate_http_requests",
}


def scrape(path):
    """A scrape has the families of the list, of their kinds, with samples from the first moment on, and no other."""
    listed = families()
    with open(path) as file:
        text = file.read()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)", text, re.M))
    # The older text format has `_total` in the family's name.
    kinds = {re.sub("_total$", "", name) if kind == "counter" else name: kind for name, kind in kinds.items()}
    names = set(re.findall(r"^([a-zA-Z_:]\w*)", text, re.M))
    for family, kind in listed.items():
        if family not in kinds:
            fault(f"scrape: it lacks {family}")
            continue
        if kinds[family] != kind:
            fault(f"scrape: {family} is a {kinds[family]} and listed as a {kind}")
        for sample in samples(kind, family):
            if sample not in names and family not in BY_UPSTREAM:
                fault(f"scrape: no sample of {sample}. A series that is missing until its first event makes increase() miss that event.")
    for family in sorted(kinds.keys() - listed.keys()):
        fault(f"scrape: {family} is not in metrics.txt")
    # The alerts compare and add up these; absent, they would be silent.
    for metric, label, value in (
        ("connections_closed_total", "cause", "stale"),
        ("connections_closed_total", "cause", "internal"),
        ("connections_rejected_total", "cause", "at_capacity"),
        ("connections", "state", "suspect"),
    ):
        if not re.search(rf'^pulsegate_{metric}{{[^}}]*{label}="{value}"', text, re.M):
            fault(f"scrape: pulsegate_{metric} has no series with {label}={value} yet; it should begin at 0")


def main():
    if len(sys.argv) > 2:
        print(__doc__, file=sys.stderr)
        return 2
    known = {s for family, kind in families().items() for s in samples(kind, family)}
    rules = alerts(known)
    panels, queries = dashboard(known)
    if len(sys.argv) == 2:
        scrape(sys.argv[1])
    for text in FAULTS:
        print(f"fault: {text}")
    print(f"{len(families())} metrics, {rules} alerts, {panels} panels and rows, {queries} queries: {len(FAULTS)} faults")
    return 1 if FAULTS else 0


if __name__ == "__main__":
    sys.exit(main())
