//! The settings file: its syntax, its types, and which files are read.

use super::loading::{fault, fault_of, run, run_with_file};
use crate::folder::Folder;
use pulsegate::time::Micros;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn a_file_may_look_as_editors_leave_it() {
    for content in [
        "",
        "\n",
        "# nothing",
        "drain_ms = 7",
        "\u{feff}drain_ms = 7\r\nlog_level = \"info\"\r\n",
        "\u{feff}",
        "'drain_ms' = 0x7 # seven\n",
        "\"DRAIN_MS\" = +7\n",
    ] {
        let drain = run_with_file(content).drain;
        let wanted = if content.contains('7') { 7 } else { 1_000 };
        assert_eq!(drain, Micros::from_millis(wanted), "{content:?}");
    }
}

/// Asserts that a line of the file is its only fault, because its value has another type.
#[track_caller]
fn wrong_type(line: &str, name: &str, is: &str, must: &str) {
    let told = format!("{name} (file): is {is}; it must be {must}");
    assert_eq!(fault_of(line), told, "{line}");
}

const MILLIS: &str = "a whole number of milliseconds from 0 to 86400000, or with a unit (15s, 2m)";
const NETWORKS: &str = "up to 256 IP addresses and CIDR blocks, separated by commas, such as \
                        192.168.1.1,10.0.0.0/8";

#[test]
fn every_type_that_a_number_does_not_have_is_told() {
    let wrong = |value, is| wrong_type(&format!("drain_ms = {value}"), "DRAIN_MS", is, MILLIS);
    wrong("'5000'", "a string");
    wrong("''", "a string");
    wrong("5.0", "a float");
    wrong("true", "a boolean");
    wrong("2026-11-24", "a date or time");
    wrong("[5000]", "an array");
    wrong("{ ms = 5000 }", "a table");
}

#[test]
fn a_number_out_of_bounds_is_told() {
    let wrong = |value, shown| {
        let told = format!("DRAIN_MS=\"{shown}\" (file): must be {MILLIS}");
        assert_eq!(fault_of(format!("drain_ms = {value}")), told);
    };
    wrong("-5", "-5");
    wrong("86400001", "86400001");
    wrong("0x5265c01", "86400001");
    wrong("99999999999999999999", "99999999999999999999");
}

#[test]
fn every_type_that_another_setting_does_not_have_is_told() {
    let switch = "0, 1, false or true";
    wrong_type("reuse_port = 'true'", "REUSE_PORT", "a string", switch);
    let level = "error, warn, info, debug or trace";
    wrong_type("log_level = 3", "LOG_LEVEL", "an integer", level);
    let token = "16 to 512 visible ASCII characters without spaces; not as a flag, because other \
                 processes could read it";
    let line = "admin_token = 12345678901234567";
    wrong_type(line, "ADMIN_TOKEN", "an integer", token);
    let items = "an array with items that are not strings";
    wrong_type("trusted_proxies = [1]", "TRUSTED_PROXIES", items, NETWORKS);
    let line = "trusted_proxies = ['::1', 2]";
    wrong_type(line, "TRUSTED_PROXIES", items, NETWORKS);
    let line = "trusted_proxies = [['::1']]";
    wrong_type(line, "TRUSTED_PROXIES", items, NETWORKS);
    assert_eq!(
        fault_of("trusted_proxies = ['::1', 'proxy']"),
        format!("TRUSTED_PROXIES=\"::1,proxy\" (file): must be {NETWORKS}")
    );
}

#[test]
fn what_is_no_setting_cannot_stand_in_the_file() {
    assert_eq!(
        fault_of("heartbeat_intervall_ms = 5"),
        "\"heartbeat_intervall_ms\" (file): is unknown; did you mean heartbeat_interval_ms? \
         --help-all lists all settings"
    );
    assert_eq!(
        fault_of("Drain_Ms = 5"),
        "\"Drain_Ms\" (file): is unknown; did you mean drain_ms? --help-all lists all settings"
    );
    for table in [
        "[limits]\ndrain_ms = 5",
        "limits.drain_ms = 5",
        "limits = {}",
    ] {
        assert_eq!(
            fault_of(table),
            "\"limits\" (file): is a table; settings must be outside of tables, \
             and routes under [[route]]"
        );
    }
    assert_eq!(
        fault_of("DRAIN_MS = 5\ndrain_ms = 5"),
        "DRAIN_MS (file): is given twice, as DRAIN_MS and as drain_ms; remove one of them"
    );
    assert_eq!(
        fault_of("DRAIN_MS = 5\nDRAIN_MS = 5"),
        "CONFIG_FILE=FILE (env): must be a file in TOML; line 2, column 1: duplicate key"
    );
    assert_eq!(
        fault_of("config_file = '/etc/other.toml'"),
        "CONFIG_FILE (file): is not allowed in the file; set the flag or the variable"
    );
    let long = format!("\"{}\\nx\" = 5", "k".repeat(1_000));
    assert_eq!(
        fault_of(long),
        format!(
            "\"{}…\" (file): is unknown; --help-all lists all settings",
            "k".repeat(100)
        )
    );
}

