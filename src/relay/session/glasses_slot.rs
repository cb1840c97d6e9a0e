//! The slot of a session's glasses as a state machine without clock and connections: it returns
//! the actions to carry out.

use super::action::{Action, AttachInfo, Attached, SlotContent, count_resumes};
use super::backlog::Backlog;
use super::grace_queue::SlotDeadline;
use super::slot::{AbsentSlot, AttachKind, Destination, HeldSlot, LastEnding, SlotState, SlotView};
use super::slot_counts::CountFlags;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::relay::subscriptions::Subscriptions;

/// The slot of a session's glasses.
#[derive(Debug, Default)]
pub(in crate::relay) struct GlassesSlot {
    state: GlassesPhase,
    /// How often the peer came back after a loss, or replaced its own older connection.
    resumes: u32,
}

#[derive(Debug, Default)]
enum GlassesPhase {
    /// No connection holds the slot, and it does not wait for one.
    #[default]
    Empty,
    /// A connection holds the slot.
    Held(HeldSlot),
    /// The slot waits for its lost peer. Boxed, because most sessions have their glasses.
    Absent(Box<AbsentGlasses>),
}

#[derive(Debug)]
struct AbsentGlasses {
    slot: AbsentSlot,
    /// How the connection ended; `None` if there was none: the session is from before a restart.
    last_ending: Option<LastEnding>,
}

/// An event that may change the state of the glasses' slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum GlassesEvent {
    /// A connection takes the slot.
    Attached { conn: ConnId, now: Micros },
    /// A connection has ended. `wait`: until when the slot waits for another, if it does.
    Ended {
        conn: ConnId,
        now: Micros,
        last_ending: LastEnding,
        wait: Option<SlotDeadline>,
    },
    /// A wait is over. `extended`: the glasses are refused now, so the slot waits for them once
    /// more, until this time.
    WaitOver {
        deadline: SlotDeadline,
        extended: Option<SlotDeadline>,
    },
}

impl GlassesSlot {
    /// Makes the slot of a session from before a restart, which waits for its glasses.
    pub(super) fn restored(now: Micros, deadline: SlotDeadline) -> Self {
        let lost = AbsentGlasses {
            slot: AbsentSlot::new(now, deadline),
            last_ending: None,
        };
        GlassesSlot {
            state: GlassesPhase::Absent(Box::new(lost)),
            resumes: 0,
        }
    }

    /// Applies an event, and returns the actions to carry out. An event that does not concern the
    /// state changes nothing.
    pub(super) fn on(&mut self, event: GlassesEvent) -> Vec<Action> {
        let (state, actions) = std::mem::take(&mut self.state).on(event);
        self.state = state;
        self.resumes = self.resumes.saturating_add(count_resumes(&actions));
        actions
    }

    /// Returns a view of the slot.
    pub(in crate::relay) fn view(&self) -> SlotView {
        let (state, backlog) = match &self.state {
            GlassesPhase::Empty => (SlotState::Empty, None),
            GlassesPhase::Held(held) => (held.state(), Some(held.backlog())),
            GlassesPhase::Absent(lost) => {
                (lost.slot.state(lost.last_ending), Some(lost.slot.backlog()))
            }
        };
        SlotView::new(state, self.resumes, backlog)
    }

    /// Returns whether the glasses are connected or awaited.
    pub(in crate::relay) fn is_occupied(&self) -> bool {
        !matches!(self.state, GlassesPhase::Empty)
    }

