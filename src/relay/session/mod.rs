//! Sessions: the slots of a user's glasses and apps, their state machines, and the frames kept for
//! them.

mod action;
mod app_event;
mod app_phase;
mod app_slot;
mod backlog;
mod backlog_queue;
mod costs;
mod fan_out;
mod frame_delivery;
mod glasses_slot;
mod grace_queue;
mod memory;
mod pulse_delivery;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the folder its name"
)]
mod session;
mod session_request;
mod slot;
mod slot_counts;
#[cfg(test)]
mod tests;

pub(in crate::relay) use self::action::{Action, AttachInfo, Attached, RemoveReason};
pub use self::app_event::AppState;
pub(in crate::relay) use self::app_event::{AppEvent, ConnFlags, RemovedApp, WakeAction};
pub use self::app_slot::AppSlot;
pub(in crate::relay) use self::costs::{adjust_charge, scan_units};
pub(in crate::relay) use self::fan_out::FanOut;
pub(crate) use self::fan_out::FanOutQueue;
pub(in crate::relay) use self::frame_delivery::{FrameDelivery, RelayFrame, ReplayOutcome};
pub(in crate::relay) use self::glasses_slot::GlassesEvent;
pub use self::grace_queue::SlotDeadline;
pub(in crate::relay) use self::grace_queue::{GiveUp, GraceQueue};
pub(in crate::relay) use self::pulse_delivery::close_unacknowledged;
pub use self::session::Session;
pub(crate) use self::session::{SESSION_APPS_MAX, Sessions};
pub(in crate::relay) use self::slot::LastEnding;
pub use self::slot::{Absence, AttachKind, SlotState, SlotView};
pub(in crate::relay) use self::slot_counts::{OfflineApps, SlotCounts};
