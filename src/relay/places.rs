//! The life of a place: taken, lost, waited for, taken again or given up.

use super::protocol;
use super::relay::{PER_GRACE, Relay};
use super::routing::answer;
use super::session::{
    Absence, App, AppState, Due, How, Parcel, Place, Post, Replayed, Room, TO_APPS, TO_GLASSES,
    place_bytes,
};
use super::tables::{Chore, Greeting};
use crate::cause::Cause;
use crate::engine::{Class, Ending, Io, Message, Sent, TimerId};
use crate::host::{CLASS_NAMES, Identity, Role, UserAndPackage};
use crate::id::ConnId;
use crate::time::Micros;

/// The close reason of a connection whose place was taken; clients match on it.
pub(super) const REPLACED: &str = "replaced by a newer connection";

/// The same for glasses. Some phone apps stay away if they read the words in brackets.
const SUPERSEDED: &str = "replaced by a newer connection (superseded by newer session)";

/// How long a connection may take to close that has said that it leaves.
const LEAVING: Micros = Micros::from_secs(2);

/// A peer that comes back so soon after it can have learned that it was declared stale had not been dead.
const FALSE_DEATH: Micros = Micros::from_secs(1);

/// Places that are given up for each one that is lost, as long as there are too many.
const GIVEN_UP_AT_ONCE: usize = 4;

/// How a place was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nobody had it, and nobody was waited for.
    First,
    /// It had been lost.
    Resumed {
        /// For how long.
        absence: Micros,
        /// For what.
        cause: Option<Cause>,
    },
    /// An older connection had it.
    Over(ConnId),
}

/// What there is to say of an arrival.
struct Arrival {
    taken: Taken,
    replayed: Replayed,
    doubtful: u64,
    /// The app had said on its older connection that it leaves.
    released: bool,
    /// The app's older connection comes back unless it is told that the app has stopped.
    insists: bool,
}

impl Relay {
    /// Glasses that have proved who they are take their place.
    pub(super) fn glasses_arrive(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
    ) -> How {
        let ack = protocol::connection_ack(&identity.user);
        let place = &mut self.sessions.of(&identity.user).glasses;
        let mut post = Post {
            settings: &self.settings,
            stats: &mut self.stats,
        };
        let (taken, doubtful) = post.occupy(io, place, id, TO_GLASSES);
        if let Taken::Over(older) = taken {
            self.backpressure.ends(io, older);
        }
        if let Taken::Resumed { .. } = taken
            && let Some(absence) = place.absence.take()
        {
            self.graces.cancel(absence.due);
            io.release(place_bytes(&identity.user, ""));
        }
        if let Sent::Refused(why) = io.send(id, Message::text(ack)) {
            log::debug!("ack refused id={id} why={why:?}");
        }
        let replayed = post.replay(io, place, id);
        let arrival = Arrival {
            taken,
            replayed,
            doubtful,
            released: false,
            insists: false,
        };
        let how = self.arrived(io, id, identity, arrival);
        if let Taken::Over(older) = taken {
            self.fan_out_without(io, older, &identity.user);
        }
        self.begin(io, Chore::Wake(identity.user.clone()));
        how
    }

    /// An app that is let in takes its place.
    pub(super) fn app_arrives(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        package: &str,
        greeting: Greeting,
    ) -> How {
        let session = self.sessions.of(&identity.user);
        let left = greeting.waits_for(&session.glasses, io.now());
        let at = session.position(package);
        let is_new = at.is_err();
        let at = at.unwrap_or_else(|at| {
            let app = App::new(package, AppState::Expected);
            session.apps.insert(at, Box::new(app));
            at
        });
        let app = &mut session.apps[at];
        if !is_new && app.place.conn.is_none() {
            self.vacancies.remove(io, &identity.user, app);
        }
        let mut post = Post {
            settings: &self.settings,
            stats: &mut self.stats,
        };
        let (taken, doubtful) = post.occupy(io, &mut app.place, id, TO_APPS);
        if let Some(absence) = app.place.absence.take() {
            self.graces.cancel(absence.due);
        }
        let before = std::mem::replace(&mut app.state, AppState::Running);
        let released = std::mem::take(&mut app.released);
        app.missed = Some(0);
        let insists = std::mem::replace(&mut app.insists, greeting.insists);
        app.deferred = left.is_some();
        let ack = greeting.answer(&identity.user, package, left);
        if let Sent::Refused(why) = io.send(id, Message::text(ack)) {
            log::debug!("ack refused id={id} why={why:?}");
        }
        let replayed = post.replay(io, &mut app.place, id);
        self.remember(io, identity);
        let arrival = Arrival {
            taken,
            replayed,
            doubtful,
            released,
            insists,
        };
        let how = self.arrived(io, id, identity, arrival);
        match before {
            // The glasses were never told that it was away.
            AppState::Running | AppState::Lost => {}
            AppState::Asked { number, .. } => {
                // That it has come is its answer.
                self.stats.webhooks_answered += 1;
                self.came_early(number);
                self.tell_started(io, identity, package);
            }
            AppState::Expected | AppState::Dormant => self.tell_started(io, identity, package),
        }
        how
    }

