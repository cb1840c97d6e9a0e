//! What a host answers to a request.

use crate::base::cause::Cause;
use crate::base::id::Class;
use crate::health::Policy;
use crate::wire::http::{HeaderName, HeaderValue, Reply};

/// What is to become of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Verdict {
    /// Make it a WebSocket. A request that is no valid upgrade is answered 426 or 400 instead.
    Upgrade(Upgrade),
    /// Answer it, and close.
    Reply {
        /// The answer.
        reply: Reply,
        /// For which cause the connection ends: it says so in the log, in metrics and in
        /// [`Ending::cause`](crate::engine::Ending::cause). No status implies one.
        cause: Cause,
    },
    /// The host will call [`Io::answer`](crate::engine::Io::answer), within the handshake timeout.
    Defer,
}

/// How a WebSocket is opened.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct Upgrade {
    /// The class, whose policy holds.
    pub class: Class,
    /// The subprotocol; it is sent only if the client offered it.
    pub protocol: Option<String>,
    /// More header fields of the response. Names are sent in their usual spelling, such as `X-Request-ID`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A policy of its own, instead of the class's. An invalid one is answered 500.
    pub policy: Option<Policy>,
    /// The request has said what the first message would: [`Policy::first_message_timeout`] does not hold.
    pub introduced: bool,
}

impl Verdict {
    /// A plain upgrade to this class.
    pub fn upgrade(class: Class) -> Self {
        Verdict::Upgrade(Upgrade::to(class))
    }

    /// A refusal for this cause, with this HTTP status; the message goes into the JSON body, and is the reason of the end.
    ///
    /// What usually goes together: [`Cause::BAD_REQUEST`] with 400 and 404, [`Cause::UNAUTHORIZED`] with 401, [`Cause::BLOCKED`]
    /// with 403, [`Cause::AT_CAPACITY`] with 503.
    pub fn refuse(cause: Cause, status: u16, message: &str) -> Self {
        let reply = Reply::error(status, message);
        Verdict::Reply { reply, cause }
    }
}

impl Upgrade {
    /// A plain one to this class.
    pub fn to(class: Class) -> Self {
        Upgrade {
            class,
            protocol: None,
            headers: Vec::new(),
            policy: None,
            introduced: false,
        }
    }
}
