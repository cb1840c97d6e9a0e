//! `STATE_FILE`: which apps were started for whom, so that a restart does not forget it.
//!
//! The side thread keeps a mirror of it and writes that at most once a second, if it has changed: a new file beside the old
//! one, on disk before it takes its name. So at every moment there is a whole one. If the path is a symbolic link, that is
//! done with the file it leads to, and the link stays.

use super::lock;
use super::process::is_mount_point;
use crate::gateway::StateErrand;
use crate::time::{Clock, Micros, UnixMillis};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// The largest state that is kept, in bytes as written: some hundred thousand users.
const MOST: usize = 64 * 1024 * 1024;

/// How often it is written at most.
const EVERY: Micros = Micros::from_secs(1);

/// How long a disk that fails is left alone at most; at first 2 s, then twice as long each time.
const MOST_PAUSE: Micros = Micros::from_secs(60);

/// Users that are written down at a time, before others have their turn on the thread.
const SLICE: usize = 1_000;

/// How the names of files end that are being written.
const UNFINISHED: &str = ".new";

/// How the name of the file ends that a process locks.
const LOCK: &str = ".lock";

/// Symbolic links that are followed, as many as the kernel follows.
const LINKS_MAX: usize = 40;

/// How many files are kept that could not be understood. Of more, the earlier ones are worth most: `.bad` is what was
/// there before anything went wrong, and the last name is what happened last.
const BAD_MAX: usize = 10;

/// Nobody writes for so long.
const ABANDONED: Micros = Micros::from_secs(60);

const HEAD: &str = "{\"version\":1,\"started\":{";
const TAIL: &str = "\n}}\n";

/// Users with the apps that were started for them.
pub type Started = Vec<(Box<str>, Vec<Box<str>>)>;

/// Where the state is kept.
#[derive(Debug, Clone)]
pub struct StateFile {
    /// The file.
    pub path: PathBuf,
    /// What [`load`] found in it.
    pub started: Started,
}

/// How writing it goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateFileStats {
    /// How often it could not be written.
    pub errors: u64,
    /// When it was written last.
    pub written: Option<UnixMillis>,
}

/// Reads the state that another process has left. Nothing is there: nothing was started. What cannot be understood is moved
/// aside, said in the log, and nothing was started: to `<path>.bad`, or if that is there already to `<path>.bad.1` and so on
/// to `<path>.bad.9`, which is overwritten.
///
/// # Errors
/// What the system says if the file cannot be read, or its folder cannot be written to.
pub fn load(path: &Path) -> io::Result<Started> {
    let path = &*state_target(path)?;
    check_folder(path)?;
    clear(path);
    let mut text = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MOST as u64 + 1).read_to_end(&mut text)?,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    match parse(&text) {
        Ok(started) => Ok(started),
        Err(why) => {
            let aside = aside(path);
            fs::rename(path, &aside)?;
            log::error!(
                "state_file path={path:?} error={why:?} moved_to={aside:?}: nothing is known of apps that were started"
            );
            Ok(Vec::new())
        }
    }
}

/// Returns the file that `path` leads to, through symbolic links, whether it is there or not. It is replaced by a new one at each
/// write, and the links stay.
///
/// # Errors
/// If a link cannot be read or leads in a circle; or if something is mounted on the file itself (a container's bind mount of a
/// single file), for such a file cannot be replaced.
pub fn state_target(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&target) {
            Ok(to) => target = folder_of(&target).join(to),
            // It is no link, or not there yet.
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
                        "it is mounted by itself and cannot be replaced; mount its folder",
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
    /// Locked until it is closed. `None`: a thread waits for it, or the file system knows no locks.
    _file: Option<File>,
}

/// Locks the state file at `path` against other processes, by a file `<path>.lock` beside it, which stays.
///
/// With `waits` a predecessor may hold it still: then a thread takes the lock when that one has ended.
///
/// # Errors
/// If another process holds it and this one does not wait, or the file cannot be made.
pub fn lock_state(path: &Path, waits: bool) -> io::Result<StateLock> {
    let name = beside(&state_target(path)?, LOCK);
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
                "state_file path={path:?} lock=waits reason=\"another process keeps it, and writes it until it ends\""
            );
            let thread = std::thread::Builder::new().name("state lock".to_owned());
            thread.spawn(move || {
                if file.lock().is_ok() {
                    // Up to the end of the process.
                    std::mem::forget(file);
                }
            })?;
            Ok(StateLock { _file: None })
        }
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            ErrorKind::ResourceBusy,
            format!("another process keeps it and has locked {}", name.display()),
        )),
        Err(TryLockError::Error(e)) => {
            log::warn!("state_file path={path:?} lock=none error=\"{e}\"");
            Ok(StateLock { _file: None })
        }
    }
}

