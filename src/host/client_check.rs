//! What a product says of the client of a request before it decides on the request.

use super::identity::Identity;
use crate::base::cause::Cause;
use crate::base::time::UnixMillis;
use crate::engine::Reply;
use std::ops::Range;

/// What a product says of the client of a request before it decides on the request. The gateway
/// judges blocks and limits after this check: a client that the product refuses must not use up
/// what belongs to the name that it states.
///
/// The default is that of a product that decides on everything at once.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ClientCheck {
    /// The classes of the connections that the request would open. While one of them is drained,
    /// the request is refused.
    pub classes: Range<u8>,
    /// The identity that the request shows. It is also set if the request is refused, so that
    /// records name it. While it is blocked, the request is refused.
    pub identity: Option<Identity>,
    /// How often this identity may connect.
    pub limit: Option<ConnectLimit>,
    /// When the client's token expires.
    pub expires: Option<UnixMillis>,
    /// The refusal of a client that is not admitted.
    pub refusal: Option<(Cause, Reply)>,
}

/// How often an identity may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "products write it down")]
pub struct ConnectLimit {
    /// What the limit belongs to, such as the name of a route. Connections are counted apart for
    /// each scope.
    pub scope: Box<str>,
    /// The most connections that are accepted in a minute; 0: any number.
    pub per_minute: u32,
}
