//! The gateway as a process: its settings, its start, its stop, and the machine around it.

#[path = "../support/folder.rs"]
mod folder;
#[path = "../support/sockets/mod.rs"]
mod sockets;
#[path = "../support/tokens.rs"]
mod tokens;

mod bridge;
mod cadence_file;
mod certificates;
mod closes;
mod commands;
mod crowds;
mod docs;
mod drains;
mod machine;
mod output;
mod peers;
mod plain_http;
mod product;
mod proxies;
mod reloads;
mod secrets;
mod service_manager;
mod settings;
mod starts;
mod state_file;
mod statistics;
mod upgrades;
