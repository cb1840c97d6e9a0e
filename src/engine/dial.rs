//! Dialling: what the host says about a connection that this side makes.

use crate::base::id::Class;
use crate::base::time::Micros;
use crate::health::{Policy, PolicyError};
use crate::wire::http::{DialRequest, DialRequestFault};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DialAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The same, from this address of the machine.
    TcpFrom(SocketAddr, IpAddr),
    /// The path of a Unix stream socket.
    Unix(PathBuf),
}

/// A WebSocket to open as a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Dial {
    /// The server's address.
    pub address: DialAddress,
    /// The request.
    pub request: DialRequest,
    /// The class, which selects the policy.
    pub class: Class,
    /// A policy for this connection instead of the class's.
    pub policy: Option<Policy>,
    /// The most time for connecting. Default 3 s.
    pub connect_timeout: Micros,
    /// The most time for the answer to the request, once connected. Default 10 s.
    pub answer_timeout: Micros,
}

impl Dial {
    /// Returns a dial with the default for every other parameter.
    pub fn new(address: DialAddress, request: DialRequest, class: Class) -> Self {
        Dial {
            address,
            request,
            class,
            policy: None,
            connect_timeout: Micros::from_secs(3),
            answer_timeout: Micros::from_secs(10),
        }
    }
}

/// Why a dial was refused. The host is at fault, except for [`DialError::Stopped`]; nothing was
/// dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The request is not one that may be sent.
    #[error(transparent)]
    Request(#[from] DialRequestFault),
    /// The policy is invalid.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// There is no such class.
    #[error("there is no class {}; there are {classes}", class.0)]
    NoSuchClass {
        /// The class that was given.
        class: Class,
        /// How many classes there are.
        classes: usize,
    },
    /// There are already 65 436 different policies of single connections.
    #[error("65436 different policies are in use")]
    TooManyPolicies,
    /// The loop stops at once, or memory for buffers is short.
    #[error("the loop has no room, or it stops")]
    Stopped,
}

/// The host's decision on the answer to a dialled request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseVerdict {
    /// Open the WebSocket. Without effect if the server has not agreed to one.
    Open,
    /// End the connection for this reason ([`Cause::BAD_ANSWER`](crate::Cause::BAD_ANSWER)).
    Refuse(String),
}
