"""Which verdicts are right, and the confusion matrix."""

import collections

# What the gateway alone can say of each truth. It sees neither the device nor the networks that it uses. A client that comes back before
# the gateway has noticed its loss takes over its old connection.
LOST = {"network_lost", "takeover_of_dead"}
GATEWAY = {
    "gateway_stall": {"gateway_stall"},
    # Nothing is acknowledged while a device sleeps.
    "device_sleep": LOST | {"peer_silent"},
    "outage": LOST,
    "handover": LOST,
    "nat_timeout": LOST,
    "middlebox": {"peer_silent", "takeover_of_dead"},
    "app_frozen": {"peer_silent", "takeover_of_dead"},
    "app_killed": {"peer_left"},
    "slow_link": {"slow_link"},
    "second_device": {"second_device"},
    "takeover_of_dead": {"takeover_of_dead"},
}
# What "wrong" at most and "right" at least must be, in percent.
WRONG_MOST, UNKNOWN_MOST, RIGHT_LEAST = 5, 5, 95


MARKS = ("right", "coarse", "unknown", "wrong")


def judge(has_reports, truths, verdict):
    """One of MARKS, or `missing`. With reports a verdict is coarse if it is only what the gateway alone could say: true, but not all."""
    if verdict in (None, "missing"):
        return "missing"
    if verdict == "unknown":
        return "unknown"
    by_gateway = set().union(*(GATEWAY[truth] for truth in truths))
    if verdict in (truths if has_reports else by_gateway):
        return "right"
    return "coarse" if verdict in by_gateway else "wrong"


def percent(part, whole):
    return f"{round(100 * part / whole, 1):g} %" if whole else "-"


def table(rows):
    """A table in Markdown, from lists of cells."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def matrix(results, has_reports):
    """The matrix of one column. `results`: dicts with fault, truths, verdict."""
    seen = sorted({result["verdict"] for result in results})
    rows = [["fault", "runs", *(f"`{verdict}`" for verdict in seen), *MARKS]]
    totals = collections.Counter()
    for fault in dict.fromkeys(result["fault"] for result in results):
        mine = [result for result in results if result["fault"] == fault]
        counts = collections.Counter(result["verdict"] for result in mine)
        marks = collections.Counter(judge(has_reports, r["truths"], r["verdict"]) for r in mine)
        totals += marks
        cells = [counts[verdict] or "" for verdict in seen]
        rows.append([fault, len(mine), *cells, *marks_of(marks, len(mine))])
    whole = len(results)
    rows.append(["all", whole, *[""] * len(seen), *marks_of(totals, whole)])
    return table(rows)


def marks_of(marks, whole):
    return [percent(marks[mark], whole) for mark in MARKS]


def holds(results, has_reports):
    """Whether the targets are met: for each fault with reports, over all without."""
    marks = collections.Counter(judge(has_reports, r["truths"], r["verdict"]) for r in results)
    whole = len(results)
    is_right = 100 * marks["wrong"] <= WRONG_MOST * whole and marks["missing"] == 0
    if has_reports:
        is_right &= 100 * marks["right"] >= RIGHT_LEAST * whole and 100 * marks["unknown"] <= UNKNOWN_MOST * whole
    return is_right
