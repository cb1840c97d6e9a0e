//! The phases of an app in a session, as a pure state machine: each event leads to a phase, and to
//! actions to carry out.

use super::action::{Action, AttachInfo, Attached, RemoveReason, SlotContent};
use super::app_event::{AppEvent, ConnFlags};
use super::grace_queue::SlotDeadline;
use super::session_request::{AppHistory, RequestState, SessionRequest};
use super::slot::{AbsentSlot, AttachKind, HeldSlot, LastEnding};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::relay::subscriptions::Subscriptions;

/// The states of [`AppState`], each with its data.
#[derive(Debug)]
pub(super) enum AppPhase {
    Running(RunningApp),
    /// The app's connection was lost, and ended this way.
    Lost(AbsentApp, LastEnding),
    /// The app is expected to connect. It keeps its subscriptions if it left only to connect anew.
    Expected(AbsentApp, AppHistory),
    Asked(AskedApp),
    Dormant(SessionRequest, AppHistory),
}

#[derive(Debug)]
pub(super) struct RunningApp {
    pub(super) slot: HeldSlot,
    pub(super) subscriptions: Subscriptions,
    pub(super) request: SessionRequest,
    pub(super) flags: ConnFlags,
}

/// An app without a connection whose slot is kept.
#[derive(Debug)]
pub(super) struct AbsentApp {
    pub(super) slot: AbsentSlot,
    pub(super) subscriptions: Subscriptions,
    pub(super) request: SessionRequest,
}

/// An app whose server is being asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct AskedApp {
    pub(super) number: u64,
    pub(super) revival: bool,
    pub(super) not_before: Option<Micros>,
    pub(super) history: AppHistory,
}

impl AppPhase {
    /// Applies an event; returns the next phase and the actions to carry out.
    pub(super) fn on(self, event: AppEvent) -> (Self, Vec<Action>) {
        match event {
            AppEvent::Attached { conn, now, flags } => self.attach(conn, now, flags),
            AppEvent::Ended { conn, .. } => match self {
                AppPhase::Running(running)
                    if running.slot.conn() == conn || sabotage::on(Bug::LateEndTakes) =>
                {
                    running.end_conn(event)
                }
                other => other.unchanged(),
            },
            AppEvent::WaitOver { deadline, extended } => self.end_wait(deadline, extended),
            AppEvent::Asked { number, revival } => match self {
                AppPhase::Dormant(_, history) | AppPhase::Asked(AskedApp { history, .. }) => {
                    AppPhase::Asked(AskedApp {
                        number,
                        revival,
                        not_before: None,
                        history,
                    })
                    .unchanged()
                }
                other => other.unchanged(),
            },
            AppEvent::Expected { now, deadline } => match self {
                AppPhase::Dormant(request, history) => expect(now, deadline, request, history),
                AppPhase::Asked(asked) => expect(now, deadline, asked.pending(), asked.history),
                other => other.unchanged(),
            },
            AppEvent::Answered { number, .. }
            | AppEvent::Failed { number, .. }
            | AppEvent::Cancelled { number } => match self {
                AppPhase::Asked(asked)
                    if asked.number == number || sabotage::on(Bug::AnyAnswerCounts) =>
                {
                    asked.finish(event)
                }
                mut other => {
                    other.settle_request(event);
                    other.unchanged()
                }
            },
            AppEvent::Released { .. } | AppEvent::GlassesConnected | AppEvent::Postponed { .. } => {
                self.record(event)
            }
        }
    }

    /// Keeps the state, with no action.
    fn unchanged(self) -> (Self, Vec<Action>) {
        (self, Vec::new())
    }

