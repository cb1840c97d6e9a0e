//! Peers that come back with the token of their pulse session.

use super::pulse::{Keeping, PeerOwner, PulseKey, ResumeClaim, WaitingPeer};
use super::pulse_ends::send_bye;
use super::relay::{LIMIT_SCOPE, Relay};
use super::session::{
    Action, AppEvent, AttachKind, Attached, ConnFlags, GlassesEvent, ReplayOutcome,
};
use super::tables::{Introduction, RelayTask};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::engine::{Io, Message, Reply};
use crate::host::{
    Identity, LogIdentity, LogValue, OpenRefusal, ResetReason, control_units, ends_session,
    retry_after_secs,
};
use crate::pulse::{ClientFrame, LedgerEntry, PulseText, ResumeToken};
use crate::relay::causes::FLAPPING;
use crate::relay::role::PeerRole;

/// The close code of a connection whose session has another one.
const REPLACED: u16 = 4_003;

/// A protocol error (RFC 6455 §7.4.1).
const PROTOCOL_ERROR: u16 = 1002;

/// What the first message of a peer asks for that wants its session back.
#[derive(Clone, Copy)]
struct ResumeWish {
    token: Option<ResumeToken>,
    rx: u64,
}

impl Relay {
    /// Handles the first message of a peer that its request has identified, and that wants its
    /// session back.
    pub(super) fn resume_named(&mut self, io: &mut Io<'_>, id: ConnId, message: &Message) {
        let Some(wish) = read_wish(io, id, message) else {
            return;
        };
        let Some(WaitingPeer::Opening(owner, _)) = self.pulse.take_waiting(io, id) else {
            return;
        };
        let Some(identity) = owner.identity.clone() else {
            return;
        };
        let claim = self.check_claim(io, id, &owner, wish);
        let resumed = claim.and_then(|claim| self.resume_slot(io, claim, &identity));
        if let Err(why) = resumed {
            self.count_reset(io, id, &owner, why);
            self.begin_pulse(io, id, *owner);
            self.attach_role(io, id, &identity, Introduction::default());
        }
    }

    /// Handles the first message of an app that wants its session back. Returns the app's identity;
    /// `None`: it has a new session, and must introduce itself.
    pub(super) fn claim_session(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        message: &Message,
    ) -> Option<Identity> {
        let wish = read_wish(io, id, message)?;
        let Some(WaitingPeer::Opening(owner, _)) = self.pulse.take_waiting(io, id) else {
            return None;
        };
        let claim = self.check_claim(io, id, &owner, wish);
        let found = claim.and_then(|claim| {
            let peer = self.pulse.get(claim.key);
            let identity = peer.and_then(|peer| peer.identity.clone());
            Ok((claim, identity.ok_or(ResetReason::Unknown)?))
        });
        match found {
            Ok((claim, identity)) => {
                if let Some(left) = self.check_flapping(&identity, io.now()) {
                    let reply = Reply::error(429, "this identity reconnects too often");
                    let reply = reply.with_retry_after(retry_after_secs(left));
                    self.pulse.counts.refused += 1;
                    OpenRefusal::of(&reply, FLAPPING).send(io, id);
                    return None;
                }
                self.forget_introduction(io, id);
                self.pulse.claim = Some(claim);
                Some(identity)
            }
            Err(why) => {
                self.count_reset(io, id, &owner, why);
                self.begin_pulse(io, id, *owner);
                // The app must introduce itself.
                io.keep_unidentified(id);
                None
            }
        }
    }

