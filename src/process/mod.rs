//! The gateway's process: settings, log, signals, the service manager, and the run from start to
//! end.
//!
//! `run` is the only entry point of the program (`main.rs`). No part of it belongs to the
//! documented API.

mod config_watch;
mod logging;
mod reload;
mod run;
mod served_paths;
mod service;
mod signals;
mod startup_log;
mod upstreams;

pub use run::run;
