//! The host's interface: events and decisions.

use crate::base::cause::Cause;
use crate::base::id::{ConnId, TimerId};
use crate::base::time::Micros;
use crate::engine::cohort_view::CohortView;
use crate::engine::dial::ResponseVerdict;
use crate::engine::ending::Ending;
use crate::engine::io::Io;
use crate::engine::link::PairEnd;
use crate::engine::message::{Message, Pong};
use crate::engine::silence::SilenceEvidence;
use crate::engine::verdict::{Overdue, Verdict};
use crate::health::{CohortChange, HealthChange};
use crate::transport::Preamble;
use crate::wire::HeartbeatText;
use crate::wire::http::{Reply, Request, Response};
use std::net::SocketAddr;

/// A host: it receives events and decides on requests. All calls are made on the loop's thread, one
/// at a time. The effects of a call on other connections occur after it returns. A slow call delays
/// every connection.
pub trait Handler {
    /// Reads the first bytes of a connection. Behind a proxy that speaks the PROXY protocol, the
    /// host takes the client's address from them and returns how many bytes the preamble has. After
    /// [`Preamble::Partial`] it is called again with more bytes.
    fn on_preamble(&mut self, _peer_addr: SocketAddr, _bytes: &[u8]) -> Preamble {
        Preamble::None
    }

    /// Answers a complete request, or passes it on with `None`. This is the place for a load
    /// balancer's health check ([`Io::health_reply`]): it is called even if the connection limit is
    /// reached or a drain is in progress. If it returns a reply, the connection ends as
    /// [`Cause::ANSWERED`](crate::Cause::ANSWERED).
    fn on_health_check(
        &mut self,
        _io: &mut Io<'_>,
        _id: ConnId,
        _request: &Request,
    ) -> Option<Reply> {
        None
    }

    /// Returns whether requests for this path may use the method OPTIONS, which some load balancers
    /// use for health checks. GET and HEAD always reach the host; other methods are answered 405.
    fn accepts_options(&self, _path: &str) -> bool {
        false
    }

    /// Returns whether the host serves this request elsewhere, such as a plain HTTP request on
    /// another thread. The connection then leaves the loop with all that was read of it
    /// ([`HandedOver`](crate::engine::HandedOver)), and no further call is made for it. The request
    /// may have any method and a body. This is the first call for a request, unless the connection
    /// limit is reached, a drain closes connections, or the connection was handed over before.
    fn hands_over(&mut self, _request: &Request) -> bool {
        false
    }

    /// Decides on a request that [`on_health_check`](Handler::on_health_check) has not answered.
    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict;

    /// Called when the loop itself refuses a request, because the connection limit is reached or a
    /// drain is in progress. [`on_reject`](Handler::on_reject) follows.
    fn on_unserved(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) {}

    /// Called when a server has answered a dialled request ([`Io::dial`]). Returns whether the
    /// WebSocket may open: the engine has checked what RFC 6455 §4.1 demands, but not the
    /// subprotocol and the extensions. For any status but 101 the response has its body, and the
    /// connection ends ([`Cause::NOT_UPGRADED`](crate::Cause::NOT_UPGRADED)).
    fn on_response(
        &mut self,
        _io: &mut Io<'_>,
        _id: ConnId,
        _response: &Response,
    ) -> ResponseVerdict {
        ResponseVerdict::Open
    }

    /// Called when one connection of a linked pair ended, or begins to close, for another reason
    /// than a close frame of its peer, and its partner is still open or opening. The host closes
    /// the partner ([`Io::close_for`]). If `id` is a client that has only ended its stream, it
    /// still takes what the partner sends until the partner has closed.
    fn on_pair_end(&mut self, io: &mut Io<'_>, _id: ConnId, partner: ConnId, end: &PairEnd) {
        let cause = Cause::PARTNER_ENDED;
        io.close_for(partner, cause, cause.close_code(), &end.reason);
    }

    /// Called when the upgrade was answered. Messages may be sent from now on.
    fn on_open(&mut self, _io: &mut Io<'_>, _id: ConnId) {}

    /// Handles a text or binary message. If the work grows with the message, do a part of it and
    /// leave the rest for [`on_continue`](Handler::on_continue).
    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message);

