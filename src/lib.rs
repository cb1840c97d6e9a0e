//! A WebSocket gateway that owns liveness.

pub mod cause;
pub mod engine;
pub mod health;
pub mod id;
#[cfg_attr(not(feature = "sabotage"), allow(unused_imports))]
#[doc(hidden)]
pub mod sabotage;
pub mod time;
