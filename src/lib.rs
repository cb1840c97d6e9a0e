//! A WebSocket gateway that **owns liveness**: it pings every connection, knows which of them are alive, finds and closes
//! the ghosts on time, and says why every connection ended. This is the loop inside it, to be embedded in any host.
//!
//! One thread, one epoll, one slab of connections and one timer wheel, so a deadline costs O(1) and a connection at rest
//! costs a slot. A host implements [`Handler`]; the loop is a [`Reactor`].
//!
//! ```
//! use pulsegate::{Class, Config, ConnId, Ending, Handler, Io, Message, Reactor, Request, Verdict};
//!
//! /// Says everything back, and why it ended.
//! struct Echo;
//!
//! impl Handler for Echo {
//!     fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, request: &Request) -> Verdict {
//!         match request.path() {
//!             "/echo" => Verdict::upgrade(Class(0)),
//!             _ => Verdict::refuse(404, "no such path"),
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

pub mod cause;
#[cfg(feature = "gateway")]
pub mod config;
#[cfg(feature = "gateway")]
pub mod control;
#[cfg(feature = "gateway")]
pub mod desk;
pub mod engine;
#[cfg(feature = "gateway")]
pub mod gateway;
pub mod health;
#[cfg(feature = "gateway")]
pub mod host;
mod id;
#[cfg(feature = "gateway")]
pub mod logging;
pub mod mail;
pub mod reactor;
#[cfg(feature = "gateway")]
pub mod relay;
#[cfg(feature = "sabotage")]
#[doc(hidden)]
pub mod sabotage;
#[cfg(not(feature = "sabotage"))]
mod sabotage;
pub mod time;

pub use cause::{By, Cause, Code};
pub use engine::{
    Awaits, Class, ClassConfig, Config, ConnMap, ConnView, Ending, Full, Handler, HealthView, Io,
    Message, Outlook, PhaseView, Pong, Preamble, Prepared, Refused, Remote, Reply, Request, Sent,
    TimerId, Traffic, Upgrade, Verdict,
};
pub use health::{HealthChange, HeartbeatMode, Policy, Rtt, State};
pub use id::{ConnId, NotAnId};
pub use reactor::Reactor;
pub use time::Micros;
pub use tungstenite::{Bytes, http};

/// The code in the handbook for embedders, as tests.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;
