//! WebSocket frames, good and bad.

pub mod autobahn;
mod bad_frames;
