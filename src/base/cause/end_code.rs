//! Which side ends a connection, and what it says.

use std::fmt;

/// The side that ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "one of the peers, what is between them, or a person"
)]
pub enum EndedBy {
    /// This server, by a rule.
    Server,
    /// The peer.
    Peer,
    /// The server that this side dialled on behalf of a peer. It has not opened a WebSocket.
    Upstream,
    /// The network.
    Network,
    /// An operator, or the host on behalf of one.
    Operator,
}

/// The kind of close code that a peer sent (RFC 6455 §7.4). The label is bounded, because peers may
/// use 2 000 codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "every code has one of these labels"
)]
pub enum PeerCode {
    /// 1000.
    Normal,
    /// 1001: the user left the page, or a server shuts down.
    GoingAway,
    /// The close frame had no code (1005).
    None,
    /// 1002, 1003, 1007 and 1009: the peer blames this server.
    Protocol,
    /// 3000 to 3999, registered with IANA.
    App3xxx,
    /// 4000 to 4999, private use.
    App4xxx,
    /// Any other code.
    Other,
}

impl PeerCode {
    /// All kinds; the position equals the number that `as usize` yields.
    pub const ALL: [PeerCode; 7] = [
        PeerCode::Normal,
        PeerCode::GoingAway,
        PeerCode::None,
        PeerCode::Protocol,
        PeerCode::App3xxx,
        PeerCode::App4xxx,
        PeerCode::Other,
    ];

    /// Returns the kind of a close code.
    pub const fn of(code: u16) -> Self {
        match code {
            1000 => PeerCode::Normal,
            1001 => PeerCode::GoingAway,
            1005 => PeerCode::None,
            1002 | 1003 | 1007 | 1009 => PeerCode::Protocol,
            3000..=3999 => PeerCode::App3xxx,
            4000..=4999 => PeerCode::App4xxx,
            _ => PeerCode::Other,
        }
    }

    /// Returns the name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            PeerCode::Normal => "normal",
            PeerCode::GoingAway => "going_away",
            PeerCode::None => "none",
            PeerCode::Protocol => "protocol",
            PeerCode::App3xxx => "app_3xxx",
            PeerCode::App4xxx => "app_4xxx",
            PeerCode::Other => "other",
        }
    }
}

/// What is sent at the end of a connection: nothing, a close frame with this code, or an HTTP
/// status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "nothing, a close frame or a response"
)]
pub enum EndCode {
    /// Nothing is sent.
    None,
    /// A close frame (RFC 6455 §5.5.1).
    Close(u16),
    /// An HTTP response.
    Http(u16),
}

impl EndedBy {
    /// Returns the name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            EndedBy::Server => "us",
            EndedBy::Peer => "peer",
            EndedBy::Upstream => "upstream",
            EndedBy::Network => "network",
            EndedBy::Operator => "operator",
        }
    }
}

impl fmt::Display for EndedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for EndCode {
    /// Writes the number, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndCode::None => f.write_str("none"),
            EndCode::Close(code) => write!(f, "{code}"),
            EndCode::Http(status) => write!(f, "http_{status}"),
        }
    }
}
