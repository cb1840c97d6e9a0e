//! Dials without a descriptor left.

use crate::dial_host::{DialHost, config, dial};
use crate::sockets::{Client, Listener};
use pulsegate::Cause;
use pulsegate::engine::LinkRules;
use std::fs::File;
use std::process::Command;

/// The mark of the other process.
const CHILD: &str = "PULSEGATE_DIAL_TEST_CHILD";

#[test]
fn a_dial_without_a_descriptor_fails_at_once_and_the_loop_goes_on() {
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", "dials::descriptors::child", "--ignored"])
        .env(CHILD, "1")
        .output()
        .expect("a child process");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "the other process of a_dial_without_a_descriptor_fails_at_once_and_the_loop_goes_on"]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let host = DialHost::start_with(config(), None, LinkRules::default());
    let listener = Listener::tcp();
    let first = host.dial(dial(listener.address()));
    let server = listener.open();
    host.await_open(first);
    let mut fillers = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        fillers.push(file);
    }
    for failed in 1..=3 {
        let id = host.dial(dial(listener.address()));
        let end = host.ending(id);
        assert_eq!(end.cause, Cause::AT_CAPACITY, "{end:?}");
        assert_eq!(host.stats().out_of_descriptors, failed);
    }
    fillers.truncate(fillers.len() - 4);
    let id = host.dial(dial(listener.address()));
    let another = listener.open();
    host.await_open(id);
    // The one from before is still served, and so are clients.
    drop((server, another));
    assert_eq!(host.ending(first).cause, Cause::PEER_EOF);
    assert_eq!(Client::refused(host.addr, "/").status, 404);
    host.stop();
}
