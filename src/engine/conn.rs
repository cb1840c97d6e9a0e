//! One connection and its phases: Opening or Dialing | Open | Closing | Dead.

use crate::base::cause::EndCode;
use crate::base::id::Class;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::cohort_ref::CohortRef;
use crate::engine::config::Config;
use crate::engine::ending::EndingDraft;
use crate::engine::flags::{Flag, Flags};
use crate::engine::handshake_out::Dialing;
use crate::engine::input_state::InputState;
use crate::engine::leg_input::ForwardInput;
use crate::engine::out::Out;
use crate::engine::policies::PolicyRef;
use crate::engine::traffic::Traffic;
use crate::engine::view::CloseStage;
use crate::engine::wheel::{PING_GRID, Tick};
use crate::health::{Health, HeartbeatForm, LateHistory, Policy};
use crate::wire::frame::Role;
use crate::wire::http::Request;
use crate::wire::scan::CloseFinder;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The most time that one frame may take to arrive, and that our unsent bytes may wait without a
/// break: enough for a megabyte at 14 kbit/s.
pub(crate) const FRAME_TIME: Micros = Micros::from_secs(600);

/// The content of a slot. At rest (open, no work in progress) it owns no heap memory.
pub(crate) struct Conn {
    pub(crate) health: Health,
    pub(crate) traffic: Traffic,
    /// When the connection was accepted; once it is open, when it opened.
    pub(crate) since: Micros,
    pub(crate) phase: Phase,
    pub(crate) out: Option<Box<Out>>,
    pub(crate) generation: u32,
    /// The tick of the timer wheel for which its deadline is set; valid only if it is flagged as
    /// armed.
    armed: Tick,
    peer_addr: PeerAddr,
    pub(crate) policy: PolicyRef,
    pub(crate) class: Class,
    pub(crate) flags: Flags,
    /// The low half of the count of bytes written up to the end of the latest heartbeat.
    pub(crate) ping_end: u32,
    /// The low half of the count of bytes that the peer's kernel had acknowledged at the last
    /// query.
    pub(crate) acked: u32,
    /// Which of its latest heartbeats were late.
    pub(crate) lates: LateHistory,
    pub(crate) cohort: CohortRef,
}

/// A socket address in 18 bytes: IPv4 as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2), without flow label
/// and scope.
#[derive(Debug, Clone, Copy)]
struct PeerAddr {
    ip: [u8; 16],
    port: u16,
}

pub(crate) enum Phase {
    /// The connection is accepted, and not a WebSocket yet. `None`: no byte has arrived.
    Opening(Option<Box<Opening>>),
    /// This side makes the connection, and its request is not answered yet.
    Dialing(Box<Dialing>),
    /// The connection is a WebSocket. `None`: it is parked (nothing is in progress).
    Open(Option<Box<InputState>>),
    /// The connection is closing: our last bytes are sent, and the peer's are skipped.
    Closing(Box<Closing>),
    /// The connection has ended; its slot is freed in the last step of the turn.
    Dead(Box<EndingDraft>),
}

/// A request that is not answered yet.
pub(crate) struct Opening {
    /// The received part of the head; for a deferred verdict, the bytes received after the head.
    pub(crate) bytes: Vec<u8>,
    pub(crate) deferred: Option<Box<Request>>,
    /// The deadline of the host's verdict, if the host has set one.
    pub(crate) verdict_due: Option<Micros>,
    /// The bytes of memory held for the connection; the loop's total includes them.
    pub(crate) held: u64,
}

pub(crate) struct Closing {
    pub(crate) end: EndingDraft,
    pub(crate) stage: CloseStage,
    pub(crate) finder: CloseFinder,
    /// When the close began.
    pub(crate) since: Micros,
    /// The close timeout, which also limits the time without progress in sending.
    pub(crate) timeout: Micros,
    /// The latest time at which it is dropped, whatever it waits for.
    pub(crate) deadline: Micros,
    pub(crate) fin_sent: bool,
    /// Whether the peer's stream has ended.
    pub(crate) fin_received: bool,
}

impl Closing {
    /// Returns the deadline of a peer that can read our last bytes from `now` on: the timeout from
    /// there, and ten times the timeout in all.
    pub(crate) fn deadline_from(&self, now: Micros) -> Micros {
        let most = self.since + Micros(10 * self.timeout.0);
        most.min(now + self.timeout)
    }

    /// Notes input of a client that was answered. It may still send the body of its request, and
    /// reads the answer behind that: dropping the socket earlier could destroy the answer (RFC 9112
    /// §9.6).
    pub(crate) fn note_input(&mut self, now: Micros) {
        let is_answered = matches!(self.end.code, EndCode::Http(_));
        if is_answered && self.fin_sent && self.stage == CloseStage::PeerFin {
            self.deadline = self.deadline_from(now);
        }
    }

