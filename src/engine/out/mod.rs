//! The queue of unsent bytes for one peer.

mod blocked;
mod entry;
mod frame;
mod queue;

pub(crate) use frame::OutFrame;
pub(crate) use queue::Out;
pub use queue::WriteVectored;
