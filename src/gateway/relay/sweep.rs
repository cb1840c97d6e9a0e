//! What a reload means to apps that are here: those that are not known any more are stopped, and servers that have moved are
//! asked at their new addresses. All sessions are walked, a slice at a time.

use super::Relay;
use super::apps::app_identity;
use super::session::{AppState, Session};
use crate::engine::Io;
use crate::gateway::Credentials;
use crate::gateway::causes::APP_STOPPED;
use crate::gateway::desk::{Effort, Progress};
use crate::gateway::errands::StopReason;

/// Lists of apps that are kept while a walk goes on. With more reloads than this during one walk the oldest list is forgotten:
/// apps that it alone has are stopped, but their servers are not told.
const REPLACED_MAX: usize = 8;

/// What it costs to go to the next session.
const SESSION_NS: u32 = 150;

/// What it costs to look an app up in the lists.
const APP_NS: u32 = 150;

/// What it costs to stop an app or to ask its server: frames, errands, log ...
const ACT_NS: u32 = 5_000;

/// ... and for each app of the session, which is a list.
const BESIDE_NS: u32 = 50;

/// The walk over all sessions that follows a reload.
#[derive(Default)]
pub(super) struct Sweep {
    /// Lists that held since the last walk was through, oldest first, each with the last errand of its time.
    replaced: Vec<(Credentials, u64)>,
    /// Where the walk goes on; `None`: at the first session.
    at: Option<Spot>,
    stopped: usize,
}

/// A place in the walk. Apps stand in the order of their packages, so a name is a place that stays while apps come and go.
struct Spot {
    user: Box<str>,
    /// The last app of this session that was looked at; `None`: none was.
    after: Option<Box<str>>,
}

/// What has to be done about an app.
struct Found {
    user: Box<str>,
    package: Box<str>,
    what: Deed,
}

enum Deed {
    /// It is on the list no more.
    Stop,
    /// It was asked at another address.
    AskAnew { number: u64, revival: bool },
}

impl Sweep {
    /// A list was replaced: all sessions are looked at, from the first one on, whether a walk was going on or not. Returns
    /// whether none was.
    pub(super) fn begin(&mut self, older: Credentials, last_errand: u64) -> bool {
        let begins = self.replaced.is_empty();
        if self.replaced.len() == REPLACED_MAX {
            self.replaced.remove(0);
        }
        self.replaced.push((older, last_errand));
        self.at = None;
        begins
    }
}

impl Relay {
    /// Goes on with what a reload means to apps, for one slice.
    pub(in crate::gateway) fn sweep_apps(&mut self, io: &mut Io<'_>) -> Progress {
        let mut effort = Effort::default();
        let (found, at) = self.look_at_apps(&mut effort);
        effort.spend(io);
        for Found {
            user,
            package,
            what,
        } in found
        {
            match what {
                // The operator took its key away, so it is stopped at once.
                Deed::Stop => {
                    let (cause, why) = (APP_STOPPED, StopReason::SystemStop);
                    self.sweep.stopped +=
                        usize::from(self.stop_app(io, &user, &package, cause, why));
                }
                // The old address may never answer.
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
            log::warn!("reload apps_stopped={stopped} reason=\"not in APPS_FILE any more\"");
        }
        Progress::Done
    }

    /// Looks at the apps of one slice. Returns what has to be done about them, and where to go on.
    fn look_at_apps(&self, effort: &mut Effort) -> (Vec<Found>, Option<Spot>) {
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
            effort.add(SESSION_NS);
            while nth < session.apps.len() && !effort.is_too_much(APP_NS + act) {
                effort.add(APP_NS);
                if let Some(what) = self.deed(session, nth) {
                    effort.add(act);
                    found.push(Found {
                        user: user.into(),
                        package: session.apps[nth].package.clone(),
                        what,
                    });
                }
                nth += 1;
            }
            if nth < session.apps.len() || effort.is_too_much(SESSION_NS) {
                let last = nth
                    .checked_sub(1)
                    .map(|last| session.apps[last].package.clone());
                let user = user.into();
                return (found, Some(Spot { user, after: last }));
            }
        }
        (found, None)
    }

    /// What has to be done about an app of a session, if anything.
    fn deed(&self, session: &Session, nth: usize) -> Option<Deed> {
        let app = session.apps.get(nth)?;
        if !self.credentials.knows(&app.package) {
            return Some(Deed::Stop);
        }
        let AppState::Asked { number, revival } = app.state else {
            return None;
        };
        let mut lists = self.sweep.replaced.iter();
        let (list, _) = lists.find(|(_, last)| number <= *last)?;
        let moved = list.webhook(&app.package) != self.credentials.webhook(&app.package);
        moved.then_some(Deed::AskAnew { number, revival })
    }

    /// Where an app's server is told that it is stopped: where it is, or where it was when its app was still known.
    pub(super) fn last_webhook(&self, package: &str) -> Option<&str> {
        if self.credentials.knows(package) {
            return self.credentials.webhook(package);
        }
        let mut lists = self.sweep.replaced.iter().rev();
        let (list, _) = lists.find(|(list, _)| list.knows(package))?;
        list.webhook(package)
    }
}
