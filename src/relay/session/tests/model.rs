//! The model: the state of a slot or an app as flat facts, and the rules by which they change.

use super::super::action::{Action, AttachInfo, Attached, RemoveReason, SlotContent};
use super::super::app_event::{AppEvent, AppState, ConnFlags};
use super::super::glasses_slot::GlassesEvent;
use super::super::grace_queue::SlotDeadline;
use super::super::slot::SlotView;
use super::super::slot_counts::CountFlags;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::relay::session::slot::LastEnding;

/// The facts about a slot or an app.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) conn: Option<ConnId>,
    pub(super) flags: ConnFlags,
    pub(super) deadline: Option<SlotDeadline>,
    pub(super) since: Micros,
    /// How its connection was lost.
    pub(super) last_ending: Option<LastEnding>,
    pub(super) asked: Option<(u64, bool)>,
    /// The request without an outcome, or until when a failed one may still be acted on.
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

impl Model {
    /// The common rule for a slot and an app when a connection takes them.
    pub(super) fn attach(&mut self, conn: ConnId, now: Micros, flags: ConnFlags) -> Attached {
        let ConnFlags {
            released,
            has_newer_sdk,
            ..
        } = self.flags;
        let attached = match (self.conn, self.last_ending) {
            (Some(older), _) => Attached::TookOver {
                older,
                released,
                has_newer_sdk,
            },
            (None, Some(last_ending)) => Attached::Resumed {
                absence: now - self.since,
                last_ending,
            },
            (None, None) => Attached::First,
        };
        self.resumes += u32::from(attached != Attached::First);
        (self.conn, self.flags) = (Some(conn), flags);
        (self.deadline, self.last_ending, self.ran, self.misses) = (None, None, true, 0);
        attached
    }

    pub(super) fn waits(
        &mut self,
        now: Micros,
        deadline: SlotDeadline,
        last_ending: Option<LastEnding>,
    ) -> Action {
        (self.conn, self.asked) = (None, None);
        (self.since, self.deadline, self.last_ending) = (now, Some(deadline), last_ending);
        Action::StartWait(deadline)
    }

    /// Clears the model when nothing is kept any more.
    pub(super) fn rests(&mut self, last: Action) -> Vec<Action> {
        (self.conn, self.deadline, self.last_ending) = (None, None, None);
        (self.kept, self.wants) = (0, 0);
        vec![Action::Discard(SlotContent::default()), last]
    }

