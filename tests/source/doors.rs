//! Each dependency, the clock and the sockets are used in one place.

use crate::reading::{self, sources};

/// Names that only these files (or folders, with a slash at the end) may use.
const DOORS: &[(&str, &[&str])] = &[
    // `side/http/` has timers of its own, on the clock of tokio.
    ("Instant", &["base/time.rs", "side/http/"]),
    ("SystemTime", &["base/time.rs"]),
    ("mio", &["reactor/"]),
    ("socket2", &["reactor/"]),
    (
        "TcpStream",
        &[
            "reactor/",
            "side/admin/serve.rs",
            "side/outgoing/connector.rs",
            "side/health_checks.rs",
            "side/http/",
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
    ("UnixStream", &["side/health_checks.rs"]),
    ("UnixListener", &[]),
    ("tungstenite", &["wire/", "lib.rs"]),
    (
        "slab",
        &[
            "engine/table.rs",
            "engine/timers.rs",
            "bridge/sessions/hold_book.rs",
        ],
    ),
    ("hierarchical_hash_wheel_timer", &["engine/wheel.rs"]),
    ("httparse", &["wire/http/"]),
    ("form_urlencoded", &["host/", "relay/admission.rs"]),
    (
        "serde",
        &[
            "base/json_fields.rs",
            "host/auth/",
            "pulse/",
            "relay/protocol/",
            "side/",
        ],
    ),
    (
        "serde_json",
        &["host/auth/", "pulse/", "relay/protocol/", "side/"],
    ),
    ("simplelog", &["process/logging/logger.rs"]),
    ("lexopt", &["config/arguments.rs"]),
    (
        "toml",
        &[
            "config/settings_file.rs",
            "config/file_value.rs",
            "config/routes/given.rs",
        ],
    ),
    ("ipnet", &["config/", "host/", "gateway/", "side/"]),
    ("ppp", &["transport/proxy_protocol.rs"]),
    ("prometheus_client", &["side/admin/metrics/"]),
    ("flate2", &["side/admin/metrics/text.rs"]),
    ("procfs", &["side/process.rs"]),
    (
        "subtle",
        &["side/admin/admin_token.rs", "host/auth/app_registry.rs"],
    ),
    ("sha2", &["host/auth/", "bridge/balance.rs"]),
    ("hmac", &["host/auth/"]),
    (
        "data_encoding",
        &[
            "host/auth/",
            "pulse/resume_token.rs",
            "wire/http/dial_request.rs",
            // In a test, which writes tokens.
            "bridge/route_identity.rs",
        ],
    ),
    ("getrandom", &["reactor/", "host/boot_id.rs"]),
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
            "side/health_checks.rs",
            "side/http/",
            "side/admin/serve.rs",
            "side/outgoing/http.rs",
            "side/outgoing/connector.rs",
        ],
    ),
    ("hyper_rustls", &["side/outgoing/http.rs"]),
    ("rustls", &["side/outgoing/http.rs"]),
    (
        "http_body_util",
        &[
            "side/admin/live_stream.rs",
            "side/admin/event_stream.rs",
            "side/outgoing/http.rs",
            "side/health_checks.rs",
        ],
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
            "side/health_checks.rs",
            "side/http/",
            "side/admin/serve.rs",
            "side/outgoing/http.rs",
            "side/outgoing/connector.rs",
        ],
    ),
    ("axum", &["side/admin/"]),
];

/// Words that no file may contain.
const NOWHERE: &[&str] = &["unsafe"];

/// Returns the words of a file that only other files may use; `path` is relative to `src`.
fn trespasses(path: &str, source: &str) -> Vec<String> {
    let (_, words) = reading::source(path, source);
    let mut faults = Vec::new();
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

#[test]
fn every_dependency_is_used_in_its_place() {
    let faults: Vec<String> = sources()
        .iter()
        .flat_map(|(p, s)| trespasses(p, s))
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Asserts that this source has one fault, which contains `expected`.
#[track_caller]
fn violation(path: &str, source: &str, expected: &str) {
    let found = trespasses(path, source);
    let is_found = found.len() == 1 && found[0].contains(expected);
    assert!(is_found, "{source}: {found:?}");
}

#[track_caller]
fn allowed(path: &str, source: &str) {
    assert_eq!(trespasses(path, source), [""; 0], "{source}");
}

#[test]
fn a_violation_is_seen() {
    violation(
        "engine/mod.rs",
        "let t = std::time::Instant::now();",
        "Instant has another door",
    );
    violation(
        "reactor/mod.rs",
        "use std::time::SystemTime;",
        "SystemTime has another door",
    );
    violation(
        "gateway/mod.rs",
        "std::net::TcpStream::connect(a)",
        "TcpStream has another door",
    );
    violation("engine/mod.rs", "use mio::Token;", "mio has another door");
    violation(
        "gateway/mod.rs",
        "use tungstenite::Message;",
        "tungstenite has another door",
    );
    violation(
        "engine/conn.rs",
        "slots: slab::Slab<Conn>,",
        "slab has another door",
    );
    violation("main.rs", "#[tokio::main]", "tokio has another door");
    violation("engine/conn.rs", "let x = unsafe { *p };", "unsafe");
}

#[test]
fn comments_strings_and_owners_are_allowed() {
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
    let raw = "let s = r#\"Instant::now() \"unsafe\" \"#; let c = '\"'; /// [`crate::reactor`]";
    allowed("engine/conn.rs", raw);
}
