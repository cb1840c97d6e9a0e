//! The loop's complete state except the handler, and the operations on it. The engine and
//! [`Io`](crate::engine::Io) call these; they never call the host.

mod broadcast;
mod close;
#[expect(
    clippy::module_inception,
    reason = "the state itself, beside its verbs"
)]
mod core;
mod dial_out;
mod draining;
mod heard;
mod links;
mod migrate;
mod outlook;
mod pacing;
mod pair_close;
mod planned_close;
mod progress;
mod send;
mod shortage;

pub(super) use self::close::overload_code;
pub(super) use self::core::{Core, FLUSH_PER_TURN, HELD_SMALL, UNSENT_SMALL};
pub(super) use self::progress::FiredSlots;
