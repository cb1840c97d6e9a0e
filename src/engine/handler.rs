//! What a host is told.

use crate::base::id::{ConnId, TimerId};
use crate::base::time::Micros;
use crate::engine::ending::Ending;
use crate::engine::io::Io;
use crate::engine::message::{Message, Pong};
use crate::engine::verdict::Verdict;
use crate::health::HealthChange;
use crate::transport::Preamble;
use crate::wire::http::{Reply, Request};
use std::net::SocketAddr;

/// What a host does with connections. Everything happens on the loop's thread, one call at a time; what a call does to
/// other connections takes effect after it has returned. A slow call delays every connection.
pub trait Handler {
    /// The first bytes of a connection have come. A host behind a proxy that speaks the PROXY protocol reads from them who the
    /// client is, and says how many bytes that took. Asked again with more bytes after [`Preamble::Partial`].
    fn on_preamble(&mut self, _peer_addr: SocketAddr, _bytes: &[u8]) -> Preamble {
        Preamble::None
    }

    /// A request has come in whole. A host that answers it here, as it does a load balancer's health check
    /// ([`Io::health_reply`]), is asked even when the loop has no room or is draining. The connection ends as
    /// [`Cause::ANSWERED`](crate::Cause::ANSWERED).
    fn on_check(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) -> Option<Reply> {
        None
    }

    /// Returns whether a request for this path may be of the method OPTIONS, by which some load balancers check health. GET and
    /// HEAD always reach the host; other methods are answered 405.
    fn takes_options(&self, _path: &str) -> bool {
        false
    }

    /// A request that [`on_check`](Handler::on_check) has not answered.
    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict;

    /// A request that the loop refuses itself, for it has no room or is draining. [`on_reject`](Handler::on_reject) follows.
    fn on_unserved(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) {}

    /// The upgrade was answered; messages may be sent.
    fn on_open(&mut self, _io: &mut Io<'_>, _id: ConnId) {}

    /// A text or binary message, which owns its bytes. A host whose work on it grows with the message does some of it, and leaves
    /// the rest for [`on_continue`](Handler::on_continue).
    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message);

    /// Goes on with a message after [`Io::unfinished`]: called once after that, when it is this connection's turn again and
    /// before anything behind that message is looked at; while its reading is paused, after that. When the connection begins to close it
    /// is called at once, for the last time.
    fn on_continue(&mut self, _io: &mut Io<'_>, _id: ConnId) {}

    /// The peer became suspect, or healthy again.
    fn on_health(&mut self, _io: &mut Io<'_>, _id: ConnId, _change: HealthChange) {}

    /// The peer answered its latest heartbeat. Told only of connections that are [watched](Io::watch).
    fn on_pong(&mut self, _io: &mut Io<'_>, _id: ConnId, _pong: Pong) {}

    /// A pong came that is no echo of a heartbeat, while one is waited for: the client changes payloads, as some do that take them for C
    /// strings. It counts as life, and yields no round-trip time.
    fn on_mangled_pong(&mut self, _io: &mut Io<'_>, _id: ConnId, _payload: &[u8]) {}

    /// After a send was [`Sent::Pending`](crate::engine::Sent::Pending): nothing waits for this peer any more.
    fn on_writable(&mut self, _io: &mut Io<'_>, _id: ConnId) {}

    /// The peer has sent more than its share of the loop's work, and its input has waited for `waited` while others had their turn.
    /// Told when it goes on, and each second until then; the waits add up.
    fn on_throttled(&mut self, _io: &mut Io<'_>, _id: ConnId, _waited: Micros) {}

    /// The connection is over: exactly once for each [`Verdict::Upgrade`] and [`Verdict::Defer`] that was given, even if
    /// it never opened. A stale one is told at once, others when their socket is let go. The id takes no messages any more.
    fn on_close(&mut self, _io: &mut Io<'_>, _id: ConnId, _end: &Ending) {}

    /// A connection is over for which no upgrade was ever granted: a bad or plain request, a probe.
    fn on_reject(&mut self, _io: &mut Io<'_>, _id: ConnId, _end: &Ending) {}

    /// A timer has run out.
    fn on_timer(&mut self, _io: &mut Io<'_>, _timer: TimerId) {}

    /// Another thread called [`Remote::wake`](crate::engine::Remote::wake).
    fn on_wake(&mut self, _io: &mut Io<'_>) {}
}