    /// Returns the ending of a connection that ends now. `unsent`: not all of our answer was sent.
    pub(crate) fn end_early(&self, unsent: bool) -> EndingDraft {
        EndingDraft {
            clean: self.end.clean && !unsent,
            ..self.end.clone()
        }
    }
}

impl Conn {
    pub(crate) fn accepted(generation: u32, peer_addr: SocketAddr, now: Micros) -> Self {
        Conn {
            generation,
            class: Class(0),
            armed: 0,
            flags: Flags::default(),
            health: Health::new(&Policy::default(), now, 0),
            traffic: Traffic::default(),
            since: now,
            peer_addr: PeerAddr::from(peer_addr),
            policy: PolicyRef::default(),
            phase: Phase::Opening(None),
            out: None,
            ping_end: 0,
            acked: 0,
            lates: LateHistory::default(),
            cohort: CohortRef::default(),
        }
    }

    /// Returns the tick for which the connection's deadline is armed in the timer wheel.
    pub(crate) fn armed(&self) -> Option<Tick> {
        self.flags.has(Flag::Armed).then_some(self.armed)
    }

    pub(crate) fn set_armed(&mut self, tick: Option<Tick>) {
        match tick {
            Some(tick) => {
                self.armed = tick;
                self.flags.set(Flag::Armed);
            }
            None => {
                self.flags.take(Flag::Armed);
            }
        }
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.peer_addr.into()
    }

    /// Sets the client's address as a proxy reported it.
    pub(crate) fn set_peer_addr(&mut self, addr: SocketAddr) {
        self.peer_addr = addr.into();
    }

    /// Returns which end of the connection this side is.
    pub(crate) fn role(&self) -> Role {
        match self.flags.has(Flag::Dialed) {
            true => Role::Client,
            false => Role::Server,
        }
    }

    /// Returns whether the connection takes frames of its partner.
    pub(crate) fn takes_forwarded(&self) -> bool {
        match &self.phase {
            Phase::Open(_) => !self.flags.has(Flag::CloseSent),
            Phase::Closing(closing) => closing.stage == CloseStage::Partner,
            Phase::Opening(_) | Phase::Dialing(_) | Phase::Dead(_) => false,
        }
    }

    /// Returns whether the connection is not a WebSocket yet.
    pub(crate) fn is_unopened(&self) -> bool {
        matches!(self.phase, Phase::Opening(_) | Phase::Dialing(_))
    }

    /// Returns the input in progress of a linked connection.
    pub(crate) fn forward_input(&self) -> Option<&ForwardInput> {
        match &self.phase {
            Phase::Open(Some(input)) => input.forward.as_deref(),
            _ => None,
        }
    }

    /// Returns whether nothing more of its input can be forwarded, because a close of its pair
    /// comes first.
    pub(crate) fn is_stopped(&self) -> bool {
        self.forward_input().is_some_and(|input| input.is_stopped)
    }

    /// Returns whether reading is paused, by the host or because the partner is behind.
    pub(crate) fn is_paused(&self) -> bool {
        self.flags.has(Flag::Paused) || self.flags.has(Flag::LinkPaused)
    }

