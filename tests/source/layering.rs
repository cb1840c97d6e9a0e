//! Checks the layers of design §3 in the sources: a file imports only layers before its own, and
//! each dependency, the clock and the sockets are used in one place. Small invalid sources prove
//! that the reader finds violations.

use std::fs;
use std::path::Path;

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
    &["query"],
    &["host"],
    &["relay"],
    &["gateway"],
    &["side"],
    &["config"],
    &["process"],
    &["lib", "main"],
];

/// Names that only these files (or folders, with a slash at the end) may use.
const DOORS: &[(&str, &[&str])] = &[
    ("Instant", &["base/time.rs"]),
    ("SystemTime", &["base/time.rs"]),
    ("mio", &["reactor/"]),
    ("socket2", &["reactor/"]),
    (
        "TcpStream",
        &[
            "reactor/",
            "side/admin/serve.rs",
            "side/outgoing/connector.rs",
        ],
    ),
    (
        "TcpListener",
        &[
            "reactor/",
            "side/admin/",
            "side/start.rs",
            "process/run.rs",
            "process/service.rs",
        ],
    ),
    ("UdpSocket", &[]),
    ("UnixStream", &[]),
    ("UnixListener", &[]),
    ("tungstenite", &["wire/", "lib.rs"]),
    ("slab", &["engine/table.rs", "engine/timers.rs"]),
    ("hierarchical_hash_wheel_timer", &["engine/wheel.rs"]),
    ("httparse", &["wire/http/request.rs"]),
    ("form_urlencoded", &["host/", "relay/admission.rs"]),
    ("serde", &["host/auth/", "relay/protocol/", "side/"]),
    ("serde_json", &["host/auth/", "relay/protocol/", "side/"]),
    ("simplelog", &["process/logging/logger.rs"]),
    ("lexopt", &["config/arguments.rs"]),
    ("toml", &["config/file.rs"]),
    ("ipnet", &["config/", "host/", "gateway/", "side/"]),
    ("ppp", &["transport/proxy_protocol.rs"]),
    ("prometheus_client", &["side/admin/metrics/"]),
    ("flate2", &["side/admin/metrics/text.rs"]),
    ("procfs", &["side/process.rs"]),
    (
        "subtle",
        &["side/admin/admin_token.rs", "host/auth/apps.rs"],
    ),
    ("sha2", &["host/auth/"]),
    ("hmac", &["host/auth/"]),
    ("data_encoding", &["host/auth/"]),
    (
        "humantime",
        &[
            "side/watch/alerts/payload.rs",
            "side/admin/api/common.rs",
            "side/jobs/webhooks/client.rs",
            "host/auth/credentials.rs",
        ],
    ),
    ("utoipa", &["side/admin/", "side/process.rs"]),
    (
        "hyper_util",
        &[
            "side/admin/serve.rs",
            "side/outgoing/http.rs",
            "side/outgoing/connector.rs",
        ],
    ),
    ("hyper_rustls", &["side/outgoing/http.rs"]),
    ("rustls", &["side/outgoing/http.rs"]),
    (
        "http_body_util",
        &["side/admin/live_stream.rs", "side/outgoing/http.rs"],
    ),
    ("tokio_io_timeout", &["side/admin/serve.rs"]),
    ("listenfd", &["process/service.rs"]),
    ("sd_notify", &["process/service.rs"]),
    ("signal_hook", &["process/run.rs", "process/signals.rs"]),
    ("rlimit", &["process/run.rs"]),
    ("tokio", &["side/"]),
    (
        "hyper",
        &[
            "side/admin/serve.rs",
            "side/outgoing/http.rs",
            "side/outgoing/connector.rs",
        ],
    ),
    ("axum", &["side/admin/"]),
];

