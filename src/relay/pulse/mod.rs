//! Pulse sessions of glasses and apps: what was sent to a peer and not acknowledged, what came from
//! it, and how it is found when it comes back.
//!
//! The slot of a peer that speaks pulse keeps no frames of its own: its backlog names the pulse
//! session here. A pulse session without a slot belongs to an app that has not introduced itself,
//! or to a peer that is told that its session has ended.

mod peer_due;
mod peer_events;
mod peer_owner;
mod pulse_key;
mod pulse_peer;
mod pulse_peers;
mod pulse_sending;
mod waiting_peers;

pub(in crate::relay) use self::peer_due::PeerDue;
pub(in crate::relay) use self::peer_owner::PeerOwner;
pub(in crate::relay) use self::pulse_key::PulseKey;
pub(in crate::relay) use self::pulse_peer::{PeerEnd, UnackedFrame};
pub(in crate::relay) use self::pulse_peers::{Detached, PulsePeers, ResumeClaim};
pub(in crate::relay) use self::pulse_sending::Keeping;
pub(in crate::relay) use self::waiting_peers::WaitingPeer;
