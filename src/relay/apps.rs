//! Apps of a session: started and stopped by their user, asked back when they were lost.

use super::causes;
use super::errands::{StateErrand, StopReason};
use super::protocol;
use super::relay::Relay;
use super::session::{App, AppState, Called, Room, SESSION_APPS_MAX, TO_APPS, moved};
use super::subscriptions::Subscriptions;
use super::tables::{Chore, Ended};
use crate::cause::Cause;
use crate::engine::Io;
use crate::host::{Identity, Role, Value, seconds};
use crate::time::Micros;

/// What an app is told that was stopped, and one whose session is over. Its SDK matches these words: they stand in no other
/// reason.
pub(crate) const STOPPED: &str = "App stopped";
pub(crate) const SESSION_ENDED: &str = "User session ended";

/// Returns whether a reason has words that the SDK would take for an order to stay away.
pub fn has_magic_words(reason: &str) -> bool {
    reason.contains(STOPPED) || reason.contains(SESSION_ENDED)
}

/// How long an app that has agreed to come may take, if a lost one has no grace.
pub(super) const ARRIVAL: Micros = Micros::from_secs(15);

/// How often an app that ran is asked again although it has agreed to come and has not.
const MISSES: u8 = 3;

impl Relay {
    /// The user wants an app.
    pub(super) fn start_app(&mut self, io: &mut Io<'_>, user: &str, package: &str) {
        let refused = |relay: &mut Self, io: &mut Io<'_>, why: &str| {
            let news = protocol::app_news("app_stopped", package, Some(why));
            relay.tell_glasses(io, user, news);
        };
        if let Some(left) = self.starts.refuses(user, io.now()) {
            return refused(self, io, &too_often(left));
        }
        if !self.credentials.knows(package) {
            return refused(self, io, "there is no such app");
        }
        let identity = app_identity(user, package);
        if self.blocks.left(&identity, io.now()).is_some() {
            return refused(self, io, "blocked by the operator");
        }
        let (started, most) = (self.vacancies.started, self.absent_max);
        let session = self.sessions.of(user);
        let at = session.position(package);
        let state = match at.ok().map(|at| session.apps[at].state) {
            Some(state) => Some(state),
            None if session.apps.len() >= SESSION_APPS_MAX => {
                return refused(self, io, "this session has 1000 apps already");
            }
            // Of the room for places without a connection a quarter is for those that had one.
            None if started >= most - most / 4 => {
                return refused(self, io, "too many apps are being started: try again later");
            }
            None => None,
        };
        match state {
            Some(AppState::Running) => self.tell_started(io, &identity, package),
            // A lost one is waited for, and asked if it does not come: what waits for it stays.
            Some(AppState::Asked { .. } | AppState::Expected | AppState::Lost) => {}
            None | Some(AppState::Dormant) => {
                if let Err(at) = at {
                    let app = App::new(package, AppState::Dormant);
                    self.vacancies.add(io, user, &app);
                    session.apps.insert(at, Box::new(app));
                }
                self.remember(io, &identity);
                self.ask(io, &identity, package, false);
            }
        }
    }

    /// The user does not want an app any more.
    pub(super) fn user_stops_app(&mut self, io: &mut Io<'_>, user: &str, package: &str) {
        if let Some(left) = self.starts.refuses(user, io.now()) {
            let error = protocol::glasses_error("TOO_OFTEN", &too_often(left));
            return self.tell_glasses(io, user, error);
        }
        if !self.stop_app(
            io,
            user,
            package,
            causes::APP_STOPPED,
            StopReason::UserDisabled,
        ) {
            let news = protocol::app_news("app_stopped", package, None);
            self.tell_glasses(io, user, news);
        }
    }

    /// Stops an app for good: it is told, its server is told, and it is not asked back. Whether there was one.
    pub(crate) fn stop_app(
        &mut self,
        io: &mut Io<'_>,
        user: &str,
        package: &str,
        cause: Cause,
        reason: StopReason,
    ) -> bool {
        let Some(app) = self.take_app(io, user, package) else {
            return false;
        };
        if io.is_draining() {
            // What takes an app out does not write it then.
            let (user, package) = (user.into(), package.into());
            self.note_wish(io, StateErrand::Forget { user, package });
        }
        if let Some(conn) = app.place.conn {
            super::routing::answer(io, conn, protocol::app_stopped(reason.name()));
            io.close_for(conn, cause, 1000, STOPPED);
        }
        self.order_stop(user, package, reason);
        self.tell_stopped(io, user, package, Some(reason.name()));
        self.sessions.tidy(user);
        true
    }

    /// Takes an app out of its session, with all that was waited for.
    pub(super) fn take_app(&mut self, io: &mut Io<'_>, user: &str, package: &str) -> Option<App> {
        let identity = app_identity(user, package);
        self.stop_waiting(&identity);
        let session = self.sessions.get_mut(user)?;
        let at = session.position(package).ok()?;
        let mut app = session.apps.remove(at);
        self.release_app(io, user, &mut app);
        if let Called::Open(number) = app.called {
            self.forget_errand(number);
        }
        let (user, package) = (user.into(), package.into());
        self.note(io, StateErrand::Forget { user, package });
        Some(*app)
    }

    /// The session is over: its glasses did not come back.
    pub(super) fn end_session(&mut self, io: &mut Io<'_>, user: &str) {
        let Some(mut session) = self.sessions.remove(user) else {
            return;
        };
        self.post().0.discard(io, &mut session.glasses);
        if !session.apps.is_empty() {
            self.note(io, StateErrand::ForgetUser { user: user.into() });
        }
        if log::log_enabled!(log::Level::Debug) {
            let user = Value(user);
            log::debug!("session ended user={user}");
        }
        session.fan_outs.orphan(io, None);
        // They are taken from the end.
        session.apps.reverse();
        let ended = Ended {
            apps: session.apps,
            fan_outs: session.fan_outs,
        };
        self.begin(io, Chore::End(user.into(), ended));
    }

    /// An app of a session that is over is told so.
    pub(super) fn end_app(&mut self, io: &mut Io<'_>, user: &str, mut app: App) {
        self.release_app(io, user, &mut app);
        if let Some(absence) = app.place.absence.take() {
            self.graces.cancel(absence.due);
            self.stats.absent[TO_APPS] -= 1;
        }
        if let Called::Open(number) = app.called {
            self.forget_errand(number);
        }
        // It may have been lost meanwhile.
        let conn = app.place.conn.filter(|conn| io.view(*conn).is_some());
        match conn {
            // It is the next one's now, with its glasses.
            Some(conn) if io.is_draining() => {
                let code = Cause::DRAINING.close_code();
                io.close_for(conn, Cause::DRAINING, code, "service restart");
            }
            None if io.is_draining() => {}
            Some(conn) => {
                super::routing::answer(io, conn, protocol::app_stopped("session_ended"));
                io.close_for(conn, causes::SESSION_ENDED, 1000, SESSION_ENDED);
            }
            // A newer session of the user has the app already.
            None if self.sessions.app_mut(user, &app.package).is_some() => {}
            // One that is away has nobody else to tell it.
            None => self.order_stop(user, &app.package, StopReason::SystemStop),
        }
    }

    /// An app is out of its session: what it was charged with is released.
    fn release_app(&mut self, io: &mut Io<'_>, user: &str, app: &mut App) {
        self.post().0.discard(io, &mut app.place);
        moved(io, app.subscriptions.allocated(), 0);
        app.subscriptions = Subscriptions::default();
        if app.place.conn.is_none() {
            self.vacancies.remove(io, user, app);
        }
    }

    /// An app's connection is over and it is not waited for: it has said that it leaves, or there is no grace.
    pub(super) fn app_left(
        &mut self,
        io: &mut Io<'_>,
        identity: &Identity,
        package: &str,
        released: bool,
    ) {
        let called = |app: &App| match app.called {
            Called::No => false,
            Called::Open(_) => true,
            Called::Until(at) => io.now() < at,
        };
        let app = self.session(&identity.user).and_then(|s| s.app(package));
        if released && app.is_some_and(called) {
            // It makes room for the connection that it was asked for, which is on its way.
            return self.wait_for(io, identity, package, AppState::Expected, ARRIVAL);
        }
        if released {
            if self.take_app(io, &identity.user, package).is_some() {
                self.tell_stopped(io, &identity.user, package, Some("released"));
            }
            return self.sessions.tidy(&identity.user);
        }
        self.revive(io, identity, package);
    }

    /// An app was waited for long enough, or there is no room to wait for it.
    pub(super) fn app_missed(
        &mut self,
        io: &mut Io<'_>,
        identity: &Identity,
        package: &str,
        room: Room,
    ) {
        let Some(app) = self.sessions.app_mut(&identity.user, package) else {
            return;
        };
        if room == Room::Yes
            && app.state == AppState::Lost
            && let Some(absence) = &mut app.place.absence
            && let Some(left) = self.flapping.refused_for(identity, io.now())
        {
            // It may not come now. It is waited for until it may, and asked then.
            absence.due = self.graces.add(io, identity.clone(), io.now() + left);
            return;
        }
        if let Some(absence) = app.place.absence.take() {
            self.missed.keep(identity, absence.cause, absence.lost);
            self.stats.absent[TO_APPS] -= 1;
            self.stats.expired_places[TO_APPS] += 1;
        }
        match app.state {
            AppState::Lost => self.revive(io, identity, package),
            // It ran, made room for the connection that it was asked for, and that was lost on its way: it is asked again.
            AppState::Expected if app.missed.is_some_and(|missed| missed < MISSES) => {
                app.missed = app.missed.map(|missed| missed + 1);
                self.revive(io, identity, package);
            }
            // It has agreed to come, and has not.
            AppState::Expected => {
                self.take_app(io, &identity.user, package);
                self.tell_stopped(io, &identity.user, package, Some("it did not connect"));
                self.sessions.tidy(&identity.user);
            }
            AppState::Running | AppState::Asked { .. } | AppState::Dormant => {}
        }
    }

    /// A lost app does not come back by itself: its server is asked, once the glasses are there.
    fn revive(&mut self, io: &mut Io<'_>, identity: &Identity, package: &str) {
        let user = &identity.user;
        if io.is_draining() {
            // It is the next one's, and runs there: its glasses shall hear nothing else.
            self.take_app(io, user, package);
            return self.sessions.tidy(user);
        }
        let wanted = self.credentials.webhook(package).is_some();
        let session = self.sessions.get_mut(user);
        let app = session.and_then(|s| s.glasses.is_held().then_some(s));
        let Some(session) = app.filter(|_| wanted) else {
            self.take_app(io, user, package);
            self.tell_stopped(io, user, package, Some("connection lost"));
            return self.sessions.tidy(user);
        };
        if self.vacancies.apps as u64 - self.stats.absent[TO_APPS] > self.absent_max as u64 {
            self.take_app(io, user, package);
            let why = Some("too many apps are being started");
            self.tell_stopped(io, user, package, why);
            return self.sessions.tidy(user);
        }
        let here = session.glasses.conn.is_some();
        if let Some(app) = session.app_mut(package) {
            app.state = AppState::Dormant;
            // It begins anew, and says again what it wants to hear.
            moved(io, app.subscriptions.allocated(), 0);
            app.subscriptions = Subscriptions::default();
        }
        self.discard_kept(io, user, package);
        let news = protocol::app_state_change(package, "resurrecting");
        self.tell_glasses(io, user, news);
        if here {
            self.ask(io, identity, package, true);
        }
    }

    fn discard_kept(&mut self, io: &mut Io<'_>, user: &str, package: &str) {
        let (mut post, sessions) = self.post();
        if let Some(app) = sessions.app_mut(user, package) {
            post.discard(io, &mut app.place);
        }
    }

    pub(super) fn tell_started(&mut self, io: &mut Io<'_>, identity: &Identity, package: &str) {
        let user = &identity.user;
        let started = protocol::app_news("app_started", package, None);
        self.tell_glasses(io, user, started);
        self.tell_glasses(io, user, protocol::app_state_change(package, "running"));
    }

    pub(super) fn tell_stopped(
        &mut self,
        io: &mut Io<'_>,
        user: &str,
        package: &str,
        why: Option<&str>,
    ) {
        let stopped = protocol::app_news("app_stopped", package, why);
        self.tell_glasses(io, user, stopped);
        self.tell_glasses(io, user, protocol::app_state_change(package, "stopped"));
    }
}

/// What glasses are told that start or stop apps too often.
fn too_often(left: Micros) -> String {
    let seconds = seconds(left);
    format!("apps are started and stopped too often: try again in {seconds} s")
}

pub(super) fn app_identity(user: &str, package: &str) -> Identity {
    Identity {
        user: user.into(),
        role: Role::Tpa(package.into()),
    }
}