fn parse(text: &[u8]) -> Result<Started, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document {
        version: u32,
        // Sets: a file that somebody has edited may name an app twice.
        started: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    }
    if text.len() > MOST {
        return Err(format!("it has more than {MOST} bytes"));
    }
    let document: Document = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    match document.version {
        1 => {
            let users = document.started.into_iter();
            let lists = users.map(|(user, packages)| (user, packages.into_iter().collect()));
            Ok(lists.collect())
        }
        other => Err(format!("its version is {other}; 1 is known")),
    }
}

/// Whether a file can be made beside it.
fn check_folder(path: &Path) -> io::Result<()> {
    let (name, _) = create_unfinished(path)?;
    fs::remove_file(name)
}

/// Removes what others have left half written. What is young may be in the hands of somebody: a predecessor that still
/// drains.
fn clear(path: &Path) {
    let Some(own) = path.file_name().map(|name| name.to_string_lossy()) else {
        return;
    };
    // Whatever cannot be seen or removed is not in the way.
    let entries = fs::read_dir(folder_of(path)).into_iter().flatten();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let rest = name.strip_prefix(&*own);
        let is_ours = rest.is_some_and(|r| r.starts_with('.') && r.ends_with(UNFINISHED));
        let modified = entry.metadata().and_then(|m| m.modified());
        let is_old = modified.is_ok_and(|at| {
            let age = UnixMillis::now().0.saturating_sub(UnixMillis::from(at).0);
            age > ABANDONED.as_millis()
        });
        if is_ours && is_old {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Where a file is moved to that cannot be understood.
fn aside(path: &Path) -> PathBuf {
    let name = |nth| match nth {
        0 => beside(path, ".bad"),
        nth => beside(path, &format!(".bad.{nth}")),
    };
    // What cannot be looked at is taken to be there.
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

/// A new, empty file that only we can read, under a name that nobody else has: not even a second process with the same
/// setting can have us give its half of a file the name of the whole.
fn create_unfinished(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = beside(path, &format!(".{:016x}{UNFINISHED}", fastrand::u64(..)));
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&name)?;
    Ok((name, file))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let path = &*state_target(path)?;
    let (unfinished, mut file) = create_unfinished(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // It may have filled the disk.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    File::open(folder_of(path))?.sync_all()
}

/// What the file says, or soon will.
#[derive(Debug, Default)]
struct Mirror {
    started: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    /// As written, not counting what stands around it.
    len: usize,
    is_changed: bool,
    /// Whether it was said that there is no more room.
    is_full: bool,
}

impl Mirror {
    fn remember(&mut self, user: Box<str>, package: Box<str>) {
        let packages = self.started.get(&user);
        if packages.is_some_and(|p| p.contains(&package)) {
            return;
        }
        let more = len_of(&package) + packages.map_or_else(|| len_of(&user), |_| 0);
        if HEAD.len() + self.len + more + TAIL.len() > MOST {
            if !self.is_full {
                log::error!("state_file error=\"more than {MOST} bytes are not kept\"");
            }
            self.is_full = true;
            return;
        }
        self.len += more;
        self.started.entry(user).or_default().insert(package);
        self.is_changed = true;
    }

    fn forget(&mut self, user: &str, package: &str) {
        let Some(packages) = self.started.get_mut(user) else {
            return;
        };
        if packages.remove(package) {
            self.len -= len_of(package);
            (self.is_changed, self.is_full) = (true, false);
        }
        if packages.is_empty() {
            self.started.remove(user);
            self.len -= len_of(user);
        }
    }

    fn forget_user(&mut self, user: &str) {
        if let Some(packages) = self.started.remove(user) {
            self.len -= len_of(user) + packages.iter().map(|p| len_of(p)).sum::<usize>();
            (self.is_changed, self.is_full) = (true, false);
        }
    }

    /// Writes down the next users behind this one. The last of them, if there may be more.
    fn write_slice(&self, after: Option<&str>, text: &mut String) -> Option<Box<str>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.started.range::<str, _>((from, Bound::Unbounded));
        let mut last = None;
        for (user, packages) in behind.take(SLICE) {
            text.push_str(if text.len() > HEAD.len() { ",\n" } else { "\n" });
            text.push_str(&quoted(user));
            text.push(':');
            // Strings can always be written.
            text.push_str(&serde_json::to_string(packages).unwrap_or_default());
            last = Some(user.clone());
        }
        last
    }
}

fn quoted(name: &str) -> String {
    serde_json::to_string(name).unwrap_or_default()
}

/// Bytes that a name takes, with what stands around it; a user's also takes those of an empty list and of a new line.
fn len_of(name: &str) -> usize {
    quoted(name).len() + 5
}

/// Keeps the file.
pub(super) struct Store {
    path: Arc<Path>,
    clock: Clock,
    mirror: Mutex<Mirror>,
    flushes: Mutex<Vec<Flush>>,
    stats: Mutex<StateFileStats>,
    wake: Notify,
}

/// Whoever waits until everything is on disk, or until it is known that it will not be.
pub(super) type Flush = Sender<Result<(), Box<str>>>;

impl Store {
    pub(super) fn new(file: StateFile) -> Self {
        let mut mirror = Mirror::default();
        for (user, packages) in file.started {
            for package in packages {
                mirror.remember(user.clone(), package);
            }
        }
        mirror.is_changed = false;
        Store {
            path: file.path.into(),
            clock: Clock::start(),
            mirror: Mutex::new(mirror),
            flushes: Mutex::default(),
            stats: Mutex::default(),
            wake: Notify::new(),
        }
    }

    pub(super) fn stats(&self) -> StateFileStats {
        *lock(&self.stats)
    }

    /// Does an errand.
    pub(super) fn run(&self, errand: StateErrand) {
        let mut mirror = lock(&self.mirror);
        match errand {
            StateErrand::Remember { user, package } => mirror.remember(user, package),
            StateErrand::Forget { user, package } => mirror.forget(&user, &package),
            StateErrand::ForgetUser { user } => mirror.forget_user(&user),
        }
        if mirror.is_changed {
            self.wake.notify_one();
        }
    }

    /// Has it written at once.
    pub(super) fn flush(&self, flush: Flush) {
        lock(&self.flushes).push(flush);
        self.wake.notify_one();
    }

    /// Writes it when it has changed, for ever.
    pub(super) async fn keep(self: Arc<Self>) {
        let (mut not_before, mut pause) = (Micros::ZERO, EVERY);
        loop {
            let is_changed = lock(&self.mirror).is_changed;
            let is_urgent = !lock(&self.flushes).is_empty();
            let wait = not_before - self.clock.raw();
            if !is_urgent && !is_changed {
                self.wake.notified().await;
                continue;
            }
            if !is_urgent && wait > Micros::ZERO {
                // Whichever comes first; a change alone does not make it urgent.
                let _ = tokio::time::timeout(wait.as_duration(), self.wake.notified()).await;
                continue;
            }
            let flushes = std::mem::take(&mut *lock(&self.flushes));
            let mut result = Ok(());
            if is_changed {
                let was_failing = pause > EVERY;
                result = self.write_down().await;
                pause = match &result {
                    Ok(()) => EVERY,
                    Err(_) => (pause + pause).min(MOST_PAUSE),
                };
                not_before = self.clock.raw() + pause;
                self.account(&result, was_failing);
            }
            for flush in flushes {
                // Whoever has given up waiting does not need it.
                let _ = flush.send(result.clone());
            }
        }
    }

    async fn write_down(&self) -> Result<(), Box<str>> {
        let mut text = String::from(HEAD);
        // What changes meanwhile is written the next time.
        lock(&self.mirror).is_changed = false;
        let mut after: Option<Box<str>> = None;
        loop {
            after = lock(&self.mirror).write_slice(after.as_deref(), &mut text);
            if after.is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
        text.push_str(TAIL);
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || write(&path, &text)).await;
        let result = match written {
            Ok(result) => result.map_err(|e| e.to_string().into()),
            Err(e) => Err(e.to_string().into()),
        };
        if result.is_err() {
            lock(&self.mirror).is_changed = true;
        }
        result
    }

    fn account(&self, result: &Result<(), Box<str>>, was_failing: bool) {
        let mut stats = lock(&self.stats);
        match result {
            Ok(()) => {
                stats.written = Some(UnixMillis::now());
                if was_failing {
                    log::info!("state_file path={:?} outcome=written_again", self.path);
                }
            }
            Err(e) => {
                stats.errors += 1;
                if !was_failing {
                    log::error!("state_file path={:?} outcome=failed error={e:?}", self.path);
                }
            }
        }
    }
}
