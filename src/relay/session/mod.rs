//! Sessions: the places of a user's glasses and apps, their state machines, and the frames kept for
//! them.

mod account;
mod action;
mod app;
mod app_event;
mod backlog;
mod census;
mod charge;
mod fan_out;
mod graces;
mod kept;
mod place;
mod post;
mod question;
mod seat;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the folder its name"
)]
mod session;
#[cfg(test)]
mod tests;

pub(in crate::relay) use self::action::{Action, Taken, Welcome, Why};
pub use self::app::App;
pub use self::app_event::AppState;
pub(in crate::relay) use self::app_event::{AppEvent, Conduct, Estate, Wakes};
pub(in crate::relay) use self::census::{Census, Vacancies};
pub(in crate::relay) use self::charge::{moved, units};
pub(in crate::relay) use self::fan_out::FanOut;
pub(crate) use self::fan_out::FanOuts;
pub use self::graces::Due;
pub(in crate::relay) use self::graces::{Graces, Room};
pub(in crate::relay) use self::place::PlaceEvent;
pub(in crate::relay) use self::post::{Parcel, Post, Replayed, TO_APPS, TO_GLASSES};
pub(in crate::relay) use self::seat::Parting;
pub use self::seat::{Absence, How, PlaceState, PlaceView};
pub use self::session::Session;
pub(crate) use self::session::{SESSION_APPS_MAX, Sessions};
