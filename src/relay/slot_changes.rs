//! The life of a slot: a connection takes it, loses it, and takes it again, or the slot is given
//! up.

use super::app_lifecycle::CONNECT_TIMEOUT;
use super::glasses_state::GlassesState;
use super::protocol;
use super::pulse_ends::send_bye;
use super::relay::{GIVE_UP_UNITS, LIMIT_SCOPE, Relay};
use super::session::{
    Action, AppEvent, AttachInfo, AttachKind, Attached, ConnFlags, GiveUp, GlassesEvent,
    LastEnding, RelayFrame, RemoveReason, ReplayOutcome, SlotDeadline,
};
use super::tables::{Introduction, RelayTask};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Ending, Io, Message, SendOutcome, TimerId};
use crate::host::{Identity, LogIdentity};
use crate::relay::role::{GLASSES, PeerRole, RELAY_CLASSES};

/// The close reason of a connection whose slot was taken; clients match on it.
pub(super) const REPLACED: &str = "replaced by a newer connection";

/// The close reason for glasses that a newer connection replaced. Some phone apps do not reconnect
/// if they read the words in brackets.
const SUPERSEDED: &str = "replaced by a newer connection (superseded by newer session)";

/// How long a connection that announced its departure may take to close.
const LEAVE_TIMEOUT: Micros = Micros::from_secs(2);

/// A peer that was closed as stale and reconnects within this time after it could have learned of
/// it was alive: its stale close was a mistake.
const FALSE_DEATH_TIME: Micros = Micros::from_secs(1);

/// While too many slots wait for lost peers, each further loss gives up this many of them.
const GIVE_UPS_PER_LOSS: usize = 4;

impl Relay {
    /// Applies an event to the slot of a user's glasses. Returns the actions to carry out.
    pub(super) fn glasses_on(
        &mut self,
        io: &mut Io<'_>,
        user: &str,
        event: GlassesEvent,
    ) -> Vec<Action> {
        let (mut counts, sessions) = self.slot_counts();
        sessions.glasses_on(io, &mut counts, user, event)
    }

    /// Applies an event to the slot of an app. Returns the actions to carry out.
    pub(super) fn app_on(
        &mut self,
        io: &mut Io<'_>,
        user: &str,
        package: &str,
        event: AppEvent,
    ) -> Vec<Action> {
        let (mut counts, sessions) = self.slot_counts();
        sessions.app_on(io, &mut counts, (user, package), event)
    }

    /// Runs the actions of a slot that has changed its state.
    pub(super) fn run_actions(
        &mut self,
        io: &mut Io<'_>,
        identity: &Identity,
        actions: impl IntoIterator<Item = Action>,
    ) {
        for action in actions {
            self.run_action(io, identity, action);
        }
    }

    fn run_action(&mut self, io: &mut Io<'_>, identity: &Identity, action: Action) {
        let user = &identity.user;
        match (action, PeerRole::of(identity)) {
            (Action::StartWait(deadline), _) => {
                self.grace_queue.add(io, identity.clone(), deadline);
                self.limit_waits(io);
            }
            (Action::ExtendWait(deadline), _) => {
                self.grace_queue.add(io, identity.clone(), deadline)
            }
            (Action::CancelWait(deadline), _) => self.grace_queue.cancel(deadline),
            (Action::Discard(content), _) => self.delivery().0.discard(io, content),
            (Action::CountExpired(last_ending), role) => {
                self.expired_peers.record(identity, last_ending);
                self.stats.expired_slots[role.class_index()] += 1;
            }
            (Action::CountAnswer { answered: true }, _) => self.stats.webhooks_answered += 1,
            (Action::CountAnswer { answered: false }, _) => self.stats.webhooks_failed += 1,
            (Action::EndSession, _) => self.end_session(io, user),
            (Action::Acknowledge(conn), PeerRole::App(package)) => {
                if let Some(key) = self.pulse.key_of(conn)
                    && let Some(peer) = self.pulse.get_mut(key)
                {
                    peer.is_deferred = false;
                }
                self.answer(io, conn, protocol::reconnect_ack(user, package));
            }
            (Action::Revive, PeerRole::App(package)) => self.revive(io, identity, package),
            (Action::Remove(why), PeerRole::App(package)) => {
                let why = match why {
                    RemoveReason::Released => "released",
                    RemoveReason::NotConnected => "the app did not connect",
                    RemoveReason::NotAnswered => "the app's server did not accept the request",
                };
                self.remove_app(io, user, package, why);
            }
            // Only apps have these; and the code of an arrival carries out `Attach`.
            (Action::Acknowledge(_) | Action::Revive | Action::Remove(_), PeerRole::Glasses)
            | (Action::Attach(_), _) => {}
        }
    }

