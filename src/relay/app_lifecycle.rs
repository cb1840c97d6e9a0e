//! Apps of a session: users start and stop them, and the relay asks lost ones back.

use super::jobs::{StateJob, StopReason};
use super::pulse::{PeerEnd, PulseKey};
use super::relay::Relay;
use super::session::{AppSlot, AppState, RemovedApp, SESSION_APPS_MAX, Session, Sessions};
use super::tables::{EndedSession, RelayTask};
use super::{causes, protocol};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::Io;
use crate::host::{Identity, LogValue, retry_after_secs};
use crate::relay::role::{APP, PeerRole};

/// The reasons sent to an app that was stopped, and to one whose session has ended. The SDK matches
/// these words, so no other reason may contain them.
pub(crate) const STOPPED: &str = "App stopped";
pub(crate) const SESSION_ENDED: &str = "User session ended";

/// Returns whether a close reason contains words after which the SDK does not reconnect.
pub fn is_reserved_reason(reason: &str) -> bool {
    reason.contains(STOPPED) || reason.contains(SESSION_ENDED)
}

/// How long an app whose server has agreed may take to connect, if lost apps have no grace.
pub(super) const CONNECT_TIMEOUT: Micros = Micros::from_secs(15);

/// An app that was removed from its session.
struct RemovedConn {
    /// The app's connection, if it had one.
    conn: Option<ConnId>,
    /// Its pulse session, if it had one.
    pulse: Option<PulseKey>,
}

