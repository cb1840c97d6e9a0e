//! An app of a session as a pure state machine: it returns the actions to carry out.

use super::action::{Action, Leavings, Taken, Welcome, Why, resumes};
use super::app_event::{AppEvent, AppState, Conduct, Estate, Wakes};
use super::census::Tally;
use super::graces::Due;
use super::kept::Kept;
use super::question::{Called, Past, Question};
use super::seat::{Addressee, Held, How, Parting, PlaceState, PlaceView, Wait};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::relay::subscriptions::Subscriptions;

/// An app of a session.
#[derive(Debug)]
pub struct App {
    /// The app's package.
    pub package: Box<str>,
    state: State,
    /// How often the app came back after a loss, or replaced its own older connection.
    resumes: u32,
}

/// The states of [`AppState`], each with its data.
#[derive(Debug)]
enum State {
    Running(Running),
    /// The app's connection was lost, and ended this way.
    Lost(Away, Parting),
    /// The app is expected to connect. It keeps its subscriptions if it left only to connect anew.
    Expected(Away, Past),
    Asked(Asked),
    Dormant(Question, Past),
}

#[derive(Debug)]
struct Running {
    held: Held,
    wants: Subscriptions,
    question: Question,
    conduct: Conduct,
}

/// An app without a connection whose place is kept.
#[derive(Debug)]
struct Away {
    wait: Wait,
    wants: Subscriptions,
    question: Question,
}

/// An app whose server is being asked.
#[derive(Debug, Clone, Copy)]
struct Asked {
    number: u64,
    revival: bool,
    not_before: Option<Micros>,
    past: Past,
}

impl App {
    /// Returns the index of an app in a sorted list, or where it would be inserted.
    pub(in crate::relay) fn position(apps: &[Box<App>], package: &str) -> Result<usize, usize> {
        apps.binary_search_by(|app| (*app.package).cmp(package))
    }

    /// Makes an app that has never connected.
    pub(super) fn started(package: &str) -> Self {
        Self::dormant(package, Past::Started)
    }

    /// Makes an app that ran before a restart. Its server is asked as often as that of a lost app.
    pub(super) fn restored(package: &str) -> Self {
        Self::dormant(package, Past::Ran(0))
    }

    fn dormant(package: &str, past: Past) -> Self {
        App {
            package: package.into(),
            state: State::Dormant(Question::default(), past),
            resumes: 0,
        }
    }

    /// Applies an event to the app's state. An event that does not concern the state changes
    /// nothing.
    pub(super) fn on(&mut self, event: AppEvent) -> Vec<Action> {
        let between = State::Dormant(Question::default(), Past::Started);
        let (state, actions) = std::mem::replace(&mut self.state, between).on(event);
        self.state = state;
        self.resumes = self.resumes.saturating_add(resumes(&actions));
        actions
    }

    /// Returns what must be cleaned up for an app that was removed from its session.
    pub(super) fn end(self) -> Estate {
        match self.state {
            State::Running(running) => Estate {
                conn: Some(running.held.conn()),
                due: None,
                question: running.question.number(),
                leavings: Leavings::new(running.held.left(), running.wants),
            },
            State::Lost(away, _) | State::Expected(away, _) => Estate {
                conn: None,
                due: Some(away.wait.due()),
                question: away.question.number(),
                leavings: Leavings::new(away.wait.over(), away.wants),
            },
            State::Asked(asked) => Estate {
                question: Some(asked.number),
                ..Estate::default()
            },
            State::Dormant(question, _) => Estate {
                question: question.number(),
                ..Estate::default()
            },
        }
    }

    /// Returns the app's state.
    pub fn state(&self) -> AppState {
        match &self.state {
            State::Running(_) => AppState::Running,
            State::Lost(..) => AppState::Lost,
            State::Asked(asked) => AppState::Asked {
                number: asked.number,
                revival: asked.revival,
            },
            State::Expected(..) => AppState::Expected,
            State::Dormant(..) => AppState::Dormant,
        }
    }

    /// Returns the state of the app's place, and what is kept for the app.
    pub fn place(&self) -> PlaceView {
        let state = match &self.state {
            State::Running(running) => running.held.state(),
            State::Lost(away, parting) => away.wait.state(Some(*parting)),
            State::Expected(away, _) => away.wait.state(None),
            State::Asked(_) | State::Dormant(..) => PlaceState::Empty,
        };
        PlaceView::new(state, self.resumes, self.kept())
    }