    /// Assigns admitted glasses their slot in the session.
    pub(super) fn attach_glasses(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
    ) -> AttachKind {
        let user = &identity.user;
        self.sessions.of(user);
        let (conn, now) = (id, io.now());
        let actions = self.glasses_on(io, user, GlassesEvent::Attached { conn, now });
        let ack = protocol::connection_ack(user);
        let Some(info) = self.attach(io, id, identity, actions, ack) else {
            return AttachKind::First;
        };
        if let Attached::TookOver { older, .. } = info.attached {
            self.orphan_fan_outs(io, older, user);
        }
        self.start_task(io, RelayTask::WakeApps(user.clone()));
        info.attached.kind()
    }

    /// Assigns an admitted app its slot in the session.
    pub(super) fn attach_app(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        package: &str,
        introduction: Introduction,
    ) -> AttachKind {
        let (user, conn, now) = (&*identity.user, id, io.now());
        let left = introduction.wait_left(self.sessions.of(user).glasses(), now);
        let flags = ConnFlags {
            released: false,
            has_newer_sdk: introduction.has_newer_sdk,
            deferred: left.is_some(),
        };
        let event = AppEvent::Attached { conn, now, flags };
        let (mut counts, sessions) = self.slot_counts();
        let actions = sessions.attach_app(io, &mut counts, (user, package), event);
        let ack = introduction.ack(user, package, left);
        let Some(info) = self.attach(io, id, identity, actions, ack) else {
            return AttachKind::First;
        };
        if let Some(key) = self.pulse.key_of(id)
            && let Some(peer) = self.pulse.get_mut(key)
        {
            (peer.has_newer_sdk, peer.is_deferred) = (flags.has_newer_sdk, flags.deferred);
        }
        if let Some(number) = info.answered_request {
            self.stats.webhooks_answered += 1;
            self.cancel_answered(number);
        }
        if info.is_new_to_glasses {
            self.notify_started(io, identity, package);
        }
        info.attached.kind()
    }

    /// Acknowledges a connection that has taken its slot, sends it the kept frames, and closes an
    /// older connection.
    fn attach(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        actions: Vec<Action>,
        ack: String,
    ) -> Option<AttachInfo> {
        let (mut info, mut doubtful) = (None, 0);
        for action in actions {
            match action {
                Action::Attach(attach) => info = Some(attach),
                other => self.run_action(io, identity, other),
            }
        }
        let info = info?;
        let older = match info.attached {
            Attached::TookOver { older, .. } => Some(older),
            Attached::First | Attached::Resumed { .. } => None,
        };
        let replaced = older.filter(|older| self.pulse.key_of(*older).is_some());
        let (mut delivery, sessions) = self.delivery();
        let backlog = sessions.backlog_of(identity, id)?;
        // A peer that comes back without its pulse session gets what was not sent in it.
        if let Some(in_doubt) = delivery.end_pulse(io, backlog) {
            doubtful = in_doubt;
        } else if let Some(older) = older {
            // Take back what the older connection has not sent: it is sent on this one.
            let unsent = io.discard_unsent(older);
            let begun = io.messages_sent(older).saturating_sub(unsent);
            doubtful = delivery.on_loss(io, backlog, begun);
        }
        if let Some(older) = older
            && PeerRole::of(identity) == PeerRole::Glasses
        {
            self.paused_apps.resume_all(io, older);
            if replaced.is_some() {
                send_bye(io, older, "replaced", 0);
            }
        }
        if let Some(key) = self.pulse.key_of(id) {
            let replayed = self.attach_pulse(io, (id, key), identity, ack);
            self.persist_running(io, identity);
            self.record_attach(io, id, identity, info.attached, replayed, doubtful);
            return Some(info);
        }
        if let SendOutcome::Refused(why) = io.send(id, Message::text(ack)) {
            log::debug!("ack refused id={id} why={why:?}");
        }
        let (mut delivery, sessions) = self.delivery();
        let backlog = sessions.backlog_of(identity, id)?;
        let replayed = delivery.replay(io, backlog, id);
        self.persist_running(io, identity);
        self.record_attach(io, id, identity, info.attached, replayed, doubtful);
        Some(info)
    }

