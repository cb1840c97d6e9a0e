//! What the end of one leg of a pair means for the other.

use crate::base::cause::{Cause, EndedBy};
use crate::base::id::ConnId;
use crate::engine::{Io, PairEnd};

/// One of the two connections of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leg {
    /// The connection of the client.
    Client,
    /// The connection to the upstream.
    Upstream,
}

/// Going away (RFC 6455 §7.4.1): for an upstream whose client has left. Clients take it as a wish
/// not to come back.
pub(super) const GOING_AWAY: u16 = 1001;
/// An internal error. Some libraries do not reconnect after it.
const INTERNAL_ERROR: u16 = 1011;
/// Service restart: the client may come back at once.
const SERVICE_RESTART: u16 = 1012;
/// Try again later.
const TRY_AGAIN_LATER: u16 = 1013;

/// Closes a connection to the upstream whose client has left before the two were linked. The
/// upstream is not at fault.
pub(super) fn close_for_lost_client(io: &mut Io<'_>, upstream: ConnId) {
    io.close_for(upstream, Cause::PARTNER_ENDED, GOING_AWAY, "client lost");
}

/// Returns the close code and the reason for the partner of a leg that has ended.
pub(super) fn partner_close(ended: Leg, end: &PairEnd) -> (u16, String) {
    let cause = end.cause;
    let is_one_of = |causes: &[Cause]| causes.contains(&cause);
    // We have closed it, for what it has done.
    let is_fault = is_one_of(&[
        Cause::PROTOCOL,
        Cause::TOO_BIG,
        Cause::INVALID_DATA,
        Cause::UNAUTHORIZED,
    ]);
    let is_overload = is_one_of(&[Cause::SLOW_CONSUMER, Cause::BUFFERS_FULL]);
    let what = what_happened(end);
    match ended {
        Leg::Client if is_fault => (GOING_AWAY, format!("client closed: {what}")),
        Leg::Client if cause.by() == EndedBy::Operator => (GOING_AWAY, what),
        Leg::Client => (GOING_AWAY, format!("client lost: {what}")),
        Leg::Upstream if is_fault => (INTERNAL_ERROR, format!("upstream closed: {what}")),
        Leg::Upstream if is_overload => (TRY_AGAIN_LATER, format!("upstream lost: {what}")),
        Leg::Upstream if is_one_of(&[Cause::PEER_EOF, Cause::PEER_RESET]) => {
            (SERVICE_RESTART, "upstream lost".to_owned())
        }
        Leg::Upstream if cause.by() == EndedBy::Operator => (SERVICE_RESTART, what),
        Leg::Upstream => (SERVICE_RESTART, format!("upstream lost: {what}")),
    }
}

/// Returns in a few words what happened to a leg.
fn what_happened(end: &PairEnd) -> String {
    match end.cause {
        cause if cause == Cause::PEER_EOF => "eof".to_owned(),
        cause if cause == Cause::PEER_RESET => "reset".to_owned(),
        // "nothing heard for 45 s, 2 pings unanswered": the ping count is omitted.
        cause if cause == Cause::STALE => {
            let (silence, _) = end.reason.split_once(',').unwrap_or((&end.reason, ""));
            silence.to_owned()
        }
        cause if end.reason.is_empty() => cause.name().replace('_', " "),
        _ => end.reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Class;

    #[test]
    fn each_end_has_its_code_and_reason() {
        let stale = "nothing heard for 45 s, 2 pings unanswered";
        for (ended, cause, reason, code, text) in [
            (Leg::Client, Cause::PEER_EOF, "", 1001, "client lost: eof"),
            (
                Leg::Client,
                Cause::PEER_RESET,
                "",
                1001,
                "client lost: reset",
            ),
            (
                Leg::Client,
                Cause::STALE,
                stale,
                1001,
                "client lost: nothing heard for 45 s",
            ),
            (
                Leg::Client,
                Cause::TCP_TIMEOUT,
                "",
                1001,
                "client lost: tcp timeout",
            ),
            (
                Leg::Client,
                Cause::PROTOCOL,
                "a bad frame",
                1001,
                "client closed: a bad frame",
            ),
            (
                Leg::Client,
                Cause::TOO_BIG,
                "9 > 8",
                1001,
                "client closed: 9 > 8",
            ),
            (
                Leg::Client,
                Cause::SLOW_CONSUMER,
                "5 bytes",
                1001,
                "client lost: 5 bytes",
            ),
            (
                Leg::Client,
                Cause::DRAINING,
                "service restart",
                1001,
                "service restart",
            ),
            (Leg::Client, Cause::KICKED, "abuse", 1001, "abuse"),
            (Leg::Upstream, Cause::PEER_EOF, "", 1012, "upstream lost"),
            (Leg::Upstream, Cause::PEER_RESET, "", 1012, "upstream lost"),
            (
                Leg::Upstream,
                Cause::STALE,
                stale,
                1012,
                "upstream lost: nothing heard for 45 s",
            ),
            (
                Leg::Upstream,
                Cause::PROTOCOL,
                "RSV2",
                1011,
                "upstream closed: RSV2",
            ),
            (
                Leg::Upstream,
                Cause::TOO_BIG,
                "9 > 8",
                1011,
                "upstream closed: 9 > 8",
            ),
            (
                Leg::Upstream,
                Cause::SLOW_CONSUMER,
                "5 bytes",
                1013,
                "upstream lost: 5 bytes",
            ),
            (Leg::Upstream, Cause::KICKED, "repair", 1012, "repair"),
        ] {
            let end = PairEnd {
                cause,
                class: Class(0),
                reason: reason.into(),
            };
            let closed = partner_close(ended, &end);
            assert_eq!(closed, (code, text.to_owned()), "{ended:?} {cause}");
        }
    }
}
