//! The table of rules: what each reads, its threshold, and what to do.

use super::alert_rule::{AlertRule, ExplainedBy, Scope, Severity};
use super::foresight_rules::{FLEET_LATE_PERCENT, cohort_late, fleet_late};
use super::gateway_rules::{
    at_capacity, fds_near_limit, http_requests_near_limit, loop_stalls, memory_near_limit,
    near_capacity, out_of_descriptors,
};
use super::peer_rules::{
    app_down, flapping, many_suspects, mass_death, reconnect_storm, rtt_high, stale_closes,
};
use super::trouble_rules::persistent_trouble;
use super::upstream_rules::{
    REFUSING_PERCENT, SLOW_SECONDS, UNRESPONSIVE_PERCENT, upstream_down, upstream_ports_near_limit,
    upstream_refusing, upstream_slow, upstream_unresponsive,
};
use super::verdict_rules::{RECENT_ENDS, verdict_jump};
use crate::base::time::Micros;

/// All rules, in the order of evaluation: a rule that explains others is before them. The two about
/// an upstream that does not serve explain each other: whichever begins first tells the trouble.
///
/// One trouble is one alert: `loop_stalls` explains what upstreams do, both explain `fleet_late`,
/// that explains `mass_death`, that explains `cohort_late`, that explains `many_suspects` and
/// `stale_closes`, and all of them explain `verdict_jump` and `reconnect_storm`. Each rule lists
/// everything above it. The alert `cohort_late` of a block that dies goes on as `mass_death`.
pub(super) const RULES: &[AlertRule] = &[
    AlertRule {
        name: LOOP_STALLS,
        action: "Find out what stops the process: swap, CPU steal, a frozen cgroup, a migration of \
                 the machine. No connection was closed because of it.",
        threshold: |s| s.stalls as f64,
        measure: loop_stalls,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: UPSTREAM_UNRESPONSIVE,
        severity: Severity::Critical,
        action: "Look at the service behind the gateway: it accepts connections and does not read \
                 them. Its connections are closed only after three timeouts, and gradually. If \
                 the service resumes first, no client is disconnected.",
        threshold: |_| UNRESPONSIVE_PERCENT,
        explained_by: |_| const { &[any(LOOP_STALLS), of_upstream(UPSTREAM_DOWN)] },
        keeps_ends: true,
        measure: upstream_unresponsive,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: UPSTREAM_DOWN,
        severity: Severity::Critical,
        action: "Look whether the service runs, and listens where the route says. Clients go to \
                 the other upstreams of the route; if there is none, they are answered 502. The \
                 gateway tries again by itself.",
        threshold: |_| 1.0,
        // A service that restarts at once is no trouble.
        hold: |_| Micros::from_secs(10),
        explained_by: |_| const { &[any(LOOP_STALLS), of_upstream(UPSTREAM_UNRESPONSIVE)] },
        keeps_ends: true,
        measure: upstream_down,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: "upstream_refusing",
        action: "Look at the log of the service: it answers handshakes with another status than \
                 101. With 401 or 403 clients have wrong credentials; with 429 or 503 it is \
                 overloaded. Clients get its answers as they are. After failures of 5xx in a row \
                 new clients go to the other upstreams of the route.",
        threshold: |_| REFUSING_PERCENT,
        explained_by: |_| {
            const {
                &[
                    any(LOOP_STALLS),
                    of_upstream(UPSTREAM_DOWN),
                    of_upstream(UPSTREAM_UNRESPONSIVE),
                ]
            }
        },
        yields: true,
        keeps_ends: true,
        measure: upstream_refusing,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: "upstream_slow",
        action: "Look what the service does before it accepts a WebSocket: a database, a check of \
                 credentials. Handshakes that take longer than the route's answer_timeout_ms are \
                 answered 504.",
        threshold: |_| SLOW_SECONDS,
        hold: |v| v.settings.limits_for,
        // The others of the route serve the clients of one that is down.
        explained_by: |_| {
            const {
                &[
                    any(LOOP_STALLS),
                    of_route(UPSTREAM_DOWN),
                    of_route(UPSTREAM_UNRESPONSIVE),
                ]
            }
        },
        yields: true,
        keeps_ends: true,
        measure: upstream_slow,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: FLEET_LATE,
        severity: Severity::Critical,
        action: "Look at what is in front of the gateway: the load balancer, the link, the \
                 firewall. Do other gateways see it? If not, take this one out of the load \
                 balancer. Do not restart it: that disconnects peers that may come back.",
        threshold: |s| match s.fleet_late {
            true => FLEET_LATE_PERCENT,
            false => 0.0,
        },
        explained_by: |_| {
            const {
                &[
                    any(LOOP_STALLS),
                    any(UPSTREAM_UNRESPONSIVE),
                    any(UPSTREAM_DOWN),
                ]
            }
        },
        keeps_ends: true,
        measure: fleet_late,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: MASS_DEATH,
        severity: Severity::Critical,
        action: "If the summary names a user agent, check that client's release. Otherwise check \
                 the network, the proxy or the carrier that it names; the peers are not the cause. \
                 The gateway needs no restart.",
        threshold: |s| s.mass_death as f64,
        explained_by: |_| {
            const {
                &[
                    any(LOOP_STALLS),
                    any(UPSTREAM_UNRESPONSIVE),
                    any(UPSTREAM_DOWN),
                    any(FLEET_LATE),
                ]
            }
        },
        continues: Some(COHORT_LATE),
        keeps_ends: true,
        measure: mass_death,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: COHORT_LATE,
        action: "Check the network, the carrier or the site of the block that the summary names. \
                 Its peers have stopped answering together; none is closed because of it. Those \
                 that do not answer again die within CONNECTION_TIMEOUT_MS.",
        threshold: |s| s.cohort_late as f64,
        explained_by: |_| {
            const {
                &[
                    any(LOOP_STALLS),
                    any(UPSTREAM_UNRESPONSIVE),
                    any(UPSTREAM_DOWN),
                    any(FLEET_LATE),
                    of_block(MASS_DEATH),
                ]
            }
        },
        yields: true,
        keeps_ends: true,
        measure: cohort_late,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: MANY_SUSPECTS,
        action: "If the summary names a user agent, or only one class is affected, check that \
                 client's release. If all classes are, check the network, the proxy or the region. \
                 Compare with other gateways.",
        threshold: |s| s.suspects_percent as f64,
        hold: |v| v.settings.suspects_for,
        explained_by: |_| {
            const {
                &[
                    any(LOOP_STALLS),
                    any(UPSTREAM_UNRESPONSIVE),
                    any(UPSTREAM_DOWN),
                    any(FLEET_LATE),
                    any(MASS_DEATH),
                    of_class(COHORT_LATE),
                ]
            }
        },
        measure: many_suspects,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: STALE_CLOSES,
        severity: Severity::Critical,
        action: "If the summary names a user agent, check that client's release. Otherwise see \
                 /api/v1/closed?cause=stale for addresses and packages: peers vanish silently, as \
                 behind a NAT or a proxy that drops idle connections.",
        threshold: |s| s.stale_percent as f64,
        hold: |v| v.settings.stale_for,
        explained_by: |_| {
            const {
                &[
                    any(LOOP_STALLS),
                    any(UPSTREAM_UNRESPONSIVE),
                    any(UPSTREAM_DOWN),
                    any(FLEET_LATE),
                    any(MASS_DEATH),
                    of_class(COHORT_LATE),
                ]
            }
        },
        measure: stale_closes,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: "rtt_high",
        action: "If p50 is high, too (/api/v1/overview), check the network path or an overloaded \
                 proxy. If not, single devices are slow: see /api/v1/connections?sort=rtt.",
        threshold: |s| s.rtt_p99.0 as f64 / 1e3,
        hold: |v| v.settings.rtt_for,
        measure: rtt_high,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: "flapping",
        action: "Look for two processes or devices with one identity, or a client that reconnects \
                 without a delay. The gateway already slows them down.",
        threshold: |s| s.flapping as f64,
        hold: |v| v.settings.flapping_for,
        measure: flapping,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: "app_down",
        action: "Tell the team that runs the app: its webhook does not answer, so no user can \
                 start it. The gateway tries again by itself.",
        threshold: |s| f64::from(u8::from(s.app_down)),
        hold: |v| v.settings.app_down_for,
        measure: app_down,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: AT_CAPACITY,
        severity: Severity::Critical,
        action: "Start another gateway, or raise MAX_CONNECTIONS (and LimitNOFILE if file \
                 descriptors are the limit). Until then new connections are answered 503.",
        threshold: |s| s.refused as f64,
        // Fires at once, because a new connection was refused already.
        measure: at_capacity,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: NEAR_CAPACITY,
        action: "Start another gateway, or raise MAX_CONNECTIONS (and LimitNOFILE if file \
                 descriptors are the limit). At the limit new connections are answered 503.",
        threshold: |s| s.capacity_percent as f64,
        hold: |v| v.settings.limits_for,
        explained_by: |_| const { &[any(AT_CAPACITY)] },
        yields: true,
        measure: near_capacity,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: "fds_near_limit",
        severity: Severity::Critical,
        action: "Raise the limit of file descriptors (LimitNOFILE), or start another gateway. At \
                 the limit new connections wait.",
        threshold: |s| s.fds_percent as f64,
        // Descriptors that have run out already need no waiting time.
        hold: |v| match out_of_descriptors(v) {
            0 => v.settings.limits_for,
            _ => Micros::ZERO,
        },
        // Connections use them, up to their limit. If accepting fails, there is another reason.
        explained_by: |v| match out_of_descriptors(v) {
            0 if v.settings.capped_by_descriptors => {
                const { &[any(AT_CAPACITY), any(NEAR_CAPACITY)] }
            }
            _ => &[],
        },
        yields: true,
        measure: fds_near_limit,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: "http_requests_near_limit",
        action: "Find the route and the upstream of long requests in /api/v1/http-requests, raise \
                 HTTP_MAX_REQUESTS, or start another gateway. At the limit requests wait up to \
                 5 s, and are then answered 503.",
        threshold: |s| s.capacity_percent as f64,
        hold: |v| v.settings.limits_for,
        measure: http_requests_near_limit,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: "upstream_ports_near_limit",
        action: "Name more source_addresses in the route, let the service listen on a Unix socket \
                 or on further ports, or widen net.ipv4.ip_local_port_range. Without a port a \
                 new client is answered 503.",
        threshold: |s| s.ports_percent as f64,
        hold: |v| v.settings.limits_for,
        measure: upstream_ports_near_limit,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: "memory_near_limit",
        severity: Severity::Critical,
        action: "Raise the limit that the summary names, lower MAX_BUFFERED_BYTES or \
                 MAX_CONNECTIONS, or start another gateway.",
        threshold: |s| s.memory_percent as f64,
        hold: |v| v.settings.limits_for,
        measure: memory_near_limit,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: "persistent_trouble",
        action: "See /api/v1/troubled for the pattern of each identity, in words: a device at the \
                 edge of its radio, a timeout on its path, a faulty client. It is posted once a \
                 day.",
        threshold: |s| s.persistent_trouble as f64,
        posted_every: Some(DAY),
        measure: persistent_trouble,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: "verdict_jump",
        action: "Do what the summary says. /api/v1/closed?verdict=NAME&class=CLASS shows the \
                 connections: compare routes, upstreams, addresses and user agents.",
        threshold: |s| s.verdict_jump as f64,
        explained_by: |_| {
            const {
                &[
                    any(LOOP_STALLS),
                    any(UPSTREAM_UNRESPONSIVE),
                    any(UPSTREAM_DOWN),
                    any(FLEET_LATE),
                    any(MASS_DEATH),
                    of_class(COHORT_LATE),
                    any(MANY_SUSPECTS),
                    any(STALE_CLOSES),
                ]
            }
        },
        yields: true,
        looks_back: RECENT_ENDS,
        measure: verdict_jump,
        ..AlertRule::DEFAULT
    },
    AlertRule {
        name: "reconnect_storm",
        action: "See /api/v1/causes. replaced in pairs: two devices with one identity. peer_eof at \
                 one age: a proxy's timeout. peer_closed: the clients themselves.",
        threshold: |s| s.storm_percent as f64,
        hold: |v| v.settings.storm_for,
        explained_by: |_| {
            const {
                &[
                    any(LOOP_STALLS),
                    any(UPSTREAM_UNRESPONSIVE),
                    any(UPSTREAM_DOWN),
                    any(FLEET_LATE),
                    any(MASS_DEATH),
                    of_class(COHORT_LATE),
                    any(MANY_SUSPECTS),
                    any(STALE_CLOSES),
                ]
            }
        },
        measure: reconnect_storm,
        ..AlertRule::DEFAULT
    },
];

