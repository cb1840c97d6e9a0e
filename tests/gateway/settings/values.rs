//! Values of one setting: what is allowed, and the message about what is not.

use super::loading::{addr, fault, faults, run, run_with_file, wrong_flag, wrong_variable};
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
    let drain = run_with_file("drain_ms = '1500ms'\n").drain;
    assert_eq!(drain, Micros::from_millis(1_500));
}

#[test]
fn localhost_is_an_address() {
    let listen = run("--listen-addr localhost:8080", &[]).listen_addr;
    assert_eq!(listen, addr("127.0.0.1:8080"));
}

const MILLIS: &str = "a whole number of milliseconds from 10 to 86400000, or with a unit (15s, 2m)";
const CONNECTIONS: &str = "a whole number of connections from 1 to 10000000";

#[test]
fn a_bad_time_is_told_with_what_is_allowed() {
    let wrong = |value| wrong_variable("STATS_INTERVAL_MS", value, MILLIS);
    wrong("abc");
    wrong("0");
    wrong("9");
    wrong("-5");
    wrong("1.5");
    wrong("15x");
    wrong(" 20");
    wrong("1_000");
    wrong("86400001");
    wrong("25h");
    wrong("5\nLOG_LEVEL=x"); // one fault is one line
    wrong_flag("STATS_INTERVAL_MS", "-5", MILLIS);
    assert_eq!(
        fault("--stats-interval-ms=", &["STATS_INTERVAL_MS=500"]),
        format!("STATS_INTERVAL_MS=\"\" (flag): must be {MILLIS}")
    );
}

#[test]
fn a_bad_value_of_any_other_kind_is_told_with_what_is_allowed() {
    wrong_flag("MAX_CONNECTIONS", "99999999999999999999999", CONNECTIONS);
    wrong_variable("MAX_CONNECTIONS", "0", CONNECTIONS);
    wrong_flag("LOG_LEVEL", "loud", "error, warn, info, debug or trace");
    wrong_variable("HEARTBEAT_MODE", "never", "always or idle");
    wrong_flag("REUSE_PORT", "yes", "0, 1, false or true");
    wrong_variable("REPLAY_UNCONFIRMED", "1", "off or on");
    wrong_variable("APP_ADMISSION", "open", "started or key");
}

#[test]
fn an_address_has_an_ip_and_a_port() {
    for (value, told) in [
        ("localhost:65536", "must be "),
        ("127.0.0.1", "must be "),
        (":8002", "did you mean 127.0.0.1:8002? (allowed: "),
        ("127.0.0.1:65536", "must be "),
    ] {
        let fault = fault("", &[&format!("LISTEN_ADDR={value}")]);
        let told = format!("LISTEN_ADDR={value:?} (env): {told}an IP address with a port");
        assert!(fault.starts_with(&told), "{fault}");
    }
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
