//! The bounds of a policy that is changed live.

use super::table::{SETTINGS, row};
use super::value_kind::ValueKind;
use crate::base::time::Micros;
use crate::health::Policy;

/// Checks that the settings would allow `policy`: a live change has the same bounds as the settings
/// at the start.
///
/// # Errors
/// [`OutOfBounds`] with every fault.
pub fn check_policy(policy: &Policy) -> Result<(), OutOfBounds> {
    let mut faults = Vec::new();
    let times = [
        (
            "heartbeat_interval",
            Some(policy.heartbeat_interval),
            const { row("HEARTBEAT_INTERVAL_MS") },
        ),
        (
            "connection_timeout",
            Some(policy.connection_timeout),
            const { row("CONNECTION_TIMEOUT_MS") },
        ),
        (
            "first_message_timeout",
            policy.first_message_timeout,
            const { row("APP_INIT_TIMEOUT_MS") },
        ),
        (
            "close_timeout",
            Some(policy.close_timeout),
            const { row("CLOSE_TIMEOUT_MS") },
        ),
    ];
    for (field, time, row) in times {
        let ValueKind::Number { min, max, .. } = SETTINGS[row].kind else {
            continue;
        };
        let [min, max] = [min, max].map(Micros::from_millis);
        if let Some(time) = time.filter(|time| !(min..=max).contains(time)) {
            faults.push(BoundsFault::Time {
                field,
                time,
                min,
                max,
            });
        }
    }
    if policy.connection_timeout <= policy.heartbeat_interval {
        faults.push(BoundsFault::ConnectionTimeout {
            timeout: policy.connection_timeout,
            interval: policy.heartbeat_interval,
        });
    }
    if policy.suspect_after == 0 {
        faults.push(BoundsFault::SuspectAfter);
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(OutOfBounds(faults))
    }
}

/// A policy that the settings would not allow. The error is the operator's; another policy may be
/// tried.
///
/// Prints every fault in one line, each with the field, its value and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", line(.0))]
pub struct OutOfBounds(Vec<BoundsFault>);

impl OutOfBounds {
    /// Returns every fault, at least one.
    pub fn faults(&self) -> &[BoundsFault] {
        &self.0
    }
}

/// One field of a policy that is outside the bounds of its setting, with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoundsFault {
    /// A time is too short or too long.
    #[error("{field} is {time}; it must be {min} to {max}")]
    Time {
        /// The name of the field.
        field: &'static str,
        /// The value of the field.
        time: Micros,
        /// The least that is allowed.
        min: Micros,
        /// The most that is allowed.
        max: Micros,
    },
    /// The timeout is not longer than the interval.
    #[error(
        "connection_timeout is {timeout}; it must be more than heartbeat_interval, which is \
         {interval}"
    )]
    ConnectionTimeout {
        /// The connection timeout.
        timeout: Micros,
        /// The heartbeat interval.
        interval: Micros,
    },
    /// `suspect_after` is 0: a peer would be suspect before any ping is unanswered.
    #[error("suspect_after is 0; it must be at least 1")]
    SuspectAfter,
}

fn line(faults: &[BoundsFault]) -> String {
    let texts: Vec<String> = faults.iter().map(BoundsFault::to_string).collect();
    texts.join("; ")
}
