//! The relay product: sessions of glasses and third-party apps that survive their connections.

mod admission;
mod apps;
mod asking;
mod audit;
mod backpressure;
mod causes;
mod chores;
mod errands;
mod fan_out;
mod places;
mod product;
pub(crate) mod protocol;
mod reading;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the folder its name"
)]
mod relay;
mod returning;
mod role;
mod routing;
pub(in crate::relay) mod session;
mod settings;
mod stats;
mod subscriptions;
mod sweep;
pub(in crate::relay) mod tables;

pub use self::apps::has_magic_words;
pub use self::causes::{APP_STOPPED, CAUSES, FLAPPING, SESSION_ENDED, SESSION_UNKNOWN};
pub use self::errands::{
    Errand, ErrandBox, Outcome, Patience, StateErrand, StopReason, WebhookErrand,
};
pub(crate) use self::relay::Relay;
pub use self::role::{APP, GLASSES, RELAY_CLASSES};
pub use self::session::{Absence, App, AppState, Due, How, PlaceState, PlaceView, Session};
pub use self::settings::{RelaySettings, ReplayLimits};
pub use self::stats::{DropReason, RelayStats};
pub use self::subscriptions::Subscriptions;
#[cfg(test)]
pub(crate) use self::tables::MissedSink;
pub use self::tables::{Missed, MissedBox};
