//! What a host answers to a connection that wants something: to its first bytes, and to its request.

use crate::engine::http::Reply;
use crate::health::Policy;
use crate::id::Class;
use std::net::SocketAddr;
use tungstenite::http::header::{HeaderName, HeaderValue};

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preamble {
    /// The request: there is no preamble.
    None,
    /// The beginning of one. It is waited for within the handshake timeout, for 8 KiB at most.
    Partial,
    /// A preamble of this many bytes.
    Whole {
        /// Its length in bytes; not more than there are.
        len: usize,
        /// The client's address, if it names one: from now on this is the connection's.
        client: Option<SocketAddr>,
    },
    /// None, or a broken one, where one is required: the connection is answered 400 with this text.
    Invalid(&'static str),
}

/// What is to become of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Verdict {
    /// Make it a WebSocket. A request that is no valid upgrade is answered 426 or 400 instead.
    Upgrade(Upgrade),
    /// Answer it, and close.
    Reply(Reply),
    /// The host will call [`Io::answer`](crate::engine::Io::answer), within the handshake timeout.
    Defer,
}

/// How a WebSocket is opened.
#[derive(Debug, Clone)]
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

    /// A refusal with this HTTP status; the message goes into the JSON body.
    pub fn refuse(status: u16, message: &str) -> Self {
        Verdict::Reply(Reply::error(status, message))
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
