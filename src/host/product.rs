//! What a product is to the gateway.

use super::classes::ClassInfo;
use super::identity::Identity;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::engine::{Class, Ending, Io, Message, Request, TimerId, Verdict};

/// A product on the loop: what it makes of the connections of its classes.
///
/// The gateway registers the classes of all products, asks each product for a verdict on a request until one has an answer,
/// and from then on gives what happens to a connection to the product of its class. Identities, user agents, blocks, drains,
/// histories and records of ended connections are the gateway's, in every class alike.
pub trait Product {
    /// Returns its classes, in the order of their numbers.
    fn classes(&self) -> &'static [ClassInfo];

    /// Takes the number of its first class. Called once, before any other call.
    fn registered(&mut self, first: Class);

    /// Decides on a request. `None`: its path is not one of this product. The class of the answer must be one of its own. What
    /// the product keeps of a request is given up in [`on_reject`](Product::on_reject) or [`on_close`](Product::on_close),
    /// one of which follows.
    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Option<Asked>;

    /// A connection whose identity is known is open. Returns how it took its place, in one word for the log.
    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) -> &'static str;

    /// A message of a connection whose identity is known.
    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity, message: Message);

    /// A message of a connection whose request named no identity. Returns the identity that it has introduced itself with;
    /// [`on_open`](Product::on_open) follows. By default the connection is closed: its request should have named one.
    fn on_introduction(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        message: &Message,
    ) -> Option<Identity> {
        let _ = message;
        io.close_for(
            id,
            Cause::FORBIDDEN,
            Cause::FORBIDDEN.close_code(),
            "peers of this class introduce themselves with their request",
        );
        None
    }

    /// The share of another turn for a message that was not finished ([`Io::unfinished`]).
    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) {
        let _ = (io, id, identity);
    }

    /// A heartbeat was answered; the peer has received this many messages. Returns whether the product wants to be told of the
    /// next answer, too.
    fn on_pong(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity, received: u32) -> bool {
        let _ = (io, id, identity, received);
        false
    }

    /// Nothing waits for a peer any more that had more to take than its limit.
    fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) {
        let _ = (io, id, identity);
    }

    /// A connection that was open has ended.
    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, identity: Option<&Identity>, end: &Ending) {
        let _ = (io, id, identity, end);
    }

    /// A connection has ended before it was open, of this product or of another: its request was refused, its upgrade failed, or
    /// its peer left.
    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId) {
        let _ = (io, id);
    }

    /// An operator has blocked this identity: its connections are about to be closed.
    fn on_block(&mut self, io: &mut Io<'_>, identity: &Identity) {
        let _ = (io, identity);
    }

    /// Returns whether the timer was the product's.
    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let _ = (io, timer);
        false
    }

    /// Returns whether the product gave this user its name: no peer comes back under it.
    fn is_generated(&self, user: &str) -> bool {
        let _ = user;
        false
    }
}

/// What a product says of a request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The class that the request asks for.
    pub class: Class,
    /// The identity that it has shown; also of a request that is refused, so that records name it.
    pub identity: Option<Identity>,
    /// What becomes of it.
    pub verdict: Verdict,
}
