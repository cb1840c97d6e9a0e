//! `CADENCE_FILE`: what cohorts have learned about idle gaps, kept across restarts.
//!
//! A thread of its own asks the loop for it each five minutes, some cohorts at a time, and writes
//! the file. At the end of the process it is written once more. Nothing about the file stops the
//! gateway: without it, the cohorts learn anew.

use super::kept_file::{self, Kept};
use crate::base::network_block::NetworkBlock;
use crate::engine::{Io, SavedCohort};
use crate::gateway::{Classes, Gateway, GatewayQueries};
use crate::health::SavedCadence;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

/// The time from one write to the next.
const WRITE_INTERVAL: Duration = Duration::from_secs(300);

/// How long to wait for the loop. It turns many times in a millisecond.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest file, in bytes: more than 4 096 cohorts take.
const BYTES_MAX: usize = 4 << 20;

/// The most cohorts that are restored.
const COHORTS_MAX: usize = 4_096;

/// The file of what cohorts have learned.
#[derive(Debug, Clone)]
pub struct CadenceFile {
    path: PathBuf,
    classes: Classes,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileContents {
    version: u32,
    cohorts: Vec<FileCohort>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCohort {
    class: String,
    block: String,
    survived: [u16; 16],
    died: [u16; 16],
    safe: Option<u8>,
    explored: Option<u8>,
    failures: u8,
    pause_secs: u32,
    unpaid_secs: u32,
}

/// Why the file cannot be parsed: another version wrote it, or it is damaged.
#[derive(Debug, thiserror::Error)]
enum ParseError {
    #[error("it has more than {BYTES_MAX} bytes")]
    TooLong,
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("its version is {0}; 1 is known")]
    Version(u32),
    #[error("it has {0} cohorts; at most {COHORTS_MAX} are written")]
    Cohorts(usize),
}

impl CadenceFile {
    /// Names the file. The classes are those of the gateway.
    pub fn new(path: PathBuf, classes: Classes) -> Self {
        CadenceFile { path, classes }
    }

    /// Returns what an earlier process has left. What cannot be read is logged.
    pub fn load(&self) -> Vec<SavedCohort> {
        let path = &self.path;
        let cohorts = match kept_file::read(path, BYTES_MAX, parse) {
            Ok(Kept::Missing) => return Vec::new(),
            Ok(Kept::Content(cohorts)) => cohorts,
            Ok(Kept::SetAside(why, bad_path)) => {
                log::error!(
                    "cadence_file path={path:?} error={why:?} moved_to={bad_path:?}: the file \
                     cannot be read, so intervals are learned anew"
                );
                return Vec::new();
            }
            Err(e) => {
                log::error!("cadence_file path={path:?} error=\"{e}\": intervals are learned anew");
                return Vec::new();
            }
        };
        cohorts
            .iter()
            .filter_map(|cohort| self.restored(cohort))
            .collect()
    }

    /// Restores what an earlier process has left, on the loop.
    pub fn restore(&self, io: &mut Io<'_>) {
        let cohorts = self.load();
        let restored = cohorts
            .iter()
            .filter(|saved| io.restore_gaps(saved))
            .count();
        let (path, unused) = (&self.path, cohorts.len() - restored);
        log::info!("cadence_file path={path:?} cohorts={restored} unused={unused}");
    }

    /// Starts the thread that writes the file.
    ///
    /// # Errors
    /// The system's error about the thread.
    pub fn start(&self, queries: GatewayQueries) -> io::Result<()> {
        let file = self.clone();
        let thread = std::thread::Builder::new().name("cadence file".to_owned());
        thread.spawn(move || file.keep(&queries)).map(drop)
    }

    /// Writes the file once more. Call this when the loop has ended.
    pub fn write_last(&self, io: &mut Io<'_>) {
        let (mut all, mut from) = (Vec::new(), Some(0));
        while let Some(next) = from {
            let (saved, more) = io.learned_gaps(next);
            all.extend(saved);
            from = more;
        }
        if let Err(e) = self.write(&all) {
            log::error!(
                "cadence_file path={:?} outcome=not_written error=\"{e}\"",
                self.path
            );
        }
    }

    fn keep(&self, queries: &GatewayQueries) {
        let mut is_failing = false;
        loop {
            std::thread::sleep(WRITE_INTERVAL);
            let Some(all) = ask(queries) else {
                continue;
            };
            match self.write(&all) {
                Ok(()) if is_failing => {
                    log::info!("cadence_file path={:?} outcome=written_again", self.path);
                    is_failing = false;
                }
                Ok(()) => {}
                Err(e) if !is_failing => {
                    log::error!(
                        "cadence_file path={:?} outcome=failed error=\"{e}\"",
                        self.path
                    );
                    is_failing = true;
                }
                Err(_) => {}
            }
        }
    }

    fn write(&self, cohorts: &[SavedCohort]) -> io::Result<()> {
        let cohorts = cohorts.iter().map(|saved| self.entry(saved)).collect();
        let text = serde_json::to_string(&FileContents {
            version: 1,
            cohorts,
        })?;
        // One cohort in a line.
        kept_file::write(
            &self.path,
            &(text.replace("{\"class\"", "\n{\"class\"") + "\n"),
        )
    }

    fn entry(&self, saved: &SavedCohort) -> FileCohort {
        let SavedCadence {
            survived,
            died,
            safe,
            explored,
            failures,
            pause_secs,
            unpaid_secs,
        } = saved.cadence;
        FileCohort {
            class: self.classes.name(saved.class).to_owned(),
            block: saved.block.to_string(),
            survived,
            died,
            safe,
            explored,
            failures,
            pause_secs,
            unpaid_secs,
        }
    }

