//! The log and the standard streams, also if nothing reads them.

use crate::peers::glasses;
use crate::sockets::{Controls, Event, Gateway, frame};
use pulsegate::wire::frame::CLOSE;
use std::io::Write;
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
        assert!(pages < 1_000, "somebody reads the pipe");
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

#[test]
fn the_log_is_json_if_asked_for_and_has_priorities_under_the_journal() {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    let start = |format: &str, is_journal: bool| {
        let mut command = Gateway::command(&[("DRAIN_MS", "0"), ("LOG_FORMAT", format)]);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let stderr = std::fs::metadata(format!("/proc/self/fd/{}", writer.as_raw_fd()));
        let stderr = stderr.expect("it is open");
        let inode = stderr.ino() + u64::from(!is_journal);
        command.env("JOURNAL_STREAM", format!("{}:{inode}", stderr.dev()));
        let gateway = Gateway::start_on(command, reader, writer).read();
        gateway.line(&["every client may connect, "]);
        let log = gateway.log.clone();
        gateway.end();
        let log = log.lock().expect("no panic");
        log.clone()
    };
    for line in start("json", false) {
        let told: serde_json::Value = serde_json::from_str(&line).expect(&line);
        let level = told["level"].as_str().expect("a level");
        assert!(["info", "warn"].contains(&level), "{line}");
        assert_eq!(told["time"].as_str().map(str::len), Some(24), "{line}");
        assert!(!told["message"].as_str().expect("a text").is_empty());
    }
    for format in ["text", "json"] {
        for line in start(format, true) {
            let (priority, rest) = line.split_at(3);
            let is_warning = rest.contains("[WARN]") || rest.contains("\"warn\"");
            assert_eq!(priority, if is_warning { "<4>" } else { "<6>" }, "{line}");
        }
    }
    // Another stream of the journal than ours, perhaps an editor's terminal.
    assert!(start("text", false)[0].starts_with("20"));
}

/// Wherever its standard streams lead, the gateway's exit code is right.
#[test]
fn an_output_that_takes_nothing_does_not_abort() {
    use std::process::Stdio;
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Stdio::from(writer)
    };
    let full = || {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        Stdio::from(full.expect("/dev/full"))
    };
    let run = |args: &[&str], stdout: Stdio, stderr: Stdio| {
        let mut command = Gateway::command(&[]);
        let child = command.args(args).stdout(stdout).stderr(stderr).spawn();
        let output = child.expect("the gateway").wait_with_output();
        let output = output.expect("an end");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!told.contains("panicked"), "{args:?}: {told}");
        (output.status.code(), told)
    };
    for args in [&["--help"], &["--version"], &["--print-config"]] {
        let (code, told) = run(args, closed(), Stdio::piped());
        assert_eq!((code, &*told), (Some(0), ""), "{args:?}");
        // The requested output could not be written, and that is a fault.
        let (code, told) = run(args, full(), Stdio::piped());
        assert_eq!(code, Some(1), "{args:?}");
        assert!(told.contains("cannot write to standard output"), "{told}");
    }
    for stdout in [closed(), full()] {
        let (code, told) = run(&["--check"], stdout, Stdio::piped());
        assert_eq!((code, &*told), (Some(0), ""), "the settings are valid");
    }
    for stderr in [closed(), full()] {
        let (code, _) = run(&["--check", "--drain-ms=x"], Stdio::null(), stderr);
        assert_eq!(code, Some(2), "the settings are wrong");
    }
    for args in [&["--help"][..], &["--no-such-flag"]] {
        for stream in [closed, full] as [fn() -> Stdio; 2] {
            let swarm = std::process::Command::new(env!("CARGO_BIN_EXE_pulsegate-swarm"))
                .args(args)
                .stdout(stream())
                .stderr(stream())
                .status();
            let expected = if args == ["--help"] { 0 } else { 2 };
            assert_eq!(swarm.expect("the load tool").code(), Some(expected));
        }
    }
}