/// The order of files and sub-folders inside a folder: each may import those before it, and itself.
/// Those of one row do not import each other.
const INSIDE: &[(&str, &[&[&str]])] = &[(
    "side",
    &[
        &["down_app", "lock", "loop_query", "priority", "process"],
        &["outgoing"],
        &["jobs", "watch"],
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
            &["message", "verdict", "ending", "traffic", "view"],
            &[
                "config", "conn", "out", "prepared", "retry", "receipts", "table", "conn_set",
                "wheel", "timers", "policies", "bucket", "drain", "work", "remote", "conn_map",
                "stats",
            ],
            &["core", "io", "handler"],
            &[
                "engine",
                "tcp_progress",
                "input",
                "pausing",
                "opening",
                "frames",
                "control_frames",
                "held",
                "half_open",
                "outbound",
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
                "errands",
                "protocol",
                "role",
                "settings",
                "stats",
                "subscriptions",
            ],
            &["session"],
            &["tables"],
            &["relay"],
            &[
                "admission",
                "apps",
                "asking",
                "audit",
                "backpressure",
                "chores",
                "fan_out",
                "places",
                "product",
                "reading",
                "returning",
                "routing",
                "sweep",
            ],
            &["mod"],
        ],
    ),
];

/// The limit of lines in a file, including its tests.
const LINES_MAX: usize = 500;

/// Words that no file may contain.
const NOWHERE: &[&str] = &["unsafe"];

// ---- reading ----

/// Returns the code of a source without comments and the contents of strings; line breaks stay.
fn code_of(source: &str) -> String {
    let (mut code, mut rest) = (String::new(), source);
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if c == '"' {
            end_of_string(rest)
        } else if let Some(hashes) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            let from = 2 + hashes;
            rest[from..]
                .find(&close)
                .map_or(rest.len(), |end| from + end + close.len())
        } else if rest.starts_with("'\"'") {
            3
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

fn end_of_string(quoted: &str) -> usize {
    let mut escaped = false;
    for (at, c) in quoted.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    quoted.len()
}

/// Returns the number of hashes if a raw string begins here.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// Returns the words with their lines, and whether `crate::` is right before.
pub fn words(code: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut word = String::new();
        for c in line.chars().chain([' ']) {
            if c.is_alphanumeric() || c == '_' {
                word.push(c);
                continue;
            }
            if !word.is_empty() {
                words.push((number + 1, std::mem::take(&mut word)));
            }
            if !c.is_whitespace() {
                words.push((number + 1, c.to_string()));
            }
        }
    }
    words
}

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

// ---- checks ----

fn rank(part: &str) -> Option<usize> {
    ORDER.iter().position(|parts| parts.contains(&part))
}

/// Returns the faults of one file; `path` is relative to `src`.
fn faults(path: &str, source: &str) -> Vec<String> {
    let words = words(&code_of(source));
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
    for (line, word) in &words {
        let open = |doors: &[&str]| {
            doors
                .iter()
                .any(|d| path == *d || (d.ends_with('/') && path.starts_with(d)))
        };
        if DOORS
            .iter()
            .any(|(name, doors)| name == word && !open(doors))
        {
            faults.push(format!("{path}:{line}: {word} has another door"));
        }
        if NOWHERE.contains(&word.as_str()) {
            faults.push(format!("{path}:{line}: {word}"));
        }
    }
    faults
}

/// Returns imports that violate the order inside a folder.
fn faults_inside(graph: &crate::imports::Graph) -> Vec<String> {
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

/// Returns the faults of a file in a checked folder: too many lines, or items in a `mod.rs`.
fn untidy(path: &str, source: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = source.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{path} has {lines} lines"));
    }
    let items = [
        "fn", "struct", "enum", "trait", "type", "const", "static", "impl",
    ];
    if path.ends_with("/mod.rs") {
        let words = words(&code_of(source)).into_iter();
        let words = words.filter(|(_, word)| items.contains(&&**word));
        faults.extend(words.map(|(line, word)| format!("{path}:{line}: {word} in a mod.rs")));
    }
    faults
}

/// Returns every source with its path from `src`; `src/bin` is a separate program, a client.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut sources) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)
            .expect("a folder")
            .map(|e| e.expect("an entry").path())
        {
            let relative = entry.strip_prefix(&root).expect("below src");
            if entry.is_dir() {
                folders.extend((relative != Path::new("bin")).then_some(entry));
            } else if entry.extension().is_some_and(|e| e == "rs") {
                let name = relative.to_string_lossy().replace('\\', "/");
                sources.push((name, fs::read_to_string(&entry).expect("a source")));
            }
        }
    }
    sources
}

