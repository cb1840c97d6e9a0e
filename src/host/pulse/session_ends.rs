//! Which ends of a connection end its session, too.

use crate::base::cause::{Cause, EndCode, EndedBy};
use crate::base::id::ConnId;
use crate::engine::{Ending, Io};

/// Normal closure (RFC 6455 §7.4.1).
const NORMAL: u16 = 1000;

/// Returns whether the end of a client's connection ends its session: the client has left for good,
/// or was closed for a reason that a new connection does not remove.
pub(crate) fn ends_session(cause: Cause, code: EndCode) -> bool {
    match (cause.by(), code) {
        (_, EndCode::Close(code)) if cause == Cause::PEER_CLOSED => code == NORMAL || code >= 3_000,
        (EndedBy::Peer | EndedBy::Network, _) => {
            [Cause::PROTOCOL, Cause::TOO_BIG, Cause::INVALID_DATA].contains(&cause)
        }
        _ => {
            let held = [
                Cause::STALE,
                Cause::SLOW_CONSUMER,
                Cause::BUFFERS_FULL,
                Cause::TCP_TIMEOUT,
                Cause::UNAUTHORIZED,
            ];
            !held.contains(&cause)
        }
    }
}

/// Returns the close code of a connection that has ended. What a peer has said counts, even if it
/// did not take our answer.
pub(crate) fn code_of(io: &Io<'_>, id: ConnId, end: &Ending) -> EndCode {
    let ended = io.end_of(id).filter(|_| end.cause == Cause::PEER_CLOSED);
    ended.map_or(end.code, |(_, code)| code)
}