    /// Handles an admitted connection of the app.
    fn attach(self, conn: ConnId, now: Micros, flags: ConnFlags) -> (Self, Vec<Action>) {
        let (mut answered_request, mut cancelled) = (None, None);
        // The glasses were never told that a lost app was away.
        let is_new_to_glasses = !matches!(self, AppPhase::Running(_) | AppPhase::Lost(..));
        let nothing = Subscriptions::default;
        let (slot, subscriptions, request, attached) = match self {
            AppPhase::Dormant(request, _) => {
                (HeldSlot::new(conn), nothing(), request, Attached::First)
            }
            AppPhase::Asked(asked) => {
                // Its arrival is the answer.
                answered_request = Some(asked.number);
                (
                    HeldSlot::new(conn),
                    nothing(),
                    asked.pending(),
                    Attached::First,
                )
            }
            AppPhase::Expected(absent, _) => {
                cancelled = Some(absent.slot.deadline());
                let slot = absent.slot.attach(conn, AttachKind::First);
                (slot, absent.subscriptions, absent.request, Attached::First)
            }
            AppPhase::Lost(absent, last_ending) => {
                let absence = now - absent.slot.since();
                cancelled = Some(absent.slot.deadline()).filter(|_| !sabotage::on(Bug::WaitGoesOn));
                let slot = absent.slot.attach(conn, AttachKind::Resume);
                let attached = Attached::Resumed {
                    absence,
                    last_ending,
                };
                (slot, absent.subscriptions, absent.request, attached)
            }
            AppPhase::Running(running) => {
                let (slot, older) = running.slot.take_over(conn);
                let attached = Attached::TookOver {
                    older,
                    released: running.flags.released,
                    has_newer_sdk: running.flags.has_newer_sdk,
                };
                (slot, running.subscriptions, running.request, attached)
            }
        };
        let info = AttachInfo {
            attached,
            answered_request,
            is_new_to_glasses,
        };
        let running = AppPhase::Running(RunningApp {
            slot,
            subscriptions,
            request,
            flags,
        });
        let cancelled = cancelled.map(Action::CancelWait);
        let actions = cancelled.into_iter().chain([Action::Attach(info)]);
        (running, actions.collect())
    }

    /// Handles the end of a wait for the app.
    fn end_wait(
        self,
        deadline: SlotDeadline,
        extended: Option<SlotDeadline>,
    ) -> (Self, Vec<Action>) {
        let content =
            |absent: AbsentApp| SlotContent::new(absent.slot.into_backlog(), absent.subscriptions);
        match (self, extended) {
            (AppPhase::Lost(absent, last_ending), Some(extended))
                if absent.slot.deadline() == deadline =>
            {
                let slot = absent.slot.extend(extended);
                let lost = AppPhase::Lost(AbsentApp { slot, ..absent }, last_ending);
                (lost, vec![Action::ExtendWait(extended)])
            }
            (AppPhase::Lost(absent, last_ending), None) if absent.slot.deadline() == deadline => {
                let dormant = AppPhase::Dormant(absent.request, AppHistory::Ran(0));
                let missed = Action::CountExpired(Some(last_ending));
                let discard = Action::Discard(content(absent));
                (dormant, vec![missed, discard, Action::Revive])
            }
            (AppPhase::Expected(absent, history), _) if absent.slot.deadline() == deadline => {
                let (history, last) = match history.count_miss() {
                    // It ran, made room for the connection that its server was asked for, and that
                    // connection was lost on its way.
                    Some(history) => (history, Action::Revive),
                    None => (history, Action::Remove(RemoveReason::NotConnected)),
                };
                let dormant = AppPhase::Dormant(absent.request, history);
                let discard = Action::Discard(content(absent));
                (dormant, vec![Action::CountExpired(None), discard, last])
            }
            (other, _) => other.unchanged(),
        }
    }

    /// Applies an event that changes no state but is recorded.
    fn record(mut self, event: AppEvent) -> (Self, Vec<Action>) {
        match (&mut self, event) {
            (AppPhase::Running(running), AppEvent::Released { conn }) => {
                running.flags.released |= running.slot.conn() == conn;
            }
            (AppPhase::Running(running), AppEvent::GlassesConnected) if running.flags.deferred => {
                running.flags.deferred = false;
                let acknowledge = Action::Acknowledge(running.slot.conn());
                return (self, vec![acknowledge]);
            }
            (AppPhase::Asked(asked), AppEvent::Postponed { until }) => {
                asked.not_before = Some(until);
            }
            (state, AppEvent::Postponed { until }) => {
                if let Some(request) = state.last_request() {
                    request.not_before = Some(until);
                }
            }
            _ => {}
        }
        self.unchanged()
    }

