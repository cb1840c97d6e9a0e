//! What all products do alike for clients that ask for pulse: how they opt in, what the hello
//! promises them, how they are refused, what is sent on their connections and when, and what is
//! counted.

mod ack_watch;
mod client_leg;
mod control_cost;
mod due_queue;
mod line_budget;
mod open_refusal;
mod opt_in;
mod pulse_terms;
mod sending_step;
mod session_counts;
mod session_ends;
mod token_table;
mod waiting_table;

pub(crate) use self::ack_watch::AckWatch;
pub(crate) use self::client_leg::{ClientLeg, heartbeat_text, wanted_sign};
pub(crate) use self::control_cost::control_units;
pub(crate) use self::due_queue::{DueKind, DueQueue, DueTimes};
pub(crate) use self::line_budget::LineBudget;
pub(crate) use self::open_refusal::OpenRefusal;
pub(crate) use self::opt_in::{SessionWish, first_subprotocol, query_without_wish, session_wish};
pub(crate) use self::pulse_terms::{HelloTerms, pulse_policy};
pub use self::session_counts::{HoldEnd, NotHeld, ResetReason, SessionCounts};
pub(crate) use self::session_ends::{code_of, ends_session};
pub(crate) use self::token_table::TokenTable;
pub(crate) use self::waiting_table::WaitingTable;