    /// Returns the app's current subscriptions; `None` if it must subscribe anew.
    pub fn subscriptions(&self) -> Option<&Subscriptions> {
        match &self.state {
            State::Running(running) => Some(&running.wants),
            State::Lost(away, _) | State::Expected(away, _) => Some(&away.wants),
            State::Asked(_) | State::Dormant(..) => None,
        }
    }

    /// Returns whether the app receives this stream.
    pub(in crate::relay) fn wants(&self, stream: &str) -> bool {
        self.subscriptions()
            .is_some_and(|wants| wants.wants(stream))
    }

    /// Returns the app's subscriptions if this connection is the app's.
    pub(in crate::relay) fn subscriptions_of(&mut self, id: ConnId) -> Option<&mut Subscriptions> {
        match &mut self.state {
            State::Running(running) if running.held.conn() == id => Some(&mut running.wants),
            _ => None,
        }
    }

    /// Returns the app's connection.
    pub(in crate::relay) fn conn(&self) -> Option<ConnId> {
        match &self.state {
            State::Running(running) => Some(running.held.conn()),
            State::Lost(..) | State::Asked(_) | State::Expected(..) | State::Dormant(..) => None,
        }
    }

    /// Returns where frames for the app go: to its connection, into its kept frames, or nowhere.
    pub(in crate::relay) fn addressee(&mut self) -> Addressee<'_> {
        match &mut self.state {
            State::Running(running) => running.held.addressee(),
            State::Lost(away, _) | State::Expected(away, _) => away.wait.addressee(),
            State::Asked(_) | State::Dormant(..) => Addressee::Missing,
        }
    }

    /// Returns what the app needs when the glasses connect.
    pub(in crate::relay) fn wakes(&self) -> Option<Wakes> {
        match &self.state {
            State::Running(running) if running.conduct.deferred => Some(Wakes::Acknowledged),
            State::Dormant(..) => Some(Wakes::Asked),
            State::Running(_) | State::Lost(..) | State::Asked(_) | State::Expected(..) => None,
        }
    }

    /// Returns whether a connection that introduces itself now belongs to a session that failed.
    /// With `insists` the app has the newer SDK: it may still connect by itself until `after` has
    /// passed since its server could be asked again.
    pub(in crate::relay) fn is_orphan(&self, now: Micros, insists: bool, after: Micros) -> bool {
        match &self.state {
            State::Asked(asked) => asked.not_before.is_some_and(|at| now < at),
            State::Running(Running { question, .. }) => {
                insists && question.not_before.is_some_and(|at| now < at + after)
            }
            State::Lost(..) | State::Expected(..) | State::Dormant(..) => false,
        }
    }

    /// Returns what the place adds to the counts of places.
    pub(super) fn tally(&self) -> Tally {
        let past = match &self.state {
            State::Running(_) | State::Lost(..) => None,
            State::Asked(Asked { past, .. })
            | State::Expected(_, past)
            | State::Dormant(_, past) => Some(*past),
        };
        Tally {
            is_absent: matches!(self.state, State::Lost(..) | State::Expected(..)),
            is_charged: self.conn().is_none(),
            is_started: past == Some(Past::Started),
        }
    }

    /// Returns the bytes of memory that are kept for the app.
    pub(super) fn allocated(&self) -> usize {
        let wants = self.subscriptions().map_or(0, Subscriptions::allocated);
        self.kept().map_or(0, Kept::allocated) + wants
    }

    fn kept(&self) -> Option<&Kept> {
        match &self.state {
            State::Running(running) => Some(running.held.kept()),
            State::Lost(away, _) | State::Expected(away, _) => Some(away.wait.kept()),
            State::Asked(_) | State::Dormant(..) => None,
        }
    }
}