#[test]
fn a_file_that_cannot_be_understood_is_told_without_its_lines() {
    let toml = |content: &str, line: u8, column: u8, what: &str| {
        let fault = fault_of(content);
        let told = format!("must be a file in TOML; line {line}, column {column}: ");
        let told = format!("CONFIG_FILE=FILE (env): {told}");
        let is_right = fault.starts_with(&told) && fault.contains(what) && !fault.contains('\n');
        assert!(is_right, "{content:?}: {fault}");
    };
    toml("drain_ms = 5\nlog_level = info\n", 2, 13, "");
    toml("\u{feff}drain_ms", 1, 9, "key with no value");
    toml("a = 1\r\n\r\ndrain_ms 5", 3, 10, "");
    toml("drain_ms = \"5", 1, 14, "");
    toml("äöü = 5", 1, 1, "");
    let utf8 = |content: &[u8], line: u8| {
        let told = format!("must be a file in UTF-8; line {line} is not");
        assert_eq!(fault_of(content), format!("CONFIG_FILE=FILE (env): {told}"));
    };
    utf8(b"\xff", 1);
    utf8(b"drain_ms = 5\n# caf\xe9\n", 2);
    utf8(b"\xfe\xffd\0r\0", 1);
}

#[test]
fn a_flag_for_the_file_needs_its_path() {
    assert_eq!(
        fault("--config-file=", &[]),
        "CONFIG_FILE=\"\" (flag): must be the path of a file; not in the file itself"
    );
    assert_eq!(
        fault("--config-file", &[]),
        "--config-file (flag): has no value; it must be the path of a file; not in the file itself"
    );
}

#[cfg(unix)]
#[test]
fn only_small_regular_files_are_read() {
    let folder = Folder::new();
    let told = |path: &str, must: &str| {
        let variable = format!("CONFIG_FILE={path}");
        let wanted = format!("CONFIG_FILE={path:?} (env): must be {must}");
        assert_eq!(fault("", &[&variable]), wanted);
    };
    let missing = "a readable file: No such file or directory (os error 2)";
    told(&folder.path("none"), missing);
    told(&folder.path(""), "a regular file");
    told("/dev/zero", "a regular file");
    let fifo = folder.path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo").success());
    told(&fifo, "a regular file");
    for (name, target) in [("to-fifo", "fifo"), ("to-none", "none")] {
        symlink(target, folder.path(name)).expect("a link");
    }
    told(&folder.path("to-fifo"), "a regular file");
    told(&folder.path("to-none"), missing);

    let full = "#".repeat(1 << 20);
    run(
        "",
        &[&format!("CONFIG_FILE={}", folder.file("full", &full))],
    );
    told(
        &folder.file("more", full + "#"),
        "a file of at most 1048576 bytes",
    );
}

/// As Kubernetes mounts them: a link to a file below a link to a folder, which is replaced.
#[test]
fn a_file_behind_links_is_read_where_they_lead_at_the_start() {
    let folder = Folder::new();
    for (data, drain) in [("..1", 1), ("..2", 2)] {
        fs::create_dir(folder.path(data)).expect("a folder");
        folder.file(&format!("{data}/settings"), format!("drain_ms = {drain}"));
        let _ = fs::remove_file(folder.path("..data"));
        symlink(data, folder.path("..data")).expect("a link");
        let _ = symlink("..data/settings", folder.path("settings"));
        let settings = run("", &[&format!("CONFIG_FILE={}", folder.path("settings"))]);
        assert_eq!(settings.drain, Micros::from_millis(drain));
    }
}
