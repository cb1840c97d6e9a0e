//! What the loop says of the end of a connection, in the client's words.

use super::connection_end::{ConnectionEnd, NO_CLOSE};
use crate::base::cause::{Cause, EndCode};
use crate::engine::{Ending, Response};
use crate::pulse::{TryFailure, TryPhase};

/// Returns how a connection of a client ended.
pub(super) fn end_of(ending: &Ending) -> ConnectionEnd {
    ConnectionEnd {
        code: code_of(ending),
        reason: ending.reason.clone(),
        is_clean: ending.clean,
        is_silence: ending.cause == Cause::STALE,
        phase: phase_of(ending.cause),
        failure: failure_of(ending),
    }
}

/// The close codes of faults that the loop found in what the server sent. No close frame of the
/// server has them, but a client treats them like one.
const FAULTS: [(Cause, u16); 3] = [
    (Cause::PROTOCOL, 1002),
    (Cause::INVALID_DATA, 1007),
    (Cause::TOO_BIG, 1009),
];

fn code_of(ending: &Ending) -> u16 {
    let fault = FAULTS.iter().find(|(cause, _)| *cause == ending.cause);
    let has_code = [Cause::PEER_CLOSED, Cause::KICKED].contains(&ending.cause);
    match (fault, ending.code) {
        (Some((_, code)), _) => *code,
        (None, EndCode::Close(code)) if has_code => code,
        _ => NO_CLOSE,
    }
}

/// Returns how far a try got. The loop looks up no names, and has no TLS.
fn phase_of(cause: Cause) -> Option<TryPhase> {
    let is_tcp = [
        Cause::CONNECT_FAILED,
        Cause::CONNECT_TIMEOUT,
        Cause::AT_CAPACITY,
    ]
    .contains(&cause);
    Some(match is_tcp {
        true => TryPhase::Tcp,
        false => TryPhase::Http,
    })
}

fn failure_of(ending: &Ending) -> TryFailure {
    const TIMEOUTS: [Cause; 3] = [
        Cause::CONNECT_TIMEOUT,
        Cause::ANSWER_TIMEOUT,
        Cause::TCP_TIMEOUT,
    ];
    let cause = ending.cause;
    let is_refused = ending.reason.to_ascii_lowercase().contains("refused");
    if TIMEOUTS.contains(&cause) {
        TryFailure::Timeout
    } else if cause == Cause::PEER_RESET {
        TryFailure::Reset
    } else if cause == Cause::NOT_UPGRADED || cause == Cause::CONNECT_FAILED && is_refused {
        TryFailure::Refused
    } else {
        TryFailure::Other
    }
}

/// Returns the Retry-After of a response in milliseconds (RFC 9110 §10.2.3); 0 if there is none, or
/// if it is a date.
pub(super) fn retry_after_ms(response: &Response) -> u64 {
    let seconds = response.header("retry-after").map(str::trim);
    let seconds = seconds.and_then(|text| text.parse::<u64>().ok());
    seconds.unwrap_or(0).saturating_mul(1_000)
}
