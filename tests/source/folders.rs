//! Inside a folder, files import each other in one direction only.

use crate::imports::{self, Graph};
use crate::reading::{self, is_test, read_sources};

/// The order of files and sub-folders inside a folder: each may import those before it, and itself.
/// Those of one row do not import each other.
const INSIDE: &[(&str, &[&[&str]])] = &[(
    "side",
    &[
        &[
            "down_app",
            "lock",
            "loop_liveness",
            "loop_query",
            "priority",
            "process",
            "reload_report",
        ],
        &["outgoing", "resolver", "health_checks", "kept_file"],
        &["jobs", "watch", "http", "cadence_file"],
        &["events"],
        &["admin"],
        &["start"],
        &["mod"],
    ],
)];

/// The groups of files inside a folder, in their order: a file imports only from its own group and
/// from those before it.
const GROUPS: &[(&str, &[&[&str]])] = &[
    (
        "engine",
        &[
            &[
                "message",
                "verdict",
                "ending",
                "silence",
                "traffic",
                "cohort_view",
                "view",
                "dial",
            ],
            &[
                "config",
                "conn",
                "out",
                "prepared",
                "retry",
                "receipts",
                "late_queue",
                "table",
                "conn_set",
                "wheel",
                "timers",
                "policies",
                "bucket",
                "drain",
                "handed_over",
                "work",
                "remote",
                "conn_map",
                "stats",
                "link",
                "entropy",
                "flags",
                "handshake_out",
                "leg_input",
                "input_state",
                "life_news",
                "cohort_ref",
                "cohorts",
                "fleet_watch",
                "foresight",
            ],
            &["core", "io", "handler"],
            &[
                "engine",
                "tcp_progress",
                "late",
                "input",
                "pausing",
                "opening",
                "dialing",
                "forwarding",
                "gathering",
                "pair_closing",
                "frames",
                "control_frames",
                "held",
                "half_open",
                "hand_over",
                "outbound",
                "heartbeats",
                "deadlines",
                "audit",
            ],
            &["mod"],
        ],
    ),
    (
        "relay",
        &[
            &[
                "causes",
                "jobs",
                "protocol",
                "role",
                "relay_settings",
                "relay_stats",
                "subscriptions",
            ],
            &["pulse"],
            &["session"],
            &["tables"],
            &["relay"],
            &[
                "admission",
                "app_lifecycle",
                "app_servers",
                "audit",
                "backpressure",
                "tasks",
                "fan_out_steps",
                "glasses_state",
                "slot_changes",
                "product",
                "message_reader",
                "newer_sdk",
                "pulse_ends",
                "pulse_messages",
                "pulse_requests",
                "pulse_resumes",
                "routing",
                "reload_scan",
            ],
            &["mod"],
        ],
    ),
];

/// Types without behaviour that the engine's files and hosts share.
const VOCABULARY: &[&str] = &[
    "engine/cohort_view.rs",
    "engine/ending.rs",
    "engine/message.rs",
    "engine/silence.rs",
    "engine/traffic.rs",
    "engine/verdict.rs",
    "engine/view.rs",
];

/// Returns imports that violate the order inside a folder.
fn faults_inside(graph: &Graph) -> Vec<String> {
    let mut faults = Vec::new();
    let strict = INSIDE.iter().map(|row| (row, true));
    for ((folder, order), is_strict) in strict.chain(GROUPS.iter().map(|row| (row, false))) {
        let part = |file: &str| {
            let inside = file.strip_prefix(folder)?.strip_prefix('/')?;
            inside.split(['/', '.']).next().map(str::to_owned)
        };
        let rank = |part: &str| order.iter().position(|row| row.contains(&part));
        for (file, edges) in graph {
            let Some(own) = part(file) else { continue };
            let Some(own_rank) = rank(&own) else {
                faults.push(format!("{file}: {own} has no place in {folder}/"));
                continue;
            };
            for (to, line) in edges {
                let Some(target) = part(to).filter(|target| *target != own) else {
                    continue;
                };
                let is_allowed = |rank: usize| rank < own_rank || rank == own_rank && !is_strict;
                if !rank(&target).is_some_and(is_allowed) {
                    faults.push(format!("{file}:{line} imports {to}"));
                }
            }
        }
    }
    faults
}

