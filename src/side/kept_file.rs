//! Files that outlive the process: read once, and replaced by a new file at each write, which is
//! synced to disk and then renamed. So a complete file exists at every moment.

use super::process::is_mount_point;
use crate::base::time::{Micros, UnixMillis};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The suffix of files that are being written.
const UNFINISHED_SUFFIX: &str = ".new";

/// The limit of symbolic links to follow, as in the kernel.
const LINKS_MAX: usize = 40;

/// The number of unreadable files that are kept. If there are more, the earlier ones matter most:
/// `.bad` holds the state before anything went wrong, and the last name holds the latest.
const BAD_MAX: usize = 10;

/// An unfinished file older than this is abandoned: no write takes as long.
const ABANDONED_AFTER: Micros = Micros::from_secs(60);

/// What a kept file has left.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::side) enum Kept<T> {
    /// There is no file.
    Missing,
    /// Its content.
    Content(T),
    /// It cannot be parsed, for this reason, and was moved to this path.
    SetAside(String, PathBuf),
}

/// Reads what another process has left, of at most `most` bytes and one. A file that cannot be
/// parsed is moved to `<path>.bad`, or if that exists to `<path>.bad.1` and so on to
/// `<path>.bad.9`, which is overwritten.
///
/// # Errors
/// The system's error if the file cannot be read, or if its folder is not writable.
pub(in crate::side) fn read<T, E: fmt::Display>(
    path: &Path,
    most: usize,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
) -> io::Result<Kept<T>> {
    let path = &*kept_target(path)?;
    check_regular(path)?;
    check_folder(path)?;
    remove_abandoned(path);
    let mut text = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(most as u64 + 1).read_to_end(&mut text)?,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Kept::Missing),
        Err(e) => return Err(e),
    };
    match parse(&text) {
        Ok(content) => Ok(Kept::Content(content)),
        Err(why) => {
            let bad_path = bad_path(path);
            fs::rename(path, &bad_path)?;
            Ok(Kept::SetAside(why.to_string(), bad_path))
        }
    }
}

/// Follows symbolic links from `path` and returns the file that they lead to, whether it exists or
/// not. Each write replaces that file by a new one, and the links stay.
///
/// # Errors
/// If a link cannot be read, or the links form a loop. Also if something is mounted on the file
/// itself (a container's bind mount of a single file), because such a file cannot be replaced.
pub fn kept_target(path: &Path) -> io::Result<PathBuf> {
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

/// Checks that the file is a regular one, or does not exist: a device must not be replaced.
fn check_regular(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            let error = "it is not a regular file";
            Err(io::Error::new(ErrorKind::InvalidInput, error))
        }
        _ => Ok(()),
    }
}

/// Checks that a file can be created in the folder of a kept file.
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

pub(in crate::side) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
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

pub(in crate::side) fn write(path: &Path, text: &str) -> io::Result<()> {
    let path = &*kept_target(path)?;
    check_regular(path)?;
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
