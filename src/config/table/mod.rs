//! The table of settings, with one file for each group.

mod access;
mod admin;
mod alerts;
mod all;
mod bounds;
mod bridge;
mod definition;
mod events;
mod http;
mod limits;
mod liveness;
mod process;
mod pulse;
mod relay;
mod route;

pub use all::SETTINGS;
pub(super) use all::row;
pub use definition::{Audience, Fallback, Setting};
pub(super) use route::field;
pub use route::{ROUTE_FIELDS, RouteField};
