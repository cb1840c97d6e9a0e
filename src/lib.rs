//! A WebSocket gateway that **owns liveness**: it pings every connection, knows which of them are alive, finds and closes
//! the ghosts on time, and says why every connection ended. This is the loop inside it, to be embedded in any host.
//!
//! One thread, one epoll, one slab of connections and one timer wheel, so a deadline costs O(1) and a connection at rest
//! costs a slot. A host implements [`Handler`]; the loop is a [`Reactor`].
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
//! Without default features this is all there is: no thread is started, no signal handler and no logger is installed; lines
//! go to whatever implements [`log`]. The feature `gateway` (default) adds the product, `testing` a network on virtual time
//! for a host's own tests.
//!
//! # What may change
//!
//! The public API is what this documentation shows: it follows semantic versioning. Not part of it, and free to change in
//! any release: what is marked `#[doc(hidden)]` (the gateway's modules `config`, `gateway`, `process` and `side`, and `mail`
//! and `wire`, which are public for the crate's own programs, tests and benchmarks), the feature `sabotage`, and the texts of
//! errors and log lines.
//!
//! An enum or struct with `#[non_exhaustive]` may get more variants or fields in a minor release. The structs that a host
//! fills in (`Config`, `ClassConfig`, `Policy`, `Upgrade`) are exhaustive so that they can be written down; build them with
//! `..Default::default()` where there is a default, and a new field is no work for you. Each error is an enum or has
//! [`faults`](ConfigError::faults): it names the field, its value and what is allowed.

#![warn(unreachable_pub, clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod base;
#[cfg(feature = "gateway")]
#[doc(hidden)] // the product; public for its tests and benchmarks alone
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
pub mod config;
#[cfg(feature = "gateway")]
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
mod desk;
pub mod engine;
#[cfg(feature = "gateway")]
#[doc(hidden)] // the product; public for its tests and benchmarks alone
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
#[doc(hidden)] // between threads of the gateway; public for tests and benchmarks alone
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
pub mod mail;
#[cfg(feature = "gateway")]
#[doc(hidden)] // the door of the program `main.rs`, which is another crate
pub mod process;
pub mod reactor;
#[cfg(feature = "gateway")]
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
mod relay;
#[cfg(feature = "gateway")]
#[doc(hidden)] // the product; public for its tests and benchmarks alone
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
pub mod side;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
#[doc(hidden)] // for benches, tests and the load tool
pub mod wire;

#[cfg(feature = "sabotage")]
#[doc(hidden)]
pub use base::sabotage;
pub use base::{cause, time};

pub use base::id::{ConnId, NotAnId};
pub use cause::{By, Cause, CauseInfo, CauseKind, CauseTable, Code};
pub use engine::{
    Awaits, Class, ClassConfig, Config, ConfigError, ConfigFault, ConnMap, ConnView, Ending, Full,
    Handler, HealthView, Io, Message, Outlook, PhaseView, Pong, Preamble, Prepared,
    ReconfigureError, Refused, Remote, Reply, Request, Sent, SetPolicyError, TimerId, Traffic,
    Upgrade, Verdict,
};
pub use health::{HealthChange, HeartbeatMode, Policy, PolicyError, PolicyFault, Rtt, State};
pub use reactor::Reactor;
pub use time::Micros;
pub use tungstenite::{Bytes, http};

/// The code in the handbook for embedders, as tests.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;
