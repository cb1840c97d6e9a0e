//! Dialled connections on real sockets.

mod answers;
mod closes;
mod connects;
mod descriptors;
