//! Policies: how often the peers of a class are pinged, and how long they may be silent.

use crate::base::time::Micros;

/// When heartbeats are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "always, or only in silence")]
pub enum HeartbeatMode {
    /// A ping is sent every interval, independent of input. This gives an RTT every interval and
    /// keeps NAT entries alive in both directions.
    #[default]
    Always,
    /// A ping is sent only if nothing was heard for an interval: active peers cost no pings.
    Idle,
}

/// What happens to a connection that is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "it is closed or it is not")]
pub enum StaleAction {
    /// It is closed.
    #[default]
    Close,
    /// It stays open, and the host is told that it would have been closed. Use this to try out a
    /// timeout.
    Report,
}

/// What heartbeats are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the protocol has pings, the host has texts"
)]
pub enum HeartbeatForm {
    /// WebSocket pings (RFC 6455 §5.5.2). Every client answers them by itself; so does a proxy that
    /// ends WebSockets, even when its client has gone.
    #[default]
    Ping,
    /// Text messages of the host
    /// ([`Handler::heartbeat_text`](crate::engine::Handler::heartbeat_text)). Only the program at
    /// the other end can answer them. The host recognizes the answer among the messages and calls
    /// [`Io::heartbeat_answered`](crate::engine::Io::heartbeat_answered). A linked connection is
    /// pinged all the same, because its messages do not reach the host.
    Text,
}

/// What counts as a sign of life of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "hosts write it down")]
pub enum AliveBy {
    /// Everything that arrives, and the acknowledgements of the peer's kernel while a heartbeat is
    /// on its way.
    #[default]
    Any,
    /// Text and binary messages, and parts of them. Pings and pongs do not count, because a proxy
    /// may answer for a client that has gone, and neither do acknowledgements. An answer to a
    /// heartbeat in the form of a text is a message, so it counts.
    Data,
    /// Answers to our own heartbeats: the pong of a ping, or
    /// [`Io::heartbeat_answered`](crate::engine::Io::heartbeat_answered).
    Pong,
}

impl AliveBy {
    /// Returns the word for it in the settings and in the API.
    pub fn name(self) -> &'static str {
        match self {
            AliveBy::Any => "any",
            AliveBy::Data => "data",
            AliveBy::Pong => "pong",
        }
    }

    /// Returns what is not heard of a stale peer, for the reason of its close.
    pub(crate) fn missing(self) -> &'static str {
        match self {
            AliveBy::Any => "nothing",
            AliveBy::Data => "no message",
            AliveBy::Pong => "no answer to a heartbeat",
        }
    }

    /// Returns what a word stands for; any other word stands for the default.
    pub fn parse(word: &str) -> Self {
        let all = [AliveBy::Data, AliveBy::Pong];
        let found = all.into_iter().find(|alive_by| alive_by.name() == word);
        found.unwrap_or_default()
    }
}

impl HeartbeatForm {
    /// Returns the word for it in the API.
    pub fn name(self) -> &'static str {
        match self {
            HeartbeatForm::Ping => "ping",
            HeartbeatForm::Text => "text",
        }
    }
}

/// How the connections of one class are supervised. A change at run time closes no connection that
/// answers; see [`Health::change_policy`](crate::health::Health::change_policy).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct Policy {
    /// Time from one ping to the next; at least 10 ms. Default 15 s.
    pub heartbeat_interval: Micros,
    /// Silence after which a connection is stale; more than the interval. Default 45 s.
    pub connection_timeout: Micros,
    /// The number of pings that must each be unanswered for an interval before a peer is suspect;
    /// at least 1. Default 1.
    pub suspect_after: u16,
    /// How long an open connection may take until its first data message; `None`: for ever (the
    /// default).
    pub first_message_timeout: Option<Micros>,
    /// The longest first message, in bytes; `None`: as any other (the default). A longer one is
    /// answered 1009 as soon as its header has arrived. This limits the cost of a peer that has not
    /// identified itself.
    pub first_message_bytes: Option<usize>,
    /// How long a peer may take to answer our close frame before its socket is dropped. Default 2
    /// s.
    pub close_timeout: Micros,
    /// When pings are sent.
    pub mode: HeartbeatMode,
    /// What happens to a connection that is stale. Default: it is closed.
    pub when_stale: StaleAction,
    /// What heartbeats are. Default: pings.
    pub heartbeat_form: HeartbeatForm,
    /// What counts as a sign of life. Default: everything that arrives.
    pub alive_by: AliveBy,
    /// Whether heartbeats are judged late, with the kernel's evidence
    /// ([`Handler::on_late`](crate::engine::Handler::on_late)). Default: true.
    pub late: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy::DEFAULT
    }
}

