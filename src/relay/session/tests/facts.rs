//! The model: the state of a place or an app as flat facts, and the rules by which they change.

use super::super::action::{Action, Leavings, Taken, Welcome, Why};
use super::super::app_event::{AppEvent, AppState, Conduct};
use super::super::census::Tally;
use super::super::graces::Due;
use super::super::place::PlaceEvent;
use super::super::seat::PlaceView;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::relay::session::seat::Parting;

/// The facts about a place or an app.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) conn: Option<ConnId>,
    pub(super) conduct: Conduct,
    pub(super) due: Option<Due>,
    pub(super) since: Micros,
    /// How its connection was lost.
    pub(super) parting: Option<Parting>,
    pub(super) asked: Option<(u64, bool)>,
    /// The question without an outcome, or until when a failed one may still be acted on.
    pub(super) open: Option<u64>,
    pub(super) until: Option<Micros>,
    pub(super) not_before: Option<Micros>,
    pub(super) ran: bool,
    pub(super) misses: u8,
    pub(super) resumes: u32,
    /// Kept frames, and names of subscriptions.
    pub(super) kept: usize,
    pub(super) wants: usize,
}

impl Facts {
    /// The common rule for a place and an app when a connection takes them.
    pub(super) fn arrives(&mut self, conn: ConnId, now: Micros, conduct: Conduct) -> Taken {
        let Conduct {
            released, insists, ..
        } = self.conduct;
        let taken = match (self.conn, self.parting) {
            (Some(older), _) => Taken::Over {
                older,
                released,
                insists,
            },
            (None, Some(parting)) => Taken::Resumed {
                absence: now - self.since,
                parting,
            },
            (None, None) => Taken::First,
        };
        self.resumes += u32::from(taken != Taken::First);
        (self.conn, self.conduct) = (Some(conn), conduct);
        (self.due, self.parting, self.ran, self.misses) = (None, None, true, 0);
        taken
    }

    pub(super) fn waits(&mut self, now: Micros, due: Due, parting: Option<Parting>) -> Action {
        (self.conn, self.asked) = (None, None);
        (self.since, self.due, self.parting) = (now, Some(due), parting);
        Action::Wait(due)
    }

    /// Clears the facts when nothing is kept any more.
    pub(super) fn rests(&mut self, last: Action) -> Vec<Action> {
        (self.conn, self.due, self.parting) = (None, None, None);
        (self.kept, self.wants) = (0, 0);
        vec![Action::Discard(Leavings::default()), last]
    }