#[test]
fn every_file_imports_only_what_stands_before_it() {
    let sources = sources();
    assert!(sources.len() > 20 && sources.iter().any(|(path, _)| path == "engine/mod.rs"));
    let faults: Vec<String> = sources.iter().flat_map(|(p, s)| faults(p, s)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Types without behaviour that the engine's files and hosts share.
const VOCABULARY: &[&str] = &[
    "engine/ending.rs",
    "engine/message.rs",
    "engine/traffic.rs",
    "engine/verdict.rs",
    "engine/view.rs",
];

/// Returns every source with its words.
pub fn read_sources() -> Vec<(String, Vec<crate::imports::Token>)> {
    let read = |(path, source): (String, String)| (path, words(&code_of(&source)));
    sources().into_iter().map(read).collect()
}

/// Returns whether a file has only tests: `#[cfg(test)] mod tests;`.
pub fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
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

#[test]
fn inside_a_folder_arrows_go_one_way_too() {
    let graph = crate::imports::graph(&read_sources());
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
        let read = |(path, source): &(&str, &str)| ((*path).to_owned(), words(&code_of(source)));
        faults_inside(&crate::imports::graph(
            &files.iter().map(read).collect::<Vec<_>>(),
        ))
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
fn files_are_short_and_mod_files_only_declare() {
    let sources = sources().into_iter();
    let faults: Vec<String> = sources.flat_map(|(p, s)| untidy(&p, &s)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_long_file_and_an_item_in_a_mod_file_are_seen() {
    let long = "\n".repeat(LINES_MAX + 1);
    assert_eq!(untidy("side/start.rs", &long).len(), 1);
    assert_eq!(untidy("side/watch/mod.rs", "mod a;\nfn f() {}").len(), 1);
    let declares = "//! fn\nmod a;\npub(super) use self::a::A;";
    assert!(untidy("side/watch/mod.rs", declares).is_empty());
    assert!(untidy("side/start.rs", "fn f() {}").is_empty());
}

#[test]
fn the_load_tool_is_tidy_too() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/pulsegate-swarm");
    let entries = fs::read_dir(&root).expect("a folder");
    let sources: Vec<(String, String)> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .replace("main.rs", "lib.rs");
            (name, fs::read_to_string(&path).expect("a source"))
        })
        .collect();
    assert!(sources.len() > 5);
    let faults: Vec<String> = sources.iter().flat_map(|(p, s)| untidy(p, s)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    // To the tool, a crate of its own, the library is another one.
    let read = |(path, source): &(String, String)| {
        let source = source.replace("pulsegate::", "library::");
        (path.clone(), words(&code_of(&source)))
    };
    let files: Vec<_> = sources.iter().map(read).collect();
    let cycles = crate::imports::cycles(&crate::imports::graph(&files));
    assert!(cycles.is_empty(), "{cycles:?}");
}

#[test]
fn the_vocabulary_of_the_engine_imports_nothing_of_the_engine() {
    let graph = crate::imports::graph(&read_sources());
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
    let graph = crate::imports::graph(&files);
    assert!(graph["engine/mod.rs"].contains_key("engine/handler.rs"));
    let cycles = crate::imports::cycles(&graph);
    let mut faults = Vec::new();
    for (path, tokens) in files.iter().filter(|(path, _)| !is_test(path)) {
        let lines = crate::imports::globs(tokens).into_iter();
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
            .map(|(path, source)| ((*path).to_owned(), words(&code_of(source))))
            .collect();
        crate::imports::cycles(&crate::imports::graph(&files))
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

#[test]
fn the_lints_are_in_cargo_toml() {
    let manifest = include_str!("../../Cargo.toml");
    let (_, lints) = manifest.split_once("[lints.rust]\n").expect("[lints.rust]");
    let lints = lints.split("\n[").next().unwrap_or_default();
    for lint in ["unsafe_code = \"forbid\"", "missing_docs = \"warn\""] {
        assert!(lints.lines().any(|l| l == lint), "{lint}");
    }
}

#[test]
fn the_library_without_features_is_the_data_plane() {
    let manifest = include_str!("../../Cargo.toml");
    let (_, rest) = manifest
        .split_once("\n[dependencies]\n")
        .expect("[dependencies]");
    let section = rest.split("\n[").next().unwrap_or_default();
    let mut always: Vec<&str> = section
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#') && !l.contains("optional = true"))
        .filter_map(|l| l.split(" =").next())
        .collect();
    always.sort_unstable();
    let named = [
        "hierarchical_hash_wheel_timer",
        "httparse",
        "log",
        "mio",
        "nix",
        "slab",
        "socket2",
        "thiserror",
        "tungstenite",
    ];
    assert_eq!(always, named, "design §7");
}

#[test]
fn a_violation_is_seen() {
    let rows = [
        (
            "health/mod.rs",
            "use crate::engine::Engine;",
            "health imports engine",
        ),
        (
            "mail/sender.rs",
            "use crate::engine::Io;",
            "mail imports engine",
        ),
        (
            "engine/conn.rs",
            "fn f() { crate::reactor::listen(); }",
            "engine imports reactor",
        ),
        (
            "engine/conn.rs",
            "use crate::{base::cause::Cause, gateway::Gateway};",
            "engine imports gateway",
        ),
        (
            "engine/conn.rs",
            "use crate::{\n    health::{Policy, engine},\n    config,\n};",
            ":3: engine imports config",
        ),
        (
            "engine/conn.rs",
            "use super::super::reactor::Reactor;",
            "engine imports reactor",
        ),
        (
            "health/mod.rs",
            "use super::engine::Engine;",
            "health imports engine",
        ),
        (
            "health/mod.rs",
            "mod tests { use super::super::engine::Engine; }",
            "health imports engine",
        ),
        ("health/mod.rs", "use crate::ConnId;", "past its module"),
        (
            "reactor/mod.rs",
            "#[cfg(test)]\nmod tests { use crate::gateway::Gateway; }",
            ":2: reactor imports gateway",
        ),
        (
            "gateway/mod.rs",
            "use crate::config::Settings;",
            "gateway imports config",
        ),
        (
            "config/mod.rs",
            "use crate::process::run;",
            "config imports process",
        ),
        (
            "base/sabotage.rs",
            "use crate::mail::Sender;",
            "base imports mail",
        ),
        (
            "engine/mod.rs",
            "let t = std::time::Instant::now();",
            "Instant has another door",
        ),
        (
            "reactor/mod.rs",
            "use std::time::SystemTime;",
            "SystemTime has another door",
        ),
        (
            "gateway/mod.rs",
            "std::net::TcpStream::connect(a)",
            "TcpStream has another door",
        ),
        ("engine/mod.rs", "use mio::Token;", "mio has another door"),
        (
            "gateway/mod.rs",
            "use tungstenite::Message;",
            "tungstenite has another door",
        ),
        (
            "engine/conn.rs",
            "slots: slab::Slab<Conn>,",
            "slab has another door",
        ),
        ("main.rs", "#[tokio::main]", "tokio has another door"),
        ("engine/conn.rs", "let x = unsafe { *p };", "unsafe"),
        ("helpers/mod.rs", "", "no place in the order"),
    ];
    for (path, source, expected) in rows {
        let found = faults(path, source);
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{source}: {found:?}"
        );
    }
}

#[test]
fn what_is_allowed_is_not_complained_of() {
    let rows = [
        (
            "engine/conn.rs",
            "use crate::{base::{cause::Code, sabotage}, health::Health};",
        ),
        (
            "engine/conn.rs",
            "use super::table::Table; use self::out::Out; use crate::engine::wheel;",
        ),
        (
            "engine/conn.rs",
            "// use crate::reactor; unsafe\n/* mio */ let s = \"crate::gateway \\\" tokio\";",
        ),
        (
            "engine/conn.rs",
            "let s = r#\"Instant::now() \"unsafe\" \"#; let c = '\"'; /// [`crate::reactor`]",
        ),
        ("health/rtt.rs", "#[cfg(test)] mod tests { use super::*; }"),
        (
            "base/time.rs",
            "use std::time::Instant; let now = Instant::now();",
        ),
        (
            "process/signals.rs",
            "use crate::config; use signal_hook::consts::SIGTERM;",
        ),
        (
            "lib.rs",
            "pub use engine::Engine; pub use tungstenite::Bytes;",
        ),
        (
            "process/logging/logger.rs",
            "use crate::base::time::Micros; let instantaneous = 1;",
        ),
    ];
    for (path, source) in rows {
        let found = faults(path, source);
        assert!(found.is_empty(), "{source}: {found:?}");
    }
}
