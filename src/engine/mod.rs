//! The engine: WebSocket connections without sockets. Bytes and the time go in; bytes and calls of
//! the handler come out.
//!
//! A driver (the reactor, or a test on virtual time) makes these calls in each turn, in this order:
//!
//! 1. [`accept`](Engine::accept) for each new connection.
//! 2. [`intake`](Engine::intake), and the call that it asks for, for each connection that may have
//!    input and each that [`take_ready`](Engine::take_ready) names.
//! 3. [`advance`](Engine::advance).
//! 4. [`judge`](Engine::judge), after one more read, for each connection that
//!    [`next_doubtful`](Engine::next_doubtful) names.
//! 5. [`flush`](Engine::flush) for each connection that [`take_dirty`](Engine::take_dirty) names.
//! 6. [`reap`](Engine::reap), the only step that frees slots.
//!
//! Then the driver may sleep for the time that [`sleep`](Engine::sleep) returns.

#[cfg(feature = "testing")]
mod audit;
mod bucket;
mod config;
mod conn;
mod conn_map;
mod controls;
mod core;
mod deadlines;
mod drain;
mod ending;
#[expect(
    clippy::module_inception,
    reason = "the state machine itself, beside its steps"
)]
mod engine;
mod evidence;
mod frames;
mod handler;
mod held;
mod intake;
mod io;
mod message;
mod opening;
mod out;
mod outbound;
mod pausing;
mod places;
mod policies;
mod prepared;
mod receipts;
mod remote;
mod retry;
mod stats;
mod table;
mod timers;
mod traffic;
mod verdict;
mod view;
#[doc(hidden)] // for benchmarks and model tests
pub mod wheel;
mod work;
mod yielding;

pub use crate::base::id::{Class, TimerId};
pub use crate::transport::Preamble;
pub use crate::wire::http::{Reply, Request};
pub use config::{ClassConfig, Config, ConfigError, ConfigFault, ReconfigureError, SetPolicyError};
pub use conn_map::ConnMap;
pub use ending::Ending;
pub use engine::Engine;
pub use evidence::Kernel;
pub use handler::Handler;
pub use intake::Intake;
pub use io::Io;
pub use message::{Message, Pong, Refused, Sent};
pub use out::WriteVectored;
pub use outbound::Flushed;
pub(crate) use places::REFUSED_MAX;
pub use prepared::Prepared;
pub use remote::{Full, Remote};
pub use stats::{ClassStats, Histogram, Stats};
pub use traffic::Traffic;
pub use verdict::{Upgrade, Verdict};
pub use view::{Awaits, ConnView, HealthView, Outlook, PhaseView};
pub use work::{SHARE_UNITS, TURN_UNITS};