    /// Records the outcome of a request to the app's server that the app's state no longer depends
    /// on.
    fn settle_request(&mut self, event: AppEvent) {
        let (number, state) = match event {
            AppEvent::Failed { number, until } => (number, RequestState::FailedUntil(until)),
            AppEvent::Answered { number, .. } | AppEvent::Cancelled { number } => {
                (number, RequestState::Settled)
            }
            _ => return,
        };
        if let Some(request) = self.last_request() {
            request.settle(number, state);
        }
    }

    /// Returns the last request to the app's server; `None` while the app's state is that it is
    /// being asked.
    fn last_request(&mut self) -> Option<&mut SessionRequest> {
        match self {
            AppPhase::Running(running) => Some(&mut running.request),
            AppPhase::Lost(absent, _) | AppPhase::Expected(absent, _) => Some(&mut absent.request),
            AppPhase::Dormant(request, _) => Some(request),
            AppPhase::Asked(_) => None,
        }
    }
}

impl RunningApp {
    /// Handles the end of the app's connection.
    fn end_conn(self, event: AppEvent) -> (AppPhase, Vec<Action>) {
        let AppEvent::Ended {
            now,
            last_ending,
            wait,
            arrival,
            has_webhook,
            ..
        } = event
        else {
            return AppPhase::Running(self).unchanged();
        };
        let RunningApp {
            slot,
            subscriptions,
            request,
            flags,
        } = self;
        let absent = |slot: HeldSlot, subscriptions, deadline| AbsentApp {
            slot: slot.lose(now, deadline),
            subscriptions,
            request,
        };
        // Its SDK expects the acknowledgement on that connection only.
        let is_given_up = flags.deferred && has_webhook;
        let last = match wait.filter(|_| !is_given_up) {
            // It makes room for the connection that its server was asked for, which is on its way.
            _ if flags.released && request.is_awaited(now) => {
                let expected =
                    AppPhase::Expected(absent(slot, subscriptions, arrival), AppHistory::Ran(0));
                return (expected, vec![Action::StartWait(arrival)]);
            }
            _ if flags.released => Action::Remove(RemoveReason::Released),
            Some(deadline) => {
                let lost = AppPhase::Lost(absent(slot, subscriptions, deadline), last_ending);
                return (lost, vec![Action::StartWait(deadline)]);
            }
            None => Action::Revive,
        };
        let discard = Action::Discard(SlotContent::new(slot.into_backlog(), subscriptions));
        let dormant = AppPhase::Dormant(request, AppHistory::Ran(0));
        (dormant, vec![discard, last])
    }
}

impl AskedApp {
    fn pending(self) -> SessionRequest {
        SessionRequest::pending(self.number, self.not_before)
    }

    /// Handles the outcome of a request to the app's server.
    fn finish(self, event: AppEvent) -> (AppPhase, Vec<Action>) {
        let request = SessionRequest::settled(self.not_before);
        let replied = |answered| Action::CountAnswer { answered };
        match event {
            AppEvent::Answered { now, deadline, .. } => {
                let (expected, wait) = expect(now, deadline, request, self.history);
                let actions = [replied(true)].into_iter().chain(wait);
                (expected, actions.collect())
            }
            AppEvent::Failed { .. } => {
                let actions = [replied(false), Action::Remove(RemoveReason::NotAnswered)];
                (AppPhase::Dormant(request, self.history), actions.into())
            }
            // The app is still asked for: only the relay cancels requests, and it did not
            // cancel this one.
            _ => (AppPhase::Asked(self), vec![replied(false)]),
        }
    }
}

/// Begins to expect a connection of an app that has none.
fn expect(
    now: Micros,
    deadline: SlotDeadline,
    request: SessionRequest,
    history: AppHistory,
) -> (AppPhase, Vec<Action>) {
    let absent = AbsentApp {
        slot: AbsentSlot::new(now, deadline),
        subscriptions: Subscriptions::default(),
        request,
    };
    (
        AppPhase::Expected(absent, history),
        vec![Action::StartWait(deadline)],
    )
}
