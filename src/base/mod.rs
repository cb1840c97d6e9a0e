//! What every layer may use: time, ids, causes, and small pieces of arithmetic.

#[cfg(feature = "gateway")]
pub(crate) mod bounded;
pub mod cause;
pub(crate) mod id;
pub mod sabotage;
pub(crate) mod spread;
pub mod time;
