//! `STATE_FILE`: which apps run for which users, kept across restarts.
//!
//! The thread `jobs` keeps a mirror of this state. If it has changed, the thread writes it at
//! most once a second: to a new file in the same folder, which is synced to disk and then renamed.
//! So a complete file exists at every moment. If the path is a symbolic link, the file that it
//! leads to is replaced, and the link stays.

mod disk;
mod mirror;
mod store;

pub use self::disk::{StartedApps, StateLock, load, lock_state};
pub(super) use self::store::{FlushReply, Store};
pub use self::store::{StateFile, StateFileStats};
