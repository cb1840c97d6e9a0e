//! The product: sessions of glasses and third-party apps that survive their connections.

mod admission;
mod apps;
mod asking;
mod audit;
mod backpressure;
mod chores;
mod errands;
mod fan_out;
mod places;
pub(crate) mod protocol;
mod reading;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the folder its name"
)]
mod relay;
mod returning;
mod routing;
pub(in crate::relay) mod session;
mod settings;
mod stats;
mod subscriptions;
mod sweep;
pub(in crate::relay) mod tables;

pub use self::apps::has_magic_words;
pub use self::errands::{Errand, ErrandBox, Outcome, Patience, StopReason};
pub(crate) use self::relay::Relay;
pub use self::session::{Absence, App, AppState, Due, How, PlaceState, PlaceView, Session};
pub use self::settings::{RelaySettings, ReplayLimits};
pub use self::stats::{DropReason, RelayStats};
pub use self::subscriptions::Subscriptions;
pub(crate) use self::tables::Greeting;
pub use self::tables::{Missed, MissedBox};
