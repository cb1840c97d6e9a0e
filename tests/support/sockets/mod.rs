//! Real sockets: a blocking client, control clients that must not be affected by a test, and a
//! reactor on a thread. Shared by the tests that need them.
//!
//! No test here relies on sleeping for long enough. Every wait has a deadline of [`PATIENCE`];
//! sleeps only pace what a test does at a steady rate.

#![allow(dead_code, unused_imports)] // each test binary uses a part of it

#[cfg(feature = "gateway")]
mod admin;
mod calls;
mod client;
mod controls;
#[cfg(feature = "gateway")]
mod event_reader;
#[cfg(feature = "gateway")]
mod gateway;
mod host;
mod incoming;
mod loop_thread;
mod server;

#[cfg(feature = "gateway")]
pub use admin::{Metrics, json};
pub use calls::Calls;
pub use client::{Client, Response, frame, upgrade};
pub use controls::Controls;
#[cfg(feature = "gateway")]
pub use event_reader::{EventReader, Told, event_number};
#[cfg(feature = "gateway")]
pub use gateway::{Gateway, field};
pub use host::{Child, Host, Scribe, Seen, config, guest, main_of_child, policy, turned};
pub use incoming::{Event, header_values};
pub use loop_thread::LoopThread;
pub use server::{Listener, Server, server_frame};

use std::time::{Duration, Instant};

/// The deadline of every event that must happen: no test checks speed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Calls `ask` again and again until it returns a value.
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
