//! The thin layer around the engine that handles sockets and the clock.

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