    /// Logs and counts a connection that has taken its slot, and closes the older connection that
    /// it replaces, if any.
    pub(super) fn record_attach(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        attached: Attached,
        replayed: ReplayOutcome,
        doubtful: u64,
    ) {
        let class = PeerRole::of(identity).class_index();
        if replayed.has_more {
            self.queue_task(io, RelayTask::Replay(id, identity.clone()));
        }
        let name = LogName(identity);
        match attached {
            Attached::First => {
                self.stats.firsts[class] += 1;
                return;
            }
            Attached::Resumed {
                absence,
                last_ending,
            } => {
                let cause = last_ending.cause;
                self.stats.resumes[class] += 1;
                self.stats.absence.record(absence.0);
                if PeerRole::of(identity) == PeerRole::Glasses {
                    self.tell_glasses_state(io, id, &identity.user, GlassesState::Connected);
                }
                // The peer may learn that it was declared stale until the close times out.
                let policy = io.policy(PeerRole::of(identity).class());
                let told = policy.map_or(FALSE_DEATH_TIME, |p| p.close_timeout + FALSE_DEATH_TIME);
                let alive = cause == Cause::STALE && absence <= told;
                self.stats.false_deaths[class] += u64::from(alive);
                log::info!(
                    "resume {name} id={id} absent_ms={} lost_for={cause} replayed={} \
                     false_death={alive}",
                    absence.as_millis(),
                    replayed.frames
                );
            }
            Attached::TookOver {
                older,
                released,
                has_newer_sdk,
            } => {
                self.stats.takeovers[class] += 1;
                log::info!(
                    "takeover {name} id={id} from={older} replayed={} doubtful={doubtful}",
                    replayed.frames
                );
                if released {
                    // The app is about to close the older connection itself. If the gateway closes
                    // it first, the SDK stops the app.
                    let timer = io.start_timer(LEAVE_TIMEOUT);
                    self.leaving.insert(timer, older);
                } else {
                    if has_newer_sdk {
                        self.answer(io, older, protocol::app_stopped(REPLACED));
                    }
                    let (code, reason) = match PeerRole::of(identity) {
                        PeerRole::Glasses => (4003, SUPERSEDED),
                        // An app that is closed with any code but 1000 reconnects, and two
                        // processes would replace each other for ever.
                        PeerRole::App(_) => (1000, REPLACED),
                    };
                    io.close_for(older, Cause::REPLACED, code, reason);
                }
            }
        }
        let limit = self.settings.flapping_limit;
        self.flapping
            .count_reconnect(LIMIT_SCOPE, identity, limit, io.now());
    }

    /// Handles the end of a connection with an identity. The late end of a replaced connection
    /// changes nothing.
    pub(super) fn end_conn(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        end: &Ending,
    ) {
        let user = &identity.user;
        if PeerRole::of(identity) == PeerRole::Glasses {
            self.paused_apps.resume_all(io, id);
            self.orphan_fan_outs(io, id, user);
        }
        let (grace, has_farewell) = match self.lose_pulse(io, id, identity, end) {
            Some(has_farewell) => (self.grace_of(identity), has_farewell),
            None => {
                let (mut delivery, sessions) = self.delivery();
                let Some(backlog) = sessions.backlog_of(identity, id) else {
                    return;
                };
                let begun = end.traffic.messages_out.saturating_sub(end.unsent);
                delivery.on_loss(io, backlog, begun);
                (self.grace_of(identity), false)
            }
        };
        let (conn, now) = (id, io.now());
        let last_ending = LastEnding {
            cause: end.cause,
            lost: end.lost,
        };
        let may_return = grace != Micros::ZERO && !has_farewell;
        let wait = may_return.then(|| self.grace_queue.new_deadline(now + grace));
        let actions = match PeerRole::of(identity) {
            PeerRole::Glasses => {
                let event = GlassesEvent::Ended {
                    conn,
                    now,
                    last_ending,
                    wait,
                };
                self.glasses_on(io, user, event)
            }
            PeerRole::App(package) => {
                if has_farewell {
                    self.app_on(io, user, package, AppEvent::Released { conn });
                }
                let event = AppEvent::Ended {
                    conn,
                    now,
                    last_ending,
                    wait,
                    arrival: self.grace_queue.new_deadline(now + CONNECT_TIMEOUT),
                    has_webhook: self.credentials.webhook_url(package).is_some(),
                };
                self.app_on(io, user, package, event)
            }
        };
        self.run_actions(io, identity, actions);
        if PeerRole::of(identity) == PeerRole::Glasses {
            self.tell_glasses_state(io, id, user, GlassesState::Disconnected);
        }
    }

