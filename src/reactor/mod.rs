//! The thin layer around the engine that handles sockets and the clock.

mod accept;
mod acceptor;
mod connect;
mod flush;
mod listen;
mod read;
mod sockets;
mod tcp_info;
mod token;
mod turn;

pub use listen::{granted_backlog, listen};
pub use turn::{EXTRA_DESCRIPTORS, Reactor};
