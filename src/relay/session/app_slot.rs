//! An app of a session: its slot, with the phase that it is in.

use super::action::{Action, SlotContent, count_resumes};
use super::app_event::{AppEvent, AppState, RemovedApp, WakeAction};
use super::app_phase::{AppPhase, AskedApp, RunningApp};
use super::backlog::Backlog;
use super::session_request::{AppHistory, SessionRequest};
use super::slot::{Destination, SlotState, SlotView};
use super::slot_counts::CountFlags;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::relay::subscriptions::Subscriptions;

/// An app of a session.
#[derive(Debug)]
pub struct AppSlot {
    /// The app's package.
    pub package: Box<str>,
    state: AppPhase,
    /// How often the app came back after a loss, or replaced its own older connection.
    resumes: u32,
}

impl AppSlot {
    /// Returns the index of an app in a sorted list, or where it would be inserted.
    pub(in crate::relay) fn position(apps: &[Box<AppSlot>], package: &str) -> Result<usize, usize> {
        apps.binary_search_by(|app| (*app.package).cmp(package))
    }

    /// Makes an app that has never connected.
    pub(super) fn started(package: &str) -> Self {
        Self::dormant(package, AppHistory::NeverConnected)
    }

    /// Makes an app that ran before a restart. Its server is asked as often as that of a lost app.
    pub(super) fn restored(package: &str) -> Self {
        Self::dormant(package, AppHistory::Ran(0))
    }

    fn dormant(package: &str, history: AppHistory) -> Self {
        AppSlot {
            package: package.into(),
            state: AppPhase::Dormant(SessionRequest::default(), history),
            resumes: 0,
        }
    }

    /// Applies an event to the app's state. An event that does not concern the state changes
    /// nothing.
    pub(super) fn on(&mut self, event: AppEvent) -> Vec<Action> {
        let between = AppPhase::Dormant(SessionRequest::default(), AppHistory::NeverConnected);
        let (state, actions) = std::mem::replace(&mut self.state, between).on(event);
        self.state = state;
        self.resumes = self.resumes.saturating_add(count_resumes(&actions));
        actions
    }

    /// Returns what must be cleaned up for an app that was removed from its session.
    pub(super) fn end(self) -> RemovedApp {
        match self.state {
            AppPhase::Running(running) => RemovedApp {
                conn: Some(running.slot.conn()),
                deadline: None,
                pending_request: running.request.number(),
                content: SlotContent::new(running.slot.into_backlog(), running.subscriptions),
            },
            AppPhase::Lost(absent, _) | AppPhase::Expected(absent, _) => RemovedApp {
                conn: None,
                deadline: Some(absent.slot.deadline()),
                pending_request: absent.request.number(),
                content: SlotContent::new(absent.slot.into_backlog(), absent.subscriptions),
            },
            AppPhase::Asked(asked) => RemovedApp {
                pending_request: Some(asked.number),
                ..RemovedApp::default()
            },
            AppPhase::Dormant(request, _) => RemovedApp {
                pending_request: request.number(),
                ..RemovedApp::default()
            },
        }
    }

    /// Returns the app's state.
    pub fn state(&self) -> AppState {
        match &self.state {
            AppPhase::Running(_) => AppState::Running,
            AppPhase::Lost(..) => AppState::Lost,
            AppPhase::Asked(asked) => AppState::Asked {
                number: asked.number,
                revival: asked.revival,
            },
            AppPhase::Expected(..) => AppState::Expected,
            AppPhase::Dormant(..) => AppState::Dormant,
        }
    }

    /// Returns the state of the app's slot, and what is kept for the app.
    pub fn view(&self) -> SlotView {
        let state = match &self.state {
            AppPhase::Running(running) => running.slot.state(),
            AppPhase::Lost(absent, last_ending) => absent.slot.state(Some(*last_ending)),
            AppPhase::Expected(absent, _) => absent.slot.state(None),
            AppPhase::Asked(_) | AppPhase::Dormant(..) => SlotState::Empty,
        };
        SlotView::new(state, self.resumes, self.backlog())
    }

