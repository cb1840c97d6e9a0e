//! The walk over all apps after a reload: stops apps that were removed, and asks again at changed
//! webhook URLs.

use super::apps::app_identity;
use super::causes::APP_STOPPED;
use super::errands::StopReason;
use super::relay::Relay;
use super::session::{AppState, Session};
use super::tables::Spot;
use crate::engine::Io;
use crate::query::{Progress, SliceCost};

/// CPU time to advance to the next session, in ns.
const SESSION_NS: u32 = 150;

/// CPU time to look an app up in the lists, in ns.
const APP_NS: u32 = 150;

/// CPU time to stop an app or to ask its server (frames, errands, log), in ns.
const ACT_NS: u32 = 5_000;

/// Additional CPU time for each app of the session, because its list is searched, in ns.
const BESIDE_NS: u32 = 50;

/// An app for which the walk over all apps must do something.
struct Found {
    user: Box<str>,
    package: Box<str>,
    what: Deed,
}

enum Deed {
    /// Stop the app: it is no longer in the list of apps.
    Stop,
    /// Ask the app's server again, because it was asked at a URL that is no longer valid.
    AskAnew { number: u64, revival: bool },
}

impl Relay {
    /// Runs one slice of the walk over all apps that follows a reload.
    pub(crate) fn sweep_apps(&mut self, io: &mut Io<'_>) -> Progress {
        let mut slice_cost = SliceCost::default();
        let (found, at) = self.look_at_apps(&mut slice_cost);
        slice_cost.spend(io);
        for Found {
            user,
            package,
            what,
        } in found
        {
            match what {
                // The operator removed its key, so it is stopped at once.
                Deed::Stop => {
                    let (cause, why) = (APP_STOPPED, StopReason::SystemStop);
                    self.sweep.stopped +=
                        usize::from(self.stop_app(io, &user, &package, cause, why));
                }
                // The old URL may never answer.
                Deed::AskAnew { number, revival } => {
                    self.forget_errand(number);
                    self.ask(io, &app_identity(&user, &package), &package, revival);
                }
            }
        }
        self.sweep.at = at;
        if self.sweep.at.is_some() {
            return Progress::More;
        }
        let stopped = std::mem::take(&mut self.sweep).stopped;
        if stopped > 0 {
            log::warn!("reload apps_stopped={stopped} reason=\"no longer in APPS_FILE\"");
        }
        Progress::Done
    }

    /// Checks the apps of one slice. Returns those for which something must be done, and where to
    /// continue.
    fn look_at_apps(&self, slice_cost: &mut SliceCost) -> (Vec<Found>, Option<Spot>) {
        let mut found = Vec::new();
        let begun = self.sweep.at.as_ref();
        let rest = begun.and_then(|at| {
            let session = self.sessions.get(&at.user)?;
            let after = at.after.as_ref();
            let from = session
                .apps
                .partition_point(|app| Some(&app.package) <= after);
            Some((&*at.user, session, from))
        });
        let others = self.sessions.after(begun.map(|at| &*at.user));
        let others = others.map(|(user, session)| (user, session, 0));
        for (user, session, from) in rest.into_iter().chain(others) {
            let mut nth = from;
            let act = ACT_NS + BESIDE_NS * session.apps.len() as u32;
            slice_cost.add(SESSION_NS);
            while nth < session.apps.len() && !slice_cost.is_exceeded_by(APP_NS + act) {
                slice_cost.add(APP_NS);
                if let Some(what) = self.deed(session, nth) {
                    slice_cost.add(act);
                    found.push(Found {
                        user: user.into(),
                        package: session.apps[nth].package.clone(),
                        what,
                    });
                }
                nth += 1;
            }
            if nth < session.apps.len() || slice_cost.is_exceeded_by(SESSION_NS) {
                let last = nth
                    .checked_sub(1)
                    .map(|last| session.apps[last].package.clone());
                let user = user.into();
                return (found, Some(Spot { user, after: last }));
            }
        }
        (found, None)
    }

    /// Returns what to do about an app of a session, if anything.
    fn deed(&self, session: &Session, nth: usize) -> Option<Deed> {
        let app = session.apps.get(nth)?;
        if !self.credentials.knows(&app.package) {
            return Some(Deed::Stop);
        }
        let AppState::Asked { number, revival } = app.state() else {
            return None;
        };
        let mut lists = self.sweep.replaced.iter();
        let (list, _) = lists.find(|(_, last)| number <= *last)?;
        let moved = list.webhook(&app.package) != self.credentials.webhook(&app.package);
        moved.then_some(Deed::AskAnew { number, revival })
    }

    /// Returns the webhook URL for stopping an app: the current one, or the last one if the app is
    /// no longer known.
    pub(super) fn last_webhook(&self, package: &str) -> Option<&str> {
        if self.credentials.knows(package) {
            return self.credentials.webhook(package);
        }
        let mut lists = self.sweep.replaced.iter().rev();
        let (list, _) = lists.find(|(list, _)| list.knows(package))?;
        list.webhook(package)
    }
}
