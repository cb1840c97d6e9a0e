//! The life of a place: a connection takes it, loses it, and takes it again, or the place is given
//! up.

use super::apps::ARRIVAL;
use super::protocol;
use super::relay::{PER_GRACE, Relay};
use super::routing::answer;
use super::session::{
    Action, AppEvent, Conduct, Due, How, Parcel, Parting, PlaceEvent, Replayed, Room, TO_APPS,
    TO_GLASSES, Taken, Welcome, Why,
};
use super::tables::{Chore, Greeting};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Class, Ending, Io, Message, SendOutcome, TimerId};
use crate::host::{Identity, UserAndPackage};
use crate::relay::role::{RELAY_CLASSES, Role};

/// The close reason of a connection whose place was taken; clients match on it.
pub(super) const REPLACED: &str = "replaced by a newer connection";

/// The close reason for glasses that a newer connection replaced. Some phone apps do not reconnect
/// if they read the words in brackets.
const SUPERSEDED: &str = "replaced by a newer connection (superseded by newer session)";

/// How long a connection that announced its departure may take to close.
const LEAVING: Micros = Micros::from_secs(2);

/// A peer that was closed as stale and reconnects within this time after it could have learned of
/// it was alive: its stale close was a mistake.
const FALSE_DEATH: Micros = Micros::from_secs(1);

/// While too many places wait for lost peers, each further loss gives up this many of them.
const GIVEN_UP_AT_ONCE: usize = 4;

impl Relay {
    /// Applies an event to the place of a user's glasses. Returns the actions to carry out.
    fn glasses_on(&mut self, io: &mut Io<'_>, user: &str, event: PlaceEvent) -> Vec<Action> {
        let (mut census, sessions) = self.census();
        sessions.glasses_on(io, &mut census, user, event)
    }

    /// Applies an event to the place of an app. Returns the actions to carry out.
    pub(super) fn app_on(
        &mut self,
        io: &mut Io<'_>,
        user: &str,
        package: &str,
        event: AppEvent,
    ) -> Vec<Action> {
        let (mut census, sessions) = self.census();
        sessions.app_on(io, &mut census, (user, package), event)
    }

    /// Carries out the actions of a place that has changed its state.
    pub(super) fn carry_out(
        &mut self,
        io: &mut Io<'_>,
        identity: &Identity,
        actions: impl IntoIterator<Item = Action>,
    ) {
        for action in actions {
            self.act(io, identity, action);
        }
    }

    fn act(&mut self, io: &mut Io<'_>, identity: &Identity, action: Action) {
        let user = &identity.user;
        match (action, Role::of(identity)) {
            (Action::Wait(due), _) => {
                self.graces.add(io, identity.clone(), due);
                self.bound_absences(io);
            }
            (Action::Prolong(due), _) => self.graces.add(io, identity.clone(), due),
            (Action::Cancel(due), _) => self.graces.cancel(due),
            (Action::Discard(leavings), _) => self.post().0.discard(io, leavings),
            (Action::Missed(parting), role) => {
                self.missed.keep(identity, parting);
                self.stats.expired_places[class_of(role)] += 1;
            }
            (Action::Replied { answered: true }, _) => self.stats.webhooks_answered += 1,
            (Action::Replied { answered: false }, _) => self.stats.webhooks_failed += 1,
            (Action::EndSession, _) => self.end_session(io, user),
            (Action::Acknowledge(conn), Role::App(package)) => {
                answer(io, conn, protocol::reconnect_ack(user, package));
            }
            (Action::Revive, Role::App(package)) => self.revive(io, identity, package),
            (Action::Remove(why), Role::App(package)) => {
                let why = match why {
                    Why::Released => "released",
                    Why::NotConnected => "the app did not connect",
                    Why::NotAnswered => "the app's server did not accept the request",
                };
                self.remove_app(io, user, package, why);
            }
            // Only apps have these; and the arrival code carries out its own welcome.
            (Action::Acknowledge(_) | Action::Revive | Action::Remove(_), Role::Glasses)
            | (Action::Welcome(_), _) => {}
        }
    }

    /// Assigns admitted glasses their place in the session.
    pub(super) fn glasses_arrive(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
    ) -> How {
        let user = &identity.user;
        self.sessions.of(user);
        let (conn, now) = (id, io.now());
        let actions = self.glasses_on(io, user, PlaceEvent::Arrives { conn, now });
        let ack = protocol::connection_ack(user);
        let Some(welcome) = self.welcome(io, id, identity, actions, ack) else {
            return How::First;
        };
        if let Taken::Over { older, .. } = welcome.taken {
            self.fan_out_without(io, older, user);
        }
        self.begin(io, Chore::Wake(user.clone()));
        welcome.taken.how()
    }

