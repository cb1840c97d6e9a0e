//! Which source of a value wins: the flag, the variable, the file, the general setting, the
//! default.

use super::loading::{printed, run, run_with_file};
use crate::folder::Folder;
use log::LevelFilter;
use pulsegate::health::Policy;
use pulsegate::time::Micros;

#[test]
fn the_flag_wins_then_the_variable_then_the_default() {
    let env = ["DRAIN_MS=1"];
    assert_eq!(run("--drain-ms 2", &env).drain, Micros::from_millis(2));
    assert_eq!(run("", &env).drain, Micros::from_millis(1));
    assert_eq!(
        run("--drain-ms 2 --drain-ms=3", &[]).drain,
        Micros::from_millis(3),
        "the last one counts"
    );
}

#[test]
fn variables_of_other_programs_are_not_looked_at() {
    run("", &["HEARTBEAT_INTERVAL=5", "PULSEGATE_X=y", "PATH=/bin"]);
}

#[test]
fn the_flag_wins_then_the_variable_then_the_file_then_the_default() {
    let folder = Folder::new();
    let file = folder.file("settings.toml", "drain_ms = 3");
    for given in 0..8 {
        let [flag, variable, in_file] = [1, 2, 4].map(|bit| given & bit != 0);
        let mut args = String::new();
        if flag {
            args += " --drain-ms 1";
        }
        if in_file {
            args += &format!(" --config-file {file}");
        }
        let env: &[&str] = if variable { &["DRAIN_MS=2"] } else { &[] };
        let wanted = match (flag, variable, in_file) {
            (true, _, _) => "DRAIN_MS=1 # flag",
            (false, true, _) => "DRAIN_MS=2 # env",
            (false, false, true) => "DRAIN_MS=3 # file",
            (false, false, false) => {
                "DRAIN_MS=1000 # default: 1000; with UPSTREAM, or a route for all paths, 30000"
            }
        };
        let text = printed(&format!("--print-config {args}"), env);
        assert!(text.lines().any(|line| line == wanted), "{wanted}\n{text}");
        let millis = wanted.split(['=', ' ']).nth(1).unwrap().parse().unwrap();
        assert_eq!(run(&args, env).drain, Micros::from_millis(millis));
    }
}

#[test]
fn the_flag_for_the_file_wins_over_its_variable() {
    let folder = Folder::new();
    let file = folder.file("settings.toml", "drain_ms = 3");
    let other = folder.file("other.toml", "drain_ms = 4");
    let drain = |args: &str, env: &[&str]| run(args, env).drain;
    let variable = format!("CONFIG_FILE={file}");
    let flag = format!("--config-file={other}");
    assert_eq!(drain("", &[&variable]), Micros::from_millis(3));
    assert_eq!(drain(&flag, &[&variable]), Micros::from_millis(4));
    // The flags of other programs.
    assert_eq!(drain(&format!("-c {file}"), &[]), Micros::from_millis(3));
    assert_eq!(
        drain(&format!("--config {file}"), &[]),
        Micros::from_millis(3)
    );
}

#[test]
fn an_empty_variable_is_unset() {
    let folder = Folder::new();
    let file = folder.file("settings.toml", "drain_ms = 3");
    let variable = format!("CONFIG_FILE={file}");
    let drain = |env: &[&str]| run("", env).drain;
    assert_eq!(drain(&[&variable, "DRAIN_MS="]), Micros::from_millis(3));
    assert_eq!(
        drain(&["CONFIG_FILE="]),
        Micros::from_secs(1),
        "names no file"
    );
    assert_eq!(run("", &["LOG_LEVEL="]).log_level, LevelFilter::Info);
}

#[test]
fn an_overruled_value_is_not_looked_at() {
    let drain = run("--drain-ms 2", &["DRAIN_MS=nonsense"]).drain;
    assert_eq!(drain, Micros::from_millis(2));
    let folder = Folder::new();
    let wrong = folder.file("wrong.toml", "drain_ms = 'x'\nlog_level = 'x'");
    run(
        &format!("--drain-ms 1 --config-file {wrong}"),
        &["LOG_LEVEL=warn"],
    );
}

#[test]
fn a_class_inherits_the_general_value_of_the_file() {
    let settings = run_with_file("heartbeat_interval_ms = 2_000");
    assert_eq!(settings.app.heartbeat_interval, Micros::from_secs(2));
}

#[test]
fn a_class_has_the_general_value_until_it_has_its_own() {
    let env = ["HEARTBEAT_INTERVAL_MS=2000", "CONNECTION_TIMEOUT_MS=6000"];
    let settings = run("--app-connection-timeout-ms 9000", &env);
    let of = |p: Policy| (p.heartbeat_interval, p.connection_timeout);
    let secs = Micros::from_secs;
    assert_eq!(of(settings.glasses), (secs(2), secs(6)));
    assert_eq!(of(settings.app), (secs(2), secs(9)));
    assert_eq!(settings.glasses.validate(), Ok(()));
    assert_eq!(settings.app.validate(), Ok(()));
}
