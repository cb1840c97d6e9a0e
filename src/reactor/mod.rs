//! Sockets and the clock: the thin shell around the engine.

mod accept;
mod acceptor;
mod flush;
mod kernel;
mod listen;
mod read;
mod sockets;
mod token;
mod turn;

pub use listen::{granted_backlog, listen};
pub use turn::{EXTRA_DESCRIPTORS, Reactor};
