//! Values of one setting: what is allowed, and the message about what is not.

use super::loading::{fault, faults, run};
use crate::folder::Folder;
use pulsegate::time::Micros;

#[test]
fn a_switch_alone_is_on() {
    assert!(run("--reuse-port", &[]).reuse_port);
    assert!(run("--reuse-port --drain-ms 1", &["REUSE_PORT=0"]).reuse_port);
    for (value, on) in [("0", false), ("1", true), ("false", false), ("TRUE", true)] {
        assert_eq!(run(&format!("--reuse-port {value}"), &[]).reuse_port, on);
        assert_eq!(run(&format!("--reuse-port={value}"), &[]).reuse_port, on);
        let variable = format!("REUSE_PORT={value}");
        assert_eq!(run("", &[&variable]).reuse_port, on);
    }
}

#[test]
fn times_with_a_unit_hold_from_a_flag_a_variable_and_the_file() {
    assert_eq!(run("--drain-ms 15s", &[]).drain, Micros::from_secs(15));
    assert_eq!(run("", &["DRAIN_MS=2m"]).drain, Micros::from_secs(120));
    assert_eq!(run("", &["DRAIN_MS=250"]).drain, Micros::from_millis(250));
    let folder = Folder::new();
    let file = folder.file("settings.toml", "drain_ms = '1500ms'\n");
    let read = run("", &[&format!("CONFIG_FILE={file}")]);
    assert_eq!(read.drain, Micros::from_millis(1_500));
    // The short flag of other programs.
    assert_eq!(run(&format!("-c {file}"), &[]).drain, read.drain);
    assert_eq!(run(&format!("--config {file}"), &[]).drain, read.drain);
    let listen = run("--listen-addr localhost:8080", &[]).listen_addr;
    assert_eq!(listen, ([127, 0, 0, 1], 8080).into());
}

#[test]
fn every_kind_of_bad_value_is_told_with_what_is_allowed() {
    let millis =
        "must be a whole number of milliseconds from 10 to 86400000, or with a unit (15s, 2m)";
    for value in [
        "abc", "0", "9", "-5", "1.5", "15x", " 20", "1_000", "86400001", "25h",
    ] {
        assert_eq!(
            fault("", &[&format!("STATS_INTERVAL_MS={value}")]),
            format!("STATS_INTERVAL_MS={value:?} (env): {millis}")
        );
    }
    assert_eq!(
        fault("--stats-interval-ms -5", &[]),
        format!("STATS_INTERVAL_MS=\"-5\" (flag): {millis}")
    );
    assert_eq!(
        fault("--stats-interval-ms=", &["STATS_INTERVAL_MS=500"]),
        format!("STATS_INTERVAL_MS=\"\" (flag): {millis}")
    );
    assert_eq!(
        fault("--max-connections 99999999999999999999999", &[]),
        "MAX_CONNECTIONS=\"99999999999999999999999\" (flag): \
         must be a whole number of connections from 1 to 10000000"
    );
    assert_eq!(
        fault("", &["MAX_CONNECTIONS=0"]),
        "MAX_CONNECTIONS=\"0\" (env): must be a whole number of connections from 1 to 10000000"
    );
    assert_eq!(
        fault("--log-level=loud", &[]),
        "LOG_LEVEL=\"loud\" (flag): must be error, warn, info, debug or trace"
    );
    assert_eq!(
        fault("", &["HEARTBEAT_MODE=never"]),
        "HEARTBEAT_MODE=\"never\" (env): must be always or idle"
    );
    assert_eq!(
        fault("--reuse-port yes", &[]),
        "REUSE_PORT=\"yes\" (flag): must be 0, 1, false or true"
    );
    for value in ["localhost:65536", "127.0.0.1", ":8002", "127.0.0.1:65536"] {
        let fault = fault("", &[&format!("LISTEN_ADDR={value}")]);
        let told = format!("LISTEN_ADDR={value:?} (env): must be an IP address with a port");
        assert!(fault.starts_with(&told), "{fault}");
    }
    assert_eq!(
        fault("", &["STATS_INTERVAL_MS=5\nLOG_LEVEL=x"]),
        format!("STATS_INTERVAL_MS=\"5\\nLOG_LEVEL=x\" (env): {millis}"),
        "one fault is one line"
    );
}

#[test]
fn a_variable_that_was_renamed_is_a_fault() {
    let faults = faults("", &["TPA_GRACE_MS=1", "TPA_SUBPROTOCOLS=x"]);
    let was = |old, name| format!("{old} (env): was renamed; set {name} instead");
    assert_eq!(
        faults,
        [
            was("TPA_GRACE_MS", "APP_GRACE_MS"),
            was("TPA_SUBPROTOCOLS", "APP_SUBPROTOCOLS")
        ]
    );
}
