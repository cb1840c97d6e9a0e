//! The life of a client: a state machine without a clock and a socket.

mod connecting;
#[expect(
    clippy::module_inception,
    reason = "the state machine itself, beside its steps"
)]
mod core;
mod ending;
mod liveness;
mod messages;

pub use self::core::{ClientAction, ClientCore};