    /// What is said and counted of every arrival; an older connection goes.
    fn arrived(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        arrival: Arrival,
    ) -> How {
        let Arrival {
            taken,
            replayed,
            doubtful,
            released,
            insists,
        } = arrival;
        let (class, code, reason) = match identity.role {
            Role::Glasses => (TO_GLASSES, 4003, SUPERSEDED),
            // A TPA that is closed with anything but 1000 comes back, and two processes would fight for ever.
            Role::Tpa(_) => (TO_APPS, 1000, REPLACED),
        };
        if replayed.more {
            self.put_off(io, Chore::Replay(id, identity.clone()));
        }
        let who = Who(identity);
        let how = match taken {
            Taken::First => {
                self.stats.firsts[class] += 1;
                return self.took(identity, How::First);
            }
            Taken::Resumed { absence, cause } => {
                self.stats.absent[class] -= 1;
                // Nobody has come back to a session from before a restart, or to a place that was only kept free.
                let Some(cause) = cause else {
                    self.stats.firsts[class] += 1;
                    return self.took(identity, How::First);
                };
                self.stats.resumes[class] += 1;
                self.stats.absence.record(absence.0);
                // It can have learned of its death when the close had its time.
                let policy = io.policy(Class(class as u8));
                let told = policy.map_or(FALSE_DEATH, |p| p.close_timeout + FALSE_DEATH);
                let alive = cause == Cause::STALE && absence <= told;
                self.stats.false_deaths[class] += u64::from(alive);
                log::info!(
                    "resume {who} id={id} absent_ms={} lost_for={cause} replayed={} false_death={alive}",
                    absence.as_millis(),
                    replayed.frames
                );
                How::Resume
            }
            Taken::Over(older) => {
                self.stats.takeovers[class] += 1;
                log::info!(
                    "takeover {who} id={id} from={older} replayed={} doubtful={doubtful}",
                    replayed.frames
                );
                if released {
                    // It is about to close that one itself. An SDK that is closed in the middle of it stops its app.
                    let timer = io.timer(LEAVING);
                    self.leaving.insert(timer, older);
                } else {
                    if insists {
                        answer(io, older, protocol::app_stopped(REPLACED));
                    }
                    io.close_for(older, Cause::REPLACED, code, reason);
                }
                How::Takeover
            }
        };
        let limit = self.settings.flapping_limit;
        self.flapping.came_back(identity, limit, io.now());
        self.took(identity, how)
    }

    /// Notes how a place was taken.
    fn took(&mut self, identity: &Identity, how: How) -> How {
        let session = self.sessions.get_mut(&identity.user);
        if let Some(place) = session.and_then(|session| session.place_mut(&identity.role)) {
            place.how = how;
            if how != How::First {
                place.resumes = place.resumes.saturating_add(1);
            }
        }
        how
    }

    /// A connection with an identity is over. A late end of one that was replaced changes nothing.
    pub(super) fn gone(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity, end: &Ending) {
        self.caught_up(io, id, identity);
        if identity.role == Role::Glasses {
            self.fan_out_without(io, id, &identity.user);
        }
        let generated = self.is_ours(&identity.user);
        let Some(session) = self.sessions.get_mut(&identity.user) else {
            return;
        };
        let (class, grace) = match identity.role {
            Role::Glasses => (TO_GLASSES, self.settings.glasses_grace),
            Role::Tpa(_) => (TO_APPS, self.settings.tpa_grace),
        };
        let app = match &identity.role {
            Role::Glasses => None,
            Role::Tpa(package) => session.app(package),
        };
        let released = app.is_some_and(|app| app.released);
        // Its SDK waits to be acknowledged on that connection, and on no other.
        let given_up =
            app.is_some_and(|app| app.deferred && self.credentials.webhook(&app.package).is_some());
        let Some(place) = session.place_mut(&identity.role) else {
            return;
        };
        if place.conn != Some(id) {
            return;
        }
        place.conn = None;
        if let Role::Tpa(package) = &identity.role
            && let Some(app) = session.app(package)
        {
            self.vacancies.add(io, &identity.user, app);
        }
        let Some(place) = session.place_mut(&identity.role) else {
            return;
        };
        let mut post = Post {
            settings: &self.settings,
            stats: &mut self.stats,
        };
        let begun = end.traffic.messages_out.saturating_sub(end.unsent);
        post.lost(io, place, begun);
        if released || given_up || grace == Micros::ZERO || generated {
            return match &identity.role {
                Role::Glasses => self.end_session(io, &identity.user),
                Role::Tpa(package) => self.app_left(io, identity, package, released),
            };
        }
        let due = self.graces.add(io, identity.clone(), io.now() + grace);
        place.absence = Some(Box::new(Absence {
            since: io.now(),
            cause: Some(end.cause),
            lost: end.lost,
            due,
        }));
        self.stats.absent[class] += 1;
        match &identity.role {
            Role::Glasses => io.charge(place_bytes(&identity.user, "")),
            Role::Tpa(package) => {
                if let Some(app) = session.app_mut(package) {
                    app.state = AppState::Lost;
                }
            }
        }
        self.bound_absences(io);
    }

