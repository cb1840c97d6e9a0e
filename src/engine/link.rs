//! Linked pairs: which connection forwards its frames to which.

use super::conn_map::ConnMap;
use crate::base::cause::Cause;
use crate::base::id::{Class, ConnId};

/// The rules for the frames that a pair forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct LinkRules {
    /// Whether messages may be compressed: both handshakes have agreed on permessage-deflate (RFC
    /// 7692). Then RSV1 is allowed on the first frame of a message.
    pub compression: bool,
    /// The longest message, in bytes on the wire without frame headers. For compressed messages
    /// this is the compressed size. 0 (default): no limit. A longer one is refused with 1009 before
    /// any byte of the frame that exceeds the limit is forwarded.
    pub max_message_bytes: u32,
}

/// Why a pair ends: what happened to the connection that ended first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairEnd {
    /// The cause of the end of that connection.
    pub cause: Cause,
    /// The class of that connection.
    pub class: Class,
    /// The reason as it stands in its close frame or in the log; at most 123 bytes.
    pub reason: Box<str>,
}

/// One connection of a pair.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkLeg {
    pub(crate) partner: ConnId,
    /// The longest message that it may send; 0 for no limit.
    pub(crate) max_message: u32,
    pub(crate) compression: bool,
}

/// The legs of all pairs, by slot.
pub(crate) type Legs = ConnMap<LinkLeg>;

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory that a link adds to each of its two connections.
    #[test]
    fn a_leg_has_20_bytes() {
        assert_eq!(size_of::<Option<(u32, LinkLeg)>>(), 20);
    }
}
