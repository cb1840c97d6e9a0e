//! Why a connection ended: one table for log lines, metric labels, the admin API and close codes.
//!
//! A cause is one row of a table. The rows here are for the engine and any host. A product adds its
//! own rows with [`causes!`](crate::causes) and registers them in
//! [`Config::causes`](crate::Config::causes).

mod end_code;

pub use self::end_code::{EndCode, EndedBy, PeerCode};

use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Why a connection ended: a row of the table of causes. Causes compare by identity and print as
/// their name.
#[derive(Clone, Copy)]
pub struct Cause(&'static CauseInfo);

/// A row of the table of causes. Built with [`CauseInfo::new`], within [`causes!`](crate::causes).
#[derive(Debug, Clone, Copy)]
pub struct CauseInfo {
    name: &'static str,
    by: EndedBy,
    close_code: u16,
    kind: CauseKind,
    /// The cause after which lists show this one; `None`: at the end.
    after: Option<Cause>,
    /// The index of the counter of this cause. The engine's own causes come first, then those of a
    /// product.
    number: u8,
}

/// What the end of a connection for this cause means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CauseKind {
    /// The end was intended, or the connection was refused: no loss.
    Intended,
    /// The connection was lost: neither side wanted it to end.
    Loss,
    /// The peer broke a rule, or did not keep up.
    Fault,
    /// No WebSocket was requested: a health check, a port scan. Nothing is recorded.
    Check,
    /// The peer's close frame decides: it is a loss if the peer blames this server
    /// ([`PeerCode::Protocol`]).
    ByPeerCode,
}

