//! The settings of the process: its log and its shutdown.

use super::bounds::{TIME, TIME_OR_NONE};
use super::setting::Audience::{Advanced, Basic};
use super::setting::{Fallback, Setting};
use crate::config::kinds::Kind;

/// The statistics in the log.
pub(super) const STATISTICS: &[Setting] = &[Setting {
    name: "STATS_INTERVAL_MS",
    kind: TIME,
    default: Fallback::Value("60000"),
    rule: None,
    audience: Basic,
    reload: true,
    help: "The time from one line of statistics in the log to the next.",
}];

/// The log and the shutdown.
pub(super) const BASIC: &[Setting] = &[
    Setting {
        name: "LOG_LEVEL",
        kind: Kind::Word(&["error", "warn", "info", "debug", "trace"]),
        default: Fallback::Value("info"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "The least important lines that are still logged; what libraries say of payloads is \
               logged at no level.",
    },
    Setting {
        name: "LOG_FORMAT",
        kind: Kind::Word(&["text", "json"]),
        default: Fallback::Value("text"),
        rule: None,
        audience: Basic,
        reload: false,
        help: "Whether a log line is text, or a JSON object with time, level and message.",
    },
    Setting {
        name: "DRAIN_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("1000"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "The time over which the connections are closed evenly, with close code 1012, after \
               SIGTERM or SIGINT.",
    },
];

/// How long a gateway that shuts down still accepts connections.
pub(super) const ADVANCED: &[Setting] = &[Setting {
    name: "DRAIN_DELAY_MS",
    kind: TIME_OR_NONE,
    default: Fallback::Value("0"),
    rule: None,
    audience: Advanced,
    reload: true,
    help: "How long after SIGTERM or SIGINT connections are still accepted, while /healthz already \
           answers 503.",
}];