/// The time between two posts about persistent trouble.
const DAY: Micros = Micros::from_secs(24 * 60 * 60);

// Rules that explain others.
const UPSTREAM_UNRESPONSIVE: &str = "upstream_unresponsive";
const UPSTREAM_DOWN: &str = "upstream_down";
pub(super) const MASS_DEATH: &str = "mass_death";
const FLEET_LATE: &str = "fleet_late";
const COHORT_LATE: &str = "cohort_late";
const MANY_SUSPECTS: &str = "many_suspects";
const STALE_CLOSES: &str = "stale_closes";
const LOOP_STALLS: &str = "loop_stalls";
const AT_CAPACITY: &str = "at_capacity";
const NEAR_CAPACITY: &str = "near_capacity";

const fn any(rule: &'static str) -> ExplainedBy {
    let scope = Scope::Fleet;
    ExplainedBy { rule, scope }
}

const fn of_route(rule: &'static str) -> ExplainedBy {
    let scope = Scope::Route;
    ExplainedBy { rule, scope }
}

const fn of_class(rule: &'static str) -> ExplainedBy {
    let scope = Scope::Class;
    ExplainedBy { rule, scope }
}

const fn of_block(rule: &'static str) -> ExplainedBy {
    let scope = Scope::Block;
    ExplainedBy { rule, scope }
}

const fn of_upstream(rule: &'static str) -> ExplainedBy {
    let scope = Scope::Upstream;
    ExplainedBy { rule, scope }
}
