//! Keeps the state file: a mirror of the state, written at most once a second if it has changed.

use super::disk::{JSON_HEAD, JSON_TAIL, StartedApps};
use super::mirror::Mirror;
use crate::base::time::{Clock, Micros, UnixMillis};
use crate::gateway::StateJob;
use crate::side::kept_file::write;
use crate::side::lock::lock;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// The least time between two writes of the state file.
const WRITE_INTERVAL: Micros = Micros::from_secs(1);

/// The longest pause after a failed write; the first pause is 2 s, and each further one is twice as
/// long.
const PAUSE_MAX: Micros = Micros::from_secs(60);

/// The path and the initial contents of the state file.
#[derive(Debug, Clone)]
pub struct StateFile {
    /// The path of the file.
    pub path: PathBuf,
    /// The contents that [`load`](super::load) found in the file.
    pub started: StartedApps,
}

/// The results of the writes of the state file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateFileStats {
    /// The number of failed writes.
    pub errors: u64,
    /// The time of the last write.
    pub written: Option<UnixMillis>,
}

/// The writer of the state file.
pub(in crate::side) struct Store {
    path: Arc<Path>,
    clock: Clock,
    mirror: Mutex<Mirror>,
    flushes: Mutex<Vec<FlushReply>>,
    stats: Mutex<StateFileStats>,
    wake: Notify,
}

/// A caller that waits until everything is on disk, or until the write has failed.
pub(in crate::side) type FlushReply = Sender<Result<(), Box<str>>>;

impl Store {
    pub(in crate::side) fn new(file: StateFile) -> Self {
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

    pub(in crate::side) fn stats(&self) -> StateFileStats {
        *lock(&self.stats)
    }

    /// Applies a change of the state to the copy in memory.
    pub(in crate::side) fn apply(&self, job: StateJob) {
        let mut mirror = lock(&self.mirror);
        match job {
            StateJob::Remember { user, package } => mirror.remember(user, package),
            StateJob::Forget { user, package } => mirror.forget(&user, &package),
            StateJob::ForgetUser { user } => mirror.forget_user(&user),
        }
        if mirror.is_changed {
            self.wake.notify_one();
        }
    }

    /// Requests a write at once.
    pub(in crate::side) fn flush(&self, flush: FlushReply) {
        lock(&self.flushes).push(flush);
        self.wake.notify_one();
    }

    /// Writes the file when the state has changed, until the process ends.
    pub(in crate::side) async fn run(self: Arc<Self>) {
        let (mut not_before, mut pause) = (Micros::ZERO, WRITE_INTERVAL);
        loop {
            let is_changed = lock(&self.mirror).is_changed;
            let is_urgent = !lock(&self.flushes).is_empty();
            let wait = not_before - self.clock.raw();
            if !is_urgent && !is_changed {
                self.wake.notified().await;
                continue;
            }
            if !is_urgent && wait > Micros::ZERO {
                // Whichever comes first; a change alone does not make the write urgent.
                let _ = tokio::time::timeout(wait.as_duration(), self.wake.notified()).await;
                continue;
            }
            let flushes = std::mem::take(&mut *lock(&self.flushes));
            let mut result = Ok(());
            if is_changed {
                let was_failing = pause > WRITE_INTERVAL;
                result = self.write_mirror().await;
                pause = match &result {
                    Ok(()) => WRITE_INTERVAL,
                    Err(_) => (pause + pause).min(PAUSE_MAX),
                };
                not_before = self.clock.raw() + pause;
                self.record_result(&result, was_failing);
            }
            for flush in flushes {
                // A caller that has given up no longer needs the result.
                let _ = flush.send(result.clone());
            }
        }
    }

    async fn write_mirror(&self) -> Result<(), Box<str>> {
        let mut text = String::from(JSON_HEAD);
        // Changes during the write are written the next time.
        lock(&self.mirror).is_changed = false;
        let mut after: Option<Box<str>> = None;
        loop {
            after = lock(&self.mirror).write_slice(after.as_deref(), &mut text);
            if after.is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
        text.push_str(JSON_TAIL);
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

    fn record_result(&self, result: &Result<(), Box<str>>, was_failing: bool) {
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
