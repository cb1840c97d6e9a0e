//! The interface between the gateway and its products.

use super::auth::Credentials;
use super::classes::ClassInfo;
use super::client_check::ClientCheck;
use super::identity::Identity;
use super::proxy::Proxies;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::engine::{
    Class, Ending, HeartbeatText, Io, Message, Overdue, PairEnd, Reply, Request, Response,
    ResponseVerdict, TimerId, Verdict,
};
use crate::health::HealthChange;

/// A product on the loop: handles the connections of its classes.
///
/// The gateway registers the classes of all products. It asks one product after another for a
/// verdict on a request until one answers. After that it passes the events of the connection to the
/// product of its class. Identities, user agents, blocks, drains, histories and records of ended
/// connections belong to the gateway, for every class.
pub trait Product {
    /// Returns the classes of this product, in the order of their numbers.
    fn classes(&self) -> &'static [ClassInfo];

    /// Tells the product the number of its first class. Called once, before any other call.
    fn on_register(&mut self, first: Class);

    /// Checks whether the client of a request is admitted, and returns its identity. Called once
    /// for a request, before the product decides on it. If the client is not admitted, or is
    /// blocked, drained, or connects too often, the request is refused, and the product is not
    /// asked.
    ///
    /// Work that grows with the request, such as the check of a signature, must be counted with
    /// [`Io::spend`].
    fn check_client(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> ClientCheck {
        let _ = (io, id, request);
        ClientCheck::default()
    }

    /// Decides on a request whose client was admitted by this [check](Product::check_client);
    /// `None` if the path does not belong to this product.
    fn on_request(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        request: &Request,
        check: &ClientCheck,
    ) -> Option<RequestDecision>;

    /// Called instead of [`on_request`](Product::on_request) when the gateway itself refuses a
    /// request of this product: its identity is blocked or reconnects too often, or its class is
    /// drained. [`on_reject`](Product::on_reject) follows.
    fn on_refused(&mut self, id: ConnId, request: &Request) {
        let _ = (id, request);
    }

    /// Called when a connection with a known identity has opened. Returns in one word for the log
    /// how it joined, such as `resume`.
    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) -> &'static str;

    /// Called when a connection of this product has opened, with or without an identity.
    fn on_leg_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        let _ = (io, id);
    }

    /// Called for each message of a connection of this product before anything else is done with
    /// it. Returns the message that is handled as usual; `None`: the product has taken it.
    fn on_leg_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) -> Option<Message> {
        let _ = (io, id);
        Some(message)
    }

    /// Called when all bytes for a connection of this product are sent that have waited.
    fn on_leg_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        let _ = (io, id);
    }

    /// Returns the heartbeat of a connection of this product whose heartbeats are texts.
    fn heartbeat_text(&mut self, io: &mut Io<'_>, id: ConnId, number: u64) -> HeartbeatText {
        let _ = (io, id);
        HeartbeatText::of_number(number)
    }

    /// Called for a request of this product that is refused with this reply. Returns what happens
    /// instead: a product may open the WebSocket and refuse the client in its protocol, which a
    /// page in a browser can read.
    fn refuse_open(
        &mut self,
        id: ConnId,
        request: &Request,
        reply: &Reply,
        cause: Cause,
    ) -> Option<Verdict> {
        let _ = (id, request, reply, cause);
        None
    }

    /// Called just before a drain closes a connection of this product. Returns whether the drain
    /// closes it.
    fn on_drain_close(&mut self, io: &mut Io<'_>, id: ConnId) -> bool {
        let _ = (io, id);
        true
    }

    /// Called for each message of a connection with a known identity.
    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity, message: Message);

    /// Called for a message of a connection whose request named no identity. Returns the identity
    /// that the message names; [`on_open`](Product::on_open) follows.
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
            "the request must identify the peer: this class does not accept an identity in a \
             message",
        );
        None
    }

    /// Continues a message that was not finished in an earlier turn ([`Io::set_unfinished`]).
    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) {
        let _ = (io, id, identity);
    }

    /// Called when the peer has answered a ping, which shows that it has received `received`
    /// messages. Returns whether the product must also be called for the next answer.
    fn on_pong(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity, received: u32) -> bool {
        let _ = (io, id, identity, received);
        false
    }

    /// Called when the send queue of a peer that was over its buffer limit is empty again.
    fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) {
        let _ = (io, id, identity);
    }

    /// Called when a connection that was open, or that this product has dialled, has ended.
    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, identity: Option<&Identity>, end: &Ending) {
        let _ = (io, id, identity, end);
    }

    /// Called when a peer's connection, of any product, has ended before it was a WebSocket.
    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        let _ = (io, id, end);
    }

    /// Called when a server that this product has dialled has answered; `None` if another product
    /// has dialled it.
    fn on_response(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        response: &Response,
    ) -> Option<ResponseVerdict> {
        let _ = (io, id, response);
        None
    }

    /// Called at the start, and when the secrets and lists that peers are checked against have
    /// changed.
    fn on_credentials(&mut self, credentials: &Credentials) {
        let _ = credentials;
    }

    /// Called when the proxies that may report a client's address have changed.
    fn on_proxies(&mut self, proxies: &Proxies) {
        let _ = proxies;
    }

    /// Called when one connection of a linked pair ended, so that the product closes its partner.
    fn on_pair_end(&mut self, io: &mut Io<'_>, partner: ConnId, end: &PairEnd) {
        let cause = Cause::PARTNER_ENDED;
        io.close_for(partner, cause, cause.close_code(), &end.reason);
    }

    /// Called when a peer became suspect, or healthy again.
    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        let _ = (io, id, change);
    }

    /// Called before a connection is closed because its peer is silent, or takes nothing.
    fn on_overdue(&mut self, io: &mut Io<'_>, id: ConnId, cause: Cause) -> Overdue {
        let _ = (io, id, cause);
        Overdue::Close
    }

    /// Called when an operator has blocked this identity; its connections are closed next.
    fn on_block(&mut self, io: &mut Io<'_>, identity: &Identity) {
        let _ = (io, identity);
    }

    /// Handles a timer that has expired. Returns whether it was a timer of this product.
    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let _ = (io, timer);
        false
    }

    /// Returns whether the product generated this user name: no peer comes back under such a name.
    fn is_generated(&self, user: &str) -> bool {
        let _ = user;
        false
    }
}

/// A product's decision on a request.
#[derive(Debug, Clone)]
pub struct RequestDecision {
    /// The class that the request asks for.
    pub class: Class,
    /// The identity that the request shows. It is also set if the request is refused, so that
    /// records name it.
    pub identity: Option<Identity>,
    /// Whether to accept the request.
    pub verdict: Verdict,
}