    /// Returns where frames for the glasses go.
    pub(in crate::relay) fn destination(&mut self) -> Destination<'_> {
        match &mut self.state {
            GlassesPhase::Empty => Destination::Empty,
            GlassesPhase::Held(held) => held.destination(),
            GlassesPhase::Absent(lost) => lost.slot.destination(),
        }
    }

    /// Returns what the slot adds to the counts of slots.
    pub(super) fn count_flags(&self) -> CountFlags {
        let is_absent = matches!(self.state, GlassesPhase::Absent(_));
        CountFlags {
            is_absent,
            is_charged: is_absent,
            is_never_connected: false,
        }
    }

    /// Returns the bytes of memory that are kept for the glasses.
    pub(super) fn allocated(&self) -> usize {
        let backlog = match &self.state {
            GlassesPhase::Empty => None,
            GlassesPhase::Held(held) => Some(held.backlog()),
            GlassesPhase::Absent(lost) => Some(lost.slot.backlog()),
        };
        backlog.map_or(0, Backlog::allocated)
    }
}

impl GlassesPhase {
    fn on(self, event: GlassesEvent) -> (Self, Vec<Action>) {
        match event {
            GlassesEvent::Attached { conn, now } => self.attach(conn, now),
            GlassesEvent::Ended {
                conn,
                now,
                last_ending,
                wait,
            } => match self {
                GlassesPhase::Held(held)
                    if held.conn() == conn || sabotage::on(Bug::LateEndTakes) =>
                {
                    let Some(deadline) = wait else {
                        return end_session(held.into_backlog(), None);
                    };
                    let (slot, last_ending) = (held.lose(now, deadline), Some(last_ending));
                    let lost = GlassesPhase::Absent(Box::new(AbsentGlasses { slot, last_ending }));
                    (lost, vec![Action::StartWait(deadline)])
                }
                other => (other, Vec::new()),
            },
            GlassesEvent::WaitOver { deadline, extended } => match (self, extended) {
                (GlassesPhase::Absent(lost), Some(extended))
                    if lost.slot.deadline() == deadline =>
                {
                    let AbsentGlasses { slot, last_ending } = *lost;
                    let slot = slot.extend(extended);
                    let lost = GlassesPhase::Absent(Box::new(AbsentGlasses { slot, last_ending }));
                    (lost, vec![Action::ExtendWait(extended)])
                }
                (GlassesPhase::Absent(lost), None) if lost.slot.deadline() == deadline => {
                    end_session(
                        lost.slot.into_backlog(),
                        Some(Action::CountExpired(lost.last_ending)),
                    )
                }
                (other, _) => (other, Vec::new()),
            },
        }
    }

    fn attach(self, conn: ConnId, now: Micros) -> (Self, Vec<Action>) {
        let (held, attached, cancelled) = match self {
            GlassesPhase::Empty => (HeldSlot::new(conn), Attached::First, None),
            GlassesPhase::Held(held) => {
                let (held, older) = held.take_over(conn);
                let attached = Attached::TookOver {
                    older,
                    released: false,
                    has_newer_sdk: false,
                };
                (held, attached, None)
            }
            GlassesPhase::Absent(lost) => {
                let AbsentGlasses { slot, last_ending } = *lost;
                let (deadline, absence) = (slot.deadline(), now - slot.since());
                let (kind, attached) = match last_ending {
                    // In a session from before a restart the first glasses do not resume anything.
                    None => (AttachKind::First, Attached::First),
                    Some(last_ending) => (
                        AttachKind::Resume,
                        Attached::Resumed {
                            absence,
                            last_ending,
                        },
                    ),
                };
                (slot.attach(conn, kind), attached, Some(deadline))
            }
        };
        let info = AttachInfo {
            attached,
            answered_request: None,
            is_new_to_glasses: false,
        };
        let mut actions = Vec::with_capacity(2);
        actions.extend(cancelled.map(Action::CancelWait));
        actions.push(Action::Attach(info));
        (GlassesPhase::Held(held), actions)
    }
}

/// Gives the slot up, and ends its session.
fn end_session(backlog: Backlog, expired: Option<Action>) -> (GlassesPhase, Vec<Action>) {
    let content = SlotContent::new(backlog, Subscriptions::default());
    let mut actions = Vec::with_capacity(3);
    actions.extend(expired);
    actions.extend([Action::Discard(content), Action::EndSession]);
    (GlassesPhase::Empty, actions)
}