    /// Handles a lost peer that did not come back: its time is over, or too many slots wait.
    pub(super) fn give_up_wait(
        &mut self,
        io: &mut Io<'_>,
        identity: &Identity,
        deadline: SlotDeadline,
        room: GiveUp,
    ) {
        let refused = match room {
            GiveUp::Expired => self.flapping.refusal_left(LIMIT_SCOPE, identity, io.now()),
            GiveUp::Evicted => None,
        };
        // A peer that is refused now because it reconnects too often gets another wait. Glasses get
        // a full grace from the end of the refusal. An app waits until that end, and is asked then.
        let further = match PeerRole::of(identity) {
            PeerRole::Glasses => self.settings.glasses_grace,
            PeerRole::App(_) => Micros::ZERO,
        };
        let extended = refused.map(|left| self.grace_queue.new_deadline(io.now() + left + further));
        // The slot may belong to a newer session, with another wait.
        let actions = match PeerRole::of(identity) {
            PeerRole::Glasses => self.glasses_on(
                io,
                &identity.user,
                GlassesEvent::WaitOver { deadline, extended },
            ),
            PeerRole::App(package) => self.app_on(
                io,
                &identity.user,
                package,
                AppEvent::WaitOver { deadline, extended },
            ),
        };
        self.run_actions(io, identity, actions);
    }

    /// Returns whether the timer belongs to a connection that announced its departure. The
    /// connection is closed if it is still open.
    pub(super) fn on_leaving(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let Some(id) = self.leaving.remove(&timer) else {
            return false;
        };
        io.close_for(id, Cause::REPLACED, 1000, REPLACED);
        true
    }

    /// Returns whether a connection has announced its departure and its slot is already taken.
    pub(crate) fn is_leaving(&self, id: ConnId) -> bool {
        self.leaving.values().any(|leaving| *leaving == id)
    }

    /// Gives up the oldest waits for lost peers if there are too many. Peers that come and go under
    /// ever new names must not fill the memory with slots. After the limit was lowered there may
    /// be far too many waits, so each loss frees more than one.
    pub(super) fn limit_waits(&mut self, io: &mut Io<'_>) {
        for _ in 0..GIVE_UPS_PER_LOSS {
            if self.grace_queue.len() <= self.absent_max {
                return;
            }
            if let Some((deadline, identity)) = self.grace_queue.take_first() {
                io.spend(GIVE_UP_UNITS);
                self.give_up_wait(io, &identity, deadline, GiveUp::Evicted);
            }
        }
    }

    /// Handles a pong that confirms messages. Returns whether any message on this connection is
    /// still unconfirmed.
    pub(super) fn confirm(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        received: u32,
    ) -> bool {
        let (mut delivery, sessions) = self.delivery();
        match sessions.backlog_of(identity, id) {
            Some(backlog) => delivery.confirm(io, backlog, received),
            None => false,
        }
    }

    /// Sends a text to the glasses of a session.
    pub(super) fn send_to_glasses(&mut self, io: &mut Io<'_>, user: &str, text: String) {
        let (mut delivery, sessions) = self.delivery();
        if let Some(session) = sessions.get_mut(user)
            && let Some(frame) = RelayFrame::text(text, GLASSES)
        {
            delivery.deliver(io, session.destination(PeerRole::Glasses), &frame);
        }
    }
}

/// Formats an identity for the log: `class=… user=… package=…`
pub(super) struct LogName<'a>(pub(super) &'a Identity);

impl std::fmt::Display for LogName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let class = RELAY_CLASSES[usize::from(self.0.class.0)].name;
        write!(f, "class={class} {}", LogIdentity(Some(self.0)))
    }
}