/// Declares the causes of a product: a static table of [`CauseInfo`] rows, and a constant of type
/// [`Cause`] for each.
///
/// The table is registered in [`Config::causes`](crate::Config::causes). An engine counts an
/// unregistered cause as [`Cause::INTERNAL`].
///
/// ```
/// use pulsegate::{EndedBy, Cause, CauseInfo, Config};
///
/// pulsegate::causes! {
///     /// The causes of a chat.
///     pub static CHAT_CAUSES;
///     /// The member left the room.
///     pub const LEFT_ROOM = CauseInfo::new("left_room", EndedBy::Peer, 4001);
///     /// The room was closed.
///     pub const ROOM_CLOSED =
///         CauseInfo::new("room_closed", EndedBy::Server, 4002).after(Cause::FORBIDDEN);
/// }
///
/// let config = Config { causes: &CHAT_CAUSES, ..Config::default() };
/// assert_eq!(config.validate(), Ok(()));
/// assert_eq!((LEFT_ROOM.name(), LEFT_ROOM.close_code()), ("left_room", 4001));
/// ```
#[macro_export]
macro_rules! causes {
    (@table $first:expr, $(#[$about:meta])* $vis:vis $table:ident; $($row:expr,)+) => {
        $(#[$about])*
        $vis static $table: [
            $crate::cause::CauseInfo;
            <[$crate::cause::CauseInfo]>::len(&[$($row),+])
        ] = $crate::cause::CauseInfo::numbered($first, [$($row),+]);
    };
    (@constants $table:ident, $at:expr;) => {};
    (@constants $table:ident, $at:expr;
        $(#[$doc:meta])* $vis:vis $cause:ident, $($rest:tt)*) => {
        $(#[$doc])*
        $vis const $cause: $crate::cause::Cause = $crate::cause::Cause::of(&$table[$at]);
        $crate::cause::causes!(@constants $table, $at + 1; $($rest)*);
    };
    ($(#[$about:meta])* $vis:vis static $table:ident;
        $($(#[$doc:meta])* $seen:vis const $cause:ident = $row:expr;)+) => {
        $crate::cause::causes!(
            @table $crate::cause::Cause::COUNT, $(#[$about])* $vis $table; $($row,)+
        );
        $crate::cause::causes!(@constants $table, 0; $($(#[$doc])* $seen $cause,)+);
    };
}

pub use causes;

/// Declares the table of the causes that every engine has, and a constant in [`Cause`] for each.
macro_rules! base_causes {
    ($(
        $(#[$doc:meta])*
        $cause:ident = $name:literal, $by:ident, $close_code:literal, $kind:ident;
    )+) => {
        causes!(
            @table 0, BASE;
            $(CauseInfo::new($name, EndedBy::$by, $close_code).kind(CauseKind::$kind),)+
        );

        impl Cause {
            causes!(@constants BASE, 0; $($(#[$doc])* pub $cause,)+);
        }
    };
}

// Each row: the name, the side that ends the connection, the default close code for an open
// connection (0: nothing is sent), and the kind. Every list has this order.
base_causes! {
    /// The peer sent a close frame; [`Ending::code`](crate::Ending::code) is its code (1005 if it
    /// carried none, RFC 6455 §7.1.5).
    PEER_CLOSED = "peer_closed", Peer, 0, ByPeerCode;
    /// The peer ended the stream without a close frame.
    PEER_EOF = "peer_eof", Peer, 0, Loss;
    /// The peer, or a device on the path, reset the connection.
    PEER_RESET = "peer_reset", Network, 0, Loss;
    /// TCP gave up on unacknowledged bytes.
    TCP_TIMEOUT = "tcp_timeout", Network, 0, Loss;
    /// Reading failed for another reason than a reset or a timeout, for example because the peer is
    /// unreachable.
    READ_ERROR = "read_error", Network, 0, Loss;
    /// Writing failed for another reason than a reset or a timeout.
    WRITE_ERROR = "write_error", Network, 0, Loss;
    /// The peer left before its request was answered.
    ABORTED = "aborted", Peer, 0, Intended;
    /// The peer sent no byte: a port scan, a load balancer's check, or a connection that a browser
    /// opened in advance.
    PROBE = "probe", Peer, 0, Check;
    /// A plain HTTP request was answered; no WebSocket was requested.
    ANSWERED = "answered", Server, 0, Check;
    /// The server that this side dialled cannot be reached: it refuses, or there is no route.
    CONNECT_FAILED = "connect_failed", Network, 0, Intended;
    /// The server that this side dialled did not accept the connection in time.
    CONNECT_TIMEOUT = "connect_timeout", Network, 0, Intended;
    /// The server that this side dialled did not answer the request in time.
    ANSWER_TIMEOUT = "answer_timeout", Upstream, 0, Intended;
    /// The server that this side dialled answered with something else than a WebSocket.
    NOT_UPGRADED = "not_upgraded", Upstream, 0, Intended;
    /// The server that this side dialled sent an answer that RFC 6455 or RFC 9112 does not allow.
    BAD_ANSWER = "bad_answer", Upstream, 0, Fault;
    /// The other connection of a linked pair ended.
    PARTNER_ENDED = "partner_ended", Peer, 1001, Intended;
    /// Nothing was heard for the connection timeout.
    STALE = "stale", Server, 3008, Loss;
    /// One frame took more than ten minutes.
    FRAME_TIMEOUT = "frame_timeout", Server, 3008, Loss;
    /// The peer did not send the required first message in time.
    INIT_TIMEOUT = "init_timeout", Server, 3008, Intended;
    /// The request head, or the host's deferred verdict, did not arrive in time.
    HANDSHAKE_TIMEOUT = "handshake_timeout", Server, 0, Intended;
    /// The request is not one that this server accepts.
    BAD_REQUEST = "bad_request", Server, 0, Intended;
    /// Credentials are missing or wrong.
    UNAUTHORIZED = "unauthorized", Server, 1008, Intended;
    /// The identity, or the origin of the web page, is refused.
    BLOCKED = "blocked", Server, 1008, Intended;
    /// `max_connections` is reached.
    AT_CAPACITY = "at_capacity", Server, 1013, Intended;
    /// Memory for buffers (`max_buffered_bytes`) is short, and this connection held much of it for
    /// long, or needed more.
    BUFFERS_FULL = "buffers_full", Server, 1013, Intended;
    /// The peer violated RFC 6455.
    PROTOCOL = "protocol", Server, 1002, Fault;
    /// A text message was not UTF-8.
    INVALID_DATA = "invalid_data", Server, 1007, Fault;
    /// A message or frame was above the limit.
    TOO_BIG = "too_big", Server, 1009, Fault;
    /// The peer did something that it is not allowed to do.
    FORBIDDEN = "forbidden", Server, 1008, Intended;
    /// The peer left too many bytes unread, or for too long.
    SLOW_CONSUMER = "slow_consumer", Server, 1013, Fault;
    /// A newer connection of the same peer took over.
    REPLACED = "replaced", Server, 1000, Intended;
    /// This server drains: it closes its connections in order.
    DRAINING = "draining", Operator, 1012, Intended;
    /// This server stops at once.
    SHUTDOWN = "shutdown", Operator, 0, Intended;
    /// The host or its operator closed it.
    KICKED = "kicked", Operator, 4000, Intended;
    /// The server found an internal error.
    INTERNAL = "internal", Server, 1011, Intended;
}

impl Cause {
    /// The number of causes that every engine has.
    pub const COUNT: usize = BASE.len();

    /// Returns the cause of a row of a static table. [`causes!`](crate::causes) makes its constants
    /// with it.
    #[doc(hidden)]
    pub const fn of(row: &'static CauseInfo) -> Cause {
        Cause(row)
    }

    /// Returns the index of the cause's counter in the tables of [`Stats`](crate::engine::Stats).
    pub const fn index(self) -> usize {
        self.0.number as usize
    }

    /// Returns the name in logs and metrics.
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// Returns the side that ends a connection for this cause.
    pub const fn by(self) -> EndedBy {
        self.0.by
    }

    /// Returns the default close code for an open connection; 0 means that nothing is sent, or that
    /// the code is the peer's.
    pub const fn close_code(self) -> u16 {
        self.0.close_code
    }

    /// Returns what the end of a connection for this cause means.
    pub const fn kind(self) -> CauseKind {
        self.0.kind
    }

    /// Returns whether a connection that ended for this cause was lost: neither side wanted the
    /// end. `code` is the peer's close code.
    pub const fn is_loss(self, code: EndCode) -> bool {
        match (self.0.kind, code) {
            (CauseKind::Loss, _) => true,
            // The peer blames this server: the peer did not receive what was sent.
            (CauseKind::ByPeerCode, EndCode::Close(code)) => {
                matches!(PeerCode::of(code), PeerCode::Protocol)
            }
            _ => false,
        }
    }

    /// Returns whether no WebSocket was requested. Nothing is recorded of such a connection.
    pub const fn is_check(self) -> bool {
        matches!(self.0.kind, CauseKind::Check)
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Cause) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Cause {}

impl Hash for Cause {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.number.hash(state);
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl CauseInfo {
    /// Creates a row: the name in logs and metrics (`[a-z][a-z0-9_]*`), the side that ends the
    /// connection, and the default close code for an open connection (RFC 6455 §7.4; 0: nothing is
    /// sent). The kind is [`CauseKind::Intended`].
    pub const fn new(name: &'static str, by: EndedBy, close_code: u16) -> CauseInfo {
        CauseInfo {
            name,
            by,
            close_code,
            kind: CauseKind::Intended,
            after: None,
            number: 0,
        }
    }

    /// Sets the kind.
    pub const fn kind(mut self, kind: CauseKind) -> CauseInfo {
        self.kind = kind;
        self
    }

    /// Lists the row after this cause, which must be one that every engine has. Without it, the row
    /// is at the end.
    pub const fn after(mut self, cause: Cause) -> CauseInfo {
        assert!(cause.index() < Cause::COUNT, "a cause of a product");
        self.after = Some(cause);
        self
    }

    /// Numbers the rows of a table. [`causes!`](crate::causes) makes its table with it.
    #[doc(hidden)]
    pub const fn numbered<const N: usize>(
        first: usize,
        mut rows: [CauseInfo; N],
    ) -> [CauseInfo; N] {
        assert!(first + N <= 256, "more than 256 causes");
        let mut at = 0;
        while at < N {
            rows[at].number = (first + at) as u8;
            at += 1;
        }
        rows
    }
}

/// The causes of an engine: its own, and those that a product has registered in
/// [`Config::causes`](crate::Config::causes).
#[derive(Clone, Copy)]
pub struct CauseTable {
    product: &'static [CauseInfo],
}

impl CauseTable {
    /// Returns the engine's own causes and those of this table of a product.
    pub const fn with(product: &'static [CauseInfo]) -> CauseTable {
        CauseTable { product }
    }

    /// Returns the number of causes.
    pub const fn count(self) -> usize {
        Cause::COUNT + self.product.len()
    }

    /// Returns every cause, in the order of lists.
    pub fn all(self) -> impl Iterator<Item = Cause> {
        let behind = move |cause: Option<Cause>| {
            let rows = self.product.iter();
            rows.filter(move |row| row.after == cause).map(Cause)
        };
        let base = BASE.iter().map(Cause);
        let base = base.flat_map(move |cause| std::iter::once(cause).chain(behind(Some(cause))));
        base.chain(behind(None))
    }

    /// Returns the cause of this name.
    pub fn named(self, name: &str) -> Option<Cause> {
        self.all().find(|cause| cause.name() == name)
    }

    /// Returns this cause if it is registered, else [`Cause::INTERNAL`].
    pub(crate) fn resolve(self, cause: Cause) -> Cause {
        let is_own = BASE.get(cause.index()).map(Cause) == Some(cause);
        let of_product = cause.index().checked_sub(Cause::COUNT);
        let row = of_product.and_then(|at| self.product.get(at));
        if is_own || row.map(Cause) == Some(cause) {
            cause
        } else {
            Cause::INTERNAL
        }
    }

    /// Returns what is wrong with the product's table, one text for each fault.
    pub(crate) fn faults(self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut names: HashSet<_> = BASE.iter().map(|row| row.name).collect();
        for (at, row) in self.product.iter().enumerate() {
            let name = row.name;
            let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.bytes().all(is_plain) {
                faults.push(format!(
                    "cause {name:?}: its name must have the form [a-z][a-z0-9_]*"
                ));
            }
            if !names.insert(name) {
                faults.push(format!("cause {name}: two causes have this name"));
            }
            if usize::from(row.number) != Cause::COUNT + at {
                faults.push(format!(
                    "cause {name}: its table must be made with the macro causes!"
                ));
            }
            // RFC 6455 §7.4.
            let code = row.close_code;
            if !matches!(code, 0 | 1000..=1003 | 1007..=1014 | 3000..=4999) {
                faults.push(format!(
                    "cause {name}: close code {code} is not allowed in a close frame"
                ));
            }
        }
        faults
    }
}

impl fmt::Debug for CauseTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Cuts a close reason to what fits into a close frame beside the code: 123 bytes (RFC 6455 §5.5),
/// at a character boundary.
pub(crate) fn cut_reason(reason: &str) -> &str {
    const MOST: usize = 123;
    let mut end = reason.len().min(MOST);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests;
