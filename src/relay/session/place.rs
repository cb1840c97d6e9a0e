//! The place of a session's glasses as a state machine without clock and connections: it returns
//! the actions to carry out.

use super::action::{Action, Leavings, Taken, Welcome, resumes};
use super::census::Tally;
use super::graces::Due;
use super::kept::Kept;
use super::seat::{Addressee, Held, How, Parting, PlaceState, PlaceView, Wait};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::relay::subscriptions::Subscriptions;

/// The place of a session's glasses.
#[derive(Debug, Default)]
pub(in crate::relay) struct Place {
    state: State,
    /// How often the peer came back after a loss, or replaced its own older connection.
    resumes: u32,
}

#[derive(Debug, Default)]
enum State {
    /// No connection holds the place, and it does not wait for one.
    #[default]
    Empty,
    /// A connection holds the place.
    Held(Held),
    /// The place waits for its lost peer. Boxed, because most sessions have their glasses.
    Absent(Box<Lost>),
}

#[derive(Debug)]
struct Lost {
    wait: Wait,
    /// How the connection ended; `None` if there was none: the session is from before a restart.
    parting: Option<Parting>,
}

/// An event that may change the state of the glasses' place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum PlaceEvent {
    /// A connection takes the place.
    Arrives { conn: ConnId, now: Micros },
    /// A connection has ended. `wait`: until when the place waits for another, if it does.
    Gone {
        conn: ConnId,
        now: Micros,
        parting: Parting,
        wait: Option<Due>,
    },
    /// A wait is over. `again`: the glasses are refused now, so the place waits for them once more,
    /// until this time.
    Over { due: Due, again: Option<Due> },
}

impl Place {
    /// Makes the place of a session from before a restart, which waits for its glasses.
    pub(super) fn restored(now: Micros, due: Due) -> Self {
        let lost = Lost {
            wait: Wait::new(now, due),
            parting: None,
        };
        Place {
            state: State::Absent(Box::new(lost)),
            resumes: 0,
        }
    }

    /// Applies an event, and returns the actions to carry out. An event that does not concern the
    /// state changes nothing.
    pub(super) fn on(&mut self, event: PlaceEvent) -> Vec<Action> {
        let (state, actions) = std::mem::take(&mut self.state).on(event);
        self.state = state;
        self.resumes = self.resumes.saturating_add(resumes(&actions));
        actions
    }

    /// Returns a view of the place.
    pub(in crate::relay) fn view(&self) -> PlaceView {
        let (state, kept) = match &self.state {
            State::Empty => (PlaceState::Empty, None),
            State::Held(held) => (held.state(), Some(held.kept())),
            State::Absent(lost) => (lost.wait.state(lost.parting), Some(lost.wait.kept())),
        };
        PlaceView::new(state, self.resumes, kept)
    }

    /// Returns whether the glasses are connected or awaited.
    pub(in crate::relay) fn is_held(&self) -> bool {
        !matches!(self.state, State::Empty)
    }

    /// Returns where frames for the glasses go.
    pub(in crate::relay) fn addressee(&mut self) -> Addressee<'_> {
        match &mut self.state {
            State::Empty => Addressee::Missing,
            State::Held(held) => held.addressee(),
            State::Absent(lost) => lost.wait.addressee(),
        }
    }

    /// Returns what the place adds to the counts of places.
    pub(super) fn tally(&self) -> Tally {
        let is_absent = matches!(self.state, State::Absent(_));
        Tally {
            is_absent,
            is_charged: is_absent,
            is_started: false,
        }
    }

    /// Returns the bytes of memory that are kept for the glasses.
    pub(super) fn allocated(&self) -> usize {
        let kept = match &self.state {
            State::Empty => None,
            State::Held(held) => Some(held.kept()),
            State::Absent(lost) => Some(lost.wait.kept()),
        };
        kept.map_or(0, Kept::allocated)
    }
}

impl State {
    fn on(self, event: PlaceEvent) -> (Self, Vec<Action>) {
        match event {
            PlaceEvent::Arrives { conn, now } => self.arrives(conn, now),
            PlaceEvent::Gone {
                conn,
                now,
                parting,
                wait,
            } => match self {
                State::Held(held) if held.conn() == conn || sabotage::on(Bug::LateEndTakes) => {
                    let Some(due) = wait else {
                        return end(held.left(), None);
                    };
                    let (wait, parting) = (held.lost(now, due), Some(parting));
                    let lost = State::Absent(Box::new(Lost { wait, parting }));
                    (lost, vec![Action::Wait(due)])
                }
                other => (other, Vec::new()),
            },
            PlaceEvent::Over { due, again } => match (self, again) {
                (State::Absent(lost), Some(again)) if lost.wait.due() == due => {
                    let Lost { wait, parting } = *lost;
                    let wait = wait.until(again);
                    let lost = State::Absent(Box::new(Lost { wait, parting }));
                    (lost, vec![Action::Prolong(again)])
                }
                (State::Absent(lost), None) if lost.wait.due() == due => {
                    end(lost.wait.over(), Some(Action::Missed(lost.parting)))
                }
                (other, _) => (other, Vec::new()),
            },
        }
    }

    fn arrives(self, conn: ConnId, now: Micros) -> (Self, Vec<Action>) {
        let (held, taken, cancelled) = match self {
            State::Empty => (Held::first(conn), Taken::First, None),
            State::Held(held) => {
                let (held, older) = held.taken_over(conn);
                let taken = Taken::Over {
                    older,
                    released: false,
                    insists: false,
                };
                (held, taken, None)
            }
            State::Absent(lost) => {
                let Lost { wait, parting } = *lost;
                let (due, absence) = (wait.due(), now - wait.since());
                let (how, taken) = match parting {
                    // In a session from before a restart the first glasses do not resume anything.
                    None => (How::First, Taken::First),
                    Some(parting) => (How::Resume, Taken::Resumed { absence, parting }),
                };
                (wait.taken(conn, how), taken, Some(due))
            }
        };
        let welcome = Welcome {
            taken,
            answers: None,
            is_news: false,
        };
        let mut actions = Vec::with_capacity(2);
        actions.extend(cancelled.map(Action::Cancel));
        actions.push(Action::Welcome(welcome));
        (State::Held(held), actions)
    }
}

/// Gives the place up, and ends its session.
fn end(kept: Kept, missed: Option<Action>) -> (State, Vec<Action>) {
    let leavings = Leavings::new(kept, Subscriptions::default());
    let mut actions = Vec::with_capacity(3);
    actions.extend(missed);
    actions.extend([Action::Discard(leavings), Action::EndSession]);
    (State::Empty, actions)
}
