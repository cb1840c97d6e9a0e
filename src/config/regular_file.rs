//! Reads small regular files, and checks where a file can be created.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::setting_faults::Requirement;

/// Reads the file at `path`, which may be a link to one, if it has at most `max` bytes.
///
/// Only a regular file is opened. Opening a FIFO blocks until it has a writer, possibly without
/// end, and opening a device may have any effect.
///
/// # Errors
/// What the path must be instead.
pub(super) fn read(path: &Path, max: usize) -> Result<Vec<u8>, Requirement> {
    let unreadable = |e: std::io::Error| Requirement(format!("a readable file: {e}"));
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Requirement("a regular file".to_owned()));
    }
    let mut content = Vec::new();
    // The length reported by the file system may be outdated, and is zero below /proc.
    let limit = u64::try_from(max).map_or(u64::MAX, |max| max.saturating_add(1));
    let file = File::open(path).map_err(unreadable)?;
    file.take(limit)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() > max {
        return Err(Requirement(format!("a file of at most {max} bytes")));
    }
    Ok(content)
}

/// Checks that `path` is a regular file, or a link to one, or could be created there because its
/// folder exists. Nothing is opened or created, so whether it is writable is not checked.
///
/// # Errors
/// What the path must be instead.
pub(super) fn check_creatable(path: &Path) -> Result<(), Requirement> {
    let must_be = |what: &str| Err(Requirement(what.to_owned()));
    let no_folder = |e| Err(Requirement(format!("a file in an existing folder: {e}")));
    match fs::metadata(path) {
        Ok(found) if found.is_file() => return Ok(()),
        Ok(_) => return must_be("a regular file, or one that does not exist yet"),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return no_folder(e),
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    match fs::metadata(folder.unwrap_or(Path::new("."))) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => must_be("a file in a folder; the parent of this path is not a folder"),
        Err(e) => no_folder(e),
    }
}
