//! The state file on disk: read once, locked against other processes, and replaced by a new file at
//! each write.

use crate::base::time::{Micros, UnixMillis};
use crate::side::process::is_mount_point;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The largest state that is kept, in bytes as written: enough for some hundred thousand users.
pub(super) const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The suffix of files that are being written.
const UNFINISHED_SUFFIX: &str = ".new";

/// The suffix of the file that a process locks.
const LOCK_SUFFIX: &str = ".lock";

/// The limit of symbolic links to follow, as in the kernel.
const LINKS_MAX: usize = 40;

/// The number of unreadable files that are kept. If there are more, the earlier ones matter most:
/// `.bad` holds the state before anything went wrong, and the last name holds the latest.
const BAD_MAX: usize = 10;

/// An unfinished file older than this is abandoned: no write takes as long.
const ABANDONED_AFTER: Micros = Micros::from_secs(60);

pub(super) const JSON_HEAD: &str = "{\"version\":1,\"started\":{";

pub(super) const JSON_TAIL: &str = "\n}}\n";

/// For each user, the packages of the apps that the user has started.
pub type StartedApps = Vec<(Box<str>, Vec<Box<str>>)>;

/// Reads the state that another process has left. A missing file is an empty state. A file that
/// cannot be parsed is moved aside and logged, and the state is empty. It is moved to `<path>.bad`,
/// or if that exists to `<path>.bad.1` and so on to `<path>.bad.9`, which is overwritten.
///
/// # Errors
/// The system's error if the file cannot be read, or if its folder is not writable.
pub fn load(path: &Path) -> io::Result<StartedApps> {
    let path = &*state_target(path)?;
    check_folder(path)?;
    remove_abandoned(path);
    let mut text = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(BYTES_MAX as u64 + 1).read_to_end(&mut text)?,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    match parse(&text) {
        Ok(started) => Ok(started),
        Err(why) => {
            let (bad_path, why) = (bad_path(path), why.to_string());
            fs::rename(path, &bad_path)?;
            log::error!(
                "state_file path={path:?} error={why:?} moved_to={bad_path:?}: the file cannot be \
                 read, so no started apps are restored"
            );
            Ok(Vec::new())
        }
    }
}

/// Follows symbolic links from `path` and returns the file that they lead to, whether it exists or
/// not. Each write replaces that file by a new one, and the links stay.
///
/// # Errors
/// If a link cannot be read, or the links form a loop. Also if something is mounted on the file
/// itself (a container's bind mount of a single file), because such a file cannot be replaced.
pub fn state_target(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&target) {
            Ok(to) => target = folder_of(&target).join(to),
            // Not a link, or does not exist yet.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::NotADirectory
                ) =>
            {
                return match is_mount_point(&target) {
                    false => Ok(target),
                    true => Err(io::Error::new(
                        ErrorKind::ResourceBusy,
                        "the file itself is a mount and cannot be replaced; mount its folder \
                         instead",
                    )),
                };
            }
            Err(e) => return Err(e),
        }
    }
    let error = format!("more than {LINKS_MAX} symbolic links");
    Err(io::Error::new(ErrorKind::InvalidInput, error))
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
    let name = with_suffix(&state_target(path)?, LOCK_SUFFIX);
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

/// Checks that a file can be created in the folder of the state file.
fn check_folder(path: &Path) -> io::Result<()> {
    let (name, _) = create_unfinished(path)?;
    fs::remove_file(name)
}

/// Removes unfinished files of other processes. Young ones stay: they may belong to a previous
/// process that still drains.
fn remove_abandoned(path: &Path) {
    let Some(own) = path.file_name().map(|name| name.to_string_lossy()) else {
        return;
    };
    // A file that cannot be listed or removed does no harm.
    let entries = fs::read_dir(folder_of(path)).into_iter().flatten();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let rest = name.strip_prefix(&*own);
        let is_ours = rest.is_some_and(|r| r.starts_with('.') && r.ends_with(UNFINISHED_SUFFIX));
        let modified = entry.metadata().and_then(|m| m.modified());
        let is_old = modified.is_ok_and(|at| {
            let age = UnixMillis::now().0.saturating_sub(UnixMillis::from(at).0);
            age > ABANDONED_AFTER.as_millis()
        });
        if is_ours && is_old {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Returns the path to which an unreadable file is moved.
fn bad_path(path: &Path) -> PathBuf {
    let name = |nth| match nth {
        0 => with_suffix(path, ".bad"),
        nth => with_suffix(path, &format!(".bad.{nth}")),
    };
    // A name that cannot be checked counts as taken.
    let is_free = |name: &PathBuf| {
        let found = fs::symlink_metadata(name);
        found.is_err_and(|e| e.kind() == ErrorKind::NotFound)
    };
    let free = (0..BAD_MAX - 1).map(name).find(is_free);
    free.unwrap_or_else(|| name(BAD_MAX - 1))
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Creates an empty file under a unique name, readable only by this user. The name is unique so
/// that a second process with the same setting cannot make us rename its unfinished file to the
/// final name.
fn create_unfinished(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = with_suffix(
        path,
        &format!(".{:016x}{UNFINISHED_SUFFIX}", fastrand::u64(..)),
    );
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&name)?;
    Ok((name, file))
}

pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let path = &*state_target(path)?;
    let (unfinished, mut file) = create_unfinished(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // The failed write may have filled the disk.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    File::open(folder_of(path))?.sync_all()
}
