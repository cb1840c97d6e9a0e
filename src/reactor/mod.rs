//! The thin layer around the engine that handles sockets and the clock.

mod accept;
mod acceptor;
mod connect;
mod flush;
mod hand_over;
mod listen;
#[cfg(feature = "gateway")]
mod local_address;
mod read;
mod socket_exchange;
mod sockets;
mod tcp_info;
mod token;
mod turn;

#[cfg(feature = "gateway")]
pub(crate) use connect::{begin_connect, has_peer};
pub use listen::{granted_backlog, listen};
#[cfg(feature = "gateway")]
pub(crate) use local_address::is_local_address;
pub use socket_exchange::{HandedOverSocket, ReturnSender};
pub use turn::{EXTRA_DESCRIPTORS, Reactor};