    /// Assigns an admitted app its place in the session.
    pub(super) fn app_arrives(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        package: &str,
        greeting: Greeting,
    ) -> How {
        let (user, conn, now) = (&*identity.user, id, io.now());
        let left = greeting.waits_for(self.sessions.of(user).glasses(), now);
        let conduct = Conduct {
            released: false,
            insists: greeting.insists,
            deferred: left.is_some(),
        };
        let event = AppEvent::Arrives { conn, now, conduct };
        let (mut census, sessions) = self.census();
        let actions = sessions.app_arrives(io, &mut census, (user, package), event);
        let ack = greeting.answer(user, package, left);
        let Some(welcome) = self.welcome(io, id, identity, actions, ack) else {
            return How::First;
        };
        if let Some(number) = welcome.answers {
            self.stats.webhooks_answered += 1;
            self.came_early(number);
        }
        if welcome.is_news {
            self.tell_started(io, identity, package);
        }
        welcome.taken.how()
    }

    /// Acknowledges a connection that has taken its place, sends it the kept frames, and closes an
    /// older connection.
    fn welcome(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        actions: Vec<Action>,
        ack: String,
    ) -> Option<Welcome> {
        let (mut welcome, mut doubtful) = (None, 0);
        for action in actions {
            match action {
                Action::Welcome(it) => welcome = Some(it),
                other => self.act(io, identity, other),
            }
        }
        let welcome = welcome?;
        let (mut post, sessions) = self.post();
        let kept = sessions.kept_of(identity, id)?;
        if let Taken::Over { older, .. } = welcome.taken {
            // Take back what the older connection has not sent: it is sent on this one.
            let unsent = io.discard_unsent(older);
            let begun = io.messages_sent(older).saturating_sub(unsent);
            doubtful = post.lost(io, kept, begun);
        }
        if let Taken::Over { older, .. } = welcome.taken
            && Role::of(identity) == Role::Glasses
        {
            self.backpressure.ends(io, older);
        }
        if let SendOutcome::Refused(why) = io.send(id, Message::text(ack)) {
            log::debug!("ack refused id={id} why={why:?}");
        }
        let (mut post, sessions) = self.post();
        let kept = sessions.kept_of(identity, id)?;
        let replayed = post.replay(io, kept, id);
        self.remember(io, identity);
        self.arrived(io, id, identity, welcome.taken, replayed, doubtful);
        Some(welcome)
    }

    /// Logs and counts a connection that has taken its place, and closes the older connection that
    /// it replaces, if any.
    fn arrived(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        taken: Taken,
        replayed: Replayed,
        doubtful: u64,
    ) {
        let class = class_of(Role::of(identity));
        if replayed.more {
            self.put_off(io, Chore::Replay(id, identity.clone()));
        }
        let name = LogName(identity);
        match taken {
            Taken::First => {
                self.stats.firsts[class] += 1;
                return;
            }
            Taken::Resumed { absence, parting } => {
                let cause = parting.cause;
                self.stats.resumes[class] += 1;
                self.stats.absence.record(absence.0);
                // The peer may learn that it was declared stale until the close times out.
                let policy = io.policy(Class(class as u8));
                let told = policy.map_or(FALSE_DEATH, |p| p.close_timeout + FALSE_DEATH);
                let alive = cause == Cause::STALE && absence <= told;
                self.stats.false_deaths[class] += u64::from(alive);
                log::info!(
                    "resume {name} id={id} absent_ms={} lost_for={cause} replayed={} \
                     false_death={alive}",
                    absence.as_millis(),
                    replayed.frames
                );
            }
            Taken::Over {
                older,
                released,
                insists,
            } => {
                self.stats.takeovers[class] += 1;
                log::info!(
                    "takeover {name} id={id} from={older} replayed={} doubtful={doubtful}",
                    replayed.frames
                );
                if released {
                    // The app is about to close the older connection itself. If the gateway closes
                    // it first, the SDK stops the app.
                    let timer = io.start_timer(LEAVING);
                    self.leaving.insert(timer, older);
                } else {
                    if insists {
                        answer(io, older, protocol::app_stopped(REPLACED));
                    }
                    let (code, reason) = match Role::of(identity) {
                        Role::Glasses => (4003, SUPERSEDED),
                        // An app that is closed with any code but 1000 reconnects, and two
                        // processes would replace each other for ever.
                        Role::App(_) => (1000, REPLACED),
                    };
                    io.close_for(older, Cause::REPLACED, code, reason);
                }
            }
        }
        let limit = self.settings.flapping_limit;
        self.flapping.came_back(identity, limit, io.now());
    }

