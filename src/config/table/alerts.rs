//! The settings of alerts.

use super::bounds::{CONNECTIONS, CONNECTIONS_OR_NONE, PERCENT, TIME, TIME_OR_NONE};
use super::definition::Audience::{Advanced, Basic};
use super::definition::{Fallback, Setting};
use crate::config::value_kind::{Unit, ValueKind};

/// Settings that switch alerts on, and that say where they are posted.
pub(super) const BASIC: &[Setting] = &[
    Setting {
        name: "ALERTS",
        kind: ValueKind::Word(&["off", "on"]),
        default: Fallback::Value("on"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "Whether the gateway evaluates its alert rules and reports alerts in its log, at \
               /api/v1/alerts and to ALERT_WEBHOOK_URL.",
    },
    Setting {
        name: "ALERT_WEBHOOK_URL",
        kind: ValueKind::SecretUrl,
        default: Fallback::Absent,
        rule: Some("not as a flag, because other processes could read it"),
        audience: Basic,
        reload: true,
        help: "The URL that alerts are posted to, as JSON in the format of Alertmanager's \
               webhooks. It is a secret, and is never shown.",
    },
];

/// Settings that say when each alert fires.
pub(super) const ADVANCED: &[Setting] = &[
    Setting {
        name: "ALERT_INTERVAL_MS",
        kind: TIME,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The time between two evaluations of the alert rules.",
    },
    Setting {
        name: "ALERT_WINDOW_MS",
        kind: TIME,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The period, up to each evaluation, in which alert rules count events and take \
               percentiles.",
    },
    Setting {
        name: "ALERT_RESOLVE_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long the value of a firing alert must stay below 80 % of its threshold before \
               the alert is resolved.",
    },
    Setting {
        name: "ALERT_REPEAT_MS",
        kind: TIME,
        default: Fallback::Value("14400000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The time after which an alert that still fires is posted to ALERT_WEBHOOK_URL \
               again.",
    },
    Setting {
        name: "ALERT_MIN_CONNECTIONS",
        kind: CONNECTIONS,
        default: Fallback::Value("50"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The least number of connections, or of measured heartbeats, for alert rules on \
               percentages and percentiles. With fewer they do not fire.",
    },
    Setting {
        name: "ALERT_SUSPECTS_PERCENT",
        kind: PERCENT,
        default: Fallback::Value("10"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert many_suspects fires when this percentage of the connections of a class \
               (glasses or apps) is suspect: their last pings are unanswered. 0 turns it off.",
    },
    Setting {
        name: "ALERT_SUSPECTS_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("120000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long ALERT_SUSPECTS_PERCENT must be reached before the alert many_suspects \
               fires; 0 is at once.",
    },
    Setting {
        name: "ALERT_STALE_PERCENT",
        kind: PERCENT,
        default: Fallback::Value("5"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert stale_closes fires when this percentage of the connections of a class \
               (glasses or apps) was closed as stale within ALERT_WINDOW_MS. 0 turns it off.",
    },
    Setting {
        name: "ALERT_STALE_MIN",
        kind: CONNECTIONS,
        default: Fallback::Value("50"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert stale_closes does not fire for fewer stale connections than this, \
               whatever their percentage.",
    },
    Setting {
        name: "ALERT_STALE_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long ALERT_STALE_PERCENT must be reached before the alert stale_closes fires; 0 \
               is at once.",
    },
    Setting {
        name: "ALERT_MASS_DEATH",
        kind: CONNECTIONS_OR_NONE,
        default: Fallback::Value("50"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert mass_death fires when the connections of this many different peers of one \
               class or address block (/24, for IPv6 /48) are lost within \
               ALERT_MASS_DEATH_WINDOW_MS. 0 turns it off.",
    },
    Setting {
        name: "ALERT_VERDICT_JUMP",
        kind: CONNECTIONS_OR_NONE,
        default: Fallback::Value("20"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert verdict_jump fires when this many connections of a class ended with one \
               verdict within 10 min, and that is five times as many as usual in the hour before. \
               0 turns it off.",
    },
    Setting {
        name: "ALERT_PERSISTENT_TROUBLE",
        kind: ValueKind::Number {
            unit: Unit::Identities,
            min: 0,
            max: 2_000,
        },
        default: Fallback::Value("1"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert persistent_trouble fires when this many identities have trouble in at \
               least three hours (see /api/v1/troubled), with a score of at least 10 over the last \
               6 h. It is posted at most once a day. 0 turns it off.",
    },
    Setting {
        name: "ALERT_MASS_DEATH_PERCENT",
        kind: PERCENT,
        default: Fallback::Value("2"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert mass_death fires only if the lost peers are also at least this percentage \
               of the connections of the class, or for an address block of all connections.",
    },
    Setting {
        name: "ALERT_MASS_DEATH_WINDOW_MS",
        kind: TIME,
        default: Fallback::Value("20000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The time within which the alert mass_death counts lost connections.",
    },
    Setting {
        name: "ALERT_FLEET_LATE",
        kind: ValueKind::Switch,
        default: Fallback::Value("1"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "Whether the alert fleet_late fires when more than 30 % of the latest 1 000 \
               heartbeats of all clients are late.",
    },
    Setting {
        name: "ALERT_COHORT_LATE",
        kind: CONNECTIONS_OR_NONE,
        default: Fallback::Value("5"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert cohort_late fires when the peers of a class in one address block (/24, \
               for IPv6 /48) with this many connections have stopped answering together. 0 turns \
               it off.",
    },
    Setting {
        name: "ALERT_RTT_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("5000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert rtt_high fires when one in a hundred heartbeats within ALERT_WINDOW_MS \
               has a round-trip time of at least this. 0 turns it off.",
    },
    Setting {
        name: "ALERT_RTT_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("300000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long ALERT_RTT_MS must be reached before the alert rtt_high fires; 0 is at \
               once.",
    },
    Setting {
        name: "ALERT_FLAPPING",
        kind: ValueKind::Number {
            unit: Unit::Identities,
            min: 0,
            max: 10_000,
        },
        default: Fallback::Value("1"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert flapping fires when the glasses of this many users, or the connections of \
               this many users to one app, are refused by FLAPPING_LIMIT. 0 turns it off.",
    },
    Setting {
        name: "ALERT_FLAPPING_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long ALERT_FLAPPING must be reached before the alert flapping fires; 0 is at \
               once.",
    },
    Setting {
        name: "ALERT_APP_DOWN",
        kind: ValueKind::Switch,
        default: Fallback::Value("1"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "Whether the alert app_down fires when the webhooks of an app fail repeatedly.",
    },
    Setting {
        name: "ALERT_APP_DOWN_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long the webhooks of an app must fail before the alert app_down fires; 0 is at \
               once.",
    },
    Setting {
        name: "ALERT_STALLS",
        kind: ValueKind::Number {
            unit: Unit::Stalls,
            min: 0,
            max: 10_000,
        },
        default: Fallback::Value("1"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert loop_stalls fires when the event loop stalls this many times within \
               ALERT_WINDOW_MS. 0 turns it off.",
    },
    Setting {
        name: "ALERT_CAPACITY_PERCENT",
        kind: PERCENT,
        default: Fallback::Value("90"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alerts near_capacity and http_requests_near_limit fire when the number of \
               connections reaches this percentage of MAX_CONNECTIONS, or that of plain HTTP \
               requests this percentage of HTTP_MAX_REQUESTS. 0 turns both off.",
    },
    Setting {
        name: "ALERT_REFUSED",
        kind: CONNECTIONS_OR_NONE,
        default: Fallback::Value("1"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert at_capacity fires when this many connections are refused within \
               ALERT_WINDOW_MS because of MAX_CONNECTIONS. 0 turns it off.",
    },
    Setting {
        name: "ALERT_FDS_PERCENT",
        kind: PERCENT,
        default: Fallback::Value("90"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert fds_near_limit fires when the open file descriptors reach this percentage \
               of their limit. 0 turns it off.",
    },
    Setting {
        name: "ALERT_PORTS_PERCENT",
        kind: PERCENT,
        default: Fallback::Value("90"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert upstream_ports_near_limit fires when the connections from one source \
               address to one upstream reach this percentage of the local ports. 0 turns it off.",
    },
    Setting {
        name: "ALERT_MEMORY_PERCENT",
        kind: PERCENT,
        default: Fallback::Value("90"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert memory_near_limit fires when memory use reaches this percentage of the \
               nearest limit: that of the cgroup, the process or the machine. 0 turns it off.",
    },
    Setting {
        name: "ALERT_LIMITS_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a percentage must be reached before near_capacity, \
               http_requests_near_limit, fds_near_limit, upstream_ports_near_limit or \
               memory_near_limit fires; 0 is at once.",
    },
    Setting {
        name: "ALERT_STORM_PERCENT",
        kind: ValueKind::Number {
            unit: Unit::Percent,
            min: 0,
            max: 10_000,
        },
        default: Fallback::Value("50"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The alert reconnect_storm fires when, within ALERT_WINDOW_MS, the opened and also \
               the ended connections of a class reach this percentage of its open connections. 0 \
               turns it off.",
    },
    Setting {
        name: "ALERT_STORM_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("180000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long ALERT_STORM_PERCENT must be reached before the alert reconnect_storm \
               fires; 0 is at once.",
    },
];
