//! The frames of all cases, for tests that send them elsewhere.

use crate::protocol::autobahn::{closing, frames, limits, utf8};

/// Returns the name of each case, and the frames that its client sends.
pub fn all_frames() -> Vec<(String, Vec<Vec<u8>>)> {
    [
        frames::cases(),
        utf8::cases(),
        closing::cases(),
        limits::cases(),
    ]
    .into_iter()
    .flatten()
    .map(|case| (case.name, case.frames))
    .collect()
}
