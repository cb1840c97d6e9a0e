//! The settings of the process: its log and its shutdown.

use super::bounds::{TIME, TIME_OR_NONE};
use super::definition::Audience::{Advanced, Basic};
use super::definition::{Fallback, Setting};
use crate::config::value_kind::ValueKind;

/// The setting of the statistics in the log.
pub(super) const STATISTICS: &[Setting] = &[Setting {
    name: "STATS_INTERVAL_MS",
    kind: TIME,
    default: Fallback::Value("60000"),
    rule: None,
    audience: Basic,
    reload: true,
    help: "The time between two lines of statistics in the log.",
}];

/// Settings of the log and the shutdown.
pub(super) const BASIC: &[Setting] = &[
    Setting {
        name: "LOG_LEVEL",
        kind: ValueKind::Word(&["error", "warn", "info", "debug", "trace"]),
        default: Fallback::Value("info"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "The least severe lines that are logged: warn logs warn and error. Lines of \
               libraries that show payloads are not logged at any level.",
    },
    Setting {
        name: "LOG_FORMAT",
        kind: ValueKind::Word(&["text", "json"]),
        default: Fallback::Value("text"),
        rule: None,
        audience: Basic,
        reload: false,
        help: "The form of a log line: plain text, or a JSON object with time, level and message.",
    },
    Setting {
        name: "DRAIN_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Derived("1000; with UPSTREAM, or a route for all paths, 30000"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "After SIGTERM or SIGINT all connections are closed with code 1012, spread evenly \
               over this time.",
    },
];

/// The setting that says how long a gateway that shuts down still accepts connections.
pub(super) const ADVANCED: &[Setting] = &[
    Setting {
        name: "CONFIG_WATCH",
        kind: ValueKind::Switch,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        reload: false,
        help: "Whether a change of CONFIG_FILE, APPS_FILE or a file with a secret causes a reload \
               as SIGHUP does. The files are looked at each second. A missing file \
               causes none.",
    },
    Setting {
        name: "DRAIN_DELAY_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long after SIGTERM or SIGINT new connections are still accepted before the \
               drain starts. /healthz answers 503 meanwhile, so that a load balancer can stop \
               sending clients.",
    },
];
