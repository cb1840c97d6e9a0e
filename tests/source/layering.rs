//! Checks the layers of design §3 in the sources: a file imports only layers before its own. Small
//! invalid sources prove that the reader finds violations.

use crate::reading::{self, read_sources, sources};

/// The layers of the crate in order: each may import those before it, and itself.
const ORDER: &[&[&str]] = &[
    &["base"],
    &["mail"],
    &["health"],
    &["wire"],
    &["transport"],
    &["engine"],
    &["testing"],
    &["reactor"],
    &["pulse"],
    &["client"],
    &["query"],
    &["host"],
    &["relay", "bridge"],
    &["gateway"],
    &["side"],
    &["config"],
    &["process"],
    &["lib", "main"],
];

/// Returns the layers that a source names by `crate::part`, `crate::{part, …}`, or from below by
/// `super::…::part`.
fn imports(words: &[(usize, String)], depth: usize) -> Vec<(usize, String)> {
    let is = |at: usize, what: &str| words.get(at).is_some_and(|(_, w)| w == what);
    let mut found = Vec::new();
    // Inline modules are one step deeper.
    let (mut braces, mut inline) = (0_i32, Vec::new());
    for at in 0..words.len() {
        match words[at].1.as_str() {
            "{" => {
                braces += 1;
                if at >= 2 && is(at - 2, "mod") {
                    inline.push(braces);
                }
            }
            "}" => {
                inline.retain(|level| *level != braces);
                braces -= 1;
            }
            _ => {}
        }
        // As many `super` as the file is deep mean the crate.
        let mut end = at;
        let supers = !is(at.wrapping_sub(1), ":") && is(at, "super");
        let root = if is(at, "crate") {
            // `$crate` is the path of a macro for other crates.
            !is(at.wrapping_sub(1), "$")
        } else if supers {
            let mut steps = 1;
            while is(end + 1, ":") && is(end + 2, ":") && is(end + 3, "super") {
                end += 3;
                steps += 1;
            }
            steps >= depth + inline.len()
        } else {
            false
        };
        if !root || !is(end + 1, ":") || !is(end + 2, ":") {
            continue;
        }
        if !is(end + 3, "{") {
            found.extend(words.get(end + 3).cloned());
            continue;
        }
        let (mut level, mut at, mut first) = (1, end + 4, true);
        while let Some((line, word)) = words.get(at).filter(|_| level > 0) {
            match word.as_str() {
                "{" => level += 1,
                "}" => level -= 1,
                "," => first = level == 1,
                _ if first && level == 1 => {
                    found.push((*line, word.clone()));
                    first = false;
                }
                _ => {}
            }
            at += 1;
        }
    }
    found
}

fn rank(part: &str) -> Option<usize> {
    ORDER.iter().position(|parts| parts.contains(&part))
}

/// Returns the imports of a file that its layer may not have; `path` is relative to `src`.
fn upward_imports(path: &str, source: &str) -> Vec<String> {
    let (_, words) = reading::source(path, source);
    let part = path.split(['/', '.']).next().unwrap_or_default();
    let Some(own) = rank(part) else {
        return vec![format!("{path}: {part} has no place in the order")];
    };
    let mut faults = Vec::new();
    let is_root = ["lib", "main"].contains(&part);
    // The mod.rs of a folder is as deep as the folder.
    let depth = path.trim_end_matches("/mod.rs").split('/').count();
    for (line, target) in imports(&words, depth).into_iter().filter(|_| !is_root) {
        match rank(&target) {
            Some(rank) if rank < own || target == part => {}
            Some(_) => faults.push(format!("{path}:{line}: {part} imports {target}")),
            None => faults.push(format!(
                "{path}:{line}: {part} imports {target} past its module"
            )),
        }
    }
    faults
}

