//! Asking the servers of apps for sessions, and handling the outcome.

use super::app_lifecycle::CONNECT_TIMEOUT;
use super::jobs::{RetryPolicy, StartOutcome, StateJob, StopReason, WebhookJob};
use super::relay::Relay;
use super::session::{Action, AppEvent};
use super::slot_changes::LogName;
use crate::base::time::Micros;
use crate::engine::Io;
use crate::host::Identity;
use crate::relay::role::PeerRole;

/// How long after the loss of an app, or the return of its glasses, the app's server is asked to
/// connect it again. The jobs thread adds a random part.
const AFTER: Micros = Micros::from_millis(100);

impl Relay {
    /// Asks an app's server, by a webhook, to connect the app to a session. Without a webhook the
    /// app is only expected to connect.
    pub(super) fn ask_server(
        &mut self,
        io: &mut Io<'_>,
        identity: &Identity,
        package: &str,
        revival: bool,
    ) {
        let Some(url) = self.credentials.webhook_url(package).map(Box::from) else {
            let (now, deadline) = (
                io.now(),
                self.grace_queue
                    .new_deadline(io.now() + self.connect_timeout()),
            );
            let event = AppEvent::Expected { now, deadline };
            let actions = self.app_on(io, &identity.user, package, event);
            return self.run_actions(io, identity, actions);
        };
        self.last_start += 1;
        let number = self.last_start;
        let (retry, after) = if revival {
            self.stats.revivals += 1;
            (RetryPolicy::UntilCancelled, AFTER)
        } else {
            self.stats.starts += 1;
            (RetryPolicy::TwoAttempts, Micros::ZERO)
        };
        log::debug!(
            "webhook ordered {} number={number} revival={revival}",
            LogName(identity)
        );
        let event = AppEvent::Asked { number, revival };
        let actions = self.app_on(io, &identity.user, package, event);
        self.run_actions(io, identity, actions);
        self.starts_under_way.insert(number, identity.clone());
        let job = WebhookJob::Start {
            number,
            user: identity.user.clone(),
            package: package.into(),
            url,
            retry,
            after,
        };
        if !self.jobs.push(job) {
            self.start_done(
                io,
                number,
                &StartOutcome::Failed("the queue of webhooks is full".into()),
            );
        }
    }

    fn connect_timeout(&self) -> Micros {
        match self.settings.app_grace {
            Micros::ZERO => CONNECT_TIMEOUT,
            grace => grace,
        }
    }

    /// Handles the outcome of asking an app's server.
    pub(crate) fn start_done(&mut self, io: &mut Io<'_>, number: u64, outcome: &StartOutcome) {
        let Some(identity) = self.starts_under_way.get(&number).cloned() else {
            return;
        };
        let PeerRole::App(package) = PeerRole::of(&identity) else {
            return;
        };
        let now = io.now();
        let (event, why) = match outcome {
            StartOutcome::Again { after } => (
                AppEvent::Postponed {
                    until: now + *after,
                },
                "",
            ),
            StartOutcome::Answered => {
                let deadline = self.grace_queue.new_deadline(now + self.connect_timeout());
                (
                    AppEvent::Answered {
                        number,
                        now,
                        deadline,
                    },
                    "",
                )
            }
            StartOutcome::Failed(why) => {
                let until = now + CONNECT_TIMEOUT;
                (AppEvent::Failed { number, until }, &**why)
            }
            StartOutcome::Cancelled => (AppEvent::Cancelled { number }, ""),
        };
        if !matches!(event, AppEvent::Postponed { .. }) {
            self.starts_under_way.remove(&number);
        }
        for action in self.app_on(io, &identity.user, package, event) {
            match action {
                Action::Remove(_) => self.remove_app(io, &identity.user, package, why),
                other => self.run_actions(io, &identity, [other]),
            }
        }
    }

    /// Cancels the request to an app's server, because the app connected before its server
    /// answered. The outcome shows whether that connection is the one that was asked for.
    pub(super) fn cancel_answered(&mut self, number: u64) {
        self.jobs.push(WebhookJob::Cancel { number });
    }

    /// Cancels a start, and ignores its outcome.
    pub(super) fn cancel_start(&mut self, number: u64) {
        if self.starts_under_way.remove(&number).is_some() {
            self.jobs.push(WebhookJob::Cancel { number });
        }
    }

    pub(super) fn send_stop(&mut self, user: &str, package: &str, reason: StopReason) {
        let Some(url) = self.last_webhook(package).map(Box::from) else {
            return;
        };
        self.stats.stops += 1;
        self.jobs.push(WebhookJob::Stop {
            user: user.into(),
            package: package.into(),
            url,
            reason,
        });
    }

    /// Writes to the state file that this app runs, so that it is started again after a restart of
    /// the gateway.
    pub(super) fn persist_running(&mut self, io: &Io<'_>, identity: &Identity) {
        if let PeerRole::App(package) = PeerRole::of(identity)
            && !self.credentials.is_open()
        {
            let (user, package) = (identity.user.clone(), package.into());
            self.persist_user_choice(io, StateJob::Remember { user, package });
        }
    }

    /// Writes a change of an app to the state file, unless the gateway drains: then the next
    /// gateway process owns the file.
    pub(super) fn persist_change(&mut self, io: &Io<'_>, job: StateJob) {
        if !io.is_draining() {
            // A lost job is counted and logged.
            self.jobs.push(job);
        }
    }

    /// Writes to the state file that a user started or stopped an app. This also happens while the
    /// gateway drains, unless a successor that runs beside it owns the file.
    pub(super) fn persist_user_choice(&mut self, io: &Io<'_>, job: StateJob) {
        if !io.is_draining() || self.settings.overlap == Micros::ZERO {
            self.jobs.push(job);
        }
    }
}
