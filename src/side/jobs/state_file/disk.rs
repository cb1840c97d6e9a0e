//! The state file on disk: its form, and the lock against other processes.

use crate::side::kept_file::{self, Kept, kept_target, with_suffix};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The largest state that is kept, in bytes as written: enough for some hundred thousand users.
pub(super) const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The suffix of the file that a process locks.
const LOCK_SUFFIX: &str = ".lock";

pub(super) const JSON_HEAD: &str = "{\"version\":1,\"started\":{";

pub(super) const JSON_TAIL: &str = "\n}}\n";

/// For each user, the packages of the apps that the user has started.
pub type StartedApps = Vec<(Box<str>, Vec<Box<str>>)>;

/// Reads the state that another process has left. A missing file is an empty state. A file that
/// cannot be parsed is moved aside and logged, and the state is empty.
///
/// # Errors
/// The system's error if the file cannot be read, or if its folder is not writable.
pub fn load(path: &Path) -> io::Result<StartedApps> {
    match kept_file::read(path, BYTES_MAX, parse)? {
        Kept::Missing => Ok(Vec::new()),
        Kept::Content(started) => Ok(started),
        Kept::SetAside(why, bad_path) => {
            log::error!(
                "state_file path={path:?} error={why:?} moved_to={bad_path:?}: the file cannot be \
                 read, so no started apps are restored"
            );
            Ok(Vec::new())
        }
    }
}

/// The lock that a process holds for as long as it keeps a state file.
#[derive(Debug)]
pub struct StateLock {
    /// The lock file, which is locked until it is closed. `None`: a thread waits for the lock, or
    /// the file system does not support locks.
    _file: Option<File>,
}

/// Locks the state file at `path` against other processes, by a file `<path>.lock` beside it, which
/// is never removed.
///
/// With `waits`, the previous process may still hold the lock: then a thread takes it when that
/// process has ended.
///
/// # Errors
/// If another process holds the lock and `waits` is false, or if the lock file cannot be created.
pub fn lock_state(path: &Path, waits: bool) -> io::Result<StateLock> {
    let name = with_suffix(&kept_target(path)?, LOCK_SUFFIX);
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)?;
    match file.try_lock() {
        Ok(()) => Ok(StateLock { _file: Some(file) }),
        Err(TryLockError::WouldBlock) if waits => {
            log::warn!(
                "state_file path={path:?} lock=waits reason=\"another process uses this file and \
                 writes it until it ends\""
            );
            let thread = std::thread::Builder::new().name("state lock".to_owned());
            thread.spawn(move || {
                if file.lock().is_ok() {
                    // Keeps the lock until the process ends.
                    std::mem::forget(file);
                }
            })?;
            Ok(StateLock { _file: None })
        }
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            ErrorKind::ResourceBusy,
            format!("another process uses it and has locked {}", name.display()),
        )),
        Err(TryLockError::Error(e)) => {
            log::warn!("state_file path={path:?} lock=none error=\"{e}\"");
            Ok(StateLock { _file: None })
        }
    }
}

/// Why a state file cannot be parsed: another version wrote it, or it is damaged.
#[derive(Debug, thiserror::Error)]
enum ParseError {
    #[error("it has more than {BYTES_MAX} bytes")]
    TooLong,
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("its version is {0}; 1 is known")]
    Version(u32),
}

fn parse(text: &[u8]) -> Result<StartedApps, ParseError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct FileContents {
        version: u32,
        // Sets, because an edited file may list an app twice.
        started: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    }
    if text.len() > BYTES_MAX {
        return Err(ParseError::TooLong);
    }
    let document: FileContents = serde_json::from_slice(text)?;
    match document.version {
        1 => {
            let users = document.started.into_iter();
            let lists = users.map(|(user, packages)| (user, packages.into_iter().collect()));
            Ok(lists.collect())
        }
        other => Err(ParseError::Version(other)),
    }
}
