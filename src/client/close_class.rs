//! What close codes and the HTTP statuses of refusals mean for a client.

use crate::pulse::FailureClass;

/// Returns the class that a close code stands for by itself (RFC 6455 §7.4); `None` if other signs
/// decide.
pub(super) const fn class_of_code(code: u16) -> Option<FailureClass> {
    Some(match code {
        1000 => FailureClass::Over,
        1008 | 4401 | 4403 => FailureClass::Rejected,
        1002 | 1003 | 1007 | 1009 => FailureClass::Fault,
        1012 => FailureClass::Restart,
        1011 | 1013 => FailureClass::Overload,
        4000..=4999 => FailureClass::Over,
        _ => return None,
    })
}

/// Returns the class that the HTTP status of a refusal stands for; `None` if other signs decide.
pub(super) const fn class_of_status(status: u16) -> Option<FailureClass> {
    match status {
        401 | 403 => Some(FailureClass::Rejected),
        429 | 503 => Some(FailureClass::Overload),
        _ => None,
    }
}

/// Returns whether the wait of this class ends when a network comes. For the others it is not the
/// network that failed.
pub(super) const fn waits_for_network(class: FailureClass) -> bool {
    matches!(
        class,
        FailureClass::Offline
            | FailureClass::Slept
            | FailureClass::IdleCut
            | FailureClass::Blip
            | FailureClass::Unreachable
    )
}
