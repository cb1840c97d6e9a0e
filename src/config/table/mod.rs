//! The table of settings, with one file for each group.

mod access;
mod admin;
mod alerts;
mod all;
mod bounds;
mod bridge;
mod definition;
mod limits;
mod liveness;
mod process;
mod relay;

pub use all::SETTINGS;
pub(super) use all::row;
pub use definition::{Audience, Fallback, Setting};
