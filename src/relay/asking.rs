//! Asking the servers of apps for sessions, and handling the outcome.

use super::apps::ARRIVAL;
use super::errands::{Outcome, Patience, StateErrand, StopReason, WebhookErrand};
use super::places::LogName;
use super::relay::Relay;
use super::session::{Action, AppEvent};
use crate::base::time::Micros;
use crate::engine::Io;
use crate::host::Identity;
use crate::relay::role::Role;

/// How long after the loss of an app, or the return of its glasses, the app's server is asked to
/// connect it again. The errands thread adds a random part.
const AFTER: Micros = Micros::from_millis(100);

impl Relay {
    /// Asks an app's server, by a webhook, to connect the app to a session. Without a webhook the
    /// app is only expected to connect.
    pub(super) fn ask(
        &mut self,
        io: &mut Io<'_>,
        identity: &Identity,
        package: &str,
        revival: bool,
    ) {
        let Some(url) = self.credentials.webhook(package).map(Box::from) else {
            let (now, due) = (io.now(), self.graces.due(io.now() + self.arrival()));
            let event = AppEvent::Expected { now, due };
            let actions = self.app_on(io, &identity.user, package, event);
            return self.carry_out(io, identity, actions);
        };
        self.errand += 1;
        let number = self.errand;
        let (patience, after) = if revival {
            self.stats.revivals += 1;
            (Patience::Persistent, AFTER)
        } else {
            self.stats.starts += 1;
            (Patience::Once, Micros::ZERO)
        };
        log::debug!(
            "webhook ordered {} number={number} revival={revival}",
            LogName(identity)
        );
        let event = AppEvent::Asked { number, revival };
        let actions = self.app_on(io, &identity.user, package, event);
        self.carry_out(io, identity, actions);
        self.asked.insert(number, identity.clone());
        let errand = WebhookErrand::Start {
            number,
            user: identity.user.clone(),
            package: package.into(),
            url,
            patience,
            after,
        };
        if !self.errands.push(errand) {
            self.errand_done(
                io,
                number,
                &Outcome::Failed("the queue of webhooks is full".into()),
            );
        }
    }

    fn arrival(&self) -> Micros {
        match self.settings.app_grace {
            Micros::ZERO => ARRIVAL,
            grace => grace,
        }
    }

    /// Handles the outcome of asking an app's server.
    pub(crate) fn errand_done(&mut self, io: &mut Io<'_>, number: u64, outcome: &Outcome) {
        let Some(identity) = self.asked.get(&number).cloned() else {
            return;
        };
        let Role::App(package) = Role::of(&identity) else {
            return;
        };
        let now = io.now();
        let (event, why) = match outcome {
            Outcome::Again { after } => (
                AppEvent::Postponed {
                    until: now + *after,
                },
                "",
            ),
            Outcome::Answered => {
                let due = self.graces.due(now + self.arrival());
                (AppEvent::Answered { number, now, due }, "")
            }
            Outcome::Failed(why) => {
                let until = now + ARRIVAL;
                (AppEvent::Failed { number, until }, &**why)
            }
            Outcome::Cancelled => (AppEvent::Cancelled { number }, ""),
        };
        if !matches!(event, AppEvent::Postponed { .. }) {
            self.asked.remove(&number);
        }
        for action in self.app_on(io, &identity.user, package, event) {
            match action {
                Action::Remove(_) => self.remove_app(io, &identity.user, package, why),
                other => self.carry_out(io, &identity, [other]),
            }
        }
    }

    /// Cancels the request to an app's server, because the app connected before its server
    /// answered. The outcome shows whether that connection is the one that was asked for.
    pub(super) fn came_early(&mut self, number: u64) {
        self.errands.push(WebhookErrand::Cancel { number });
    }

    /// Cancels an errand, and ignores its outcome.
    pub(super) fn forget_errand(&mut self, number: u64) {
        if self.asked.remove(&number).is_some() {
            self.errands.push(WebhookErrand::Cancel { number });
        }
    }

    pub(super) fn order_stop(&mut self, user: &str, package: &str, reason: StopReason) {
        let Some(url) = self.last_webhook(package).map(Box::from) else {
            return;
        };
        self.stats.stops += 1;
        self.errands.push(WebhookErrand::Stop {
            user: user.into(),
            package: package.into(),
            url,
            reason,
        });
    }

    /// Writes to the state file that this app runs, so that it is started again after a restart of
    /// the gateway.
    pub(super) fn remember(&mut self, io: &Io<'_>, identity: &Identity) {
        if let Role::App(package) = Role::of(identity)
            && !self.credentials.is_open()
        {
            let (user, package) = (identity.user.clone(), package.into());
            self.note_wish(io, StateErrand::Remember { user, package });
        }
    }

    /// Writes a change of an app to the state file, unless the gateway drains: then the next
    /// gateway process owns the file.
    pub(super) fn note(&mut self, io: &Io<'_>, errand: StateErrand) {
        if !io.is_draining() {
            // A lost errand is counted and logged.
            self.errands.push(errand);
        }
    }

    /// Writes to the state file that a user started or stopped an app. This also happens while the
    /// gateway drains, unless a successor that runs beside it owns the file.
    pub(super) fn note_wish(&mut self, io: &Io<'_>, errand: StateErrand) {
        if !io.is_draining() || self.settings.overlap == Micros::ZERO {
            self.errands.push(errand);
        }
    }
}
