//! The gateway as its operators see it: API, metrics, alerts, page and webhooks.

#[path = "../support/sockets/mod.rs"]
mod sockets;
#[path = "../support/tokens.rs"]
mod tokens;

mod alerts;
mod api;
mod page;
mod webhooks;