    pub(super) fn on(&mut self, event: AppEvent) -> Vec<Action> {
        let is_empty = self.conn.is_none() && self.due.is_none();
        match event {
            AppEvent::Arrives { conn, now, conduct } => {
                let is_news = self.conn.is_none() && self.parting.is_none();
                let mut todo: Vec<Action> = self.due.map(Action::Cancel).into_iter().collect();
                let welcome = Welcome {
                    taken: self.arrives(conn, now, conduct),
                    answers: self.asked.take().map(|(number, _)| number),
                    is_news,
                };
                todo.push(Action::Welcome(welcome));
                todo
            }
            AppEvent::Releases { conn } => {
                self.conduct.released |= self.conn == Some(conn);
                vec![]
            }
            AppEvent::GlassesAreHere => match self.conn {
                Some(conn) if std::mem::take(&mut self.conduct.deferred) => {
                    vec![Action::Acknowledge(conn)]
                }
                _ => vec![],
            },
            AppEvent::Gone { conn, .. } if self.conn != Some(conn) => vec![],
            AppEvent::Gone {
                now,
                parting,
                wait,
                arrival,
                has_webhook,
                ..
            } => {
                let conduct = std::mem::take(&mut self.conduct);
                let is_called = self.open.is_some() || self.until.is_some_and(|at| now < at);
                match wait {
                    _ if conduct.released && is_called => vec![self.waits(now, arrival, None)],
                    _ if conduct.released => self.rests(Action::Remove(Why::Released)),
                    Some(due) if !(conduct.deferred && has_webhook) => {
                        vec![self.waits(now, due, Some(parting))]
                    }
                    _ => self.rests(Action::Revive),
                }
            }
            AppEvent::Over { due, .. } if self.due != Some(due) => vec![],
            AppEvent::Over {
                again: Some(again), ..
            } if self.parting.is_some() => {
                self.due = Some(again);
                vec![Action::Prolong(again)]
            }
            AppEvent::Over { .. } => {
                let parting = self.parting;
                let is_missed = parting.is_none() && self.ran && self.misses < 3;
                self.misses += u8::from(is_missed);
                let mut todo = match parting.is_some() || is_missed {
                    true => self.rests(Action::Revive),
                    false => self.rests(Action::Remove(Why::NotConnected)),
                };
                todo.insert(0, Action::Missed(parting));
                todo
            }
            AppEvent::Asked { number, revival } => {
                if is_empty {
                    (self.asked, self.open) = (Some((number, revival)), Some(number));
                    (self.until, self.not_before) = (None, None);
                }
                vec![]
            }
            AppEvent::Expected { now, due } if is_empty => vec![self.waits(now, due, None)],
            AppEvent::Expected { .. } => vec![],
            AppEvent::Postponed { until } => {
                self.not_before = Some(until);
                vec![]
            }
            AppEvent::Answered { number, now, due } => {
                let is_asked = self.asked.is_some_and(|(asked, _)| asked == number);
                self.settled(number, None);
                match is_asked {
                    true => vec![
                        Action::Replied { answered: true },
                        self.waits(now, due, None),
                    ],
                    false => vec![],
                }
            }
            AppEvent::Failed { number, until } => {
                let is_asked = self.asked.is_some_and(|(asked, _)| asked == number);
                self.settled(number, Some(until).filter(|_| !is_asked));
                if !is_asked {
                    return vec![];
                }
                self.asked = None;
                vec![
                    Action::Replied { answered: false },
                    Action::Remove(Why::NotAnswered),
                ]
            }
            AppEvent::Cancelled { number } => {
                if self.asked.is_some_and(|(asked, _)| asked == number) {
                    return vec![Action::Replied { answered: false }];
                }
                self.settled(number, None);
                vec![]
            }
        }
    }

    pub(super) fn settled(&mut self, number: u64, until: Option<Micros>) {
        if self.open == Some(number) {
            (self.open, self.until) = (None, until);
        }
    }

    pub(super) fn glasses_on(&mut self, event: PlaceEvent) -> Vec<Action> {
        match event {
            PlaceEvent::Arrives { conn, now } => {
                let mut todo: Vec<Action> = self.due.map(Action::Cancel).into_iter().collect();
                todo.push(Action::Welcome(Welcome {
                    taken: self.arrives(conn, now, Conduct::default()),
                    answers: None,
                    is_news: false,
                }));
                todo
            }
            PlaceEvent::Gone {
                conn,
                now,
                parting,
                wait,
            } => match wait {
                _ if self.conn != Some(conn) => vec![],
                Some(due) => vec![self.waits(now, due, Some(parting))],
                None => self.rests(Action::EndSession),
            },
            PlaceEvent::Over { due, .. } if self.due != Some(due) => vec![],
            PlaceEvent::Over {
                again: Some(again), ..
            } => {
                self.due = Some(again);
                vec![Action::Prolong(again)]
            }
            PlaceEvent::Over { again: None, .. } => {
                let missed = Action::Missed(self.parting);
                let mut todo = self.rests(Action::EndSession);
                todo.insert(0, missed);
                todo
            }
        }
    }

    pub(super) fn state(&self) -> AppState {
        match (self.conn, self.due, self.asked) {
            (Some(_), _, _) => AppState::Running,
            (None, Some(_), _) if self.parting.is_some() => AppState::Lost,
            (None, Some(_), _) => AppState::Expected,
            (None, None, Some((number, revival))) => AppState::Asked { number, revival },
            (None, None, None) => AppState::Dormant,
        }
    }

    pub(super) fn check_view(&self, view: PlaceView) {
        assert_eq!(view.conn(), self.conn);
        let absence = view.absence().map(|a| (a.since, a.cause, a.due));
        assert_eq!(
            absence,
            self.due
                .map(|due| (self.since, self.parting.map(|p| p.cause), due))
        );
        assert_eq!((view.resumes, view.kept_frames), (self.resumes, self.kept));
        assert_eq!(view.is_held(), self.conn.is_some() || self.due.is_some());
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            is_absent: self.due.is_some(),
            is_charged: self.conn.is_none(),
            is_started: self.conn.is_none() && !self.ran,
        }
    }
}