impl Relay {
    /// Starts an app at its user's request.
    pub(super) fn start_app(&mut self, io: &mut Io<'_>, user: &str, package: &str) {
        let refused = |relay: &mut Self, io: &mut Io<'_>, why: &str| {
            let news = protocol::app_notice("app_stopped", package, Some(why));
            relay.send_to_glasses(io, user, news);
        };
        if let Some(left) = self.start_limiter.take_token(user, io.now()) {
            return refused(self, io, &rate_error(left));
        }
        if !self.credentials.has_app(package) {
            return refused(self, io, "this app is not in APPS_FILE");
        }
        let identity = app_identity(user, package);
        if self.blocks.remaining(&identity, io.now()).is_some() {
            return refused(self, io, "blocked by the operator");
        }
        let (started, most) = (self.offline_apps.never_connected(), self.absent_max as u64);
        let session = self.sessions.of(user);
        let state = match session.app(package).map(AppSlot::state) {
            Some(state) => Some(state),
            None if session.apps.len() >= SESSION_APPS_MAX => {
                return refused(
                    self,
                    io,
                    "this session already has 1000 apps, the most that are allowed",
                );
            }
            // Three quarters of the slots without a connection are for apps that never connected;
            // the rest is for those that did.
            None if started >= most - most / 4 => {
                return refused(self, io, "too many apps are being started: try again later");
            }
            None => None,
        };
        match state {
            Some(AppState::Running) => self.notify_started(io, &identity, package),
            // A lost app may reconnect, and is asked if it does not: its kept frames stay.
            Some(AppState::Asked { .. } | AppState::Expected | AppState::Lost) => {}
            None | Some(AppState::Dormant) => {
                let (mut counts, sessions) = self.slot_counts();
                sessions.start_app(io, &mut counts, (user, package));
                self.persist_running(io, &identity);
                self.ask_server(io, &identity, package, false);
            }
        }
    }

    /// Stops an app at its user's request.
    pub(super) fn stop_app_for_user(&mut self, io: &mut Io<'_>, user: &str, package: &str) {
        if let Some(left) = self.start_limiter.take_token(user, io.now()) {
            let error = protocol::glasses_error("TOO_OFTEN", &rate_error(left));
            return self.send_to_glasses(io, user, error);
        }
        if !self.stop_app(
            io,
            user,
            package,
            causes::APP_STOPPED,
            StopReason::UserDisabled,
        ) {
            let news = protocol::app_notice("app_stopped", package, None);
            self.send_to_glasses(io, user, news);
        }
    }

    /// Stops an app for good: tells the app and its server, and does not ask it back. Returns
    /// whether there was one.
    pub(crate) fn stop_app(
        &mut self,
        io: &mut Io<'_>,
        user: &str,
        package: &str,
        cause: Cause,
        reason: StopReason,
    ) -> bool {
        let Some(app) = self.detach_app(io, user, package) else {
            return false;
        };
        if io.is_draining() {
            // Removing an app from its session does not write this to the state file while the
            // gateway drains.
            let (user, package) = (user.into(), package.into());
            self.persist_user_choice(io, StateJob::Forget { user, package });
        }
        let stopped = protocol::app_stopped(reason.name());
        if let Some(key) = app.pulse {
            let (code, reason) = (1000, STOPPED);
            let end = PeerEnd {
                cause,
                code,
                reason,
            };
            self.end_for_good(io, key, stopped, end);
        } else if let Some(conn) = app.conn {
            self.answer(io, conn, stopped);
            io.close_for(conn, cause, 1000, STOPPED);
        }
        self.send_stop(user, package, reason);
        self.notify_stopped(io, user, package, Some(reason.name()));
        self.sessions.tidy(user);
        true
    }

    /// Removes an app from its session, and cancels everything that waits for the app.
    fn detach_app(&mut self, io: &mut Io<'_>, user: &str, package: &str) -> Option<RemovedConn> {
        let (mut counts, sessions) = self.slot_counts();
        let removed = sessions.remove_app(io, &mut counts, (user, package))?;
        let removed = self.clean_up(io, removed);
        let (user, package) = (user.into(), package.into());
        self.persist_change(io, StateJob::Forget { user, package });
        Some(removed)
    }

    /// Cleans up after an app that was removed from its session: releases what was kept for it, and
    /// cancels everything that waits for it.
    fn clean_up(&mut self, io: &mut Io<'_>, removed: RemovedApp) -> RemovedConn {
        let RemovedApp {
            conn,
            deadline,
            pending_request,
            mut content,
        } = removed;
        let pulse = content.backlog.pulse();
        let (mut delivery, _) = self.delivery();
        delivery.unbind(io, &mut content.backlog);
        delivery.discard(io, content);
        if let Some(deadline) = deadline {
            self.grace_queue.cancel(deadline);
        }
        if let Some(number) = pending_request {
            self.cancel_start(number);
        }
        RemovedConn { conn, pulse }
    }

    /// Removes an app from its session, and tells the glasses why.
    pub(super) fn remove_app(&mut self, io: &mut Io<'_>, user: &str, package: &str, why: &str) {
        let removed = self.detach_app(io, user, package);
        self.drop_pulse(io, removed.and_then(|removed| removed.pulse));
        self.notify_stopped(io, user, package, Some(why));
        self.sessions.tidy(user);
    }

    /// Ends a session whose glasses did not come back.
    pub(super) fn end_session(&mut self, io: &mut Io<'_>, user: &str) {
        let Some(mut session) = self.sessions.remove(user) else {
            return;
        };
        if !session.apps.is_empty() {
            self.persist_change(io, StateJob::ForgetUser { user: user.into() });
        }
        if log::log_enabled!(log::Level::Debug) {
            let user = LogValue(user);
            log::debug!("session ended user={user}");
        }
        session.fan_outs.mark_orphaned(io, None);
        // They are popped from the end.
        session.apps.reverse();
        let ended = EndedSession {
            apps: session.apps,
            fan_outs: session.fan_outs,
        };
        self.start_task(io, RelayTask::EndSession(user.into(), ended));
    }

    /// Tells an app that its session has ended.
    pub(super) fn end_app(&mut self, io: &mut Io<'_>, user: &str, app: AppSlot) {
        let package = app.package.clone();
        let removed = Sessions::end_app(io, &mut self.slot_counts().0, user, app);
        let RemovedConn { conn, pulse } = self.clean_up(io, removed);
        // The connection may have been lost in the meantime.
        let conn = conn.filter(|conn| io.view(*conn).is_some());
        if let Some(key) = pulse.filter(|_| !io.is_draining()) {
            let (cause, code, reason) = (causes::SESSION_ENDED, 1000, SESSION_ENDED);
            let end = PeerEnd {
                cause,
                code,
                reason,
            };
            self.end_for_good(io, key, protocol::app_stopped("session_ended"), end);
            if conn.is_some() {
                return;
            }
        }
        match conn {
            // The app moves to the next process, with its glasses.
            Some(conn) if io.is_draining() => {
                self.say_bye(io, conn, "restart");
                self.drop_pulse(io, pulse);
                let code = Cause::DRAINING.close_code();
                io.close_for(conn, Cause::DRAINING, code, "service restart");
            }
            None if io.is_draining() => self.drop_pulse(io, pulse),
            Some(conn) => {
                self.answer(io, conn, protocol::app_stopped("session_ended"));
                io.close_for(conn, causes::SESSION_ENDED, 1000, SESSION_ENDED);
            }
            // A newer session of the user already has the app.
            None if self.sessions.app_mut(user, &package).is_some() => {}
            // An absent app is told by a webhook only.
            None => self.send_stop(user, &package, StopReason::SystemStop),
        }
    }

    /// Asks the server of a lost app for a new session, once the glasses are connected.
    pub(super) fn revive(&mut self, io: &mut Io<'_>, identity: &Identity, package: &str) {
        let user = &identity.user;
        if io.is_draining() {
            // The app moves to the next process and runs there; its glasses must not hear that it
            // stopped.
            let removed = self.detach_app(io, user, package);
            self.drop_pulse(io, removed.and_then(|removed| removed.pulse));
            return self.sessions.tidy(user);
        }
        let wanted = self.credentials.webhook_url(package).is_some();
        let glasses = self.sessions.get(user).map(Session::glasses);
        let Some(glasses) = glasses.filter(|glasses| glasses.is_occupied() && wanted) else {
            return self.remove_app(io, user, package, "connection lost");
        };
        if self.offline_apps.all() - self.stats.absent[usize::from(APP.0)] > self.absent_max as u64
        {
            return self.remove_app(io, user, package, "too many apps are being started");
        }
        let news = protocol::app_state_change(package, "resurrecting");
        self.send_to_glasses(io, user, news);
        if glasses.conn().is_some() {
            self.ask_server(io, identity, package, true);
        }
    }

    pub(super) fn notify_started(&mut self, io: &mut Io<'_>, identity: &Identity, package: &str) {
        let user = &identity.user;
        let started = protocol::app_notice("app_started", package, None);
        self.send_to_glasses(io, user, started);
        self.send_to_glasses(io, user, protocol::app_state_change(package, "running"));
    }

    pub(super) fn notify_stopped(
        &mut self,
        io: &mut Io<'_>,
        user: &str,
        package: &str,
        why: Option<&str>,
    ) {
        let stopped = protocol::app_notice("app_stopped", package, why);
        self.send_to_glasses(io, user, stopped);
        self.send_to_glasses(io, user, protocol::app_state_change(package, "stopped"));
    }
}

/// The error text for glasses that start or stop apps too often.
fn rate_error(left: Micros) -> String {
    let seconds = retry_after_secs(left);
    format!("apps are started and stopped too often: try again in {seconds} s")
}

pub(super) fn app_identity(user: &str, package: &str) -> Identity {
    PeerRole::App(package).identity(user)
}
