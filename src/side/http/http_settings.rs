//! The settings of plain HTTP.

use std::time::Duration;

/// The settings of plain HTTP. A reload changes them for the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct HttpSettings {
    /// The longest head of a request or an answer, in bytes.
    pub head_max: usize,
    /// The most time from the first byte of a request to the end of its head.
    pub head_timeout: Duration,
    /// The most time from the end of a request to the head of its answer.
    pub answer_timeout: Duration,
    /// The most time without a byte inside a body, in either direction.
    pub body_idle: Duration,
    /// How long a client's connection without a request is kept.
    pub keep_alive: Duration,
    /// How long an upstream connection without a request is kept.
    pub upstream_keep_alive: Duration,
    /// The most requests in progress; the next ones wait.
    pub max_requests: usize,
}
