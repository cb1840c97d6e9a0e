//! Real sockets: a blocking client, clients that are nobody's business and must stay that way, and a reactor on a thread.
//! Shared by the tests that need them.
//!
//! No test here is right because it slept long enough. What is waited for has a deadline of [`PATIENCE`]; what a test does at
//! a steady pace it paces with sleeps.

#![allow(dead_code, unused_imports)] // each test binary uses a part of it

#[cfg(feature = "gateway")]
mod admin;
mod client;
mod controls;
#[cfg(feature = "gateway")]
mod gateway;
mod host;

#[cfg(feature = "gateway")]
pub use admin::{Metrics, json};
pub use client::{Client, Event, Response, frame, upgrade};
pub use controls::Controls;
#[cfg(feature = "gateway")]
pub use gateway::{Gateway, field};
pub use host::{Child, Host, Scribe, Seen, config, guest, main_of_child, policy, turned};

use std::time::{Duration, Instant};

/// How long anything may take that is known to happen: no test is about being fast.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
