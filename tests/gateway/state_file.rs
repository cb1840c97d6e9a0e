//! The state file: its lock, a file that is a mount, and a write that fails.

use crate::commands::{ended, in_shell};
use crate::folder::Folder;
use crate::peers::{SECRET, glasses_with_token};
use crate::sockets::Gateway;
use std::process::Command;

#[test]
fn a_state_file_is_kept_by_one_process() {
    let folder = Folder::new();
    let state = folder.path("state.json");
    let settings = [("DRAIN_MS", "0"), ("STATE_FILE", &*state)];
    let first = Gateway::start(&settings);
    let (code, log) = ended(Gateway::command(&settings));
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("another process uses it"), "{log}");
    // A successor beside it waits for the lock.
    let successor = Gateway::start(&[settings[0], settings[1], ("REUSE_PORT", "1")]);
    successor.line(&["[WARN] state_file", "lock=waits"]);
    first.end();
    successor.end();
    // A process that was killed holds no lock.
    drop(Gateway::start(&settings));
    Gateway::start(&settings).end();
}

/// A single file mounted by Docker (`-v state.json:/state.json`).
#[test]
fn a_state_file_that_is_a_mount_is_told_before_the_start() {
    let folder = Folder::named("a mount");
    let (state, other) = (folder.file("state.json", ""), folder.file("other.json", ""));
    let inner = Gateway::command(&[("STATE_FILE", &state)]);
    for check in ["--check", "--drain-ms=0"] {
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
            .arg("mount --bind \"$1\" \"$2\" || exit 77; exec \"$0\" \"$3\"")
            .arg(inner.get_program())
            .args([&other, &state, check])
            .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .output();
        let output = match output {
            Ok(output) if output.status.code() != Some(77) => output,
            // A container may lack the right to mount.
            other => {
                eprintln!("SKIPPED, no mount is possible here: {other:?}");
                return;
            }
        };
        let log = String::from_utf8_lossy(&output.stderr);
        if log.contains("unshare:") {
            eprintln!("SKIPPED, no namespace is possible here: {log}");
            return;
        }
        assert_eq!(output.status.code(), Some(2), "{check}: {log}");
        assert!(
            log.contains("STATE_FILE=") && log.contains("mount its folder"),
            "{log}"
        );
    }
}

#[test]
fn a_limit_of_file_sizes_fails_a_write_and_does_not_kill() {
    let folder = Folder::new();
    let apps = folder.file(
        "apps.json",
        r#"[{"package":"p.x","api_key":"k","webhook_url":"http://127.0.0.1:1/"}]"#,
    );
    let state = folder.path("state.json");
    let settings = [
        ("DRAIN_MS", "0"),
        ("STATE_FILE", &*state),
        ("APPS_FILE", &apps),
        ("AUTH_JWT_SECRET", SECRET),
    ];
    let command = in_shell("ulimit -f 0; exec \"$0\"", &settings);
    let gateway = Gateway::start_unread(command).read();
    let mut client = glasses_with_token(&gateway, "ada");
    client.send_text(r#"{"type":"start_app","packageName":"p.x"}"#);
    gateway.line(&["[ERROR] state_file", "outcome=failed", "File too large"]);
    assert_eq!(gateway.health(), 200);
    drop(client);
    gateway.end();
}
