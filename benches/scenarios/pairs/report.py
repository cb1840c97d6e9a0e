"""Prints what the runs of pairs.sh have shown. Arguments: the folder of their outputs, and the interval of pings, in ms. Exit: 1 if
a pair was closed wrongly, a ghost was not found, or was found early or late, or the flood did not last or delayed a heartbeat."""

import json
import re
import sys

FOLDER, INTERVAL = sys.argv[1], float(sys.argv[2])
# The most by which half of the ghosts may be found late, and by which a heartbeat beside a flood may be, in ms.
GHOSTS_LATE, HEARTBEAT_LATE = 10, 20
faults = []


def read(name):
    with open(f"{FOLDER}/{name}") as file:
        return file.read()


def lateness(metrics):
    """The upper bounds, in ms, below which 99 % and all of the deadlines were handled."""
    buckets = [(float(bound), int(count)) for bound, count in
               re.findall(r'^pulsegate_timer_lateness_seconds_bucket\{le="([0-9.e-]+)"\} (\d+)', metrics, re.M)]
    total = max((count for _, count in buckets), default=0)
    at = lambda share: next((bound * 1e3 for bound, count in buckets if count >= share * total), float("inf"))
    return at(0.99), at(1.0)


def stale(metrics):
    found = re.findall(r'^pulsegate_connections_closed_total\{([^}]*)\} (\d+)', metrics, re.M)
    return {label: sum(int(count) for labels, count in found if f'class="{label}"' in labels and 'cause="stale"' in labels)
            for label in ("client", "upstream")}


def must(holds, text):
    if not holds:
        faults.append(text)


for run in ("idle", "ghosts", "flood"):
    swarm, metrics, service = json.loads(read(f"{run}.swarm.json")), read(f"{run}.metrics"), json.loads(read(f"{run}.service.json"))
    pings, closed = swarm["pings"], stale(metrics)
    p99, most = lateness(metrics)
    interval = pings["interval_ms"]
    print(f"{run:7} {swarm['connected']} pairs for {swarm['elapsed_s']['hold']:.0f} s; pings of a client {pings['per_connection']['min']} to "
          f"{pings['per_connection']['max']}, p50 {interval['p50']:.0f}, p99 {interval['p99']:.0f}, max {interval['max']:.0f} ms apart; "
          f"deadlines handled late: 99 % by at most {p99:.0f} ms, all by at most {most:.0f} ms; "
          f"stale: {closed['client']} clients, {closed['upstream']} upstreams")
    must(swarm["failed"] == 0, f"{run}: {swarm['failed']} clients were not served")
    unexpected = swarm["closes"]["unexpected"]
    if run == "ghosts":
        ghosts, messages = swarm["ghosts"], service["messages"] / swarm["elapsed_s"]["hold"]
        for leg, silent, found, early, late in (
                ("clients", ghosts["silent"], ghosts["closed"], ghosts["early"], ghosts["late_ms"]),
                ("upstreams", service["ghosts"], service["found"], service["early"], service["late_ms"])):
            print(f"        ghost {leg}: {found} of {silent} found, {early} early; late by p50 {late['p50']}, p99 {late['p99']}, max {late['max']} ms")
            must(silent > 0 and found == silent and early == 0, f"ghosts: {leg}: {found} of {silent} found, {early} early")
            must(late["p50"] is not None and late["p50"] <= GHOSTS_LATE, f"ghosts: {leg}: half are found {late['p50']} ms late")
        print(f"        {messages:.0f} messages a second through the gateway, and as many back")
        unexpected = {how: count for how, count in unexpected.items() if "1012" not in how}
        must(closed["client"] == ghosts["silent"] and closed["upstream"] == service["ghosts"], f"ghosts: stale {closed}")
    else:
        must(closed == {"client": 0, "upstream": 0}, f"{run}: stale {closed}")
    if run == "flood":
        flood = json.loads(read("flood.flood.json"))
        print(f"        the flood: {flood['frames']} frames taken from it, connection {'ended' if flood['destroyed'] else 'open'}")
        must(flood["opened"] and flood["frames"] > 0 and not flood["destroyed"], f"flood: it did not last: {flood}")
        late = interval["max"] - INTERVAL
        must(late <= HEARTBEAT_LATE, f"flood: a heartbeat of another pair was {late:.0f} ms late")
    must(not unexpected, f"{run}: closed unexpectedly: {unexpected}")

for fault in faults:
    print(f"FAULT   {fault}")
sys.exit(1 if faults else 0)
