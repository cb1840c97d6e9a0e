//! Why a connection ended: one enum for the log line, the metric's label, the admin API and the close code.

use std::fmt;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The peer sent a close frame, with this code (1005 if it carried none, RFC 6455 §7.1.5).
    PeerClosed(u16),
    /// The peer ended the stream without a close frame.
    PeerEof,
    /// The peer, or something on the way, reset the connection.
    PeerReset,
    /// TCP gave up on unacknowledged bytes.
    TcpTimeout,
    /// Reading failed otherwise than by a reset or a timeout: the network said that the peer cannot be reached, for one.
    ReadError,
    /// Writing failed otherwise than by a reset or a timeout.
    WriteError,
    /// The peer left before its request was answered.
    Aborted,
    /// The peer sent not one byte: a port scan, a load balancer's check, or a connection that a browser opened in advance.
    Probe,
    /// A plain HTTP request was answered; nothing was asked of a WebSocket.
    Answered,
    /// Nothing was heard for the connection timeout.
    Stale,
    /// One frame took more than ten minutes.
    FrameTimeout,
    /// No first message where one is required.
    InitTimeout,
    /// The request head, or the host's deferred verdict, did not come in time.
    HandshakeTimeout,
    /// The request was not one that we serve.
    BadRequest,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// This identity, or this page's origin, is refused.
    Blocked,
    /// This identity reconnects too often.
    Flapping,
    /// `max_connections` is reached.
    AtCapacity,
    /// Memory for buffers (`max_buffered_bytes`) is short, and this connection held much of it for long, or needed more.
    BuffersFull,
    /// The peer broke RFC 6455.
    Protocol,
    /// Text that is not UTF-8.
    InvalidData,
    /// A message or frame above the limit.
    TooBig,
    /// The peer may not do what it did.
    Forbidden,
    /// The session is not known, or not yet.
    SessionUnknown,
    /// More bytes wait for the peer than allowed, or for longer.
    SlowConsumer,
    /// A newer connection of the same peer took over.
    Replaced,
    /// The user's session is over.
    SessionEnded,
    /// The user stopped the app.
    AppStopped,
    /// We are going away, in order.
    Draining,
    /// We are going away, at once.
    Shutdown,
    /// The host or its operator closed it.
    Kicked,
    /// An invariant of ours was broken.
    Internal,
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// We did, by a rule.
    Us,
    /// The peer did.
    Peer,
    /// The network did.
    Network,
    /// A person did, or the host in their name.
    Operator,
}

/// What kind of close code a peer gave (RFC 6455 §7.4): a bounded label, for peers may invent 2 000 codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerCode {
    /// 1000.
    Normal,
    /// 1001: a page was left, a server goes down.
    GoingAway,
    /// The close frame carried none (1005).
    None,
    /// 1002, 1003, 1007 and 1009: it holds us for faulty.
    Protocol,
    /// 3000 to 3999, registered with IANA.
    App3xxx,
    /// 4000 to 4999, private use.
    App4xxx,
    /// Any other.
    Other,
}

impl PeerCode {
    /// One of each; the position is the number that `as usize` yields.
    pub const ALL: [PeerCode; 7] = [
        PeerCode::Normal,
        PeerCode::GoingAway,
        PeerCode::None,
        PeerCode::Protocol,
        PeerCode::App3xxx,
        PeerCode::App4xxx,
        PeerCode::Other,
    ];

    /// The kind of a close code.
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

    /// The name in metrics.
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

/// What a connection that ends is told: nothing, a close frame with this code, or an HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Nothing is sent.
    None,
    /// A close frame (RFC 6455 §5.5.1).
    Close(u16),
    /// An HTTP response.
    Http(u16),
}

impl Cause {
    /// How many causes there are, a peer's close codes counted as one.
    pub const COUNT: usize = Cause::NAMES.len();

    const NAMES: [&'static str; 32] = [
        "peer_closed",
        "peer_eof",
        "peer_reset",
        "tcp_timeout",
        "read_error",
        "write_error",
        "aborted",
        "probe",
        "answered",
        "stale",
        "frame_timeout",
        "init_timeout",
        "handshake_timeout",
        "bad_request",
        "unauthorized",
        "blocked",
        "flapping",
        "at_capacity",
        "buffers_full",
        "protocol",
        "invalid_data",
        "too_big",
        "forbidden",
        "session_unknown",
        "slow_consumer",
        "replaced",
        "session_ended",
        "app_stopped",
        "draining",
        "shutdown",
        "kicked",
        "internal",
    ];

    /// One of each, by [`index`](Cause::index); the peer's close code is 1000.
    pub const ALL: [Cause; Cause::COUNT] = [
        Cause::PeerClosed(1000),
        Cause::PeerEof,
        Cause::PeerReset,
        Cause::TcpTimeout,
        Cause::ReadError,
        Cause::WriteError,
        Cause::Aborted,
        Cause::Probe,
        Cause::Answered,
        Cause::Stale,
        Cause::FrameTimeout,
        Cause::InitTimeout,
        Cause::HandshakeTimeout,
        Cause::BadRequest,
        Cause::Unauthorized,
        Cause::Blocked,
        Cause::Flapping,
        Cause::AtCapacity,
        Cause::BuffersFull,
        Cause::Protocol,
        Cause::InvalidData,
        Cause::TooBig,
        Cause::Forbidden,
        Cause::SessionUnknown,
        Cause::SlowConsumer,
        Cause::Replaced,
        Cause::SessionEnded,
        Cause::AppStopped,
        Cause::Draining,
        Cause::Shutdown,
        Cause::Kicked,
        Cause::Internal,
    ];

