//! Loads settings as an operator gives them: from flags, variables and files.

use crate::folder::Folder;
use pulsegate::config::{CliAction, SettingFaults, Settings, load};
use pulsegate::gateway::{Classes, RELAY_CLASSES};
use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;

/// Starts the program with `args`, separated by spaces, and `env`, `NAME=value` pairs.
pub fn start(args: &str, env: &[&str]) -> Result<CliAction, SettingFaults> {
    let args = args.split_whitespace().map(OsString::from);
    let env: HashMap<&str, &str> = env
        .iter()
        .map(|pair| pair.split_once('=').expect("NAME=value"))
        .collect();
    load(args, |name| env.get(name).map(OsString::from))
}

/// Returns the settings of a start without a fault.
pub fn run(args: &str, env: &[&str]) -> Settings {
    match start(args, env) {
        Ok(CliAction::Run(settings)) => settings,
        other => panic!("{args} {env:?}: {other:?}"),
    }
}

/// Returns what is printed instead of a start.
pub fn printed(args: &str, env: &[&str]) -> String {
    match start(args, env) {
        Ok(CliAction::Print(text)) => text,
        other => panic!("{args} {env:?}: {other:?}"),
    }
}

/// Returns the lines of the error, without its first.
#[track_caller]
pub fn faults(args: &str, env: &[&str]) -> Vec<String> {
    let faults = start(args, env).expect_err("a fault");
    let text = faults.to_string();
    let (head, lines) = text.split_once('\n').expect("a heading");
    let lines: Vec<_> = lines.lines().map(|line| line.trim().to_owned()).collect();
    let heading = match lines.len() {
        1 => "1 setting is wrong:".to_owned(),
        n => format!("{n} settings are wrong:"),
    };
    assert_eq!(head, heading);
    assert_eq!(lines.len(), faults.iter().count());
    lines
}

/// Returns the only fault of a start.
#[track_caller]
pub fn fault(args: &str, env: &[&str]) -> String {
    let mut lines = faults(args, env);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

/// Returns the faults of a file, without its path: `(file)` for the path and a line.
#[track_caller]
pub fn faults_of(content: impl AsRef<[u8]>) -> Vec<String> {
    let placed = faults_with_lines(content);
    placed.iter().map(|fault| without_lines(fault)).collect()
}

/// Returns the faults of a file, with `FILE` for its path.
#[track_caller]
pub fn faults_with_lines(content: impl AsRef<[u8]>) -> Vec<String> {
    let folder = Folder::new();
    let file = folder.file("settings.toml", content);
    let faults = faults("", &[&format!("CONFIG_FILE={file}")]);
    let quoted = format!("{file:?}");
    let faults = faults.iter().map(|fault| fault.replace(&quoted, "FILE"));
    faults.map(|fault| fault.replace(&file, "FILE")).collect()
}

/// Returns a fault with `(file)` for each `(FILE:7)`.
fn without_lines(fault: &str) -> String {
    let mut parts = fault.split("(FILE:");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += "(file";
        text += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    text
}

/// Returns the only fault of a file, without its path.
#[track_caller]
pub fn fault_of(content: impl AsRef<[u8]>) -> String {
    let mut faults = faults_of(content);
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.remove(0)
}

/// Asserts that one flag is the only fault, with what its value must be.
#[track_caller]
pub fn wrong_flag(name: &str, value: &str, must: &str) {
    let flag = format!("--{} {value}", name.to_lowercase().replace('_', "-"));
    let start = format!("{name}={value:?} (flag): ");
    assert_must_be(&fault(&flag, &[]), &start, must);
}

/// Asserts that one variable is the only fault, with what its value must be.
#[track_caller]
pub fn wrong_variable(name: &str, value: &str, must: &str) {
    let start = format!("{name}={value:?} (env): ");
    assert_must_be(&fault("", &[&format!("{name}={value}")]), &start, must);
}

/// Asserts that a fault says what its value must be, perhaps after the mistake.
#[track_caller]
fn assert_must_be(fault: &str, start: &str, must: &str) {
    let rest = fault.strip_prefix(start);
    let rest = rest.unwrap_or_else(|| panic!("{fault}"));
    let after_mistake = rest.ends_with(&format!(" (allowed: {must})"));
    assert!(
        after_mistake || rest == format!("must be {must}"),
        "{fault}"
    );
}

/// Starts the program with this settings file.
pub fn start_with_file(content: impl AsRef<[u8]>) -> Result<CliAction, SettingFaults> {
    let folder = Folder::new();
    let file = folder.file("settings.toml", content);
    start("", &[&format!("CONFIG_FILE={file}")])
}

/// Returns the settings of a start with this settings file.
pub fn run_with_file(content: impl AsRef<[u8]>) -> Settings {
    let folder = Folder::new();
    let file = folder.file("settings.toml", content);
    run("", &[&format!("CONFIG_FILE={file}")])
}

/// Returns what `--print-config` prints with this settings file.
pub fn printed_with_file(content: &str) -> String {
    let folder = Folder::new();
    let file = folder.file("settings.toml", content);
    printed("--print-config", &[&format!("CONFIG_FILE={file}")])
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The classes of the gateway.
pub fn classes() -> Classes {
    Classes::new(RELAY_CLASSES)
}
