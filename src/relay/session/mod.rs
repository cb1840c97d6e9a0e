//! A session and what it holds.

mod account;
mod app;
mod backlog;
mod charge;
mod fan_out;
mod graces;
mod place;
mod post;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the folder its name"
)]
mod session;

pub(in crate::relay) use self::account::Vacancies;
pub(crate) use self::app::Called;
pub(in crate::relay) use self::app::units;
pub use self::app::{App, AppState};
pub(in crate::relay) use self::charge::{moved, place_bytes};
pub(in crate::relay) use self::fan_out::FanOut;
pub(crate) use self::fan_out::FanOuts;
pub use self::graces::Due;
pub(in crate::relay) use self::graces::{Graces, Room};
pub use self::place::{Absence, How, Place};
pub(in crate::relay) use self::post::{Parcel, Post, Replayed, TO_APPS, TO_GLASSES};
pub use self::session::Session;
pub(crate) use self::session::{SESSION_APPS_MAX, Sessions};
