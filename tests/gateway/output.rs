//! The log and the standard streams, also if nothing reads them.

use crate::peers::glasses;
use crate::sockets::{Controls, Event, Gateway, frame};
use pulsegate::wire::frame::CLOSE;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_log_without_a_reader_holds_nothing_up() {
    let command = Gateway::command(&[("LOG_LEVEL", "debug"), ("DRAIN_MS", "0")]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut filler = writer.try_clone().expect("another writing end");
    let mut gateway = Gateway::start_on(command, reader, writer);
    // We fill the pipe ourselves. This thread blocks in it from then on, and so does any other
    // writer.
    let (full, filled) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while filler.write_all(&[b'\n'; 4_096]).is_ok() {
            let _ = full.send(());
        }
    });
    let mut pages = 0;
    while filled.recv_timeout(Duration::from_secs(1)).is_ok() {
        pages += 1;
        assert!(pages < 1_000, "the pipe has a reader");
    }
    let controls = Controls::start_at_gateway(gateway.addr);
    // Some lines for each: more than an empty pipe could hold.
    for i in 0..1_000 {
        let mut client = glasses(&gateway, &format!("talkative-{i}"));
        client.write(&frame(CLOSE, b""));
        assert!(matches!(client.next_answering(), Event::Close(1005, _)));
    }
    controls.await_pings(3);
    assert_eq!(gateway.health(), 200);
    controls.finish();
    // It waits some time until the last lines are read, but not without end.
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

/// Starts a gateway and returns its log. Its standard error is a stream of the journal, or another
/// one, perhaps an editor's terminal.
fn logged(format: &str, is_journal: bool) -> Vec<String> {
    let mut command = Gateway::command(&[("DRAIN_MS", "0"), ("LOG_FORMAT", format)]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let stderr = fs::metadata(format!("/proc/self/fd/{}", writer.as_raw_fd()));
    let stderr = stderr.expect("it is open");
    let inode = stderr.ino() + u64::from(!is_journal);
    command.env("JOURNAL_STREAM", format!("{}:{inode}", stderr.dev()));
    let gateway = Gateway::start_on(command, reader, writer).read();
    gateway.line(&["every client may connect, "]);
    let log = gateway.log.clone();
    gateway.end();
    let log = log.lock().expect("no panic");
    log.clone()
}

#[test]
fn the_log_is_json_if_asked_for() {
    for line in logged("json", false) {
        let told: Value = serde_json::from_str(&line).expect(&line);
        let level = told["level"].as_str().expect("a level");
        assert!(["info", "warn"].contains(&level), "{line}");
        assert_eq!(told["time"].as_str().map(str::len), Some(24), "{line}");
        assert!(!told["message"].as_str().expect("a text").is_empty());
    }
}

#[test]
fn the_log_has_priorities_under_the_journal() {
    for format in ["text", "json"] {
        for line in logged(format, true) {
            let (priority, rest) = line.split_at(3);
            let is_warning = rest.contains("[WARN]") || rest.contains("\"warn\"");
            assert_eq!(priority, if is_warning { "<4>" } else { "<6>" }, "{line}");
        }
    }
}

#[test]
fn the_log_has_times_on_another_stream_than_that_of_the_journal() {
    assert!(logged("text", false)[0].starts_with("20"));
}

/// Returns a stream whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    Stdio::from(writer)
}

/// Returns a stream to a disk without room.
fn full() -> Stdio {
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    Stdio::from(full.expect("/dev/full"))
}

/// Returns the exit code and what stands in the standard error, if that is piped.
fn run(args: &[&str], stdout: Stdio, stderr: Stdio) -> (Option<i32>, String) {
    let mut command = Gateway::command(&[]);
    let child = command.args(args).stdout(stdout).stderr(stderr).spawn();
    let output = child.expect("the gateway").wait_with_output();
    let output = output.expect("an end");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!told.contains("panicked"), "{args:?}: {told}");
    (output.status.code(), told)
}

#[test]
fn requested_output_without_a_reader_is_no_fault_and_without_room_it_is_one() {
    for args in [&["--help"], &["--version"], &["--print-config"]] {
        let (code, told) = run(args, closed(), Stdio::piped());
        assert_eq!((code, &*told), (Some(0), ""), "{args:?}");
        let (code, told) = run(args, full(), Stdio::piped());
        assert_eq!(code, Some(1), "{args:?}");
        assert!(told.contains("cannot write to standard output"), "{told}");
    }
}

/// Wherever its standard streams lead, the exit code of a check is right.
#[test]
fn a_check_whose_output_is_not_taken_says_by_its_code_whether_settings_are_valid() {
    for stdout in [closed(), full()] {
        let (code, told) = run(&["--check"], stdout, Stdio::piped());
        assert_eq!((code, &*told), (Some(0), ""), "the settings are valid");
    }
    for stderr in [closed(), full()] {
        let (code, _) = run(&["--check", "--drain-ms=x"], Stdio::null(), stderr);
        assert_eq!(code, Some(2), "the settings are wrong");
    }
}

#[test]
fn the_load_tool_does_not_abort_where_its_output_is_not_taken() {
    for (flag, code) in [("--help", 0), ("--no-such-flag", 2)] {
        for stream in [closed, full] {
            let swarm = Command::new(env!("CARGO_BIN_EXE_pulsegate-swarm"))
                .arg(flag)
                .stdout(stream())
                .stderr(stream())
                .status();
            assert_eq!(swarm.expect("the load tool").code(), Some(code));
        }
    }
}
