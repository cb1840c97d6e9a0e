//! Sessions that outlive their connections: the bridge's part of pulse.
//!
//! The two legs of a session are not linked. Whole messages are passed between them, so that what a
//! client has not acknowledged can be sent again on its next connection. The protocol itself is in
//! [`crate::pulse`].

mod client_leg;
mod due_work;
mod hold_book;
mod holding;
mod live_session;
mod opening;
mod planned;
mod reporting;
mod resuming;
mod session_due;
mod session_events;
mod session_key;
mod session_limits;
mod session_listing;
mod session_owner;
mod session_table;
mod session_tie;
mod session_ties;
mod upstream_leg;
mod waiting_clients;

pub use self::session_limits::SessionLimits;
pub use self::session_listing::PulseSessionRow;
pub(super) use self::session_owner::SessionOwner;
pub(super) use self::session_table::SessionTable;
