//! The bounds of a policy that is not set by settings, but live.

use super::kinds::Kind;
use super::table::{SETTINGS, row};
use crate::health::Policy;
use crate::time::Micros;

/// Whether the settings would allow `policy`: a live change is held to the bounds that the start has.
///
/// # Errors
/// Every fault: the field, its value and what is allowed.
pub fn check_policy(policy: &Policy) -> Result<(), Vec<String>> {
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
            const { row("TPA_INIT_TIMEOUT_MS") },
        ),
        (
            "close_timeout",
            Some(policy.close_timeout),
            const { row("CLOSE_TIMEOUT_MS") },
        ),
    ];
    for (field, time, row) in times {
        let Kind::Number { least, most, .. } = SETTINGS[row].kind else {
            continue;
        };
        let [least, most] = [least, most].map(Micros::from_millis);
        if let Some(time) = time.filter(|time| !(least..=most).contains(time)) {
            faults.push(format!("{field} is {time}; it must be {least} to {most}"));
        }
    }
    if policy.connection_timeout <= policy.heartbeat_interval {
        faults.push(format!(
            "connection_timeout is {}; it must be more than heartbeat_interval, which is {}",
            policy.connection_timeout, policy.heartbeat_interval
        ));
    }
    if policy.suspect_after == 0 {
        faults.push("suspect_after is 0; it must be at least 1".to_owned());
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}
