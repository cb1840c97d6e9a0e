//! What is to go out to one peer and has not gone yet.

mod blocked;
mod frame;
mod piece;
mod queue;

pub(crate) use frame::OutFrame;
pub(crate) use queue::Out;
pub use queue::WriteVectored;