impl State {
    fn on(self, event: AppEvent) -> (Self, Vec<Action>) {
        match event {
            AppEvent::Arrives { conn, now, conduct } => self.arrives(conn, now, conduct),
            AppEvent::Gone { conn, .. } => match self {
                State::Running(running)
                    if running.held.conn() == conn || sabotage::on(Bug::LateEndTakes) =>
                {
                    running.gone(event)
                }
                other => other.stays(),
            },
            AppEvent::Over { due, again } => self.over(due, again),
            AppEvent::Asked { number, revival } => match self {
                State::Dormant(_, past) | State::Asked(Asked { past, .. }) => State::Asked(Asked {
                    number,
                    revival,
                    not_before: None,
                    past,
                })
                .stays(),
                other => other.stays(),
            },
            AppEvent::Expected { now, due } => match self {
                State::Dormant(question, past) => expected(now, due, question, past),
                State::Asked(asked) => expected(now, due, asked.pending(), asked.past),
                other => other.stays(),
            },
            AppEvent::Answered { number, .. }
            | AppEvent::Failed { number, .. }
            | AppEvent::Cancelled { number } => match self {
                State::Asked(asked)
                    if asked.number == number || sabotage::on(Bug::AnyAnswerCounts) =>
                {
                    asked.has_outcome(event)
                }
                mut other => {
                    other.settle(event);
                    other.stays()
                }
            },
            AppEvent::Releases { .. } | AppEvent::GlassesAreHere | AppEvent::Postponed { .. } => {
                self.notes(event)
            }
        }
    }

    /// Keeps the state, with no action.
    fn stays(self) -> (Self, Vec<Action>) {
        (self, Vec::new())
    }

    /// Handles an admitted connection of the app.
    fn arrives(self, conn: ConnId, now: Micros, conduct: Conduct) -> (Self, Vec<Action>) {
        let (mut answers, mut cancelled) = (None, None);
        // The glasses were never told that a lost app was away.
        let is_news = !matches!(self, State::Running(_) | State::Lost(..));
        let nothing = Subscriptions::default;
        let (held, wants, question, taken) = match self {
            State::Dormant(question, _) => (Held::first(conn), nothing(), question, Taken::First),
            State::Asked(asked) => {
                // Its arrival is the answer.
                answers = Some(asked.number);
                (Held::first(conn), nothing(), asked.pending(), Taken::First)
            }
            State::Expected(away, _) => {
                cancelled = Some(away.wait.due());
                let held = away.wait.taken(conn, How::First);
                (held, away.wants, away.question, Taken::First)
            }
            State::Lost(away, parting) => {
                let absence = now - away.wait.since();
                cancelled = Some(away.wait.due()).filter(|_| !sabotage::on(Bug::WaitGoesOn));
                let held = away.wait.taken(conn, How::Resume);
                let taken = Taken::Resumed { absence, parting };
                (held, away.wants, away.question, taken)
            }
            State::Running(running) => {
                let (held, older) = running.held.taken_over(conn);
                let taken = Taken::Over {
                    older,
                    released: running.conduct.released,
                    insists: running.conduct.insists,
                };
                (held, running.wants, running.question, taken)
            }
        };
        let welcome = Welcome {
            taken,
            answers,
            is_news,
        };
        let running = State::Running(Running {
            held,
            wants,
            question,
            conduct,
        });
        let cancelled = cancelled.map(Action::Cancel);
        let actions = cancelled.into_iter().chain([Action::Welcome(welcome)]);
        (running, actions.collect())
    }

    /// Handles the end of a wait for the app.
    fn over(self, due: Due, again: Option<Due>) -> (Self, Vec<Action>) {
        let leavings = |away: Away| Leavings::new(away.wait.over(), away.wants);
        match (self, again) {
            (State::Lost(away, parting), Some(again)) if away.wait.due() == due => {
                let wait = away.wait.until(again);
                let lost = State::Lost(Away { wait, ..away }, parting);
                (lost, vec![Action::Prolong(again)])
            }
            (State::Lost(away, parting), None) if away.wait.due() == due => {
                let dormant = State::Dormant(away.question, Past::Ran(0));
                let missed = Action::Missed(Some(parting));
                let discard = Action::Discard(leavings(away));
                (dormant, vec![missed, discard, Action::Revive])
            }
            (State::Expected(away, past), _) if away.wait.due() == due => {
                let (past, last) = match past.missed() {
                    // It ran, made room for the connection that its server was asked for, and that
                    // connection was lost on its way.
                    Some(past) => (past, Action::Revive),
                    None => (past, Action::Remove(Why::NotConnected)),
                };
                let dormant = State::Dormant(away.question, past);
                let discard = Action::Discard(leavings(away));
                (dormant, vec![Action::Missed(None), discard, last])
            }
            (other, _) => other.stays(),
        }
    }