    /// Returns whether our own frames cannot go out now, because the rest of a frame in progress
    /// has not arrived from the partner.
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.flags.has(Flag::MidFrame) && self.out.as_ref().is_none_or(|out| out.is_mid_frame())
    }

    /// Returns whether a heartbeat in the form of a text cannot go out now, because a message of
    /// ours in fragments is begun and its end is not sent.
    pub(crate) fn holds_text(&self) -> bool {
        let is_queued = |out: &Out| out.is_mid_message();
        let is_mid_message =
            self.health.is_mid_message() || self.out.as_deref().is_some_and(is_queued);
        is_mid_message
            && self.health.form() == HeartbeatForm::Text
            && !sabotage::on(Bug::TextBeatInsideMessage)
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    pub(crate) fn pending(&self) -> usize {
        self.out.as_ref().map_or(0, |o| o.pending())
    }

    /// Returns the bytes allocated for unsent data.
    pub(crate) fn charged(&self) -> usize {
        self.out.as_ref().map_or(0, |o| o.charged())
    }

    /// Returns whether bytes wait because the peer does not take them.
    pub(crate) fn is_blocked(&self) -> bool {
        self.out
            .as_ref()
            .is_some_and(|o| o.blocked_since().is_some())
    }

    /// Returns for how long bytes have waited because the peer does not take them; zero if none
    /// wait.
    pub(crate) fn blocked_for(&self, now: Micros) -> Micros {
        let since = self.out.as_ref().and_then(|out| out.blocked_since());
        since.map_or(Micros::ZERO, |since| now - since)
    }

    /// Returns the connection's next deadline.
    pub(crate) fn due(&self, policy: &Policy, limits: &Config) -> Option<Micros> {
        match &self.phase {
            Phase::Opening(_) => Some(self.handshake_due(limits.handshake_timeout)),
            Phase::Dialing(dialing) => Some(dialing.due),
            // A connection that has been sent a close frame is not pinged any more.
            Phase::Open(Some(input)) if input.close_due().is_some() => input.close_due(),
            Phase::Open(_) => {
                let earlier =
                    |due: Micros, limit: Option<Micros>| limit.map_or(due, |l| due.min(l));
                let ping = Micros(self.health.ping_due(policy).0.next_multiple_of(PING_GRID.0));
                let alive = ping.min(self.health.stale_at(policy));
                let due = earlier(alive, self.init_due(policy));
                let wanted = self.forward_input().and_then(|f| f.wanted.as_ref());
                let due = earlier(due, wanted.map(|w| w.due));
                Some(earlier(
                    earlier(due, self.frame_due()),
                    self.slow_due(limits),
                ))
            }
            Phase::Closing(closing) => Some(closing.deadline),
            Phase::Dead(_) => None,
        }
    }

    /// Returns the deadline for the request and the host's verdict on it. A refused connection has
    /// one second, because only a few may be open.
    pub(crate) fn handshake_due(&self, handshake_timeout: Micros) -> Micros {
        if let Phase::Opening(Some(opening)) = &self.phase
            && let Some(due) = opening.verdict_due
        {
            return due;
        }
        const REFUSED: Micros = Micros::from_secs(1);
        let refused = self.flags.has(Flag::Refused);
        self.since
            + if refused {
                handshake_timeout.min(REFUSED)
            } else {
                handshake_timeout
            }
    }

    /// Returns the deadline for the peer's first message.
    pub(crate) fn init_due(&self, policy: &Policy) -> Option<Micros> {
        if self.flags.has(Flag::Identified) {
            None
        } else {
            policy.first_message_timeout.map(|t| self.since + t)
        }
    }

    /// Returns the deadline for the rest of a frame that has arrived in part.
    pub(crate) fn frame_due(&self) -> Option<Micros> {
        match &self.phase {
            // While reading is paused, the frame cannot progress.
            Phase::Open(Some(input)) if !self.is_paused() => {
                let gathering = input.forward.as_ref().filter(|f| !f.gathered.is_empty());
                let frame = input.frame.as_ref().map(|f| f.since);
                frame
                    .or(gathering.map(|f| f.since))
                    .map(|since| since + FRAME_TIME)
            }
            _ => None,
        }
    }

    /// Returns when our bytes have waited too long, or when the queue has been above its limit for
    /// `slow_after` without progress.
    pub(crate) fn slow_due(&self, limits: &Config) -> Option<Micros> {
        let out = self.out.as_ref()?;
        let waited = out.blocked_since()? + FRAME_TIME;
        if self.flags.has(Flag::Linked) {
            // Its partner is not read meanwhile, so it may take less time.
            return Some(out.moved_at()? + limits.link_slow_after);
        }
        let over = out
            .over_limit_since()
            .filter(|_| out.pending() > limits.max_pending_bytes);
        let over = over.map(|since| since + limits.slow_after);
        Some(over.map_or(waited, |over| over.min(waited)))
    }

    /// Returns whether the peer has not identified itself. Its buffers then count against the
    /// part of unidentified peers.
    pub(crate) fn is_unidentified(&self) -> bool {
        !self.flags.has(Flag::Identified)
    }

    /// Returns whether input of the peer waits for its next share of the loop's time.
    pub(crate) fn is_held(&self) -> bool {
        matches!(&self.phase, Phase::Open(Some(input)) if input.is_held())
    }

    /// Returns whether the last message of the peer is not processed completely.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(&self.phase, Phase::Open(Some(input)) if input.is_busy())
    }

    /// Returns whether the peer's silence proves nothing because its input is not read: it waits
    /// for a share, or the host has paused reading.
    #[inline]
    pub(crate) fn is_unread(&self) -> bool {
        self.is_paused() || self.is_held()
    }
}

impl From<SocketAddr> for PeerAddr {
    fn from(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        PeerAddr {
            ip,
            port: addr.port(),
        }
    }
}

impl From<PeerAddr> for SocketAddr {
    fn from(addr: PeerAddr) -> Self {
        SocketAddr::new(Ipv6Addr::from(addr.ip).to_canonical(), addr.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory of a connection at rest, besides its entries in the wheel and in the reactor's
    /// table of sockets. A change that makes it larger must be deliberate.
    #[test]
    fn a_slot_has_144_bytes() {
        assert_eq!(size_of::<Health>(), 40);
        assert_eq!(size_of::<Conn>(), 144);
    }

    #[test]
    fn an_address_survives_being_packed() {
        for text in [
            "127.0.0.1:80",
            "255.255.255.255:65535",
            "[::1]:0",
            "[2001:db8::7]:443",
        ] {
            let addr: SocketAddr = text.parse().expect("an address");
            assert_eq!(SocketAddr::from(PeerAddr::from(addr)), addr);
        }
    }
}
