//! The client of pulse: a WebSocket whose session outlives its connections.
//!
//! After a loss the client connects again and the session goes on: no message is lost or doubled,
//! as long as the gateway holds the session. In front of a service that does not speak pulse it is
//! a plain WebSocket that reconnects. The handbook is `docs/clients.md`.
//!
//! - [`PulseSocket`] has a loop of its own: for programs that are no hosts.
//! - [`PulseClients`] are any number of clients on the loop of a [`Handler`](crate::Handler).
//! - [`ClientCore`] is the life of one client, without a clock and a socket: for another transport.
//!
//! With the feature `testing`, [`FakePulse`] is a small gateway. It runs on virtual time, linked to
//! the host under test by [`LinkedNets`](crate::testing::LinkedNets), which cuts connections at any
//! byte.
//!
//! # Bounds
//!
//! A client keeps at most [`ClientOptions::max_buffered_bytes`] (1 MiB) and 16 384 messages; a
//! message beyond that is refused. It makes at most ten tries in a minute, and remembers the last
//! twelve ends for its report. A control frame has at most 4 096 bytes. A message that comes is
//! limited by [`Config::max_message_bytes`](crate::Config::max_message_bytes).
//!
//! # Clock
//!
//! The clock of the deadlines goes on while the machine sleeps (`CLOCK_BOOTTIME` on Linux), the
//! timers of the loop do not. A timer that is more than a second late so tells the client that the
//! machine slept, or that the process was stopped. Then the client asks the gateway and waits 3 s
//! for the answer.

mod clients;
mod close_class;
mod connection_end;
mod core;
mod dial_target;
mod ending_code;
mod event;
#[cfg(feature = "testing")]
mod fake_pulse;
mod history;
mod options;
mod outbox;
mod passed_calls;
mod random;
mod reconnect_rule;
mod schedule;
mod send_error;
mod socket;
mod watchdog;

pub use self::clients::{ClientId, PulseClients};
pub use self::connection_end::ConnectionEnd;
pub use self::core::{ClientAction, ClientCore};
pub use self::event::{Attempt, ClientEvent, ClientPhase, LinkQuality, ResumeHint, SessionTerms};
#[cfg(feature = "testing")]
pub use self::fake_pulse::FakePulse;
pub use self::options::ClientOptions;
pub use self::outbox::Unconfirmed;
pub use self::reconnect_rule::{CloseInfo, Reconnect, ReconnectRule};
pub use self::send_error::{ClientSendError, InvalidCloseCode};
pub use self::socket::PulseSocket;

/// The pure parts, which `tests/pulse_vectors.json` specifies.
#[doc(hidden)] // for the vectors
pub use self::{
    outbox::ClientOutbox,
    random::Mulberry32,
    schedule::{EndSigns, Schedule},
    watchdog::{SilenceWatchdog, WatchdogVerdict},
};
