//! What a class of peers owes us, and how patient we are.

use crate::time::Micros;

/// When a heartbeat goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeartbeatMode {
    /// A ping every interval, whatever was heard: an RTT every interval, and NAT entries stay warm in both directions.
    #[default]
    Always,
    /// Only when nothing was heard for an interval: talkers cost no pings.
    Idle,
}

/// How the connections of one class are supervised. When it is changed live, nobody who answers is closed for that; see
/// [`Health::change_policy`](crate::health::Health::change_policy).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Time from one ping to the next; at least 10 ms. Default 15 s.
    pub heartbeat_interval: Micros,
    /// Silence after which a connection is stale; more than the interval. Default 45 s.
    pub connection_timeout: Micros,
    /// How many pings must each have gone unanswered for an interval before a peer is suspect; at least 1. Default 1.
    pub suspect_after: u16,
    /// How long an open connection may take to its first data message; `None`: for ever (the default).
    pub first_message_timeout: Option<Micros>,
    /// The longest first message, in bytes; `None`: as any other (the default). A longer one is answered 1009 as soon as its
    /// header is here. It bounds what a peer can cost that has not introduced itself.
    pub first_message_bytes: Option<usize>,
    /// How long a peer may take to answer our close frame before its socket is dropped. Default 2 s.
    pub close_timeout: Micros,
    /// When pings go out.
    pub mode: HeartbeatMode,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            heartbeat_interval: Micros::from_secs(15),
            connection_timeout: Micros::from_secs(45),
            suspect_after: 1,
            first_message_timeout: None,
            first_message_bytes: None,
            close_timeout: Micros::from_secs(2),
            mode: HeartbeatMode::Always,
        }
    }
}

impl Policy {
    /// The shortest time that means anything: two ticks of the wheel, the grid of the heartbeats.
    pub const LEAST: Micros = Micros::from_millis(10);

    /// The shortest connection timeout that survives one lost ping or answer, in heartbeat intervals. Less is allowed.
    pub const SAFE_INTERVALS: u64 = 2;

    /// Whether the loop can keep this policy.
    ///
    /// # Errors
    /// Every fault in one text, each with the field, its value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        let mut faults = Vec::new();
        if self.heartbeat_interval < Self::LEAST {
            faults.push(format!(
                "heartbeat_interval is {}; at least {}",
                self.heartbeat_interval,
                Self::LEAST
            ));
        }
        if self.connection_timeout <= self.heartbeat_interval {
            faults.push(format!(
                "connection_timeout is {}; more than heartbeat_interval, {}",
                self.connection_timeout, self.heartbeat_interval
            ));
        }
        if self.suspect_after == 0 {
            faults.push("suspect_after is 0; at least 1".to_owned());
        }
        if self.close_timeout < Self::LEAST {
            faults.push(format!(
                "close_timeout is {}; at least {}",
                self.close_timeout,
                Self::LEAST
            ));
        }
        if let Some(timeout) = self.first_message_timeout.filter(|t| *t < Self::LEAST) {
            faults.push(format!(
                "first_message_timeout is {timeout}; at least {}",
                Self::LEAST
            ));
        }
        if let Some(bytes) = self.first_message_bytes.filter(|b| *b < 125) {
            faults.push(format!("first_message_bytes is {bytes}; at least 125"));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }
}
