//! What all products do alike for clients that ask for pulse: how they opt in, what the hello
//! promises them, how they are refused, and what is counted.

mod control_cost;
mod open_refusal;
mod opt_in;
mod pulse_terms;
mod session_counts;
mod session_ends;

pub(crate) use self::control_cost::control_units;
pub(crate) use self::open_refusal::OpenRefusal;
pub(crate) use self::opt_in::{SessionWish, first_subprotocol, query_without_wish, session_wish};
pub(crate) use self::pulse_terms::{HelloTerms, pulse_policy};
pub use self::session_counts::{HoldEnd, NotHeld, ResetReason, SessionCounts};
pub(crate) use self::session_ends::{code_of, ends_session};