impl Policy {
    /// A heartbeat every 15 s, stale after 45 s.
    pub const DEFAULT: Policy = Policy {
        heartbeat_interval: Micros::from_secs(15),
        connection_timeout: Micros::from_secs(45),
        suspect_after: 1,
        first_message_timeout: None,
        first_message_bytes: None,
        close_timeout: Micros::from_secs(2),
        mode: HeartbeatMode::Always,
        when_stale: StaleAction::Close,
        heartbeat_form: HeartbeatForm::Ping,
        alive_by: AliveBy::Any,
        late: true,
    };

    /// The shortest useful time: two ticks of the wheel, the grid of the heartbeats.
    pub const MIN_TIME: Micros = Micros::from_millis(10);

    /// The shortest connection timeout, in heartbeat intervals, that tolerates one lost ping or
    /// answer. Shorter ones are allowed.
    pub const SAFE_INTERVALS: u64 = 2;

    /// Checks that the loop can keep this policy.
    ///
    /// # Errors
    /// [`PolicyError`] with all faults.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let mut faults = Vec::new();
        if self.heartbeat_interval < Self::MIN_TIME {
            faults.push(PolicyFault::HeartbeatInterval(self.heartbeat_interval));
        }
        if self.connection_timeout <= self.heartbeat_interval {
            faults.push(PolicyFault::ConnectionTimeout {
                timeout: self.connection_timeout,
                interval: self.heartbeat_interval,
            });
        }
        if self.suspect_after == 0 {
            faults.push(PolicyFault::SuspectAfter);
        }
        if self.close_timeout < Self::MIN_TIME {
            faults.push(PolicyFault::CloseTimeout(self.close_timeout));
        }
        if let Some(timeout) = self.first_message_timeout.filter(|t| *t < Self::MIN_TIME) {
            faults.push(PolicyFault::FirstMessageTimeout(timeout));
        }
        if let Some(bytes) = self.first_message_bytes.filter(|b| *b < 125) {
            faults.push(PolicyFault::FirstMessageBytes(bytes));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(PolicyError(faults))
        }
    }
}

/// An invalid policy. The policy's author is at fault: nothing has changed, and the same policy
/// will be refused again.
///
/// Printed as all faults in one line, each with the field, its value and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", join_faults(.0))]
pub struct PolicyError(Vec<PolicyFault>);

impl PolicyError {
    /// Returns all faults, at least one, in the order of the checks.
    pub fn faults(&self) -> &[PolicyFault] {
        &self.0
    }
}

/// One field of a [`Policy`] that is out of bounds, with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFault {
    /// The interval is shorter than [`Policy::MIN_TIME`].
    #[error("heartbeat_interval is {0}; at least {least}", least = Policy::MIN_TIME)]
    HeartbeatInterval(Micros),
    /// The timeout is not longer than the interval.
    #[error("connection_timeout is {timeout}; more than heartbeat_interval, {interval}")]
    ConnectionTimeout {
        /// The connection timeout.
        timeout: Micros,
        /// The heartbeat interval.
        interval: Micros,
    },
    /// `suspect_after` is 0: a peer would be suspect without any unanswered ping.
    #[error("suspect_after is 0; at least 1")]
    SuspectAfter,
    /// The timeout is shorter than [`Policy::MIN_TIME`].
    #[error("close_timeout is {0}; at least {least}", least = Policy::MIN_TIME)]
    CloseTimeout(Micros),
    /// The timeout is shorter than [`Policy::MIN_TIME`].
    #[error("first_message_timeout is {0}; at least {least}", least = Policy::MIN_TIME)]
    FirstMessageTimeout(Micros),
    /// The limit is below the length of a control frame (RFC 6455 §5.5).
    #[error("first_message_bytes is {0}; at least 125")]
    FirstMessageBytes(usize),
}

fn join_faults(faults: &[PolicyFault]) -> String {
    let texts: Vec<String> = faults.iter().map(PolicyFault::to_string).collect();
    texts.join("; ")
}