    /// Applies an event that changes no state but is recorded.
    fn notes(mut self, event: AppEvent) -> (Self, Vec<Action>) {
        match (&mut self, event) {
            (State::Running(running), AppEvent::Releases { conn }) => {
                running.conduct.released |= running.held.conn() == conn;
            }
            (State::Running(running), AppEvent::GlassesAreHere) if running.conduct.deferred => {
                running.conduct.deferred = false;
                let acknowledge = Action::Acknowledge(running.held.conn());
                return (self, vec![acknowledge]);
            }
            (State::Asked(asked), AppEvent::Postponed { until }) => {
                asked.not_before = Some(until);
            }
            (state, AppEvent::Postponed { until }) => {
                if let Some(question) = state.question() {
                    question.not_before = Some(until);
                }
            }
            _ => {}
        }
        self.stays()
    }

    /// Records the outcome of a request to the app's server that the app's state no longer depends
    /// on.
    fn settle(&mut self, event: AppEvent) {
        let (number, called) = match event {
            AppEvent::Failed { number, until } => (number, Called::Until(until)),
            AppEvent::Answered { number, .. } | AppEvent::Cancelled { number } => {
                (number, Called::No)
            }
            _ => return,
        };
        if let Some(question) = self.question() {
            question.settle(number, called);
        }
    }

    /// Returns the last request to the app's server; `None` while the app's state is that it is
    /// being asked.
    fn question(&mut self) -> Option<&mut Question> {
        match self {
            State::Running(running) => Some(&mut running.question),
            State::Lost(away, _) | State::Expected(away, _) => Some(&mut away.question),
            State::Dormant(question, _) => Some(question),
            State::Asked(_) => None,
        }
    }
}

impl Running {
    /// Handles the end of the app's connection.
    fn gone(self, event: AppEvent) -> (State, Vec<Action>) {
        let AppEvent::Gone {
            now,
            parting,
            wait,
            arrival,
            has_webhook,
            ..
        } = event
        else {
            return State::Running(self).stays();
        };
        let Running {
            held,
            wants,
            question,
            conduct,
        } = self;
        let away = |held: Held, wants, due| Away {
            wait: held.lost(now, due),
            wants,
            question,
        };
        // Its SDK expects the acknowledgement on that connection only.
        let is_given_up = conduct.deferred && has_webhook;
        let last = match wait.filter(|_| !is_given_up) {
            // It makes room for the connection that its server was asked for, which is on its way.
            _ if conduct.released && question.is_awaited(now) => {
                let expected = State::Expected(away(held, wants, arrival), Past::Ran(0));
                return (expected, vec![Action::Wait(arrival)]);
            }
            _ if conduct.released => Action::Remove(Why::Released),
            Some(due) => {
                let lost = State::Lost(away(held, wants, due), parting);
                return (lost, vec![Action::Wait(due)]);
            }
            None => Action::Revive,
        };
        let discard = Action::Discard(Leavings::new(held.left(), wants));
        let dormant = State::Dormant(question, Past::Ran(0));
        (dormant, vec![discard, last])
    }
}

impl Asked {
    fn pending(self) -> Question {
        Question::pending(self.number, self.not_before)
    }

    /// Handles the outcome of a request to the app's server.
    fn has_outcome(self, event: AppEvent) -> (State, Vec<Action>) {
        let question = Question::over(self.not_before);
        let replied = |answered| Action::Replied { answered };
        match event {
            AppEvent::Answered { now, due, .. } => {
                let (expected, wait) = expected(now, due, question, self.past);
                let actions = [replied(true)].into_iter().chain(wait);
                (expected, actions.collect())
            }
            AppEvent::Failed { .. } => {
                let actions = [replied(false), Action::Remove(Why::NotAnswered)];
                (State::Dormant(question, self.past), actions.into())
            }
            // The app is still asked for: only the relay cancels questions, and it did not
            // cancel this one.
            _ => (State::Asked(self), vec![replied(false)]),
        }
    }
}

/// Begins to expect a connection of an app that has none.
fn expected(now: Micros, due: Due, question: Question, past: Past) -> (State, Vec<Action>) {
    let away = Away {
        wait: Wait::new(now, due),
        wants: Subscriptions::default(),
        question,
    };
    (State::Expected(away, past), vec![Action::Wait(due)])
}
