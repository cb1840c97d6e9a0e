//! `STATE_FILE`: which apps were started for whom, so that a restart does not forget it.
//!
//! The side thread keeps a mirror of it and writes that at most once a second, if it has changed: a new file beside the old
//! one, on disk before it takes its name. So at every moment there is a whole one. If the path is a symbolic link, that is
//! done with the file it leads to, and the link stays.

mod disk;
mod mirror;
mod store;

pub use self::disk::{Started, StateLock, load, lock_state, state_target};
pub(super) use self::store::{Flush, Store};
pub use self::store::{StateFile, StateFileStats};
