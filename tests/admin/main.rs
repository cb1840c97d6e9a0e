//! The gateway as its operators see it: API, metrics, alerts, page and webhooks.

#[path = "../support/folder.rs"]
mod folder;
#[path = "../support/sockets/mod.rs"]
mod sockets;
#[path = "../support/tokens.rs"]
mod tokens;

mod access;
mod alert_receiver;
mod alerts;
mod cohorts;
mod crowding;
mod document;
mod drains;
mod endings;
mod ends_kept;
mod event_posts;
mod events;
mod explain;
mod foresight;
mod jobs;
mod kicks;
mod lists;
mod live_changes;
mod logins;
mod malformed;
mod outgoing;
mod page;
mod peers;
mod stalls;
mod user_agents;