    /// Handles the end of a connection with an identity. The late end of a replaced connection
    /// changes nothing.
    pub(super) fn gone(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity, end: &Ending) {
        self.caught_up(io, id, identity);
        let user = &identity.user;
        if Role::of(identity) == Role::Glasses {
            self.fan_out_without(io, id, user);
        }
        let (mut post, sessions) = self.post();
        let Some(kept) = sessions.kept_of(identity, id) else {
            return;
        };
        let begun = end.traffic.messages_out.saturating_sub(end.unsent);
        post.lost(io, kept, begun);
        let (conn, now) = (id, io.now());
        let parting = Parting {
            cause: end.cause,
            lost: end.lost,
        };
        let grace = match Role::of(identity) {
            Role::Glasses => self.settings.glasses_grace,
            Role::App(_) => self.settings.app_grace,
        };
        let may_return = grace != Micros::ZERO && !self.is_ours(user);
        let wait = may_return.then(|| self.graces.due(now + grace));
        let actions = match Role::of(identity) {
            Role::Glasses => {
                let event = PlaceEvent::Gone {
                    conn,
                    now,
                    parting,
                    wait,
                };
                self.glasses_on(io, user, event)
            }
            Role::App(package) => {
                let event = AppEvent::Gone {
                    conn,
                    now,
                    parting,
                    wait,
                    arrival: self.graces.due(now + ARRIVAL),
                    has_webhook: self.credentials.webhook(package).is_some(),
                };
                self.app_on(io, user, package, event)
            }
        };
        self.carry_out(io, identity, actions);
    }

    /// Handles a lost peer that did not come back: its time is over, or too many places wait.
    pub(super) fn waited_in_vain(
        &mut self,
        io: &mut Io<'_>,
        identity: &Identity,
        due: Due,
        room: Room,
    ) {
        let refused = match room {
            Room::Yes => self.flapping.refused_for(identity, io.now()),
            Room::No => None,
        };
        // A peer that is refused now because it reconnects too often gets another wait. Glasses get
        // a full grace from the end of the refusal. An app waits until that end, and is asked then.
        let further = match Role::of(identity) {
            Role::Glasses => self.settings.glasses_grace,
            Role::App(_) => Micros::ZERO,
        };
        let again = refused.map(|left| self.graces.due(io.now() + left + further));
        // The place may belong to a newer session, with another wait.
        let actions = match Role::of(identity) {
            Role::Glasses => self.glasses_on(io, &identity.user, PlaceEvent::Over { due, again }),
            Role::App(package) => {
                self.app_on(io, &identity.user, package, AppEvent::Over { due, again })
            }
        };
        self.carry_out(io, identity, actions);
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

    /// Returns whether a connection has announced its departure and its place is already taken.
    pub(crate) fn is_leaving(&self, id: ConnId) -> bool {
        self.leaving.values().any(|leaving| *leaving == id)
    }

    /// Gives up the oldest waits for lost peers if there are too many. Peers that come and go under
    /// ever new names must not fill the memory with places. After the limit was lowered there may
    /// be far too many waits, so each loss frees more than one.
    pub(super) fn bound_absences(&mut self, io: &mut Io<'_>) {
        for _ in 0..GIVEN_UP_AT_ONCE {
            if self.graces.len() <= self.absent_max {
                return;
            }
            if let Some((due, identity)) = self.graces.take_first() {
                io.spend(PER_GRACE);
                self.waited_in_vain(io, &identity, due, Room::No);
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
        let (mut post, sessions) = self.post();
        match sessions.kept_of(identity, id) {
            Some(kept) => post.confirm(io, kept, received),
            None => false,
        }
    }

    /// Sends a text to the glasses of a session.
    pub(super) fn tell_glasses(&mut self, io: &mut Io<'_>, user: &str, text: String) {
        let (mut post, sessions) = self.post();
        if let Some(session) = sessions.get_mut(user)
            && let Some(parcel) = Parcel::text(text, TO_GLASSES)
        {
            post.deliver(io, session.addressee(Role::Glasses), &parcel);
        }
    }
}

/// Returns the number of a role's class.
fn class_of(role: Role<'_>) -> usize {
    match role {
        Role::Glasses => TO_GLASSES,
        Role::App(_) => TO_APPS,
    }
}

/// Formats an identity for the log: `class=… user=… package=…`
pub(super) struct LogName<'a>(pub(super) &'a Identity);

impl std::fmt::Display for LogName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let class = RELAY_CLASSES[usize::from(self.0.class.0)].name;
        write!(f, "class={class} {}", UserAndPackage(Some(self.0)))
    }
}
