//! Linked pairs: frames and closes that are forwarded, ends, and liveness.

mod closes;
mod forwarding;
mod opening;
