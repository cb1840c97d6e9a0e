//! The gateway as a process: settings, log, signals, the service manager, and the run from start to end.
//!
//! `run` is the one door of the program (`main.rs`). No part of it belongs to the documented API.

mod logging;
mod reload;
mod run;
mod service;
mod signals;
mod words;

pub use run::run;
