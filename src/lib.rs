//! A WebSocket gateway that **owns liveness**. It pings every connection, knows which connections
//! are alive, closes dead ones on time, and reports why every connection ended. This crate is its
//! event loop, for use in any host. This page is the contract; the handbook for hosts is
//! `docs/embedding.md`.
//!
//! One thread, one epoll, one slab of connections and one timer wheel: a deadline costs O(1) and an
//! idle connection costs one slot. A host implements [`Handler`]; the loop is a [`Reactor`].
//!
//! ```
//! use pulsegate::{
//!     Cause, Class, Config, ConnId, Ending, Handler, Io, Message, Reactor, Request, Verdict,
//! };
//!
//! /// Sends every message back, and prints why a connection ended.
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
//! # The turn
//!
//! [`Reactor::run`] repeats turns; a host with events of its own calls [`Reactor::run_turn`]. A
//! turn has fixed steps, each with a budget. What a step leaves over begins the next turn.
//!
//! 1. **Wait** until a socket is ready, another thread calls, or a deadline is due. A dial whose
//!    connect is complete sends its request in this turn.
//! 2. **Accept** new connections. No call of the handler.
//! 3. **Read**: `on_preamble`, `on_health_check`, `on_request` or `on_unserved`, `on_response`,
//!    `on_open`, `on_message`, `on_continue`, `on_pong`, `on_mangled_pong`, `on_health` (healthy
//!    again), `on_throttled`.
//! 4. **Commands** of other threads ([`Remote`]): `on_open` after a verdict that was deferred, then
//!    `on_wake`.
//! 5. **Time**: `on_late`, `on_timer`, `on_health` (suspect). Connections with a heartbeat that
//!    seems late, and those that seem stale, are read once more before, with calls as in step 3.
//! 6. **Connect** to the servers that the host has dialled. No call of the handler.
//! 7. **Flush**: heartbeats first, then data; `on_writable`.
//! 8. **Reap**: `on_close` or `on_reject`, once for each connection that has ended; `on_cohort`.
//!    Slots are freed here only, so no [`ConnId`] changes its meaning during a turn.
//!
//! `on_pair_end` comes in whichever step one connection of a linked pair ends.
//!
//! # What a handler may do
//!
//! - All calls are on the thread of the loop, one at a time. [`Io`] is the only way to act. It
//!   records effects at once; nothing is written and no other call is made before the handler has
//!   returned.
//! - A call must not block and takes a fraction of a millisecond. Longer work goes to another
//!   thread, with [`Verdict::Defer`] or [`Remote`], or is done in steps ([`Io::set_unfinished`],
//!   timers).
//! - Work that grows with what a peer sends is counted with [`Io::spend`], in units of about a
//!   microsecond. A connection has 200 units a turn, all together have 2 000. Beyond that its input
//!   waits.
//! - Memory that is kept for peers is counted with [`Io::charge`] and [`Io::release`]. It shares
//!   [`Config::max_buffered_bytes`] with the loop's own buffers.
//! - `on_close` comes exactly once for each connection that was dialled or whose verdict was
//!   [`Verdict::Upgrade`], [`Verdict::Defer`] or [`Verdict::DeferFor`]. `on_reject` comes once for
//!   every other connection. State that begins in `on_request` or with [`Io::dial`] always has an
//!   end.
//! - [`Io::dial`] opens a WebSocket to a server. [`Io::link`] makes two connections a pair, whose
//!   frames are forwarded without a call of the handler.
//! - [`SendOutcome`] says what became of a message: it goes out, it waits, or it is refused. No
//!   message is dropped silently. [`Pong::received`] and [`Ending::unsent`] say what arrived.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | none | the loop: no thread, no signal handler, no logger; log lines go to [`log`] |
//! | `gateway` (default) | the program `pulsegate`: relay, settings, admin listener |
//! | `client` | the modules `client` and `pulse`: a client whose session outlives its connections |
//! | `swarm` | the load tool `pulsegate-swarm` |
//! | `testing` | the module `testing`: a host on virtual time, without a socket |
//! | `sabotage` | deliberate bugs for the crate's own tests; never in production |
//!
//! # Errors
//!
//! An error of one connection is never an error of the loop: it ends that connection, for a
//! [`Cause`]. [`Reactor::new`], [`Reactor::run_turn`] and [`Reactor::run`] return
//! [`io::Error`](std::io::Error): `InvalidInput` with a [`ConfigError`] inside for a wrong
//! configuration, every other kind from the system. [`SetPolicyError`] and [`ReconfigureError`]
//! mean that nothing has changed, [`SendError`] that a message was not taken, [`QueueFull`] that
//! the command may be tried again. Each error is an enum or has [`faults`](ConfigError::faults): it
//! names the field, its value and what is allowed.
//!
//! # What may change
//!
//! The public API is what this documentation shows. It follows semantic versioning. The following
//! is not part of it and may change in any release:
//!
//! - items marked `#[doc(hidden)]`: the modules `config`, `gateway`, `mail`, `process`, `side` and
//!   `wire`, which are public only for the crate's own programs, tests and benchmarks;
//! - the feature `sabotage`;
//! - the texts of errors and log lines.
//!
//! An enum or struct with `#[non_exhaustive]` may get more variants or fields in a minor release.
//! The structs that a host fills in (`Config`, `ClassConfig`, `Policy`, `Upgrade`) are exhaustive,
//! so that a host can write them as literals. Build them with `..Default::default()` where there is
//! a default. Before 1.0 the second number of the version counts as the major one, as for Cargo.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub, clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod base;
#[cfg(feature = "gateway")]
#[allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not in the documented API"
)]
mod bridge;
#[cfg(feature = "client")]
pub mod client;
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
#[cfg(any(feature = "gateway", feature = "client"))]
pub mod pulse;
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
    AdaptiveCadence, Class, ClassConfig, CloseStage, Config, ConfigError, ConfigFault, ConnMap,
    ConnView, Dial, DialAddress, DialError, DialRequest, DialRequestFault, Ending, Handler,
    HealthView, HeartbeatText, Io, LinkRules, Message, Outlook, PairEnd, PhaseView, Pong, Preamble,
    PreparedMessage, QueueFull, ReconfigureError, Remote, Reply, Request, Response, ResponseFault,
    ResponseVerdict, SendError, SendOutcome, SetPolicyError, TimerId, Traffic, Upgrade, Verdict,
};
pub use health::{
    AliveBy, HealthChange, HealthState, HeartbeatForm, HeartbeatMode, Policy, PolicyError,
    PolicyFault, Rtt, StaleAction,
};
pub use reactor::Reactor;
pub use time::Micros;
pub use tungstenite::{Bytes, http};

/// The code in the handbook for embedders, run as tests.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;

/// The code in the page about clients, run as tests.
#[cfg(all(doctest, feature = "client", feature = "testing"))]
#[doc = include_str!("../docs/clients.md")]
struct Clients;
