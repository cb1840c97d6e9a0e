//! `CONFIG_WATCH`: a reload when a file of settings has changed.
//!
//! The files are looked at each second. A mounted ConfigMap replaces a symbolic link, which a watch
//! of the file itself would not see.

use super::reload::Reloader;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// What tells one content of a file from another: device, inode, size, and the time of the last
/// change in seconds and nanoseconds.
type FileState = (u64, u64, u64, i64, i64);

/// Starts the thread `config`, which runs until the process ends.
///
/// # Errors
/// The system's error about the thread.
pub(crate) fn start(reloader: Arc<Mutex<Reloader>>) -> io::Result<()> {
    let watch = move || {
        let files = || {
            let reloader = reloader.lock().unwrap_or_else(PoisonError::into_inner);
            reloader.settings.files()
        };
        let mut applied = look(&files());
        let mut before = applied.clone();
        loop {
            std::thread::sleep(INTERVAL);
            let now = look(&files());
            // A file that still changes may be half written.
            let is_settled = now == before && now.iter().all(Option::is_some);
            before.clone_from(&now);
            if is_settled && now != applied {
                log::info!("config_watch effect=reload");
                let mut reloader = reloader.lock().unwrap_or_else(PoisonError::into_inner);
                reloader.reload();
                drop(reloader);
                // The reload may name other files.
                applied = look(&files());
                before.clone_from(&applied);
            }
        }
    };
    std::thread::Builder::new()
        .name("config".to_owned())
        .spawn(watch)
        .map(drop)
}

/// Returns the state of each file; `None` for one that is not there.
fn look(files: &[PathBuf]) -> Vec<Option<FileState>> {
    let state = |file: &PathBuf| {
        let found = fs::metadata(file).ok()?;
        Some((
            found.dev(),
            found.ino(),
            found.size(),
            found.mtime(),
            found.mtime_nsec(),
        ))
    };
    files.iter().map(state).collect()
}