#[test]
fn every_file_imports_only_what_stands_before_it() {
    let sources = sources();
    assert!(sources.len() > 20 && sources.iter().any(|(path, _)| path == "engine/mod.rs"));
    let faults: Vec<String> = sources
        .iter()
        .flat_map(|(p, s)| upward_imports(p, s))
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn what_a_reexport_stands_for_is_not_above_either() {
    let graph = crate::imports::graph(&read_sources());
    let part = |file: &str| file.split(['/', '.']).next().and_then(rank);
    for (file, edges) in &graph {
        for (to, line) in edges {
            assert!(part(to) <= part(file), "{file}:{line} imports {to}");
        }
    }
}

/// Asserts that this source has one fault, which contains `expected`.
#[track_caller]
fn violation(path: &str, source: &str, expected: &str) {
    let found = upward_imports(path, source);
    let is_found = found.len() == 1 && found[0].contains(expected);
    assert!(is_found, "{source}: {found:?}");
}

#[track_caller]
fn allowed(path: &str, source: &str) {
    assert_eq!(upward_imports(path, source), [""; 0], "{source}");
}

#[test]
fn a_violation_is_seen() {
    violation(
        "health/mod.rs",
        "use crate::engine::Engine;",
        "health imports engine",
    );
    violation(
        "mail/sender.rs",
        "use crate::engine::Io;",
        "mail imports engine",
    );
    violation(
        "engine/conn.rs",
        "fn f() { crate::reactor::listen(); }",
        "engine imports reactor",
    );
    violation(
        "engine/conn.rs",
        "use crate::{base::cause::Cause, gateway::Gateway};",
        "engine imports gateway",
    );
    violation(
        "engine/conn.rs",
        "use crate::{\n    health::{Policy, engine},\n    config,\n};",
        ":3: engine imports config",
    );
    violation(
        "engine/conn.rs",
        "use super::super::reactor::Reactor;",
        "engine imports reactor",
    );
    violation(
        "health/mod.rs",
        "use super::engine::Engine;",
        "health imports engine",
    );
    violation(
        "health/mod.rs",
        "mod tests { use super::super::engine::Engine; }",
        "health imports engine",
    );
    violation("health/mod.rs", "use crate::ConnId;", "past its module");
    violation(
        "reactor/mod.rs",
        "#[cfg(test)]\nmod tests { use crate::gateway::Gateway; }",
        ":2: reactor imports gateway",
    );
    violation(
        "gateway/mod.rs",
        "use crate::config::Settings;",
        "gateway imports config",
    );
    violation(
        "config/mod.rs",
        "use crate::process::run;",
        "config imports process",
    );
    violation(
        "base/sabotage.rs",
        "use crate::mail::Sender;",
        "base imports mail",
    );
    violation(
        "relay/relay.rs",
        "use crate::bridge::Offer;",
        "relay imports bridge",
    );
    violation(
        "bridge/offer.rs",
        "use crate::relay::Relay;",
        "bridge imports relay",
    );
    violation("helpers/mod.rs", "", "no place in the order");
}

#[test]
fn imports_from_below_are_allowed() {
    allowed(
        "engine/conn.rs",
        "use crate::{base::{cause::Code, sabotage}, health::Health};",
    );
    allowed(
        "engine/conn.rs",
        "use super::table::Table; use self::out::Out; use crate::engine::wheel;",
    );
    allowed(
        "engine/conn.rs",
        "// use crate::reactor; unsafe\n/* mio */ let s = \"crate::gateway \\\" tokio\";",
    );
    allowed(
        "engine/conn.rs",
        "let s = r#\"Instant::now() \"unsafe\" \"#; let c = '\"'; /// [`crate::reactor`]",
    );
    allowed("health/rtt.rs", "#[cfg(test)] mod tests { use super::*; }");
    allowed(
        "base/time.rs",
        "use std::time::Instant; let now = Instant::now();",
    );
    allowed(
        "process/signals.rs",
        "use crate::config; use signal_hook::consts::SIGTERM;",
    );
    allowed(
        "lib.rs",
        "pub use engine::Engine; pub use tungstenite::Bytes;",
    );
    allowed(
        "process/logging/logger.rs",
        "use crate::base::time::Micros; let instantaneous = 1;",
    );
}
