//! What watches the gateway: ended connections, causes over time, alerts, and the identities that
//! have trouble again and again.

mod alerts;
mod ended;
mod series;
mod troubled;

pub(super) use self::alerts::{Alert, AlertState, Alerts, SinkStats, watch};
pub use self::alerts::{AlertSettings, WebhookUrl};
pub(super) use self::ended::EndedRing;
pub(super) use self::series::{Series, Step};
pub(super) use self::troubled::{Ranked, Troubled};
