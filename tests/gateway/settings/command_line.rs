//! The command line: unknown flags, missing values, `--check`, `--help` and `--version`.

use super::loading::{fault, faults, printed, run, start};
use pulsegate::config::{Audience, CliAction, SETTINGS, load};
use std::ffi::OsString;

/// Asserts that a flag is the only fault, with a flag or variable that was perhaps meant.
#[track_caller]
fn unknown(args: &str, flag: &str, meant: &str) {
    let told =
        format!("\"{flag}\" (flag): is unknown; did you mean {meant}? --help-all lists all flags");
    assert_eq!(fault(args, &[]), told);
}

#[test]
fn an_unknown_flag_is_told_with_the_one_that_was_perhaps_meant() {
    let interval = "--heartbeat-interval-ms";
    let misspelt = "--heartbeat-intervall-ms";
    unknown("--heartbeat-intervall-ms 5000", misspelt, interval);
    let variable = "--HEARTBEAT_INTERVAL_MS";
    unknown("--HEARTBEAT_INTERVAL_MS=5000", variable, interval);
    unknown("-p8002", "-p", "--listen-addr");
    unknown("-p 8080", "-p", "--listen-addr");
    unknown("--port 8080", "--port", "--listen-addr");
    unknown("--port=8080", "--port", "--listen-addr");
    // What may be a secret is not repeated.
    let secret = "the variable AUTH_JWT_SECRET";
    unknown("--jwt-secret=hunter2", "--jwt-secret", secret);
}

#[test]
fn the_settings_file_is_named_by_the_flags_of_other_programs_too() {
    for args in ["--config /nowhere/x.toml", "-c /nowhere/x.toml"] {
        let told = fault(args, &[]);
        let is_named = told.contains("CONFIG_FILE") && told.contains("/nowhere/x.toml");
        assert!(is_named, "{told}");
    }
}

#[test]
fn a_flag_has_a_value_or_takes_none() {
    let no_value = "--drain-ms (flag): has no value; it must be a whole number of milliseconds \
                    from 0 to 86400000, or with a unit (15s, 2m)";
    assert_eq!(fault("--drain-ms", &[]), no_value);
    assert_eq!(fault("--drain-ms --check", &[]), no_value);
    let no_flag = "--check=\"yes\" (flag): takes no value";
    assert_eq!(fault("--check=yes", &[]), no_flag);
}

#[test]
fn an_argument_that_is_no_flag_is_told() {
    let told = "\"start\" (argument): is neither a flag nor the value of one; --help-all lists \
                all flags";
    for args in ["start", "-- start", "--drain-ms 5 start", "--check start"] {
        assert_eq!(fault(args, &[]), told, "{args}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_not_utf8_is_told_and_not_fatal() {
    use std::os::unix::ffi::OsStringExt;
    let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let args = [
        text(b"--log-level=in\xfffo"),
        text(b"--b\xffd"),
        text(b"--"),
        text(b"\xff"),
    ];
    let env = |name: &str| (name == "DRAIN_MS").then(|| text(b"1\xff0"));
    let faults = load(args, env).expect_err("four faults").to_string();
    assert_eq!(
        faults,
        "4 settings are wrong:\n  \"--b\u{fffd}d\" (flag): is unknown; --help-all lists all \
         flags\n  \"\u{fffd}\" (argument): is neither a flag nor the value of one; --help-all \
         lists all flags\n  LOG_LEVEL=\"in\u{fffd}fo\" (flag): must be error, warn, info, debug or \
         trace\n  DRAIN_MS=\"1\u{fffd}0\" (env): must be a whole number of milliseconds from 0 to \
         86400000, or with a unit (15s, 2m)"
    );
}

#[test]
fn check_only_checks() {
    assert_eq!(
        start("--check", &["DRAIN_MS=7"]),
        Ok(CliAction::Check(run("", &["DRAIN_MS=7"])))
    );
    assert_eq!(faults("--check", &["DRAIN_MS=x", "LOG_LEVEL=x"]).len(), 2);
}

#[test]
fn help_is_given_whatever_else_is_wrong() {
    let basic = printed("--nonsense --help", &["DRAIN_MS=x"]);
    assert_eq!(basic, printed("-h", &[]));
    assert_eq!(basic, printed("help", &[]));
    assert!(basic.contains("Basic settings:") && !basic.contains("Advanced settings:"));
    assert!(basic.contains("--help-all"), "it says how to see all");
    let help = printed("--nonsense --help-all", &["DRAIN_MS=x"]);
    let advanced = help.find("Advanced settings:").expect("a heading");
    assert!(help.find("Basic settings:").expect("a heading") < advanced);
    for setting in SETTINGS {
        let head = setting.flag().unwrap_or(setting.name.to_owned());
        let at = help.find(&format!("  {head} <")).expect(setting.name);
        assert_eq!(
            at < advanced,
            setting.audience == Audience::Basic,
            "{}",
            setting.name
        );
        assert!(help.contains(setting.help) && help.contains(&setting.allowed()));
    }
}

#[test]
fn the_version_is_given_whatever_else_is_wrong() {
    let version = format!("pulsegate {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(printed("--version --check", &[]), version);
    assert_eq!(printed("-V", &[]), version);
    assert_eq!(printed("version", &[]), version);
}
