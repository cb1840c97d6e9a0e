//! Work for the loop from other threads: questions, and work that takes several turns.

#[expect(
    clippy::module_inception,
    reason = "the type that gives the folder its name"
)]
mod desk;
mod effort;

pub(crate) use self::desk::Tray;
pub use self::desk::{DESK_UNITS, Progress, SLICE_UNITS};
pub(crate) use self::desk::{Desk, Work};
pub(crate) use self::effort::Effort;
