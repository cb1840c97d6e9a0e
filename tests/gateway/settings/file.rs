//! The settings file: its syntax, its types, and which files are read.

use super::loading::{fault, fault_of, run};
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
        let folder = Folder::new();
        let file = folder.file("settings.toml", content);
        let drain = run("", &[&format!("CONFIG_FILE={file}")]).drain;
        let wanted = if content.contains('7') { 7 } else { 1_000 };
        assert_eq!(drain, Micros::from_millis(wanted), "{content:?}");
    }
}

#[test]
fn every_type_that_a_setting_does_not_have_is_told() {
    let millis = "a whole number of milliseconds from 0 to 86400000, or with a unit (15s, 2m)";
    for (value, is) in [
        ("'5000'", "a string"),
        ("''", "a string"),
        ("5.0", "a float"),
        ("true", "a boolean"),
        ("2026-11-24", "a date or time"),
        ("[5000]", "an array"),
        ("{ ms = 5000 }", "a table"),
    ] {
        assert_eq!(
            fault_of(format!("drain_ms = {value}")),
            format!("DRAIN_MS (file): is {is}; it must be {millis}")
        );
    }
    for value in ["-5", "86400001", "0x5265c01", "99999999999999999999"] {
        let shown = if value.starts_with("0x") {
            "86400001"
        } else {
            value
        };
        assert_eq!(
            fault_of(format!("drain_ms = {value}")),
            format!("DRAIN_MS=\"{shown}\" (file): must be {millis}")
        );
    }
    assert_eq!(
        fault_of("reuse_port = 'true'"),
        "REUSE_PORT (file): is a string; it must be 0, 1, false or true"
    );
    assert_eq!(
        fault_of("log_level = 3"),
        "LOG_LEVEL (file): is an integer; it must be error, warn, info, debug or trace"
    );
    let networks = "up to 256 IP addresses and CIDR blocks, separated by commas, such as \
                    192.168.1.1,10.0.0.0/8";
    for items in ["[1]", "['::1', 2]", "[['::1']]"] {
        assert_eq!(
            fault_of(format!("trusted_proxies = {items}")),
            format!(
                "TRUSTED_PROXIES (file): is an array with items that are not strings; it must be \
                 {networks}"
            )
        );
    }
    assert_eq!(
        fault_of("trusted_proxies = ['::1', 'proxy']"),
        format!("TRUSTED_PROXIES=\"::1,proxy\" (file): must be {networks}")
    );
    assert_eq!(
        fault_of("admin_token = 12345678901234567"),
        "ADMIN_TOKEN (file): is an integer; it must be 16 to 512 visible ASCII characters without \
         spaces; not as a flag, because other processes could read it"
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
            "\"limits\" (file): is a table; settings must be outside of tables"
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
    for (content, line, column, what) in [
        ("drain_ms = 5\nlog_level = info\n", 2, 13, ""),
        ("\u{feff}drain_ms", 1, 9, "key with no value"),
        ("a = 1\r\n\r\ndrain_ms 5", 3, 10, ""),
        ("drain_ms = \"5", 1, 14, ""),
        ("äöü = 5", 1, 1, ""),
    ] {
        let fault = fault_of(content);
        let told = format!(
            "CONFIG_FILE=FILE (env): must be a file in TOML; line {line}, column {column}: "
        );
        assert!(
            fault.starts_with(&told) && fault.contains(what) && !fault.contains('\n'),
            "{content:?}: {fault}"
        );
    }
    for (content, line) in [
        (b"\xff".as_slice(), 1),
        (b"drain_ms = 5\n# caf\xe9\n", 2),
        (b"\xfe\xffd\0r\0", 1),
    ] {
        assert_eq!(
            fault_of(content),
            format!("CONFIG_FILE=FILE (env): must be a file in UTF-8; line {line} is not")
        );
    }
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

    // As Kubernetes mounts them: a link to a file below a link to a folder, which is replaced.
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
