//! Counters of webhook results.

use crate::side::down_app::DownApp;

/// The type of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookType {
    /// A request for a session.
    SessionRequest,
    /// A notice that a session has ended.
    StopRequest,
}

impl WebhookType {
    /// All types of webhooks.
    pub const ALL: [WebhookType; 2] = [WebhookType::SessionRequest, WebhookType::StopRequest];

    /// Returns the name in the body and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            WebhookType::SessionRequest => "session_request",
            WebhookType::StopRequest => "stop_request",
        }
    }
}

/// The result of one attempt, or why there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookResult {
    /// The server answered with 2xx.
    Answered,
    /// The server answered with another status.
    Refused,
    /// The server did not answer in time.
    Timeout,
    /// The server could not be reached, or the connection broke.
    Unreachable,
    /// The webhook was given up, because the app's server is considered down.
    BreakerOpen,
    /// The webhook was cancelled, because it was no longer needed.
    Cancelled,
    /// The webhook was given up, because too many webhooks wait.
    Shed,
}

impl WebhookResult {
    /// All results of webhooks.
    pub const ALL: [WebhookResult; 7] = [
        WebhookResult::Answered,
        WebhookResult::Refused,
        WebhookResult::Timeout,
        WebhookResult::Unreachable,
        WebhookResult::BreakerOpen,
        WebhookResult::Cancelled,
        WebhookResult::Shed,
    ];

    /// Returns the name in the log and in metrics.
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

/// The number of results since the start, by type and result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebhookCounts([[u64; WebhookResult::ALL.len()]; WebhookType::ALL.len()]);

impl WebhookCounts {
    /// Returns one count.
    pub fn get(&self, kind: WebhookType, result: WebhookResult) -> u64 {
        self.0[kind as usize][result as usize]
    }

    pub(super) fn add(&mut self, kind: WebhookType, result: WebhookResult) {
        self.0[kind as usize][result as usize] += 1;
    }
}

/// The state of the webhooks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookStats {
    /// The results since the start.
    pub counts: WebhookCounts,
    /// Requests that were sent and not answered yet.
    pub in_flight: usize,
    /// Webhooks that wait to be sent, for the first time or again.
    pub waiting: usize,
    /// Packages with a server that is considered down.
    pub breakers_open: usize,
    /// The first 100 of these packages, by name.
    pub down: Vec<DownApp>,
}

/// The limit of [`WebhookStats::down`].
pub(super) const DOWN_MAX: usize = 100;
