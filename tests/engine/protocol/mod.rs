//! WebSocket frames, good and bad.

mod autobahn;
mod bad_frames;
