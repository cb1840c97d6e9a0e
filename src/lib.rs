//! A WebSocket gateway that **owns liveness**. It pings every connection, knows which connections
//! are alive, closes dead ones on time, and reports why every connection ended. This crate is its
//! event loop, for use in any host.
//!
//! One thread, one epoll, one slab of connections and one timer wheel: a deadline costs O(1) and an
//! idle connection costs one slot. A host implements [`Handler`]; the loop is a [`Reactor`].
//!
//! ```
//! use pulsegate::{
//!     Cause, Class, Config, ConnId, Ending, Handler, Io, Message, Reactor, Request, Verdict,
//! };
//!
//! /// Says everything back, and why it ended.
//! struct Echo;
//!
//! impl Handler for Echo {
//!     fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, request: &Request) -> Verdict {
//!         match request.path() {
//!             "/echo" => Verdict::upgrade(Class(0)),
//!             _ => Verdict::refuse(Cause::BAD_REQUEST, 404, "no such path"),
//!         }
//!     }
//!
//!     fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
//!         io.send(id, message);
//!     }
//!
//!     fn on_close(&mut self, _io: &mut Io<'_>, id: ConnId, end: &Ending) {
//!         println!("{id} ended: {} by {} after {}", end.cause, end.by, end.age);
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let listener = pulsegate::reactor::listen(([127, 0, 0, 1], 0).into(), false)?;
//! let mut reactor = Reactor::new(Config::default(), listener, 10_000, Echo)?;
//! # reactor.remote().stop(); // or this example would run for ever
//! reactor.run()
//! # }
//! ```
//!
//! Without default features the crate is only this loop. It starts no thread and installs no signal
//! handler and no logger; log lines go to any implementation of [`log`]. The feature `gateway`
//! (default) adds the product. The feature `testing` adds a network on virtual time for a host's
//! own tests.
//!
//! # What may change
//!
//! The public API is what this documentation shows. It follows semantic versioning. The following
//! is not part of it and may change in any release:
//!
//! - items marked `#[doc(hidden)]`: the product's modules `config`, `control`, `gateway` and
//!   `process`, which are public only for its own program, tests and benchmarks;
//! - the feature `sabotage`;
//! - the texts of errors and log lines.
//!
//! An enum or struct with `#[non_exhaustive]` may get more variants or fields in a minor release.
//! The structs that a host fills in (`Config`, `ClassConfig`, `Policy`, `Upgrade`) are exhaustive,
//! so that a host can write them as literals. Build them with `..Default::default()` where there is
//! a default; a new field then needs no change. Each error is an enum or has
//! [`faults`](ConfigError::faults): it names the field, its value and what is allowed.

#![warn(unreachable_pub, clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod base;
#[cfg(feature = "gateway")]
#[doc(hidden)] // the product; public only for its tests and benchmarks
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
pub mod config;
pub mod engine;
#[cfg(feature = "gateway")]
#[doc(hidden)] // the product; public only for its tests and benchmarks
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
pub mod gateway;
pub mod health;
#[cfg(feature = "gateway")]
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
mod host;
#[doc(hidden)] // between threads of the gateway; public only for tests and benchmarks
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
pub mod mail;
#[cfg(feature = "gateway")]
#[doc(hidden)] // the entry point of the program `main.rs`, which is another crate
pub mod process;
#[cfg(feature = "gateway")]
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
mod query;
pub mod reactor;
#[cfg(feature = "gateway")]
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
mod relay;
#[cfg(feature = "gateway")]
#[doc(hidden)] // the product; public only for its tests and benchmarks
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
pub mod side;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
#[doc(hidden)] // for benchmarks, tests and the load tool
pub mod wire;

#[cfg(feature = "sabotage")]
#[doc(hidden)]
pub use base::sabotage;
pub use base::{cause, time};

pub use base::id::{ConnId, InvalidConnId};
pub use cause::{Cause, CauseInfo, CauseKind, CauseTable, EndCode, EndedBy};
pub use engine::{
    Awaits, Class, ClassConfig, Config, ConfigError, ConfigFault, ConnMap, ConnView, Ending, Full,
    Handler, HealthView, Io, Message, Outlook, PhaseView, Pong, Preamble, Prepared,
    ReconfigureError, Refused, Remote, Reply, Request, Sent, SetPolicyError, TimerId, Traffic,
    Upgrade, Verdict,
};
pub use health::{HealthChange, HealthState, HeartbeatMode, Policy, PolicyError, PolicyFault, Rtt};
pub use reactor::Reactor;
pub use time::Micros;
pub use tungstenite::{Bytes, http};

/// The code in the handbook for embedders, run as tests.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;
