//! The engine: WebSocket connections without sockets. Bytes and the time go in; bytes and calls of
//! the handler come out.
//!
//! A driver (the reactor, or a test on virtual time) makes these calls in each turn, in this order:
//!
//! 1. [`accept`](Engine::accept) for each new connection.
//! 2. [`read_action`](Engine::read_action), and the call that it asks for, for each connection that
//!    may have input and each that [`take_ready`](Engine::take_ready) names. If
//!    [`on_bytes`](Engine::on_bytes) returns a [`Forward`], the driver writes its bytes to another
//!    connection and calls [`on_forwarded`](Engine::on_forwarded), until that returns `None`.
//! 3. [`on_late`](Engine::on_late), after one more read, for each connection that
//!    [`next_late`](Engine::next_late) names. A driver that leaves this out has no late heartbeats.
//! 4. [`advance`](Engine::advance).
//! 5. [`final_check`](Engine::final_check), after one more read, for each connection that
//!    [`next_final_check`](Engine::next_final_check) names.
//! 6. [`take_dials`](Engine::take_dials): the driver begins to connect to the servers that it
//!    names. It calls [`on_connected`](Engine::on_connected),
//!    [`on_connect_error`](Engine::on_connect_error) or
//!    [`on_connect_busy`](Engine::on_connect_busy), at once or before step 1 of a later turn.
//! 7. [`flush`](Engine::flush) for each connection that [`take_dirty`](Engine::take_dirty) names.
//! 8. [`reap`](Engine::reap), the only step that frees slots.
//!
//! Then the driver may sleep for the time that [`sleep_time`](Engine::sleep_time) returns.

#[cfg(feature = "testing")]
mod audit;
mod bucket;
mod cohort_ref;
mod cohort_view;
mod cohorts;
mod config;
mod conn;
mod conn_map;
mod conn_set;
mod control_frames;
mod core;
mod deadlines;
mod dial;
mod dialing;
mod drain;
mod ending;
#[expect(
    clippy::module_inception,
    reason = "the state machine itself, beside its steps"
)]
mod engine;
mod entropy;
mod flags;
mod fleet_watch;
mod foresight;
mod forwarding;
mod frames;
mod gathering;
mod half_open;
mod hand_over;
mod handed_over;
mod handler;
mod handshake_out;
mod heartbeats;
mod held;
mod input;
mod input_state;
mod io;
mod late;
mod late_queue;
mod leg_input;
mod life_news;
mod link;
mod message;
mod opening;
mod out;
mod outbound;
mod pair_closing;
mod pausing;
mod policies;
mod prepared;
mod receipts;
mod remote;
mod retry;
mod silence;
mod stats;
mod table;
mod tcp_progress;
mod timers;
mod traffic;
mod verdict;
mod view;
#[doc(hidden)] // for benchmarks and model tests
pub mod wheel;
mod work;

pub use crate::base::id::{Class, TimerId};
pub use crate::base::network_block::NetworkBlock;
pub use crate::transport::Preamble;
pub use crate::wire::HeartbeatText;
pub use crate::wire::http::{
    DialRequest, DialRequestFault, Reply, Request, Response, ResponseFault,
};
pub use cohort_view::{CadenceView, CohortView, FleetView, OwnFault, SavedCohort};
pub use config::{
    AdaptiveCadence, ClassConfig, Config, ConfigError, ConfigFault, ReconfigureError,
    SetPolicyError,
};
pub use conn_map::ConnMap;
pub(crate) use conn_set::REFUSED_MAX;
pub use dial::{Dial, DialAddress, DialError, ResponseVerdict};
pub use ending::{Ending, PartnerEnd};
pub use engine::Engine;
pub use forwarding::Forward;
pub use handed_over::{HandedOver, Place};
pub use handler::Handler;
pub use input::ReadAction;
pub use io::Io;
pub use link::{LinkRules, PairEnd};
pub use message::{Message, Pong, SendError, SendOutcome};
pub use out::WriteVectored;
pub use outbound::FlushOutcome;
pub use prepared::PreparedMessage;
pub use remote::{QueueFull, Remote};
pub use silence::{KernelEvidence, SilenceEvidence};
pub use stats::{ClassStats, Histogram, PausedTime, Stats};
pub use tcp_progress::TcpProgress;
pub use traffic::Traffic;
pub use verdict::{Overdue, Upgrade, Verdict};
pub use view::{CloseStage, ConnView, HealthView, Outlook, PaceView, PhaseView};
pub use work::{SHARE_UNITS, TURN_UNITS};
