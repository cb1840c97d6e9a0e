//! Linked pairs: frames and closes that are forwarded, ends, and liveness.

mod closes;
#[cfg(feature = "gateway")]
mod drain;
mod forwarding;
#[cfg(feature = "gateway")]
mod frozen;
mod judging;
mod opening;
mod planned;
#[cfg(feature = "sabotage")]
mod sabotage;
mod scripts;