    /// Returns the cohort of an entry; `None` if its class or its block is unknown.
    fn restored(&self, cohort: &FileCohort) -> Option<SavedCohort> {
        Some(SavedCohort {
            class: self.classes.by_name(&cohort.class)?,
            block: NetworkBlock::parse(&cohort.block)?,
            cadence: SavedCadence {
                survived: cohort.survived,
                died: cohort.died,
                safe: cohort.safe,
                explored: cohort.explored,
                failures: cohort.failures,
                pause_secs: cohort.pause_secs,
                unpaid_secs: cohort.unpaid_secs,
            },
        })
    }
}

fn parse(text: &[u8]) -> Result<Vec<FileCohort>, ParseError> {
    if text.len() > BYTES_MAX {
        return Err(ParseError::TooLong);
    }
    let contents: FileContents = serde_json::from_slice(text)?;
    match contents {
        FileContents { version, .. } if version != 1 => Err(ParseError::Version(version)),
        FileContents { cohorts, .. } if cohorts.len() > COHORTS_MAX => {
            Err(ParseError::Cohorts(cohorts.len()))
        }
        FileContents { cohorts, .. } => Ok(cohorts),
    }
}

/// Asks the loop for what all cohorts have learned; `None` if it does not answer.
fn ask(queries: &GatewayQueries) -> Option<Vec<SavedCohort>> {
    let (mut all, mut from) = (Vec::new(), Some(0));
    while let Some(next) = from {
        let (answer, answered) = mpsc::channel();
        let question = move |_: &mut Gateway, io: &mut Io<'_>| {
            // The asking thread may have given up.
            let _ = answer.send(io.learned_gaps(next));
        };
        queries.send(question).ok()?;
        let (saved, more) = answered.recv_timeout(ANSWER_TIMEOUT).ok()?;
        all.extend(saved);
        from = more;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Class;
    use crate::gateway::RELAY_CLASSES;
    use std::fs;

    fn saved(number: u8) -> SavedCohort {
        SavedCohort {
            class: Class(number % 2),
            block: NetworkBlock::of([10, 0, number, 0].into()),
            cadence: SavedCadence {
                survived: [u16::from(number); 16],
                safe: Some(number % 16),
                ..SavedCadence::default()
            },
        }
    }

    /// A file in a folder of its own.
    fn file(name: &str) -> CadenceFile {
        let folder = std::env::temp_dir().join(format!("cadence-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        CadenceFile::new(folder.join("cadence"), Classes::new(RELAY_CLASSES))
    }

    #[test]
    fn what_is_written_is_read_again() {
        let file = file("again");
        assert_eq!(file.load(), Vec::new(), "there is none yet");
        let all: Vec<SavedCohort> = (0..200).map(saved).collect();
        for _ in 0..2 {
            file.write(&all).expect("it can be written");
            assert_eq!(file.load(), all);
        }
    }

    #[test]
    fn a_full_table_fits() {
        let file = file("full");
        let most = |number: u16| {
            let [a, b] = number.to_be_bytes();
            SavedCohort {
                class: Class(0),
                block: NetworkBlock::of([255, 200 + a / 16, b, 0].into()),
                cadence: SavedCadence {
                    survived: [16_383; 16],
                    died: [16_383; 16],
                    safe: Some(15),
                    explored: Some(15),
                    failures: 255,
                    pause_secs: u32::MAX,
                    unpaid_secs: u32::MAX,
                },
            }
        };
        let all: Vec<SavedCohort> = (0..COHORTS_MAX as u16).map(most).collect();
        file.write(&all).expect("it can be written");
        assert!(fs::metadata(&file.path).expect("it is there").len() < BYTES_MAX as u64);
        assert_eq!(file.load().len(), COHORTS_MAX);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_set_aside() {
        for (name, text) in [
            ("broken", "{\"version\":1,\"coh".to_owned()),
            ("foreign", "{\"users\":[]}".to_owned()),
            ("newer", "{\"version\":2,\"cohorts\":[]}".to_owned()),
            ("large", " ".repeat(BYTES_MAX + 1)),
            ("binary", "\0\u{1}".to_owned()),
        ] {
            let file = file(name);
            fs::write(&file.path, &text).expect("it can be written");
            assert_eq!(file.load(), Vec::new(), "{name}");
            assert!(
                !file.path.exists() && file.path.with_extension("bad").exists(),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let file = file("unknown");
        file.write(&[saved(1), saved(2)])
            .expect("it can be written");
        let text = fs::read_to_string(&file.path).expect("it is there");
        let text = text.replace("10.0.1.0/24", "10.0.1.7/24");
        fs::write(&file.path, text).expect("it can be written");
        assert_eq!(file.load(), vec![saved(2)]);
    }

    #[test]
    fn a_path_that_is_no_file_stops_nothing_and_is_not_replaced() {
        let of_devices = file("device");
        std::os::unix::fs::symlink("/dev/null", &of_devices.path).expect("a link");
        let folder = file("folder");
        fs::create_dir(&folder.path).expect("a folder");
        let nowhere = PathBuf::from("/dev/null/cadence");
        let nowhere = CadenceFile::new(nowhere, Classes::new(RELAY_CLASSES));
        for file in [of_devices, folder, nowhere] {
            assert_eq!(file.load(), Vec::new());
            assert!(file.write(&[saved(1)]).is_err());
        }
    }
}
