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

/// A file, and what tells one content of it from another: device, inode, size, and the time of the
/// last change in seconds and nanoseconds. `None`: it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileState(PathBuf, Option<(u64, u64, u64, i64, i64)>);

impl FileState {
    fn is_there(&self) -> bool {
        self.1.is_some()
    }
}

/// Starts the thread `config`, which runs until the process ends. `applied` is the state of the
/// files when they were read.
///
/// # Errors
/// The system's error about the thread.
pub(crate) fn start(reloader: Arc<Mutex<Reloader>>, applied: Vec<FileState>) -> io::Result<()> {
    let watch = move || {
        let mut applied = applied;
        let files = || {
            let reloader = reloader.lock().unwrap_or_else(PoisonError::into_inner);
            reloader.settings.files()
        };
        let mut before = applied.clone();
        loop {
            std::thread::sleep(INTERVAL);
            let now = look(&files());
            // A file that still changes may be half written.
            let is_settled = now == before && now.iter().all(|state| state.is_there());
            before.clone_from(&now);
            if is_settled && now != applied {
                log::info!("config_watch effect=reload");
                let mut reloader = reloader.lock().unwrap_or_else(PoisonError::into_inner);
                reloader.reload();
                drop(reloader);
                // A change since this look is another one.
                applied = now;
            }
        }
    };
    std::thread::Builder::new()
        .name("config".to_owned())
        .spawn(watch)
        .map(drop)
}

/// Returns the state of each file.
pub(crate) fn look(files: &[PathBuf]) -> Vec<FileState> {
    let state = |file: &PathBuf| {
        let found = fs::metadata(file).ok();
        let state = found.map(|found| {
            (
                found.dev(),
                found.ino(),
                found.size(),
                found.mtime(),
                found.mtime_nsec(),
            )
        });
        FileState(file.clone(), state)
    };
    files.iter().map(state).collect()
}
