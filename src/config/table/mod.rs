//! The table of settings, with one file for each group.

mod access;
mod admin;
mod alerts;
mod all;
mod bounds;
mod limits;
mod liveness;
mod relay;
mod running;
mod setting;

pub use all::SETTINGS;
pub(super) use all::row;
pub use setting::{Audience, Fallback, Setting};