    /// A place was waited for long enough, or there is no room to wait for it.
    pub(super) fn waited_in_vain(
        &mut self,
        io: &mut Io<'_>,
        identity: &Identity,
        due: Due,
        room: Room,
    ) {
        let Some(session) = self.sessions.get_mut(&identity.user) else {
            return;
        };
        // The place may be one of a newer session.
        let place = session.place_mut(&identity.role);
        let absence = place.and_then(|place| place.absence.as_ref());
        if absence.is_none_or(|absence| absence.due != due) {
            return;
        }
        match &identity.role {
            Role::Glasses => {
                if room == Room::Yes
                    && let Some(absence) = &mut session.glasses.absence
                    && let Some(left) = self.flapping.refused_for(identity, io.now())
                {
                    // They may not come now. They are waited for once more when they may.
                    let at = io.now() + left + self.settings.glasses_grace;
                    absence.due = self.graces.add(io, identity.clone(), at);
                    return;
                }
                if let Some(absence) = session.glasses.absence.take() {
                    self.missed.keep(identity, absence.cause, absence.lost);
                    io.release(place_bytes(&identity.user, ""));
                    self.stats.absent[TO_GLASSES] -= 1;
                    self.stats.expired_places[TO_GLASSES] += 1;
                }
                self.end_session(io, &identity.user);
            }
            Role::Tpa(package) => self.app_missed(io, identity, package, room),
        }
    }

    /// Returns whether the timer was that of a connection that wanted to leave. Whoever has not is closed.
    pub(super) fn on_leaving(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let Some(id) = self.leaving.remove(&timer) else {
            return false;
        };
        io.close_for(id, Cause::REPLACED, 1000, REPLACED);
        true
    }

    /// Returns whether a connection wants to leave, and its place is taken already.
    pub(crate) fn is_leaving(&self, id: ConnId) -> bool {
        self.leaving.values().any(|leaving| *leaving == id)
    }

    /// Stops waiting for a place, for another reason than that its time is over.
    pub(super) fn stop_waiting(&mut self, identity: &Identity) {
        let Some(session) = self.sessions.get_mut(&identity.user) else {
            return;
        };
        let class = match identity.role {
            Role::Glasses => TO_GLASSES,
            Role::Tpa(_) => TO_APPS,
        };
        if let Some(absence) = session
            .place_mut(&identity.role)
            .and_then(|p| p.absence.take())
        {
            self.graces.cancel(absence.due);
            self.stats.absent[class] -= 1;
        }
    }

    /// Peers that come and go under ever new names must not fill the memory with places that are waited for.
    /// After a lowered limit there may be many too many: each loss makes room for some more than itself.
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

    /// Returns whether a pong has left something unconfirmed on this connection.
    pub(super) fn confirm(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        received: u32,
    ) -> bool {
        let (mut post, sessions) = self.post();
        let session = sessions.get_mut(&identity.user);
        let place = session.and_then(|session| session.place_mut(&identity.role));
        match place.filter(|place| place.conn == Some(id)) {
            Some(place) => post.confirm(io, place, received),
            None => false,
        }
    }

    /// Tells the glasses of a session something.
    pub(super) fn tell_glasses(&mut self, io: &mut Io<'_>, user: &str, text: String) {
        let (mut post, sessions) = self.post();
        if let Some(session) = sessions.get_mut(user)
            && let Some(parcel) = Parcel::text(text, TO_GLASSES)
        {
            post.deliver(io, &mut session.glasses, &parcel);
        }
    }
}

impl Post<'_> {
    /// Gives a place to a connection. How, and how many frames are in doubt by that.
    fn occupy(
        &mut self,
        io: &mut Io<'_>,
        place: &mut Place,
        id: ConnId,
        class: usize,
    ) -> (Taken, u64) {
        debug_assert!(class < self.stats.absent.len());
        let older = place.conn.replace(id);
        if let Some(older) = older {
            // What has not left the older connection shall not leave it any more: it goes over this one.
            let unsent = io.take_back(older);
            let begun = io.messages_sent(older).saturating_sub(unsent);
            return (Taken::Over(older), self.lost(io, place, begun));
        }
        match &place.absence {
            Some(absence) => {
                let taken = Taken::Resumed {
                    absence: io.now() - absence.since,
                    cause: absence.cause,
                };
                (taken, 0)
            }
            None => (Taken::First, 0),
        }
    }
}

/// `class=… user=… package=…`
pub(super) struct Who<'a>(pub(super) &'a Identity);

impl std::fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let class = CLASS_NAMES[usize::from(self.0.class().0)];
        write!(f, "class={class} {}", UserAndPackage(Some(self.0)))
    }
}