    pub(super) fn on(&mut self, event: AppEvent) -> Vec<Action> {
        let is_empty = self.conn.is_none() && self.deadline.is_none();
        match event {
            AppEvent::Attached { conn, now, flags } => {
                let is_new_to_glasses = self.conn.is_none() && self.last_ending.is_none();
                let mut todo: Vec<Action> =
                    self.deadline.map(Action::CancelWait).into_iter().collect();
                let welcome = AttachInfo {
                    attached: self.attach(conn, now, flags),
                    answered_request: self.asked.take().map(|(number, _)| number),
                    is_new_to_glasses,
                };
                todo.push(Action::Attach(welcome));
                todo
            }
            AppEvent::Released { conn } => {
                self.flags.released |= self.conn == Some(conn);
                vec![]
            }
            AppEvent::GlassesConnected => match self.conn {
                Some(conn) if std::mem::take(&mut self.flags.deferred) => {
                    vec![Action::Acknowledge(conn)]
                }
                _ => vec![],
            },
            AppEvent::Ended { conn, .. } if self.conn != Some(conn) => vec![],
            AppEvent::Ended {
                now,
                last_ending,
                wait,
                arrival,
                has_webhook,
                ..
            } => {
                let flags = std::mem::take(&mut self.flags);
                let is_called = self.open.is_some() || self.until.is_some_and(|at| now < at);
                match wait {
                    _ if flags.released && is_called => vec![self.waits(now, arrival, None)],
                    _ if flags.released => self.rests(Action::Remove(RemoveReason::Released)),
                    Some(deadline) if !(flags.deferred && has_webhook) => {
                        vec![self.waits(now, deadline, Some(last_ending))]
                    }
                    _ => self.rests(Action::Revive),
                }
            }
            AppEvent::WaitOver { deadline, .. } if self.deadline != Some(deadline) => vec![],
            AppEvent::WaitOver {
                extended: Some(extended),
                ..
            } if self.last_ending.is_some() => {
                self.deadline = Some(extended);
                vec![Action::ExtendWait(extended)]
            }
            AppEvent::WaitOver { .. } => {
                let last_ending = self.last_ending;
                let is_missed = last_ending.is_none() && self.ran && self.misses < 3;
                self.misses += u8::from(is_missed);
                let mut todo = match last_ending.is_some() || is_missed {
                    true => self.rests(Action::Revive),
                    false => self.rests(Action::Remove(RemoveReason::NotConnected)),
                };
                todo.insert(0, Action::CountExpired(last_ending));
                todo
            }
            AppEvent::Asked { number, revival } => {
                if is_empty {
                    (self.asked, self.open) = (Some((number, revival)), Some(number));
                    (self.until, self.not_before) = (None, None);
                }
                vec![]
            }
            AppEvent::Expected { now, deadline } if is_empty => {
                vec![self.waits(now, deadline, None)]
            }
            AppEvent::Expected { .. } => vec![],
            AppEvent::Postponed { until } => {
                self.not_before = Some(until);
                vec![]
            }
            AppEvent::Answered {
                number,
                now,
                deadline,
            } => {
                let is_asked = self.asked.is_some_and(|(asked, _)| asked == number);
                self.settled(number, None);
                match is_asked {
                    true => vec![
                        Action::CountAnswer { answered: true },
                        self.waits(now, deadline, None),
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
                    Action::CountAnswer { answered: false },
                    Action::Remove(RemoveReason::NotAnswered),
                ]
            }
            AppEvent::Cancelled { number } => {
                if self.asked.is_some_and(|(asked, _)| asked == number) {
                    return vec![Action::CountAnswer { answered: false }];
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

    pub(super) fn glasses_on(&mut self, event: GlassesEvent) -> Vec<Action> {
        match event {
            GlassesEvent::Attached { conn, now } => {
                let mut todo: Vec<Action> =
                    self.deadline.map(Action::CancelWait).into_iter().collect();
                todo.push(Action::Attach(AttachInfo {
                    attached: self.attach(conn, now, ConnFlags::default()),
                    answered_request: None,
                    is_new_to_glasses: false,
                }));
                todo
            }
            GlassesEvent::Ended {
                conn,
                now,
                last_ending,
                wait,
            } => match wait {
                _ if self.conn != Some(conn) => vec![],
                Some(deadline) => vec![self.waits(now, deadline, Some(last_ending))],
                None => self.rests(Action::EndSession),
            },
            GlassesEvent::WaitOver { deadline, .. } if self.deadline != Some(deadline) => vec![],
            GlassesEvent::WaitOver {
                extended: Some(extended),
                ..
            } => {
                self.deadline = Some(extended);
                vec![Action::ExtendWait(extended)]
            }
            GlassesEvent::WaitOver { extended: None, .. } => {
                let missed = Action::CountExpired(self.last_ending);
                let mut todo = self.rests(Action::EndSession);
                todo.insert(0, missed);
                todo
            }
        }
    }

    pub(super) fn state(&self) -> AppState {
        match (self.conn, self.deadline, self.asked) {
            (Some(_), _, _) => AppState::Running,
            (None, Some(_), _) if self.last_ending.is_some() => AppState::Lost,
            (None, Some(_), _) => AppState::Expected,
            (None, None, Some((number, revival))) => AppState::Asked { number, revival },
            (None, None, None) => AppState::Dormant,
        }
    }

    pub(super) fn check_view(&self, view: SlotView) {
        assert_eq!(view.conn(), self.conn);
        let absence = view.absence().map(|a| (a.since, a.cause, a.deadline));
        assert_eq!(
            absence,
            self.deadline
                .map(|deadline| (self.since, self.last_ending.map(|p| p.cause), deadline))
        );
        assert_eq!((view.resumes, view.kept_frames), (self.resumes, self.kept));
        assert_eq!(
            view.is_occupied(),
            self.conn.is_some() || self.deadline.is_some()
        );
    }

    pub(super) fn count_flags(&self) -> CountFlags {
        CountFlags {
            is_absent: self.deadline.is_some(),
            is_charged: self.conn.is_none(),
            is_never_connected: self.conn.is_none() && !self.ran,
        }
    }
}