    /// A dense number below [`Cause::COUNT`], for tables.
    pub const fn index(self) -> usize {
        match self {
            Cause::PeerClosed(_) => 0,
            Cause::PeerEof => 1,
            Cause::PeerReset => 2,
            Cause::TcpTimeout => 3,
            Cause::ReadError => 4,
            Cause::WriteError => 5,
            Cause::Aborted => 6,
            Cause::Probe => 7,
            Cause::Answered => 8,
            Cause::Stale => 9,
            Cause::FrameTimeout => 10,
            Cause::InitTimeout => 11,
            Cause::HandshakeTimeout => 12,
            Cause::BadRequest => 13,
            Cause::Unauthorized => 14,
            Cause::Blocked => 15,
            Cause::Flapping => 16,
            Cause::AtCapacity => 17,
            Cause::BuffersFull => 18,
            Cause::Protocol => 19,
            Cause::InvalidData => 20,
            Cause::TooBig => 21,
            Cause::Forbidden => 22,
            Cause::SessionUnknown => 23,
            Cause::SlowConsumer => 24,
            Cause::Replaced => 25,
            Cause::SessionEnded => 26,
            Cause::AppStopped => 27,
            Cause::Draining => 28,
            Cause::Shutdown => 29,
            Cause::Kicked => 30,
            Cause::Internal => 31,
        }
    }

    /// The name in logs and metrics.
    pub const fn name(self) -> &'static str {
        Cause::NAMES[self.index()]
    }

    /// The name of the cause with this [`index`](Cause::index).
    ///
    /// # Panics
    /// If `index` is not below [`Cause::COUNT`].
    pub const fn name_of(index: usize) -> &'static str {
        Cause::NAMES[index]
    }

    /// Who ends a connection for this cause.
    pub const fn by(self) -> By {
        match self {
            Cause::PeerClosed(_) | Cause::PeerEof | Cause::Aborted | Cause::Probe => By::Peer,
            Cause::PeerReset | Cause::TcpTimeout | Cause::ReadError | Cause::WriteError => {
                By::Network
            }
            Cause::Draining | Cause::Shutdown | Cause::Kicked => By::Operator,
            Cause::Answered
            | Cause::Stale
            | Cause::FrameTimeout
            | Cause::InitTimeout
            | Cause::HandshakeTimeout
            | Cause::BadRequest
            | Cause::Unauthorized
            | Cause::Blocked
            | Cause::Flapping
            | Cause::AtCapacity
            | Cause::BuffersFull
            | Cause::Protocol
            | Cause::InvalidData
            | Cause::TooBig
            | Cause::Forbidden
            | Cause::SessionUnknown
            | Cause::SlowConsumer
            | Cause::Replaced
            | Cause::SessionEnded
            | Cause::AppStopped
            | Cause::Internal => By::Us,
        }
    }

    /// What an open connection is told by default; 0 means that nothing is sent.
    pub const fn close_code(self) -> u16 {
        match self {
            Cause::PeerClosed(code) => code,
            Cause::Stale | Cause::FrameTimeout | Cause::InitTimeout => 3008,
            Cause::Protocol => 1002,
            Cause::InvalidData => 1007,
            Cause::TooBig => 1009,
            Cause::Forbidden | Cause::Unauthorized | Cause::Blocked => 1008,
            Cause::SessionUnknown
            | Cause::SlowConsumer
            | Cause::AtCapacity
            | Cause::BuffersFull
            | Cause::Flapping => 1013,
            Cause::Replaced | Cause::SessionEnded | Cause::AppStopped => 1000,
            Cause::Draining => 1012,
            Cause::Kicked => 4000,
            Cause::Internal => 1011,
            Cause::PeerEof
            | Cause::PeerReset
            | Cause::TcpTimeout
            | Cause::ReadError
            | Cause::WriteError
            | Cause::Aborted
            | Cause::Probe
            | Cause::Answered
            | Cause::HandshakeTimeout
            | Cause::BadRequest
            | Cause::Shutdown => 0,
        }
    }

    /// The cause that stands behind an HTTP status other than 101.
    pub const fn of_status(status: u16) -> Cause {
        match status {
            401 => Cause::Unauthorized,
            403 => Cause::Blocked,
            408 => Cause::HandshakeTimeout,
            429 => Cause::Flapping,
            503 => Cause::AtCapacity,
            400..=499 => Cause::BadRequest,
            _ => Cause::Answered,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl By {
    /// The name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            By::Us => "us",
            By::Peer => "peer",
            By::Network => "network",
            By::Operator => "operator",
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Code {
    /// The number, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Code::None => f.write_str("none"),
            Code::Close(code) => write!(f, "{code}"),
            Code::Http(status) => write!(f, "http_{status}"),
        }
    }
}

/// A close reason cut to what fits into a close frame beside the code: 123 bytes (RFC 6455 §5.5), at a character's end.
pub(crate) fn cut_reason(reason: &str) -> &str {
    const MOST: usize = 123;
    let mut end = reason.len().min(MOST);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_indexes_dense() {
        let names: std::collections::HashSet<_> = Cause::NAMES.iter().collect();
        assert_eq!(names.len(), Cause::COUNT);
        assert!(
            Cause::ALL
                .iter()
                .enumerate()
                .all(|(at, cause)| cause.index() == at)
        );
        assert_eq!(Cause::Stale.to_string(), "stale");
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!(cut_reason("short"), "short");
        assert_eq!(cut_reason(&"x".repeat(200)).len(), 123);
        let cut = cut_reason("ab".repeat(61).as_str()).to_owned() + "é";
        assert_eq!(cut_reason(&cut), "ab".repeat(61), "é would end at byte 124");
    }
}