    /// Continues a message after [`Io::set_unfinished`]. It is called once for each such call, in
    /// this connection's next share and before any later input is processed. While reading is
    /// paused, it is called after that. When the connection begins to close, it is called at once,
    /// for the last time.
    fn on_continue(&mut self, _io: &mut Io<'_>, _id: ConnId) {}

    /// Called when the peer became suspect, or healthy again.
    fn on_health(&mut self, _io: &mut Io<'_>, _id: ConnId, _change: HealthChange) {}

    /// Called when a heartbeat is late: it is unanswered for longer than answers of this peer
    /// usually take, and nothing was heard since it was sent. Called at most once for each
    /// heartbeat, before [`on_health`](Handler::on_health) says that the peer is suspect by it. A
    /// late heartbeat has no consequence by itself.
    fn on_late(&mut self, _io: &mut Io<'_>, _id: ConnId, _evidence: &SilenceEvidence) {}

    /// Called when the peers of one part of the network have stopped answering together
    /// ([`Cohort`](crate::health::Cohort)), or answer again. It has no consequence by itself.
    fn on_cohort(&mut self, _io: &mut Io<'_>, _change: CohortChange, _cohort: &CohortView) {}

    /// Returns a number that stands for the peer of a connection, the same after it has come back.
    /// An alarm of a cohort needs five different peers. `None`, the default: each connection is a
    /// peer of its own. Called for late heartbeats.
    fn peer_key(&self, _id: ConnId) -> Option<u64> {
        None
    }

    /// Called before a connection is closed because its peer is silent
    /// ([`Cause::STALE`](crate::Cause::STALE)), or before a linked one is closed because its peer
    /// takes nothing ([`Cause::SLOW_CONSUMER`](crate::Cause::SLOW_CONSUMER)). A host that knows a
    /// better explanation, such as a frozen server behind all of them, may let it wait.
    fn on_overdue(&mut self, _io: &mut Io<'_>, _id: ConnId, _cause: Cause) -> Overdue {
        Overdue::Close
    }

    /// Called when a connection would have been closed as stale, but its policy only reports it
    /// ([`StaleAction::Report`](crate::health::StaleAction::Report)). Called once for each silence.
    fn on_would_close(&mut self, _io: &mut Io<'_>, _id: ConnId, _silence: Micros) {}

    /// Called when a peer is heard again after [`on_would_close`](Handler::on_would_close): the
    /// close would have been wrong. `silence` is how long it was silent.
    fn on_false_alarm(&mut self, _io: &mut Io<'_>, _id: ConnId, _silence: Micros) {}

    /// Returns the text of a heartbeat, for connections whose heartbeats are texts
    /// ([`HeartbeatForm::Text`](crate::health::HeartbeatForm::Text)). It is sent at once as one
    /// message, before messages that wait, so it must not depend on those. The host recognizes the
    /// answer in [`on_message`](Handler::on_message) and passes its number to
    /// [`Io::heartbeat_answered`]. The number is at most `u32::MAX`: the first one is at random,
    /// and each further one is the next.
    fn heartbeat_text(&mut self, _io: &mut Io<'_>, _id: ConnId, number: u64) -> HeartbeatText {
        HeartbeatText::of_number(number)
    }

    /// Called when the peer answered its latest heartbeat, for connections that are
    /// [watched](Io::report_pongs).
    fn on_pong(&mut self, _io: &mut Io<'_>, _id: ConnId, _pong: Pong) {}

    /// Called when a pong does not match the outstanding heartbeat. Some clients change payloads
    /// because they handle them as C strings. The pong counts as a sign of life, but gives no
    /// round-trip time.
    fn on_mangled_pong(&mut self, _io: &mut Io<'_>, _id: ConnId, _payload: &[u8]) {}

    /// Called when all bytes for this peer are sent, after a send returned
    /// [`SendOutcome::Pending`](crate::engine::SendOutcome::Pending).
    fn on_writable(&mut self, _io: &mut Io<'_>, _id: ConnId) {}

    /// Called when the peer has used up its share of the loop's work. Its input has waited for
    /// `waited` while others had their turn. Called when the input continues, and each second until
    /// then; the waits add up.
    fn on_throttled(&mut self, _io: &mut Io<'_>, _id: ConnId, _waited: Micros) {}

    /// Called when the connection has ended: exactly once for each one that was dialled or whose
    /// verdict was [`Verdict::Upgrade`], [`Verdict::Defer`] or [`Verdict::DeferFor`], even if it
    /// never opened. It is called at once for a stale connection, and for others when their socket
    /// is released. The id takes no messages any more.
    fn on_close(&mut self, _io: &mut Io<'_>, _id: ConnId, _end: &Ending) {}

    /// Called when a connection ended for which no upgrade was granted: an invalid or plain
    /// request, or a probe.
    fn on_reject(&mut self, _io: &mut Io<'_>, _id: ConnId, _end: &Ending) {}

    /// Called when a timer has expired.
    fn on_timer(&mut self, _io: &mut Io<'_>, _timer: TimerId) {}

    /// Called just before a drain closes an open connection ([`Cause::DRAINING`]). A message that
    /// is sent now goes out before the close frame. Returns whether the drain closes it: a host may
    /// close it later itself, as one of two that belong together.
    fn on_drain_close(&mut self, _io: &mut Io<'_>, _id: ConnId) -> bool {
        true
    }

    /// Called after another thread called [`Remote::wake`](crate::engine::Remote::wake).
    fn on_wake(&mut self, _io: &mut Io<'_>) {}
}
