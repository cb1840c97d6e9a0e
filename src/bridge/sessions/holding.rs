//! Sessions that have lost their client: they wait for it, or end.

use super::live_session::{ClientPlace, Hold, LiveSession};
use super::session_due::Due;
use super::session_key::SessionKey;
use super::session_owner::HoldOwner;
use super::session_table::SessionLeg;
use super::waiting_clients::WaitingClient;
use crate::base::cause::{Cause, EndCode};
use crate::base::id::{Class, ConnId};
use crate::base::sabotage::{self, Bug};
use crate::bridge::bridge::Bridge;
use crate::bridge::pair_ends::{Leg, partner_close};
use crate::engine::{Ending, Io, PairEnd};
use crate::host::{HoldEnd, Identity, LogIdentity, NotHeld, code_of, ends_session};
use crate::pulse::SessionLoss;

/// Going away (RFC 6455 §7.4.1): for an upstream whose client is lost.
pub(super) const CLIENT_LOST: u16 = 1001;

/// Normal closure (RFC 6455 §7.4.1).
const NORMAL: u16 = 1000;

/// The part of all holds that clients of one address without a proved name may have.
const BLOCK_PART: usize = 16;

/// From three quarters of the bytes on, the heaviest holds are not read.
const CROWDED: (usize, usize) = (3, 4);

