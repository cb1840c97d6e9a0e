//! A network on virtual time: an engine, its host, and scripted peers. No sockets, no clock, no
//! threads.
//!
//! ```
//! use pulsegate::testing::Net;
//! use pulsegate::cause::Cause;
//! # use pulsegate::engine::*; use pulsegate::ConnId;
//! # struct Echo;
//! # impl Handler for Echo {
//! #     fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
//! #         Verdict::upgrade(Class(0))
//! #     }
//! #     fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, m: Message) { io.send(id, m); }
//! # }
//! let mut net = Net::new(Config::default(), Echo);
//! let a = net.connect("/");
//! net.advance(300_000);
//! assert!(net.is_open(a), "it answers every ping");
//! net.mute(a);
//! net.advance(50_000);
//! net.expect_closed(a, Cause::STALE);
//! ```

mod dials;
mod frames;
mod link;
mod linked_nets;
mod net;
mod outcome;
mod peer;
mod peer_actions;
mod recorder;
mod turn;

pub use frames::{
    client_frame, count_frames, frame_of_server, server_frame, upgrade_request, upgrade_response,
};
pub use linked_nets::LinkedNets;
pub use net::{AuditError, Net};
pub use peer::{AnswerText, OnDial, PeerId, Received};
