//! The walk over all apps after a reload: stops apps that were removed, and asks again at changed
//! webhook URLs.

use super::app_lifecycle::app_identity;
use super::causes::APP_STOPPED;
use super::jobs::StopReason;
use super::relay::Relay;
use super::session::{AppState, Session};
use super::tables::ScanCursor;
use crate::engine::Io;
use crate::query::{Progress, SliceCost};

/// CPU time to advance to the next session, in ns.
const SESSION_NS: u32 = 150;

/// CPU time to look an app up in the lists, in ns.
const APP_NS: u32 = 150;

/// CPU time to stop an app or to ask its server (frames, jobs, log), in ns.
const ACT_NS: u32 = 5_000;

/// Additional CPU time for each app of the session, because its list is searched, in ns.
const BESIDE_NS: u32 = 50;

/// An app for which the walk over all apps must do something.
struct ScanMatch {
    user: Box<str>,
    package: Box<str>,
    action: ScanAction,
}

enum ScanAction {
    /// Stop the app: it is no longer in the list of apps.
    Stop,
    /// Ask the app's server again, because it was asked at a URL that is no longer valid.
    AskAgain { number: u64, revival: bool },
}

impl Relay {
    /// Runs one slice of the walk over all apps that follows a reload.
    pub(crate) fn run_reload_scan(&mut self, io: &mut Io<'_>) -> Progress {
        let mut slice_cost = SliceCost::default();
        let (found, at) = self.scan_slice(&mut slice_cost);
        slice_cost.spend(io);
        for ScanMatch {
            user,
            package,
            action,
        } in found
        {
            match action {
                // The operator removed its key, so it is stopped at once.
                ScanAction::Stop => {
                    let (cause, why) = (APP_STOPPED, StopReason::SystemStop);
                    self.reload_scan.stopped +=
                        usize::from(self.stop_app(io, &user, &package, cause, why));
                }
                // The old URL may never answer.
                ScanAction::AskAgain { number, revival } => {
                    self.cancel_start(number);
                    self.ask_server(io, &app_identity(&user, &package), &package, revival);
                }
            }
        }
        self.reload_scan.at = at;
        if self.reload_scan.at.is_some() {
            return Progress::More;
        }
        let stopped = std::mem::take(&mut self.reload_scan).stopped;
        if stopped > 0 {
            log::warn!("reload apps_stopped={stopped} reason=\"no longer in APPS_FILE\"");
        }
        Progress::Done
    }

    /// Checks the apps of one slice. Returns those for which something must be done, and where to
    /// continue.
    fn scan_slice(&self, slice_cost: &mut SliceCost) -> (Vec<ScanMatch>, Option<ScanCursor>) {
        let mut found = Vec::new();
        let begun = self.reload_scan.at.as_ref();
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
                if let Some(action) = self.scan_action(session, nth) {
                    slice_cost.add(act);
                    found.push(ScanMatch {
                        user: user.into(),
                        package: session.apps[nth].package.clone(),
                        action,
                    });
                }
                nth += 1;
            }
            if nth < session.apps.len() || slice_cost.is_exceeded_by(SESSION_NS) {
                let last = nth
                    .checked_sub(1)
                    .map(|last| session.apps[last].package.clone());
                let user = user.into();
                return (found, Some(ScanCursor { user, after: last }));
            }
        }
        (found, None)
    }

    /// Returns what to do about an app of a session, if anything.
    fn scan_action(&self, session: &Session, nth: usize) -> Option<ScanAction> {
        let app = session.apps.get(nth)?;
        if !self.credentials.has_app(&app.package) {
            return Some(ScanAction::Stop);
        }
        let AppState::Asked { number, revival } = app.state() else {
            return None;
        };
        let mut lists = self.reload_scan.replaced.iter();
        let (list, _) = lists.find(|(_, last)| number <= *last)?;
        let moved = list.webhook_url(&app.package) != self.credentials.webhook_url(&app.package);
        moved.then_some(ScanAction::AskAgain { number, revival })
    }

    /// Returns the webhook URL for stopping an app: the current one, or the last one if the app is
    /// no longer known.
    pub(super) fn last_webhook(&self, package: &str) -> Option<&str> {
        if self.credentials.has_app(package) {
            return self.credentials.webhook_url(package);
        }
        let mut lists = self.reload_scan.replaced.iter().rev();
        let (list, _) = lists.find(|(list, _)| list.has_app(package))?;
        list.webhook_url(package)
    }
}
