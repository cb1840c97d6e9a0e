//! What the tests of the reactor share.

use crate::sockets::Seen;
use pulsegate::SendOutcome;
use std::time::Duration;

/// The stale timeout of [`policy`].
pub const TIMEOUT: Duration = Duration::from_secs(3);

pub fn sent_to(seen: &[Seen], wanted: &str) -> Vec<SendOutcome> {
    let sent = seen.iter().filter_map(|s| match s {
        Seen::Sent { path, sent } if path == wanted => Some(*sent),
        _ => None,
    });
    sent.collect()
}
