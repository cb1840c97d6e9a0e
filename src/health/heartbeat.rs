//! The state of the latest heartbeat.

/// The state of the latest ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heartbeat {
    /// No ping was requested yet.
    First,
    /// No ping is outstanding: the latest was answered, or it is late and its RTT was given up.
    None,
    /// Requested; the kernel has not taken it yet.
    Queued,
    /// The kernel took it at `ping_sent`. Its pong will give no RTT.
    Unmeasured,
    /// The kernel took it at `ping_sent`, and its pong will give an RTT.
    Sent,
    /// The same, and it was found late. Of its RTT, the smoothed one gets at most the time after
    /// which it was late.
    ///
    /// What comes after that time is mostly an outage, or TCP's back-off after one, and no property
    /// of the path (Karn's algorithm leaves out such segments, RFC 6298 §3). If all of it counted,
    /// the next heartbeats would be late only after half of the interval. If none of it counted,
    /// the heartbeats of a path that has become slower would be late for ever.
    Late,
}

impl Heartbeat {
    /// Returns whether it was sent and its answer is awaited.
    pub(super) fn is_outstanding(self) -> bool {
        matches!(
            self,
            Heartbeat::Unmeasured | Heartbeat::Sent | Heartbeat::Late
        )
    }

    /// Returns whether its answer is awaited and gives an RTT.
    pub(super) fn is_measured(self) -> bool {
        matches!(self, Heartbeat::Sent | Heartbeat::Late)
    }

    /// Returns whether its answer is awaited, and it was not found late.
    pub(super) fn is_unjudged(self) -> bool {
        matches!(self, Heartbeat::Unmeasured | Heartbeat::Sent)
    }
}