#[test]
fn inside_a_folder_arrows_go_one_way_too() {
    let graph = imports::graph(&read_sources());
    assert!(graph["side/watch/watchers.rs"].contains_key("side/lock.rs"));
    let faults = faults_inside(&graph);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn an_arrow_back_inside_a_folder_is_seen() {
    let found = |path: &str, source: &str| {
        let files = [
            ("lib.rs", "pub mod side;"),
            ("side/mod.rs", "mod jobs; mod watch; mod start; mod lock;"),
            (
                "side/jobs/mod.rs",
                "mod runner; pub use self::runner::JobRunner;",
            ),
            ("side/jobs/runner.rs", "pub struct JobRunner;"),
            ("side/start.rs", "pub fn start() {}"),
            ("side/lock.rs", "pub fn lock() {}"),
            (path, source),
        ];
        let read = |(path, text): &(&str, &str)| reading::source(path, text);
        faults_inside(&imports::graph(&files.iter().map(read).collect::<Vec<_>>()))
    };
    for (path, source, expected) in [
        (
            "side/watch/series.rs",
            "use crate::side::jobs::JobRunner;",
            "side/watch/series.rs:1 imports side/jobs/runner.rs",
        ),
        (
            "side/lock.rs",
            "use super::start::start;",
            "side/lock.rs:1 imports side/start.rs",
        ),
        ("side/helpers/mod.rs", "", "helpers has no place in side/"),
    ] {
        let faults = found(path, source);
        assert!(
            faults.len() == 1 && faults[0].contains(expected),
            "{source}: {faults:?}"
        );
    }
    let allowed = "use super::jobs::JobRunner; use super::lock::lock;";
    assert_eq!(found("side/start.rs", allowed), Vec::<String>::new());
}

#[test]
fn the_vocabulary_of_the_engine_imports_nothing_of_the_engine() {
    let graph = imports::graph(&read_sources());
    for file in VOCABULARY {
        let of_the_engine = graph[*file].keys().filter(|to| to.starts_with("engine/"));
        for to in of_the_engine {
            assert!(VOCABULARY.contains(&&**to), "{file} imports {to}");
        }
    }
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let files = read_sources();
    let graph = imports::graph(&files);
    assert!(graph["engine/mod.rs"].contains_key("engine/handler.rs"));
    let cycles = imports::cycles(&graph);
    let mut faults = Vec::new();
    for (path, tokens) in files.iter().filter(|(path, _)| !is_test(path)) {
        let lines = imports::globs(tokens).into_iter();
        faults.extend(lines.map(|line| format!("{path}:{line}: a glob hides what is imported")));
    }
    for cycle in &cycles {
        let mut text = format!("a cycle of {} files:\n", cycle.len());
        for file in cycle {
            for (to, line) in graph[file].iter().filter(|(to, _)| cycle.contains(*to)) {
                text += &format!("  {file}:{line} imports {to}\n");
            }
        }
        faults.push(text);
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_cycle_of_files_is_seen() {
    let read = |sources: &[(&str, &str)]| {
        let files: Vec<_> = sources
            .iter()
            .map(|(path, text)| reading::source(path, text))
            .collect();
        imports::cycles(&imports::graph(&files))
    };
    // The second file imports items of the first, each time in another way.
    let ways = [
        "use super::a::A;",
        "use crate::part::a::{self, A};",
        "use super::A;",
        "use crate::part::{A as Other};",
        "use crate::A;",
        "fn f() { super::a::f(); }",
        "use super::a; fn f() { a::f(); }",
        "mod inner { use super::super::A; }",
        "use pulsegate::part::A;",
    ];
    for way in ways {
        let cycles = read(&[
            ("lib.rs", "pub mod part; pub use part::A;"),
            ("part/mod.rs", "mod a; mod b; pub use a::A;"),
            ("part/a.rs", "use super::b::B; pub struct A; pub fn f() {}"),
            ("part/b.rs", &format!("{way} pub struct B;")),
        ]);
        assert_eq!(cycles.len(), 1, "{way}");
        assert!(cycles[0].iter().eq(["part/a.rs", "part/b.rs"]), "{way}");
    }
    let no_imports = [
        "mod a;",
        "#[cfg(test)] mod tests { use super::super::A; }",
        "// use super::a::A;",
        "use super::c::C;",
        "mod inner { use super::B; }",
        "use std::a::A;",
    ];
    for source in no_imports {
        let cycles = read(&[
            ("lib.rs", "pub mod part;"),
            (
                "part/mod.rs",
                "mod a; mod b; mod c; pub use a::A; pub use b::B;",
            ),
            ("part/a.rs", "use super::b::B; pub struct A;"),
            ("part/b.rs", &format!("{source} pub struct B;")),
            ("part/c.rs", "pub struct C;"),
        ]);
        assert_eq!(cycles, [], "{source}");
    }
}
