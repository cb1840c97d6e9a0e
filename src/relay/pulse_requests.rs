//! Peers that ask for pulse: their requests, the hello, and refusals that a browser can read.

use super::pulse::{PeerOwner, PulseKey, WaitingPeer};
use super::relay::Relay;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Io, Reply, Request, Upgrade, Verdict};
use crate::health::Policy;
use crate::host::{
    HelloTerms, Identity, OpenRefusal, SessionWish, first_subprotocol, pulse_policy, session_wish,
};
use crate::pulse::{ResumeToken, hello_frame};
use crate::relay::role::{GLASSES, PeerRole};

/// How long a peer that wants its session back may take to name it.
const FIRST_FRAME: Micros = Micros::from_secs(10);

impl Relay {
    /// Notes that a request asks for pulse, if it does and that is allowed.
    pub(super) fn note_wish(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) {
        if !self.settings.pulse || request.upgrade_refusal().is_some() {
            return;
        }
        if let Some(wish) = session_wish(request) {
            let owner = Box::new(PeerOwner::of(request));
            self.pulse
                .set_waiting(io, id, WaitingPeer::Opening(owner, wish));
        }
    }

    /// Admits a peer that has asked for pulse: its heartbeats are texts. The first message of a
    /// peer that wants its session back names it.
    pub(super) fn admit_wish(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: Option<&Identity>,
        upgrade: &mut Upgrade,
    ) {
        let Some(WaitingPeer::Opening(mut owner, wish)) = self.pulse.take_waiting(io, id) else {
            return;
        };
        owner.identity = identity.cloned();
        owner.protocol = upgrade.protocol.as_deref().map(Box::from);
        let policy = pulse_policy(io.policy(upgrade.class).copied().unwrap_or(Policy::DEFAULT));
        upgrade.policy = Some(match wish {
            SessionWish::New => policy,
            SessionWish::Resume => {
                upgrade.identified = false;
                Policy {
                    first_message_timeout: Some(FIRST_FRAME),
                    ..policy
                }
            }
        });
        self.pulse
            .set_waiting(io, id, WaitingPeer::Opening(owner, wish));
    }

    /// Answers a refused request of a peer that has asked for pulse: its WebSocket opens, and a
    /// frame refuses it.
    pub(super) fn refuse_wish(
        &mut self,
        id: ConnId,
        request: &Request,
        reply: &Reply,
        cause: Cause,
    ) -> Option<Verdict> {
        let class = Relay::class_of(request.path())?;
        let refusal = OpenRefusal::of(reply, cause);
        self.pulse.refuse(id, refusal).then(|| {
            Verdict::Upgrade(Upgrade {
                protocol: first_subprotocol(request),
                identified: true,
                ..Upgrade::to(class)
            })
        })
    }

    /// Handles a connection that has opened: a new pulse session begins, or its peer is refused.
    pub(super) fn open_pulse(&mut self, io: &mut Io<'_>, id: ConnId) {
        match self.pulse.waiting(id) {
            None | Some(WaitingPeer::Opening(_, SessionWish::Resume)) => {}
            Some(WaitingPeer::Refused(refusal)) => {
                let refusal = refusal.clone();
                self.pulse.counts.refused += 1;
                refusal.send(io, id);
            }
            Some(WaitingPeer::Opening(_, SessionWish::New)) => {
                let waiting = self.pulse.take_waiting(io, id);
                if let Some(WaitingPeer::Opening(owner, _)) = waiting {
                    self.begin_pulse(io, id, *owner);
                }
            }
        }
    }

    /// Begins a pulse session on an open connection.
    pub(super) fn begin_pulse(&mut self, io: &mut Io<'_>, id: ConnId, owner: PeerOwner) {
        let identity = owner.identity.clone();
        let (key, offer) = self.pulse.begin(io, id, owner);
        self.greet(io, (id, key), identity.as_ref(), (offer, None));
    }

    /// Sends the hello, and then what waits for the peer. `resumed`: how many messages were
    /// received in the session that goes on.
    pub(super) fn greet(
        &mut self,
        io: &mut Io<'_>,
        (id, key): (ConnId, PulseKey),
        identity: Option<&Identity>,
        (offer, resumed): (ResumeToken, Option<u64>),
    ) {
        let Some(boot) = self.pulse.boot else { return };
        let hold = match identity {
            Some(identity) => self.grace_of(identity),
            None if io.class(id) == Some(GLASSES) => self.settings.glasses_grace,
            None => self.settings.app_grace,
        };
        let terms = HelloTerms {
            offer,
            resumed: resumed.is_some(),
            rx: resumed.unwrap_or(0),
            hold,
            // A text that begins with 0x01 is one byte longer on the wire.
            message_bytes_max: io.max_message_bytes() - 1,
            first_ms: self.first_ms(io),
            report_bytes: self.reports.report_bytes(),
        };
        if let Some(peer) = self.pulse.get_mut(key) {
            peer.pulse.note_first_ms(terms.first_ms);
        }
        let hello = terms.hello(io, boot, id);
        self.pulse.greet(io, key, hello_frame(&hello));
    }

    /// Returns how long the slot of a lost peer waits; 0: not at all.
    pub(super) fn grace_of(&self, identity: &Identity) -> Micros {
        match PeerRole::of(identity) {
            _ if self.is_generated_name(&identity.user) => Micros::ZERO,
            PeerRole::Glasses => self.settings.glasses_grace,
            PeerRole::App(_) => self.settings.app_grace,
        }
    }

    /// Returns whether glasses and apps may ask for sessions that outlive their connections.
    pub(crate) fn has_pulse(&self) -> bool {
        self.settings.pulse
    }

    /// Returns the time over which peers spread their first tries after all were lost at once, in
    /// milliseconds.
    pub(super) fn first_ms(&self, io: &Io<'_>) -> u64 {
        io.stats().live() * 1_000 / u64::from(self.settings.accept_per_second.max(1))
    }
}
