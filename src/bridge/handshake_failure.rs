//! Upstream handshakes that failed.

use super::acceptance::AnswerFault;
use crate::base::time::Micros;
use crate::engine::{Ending, Reply};

/// Why no upstream answer can be forwarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandshakeFailure {
    /// No connection to the upstream could be made.
    #[error("the upstream cannot be reached")]
    Unreachable,
    /// No address of the upstream is known.
    #[error("the name of the upstream was not found")]
    Unresolved,
    /// This process has no descriptor for a connection to the upstream.
    #[error("the gateway has no room for another connection")]
    NoRoom,
    /// Every upstream has as many requests to answer as are allowed.
    #[error("max_dialing requests wait for each upstream already")]
    Busy,
    /// Other clients wait for the upstream, and requests of this one have most places.
    #[error("other clients wait, and max_dialing requests are shared by all of them")]
    Crowded,
    /// An operator has drained every upstream of the route.
    #[error("every upstream of the route is drained")]
    Drained,
    /// The route was removed while the request waited for an upstream.
    #[error("the route was removed")]
    RouteRemoved,
    /// The upstream accepted the connection, and ended it without an answer.
    #[error("the upstream closed the connection without an answer")]
    NoAnswer,
    /// The upstream has not answered within this time.
    #[error("the upstream has not answered within {0}")]
    TooSlow(Micros),
    /// This process has ended the connection to the upstream, for this reason.
    #[error("the connection to the upstream was closed: {0}")]
    Closed(String),
    /// The answer is not one that HTTP or the WebSocket protocol allows.
    #[error("the answer of the upstream is invalid: {0}")]
    BadAnswer(String),
}

impl HandshakeFailure {
    /// Returns the reply to the client.
    pub(crate) fn reply(&self) -> Reply {
        let status = match self {
            HandshakeFailure::TooSlow(_) => 504,
            HandshakeFailure::NoRoom
            | HandshakeFailure::Busy
            | HandshakeFailure::Crowded
            | HandshakeFailure::Drained
            | HandshakeFailure::RouteRemoved
            | HandshakeFailure::Closed(_) => 503,
            HandshakeFailure::Unreachable
            | HandshakeFailure::Unresolved
            | HandshakeFailure::NoAnswer
            | HandshakeFailure::BadAnswer(_) => 502,
        };
        Reply::error(status, &self.to_string())
    }

    /// Returns the reason for the client's line and record: also what became of the connection to
    /// the upstream, which the client is not told.
    pub(crate) fn in_log(&self, dial: &Ending) -> String {
        match self {
            HandshakeFailure::Unreachable
            | HandshakeFailure::NoRoom
            | HandshakeFailure::NoAnswer => {
                let (cause, reason) = (dial.cause, &dial.reason);
                match reason.is_empty() {
                    true => format!("{self}: {cause}"),
                    false => format!("{self}: {reason}"),
                }
            }
            HandshakeFailure::Unresolved
            | HandshakeFailure::Busy
            | HandshakeFailure::Crowded
            | HandshakeFailure::Drained
            | HandshakeFailure::RouteRemoved
            | HandshakeFailure::TooSlow(_)
            | HandshakeFailure::Closed(_)
            | HandshakeFailure::BadAnswer(_) => self.to_string(),
        }
    }
}

impl From<AnswerFault> for HandshakeFailure {
    fn from(fault: AnswerFault) -> Self {
        HandshakeFailure::BadAnswer(fault.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_to_the_client_as_json() {
        let bad = HandshakeFailure::from(AnswerFault::Subprotocol("\"a\"".to_owned()));
        for (failure, status, text) in [
            (
                HandshakeFailure::Unreachable,
                502,
                "the upstream cannot be reached",
            ),
            (
                HandshakeFailure::NoRoom,
                503,
                "the gateway has no room for another connection",
            ),
            (
                HandshakeFailure::Crowded,
                503,
                "other clients wait, and max_dialing requests are shared by all of them",
            ),
            (
                HandshakeFailure::Closed("service restart".to_owned()),
                503,
                "the connection to the upstream was closed: service restart",
            ),
            (
                HandshakeFailure::Drained,
                503,
                "every upstream of the route is drained",
            ),
            (
                HandshakeFailure::NoAnswer,
                502,
                "the upstream closed the connection without an answer",
            ),
            (
                HandshakeFailure::TooSlow(Micros::from_secs(10)),
                504,
                "the upstream has not answered within 10000 ms",
            ),
            (
                bad,
                502,
                "the answer of the upstream is invalid: the upstream chose the subprotocol \"a\", \
                 which the client did not offer",
            ),
        ] {
            let reply = failure.reply();
            assert_eq!((reply.status, &*reply.reason), (status, text));
            let error = text.replace('"', "\\\"");
            let body = format!("{{\"status\":{status},\"error\":\"{error}\"}}");
            assert_eq!(reply.body, body.as_bytes());
            assert!(!reply.is_verbatim);
        }
    }
}