    /// Handles a connection with an identity that has opened, if its peer has asked for a pulse
    /// session that is not new. Returns how it joined, for the log.
    pub(super) fn open_wish(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
    ) -> Option<&'static str> {
        if let Some(claim) = self.pulse.claim.take_if(|claim| claim.id == id) {
            let resumed = self.resume_slot(io, claim, identity);
            return Some(match resumed {
                Ok(kind) => kind.name(),
                Err(_) => "reset",
            });
        }
        match self.pulse.waiting(id)? {
            WaitingPeer::Opening(..) => Some("resuming"),
            WaitingPeer::Refused(_) => Some("refused"),
        }
    }

    fn count_reset(&mut self, io: &Io<'_>, id: ConnId, owner: &PeerOwner, why: ResetReason) {
        self.pulse.counts.resets[why as usize] += 1;
        if self.pulse.reset_lines.admit(io.now(), "pulse_reset") {
            log::info!(
                "pulse_reset id={id} why={why} path={} {}",
                LogValue(owner.path()),
                LogIdentity(owner.identity.as_ref())
            );
        }
    }

    /// Returns the session that a peer wants back, if it may have it. A broken session is
    /// forgotten.
    fn check_claim(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        owner: &PeerOwner,
        wish: ResumeWish,
    ) -> Result<ResumeClaim, ResetReason> {
        let token = wish.token.ok_or(ResetReason::NoToken)?;
        let key = self.pulse.find(token).ok_or(ResetReason::Unknown)?;
        let peer = self.pulse.get(key).ok_or(ResetReason::Unknown)?;
        if peer.owner != *owner {
            return Err(ResetReason::Foreign);
        }
        if let Some(why) = peer.broken {
            self.pulse.remove(io, key);
            return Err(why);
        }
        let is_key = |package| self.credentials.app_key_hash(package) == peer.key_hash;
        let package = peer.identity.as_ref().and_then(Identity::package);
        if !package.is_none_or(is_key) {
            return Err(ResetReason::Foreign);
        }
        if !peer.pulse.tokens().admits(token) {
            return Err(ResetReason::Unknown);
        }
        // A peer that was kicked, or has left, does not keep its session by being quick.
        let end = peer.conn().and_then(|conn| io.end_of(conn));
        if end.is_some_and(|(cause, code)| ends_session(cause, code)) {
            return Err(ResetReason::Unknown);
        }
        if !peer.pulse.may_resume(wish.rx) {
            return Err(ResetReason::Mismatch);
        }
        Ok(ResumeClaim {
            id,
            key,
            token,
            rx: wish.rx,
        })
    }

    /// Gives a peer its session and its slot back. The session goes on without another
    /// introduction.
    fn resume_slot(
        &mut self,
        io: &mut Io<'_>,
        claim: ResumeClaim,
        identity: &Identity,
    ) -> Result<AttachKind, ResetReason> {
        let ResumeClaim { id, key, rx, .. } = claim;
        let peer = self.pulse.get(key).ok_or(ResetReason::Unknown)?;
        let (has_slot, older) = (peer.has_slot(), peer.conn());
        let sent_again = peer.pulse.sent().sent().saturating_sub(rx);
        if let Some(older) = older {
            // What was not read completely is not handled any more: the peer sends it again.
            self.drop_partial_text(older);
            self.pulse.cut(key);
            send_bye(io, older, "replaced", 0);
            io.resume_reading(older);
            let why = "the session is resumed elsewhere";
            io.close_for(older, Cause::REPLACED, REPLACED, why);
        }
        let resumed = self.pulse.resume(io, claim);
        let (offer, received) = resumed.map_err(|_| ResetReason::Mismatch)?;
        if sabotage::on(Bug::RelayResumeReplaysTwice) {
            self.repeat_first(io, key);
        }
        let attached = match has_slot {
            true => self.take_slot_again(io, id, identity),
            false => None,
        };
        self.greet(io, (id, key), Some(identity), (offer, Some(received)));
        if let Some(attached) = attached {
            self.persist_running(io, identity);
            let replayed = ReplayOutcome {
                frames: sent_again,
                has_more: false,
            };
            self.record_attach(io, id, identity, attached, replayed, 0);
        } else {
            let limit = self.settings.flapping_limit;
            self.flapping
                .count_reconnect(LIMIT_SCOPE, identity, limit, io.now());
        }
        self.close_if_over(io, key);
        Ok(attached.map_or(AttachKind::Resume, Attached::kind))
    }

    /// Gives a connection the slot of the session that it has resumed.
    fn take_slot_again(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
    ) -> Option<Attached> {
        let (user, conn, now) = (&*identity.user, id, io.now());
        let actions = match PeerRole::of(identity) {
            PeerRole::Glasses => self.glasses_on(io, user, GlassesEvent::Attached { conn, now }),
            PeerRole::App(package) => {
                let key = self.pulse.key_of(id);
                let peer = key.and_then(|key| self.pulse.get(key));
                let flags = ConnFlags {
                    released: false,
                    has_newer_sdk: peer.is_some_and(|peer| peer.has_newer_sdk),
                    deferred: peer.is_some_and(|peer| peer.is_deferred),
                };
                self.app_on(io, user, package, AppEvent::Attached { conn, now, flags })
            }
        };
        let mut attached = None;
        for action in actions {
            match action {
                Action::Attach(info) => attached = Some(info.attached),
                other => self.run_actions(io, identity, [other]),
            }
        }
        if PeerRole::of(identity) == PeerRole::Glasses
            && let Some(Attached::TookOver { older, .. }) = attached
        {
            self.paused_apps.resume_all(io, older);
            self.orphan_fan_outs(io, older, user);
        }
        let key = self.pulse.key_of(id);
        let peer = key.and_then(|key| self.pulse.get(key));
        let is_deferred = peer.is_some_and(|peer| peer.is_deferred);
        if PeerRole::of(identity) == PeerRole::Glasses || is_deferred {
            // An app waits for its glasses, which are back.
            self.start_task(io, RelayTask::WakeApps(user.into()));
        }
        attached
    }

    /// Sends the first message that is not acknowledged once more: a deliberate bug.
    fn repeat_first(&mut self, io: &mut Io<'_>, key: PulseKey) {
        let peer = self.pulse.get(key);
        let first = peer.and_then(|peer| peer.pulse.sent().peek());
        if let Some(LedgerEntry::Message(first)) = first {
            let keeping = Keeping {
                limits: self.settings.replay,
                is_kept: true,
                may_use_spare: true,
            };
            let first = first.clone();
            let _ = self.pulse.queue(io, key, first, keeping);
        }
    }
}

/// Reads the first message of a peer that wants its session back. `None`: the connection is closed,
/// because the message does not name a session.
fn read_wish(io: &mut Io<'_>, id: ConnId, message: &Message) -> Option<ResumeWish> {
    let frame = match message {
        Message::Text(text) => match PulseText::of(text) {
            PulseText::Control(json) => {
                io.spend(control_units(json));
                ClientFrame::parse(json).ok()
            }
            PulseText::Application(_) => None,
        },
        _ => None,
    };
    if let Some(ClientFrame::Resume { token, rx }) = frame {
        return Some(ResumeWish { token, rx });
    }
    let why = "the first message does not name a session to resume";
    io.close_for(id, Cause::PROTOCOL, PROTOCOL_ERROR, why);
    None
}
