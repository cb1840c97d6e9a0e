//! What became of webhooks, counted.

use crate::side::down::DownApp;

/// What a webhook asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookType {
    /// A session.
    SessionRequest,
    /// Its end.
    StopRequest,
}

impl WebhookType {
    /// All of them.
    pub const ALL: [WebhookType; 2] = [WebhookType::SessionRequest, WebhookType::StopRequest];

    /// As in the body and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            WebhookType::SessionRequest => "session_request",
            WebhookType::StopRequest => "stop_request",
        }
    }
}

/// What became of one attempt, or why there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookResult {
    /// Answered with 2xx.
    Answered,
    /// Answered with something else.
    Refused,
    /// Not answered in time.
    Timeout,
    /// No connection, or it broke.
    Unreachable,
    /// Given up: the app's server is known to be down.
    BreakerOpen,
    /// Not wanted any more.
    Cancelled,
    /// Given up: too many wait.
    Shed,
}

impl WebhookResult {
    /// All of them.
    pub const ALL: [WebhookResult; 7] = [
        WebhookResult::Answered,
        WebhookResult::Refused,
        WebhookResult::Timeout,
        WebhookResult::Unreachable,
        WebhookResult::BreakerOpen,
        WebhookResult::Cancelled,
        WebhookResult::Shed,
    ];

    /// As in the log and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            WebhookResult::Answered => "answered",
            WebhookResult::Refused => "refused",
            WebhookResult::Timeout => "timeout",
            WebhookResult::Unreachable => "unreachable",
            WebhookResult::BreakerOpen => "breaker_open",
            WebhookResult::Cancelled => "cancelled",
            WebhookResult::Shed => "shed",
        }
    }
}

/// How many there were since the start, by type and result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebhookCounts([[u64; WebhookResult::ALL.len()]; WebhookType::ALL.len()]);

impl WebhookCounts {
    /// One count.
    pub fn get(&self, kind: WebhookType, result: WebhookResult) -> u64 {
        self.0[kind as usize][result as usize]
    }

    pub(super) fn add(&mut self, kind: WebhookType, result: WebhookResult) {
        self.0[kind as usize][result as usize] += 1;
    }
}

/// How webhooks are doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookStats {
    /// What became of them since the start.
    pub counts: WebhookCounts,
    /// Requests under way.
    pub in_flight: usize,
    /// Webhooks that wait for their turn or their next attempt.
    pub waiting: usize,
    /// Packages whose server is taken to be down.
    pub breakers_open: usize,
    /// The first 100 of them by name.
    pub down: Vec<DownApp>,
}

/// How many of [`WebhookStats::down`] are told.
pub(super) const DOWN_MAX: usize = 100;
