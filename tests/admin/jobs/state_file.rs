//! The state file: what a restart finds, and what happens when it cannot be read or written.

use super::job_thread::{JobThread, LONG, PATIENCE, eventually};
use crate::folder::Folder;
use pulsegate::gateway::{Job, StateJob};
use pulsegate::side::load_state;
use pulsegate::side::{StartedApps, StateFile};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn state(folder: &Folder) -> PathBuf {
    folder.dir().join("state.json")
}

/// Returns the names of the files in a folder, in order.
fn names(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.dir()).expect("a folder");
    let name = |e: std::io::Result<fs::DirEntry>| e.expect("an entry").file_name();
    let mut names: Vec<String> = entries
        .map(|e| name(e).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn keeping(path: &Path) -> JobThread {
    let started = load_state(path).expect("a state");
    let path = path.to_owned();
    JobThread::with_state(LONG, Some(StateFile { path, started }))
}

fn remember(user: &str, package: &str) -> Job {
    Job::State(StateJob::Remember {
        user: user.into(),
        package: package.into(),
    })
}

fn forget(user: &str, package: &str) -> Job {
    Job::State(StateJob::Forget {
        user: user.into(),
        package: package.into(),
    })
}

fn started(users: &[(&str, &[&str])]) -> StartedApps {
    let packages = |p: &[&str]| p.iter().map(|p| (*p).into()).collect();
    users
        .iter()
        .map(|(u, p)| ((*u).into(), packages(p)))
        .collect()
}

#[test]
fn what_is_remembered_is_there_after_a_restart() {
    let folder = Folder::new();
    let odd = "zoë \"quoted\"\n\u{1}";
    {
        let jobs = keeping(&state(&folder));
        jobs.queue_job(vec![
            remember("bob", "q"),
            remember("bob", "p"),
            remember("bob", "p"),
            remember("alice", "p"),
            remember("alice", "q"),
            forget("alice", "p"),
            forget("alice", "never"),
            remember("gone", "p"),
            forget("gone", "p"),
            remember("left", "p"),
            remember("left", "q"),
            Job::State(StateJob::ForgetUser {
                user: "left".into(),
            }),
            Job::State(StateJob::ForgetUser {
                user: "none".into(),
            }),
            remember(odd, odd),
        ]);
        jobs.flush();
        assert_eq!(jobs.control.state_file().errors, 0);
        assert!(jobs.control.state_file().written.is_some());
    }
    let all = started(&[("alice", &["q"]), ("bob", &["p", "q"]), (odd, &[odd])]);
    assert_eq!(load_state(&state(&folder)).expect("a state"), all);
    let text = fs::read_to_string(state(&folder)).expect("a file");
    assert!(
        text.starts_with(
            "{\"version\":1,\"started\":{\n\"alice\":[\"q\"],\n\"bob\":[\"p\",\"q\"],\n"
        ),
        "{text}"
    );
    let mode = fs::metadata(state(&folder)).expect("a file").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    assert_eq!(names(&folder), ["state.json"]);
    // And the next process continues from there.
    let jobs = keeping(&state(&folder));
    jobs.queue_job(vec![forget("bob", "p"), forget(odd, odd)]);
    jobs.flush();
    let rest = started(&[("alice", &["q"]), ("bob", &["q"])]);
    assert_eq!(load_state(&state(&folder)).expect("a state"), rest);
}

#[test]
fn it_is_written_without_being_asked_and_only_if_something_has_changed() {
    let folder = Folder::new();
    let jobs = keeping(&state(&folder));
    jobs.flush();
    assert_eq!(names(&folder), [""; 0], "nothing has changed");
    jobs.queue_job(vec![remember("alice", "p")]);
    let expected = started(&[("alice", &["p"])]);
    eventually("the file", || state(&folder).exists());
    assert_eq!(load_state(&state(&folder)).expect("a state"), expected);
    jobs.flush();
    fs::remove_file(state(&folder)).expect("a file");
    jobs.queue_job(vec![remember("alice", "p"), forget("alice", "q")]);
    jobs.flush();
    assert_eq!(names(&folder), [""; 0], "nothing has changed");
}

#[test]
fn an_app_that_an_edited_file_names_twice_is_one_app() {
    let folder = Folder::new();
    let text = r#"{"version":1,"started":{"alice":["q","p","q"]}}"#;
    fs::write(state(&folder), text).expect("written");
    let expected = started(&[("alice", &["p", "q"])]);
    assert_eq!(load_state(&state(&folder)).expect("a state"), expected);
}

/// A volume is often reached through a link to a folder elsewhere.
#[test]
fn a_link_stays_and_what_it_leads_to_is_written() {
    let (folder, volume) = (Folder::new(), Folder::new());
    let expected = started(&[("alice", &["p"])]);
    // Over two links, the second of which is relative; at first the file does not exist.
    symlink(volume.dir().join("link.json"), state(&folder)).expect("a link");
    symlink("state.json", volume.dir().join("link.json")).expect("a link");
    let jobs = keeping(&state(&folder));
    jobs.queue_job(vec![remember("alice", "p")]);
    jobs.flush();
    assert_eq!(load_state(&state(&folder)).expect("a state"), expected);
    assert_eq!(load_state(&state(&volume)).expect("a state"), expected);
    jobs.queue_job(vec![remember("bob", "p")]);
    jobs.flush();
    assert_eq!(load_state(&state(&volume)).expect("a state").len(), 2);
    assert!(state(&folder).is_symlink() && volume.dir().join("link.json").is_symlink());
    assert_eq!(names(&folder), ["state.json"]);
    assert_eq!(names(&volume), ["link.json", "state.json"]);
    // A file that cannot be parsed is moved aside, and the link is not.
    fs::write(state(&volume), "{").expect("written");
    assert_eq!(load_state(&state(&folder)).expect("a state"), started(&[]));
    assert_eq!(names(&volume), ["link.json", "state.json.bad"]);
    assert!(state(&folder).is_symlink());
    let circle = folder.dir().join("circle");
    symlink("circle", &circle).expect("a link");
    load_state(&circle).expect_err("it leads nowhere");
}

#[test]
fn what_cannot_be_understood_is_moved_aside() {
    for text in [
        "",
        "{",
        "[]",
        "\0\0\0\0",
        "{\"version\":2,\"started\":{}}",
        "{\"version\":1}",
        "{\"version\":1,\"started\":{\"alice\":\"p\"}}",
        "{\"version\":1,\"started\":{}} and more",
        "{\"version\":1,\"started\":{},\"more\":1}",
    ] {
        let folder = Folder::new();
        fs::write(state(&folder), text).expect("written");
        assert_eq!(load_state(&state(&folder)).expect("a state"), started(&[]));
        assert_eq!(names(&folder), ["state.json.bad"], "{text}");
        let aside = fs::read_to_string(folder.dir().join("state.json.bad")).expect("a file");
        assert_eq!(aside, text, "as it was");
        let jobs = keeping(&state(&folder));
        jobs.queue_job(vec![remember("alice", "p")]);
        jobs.flush();
        let expected = started(&[("alice", &["p"])]);
        assert_eq!(load_state(&state(&folder)).expect("a state"), expected);
    }
}

#[test]
fn what_was_moved_aside_before_is_kept_and_only_the_last_of_ten_is_not() {
    let folder = Folder::new();
    for nth in 0..12 {
        fs::write(state(&folder), format!("{nth}")).expect("written");
        assert_eq!(load_state(&state(&folder)).expect("a state"), started(&[]));
    }
    let mut expected = vec!["state.json.bad".to_owned()];
    expected.extend((1..10).map(|n| format!("state.json.bad.{n}")));
    assert_eq!(names(&folder), expected);
    for (nth, name) in expected.iter().enumerate() {
        let text = fs::read_to_string(folder.dir().join(name)).expect("a file");
        assert_eq!(
            text,
            if nth == 9 {
                "11".to_owned()
            } else {
                nth.to_string()
            }
        );
    }
}

#[test]
fn what_is_too_large_is_moved_aside_unread() {
    let folder = Folder::new();
    let file = fs::File::create(state(&folder)).expect("a file");
    file.set_len(64 * 1024 * 1024 + 1).expect("sparse");
    assert_eq!(load_state(&state(&folder)).expect("a state"), started(&[]));
    assert_eq!(names(&folder), ["state.json.bad"]);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_an_error_at_the_start() {
    let folder = Folder::new();
    fs::write(folder.dir().join("file"), "").expect("written");
    for path in ["missing/state.json", "file/state.json"] {
        let path = folder.dir().join(path);
        assert!(load_state(&path).is_err(), "{}", path.display());
    }
    let path = folder.dir().join("folder");
    fs::create_dir(&path).expect("a folder");
    assert!(load_state(&path).is_err(), "it is a folder itself");
}

#[test]
fn a_crash_in_the_middle_of_writing_loses_nothing() {
    let folder = Folder::new();
    {
        let jobs = keeping(&state(&folder));
        jobs.queue_job(vec![remember("alice", "p")]);
        jobs.flush();
    }
    let whole = fs::read(state(&folder)).expect("a file");
    let unfinished = folder.dir().join("state.json.0123456789abcdef.new");
    let expected = started(&[("alice", &["p"])]);
    let old = std::time::SystemTime::now() - Duration::from_secs(3_600);
    // At every length that it can have had.
    for len in 0..=whole.len() {
        fs::write(&unfinished, &whole[..len]).expect("written");
        assert_eq!(load_state(&state(&folder)).expect("a state"), expected);
        // Another process may be writing it.
        assert!(unfinished.exists());
        let file = fs::File::open(&unfinished).expect("a file");
        file.set_modified(old).expect("older");
        assert_eq!(load_state(&state(&folder)).expect("a state"), expected);
        assert_eq!(names(&folder), ["state.json"]);
    }
}

#[test]
fn two_processes_with_one_file_do_not_tear_it() {
    let folder = Folder::new();
    // Of different lengths, so that a mixture would not be complete.
    let benches = ["short", &"long".repeat(500)].map(|name| {
        let jobs = keeping(&state(&folder));
        (name.to_owned(), jobs)
    });
    std::thread::scope(|scope| {
        for (name, jobs) in &benches {
            let state = state(&folder);
            scope.spawn(move || {
                for n in 0..50 {
                    jobs.queue_job(vec![remember(name, &format!("{name}{n}"))]);
                    jobs.flush();
                    let text = fs::read(&state).expect("always there");
                    serde_json::from_slice::<Value>(&text).expect("always whole");
                }
            });
        }
    });
    assert!(
        benches
            .iter()
            .all(|(_, b)| b.control.state_file().errors == 0)
    );
    assert_eq!(names(&folder), ["state.json"]);
}

#[test]
fn a_reader_sees_a_whole_file_while_it_is_written() {
    let folder = Folder::new();
    let jobs = keeping(&state(&folder));
    // Several slices, and more bytes than one write.
    let many = 5_000;
    jobs.queue_job(
        (0..many)
            .map(|n| remember(&format!("user{n:05}"), "p"))
            .collect(),
    );
    jobs.flush();
    let stop = Arc::new(AtomicBool::new(false));
    let (path, stopped) = (state(&folder), stop.clone());
    let looking = std::thread::spawn(move || {
        let mut looks = 0;
        while !stopped.load(Ordering::Relaxed) {
            let text = fs::read(&path).expect("always there");
            let state: Value = serde_json::from_slice(&text).expect("always whole");
            let users = state["started"].as_object().expect("users").len();
            assert!(users >= many, "{users}");
            looks += 1;
        }
        looks
    });
    for n in 0..30 {
        jobs.queue_job(vec![remember(&format!("more{n}"), "p")]);
        jobs.flush();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(looking.join().expect("whole every time") > 0);
    let state = load_state(&state(&folder)).expect("a state");
    assert_eq!(state.len(), many + 30);
}

#[test]
fn a_disk_that_fails_is_counted_and_tried_again() {
    let folder = Folder::new();
    let inner = folder.dir().join("inner");
    fs::create_dir(&inner).expect("a folder");
    let path = inner.join("state.json");
    let jobs = keeping(&path);
    fs::remove_dir(&inner).expect("empty");
    jobs.queue_job(vec![remember("alice", "p")]);
    jobs.control.flush(PATIENCE).expect_err("no folder");
    let stats = jobs.control.state_file();
    assert!(stats.errors >= 1 && stats.written.is_none(), "{stats:?}");
    fs::create_dir(&inner).expect("a folder");
    eventually("it is tried again", || path.exists());
    let expected = started(&[("alice", &["p"])]);
    assert_eq!(load_state(&path).expect("a state"), expected);
}