    /// Returns the app's current subscriptions; `None` if it must subscribe anew.
    pub fn subscriptions(&self) -> Option<&Subscriptions> {
        match &self.state {
            AppPhase::Running(running) => Some(&running.subscriptions),
            AppPhase::Lost(absent, _) | AppPhase::Expected(absent, _) => {
                Some(&absent.subscriptions)
            }
            AppPhase::Asked(_) | AppPhase::Dormant(..) => None,
        }
    }

    /// Returns whether the app receives this stream.
    pub(in crate::relay) fn wants(&self, stream: &str) -> bool {
        self.subscriptions().is_some_and(|set| set.wants(stream))
    }

    /// Returns the app's subscriptions if this connection is the app's.
    pub(in crate::relay) fn subscriptions_of(&mut self, id: ConnId) -> Option<&mut Subscriptions> {
        match &mut self.state {
            AppPhase::Running(running) if running.slot.conn() == id => {
                Some(&mut running.subscriptions)
            }
            _ => None,
        }
    }

    /// Returns the app's connection.
    pub(in crate::relay) fn conn(&self) -> Option<ConnId> {
        match &self.state {
            AppPhase::Running(running) => Some(running.slot.conn()),
            AppPhase::Lost(..)
            | AppPhase::Asked(_)
            | AppPhase::Expected(..)
            | AppPhase::Dormant(..) => None,
        }
    }

    /// Returns where frames for the app go: to its connection, into its kept frames, or nowhere.
    pub(in crate::relay) fn destination(&mut self) -> Destination<'_> {
        match &mut self.state {
            AppPhase::Running(running) => running.slot.destination(),
            AppPhase::Lost(absent, _) | AppPhase::Expected(absent, _) => absent.slot.destination(),
            AppPhase::Asked(_) | AppPhase::Dormant(..) => Destination::Empty,
        }
    }

    /// Returns what the app needs when the glasses connect.
    pub(in crate::relay) fn wake_action(&self) -> Option<WakeAction> {
        match &self.state {
            AppPhase::Running(running) if running.flags.deferred => Some(WakeAction::Acknowledge),
            AppPhase::Dormant(..) => Some(WakeAction::AskServer),
            AppPhase::Running(_)
            | AppPhase::Lost(..)
            | AppPhase::Asked(_)
            | AppPhase::Expected(..) => None,
        }
    }

    /// Returns whether a connection that introduces itself now belongs to a session that failed.
    /// With the newer SDK the app may still connect by itself until `after` has
    /// passed since its server could be asked again.
    pub(in crate::relay) fn is_orphan(
        &self,
        now: Micros,
        has_newer_sdk: bool,
        after: Micros,
    ) -> bool {
        match &self.state {
            AppPhase::Asked(asked) => asked.not_before.is_some_and(|at| now < at),
            AppPhase::Running(RunningApp { request, .. }) => {
                has_newer_sdk && request.not_before.is_some_and(|at| now < at + after)
            }
            AppPhase::Lost(..) | AppPhase::Expected(..) | AppPhase::Dormant(..) => false,
        }
    }

    /// Returns what the slot adds to the counts of slots.
    pub(super) fn count_flags(&self) -> CountFlags {
        let history = match &self.state {
            AppPhase::Running(_) | AppPhase::Lost(..) => None,
            AppPhase::Asked(AskedApp { history, .. })
            | AppPhase::Expected(_, history)
            | AppPhase::Dormant(_, history) => Some(*history),
        };
        CountFlags {
            is_absent: matches!(self.state, AppPhase::Lost(..) | AppPhase::Expected(..)),
            is_charged: self.conn().is_none(),
            is_never_connected: history == Some(AppHistory::NeverConnected),
        }
    }

    /// Returns the bytes of memory that are kept for the app.
    pub(super) fn allocated(&self) -> usize {
        let subscriptions = self.subscriptions().map_or(0, Subscriptions::allocated);
        self.backlog().map_or(0, Backlog::allocated) + subscriptions
    }

    fn backlog(&self) -> Option<&Backlog> {
        match &self.state {
            AppPhase::Running(running) => Some(running.slot.backlog()),
            AppPhase::Lost(absent, _) | AppPhase::Expected(absent, _) => {
                Some(absent.slot.backlog())
            }
            AppPhase::Asked(_) | AppPhase::Dormant(..) => None,
        }
    }
}
