//! `/api/v1`: what operators can read and do, as JSON. The OpenAPI document is generated from this
//! code.

mod actions;
mod alerts;
mod blocks;
mod causes;
mod closed;
mod connections;
mod explain;
mod live;
mod overview;
mod page;
mod policies;
mod router;
mod sessions;
mod troubled;
mod webhooks;
mod words;

pub(super) use self::live::Teller;
pub(super) use self::router::router;