impl Bridge {
    /// Handles the end of a client's connection that was open. Returns whether it asked for pulse.
    pub(in crate::bridge) fn session_client_ended(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        end: &Ending,
    ) -> bool {
        match self.sessions.waiting.take(id) {
            Some(WaitingClient::Resuming(client)) => {
                io.release(client.charged);
                return true;
            }
            Some(_) => {
                self.abandon_request(io, id);
                return true;
            }
            None => {}
        }
        let Some(SessionLeg::Client(key)) = self.sessions.legs.get(&id).copied() else {
            return false;
        };
        self.sessions.legs.remove(&id);
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return true;
        };
        let code = code_of(io, id, end);
        let is_final = ends_session(end.cause, code);
        if !is_final {
            self.sessions.counts.losses += 1;
            let is_dirty = !session.pulse.sent().is_empty();
            self.sessions.counts.losses_unacknowledged += u64::from(is_dirty);
        }
        let not_held = match session.pulse.detach() {
            _ if is_final => None,
            SessionLoss::Held => self.hold_refusal(io, key),
            SessionLoss::Over if session.pulse.has_farewell() => None,
            SessionLoss::Over => Some(NotHeld::Unproved),
        };
        let may_hold = not_held.is_none() && !is_final;
        match may_hold && !self.has_farewell(key) {
            true => self.begin_hold(io, key, (id, end.cause)),
            false => {
                if let Some(why) = not_held {
                    self.sessions.counts.not_held[why as usize] += 1;
                }
                self.end_for_client(io, key, end, code);
            }
        }
        true
    }

    fn has_farewell(&self, key: SessionKey) -> bool {
        let session = self.sessions.live.get(&key);
        session.is_some_and(|session| session.pulse.has_farewell())
    }

    /// Returns why a session cannot wait for its client.
    fn hold_refusal(&mut self, io: &Io<'_>, key: SessionKey) -> Option<NotHeld> {
        let limits = self.sessions.limits;
        let session = self.sessions.live.get(&key)?;
        let is_old = io.now() - session.began >= limits.session_max;
        match () {
            () if limits.hold.0 == 0 => Some(NotHeld::Off),
            () if is_old => Some(NotHeld::TooOld),
            () if io.is_draining() && !sabotage::on(Bug::HeldInDrain) => Some(NotHeld::Draining),
            () => None,
        }
    }

    /// Lets a session wait for its client. The upstream notices nothing.
    fn begin_hold(&mut self, io: &mut Io<'_>, key: SessionKey, lost: (ConnId, Cause)) {
        let (now, limits) = (io.now(), self.sessions.limits);
        self.give_way(io, key);
        let Some(accounts) = self.sessions.note_hold(key, now) else {
            return;
        };
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        let until = (now + limits.hold).min(session.began + limits.session_max);
        session.place = ClientPlace::Held(Hold {
            since: now,
            until,
            accounts,
            lost,
        });
        self.sessions.counts.attached -= 1;
        for due in [Due::Ack, Due::Sign, Due::Send, Due::End] {
            self.sessions.disarm(key, due);
        }
        if !sabotage::on(Bug::HoldUnending) {
            self.plan(io, key, Due::Hold, until);
        }
        log::debug!("pulse session={} state=held", key.0);
        self.tell_held(key);
        self.shed_holds(io);
        self.control_upstream(io, key);
    }

    /// Returns the most sessions that may wait: each takes a place of a connection to an upstream,
    /// and half of those are for clients that are here.
    fn holds_max(&self, io: &Io<'_>) -> usize {
        let places = io.max_connections().unwrap_or(usize::MAX);
        self.sessions.limits.holds_max.min((places / 2).max(1))
    }

    /// Ends the oldest hold of a client, and of an address, that has as many as it may have. If no
    /// further session may wait, ends the oldest of the client, or address, that has the most.
    fn give_way(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let limits = self.sessions.limits;
        let Some(session) = self.sessions.live.get(&key) else {
            return;
        };
        let identity = session.owner.identity.clone();
        let is_proved = identity.as_ref().is_some_and(Identity::is_proved);
        let named = identity.map(|own| (HoldOwner::Named(own), limits.holds_per_identity));
        let most = self.holds_max(io);
        let of_block = (most / BLOCK_PART).max(1);
        let block = (HoldOwner::Block(session.block), of_block);
        let block = Some(block).filter(|_| !is_proved && !sabotage::on(Bug::HoldShareIgnored));
        for (owner, allowed) in named.into_iter().chain(block) {
            if let Some(oldest) = self.sessions.holds.oldest_of(&owner, allowed) {
                self.end_hold(io, oldest, HoldEnd::Crowded);
            }
        }
        if self.sessions.holds.held() >= most
            && !sabotage::on(Bug::HoldsUnlimited)
            && let Some(oldest) = self.sessions.holds.most_held()
        {
            self.end_hold(io, oldest, HoldEnd::Crowded);
        }
    }

    /// Returns whether a session waits, little room is left for what is kept for all that wait, and
    /// its client has more than an equal part of it. Its upstream is not read then.
    pub(super) fn is_heavy(&self, key: SessionKey) -> bool {
        let Some(session) = self.sessions.live.get(&key) else {
            return false;
        };
        let holds = &self.sessions.holds;
        let (part, of) = CROWDED;
        let crowded = self.sessions.limits.hold_bytes_max / of * part;
        let is_crowded = holds.bytes() >= crowded;
        let is_heavy = |hold: &Hold| holds.is_above_share(hold.accounts, session.charged, crowded);
        is_crowded && session.hold().is_some_and(is_heavy)
    }

    /// Ends holds until all that is kept for them is allowed: each time the largest hold of the
    /// client, or address, for which the most is kept.
    fn shed_holds(&mut self, io: &mut Io<'_>) {
        while self.sessions.holds.bytes() > self.sessions.limits.hold_bytes_max
            && !sabotage::on(Bug::HoldBytesUnlimited)
            && let Some(heaviest) = self.sessions.holds.heaviest()
        {
            io.spend(1);
            self.end_hold(io, heaviest, HoldEnd::Shed);
        }
    }

    /// Ends the hold of a session, and with it the session.
    pub(in crate::bridge) fn end_hold(&mut self, io: &mut Io<'_>, key: SessionKey, why: HoldEnd) {
        let lost = self.sessions.live.get(&key).and_then(|s| s.hold());
        let lost = lost.map_or(Cause::PEER_EOF, |hold| hold.lost.1);
        // What ended the session: the loss of the client, unless an operator came first.
        let cause = match why {
            HoldEnd::Ended | HoldEnd::Blocked => Cause::KICKED,
            HoldEnd::Draining => Cause::DRAINING,
            _ => lost,
        };
        let first = (cause, self.client_class());
        let Some(session) = self.remove_session_for(io, key, first, why.name()) else {
            return;
        };
        self.sessions.counts.holds_ended[why as usize] += 1;
        let hold = session.hold();
        let held = io.now() - hold.map_or(io.now(), |hold| hold.since);
        if let Some(hold) = hold
            && self.sessions.hold_lines.admit(io.now(), "hold_end")
        {
            log::info!(
                "hold_end session={} why={why} id={} route={} held_ms={} resumes={} \
                 unacknowledged={} {}",
                key.0,
                hold.lost.0,
                session.owner.route(),
                held.as_millis(),
                session.resumes,
                session.pulse.sent().len(),
                LogIdentity(session.owner.identity.as_ref())
            );
        }
        if let Some(upstream) = session.upstream() {
            let reason = format!("client lost: {why} after {held}");
            self.close_upstream(io, upstream, CLIENT_LOST, &reason);
        }
    }

    /// Ends a session because its client has left for good, or cannot come back.
    fn end_for_client(&mut self, io: &mut Io<'_>, key: SessionKey, end: &Ending, code: EndCode) {
        let first = (end.cause, self.client_class());
        let Some(session) = self.remove_session(io, key, first) else {
            return;
        };
        let Some(upstream) = session.upstream() else {
            return;
        };
        let (code, reason) = match code {
            EndCode::Close(code) if end.cause == Cause::PEER_CLOSED => {
                let is_sent = code == NORMAL || code >= 3_000;
                (
                    if is_sent { code } else { CLIENT_LOST },
                    end.reason.to_string(),
                )
            }
            _ => {
                let pair_end = PairEnd {
                    cause: end.cause,
                    class: end.class.unwrap_or(Class(0)),
                    reason: end.reason.clone(),
                };
                partner_close(Leg::Client, &pair_end)
            }
        };
        self.close_upstream(io, upstream, code, &reason);
    }

    /// Removes a session, and frees what it keeps. `first`: what has ended it, and the class of the
    /// connection to which that has happened.
    pub(super) fn remove_session(
        &mut self,
        io: &mut Io<'_>,
        key: SessionKey,
        first: (Cause, Class),
    ) -> Option<Box<LiveSession>> {
        self.remove_session_for(io, key, first, first.0.name())
    }

    /// Does the same; `why`: what events say about it.
    fn remove_session_for(
        &mut self,
        io: &mut Io<'_>,
        key: SessionKey,
        first: (Cause, Class),
        why: &'static str,
    ) -> Option<Box<LiveSession>> {
        self.note_leaving(key, first);
        let session = self.sessions.take(key)?;
        self.tell_session_end(io, (key, &session), why);
        if session.hold().is_none() || !sabotage::on(Bug::HoldStaysCharged) {
            io.release(session.charged);
        }
        self.sessions.counts.unacknowledged += session.pulse.sent().len() as u64;
        Some(session)
    }

    /// Charges what is allocated for a session.
    pub(super) fn charge_session(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        let (before, now) = (session.charged, session.allocated());
        session.charged = now;
        io.charge(now.saturating_sub(before));
        io.release(before.saturating_sub(now));
        if let Some(hold) = session.hold().map(|hold| hold.booked(key)) {
            self.sessions.resize_hold(hold, before, now);
            self.shed_holds(io);
        }
    }

    /// Ends the holds of an identity: an operator has blocked it.
    pub(in crate::bridge) fn end_holds_of(&mut self, io: &mut Io<'_>, identity: &Identity) {
        let owner = HoldOwner::Named(identity.clone());
        let keys: Vec<_> = self.sessions.holds.of(&owner).collect();
        for key in keys {
            self.end_hold(io, key, HoldEnd::Blocked);
        }
    }

    /// Ends a hold whose client had its time.
    pub(super) fn expire_hold(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let session = self.sessions.live.get(&key);
        let is_old =
            session.is_some_and(|s| io.now() - s.began >= self.sessions.limits.session_max);
        let why = match is_old {
            true => HoldEnd::TooOld,
            false => HoldEnd::Expired,
        };
        self.end_hold(io, key, why);
    }
}
