//! The host's answer to a request.

use crate::base::cause::Cause;
use crate::base::id::Class;
use crate::base::time::Micros;
use crate::health::Policy;
use crate::wire::http::{HeaderName, HeaderValue, Reply};

/// The host's decision on a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Verdict {
    /// Make the connection a WebSocket. A request that is not a valid upgrade is answered 426 or
    /// 400 instead.
    Upgrade(Upgrade),
    /// Answer the request with an HTTP response, and close the connection.
    Reply {
        /// The answer.
        reply: Reply,
        /// The cause of the connection's end in the log, in metrics and in
        /// [`Ending::cause`](crate::engine::Ending::cause). The HTTP status does not imply one.
        cause: Cause,
    },
    /// The host will call [`Io::answer`](crate::engine::Io::answer) within the handshake timeout.
    Defer,
    /// The same as [`Defer`](Verdict::Defer), but the verdict is due this long from now.
    DeferFor(Micros),
}

/// The host's decision on a connection that is about to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "now or later")]
pub enum Overdue {
    /// Close it.
    Close,
    /// Do not close it before this time has passed. Then the host is asked again, unless the peer
    /// was heard.
    Wait(Micros),
}

/// The parameters of an upgrade.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct Upgrade {
    /// The class, which selects the policy.
    pub class: Class,
    /// The subprotocol; it is sent only if the client offered it.
    pub protocol: Option<String>,
    /// Additional header fields of the response. Names are sent in their usual spelling, such as
    /// `X-Request-ID`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A policy for this connection instead of the class's. An invalid one is answered 500.
    pub policy: Option<Policy>,
    /// Whether the request already introduces the peer. [`Policy::first_message_timeout`] then does
    /// not apply.
    pub identified: bool,
}

impl Verdict {
    /// Returns an upgrade to this class, with the default for every other parameter.
    pub fn upgrade(class: Class) -> Self {
        Verdict::Upgrade(Upgrade::to(class))
    }

    /// Refuses for this cause, with this HTTP status. The message becomes the JSON body and the
    /// reason of the end.
    ///
    /// Usual pairs: [`Cause::BAD_REQUEST`] with 400 and 404, [`Cause::UNAUTHORIZED`] with 401,
    /// [`Cause::BLOCKED`] with 403, [`Cause::AT_CAPACITY`] with 503.
    pub fn refuse(cause: Cause, status: u16, message: &str) -> Self {
        let reply = Reply::error(status, message);
        Verdict::Reply { reply, cause }
    }
}

impl Upgrade {
    /// Returns an upgrade to this class, with the default for every other parameter.
    pub fn to(class: Class) -> Self {
        Upgrade {
            class,
            protocol: None,
            headers: Vec::new(),
            policy: None,
            identified: false,
        }
    }
}
